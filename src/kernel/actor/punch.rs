//! `fallocate(PUNCH_HOLE)`: pages in the middle of a file become a hole (`ext4_punch_hole`,
//! `xfs_free_file_space`).

use super::dax_layout::BreakLayouts;
use super::extents;
use super::routine::call;
use super::step::*;
use super::truncate::after_lock;
use super::truncate_pages::TruncatePages;
use super::writeback::WritePages;
use super::writeback_wait::WaitPages;
use super::zap::Zap;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Size;
use crate::kernel::world::plan::{FsKind, PAGE_SIZE, SyncMode};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Lock};

/// `fallocate(PUNCH_HOLE | KEEP_SIZE)` of whole pages. Returns 0, or -EINTR if a signal ended the
/// wait for a busy page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Punch {
    first: FilePage,
    pages: u32,
    state: State,
}

/// How far a hole punch is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Waits for i_rwsem, for writing.
    Lock,
    /// inode_dio_wait.
    DioWait,
    /// Waits for invalidate_lock, for writing.
    InvalidateLock,
    /// In the layout break.
    Layouts,
    /// xfs_flush_unmap_range: writes dirty pages before anything is unmapped (btrfs as well).
    Flush,
    /// The same, waiting.
    FlushWait,
    /// In unmap_mapping_range, which leaves private copies alone.
    Unmap,
    /// In truncate_inode_pages_range.
    Pages,
    /// Extents are removed, blocks freed, under i_data_sem.
    Free,
    /// Releases the locks, with this result.
    Unlock(Ret),
}

impl Punch {
    /// A punch of `pages` pages from `first` on.
    pub fn new(first: FilePage, pages: u32) -> Punch {
        Punch { first, pages, state: State::Lock }
    }

    fn at(self, state: State) -> Punch {
        Punch { state, ..self }
    }

    fn lock(self, map: &Layout, class: LockClass) -> Lock {
        map.file_lock(class, map.file_of(self.first))
    }

    /// Nothing beyond the last page of the file is punched.
    fn clamp(self, cx: &Step) -> Punch {
        let size = cx.get::<Size>(cx.map.file_of(self.first)).bytes();
        let end = size.div_ceil(u64::from(PAGE_SIZE)) as u32;
        let left = end.saturating_sub(cx.map.index_in_file(self.first));
        Punch { pages: self.pages.min(left), ..self }
    }

    /// ext4 goes straight on to unmap; xfs and btrfs write and wait first (seen: g04).
    fn flush(self, map: &Layout) -> Next {
        match map.fs_of(self.first) {
            FsKind::Xfs | FsKind::Btrfs => {
                let file = map.file_of(self.first);
                call(WritePages::new(file, SyncMode::Integrity), self.at(State::Flush))
            }
            _ => self.unmap(),
        }
    }

    fn unmap(self) -> Next {
        call(Zap::file(self.first, self.pages, false), self.at(State::Unmap))
    }
}

impl Machine for Punch {
    fn need(self, cx: &Scene) -> Need {
        let map = &cx.w.map;
        match self.state {
            State::Lock => Need::Lock(self.lock(map, LockClass::IRwsem), Mode::Exclusive),
            State::DioWait => Need::NoDio(map.file_of(self.first)),
            State::InvalidateLock => {
                Need::Lock(self.lock(map, LockClass::InvalidateLock), Mode::Exclusive)
            }
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.state {
            State::Lock => Label::new("T1", "inode_lock", Cost::Lock),
            State::DioWait => Label::new("T3", "inode_dio_wait", Cost::Step),
            State::InvalidateLock => Label::new("T4", "filemap_invalidate_lock", Cost::Lock),
            State::Free => Label::new("T8", "ext4_ext_remove_space", Cost::Journal),
            State::Unlock(_) => Label::new("T9", "filemap_invalidate_unlock", Cost::Lock),
            _ => Label::new("", "ext4_punch_hole", Cost::Step),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, map) = (cx.me, cx.map.clone());
        match self.state {
            State::Lock => {
                cx.lock(me, self.lock(&map, LockClass::IRwsem), Mode::Exclusive);
                let file = map.file_of(self.first);
                let next = after_lock(cx, file, State::DioWait, State::InvalidateLock);
                self.clamp(cx).at(next).into()
            }
            State::DioWait => {
                cx.might_sleep();
                self.at(State::InvalidateLock).into()
            }
            State::InvalidateLock => {
                cx.lock(me, self.lock(&map, LockClass::InvalidateLock), Mode::Exclusive);
                if self.pages == 0 {
                    return self.at(State::Unlock(0)).into();
                }
                match BreakLayouts::of(cx, self.first, self.pages) {
                    Some(layouts) => call(layouts, self.at(State::Layouts)),
                    None => self.flush(&map),
                }
            }
            State::Free => {
                extents::remove(cx, self.first, self.pages);
                self.at(State::Unlock(0)).into()
            }
            State::Unlock(ret) => {
                cx.unlock(me, self.lock(&map, LockClass::InvalidateLock));
                cx.unlock(me, self.lock(&map, LockClass::IRwsem));
                Next::Return(ret)
            }
            _ => self.into(),
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        let map = cx.map.clone();
        match self.state {
            State::Layouts if ret < 0 => self.at(State::Unlock(ret)).into(),
            State::Layouts => self.flush(&map),
            State::Flush => {
                call(WaitPages::new(map.file_of(self.first)), self.at(State::FlushWait))
            }
            State::FlushWait => self.unmap(),
            State::Unmap => {
                call(TruncatePages::new(self.first, self.pages, 0), self.at(State::Pages))
            }
            _ => self.at(State::Free).into(),
        }
    }
}
