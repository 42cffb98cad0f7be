//! What `ftruncate()` and `fallocate()` have in common where they take something away: they lock
//! the inode against I/O and faults, meet whoever still uses the pages that go, and unlock in the
//! end.

use super::dax_layout::BreakLayouts;
use super::errno::{EINVAL, EOPNOTSUPP, EPERM};
use super::punch::Punch;
use super::routine::call;
use super::seal;
use super::step::*;
use super::truncate::TruncateFile;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{CacheSlot, FileState, Size};
use crate::kernel::world::plan::{FsKind, PAGE_SIZE, Part, Seal};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{File, FilePage, Id, Lock};

/// What is cut from a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum What {
    /// Everything from byte `size` on; or the file grows.
    Tail {
        /// The file.
        file: File,
        /// Its new size.
        size: u64,
    },
    /// PUNCH_HOLE: bytes in the middle.
    Hole {
        /// The first page of which anything goes.
        first: FilePage,
        /// How many such pages there are.
        pages: u32,
        /// From this byte of the first page on ...
        from: u16,
        /// ... to this byte of the last one, exclusive.
        to: u16,
    },
    /// ZERO_RANGE: whole pages, whose blocks stay.
    Zeroes {
        /// The first.
        first: FilePage,
        /// How many.
        pages: u32,
    },
    /// COLLAPSE_RANGE: whole pages, and what follows takes their place.
    Collapse {
        /// The first.
        first: FilePage,
        /// How many.
        pages: u32,
    },
}

impl What {
    /// A hole of whole pages.
    pub fn hole(first: FilePage, pages: u32) -> What {
        What::Hole { first, pages, from: 0, to: PAGE_SIZE as u16 }
    }

    /// The file.
    pub fn file(self, map: &Layout) -> File {
        match self {
            What::Tail { file, .. } => file,
            What::Hole { first, .. }
            | What::Zeroes { first, .. }
            | What::Collapse { first, .. } => map.file_of(first),
        }
    }

    /// The pages that leave the page cache as a whole: the first, and how many. A collapse drops
    /// all that follows.
    pub fn gone(self, map: &Layout) -> (FilePage, u32) {
        match self {
            What::Tail { file, size } => {
                let pages = &map.file_pages[file.index()];
                let keep = size.div_ceil(u64::from(PAGE_SIZE)).min(pages.len() as u64) as u32;
                (FilePage(pages.start + keep), pages.len() as u32 - keep)
            }
            What::Hole { first, pages, from, to } => {
                let (cut, open) = (from > 0, u32::from(to) < PAGE_SIZE);
                let parts = u32::from(cut) + u32::from(open);
                (first.plus(u32::from(cut)), pages.saturating_sub(parts))
            }
            What::Zeroes { first, pages } => (first, pages),
            What::Collapse { first, .. } => {
                (first, map.file_pages[map.file_of(first).index()].end - first.0)
            }
        }
    }

    /// The parts of pages at its edges that become zeroes.
    pub fn edges(self) -> [Option<(FilePage, Part)>; 2] {
        let What::Hole { first, pages, from, to } = self else { return [None; 2] };
        let whole = PAGE_SIZE as u16;
        match (pages, from > 0, to < whole) {
            (0, ..) => [None; 2],
            (1, false, false) => [None; 2],
            (1, ..) => [Some((first, (from, to))), None],
            (_, cut, open) => [
                cut.then_some((first, (from, whole))),
                open.then_some((first.plus(pages - 1), (0, to))),
            ],
        }
    }

    /// Nothing beyond the last page of the file is punched or zeroed.
    fn clamp(self, cx: &Step) -> What {
        let left = |first: FilePage, from: u16| {
            let page = u64::from(PAGE_SIZE);
            let size = cx.get::<Size>(cx.map.file_of(first)).bytes();
            let index = u64::from(cx.map.index_in_file(first));
            match index * page + u64::from(from) < size {
                true => (size.div_ceil(page) - index) as u32,
                false => 0,
            }
        };
        match self {
            What::Hole { first, pages, from, .. } if left(first, from) < pages => {
                What::Hole { first, pages: left(first, from), from, to: PAGE_SIZE as u16 }
            }
            What::Zeroes { first, pages } => {
                What::Zeroes { first, pages: pages.min(left(first, 0)) }
            }
            _ => self,
        }
    }

    /// Why it cannot be done, if so: a memfd may be sealed against it. A collapse ends before the
    /// end of the file, and is not for btrfs and tmpfs; tmpfs knows no ZERO_RANGE either.
    fn refused(self, cx: &Step) -> Option<Ret> {
        let (map, page) = (&cx.map, u64::from(PAGE_SIZE));
        match self {
            What::Tail { file, size } => {
                let now = || cx.get::<Size>(file).bytes();
                // shmem_setattr()
                let sealed = (seal::sealed(cx, file, Seal::Shrink) && size < now())
                    || (seal::sealed(cx, file, Seal::Grow) && size > now());
                let large = size > page * map.pages_of(file).count() as u64;
                if sealed { Some(-EPERM) } else { large.then_some(-EINVAL) }
            }
            // shmem_fallocate()
            What::Hole { first, .. } if seal::write_sealed(cx, map.file_of(first)) => Some(-EPERM),
            What::Zeroes { first, .. } if map.fs_of(first) == FsKind::Tmpfs => Some(-EOPNOTSUPP),
            What::Collapse { first, pages } => {
                let end = u64::from(map.index_in_file(first) + pages) * page;
                match map.fs_of(first) {
                    FsKind::Btrfs | FsKind::Tmpfs => Some(-EOPNOTSUPP),
                    _ if end >= cx.get::<Size>(map.file_of(first)).bytes() => Some(-EINVAL),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// `ftruncate()` or `fallocate(PUNCH_HOLE | KEEP_SIZE)`, ZERO_RANGE, COLLAPSE_RANGE. Returns 0;
/// -EINVAL or -EOPNOTSUPP if it cannot be done to this file; -EINTR if a signal ended the wait for
/// a busy page, -EBUSY if the design does not wait (the file is untouched then).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cut {
    what: What,
    state: State,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// T1: waits for i_rwsem, for writing.
    Lock,
    /// T3: inode_dio_wait: for direct I/O on this inode, not for pins of its pages.
    DioWait,
    /// T4: waits for invalidate_lock, for writing.
    InvalidateLock,
    /// T5: in ext4_break_layouts.
    Layouts,
    /// T9: invalidate_lock and i_rwsem are released, with this result.
    Unlock(Ret),
}

impl Cut {
    /// Before anything is locked.
    pub fn new(what: What) -> Cut {
        Cut { what, state: State::Lock }
    }

    /// After the file has been cut, or not: the end, with this result.
    pub fn end(what: What, ret: Ret) -> Next {
        Cut { what, state: State::Unlock(ret) }.into()
    }

    fn at(self, state: State) -> Next {
        Cut { state, ..self }.into()
    }

    fn lock(self, map: &Layout, class: LockClass) -> Lock {
        map.file_lock(class, self.what.file(map))
    }

    /// After T4: T5, if the design has anything to do about busy pages. It concerns what goes: a
    /// file that grows loses nothing, but DAX filesystems break all layouts on any change of size.
    fn layouts(self, cx: &mut Step) -> Next {
        let map = cx.map.clone();
        let ((first, pages), file) = (self.what.gone(&map), self.what.file(&map));
        let resized_dax =
            map.file(file).fs == FsKind::Dax && matches!(self.what, What::Tail { .. });
        let concerned = pages > 0 || resized_dax;
        match concerned.then(|| BreakLayouts::of(cx, file, first, pages)).flatten() {
            Some(layouts) => call(layouts, Cut { state: State::Layouts, ..self }),
            None => self.cut(cx),
        }
    }

    /// The file is locked, and nobody stands in the way.
    fn cut(self, cx: &mut Step) -> Next {
        match self.what {
            What::Tail { file, size } => TruncateFile::new(file, size).begin(cx),
            What::Hole { pages: 0, .. } | What::Zeroes { pages: 0, .. } => {
                self.at(State::Unlock(0))
            }
            what => Punch::new(what).begin(cx),
        }
    }
}

/// What follows i_rwsem: inode_dio_wait only if there is direct I/O in flight. None can begin
/// while i_rwsem is held for writing, so that looking right away is as good as looking later.
fn dio_in_flight(cx: &Step, file: File) -> bool {
    cx.get::<FileState>(file).dio_count() > 0
}

impl Machine for Cut {
    fn need(self, cx: &Scene) -> Need {
        let map = &cx.w.map;
        match self.state {
            State::Lock if cx.strategy.keeps(Guard::CutInodeLock) => {
                Need::Lock(self.lock(map, LockClass::IRwsem), Mode::Exclusive)
            }
            State::DioWait if cx.strategy.keeps(Guard::CutDioWait) => {
                Need::NoDio(self.what.file(map))
            }
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
            State::Layouts => Label::new("T5", "ext4_break_layouts", Cost::Step),
            State::Unlock(_) => Label::new("T9", "filemap_invalidate_unlock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, map) = (cx.me, cx.map.clone());
        let file = self.what.file(&map);
        match self.state {
            State::Lock => {
                if let Some(ret) = self.what.refused(cx) {
                    return Next::Return(ret);
                }
                if cx.strategy.keeps(Guard::CutInodeLock) {
                    cx.lock(me, self.lock(&map, LockClass::IRwsem), Mode::Exclusive);
                }
                let next = match dio_in_flight(cx, file) {
                    true => State::DioWait,
                    false => State::InvalidateLock,
                };
                Cut { what: self.what.clamp(cx), state: next }.into()
            }
            State::DioWait => {
                cx.might_sleep();
                self.at(State::InvalidateLock)
            }
            State::InvalidateLock => {
                cx.lock(me, self.lock(&map, LockClass::InvalidateLock), Mode::Exclusive);
                self.layouts(cx)
            }
            State::Layouts => self.cut(cx),
            State::Unlock(ret) => {
                self.unbar(cx);
                if let (What::Tail { file, size }, 0) = (self.what, ret)
                    && !cx.strategy.keeps(Guard::TruncateSizeFirst)
                {
                    cx.set(file, Size::new().with_bytes(size));
                }
                cx.unlock(me, self.lock(&map, LockClass::InvalidateLock));
                if cx.strategy.keeps(Guard::CutInodeLock) {
                    cx.unlock(me, self.lock(&map, LockClass::IRwsem));
                }
                Next::Return(ret)
            }
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        if ret < 0 { self.at(State::Unlock(ret)) } else { self.cut(cx) }
    }
}

impl Cut {
    /// Pages that are still there may be pinned and faulted in again.
    fn unbar(self, cx: &mut Step) {
        let fs = cx.map.file(self.what.file(&cx.map)).fs;
        if !cx.strategy.truncate_of(fs).bars() {
            return;
        }
        let (first, pages) = self.what.gone(&cx.map);
        for at in (0..pages).map(|n| first.plus(n)) {
            let slot = cx.get::<CacheSlot>(at);
            if slot.barred() {
                cx.set(at, slot.with_barred(false));
            }
        }
    }
}
