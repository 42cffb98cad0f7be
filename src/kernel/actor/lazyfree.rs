//! Reclaim of an anonymous page that MADV_FREE has given up (`shrink_folio_list`,
//! `try_to_unmap_one`; kernel-facts 3.5, D41).
//!
//! Such a page (anonymous, not PG_swapbacked) needs no swap: if nobody has written to it since, it
//! is unmapped and freed. The caller has found that one page table entry maps it.

use super::notifier::{RangeEnd, RangeStart, watched};
use super::pinned::ask_anon;
use super::reclaim::putback_lru;
use super::routine::call;
use super::step::*;
use super::tlb::drop_everywhere;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{FolioLock, Pte};
use crate::kernel::world::{Frame, VPage};

/// Tries to discard the page that an entry maps. Returns 1 if it is freed, else 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Discard {
    at: VPage,
    folio: Frame,
    place: Place,
}

/// The place of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// R1: off the LRU list, with a reference (`folio_isolate_lru`).
    Isolate,
    /// R1: `folio_trylock`.
    TryLock,
    /// In mmu_notifier_invalidate_range_start.
    Start,
    /// R5: `try_to_unmap_one`: clears the entry, flushes, looks at dirty flag and references; puts
    /// the entry back if they forbid.
    Unmap,
    /// In mmu_notifier_invalidate_range_end.
    End,
    /// R6: asks whether it may be pinned.
    Pinned,
    /// `folio_ref_freeze(folio, 1)`, then the dirty flag: the page is freed if only reclaim's
    /// reference is left.
    Freeze,
    /// It stays: `folio_unlock`.
    Keep,
    /// It stays: back onto an LRU list (`folio_putback_lru`).
    PutBack,
}

impl Discard {
    /// Of the page that an entry maps.
    pub fn new(at: VPage, folio: Frame) -> Discard {
        Discard { at, folio, place: Place::Isolate }
    }

    fn to(self, place: Place) -> Next {
        Discard { place, ..self }.into()
    }

    /// One page-table-lock section. Between clearing the entry and reading the reference count
    /// stands a full barrier, as GUP-fast has one between taking its reference and reading the
    /// entry again: one of the two sees the other. The section is therefore one step: GUP-fast has
    /// its reference before it, or finds the entry changed after it. (That it may find the entry
    /// gone and put back costs it a walk through the slow path, which is not shown.) A store
    /// through a TLB would have made the entry dirty before it was cleared.
    fn unmap(self, cx: &mut Step) -> Next {
        let (me, at) = (cx.me, self.at);
        cx.lock_briefly(me, LockClass::Ptl);
        let pte = cx.get::<Pte>(at);
        if pte.present() && pte.frame() == Some(self.folio) {
            drop_everywhere(cx, at);
            if pte.dirty() {
                cx.mark_dirty(self.folio);
            }
            let dirty = cx.flags(self.folio).dirty();
            if cx.strategy.lazyfree.discards(dirty, cx.counts(self.folio)) {
                cx.set_pte(at, Pte::new());
                cx.map_page(self.folio, -1);
            } else {
                cx.change_flags(self.folio, |f| f.with_swapbacked(true));
            }
        }
        match watched(&cx.map, at) {
            true => call(RangeEnd::new(at, 1), Discard { place: Place::End, ..self }),
            false => self.unmapped(cx),
        }
    }

    fn unmapped(self, cx: &Step) -> Next {
        if cx.counts(self.folio).maps() > 0 {
            return self.to(Place::Keep);
        }
        self.to(if cx.strategy.reclaim.asks() { Place::Pinned } else { Place::Freeze })
    }
}

impl Machine for Discard {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self.place {
            Place::Isolate => Label::new("R1", "folio_isolate_lru", Cost::Lock),
            Place::TryLock => Label::new("R1", "folio_trylock", Cost::Lock),
            Place::Start | Place::End | Place::Unmap => {
                Label::new("R5", "try_to_unmap_one (lazyfree)", Cost::Walk)
            }
            Place::Pinned => Label::new("R6", "folio_maybe_dma_pinned", Cost::Atomic),
            Place::Freeze => Label::new("R9", "folio_ref_freeze", Cost::Atomic),
            Place::Keep => Label::new("", "folio_unlock", Cost::Lock),
            Place::PutBack => Label::new("", "folio_putback_lru", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, folio) = (cx.me, self.folio);
        match self.place {
            Place::Isolate => {
                cx.lock_briefly(me, LockClass::LruLock);
                let ours = cx.get::<Pte>(self.at).frame() == Some(folio);
                if !ours || !cx.flags(folio).lru() || cx.flags(folio).swapbacked() {
                    return Next::Return(0);
                }
                cx.change_flags(folio, |f| f.with_lru(false));
                cx.take_ref(folio);
                self.to(Place::TryLock)
            }
            Place::TryLock if cx.get::<FolioLock>(folio).owner() != 0 => self.to(Place::PutBack),
            Place::TryLock => {
                cx.lock_folio(me, folio);
                match watched(&cx.map, self.at) {
                    true => {
                        let then = Discard { place: Place::Start, ..self };
                        call(RangeStart::new(self.at, 1, true), then)
                    }
                    false => self.to(Place::Unmap),
                }
            }
            Place::Unmap => self.unmap(cx),
            // In the hands of the notifier; see `resume`.
            Place::Start | Place::End => Next::Return(0),
            Place::Pinned if ask_anon(cx, folio) => {
                cx.change_flags(folio, |f| f.with_active(true));
                self.to(Place::Keep)
            }
            Place::Pinned => self.to(Place::Freeze),
            Place::Freeze
                if cx.strategy.keeps(Guard::LazyfreeFreeze)
                    && (cx.counts(folio).refs() != 1 || cx.flags(folio).dirty()) =>
            {
                self.to(Place::Keep)
            }
            Place::Freeze => {
                cx.unlock_folio(folio);
                cx.drop_ref(folio);
                Next::Return(1)
            }
            Place::Keep => {
                cx.unlock_folio(folio);
                self.to(Place::PutBack)
            }
            Place::PutBack => putback_lru(cx, folio),
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.place {
            Place::Start if ret < 0 => self.to(Place::Keep),
            Place::Start => self.to(Place::Unmap),
            _ => self.unmapped(cx),
        }
    }
}
