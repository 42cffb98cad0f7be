//! mremap: what moves, what stays, and whom it meets on the way.

use super::errno::{EFAULT, ENOMEM};
use super::testkit::*;
use crate::engine::model::{Ending, Model};
use crate::kernel::sim::Sim;
use crate::kernel::strategy::RemapFlush;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::machine::Xlat;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

const FROM: Vma = Vma(0);
const TO: Vma = Vma(1);
const MOVE: Op = Op::Mremap { from: FROM, to: TO, keeps: false };
const BACK: Op = Op::Mremap { from: TO, to: FROM, keeps: false };
const KEEP: Op = Op::Mremap { from: FROM, to: TO, keeps: true };

/// A file of two pages that are mapped for writing, and a second mapping that does not exist yet.
fn file_plan() -> Plan {
    let data = [InitPage::Dirty, InitPage::Clean];
    let mut plan = machine(FsKind::Ext4, plain_disk(), &data, Populate::Write);
    add_target(&mut plan);
    plan
}

/// Where the first mapping can move to.
fn add_target(plan: &mut Plan) {
    let there = plan.vmas[0].clone();
    let name = "target".into();
    plan.vmas.push(VmaPlan { name, mapped: false, populate: Populate::None, ..there });
}

fn mapped(sim: &Sim, vma: Vma) -> bool {
    sim.world.get::<VmaState>(vma).mapped()
}

fn entries(sim: &Sim) -> [Pte; 4] {
    [0, 1, 2, 3].map(|n| pte(sim, VPage(n)))
}

#[test]
fn entries_move_as_they_are_and_nothing_else_does() {
    let mut plan = file_plan();
    let op = thread(&mut plan, &[MOVE]);
    let mut sim = Sim::new(plan, strategy());
    let before = entries(&sim);
    let frame = before[0].frame().unwrap();
    sim.poke(|w| w.tlb_fill(Cpu(0), VPage(0), before[0]));
    let counts = sim.world.counts(frame);
    finish(&mut sim);
    assert_eq!(ret(&sim, op), 0);
    assert_eq!(entries(&sim), [Pte::new(), Pte::new(), before[0], before[1]]);
    assert_eq!(sim.world.counts(frame), counts);
    assert_eq!(sim.world.tlb(Cpu(0), VPage(0)), None);
    assert_eq!((mapped(&sim, FROM), mapped(&sim, TO)), (false, true));
}

#[test]
fn what_is_mapped_at_the_target_goes_first_and_nothing_moves_from_nowhere() {
    let mut plan = file_plan();
    plan.vmas[1].mapped = true;
    plan.vmas[1].populate = Populate::Read;
    let op = thread(&mut plan, &[MOVE, MOVE, BACK]);
    let mut sim = Sim::new(plan, strategy());
    let before = entries(&sim);
    assert!(before[2].present() && !before[2].writable());
    finish(&mut sim);
    assert_eq!([0, 1, 2].map(|n| ret(&sim, op.plus(n))), [0, -EFAULT, 0]);
    assert_eq!(entries(&sim), [before[0], before[1], Pte::new(), Pte::new()]);
    assert_eq!(sim.world.counts(before[0].frame().unwrap()).maps(), 1);
}

#[test]
fn dontunmap_leaves_an_empty_mapping_that_is_not_locked() {
    let mut plan = file_plan();
    let lock = Op::Mlock { first: VPage(0), pages: 2, lock: true };
    let op = thread(&mut plan, &[lock, KEEP, Op::Load { at: VPage(0) }]);
    let mut sim = Sim::new(plan, strategy());
    let before = entries(&sim);
    finish(&mut sim);
    assert_eq!(ret(&sim, op.plus(1)), 0);
    let locked = |vma| sim.world.get::<VmaState>(vma).locked();
    assert_eq!((locked(FROM), locked(TO)), (0, 0b11));
    assert!(sim.world.flags(before[0].frame().unwrap()).mlocked());
    assert!(mapped(&sim, FROM) && mapped(&sim, TO));
    assert_eq!(pte(&sim, VPage(0)).frame(), before[0].frame(), "faulted in again");
}

#[test]
fn a_move_that_finds_no_page_table_leaves_everything_where_it_was() {
    let mut plan = file_plan();
    plan.faults.enomem = 1;
    let op = thread(&mut plan, &[MOVE]);
    let mut sim = Sim::new(plan, strategy());
    let before = entries(&sim);
    let mut failed = [false; 2];
    explore_to_rest(&mut sim, |sim| {
        let fails = ret(sim, op) == -ENOMEM;
        failed[usize::from(fails)] = true;
        assert_eq!((mapped(sim, FROM), mapped(sim, TO)), (fails, !fails));
        assert_eq!(entries(sim) == before, fails);
    });
    assert_eq!(failed, [true; 2]);
}

#[test]
fn a_mirror_of_the_old_range_is_torn_down_before_its_entries_move() {
    for kind in [DeviceKind::OdpNic, DeviceKind::Gpu] {
        let mut plan = device_machine(kind, 1);
        add_target(&mut plan);
        thread(&mut plan, &[register(1), MOVE]);
        let write = nic(&mut plan, &[Op::DmaWrite { region: MR, page: 0 }]);
        let mut sim = Sim::new(plan, strategy());
        let mut results = std::collections::BTreeSet::new();
        let (_, endings) = explore_moves(&mut sim, &mut |sim, _| {
            let entry = sim.world.get::<Xlat>(RegionPage(0));
            let started = |f: &Fact| matches!(f, Fact::RangeStarted { at: VPage(0) });
            assert!(!sim.world.facts.iter().any(started) || !entry.valid());
            assert!(!entry.valid() || entry.page().map(|p| p.frame) == pte(sim, VPage(0)).frame());
            if sim.ready() == 0 {
                results.insert(ret(sim, write));
            }
        });
        assert_eq!(endings.into_iter().collect::<Vec<_>>(), [Ending::Finished]);
        assert_eq!(results.into_iter().collect::<Vec<_>>(), [-EFAULT, 0]);
    }
}

#[test]
fn a_migration_entry_that_moves_is_found_again() {
    // Back and forth: the second move goes to the front of the tree.
    for program in [&[MOVE][..], &[MOVE, BACK], &[KEEP]] {
        let mut plan = file_plan();
        let op = thread(&mut plan, program);
        let migrate = Op::Migrate { page: FilePage(0) };
        thread_of(&mut plan, "kcompactd", Role::Kernel, &[migrate]);
        let mut sim = Sim::new(plan, strategy());
        explore_to_rest(&mut sim, |sim| {
            assert!((0..program.len() as u32).all(|n| ret(sim, op.plus(n)) == 0));
            assert!(entries(sim).iter().all(|pte| !pte.migration()));
            let maps = entries(sim).iter().filter(|pte| pte.present()).count();
            assert_eq!(maps, 2, "both pages are mapped once");
        });
    }
}

#[test]
fn a_move_meets_truncate_cleaning_and_reclaim_in_every_order_without_a_trace() {
    let (file, mode) = (File(0), SyncMode::Cleaning);
    let cold = Op::Reclaim { page: FilePage(1) };
    for other in [Op::Truncate { file, size: 0 }, Op::Writeback { file, mode }, cold] {
        for program in [[MOVE, BACK], [KEEP, BACK]] {
            let mut plan = file_plan();
            thread(&mut plan, &program);
            thread_of(&mut plan, "kernel", Role::Kernel, &[other]);
            let mut sim = Sim::new(plan, strategy());
            let states = explore(&mut sim, assert_at_rest);
            assert!(states > 50, "{other:?}: {states} states");
        }
    }
}

#[test]
fn the_old_address_is_flushed_when_the_design_says_so() {
    for (flush, initial, early) in [
        (RemapFlush::Late, Populate::Write, false),
        (RemapFlush::Dirty, Populate::Write, true),
        (RemapFlush::Dirty, Populate::Read, false),
        (RemapFlush::Always, Populate::Read, true),
    ] {
        let mut plan = file_plan();
        plan.vmas[0].populate = initial;
        thread(&mut plan, &[MOVE]);
        let design = crate::kernel::strategy::Strategy { remap_flush: flush, ..strategy() };
        let mut sim = Sim::new(plan, design);
        let entry = pte(&sim, VPage(0));
        sim.poke(|w| w.tlb_fill(Cpu(0), VPage(0), entry));
        run_while(&mut sim, |sim| pte(sim, VPage(0)).present());
        let gone = sim.world.tlb(Cpu(0), VPage(0)).is_none();
        assert_eq!(gone, early, "{flush:?} {initial:?}");
        finish(&mut sim);
        assert_eq!(sim.world.tlb(Cpu(0), VPage(0)), None);
        assert!(!pte(&sim, VPage(0)).stale());
    }
}
