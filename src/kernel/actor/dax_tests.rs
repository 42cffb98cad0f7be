//! Layout breaks of DAX files, and the removal of their device.

use super::errno::EINTR;
use super::testkit::*;
use crate::engine::model::{Ending, Model};
use crate::kernel::sim::Sim;
use crate::kernel::strategy::{DaxOrphan, Strategy, Truncate, Unbind};
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

const PAGE: u64 = PAGE_SIZE as u64;

fn truncate(size: u64) -> Op {
    Op::Truncate { file: File(0), size }
}

fn dax(pages: usize) -> Plan {
    let pages = vec![InitPage::Clean; pages];
    machine(FsKind::Dax, DiskKind::Pmem, &pages, Populate::Write)
}

/// The designs of 4.19 and 6.18.
fn designs() -> [Strategy; 2] {
    ["linux-4.19", "linux-6.18"].map(preset)
}

/// The pmem frame of a page of the file.
fn frame(sim: &Sim, n: u32) -> Frame {
    let block = sim.world.get::<Extent>(FilePage(n)).block().unwrap();
    sim.world.map.pmem_frame(block).unwrap()
}

fn size(sim: &Sim) -> u64 {
    sim.world.get::<Size>(File(0)).bytes()
}

fn invalidate_lock_held(sim: &Sim) -> bool {
    let lock = sim.world.map.file_lock(LockClass::InvalidateLock, File(0));
    sim.world.get::<LockState>(lock).writer() != 0
}

#[test]
fn truncate_waits_for_a_reference_with_the_file_unmapped_and_whole() {
    for strategy in designs() {
        for (policy, held) in [(Truncate::WaitLocked, true), (Truncate::WaitUnlocked, false)] {
            let mut plan = dax(2);
            thread(&mut plan, &[truncate(PAGE)]);
            let mut sim = Sim::new(plan, Strategy { truncate_dax: policy, ..strategy });
            // The pin is below the new end: the layouts of the whole file are broken.
            let pinned = frame(&sim, 0);
            sim.poke(|w| w.take_ref(pinned));
            assert_eq!(run(&mut sim), Ending::Stall);
            assert_eq!(size(&sim), 2 * PAGE);
            assert!((0..2).all(|n| !sim.world.get::<Pte>(VPage(n)).present()));
            assert_eq!(invalidate_lock_held(&sim), held);
            sim.poke(|w| {
                w.drop_ref(pinned);
            });
            assert_eq!(run(&mut sim), Ending::Finished);
            assert_eq!(size(&sim), PAGE);
            assert!(!invalidate_lock_held(&sim));
            let freed = sim.world.map.pmem_block(frame(&sim, 0).plus(1)).unwrap();
            assert_eq!(sim.world.get::<BlockState>(freed).state(), BlockUse::Free);
            assert_eq!(sim.world.cached(FilePage(1)), None);
        }
    }
}

#[test]
fn a_hole_that_has_been_read_keeps_nobody_waiting() {
    for strategy in designs() {
        let pages = [InitPage::Hole];
        let mut plan = machine(FsKind::Dax, DiskKind::Pmem, &pages, Populate::None);
        let load = Op::Load { at: VPage(0) };
        let op = thread(&mut plan, &[load, truncate(0), Op::Munmap { vma: Vma(0) }]);
        let mut sim = Sim::new(plan, strategy);
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!((result(&sim, op.plus(1)), size(&sim)), (Some(0), 0));
    }
}

#[test]
fn a_signal_ends_the_wait_and_leaves_the_file_alone() {
    for policy in [Truncate::WaitLocked, Truncate::WaitUnlocked] {
        let mut plan = dax(1);
        let op = thread(&mut plan, &[truncate(0)]);
        let mut sim = Sim::new(plan, Strategy { truncate_dax: policy, ..preset("linux-6.18") });
        let pinned = frame(&sim, 0);
        sim.poke(|w| w.take_ref(pinned));
        assert_eq!(run(&mut sim), Ending::Stall);
        sim.poke(|w| {
            w.update::<ActorState>(Actor(0), |s| s.with_signal(true));
        });
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!((result(&sim, op), size(&sim)), (Some(-EINTR), PAGE));
        assert!(sim.world.get::<Extent>(FilePage(0)).block().is_some());
        assert!(!invalidate_lock_held(&sim));
        assert_eq!(sim.world.get::<Held>(Actor(0)), Held::new());
    }
}

#[test]
fn truncate_that_ignores_references_frees_the_block_under_them() {
    for strategy in designs() {
        let mut plan = dax(1);
        thread(&mut plan, &[truncate(0)]);
        let mut sim = Sim::new(plan, Strategy { truncate_dax: Truncate::Ignore, ..strategy });
        let pinned = frame(&sim, 0);
        sim.poke(|w| w.take_ref(pinned));
        assert_eq!(run(&mut sim), Ending::Finished);
        let block = sim.world.map.pmem_block(pinned).unwrap();
        assert_eq!(sim.world.get::<BlockState>(block).state(), BlockUse::Free);
        assert_eq!(sim.world.get::<Owner>(pinned).kind(), OwnerKind::None);
        let idle = strategy.dax_idle.idle_refs();
        assert_eq!(sim.world.counts(pinned).refs(), idle + 1);
    }
}

#[test]
fn a_reference_to_a_file_that_nothing_maps_is_waited_for_only_since_6_15() {
    for (dax_orphan, waits) in [(DaxOrphan::Ignore, false), (DaxOrphan::Wait, true)] {
        let mut plan = dax(1);
        let punch = Op::Punch { first: FilePage(0), pages: 1 };
        thread(&mut plan, &[Op::Munmap { vma: Vma(0) }, punch]);
        let mut sim = Sim::new(plan, Strategy { dax_orphan, ..preset("linux-6.18") });
        let held = frame(&sim, 0);
        sim.poke(|w| w.take_ref(held));
        let ending = run(&mut sim);
        assert_eq!(ending == Ending::Stall, waits, "{ending:?}");
    }
}

#[test]
fn mappings_alone_do_not_make_a_page_busy() {
    for strategy in designs() {
        let mut plan = dax(2);
        thread(&mut plan, &[truncate(0)]);
        thread(&mut plan, &[Op::Munmap { vma: Vma(0) }]);
        let mut sim = Sim::new(plan, strategy);
        explore(&mut sim, |s| {
            assert_eq!(s.ending(), Ending::Finished);
            for n in 0..2 {
                let counts = s.world.counts(Frame(s.world.map.ram + n));
                assert_eq!((counts.refs(), counts.maps()), (strategy.dax_idle.idle_refs(), 0));
                assert_eq!(s.world.get::<BlockState>(Block(n)).state(), BlockUse::Free);
            }
        });
    }
}

#[test]
fn a_dax_entry_that_is_locked_is_waited_for() {
    for strategy in designs() {
        let mut plan = dax(1);
        thread(&mut plan, &[truncate(0)]);
        let mut sim = Sim::new(plan, strategy);
        sim.poke(|w| {
            w.update::<CacheSlot>(FilePage(0), |s| s.with_dax_locked(true));
        });
        assert_eq!(run(&mut sim), Ending::Stall);
        sim.poke(|w| {
            w.update::<CacheSlot>(FilePage(0), |s| s.with_dax_locked(false));
        });
        assert_eq!(run(&mut sim), Ending::Finished);
    }
}

#[test]
fn a_cut_inside_a_dax_page_zeroes_the_media() {
    let mut plan = dax(1);
    thread(&mut plan, &[truncate(2048)]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let before = on_disk(&sim, 0);
    assert_eq!(run(&mut sim), Ending::Finished);
    let w = &sim.world;
    let now = w.disk_contents(FilePage(0));
    assert_eq!((w.patches.at(now, 0), w.patches.at(now, 2048).version()), (before, None));
}

fn unbind(strategy: Strategy, prepare: impl Fn(&mut World, Frame)) -> (Sim, Frame) {
    let mut plan = dax(1);
    thread(&mut plan, &[Op::Unbind { disk: Disk(0) }]);
    let mut sim = Sim::new(plan, strategy);
    let first = frame(&sim, 0);
    sim.poke(|w| prepare(w, first));
    run(&mut sim);
    (sim, first)
}

fn removed(sim: &Sim, frame: Frame) -> bool {
    sim.world.get::<Flags>(frame).removed()
}

#[test]
fn removal_waits_for_live_references_where_there_are_any() {
    let live = |w: &mut World, _| {
        w.update::<DiskState>(Disk(0), |d| d.with_pgmap_refs(1));
    };
    for (unbind_by, name, waits) in [
        (Unbind::Unguarded, "linux-4.14", false),
        (Unbind::LiveRefNoWait, "linux-4.19", false),
        (Unbind::LiveRef, "linux-4.19", true),
        (Unbind::MappingRef, "linux-6.18", true),
    ] {
        let strategy = Strategy { unbind: unbind_by, ..preset(name) };
        let (mut sim, frame) = unbind(strategy, live);
        assert_eq!(removed(&sim, frame), !waits, "{unbind_by:?}");
        let pgmap = |s: &Sim| s.world.get::<DiskState>(Disk(0)).pgmap();
        assert_eq!(pgmap(&sim), if waits { PgmapState::Killed } else { PgmapState::Removed });
        sim.poke(|w| {
            w.update::<DiskState>(Disk(0), |d| d.with_pgmap_refs(0));
        });
        run(&mut sim);
        assert_eq!(pgmap(&sim), PgmapState::Removed);
    }
}

#[test]
fn removal_waits_for_page_references_only_where_a_used_page_holds_the_pagemap() {
    let held = |w: &mut World, frame| w.take_ref(frame);
    let waits = Strategy { unbind: Unbind::LiveRef, ..preset("linux-4.19") };
    for (strategy, removes) in
        [(waits, false), (preset("linux-4.19"), true), (preset("linux-6.18"), true)]
    {
        let (sim, frame) = unbind(strategy, held);
        assert_eq!(removed(&sim, frame), removes, "{:?}", strategy.unbind);
    }
}

#[test]
fn removal_lets_gup_fast_sections_end_wherever_there_is_a_reference_to_kill() {
    let irqs = |w: &mut World, off: bool| {
        let holder = Actor::pack(off.then_some(Actor(0)));
        w.set(Cpu(0), CpuState::new().with_irq_off(holder));
    };
    use Unbind::*;
    for (unbind_by, waits) in [(LiveRefNoWait, true), (LiveRef, true), (Unguarded, false)] {
        let strategy = Strategy { unbind: unbind_by, ..preset("linux-4.19") };
        let (mut sim, frame) = unbind(strategy, |w, _| irqs(w, true));
        assert_eq!(removed(&sim, frame), !waits, "{unbind_by:?}");
        sim.poke(|w| irqs(w, false));
        run(&mut sim);
        assert!(removed(&sim, frame));
    }
}

#[test]
fn removal_unmaps_the_files_of_the_device_first_where_mappings_hold_references() {
    for (name, unmaps) in [("linux-4.19", false), ("linux-6.18", true)] {
        let (sim, frame) = unbind(preset(name), |_, _| {});
        assert!(removed(&sim, frame));
        assert_eq!(sim.world.get::<Pte>(VPage(0)).present(), !unmaps);
    }
}
