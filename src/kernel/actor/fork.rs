//! fork: `dup_mmap`, `copy_page_range`, `copy_present_ptes`.
//!
//! The child's mappings are declared in the plan. Shared ones are not copied, nor are private ones
//! of files without anon_vma: faults will do. Not modelled: threads of the child before fork ends.

use super::errno::{EAGAIN, EINVAL, ENOMEM};
use super::fault::{alloc_page, copy_page, map_anon};
use super::notifier::{RangeEnd, RangeStart};
use super::pinned::ask_anon;
use super::routine::call;
use super::step::*;
use super::tlb::FlushTlb;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Frame, Mm, VPage, Vma, World};

/// fork of the thread's address space. Returns 0, -ENOMEM, or -EAGAIN if the child exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ForkMm {
    child: Mm,
    /// The child's mapping that is being copied.
    vma: u32,
    /// The page of it.
    page: u32,
    state: State,
}

/// Where the fork is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Waits for the parent's mmap_lock, exclusive.
    Lock,
    /// Before the next mapping is duplicated (`vm_area_dup`).
    Dup,
    /// In the notifiers' range start.
    Notify,
    /// Before write_protect_seq becomes odd.
    SeqBegin,
    /// Before the next entry is copied, under both page-table locks.
    Copy,
    /// The page is not pinned; before the parent's entry, this one, loses its right to write. Both
    /// page-table locks are still held, but GUP-fast takes none: it can come in between
    /// (57efa1fe5957 has the race). If anybody who takes them has changed the entry, the count is
    /// read again, as if he had come first.
    Share(Pte),
    /// A page may be pinned: before the allocation of a page for the child.
    Alloc,
    /// With that page, before the entry is looked at again.
    CopyInto(Frame),
    /// Before write_protect_seq becomes even; then on, or back with this error.
    SeqEnd(Ret),
    /// In the notifiers' range end.
    NotifyEnd(Ret),
    /// In the flush of the parent's TLB entries, mapping by mapping (`flush_tlb_mm`).
    Flush(Ret),
    /// Before mmap_lock is released.
    Unlock(Ret),
    /// Failed: before the next page of the child is unmapped (`mmput`, `exit_mmap`). Nothing keeps
    /// the parent's other threads out any more: what they store to is still shared.
    Undo(Ret),
    /// Before the child runs (`wake_up_new_task`).
    Wake,
}

impl ForkMm {
    /// Creates a child's address space.
    pub fn new(child: Mm) -> ForkMm {
        ForkMm { child, vma: 0, page: 0, state: State::Lock }
    }

    fn go(self, state: State) -> Next {
        ForkMm { state, ..self }.into()
    }

    /// Whether the child has been made, though it may not run yet.
    fn exists(self, w: &World) -> bool {
        let of_child = |v: &u32| w.map.vma(Vma(*v)).mm == self.child;
        let mut vmas = (0..w.map.plan.vmas.len() as u32).filter(of_child);
        w.get::<MmState>(self.child).live() || vmas.any(|v| w.get::<VmaState>(Vma(v)).mapped())
    }

    /// The next mapping of the child from `self.vma` on, with the parent's.
    fn mapping(self, w: &World) -> Option<(ForkMm, Vma)> {
        let vmas = &w.map.plan.vmas;
        (self.vma..vmas.len() as u32).find_map(|v| {
            let vma = &vmas[v as usize];
            let parent = vma.copy_of.filter(|_| vma.mm == self.child)?;
            Some((ForkMm { vma: v, page: 0, ..self }, parent))
        })
    }

    /// First page and length of the mapping being copied, the parent's and the child's.
    fn pages(self, w: &World) -> (VPage, VPage, u32) {
        let child = w.map.vma_pages[self.vma as usize].clone();
        let parent = w.map.vma(Vma(self.vma)).copy_of.unwrap_or(Vma(self.vma));
        let first = VPage(w.map.vma_pages[parent.0 as usize].start);
        (first, VPage(child.start), child.len() as u32)
    }

    fn notified(self, w: &World) -> bool {
        !w.map.notified(w.map.mm_of(self.pages(w).0)).is_empty()
    }

    /// `vma_needs_copy`: private, with an anon_vma, which anonymous memory is taken to have.
    fn needs_copy(self, w: &World) -> bool {
        let first = self.pages(w).0;
        let anon = w.map.is_anon(first) || w.get::<VmaState>(w.map.vma_of(first)).anon_vma();
        !w.map.vma(Vma(self.vma)).shared && anon
    }

    fn dup(self, cx: &mut Step) -> Next {
        let Some((this, parent)) = self.mapping(cx) else {
            return ForkMm { vma: 0, ..self }.flush(cx, 0);
        };
        let state = cx.get::<VmaState>(parent);
        // VM_LOCKED is not inherited; the pieces are.
        cx.set(Vma(this.vma), state.with_locked(0).with_cuts(state.edges()));
        if !state.mapped() || !this.needs_copy(cx) {
            return ForkMm { vma: this.vma + 1, ..this }.go(State::Dup);
        }
        if this.notified(cx) {
            let (first, _, pages) = this.pages(cx);
            let then = ForkMm { state: State::Notify, ..this };
            return call(RangeStart::new(first, pages, true), then);
        }
        this.begin(cx)
    }

    fn begin(self, cx: &Step) -> Next {
        let seq = cx.strategy.fork.guards() && cx.strategy.keeps(Guard::ForkSeqcount);
        self.go(if seq { State::SeqBegin } else { State::Copy })
    }

    /// Whether the child has to get a copy of a page at once (`folio_needs_cow_for_dma`, and since
    /// 5.19 only if the page is exclusive).
    fn must_copy(self, cx: &mut Step, mm: Mm, frame: Frame) -> bool {
        let exclusive = cx.flags(frame).exclusive() || !cx.strategy.cow_reuse.unshares();
        cx.strategy.fork.heeds_pins()
            && cx.get::<MmState>(mm).has_pinned()
            && ask_anon(cx, frame)
            && exclusive
    }

    /// `copy_present_ptes` of one entry; `new` is a page for the child, if one was allocated.
    fn copy(self, cx: &mut Step, new: Option<Frame>) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        let (from, to, _) = self.pages(cx);
        let (from, to) = (from.plus(self.page), to.plus(self.page));
        let pte = cx.get::<Pte>(from);
        let frame = pte.frame().filter(|_| pte.present());
        let anon = |f: &Frame| cx.get::<Owner>(cx.head(*f)).kind() == OwnerKind::Anon;
        let pinnable = frame.filter(anon);
        let mm = cx.map.mm_of(from);
        let checked = self.state == State::Share(pte);
        if let Some(frame) = pinnable.filter(|&f| !checked && self.must_copy(cx, mm, f)) {
            // Without a page at hand the locks are dropped and the entry is looked at again.
            let Some(new) = new else { return self.go(State::Alloc) };
            copy_page(cx, frame, new);
            map_anon(cx, to, new, true);
            return self.next(cx);
        }
        if let Some(new) = new {
            cx.drop_ref(new);
        }
        if pinnable.is_some() && !checked && cx.strategy.fork.heeds_pins() {
            return self.go(State::Share(pte));
        }
        if let Some(frame) = frame {
            share(cx, from, to, pte, frame);
        }
        self.next(cx)
    }

    /// The next entry, or the end of the mapping.
    fn next(self, cx: &mut Step) -> Next {
        let next = ForkMm { page: self.page + 1, ..self };
        if next.page < self.pages(cx).2 {
            return next.go(State::Copy);
        }
        self.end(cx, 0)
    }

    fn end(self, cx: &mut Step, ret: Ret) -> Next {
        if ret < 0 && !cx.strategy.keeps(Guard::ForkFailedSeq) {
            return self.range_end(cx, ret);
        }
        if cx.strategy.fork.guards() && cx.strategy.keeps(Guard::ForkSeqcount) {
            return self.go(State::SeqEnd(ret));
        }
        self.range_end(cx, ret)
    }

    fn range_end(self, cx: &Step, ret: Ret) -> Next {
        let ends = ret >= 0 || cx.strategy.keeps(Guard::ForkFailedEnd);
        if self.notified(cx) && ends {
            let (first, _, pages) = self.pages(cx);
            let then = ForkMm { state: State::NotifyEnd(ret), ..self };
            return call(RangeEnd::new(first, pages), then);
        }
        self.mapping_done(cx, ret)
    }

    fn mapping_done(self, cx: &Step, ret: Ret) -> Next {
        if ret < 0 {
            return ForkMm { vma: 0, ..self }.flush(cx, ret);
        }
        ForkMm { vma: self.vma + 1, page: 0, ..self }.go(State::Dup)
    }

    /// Flushes the next mapping; after the last one, ends.
    fn flush(self, cx: &Step, ret: Ret) -> Next {
        let guard = if ret < 0 { Guard::ForkFailedFlush } else { Guard::ForkFlush };
        match self.mapping(cx) {
            Some((this, _)) if cx.strategy.keeps(guard) => {
                let (first, _, pages) = this.pages(cx);
                let next = ForkMm { vma: this.vma + 1, state: State::Flush(ret), ..this };
                call(FlushTlb::new(first, pages), next)
            }
            _ => ForkMm { vma: 0, page: 0, ..self }.go(State::Unlock(ret)),
        }
    }

    /// One page of the child after the other; its processors never ran.
    fn undo(self, cx: &mut Step, ret: Ret) -> Next {
        let Some((this, _)) = self.mapping(cx) else { return Next::Return(ret) };
        let (_, child, pages) = this.pages(cx);
        let page = if this.vma == self.vma { self.page } else { 0 };
        let at = child.plus(page);
        let pte = cx.get::<Pte>(at);
        let unmaps = pte.present() && cx.strategy.keeps(Guard::ForkUndo);
        if let Some(frame) = pte.frame().filter(|_| unmaps) {
            cx.set_pte(at, Pte::new());
            cx.map_page(frame, -1);
        }
        if page + 1 < pages {
            return ForkMm { page: page + 1, ..this }.go(State::Undo(ret));
        }
        cx.set(Vma(this.vma), VmaState::new());
        ForkMm { vma: this.vma + 1, page: 0, ..this }.go(State::Undo(ret))
    }

    fn seq(self, cx: &mut Step) {
        let mm = cx.map.mm_of(self.pages(cx).0);
        cx.update::<MmState>(mm, |m| {
            m.with_write_protect_seq(m.write_protect_seq().wrapping_add(1) % (1 << 14))
        });
    }
}

/// Parent and child share the page, read-only on both sides; it is nobody's exclusively.
fn share(cx: &mut Step, from: VPage, to: VPage, pte: Pte, frame: Frame) {
    if frame != ZERO_PAGE && cx.get::<Owner>(cx.head(frame)).kind() == OwnerKind::Anon {
        let kept = !cx.strategy.keeps(Guard::ForkNotExclusive);
        cx.change_flags(frame, |f| f.with_exclusive(kept && f.exclusive()));
    }
    if pte.writable() && cx.strategy.keeps(Guard::ForkWriteProtect) {
        // ptep_set_wrprotect: the TLBs are flushed at the end of the fork only.
        cx.set_pte(from, pte.with_writable(false).with_stale(true));
    }
    let copied = pte.with_writable(false).with_young(false).with_stale(false);
    cx.set_pte(to, copied);
    cx.map_page(frame, 1);
}

impl Machine for ForkMm {
    fn need(self, cx: &Scene) -> Need {
        match (self.state, cx.w.map.plan.mms[self.child.0 as usize].child_of) {
            (State::Lock, Some(mm)) => Need::Lock(cx.w.map.mmap_lock(mm), Mode::Exclusive),
            _ => Need::Nothing,
        }
    }

    fn outcomes(self, cx: &Scene) -> u8 {
        1 + u8::from(self.state == State::Alloc && Step::may_fail(cx.w))
    }

    fn label(self) -> Label {
        let (name, cost) = match self.state {
            State::Lock => ("dup_mmap: mmap_write_lock", Cost::Lock),
            State::Dup => ("dup_mmap: vm_area_dup", Cost::Alloc),
            State::Notify => ("copy_page_range: range_start", Cost::Step),
            State::SeqBegin => ("copy_page_range: write_protect_seq begin", Cost::Step),
            State::Copy => ("copy_present_ptes", Cost::Lock),
            State::Share(_) => ("copy_present_ptes: ptep_set_wrprotect", Cost::Step),
            State::Alloc => ("copy_present_ptes: allocate for a pinned page", Cost::Alloc),
            State::CopyInto(_) => ("copy_present_page", Cost::Copy),
            State::SeqEnd(_) => ("copy_page_range: write_protect_seq end", Cost::Step),
            State::NotifyEnd(_) => ("copy_page_range: range_end", Cost::Step),
            State::Flush(_) => ("flush_tlb_mm", Cost::Step),
            State::Unlock(_) => ("dup_mmap: mmap_write_unlock", Cost::Lock),
            State::Undo(_) => ("exit_mmap of the child", Cost::Lock),
            State::Wake => ("wake_up_new_task", Cost::Wake),
        };
        Label::new("", name, cost)
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
        let me = cx.me;
        let parent = cx.map.plan.mms[self.child.0 as usize].child_of;
        let Some(parent) = parent.filter(|&mm| cx.mm() == Some(mm)) else {
            return Next::Return(-EINVAL);
        };
        match self.state {
            State::Lock if self.exists(cx) => Next::Return(-EAGAIN),
            State::Lock => {
                let lock = cx.map.mmap_lock(parent);
                cx.lock(me, lock, Mode::Exclusive);
                self.go(State::Dup)
            }
            State::Dup | State::Notify => self.dup(cx),
            State::SeqBegin => {
                self.seq(cx);
                self.go(State::Copy)
            }
            State::Copy | State::Share(_) => self.copy(cx, None),
            State::Alloc => match alloc_page(cx, outcome) {
                Some(new) => self.go(State::CopyInto(new)),
                None => self.end(cx, -ENOMEM),
            },
            State::CopyInto(new) => self.copy(cx, Some(new)),
            State::SeqEnd(ret) => {
                self.seq(cx);
                self.range_end(cx, ret)
            }
            State::NotifyEnd(ret) => self.mapping_done(cx, ret),
            State::Flush(ret) => self.flush(cx, ret),
            State::Unlock(ret) => {
                let lock = cx.map.mmap_lock(parent);
                cx.unlock(me, lock);
                self.go(if ret < 0 { State::Undo(ret) } else { State::Wake })
            }
            State::Undo(ret) => self.undo(cx, ret),
            State::Wake => {
                cx.update::<MmState>(self.child, |m| m.with_live(true));
                Next::Return(0)
            }
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.state {
            // A notifier failed (--notifier abort): what has been copied is undone.
            State::Notify if ret < 0 => {
                cx.prices.add(Price::FailedCalls, 1);
                self.mapping_done(cx, ret)
            }
            State::Notify => self.begin(cx),
            State::NotifyEnd(ret) => self.mapping_done(cx, ret),
            State::Flush(ret) => self.flush(cx, ret),
            _ => self.go(State::Dup),
        }
    }
}
