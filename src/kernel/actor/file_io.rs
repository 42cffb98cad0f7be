//! write(2) and read(2) through the page cache (`generic_perform_write`, `filemap_read`).

use super::dax_io::DaxIo;
use super::errno::EPERM;
use super::folio::{GrabFolio, LetGo};
use super::routine::call;
use super::seal;
use super::step::*;
use super::zero_tail::ZeroTail;
use crate::kernel::strategy::Guard;
use crate::kernel::world::contents::Contents;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::{Fact, Toucher};
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{DiskKind, FsKind, PAGE_SIZE, Part, Seal, WHOLE};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Frame, Lock, World};

/// Whether a write to a page of a file waits for its writeback to end (`folio_wait_stable`): the
/// disk demands it, or the filesystem takes checksums (btrfs). kernel-facts 3.2.
pub fn stable_pages(w: &World, at: FilePage) -> bool {
    let file = w.map.file(w.map.file_of(at));
    let demands = |disk: &crate::kernel::world::Disk| {
        let kind = w.map.plan.disks[disk.0 as usize].kind;
        matches!(kind, DiskKind::Block { stable_writes: true, .. })
    };
    file.fs == FsKind::Btrfs || file.disk.as_ref().is_some_and(demands)
}

/// Bytes of a page that lie inside its file.
pub fn bytes_inside(w: &World, at: FilePage) -> u16 {
    let size = w.get::<Size>(w.map.file_of(at)).bytes();
    let start = u64::from(w.map.index_in_file(at)) * u64::from(PAGE_SIZE);
    size.saturating_sub(start).min(u64::from(PAGE_SIZE)) as u16
}

/// A lock of the file that a page belongs to.
pub fn file_lock(w: &World, class: LockClass, at: FilePage) -> Lock {
    w.map.file_lock(class, w.map.file_of(at))
}

/// The file's size once a part of a page has been written; none if that is inside it already.
pub fn grown(w: &World, at: FilePage, part: Part) -> Option<u64> {
    let start = u64::from(w.map.index_in_file(at)) * u64::from(PAGE_SIZE);
    let end = start + u64::from(part.1);
    (end > w.get::<Size>(w.map.file_of(at)).bytes()).then_some(end)
}

/// `i_size_write`.
pub fn grow(cx: &mut Step, at: FilePage, part: Part) {
    if let Some(bytes) = grown(cx, at, part) {
        let file = cx.map.file_of(at);
        cx.set(file, Size::new().with_bytes(bytes));
    }
}

/// States what a read of a page of a file shows: its contents, with nothing beyond the end.
/// Gives the number of bytes.
pub fn show(cx: &mut Step, at: FilePage, contents: Contents) -> Ret {
    show_from(cx, at, contents, false)
}

/// The same; `left`: from a folio that has left the file since it was found there.
fn show_from(cx: &mut Step, at: FilePage, contents: Contents, left: bool) -> Ret {
    let inside = bytes_inside(cx, at);
    let shown = match inside {
        0 => Contents::ZERO,
        _ => cx.patches.overlay(contents, (inside, PAGE_SIZE as u16), Contents::ZERO),
    };
    let shown = if inside == PAGE_SIZE as u16 { contents } else { shown };
    cx.facts.push(Fact::Shown { at, contents: shown, left });
    cx.read_result(shown);
    Ret::from(inside)
}

/// `write(2)` of a part of a page: returns the bytes written, -ENOMEM, or -EPERM if it is sealed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WriteFile {
    at: FilePage,
    part: Part,
    place: WritePlace,
}

/// The place of a write.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum WritePlace {
    /// Takes `i_rwsem`.
    LockInode,
    /// A write behind the end of the file: the old last page's tail is being zeroed.
    OldTail,
    /// `write_begin`: the folio is being looked up, created, read.
    Grabbing,
    /// `folio_wait_stable`.
    Stable(Frame),
    /// `write_begin`: the filesystem prepares: reserves a block, attaches buffers.
    Prepare(Frame),
    /// `copy_folio_from_iter_atomic`.
    Copy(Frame),
    /// `write_end`: the folio is uptodate and dirty.
    Dirty(Frame),
    /// `i_size_write`.
    Grow(Frame),
    /// The folio is being let go.
    LettingGo,
    /// Releases `i_rwsem`; `balance_dirty_pages_ratelimited` may sleep.
    UnlockInode(Ret),
}

impl WriteFile {
    /// A write of a new version to a part of a page of a file.
    pub fn new(at: FilePage, part: Part) -> WriteFile {
        WriteFile { at, part, place: WritePlace::LockInode }
    }

    fn to(self, place: WritePlace) -> Next {
        WriteFile { place, ..self }.into()
    }

    fn grab(self) -> Next {
        let grab = GrabFolio::new(self.at, self.part != WHOLE);
        call(grab, WriteFile { place: WritePlace::Grabbing, ..self })
    }

    /// A write that begins behind the end leaves a gap: filesystems that zero the old last page
    /// when the file grows do so here, too (`ext4_block_zero_eof`, `xfs_zero_range`; kernel truth:
    /// not when it is direct I/O that grows the file).
    fn old_tail(self, cx: &Step) -> Option<ZeroTail> {
        let (file, page) = (cx.map.file_of(self.at), u64::from(PAGE_SIZE));
        let size = cx.get::<Size>(file).bytes();
        let start = u64::from(cx.map.index_in_file(self.at)) * page + u64::from(self.part.0);
        let byte = (size % page) as u16;
        let zeroes = cx.strategy.eof_tail.zeroes(cx.map.file(file).fs);
        let at = cx.map.file_page(file, (size / page) as u32)?;
        (start > size && byte > 0 && zeroes).then(|| ZeroTail::new(at, byte))
    }

    /// `shmem_write_begin`: the file is sealed against it.
    fn sealed(self, cx: &Step) -> bool {
        let file = cx.map.file_of(self.at);
        let grows = || {
            let start = u64::from(cx.map.index_in_file(self.at)) * u64::from(PAGE_SIZE);
            start + u64::from(self.part.1) > cx.get::<Size>(file).bytes()
        };
        seal::write_sealed(cx, file) || (seal::sealed(cx, file, Seal::Grow) && grows())
    }

    fn bytes(self) -> Ret {
        Ret::from(self.part.1) - Ret::from(self.part.0)
    }

    /// The folio that is locked by this write.
    fn folio(self, w: &World) -> Option<Frame> {
        w.cached(self.at).map(|f| w.head(f))
    }

    fn prepare(self, cx: &mut Step, folio: Frame) -> Next {
        cx.might_sleep();
        let fs = cx.map.fs_of(self.at);
        let extent = cx.get::<Extent>(self.at);
        if extent.kind() == ExtentKind::Hole && fs != FsKind::Tmpfs {
            cx.set(self.at, extent.with_kind(ExtentKind::Delalloc));
        }
        if fs == FsKind::Ext4 {
            cx.attach_buffers(folio);
            cx.map_buffer(self.at);
        }
        cx.change_flags(folio, |f| f.with_prepared(true));
        self.to(WritePlace::Copy(folio))
    }

    fn copy(self, cx: &mut Step, folio: Frame) -> Next {
        let Some(frame) = cx.cached(self.at) else { return self.to(WritePlace::Dirty(folio)) };
        let page = cx.page(frame);
        cx.copy_in(page, self.part, 0, Toucher::Kernel);
        self.to(WritePlace::Dirty(folio))
    }

    fn let_go(self, folio: Frame) -> Next {
        call(LetGo::Unlock(folio), WriteFile { place: WritePlace::LettingGo, ..self })
    }
}

impl Machine for WriteFile {
    fn need(self, cx: &Scene) -> Need {
        match self.place {
            WritePlace::LockInode if cx.strategy.keeps(Guard::WriteInodeLock) => {
                Need::Lock(file_lock(cx.w, LockClass::IRwsem, self.at), Mode::Exclusive)
            }
            WritePlace::Stable(folio) => Need::WritebackEnd(folio),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.place {
            WritePlace::LockInode => Label::new("", "write: inode_lock", Cost::Syscall),
            WritePlace::Stable(_) => Label::new("", "folio_wait_stable", Cost::Wake),
            WritePlace::Prepare(_) => Label::new("", "write_begin", Cost::Journal),
            WritePlace::Copy(_) => Label::new("", "copy_folio_from_iter_atomic", Cost::Copy),
            WritePlace::Dirty(_) => Label::new("", "write_end: folio_mark_dirty", Cost::Atomic),
            WritePlace::Grow(_) => Label::new("", "i_size_write", Cost::Step),
            _ => Label::new("", "inode_unlock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let me = cx.me;
        match self.place {
            WritePlace::LockInode => {
                if cx.map.fs_of(self.at) == FsKind::Dax {
                    return DaxIo::write(self.at, self.part).step(cx, 0);
                }
                if cx.strategy.keeps(Guard::WriteInodeLock) {
                    let lock = file_lock(cx, LockClass::IRwsem, self.at);
                    cx.lock(me, lock, Mode::Exclusive);
                }
                if self.sealed(cx) {
                    return self.to(WritePlace::UnlockInode(-EPERM));
                }
                match self.old_tail(cx) {
                    Some(zero) => call(zero, WriteFile { place: WritePlace::OldTail, ..self }),
                    None => self.grab(),
                }
            }
            WritePlace::Stable(folio) => self.to(WritePlace::Prepare(folio)),
            WritePlace::Prepare(folio) => self.prepare(cx, folio),
            WritePlace::Copy(folio) => self.copy(cx, folio),
            WritePlace::Dirty(folio) => {
                cx.change_flags(folio, |f| f.with_uptodate(true));
                // iomap_set_range_dirty(), block_commit_write(): of this page, in a larger folio.
                let frame = cx.cached(self.at).unwrap_or(folio);
                cx.mark_dirty(frame);
                // From here on an fsync that begins has something to write.
                let op = cx.op;
                let ours = |shown: Contents| shown.version().is_some_and(|v| v.author == op);
                cx.completed(frame, self.part, ours);
                match grown(cx, self.at, self.part) {
                    Some(_) => self.to(WritePlace::Grow(folio)),
                    None => self.let_go(folio),
                }
            }
            WritePlace::Grow(folio) => {
                grow(cx, self.at, self.part);
                self.let_go(folio)
            }
            WritePlace::UnlockInode(ret) => {
                if cx.strategy.keeps(Guard::WriteInodeLock) {
                    let lock = file_lock(cx, LockClass::IRwsem, self.at);
                    cx.unlock(me, lock);
                }
                cx.might_sleep();
                Next::Return(ret)
            }
            // In the hands of another machine; see `resume`.
            WritePlace::OldTail | WritePlace::Grabbing | WritePlace::LettingGo => Next::Return(0),
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match (self.place, self.folio(cx)) {
            (WritePlace::OldTail, _) => self.grab(),
            (WritePlace::LettingGo, _) => self.to(WritePlace::UnlockInode(self.bytes())),
            (_, Some(folio)) if ret == 0 => {
                let stable = stable_pages(cx, self.at) && cx.strategy.keeps(Guard::WriteStable);
                let wait = stable && cx.flags(folio).writeback();
                self.to(if wait { WritePlace::Stable(folio) } else { WritePlace::Prepare(folio) })
            }
            _ => self.to(WritePlace::UnlockInode(ret)),
        }
    }
}

/// `read(2)` of a page: returns the bytes read, or -ENOMEM. Records the contents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReadFile {
    at: FilePage,
    place: ReadPlace,
}

/// The place of a read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum ReadPlace {
    /// Enters; xfs takes `i_rwsem` shared.
    Begin,
    /// `filemap_get_read_batch`: a lockless lookup that takes a reference.
    Lookup,
    /// `folio_put_wait_locked`: somebody else reads the folio in, or writes it for the first time.
    Wait(Frame),
    /// `filemap_create_folio`: takes `invalidate_lock` shared, against truncate and punch.
    LockInvalidate,
    /// The folio is being created and read.
    Creating,
    /// `folio_unlock` of the folio that was read.
    Unlock(Frame),
    /// Releases `invalidate_lock`.
    UnlockInvalidate(Frame),
    /// It could not be created.
    Fail(Ret),
    /// `copy_folio_to_iter`.
    Copy(Frame),
    /// The folio's reference is being dropped.
    LettingGo(Ret),
    /// The folio was not what was looked for: once more.
    Retry,
    /// The folio is there, not uptodate, and nobody reads it.
    Unread,
    /// xfs releases `i_rwsem`.
    End(Ret),
}

impl ReadFile {
    /// A read of a page of a file.
    pub fn new(at: FilePage) -> ReadFile {
        ReadFile { at, place: ReadPlace::Begin }
    }

    fn to(self, place: ReadPlace) -> Next {
        ReadFile { place, ..self }.into()
    }

    fn locks_inode(self, w: &World) -> bool {
        w.map.fs_of(self.at) == FsKind::Xfs
    }

    fn end(self, w: &World, ret: Ret) -> Next {
        if self.locks_inode(w) { self.to(ReadPlace::End(ret)) } else { Next::Return(ret) }
    }

    fn lookup(self, cx: &mut Step) -> Next {
        if bytes_inside(cx, self.at) == 0 {
            return self.end(cx, 0);
        }
        let Some(frame) = cx.cached(self.at) else {
            if cx.map.fs_of(self.at) == FsKind::Tmpfs {
                // shmem_file_read_iter() fills holes from the zero page.
                let ret = show(cx, self.at, Contents::ZERO);
                return Next::Return(ret);
            }
            return self.to(ReadPlace::LockInvalidate);
        };
        let folio = cx.head(frame);
        cx.take_ref(folio);
        let uptodate = cx.flags(folio).uptodate() || !cx.strategy.keeps(Guard::ReadUptodate);
        self.to(if uptodate { ReadPlace::Copy(folio) } else { ReadPlace::Wait(folio) })
    }

    fn unlock_invalidate(self, cx: &mut Step) {
        let (me, lock) = (cx.me, file_lock(cx, LockClass::InvalidateLock, self.at));
        cx.unlock(me, lock);
    }

    /// The frame of the folio that shows this page.
    fn frame(self, w: &World, folio: Frame) -> Frame {
        let pages = w.folio_pages(folio);
        folio.plus(w.map.index_in_file(self.at) % pages)
    }
}

impl Machine for ReadFile {
    fn need(self, cx: &Scene) -> Need {
        let lock = |class| Need::Lock(file_lock(cx.w, class, self.at), Mode::Shared);
        match self.place {
            ReadPlace::Begin if self.locks_inode(cx.w) => lock(LockClass::IRwsem),
            ReadPlace::Begin if cx.w.map.fs_of(self.at) == FsKind::Dax => lock(LockClass::IRwsem),
            ReadPlace::LockInvalidate => lock(LockClass::InvalidateLock),
            ReadPlace::Wait(folio) => Need::FolioLock(folio),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.place {
            ReadPlace::Begin => Label::new("", "read", Cost::Syscall),
            ReadPlace::Wait(_) => Label::new("", "folio_put_wait_locked", Cost::Wake),
            ReadPlace::LockInvalidate => {
                Label::new("", "filemap_invalidate_lock_shared", Cost::Lock)
            }
            ReadPlace::Unlock(_) => Label::new("", "folio_unlock", Cost::Lock),
            ReadPlace::UnlockInvalidate(_) | ReadPlace::Fail(_) => {
                Label::new("", "filemap_invalidate_unlock_shared", Cost::Lock)
            }
            ReadPlace::Copy(_) => Label::new("", "copy_folio_to_iter", Cost::Copy),
            ReadPlace::End(_) => Label::new("", "inode_unlock_shared", Cost::Lock),
            _ => Label::new("", "filemap_get_read_batch", Cost::Atomic),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let me = cx.me;
        match self.place {
            ReadPlace::Begin if cx.map.fs_of(self.at) == FsKind::Dax => {
                DaxIo::read(self.at).step(cx, 0)
            }
            ReadPlace::Begin => {
                cx.might_sleep();
                if !self.locks_inode(cx) {
                    return self.lookup(cx);
                }
                let lock = file_lock(cx, LockClass::IRwsem, self.at);
                cx.lock(me, lock, Mode::Shared);
                self.to(ReadPlace::Lookup)
            }
            ReadPlace::Lookup | ReadPlace::Retry | ReadPlace::Creating | ReadPlace::Unread => {
                self.lookup(cx)
            }
            ReadPlace::Wait(folio) => {
                let ours = cx.cached(self.at).is_some_and(|f| cx.head(f) == folio);
                if ours && cx.flags(folio).uptodate() {
                    return self.to(ReadPlace::Copy(folio));
                }
                // Nobody reads it: `filemap_update_page` has it read.
                let place = if ours { ReadPlace::Unread } else { ReadPlace::Retry };
                call(LetGo::Put(folio), ReadFile { place, ..self })
            }
            ReadPlace::LockInvalidate => {
                let lock = file_lock(cx, LockClass::InvalidateLock, self.at);
                cx.lock(me, lock, Mode::Shared);
                let grab = GrabFolio::new(self.at, true);
                call(grab, ReadFile { place: ReadPlace::Creating, ..self })
            }
            ReadPlace::Unlock(folio) => {
                cx.unlock_folio(folio);
                self.to(ReadPlace::UnlockInvalidate(folio))
            }
            ReadPlace::UnlockInvalidate(folio) => {
                self.unlock_invalidate(cx);
                self.to(ReadPlace::Copy(folio))
            }
            ReadPlace::Fail(ret) => {
                self.unlock_invalidate(cx);
                self.end(cx, ret)
            }
            ReadPlace::Copy(folio) => {
                let page = cx.page(self.frame(cx, folio));
                cx.touch(page, false, Toucher::Kernel);
                let data = cx.data(page.frame);
                let left = cx.get::<Owner>(page.frame).kind() == OwnerKind::Detached;
                let ret = show_from(cx, self.at, data, left);
                call(LetGo::Put(folio), ReadFile { place: ReadPlace::LettingGo(ret), ..self })
            }
            ReadPlace::End(ret) | ReadPlace::LettingGo(ret) => {
                let lock = file_lock(cx, LockClass::IRwsem, self.at);
                cx.unlock(me, lock);
                Next::Return(ret)
            }
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match (self.place, cx.cached(self.at).map(|f| cx.head(f))) {
            (ReadPlace::Creating, Some(folio)) if ret == 0 => self.to(ReadPlace::Unlock(folio)),
            (ReadPlace::Creating, _) => self.to(ReadPlace::Fail(ret)),
            (ReadPlace::LettingGo(ret), _) => self.end(cx, ret),
            (ReadPlace::Unread, _) => self.to(ReadPlace::LockInvalidate),
            _ => self.to(ReadPlace::Lookup),
        }
    }
}
