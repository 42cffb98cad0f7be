//! What the slow path of GUP takes, refuses and waits for.

use super::errno::*;
use super::testkit::*;
use crate::kernel::sim::Sim;
use crate::kernel::strategy::{Longterm, Preset};
use crate::kernel::world::facts::Fact;
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::plan::*;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Disk, FilePage, Frame, Mm, OpId, Slot, VPage};

const CALLS: [PinCall; 4] =
    [PinCall::PinFast, PinCall::PinSlow, PinCall::GetFast, PinCall::GetSlow];

/// One thread that pins the pages of a mapping of a file, and perhaps releases them.
fn pins(fs: FsKind, pages: &[InitPage], shared: bool, ops: &[Op]) -> (Kit, OpId, Slot) {
    let mut kit = Kit::new();
    let data = kit.file(fs, pages);
    kit.map(file(data), shared, pages.len() as u32);
    let slot = kit.slot(pages.len() as u32);
    let op = kit.thread(Mm(0), ops);
    (kit, op, slot)
}

fn page(sim: &Sim, n: u32) -> Frame {
    sim.world.cached(FilePage(n)).unwrap()
}

#[test]
fn a_write_pin_of_a_clean_page_dirties_it() {
    for call in CALLS {
        let ops = [pin(VPage(0), 1, Slot(0), true, call)];
        let (kit, op, slot) = pins(FsKind::Ext4, &[InitPage::Clean], true, &ops);
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        assert_eq!(ret(&sim, op), 1, "{call:?}");
        let frame = page(&sim, 0);
        assert_eq!(kept(&sim, slot, 0), Some(frame));
        assert!(sim.world.flags(frame).dirty());
        // Cache, buffers, PTE, and what the call took.
        let taken = if call.is_pin() { 1024 } else { 1 };
        assert_eq!(sim.world.counts(frame).refs(), 3 + taken);
    }
}

#[test]
fn a_read_pin_leaves_the_page_clean_and_release_gives_all_back() {
    for call in CALLS {
        let ops = [pin(VPage(0), 2, Slot(0), false, call), unpin(Slot(0), false)];
        let (kit, op, slot) = pins(FsKind::Ext4, &[InitPage::Clean; 2], true, &ops);
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        assert_eq!((ret(&sim, op), ret(&sim, op.plus(1))), (2, 0), "{call:?}");
        for n in 0..2 {
            assert!(!sim.world.flags(page(&sim, n)).dirty());
            assert_eq!(sim.world.counts(page(&sim, n)).refs(), 3);
            assert_eq!(kept(&sim, slot, n), None);
        }
    }
}

#[test]
fn a_write_pin_of_a_private_file_page_pins_the_copy() {
    let ops = [pin(VPage(0), 1, Slot(0), true, PinCall::PinFast)];
    let (kit, _, slot) = pins(FsKind::Ext4, &[InitPage::Clean], false, &ops);
    let mut sim = kit.sim("linux-6.18");
    finish(&mut sim);
    let copy = kept(&sim, slot, 0).unwrap();
    assert_ne!(copy, page(&sim, 0));
    assert!(sim.world.flags(copy).exclusive() && sim.world.counts_say_pinned(copy));
}

#[test]
fn the_zero_page_is_never_really_pinned() {
    let mut kit = Kit::new();
    let at = kit.map(Backing::Anon, false, 1);
    let slot = kit.slot(1);
    let program = [pin(at, 1, slot, false, PinCall::PinFast), unpin(slot, false)];
    let op = kit.thread(Mm(0), &program);
    let mut sim = kit.sim("linux-6.18");
    let before = sim.world.counts(ZERO_PAGE);
    finish(&mut sim);
    assert_eq!((ret(&sim, op), ret(&sim, op.plus(1))), (1, 0));
    assert_eq!(sim.world.counts(ZERO_PAGE), before);
}

/// What a long-term pin returns: by design, filesystem, sharing, writing.
fn longterm(rule: Longterm, fs: FsKind, shared: bool, write: bool) -> i32 {
    let call = PinCall::PinFast;
    let op = Op::Pin { first: VPage(0), pages: 1, write, longterm: true, call, slot: Slot(0) };
    let init = if fs == FsKind::Dax { InitPage::Cold } else { InitPage::Clean };
    // A store first, so that GUP-fast finds a PTE that it could take.
    let store = Op::Store { at: VPage(0), part: WHOLE };
    let (kit, first, _) = pins(fs, &[init], shared, &[store, op]);
    let mut strategy = Preset::find("linux-6.18").unwrap().strategy;
    strategy.longterm = rule;
    let mut sim = kit.sim_with(strategy);
    finish(&mut sim);
    ret(&sim, first.plus(1))
}

#[test]
fn long_term_pins_are_refused_with_the_kernels_errors() {
    use Longterm::*;
    for (rule, fs, shared, write, expected) in [
        (Allow, FsKind::Dax, true, true, 1),
        (Allow, FsKind::Ext4, true, true, 1),
        (RefuseDax, FsKind::Ext4, true, true, 1),
        (RefuseFile, FsKind::Ext4, true, true, -EFAULT),
        (RefuseFile, FsKind::Ext4, true, false, 1),
        (RefuseFile, FsKind::Ext4, false, true, 1),
        (RefuseFile, FsKind::Tmpfs, true, true, 1),
        (NotifierOnly, FsKind::Ext4, true, true, -EOPNOTSUPP),
        (NotifierOnly, FsKind::Ext4, true, false, -EOPNOTSUPP),
        (NotifierOnly, FsKind::Dax, true, false, -EOPNOTSUPP),
        (NotifierOnly, FsKind::Ext4, false, true, 1),
        (NotifierOnly, FsKind::Tmpfs, true, true, 1),
    ] {
        assert_eq!(longterm(rule, fs, shared, write), expected, "{rule:?} {fs:?} {shared}");
    }
}

#[test]
fn a_long_term_pin_of_dax_is_refused_where_the_pte_says_devmap_or_is_missing() {
    let call = PinCall::PinSlow;
    for preset in ["linux-4.19", "linux-6.18"] {
        let op = Op::Pin {
            first: VPage(0),
            pages: 1,
            write: false,
            longterm: true,
            call,
            slot: Slot(0),
        };
        let (kit, first, _) = pins(FsKind::Dax, &[InitPage::Cold], true, &[op]);
        let mut sim = kit.sim(preset);
        finish(&mut sim);
        assert_eq!(ret(&sim, first), -EOPNOTSUPP, "{preset}");
    }
}

#[test]
fn a_long_term_pin_of_dax_is_refused_where_gup_fast_finds_an_ordinary_entry() {
    // The store before the pin leaves an entry that GUP-fast could take.
    for (rule, expected) in [(Longterm::RefuseFile, -EOPNOTSUPP), (Longterm::Allow, 1)] {
        for write in [false, true] {
            assert_eq!(longterm(rule, FsKind::Dax, true, write), expected, "{rule:?} {write}");
        }
    }
}

#[test]
fn an_error_after_some_pages_is_lost() {
    for call in CALLS {
        let ops = [pin(VPage(0), 2, Slot(0), false, call)];
        let (mut kit, op, _) = pins(FsKind::Ext4, &[InitPage::Clean; 2], true, &ops);
        kit.plan.files[0].size = u64::from(PAGE_SIZE);
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        assert_eq!(ret(&sim, op), 1, "{call:?}");
    }
    let ops = [pin(VPage(0), 2, Slot(0), false, PinCall::PinFast)];
    let (mut kit, op, _) = pins(FsKind::Ext4, &[InitPage::Clean; 2], true, &ops);
    kit.plan.files[0].size = 0;
    let mut sim = kit.sim("linux-6.18");
    finish(&mut sim);
    assert_eq!(ret(&sim, op), -EFAULT);
}

#[test]
fn pages_stay_pinned_while_the_next_one_is_read_in_without_mmap_lock() {
    let ops = [pin(VPage(0), 2, Slot(0), false, PinCall::PinFast)];
    let (kit, op, slot) = pins(FsKind::Ext4, &[InitPage::Clean, InitPage::Cold], true, &ops);
    let mut sim = kit.sim("linux-6.18");
    run_until(&mut sim, 0, "folio_wait_locked");
    assert_eq!(kept(&sim, slot, 0), Some(page(&sim, 0)));
    let lock = sim.world.map.mmap_lock(Mm(0));
    assert!(sim.world.can_lock(lock, Mode::Exclusive), "mmap_lock was dropped");
    finish(&mut sim);
    assert_eq!(ret(&sim, op), 2);
}

#[test]
fn pin_user_pages_keeps_mmap_lock_while_it_waits() {
    let ops = [pin(VPage(0), 1, Slot(0), false, PinCall::PinSlow)];
    let (kit, op, _) = pins(FsKind::Ext4, &[InitPage::Cold], true, &ops);
    let mut sim = kit.sim("linux-6.18");
    run_until(&mut sim, 0, "folio_wait_locked");
    let lock = sim.world.map.mmap_lock(Mm(0));
    assert!(!sim.world.can_lock(lock, Mode::Exclusive));
    finish(&mut sim);
    assert_eq!(ret(&sim, op), 1);
}

#[test]
fn the_slow_path_on_a_dying_device_is_refused() {
    use crate::kernel::world::machine::{DiskState, PgmapState};
    let store = Op::Store { at: VPage(0), part: WHOLE };
    let ops = [store, pin(VPage(0), 1, Slot(0), true, PinCall::PinFast)];
    let (kit, op, _) = pins(FsKind::Dax, &[InitPage::Cold], true, &ops);
    let mut sim = kit.sim("linux-4.19");
    run_until(&mut sim, 0, "gup_fast: get_dev_pagemap");
    sim.world.update::<DiskState>(Disk(1), |d| d.with_pgmap(PgmapState::Killed));
    finish(&mut sim);
    assert_eq!(ret(&sim, op.plus(1)), -EFAULT);
    assert_eq!(sim.world.get::<DiskState>(Disk(1)).pgmap_refs(), 0);
}

#[test]
fn a_write_pin_through_pin_user_pages_does_not_touch_a_clean_page_with_a_writable_pte() {
    for (call, dirty) in [(PinCall::PinSlow, false), (PinCall::GetSlow, true)] {
        let ops = [Op::Load { at: VPage(0) }, pin(VPage(0), 1, Slot(0), true, call)];
        let (kit, _, _) = pins(FsKind::Tmpfs, &[InitPage::Hole], true, &ops);
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        assert_eq!(sim.world.flags(page(&sim, 0)).dirty(), dirty, "{call:?}");
    }
}

#[test]
fn gup_states_that_a_struct_page_was_used() {
    let ops = [pin(VPage(0), 1, Slot(0), false, PinCall::PinSlow)];
    let (kit, _, _) = pins(FsKind::Ext4, &[InitPage::Clean], true, &ops);
    let mut sim = kit.sim("linux-6.18");
    let mut used = false;
    while step(&mut sim, 0) {
        let of_page = |f: &Fact| matches!(*f, Fact::StructPageUsed { frame } if frame.0 == 1);
        used |= sim.world.facts.iter().any(of_page);
    }
    assert!(used);
}
