//! The machines that can be on an agent's stack: one table, one dispatch.

use super::step::{Label, Machine, Next, Ret, Scene, Step};
use super::*;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::need::Need;
use crate::kernel::world::{Actor, Tag, Worker};

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
    /// A user's load or store: TLB, hardware walk, page fault.
    Memory(memory::Memory),
    /// A page fault: handle_mm_fault, anonymous memory, do_wp_page.
    Fault(fault::Fault),
    /// A fault on a page of the page cache: filemap_fault, reading it in, finish_fault.
    FileFault(fault_file::FileFault),
    /// A shared page becomes writable: page_mkwrite (W1 to W9).
    Mkwrite(fault_mkwrite::Mkwrite),
    /// Copy on write: wp_page_copy.
    Cow(fault_cow::Cow),
    /// A fault on a page of a DAX file: dax_iomap_pte_fault.
    DaxFault(fault_dax::DaxFault),
    /// The entry of a GUP call.
    PinPages(pin::PinPages),
    /// The lockless walk of a GUP call (F1 to F21).
    GupFast(gup_fast::GupFast),
    /// The slow path of a GUP call, with faults.
    GupSlow(gup_slow::GupSlow),
    /// Releasing what a GUP call took: unpin_user_pages and its relatives.
    Release(release::Release),
    /// A kernel worker, which does what interrupts must not do.
    Kworker(worker::Kworker),
    /// fork: copies the page tables of private mappings.
    ForkMm(fork::ForkMm),
    /// Flushing TLBs.
    FlushTlb(tlb::FlushTlb),
    /// mmu_notifier_invalidate_range_start.
    RangeStart(notifier::RangeStart),
    /// mmu_notifier_invalidate_range_end.
    RangeEnd(notifier::RangeEnd),
    /// Zapping page table entries.
    Zap(zap::Zap),
    /// A disk's tag.
    Serve(disk::Serve),
}

impl Routine {
    /// The machine at the bottom of the stack of an agent that serves others: a disk's tag, a
    /// worker. None: there is nothing for it to do in this plan.
    pub fn service(map: &Layout, actor: Actor) -> Option<Routine> {
        let tag = actor.0.checked_sub(map.plan.threads.len() as u32)?;
        match tag.checked_sub(map.tag_count()) {
            None => Some(disk::Serve(Tag(tag)).into()),
            Some(worker) => Some(worker::Kworker(Worker(worker)).into()),
        }
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
