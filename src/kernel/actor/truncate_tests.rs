//! What truncate and hole punch do to the page cache.

use super::testkit::*;
use super::unmap_tests::anonymous;
use crate::engine::model::{Ending, Model};
use crate::kernel::sim::Sim;
use crate::kernel::strategy::{EofTail, Pin, Strategy, Truncate};
use crate::kernel::world::contents::Contents;
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::Holder;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

const PAGE: u64 = PAGE_SIZE as u64;

fn latest() -> Strategy {
    preset("linux-6.18")
}

fn truncate(size: u64) -> Op {
    Op::Truncate { file: File(0), size }
}

fn punch(first: u32, pages: u32) -> Op {
    Op::Punch { first: FilePage(first), pages }
}

fn dirty(fs: FsKind, pages: usize) -> Plan {
    machine(fs, plain_disk(), &vec![InitPage::Dirty; pages], Populate::Write)
}

fn free_blocks(sim: &Sim) -> u32 {
    sim.world.get::<FreeList>(One(1)).count()
}

fn size(sim: &Sim) -> u64 {
    sim.world.get::<Size>(File(0)).bytes()
}

fn frame(sim: &Sim, n: u32) -> Frame {
    sim.world.cached(FilePage(n)).unwrap()
}

/// The walk of the free list finds so many different blocks as it says.
fn assert_free_list(w: &World) {
    let list = w.get::<FreeList>(One(1));
    let mut found = std::collections::BTreeSet::new();
    let mut at = list.head();
    while let Some(block) = Block::unpack(at) {
        assert!(found.insert(block), "block {} is free twice", block.0);
        assert_eq!(w.get::<BlockState>(block).state(), BlockUse::Free);
        at = w.get::<BlockState>(block).link();
    }
    assert_eq!(found.len() as u32, list.count());
}

#[test]
fn shrink_drops_pages_beyond_the_end_with_their_dirty_data_and_frees_their_blocks() {
    for fs in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
        let mut plan = dirty(fs, 3);
        let op = thread(&mut plan, &[truncate(PAGE)]);
        let mut sim = Sim::new(plan, latest());
        let (kept, gone, free) = (frame(&sim, 0), frame(&sim, 2), free_blocks(&sim));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!((result(&sim, op), size(&sim)), (Some(0), PAGE));
        assert_eq!(sim.world.cached(FilePage(0)), Some(kept));
        assert!(sim.world.get::<Pte>(VPage(0)).present());
        assert_eq!(sim.world.cached(FilePage(2)), None);
        assert!(sim.world.get::<Flags>(gone).free());
        assert_eq!(free_blocks(&sim), free + 2);
        assert_eq!(sim.world.get::<Newest>(FilePage(2)).0, Contents::ZERO);
        assert_balanced(&sim.world);
        assert_free_list(&sim.world);
    }
}

#[test]
fn truncate_does_not_wait_for_a_pin_and_the_pin_keeps_the_orphan() {
    let mut plan = dirty(FsKind::Ext4, 1);
    thread(&mut plan, &[truncate(0)]);
    let mut sim = Sim::new(plan, latest());
    let pinned = frame(&sim, 0);
    sim.poke(|w| {
        w.add_refs(pinned, 1024);
        w.hold(pinned, Holder::Pin, 1);
    });
    assert_eq!(run(&mut sim), Ending::Finished);
    let w = &sim.world;
    let flags = w.get::<Flags>(pinned);
    assert!(!flags.free() && !flags.dirty() && !flags.buffers());
    assert_eq!(w.get::<Owner>(pinned).kind(), OwnerKind::Detached);
    assert_eq!((w.counts(pinned).refs(), w.counts(pinned).maps()), (1024, 0));
    assert_eq!(w.get::<Extent>(FilePage(0)), Extent::new());
    assert_free_list(w);
}

#[test]
fn truncate_waits_for_writeback_with_size_and_ptes_gone_already() {
    let mut plan = dirty(FsKind::Ext4, 1);
    thread(&mut plan, &[truncate(0)]);
    let mut sim = Sim::new(plan, latest());
    let page = frame(&sim, 0);
    sim.poke(|w| {
        w.change_flags(page, |f| f.with_writeback(true));
    });
    assert_eq!(run(&mut sim), Ending::Stall);
    assert_eq!(size(&sim), 0);
    assert!(!sim.world.get::<Pte>(VPage(0)).present());
    assert_eq!(sim.world.cached(FilePage(0)), Some(page));
    sim.poke(|w| {
        w.change_flags(page, |f| f.with_writeback(false));
    });
    assert_eq!(run(&mut sim), Ending::Finished);
    assert!(sim.world.get::<Flags>(page).free());
}

#[test]
fn a_locked_folio_is_left_for_the_second_pass() {
    let mut plan = dirty(FsKind::Xfs, 2);
    thread(&mut plan, &[truncate(0)]);
    let mut sim = Sim::new(plan, latest());
    let locked = frame(&sim, 0);
    let other = frame(&sim, 1);
    // The disk's first tag stands for somebody who holds the lock.
    sim.poke(|w| w.lock_folio(Actor(1), locked));
    assert_eq!(run(&mut sim), Ending::Stall);
    assert!(sim.world.get::<Flags>(other).free(), "the second page does not wait for the first");
    sim.poke(|w| w.unlock_folio(locked));
    assert_eq!(run(&mut sim), Ending::Finished);
    assert!(sim.world.get::<Flags>(locked).free());
}

#[test]
fn a_cut_inside_a_page_keeps_it_mapped_zeroes_its_tail_and_dirties_it() {
    for fs in [FsKind::Ext4, FsKind::Xfs, FsKind::Tmpfs] {
        let mut plan = machine(fs, plain_disk(), &[InitPage::Clean; 2], Populate::Read);
        thread(&mut plan, &[truncate(2048)]);
        let mut sim = Sim::new(plan, latest());
        let (page, before) = (frame(&sim, 0), in_cache(&sim, 0).unwrap());
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(sim.world.cached(FilePage(0)), Some(page));
        assert!(sim.world.get::<Pte>(VPage(0)).present());
        let (w, now) = (&sim.world, in_cache(&sim, 0).unwrap());
        assert_eq!(w.patches.at(now, 2047), before);
        assert_eq!(w.patches.at(now, 2048), Contents::ZERO);
        assert_eq!(w.get::<Newest>(FilePage(0)).0, now);
        assert!(w.flags(page).dirty(), "{fs:?}");
        assert_balanced(w);
    }
}

/// Of the folio only the buffers are uptodate (kernel truth: mincore does not see the page).
#[test]
fn a_cut_inside_a_page_that_is_not_cached_reads_it_and_zeroes_its_tail() {
    let mut plan = machine(FsKind::Ext4, plain_disk(), &[InitPage::Cold], Populate::None);
    thread(&mut plan, &[truncate(2048)]);
    let mut sim = Sim::new(plan, latest());
    let before = on_disk(&sim, 0);
    assert_eq!(run(&mut sim), Ending::Finished);
    let (w, now) = (&sim.world, in_cache(&sim, 0).unwrap());
    assert_eq!((w.patches.at(now, 2047), w.patches.at(now, 2048)), (before, Contents::ZERO));
    let flags = w.flags(frame(&sim, 0));
    assert!(flags.dirty() && !flags.uptodate() && flags.buffers() && flags.prepared());
    assert_balanced(w);
}

#[test]
fn growing_zeroes_the_old_tail_or_shows_what_a_store_left_there() {
    for (fs, eof_tail, shown) in [
        (FsKind::Ext4, EofTail::Keep, true),
        (FsKind::Ext4, EofTail::Zero, false),
        (FsKind::Xfs, EofTail::Keep, false),
        (FsKind::Tmpfs, EofTail::Zero, true),
    ] {
        let mut plan = machine(fs, plain_disk(), &[InitPage::Clean; 2], Populate::Write);
        plan.files[0].size = 2048;
        thread(&mut plan, &[truncate(2 * PAGE)]);
        let mut sim = Sim::new(plan, Strategy { eof_tail, ..latest() });
        let (frame, tail) = (sim.world.cached(FilePage(0)).unwrap(), (2048, 4096));
        assert_eq!(sim.world.patches.at(in_cache(&sim, 0).unwrap(), 2048), Contents::ZERO);
        sim.poke(|w| w.fill(frame, tail, Contents::JUNK));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(size(&sim), 2 * PAGE);
        let tail = sim.world.patches.at(in_cache(&sim, 0).unwrap(), 4095);
        assert_eq!(tail == Contents::JUNK, shown, "{fs:?} {eof_tail:?}");
        let expected = sim.world.get::<Newest>(FilePage(0)).0;
        assert_eq!(sim.world.patches.at(expected, 4095), Contents::ZERO);
    }
}

#[test]
fn punch_leaves_private_copies_and_truncate_drops_them() {
    for (op, left) in [(punch(0, 1), true), (truncate(0), false)] {
        let mut plan = machine(FsKind::Ext4, plain_disk(), &[InitPage::Clean], Populate::None);
        plan.vmas[0].shared = false;
        thread(&mut plan, &[op]);
        let mut sim = Sim::new(plan, latest());
        sim.poke(|w| anonymous(w, VPage(0)));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(sim.world.get::<Pte>(VPage(0)).present(), left);
        assert_eq!(sim.world.cached(FilePage(0)), None);
        assert_balanced(&sim.world);
    }
}

#[test]
fn punch_keeps_the_size_and_stops_at_the_end() {
    let mut plan = dirty(FsKind::Ext4, 3);
    plan.files[0].size = 2 * PAGE;
    thread(&mut plan, &[punch(1, 2)]);
    let mut sim = Sim::new(plan, latest());
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(size(&sim), 2 * PAGE);
    assert!(sim.world.cached(FilePage(0)).is_some() && sim.world.cached(FilePage(1)).is_none());
    assert!(sim.world.cached(FilePage(2)).is_some(), "beyond the end");
}

/// The page cache of tmpfs is the file, and no lock keeps faults out of the hole.
#[test]
fn what_is_stored_into_a_tmpfs_hole_behind_the_punch_stays() {
    let kind = plain_disk();
    let mut plan = machine(FsKind::Tmpfs, kind, &[InitPage::Clean], Populate::None);
    let punched = thread(&mut plan, &[punch(0, 1)]);
    let stored = thread(&mut plan, &[Op::Store { at: VPage(0), part: WHOLE }]);
    let mut sim = Sim::new(plan, latest());
    let puncher = 0;
    run_until(&mut sim, puncher, "ext4_ext_remove_space");
    assert_eq!(sim.world.cached(FilePage(0)), None);
    run_agent(&mut sim, 1, |sim| result(sim, stored).is_some());
    let newest = sim.world.get::<Newest>(FilePage(0)).0;
    assert_eq!(newest.version().map(|v| v.author), Some(stored));
    finish(&mut sim);
    assert_eq!(result(&sim, punched), Some(0));
    assert_eq!((sim.world.get::<Newest>(FilePage(0)).0, in_cache(&sim, 0)), (newest, Some(newest)));
}

#[test]
fn a_shared_block_is_freed_by_its_last_owner() {
    // Clean: btrfs writes dirty pages to new blocks before it punches.
    let mut plan = machine(FsKind::Btrfs, plain_disk(), &[InitPage::Clean; 2], Populate::Read);
    thread(&mut plan, &[punch(0, 1), punch(1, 1)]);
    let mut sim = Sim::new(plan, latest());
    let shared = sim.world.get::<Extent>(FilePage(0)).block().unwrap();
    let spare = sim.world.get::<Extent>(FilePage(1)).block().unwrap();
    sim.poke(|w| {
        w.free_block(spare);
        w.set(FilePage(1), Extent::at(ExtentKind::Written, shared));
        w.update::<BlockState>(shared, |b| b.with_state(BlockUse::Shared).with_owners(2));
    });
    let free = free_blocks(&sim);
    run_while(&mut sim, |s| result(s, OpId(2)).is_none());
    assert_eq!((free_blocks(&sim), sim.world.block_owner(shared)), (free, Some(FilePage(1))));
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(free_blocks(&sim), free + 1);
}

#[test]
fn a_large_folio_that_is_cut_is_split_unless_somebody_refers_to_it() {
    for (held, dirty_left) in [(false, false), (false, true), (true, true), (true, false)] {
        let init = if dirty_left { InitPage::Dirty } else { InitPage::Clean };
        let mut plan = machine(FsKind::Xfs, plain_disk(), &[init; 4], Populate::Read);
        plan.files[0].folio_order = 2;
        thread(&mut plan, &[truncate(2 * PAGE)]);
        let mut sim = Sim::new(plan, latest());
        let head = frame(&sim, 0);
        if held {
            sim.poke(|w| w.take_ref(head));
        }
        assert_eq!(run(&mut sim), Ending::Finished);
        let cached: Vec<_> = (0..4).map(|n| sim.world.cached(FilePage(n)).is_some()).collect();
        // Split: the half beyond goes. Not split: kept whole if dirty, gone whole if clean. A dirty
        // folio of xfs cannot be split, whether anybody refers to it or not.
        let expected = match (held, dirty_left) {
            (false, false) => [true, true, false, false],
            (_, kept) => [kept; 4],
        };
        assert_eq!(cached, expected, "held {held} dirty {dirty_left}");
        if dirty_left {
            assert_eq!(sim.world.data(head.plus(2)), Contents::ZERO);
        }
        assert_balanced(&sim.world);
    }
}

#[test]
fn a_design_can_wait_for_pins_of_the_page_cache_with_or_without_the_fault_lock() {
    for (policy, held) in [(Truncate::WaitLocked, 1), (Truncate::WaitUnlocked, 0)] {
        let mut plan = dirty(FsKind::Xfs, 1);
        thread(&mut plan, &[truncate(0)]);
        let strategy = Strategy { truncate: policy, pin: Pin::FolioPincount, ..latest() };
        let mut sim = Sim::new(plan, strategy);
        let pinned = frame(&sim, 0);
        sim.poke(|w| w.add_refs(pinned, 1024));
        assert_eq!(run(&mut sim), Ending::Stall);
        let lock = sim.world.map.file_lock(LockClass::InvalidateLock, File(0));
        assert_eq!(sim.world.get::<LockState>(lock).writer(), held, "{policy:?}");
        assert_eq!(size(&sim), PAGE);
        sim.poke(|w| {
            w.put_refs(pinned, 1024);
        });
        assert_eq!(run(&mut sim), Ending::Finished);
        assert!(sim.world.get::<Flags>(pinned).free());
    }
}

#[test]
fn truncate_waits_for_direct_io_on_the_inode() {
    let mut plan = dirty(FsKind::Ext4, 1);
    thread(&mut plan, &[truncate(0)]);
    let mut sim = Sim::new(plan, latest());
    sim.poke(|w| w.set(File(0), FileState::new().with_dio_count(1)));
    assert_eq!(run(&mut sim), Ending::Stall);
    assert_eq!(size(&sim), PAGE);
    sim.poke(|w| w.set(File(0), FileState::new()));
    assert_eq!(run(&mut sim), Ending::Finished);
}

#[test]
fn truncate_punch_munmap_and_madvise_meet_in_every_order_without_a_trace() {
    let advice = Advice::DontNeed;
    for other in [
        Op::Munmap { vma: Vma(0) },
        Op::Madvise { first: VPage(0), pages: 2, advice },
        punch(0, 1),
        truncate(PAGE),
    ] {
        let mut plan = dirty(FsKind::Ext4, 2);
        thread(&mut plan, &[truncate(0)]);
        thread(&mut plan, &[other]);
        let mut sim = Sim::new(plan, latest());
        let free = free_blocks(&sim);
        let last = matches!(other, Op::Truncate { .. });
        let mut ends = 0;
        let states = explore(&mut sim, |s| {
            assert_eq!(s.ending(), Ending::Finished);
            assert_balanced(&s.world);
            assert_free_list(&s.world);
            assert!(size(s) == 0 || (last && size(s) == PAGE));
            let gone = (0..2).all(|n| s.world.cached(FilePage(n)).is_none());
            assert!(gone && free_blocks(s) == free + 2, "all pages and blocks are gone");
            assert!((0..2).all(|n| !s.world.get::<Pte>(VPage(n)).stale()));
            ends += 1;
        });
        assert!(ends > 0 && states > 50, "{other:?}: {states} states");
    }
}
