//! `fallocate(PUNCH_HOLE)`: pages in the middle of a file become a hole (`ext4_punch_hole`,
//! `xfs_free_file_space`).

use super::dax_layout::BreakLayouts;
use super::errno::{EACCES, EINVAL, EOPNOTSUPP};
use super::extents;
use super::routine::call;
use super::step::*;
use super::truncate::after_lock;
use super::truncate_pages::TruncatePages;
use super::writeback::WritePages;
use super::writeback_wait::WaitPages;
use super::zap::Zap;
use super::zero_tail::ZeroTail;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Size, VmaState};
use crate::kernel::world::plan::{FsKind, PAGE_SIZE, Part, SyncMode};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{File, FilePage, Id, Lock, VPage};

/// `fallocate(PUNCH_HOLE | KEEP_SIZE)`, ZERO_RANGE or COLLAPSE_RANGE. Returns 0, or -EINTR if a
/// signal ended the wait for a busy page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Punch {
    /// The first page that goes as a whole.
    first: FilePage,
    pages: u32,
    /// Parts of pages that are zeroed: before and after the whole ones.
    edges: [Option<(FilePage, Part)>; 2],
    /// What was asked for, if not in pages: offset and length.
    bytes: Option<(File, u64, u64)>,
    what: What,
    state: State,
}

/// What becomes of the pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum What {
    /// A hole.
    Hole,
    /// ZERO_RANGE: their blocks stay, unwritten.
    Zeroes,
    /// COLLAPSE_RANGE: what follows takes their place.
    Nothing,
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
    /// ext4_zero_partial_blocks, shmem_undo_range: this edge is being zeroed.
    Edge(u8),
    /// Extents are removed, blocks freed, under i_data_sem.
    Free,
    /// Releases the locks, with this result.
    Unlock(Ret),
}

impl Punch {
    /// A punch of `pages` pages from `first` on.
    pub fn new(first: FilePage, pages: u32) -> Punch {
        let edges = [None; 2];
        Punch { first, pages, edges, bytes: None, what: What::Hole, state: State::Lock }
    }

    /// A punch of bytes of a file.
    pub fn bytes(file: File, at: u64, len: u64) -> Punch {
        Punch { bytes: Some((file, at, len)), ..Punch::new(FilePage(0), 0) }
    }

    /// ZERO_RANGE of pages (`ext4_zero_range`).
    pub fn zero_range(first: FilePage, pages: u32) -> Punch {
        Punch { what: What::Zeroes, ..Punch::new(first, pages) }
    }

    /// COLLAPSE_RANGE of pages (`ext4_collapse_range`). Returns 0, -EINVAL if the file does not go
    /// on behind them, -EOPNOTSUPP on btrfs and tmpfs.
    pub fn collapse(first: FilePage, pages: u32) -> Punch {
        Punch { what: What::Nothing, ..Punch::new(first, pages) }
    }

    /// Why it cannot be done, if so.
    fn refused(self, cx: &Step) -> Option<Ret> {
        if self.what != What::Nothing {
            return None;
        }
        let end = u64::from(cx.map.index_in_file(self.first) + self.pages) * u64::from(PAGE_SIZE);
        match cx.map.fs_of(self.first) {
            FsKind::Btrfs | FsKind::Tmpfs => Some(-EOPNOTSUPP),
            _ if end >= cx.get::<Size>(self.file(&cx.map)).bytes() => Some(-EINVAL),
            _ => None,
        }
    }

    /// Pages of the file from the first one on.
    fn rest(self, map: &Layout) -> u32 {
        map.file_pages[self.file(map).index()].end - self.first.0
    }

    /// What follows is written, since it leaves the page cache; then every page from the first on
    /// is unmapped and dropped (`truncate_pagecache`), and the extents are shifted.
    fn collapse_step(self, cx: &mut Step) {
        let file = self.file(&cx.map);
        extents::collapse(cx, self.first, self.pages);
        let gone = u64::from(self.pages) * u64::from(PAGE_SIZE);
        cx.update::<Size>(file, |s| s.with_bytes(s.bytes() - gone));
    }

    fn file(self, map: &Layout) -> File {
        self.bytes.map_or_else(|| map.file_of(self.first), |(file, ..)| file)
    }

    /// From bytes to whole pages and the parts beside them. A hole beyond the end of the file ends
    /// with the page that holds the end (`ext4_punch_hole`).
    fn resolve(self, cx: &Step) -> Punch {
        let Some((file, at, len)) = self.bytes else { return self.clamp(cx) };
        let (page, size) = (u64::from(PAGE_SIZE), cx.get::<Size>(file).bytes());
        let end = (at.saturating_add(len)).min(size.next_multiple_of(page));
        if at >= size || end <= at {
            return self;
        }
        let (from, to) = ((at / page) as u32, (end / page) as u32);
        let (cut_at, cut_end) = ((at % page) as u16, (end % page) as u16);
        let part = |index: u32, part: Part| Some((cx.map.file_page(file, index)?, part));
        if from == to {
            return Punch { edges: [part(from, (cut_at, cut_end)), None], ..self };
        }
        let whole = from + u32::from(cut_at > 0);
        let edges = [
            part(from, (cut_at, 4096)).filter(|_| cut_at > 0),
            part(to, (0, cut_end)).filter(|_| cut_end > 0),
        ];
        let first = cx.map.file_page(file, whole).unwrap_or(self.first);
        Punch { first, pages: to - whole, edges, ..self }
    }

    fn at(self, state: State) -> Punch {
        Punch { state, ..self }
    }

    fn lock(self, map: &Layout, class: LockClass) -> Lock {
        map.file_lock(class, self.file(map))
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
            _ if self.what == What::Nothing => {
                let (after, rest) = (self.first.plus(self.pages), self.rest(map));
                let write = WritePages::range(after, rest - self.pages, SyncMode::Integrity);
                call(write, self.at(State::Flush))
            }
            FsKind::Xfs => {
                let write = WritePages::range(self.first, self.pages, SyncMode::Integrity);
                call(write, self.at(State::Flush))
            }
            FsKind::Btrfs => {
                let file = map.file_of(self.first);
                call(WritePages::new(file, SyncMode::Integrity), self.at(State::Flush))
            }
            _ => self.unmap(map),
        }
    }

    /// `truncate_pagecache_range` unmaps whole pages only. When the hole ends in page 0 the end of
    /// that range is -1, which it takes for the end of the file: every page from the hole on loses
    /// its entries (kernel truth), and no data.
    fn unmap(self, map: &Layout) -> Next {
        let pages = &map.file_pages[self.file(map).index()];
        if self.what == What::Nothing {
            return call(Zap::file(self.first, self.rest(map), true), self.at(State::Unmap));
        }
        let in_page_0 = self.pages == 0 && self.edges[0].is_some_and(|(at, _)| at.0 == pages.start);
        let (first, count) = match (in_page_0, self.edges[0]) {
            (true, Some((at, (from, _)))) => {
                let first = at.plus(u32::from(from > 0));
                (first, pages.end - first.0)
            }
            _ => (self.first, self.pages),
        };
        match count {
            0 => self.edge(0),
            _ => call(Zap::file(first, count, false), self.at(State::Unmap)),
        }
    }

    /// The next edge that is to be zeroed, from the `n`-th on.
    fn edge(self, n: u8) -> Next {
        let next = (n..2).find_map(|n| Some((n, self.edges[usize::from(n)]?)));
        match next {
            Some((n, (at, part))) => call(ZeroTail::punch(at, part), self.at(State::Edge(n))),
            None => self.at(State::Free).into(),
        }
    }
}

impl Machine for Punch {
    fn need(self, cx: &Scene) -> Need {
        let map = &cx.w.map;
        match self.state {
            State::Lock => Need::Lock(self.lock(map, LockClass::IRwsem), Mode::Exclusive),
            State::DioWait => Need::NoDio(self.file(map)),
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
                if let Some(ret) = self.refused(cx) {
                    return Next::Return(ret);
                }
                cx.lock(me, self.lock(&map, LockClass::IRwsem), Mode::Exclusive);
                let next = after_lock(cx, self.file(&map), State::DioWait, State::InvalidateLock);
                self.resolve(cx).at(next).into()
            }
            State::DioWait => {
                cx.might_sleep();
                self.at(State::InvalidateLock).into()
            }
            State::InvalidateLock => {
                cx.lock(me, self.lock(&map, LockClass::InvalidateLock), Mode::Exclusive);
                if self.pages == 0 && self.edges == [None; 2] {
                    return self.at(State::Unlock(0)).into();
                }
                if self.pages == 0 {
                    return self.unmap(&map);
                }
                match BreakLayouts::of(cx, self.first, self.pages) {
                    Some(layouts) => call(layouts, self.at(State::Layouts)),
                    None => self.flush(&map),
                }
            }
            State::Free => {
                match self.what {
                    What::Hole => extents::remove(cx, self.first, self.pages),
                    What::Zeroes => extents::unwrite(cx, self.first, self.pages),
                    What::Nothing => self.collapse_step(cx),
                }
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
                let pages = if self.what == What::Nothing { self.rest(&map) } else { self.pages };
                call(WaitPages::range(self.first, pages), self.at(State::FlushWait))
            }
            State::FlushWait => self.unmap(&map),
            State::Unmap if self.pages > 0 => {
                let pages = if self.what == What::Nothing { self.rest(&map) } else { self.pages };
                call(TruncatePages::new(self.first, pages, 0), self.at(State::Pages))
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
            Some(at) => Punch::new(at, self.pages).into(),
        }
    }
}
