//! Posts and waits with which scenario authors order threads, and pauses.

use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::EventState;
use crate::kernel::world::need::Need;
use crate::kernel::world::{Event, Mm};

/// A device of scenario authors, not of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sync {
    /// Posts an event.
    Post(Event),
    /// Waits for a post and consumes it.
    Wait(Event),
    /// Pauses; in timed runs for the operation's time.
    Sleep,
    /// A thread of a child: begins when the fork has created its address space.
    Born(Mm),
}

impl Machine for Sync {
    fn need(self, _cx: &Scene) -> Need {
        match self {
            Sync::Wait(event) => Need::Posted(event),
            Sync::Born(mm) => Need::MmLive(mm),
            Sync::Post(_) | Sync::Sleep => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self {
            Sync::Post(_) => Label::new("", "post", Cost::Step),
            Sync::Wait(_) => Label::new("", "wait", Cost::Step),
            Sync::Sleep => Label::new("", "sleep", Cost::Think),
            Sync::Born(_) => Label::new("", "schedule_tail (new child)", Cost::Wake),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self {
            Sync::Post(event) => {
                cx.update::<EventState>(event, |e| e.with_posts(e.posts() + 1));
            }
            Sync::Wait(event) => {
                cx.update::<EventState>(event, |e| e.with_posts(e.posts() - 1));
            }
            Sync::Sleep | Sync::Born(_) => {}
        }
        Next::Return(0)
    }
}
