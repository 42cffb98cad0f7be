//! Kernel workers: take work that interrupts must not do (kernel/workqueue.c).

use super::busy::FreeBusy;
use super::fixup::FixUp;
use super::release::Release;
use super::routine::call;
use super::step::*;
use crate::kernel::world::Worker;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::Work;
use crate::kernel::world::need::Need;

/// `worker_thread`: waits for an item of work and does it, for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Kworker(pub Worker);

impl Machine for Kworker {
    fn need(self, _cx: &Scene) -> Need {
        Need::WorkQueued(self.0)
    }

    fn label(self) -> Label {
        Label::new("", "process_one_work", Cost::Wake)
    }

    /// The item leaves the queue before it is worked on, so that the next one can be queued.
    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let work = cx.get::<Work>(self.0);
        if work.extents() {
            cx.set(self.0, work.with_extents(false));
            return call(FreeBusy, self);
        }
        if work.fixups() {
            cx.set(self.0, work.with_fixups(false));
            return call(FixUp::begin(), self);
        }
        cx.set(self.0, Work::new());
        call(Release::from_work(work), self)
    }

    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        self.into()
    }
}
