//! madvise(MADV_PAGEOUT), madvise(MADV_COLD) and madvise(MADV_FREE).
//!
//! MADV_PAGEOUT reclaims pages that are mapped here and nowhere else; without swap, anonymous
//! ones stay (kernel truth D10, D12, D13). MADV_FREE marks anonymous pages as free to be dropped;
//! MADV_PAGEOUT, which stands for any reclaim, then drops them ([`Discard`]; D41).

use super::errno::EINVAL;
use super::lazyfree::Discard;
use super::notifier::{RangeEnd, RangeStart, watched};
use super::reclaim::Reclaim;
use super::routine::call;
use super::split::SplitFolio;
use super::step::*;
use super::tlb::FlushTlb;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Owner, OwnerKind, Pte, VmaState};
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Frame, Lock, VPage, World};

/// A madvise call over some pages of a mapping. Returns 0, -EINVAL if they are locked, -ENOMEM
/// if a notifier failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PageOut {
    first: VPage,
    pages: u32,
    /// Pages done.
    done: u32,
    what: What,
    place: Place,
}

/// What is done with the pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum What {
    /// They are reclaimed.
    Reclaim,
    /// They may be dropped.
    Free,
    /// They are the next to be reclaimed: nothing that could be seen.
    Cool,
}

/// The place of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Takes mmap_lock shared.
    Lock,
    /// Looks at a page table entry, under the page-table lock.
    Entry,
    /// A larger folio, of which so many entries have been passed over, is being split; if that
    /// succeeds they are looked at again.
    Split(u32),
    /// Releases mmap_lock.
    Unlock(Ret),
}

impl PageOut {
    /// MADV_PAGEOUT
    pub fn now(first: VPage, pages: u32) -> PageOut {
        PageOut { first, pages, done: 0, what: What::Reclaim, place: Place::Lock }
    }

    /// MADV_FREE
    pub fn lazily(first: VPage, pages: u32) -> PageOut {
        PageOut { what: What::Free, ..PageOut::now(first, pages) }
    }

    /// MADV_COLD
    pub fn cool(first: VPage, pages: u32) -> PageOut {
        PageOut { what: What::Cool, ..PageOut::now(first, pages) }
    }

    fn to(self, place: Place) -> Next {
        PageOut { place, ..self }.into()
    }

    fn mmap_lock(self, w: &World) -> Lock {
        w.map.mmap_lock(w.map.mm_of(self.first))
    }

    /// On to the next page; after the last one `madvise_free_single_vma` ends the section of the
    /// notifiers.
    fn on(self, cx: &Step) -> Next {
        if self.done < self.pages {
            return self.to(Place::Entry);
        }
        match self.notifies(cx) {
            true => {
                let then = PageOut { place: Place::Unlock(0), ..self };
                call(RangeEnd::new(self.first, self.pages), then)
            }
            false => self.to(Place::Unlock(0)),
        }
    }

    /// Whether devices are told (`madvise_free_single_vma`; pageout tells them page by page, from
    /// try_to_unmap).
    fn notifies(self, cx: &Step) -> bool {
        self.what == What::Free && watched(&cx.map, self.first)
    }

    /// `madvise_cold_or_pageout_pte_range`, `madvise_free_pte_range`
    fn entry(self, cx: &mut Step) -> Next {
        let (me, at) = (cx.me, self.first.plus(self.done));
        let then = PageOut { done: self.done + 1, ..self };
        cx.lock_briefly(me, LockClass::Ptl);
        let pte = cx.get::<Pte>(at);
        let Some(frame) = pte.frame().filter(|_| pte.present()) else { return then.on(cx) };
        if cx.folio_pages(frame) > 1 && self.what != What::Free {
            return self.large(cx, frame);
        }
        if self.what == What::Cool {
            cx.set_pte(at, pte.with_young(false));
            cx.change_flags(frame, |f| f.with_referenced(false).with_active(false));
            return then.on(cx);
        }
        if self.what == What::Free {
            if cx.get::<Owner>(frame).kind() != OwnerKind::Anon {
                return then.on(cx);
            }
            cx.set_pte(at, pte.with_dirty(false).with_young(false).with_stale(true));
            cx.change_flags(frame, |f| f.with_dirty(false).with_swapbacked(false));
            return call(FlushTlb::new(at, 1), then);
        }
        let page: Option<FilePage> = cx.get::<Owner>(frame).file_page();
        match page {
            Some(page) if cx.counts(frame).maps() == 1 => call(Reclaim::new(page), then),
            None if lazyfree(cx, frame) => call(Discard::new(at, frame), then),
            _ => then.on(cx),
        }
    }
}

impl PageOut {
    /// A larger folio (of a file: anonymous memory has none here). One whose pages are all mapped
    /// here, and nowhere else, is taken as a whole; of one that reaches beyond the range, or is
    /// not mapped as a whole, nothing is: it is split, unless another address space maps it too.
    fn large(self, cx: &mut Step, frame: Frame) -> Next {
        let (me, folio, size) = (cx.me, cx.head(frame), cx.folio_pages(frame));
        let left = self.pages - self.done;
        let maps = |&n: &u32| {
            let pte = cx.get::<Pte>(self.first.plus(self.done + n));
            pte.present() && pte.frame() == Some(frame.plus(n))
        };
        let most = left.min(folio.0 + size - frame.0);
        let batch = (0..most).take_while(maps).count() as u32; // madvise_folio_pte_batch()
        let then = PageOut { done: self.done + batch, ..self };
        let page: Option<FilePage> = cx.get::<Owner>(frame).file_page();
        if batch < size {
            if shared(cx, folio, self.first) || cx.folio_locked_by(folio).is_some() {
                return then.on(cx);
            }
            cx.lock_folio(me, folio);
            cx.take_ref(folio);
            return call(SplitFolio::new(folio), PageOut { place: Place::Split(batch), ..then });
        }
        let alone = u32::try_from(cx.counts(folio).maps()) == Ok(size);
        match page.filter(|_| alone && cx.flags(folio).lru()) {
            Some(page) if self.what == What::Reclaim => call(Reclaim::new(page), then),
            Some(_) => {
                for n in 0..batch {
                    let at = self.first.plus(self.done + n);
                    let pte = cx.get::<Pte>(at);
                    cx.set_pte(at, pte.with_young(false));
                }
                cx.change_flags(folio, |f| f.with_referenced(false).with_active(false));
                then.on(cx)
            }
            None => then.on(cx),
        }
    }
}

/// Whether another address space than that of a mapping maps a folio
/// (`folio_maybe_mapped_shared`).
fn shared(w: &World, folio: Frame, at: VPage) -> bool {
    let Some(first) = w.get::<Owner>(folio).file_page() else { return false };
    let mm = w.map.mm_of(at);
    let elsewhere = |page: FilePage| {
        w.map.rmap(page).filter(|&v| w.map.mm_of(v) != mm).any(|v| {
            let pte = w.get::<Pte>(v);
            pte.present() && pte.frame().is_some_and(|f| w.head(f) == folio)
        })
    };
    (0..w.folio_pages(folio)).any(|n| elsewhere(first.plus(n)))
}

/// Anonymous, given up by MADV_FREE, and mapped once (`folio_mapcount() != 1` is passed over).
fn lazyfree(w: &World, frame: Frame) -> bool {
    let anon = w.get::<Owner>(frame).kind() == OwnerKind::Anon;
    anon && !w.flags(frame).swapbacked() && w.counts(frame).maps() == 1
}

impl Machine for PageOut {
    fn need(self, cx: &Scene) -> Need {
        match self.place {
            Place::Lock => Need::Lock(self.mmap_lock(cx.w), Mode::Shared),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match (self.place, self.what == What::Free) {
            (Place::Lock, _) => Label::new("", "madvise: mmap_read_lock", Cost::Syscall),
            (Place::Entry, true) => Label::new("", "madvise_free_pte_range", Cost::Walk),
            (Place::Entry | Place::Split(_), _) => {
                Label::new("", "madvise_cold_or_pageout_pte_range", Cost::Walk)
            }
            (Place::Unlock(_), _) => Label::new("", "mmap_read_unlock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, lock) = (cx.me, self.mmap_lock(cx));
        match self.place {
            Place::Lock => {
                cx.lock(me, lock, Mode::Shared);
                let vma = cx.map.vma_of(self.first);
                let start = cx.map.vma_pages[vma.0 as usize].start;
                if cx.get::<VmaState>(vma).any_locked(self.first.0 - start, self.pages) {
                    return self.to(Place::Unlock(-EINVAL));
                }
                // lru_add_drain()
                cx.mlock_drain();
                if self.notifies(cx) {
                    let then = PageOut { place: Place::Entry, ..self };
                    return call(RangeStart::new(self.first, self.pages, true), then);
                }
                self.on(cx)
            }
            Place::Entry | Place::Split(_) => self.entry(cx),
            Place::Unlock(ret) => {
                cx.unlock(me, lock);
                Next::Return(ret)
            }
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.place {
            // A notifier failed (--notifier abort).
            Place::Entry if self.what == What::Free && ret < 0 => {
                cx.prices.add(Price::FailedCalls, 1);
                self.to(Place::Unlock(ret))
            }
            Place::Unlock(_) => self.into(),
            Place::Split(passed) if ret == 0 => PageOut { done: self.done - passed, ..self }.on(cx),
            _ => self.on(cx),
        }
    }
}
