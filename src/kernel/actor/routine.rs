//! The machines that can be on an agent's stack: one table, one dispatch.

use super::step::{Label, Machine, Next, Ret, Scene, Step};
use super::*;
use crate::kernel::world::Actor;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::need::Need;

macro_rules! routines {
    ($($(#[doc = $doc:literal])+ $name:ident($machine:ty),)+) => {
        /// A machine in one of its states.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Routine { $($(#[doc = $doc])+ $name($machine),)+ }

        $(impl From<$machine> for Routine {
            fn from(machine: $machine) -> Routine { Routine::$name(machine) }
        }

        impl From<$machine> for Next {
            fn from(machine: $machine) -> Next { Next::Go(Routine::$name(machine)) }
        })+

        impl Routine {
            /// Name and manual entry of every machine, in order.
            pub const TABLE: &[(&str, &str)] = &[
                $((stringify!($name), concat!($($doc, "\n",)+)),)+
            ];

            /// The name of the machine.
            pub fn name(self) -> &'static str {
                match self { $(Routine::$name(_) => stringify!($name),)+ }
            }
            /// See [`Machine::need`].
            #[inline]
            pub fn need(self, cx: &Scene) -> Need {
                match self { $(Routine::$name(m) => m.need(cx),)+ }
            }
            /// See [`Machine::interruptible`].
            #[inline]
            pub fn interruptible(self) -> bool {
                match self { $(Routine::$name(m) => m.interruptible(),)+ }
            }
            /// See [`Machine::outcomes`].
            #[inline]
            pub fn outcomes(self, cx: &Scene) -> u8 {
                match self { $(Routine::$name(m) => m.outcomes(cx),)+ }
            }
            /// See [`Machine::label`].
            #[inline]
            pub fn label(self) -> Label {
                match self { $(Routine::$name(m) => m.label(),)+ }
            }
            /// See [`Machine::step`].
            #[inline]
            pub fn step(self, cx: &mut Step, outcome: u8) -> Next {
                match self { $(Routine::$name(m) => m.step(cx, outcome),)+ }
            }
            /// See [`Machine::resume`].
            #[inline]
            pub fn resume(self, cx: &mut Step, ret: Ret) -> Next {
                match self { $(Routine::$name(m) => m.resume(cx, ret),)+ }
            }
        }
    };
}

routines! {
    /// A thread's program: starts one operation after the other and records its result.
    Program(program::Program),
    /// Posts and waits that scenario authors order threads with, and pauses.
    Sync(sync::Sync),
    /// Registers a memory region: pins its pages and programs the device, or subscribes to the
    /// MMU notifier.
    Register(region::Register),
    /// Deregisters a memory region: stops the device, then gives back.
    Deregister(region::Deregister),
    /// A transfer of a DMA device: a page in two halves through a translation read once.
    Dma(dma::Dma),
    /// A page fault of a device (S1-S5): on-demand paging, HMM.
    DeviceFault(odp::DeviceFault),
    /// A device's answer to an MMU-notifier invalidation.
    Invalidate(invalidate::Invalidate),
    /// Tears translations down after the callback has returned (--notifier late).
    LateTeardown(invalidate::LateTeardown),
    /// Somebody else, who takes what was freed and checks that nobody scribbles on it.
    Neighbour(neighbour::Neighbour),
    /// Power loss, signals, timeouts: what may happen from outside.
    Chance(chance::Chance),
    /// A layout lease: taking it, answering its break.
    LeaseCall(lease::LeaseCall),
    /// GUP calls.
    PinPages(pin::PinPages),
    /// Release of pinned pages.
    Release(release::Release),
    /// Page faults.
    Fault(fault::Fault),
    /// The beginning of an MMU-notifier invalidation: every subscribed device is told.
    RangeStart(notifier::RangeStart),
    /// The end of an MMU-notifier invalidation.
    RangeEnd(notifier::RangeEnd),
    /// madvise(MADV_DONTNEED).
    DontNeed(mapping::DontNeed),
}

impl Routine {
    /// The machine at the bottom of the stack of an agent that serves others: a disk's tag, a
    /// worker. None: there is nothing for it to do in this plan.
    pub fn service(map: &Layout, actor: Actor) -> Option<Routine> {
        map.teardown_region(actor).map(|region| invalidate::LateTeardown(region).into())
    }

    /// Whether its outcomes are faults of a device (I/O errors) rather than of the allocator.
    pub fn is_device(self) -> bool {
        false
    }
}

/// A call in another machine.
pub fn call(callee: impl Into<Routine>, then: impl Into<Routine>) -> Next {
    Next::Call { callee: callee.into(), then: then.into() }
}
