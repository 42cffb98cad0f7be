//! `page_mkwrite`: a filesystem is told that a page of its file is about to be written (W3, W4).
//!
//! ext4 and xfs reserve blocks and wait for writeback where the device wants stable pages; btrfs
//! always waits, before it reserves. tmpfs and DAX have none. It works on the whole folio
//! (`block_page_mkwrite`, `iomap_page_mkwrite`, `btrfs_page_mkwrite`: up to `folio_size()`, cut at
//! i_size). Not modelled: freeze protection, journal credits, ENOSPC (a reservation always
//! succeeds).
//!
//! Two call it: a fault that makes a page of a shared mapping writable, and, by a proposal, the
//! release of a pin (claim 86). The latter has neither mapping nor mmap_lock, and so finds the page
//! by its `page->mapping`. Nothing else differs.

use super::fault::beyond_eof;
use super::file_io::{file_lock, stable_pages};
use super::step::*;
use crate::kernel::strategy::{Guard, Strategy};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Frame, Lock, World};

/// What it returns if truncate was faster (VM_FAULT_NOPAGE, the folio unlocked); otherwise 0
/// (VM_FAULT_LOCKED).
pub const TRUNCATED: Ret = 1;

/// The filesystem's page_mkwrite. Returns 0 with the folio locked, or [`TRUNCATED`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PageMkwrite {
    /// The page; the caller has a reference or a pin.
    page: Frame,
    /// The page of the file that it was when the caller looked at it.
    at: FilePage,
    state: State,
}

/// Where it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// W3: waits for invalidate_lock, shared.
    Invalidate,
    /// W3: waits for the folio lock; then looks whether the folio was truncated.
    Lock,
    /// W3: waits for the end of writeback (`folio_wait_stable`), before or after it has reserved.
    Stable { prepared: bool },
    /// W3: before the filesystem reserves blocks and attaches buffers.
    Prepare,
    /// W3: before the filesystem marks the folio dirty.
    Dirty,
    /// W4: before invalidate_lock is released.
    Release { ret: Ret },
}

impl PageMkwrite {
    /// Of a page that was page `at` of its file a moment ago.
    pub fn new(page: Frame, at: FilePage) -> PageMkwrite {
        PageMkwrite { page, at, state: State::Invalidate }
    }

    fn go(self, state: State) -> Next {
        PageMkwrite { state, ..self }.into()
    }

    fn is_btrfs(self, w: &World) -> bool {
        w.map.fs_of(self.at) == FsKind::Btrfs
    }

    fn invalidate_lock(self, w: &World, strategy: &Strategy) -> Option<Lock> {
        let keeps = strategy.keeps(Guard::FaultInvalidateLock);
        keeps.then(|| file_lock(w, LockClass::InvalidateLock, self.at))
    }

    /// `folio_mkwrite_check_truncate`: the folio lock is taken; has truncate been faster?
    fn lock(self, cx: &mut Step) -> Next {
        cx.might_sleep();
        let me = cx.me;
        cx.lock_folio(me, self.page);
        let left = cx.get::<Owner>(self.page).file_page() != Some(self.at);
        if (left || beyond_eof(cx, self.at)) && cx.strategy.keeps(Guard::MkwriteTruncated) {
            cx.unlock_folio(self.page);
            return self.go(State::Release { ret: TRUNCATED });
        }
        self.go(match self.is_btrfs(cx) {
            true => State::Stable { prepared: false },
            false => State::Prepare,
        })
    }
}

/// `ext4_da_get_block_prep`, `iomap_page_mkwrite`, `btrfs_delalloc_reserve_space`: what the next
/// writeback needs is reserved, for all of the folio that lies inside the file. The folio is
/// locked; `at` is the page of the file that `page` caches.
pub fn reserve(cx: &mut Step, page: Frame, at: FilePage) {
    cx.might_sleep();
    if cx.map.fs_of(at) == FsKind::Ext4 {
        cx.attach_buffers(page);
    }
    let head = cx.head(page);
    let tail = page.0 - head.0;
    for n in 0..cx.folio_pages(head) {
        let at = FilePage(at.0 - tail + n);
        // Whether the page itself lies inside was looked at with the folio lock.
        let inside = n == tail || !beyond_eof(cx, at);
        if inside {
            cx.map_buffer(at);
        }
        if inside && cx.get::<Extent>(at).kind() == ExtentKind::Hole {
            cx.set(at, Extent::new().with_kind(ExtentKind::Delalloc));
        }
    }
    cx.change_flags(head, |f| f.with_prepared(true));
}

impl Machine for PageMkwrite {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Invalidate => match self.invalidate_lock(cx.w, cx.strategy) {
                Some(lock) => Need::Lock(lock, Mode::Shared),
                None => Need::Nothing,
            },
            State::Lock => Need::FolioLock(cx.w.head(self.page)),
            State::Stable { .. } if cx.strategy.keeps(Guard::MkwriteStable) => {
                Need::WritebackEnd(cx.w.head(self.page))
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
            State::Dirty => ("W3", "page_mkwrite: folio_mark_dirty", Cost::Lock),
            State::Release { .. } => {
                ("W4", "page_mkwrite: filemap_invalidate_unlock_shared", Cost::Lock)
            }
        };
        Label::new(id, name, cost)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let me = cx.me;
        match self.state {
            State::Invalidate => {
                if let Some(lock) = self.invalidate_lock(cx, cx.strategy) {
                    cx.lock(me, lock, Mode::Shared);
                }
                self.go(State::Lock)
            }
            State::Lock => self.lock(cx),
            State::Stable { prepared: false } => self.go(State::Prepare),
            State::Stable { prepared: true } => self.go(State::Release { ret: 0 }),
            State::Prepare => {
                reserve(cx, self.page, self.at);
                self.go(State::Dirty)
            }
            State::Dirty => {
                cx.mark_dirty(self.page);
                let wait = stable_pages(cx, self.at) && !self.is_btrfs(cx);
                self.go(match wait {
                    true => State::Stable { prepared: true },
                    false => State::Release { ret: 0 },
                })
            }
            State::Release { ret } => {
                if let Some(lock) = self.invalidate_lock(cx, cx.strategy) {
                    cx.unlock(me, lock);
                }
                Next::Return(ret)
            }
        }
    }
}
