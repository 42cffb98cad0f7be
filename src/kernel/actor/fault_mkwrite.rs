//! A page of a shared mapping of a file becomes writable: `page_mkwrite` and what follows
//! (steps W1 to W9).
//!
//! ext4 and xfs reserve blocks and wait for writeback where the device wants stable pages; btrfs
//! always waits, before it reserves. tmpfs has no page_mkwrite. Not modelled: freeze protection,
//! journal credits, ENOSPC (a reservation always succeeds).

use super::fault::*;
use super::fault_file::map_file_page;
use super::file_io::{bytes_inside, stable_pages};
use super::step::*;
use crate::kernel::strategy::{Guard, Strategy};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Frame, Lock, VPage, World};

/// `wp_page_shared` and the second half of `do_shared_fault`. Returns 0, or -EAGAIN if mmap_lock
/// was dropped (VM_FAULT_COMPLETED).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mkwrite {
    at: VPage,
    /// The folio, with a reference.
    folio: Frame,
    retry: Retry,
    /// There was a read-only entry (`wp_page_shared`); else none (`do_shared_fault`).
    mapped: bool,
    state: State,
}

/// Where the fault is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// W3: waits for invalidate_lock, shared.
    Invalidate,
    /// W3: waits for the folio lock; then looks whether the folio was truncated.
    Lock,
    /// W3: waits for the end of writeback (`folio_wait_stable`); then the filesystem reserves, if
    /// it has not done so yet (btrfs).
    Stable { prepared: bool },
    /// W3: before the filesystem reserves blocks and attaches buffers.
    Prepare,
    /// W3: before the filesystem marks the folio dirty (`block_page_mkwrite`,
    /// `iomap_page_mkwrite`, `btrfs_page_mkwrite`).
    FsDirty,
    /// Before invalidate_lock is released; the folio is locked, unless it was truncated (W4).
    Release { truncated: bool },
    /// W5, W6: before the entry becomes writable.
    Finish,
    /// tmpfs, whose entry is writable already: waits for the folio lock.
    Relock,
    /// W7: before `folio_mark_dirty`.
    Dirty,
    /// W8: before the folio is unlocked; `done`: the entry was changed.
    Unlock { done: bool },
    /// W9: before `balance_dirty_pages`, for which mmap_lock is dropped.
    Balance,
    /// Before the reference is dropped.
    Put { dropped: bool },
}

impl Mkwrite {
    /// W1, W2: a store met a read-only entry (`wp_page_shared`); the caller took a reference under
    /// the page-table lock. Without tracking the entry has been made writable already.
    pub fn mapped(at: VPage, folio: Frame, retry: Retry, tracked: bool) -> Mkwrite {
        let state = if tracked { State::Invalidate } else { State::Relock };
        Mkwrite { at, folio, retry, mapped: true, state }
    }

    /// A store met no entry; the folio is uptodate, referenced and unlocked.
    pub fn missing(at: VPage, folio: Frame, retry: Retry) -> Mkwrite {
        Mkwrite { at, folio, retry, mapped: false, state: State::Invalidate }
    }

    /// The same on a filesystem without `page_mkwrite`; the folio is still locked.
    pub fn locked(at: VPage, folio: Frame, retry: Retry) -> Mkwrite {
        Mkwrite { at, folio, retry, mapped: false, state: State::Finish }
    }

    fn go(self, state: State) -> Next {
        Mkwrite { state, ..self }.into()
    }

    fn invalidate_lock(self, w: &World, strategy: &Strategy) -> Option<Lock> {
        if !strategy.keeps(Guard::FaultInvalidateLock) {
            return None;
        }
        let file = w.map.file_of(w.map.backing(self.at)?);
        Some(w.map.file_lock(LockClass::InvalidateLock, file))
    }

    /// The folio lock is taken; has truncate been faster?
    fn locked_for_fs(self, cx: &mut Step, at: FilePage) -> Next {
        let me = cx.me;
        cx.might_sleep();
        cx.lock_folio(me, self.folio);
        let gone = cx.get::<Owner>(self.folio).file_page() != Some(at) || beyond_eof(cx, at);
        if gone && cx.strategy.keeps(Guard::MkwriteTruncated) {
            cx.unlock_folio(self.folio);
            return self.go(State::Release { truncated: true });
        }
        if cx.map.fs_of(at) == FsKind::Btrfs {
            self.go(State::Stable { prepared: false })
        } else {
            self.go(State::Prepare)
        }
    }

    fn prepare(self, cx: &mut Step, at: FilePage) -> Next {
        cx.might_sleep();
        // Of a larger folio everything within i_size (`folio_mkwrite_check_truncate`).
        for n in cx.folio_slots(at) {
            if n == at.0 || bytes_inside(cx, FilePage(n)) > 0 {
                prepare_page(cx, self.folio, FilePage(n));
            }
        }
        self.go(State::FsDirty)
    }

    /// W5, W6: `finish_mkwrite_fault`, `finish_fault`.
    fn finish(self, cx: &mut Step, at: FilePage) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        let pte = cx.get::<Pte>(self.at);
        if self.mapped {
            let same = pte.present() && !pte.writable() && pte.frame() == Some(self.folio);
            if !same && cx.strategy.keeps(Guard::MkwritePteSame) {
                return self.go(State::Unlock { done: false });
            }
            let pte = pte.with_present(true).with_frame(self.folio);
            cx.set_pte(self.at, pte.with_writable(true).with_dirty(true).with_young(true));
        } else {
            let taken = pte.frame().is_some() && cx.strategy.keeps(Guard::FaultPteNone);
            // The fault that follows is the one that fails, if truncate bars the page.
            if taken || (cx.strategy.keeps(Guard::FaultBarredAgain) && barred(cx, at)) {
                return self.go(State::Unlock { done: false });
            }
            map_file_page(cx, self.at, self.folio, true, true);
        }
        self.go(State::Dirty)
    }

    /// Before or instead of dropping the reference that a missing entry's page has handed on.
    fn end(self, done: bool, dropped: bool) -> Next {
        if self.mapped || !done {
            self.go(State::Put { dropped })
        } else {
            Next::Return(fault_return(0, dropped))
        }
    }
}

/// `ext4_da_get_block_prep`, `iomap_page_mkwrite`, `btrfs_delalloc_reserve_space`: what the next
/// writeback of a page of a locked folio needs is reserved.
pub fn prepare_page(cx: &mut Step, folio: Frame, at: FilePage) {
    if cx.map.fs_of(at) == FsKind::Ext4 {
        cx.attach_buffers(folio);
    }
    if cx.get::<Extent>(at).kind() == ExtentKind::Hole {
        cx.set(at, Extent::new().with_kind(ExtentKind::Delalloc));
    }
    cx.change_flags(folio, |f| f.with_prepared(true));
}

impl Machine for Mkwrite {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Invalidate => match self.invalidate_lock(cx.w, cx.strategy) {
                Some(lock) => Need::Lock(lock, Mode::Shared),
                None => Need::Nothing,
            },
            State::Lock | State::Relock => Need::FolioLock(cx.w.head(self.folio)),
            State::Stable { .. } if cx.strategy.keeps(Guard::MkwriteStable) => {
                Need::WritebackEnd(cx.w.head(self.folio))
            }
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        let (id, name, cost) = match self.state {
            State::Invalidate => ("W3", "page_mkwrite: filemap_invalidate_lock_shared", Cost::Lock),
            State::Lock => ("W3", "page_mkwrite: folio_lock", Cost::Lock),
            State::Stable { .. } => ("W3", "page_mkwrite: folio_wait_stable", Cost::Wake),
            State::Prepare => ("W3", "page_mkwrite: reserve blocks", Cost::Journal),
            State::FsDirty => ("W3", "page_mkwrite: folio_mark_dirty", Cost::Lock),
            State::Release { .. } => {
                ("W4", "page_mkwrite: filemap_invalidate_unlock_shared", Cost::Lock)
            }
            State::Finish => ("W6", "finish_mkwrite_fault: set_pte", Cost::Lock),
            State::Relock => ("", "wp_page_shared: folio_lock", Cost::Lock),
            State::Dirty => ("W7", "fault_dirty_shared_page: folio_mark_dirty", Cost::Lock),
            State::Unlock { .. } => ("W8", "folio_unlock", Cost::Atomic),
            State::Balance => ("W9", "balance_dirty_pages: mmap_read_unlock", Cost::Lock),
            State::Put { .. } => ("W9", "folio_put", Cost::Atomic),
        };
        Label::new(id, name, cost)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let me = cx.me;
        let Some(at) = cx.map.backing(self.at) else { return self.end(false, false) };
        match self.state {
            State::Invalidate => {
                if let Some(lock) = self.invalidate_lock(cx, cx.strategy) {
                    cx.lock(me, lock, Mode::Shared);
                }
                self.go(State::Lock)
            }
            State::Lock => self.locked_for_fs(cx, at),
            State::Stable { prepared: false } => self.go(State::Prepare),
            State::Stable { prepared: true } => self.go(State::Release { truncated: false }),
            State::Prepare => self.prepare(cx, at),
            State::FsDirty => {
                cx.mark_dirty(self.folio);
                let wait = stable_pages(cx, at) && cx.map.fs_of(at) != FsKind::Btrfs;
                self.go(if wait {
                    State::Stable { prepared: true }
                } else {
                    State::Release { truncated: false }
                })
            }
            State::Release { truncated } => {
                if let Some(lock) = self.invalidate_lock(cx, cx.strategy) {
                    cx.unlock(me, lock);
                }
                if truncated { self.end(false, false) } else { self.go(State::Finish) }
            }
            State::Finish => self.finish(cx, at),
            State::Relock => {
                cx.might_sleep();
                cx.lock_folio(me, self.folio);
                self.go(State::Dirty)
            }
            State::Dirty => {
                cx.mark_dirty(self.folio);
                self.go(State::Unlock { done: true })
            }
            State::Unlock { done } => {
                cx.unlock_folio(self.folio);
                // Without page_mkwrite there is nothing to balance.
                if done && self.retry == Retry::First && cx.map.fs_of(at).tracks_dirty() {
                    return self.go(State::Balance);
                }
                self.end(done, false)
            }
            State::Balance => {
                let dropped = maybe_unlock_mmap(cx, self.at, self.retry, false);
                cx.w.prices.add(Price::Faults, u64::from(dropped));
                self.end(true, dropped)
            }
            State::Put { dropped } => {
                cx.drop_ref(self.folio);
                Next::Return(fault_return(0, dropped))
            }
        }
    }
}
