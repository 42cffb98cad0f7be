//! Removing pages from a file's page cache (`invalidate_inode_pages2_range`; kernel-facts 4.5).
//!
//! Direct I/O does it around a write. It ignores the refcount on purpose: a pinned but clean page
//! is removed, and what a device writes to it afterwards is lost.

use super::errno::EBUSY;
use super::folio::LetGo;
use super::rmap;
use super::routine::call;
use super::step::*;
use super::zap::Zap;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{CacheSlot, Owner};
use crate::kernel::world::{FilePage, Frame};

/// Removes the cached pages of a range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InvalidatePages {
    next: FilePage,
    end: FilePage,
    /// Dirty pages go too (`truncate_inode_pages_range`).
    discard: bool,
    /// A page stayed.
    busy: bool,
    place: Place,
}

/// The place of a removal. A folio's frame is its head.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Finds the next cached folio and takes a reference.
    Find,
    /// `folio_lock`, and a look whether the folio is still in the file.
    Lock(Frame),
    /// `folio_wait_writeback`.
    Wait(Frame),
    /// `unmap_mapping_folio`.
    Unmapping(Frame),
    /// `filemap_release_folio`: the filesystem gives up its private data.
    ReleaseBuffers(Frame),
    /// `invalidate_complete_folio2`: unless the folio is dirty, it leaves the cache.
    Remove(Frame),
    /// The folio is being unlocked and put.
    LettingGo,
}

impl InvalidatePages {
    /// `invalidate_inode_pages2_range`. Returns 0, or -EBUSY if a dirty page stayed.
    pub fn clean(first: FilePage, pages: u32) -> InvalidatePages {
        let (next, end) = (first, first.plus(pages));
        InvalidatePages { next, end, discard: false, busy: false, place: Place::Find }
    }

    /// `truncate_inode_pages_range` of whole pages: dirty ones are dropped too. Returns 0.
    pub fn discard(first: FilePage, pages: u32) -> InvalidatePages {
        InvalidatePages { discard: true, ..InvalidatePages::clean(first, pages) }
    }

    fn to(self, place: Place) -> Next {
        InvalidatePages { place, ..self }.into()
    }

    fn find(self, cx: &mut Step) -> Next {
        let mut pages = (self.next.0..self.end.0).map(FilePage);
        let cached = pages.find_map(|at| Some((at, cx.cached(at)?)));
        let Some((at, frame)) = cached else {
            return Next::Return(if self.busy { -EBUSY } else { 0 });
        };
        let folio = cx.head(frame);
        cx.take_ref(folio);
        let next = at.plus(1);
        InvalidatePages { next, ..self }.to(Place::Lock(folio))
    }

    fn let_go(self, folio: Frame) -> Next {
        call(LetGo::Unlock(folio), InvalidatePages { place: Place::LettingGo, ..self })
    }

    fn first(cx: &Step, folio: Frame) -> Option<FilePage> {
        cx.get::<Owner>(folio).file_page()
    }

    /// After the wait for writeback, under the folio lock.
    fn unmap(self, cx: &Step, folio: Frame) -> Next {
        match InvalidatePages::first(cx, folio) {
            Some(at) if rmap::mapped(cx, folio) => {
                let zap = Zap::file(at, cx.folio_pages(folio), false);
                call(zap, InvalidatePages { place: Place::Unmapping(folio), ..self })
            }
            _ => self.release(cx, folio),
        }
    }

    fn release(self, cx: &Step, folio: Frame) -> Next {
        let buffers = cx.flags(folio).buffers();
        self.to(if buffers { Place::ReleaseBuffers(folio) } else { Place::Remove(folio) })
    }

    fn remove(self, cx: &mut Step, folio: Frame) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::IPages);
        let stays = cx.flags(folio).dirty() && cx.strategy.keeps(Guard::InvalidateDirty);
        if stays && !self.discard {
            return InvalidatePages { busy: true, ..self }.let_go(folio);
        }
        cx.change_flags(folio, |f| f.with_dirty(false).with_prepared(false));
        let pages = cx.folio_pages(folio) as i32;
        cx.cache_remove(folio);
        cx.put_refs(folio, pages);
        self.let_go(folio)
    }
}

impl Machine for InvalidatePages {
    fn need(self, cx: &Scene) -> Need {
        match self.place {
            Place::Lock(folio) => Need::FolioLock(folio),
            Place::Wait(folio) if cx.strategy.keeps(Guard::InvalidateWriteback) => {
                Need::WritebackEnd(folio)
            }
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.place {
            Place::Find => Label::new("", "invalidate_inode_pages2_range", Cost::Atomic),
            Place::Lock(_) => Label::new("", "folio_lock", Cost::Lock),
            Place::Wait(_) => Label::new("", "folio_wait_writeback", Cost::Wake),
            Place::ReleaseBuffers(_) => Label::new("", "filemap_release_folio", Cost::Lock),
            _ => Label::new("", "invalidate_complete_folio2", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.place {
            Place::Find | Place::LettingGo => self.find(cx),
            Place::Lock(folio) => {
                let me = cx.me;
                cx.might_sleep();
                cx.lock_folio(me, folio);
                match InvalidatePages::first(cx, folio) {
                    None => self.let_go(folio),
                    Some(at) if cx.get::<CacheSlot>(at).tag_writeback() => {
                        self.to(Place::Wait(folio))
                    }
                    Some(_) if cx.flags(folio).writeback() => self.to(Place::Wait(folio)),
                    Some(_) => self.unmap(cx, folio),
                }
            }
            Place::Wait(folio) => self.unmap(cx, folio),
            Place::ReleaseBuffers(folio) => {
                if self.discard || !cx.flags(folio).dirty() {
                    cx.strip_buffers(folio);
                }
                self.to(Place::Remove(folio))
            }
            Place::Remove(folio) | Place::Unmapping(folio) => self.remove(cx, folio),
        }
    }

    fn resume(self, cx: &mut Step, _ret: Ret) -> Next {
        match self.place {
            Place::Unmapping(folio) => self.release(cx, folio),
            _ => self.to(Place::Find),
        }
    }
}
