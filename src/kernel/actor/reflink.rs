//! Reflink (`FICLONERANGE`): two ranges of files share blocks until one of them is written
//! (`generic_remap_file_range_prep`, `xfs_file_remap_range`, `btrfs_remap_file_range`).
//!
//! Both files' `i_rwsem` and the destination's `invalidate_lock` are held; the source's, which
//! the kernel also takes, is left out: a fault that dirties the source meanwhile only makes its
//! next writeback break the sharing, as it does afterwards.

use super::errno::{EINVAL, EOPNOTSUPP};
use super::file_io::file_lock;
use super::invalidate_pages::InvalidatePages;
use super::routine::call;
use super::step::*;
use super::truncate_pages::TruncatePages;
use super::writeback::WritePages;
use super::writeback_wait::WaitPages;
use super::zap::Zap;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Newest, Promised, Size};
use crate::kernel::world::plan::{FsKind, PAGE_SIZE, SyncMode};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Lock, World};

/// Lets `pages` pages of one file share the blocks of another. Returns 0, -EOPNOTSUPP, or
/// -EINVAL for files of different filesystems.
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
    /// `lock_two_nondirectories`: the first inode's `i_rwsem`.
    LockFirst,
    /// The second one's.
    LockSecond,
    /// The destination's `invalidate_lock`.
    LockInvalidate,
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
    /// Releases the locks, innermost first.
    Unlock { step: u8 },
}

impl Reflink {
    /// A reflink of whole pages.
    pub fn new(from: FilePage, to: FilePage, pages: u32) -> Reflink {
        Reflink { from, to, pages, place: Place::LockFirst }
    }

    fn go(self, place: Place) -> Next {
        Reflink { place, ..self }.into()
    }

    /// The `i_rwsem` of the lower- and of the higher-numbered file; the same if it is one file.
    fn inodes(self, w: &World) -> (Lock, Lock) {
        let (a, b) = (w.map.file_of(self.from), w.map.file_of(self.to));
        let lock = |f| w.map.file_lock(LockClass::IRwsem, f);
        (lock(a.min(b)), lock(a.max(b)))
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
        for n in 0..self.pages {
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
            let kept = cx.get::<Extent>(to).block().map(|b| cx.durable_contents(b));
            cx.set(to, Promised(kept.unwrap_or_default()));
        }
        let (file, last) = (cx.map.file_of(self.to), self.to.plus(self.pages - 1));
        let end = u64::from(cx.map.index_in_file(last) + 1) * u64::from(PAGE_SIZE);
        if end > cx.get::<Size>(file).bytes() {
            cx.set(file, Size::new().with_bytes(end));
        }
        self.go(Place::Unlock { step: 0 })
    }

    fn unlock(self, cx: &mut Step, step: u8) -> Next {
        let (me, (first, second)) = (cx.me, self.inodes(cx));
        let lock = match step {
            0 => file_lock(cx, LockClass::InvalidateLock, self.to),
            1 => second,
            _ => first,
        };
        cx.unlock(me, lock);
        match step {
            0 => self.go(Place::Unlock { step: 1 }),
            1 if first != second => self.go(Place::Unlock { step: 2 }),
            _ => Next::Return(0),
        }
    }
}

impl Machine for Reflink {
    fn need(self, cx: &Scene) -> Need {
        let (first, second) = self.inodes(cx.w);
        match self.place {
            Place::LockFirst if self.refusal(cx.w).is_some() => Need::Nothing,
            Place::LockFirst => Need::Lock(first, Mode::Exclusive),
            Place::LockSecond => Need::Lock(second, Mode::Exclusive),
            Place::LockInvalidate => {
                let lock = file_lock(cx.w, LockClass::InvalidateLock, self.to);
                Need::Lock(lock, Mode::Exclusive)
            }
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.place {
            Place::LockFirst | Place::LockSecond => {
                Label::new("", "lock_two_nondirectories", Cost::Lock)
            }
            Place::LockInvalidate => Label::new("", "filemap_invalidate_lock", Cost::Lock),
            Place::Remap => Label::new("", "remap_file_range", Cost::Journal),
            _ => Label::new("", "unlock_two_nondirectories", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, (first, second)) = (cx.me, self.inodes(cx));
        match self.place {
            Place::LockFirst => {
                if let Some(ret) = self.refusal(cx) {
                    return Next::Return(ret);
                }
                cx.lock(me, first, Mode::Exclusive);
                let one = first == second;
                self.go(if one { Place::LockInvalidate } else { Place::LockSecond })
            }
            Place::LockSecond => {
                cx.lock(me, second, Mode::Exclusive);
                self.go(Place::LockInvalidate)
            }
            Place::LockInvalidate => {
                let lock = file_lock(cx, LockClass::InvalidateLock, self.to);
                cx.lock(me, lock, Mode::Exclusive);
                match cx.strategy.keeps(Guard::ReflinkFlush) {
                    true => self.write(true),
                    false => self.unmap(),
                }
            }
            Place::Remap => self.remap(cx),
            Place::Unlock { step } => self.unlock(cx, step),
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
