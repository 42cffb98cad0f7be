//! `drop_caches` and `posix_fadvise(POSIX_FADV_DONTNEED)`: evicts what is clean and unused
//! (`invalidate_mapping_pages`, `mapping_evict_folio`; kernel-facts 4.5). Pinned pages survive:
//! a pin is a reference too many, whatever it is counted as.

use super::folio::LetGo;
use super::reclaim::remove_mapping;
use super::routine::call;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{FolioLock, Owner};
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::{File, FilePage, Frame, Id, World};

/// Evicts the clean, unused pages of a file. Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DropCaches {
    file: File,
    /// The next page of the file to be looked at, by index.
    index: u32,
    place: Place,
}

/// The place of a pass.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Finds the next cached folio and takes a reference.
    Find,
    /// `folio_trylock`, and whether the folio can be evicted at all (`mapping_evict_folio`).
    TryLock(Frame),
    /// `filemap_release_folio`.
    Release(Frame),
    /// `remove_mapping`.
    Remove(Frame),
}

impl DropCaches {
    /// A pass over a file.
    pub fn new(file: File) -> DropCaches {
        DropCaches { file, index: 0, place: Place::Find }
    }

    fn to(self, place: Place) -> Next {
        DropCaches { place, ..self }.into()
    }

    fn next(self) -> DropCaches {
        DropCaches { place: Place::Find, ..self }
    }

    fn find(self, cx: &mut Step) -> Next {
        let pages = cx.map.file_pages[self.file.index()].clone();
        if matches!(cx.map.file(self.file).fs, FsKind::Dax | FsKind::Tmpfs) {
            // Neither has a page cache that could be had from the disk again.
            return Next::Return(0);
        }
        if self.index == 0 {
            // lru_add_drain()
            cx.mlock_drain();
        }
        let mut left = (pages.start + self.index..pages.end).map(FilePage);
        let cached = left.find_map(|at| Some((at, cx.cached(at)?)));
        let Some((at, frame)) = cached else { return Next::Return(0) };
        let folio = cx.head(frame);
        cx.take_ref(folio);
        let index = at.0 - pages.start + cx.folio_pages(folio);
        DropCaches { index, ..self }.to(Place::TryLock(folio))
    }

    fn try_lock(self, cx: &mut Step, folio: Frame) -> Next {
        let me = cx.me;
        if cx.get::<FolioLock>(folio).owner() != 0 {
            return call(LetGo::Put(folio), self.next());
        }
        cx.lock_folio(me, folio);
        if !evictable(cx, folio) {
            return call(LetGo::Unlock(folio), self.next());
        }
        let buffers = cx.flags(folio).buffers();
        self.to(if buffers { Place::Release(folio) } else { Place::Remove(folio) })
    }
}

/// Still a page of the file (it may have been truncated before it was locked), clean, not under
/// writeback, and only held by the cache, its buffers and the caller (`mapping_evict_folio`).
fn evictable(w: &World, folio: Frame) -> bool {
    let flags = w.flags(folio);
    let known = w.folio_pages(folio) as i32 + i32::from(flags.buffers()) + 1;
    let cached = w.get::<Owner>(folio).file_page().is_some();
    cached && !flags.dirty() && !flags.writeback() && w.counts(folio).refs() <= known
}

impl Machine for DropCaches {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self.place {
            Place::Find => Label::new("", "invalidate_mapping_pages", Cost::Atomic),
            Place::TryLock(_) => Label::new("", "folio_trylock", Cost::Lock),
            Place::Release(_) => Label::new("", "filemap_release_folio", Cost::Lock),
            Place::Remove(_) => Label::new("", "remove_mapping", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.place {
            Place::Find => self.find(cx),
            Place::TryLock(folio) => self.try_lock(cx, folio),
            Place::Release(folio) => {
                if cx.flags(folio).dirty() {
                    return call(LetGo::Unlock(folio), self.next());
                }
                cx.strip_buffers(folio);
                self.to(Place::Remove(folio))
            }
            Place::Remove(folio) => {
                if remove_mapping(cx, folio) {
                    return self.next().into();
                }
                call(LetGo::Unlock(folio), self.next())
            }
        }
    }

    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        self.into()
    }
}
