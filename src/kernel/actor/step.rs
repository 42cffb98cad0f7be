//! What a machine is, and what it can reach in a step.

use super::routine::Routine;
use crate::kernel::strategy::Strategy;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::{Page, Toucher};
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{Part, Role, ThreadPlan};
use crate::kernel::world::{Actor, Contents, Cpu, Frame, Mm, One, OpId, World};
use std::ops::{Deref, DerefMut};

/// What a machine returns to its caller: 0 or a count, or a negative errno.
pub type Ret = i32;

/// How a step is shown and how long it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// The step of docs/model.md that it is, such as `F9`; empty for steps that have no number.
    pub id: &'static str,
    /// The kernel function or event, in the kernel's words.
    pub name: &'static str,
    /// What kind of work it is.
    pub cost: Cost,
}

impl Label {
    /// A label.
    pub const fn new(id: &'static str, name: &'static str, cost: Cost) -> Label {
        Label { id, name, cost }
    }
}

/// Where control goes after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// On in the same machine (or, in its place, in another one).
    Go(Routine),
    /// Into another machine; when it returns, `then` is resumed with what it returned.
    Call {
        /// What is called.
        callee: Routine,
        /// What is resumed.
        then: Routine,
    },
    /// Back to the caller.
    Return(Ret),
    /// The agent has finished.
    Exit,
}

/// A state machine for one function, or family of functions, of the kernel or of hardware.
///
/// A value of the type is one state, the place before a step. Steps are atomic: one lock-protected
/// section or one atomic access, never more.
pub trait Machine: Copy {
    /// What must hold before the next step. Looks at the machine's own data only; anything that
    /// it did look at in the world would have to be part of the need.
    fn need(self, cx: &Scene) -> Need;

    /// Whether a fatal signal ends the wait (the step then finds [`Step::signalled`] true).
    fn interruptible(self) -> bool {
        false
    }

    /// How many outcomes the step has; an outside party decides which (an I/O error or none).
    fn outcomes(self, _cx: &Scene) -> u8 {
        1
    }

    /// The name of the step.
    fn label(self) -> Label;

    /// Makes the step.
    fn step(self, cx: &mut Step, outcome: u8) -> Next;

    /// Goes on after a call: decides where, from what was returned; part of the last step of the
    /// machine that was called, so that it changes no shared state.
    fn resume(self, _cx: &mut Step, ret: Ret) -> Next {
        Next::Return(ret)
    }
}

/// What a machine can look at to say what it needs: the world, the strategy, who it is.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The world.
    pub w: &'a World,
    /// The design in force.
    pub strategy: &'a Strategy,
    /// The agent.
    pub me: Actor,
}

/// What a machine can reach in a step: the world (through `Deref`), the strategy, who it is.
pub struct Step<'a> {
    /// The world, whose `set` is the only door for writes.
    pub w: &'a mut World,
    /// The design in force.
    pub strategy: &'a Strategy,
    /// The agent that makes the step.
    pub me: Actor,
    /// The operation of its program that it is in: the author of what it writes.
    pub op: OpId,
}

impl Deref for Step<'_> {
    type Target = World;
    fn deref(&self) -> &World {
        self.w
    }
}

impl DerefMut for Step<'_> {
    fn deref_mut(&mut self) -> &mut World {
        self.w
    }
}

impl Step<'_> {
    /// The thread's plan; none for disk tags and workers.
    pub fn thread(&self) -> Option<&ThreadPlan> {
        self.map.plan.threads.get(self.me.0 as usize)
    }

    /// The processor that the agent runs on.
    pub fn cpu(&self) -> Cpu {
        self.thread().map_or(Cpu(0), |t| t.cpu)
    }

    /// The address space of the agent, if it is a user thread.
    pub fn mm(&self) -> Option<Mm> {
        match self.thread()?.role {
            Role::User(mm) => Some(mm),
            _ => None,
        }
    }

    /// Whether a fatal signal is pending for the agent.
    pub fn signalled(&self) -> bool {
        self.get::<ActorState>(self.me).signal()
    }

    /// Turns interrupts of the agent's processor off.
    pub fn irq_save(&mut self) {
        let (cpu, me) = (self.cpu(), Actor::pack(Some(self.me)));
        self.set(cpu, CpuState::new().with_irq_off(me));
    }

    /// Turns them on again.
    pub fn irq_restore(&mut self) {
        let cpu = self.cpu();
        self.set(cpu, CpuState::new());
    }

    /// Enters or leaves an interrupt handler (completion of a transfer).
    pub fn in_irq(&mut self, on: bool) {
        let me = self.me;
        self.update::<ActorState>(me, |s| s.with_in_irq(on));
    }

    /// States that something that may sleep is called.
    pub fn might_sleep(&mut self) {
        let me = self.me;
        self.may_sleep(me);
    }

    /// Whether an allocation may fail here: then the step has two outcomes.
    pub fn may_fail(w: &World) -> bool {
        w.get::<Budget>(One(0)).enomem() > 0
    }

    /// Takes one failure from the budget of allocations.
    pub fn fail_allocation(&mut self) {
        self.update::<Budget>(One(0), |b| b.with_enomem(b.enomem() - 1));
    }

    /// Writes a new version to a part of a frame, as the CPU or the kernel does: complete at
    /// once. `private` is the logical page if the frame is no page of a file.
    pub fn write_frame(&mut self, page: Page, part: Part, private: u32, by: Toucher) {
        let version = self.copy_in(page, part, private, by);
        self.completed(page.frame, part, |shown| shown == version);
    }

    /// The same of a write that completes later.
    pub fn copy_in(&mut self, page: Page, part: Part, private: u32, by: Toucher) -> Contents {
        self.touch(page, true, by);
        let op = self.op;
        let version = self.fresh(page.frame, op, part, private);
        self.fill(page.frame, part, version);
        version
    }

    /// Records what the current operation read.
    pub fn read_result(&mut self, contents: Contents) {
        let op = self.op;
        self.set(op, OpValue(contents));
    }

    /// `folio_add_lru`: a new page goes into the processor's batch, and some time later onto its
    /// LRU list. The batch is looked at under `--pin off-lru` only; elsewhere nobody can tell.
    pub fn lru_add(&mut self, frame: Frame) {
        let batch = if self.rules.pin.off_lru { self.cpu().0 as u8 + 1 } else { 0 };
        self.change_flags(frame, |f| f.with_lru(batch == 0).with_batch(batch));
    }

    /// `lru_add_drain`: what waits in this processor's batch goes onto its LRU list.
    pub fn lru_add_drain(&mut self) {
        if !self.rules.pin.off_lru {
            return;
        }
        let mine = self.cpu().0 as u8 + 1;
        for frame in (0..self.map.ram).map(Frame) {
            if self.get::<Flags>(frame).batch() == mine {
                self.change_flags(frame, |f| f.with_batch(0).with_lru(true));
            }
        }
    }
}
