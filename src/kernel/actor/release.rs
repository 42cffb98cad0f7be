//! Releasing what a GUP call took: `unpin_user_pages`, `unpin_user_pages_dirty_lock`, and where
//! it runs.

use super::gup_slow::touch_dirty;
use super::page_mkwrite::{PageMkwrite, TRUNCATED};
use super::pin::put_kept;
use super::pin_count::release_kept;
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{MKWRITE, Pinned, RefType, SET_DIRTY, Work, WorkKind};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Owner;
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::plan::{Context, FsKind, Redirty};
use crate::kernel::world::price::Price;
use crate::kernel::world::{FilePage, Frame, Slot, SlotPage, Worker, World};

/// Releases all pages of a slot, one after the other. Returns 0; in the context of a worker, as
/// soon as the work is queued.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Release {
    slot: Slot,
    /// The pages were written to.
    dirty: bool,
    /// How they are dirtied; none: as the strategy says.
    how: Option<Redirty>,
    context: Context,
    /// The page of the slot.
    at: u32,
    state: State,
}

/// Where the release is. A frame is the page that is released.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Before anything: entry of the interrupt; the queueing of work; else the first page.
    Enter,
    /// Before the page is looked at (PG_dirty, for unpin_user_pages_dirty_lock).
    Look,
    /// Waits for the folio lock.
    Lock(Frame),
    /// `folio_mark_dirty` under the folio lock.
    DirtyLocked(Frame),
    /// Before the folio is unlocked.
    Unlock(Frame),
    /// Before `set_page_dirty` without the lock.
    Dirty(Frame),
    /// page_mkwrite is being called; it returns with the folio locked.
    Mkwrite(Frame),
    /// Before the pin is dropped.
    Put,
    /// Before the interrupt returns.
    IrqExit,
}

impl Release {
    /// Releases the pages of a slot, dirtying them like this.
    pub fn new(slot: Slot, dirty: bool, how: Redirty, context: Context) -> Release {
        Release::op(slot, dirty, Some(how), context)
    }

    /// The same; none: dirtying them as the strategy says.
    pub fn op(slot: Slot, dirty: bool, how: Option<Redirty>, context: Context) -> Release {
        Release { slot, dirty, how, context, at: 0, state: State::Enter }
    }

    /// The work item that a worker was given.
    pub fn from_work(work: Work) -> Release {
        let slot = Slot(work.arg() & !(SET_DIRTY | MKWRITE));
        let how = match work.arg() & (SET_DIRTY | MKWRITE) {
            SET_DIRTY => Redirty::SetDirty,
            MKWRITE => Redirty::Mkwrite,
            _ => Redirty::SetDirtyLock,
        };
        Release::new(slot, work.kind() == WorkKind::UnpinDirty, how, Context::Process)
    }

    fn go(self, state: State) -> Next {
        Release { state, ..self }.into()
    }

    fn how(self, cx: &Step) -> Redirty {
        if self.dirty { self.how.unwrap_or(cx.strategy.unpin.redirty()) } else { Redirty::Plain }
    }

    /// The worker that takes the slot's work; none: the plan has no workers.
    fn worker(self, w: &World) -> Option<Worker> {
        self.slot.0.checked_rem(w.map.plan.workers).map(Worker)
    }

    fn slot_page(self, w: &World) -> SlotPage {
        w.map.slot_page(self.slot, self.at)
    }

    /// The next page that holds something, or the end.
    fn settle(mut self, cx: &Step) -> Next {
        let pages = cx.map.slot_pages[self.slot.0 as usize].len() as u32;
        while self.at < pages && cx.get::<Pinned>(self.slot_page(cx)).kind() == RefType::None {
            self.at += 1;
        }
        if self.at < pages {
            let plain = self.how(cx) == Redirty::Plain;
            return self.go(if plain { State::Put } else { State::Look });
        }
        if self.context == Context::Irq { self.go(State::IrqExit) } else { Next::Return(0) }
    }

    fn enter(self, cx: &mut Step) -> Next {
        if self.context == Context::Irq {
            cx.in_irq(true);
        }
        match self.worker(cx) {
            Some(worker) if self.context == Context::Worker => {
                let how = self.how(cx);
                let kind = match how {
                    Redirty::Plain => WorkKind::Unpin,
                    _ => WorkKind::UnpinDirty,
                };
                let flag = match how {
                    Redirty::SetDirty => SET_DIRTY,
                    Redirty::Mkwrite => MKWRITE,
                    Redirty::Plain | Redirty::SetDirtyLock => 0,
                };
                cx.update::<Work>(worker, |w| w.with_kind(kind).with_arg(self.slot.0 | flag));
                Next::Return(0)
            }
            _ => self.settle(cx),
        }
    }

    /// `unpin_user_pages_dirty_lock` looks first, unlocked: a page found dirty is left alone, as
    /// it is about to be written anyway.
    fn look(self, cx: &mut Step) -> Next {
        let frame = Frame::unpack(cx.get::<Pinned>(self.slot_page(cx)).frame_bits());
        if !cx.strategy.keeps(Guard::DirtyBeforePut) {
            let at = self.slot_page(cx);
            put_kept(cx, at);
        }
        match (frame, self.how(cx)) {
            (None | Some(ZERO_PAGE), _) | (_, Redirty::Plain) => self.go(State::Put),
            (Some(frame), Redirty::SetDirty) => self.go(State::Dirty(frame)),
            (Some(frame), Redirty::SetDirtyLock) => {
                if cx.flags(frame).dirty() {
                    return self.go(State::Put);
                }
                cx.might_sleep(); // folio_lock(), whatever the context
                self.go(State::Lock(frame))
            }
            (Some(frame), Redirty::Mkwrite) => self.mkwrite(cx, frame),
        }
    }

    /// Jerome Glisse, 14 December 2018: see whether the callers of put_user_page() can sleep, and
    /// call page_mkwrite (claim 86); whether or not the page is dirty, as dirty does not mean
    /// prepared. What no filesystem wants to hear of (anonymous memory, tmpfs, DAX, a page that
    /// has left its file) is dirtied.
    fn mkwrite(self, cx: &mut Step, frame: Frame) -> Next {
        cx.might_sleep();
        let asked = |at: &FilePage| !matches!(cx.map.fs_of(*at), FsKind::Tmpfs | FsKind::Dax);
        match cx.get::<Owner>(frame).file_page().filter(asked) {
            Some(at) => {
                if self.context == Context::Irq {
                    cx.w.prices.add(Price::AtomicCallbacks, 1);
                }
                call(PageMkwrite::new(frame, at), Release { state: State::Mkwrite(frame), ..self })
            }
            None => {
                self.dirty(cx, frame);
                self.go(State::Put)
            }
        }
    }

    /// Sets PG_dirty, for which the filesystem is called (`a_ops->dirty_folio`).
    fn dirty(self, cx: &mut Step, frame: Frame) {
        if self.context == Context::Irq {
            cx.w.prices.add(Price::AtomicCallbacks, 1);
        }
        touch_dirty(cx, frame);
    }
}

impl Release {
    /// The pin is dropped, in one step if the design can.
    fn put(self, cx: &mut Step) -> Next {
        let at = self.slot_page(cx);
        release_kept(cx, at, self).unwrap_or_else(|| self.settle(cx))
    }
}

impl Machine for Release {
    fn need(self, cx: &Scene) -> Need {
        match (self.state, self.worker(cx.w)) {
            (State::Enter, Some(worker)) if self.context == Context::Worker => {
                Need::WorkerIdle(worker)
            }
            (State::Lock(frame), _) => Need::FolioLock(cx.w.head(frame)),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        let (name, cost) = match (self.state, self.context) {
            (State::Enter, Context::Process) => ("unpin_user_pages", Cost::Syscall),
            (State::Enter, Context::Irq) => ("irq_enter: completion", Cost::Step),
            (State::Enter, Context::Worker) => ("queue_work: unpin", Cost::Step),
            (State::Look, _) => ("unpin: folio_test_dirty", Cost::Step),
            (State::Lock(_), _) => ("unpin: folio_lock", Cost::Lock),
            (State::DirtyLocked(_), _) => ("unpin: folio_mark_dirty", Cost::Lock),
            (State::Unlock(_), _) => ("unpin: folio_unlock", Cost::Atomic),
            (State::Dirty(_), _) => ("unpin: set_page_dirty", Cost::Lock),
            (State::Mkwrite(_), _) => ("unpin: page_mkwrite", Cost::Step),
            (State::Put, _) => ("unpin: gup_put_folio", Cost::Atomic),
            (State::IrqExit, _) => ("irq_exit", Cost::Step),
        };
        Label::new("", name, cost)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.state {
            State::Enter => self.enter(cx),
            State::Look => self.look(cx),
            State::Lock(frame) => {
                let me = cx.me;
                cx.lock_folio(me, frame);
                self.go(State::DirtyLocked(frame))
            }
            State::DirtyLocked(frame) => {
                self.dirty(cx, frame);
                self.go(State::Unlock(frame))
            }
            State::Unlock(frame) => {
                cx.unlock_folio(frame);
                self.go(State::Put)
            }
            State::Dirty(frame) => {
                self.dirty(cx, frame);
                self.go(State::Put)
            }
            // In the hands of another machine; see `resume`.
            State::Mkwrite(_) => self.go(State::Put),
            State::Put => self.put(cx),
            State::IrqExit => {
                cx.in_irq(false);
                Next::Return(0)
            }
        }
    }

    /// page_mkwrite has been called, or a pin has been dropped, in several steps.
    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.state {
            State::Mkwrite(_) if ret == TRUNCATED => self.go(State::Put),
            State::Mkwrite(frame) => self.go(State::Unlock(frame)),
            _ => self.settle(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::kernel::sim::Sim;
    use crate::kernel::world::facts::Fact;
    use crate::kernel::world::objects::CacheSlot;
    use crate::kernel::world::plan::*;
    use crate::kernel::world::{Actor, FilePage, Mm, VPage};

    /// A page is pinned for reading and released as if it had been written to.
    fn released(how: Option<Redirty>, context: Context) -> Sim {
        let mut kit = Kit::new();
        let data = kit.file(FsKind::Ext4, &[InitPage::Clean]);
        kit.map(file(data), true, 1);
        let slot = kit.slot(1);
        let program = [
            pin(VPage(0), 1, slot, false, PinCall::PinFast),
            Op::Unpin { slot, dirty: true, how, context },
        ];
        kit.thread(Mm(0), &program);
        kit.sim("linux-6.18")
    }

    const CONTEXTS: [Context; 3] = [Context::Process, Context::Irq, Context::Worker];

    #[test]
    fn release_dirties_as_the_driver_says_in_every_context() {
        for context in CONTEXTS {
            for (how, dirty) in [
                (Some(Redirty::Plain), false),
                (Some(Redirty::SetDirty), true),
                (Some(Redirty::SetDirtyLock), true),
                (Some(Redirty::Mkwrite), true),
                (None, true),
            ] {
                let mut sim = released(how, context);
                finish(&mut sim);
                let slot = sim.world.get::<CacheSlot>(FilePage(0));
                let frame = slot.frame().unwrap();
                assert_eq!(sim.world.flags(frame).dirty(), dirty, "{how:?} {context:?}");
                assert_eq!(slot.tag_dirty(), dirty);
                let asked = sim.world.flags(frame).prepared();
                assert_eq!(asked, how == Some(Redirty::Mkwrite), "the filesystem is asked");
                assert_eq!(sim.world.counts(frame).refs(), 3);
            }
        }
    }

    #[test]
    fn set_page_dirty_lock_in_an_interrupt_says_that_it_may_sleep_there() {
        use crate::kernel::world::machine::ActorState;
        for (how, sleeps) in
            [(Redirty::SetDirtyLock, true), (Redirty::Mkwrite, true), (Redirty::SetDirty, false)]
        {
            let mut sim = released(Some(how), Context::Irq);
            let mut slept = false;
            while step(&mut sim, 0) {
                let may = |f: &Fact| matches!(f, Fact::MaySleep { .. });
                let irq = sim.world.get::<ActorState>(Actor(0)).in_irq();
                slept |= irq && sim.world.facts.iter().any(may);
            }
            assert_eq!(slept, sleeps, "{how:?}");
        }
    }

    #[test]
    fn a_worker_releases_after_the_interrupt_has_returned() {
        let mut sim = released(None, Context::Worker);
        run_until(&mut sim, 0, "queue_work: unpin");
        step(&mut sim, 0);
        assert!(sim.top(0).is_none());
        assert!(kept(&sim, Slot(0), 0).is_some());
        finish(&mut sim);
        assert_eq!(kept(&sim, Slot(0), 0), None);
    }
}
