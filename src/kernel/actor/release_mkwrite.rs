//! page_mkwrite at the release of a pin (`--unpin mkwrite`).
//!
//! Jerome Glisse, 14 December 2018: see whether the callers of put_user_page() can sleep and call
//! mkwrite (claim 86). What the filesystem does is what it does in a fault
//! ([`Mkwrite`](super::fault_mkwrite::Mkwrite), W3), without mapping and mmap_lock: whoever
//! releases has neither. So the page is found by its `page->mapping`, and left alone if it has
//! none any more. It is called whether or not the page is dirty: dirty does not mean prepared.

use super::fault_mkwrite::prepare_page;
use super::file_io::{file_lock, stable_pages};
use super::gup_slow::touch_dirty;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{ActorState, LockClass};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Flags, Owner};
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Frame, World};

/// page_mkwrite of a page whose pin is about to go. Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MkwriteAgain {
    /// The head of the folio.
    folio: Frame,
    /// The page of the file that it was when the release looked at it.
    at: FilePage,
    state: State,
}

/// Where it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Waits for invalidate_lock, shared.
    Invalidate,
    /// Waits for the folio lock; then looks whether the page has been truncated.
    Lock,
    /// Waits for the end of writeback (`folio_wait_stable`), before or after it has reserved.
    Stable { prepared: bool },
    /// Before the filesystem reserves blocks and attaches buffers.
    Prepare,
    /// Before `folio_mark_dirty`.
    Dirty,
    /// Before the folio is unlocked.
    Unlock,
    /// Before invalidate_lock is released.
    Release,
}

/// Begins with a page that was pinned: gives the machine, or has dirtied the page if no filesystem
/// wants to hear of it (anonymous memory, tmpfs, DAX, a page that has left its file).
pub fn begin(cx: &mut Step, frame: Frame) -> Option<MkwriteAgain> {
    cx.might_sleep();
    if cx.get::<ActorState>(cx.me).in_irq() {
        cx.w.prices.add(Price::AtomicCallbacks, 1);
    }
    let folio = cx.head(frame);
    let asked = |at: &FilePage| !matches!(cx.map.fs_of(*at), FsKind::Tmpfs | FsKind::Dax);
    match cx.get::<Owner>(folio).file_page().filter(asked) {
        Some(at) => Some(MkwriteAgain { folio, at, state: State::Invalidate }),
        None => {
            touch_dirty(cx, frame);
            None
        }
    }
}

impl MkwriteAgain {
    fn go(self, state: State) -> Next {
        MkwriteAgain { state, ..self }.into()
    }

    fn is_btrfs(self, w: &World) -> bool {
        w.map.fs_of(self.at) == FsKind::Btrfs
    }

    fn lock(self, cx: &mut Step) -> Next {
        let me = cx.me;
        cx.lock_folio(me, self.folio);
        let gone = cx.get::<Owner>(self.folio).file_page() != Some(self.at);
        if gone && cx.strategy.keeps(Guard::ReleaseTruncated) {
            return self.go(State::Unlock);
        }
        self.go(match self.is_btrfs(cx) {
            true => State::Stable { prepared: false },
            false => State::Prepare,
        })
    }
}

impl Machine for MkwriteAgain {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Invalidate => {
                Need::Lock(file_lock(cx.w, LockClass::InvalidateLock, self.at), Mode::Shared)
            }
            State::Lock => Need::FolioLock(self.folio),
            State::Stable { .. } => Need::WritebackEnd(self.folio),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        let (name, cost) = match self.state {
            State::Invalidate => ("unpin: filemap_invalidate_lock_shared", Cost::Lock),
            State::Lock => ("unpin: folio_lock", Cost::Lock),
            State::Stable { .. } => ("unpin: folio_wait_stable", Cost::Wake),
            State::Prepare => ("unpin: page_mkwrite: reserve blocks", Cost::Journal),
            State::Dirty => ("unpin: folio_mark_dirty", Cost::Lock),
            State::Unlock => ("unpin: folio_unlock", Cost::Atomic),
            State::Release => ("unpin: filemap_invalidate_unlock_shared", Cost::Lock),
        };
        Label::new("", name, cost)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let me = cx.me;
        match self.state {
            State::Invalidate => {
                let lock = file_lock(cx, LockClass::InvalidateLock, self.at);
                cx.lock(me, lock, Mode::Shared);
                self.go(State::Lock)
            }
            State::Lock => self.lock(cx),
            State::Stable { prepared: false } => self.go(State::Prepare),
            State::Stable { prepared: true } => self.go(State::Unlock),
            State::Prepare => {
                for n in 0..1u32 << cx.get::<Flags>(self.folio).order() {
                    prepare_page(cx, self.folio, self.at.plus(n));
                }
                self.go(State::Dirty)
            }
            State::Dirty => {
                cx.mark_dirty(self.folio);
                let wait = stable_pages(cx, self.at) && !self.is_btrfs(cx);
                self.go(if wait { State::Stable { prepared: true } } else { State::Unlock })
            }
            State::Unlock => {
                cx.unlock_folio(self.folio);
                self.go(State::Release)
            }
            State::Release => {
                let lock = file_lock(cx, LockClass::InvalidateLock, self.at);
                cx.unlock(me, lock);
                Next::Return(0)
            }
        }
    }
}
