//! Getting hold of a folio of the page cache, and letting go of it.

use super::disk::submit;
use super::errno::ENOMEM;
use super::fault_file::buffers_uptodate;
use super::step::*;
use super::writeback::disk_of;
use crate::kernel::strategy::Guard;
use crate::kernel::world::contents::Contents;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Toucher;
use crate::kernel::world::machine::{BioKind, Extent, ExtentKind, LockClass};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{FsKind, WHOLE};
use crate::kernel::world::{FilePage, Frame};

/// `__filemap_get_folio(FGP_LOCK | FGP_CREAT)`, followed by `read_folio` if the contents are
/// needed. Returns 0 with the folio in the cache, locked and with a reference (both the
/// caller's), or -ENOMEM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GrabFolio {
    at: FilePage,
    /// The folio has to be uptodate.
    uptodate: bool,
    place: GrabPlace,
}

/// The place of a [`GrabFolio`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum GrabPlace {
    /// `filemap_get_entry`: looks the page up and takes a reference.
    Lookup,
    /// Takes the folio lock, and looks whether the folio is still what was looked for.
    Lock(Frame),
    /// It is not: lets it go.
    Unlock(Frame),
    /// It was truncated, or its lock was given up: drops the reference, begins again.
    Put(Frame),
    /// `filemap_alloc_folio`.
    Alloc,
    /// `filemap_add_folio`: the new folio, locked, enters the cache unless another one did.
    Insert(Frame),
    /// Submits a read from the disk, at whose end the folio is unlocked.
    Read(Frame),
    /// A hole: zeroes the folio.
    Zero(Frame),
}

impl GrabFolio {
    /// The folio of a page of a file.
    pub fn new(at: FilePage, uptodate: bool) -> GrabFolio {
        GrabFolio { at, uptodate, place: GrabPlace::Lookup }
    }

    fn to(self, place: GrabPlace) -> Next {
        GrabFolio { place, ..self }.into()
    }

    /// The folio is locked and in the cache: whether there is something to be read.
    fn locked(self, cx: &mut Step, folio: Frame) -> Next {
        if self.uptodate {
            buffers_uptodate(cx, folio);
        }
        if !self.uptodate || cx.flags(folio).uptodate() {
            return Next::Return(0);
        }
        let first = cx.get::<Owner>(folio).file_page();
        let written = |at: FilePage| cx.get::<Extent>(at).kind() == ExtentKind::Written;
        let any = first.is_some_and(|f| (0..cx.folio_pages(folio)).any(|n| written(f.plus(n))));
        self.to(if any { GrabPlace::Read(folio) } else { GrabPlace::Zero(folio) })
    }

    fn insert(self, cx: &mut Step, frame: Frame) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::IPages);
        if cx.cached(self.at).is_some() && cx.strategy.keeps(Guard::AddFolioOnce) {
            return self.to(GrabPlace::Put(frame));
        }
        let tmpfs = cx.map.fs_of(self.at) == FsKind::Tmpfs;
        cx.lock_folio(me, frame);
        cx.cache_insert(self.at, frame);
        cx.change_flags(frame, |f| f.with_swapbacked(tmpfs));
        cx.lru_add(frame);
        self.locked(cx, frame)
    }
}

impl Machine for GrabFolio {
    fn need(self, cx: &Scene) -> Need {
        match self.place {
            GrabPlace::Lock(folio) => Need::FolioLock(folio),
            GrabPlace::Read(_) => disk_of(cx.w, self.at).map_or(Need::Nothing, Need::FreeTag),
            _ => Need::Nothing,
        }
    }

    fn outcomes(self, cx: &Scene) -> u8 {
        if self.place == GrabPlace::Alloc && Step::may_fail(cx.w) { 2 } else { 1 }
    }

    fn label(self) -> Label {
        match self.place {
            GrabPlace::Lookup => Label::new("", "filemap_get_entry", Cost::Atomic),
            GrabPlace::Lock(_) => Label::new("", "folio_lock", Cost::Lock),
            GrabPlace::Unlock(_) => Label::new("", "folio_unlock", Cost::Lock),
            GrabPlace::Put(_) => Label::new("", "folio_put", Cost::Atomic),
            GrabPlace::Alloc => Label::new("", "filemap_alloc_folio", Cost::Alloc),
            GrabPlace::Insert(_) => Label::new("", "filemap_add_folio", Cost::Lock),
            GrabPlace::Read(_) => Label::new("", "read_folio", Cost::Submit),
            GrabPlace::Zero(_) => Label::new("", "folio_zero_range", Cost::Copy),
        }
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
        let me = cx.me;
        match self.place {
            GrabPlace::Lookup => match cx.cached(self.at) {
                Some(frame) => {
                    let folio = cx.head(frame);
                    cx.take_ref(folio);
                    self.to(GrabPlace::Lock(folio))
                }
                None => self.to(GrabPlace::Alloc),
            },
            GrabPlace::Lock(folio) => {
                cx.might_sleep();
                cx.lock_folio(me, folio);
                match cx.cached(self.at) {
                    Some(frame) if cx.head(frame) == folio => self.locked(cx, folio),
                    _ if !cx.strategy.keeps(Guard::GrabTruncated) => self.locked(cx, folio),
                    _ => self.to(GrabPlace::Unlock(folio)),
                }
            }
            GrabPlace::Unlock(folio) => {
                cx.unlock_folio(folio);
                self.to(GrabPlace::Put(folio))
            }
            GrabPlace::Put(folio) => {
                cx.drop_ref(folio);
                self.to(GrabPlace::Lookup)
            }
            GrabPlace::Alloc => {
                cx.might_sleep();
                if outcome == 1 {
                    cx.fail_allocation();
                    return Next::Return(-ENOMEM);
                }
                match cx.alloc_frame() {
                    Some(frame) => self.to(GrabPlace::Insert(frame)),
                    None => Next::Return(-ENOMEM),
                }
            }
            GrabPlace::Insert(frame) => self.insert(cx, frame),
            GrabPlace::Read(folio) => {
                let block = cx.get::<Extent>(self.at).block();
                if let Some(disk) = disk_of(cx, self.at) {
                    submit(cx, disk, BioKind::ReadIn, Some(folio), block);
                }
                self.to(GrabPlace::Lock(folio))
            }
            GrabPlace::Zero(folio) => {
                for frame in (0..cx.folio_pages(folio)).map(|n| folio.plus(n)) {
                    let page = cx.page(frame);
                    cx.touch(page, true, Toucher::Kernel);
                    cx.fill(frame, WHOLE, Contents::ZERO);
                }
                cx.change_flags(folio, |f| f.with_uptodate(true));
                Next::Return(0)
            }
        }
    }
}

/// `folio_unlock` and `folio_put`: lets go of a folio that the caller locked and referenced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LetGo {
    /// Unlocks it.
    Unlock(Frame),
    /// Drops the reference. Returns 0.
    Put(Frame),
}

impl Machine for LetGo {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self {
            LetGo::Unlock(_) => Label::new("", "folio_unlock", Cost::Lock),
            LetGo::Put(_) => Label::new("", "folio_put", Cost::Atomic),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self {
            LetGo::Unlock(folio) => {
                cx.unlock_folio(folio);
                LetGo::Put(folio).into()
            }
            LetGo::Put(folio) => {
                cx.drop_ref(folio);
                Next::Return(0)
            }
        }
    }
}
