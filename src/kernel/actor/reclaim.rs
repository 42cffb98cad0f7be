//! Reclaim of one page of a file (`shrink_folio_list`; kernel-facts 3.5, R1 to R9).
//!
//! The page is taken as old: references are ignored (R3), as MADV_PAGEOUT does and as the scan
//! does at last. There is no swap (R4): anonymous pages and dirty pages of tmpfs stay. What says so
//! is PG_dirty alone, to which the dirty bits of the entries have been moved by then (R5). Other
//! dirty pages are left to the flusher (R7), as they are in the file systems modelled here.

use super::pinned::ask;
use super::rmap::{self, Purpose, RmapWalk};
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{FolioLock, Owner};
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::{FilePage, Frame};

/// Tries to evict a page of a file. Returns 1 if it did, else 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reclaim {
    at: FilePage,
    place: Place,
}

/// The place of a reclaim. A folio's frame is its head.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// R1: takes the folio off its LRU list, with a reference (`isolate_lru_folios`).
    Isolate,
    /// R1, R2: `folio_trylock`; a folio under writeback is left alone.
    TryLock(Frame),
    /// R5: `try_to_unmap`.
    Unmapping(Frame),
    /// R6: asks whether it may be pinned: nobody can pin it anew now that it is unmapped.
    Pinned(Frame),
    /// R6: it may be.
    Active(Frame),
    /// R7: looks whether it is dirty.
    Dirty(Frame),
    /// R8: `filemap_release_folio` strips the buffers.
    Release(Frame),
    /// R9: `__remove_mapping`: freezes the refcount, only then looks at the dirty flag.
    Remove(Frame),
    /// It stays: `folio_unlock`.
    Keep(Frame),
    /// It stays: back onto an LRU list (`folio_putback_lru`).
    PutBack(Frame),
}

impl Reclaim {
    /// Reclaim of the folio that caches a page of a file.
    pub fn new(at: FilePage) -> Reclaim {
        Reclaim { at, place: Place::Isolate }
    }

    fn to(self, place: Place) -> Next {
        Reclaim { place, ..self }.into()
    }

    fn isolate(self, cx: &mut Step) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::LruLock);
        if cx.map.fs_of(self.at) == FsKind::Dax {
            return Next::Return(0);
        }
        cx.lru_add_drain();
        let folio = cx.cached(self.at).map(|f| cx.head(f));
        let alone = |f: &Frame| cx.flags(*f).lru() || !cx.strategy.keeps(Guard::IsolateOnce);
        let Some(folio) = folio.filter(alone) else { return Next::Return(0) };
        cx.change_flags(folio, |f| f.with_lru(false));
        cx.take_ref(folio);
        self.to(Place::TryLock(folio))
    }

    fn try_lock(self, cx: &mut Step, folio: Frame) -> Next {
        let me = cx.me;
        if cx.get::<FolioLock>(folio).owner() != 0 {
            return self.to(Place::PutBack(folio));
        }
        cx.lock_folio(me, folio);
        if cx.flags(folio).writeback() && cx.strategy.keeps(Guard::ReclaimWriteback) {
            cx.change_flags(folio, |f| f.with_reclaim(true).with_active(true));
            return self.to(Place::Keep(folio));
        }
        match cx.get::<Owner>(folio).file_page() {
            Some(at) if rmap::mapped(cx, folio) => {
                let walk = RmapWalk::new(Purpose::Unmap, at, folio, cx.folio_pages(folio));
                call(walk, Reclaim { place: Place::Unmapping(folio), ..self })
            }
            Some(_) => self.unmapped(cx, folio),
            None => self.to(Place::Keep(folio)),
        }
    }

    /// After R5.
    fn unmapped(self, cx: &Step, folio: Frame) -> Next {
        if rmap::mapped(cx, folio) {
            self.to(Place::Keep(folio))
        } else if cx.strategy.reclaim.asks() {
            self.to(Place::Pinned(folio))
        } else {
            self.to(Place::Dirty(folio))
        }
    }

    fn keep_active(self, cx: &mut Step, folio: Frame) -> Next {
        cx.change_flags(folio, |f| f.with_active(true));
        self.to(Place::Keep(folio))
    }

    fn dirty(self, cx: &mut Step, folio: Frame) -> Next {
        if cx.flags(folio).dirty() {
            cx.change_flags(folio, |f| f.with_reclaim(true));
            return self.keep_active(cx, folio);
        }
        let buffers = cx.flags(folio).buffers();
        self.to(if buffers { Place::Release(folio) } else { Place::Remove(folio) })
    }

    fn release(self, cx: &mut Step, folio: Frame) -> Next {
        if cx.flags(folio).dirty() && cx.strategy.keeps(Guard::ReclaimBuffersDirty) {
            // Dirty buffers are busy (drop_buffers()).
            return self.keep_active(cx, folio);
        }
        cx.strip_buffers(folio);
        self.to(Place::Remove(folio))
    }
}

/// `__remove_mapping`: takes a locked folio out of the cache if the caller's reference and the
/// cache's are the only ones, and it is not dirty. The caller's reference is dropped with them
/// and the frame freed. A page that has left its file is none of its business (`shrink_folio_list`
/// keeps it: `!mapping`). In this order: somebody who writes, dirties and puts the page between the
/// two tests would lose his data otherwise.
pub fn remove_mapping(cx: &mut Step, folio: Frame) -> bool {
    let me = cx.me;
    cx.lock_briefly(me, LockClass::IPages);
    let pages = cx.folio_pages(folio) as i32;
    if cx.get::<Owner>(folio).file_page().is_none() {
        return false;
    }
    let others = cx.counts(folio).refs() != 1 + pages;
    if others && cx.strategy.keeps(Guard::ReclaimFreeze) {
        return false;
    }
    if cx.flags(folio).dirty() && cx.strategy.keeps(Guard::ReclaimDirtyLast) {
        return false;
    }
    cx.unlock_folio(folio);
    cx.cache_remove(folio);
    cx.put_refs(folio, pages);
    cx.drop_ref(folio);
    true
}

/// `folio_putback_lru`: back onto its list, without the isolation's reference. Returns 0: it stays.
pub fn putback_lru(cx: &mut Step, folio: Frame) -> Next {
    let me = cx.me;
    cx.lock_briefly(me, LockClass::LruLock);
    cx.change_flags(folio, |f| f.with_lru(true));
    cx.drop_ref(folio);
    Next::Return(0)
}

impl Machine for Reclaim {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self.place {
            Place::Isolate => Label::new("R1", "isolate_lru_folios", Cost::Lock),
            Place::TryLock(_) => Label::new("R1", "folio_trylock", Cost::Lock),
            Place::Unmapping(_) => Label::new("R5", "try_to_unmap", Cost::Walk),
            Place::Pinned(_) => Label::new("R6", "folio_maybe_dma_pinned", Cost::Atomic),
            Place::Active(_) => Label::new("R6", "folio_set_active", Cost::Step),
            Place::Dirty(_) => Label::new("R7", "folio_test_dirty", Cost::Step),
            Place::Release(_) => Label::new("R8", "filemap_release_folio", Cost::Lock),
            Place::Remove(_) => Label::new("R9", "__remove_mapping", Cost::Lock),
            Place::Keep(_) => Label::new("", "folio_unlock", Cost::Lock),
            Place::PutBack(_) => Label::new("", "folio_putback_lru", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.place {
            Place::Isolate => self.isolate(cx),
            Place::TryLock(folio) => self.try_lock(cx, folio),
            Place::Unmapping(folio) => self.unmapped(cx, folio),
            Place::Pinned(folio) => match ask(cx, folio, self) {
                Ok(true) => self.keep_active(cx, folio),
                Ok(false) => self.to(Place::Dirty(folio)),
                Err(next) => next,
            },
            Place::Active(folio) => self.keep_active(cx, folio),
            Place::Dirty(folio) => self.dirty(cx, folio),
            Place::Release(folio) => self.release(cx, folio),
            Place::Remove(folio) => {
                if remove_mapping(cx, folio) {
                    return Next::Return(1);
                }
                self.to(Place::Keep(folio))
            }
            Place::Keep(folio) => {
                cx.unlock_folio(folio);
                self.to(Place::PutBack(folio))
            }
            Place::PutBack(folio) => putback_lru(cx, folio),
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.place {
            Place::Unmapping(folio) => self.unmapped(cx, folio),
            Place::Pinned(folio) if ret > 0 => self.to(Place::Active(folio)),
            Place::Pinned(folio) => self.to(Place::Dirty(folio)),
            _ => Next::Return(0),
        }
    }
}
