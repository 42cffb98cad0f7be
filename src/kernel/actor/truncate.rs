//! `ftruncate()`: a file shrinks or grows (`ext4_setattr`, kernel-facts 4.2).

use super::cut::{Cut, What};
use super::extents;
use super::routine::call;
use super::step::*;
use super::truncate_pages::TruncatePages;
use super::writeback::WritePages;
use super::writeback_wait::WaitPages;
use super::zap::Zap;
use super::zero_tail::ZeroTail;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{FsKind, PAGE_SIZE, SyncMode};
use crate::kernel::world::{File, FilePage};

/// `ftruncate()` of a file that is locked (T1 to T5 are [`Cut`]'s). Returns 0.
///
/// T2, the flush of the tail in data=ordered mode, has nothing to do here: it concerns blocks
/// allocated in a transaction that has not been committed, and the model commits at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TruncateFile {
    file: File,
    /// The new size.
    size: u64,
    state: State,
}

/// How far a truncate is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Growing: the old last page's bytes beyond the old end are being zeroed.
    OldTail,
    /// T6: i_disksize and i_size change under i_data_sem.
    SetSize,
    /// xfs_setattr_size: a tail that growing zeroed is written at once.
    Grown,
    /// The same, waiting.
    GrownWait,
    /// T7: in the first unmap_mapping_range of truncate_pagecache.
    Unmap,
    /// T7: in truncate_inode_pages_range.
    Pages,
    /// T7: in the second unmap, of private copies made meanwhile.
    Again,
    /// btrfs_truncate: writes the new last page (btrfs_wait_ordered_range).
    Ordered,
    /// btrfs_truncate: waits for it.
    OrderedWait,
    /// T8: the new last page's tail is being zeroed on disk (ext4_block_truncate_page).
    Tail,
    /// T8: extents are removed, blocks freed (ext4_ext_truncate), under i_data_sem.
    Free,
}

impl TruncateFile {
    /// A truncate to `size` bytes, after T5.
    pub fn new(file: File, size: u64) -> TruncateFile {
        TruncateFile { file, size, state: State::SetSize }
    }

    fn at(self, state: State) -> TruncateFile {
        TruncateFile { state, ..self }
    }

    fn what(self) -> What {
        What::Tail { file: self.file, size: self.size }
    }

    /// The pages that go as a whole: the first, and how many.
    fn gone(self, map: &Layout) -> (FilePage, u32) {
        self.what().gone(map)
    }

    fn end(self) -> Next {
        Cut::end(self.what(), 0)
    }

    /// The page that holds byte `size` and the byte within it; none if a page ends there.
    fn cut(self, map: &Layout, size: u64) -> Option<(FilePage, u16)> {
        let byte = (size % u64::from(PAGE_SIZE)) as u16;
        let at = map.file_page(self.file, (size / u64::from(PAGE_SIZE)) as u32)?;
        (byte > 0).then_some((at, byte))
    }

    fn tail(self, map: &Layout) -> u16 {
        self.cut(map, self.size).map_or(0, |(_, byte)| byte)
    }

    /// The file is locked. Growing: the old tail is zeroed before the new size shows it, by
    /// filesystems that do so.
    pub fn begin(self, cx: &Step) -> Next {
        let old = cx.get::<Size>(self.file).bytes();
        let zeroes = cx.strategy.eof_tail.zeroes(cx.map.file(self.file).fs);
        match self.cut(&cx.map, old).filter(|_| old < self.size && zeroes) {
            Some((at, byte)) => call(ZeroTail::new(at, byte), self.at(State::OldTail)),
            None => self.at(State::SetSize).into(),
        }
    }

    /// T6.
    fn set_size(self, cx: &mut Step) -> Next {
        let old = cx.get::<Size>(self.file).bytes();
        if self.size > old || cx.strategy.keeps(Guard::TruncateSizeFirst) {
            cx.set(self.file, Size::new().with_bytes(self.size));
        }
        let map = cx.map.clone();
        match self.gone(&map) {
            _ if self.size > old => self.grown(cx, old),
            (first, pages) if pages > 0 && !cx.strategy.keeps(Guard::BlocksLast) => {
                extents::remove(cx, first, pages);
                call(Zap::file(first, pages, true), self.at(State::Unmap))
            }
            (_, 0) => self.pages(&map),
            (first, pages) => call(Zap::file(first, pages, true), self.at(State::Unmap)),
        }
    }

    /// After T6 of a file that has grown from `old` bytes.
    fn grown(self, cx: &mut Step, old: u64) -> Next {
        let (map, fs) = (cx.map.clone(), cx.map.file(self.file).fs);
        let cut = self.cut(&map, old);
        if let Some((at, byte)) = cut.filter(|_| !cx.strategy.eof_tail.zeroes(fs)) {
            // Nothing has been zeroed, but zeroes are what the file should show there now.
            extents::forget(cx, at, (byte, 4096));
        }
        match cut {
            Some(_) if fs == FsKind::Xfs => {
                call(WritePages::new(self.file, SyncMode::Integrity), self.at(State::Grown))
            }
            _ => self.end(),
        }
    }

    fn pages(self, map: &Layout) -> Next {
        match (self.gone(map), self.tail(map)) {
            ((_, 0), 0) => self.end(),
            ((first, pages), tail) => {
                call(TruncatePages::new(first, pages, tail), self.at(State::Pages))
            }
        }
    }

    fn again(self, map: &Layout) -> Next {
        match self.gone(map) {
            (_, 0) => self.zero(map),
            (first, pages) => call(Zap::file(first, pages, true), self.at(State::Again)),
        }
    }

    /// T8: first the new last page. btrfs writes it instead, zeroed in memory as it is.
    fn zero(self, map: &Layout) -> Next {
        match self.cut(map, self.size) {
            Some(_) if map.file(self.file).fs == FsKind::Btrfs => {
                call(WritePages::new(self.file, SyncMode::Integrity), self.at(State::Ordered))
            }
            Some((at, byte)) => call(ZeroTail::new(at, byte), self.at(State::Tail)),
            None => self.at(State::Free).into(),
        }
    }
}

impl Machine for TruncateFile {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self.state {
            State::SetSize => Label::new("T6", "i_size_write", Cost::Journal),
            State::Free => Label::new("T8", "ext4_ext_truncate", Cost::Journal),
            _ => Label::new("", "ext4_setattr", Cost::Step),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.state {
            State::SetSize => self.set_size(cx),
            State::Free => {
                let (first, pages) = self.gone(&cx.map);
                extents::remove(cx, first, pages);
                self.end()
            }
            _ => self.into(),
        }
    }

    fn resume(self, cx: &mut Step, _ret: Ret) -> Next {
        let map = cx.map.clone();
        match self.state {
            State::OldTail => self.at(State::SetSize).into(),
            State::Grown => call(WaitPages::new(self.file), self.at(State::GrownWait)),
            State::GrownWait => self.end(),
            State::Unmap => self.pages(&map),
            State::Pages if cx.strategy.keeps(Guard::TruncateUnmapAgain) => self.again(&map),
            State::Pages => self.zero(&map),
            State::Again => self.zero(&map),
            State::Ordered => call(WaitPages::new(self.file), self.at(State::OrderedWait)),
            _ => self.at(State::Free).into(),
        }
    }
}
