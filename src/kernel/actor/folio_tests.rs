//! Larger folios: what is asked of the folio as a whole and what of the page, each rule in a small
//! machine.

use super::testkit::*;
use crate::engine::model::{Ending, Props};
use crate::kernel::sim::Sim;
use crate::kernel::strategy::{Guard, Strategy};
use crate::kernel::world::machine::{Extent, ExtentKind};
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

const DATA: FilePage = FilePage(0);
const FSYNC: Op = Op::Fsync { file: File(0), data_only: false };

/// A machine with a file whose pages belong into folios of two.
fn pairs(fs: FsKind, pages: &[InitPage], populate: Populate) -> Plan {
    let mut plan = machine(fs, plain_disk(), pages, populate);
    plan.files[0].folio_order = 1;
    plan.files[0].capacity = (pages.len() as u32).next_multiple_of(2);
    plan
}

fn frame(sim: &Sim, n: u32) -> Frame {
    sim.world.cached(DATA.plus(n)).expect("the page is cached")
}

fn cached(sim: &Sim) -> [bool; 2] {
    [0, 1].map(|n| sim.world.cached(DATA.plus(n)).is_some())
}

fn order(sim: &Sim, n: u32) -> u8 {
    sim.world.flags(frame(sim, n)).order()
}

#[test]
fn only_what_is_cached_as_a_whole_is_in_a_larger_folio() {
    use InitPage::*;
    for (pages, orders) in [
        ([Clean, Clean, Clean].as_slice(), [Some(1), Some(1), Some(0)]),
        (&[Clean, Hole, Clean, Clean], [Some(0), None, Some(1)]),
        (&[Cold, Dirty, Clean, Clean], [None, Some(0), Some(1)]),
    ] {
        let sim = Sim::new(pairs(FsKind::Xfs, pages, Populate::None), preset("linux-6.18"));
        let w = &sim.world;
        let found = [0, 1, 2].map(|n| Some(w.flags(w.cached(DATA.plus(n))?).order()));
        assert_eq!(found, orders, "{pages:?}");
        assert_balanced(w);
    }
}

#[test]
fn one_dirty_page_makes_the_folio_dirty_and_all_of_it_written() {
    let pages = [InitPage::Clean, InitPage::Dirty];
    for fs in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
        let mut plan = pairs(fs, &pages, Populate::None);
        thread(&mut plan, &[FSYNC]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        assert!(sim.world.flags(frame(&sim, 0)).dirty());
        assert_ne!(Some(on_disk(&sim, 1)), in_cache(&sim, 1));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(Some(on_disk(&sim, 1)), in_cache(&sim, 1), "{fs:?}");
        assert!(!sim.world.flags(frame(&sim, 1)).dirty());
    }
}

/// `iomap_writepage_handle_eof`, `ext4_bio_write_folio`.
#[test]
fn writeback_zeroes_the_folio_from_the_end_of_the_file_on() {
    for fs in [FsKind::Ext4, FsKind::Xfs] {
        let mut plan = pairs(fs, &[InitPage::Dirty; 2], Populate::None);
        let size = u64::from(PAGE_SIZE);
        thread(&mut plan, &[Op::Truncate { file: File(0), size }, FSYNC]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        let (head, tail) = (frame(&sim, 0), frame(&sim, 1));
        // Somebody refers to the folio: dirty as it is, truncate leaves it whole.
        sim.poke(|w| w.take_ref(head));
        run_until(&mut sim, 0, "folio_start_writeback");
        assert_eq!(sim.world.cached(DATA.plus(1)), Some(tail));
        // Through a pin he writes to what lies beyond the end.
        let stale = sim.world.data(head);
        sim.poke(|w| w.fill(tail, WHOLE, stale));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(sim.world.data(tail), Contents::ZERO, "{fs:?}");
        assert_eq!(Some(on_disk(&sim, 0)), in_cache(&sim, 0));
    }
}

/// `iomap_release_folio`: "If the folio is dirty, we refuse to release our metadata".
#[test]
fn a_dirty_folio_of_a_file_system_is_not_split_and_one_of_tmpfs_is() {
    for (fs, whole) in
        [(FsKind::Ext4, true), (FsKind::Xfs, true), (FsKind::Btrfs, true), (FsKind::Tmpfs, false)]
    {
        let init = if fs == FsKind::Tmpfs { InitPage::Clean } else { InitPage::Dirty };
        let mut plan = pairs(fs, &[init; 2], Populate::Write);
        let size = u64::from(PAGE_SIZE);
        thread(&mut plan, &[Op::Truncate { file: File(0), size }]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(cached(&sim), [true, whole], "{fs:?}");
        assert_eq!(order(&sim, 0), u8::from(whole));
        assert_balanced(&sim.world);
    }
}

/// A punch leaves a hole in a folio that is pinned and stays dirty.
#[test]
fn a_folio_that_stays_dirty_asks_nothing_of_the_hole_in_it() {
    let mut plan = pairs(FsKind::Xfs, &[InitPage::Dirty; 2], Populate::Write);
    plan.slots.push(SlotPlan { name: "pin".into(), pages: 1 });
    let punch = Op::Punch { first: DATA, pages: 1 };
    let pin = pin(VPage(1), 1, Slot(0), true, PinCall::PinFast);
    thread(&mut plan, &[pin, punch, FSYNC]);
    let mut sim = Sim::new(plan, preset("glisse-bounce"));
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(sim.world.get::<Extent>(DATA).kind(), ExtentKind::Hole);
    assert_eq!((cached(&sim), in_cache(&sim, 0)), ([true; 2], Some(Contents::ZERO)));
    assert!(sim.world.flags(frame(&sim, 1)).dirty());
    assert_eq!(sim.verdict(), Props::NONE);
}

/// `btrfs_extent_same`, `xfs_flush_unmap_range`: truncate_inode_pages_range.
#[test]
fn a_reflink_into_the_middle_of_a_folio_leaves_its_other_page_alone() {
    let mut plan = pairs(FsKind::Xfs, &[InitPage::Dirty; 2], Populate::None);
    let from = FilePage(plan.file_pages());
    let mut other = plan.files[0].clone();
    (other.name, other.folio_order) = ("other".into(), 0);
    (other.pages, other.size, other.capacity) = (vec![InitPage::Clean], u64::from(PAGE_SIZE), 1);
    plan.files.push(other);
    let reflink = thread(&mut plan, &[Op::Reflink { from, to: DATA.plus(1), pages: 1 }]);
    // Nothing is written first: as if the other page had become dirty again.
    let strategy = Strategy { without: Some(Guard::ReflinkFlush), ..preset("linux-6.18") };
    let mut sim = Sim::new(plan, strategy);
    let newer = in_cache(&sim, 0);
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(result(&sim, reflink), Some(0));
    assert_eq!(in_cache(&sim, 0), newer);
    assert!(sim.world.flags(frame(&sim, 0)).dirty());
}

/// `madvise_cold_or_pageout_pte_range`.
#[test]
fn pageout_takes_a_folio_that_is_mapped_here_as_a_whole_and_splits_another() {
    let advise = |first, pages| Op::Madvise { first: VPage(first), pages, advice: Advice::PageOut };
    for (op, held, left, orders) in [
        (advise(0, 2), false, [false; 2], None),
        // Reclaim finds the reference.
        (advise(0, 2), true, [true; 2], Some(1)),
        // A part of it: split and unmapped, and that is all.
        (advise(0, 1), false, [true; 2], Some(0)),
        (advise(1, 1), false, [true; 2], Some(0)),
        (advise(1, 1), true, [true; 2], Some(1)),
    ] {
        let mut plan = pairs(FsKind::Xfs, &[InitPage::Clean; 2], Populate::Read);
        thread(&mut plan, &[op]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        let head = frame(&sim, 0);
        if held {
            sim.poke(|w| w.take_ref(head));
        }
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(cached(&sim), left, "{op:?} {held}");
        assert_eq!(orders, left[0].then(|| order(&sim, 0)), "{op:?} {held}");
        let unsplit = held && matches!(op, Op::Madvise { pages: 1, .. });
        let mapped = [0, 1].map(|n| sim.world.get::<Pte>(VPage(n)).present());
        assert_eq!(mapped, [unsplit; 2], "{op:?} {held}");
        assert_balanced(&sim.world);
    }
}

#[test]
fn pageout_leaves_a_folio_alone_that_another_address_space_maps() {
    for pages in [1, 2] {
        let mut plan = pairs(FsKind::Xfs, &[InitPage::Clean; 2], Populate::Read);
        plan.mms.push(MmPlan { name: "other".into(), ..plan.mms[0].clone() });
        let other = VmaPlan { name: "there".into(), mm: Mm(1), ..plan.vmas[0].clone() };
        plan.vmas.push(other);
        let advice = Advice::PageOut;
        thread(&mut plan, &[Op::Madvise { first: VPage(0), pages, advice }]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!((cached(&sim), order(&sim, 0)), ([true; 2], 1));
        assert!((0..4).all(|n| sim.world.get::<Pte>(VPage(n)).present()));
    }
}

#[test]
fn what_a_split_finds_beyond_the_end_of_the_file_leaves_the_cache() {
    let mut plan = pairs(FsKind::Xfs, &[InitPage::Dirty; 2], Populate::None);
    let size = u64::from(PAGE_SIZE);
    let advice = Advice::PageOut;
    let load = Op::Load { at: VPage(0) };
    let cut = Op::Truncate { file: File(0), size };
    thread(&mut plan, &[cut, FSYNC, load, Op::Madvise { first: VPage(0), pages: 1, advice }]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!((cached(&sim), order(&sim, 0)), ([true, false], 0));
    assert_at_rest(&sim);
}

#[test]
fn a_split_and_a_pin_and_a_store_meet_in_every_order_without_a_trace() {
    let mut plan = pairs(FsKind::Xfs, &[InitPage::Clean; 2], Populate::Read);
    plan.slots.push(SlotPlan { name: "pin".into(), pages: 1 });
    let advice = Advice::PageOut;
    thread(&mut plan, &[Op::Madvise { first: VPage(0), pages: 1, advice }]);
    let pin = pin(VPage(1), 1, Slot(0), true, PinCall::PinFast);
    let store = Op::Store { at: VPage(1), part: WHOLE };
    thread(&mut plan, &[pin, store, unpin(Slot(0), true)]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let mut orders = std::collections::BTreeSet::new();
    explore(&mut sim, |s| {
        assert_at_rest(s);
        orders.insert(order(s, 0));
        assert!(s.world.flags(frame(s, 1)).dirty());
    });
    assert_eq!(orders, [0, 1].into(), "the pin comes before the split, or after it");
}

/// `block_invalidate_folio`: its buffer is discarded, so that no write of the rest of the folio
/// goes to the block that is about to be freed.
#[test]
fn what_is_punched_out_of_a_dirty_folio_is_not_written_until_it_is_written_to() {
    let punch = Op::Punch { first: DATA.plus(1), pages: 1 };
    let mut plan = pairs(FsKind::Ext4, &[InitPage::Dirty; 2], Populate::None);
    thread(&mut plan, &[punch]);
    let mode = SyncMode::Cleaning;
    thread(&mut plan, &[Op::Writeback { file: File(0), mode }]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    explore(&mut sim, |s| {
        assert_at_rest(s);
        assert_eq!(s.verdict(), Props::NONE, "{:?}", s.findings());
        assert_eq!(s.world.get::<Extent>(DATA.plus(1)).kind(), ExtentKind::Hole);
    });
    let write = Op::Write { at: DATA.plus(1), part: WHOLE };
    for again in [write, Op::Store { at: VPage(1), part: WHOLE }] {
        let mut plan = pairs(FsKind::Ext4, &[InitPage::Dirty; 2], Populate::None);
        thread(&mut plan, &[punch, again, FSYNC]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(Some(on_disk(&sim, 1)), in_cache(&sim, 1), "{again:?}");
        assert_eq!(sim.verdict(), Props::NONE);
    }
}
