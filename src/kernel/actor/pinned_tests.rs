//! What writeback does with a pinned page, one design at a time, and page_mkwrite at release.

use super::testkit::*;
use crate::engine::model::{Ending, Props};
use crate::kernel::invariant;
use crate::kernel::sim::Sim;
use crate::kernel::strategy::{Strategy, Writeback};
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::*;
use crate::kernel::world::price::Price;
use crate::kernel::world::*;

const PAGE: FilePage = FilePage(0);
const SLOT: Slot = Slot(0);
const TAG: Tag = Tag(0);
/// The agent of the tag, after two threads.
const DISK: u32 = 2;

fn under(writeback: Writeback) -> Strategy {
    Strategy { writeback, ..preset("glisse-bounce") }
}

/// A thread that has pinned a dirty page, a flusher that has not begun; agents 0 and 1.
fn pinned(fs: FsKind, mode: SyncMode, strategy: Strategy) -> Sim {
    let mut plan = machine(fs, plain_disk(), &[InitPage::Dirty], Populate::Write);
    plan.slots.push(SlotPlan { name: "pin".into(), pages: 1 });
    let ops = [pin(VPage(0), 1, SLOT, true, PinCall::PinFast), unpin(SLOT, true)];
    let first = thread(&mut plan, &ops);
    thread(&mut plan, &[Op::Writeback { file: File(0), mode }]);
    let mut sim = Sim::new(plan, strategy);
    run_agent(&mut sim, 0, |s| result(s, first).is_some());
    assert!(kept(&sim, SLOT, 0).is_some());
    sim
}

fn flags(sim: &Sim) -> Flags {
    sim.world.flags(sim.world.cached(PAGE).unwrap())
}

fn price(sim: &Sim, price: Price) -> u64 {
    sim.world.prices.get(price)
}

#[test]
fn a_bounced_page_is_written_from_a_copy_and_stays_dirty() {
    for (design, mode, dirty) in [
        (Writeback::Bounce, SyncMode::Cleaning, true),
        (Writeback::BounceLate, SyncMode::Cleaning, true),
        (Writeback::SkipBounce, SyncMode::Integrity, false),
    ] {
        for fs in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
            let mut sim = pinned(fs, mode, under(design));
            let before = in_cache(&sim, 0);
            run_until(&mut sim, 1, "bounce: copy the first half");
            let locked = sim.world.folio_locked_by(sim.world.cached(PAGE).unwrap()).is_some();
            assert_eq!(locked, design == Writeback::Bounce, "{design:?}");
            // Two halves; what happens to the page afterwards reaches the bio no more.
            let step = |s: &Sim| s.world.get::<Bio>(TAG).step();
            run_agent(&mut sim, 1, |s| matches!(step(s), BioStep::Submitted | BioStep::Summed));
            assert!(sim.world.get::<Bio>(TAG).bounced());
            let frame = sim.world.cached(PAGE).unwrap();
            sim.world.set(frame, Data(Contents::ZERO));
            run_agent(&mut sim, DISK, |_| false);
            assert_eq!(Some(on_disk(&sim, 0)), before, "{design:?} {fs:?}");
            assert_eq!((flags(&sim).dirty(), flags(&sim).writeback()), (dirty, false));
            // Nothing has been reserved for the next write.
            assert!(!flags(&sim).prepared());
            assert_eq!(
                (price(&sim, Price::BouncePages), price(&sim, Price::BounceBytes)),
                (1, 4096)
            );
        }
    }
}

#[test]
fn every_page_of_a_larger_folio_is_copied_through_a_queue_of_one() {
    for design in [Writeback::Bounce, Writeback::BounceLate] {
        let DiskKind::Block { checksum, stable_writes, volatile_cache, .. } = plain_disk() else {
            panic!("the plain disk is a block disk");
        };
        let kind = DiskKind::Block { checksum, stable_writes, volatile_cache, queue_depth: 1 };
        let mut plan = machine(FsKind::Xfs, kind, &[InitPage::Dirty; 2], Populate::Write);
        plan.files[0].folio_order = 1;
        plan.slots.push(SlotPlan { name: "pin".into(), pages: 1 });
        let first = thread(&mut plan, &[pin(VPage(0), 1, SLOT, true, PinCall::PinFast)]);
        thread(&mut plan, &[Op::Writeback { file: File(0), mode: SyncMode::Cleaning }]);
        let mut sim = Sim::new(plan, under(design));
        run_agent(&mut sim, 0, |s| result(s, first).is_some());
        assert_eq!(run(&mut sim), Ending::Finished, "{design:?}");
        for n in 0..2 {
            assert_eq!(Some(on_disk(&sim, n)), in_cache(&sim, n), "{design:?}");
        }
        assert!(flags(&sim).dirty() && !flags(&sim).writeback());
        assert_eq!(sim.world.folio_locked_by(sim.world.cached(PAGE).unwrap()), None);
        assert_eq!(price(&sim, Price::BouncePages), 2);
    }
}

#[test]
fn a_page_that_is_skipped_stays_dirty_and_reserved_and_is_not_written() {
    for (design, mode) in [
        (Writeback::Skip, SyncMode::Cleaning),
        (Writeback::Skip, SyncMode::Integrity),
        (Writeback::SkipBounce, SyncMode::Cleaning),
    ] {
        let mut sim = pinned(FsKind::Btrfs, mode, under(design));
        let before = on_disk(&sim, 0);
        run_agent(&mut sim, 1, |_| false);
        assert_eq!(on_disk(&sim, 0), before);
        assert!(flags(&sim).dirty() && flags(&sim).prepared() && !flags(&sim).writeback());
        assert!(sim.world.get::<CacheSlot>(PAGE).tag_dirty());
        assert_eq!(price(&sim, Price::Skipped), 1);
        assert!(!pte(&sim, VPage(0)).writable(), "asked when it was write-protected");
    }
}

#[test]
fn who_waits_for_a_pin_holds_the_folio_lock_and_writes_when_it_has_gone() {
    let mut sim = pinned(FsKind::Ext4, SyncMode::Cleaning, under(Writeback::Wait));
    run_agent(&mut sim, 1, |_| false);
    let frame = sim.world.cached(PAGE).unwrap();
    assert_eq!(sim.world.folio_locked_by(frame), Some(Actor(1)));
    assert!(flags(&sim).dirty());
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(Some(on_disk(&sim, 0)), in_cache(&sim, 0));
    assert_eq!(price(&sim, Price::Wakes), 1);
}

#[test]
fn a_page_that_nobody_has_counted_a_pin_of_is_written_as_it_is() {
    for &design in Writeback::ALL {
        let strategy = Strategy { writeback: design, ..preset("linux-4.19") };
        let mut sim = pinned(FsKind::Ext4, SyncMode::Integrity, strategy);
        run_agent(&mut sim, 1, |s| s.world.get::<Bio>(TAG).step() != BioStep::Idle);
        assert!(!sim.world.get::<Bio>(TAG).bounced(), "{design:?}");
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(Some(on_disk(&sim, 0)), in_cache(&sim, 0));
    }
}

#[test]
fn a_driver_that_obeys_gives_the_page_back_and_one_that_does_not_is_waited_for() {
    for obeys in [true, false] {
        let mut plan = device_machine(DeviceKind::Nic, 1);
        plan.devices[0].revocable = obeys;
        let reg = thread(&mut plan, &[register(1)]);
        let fsync = thread(&mut plan, &[Op::Fsync { file: File(0), data_only: false }]);
        let dma = nic(&mut plan, &[Op::DmaWrite { region: Region(0), page: 0 }]);
        let mut sim = Sim::new(plan, under(Writeback::Revoke));
        run_agent(&mut sim, 0, |s| result(s, reg).is_some());
        run_agent(&mut sim, 2, |s| s.world.get::<Xlat>(RegionPage(0)).busy() > 0);
        run_agent(&mut sim, 1, |_| false);
        // The transfer that has begun is waited for: it goes on, and is written.
        assert!(kept(&sim, SLOT, 0).is_some());
        run_agent(&mut sim, 2, |_| false);
        assert_eq!(result(&sim, dma), Some(0));
        run(&mut sim);
        assert_eq!(result(&sim, fsync).is_some(), obeys);
        assert_eq!(kept(&sim, SLOT, 0).is_some(), !obeys);
        assert_eq!(sim.world.get::<Xlat>(RegionPage(0)) == Xlat::new(), obeys);
        if obeys {
            assert_eq!(Some(on_disk(&sim, 0)), in_cache(&sim, 0));
            assert_balanced(&sim.world);
        }
    }
}

#[test]
fn page_mkwrite_at_release_prepares_what_writeback_has_used_up() {
    for fs in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
        for (how, prepared) in [(Redirty::SetDirtyLock, false), (Redirty::Mkwrite, true)] {
            let mut plan = machine(fs, plain_disk(), &[InitPage::Dirty], Populate::Write);
            plan.slots.push(SlotPlan { name: "pin".into(), pages: 1 });
            let how = Some(how);
            let release = Op::Unpin { slot: SLOT, dirty: true, how, context: Context::Process };
            let ops = [pin(VPage(0), 1, SLOT, true, PinCall::PinFast), release];
            let first = thread(&mut plan, &ops);
            thread(&mut plan, &[Op::Writeback { file: File(0), mode: SyncMode::Cleaning }]);
            let mut sim = Sim::new(plan, preset("linux-4.19"));
            run_agent(&mut sim, 0, |s| result(s, first).is_some());
            run_agent(&mut sim, 1, |_| false);
            run_agent(&mut sim, DISK, |_| false);
            assert!(!flags(&sim).dirty() && !flags(&sim).prepared());
            run_agent(&mut sim, 0, |_| false);
            assert!(flags(&sim).dirty());
            assert_eq!(flags(&sim).prepared(), prepared, "{fs:?} {how:?}");
        }
    }
}

/// `xfs_map_blocks`: an extent of the CoW fork, which page_mkwrite has asked for, else in place.
#[test]
fn a_shared_block_is_written_over_unless_the_file_system_is_told() {
    for (how, told) in [(Redirty::SetDirtyLock, false), (Redirty::Mkwrite, true)] {
        let mut plan = machine(FsKind::Xfs, plain_disk(), &[InitPage::Dirty], Populate::Write);
        plan.slots.push(SlotPlan { name: "pin".into(), pages: 1 });
        let snapshot = FilePage(plan.file_pages());
        let (name, pages) = ("snapshot".into(), vec![InitPage::Clean]);
        plan.files.push(FilePlan { name, pages, ..plan.files[0].clone() });
        let fsync = Op::Fsync { file: File(0), data_only: false };
        let release =
            Op::Unpin { slot: SLOT, dirty: true, how: Some(how), context: Context::Process };
        let first = thread(
            &mut plan,
            &[
                pin(VPage(0), 1, SLOT, true, PinCall::PinFast),
                Op::Reflink { from: PAGE, to: snapshot, pages: 1 },
                Op::WritePinned { slot: SLOT, page: 0 },
                release,
                fsync,
            ],
        );
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        assert_eq!(run(&mut sim), Ending::Finished);
        let shown = sim.world.disk_contents(snapshot).version().map(|v| v.author);
        assert_eq!(shown == Some(first.plus(2)), !told, "{how:?}");
        let broken = invariant::find("dirty-without-mkwrite").map(|(i, _)| Props::one(i)).unwrap();
        assert_eq!(sim.verdict().0 & broken.0 != 0, !told, "{how:?}");
    }
}
