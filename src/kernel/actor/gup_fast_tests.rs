//! What GUP-fast does, step by step.

use super::testkit::*;
use crate::engine::model::Model;
use crate::kernel::sim::Sim;
use crate::kernel::strategy::{Preset, Unbind};
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::*;
use crate::kernel::world::{Disk, FilePage, Mm, OpId, Slot, VPage, Vma};
use std::collections::BTreeSet;

/// A thread that stores to both pages of a mapping and pins them.
fn pinner(fs: FsKind) -> (Kit, OpId, Slot) {
    let mut kit = Kit::new();
    let init = if fs == FsKind::Dax { InitPage::Cold } else { InitPage::Clean };
    let data = kit.file(fs, &[init; 2]);
    kit.map(file(data), true, 2);
    let slot = kit.slot(2);
    let store = |at| Op::Store { at, part: WHOLE };
    let call = PinCall::PinFast;
    let program = [store(VPage(0)), store(VPage(1)), pin(VPage(0), 2, slot, true, call)];
    let op = kit.thread(Mm(0), &program);
    (kit, op.plus(2), slot)
}

fn labels(sim: &mut Sim) -> Vec<&'static str> {
    let mut seen = Vec::new();
    while let Some(label) = sim.label(0).filter(|_| sim.ready() > 0) {
        seen.push(label.id);
        step(sim, 0);
    }
    seen
}

#[test]
fn the_fast_walk_takes_the_steps_of_the_kernel_in_order() {
    let (kit, op, _) = pinner(FsKind::Ext4);
    let mut sim = kit.sim("linux-6.18");
    run_until(&mut sim, 0, "pin_user_pages_fast: mm_set_has_pinned_flag");
    let page = ["F4", "F9", "F11", "F13", "F14", "F17"];
    let expected = [&["F0", "F1", "F2"][..], &page, &page, &["F19", "F20"]].concat();
    assert_eq!(labels(&mut sim), expected);
    assert_eq!(ret(&sim, op), 2);
}

#[test]
fn a_devmap_pte_needs_one_live_reference_for_the_call() {
    let (kit, op, _) = pinner(FsKind::Dax);
    let mut sim = kit.sim("linux-4.19");
    run_until(&mut sim, 0, "pin_user_pages_fast: mm_set_has_pinned_flag");
    let page = ["F9", "F13", "F14", "F17"];
    let expected = [&["F0", "F2", "F4", "F7"][..], &page, &["F4"], &page, &["F18", "F19"]].concat();
    assert_eq!(labels(&mut sim), expected);
    assert_eq!(ret(&sim, op), 2);
    assert_eq!(sim.world.get::<DiskState>(Disk(1)).pgmap_refs(), 0);
}

#[test]
fn without_a_guard_gup_fast_trusts_a_dead_devices_pages() {
    for (unbind, expected) in [(Unbind::Unguarded, 2), (Unbind::LiveRef, -14)] {
        let (kit, op, _) = pinner(FsKind::Dax);
        let mut strategy = Preset::find("linux-4.19").unwrap().strategy;
        strategy.unbind = unbind;
        let mut sim = kit.sim_with(strategy);
        run_until(&mut sim, 0, "pin_user_pages_fast: mm_set_has_pinned_flag");
        sim.world.update::<DiskState>(Disk(1), |d| d.with_pgmap(PgmapState::Killed));
        finish(&mut sim);
        assert_eq!(ret(&sim, op), expected, "{unbind:?}");
    }
}

/// Sets up that the second page's device dies between the pages: everything is undone.
#[test]
fn a_live_reference_refused_undoes_the_pages_taken_before() {
    let mut kit = Kit::new();
    let data = kit.file(FsKind::Dax, &[InitPage::Cold; 2]);
    kit.map(file(data), false, 2);
    let slot = kit.slot(2);
    // Page 0 becomes an anonymous copy: no devmap. Page 1 stays the media.
    let program = [
        Op::Store { at: VPage(0), part: WHOLE },
        Op::Load { at: VPage(1) },
        pin(VPage(0), 2, slot, false, PinCall::PinFast),
    ];
    let op = kit.thread(Mm(0), &program);
    let mut sim = kit.sim("linux-4.19");
    run_until(&mut sim, 0, "gup_fast: get_dev_pagemap");
    assert!(kept(&sim, slot, 0).is_some());
    sim.world.update::<DiskState>(Disk(1), |d| d.with_pgmap(PgmapState::Killed));
    run_until(&mut sim, 0, "gup_fast_undo_dev_pagemap");
    run_until(&mut sim, 0, "gup slow: mmap_read_lock_killable");
    assert_eq!(kept(&sim, slot, 0), None);
    // The slow path takes the copy again and is refused the media.
    finish(&mut sim);
    assert_eq!(ret(&sim, op.plus(2)), 1);
}

#[test]
fn a_pte_that_changes_under_the_walk_makes_gup_fast_back_off() {
    // A private page: a read pin races with the store that copies it.
    let mut kit = Kit::new();
    let data = kit.file(FsKind::Ext4, &[InitPage::Clean]);
    kit.map(file(data), false, 1);
    kit.plan.vmas[0].populate = Populate::Read;
    let slot = kit.slot(1);
    let op = kit.thread(Mm(0), &[pin(VPage(0), 1, slot, false, PinCall::PinFast)]);
    kit.thread(Mm(0), &[Op::Store { at: VPage(0), part: WHOLE }]);
    let mut sim = kit.sim("linux-6.18");
    let (mut ends, mut dropped) = (BTreeSet::new(), false);
    let mut old = None;
    explore_states(&mut sim, |sim| {
        dropped |= sim.label(0).is_some_and(|l| l.name == "gup_fast: gup_put_folio");
        if sim.ready() == 0 {
            assert_eq!(ret(sim, op), 1);
            let file_page = sim.world.cached(FilePage(0));
            old = old.or(file_page);
            ends.insert((kept(sim, slot, 0) == file_page, pte(sim, VPage(0)).writable()));
        }
    });
    assert!(dropped, "no interleaving changed the PTE between F4 and F13");
    // The pin got the old page or the copy; the store always made its copy.
    assert_eq!(ends, [(false, true), (true, true)].into());
}

#[test]
fn a_page_that_is_freed_and_reused_under_the_walk_is_let_go() {
    // madvise(DONTNEED) is the stand-in: the PTE is cleared and the page freed by hand.
    let mut kit = Kit::new();
    let at = kit.map(Backing::Anon, false, 1);
    let slot = kit.slot(1);
    let program = [Op::Store { at, part: WHOLE }, pin(at, 1, slot, true, PinCall::PinFast)];
    let op = kit.thread(Mm(0), &program);
    let mut sim = kit.sim("linux-6.18");
    run_until(&mut sim, 0, "gup_fast: try_get_folio");
    let frame = pte(&sim, at).frame().unwrap();
    sim.world.set_pte(at, Pte::new());
    sim.world.map_page(frame, -1);
    assert!(sim.world.flags(frame).free());
    finish(&mut sim);
    assert_eq!(ret(&sim, op.plus(1)), 1);
    assert_eq!(kept(&sim, slot, 0), pte(&sim, at).frame());
}

#[test]
fn a_read_pin_of_a_page_shared_by_fork_goes_the_slow_way_and_unshares() {
    let mut kit = Kit::new();
    let at = kit.map(Backing::Anon, false, 1);
    let child = kit.child();
    let slot = kit.slot(1);
    let program = [
        Op::Store { at, part: WHOLE },
        Op::Fork { child },
        pin(at, 1, slot, false, PinCall::PinFast),
    ];
    let op = kit.thread(Mm(0), &program);
    let mut sim = kit.sim("linux-6.18");
    finish(&mut sim);
    assert_eq!(ret(&sim, op.plus(2)), 1);
    let pinned = kept(&sim, slot, 0).unwrap();
    let childs = pte(&sim, VPage(1)).frame().unwrap();
    assert_ne!(pinned, childs);
    assert!(sim.world.flags(pinned).exclusive());
    // Un-sharing gives a page, not the right to write, and dirties no PTE.
    assert!(!pte(&sim, at).writable() && !pte(&sim, at).dirty());
    assert!(sim.world.get::<VmaState>(Vma(0)).mapped());
}
