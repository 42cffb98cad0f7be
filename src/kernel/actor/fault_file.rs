//! Faults on pages of the page cache that no entry maps: `filemap_fault`, and what `do_fault`
//! does with the page that it returns.
//!
//! A page that is not cached is read in; it is found, locked and looked at again as the kernel
//! does, since truncate may have taken it away meanwhile. Where the plan says so, the neighbours
//! are mapped or read with it (`do_fault_around`, `do_sync_mmap_readahead`; kernel truth: of the
//! same mapping, within 64 KiB). Not modelled: folios of larger order but those cached from the
//! start of a run, a page read in is a base page. Before 5.15 the filesystem took what is
//! invalidate_lock here (i_mmap_sem) around the whole fault.

mod around;

use super::disk::submit;
use super::errno::{EAGAIN, EFAULT, ENOMEM};
use super::fault::*;
use super::fault_mkwrite::Mkwrite;
use super::step::*;
use super::writeback::disk_of;
use crate::kernel::strategy::{Guard, Strategy};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Toucher;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::Holder;
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Block, Contents, FilePage, Frame, Lock, VPage, World};

/// What becomes of the page of the file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Want {
    /// It is mapped for reading (`do_read_fault`).
    Read,
    /// It is copied (`do_cow_fault`).
    Cow,
    /// It is mapped for writing (`do_shared_fault`).
    Share,
}

/// A fault on a page of the page cache; returns as [`Fault`] does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileFault {
    at: VPage,
    want: Want,
    retry: Retry,
    /// mmap_lock has been dropped: the fault will be retried.
    dropped: bool,
    /// invalidate_lock is held (shared).
    invalidate: bool,
    /// The page that will be the private copy.
    copy: Option<Frame>,
    state: State,
}

/// Where the fault is. A frame is a folio that the fault holds a reference to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// `do_cow_fault`: before the copy is allocated.
    Prealloc,
    /// `do_fault_around`: before what is cached is mapped (`filemap_map_pages`).
    Around,
    /// `page_cache_ra_unbounded`: before this page of the file (by index) is read, if it is absent.
    Ahead(u32),
    /// Before `i_size` is read.
    Size,
    /// Before the cache is looked up.
    Find,
    /// Waits for invalidate_lock, with a folio that is not uptodate (packed) or with none.
    Invalidate(Option<Frame>),
    /// Before a folio is allocated.
    Alloc,
    /// Before it is added to the cache.
    Insert(Frame),
    /// `lock_folio_maybe_drop_mmap`: before the trylock.
    Trylock(Frame),
    /// Waits for the folio lock.
    Lock(Frame),
    /// The folio was truncated, or has to be looked up again: before it is put.
    Again(Frame),
    /// Not uptodate, locked, and there is nothing on the disk: before it is zeroed.
    Zero(Frame),
    /// Not uptodate, locked: waits for a free tag, then reads.
    Submit(Frame, Block),
    /// Waits until the read has unlocked it (`folio_wait_locked`).
    Reading(Frame),
    /// Uptodate and locked: before invalidate_lock is released.
    Release(Frame),
    /// Before `i_size` is read again, under the folio lock.
    Recheck(Frame),
    /// `do_page_mkwrite`: before the folio is unlocked for the filesystem.
    Share(Frame),
    /// Before the contents are copied.
    Copy(Frame),
    /// `finish_fault`: before the entry is set.
    Finish(Frame),
    /// Before the folio is unlocked; then it is put, if the flag says so.
    Unlock(Frame, bool, Ret),
    /// Before the next thing held is let go: a folio, invalidate_lock, the copy.
    Leave(Option<Frame>, Ret),
}

impl FileFault {
    /// A fault at a page whose entry was none.
    pub fn new(at: VPage, want: Want, retry: Retry) -> FileFault {
        let state = if want == Want::Cow { State::Prealloc } else { State::Size };
        FileFault { at, want, retry, dropped: false, invalidate: false, copy: None, state }
    }

    /// A fault for reading that first maps what is cached.
    pub fn around(at: VPage, retry: Retry) -> FileFault {
        FileFault { state: State::Around, ..FileFault::new(at, Want::Read, retry) }
    }

    fn go(self, state: State) -> Next {
        FileFault { state, ..self }.into()
    }

    fn file_page(self, w: &World) -> Option<FilePage> {
        w.map.backing(self.at)
    }

    fn invalidate_lock(self, w: &World, strategy: &Strategy) -> Option<Lock> {
        if !strategy.keeps(Guard::FaultInvalidateLock) {
            return None;
        }
        let file = w.map.file_of(self.file_page(w)?);
        Some(w.map.file_lock(LockClass::InvalidateLock, file))
    }

    /// Lets go what is held, one thing a step, and returns.
    fn leave(self, folio: Option<Frame>, ret: Ret) -> Next {
        if folio.is_none() && !self.invalidate && self.copy.is_none() {
            return Next::Return(fault_return(ret, self.dropped));
        }
        self.go(State::Leave(folio, ret))
    }

    fn leaving(mut self, cx: &mut Step, folio: Option<Frame>, ret: Ret) -> Next {
        if let Some(folio) = folio {
            cx.drop_ref(folio);
        } else if self.invalidate {
            self = self.unlock_invalidate(cx);
        } else if let Some(copy) = self.copy {
            cx.drop_ref(copy);
            self.copy = None;
        }
        self.leave(None, ret)
    }

    fn unlock_invalidate(self, cx: &mut Step) -> FileFault {
        if let Some(lock) = self.invalidate_lock(cx, cx.strategy) {
            let me = cx.me;
            cx.unlock(me, lock);
        }
        FileFault { invalidate: false, ..self }
    }

    /// `filemap_get_folio`.
    fn find(self, cx: &mut Step, at: FilePage) -> Next {
        let shmem = cx.map.fs_of(at) == FsKind::Tmpfs;
        match cx.cached(at) {
            Some(frame) => {
                if !cx.try_get(frame) {
                    return self.into(); // being freed: looked up again
                }
                cx.hold(frame, Holder::Ref, 1);
                if cx.flags(frame).uptodate() || self.invalidate || shmem {
                    self.go(State::Trylock(frame))
                } else {
                    self.go(State::Invalidate(Some(frame)))
                }
            }
            None if self.invalidate || shmem => self.go(State::Alloc),
            None => {
                cx.w.prices.add(Price::MajorFaults, 1);
                self.go(State::Invalidate(None))
            }
        }
    }

    /// `filemap_add_folio`; tmpfs zeroes and finishes the folio at once (`shmem_get_folio_gfp`).
    fn insert(self, cx: &mut Step, at: FilePage, frame: Frame) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::IPages);
        if cx.cached(at).is_some() {
            cx.drop_ref(frame);
            return self.go(State::Find);
        }
        let shmem = cx.map.fs_of(at) == FsKind::Tmpfs;
        if shmem {
            cx.set(frame, Data(Contents::ZERO));
        }
        cx.change_flags(frame, |f| f.with_swapbacked(shmem).with_uptodate(shmem));
        cx.lru_add(frame);
        cx.cache_insert(at, frame);
        self.go(State::Trylock(frame))
    }

    /// The folio is locked now: is it still the file's, and is it uptodate?
    fn locked(self, cx: &mut Step, at: FilePage, frame: Frame) -> Next {
        let gone = cx.get::<Owner>(frame).file_page() != Some(at);
        if gone && cx.strategy.keeps(Guard::FaultTruncated) {
            cx.unlock_folio(frame);
            return self.go(State::Again(frame));
        }
        buffers_uptodate(cx, frame);
        if cx.flags(frame).uptodate() {
            // mmap_lock was dropped on the way: the mapping has to be found again.
            let next = State::Unlock(frame, true, -EAGAIN);
            return self.go(if self.dropped { next } else { State::Release(frame) });
        }
        if !self.invalidate && cx.map.fs_of(at) != FsKind::Tmpfs {
            cx.unlock_folio(frame);
            return self.go(State::Again(frame));
        }
        let dropped = maybe_unlock_mmap(cx, self.at, self.retry, self.dropped);
        let extent = cx.get::<Extent>(at);
        let reading = FileFault { dropped, ..self };
        match extent.block().filter(|_| extent.kind() == ExtentKind::Written) {
            Some(block) => reading.go(State::Submit(frame, block)),
            None => reading.go(State::Zero(frame)),
        }
    }

    /// `lock_folio_maybe_drop_mmap`.
    fn trylock(self, cx: &mut Step, at: FilePage, frame: Frame) -> Next {
        if cx.folio_locked_by(frame).is_none() {
            let me = cx.me;
            cx.lock_folio(me, frame);
            return self.locked(cx, at, frame);
        }
        let dropped = maybe_unlock_mmap(cx, self.at, self.retry, self.dropped);
        FileFault { dropped, ..self }.go(State::Lock(frame))
    }

    /// The folio lock is free, or a fatal signal came (`__folio_lock_killable`).
    fn lock(self, cx: &mut Step, at: FilePage, frame: Frame) -> Next {
        cx.might_sleep();
        if cx.folio_locked_by(frame).is_some() {
            let dropped = maybe_unlock_mmap(cx, self.at, Retry::First, self.dropped);
            return FileFault { dropped, ..self }.leave(Some(frame), -EAGAIN);
        }
        let me = cx.me;
        cx.lock_folio(me, frame);
        self.locked(cx, at, frame)
    }

    /// Brings a folio uptodate that is not, and looks it up again.
    fn read_in(self, cx: &mut Step, at: FilePage) -> Next {
        match self.state {
            State::Again(frame) => {
                cx.drop_ref(frame);
                let again = if self.invalidate { State::Find } else { State::Invalidate(None) };
                let shmem = cx.map.fs_of(at) == FsKind::Tmpfs;
                self.go(if shmem { State::Find } else { again })
            }
            State::Zero(frame) => {
                let page = cx.page(frame);
                cx.touch(page, true, Toucher::Kernel);
                cx.set(frame, Data(Contents::ZERO));
                cx.change_flags(frame, |f| f.with_uptodate(true));
                cx.unlock_folio(frame);
                self.go(State::Reading(frame))
            }
            State::Submit(frame, block) => {
                cx.might_sleep();
                let disk = cx.map.disk_of(block);
                submit(cx, disk, BioKind::ReadIn, Some(frame), Some(block));
                self.go(State::Reading(frame))
            }
            State::Reading(frame) => {
                let failed = !cx.flags(frame).uptodate();
                if self.dropped || failed {
                    return self.leave(Some(frame), -EFAULT);
                }
                self.go(State::Again(frame))
            }
            _ => self.into(),
        }
    }

    /// The last look at `i_size`, then what the page is wanted for.
    fn recheck(self, cx: &mut Step, at: FilePage, frame: Frame) -> Next {
        if beyond_eof(cx, at) && cx.strategy.keeps(Guard::FaultEofAgain) {
            return self.go(State::Unlock(frame, true, -EFAULT));
        }
        match self.want {
            Want::Read => self.go(State::Finish(frame)),
            Want::Cow => self.go(State::Copy(frame)),
            Want::Share if cx.map.fs_of(at).tracks_dirty() => self.go(State::Share(frame)),
            Want::Share => Mkwrite::locked(self.at, frame, self.retry).into(),
        }
    }

    /// `finish_fault`, under the page-table lock: sets the entry if there is still none. Its
    /// reference is the one that the fault holds.
    fn finish(self, cx: &mut Step, at: FilePage, frame: Frame) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        if cx.get::<Pte>(self.at).frame().is_some() && cx.strategy.keeps(Guard::FaultPteNone) {
            return self.go(State::Unlock(frame, true, 0));
        }
        if cx.strategy.keeps(Guard::FaultBarredAgain) && barred(cx, at) {
            return self.go(State::Unlock(frame, true, -EFAULT));
        }
        if let Some(copy) = self.copy {
            map_anon(cx, self.at, copy, true);
            return FileFault { copy: None, ..self }.go(State::Unlock(frame, true, 0));
        }
        // A clean page is mapped read-only where stores have to be noticed.
        let vma = cx.get::<VmaState>(cx.map.vma_of(self.at));
        let write = is_shared(cx, self.at) && vma.write() && !cx.map.fs_of(at).tracks_dirty();
        map_file_page(cx, self.at, frame, write, false);
        self.go(State::Unlock(frame, false, 0))
    }
}

/// `block_read_full_folio` of a locked folio of which a part was zeroed and dirtied
/// ([`ZeroTail`](super::zero_tail::ZeroTail)): its buffers are uptodate, nothing is read, be the
/// folio dirty still, under writeback, or written.
pub fn buffers_uptodate(cx: &mut Step, frame: Frame) {
    let flags = cx.flags(frame);
    if (flags.dirty() || flags.buffers()) && !flags.uptodate() {
        cx.change_flags(frame, |f| f.with_uptodate(true));
    }
}

/// Sets an entry for a page of the page cache (`set_pte_range`): the reference that the caller
/// holds passes to the entry.
pub fn map_file_page(cx: &mut Step, at: VPage, frame: Frame, write: bool, dirty: bool) {
    let stale = cx.get::<Pte>(at).stale();
    let pte = Pte::new().with_present(true).with_young(true).with_stale(stale);
    cx.set_pte(at, pte.with_writable(write).with_dirty(dirty).with_frame(frame));
    cx.map_page(frame, 1);
    cx.drop_ref(frame);
}

impl Machine for FileFault {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Invalidate(_) => match self.invalidate_lock(cx.w, cx.strategy) {
                Some(lock) => Need::Lock(lock, Mode::Shared),
                None => Need::Nothing,
            },
            State::Lock(frame) | State::Reading(frame) => Need::FolioLock(cx.w.head(frame)),
            State::Submit(_, block) => Need::FreeTag(cx.w.map.disk_of(block)),
            State::Ahead(_) => match self.file_page(cx.w).and_then(|at| disk_of(cx.w, at)) {
                Some(disk) => Need::FreeTag(disk),
                None => Need::Nothing,
            },
            _ => Need::Nothing,
        }
    }

    /// FAULT_FLAG_KILLABLE.
    fn interruptible(self) -> bool {
        matches!(self.state, State::Lock(_)) && self.retry != Retry::Never
    }

    fn outcomes(self, cx: &Scene) -> u8 {
        let allocates = matches!(self.state, State::Prealloc | State::Alloc);
        1 + u8::from(allocates && Step::may_fail(cx.w))
    }

    fn label(self) -> Label {
        let (name, cost) = match self.state {
            State::Prealloc => ("do_cow_fault: allocate", Cost::Alloc),
            State::Around => ("filemap_map_pages", Cost::Lock),
            State::Ahead(_) => ("page_cache_ra_unbounded", Cost::Submit),
            State::Size => ("filemap_fault: i_size", Cost::Step),
            State::Find => ("filemap_get_folio", Cost::Walk),
            State::Invalidate(_) => ("filemap_invalidate_lock_shared", Cost::Lock),
            State::Alloc => ("filemap_alloc_folio", Cost::Alloc),
            State::Insert(_) => ("filemap_add_folio", Cost::Lock),
            State::Trylock(_) => ("filemap_fault: folio_trylock", Cost::Atomic),
            State::Lock(_) => ("filemap_fault: folio_lock", Cost::Wake),
            State::Again(_) => ("filemap_fault: folio_put, retry", Cost::Atomic),
            State::Zero(_) => ("read_folio: zero a hole", Cost::Copy),
            State::Submit(..) => ("read_folio: submit_bio", Cost::Submit),
            State::Reading(_) => ("folio_wait_locked", Cost::Wake),
            State::Release(_) => ("filemap_invalidate_unlock_shared", Cost::Lock),
            State::Recheck(_) => ("filemap_fault: i_size again", Cost::Step),
            State::Share(_) => {
                return Label::new("W2", "do_page_mkwrite: folio_unlock", Cost::Atomic);
            }
            State::Copy(_) => ("do_cow_fault: copy", Cost::Copy),
            State::Finish(_) => ("finish_fault: set_pte", Cost::Lock),
            State::Unlock(..) => ("do_fault: folio_unlock", Cost::Atomic),
            State::Leave(..) => ("do_fault: release", Cost::Atomic),
        };
        Label::new("", name, cost)
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
        let Some(at) = self.file_page(cx) else { return self.leave(None, -EFAULT) };
        let me = cx.me;
        match self.state {
            State::Prealloc => {
                anon_prepare(cx, self.at);
                match alloc_page(cx, outcome) {
                    Some(copy) => FileFault { copy: Some(copy), ..self }.go(State::Size),
                    None => self.leave(None, -ENOMEM),
                }
            }
            State::Around => self.map_around(cx),
            State::Ahead(n) => self.read_ahead(cx, at, n),
            State::Size if beyond_eof(cx, at) || barred(cx, at) => self.leave(None, -EFAULT),
            State::Size => self.go(State::Find),
            State::Find => self.find(cx, at),
            State::Invalidate(folio) => {
                if let Some(lock) = self.invalidate_lock(cx, cx.strategy) {
                    cx.lock(me, lock, Mode::Shared);
                }
                let holding = FileFault { invalidate: true, ..self };
                if folio.is_none() && cx.map.plan.around {
                    return holding.go(State::Ahead(0));
                }
                holding.go(folio.map_or(State::Find, State::Trylock))
            }
            State::Alloc => match alloc_page(cx, outcome) {
                Some(frame) => self.go(State::Insert(frame)),
                None => self.leave(None, -ENOMEM),
            },
            State::Insert(frame) => self.insert(cx, at, frame),
            State::Trylock(frame) => self.trylock(cx, at, frame),
            State::Lock(frame) => self.lock(cx, at, frame),
            State::Again(_) | State::Zero(_) | State::Submit(..) | State::Reading(_) => {
                self.read_in(cx, at)
            }
            State::Release(frame) => {
                if self.invalidate {
                    return self.unlock_invalidate(cx).go(State::Recheck(frame));
                }
                self.recheck(cx, at, frame)
            }
            State::Recheck(frame) => self.recheck(cx, at, frame),
            State::Share(frame) => {
                cx.unlock_folio(frame);
                Mkwrite::missing(self.at, at, frame, self.retry)
            }
            State::Copy(frame) => {
                if let Some(copy) = self.copy {
                    copy_page(cx, frame, copy);
                }
                self.go(State::Finish(frame))
            }
            State::Finish(frame) => self.finish(cx, at, frame),
            State::Unlock(frame, put, ret) => {
                cx.unlock_folio(frame);
                self.leave(put.then_some(frame), ret)
            }
            State::Leave(folio, ret) => self.leaving(cx, folio, ret),
        }
    }
}
