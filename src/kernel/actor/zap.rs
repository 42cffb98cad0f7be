//! Unmapping: `unmap_mapping_range()` by reverse map, `zap_page_range_single()` of one mapping.

use super::notifier::{RangeEnd, RangeStart, watched};
use super::routine::call;
use super::step::*;
use super::tlb::{FlushTlb, drop_everywhere};
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::{Holder, ZERO_PAGE};
use crate::kernel::world::plan::Backing;
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Frame, Id, Lock, PackedFrame, VPage, Vma};

/// Pages that are gathered before the TLB has to be flushed (`MMU_GATHER_BUNDLE` is 8; smaller
/// here, so that a state stays small).
const BUNDLE: usize = 4;

/// `zap_page_range_single()` of pages of one mapping: notifier start, PTEs cleared under the PTL,
/// notifier end, TLB flush, and only then the references dropped (`tlb_finish_mmu`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Zap {
    first: VPage,
    pages: u32,
    /// Pages done, as an offset from `first`.
    done: u32,
    /// Private copies of file pages go as well (`zap_details.even_cows`).
    even_cows: bool,
    /// A PTE has been cleared since the last flush.
    cleared: bool,
    state: ZapState,
    /// The frames whose references are to be dropped after the flush, packed.
    gathered: [PackedFrame; BUNDLE],
}

/// How far a [`Zap`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum ZapState {
    /// Before mmu_notifier_invalidate_range_start, where somebody may subscribe.
    Start,
    /// zap_pte_range: the PTEs are cleared under the PTL; a dirty PTE makes its folio dirty.
    Clear,
    /// In mmu_notifier_invalidate_range_end.
    End,
    /// In the TLB flush.
    Flush,
    /// tlb_batch_pages_flush: the references of the gathered pages are dropped.
    Drop,
}

impl Zap {
    /// `zap_page_range_single` for munmap and madvise, with mmap_lock held by the caller.
    /// Returns 0, or what a notifier's callback failed with: then nothing has been unmapped
    /// (`--notifier abort` only).
    pub fn range(first: VPage, pages: u32) -> Zap {
        Zap::new(first, pages, true)
    }

    /// `unmap_mapping_range` of pages of a file in all mappings; `even_cows`: private copies
    /// beyond them are dropped as well (truncate does so, punch does not). Returns 0.
    pub fn file(first: FilePage, pages: u32, even_cows: bool) -> UnmapFile {
        UnmapFile { first, pages, even_cows, state: Unmap::Lock }
    }

    fn new(first: VPage, pages: u32, even_cows: bool) -> Zap {
        let gathered = [PackedFrame::NONE; BUNDLE];
        let state = ZapState::Start;
        Zap { first, pages, done: 0, even_cows, cleared: false, state, gathered }
    }

    fn at(self, state: ZapState) -> Zap {
        Zap { state, ..self }
    }

    /// Whether a private copy stays (`should_zap_folio`).
    fn spares(self, cx: &Step, frame: Frame) -> bool {
        !self.even_cows && cx.get::<Owner>(frame).kind() == OwnerKind::Anon
    }

    /// One PTL section of zap_pte_range: clears PTEs until the bundle is full.
    fn clear(mut self, cx: &mut Step) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::Ptl);
        let mut found = 0;
        while self.done < self.pages && found < BUNDLE {
            let at = self.first.plus(self.done);
            self.done += 1;
            let pte = cx.get::<Pte>(at);
            let Some(frame) = pte.frame().filter(|&f| !self.spares(cx, f)) else { continue };
            if pte.present() {
                self.cleared = true;
                if clear_pte(cx, at, pte, frame) {
                    self.gathered[found] = PackedFrame::of(frame);
                    found += 1;
                }
            } else if pte.migration() {
                // zap_nonpresent_ptes: the entry goes, its page is migration's business.
                cx.set_pte(at, Pte::new().with_stale(pte.stale()));
            }
        }
        if self.done < self.pages {
            // The bundle is full: tlb_flush_mmu, then on with the rest.
            return self.flush(cx);
        }
        if watched(&cx.map, self.first) && cx.strategy.keeps(Guard::ZapNotify) {
            return call(RangeEnd::new(self.first, self.pages), self.at(ZapState::End));
        }
        self.flush(cx)
    }

    /// tlb_flush_mmu_tlbonly, if there is anything to flush.
    fn flush(self, cx: &Step) -> Next {
        if !self.cleared {
            return Next::Return(0);
        }
        let then = Zap { cleared: false, ..self.at(ZapState::Flush) };
        if !cx.strategy.keeps(Guard::ZapFlushBeforePut) {
            return then.flushed();
        }
        call(FlushTlb::new(self.first, self.pages), then)
    }

    /// The translations are gone: the pages' references may go.
    fn flushed(self) -> Next {
        match self.gathered[0] == PackedFrame::NONE && self.done == self.pages {
            true => Next::Return(0),
            false => self.at(ZapState::Drop).into(),
        }
    }
}

/// Clears a PTE with the PTL held. Gives whether a reference is to be dropped after the flush.
fn clear_pte(cx: &mut Step, at: VPage, pte: Pte, frame: Frame) -> bool {
    let pmem = cx.get::<Flags>(frame).pmem();
    let anon = cx.get::<Owner>(frame).kind() == OwnerKind::Anon;
    cx.set_pte(at, Pte::new().with_stale(true));
    if pte.dirty() && !anon && !pmem && frame != ZERO_PAGE {
        if cx.strategy.keeps(Guard::ZapDirty) {
            cx.mark_dirty(frame);
        }
        // For a dirty page of a file the flush comes before the PTL is dropped (force_flush,
        // 1cf35d47712d), so that mkclean, which takes the PTL, cannot find the page unmapped
        // while a processor still stores to it. A store through the old entry between clear and
        // flush is no different from one just before the clear; the entries therefore go in this
        // step, and the flush that follows waits for the answers only.
        if cx.strategy.keeps(Guard::ZapForceFlush) {
            drop_everywhere(cx, at);
        }
    }
    if pte.dirty() && pmem && cx.rules.mapped_refs && !cx.flags(frame).dirty() {
        // A DAX page has PG_dirty for ever once it was zapped dirty (noop_dirty_folio): seen as
        // dirty memory in smaps, heeded by nobody.
        cx.change_flags(frame, |f| f.with_dirty(true));
    }
    if frame == ZERO_PAGE || (pmem && !cx.rules.mapped_refs) {
        return false;
    }
    cx.add_rmap(frame, -1);
    cx.hold(frame, Holder::Ref, 1);
    true
}

impl Machine for Zap {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self.state {
            ZapState::Start => Label::new("", "zap_page_range_single", Cost::Walk),
            ZapState::Drop => Label::new("", "tlb_batch_pages_flush", Cost::Atomic),
            _ => Label::new("", "zap_pte_range", Cost::Walk),
        }
    }

    fn step(mut self, cx: &mut Step, _outcome: u8) -> Next {
        match self.state {
            ZapState::Start
                if watched(&cx.map, self.first) && cx.strategy.keeps(Guard::ZapNotify) =>
            {
                call(RangeStart::new(self.first, self.pages, true), self)
            }
            ZapState::Drop => {
                for frame in self.gathered.into_iter().filter_map(PackedFrame::get) {
                    cx.drop_ref(frame);
                }
                if self.done == self.pages {
                    return Next::Return(0);
                }
                self.gathered = [PackedFrame::NONE; BUNDLE];
                self.at(ZapState::Clear).into()
            }
            _ => self.clear(cx),
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.state {
            ZapState::Start if ret < 0 => Next::Return(ret),
            ZapState::Start => self.at(ZapState::Clear).into(),
            ZapState::End => self.flush(cx),
            _ => self.flushed(),
        }
    }
}

/// `unmap_mapping_range()`: under i_mmap_rwsem, zaps pages of a file in every mapping that shows
/// them (`i_mmap_lock_read`; older kernels took it for writing, the zap itself is the same).
///
/// It returns no error, and its callers could do nothing with one: truncate has put the new size
/// on record, faults have to be kept out. A notifier's callback that fails (`--notifier abort`) is
/// therefore called again, once there is memory, with all locks held: truncate is blocked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnmapFile {
    first: FilePage,
    pages: u32,
    even_cows: bool,
    state: Unmap,
}

/// How far an [`UnmapFile`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Unmap {
    /// i_mmap_lock_read, and a look into the interval tree.
    Lock,
    /// This one of the file's mappings is being zapped.
    Mapping(u32),
    /// A notifier's callback failed in this mapping: waits for memory, then begins it again.
    Again(u32),
    /// i_mmap_unlock_read.
    Unlock,
}

impl UnmapFile {
    fn lock(self, map: &Layout) -> Lock {
        map.file_lock(LockClass::IMmapRwsem, map.file_of(self.first))
    }

    /// The next mapping that exists and shows some of the pages (unmap_mapping_range_tree), from
    /// the `from`-th on: its place in the tree, and what of it is to be zapped.
    fn next(self, cx: &Step, from: u32) -> Option<(u32, Zap)> {
        let map = &cx.map;
        let mappings = map.mappings(map.file_of(self.first)).iter().enumerate();
        mappings.skip(from as usize).find_map(|(i, &vma)| {
            let shown = cx.get::<VmaState>(vma).mapped();
            let (first, pages) = shown.then(|| shown_in(map, vma, self.first, self.pages))??;
            Some((i as u32, Zap::new(first, pages, self.even_cows)))
        })
    }

    /// Zaps the next mapping, from the `from`-th on; after the last one, unlocks.
    fn zap(self, cx: &Step, from: u32) -> Next {
        match self.next(cx, from) {
            Some((i, zap)) => call(zap, UnmapFile { state: Unmap::Mapping(i), ..self }),
            None => UnmapFile { state: Unmap::Unlock, ..self }.into(),
        }
    }
}

/// The part of a mapping that shows pages of its file.
fn shown_in(map: &Layout, vma: Vma, first: FilePage, pages: u32) -> Option<(VPage, u32)> {
    let Backing::File { first: offset, .. } = map.vma(vma).backing else { return None };
    let index = map.index_in_file(first);
    let (from, to) = (index.max(offset), (index + pages).min(offset + map.vma(vma).pages));
    let start = map.vma_pages[vma.index()].start;
    (from < to).then(|| (VPage(start + from - offset), to - from))
}

impl Machine for UnmapFile {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            Unmap::Lock => Need::Lock(self.lock(&cx.w.map), Mode::Shared),
            Unmap::Again(_) => Need::FreeFrame,
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.state {
            Unmap::Again(_) => Label::new("", "unmap_mapping_range: again", Cost::Wake),
            Unmap::Unlock => Label::new("", "i_mmap_unlock_read", Cost::Lock),
            _ => Label::new("", "unmap_mapping_range", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, lock) = (cx.me, self.lock(&cx.map));
        if self.state == Unmap::Unlock {
            cx.unlock(me, lock);
            return Next::Return(0);
        }
        if let Unmap::Again(i) = self.state {
            cx.prices.add(Price::NotifierRetries, 1);
            return self.zap(cx, i);
        }
        match self.next(cx, 0) {
            Some((i, zap)) => {
                cx.lock(me, lock, Mode::Shared);
                call(zap, UnmapFile { state: Unmap::Mapping(i), ..self })
            }
            None => {
                cx.might_sleep();
                cx.lock_briefly(me, LockClass::IMmapRwsem);
                Next::Return(0)
            }
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.state {
            Unmap::Mapping(i) if ret < 0 => UnmapFile { state: Unmap::Again(i), ..self }.into(),
            Unmap::Mapping(i) => self.zap(cx, i + 1),
            _ => Next::Return(0),
        }
    }
}
