//! GUP-fast: the lockless walk of the page tables (steps F1 to F21; `gup_fast`,
//! `gup_fast_pte_range`, `try_grab_folio_fast` in mm/gup.c).
//!
//! First pin, then look whether the PTE is unchanged; everybody else first clears the PTE, then
//! looks whether the page is pinned. Between F9 and F13 a reference may exist to a page that is
//! unmapped, truncated, or freed and somebody else's already.
//!
//! F3 and F5 find nothing here (one level of page tables, no PROT_NONE entries), F10 knows DAX but
//! no zones, F12 is a statistic, F16 is for s390.

use super::gup_slow::GupSlow;
use super::pin::*;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::Holder;
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::price::Price;
use crate::kernel::world::{Disk, Frame, VPage};

/// The fast walk of a GUP call. What it cannot take it leaves to [`GupSlow`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GupFast {
    request: Request,
    /// Pages taken so far.
    taken: u32,
    /// `write_protect_seq` as F1 saw it.
    seq: u16,
    /// The device on whose dev_pagemap a live reference is held, packed.
    pgmap: u16,
    state: State,
}

/// Where the walk is. The PTE is as F4 read it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// F1: before write_protect_seq is sampled.
    Sample,
    /// F2, F3: before interrupts are turned off.
    IrqSave,
    /// F4 to F6, F8: before the PTE is read.
    Read,
    /// F7: before a live reference on dev_pagemap is taken.
    Live(Pte),
    /// F9: before the reference is taken.
    Grab(Pte),
    /// F10 found that the page may not be pinned for long: before the reference is dropped.
    Unpinnable(Frame),
    /// F11: before the reference becomes a pin.
    Count(Pte),
    /// F13: before the PTE is read again.
    Reread(Pte),
    /// F14, F15: before `folio->mapping` and PageAnonExclusive are read.
    Allowed(Pte),
    /// F17: before the folio is marked referenced and the page stored.
    Store(Frame),
    /// Before the pin on a page is dropped that turned out not to be the right one.
    Drop(Frame),
    /// F7 failed: before page `n` of those taken is released.
    Undo(u32),
    /// F18: before the live reference is dropped.
    PutLive,
    /// F19: before interrupts are turned on.
    IrqRestore,
    /// F20: before write_protect_seq is looked at again.
    Check,
    /// F20 failed: before page `n` of those taken is released.
    Unpin(u32),
}

impl GupFast {
    /// The fast part of a call. `watched`: pins meet fork at write_protect_seq.
    pub fn new(request: Request, watched: bool) -> GupFast {
        let state = if watched { State::Sample } else { State::IrqSave };
        GupFast { request, taken: 0, seq: 0, pgmap: 0, state }
    }

    fn go(self, state: State) -> Next {
        GupFast { state, ..self }.into()
    }

    fn is_pin(self) -> bool {
        self.request.flags.call.is_pin()
    }

    /// The walk ends here: what is held for it is given up.
    fn stop(self) -> Next {
        self.go(if self.pgmap == 0 { State::IrqRestore } else { State::PutLive })
    }

    /// F21: the slow path for the remainder.
    fn finish(self) -> Next {
        if self.taken == self.request.pages {
            return Next::Return(self.taken as Ret);
        }
        GupSlow::new(self.request, self.taken).into()
    }

    /// F4 to F8.
    fn read(self, cx: &mut Step) -> Next {
        let Some(at) = self.at(cx) else { return self.stop() };
        let pte = cx.get::<Pte>(at).with_stale(false);
        let allowed = pte.present() && (pte.writable() || !self.request.flags.write);
        if !allowed || pte.special() {
            return self.stop();
        }
        if pte.devmap() && cx.strategy.unbind.takes_live_ref() {
            if self.bars_dax(cx) {
                return self.stop();
            }
            return self.go(if self.pgmap == 0 { State::Live(pte) } else { State::Grab(pte) });
        }
        self.go(State::Grab(pte))
    }

    /// F7: `get_dev_pagemap`; failure undoes everything taken in this page table.
    fn live(self, cx: &mut Step, pte: Pte) -> Next {
        cx.prices.add(Price::PgmapLookups, 1);
        match pte.frame().and_then(|f| live_ref(cx, f)) {
            Some(disk) => {
                GupFast { pgmap: Disk::pack(Some(disk)) as u16, ..self }.go(State::Grab(pte))
            }
            None if self.taken > 0 => self.go(State::Undo(0)),
            None => self.stop(),
        }
    }

    /// Whether this is a long-term pin, and DAX pages get none: at a devmap PTE the walk stops
    /// (5.2), else `folio_is_longterm_pinnable` says no to `folio_is_fsdax` (6.15).
    fn bars_dax(self, cx: &Step) -> bool {
        self.request.flags.longterm && cx.strategy.longterm.refuses(true, false).is_some()
    }

    /// F9, F10: `try_get_folio`, `folio_is_longterm_pinnable`.
    fn grab(self, cx: &mut Step, pte: Pte) -> Next {
        let Some(frame) = pte.frame() else { return self.stop() };
        if !cx.try_get(frame) {
            return self.stop();
        }
        cx.hold(frame, Holder::Ref, 1);
        if cx.flags(frame).pmem() && self.bars_dax(cx) {
            return self.go(State::Unpinnable(frame));
        }
        if !self.is_pin() {
            return self.go(State::Reread(pte));
        }
        let grab = cx.strategy.pin.grab(cx.flags(frame).order());
        if grab.refs == 1 && grab.pins == 0 {
            // Nothing to count: the reference is the pin.
            count_pin(cx, frame);
            return self.go(State::Reread(pte));
        }
        self.go(State::Count(pte))
    }

    /// F13: first pin, then look again. Any difference: drop it.
    fn reread(self, cx: &mut Step, pte: Pte) -> Next {
        let now = self.at(cx).map(|at| cx.get::<Pte>(at).with_stale(false));
        match pte.frame() {
            Some(_) if now == Some(pte) => self.go(State::Allowed(pte)),
            Some(frame) => self.go(State::Drop(frame)),
            None => self.stop(),
        }
    }

    /// F14, F15. `folio->mapping` is read once and nothing is stored in the mapping: truncate may
    /// clear it at any time.
    fn allowed(self, cx: &mut Step, pte: Pte) -> Next {
        let Some(frame) = pte.frame() else { return self.stop() };
        let (flags, owner) = (self.request.flags, cx.get::<Owner>(frame));
        let anon = owner.kind() == OwnerKind::Anon;
        if self.is_pin() && flags.write && flags.longterm && cx.strategy.longterm.rejects_files() {
            let shmem = owner.file_page().is_some_and(|p| cx.map.fs_of(p) == FsKind::Tmpfs);
            if !anon && !shmem {
                return self.go(State::Drop(frame));
            }
        }
        let exclusive = cx.flags(frame).exclusive();
        if !pte.writable() && self.request.must_unshare(cx, anon, exclusive, true) {
            return self.go(State::Drop(frame));
        }
        self.go(State::Store(frame))
    }

    fn at(self, cx: &Step) -> Option<VPage> {
        self.request.page(cx, self.taken)
    }

    /// Releases page `n`, then the next one; at the end none is taken.
    fn release(self, cx: &mut Step, n: u32, then: impl Fn(u32) -> State) -> Option<GupFast> {
        let at = self.request.slot_page(cx, n);
        put_kept(cx, at);
        if n + 1 < self.taken {
            return Some(GupFast { state: then(n + 1), ..self });
        }
        None
    }
}

/// `get_dev_pagemap`: a live reference on the device of a page. None: its removal has begun. RAM
/// has no device.
pub fn live_ref(cx: &mut Step, frame: Frame) -> Option<Disk> {
    let disk = cx.map.disk_of(cx.map.pmem_block(frame)?);
    if cx.get::<DiskState>(disk).pgmap() != PgmapState::Live {
        return None;
    }
    cx.update::<DiskState>(disk, |d| d.with_pgmap_refs(d.pgmap_refs() + 1));
    let me = cx.me;
    cx.update::<Engaged>(me, |e| e.with_pgmap(Disk::pack(Some(disk)) as u16));
    Some(disk)
}

/// `put_dev_pagemap`.
pub fn put_live_ref(cx: &mut Step, pgmap: u16) {
    if let Some(disk) = Disk::unpack(u32::from(pgmap)) {
        cx.update::<DiskState>(disk, |d| d.with_pgmap_refs(d.pgmap_refs().saturating_sub(1)));
        let me = cx.me;
        cx.update::<Engaged>(me, |e| e.with_pgmap(0));
    }
}

impl Machine for GupFast {
    fn need(self, cx: &Scene) -> Need {
        // A thread that has interrupts off is not preempted by another one on its processor.
        match (self.state, cx.w.map.plan.threads.get(cx.me.0 as usize)) {
            (State::IrqSave, Some(thread)) => Need::IrqsOn(thread.cpu),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        let (id, name, cost) = match self.state {
            State::Sample => ("F1", "gup_fast: sample write_protect_seq", Cost::Step),
            State::IrqSave => ("F2", "gup_fast: local_irq_save", Cost::Step),
            State::Read => ("F4", "gup_fast: ptep_get_lockless", Cost::Walk),
            State::Live(_) => ("F7", "gup_fast: get_dev_pagemap", Cost::Atomic),
            State::Grab(_) => ("F9", "gup_fast: try_get_folio", Cost::Atomic),
            State::Unpinnable(_) => ("F10", "gup_fast: folio_is_longterm_pinnable", Cost::Atomic),
            State::Count(_) => ("F11", "gup_fast: account the pin", Cost::Atomic),
            State::Reread(_) => ("F13", "gup_fast: re-read the PTE", Cost::Step),
            State::Allowed(_) => ("F14", "gup_fast_folio_allowed", Cost::Step),
            State::Store(_) => ("F17", "gup_fast: folio_set_referenced", Cost::Atomic),
            State::Drop(_) => ("F13", "gup_fast: gup_put_folio", Cost::Atomic),
            State::Undo(_) => ("F7", "gup_fast_undo_dev_pagemap", Cost::Atomic),
            State::PutLive => ("F18", "gup_fast: put_dev_pagemap", Cost::Atomic),
            State::IrqRestore => ("F19", "gup_fast: local_irq_restore", Cost::Step),
            State::Check => ("F20", "gup_fast: read_seqcount_retry", Cost::Step),
            State::Unpin(_) => ("F20", "gup_fast_unpin_user_pages", Cost::Atomic),
        };
        Label::new(id, name, cost)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let watched = self.is_pin() && cx.strategy.fork.heeds_pins();
        let mm = cx.map.mm_of(self.request.first);
        match self.state {
            State::Sample => {
                let seq = cx.get::<MmState>(mm).write_protect_seq();
                // Odd: a fork is write-protecting right now.
                if seq % 2 == 1 {
                    return self.finish();
                }
                GupFast { seq, ..self }.go(State::IrqSave)
            }
            State::IrqSave => {
                cx.irq_save();
                self.go(State::Read)
            }
            State::Read => self.read(cx),
            State::Live(pte) => self.live(cx, pte),
            State::Grab(pte) => self.grab(cx, pte),
            State::Unpinnable(frame) => {
                put(cx, frame, false);
                self.stop()
            }
            State::Count(pte) => {
                if let Some(frame) = pte.frame() {
                    count_pin(cx, frame);
                }
                self.go(State::Reread(pte))
            }
            State::Reread(pte) => self.reread(cx, pte),
            State::Allowed(pte) => self.allowed(cx, pte),
            State::Store(frame) => {
                cx.change_flags(frame, |f| f.with_referenced(true));
                self.request.keep(cx, self.taken, frame);
                let next = GupFast { taken: self.taken + 1, ..self };
                if next.taken == next.request.pages { next.stop() } else { next.go(State::Read) }
            }
            State::Drop(frame) => {
                put(cx, frame, self.is_pin());
                self.stop()
            }
            State::Undo(n) => match self.release(cx, n, State::Undo) {
                Some(next) => next.into(),
                None => GupFast { taken: 0, ..self }.stop(),
            },
            State::PutLive => {
                put_live_ref(cx, self.pgmap);
                GupFast { pgmap: 0, ..self }.go(State::IrqRestore)
            }
            State::IrqRestore => {
                cx.irq_restore();
                if watched && self.taken > 0 { self.go(State::Check) } else { self.finish() }
            }
            State::Check if cx.get::<MmState>(mm).write_protect_seq() == self.seq => self.finish(),
            State::Check => self.go(State::Unpin(0)),
            State::Unpin(n) => match self.release(cx, n, State::Unpin) {
                Some(next) => next.into(),
                None => GupFast { taken: 0, ..self }.finish(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::engine::model::Model;
    use crate::kernel::sim::Sim;
    use crate::kernel::strategy::{Preset, Unbind};
    use crate::kernel::world::plan::*;
    use crate::kernel::world::{FilePage, Mm, OpId, Slot, Vma};
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
        let expected =
            [&["F0", "F2", "F4", "F7"][..], &page, &["F4"], &page, &["F18", "F19"]].concat();
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
}
