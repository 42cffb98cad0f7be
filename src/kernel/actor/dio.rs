//! Direct I/O between a file and a mapped page (`__iomap_dio_rw`; kernel-facts 1.6, 4.5).
//!
//! The page of the user's buffer is pinned (or referenced: `--dio-ref`), and from then on the
//! disk reads or writes it whatever becomes of its mapping. A read dirties the page before the
//! transfer (`bio_set_pages_dirty`) and looks again at completion (`bio_check_pages_dirty`): a
//! page that was written back meanwhile is clean, and a worker has to dirty it again.
//!
//! btrfs files are read and written through the page cache, because a buffer that changes under way
//! would not match its checksum (6.15), tmpfs files because there is nothing else (6.6; EINVAL
//! before, which is not modelled). There, and where a hole is read, the user's page is written by
//! the processor through its mapping and not pinned. Where a dirty page cannot be invalidated, and
//! for a buffered or DAX write, the user's page is not looked at.

use super::dax_io::DaxIo;
use super::disk::{provisional, reap, set_error, submit};
use super::errno::{EBUSY, EFAULT, EIO, ENOSPC};
use super::extents::target;
use super::file_io::{ReadFile, WriteFile, bytes_inside, file_lock, grow, grown, show};
use super::invalidate_pages::InvalidatePages;
use super::memory::Memory;
use super::pin::{GupFlags, PinPages};
use super::release::Release;
use super::routine::call;
use super::step::*;
use super::writeback::{WritePages, disk_of};
use super::writeback_wait::WaitPages;
use crate::kernel::strategy::Guard;
use crate::kernel::world::contents::Contents;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Page;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{Context, FsKind, PAGE_SIZE, Redirty, SyncMode, WHOLE};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Block, File, FilePage, Frame, Slot, Tag, VPage, World};

/// A direct read or write of one page. Returns the bytes, or -errno.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Dio {
    at: FilePage,
    user: VPage,
    write: bool,
    place: Place,
}

/// The place of a direct I/O.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Takes `i_rwsem` shared (aligned overwrites do not exclude each other).
    Lock,
    /// `kiocb_write_and_wait`: the range of the file is being written.
    Writing,
    /// ... and waited for.
    Waiting,
    /// A write: `kiocb_invalidate_pages` removes the range from the page cache.
    Invalidating,
    /// `inode_dio_begin`.
    Begin,
    /// `iomap_begin` of a write: a block for the page.
    Map,
    /// `bio_iov_iter_get_pages`: the user's page is being pinned.
    Pinning(Option<Block>),
    /// A read: `bio_set_pages_dirty`, before the transfer.
    SetDirty { block: Block, frame: Frame, folio: Frame },
    /// A read of a hole: the user's page is being zeroed (`iomap_dio_hole_iter`).
    ZeroHole,
    /// The file is being read by other means.
    Buffered,
    /// ... and what was read copied to the user's page (`copy_page_to_iter`).
    Copying(Ret),
    /// `submit_bio`.
    Submit { block: Block, frame: Frame },
    /// Waits for the completion; then `bio_check_pages_dirty` or `bio_release_pages`.
    Wait(Tag),
    /// The user's page is being released.
    Releasing(Ret),
    /// A write: `i_size_write`.
    Grow,
    /// A write: `kiocb_invalidate_post_direct_write` removes what came back meanwhile.
    Again,
    /// `dio_warn_stale_pagecache`: that failed, and the next fsync will say so.
    Stale,
    /// The user's page could not be had: a block that was to replace a shared one is given back
    /// (`xfs_reflink_cancel_cow_range`).
    Forget { block: Block, ret: Ret },
    /// `inode_dio_end`.
    End(Ret),
    /// Releases `i_rwsem`.
    Unlock(Ret),
}

impl Dio {
    /// A direct read of a page of a file into a mapped page.
    pub fn read(from: FilePage, into: VPage) -> Dio {
        Dio { at: from, user: into, write: false, place: Place::Lock }
    }

    /// A direct write of a page of a file from a mapped page.
    pub fn write(to: FilePage, from: VPage) -> Dio {
        Dio { at: to, user: from, write: true, place: Place::Lock }
    }

    fn to(self, place: Place) -> Next {
        Dio { place, ..self }.into()
    }

    /// Filesystems on which direct I/O takes another way.
    fn elsewhere(self, cx: &mut Step) -> Option<Next> {
        match (cx.map.fs_of(self.at), self.write) {
            (FsKind::Dax, true) => Some(DaxIo::write(self.at, WHOLE).into()),
            (FsKind::Dax, false) => {
                Some(call(DaxIo::read(self.at), Dio { place: Place::Buffered, ..self }))
            }
            (FsKind::Btrfs | FsKind::Tmpfs, true) => Some(WriteFile::new(self.at, WHOLE).into()),
            (FsKind::Tmpfs, false) => {
                Some(call(ReadFile::new(self.at), Dio { place: Place::Buffered, ..self }))
            }
            _ => None,
        }
    }

    fn lock(self, cx: &mut Step) -> Next {
        if let Some(next) = self.elsewhere(cx) {
            return next;
        }
        let (me, lock) = (cx.me, file_lock(cx, LockClass::IRwsem, self.at));
        cx.lock(me, lock, Mode::Shared);
        if !self.write && bytes_inside(cx, self.at) == 0 {
            return self.to(Place::Unlock(0));
        }
        let mut folio = cx.folio_slots(self.at).map(|n| cx.get::<CacheSlot>(FilePage(n)));
        let unwritten = folio.any(|slot| slot.tag_dirty() || slot.tag_writeback());
        if !unwritten || !cx.strategy.keeps(Guard::DioFlushFirst) {
            // mapping_needs_writeback() says no.
            return self.flushed(cx);
        }
        let write = WritePages::range(self.at, 1, SyncMode::Integrity);
        call(write, Dio { place: Place::Writing, ..self })
    }

    /// After the range of the file has been written: it is invalidated, for a write.
    fn flushed(self, cx: &Step) -> Next {
        let invalidates = self.write && cx.strategy.keeps(Guard::DioInvalidateFirst);
        if invalidates && cx.cached(self.at).is_some() {
            let then = Dio { place: Place::Invalidating, ..self };
            return call(InvalidatePages::clean(self.at, 1), then);
        }
        if !self.write && cx.map.fs_of(self.at) == FsKind::Btrfs {
            return self.to(Place::Unlock(-EBUSY));
        }
        self.to(Place::Begin)
    }

    fn pin(self, cx: &Step, block: Option<Block>) -> Next {
        let Some(slot) = self.slot(cx) else { return self.to(Place::End(-EFAULT)) };
        let call_by = cx.strategy.dio_ref.call();
        let flags = GupFlags { write: !self.write, longterm: false, call: call_by };
        let pin = PinPages::new(self.user, 1, slot, flags);
        call(pin, Dio { place: Place::Pinning(block), ..self })
    }

    fn slot(self, cx: &Step) -> Option<Slot> {
        cx.map.dio_slot(cx.me)
    }

    /// The page that was pinned, as it was then.
    fn pinned(self, cx: &Step) -> Option<Page> {
        let pinned = cx.get::<Pinned>(cx.map.slot_page(self.slot(cx)?, 0));
        let frame = Frame::unpack(pinned.frame_bits())?;
        Some(Page { frame, generation: pinned.generation() })
    }

    /// `inode_dio_begin`; a read needs no block but the one that is there.
    fn begin(self, cx: &mut Step) -> Next {
        self.count(cx, 1);
        if self.write {
            return self.to(Place::Map);
        }
        let extent = cx.get::<Extent>(self.at);
        let block = extent.block().filter(|_| extent.kind() == ExtentKind::Written);
        match block {
            Some(_) => self.pin(cx, block),
            None => {
                show(cx, self.at, Contents::ZERO);
                call(Memory::store(self.user, WHOLE), Dio { place: Place::ZeroHole, ..self })
            }
        }
    }

    fn count(self, cx: &mut Step, n: i16) {
        let file = cx.map.file_of(self.at);
        let n = if cx.strategy.keeps(Guard::DioBegin) { n } else { 0 };
        let count = |s: FileState| s.with_dio_count(s.dio_count().wrapping_add_signed(n));
        cx.update::<FileState>(file, count);
        let (me, mine) = (cx.me, (n > 0).then_some(file));
        cx.update::<Engaged>(me, |e| e.with_dio(File::pack(mine)));
    }

    fn map(self, cx: &mut Step) -> Next {
        cx.might_sleep();
        let disk = disk_of(cx, self.at);
        let block = match (cx.get::<Extent>(self.at).block(), disk) {
            (Some(_), Some(disk)) => target(cx, disk, self.at, true),
            (None, Some(disk)) => {
                let block = cx.alloc_block(disk, self.at);
                if let Some(block) = block {
                    cx.set(self.at, Extent::at(ExtentKind::Unwritten, block));
                }
                block
            }
            (_, None) => None,
        };
        match block {
            Some(block) => self.pin(cx, Some(block)),
            None => self.to(Place::End(-ENOSPC)),
        }
    }

    /// The user's page has been pinned, or not.
    fn after_pin(self, cx: &Step, block: Option<Block>, ret: Ret) -> Next {
        let frame = self.pinned(cx).map(|p| p.frame);
        match (frame, block) {
            (Some(frame), Some(block)) if ret > 0 && self.write => {
                self.to(Place::Submit { block, frame })
            }
            (Some(frame), Some(block)) if ret > 0 => {
                let folio = cx.head(frame);
                self.to(Place::SetDirty { block, frame, folio })
            }
            (_, block) => {
                let ret = if ret < 0 { ret } else { -EFAULT };
                match block.filter(|_| self.write) {
                    Some(block) => self.to(Place::Forget { block, ret }),
                    None => self.to(Place::End(ret)),
                }
            }
        }
    }

    /// `bio_set_pages_dirty`: one section under the folio lock.
    fn set_dirty(self, cx: &mut Step, block: Block, frame: Frame) -> Next {
        let me = cx.me;
        cx.might_sleep();
        if !cx.flags(frame).pmem() && cx.strategy.keeps(Guard::DioSetDirty) {
            cx.lock_folio(me, frame);
            cx.mark_dirty(frame);
            cx.unlock_folio(frame);
        }
        self.to(Place::Submit { block, frame })
    }

    fn submit(self, cx: &mut Step, block: Block, frame: Frame) -> Next {
        let Some(disk) = disk_of(cx, self.at) else { return self.to(Place::End(-EIO)) };
        let kind = if self.write { BioKind::DioWrite } else { BioKind::DioRead };
        let tag = submit(cx, disk, kind, Some(frame), Some(block));
        if !self.write {
            let private = cx.map.origin_of_vpage(self.user);
            provisional(cx, tag, frame, private);
            let contents = cx.disk_contents(self.at);
            show(cx, self.at, contents);
        }
        self.to(Place::Wait(tag))
    }

    /// The submitter stands in for the interrupt, which comes to this before it wakes anybody.
    fn completed(self, cx: &mut Step, tag: Tag) -> Next {
        let bio = reap(cx, tag);
        let ret = if bio.error() { -EIO } else { PAGE_SIZE as Ret };
        let clean = self.pinned(cx).is_some_and(|p| {
            let flags = cx.flags(p.frame);
            !flags.dirty() && !flags.pmem()
        });
        let redirty = !self.write && clean && cx.strategy.keeps(Guard::DioCheckDirty);
        self.release(cx, ret, redirty)
    }

    /// Releases the user's page: in the interrupt if nothing has to be done about it, else a
    /// worker dirties it first, under the folio lock.
    fn release(self, cx: &Step, ret: Ret, redirty: bool) -> Next {
        let Some(slot) = self.slot(cx) else { return self.to(Place::End(ret)) };
        let release = match (redirty, cx.map.plan.workers) {
            (false, _) => Release::new(slot, false, Redirty::Plain, Context::Irq),
            (true, 0) => Release::new(slot, true, Redirty::SetDirtyLock, Context::Process),
            (true, _) => Release::new(slot, true, Redirty::SetDirtyLock, Context::Worker),
        };
        call(release, Dio { place: Place::Releasing(ret), ..self })
    }

    /// `kiocb_invalidate_post_direct_write`
    fn invalidate_again(self, cx: &Step) -> Next {
        if cx.cached(self.at).is_none() || !cx.strategy.keeps(Guard::DioInvalidateAfter) {
            return self.to(Place::End(PAGE_SIZE as Ret));
        }
        call(InvalidatePages::clean(self.at, 1), Dio { place: Place::Again, ..self })
    }

    fn unlock(self, cx: &mut Step, ret: Ret) -> Next {
        let (me, lock) = (cx.me, file_lock(cx, LockClass::IRwsem, self.at));
        cx.unlock(me, lock);
        if ret == -EBUSY && !self.write {
            // The checksum of what is read might not match: falls back to a buffered read.
            return call(ReadFile::new(self.at), Dio { place: Place::Buffered, ..self });
        }
        if ret == -EBUSY {
            // -ENOTBLK: falls back to a buffered write.
            return WriteFile::new(self.at, WHOLE).into();
        }
        Next::Return(ret)
    }
}

/// What a file's page is locked by during direct I/O, for `need`.
fn rwsem(w: &World, at: FilePage) -> Need {
    match w.map.fs_of(at) {
        FsKind::Tmpfs | FsKind::Dax => Need::Nothing,
        _ => Need::Lock(file_lock(w, LockClass::IRwsem, at), Mode::Shared),
    }
}

impl Machine for Dio {
    fn need(self, cx: &Scene) -> Need {
        match self.place {
            Place::Lock => rwsem(cx.w, self.at),
            Place::SetDirty { folio, .. } => Need::FolioLock(folio),
            Place::Submit { .. } => disk_of(cx.w, self.at).map_or(Need::Nothing, Need::FreeTag),
            Place::Wait(tag) => Need::BioDone(tag),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.place {
            Place::Lock => Label::new("", "iomap_dio_rw: inode_lock_shared", Cost::Syscall),
            Place::Begin => Label::new("", "inode_dio_begin", Cost::Atomic),
            Place::Map => Label::new("", "iomap_begin", Cost::Journal),
            Place::SetDirty { .. } => Label::new("", "bio_set_pages_dirty", Cost::Lock),
            Place::ZeroHole => Label::new("", "iomap_dio_hole_iter", Cost::Copy),
            Place::Submit { .. } => Label::new("", "submit_bio", Cost::Submit),
            Place::Wait(_) if self.write => Label::new("", "bio_release_pages", Cost::Wake),
            Place::Wait(_) => Label::new("", "bio_check_pages_dirty", Cost::Wake),
            Place::Grow => Label::new("", "i_size_write", Cost::Step),
            Place::Forget { .. } => Label::new("", "cancel_cow_range", Cost::Journal),
            Place::Stale => Label::new("", "dio_warn_stale_pagecache", Cost::Atomic),
            Place::End(_) => Label::new("", "inode_dio_end", Cost::Atomic),
            _ => Label::new("", "inode_unlock_shared", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.place {
            Place::Lock => self.lock(cx),
            Place::Begin => self.begin(cx),
            Place::Map => self.map(cx),
            Place::SetDirty { block, frame, .. } => self.set_dirty(cx, block, frame),
            Place::Forget { block, ret } => {
                cx.cancel_cow_block(block, self.at);
                self.to(Place::End(ret))
            }
            Place::Submit { block, frame } => self.submit(cx, block, frame),
            Place::Wait(tag) => self.completed(cx, tag),
            Place::Grow => {
                grow(cx, self.at, WHOLE);
                self.invalidate_again(cx)
            }
            Place::Stale => {
                let stale = cx.get::<Newest>(self.at).0;
                set_error(cx, self.at, EIO, stale);
                self.to(Place::End(PAGE_SIZE as Ret))
            }
            Place::End(ret) => {
                self.count(cx, -1);
                self.to(Place::Unlock(ret))
            }
            Place::Unlock(ret) => self.unlock(cx, ret),
            // In the hands of another machine; see `resume`.
            _ => Next::Return(0),
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.place {
            Place::Writing => {
                call(WaitPages::range(self.at, 1), Dio { place: Place::Waiting, ..self })
            }
            Place::Waiting => self.flushed(cx),
            Place::Invalidating if ret != 0 => self.to(Place::Unlock(-EBUSY)),
            Place::Invalidating => self.to(Place::Begin),
            Place::Pinning(block) => self.after_pin(cx, block, ret),
            Place::Releasing(ret) if self.write && ret > 0 => match grown(cx, self.at, WHOLE) {
                Some(_) => self.to(Place::Grow),
                None => self.invalidate_again(cx),
            },
            Place::Releasing(ret) => self.to(Place::End(ret)),
            Place::ZeroHole => self.to(Place::End(if ret < 0 { ret } else { PAGE_SIZE as Ret })),
            Place::Buffered if ret > 0 => {
                let part = (0, ret as u16);
                call(Memory::store(self.user, part), Dio { place: Place::Copying(ret), ..self })
            }
            Place::Buffered => Next::Return(ret),
            Place::Copying(read) => Next::Return(if ret < 0 { ret } else { read }),
            Place::Again if ret != 0 => self.to(Place::Stale),
            _ => self.to(Place::End(PAGE_SIZE as Ret)),
        }
    }
}
