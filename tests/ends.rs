//! Laws about whole runs of large random machines with every operation: nothing panics, counts
//! are the sum of their holders at every step, an operation that returns holds nothing, a run that
//! finishes leaves nothing behind, and whoever waits for ever waits for somebody.

mod common;

use common::loses_counts;
use common::wild::{self, Scale};
use gupsim::engine::model::{Ending, Model, Props};
use gupsim::kernel::actor::Routine;
use gupsim::kernel::invariant;
use gupsim::kernel::sim::{Move, Sim};
use gupsim::kernel::world::machine::*;
use gupsim::kernel::world::need::Need;
use gupsim::kernel::world::objects::*;
use gupsim::kernel::world::page::ZERO_PAGE;
use gupsim::kernel::world::*;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Steps after which a machine of this size is taken for endless.
const LONGEST: usize = 40_000;

/// Makes one step at random; gives the move, none at the end.
fn step(sim: &mut Sim, random: &mut ChaCha8Rng, moves: &mut Vec<Move>) -> Option<Move> {
    sim.moves(moves);
    let mv = *moves.get(random.next_u32() as usize % moves.len().max(1))?;
    let stepped = sim.apply(mv);
    let balance = invariant::find("count-balance").map_or(Props::NONE, |(i, _)| Props::one(i));
    let off = if loses_counts(sim.strategy) { 0 } else { stepped.broken.0 & balance.0 };
    let by = sim.stack(mv.agent).collect::<Vec<_>>();
    assert_eq!(off, 0, "counts after {mv:?} of {by:?}: {:?}, {:?}", sim.findings(), sim.strategy);
    Some(mv)
}

/// What an agent is in, outermost first.
fn stack(sim: &Sim, agent: u32) -> Vec<Routine> {
    sim.stack(agent).collect()
}

/// The locks and folios that an agent holds, and the processors on which it keeps interrupts off.
fn held(sim: &Sim, agent: u32) -> Vec<String> {
    let (w, me) = (&sim.world, Actor::pack(Some(Actor(agent))));
    let locks = (0..w.map.locks()).map(Lock).filter(|&l| w.get::<LockState>(l).writer() == me);
    let mut all: Vec<String> = locks.map(|l| w.map.lock_name(l)).collect();
    let frames = (0..w.map.frames()).map(Frame);
    all.extend(frames.filter(|&f| w.get::<FolioLock>(f).owner() == me).map(|f| format!("{f:?}")));
    let cpus = (0..w.map.plan.cpus).map(Cpu);
    all.extend(cpus.filter(|&c| w.get::<CpuState>(c).irq_off() == me).map(|c| format!("{c:?}")));
    all.extend(w.held(Actor(agent)).map(|l| w.map.lock_name(l)));
    all
}

/// Runs to the end and holds the laws against every step.
fn run(sim: &mut Sim, seed: u64) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut moves = Vec::new();
    let endless = sim.world.map.plan.threads.iter().any(|t| t.background);
    for n in 0..LONGEST {
        let Some(mv) = step(sim, &mut random, &mut moves) else { return n };
        let (agent, at) = (mv.agent, sim.op(mv.agent));
        // A result is written where one operation ends and the next one has not begun.
        let returned = sim.world.since(sim.last_mark()).iter().any(|c| c.kind == Kind::OpResult);
        if returned {
            assert_eq!(held(sim, agent), [""; 0], "agent {agent} after {at:?}");
        }
    }
    assert!(
        endless,
        "the run does not end: {:?}",
        (0..3).map(|a| stack(sim, a)).collect::<Vec<_>>()
    );
    LONGEST
}

/// What is left of calls that have returned, if every thread has finished: nothing may be.
fn leftovers(sim: &Sim) -> Vec<String> {
    let w = &sim.world;
    let threads = w.map.plan.threads.len() as u32;
    if w.get::<Power>(One(0)).crashed() || (0..threads).any(|a| sim.top(a).is_some()) {
        return Vec::new();
    }
    let mut left = Vec::new();
    let mut note = |bad: bool, what: String| {
        if bad {
            left.push(what);
        }
    };
    for lock in (0..w.map.locks()).map(Lock) {
        note(w.get::<LockState>(lock) != LockState::new(), w.map.lock_name(lock));
    }
    for cpu in (0..w.map.plan.cpus).map(Cpu) {
        note(w.get::<CpuState>(cpu).irq_off() != 0, format!("{cpu:?} with interrupts off"));
    }
    for n in 0..w.map.plan.mms.len() as u32 {
        let mm = w.get::<MmState>(Mm(n));
        note(mm.invalidating() != 0 || !mm.invalidate_seq().is_multiple_of(2), format!("{mm:?}"));
    }
    for n in 0..w.map.plan.disks.len() as u32 {
        let disk = w.get::<DiskState>(Disk(n));
        note(disk.in_flight() != 0 || disk.pgmap_refs() != 0, format!("{disk:?}"));
    }
    for n in 0..w.map.plan.files.len() as u32 {
        note(w.get::<FileState>(File(n)).dio_count() != 0, format!("direct I/O on file {n}"));
    }
    for n in 0..w.map.plan.regions.len() as u32 {
        let region = w.get::<RegionState>(Region(n));
        note(region.in_flight() != 0 || region.stopping(), format!("{region:?}"));
    }
    for (n, of) in w.map.region_pages.iter().enumerate() {
        for at in of.clone().map(RegionPage) {
            note(w.get::<Xlat>(at).busy() != 0, format!("a transfer in region {n}"));
        }
    }
    for at in (0..w.map.plan.file_pages()).map(FilePage) {
        note(w.get::<CacheSlot>(at).dax_locked(), format!("a DAX entry locked at {at:?}"));
    }
    for at in (0..w.map.plan.vpages()).map(VPage) {
        let pte = w.get::<Pte>(at);
        note(pte.migration() || pte.stale(), format!("{at:?} {pte:?}"));
    }
    for frame in (1..w.map.frames()).map(Frame) {
        note(w.folio_locked_by(frame).is_some(), format!("{frame:?} locked"));
        note(w.flags(frame).writeback(), format!("{frame:?} under writeback"));
        let holders = w.get::<Holders>(frame);
        let neighbours = w.get::<Owner>(frame).kind() == OwnerKind::Neighbour;
        let kept = (kept(sim, frame, RefType::Get), kept(sim, frame, RefType::Pin));
        let known = (kept.0 + u32::from(neighbours), kept.1);
        let all = (holders.refs(), holders.pins());
        note(known != all, format!("{frame:?}: {all:?} references and pins, {known:?} known"));
    }
    left
}

/// How many slot pages hold a folio.
fn kept(sim: &Sim, head: Frame, kind: RefType) -> u32 {
    let w = &sim.world;
    let pages = w.map.slot_pages.last().map_or(0, |r| r.end);
    let of = |n: &u32| {
        let kept = w.get::<Pinned>(SlotPage(*n));
        let frame = Frame::unpack(kept.frame_bits());
        kept.kind() == kind && frame.is_some_and(|f| f != ZERO_PAGE && w.head(f) == head)
    };
    (0..pages).filter(of).count() as u32
}

/// Whether an agent waits for something that a program, not the kernel, has to do.
fn waits_for_a_program(need: Need) -> bool {
    matches!(
        need,
        Need::Posted(_)
            | Need::MmLive(_)
            | Need::RegionReady(_)
            | Need::RegionUsable(_)
            | Need::LeaseAnswered(_)
            | Need::LeaseBreaking(_)
            | Need::LeaseAsked(_)
            | Need::DaxIdle { .. }
            | Need::Unpinned(_)
            | Need::PgmapDrained(_)
    )
}

/// Whether a run is stuck although nobody has to wait: no thread waits for a program, or a thread
/// waits for pins that nobody holds.
fn stuck_for_nothing(sim: &Sim) -> bool {
    let agents = 0..sim.world.map.plan.threads.len() as u32;
    let idle = |need| matches!(need, Need::DaxIdle { .. } | Need::Unpinned(_));
    let nobody = |n: Need| idle(n) && n.holders(&sim.world).is_empty();
    let for_nobody = agents.clone().any(|a| nobody(sim.need(a)));
    let mut unfinished = agents.filter(|&a| sim.top(a).is_some());
    let for_no_program = unfinished.all(|a| !waits_for_a_program(sim.need(a)));
    sim.ending() == Ending::Stall && (for_nobody || for_no_program)
}

/// Whether a thread has died with a folio locked: BUG_ON(!page_has_buffers(page)) of writeback, and
/// what follows for those who want that lock.
fn died_in_bug(sim: &Sim) -> bool {
    let killed = |a: &Actor| sim.world.get::<ActorState>(*a).life() == Life::Killed;
    let agents = (0..sim.agents() as u32).map(Actor);
    agents.filter(killed).any(|a| sim.world.get::<Held>(a).folios() > 0)
}

fn describe(sim: &Sim) -> Vec<String> {
    let agents = (0..sim.agents() as u32).filter(|&a| sim.top(a).is_some());
    let threads = &sim.world.map.plan.threads;
    let op = |a: u32| {
        let thread = threads.get(a as usize)?;
        thread.program.get((sim.op(a).0 - thread.first_op.0) as usize)
    };
    agents
        .filter(|&a| (a as usize) < threads.len() || !matches!(sim.need(a), Need::BioSubmitted(_)))
        .map(|a| format!("{a} {:?} {:?} needs {:?}", op(a), sim.top(a), sim.need(a)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn every_run_ends_and_leaves_nothing_behind(
        numbers in prop::collection::vec(any::<u16>(), 0..400),
        seed in any::<u64>(),
    ) {
        let mut sim = wild::sim(&numbers, Scale { threads: 6, ops: 6 });
        let steps = run(&mut sim, seed);
        if steps == LONGEST || died_in_bug(&sim) {
            return Ok(());
        }
        prop_assert!(!stuck_for_nothing(&sim), "{:?}: {:#?}", sim.strategy, describe(&sim));
        if sim.ending() == Ending::Finished {
            let threads = &sim.world.map.plan.threads;
            prop_assert_eq!(leftovers(&sim), [""; 0], "{:?}: {:?}", sim.strategy, threads);
        }
    }

    #[test]
    fn judging_a_step_overlooks_nothing_and_undo_restores_it(
        numbers in prop::collection::vec(any::<u16>(), 0..400),
        seed in any::<u64>(),
    ) {
        let mut sim = wild::sim(&numbers, Scale { threads: 6, ops: 6 });
        sim.set_thorough(true);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut moves = Vec::new();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            sim.moves(&mut moves);
            let choice = random.next_u32() as usize % moves.len().max(1);
            let Some(&mv) = moves.get(choice) else { break };
            before.clear();
            sim.state(&mut before);
            let stepped = sim.apply(mv);
            prop_assert_eq!(sim.overlooked(), &[], "after {:?} of {:?}", mv, sim.top(mv.agent));
            sim.undo(stepped);
            after.clear();
            sim.state(&mut after);
            prop_assert!(before == after, "{:?} is not undone", mv);
            sim.apply(mv);
            prop_assert_eq!(sim.fingerprint(), sim.full_fingerprint());
        }
    }
}
