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
    /// A flush of TLBs, by interrupts or by a broadcast instruction.
    FlushTlb(tlb::FlushTlb),
    /// The beginning of an MMU-notifier invalidation: every subscribed device is told.
    RangeStart(notifier::RangeStart),
    /// The end of an MMU-notifier invalidation.
    RangeEnd(notifier::RangeEnd),
    /// Unmapping of pages of one mapping.
    Zap(zap::Zap),
    /// Unmapping of pages of a file from all mappings.
    UnmapFile(zap::UnmapFile),
    /// `ftruncate()`.
    TruncateFile(truncate::TruncateFile),
    /// Removal of pages from the page cache.
    TruncatePages(truncate_pages::TruncatePages),
    /// Zeroing of the end of a file's last page.
    ZeroTail(zero_tail::ZeroTail),
    /// Waiting for pages that somebody still refers to before they are taken from a file.
    BreakLayouts(dax_layout::BreakLayouts),
    /// `fallocate(PUNCH_HOLE)`.
    Punch(punch::Punch),
    /// Removal of a pmem device.
    UnbindDevice(unbind::UnbindDevice),
    /// `mmap()` and `munmap()`.
    MapCall(mapping::MapCall),
    /// `mprotect()`.
    Protect(mapping::Protect),
    /// `madvise()` of pages that are dropped or faulted in.
    Advise(mapping::Advise),
    /// A device's answer to an MMU-notifier invalidation.
    Invalidate(invalidate::Invalidate),
    /// A page fault.
    Fault(fault::Fault),
    /// Writeback of a file's dirty pages.
    WritePages(writeback::WritePages),
    /// Waiting for the writeback of a file's pages.
    WaitPages(writeback::WaitPages),
}

impl Routine {
    /// The machine at the bottom of the stack of an agent that serves others: a disk's tag, a
    /// worker. None: there is nothing for it to do in this plan.
    pub fn service(_map: &Layout, _actor: Actor) -> Option<Routine> {
        None
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
