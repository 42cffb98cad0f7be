//! Laws of the model, on random machines, programs, designs and schedules: undo inverts apply,
//! the incremental fingerprint is the full one, moves are in canonical order, the same moves give
//! the same bytes, and the quick way of judging a step overlooks nothing.

mod common;

use common::Dice;
use gupsim::engine::model::{Ending, Model, Props, Stepped, Timed};
use gupsim::generate;
use gupsim::generate::options::Options;
use gupsim::kernel::invariant::{LOCK_ORDER, find};
use gupsim::kernel::sim::{Move, Sim};
use gupsim::kernel::world::machine::{DiskState, Engaged, RegionState};
use gupsim::kernel::world::need::Need;
use gupsim::kernel::world::objects::{CacheSlot, FileState, MmState};
use gupsim::kernel::world::{Actor, Disk, File, FilePage, Mm, Region, World};
use gupsim::scenario::types::Scenario;
use gupsim::scenario::{load, write};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Everything that undo has to restore.
#[derive(Clone, PartialEq, Debug)]
struct Snapshot {
    state: Vec<u8>,
    fingerprint: u64,
    moves: Vec<Move>,
    ready: usize,
    needs: Vec<Need>,
    verdict: Props,
    ending: Option<Ending>,
}

fn snapshot(sim: &Sim) -> Snapshot {
    let (mut state, mut moves) = (Vec::new(), Vec::new());
    sim.state(&mut state);
    sim.moves(&mut moves);
    let needs = (0..sim.agents() as u32).map(|a| sim.need(a)).collect();
    let ending = moves.is_empty().then(|| sim.ending());
    Snapshot {
        state,
        fingerprint: sim.fingerprint(),
        ready: sim.ready(),
        verdict: sim.verdict(),
        ending,
        moves,
        needs,
    }
}

/// A made-up scenario, and the numbers of which its design is made.
type Made = (Scenario, Vec<u16>);

/// The machine of it.
fn machine((scenario, numbers): &Made) -> Sim {
    let strategy = common::strategy(&mut Dice(numbers.iter()));
    let loaded = load::text("made up", &write::text(scenario));
    Sim::new(loaded.unwrap_or_else(|e| panic!("{}", e.plain(100))).plan, strategy)
}

/// Made-up machines and schedules; a schedule picks one of the moves at each step.
fn runs(steps: usize) -> impl Strategy<Value = (Made, Vec<u16>)> {
    let numbers = |n| prop::collection::vec(any::<u16>(), 0..n);
    let made = any::<u64>().prop_flat_map(|features| generate::scenarios(Options(features)));
    ((made, numbers(8)), numbers(steps))
}

fn pick(moves: &[Move], number: u16) -> Option<Move> {
    (!moves.is_empty()).then(|| moves[usize::from(number) % moves.len()])
}

/// What a step says about invariants that are judged by one run alone.
fn of_run(stepped: Stepped) -> (Props, Props) {
    let without = |p: Props| Props(p.0 & !Props::one(LOCK_ORDER).0);
    (without(stepped.broken), without(stepped.reached))
}

/// Live references, direct I/O, invalidations and transfers, and locked DAX entries: how many
/// there are.
fn counted(w: &World) -> Vec<u32> {
    let plan = &w.map.plan;
    let of = |n: usize, count: &dyn Fn(u32) -> u32| (0..n as u32).map(count).collect::<Vec<_>>();
    [
        of(plan.disks.len(), &|d| w.get::<DiskState>(Disk(d)).pgmap_refs().into()),
        of(plan.files.len(), &|f| w.get::<FileState>(File(f)).dio_count().into()),
        of(plan.mms.len(), &|mm| w.get::<MmState>(Mm(mm)).invalidating().into()),
        of(plan.regions.len(), &|r| w.get::<RegionState>(Region(r)).in_flight().into()),
        of(plan.file_pages() as usize, &|p| w.get::<CacheSlot>(FilePage(p)).dax_locked().into()),
    ]
    .concat()
}

/// The same, by who has them.
fn owned(w: &World) -> Vec<u32> {
    let plan = &w.map.plan;
    let by = |has: &dyn Fn(Engaged) -> bool| {
        (0..w.map.actors()).filter(|&a| has(w.get::<Engaged>(Actor(a)))).count() as u32
    };
    let of = |n: usize, count: &dyn Fn(u32) -> u32| (0..n as u32).map(count).collect::<Vec<_>>();
    [
        of(plan.disks.len(), &|d| by(&|e| u32::from(e.pgmap()) == d + 1)),
        of(plan.files.len(), &|f| by(&|e| e.dio() == f + 1)),
        of(plan.mms.len(), &|mm| by(&|e| e.range() == mm + 1)),
        of(plan.regions.len(), &|r| by(&|e| e.region() == r + 1)),
        of(plan.file_pages() as usize, &|p| {
            (w.get::<CacheSlot>(FilePage(p)).dax_owner() != 0).into()
        }),
    ]
    .concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn undo_inverts_apply_exactly((made, schedule) in runs(60)) {
        let mut sim = machine(&made);
        let mut done: Vec<(Stepped, Snapshot)> = Vec::new();
        for &number in &schedule {
            let before = snapshot(&sim);
            for &mv in &before.moves {
                let stepped = sim.apply(mv);
                sim.undo(stepped);
                prop_assert_eq!(&snapshot(&sim), &before, "{:?} is not undone", mv);
            }
            let Some(mv) = pick(&before.moves, number) else { break };
            done.push((sim.apply(mv), before));
        }
        while let Some((stepped, before)) = done.pop() {
            sim.undo(stepped);
            prop_assert_eq!(snapshot(&sim), before);
        }
    }

    #[test]
    fn the_incremental_fingerprint_is_the_full_one((made, schedule) in runs(200)) {
        let mut sim = machine(&made);
        let mut moves = Vec::new();
        let mut known: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        prop_assert_eq!(sim.fingerprint(), sim.full_fingerprint());
        for &number in &schedule {
            sim.moves(&mut moves);
            let Some(mv) = pick(&moves, number) else { break };
            sim.apply(mv);
            prop_assert_eq!(sim.fingerprint(), sim.full_fingerprint());
            let mut state = Vec::new();
            sim.state(&mut state);
            let first = *known.entry(state).or_insert(sim.fingerprint());
            prop_assert_eq!(first, sim.fingerprint(), "equal states differ in fingerprint");
        }
    }

    #[test]
    fn moves_are_ascending_and_agree_with_the_agents_that_are_ready(
        (made, schedule) in runs(200),
    ) {
        let mut sim = machine(&made);
        let mut moves = Vec::new();
        for &number in &schedule {
            sim.moves(&mut moves);
            prop_assert!(moves.windows(2).all(|w| w[0] < w[1]), "{:?}", moves);
            let ready: Vec<u32> = (0..sim.ready()).map(|k| sim.nth_ready(k)).collect();
            let each = ready.iter().flat_map(|&a| (0..sim.outcomes(a)).map(move |o| (a, o)));
            let made: Vec<Move> = each.map(|(a, o)| sim.move_of(a, o)).collect();
            prop_assert_eq!(&made, &moves);
            prop_assert!(ready.iter().all(|&a| sim.is_ready(a) && sim.label(a).is_some()));
            let Some(mv) = pick(&moves, number) else { break };
            sim.apply(mv);
            prop_assert!(sim.changed().contains(&mv.agent));
        }
    }

    #[test]
    fn the_same_moves_give_the_same_bytes_and_verdicts((made, schedule) in runs(200)) {
        let (mut one, mut two) = (machine(&made), machine(&made));
        let mut moves = Vec::new();
        for &number in &schedule {
            one.moves(&mut moves);
            let Some(mv) = pick(&moves, number) else { break };
            // The second has been elsewhere before: patchworks have other numbers there.
            if let Some(&other) = moves.iter().rev().find(|&&m| m != mv) {
                let stepped = two.apply(other);
                two.undo(stepped);
            }
            prop_assert_eq!(of_run(one.apply(mv)), of_run(two.apply(mv)));
            prop_assert_eq!(snapshot(&one), snapshot(&two));
        }
    }

    #[test]
    fn judging_a_step_overlooks_nothing_that_judging_every_object_finds(
        (made, schedule) in runs(200),
    ) {
        let mut sim = machine(&made);
        sim.set_thorough(true);
        let mut moves = Vec::new();
        for &number in &schedule {
            sim.moves(&mut moves);
            let Some(mv) = pick(&moves, number) else { break };
            sim.apply(mv);
            prop_assert_eq!(sim.overlooked(), &[], "after {:?} of {:?}", mv, sim.top(mv.agent));
        }
    }

    #[test]
    fn whatever_is_counted_has_owners((made, schedule) in runs(200)) {
        let mut sim = machine(&made);
        let mut moves = Vec::new();
        for &number in &schedule {
            sim.moves(&mut moves);
            let Some(mv) = pick(&moves, number) else { break };
            sim.apply(mv);
            prop_assert_eq!(counted(&sim.world), owned(&sim.world), "after {:?}", mv);
        }
    }

    #[test]
    fn no_design_unbalances_the_counts_but_two((made, schedule) in runs(300)) {
        let mut sim = machine(&made);
        prop_assume!(!common::loses_counts(sim.strategy));
        let mut moves = Vec::new();
        let balance = find("count-balance").map(|(i, _)| Props::one(i)).unwrap();
        for &number in &schedule {
            sim.moves(&mut moves);
            let Some(mv) = pick(&moves, number) else { break };
            let stepped = sim.apply(mv);
            let unbalanced = Props(stepped.broken.0 & balance.0);
            let seen = (mv, sim.top(mv.agent), sim.findings());
            prop_assert_eq!(unbalanced, Props::NONE, "{:?}", seen);
        }
    }

    #[test]
    fn recording_footprints_changes_nothing((made, schedule) in runs(100)) {
        let (mut one, mut two) = (machine(&made), machine(&made));
        two.record_footprints(true);
        let mut moves = Vec::new();
        let mut footprint = Default::default();
        for &number in &schedule {
            one.moves(&mut moves);
            let Some(mv) = pick(&moves, number) else { break };
            one.apply(mv);
            two.apply(mv);
            two.footprint(&mut footprint);
            prop_assert!(footprint.writes.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(footprint.reads.windows(2).all(|w| w[0] < w[1]));
            prop_assert_eq!(snapshot(&one), snapshot(&two));
        }
    }
}
