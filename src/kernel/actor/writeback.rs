//! Writeback of a file's page cache (kernel-facts 3.1, B1 to B10; B11 is the disk's).
//!
//! `ext4_writepages` / `iomap_writepages` / `extent_write_cache_pages`: folio by folio, under the
//! folio lock, until PG_writeback is set. B7 write-protects page table entries, not pins; what is
//! done about a pin is up to `--writeback` ([`WritePinned`], [`bounce`]). DAX takes another way.

use super::bounce;
use super::dax_writeback::DaxWriteback;
use super::disk::{end_page_writeback, set_error, submit, sum_by_filesystem};
use super::errno::ENOSPC;
use super::extents::target;
use super::file_io::bytes_inside;
use super::fixup;
use super::rmap::{self, Purpose, RmapWalk};
use super::routine::call;
use super::step::*;
use super::truncate_pages::zero_part;
use super::writeback_pinned::{SKIP, WritePinned};
use crate::kernel::strategy::writeback::Bounce;
use crate::kernel::strategy::{Guard, NoBuffers};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{FsKind, PAGE_SIZE, SyncMode, WHOLE};
use crate::kernel::world::{Disk, File, FilePage, Frame, Id, World};

/// `do_writepages` over pages of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WritePages {
    next: FilePage,
    end: FilePage,
    mode: SyncMode,
    place: Place,
}

/// The place of a pass. A folio's frame is its head.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// The whole file is to be written; where its pages are is looked up in the first step.
    Whole(File),
    /// B1: a pass for integrity turns DIRTY tags into TOWRITE first, so that it cannot be kept
    /// going for ever (`tag_pages_for_writeback`).
    Tag,
    /// B1: finds the next folio by its tag and takes a reference (`filemap_get_folios_tag`).
    Find,
    /// B2, B3: takes the folio lock; under it, nobody but this agent decides what to skip.
    Lock(Frame),
    /// B4: WB_SYNC_ALL waits for the writeback before (`folio_wait_writeback`).
    Wait(Frame),
    /// B5: a dirty page that has no buffers (`ext4_writepages`, `mpage_prepare_extent_to_map`).
    NoBuffers(Frame),
    /// B6: allocates blocks for reserved ones (`mpage_map_one_extent`, `xfs_map_blocks`).
    Map(Frame),
    /// B7a: the walk of the reverse map goes on.
    Cleaning(Frame),
    /// B7b: what was dirty in page tables is dirty in the folio (`folio_mark_dirty`).
    Redirty(Frame),
    /// Whether it may be pinned is being asked, by designs that do.
    Asked(Frame),
    /// B7c: `folio_clear_dirty_for_io` clears PG_dirty.
    ClearDirty(Frame, Option<Bounce>),
    /// B8: `folio_start_writeback`.
    Start(Job),
    /// `folio_redirty_for_writepage`: a pinned page stays dirty (claim 12).
    StayDirty(Job),
    /// B9: `folio_unlock`.
    Unlock(Job),
    /// B10: `submit_bio` for a page of the folio.
    Submit(Job, u16),
    /// B10: a bounce page for it is being filled.
    Bounced(Job, u16),
    /// B3: `folio_unlock` of a folio that is skipped.
    Skip(Frame),
    /// `folio_batch_release`: drops the reference of the lookup.
    Release(Frame),
}

/// How a folio is written, from B8 on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Job {
    folio: Frame,
    /// The filesystem has prepared for breaking COW.
    cow: bool,
    /// A copy is written.
    bounce: Option<Bounce>,
}

impl Job {
    /// The copy is made, and submitted, before the folio is unlocked.
    fn copies_locked(self) -> bool {
        self.bounce.is_some_and(|b| b.locked)
    }
}

impl WritePages {
    /// A pass over a whole file. Returns 0.
    pub fn new(file: File, mode: SyncMode) -> WritePages {
        let none = FilePage(0);
        WritePages { next: none, end: none, mode, place: Place::Whole(file) }
    }

    /// A pass over some pages of a file. Returns 0.
    pub fn range(first: FilePage, pages: u32, mode: SyncMode) -> WritePages {
        let place = match mode {
            SyncMode::Cleaning => Place::Find,
            SyncMode::Integrity => Place::Tag,
        };
        WritePages { next: first, end: first.plus(pages), mode, place }
    }

    fn to(self, place: Place) -> Next {
        WritePages { place, ..self }.into()
    }

    /// The pages to be looked at, from the first of the folio on in whose middle the range begins.
    fn slots(self, w: &World) -> impl Iterator<Item = FilePage> + use<> {
        (w.folio_slots(self.next).start..self.end.0).map(FilePage)
    }

    /// Filesystems without a page cache that is written back take another way.
    fn elsewhere(self, w: &World) -> Option<Next> {
        if self.next >= self.end {
            return Some(Next::Return(0));
        }
        match (w.map.fs_of(self.next), self.mode) {
            (FsKind::Tmpfs, _) | (FsKind::Dax, SyncMode::Cleaning) => Some(Next::Return(0)),
            (FsKind::Dax, SyncMode::Integrity) => {
                Some(DaxWriteback::new(self.next, self.end).into())
            }
            _ => None,
        }
    }

    /// B1
    fn tag(self, cx: &mut Step) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::IPages);
        for at in self.slots(cx) {
            let slot = cx.get::<CacheSlot>(at);
            if slot.tag_dirty() {
                cx.set(at, slot.with_tag_towrite(true));
            }
        }
        self.to(Place::Find)
    }

    /// B1
    fn find(self, cx: &mut Step) -> Next {
        let integrity = self.mode == SyncMode::Integrity;
        let towrite = cx.strategy.keeps(Guard::WritebackTowrite);
        let tagged = self.slots(cx).find(|&at| {
            let slot = cx.get::<CacheSlot>(at);
            if integrity && towrite { slot.tag_towrite() } else { slot.tag_dirty() }
        });
        let Some((at, frame)) = tagged.and_then(|at| Some((at, cx.cached(at)?))) else {
            return Next::Return(0);
        };
        let folio = cx.head(frame);
        cx.take_ref(folio);
        WritePages { next: at.plus(cx.folio_pages(folio)), ..self }.to(Place::Lock(folio))
    }

    /// B2, B3
    fn lock(self, cx: &mut Step, folio: Frame) -> Next {
        let me = cx.me;
        cx.might_sleep();
        cx.lock_folio(me, folio);
        let flags = cx.flags(folio);
        let ours = cx.get::<Owner>(folio).file_page().is_some();
        let (strategy, integrity) = (cx.strategy, self.mode == SyncMode::Integrity);
        let waits = match integrity {
            true => strategy.keeps(Guard::WritebackWaitBefore),
            false => strategy.keeps(Guard::WritebackSkipBusy),
        };
        if !ours || (!flags.dirty() && strategy.keeps(Guard::WritebackDirtyAgain)) {
            self.to(Place::Skip(folio))
        } else if !flags.writeback() || !waits {
            self.prepare(cx, folio)
        } else if self.mode == SyncMode::Integrity {
            self.to(Place::Wait(folio))
        } else {
            self.to(Place::Skip(folio))
        }
    }

    /// Under the folio lock: whether there is something to do about buffers (B5) or blocks (B6)
    /// before the page is cleaned (B7). All of it can only change under the folio lock.
    fn prepare(self, cx: &mut Step, folio: Frame) -> Next {
        let Some(at) = cx.get::<Owner>(folio).file_page() else {
            return self.to(Place::Skip(folio));
        };
        let fs = cx.map.fs_of(at);
        if fs == FsKind::Ext4 && !cx.flags(folio).buffers() {
            return self.to(Place::NoBuffers(folio));
        }
        let delayed = |p: FilePage| cx.get::<Extent>(p).kind() == ExtentKind::Delalloc;
        if fs != FsKind::Btrfs && pages(cx, folio, at).any(|(_, p)| delayed(p)) {
            return self.to(Place::Map(folio));
        }
        self.clean(cx, folio, at)
    }

    fn clean(self, cx: &Step, folio: Frame, at: FilePage) -> Next {
        self.ask(cx, folio, false).unwrap_or_else(|| self.protect(cx, folio, at))
    }

    /// B7a, if anybody maps the folio.
    fn protect(self, cx: &Step, folio: Frame, at: FilePage) -> Next {
        if !rmap::mapped(cx, folio) {
            return self.cleaned(cx, folio);
        }
        let walk = RmapWalk::new(Purpose::Clean, at, folio, cx.folio_pages(folio));
        call(walk, WritePages { place: Place::Cleaning(folio), ..self })
    }

    /// No mapping allows stores any more.
    fn cleaned(self, cx: &Step, folio: Frame) -> Next {
        self.ask(cx, folio, true).unwrap_or(self.to(Place::ClearDirty(folio, None)))
    }

    /// Is it pinned? Asked by designs that do, and not before it is write-protected.
    fn ask(self, cx: &Step, folio: Frame, protected: bool) -> Option<Next> {
        let question = WritePinned::ask(cx, folio, self.mode)?;
        let now = protected == cx.strategy.keeps(Guard::PinAskedLast);
        now.then(|| call(question, WritePages { place: Place::Asked(folio), ..self }))
    }

    /// B5
    fn no_buffers(self, cx: &mut Step, folio: Frame) -> Next {
        if cx.strategy.no_buffers == NoBuffers::Bug {
            // The thread dies in BUG_ON(!page_has_buffers(page)) with its locks held.
            let me = cx.me;
            cx.update::<ActorState>(me, |s| s.with_life(Life::Killed));
            return Next::Exit;
        }
        // ext4_warning_inode(): the page's data is lost; its tag stays behind.
        cx.change_flags(folio, |f| f.with_dirty(false));
        self.to(Place::Skip(folio))
    }

    /// B6
    fn map(self, cx: &mut Step, folio: Frame) -> Next {
        cx.might_sleep();
        let Some(at) = cx.get::<Owner>(folio).file_page() else {
            return self.to(Place::Skip(folio));
        };
        for (_, page) in pages(cx, folio, at) {
            if cx.get::<Extent>(page).kind() != ExtentKind::Delalloc {
                continue;
            }
            let block = disk_of(cx, page).and_then(|disk| cx.alloc_block(disk, page));
            let Some(block) = block else {
                return self.give_up(cx, folio, at);
            };
            cx.set(page, Extent::at(ExtentKind::Unwritten, block));
        }
        self.clean(cx, folio, at)
    }

    /// ENOSPC for blocks that had been promised: "This should not happen!! Data will be lost"
    /// (ext4), and the page is not dirty any more (`mpage_release_unused_pages`).
    fn give_up(self, cx: &mut Step, folio: Frame, at: FilePage) -> Next {
        for (frame, page) in pages(cx, folio, at) {
            let lost = cx.data(frame);
            set_error(cx, page, ENOSPC, lost);
        }
        cx.change_flags(folio, |f| f.with_dirty(false));
        self.to(Place::Skip(folio))
    }

    /// B7c
    fn clear_dirty(self, cx: &mut Step, folio: Frame, bounce: Option<Bounce>) -> Next {
        let Some(at) = cx.get::<Owner>(folio).file_page() else {
            return self.to(Place::Skip(folio));
        };
        let flags = cx.flags(folio);
        if cx.map.fs_of(at) == FsKind::Btrfs && !flags.prepared() {
            // Redirtied and not written, and fsync does not mind (kernel truth E13).
            fixup::queue(cx, folio);
            return self.to(Place::Skip(folio));
        }
        cx.change_flags(folio, |f| f.with_dirty(false).with_prepared(false));
        if !cx.strategy.keeps(Guard::WritebackStartLocked) {
            cx.unlock_folio(folio);
        }
        self.to(Place::Start(Job { folio, cow: flags.prepared(), bounce }))
    }

    /// B8. What lies beyond the end of the file is zeroed on the way ("on each and every
    /// writepage invocation because it may be mmapped": `ext4_bio_write_folio`), to the end of the
    /// folio, if the file ends in it (`iomap_writepage_handle_eof`).
    fn start(self, cx: &mut Step, job: Job) -> Next {
        let (me, folio) = (cx.me, job.folio);
        cx.lock_briefly(me, LockClass::IPages);
        let Some(at) = cx.get::<Owner>(folio).file_page() else {
            let locked = cx.strategy.keeps(Guard::WritebackStartLocked);
            return self.to(if locked { Place::Skip(folio) } else { Place::Release(folio) });
        };
        let mut any = false;
        for (frame, page) in pages(cx, folio, at) {
            let inside = bytes_inside(cx, page);
            if inside == 0 && bytes_inside(cx, at) > 0 {
                zero_part(cx, frame, page, WHOLE);
            }
            if inside == 0 || !has_target(cx, page) {
                continue;
            }
            if inside < PAGE_SIZE as u16 {
                zero_part(cx, frame, page, (inside, PAGE_SIZE as u16));
            }
            cx.update::<CacheSlot>(page, |s| s.with_tag_writeback(true));
            any = true;
        }
        let dirty = cx.change_flags(folio, |f| f.with_writeback(any)).dirty();
        cx.update::<CacheSlot>(at, |s| {
            s.with_tag_dirty(dirty && s.tag_dirty()).with_tag_towrite(false)
        });
        match job.bounce {
            Some(Bounce { stays_dirty: true, .. }) => self.to(Place::StayDirty(job)),
            _ => self.started(cx, job),
        }
    }

    /// The lock is given up, unless the copy has to be made under it.
    fn started(self, cx: &Step, job: Job) -> Next {
        match job.copies_locked() {
            true => self.submit_from(cx, job, 0),
            false => self.to(Place::Unlock(job)),
        }
    }

    /// After B9 or a bio: the next page of the folio that has to be submitted, from `page` on.
    fn submit_from(self, cx: &Step, job: Job, page: u16) -> Next {
        let folio = job.folio;
        let first = cx.get::<Owner>(folio).file_page();
        let pending = |n: &u16| {
            first.is_some_and(|at| cx.get::<CacheSlot>(at.plus(u32::from(*n))).tag_writeback())
        };
        let next = (page..cx.folio_pages(folio) as u16).find(pending);
        match next {
            Some(page) => self.to(Place::Submit(job, page)),
            None if job.copies_locked() => self.to(Place::Unlock(job)),
            None => self.to(Place::Release(folio)),
        }
    }

    /// B10
    fn submit(self, cx: &mut Step, job: Job, page: u16) -> Next {
        let frame = job.folio.plus(u32::from(page));
        let place =
            if job.copies_locked() { Place::Unlock(job) } else { Place::Release(job.folio) };
        let on = WritePages { place, ..self };
        let Some(at) = cx.get::<Owner>(frame).file_page() else { return on.into() };
        let Some(disk) = disk_of(cx, at) else { return on.into() };
        match (target(cx, disk, at, job.cow), job.bounce) {
            (Some(block), Some(how)) => {
                let copy = bounce::start(cx, how, disk, frame, block);
                return call(copy, WritePages { place: Place::Bounced(job, page), ..self });
            }
            (Some(block), None) => {
                let tag = submit(cx, disk, BioKind::Writeback, Some(frame), Some(block));
                if cx.map.fs_of(at) == FsKind::Btrfs {
                    sum_by_filesystem(cx, tag);
                }
            }
            (None, _) => {
                let lost = cx.data(frame);
                set_error(cx, at, ENOSPC, lost);
                end_page_writeback(cx, frame);
            }
        }
        self.submit_from(cx, job, page + 1)
    }
}

/// The frames of a folio with the pages of the file that they cache.
fn pages(w: &World, folio: Frame, at: FilePage) -> impl Iterator<Item = (Frame, FilePage)> + use<> {
    (0..w.folio_pages(folio)).map(move |n| (folio.plus(n), at.plus(n)))
}

/// A folio becomes dirty again as a whole, in the name of the first page of it that is written: of
/// one that has nowhere to be written to nothing is asked (`IOMAP_HOLE`).
fn redirty(cx: &mut Step, folio: Frame) {
    let first = cx.get::<Owner>(folio).file_page();
    let page = first.and_then(|at| pages(cx, folio, at).find(|&(_, page)| has_target(cx, page)));
    cx.mark_dirty(page.map_or(folio, |(frame, _)| frame));
}

/// The disk that a page of a file lies on.
pub fn disk_of(w: &World, at: FilePage) -> Option<Disk> {
    w.map.file(w.map.file_of(at)).disk
}

/// Whether a page of a file has somewhere to be written to.
fn has_target(w: &World, at: FilePage) -> bool {
    w.get::<Extent>(at).kind() != ExtentKind::Hole && !w.get::<CacheSlot>(at).unmapped()
}

impl Machine for WritePages {
    fn need(self, cx: &Scene) -> Need {
        match self.place {
            Place::Lock(folio) => Need::FolioLock(folio),
            Place::Wait(folio) => Need::WritebackEnd(folio),
            Place::Submit(..) => {
                disk_of(cx.w, FilePage(self.next.0 - 1)).map_or(Need::Nothing, Need::FreeTag)
            }
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.place {
            Place::Whole(_) => Label::new("B1", "do_writepages", Cost::Step),
            Place::Tag => Label::new("B1", "tag_pages_for_writeback", Cost::Step),
            Place::Find => Label::new("B1", "filemap_get_folios_tag", Cost::Atomic),
            Place::Lock(_) => Label::new("B2", "folio_lock", Cost::Lock),
            Place::Wait(_) => Label::new("B4", "folio_wait_writeback", Cost::Wake),
            Place::NoBuffers(_) => Label::new("B5", "page_has_buffers", Cost::Step),
            Place::Map(_) => Label::new("B6", "map blocks", Cost::Journal),
            Place::Cleaning(_) => Label::new("B7", "folio_mkclean", Cost::Step),
            Place::Redirty(_) => Label::new("B7", "folio_mark_dirty", Cost::Atomic),
            Place::Asked(_) => Label::new("B7", "folio_maybe_dma_pinned", Cost::Step),
            Place::ClearDirty(..) => Label::new("B7", "folio_clear_dirty_for_io", Cost::Atomic),
            Place::Start(_) => Label::new("B8", "folio_start_writeback", Cost::Lock),
            Place::StayDirty(_) => Label::new("B8", "folio_redirty_for_writepage", Cost::Lock),
            Place::Unlock(_) => Label::new("B9", "folio_unlock", Cost::Lock),
            Place::Submit(..) | Place::Bounced(..) => Label::new("B10", "submit_bio", Cost::Submit),
            Place::Skip(_) => Label::new("B3", "folio_unlock", Cost::Lock),
            Place::Release(_) => Label::new("", "folio_batch_release", Cost::Atomic),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.place {
            Place::Whole(file) => {
                let pages = cx.map.file_pages[file.index()].clone();
                let first = FilePage(pages.start);
                WritePages::range(first, pages.len() as u32, self.mode).step(cx, 0)
            }
            Place::Tag => self.elsewhere(cx).unwrap_or_else(|| self.tag(cx)),
            Place::Find => self.elsewhere(cx).unwrap_or_else(|| self.find(cx)),
            Place::Lock(folio) => self.lock(cx, folio),
            Place::Wait(folio) => self.prepare(cx, folio),
            Place::NoBuffers(folio) => self.no_buffers(cx, folio),
            Place::Map(folio) => self.map(cx, folio),
            Place::Redirty(folio) | Place::Cleaning(folio) => {
                redirty(cx, folio);
                self.cleaned(cx, folio)
            }
            Place::ClearDirty(folio, bounce) => self.clear_dirty(cx, folio, bounce),
            Place::Start(job) => self.start(cx, job),
            Place::StayDirty(job) => {
                if cx.strategy.keeps(Guard::PinnedStaysDirty) {
                    redirty(cx, job.folio);
                }
                self.started(cx, job)
            }
            Place::Unlock(job) => {
                if cx.strategy.keeps(Guard::WritebackStartLocked) {
                    cx.unlock_folio(job.folio);
                }
                match job.copies_locked() {
                    true => self.to(Place::Release(job.folio)),
                    false => self.submit_from(cx, job, 0),
                }
            }
            Place::Submit(job, page) => self.submit(cx, job, page),
            // In the hands of another machine; see `resume`.
            Place::Asked(_) | Place::Bounced(..) => Next::Return(0),
            Place::Skip(folio) => {
                cx.unlock_folio(folio);
                self.to(Place::Release(folio))
            }
            Place::Release(folio) => {
                cx.drop_ref(folio);
                self.to(Place::Find)
            }
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.place {
            Place::Cleaning(folio) if ret > 0 && cx.strategy.keeps(Guard::MkcleanRedirty) => {
                self.to(Place::Redirty(folio))
            }
            Place::Cleaning(folio) => self.cleaned(cx, folio),
            Place::Asked(folio) if ret == SKIP => self.to(Place::Skip(folio)),
            Place::Asked(folio) if !cx.strategy.keeps(Guard::PinAskedLast) => {
                self.protect(cx, folio, FilePage(self.next.0 - cx.folio_pages(folio)))
            }
            Place::Asked(folio) => {
                let bounce = WritePinned::bounce(cx, self.mode, ret);
                self.to(Place::ClearDirty(folio, bounce))
            }
            Place::Bounced(job, page) => self.submit_from(cx, job, page + 1),
            _ => Next::Return(0),
        }
    }
}
