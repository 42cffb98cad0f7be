//! Reflink (`FICLONERANGE`): two ranges of files share blocks until one of them is written
//! (`generic_remap_file_range_prep`, `xfs_file_remap_range`, `btrfs_remap_file_range`).
//!
//! Both files' `i_rwsem` and `invalidate_lock` are held (`xfs_ilock2_io_mmap`,
//! `btrfs_double_mmap_lock`): a fault that dirtied the source after it has been written could have
//! its writeback on the way to the block as it becomes shared.

use super::errno::{EINVAL, EOPNOTSUPP};
use super::extents::unpromise;
use super::invalidate_pages::InvalidatePages;
use super::routine::call;
use super::step::*;
use super::truncate_pages::TruncatePages;
use super::writeback::WritePages;
use super::writeback_wait::WaitPages;
use super::zap::Zap;
use crate::kernel::strategy::{Guard, Strategy};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Newest, Promised, Size};
use crate::kernel::world::plan::{FsKind, PAGE_SIZE, SyncMode, WHOLE};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Lock, World};

/// An `i_rwsem` and an `invalidate_lock` of each file.
const LOCKS: u8 = 4;

/// Lets `pages` pages of one file, or as many as there are up to its end, share the blocks of
/// another. Returns 0, -EOPNOTSUPP, or -EINVAL: for files of different filesystems, behind the end
/// of the source, or if the block that holds its end would come to lie inside of the destination.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reflink {
    from: FilePage,
    to: FilePage,
    pages: u32,
    place: Place,
}

/// The place of a reflink.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Takes a lock: `lock_two_nondirectories`, then `filemap_invalidate_lock_two`.
    Lock(u8),
    /// `filemap_write_and_wait_range` of the source, then of the destination.
    Writing { source: bool },
    /// ... and the wait for it.
    Waiting { source: bool },
    /// `truncate_inode_pages_range` of the destination: unmaps it first.
    Unmapping,
    /// The destination's cached pages are being removed.
    Dropping,
    /// The extent maps are changed, in one transaction.
    Remap,
    /// Releases one, innermost first.
    Unlock { lock: u8, ret: Ret },
}

impl Reflink {
    /// A reflink of whole pages.
    pub fn new(from: FilePage, to: FilePage, pages: u32) -> Reflink {
        Reflink { from, to, pages, place: Place::Lock(0) }
    }

    fn go(self, place: Place) -> Next {
        Reflink { place, ..self }.into()
    }

    /// Of each kind of lock the lower-numbered file's comes first, and the other's is none if it is
    /// one file.
    fn lock(self, w: &World, strategy: &Strategy, n: u8) -> Option<Lock> {
        let (from, to) = (w.map.file_of(self.from), w.map.file_of(self.to));
        let class = if n < 2 { LockClass::IRwsem } else { LockClass::InvalidateLock };
        let second = n % 2 == 1;
        let file = if second { from.max(to) } else { from.min(to) };
        let again = second && from == to;
        let open = n >= 2 && file != to && !strategy.keeps(Guard::ReflinkSourceLock);
        (n < LOCKS && !again && !open).then(|| w.map.file_lock(class, file))
    }

    /// How many pages there are, and where the destination has to end at least: at the source's
    /// end, if the range reaches it. Refused as in `generic_remap_checks` and
    /// `generic_remap_check_len`.
    fn range(self, w: &World) -> Result<(u32, u64), Ret> {
        let page = u64::from(PAGE_SIZE);
        let start = |at| u64::from(w.map.index_in_file(at)) * page;
        let size = |at| w.get::<Size>(w.map.file_of(at)).bytes();
        let left = size(self.from).saturating_sub(start(self.from));
        let bytes = left.min(u64::from(self.pages) * page);
        let end = start(self.to) + bytes;
        let inside = !bytes.is_multiple_of(page) && end < size(self.to);
        if bytes == 0 || inside { Err(-EINVAL) } else { Ok((bytes.div_ceil(page) as u32, end)) }
    }

    fn refusal(self, w: &World) -> Option<Ret> {
        let (a, b) = (w.map.file_of(self.from), w.map.file_of(self.to));
        let (a, b) = (w.map.file(a), w.map.file(b));
        if !matches!(a.fs, FsKind::Xfs | FsKind::Btrfs) {
            return Some(-EOPNOTSUPP);
        }
        (a.fs != b.fs || a.disk != b.disk).then_some(-EINVAL)
    }

    fn write(self, source: bool) -> Next {
        let first = if source { self.from } else { self.to };
        let write = WritePages::range(first, self.pages, SyncMode::Integrity);
        call(write, Reflink { place: Place::Writing { source }, ..self })
    }

    fn unmap(self) -> Next {
        let zap = Zap::file(self.to, self.pages, true);
        call(zap, Reflink { place: Place::Unmapping, ..self })
    }

    fn remap(self, cx: &mut Step) -> Next {
        let Ok((pages, end)) = self.range(cx) else { return self.unlock(cx, LOCKS, -EINVAL) };
        for n in 0..pages {
            let (from, to) = (self.from.plus(n), self.to.plus(n));
            let (new, old) = (cx.get::<Extent>(from), cx.get::<Extent>(to));
            if new.block() == old.block() && new.block().is_some() {
                continue;
            }
            cx.set(to, Extent::new());
            if let Some(block) = old.block() {
                cx.put_block(block, to);
            }
            if let (Some(block), ExtentKind::Written) = (new.block(), new.kind()) {
                cx.share_block(block);
                cx.set(to, Extent::at(ExtentKind::Written, block));
            }
            let contents = cx.disk_contents(to);
            cx.set(to, Newest(contents));
            unpromise(cx, to, WHOLE);
            let kept = cx.get::<Extent>(to).block().map(|b| cx.durable_contents(b));
            cx.set(to, Promised(kept.unwrap_or_default()));
        }
        let file = cx.map.file_of(self.to);
        if end > cx.get::<Size>(file).bytes() {
            cx.set(file, Size::new().with_bytes(end));
        }
        self.unlock(cx, LOCKS, 0)
    }

    /// With all locks held: refuses, or writes what is dirty.
    fn locked(self, cx: &Step) -> Next {
        match self.range(cx) {
            Err(ret) => self.unlock(cx, LOCKS, ret),
            Ok(_) if cx.strategy.keeps(Guard::ReflinkFlush) => self.write(true),
            Ok(_) => self.unmap(),
        }
    }

    /// Releases the locks below `end`.
    fn unlock(self, cx: &Step, end: u8, ret: Ret) -> Next {
        match (0..end).rev().find(|&n| self.lock(cx.w, cx.strategy, n).is_some()) {
            Some(lock) => self.go(Place::Unlock { lock, ret }),
            None => Next::Return(ret),
        }
    }
}

impl Machine for Reflink {
    fn need(self, cx: &Scene) -> Need {
        match self.place {
            Place::Lock(0) if self.refusal(cx.w).is_some() => Need::Nothing,
            Place::Lock(n) => {
                let lock = self.lock(cx.w, cx.strategy, n);
                lock.map_or(Need::Nothing, |lock| Need::Lock(lock, Mode::Exclusive))
            }
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.place {
            Place::Lock(0 | 1) => Label::new("", "lock_two_nondirectories", Cost::Lock),
            Place::Lock(_) => Label::new("", "filemap_invalidate_lock_two", Cost::Lock),
            Place::Unlock { lock: 0 | 1, .. } => {
                Label::new("", "unlock_two_nondirectories", Cost::Lock)
            }
            Place::Unlock { .. } => Label::new("", "filemap_invalidate_unlock_two", Cost::Lock),
            _ => Label::new("", "remap_file_range", Cost::Journal),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let me = cx.me;
        match self.place {
            Place::Lock(n) => {
                if let Some(ret) = self.refusal(cx).filter(|_| n == 0) {
                    return Next::Return(ret);
                }
                if let Some(lock) = self.lock(cx.w, cx.strategy, n) {
                    cx.lock(me, lock, Mode::Exclusive);
                }
                match (n + 1..LOCKS).find(|&n| self.lock(cx.w, cx.strategy, n).is_some()) {
                    Some(next) => self.go(Place::Lock(next)),
                    None => self.locked(cx),
                }
            }
            Place::Remap => self.remap(cx),
            Place::Unlock { lock, ret } => {
                if let Some(held) = self.lock(cx.w, cx.strategy, lock) {
                    cx.unlock(me, held);
                }
                self.unlock(cx, lock, ret)
            }
            // In the hands of another machine; see `resume`.
            _ => Next::Return(0),
        }
    }

    fn resume(self, cx: &mut Step, _ret: Ret) -> Next {
        match self.place {
            Place::Writing { source } => {
                let first = if source { self.from } else { self.to };
                let then = Reflink { place: Place::Waiting { source }, ..self };
                call(WaitPages::range(first, self.pages), then)
            }
            Place::Waiting { source: true } => self.write(false),
            Place::Waiting { source: false } => self.unmap(),
            Place::Unmapping => {
                let then = Reflink { place: Place::Dropping, ..self };
                // A larger folio of which a part stays is cut, as truncate does.
                match cx.map.file(cx.map.file_of(self.to)).folio_order {
                    0 => call(InvalidatePages::discard(self.to, self.pages), then),
                    _ => call(TruncatePages::from_cache(self.to, self.pages), then),
                }
            }
            _ => self.go(Place::Remap),
        }
    }
}
