//! `fallocate(PUNCH_HOLE)`: pages in the middle of a file become a hole (`ext4_punch_hole`,
//! `xfs_free_file_space`).

use super::cut::{Cut, What};
use super::extents;
use super::routine::call;
use super::step::*;
use super::truncate_pages::TruncatePages;
use super::writeback::WritePages;
use super::writeback_wait::WaitPages;
use super::zap::Zap;
use crate::kernel::strategy::Guard;
use crate::kernel::world::FilePage;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::plan::{FsKind, SyncMode};

/// `fallocate(PUNCH_HOLE | KEEP_SIZE)` of whole pages of a file that is locked (T1 to T5 are
/// [`Cut`]'s). Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Punch {
    first: FilePage,
    pages: u32,
    state: State,
}

/// How far a hole punch is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
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
}

impl Punch {
    /// A punch of `pages` pages from `first` on, after T5.
    pub fn new(first: FilePage, pages: u32) -> Punch {
        Punch { first, pages, state: State::Unmap }
    }

    fn at(self, state: State) -> Punch {
        Punch { state, ..self }
    }

    fn end(self) -> Next {
        Cut::end(What::Hole { first: self.first, pages: self.pages }, 0)
    }

    /// ext4 goes straight on to unmap; xfs and btrfs write and wait first (seen: g04).
    pub fn begin(self, cx: &mut Step) -> Next {
        match cx.map.fs_of(self.first) {
            FsKind::Xfs | FsKind::Btrfs => {
                let file = cx.map.file_of(self.first);
                call(WritePages::new(file, SyncMode::Integrity), self.at(State::Flush))
            }
            _ => self.unmap(cx),
        }
    }

    fn unmap(self, cx: &mut Step) -> Next {
        if !cx.strategy.keeps(Guard::BlocksLast) {
            extents::remove(cx, self.first, self.pages);
        }
        call(Zap::file(self.first, self.pages, false), self.at(State::Unmap))
    }
}

impl Machine for Punch {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self.state {
            State::Free => Label::new("T8", "ext4_ext_remove_space", Cost::Journal),
            _ => Label::new("", "ext4_punch_hole", Cost::Step),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.state {
            State::Free => {
                extents::remove(cx, self.first, self.pages);
                self.end()
            }
            _ => self.into(),
        }
    }

    fn resume(self, cx: &mut Step, _ret: Ret) -> Next {
        let map = cx.map.clone();
        match self.state {
            State::Flush => {
                call(WaitPages::new(map.file_of(self.first)), self.at(State::FlushWait))
            }
            State::FlushWait => self.unmap(cx),
            State::Unmap => {
                call(TruncatePages::new(self.first, self.pages, 0), self.at(State::Pages))
            }
            _ => self.at(State::Free).into(),
        }
    }
}
