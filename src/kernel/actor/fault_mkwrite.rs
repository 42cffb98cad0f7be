//! A page of a shared mapping of a file becomes writable: the filesystem is told
//! ([`PageMkwrite`]), and what follows (steps W1 to W9).

use super::fault::*;
use super::fault_file::map_file_page;
use super::page_mkwrite::{PageMkwrite, TRUNCATED};
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::price::Price;
use crate::kernel::world::{FilePage, Frame, VPage};

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
    /// W3, W4: page_mkwrite is being called.
    Filesystem,
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
    pub fn mapped(cx: &Step, at: VPage, folio: Frame, retry: Retry) -> Next {
        let me = Mkwrite { at, folio, retry, mapped: true, state: State::Relock };
        match cx.map.backing(at).filter(|page| cx.map.fs_of(*page).tracks_dirty()) {
            Some(page) => me.ask(page),
            None => me.into(),
        }
    }

    /// A store met no entry; the folio is uptodate, referenced and unlocked.
    pub fn missing(at: VPage, page: FilePage, folio: Frame, retry: Retry) -> Next {
        Mkwrite { at, folio, retry, mapped: false, state: State::Relock }.ask(page)
    }

    /// The same on a filesystem without `page_mkwrite`; the folio is still locked.
    pub fn locked(at: VPage, folio: Frame, retry: Retry) -> Mkwrite {
        Mkwrite { at, folio, retry, mapped: false, state: State::Finish }
    }

    fn go(self, state: State) -> Next {
        Mkwrite { state, ..self }.into()
    }

    /// `do_page_mkwrite`.
    fn ask(self, page: FilePage) -> Next {
        let then = Mkwrite { state: State::Filesystem, ..self };
        call(PageMkwrite::new(self.folio, page), then)
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

impl Machine for Mkwrite {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Relock => Need::FolioLock(cx.w.head(self.folio)),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        let (id, name, cost) = match self.state {
            State::Filesystem => ("W3", "page_mkwrite", Cost::Step),
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
            // In the hands of the filesystem; see `resume`.
            State::Filesystem => self.go(State::Finish),
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
    /// page_mkwrite has returned: with the folio locked, or because it was truncated.
    fn resume(self, _cx: &mut Step, ret: Ret) -> Next {
        if ret == TRUNCATED { self.end(false, false) } else { self.go(State::Finish) }
    }
}
