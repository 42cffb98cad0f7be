//! `fallocate(PUNCH_HOLE)`: bytes in the middle of a file become a hole (`ext4_punch_hole`,
//! `xfs_free_file_space`); ZERO_RANGE, COLLAPSE_RANGE; and MADV_REMOVE, which punches.

use super::cut::{Cut, What};
use super::errno::{EACCES, EINVAL};
use super::extents;
use super::routine::call;
use super::step::*;
use super::truncate_pages::TruncatePages;
use super::writeback::WritePages;
use super::writeback_wait::WaitPages;
use super::zap::Zap;
use super::zero_tail::ZeroTail;
use crate::kernel::strategy::Guard;
use crate::kernel::world::VPage;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Size, VmaState};
use crate::kernel::world::plan::{FsKind, PAGE_SIZE, SyncMode};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Id};

/// `fallocate(PUNCH_HOLE | KEEP_SIZE)`, ZERO_RANGE or COLLAPSE_RANGE of a file that is locked (T1
/// to T5 are [`Cut`]'s). Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Punch {
    what: What,
    state: State,
}

/// How far a hole punch is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// xfs_flush_unmap_range: writes dirty pages before anything is unmapped (btrfs as well). A
    /// collapse writes what follows, which leaves the page cache.
    Flush,
    /// The same, waiting.
    FlushWait,
    /// In unmap_mapping_range, which leaves private copies alone.
    Unmap,
    /// In truncate_inode_pages_range.
    Pages,
    /// ext4_zero_partial_blocks, shmem_undo_range: this edge is being zeroed.
    Edge(u8),
    /// Extents are removed, blocks freed, under i_data_sem.
    Free,
}

impl Punch {
    /// After T5.
    pub fn new(what: What) -> Punch {
        Punch { what, state: State::Unmap }
    }

    fn at(self, state: State) -> Punch {
        Punch { state, ..self }
    }

    fn collapses(self) -> bool {
        matches!(self.what, What::Collapse { .. })
    }

    fn gone(self, cx: &Step) -> (FilePage, u32) {
        self.what.gone(&cx.map)
    }

    /// ext4 goes straight on to unmap; xfs and btrfs write and wait first (seen: g04).
    pub fn begin(self, cx: &mut Step) -> Next {
        let file = self.what.file(&cx.map);
        let write = match (self.what, cx.map.file(file).fs) {
            (What::Collapse { first, pages }, _) => {
                let (_, rest) = self.gone(cx);
                WritePages::range(first.plus(pages), rest - pages, SyncMode::Integrity)
            }
            (_, FsKind::Xfs) => {
                let (first, pages) = self.gone(cx);
                WritePages::range(first, pages, SyncMode::Integrity)
            }
            (_, FsKind::Btrfs) => WritePages::new(file, SyncMode::Integrity),
            _ => return self.unmap(cx),
        };
        call(write, self.at(State::Flush))
    }

    /// `truncate_pagecache_range` unmaps whole pages only. When the hole ends within page 0 the end
    /// of that range is -1, which it takes for the end of the file: every page from the hole on
    /// loses its entries (kernel truth), and no data.
    fn unmap(self, cx: &mut Step) -> Next {
        let (mut first, mut pages) = self.gone(cx);
        if !cx.strategy.keeps(Guard::BlocksLast) && matches!(self.what, What::Hole { .. }) {
            extents::remove(cx, first, pages);
        }
        if let [Some((at, (from, to))), None] = self.what.edges() {
            let file = &cx.map.file_pages[self.what.file(&cx.map).index()];
            if at.0 == file.start && u32::from(to) < PAGE_SIZE {
                first = at.plus(u32::from(from > 0));
                pages = file.end - first.0;
            }
        }
        match pages {
            0 => self.edge(0),
            _ => call(Zap::file(first, pages, self.collapses()), self.at(State::Unmap)),
        }
    }

    /// The next edge that is to be zeroed, from the `n`-th on.
    fn edge(self, n: u8) -> Next {
        let edges = self.what.edges();
        let next = (n..2).find_map(|n| Some((n, edges[usize::from(n)]?)));
        match next {
            Some((n, (at, part))) => call(ZeroTail::punch(at, part), self.at(State::Edge(n))),
            None => self.at(State::Free).into(),
        }
    }

    /// The extents. What follows a collapse moves up, and the file ends earlier.
    fn free(self, cx: &mut Step) {
        match self.what {
            What::Zeroes { first, pages } => extents::unwrite(cx, first, pages),
            What::Collapse { first, pages } => {
                extents::collapse(cx, first, pages);
                let gone = u64::from(pages) * u64::from(PAGE_SIZE);
                let file = self.what.file(&cx.map);
                cx.update::<Size>(file, |s| s.with_bytes(s.bytes() - gone));
            }
            _ => {
                let (first, pages) = self.gone(cx);
                extents::remove(cx, first, pages);
            }
        }
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
                self.free(cx);
                Cut::end(self.what, 0)
            }
            _ => self.into(),
        }
    }

    fn resume(self, cx: &mut Step, _ret: Ret) -> Next {
        let (first, pages) = self.gone(cx);
        match self.state {
            State::Flush => call(WaitPages::range(first, pages), self.at(State::FlushWait)),
            State::FlushWait => self.unmap(cx),
            State::Unmap if pages > 0 => {
                let remove = match self.collapses() {
                    true => TruncatePages::from_cache(first, pages),
                    false => TruncatePages::new(first, pages, 0),
                };
                call(remove, self.at(State::Pages))
            }
            State::Edge(n) => self.edge(n + 1),
            _ => self.edge(0),
        }
    }
}

/// `madvise(MADV_REMOVE)`: a punch of what a shared mapping shows. Returns 0, -EINVAL if it is
/// locked or shows no file, -EACCES if it is private.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RemovePages {
    first: VPage,
    pages: u32,
}

impl RemovePages {
    /// The pages of the file that these virtual pages show.
    pub fn new(first: VPage, pages: u32) -> RemovePages {
        RemovePages { first, pages }
    }
}

impl Machine for RemovePages {
    fn need(self, cx: &Scene) -> Need {
        Need::Lock(cx.w.map.mmap_lock(cx.w.map.mm_of(self.first)), Mode::Shared)
    }

    fn label(self) -> Label {
        Label::new("", "madvise_remove", Cost::Syscall)
    }

    /// mmap_lock is dropped before the file is punched: only the lookup is under it.
    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, lock) = (cx.me, cx.map.mmap_lock(cx.map.mm_of(self.first)));
        cx.lock(me, lock, Mode::Shared);
        let vma = cx.map.vma_of(self.first);
        let (state, start) = (cx.get::<VmaState>(vma), cx.map.vma_pages[vma.index()].start);
        cx.unlock(me, lock);
        let at = cx.map.backing(self.first).filter(|_| state.mapped());
        match at {
            _ if state.any_locked(self.first.0 - start, self.pages) => Next::Return(-EINVAL),
            None => Next::Return(-EINVAL),
            Some(_) if !cx.map.vma(vma).shared => Next::Return(-EACCES),
            Some(at) => Cut::new(What::hole(at, self.pages)).into(),
        }
    }
}
