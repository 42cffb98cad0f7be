//! mremap: the pages of a mapping move to another address (`mremap_to`, `move_vma`,
//! `move_page_tables`, `move_ptes`; mm/mremap.c of 6.18).
//!
//! Addresses are those of the plan: the target is a mapping that shows the same pages. What moves
//! are the entries. The pages, their references and their pins stay where they are, so that a
//! device with pins goes on with the same memory under another address; one that follows the
//! notifier is told of the old range only and finds nothing there any more.
//!
//! A mapping lies in one page table, so that a move fails before its first entry or not at all and
//! `move_page_tables` never has anything to move back. Not modelled: other lengths, moves of whole
//! page tables (`move_normal_pmd`), `vm_ops->mremap`. A mapping that mlock has split is moved as
//! one (6.17 moves its pieces one after the other, older kernels refuse with -EFAULT). Where there
//! is nothing to move the target stays (older kernels unmap it before they look: 4.9).

use super::errno::{EFAULT, ENOMEM};
use super::mapping::{i_mmap_lock, mmap_lock};
use super::notifier::{RangeEnd, RangeStart, watched};
use super::routine::call;
use super::step::*;
use super::tlb::{FlushTlb, drop_everywhere};
use super::zap::Zap;
use crate::kernel::strategy::{Guard, Strategy};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Id, Lock, VPage, Vma};

/// `mremap(MREMAP_MAYMOVE | MREMAP_FIXED)` of a whole mapping to the place of another. Returns 0
/// for the new address; -EFAULT if there is nothing to move; -ENOMEM if there is no page table or
/// a notifier failed: then the pages are where they were.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Remap {
    from: Vma,
    to: Vma,
    /// MREMAP_DONTUNMAP (5.7, of files 5.13): the old mapping stays, empty.
    keeps: bool,
    state: State,
}

/// How far an mremap is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// do_mremap: waits for mmap_lock, for writing.
    Lock,
    /// mremap_to: do_munmap of what is mapped at the target, in unmap_vmas.
    Target,
    /// mremap_to: the same, unlink_file_vma.
    TargetGone,
    /// copy_vma: the new mapping enters the interval tree under i_mmap_rwsem, behind the old one.
    Copy,
    /// move_page_tables: alloc_new_pmd. The old range is being invalidated since
    /// mmu_notifier_invalidate_range_start.
    Alloc,
    /// move_ptes, under the locks of both page tables. The reverse map finds an entry at the old
    /// address or behind it at the new one; where the new mapping comes first in the tree,
    /// i_mmap_rwsem keeps walks out (need_rmap_locks).
    Move,
    /// In the flush of the old address; `--remap-flush` says whether the locks are still held.
    Flush,
    /// In mmu_notifier_invalidate_range_end, with this result.
    End(Ret),
    /// unmap_source_vma: in unmap_vmas of the old mapping or, after a failure, of the new one.
    Unmap(Ret),
    /// unmap_source_vma: unlink_file_vma of the same; mmap_write_unlock.
    Unlink(Ret),
    /// mmap_write_unlock with this result; nothing more is unmapped.
    Unlock(Ret),
}

impl Remap {
    /// Moves the pages of one mapping to another; `keeps`: MREMAP_DONTUNMAP.
    pub fn new(from: Vma, to: Vma, keeps: bool) -> Remap {
        Remap { from, to, keeps, state: State::Lock }
    }

    fn at(self, state: State) -> Remap {
        Remap { state, ..self }
    }

    /// First page and length of a mapping.
    fn range(map: &Layout, vma: Vma) -> (VPage, u32) {
        let pages = &map.vma_pages[vma.index()];
        (VPage(pages.start), pages.len() as u32)
    }

    /// What walks of the reverse map are kept out with, where they have to be: they look at the
    /// mappings of a file in the order of the plan, in which the target may come first.
    fn rmap_lock(self, map: &Layout, strategy: &Strategy) -> Option<Lock> {
        let needed = self.to < self.from && strategy.keeps(Guard::RemapRmapLocks);
        i_mmap_lock(map, self.from).filter(|_| needed)
    }

    /// The mapping that goes: the old one, or after a failure the new one.
    fn doomed(self, ret: Ret) -> Vma {
        if ret < 0 { self.to } else { self.from }
    }

    fn notifies(self, cx: &Step) -> bool {
        watched(&cx.map, Remap::range(&cx.map, self.from).0)
            && cx.strategy.keeps(Guard::RemapNotify)
    }

    fn lock(self, cx: &mut Step) -> Next {
        let (me, map) = (cx.me, cx.map.clone());
        if !cx.get::<VmaState>(self.from).mapped() {
            return Next::Return(-EFAULT);
        }
        let mode = Remap::mode(cx.strategy);
        cx.lock(me, mmap_lock(&map, self.from), mode);
        if cx.get::<VmaState>(self.to).mapped() {
            let (first, pages) = Remap::range(&map, self.to);
            return call(Zap::range(first, pages), self.at(State::Target));
        }
        self.at(State::Copy).into()
    }

    fn mode(strategy: &Strategy) -> Mode {
        if strategy.keeps(Guard::RemapLock) { Mode::Exclusive } else { Mode::Shared }
    }

    /// A mapping enters the file's interval tree or leaves it.
    fn link(self, cx: &mut Step, vma: Vma, state: VmaState) {
        let me = cx.me;
        if i_mmap_lock(&cx.map, vma).is_some() {
            cx.might_sleep();
            cx.lock_briefly(me, LockClass::IMmapRwsem);
        }
        cx.set(vma, state);
    }

    fn unlinked(map: &Layout, vma: Vma) -> VmaState {
        let plan = map.vma(vma);
        VmaState::new().with_read(plan.read).with_write(plan.write)
    }

    fn copy(self, cx: &mut Step) -> Next {
        if cx.strategy.keeps(Guard::RemapLinkFirst) {
            let state = cx.get::<VmaState>(self.from);
            self.link(cx, self.to, state);
        }
        if self.notifies(cx) {
            let (first, pages) = Remap::range(&cx.map, self.from);
            return call(RangeStart::new(first, pages, true), self.at(State::Alloc));
        }
        self.at(State::Alloc).into()
    }

    /// move_ptes of all pages. A store through the old address between the move of its entry and
    /// a flush under the locks is no different from one just before the move; what is dropped
    /// from the TLBs therefore goes in this step, and the flush waits for the answers only.
    fn move_ptes(self, cx: &mut Step) -> Next {
        let (me, map) = (cx.me, cx.map.clone());
        let ((from, pages), (to, _)) = (Remap::range(&map, self.from), Remap::range(&map, self.to));
        if self.rmap_lock(&map, cx.strategy).is_some() {
            cx.lock_briefly(me, LockClass::IMmapRwsem);
        }
        cx.lock_briefly(me, LockClass::Ptl);
        let (mut owed, mut dirty) = (false, false);
        for (old, new) in (0..pages).map(|n| (from.plus(n), to.plus(n))) {
            let pte = cx.get::<Pte>(old);
            // What others have changed and not flushed is owed here (flush_tlb_batched_pending).
            owed |= pte.present() || pte.stale();
            dirty |= pte.present() && pte.dirty();
            if pte.frame().is_some() {
                let stale = cx.get::<Pte>(new).stale();
                cx.set_pte(old, Pte::new().with_stale(pte.present() || pte.stale()));
                cx.set_pte(new, pte.with_stale(stale));
            }
        }
        if cx.strategy.remap_flush.under_locks(dirty) {
            for old in (0..pages).map(|n| from.plus(n)) {
                drop_everywhere(cx, old);
            }
        }
        match owed {
            true => call(FlushTlb::new(from, pages), self.at(State::Flush)),
            false => self.end(cx, 0),
        }
    }

    fn end(self, cx: &mut Step, ret: Ret) -> Next {
        if self.notifies(cx) {
            let (first, pages) = Remap::range(&cx.map, self.from);
            return call(RangeEnd::new(first, pages), self.at(State::End(ret)));
        }
        self.unmap(cx, ret)
    }

    /// unmap_source_vma, of the old mapping or of the new one.
    fn unmap(self, cx: &mut Step, ret: Ret) -> Next {
        if !cx.strategy.keeps(Guard::RemapLinkFirst) {
            let state = cx.get::<VmaState>(self.from);
            self.link(cx, self.to, state);
        }
        let stays = if ret < 0 { !cx.strategy.keeps(Guard::RemapUndo) } else { self.keeps };
        if stays {
            return self.at(State::Unlock(ret)).into();
        }
        let (first, pages) = Remap::range(&cx.map, self.doomed(ret));
        call(Zap::range(first, pages), self.at(State::Unmap(ret)))
    }

    fn unlock(self, cx: &mut Step, ret: Ret) -> Next {
        let (me, map) = (cx.me, cx.map.clone());
        if ret >= 0 && self.keeps {
            // dontunmap_complete: what stays is not locked and has no anon_vma any more.
            cx.update::<VmaState>(self.from, |v| v.with_locked(0).with_anon_vma(false));
        }
        cx.unlock(me, mmap_lock(&map, self.from));
        Next::Return(ret)
    }
}

impl Machine for Remap {
    fn need(self, cx: &Scene) -> Need {
        let map = &cx.w.map;
        let i_mmap = match self.state {
            State::Lock => {
                return Need::Lock(mmap_lock(map, self.from), Remap::mode(cx.strategy));
            }
            State::TargetGone | State::Copy | State::Unlink(_) => i_mmap_lock(map, self.from),
            State::Move => self.rmap_lock(map, cx.strategy),
            _ => None,
        };
        i_mmap.map_or(Need::Nothing, |lock| Need::Lock(lock, Mode::Exclusive))
    }

    fn outcomes(self, cx: &Scene) -> u8 {
        1 + u8::from(self.state == State::Alloc && Step::may_fail(cx.w))
    }

    fn label(self) -> Label {
        match self.state {
            State::Lock => Label::new("", "mremap: mmap_write_lock", Cost::Lock),
            State::Target => Label::new("", "mremap_to: unmap_vmas", Cost::Walk),
            State::TargetGone => Label::new("", "mremap_to: unlink_file_vma", Cost::Lock),
            State::Copy => Label::new("", "copy_vma", Cost::Syscall),
            State::Alloc => Label::new("", "move_page_tables: alloc_new_pmd", Cost::Alloc),
            State::Move => Label::new("", "move_ptes", Cost::Walk),
            State::Flush => Label::new("", "move_ptes: flush_tlb_range", Cost::Step),
            State::End(_) => Label::new("", "move_page_tables: range_end", Cost::Step),
            State::Unmap(_) => Label::new("", "unmap_source_vma: unmap_vmas", Cost::Walk),
            State::Unlink(_) => Label::new("", "unmap_source_vma: unlink_file_vma", Cost::Lock),
            State::Unlock(_) => Label::new("", "mmap_write_unlock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
        match self.state {
            State::Lock => self.lock(cx),
            State::TargetGone => {
                let gone = Remap::unlinked(&cx.map, self.to);
                self.link(cx, self.to, gone);
                self.at(State::Copy).into()
            }
            State::Copy => self.copy(cx),
            State::Alloc if outcome > 0 => {
                cx.fail_allocation();
                self.end(cx, -ENOMEM)
            }
            State::Alloc => self.at(State::Move).into(),
            State::Move => self.move_ptes(cx),
            State::Unlink(ret) => {
                let gone = Remap::unlinked(&cx.map, self.doomed(ret));
                self.link(cx, self.doomed(ret), gone);
                self.unlock(cx, ret)
            }
            State::Unlock(ret) => self.unlock(cx, ret),
            // In the hands of another machine; see `resume`.
            _ => self.into(),
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        let blocked = ret < 0 && matches!(self.state, State::Target | State::Alloc);
        cx.prices.add(Price::FailedCalls, u64::from(blocked));
        match self.state {
            // A notifier failed (--notifier abort), in do_munmap of the target: nothing has
            // happened yet.
            State::Target if blocked => self.at(State::Unlock(ret)).into(),
            State::Target => self.at(State::TargetGone).into(),
            // Or in move_page_tables: the entries stay, the new mapping goes.
            State::Alloc if blocked => self.unmap(cx, ret),
            State::Flush => self.end(cx, 0),
            State::End(result) => self.unmap(cx, result),
            // Best effort: a mapping that cannot be unmapped stays, and nobody is told.
            State::Unmap(result) if ret < 0 => self.at(State::Unlock(result)).into(),
            State::Unmap(result) => self.at(State::Unlink(result)).into(),
            _ => self.into(),
        }
    }
}
