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
use super::pin_count::CountPin;
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::Holder;
use crate::kernel::world::pins::PinCount;
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::price::Price;
use crate::kernel::world::{Disk, Frame, Mm, VPage};

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
    /// F10 found that the page may not be pinned for long, or F11 that the pin cannot be counted:
    /// before the reference is dropped.
    Unpinnable(Frame),
    /// F11: before the reference becomes a pin.
    Count(Pte),
    /// F11: in [`CountPin`], where the design takes several steps.
    Counted(Pte),
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
    fn finish(self, cx: &mut Step) -> Next {
        if self.taken == self.request.pages {
            return Next::Return(self.taken as Ret);
        }
        let left = self.request.pages - self.taken;
        cx.prices.add(Price::FastMisses, u64::from(left));
        GupSlow::new(self.request, self.taken).into()
    }

    /// F4 to F8.
    fn read(self, cx: &mut Step) -> Next {
        let Some(at) = self.at(cx) else { return self.stop() };
        let pte = cx.get::<Pte>(at).with_stale(false);
        let read_only = self.request.flags.write && !pte.writable();
        let refused = read_only && cx.strategy.keeps(Guard::PinWriteFault);
        if !pte.present() || refused || pte.special() {
            return self.stop();
        }
        if pte.devmap() && cx.strategy.unbind.takes_live_ref() {
            if self.bars_dax(cx) {
                return self.stop();
            }
            if self.pgmap == 0 && cx.strategy.keeps(Guard::GupFastLiveRef) {
                return self.go(State::Live(pte));
            }
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
        self.request.flags.longterm
            && cx.strategy.keeps(Guard::GupFastLongtermDax)
            && cx.strategy.longterm.refuses(true, false, false).is_some()
    }

    /// F9, F10: `try_get_folio`, `folio_is_longterm_pinnable`.
    fn grab(self, cx: &mut Step, pte: Pte) -> Next {
        let Some(frame) = pte.frame() else { return self.stop() };
        if turned_away(cx, frame, self.is_pin()) {
            return self.stop();
        }
        if !cx.try_get(frame) {
            if cx.strategy.keeps(Guard::GupFastTryGet) {
                return self.stop();
            }
            cx.add_refs(frame, 1);
        }
        cx.prices.add(Price::PinAtomics, 1);
        cx.hold(frame, Holder::Ref, 1);
        if cx.flags(frame).pmem() && self.bars_dax(cx) {
            return self.go(State::Unpinnable(frame));
        }
        if !self.is_pin() {
            return self.go(State::Reread(pte));
        }
        if cx.strategy.pin.in_steps() {
            let then = GupFast { state: State::Counted(pte), ..self };
            return call(CountPin::new(cx, frame), then);
        }
        let head = cx.head(frame);
        if cx.pin_adds(head) == PinCount::PLAIN {
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
            Some(_) if now == Some(pte) || !cx.strategy.keeps(Guard::GupFastReread) => {
                self.go(State::Allowed(pte))
            }
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
        let writes = self.is_pin() && flags.write;
        let rejects = cx.strategy.longterm.rejects_files(writes);
        if flags.longterm && rejects && cx.strategy.keeps(Guard::GupFastFolioAllowed) {
            let shmem = owner.file_page().is_some_and(|p| cx.map.fs_of(p) == FsKind::Tmpfs);
            if !anon && !shmem {
                return self.go(State::Drop(frame));
            }
        }
        let exclusive = cx.flags(frame).exclusive();
        let shared = !pte.writable() && self.request.must_unshare(cx, anon, exclusive, true);
        if shared && cx.strategy.keeps(Guard::GupFastUnshare) {
            return self.go(State::Drop(frame));
        }
        self.go(State::Store(frame))
    }

    /// F20: a fork write-protected meanwhile.
    fn forked(self, cx: &Step, mm: Mm) -> bool {
        let same = cx.get::<MmState>(mm).write_protect_seq() == self.seq;
        !same && cx.strategy.keeps(Guard::GupFastSeqcount)
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
            State::Counted(_) => ("F11", "gup_fast: has the pin been counted?", Cost::Step),
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
                if seq % 2 == 1 && cx.strategy.keeps(Guard::GupFastSeqOdd) {
                    return self.finish(cx);
                }
                GupFast { seq, ..self }.go(State::IrqSave)
            }
            State::IrqSave => {
                if cx.strategy.keeps(Guard::GupFastIrqsOff) {
                    cx.irq_save();
                }
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
            State::Counted(pte) | State::Reread(pte) => self.reread(cx, pte),
            State::Allowed(pte) => self.allowed(cx, pte),
            State::Store(frame) => {
                cx.change_flags(frame, |f| f.with_referenced(true));
                self.request.keep(cx, self.taken, frame);
                cx.prices.add(Price::FastHits, 1);
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
                if cx.strategy.keeps(Guard::GupFastIrqsOff) {
                    cx.irq_restore();
                }
                if watched && self.taken > 0 { self.go(State::Check) } else { self.finish(cx) }
            }
            State::Check if !self.forked(cx, mm) => self.finish(cx),
            State::Check => self.go(State::Unpin(0)),
            State::Unpin(n) => match self.release(cx, n, State::Unpin) {
                Some(next) => next.into(),
                None => GupFast { taken: 0, ..self }.finish(cx),
            },
        }
    }

    /// The pin has been counted, or could not be: then the page is left to the slow path.
    fn resume(self, _cx: &mut Step, ret: Ret) -> Next {
        match (self.state, ret) {
            (State::Counted(pte), 0) => self.go(State::Reread(pte)),
            (State::Counted(pte), _) => match pte.frame() {
                Some(frame) => self.go(State::Unpinnable(frame)),
                None => self.stop(),
            },
            _ => self.into(),
        }
    }
}
