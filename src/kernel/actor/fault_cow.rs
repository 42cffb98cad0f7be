//! Copy on write: `wp_page_copy`.

use super::errno::ENOMEM;
use super::fault::{FAULT_WRITE, alloc_page, anon_prepare, copy_page, map_anon};
use super::notifier::{RangeEnd, RangeStart};
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Pte;
use crate::kernel::world::{Cpu, Frame, VPage};

/// `wp_page_copy`: a private mapping gets a page of its own, by a store or, for a read pin, by
/// un-sharing. Entered from under the page-table lock. Returns [`FAULT_WRITE`] if the page was
/// copied for a write, else 0; -ENOMEM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cow {
    at: VPage,
    /// The page that is mapped read-only.
    old: Frame,
    /// A reference to it is held (none on the zero page and on pages without `struct page`).
    held: bool,
    unshare: bool,
    state: State,
}

/// Where the copying is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Before the new page is allocated.
    Alloc,
    /// Before the contents are copied; no lock is held.
    Copy(Frame),
    /// In the notifiers' range start.
    Notify(Frame),
    /// Before the entry is replaced, under the page-table lock.
    Install(Frame),
    /// In the notifiers' range end.
    NotifyEnd(Ret),
    /// A notifier failed (`--notifier abort`): before the new page is freed. VM_FAULT_OOM.
    Abort(Frame, Ret),
    /// Before the reference to the old page is dropped.
    Put(Ret),
}

impl Cow {
    /// `old` is mapped read-only at `at`; `held`: the caller took a reference to it.
    pub fn new(at: VPage, old: Frame, held: bool, unshare: bool) -> Cow {
        Cow { at, old, held, unshare, state: State::Alloc }
    }

    fn go(self, state: State) -> Next {
        Cow { state, ..self }.into()
    }

    fn leave(self, ret: Ret) -> Next {
        if self.held { self.go(State::Put(ret)) } else { Next::Return(ret) }
    }

    fn range_start(self, new: Frame) -> Next {
        call(RangeStart::new(self.at, 1, true), Cow { state: State::Notify(new), ..self })
    }

    fn range_end(self, ret: Ret) -> Next {
        call(RangeEnd::new(self.at, 1), Cow { state: State::NotifyEnd(ret), ..self })
    }

    fn notified(self, cx: &Step) -> bool {
        !cx.map.notified(cx.map.mm_of(self.at)).is_empty()
    }

    /// Replaces the entry unless it has changed. The old translation is flushed before the new
    /// entry is set (`ptep_clear_flush`), so that no two processors see different pages; all of it
    /// happens under the page-table lock, and the old entry was read-only, so that the flush
    /// cannot be told apart from one at once.
    fn install(self, cx: &mut Step, new: Frame) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        let pte = cx.get::<Pte>(self.at);
        let mut ret = 0;
        let same = pte.present() && !pte.writable() && pte.frame() == Some(self.old);
        if !same && cx.strategy.keeps(Guard::CowPteSame) {
            cx.drop_ref(new);
        } else {
            for cpu in (0..cx.map.plan.cpus).map(Cpu) {
                cx.tlb_drop(cpu, self.at);
            }
            cx.set_pte(self.at, Pte::new());
            cx.map_page(self.old, -1);
            map_anon(cx, self.at, new, !self.unshare);
            ret = if self.unshare { 0 } else { FAULT_WRITE };
        }
        if self.notified(cx) { self.range_end(ret) } else { self.leave(ret) }
    }
}

impl Machine for Cow {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn outcomes(self, cx: &Scene) -> u8 {
        1 + u8::from(self.state == State::Alloc && Step::may_fail(cx.w))
    }

    fn label(self) -> Label {
        match self.state {
            State::Alloc => Label::new("", "wp_page_copy: allocate", Cost::Alloc),
            State::Copy(_) => Label::new("", "wp_page_copy: copy", Cost::Copy),
            State::Notify(_) => Label::new("", "wp_page_copy: range_start", Cost::Step),
            State::Install(_) => Label::new("", "wp_page_copy: ptep_clear_flush", Cost::Ipi),
            State::NotifyEnd(_) => Label::new("", "wp_page_copy: range_end", Cost::Step),
            State::Abort(..) => Label::new("", "wp_page_copy: free the copy", Cost::Atomic),
            State::Put(_) => Label::new("", "wp_page_copy: folio_put", Cost::Atomic),
        }
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
        match self.state {
            State::Alloc => {
                anon_prepare(cx, self.at);
                match alloc_page(cx, outcome) {
                    Some(new) => self.go(State::Copy(new)),
                    None => self.leave(-ENOMEM),
                }
            }
            State::Copy(new) => {
                copy_page(cx, self.old, new);
                if self.notified(cx) { self.range_start(new) } else { self.go(State::Install(new)) }
            }
            State::Notify(new) => self.range_start(new),
            State::Install(new) => self.install(cx, new),
            State::NotifyEnd(ret) => self.range_end(ret),
            State::Abort(new, ret) => {
                cx.drop_ref(new);
                self.leave(ret)
            }
            State::Put(ret) => {
                cx.drop_ref(self.old);
                Next::Return(ret)
            }
        }
    }

    fn resume(self, _cx: &mut Step, ret: Ret) -> Next {
        match self.state {
            State::Notify(new) if ret < 0 => self.go(State::Abort(new, ret)),
            State::Notify(new) => self.go(State::Install(new)),
            State::NotifyEnd(ret) => self.leave(ret),
            _ => self.leave(0),
        }
    }
}
