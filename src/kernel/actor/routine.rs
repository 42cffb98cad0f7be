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
    /// `flush_tlb_range`.
    FlushTlb(tlb::FlushTlb),
    /// `mmu_notifier_invalidate_range_start`.
    RangeStart(notifier::RangeStart),
    /// `mmu_notifier_invalidate_range_end`.
    RangeEnd(notifier::RangeEnd),
    /// A hardware tag of a disk: takes the checksum, transfers the page in two halves, completes.
    DiskTag(disk::DiskTag),
    /// Walks the reverse map of a folio: cleans its PTEs, clears them, migrates them.
    RmapWalk(rmap::RmapWalk),
    /// Writes the dirty pages of a file: cleaning skips what is busy, integrity waits.
    WritePages(writeback::WritePages),
    /// Waits until no page of a file is under writeback.
    WaitPages(writeback::WaitPages),
    /// A flusher's pass over a file.
    WritebackInode(writeback::WritebackInode),
    /// Writeback of a DAX file: flushes CPU caches and write-protects its mappings.
    DaxWriteback(dax_writeback::DaxWriteback),
    /// fsync: writes, waits, commits the journal, flushes the disk's cache, reports errors once.
    Fsync(sync_calls::Fsync),
    /// msync.
    Msync(sync_calls::Msync),
    /// sync_file_range.
    SyncFileRange(sync_calls::SyncFileRange),
    /// `unmap_mapping_range`.
    Zap(zap::Zap),
    /// Finds or creates the folio of a page of a file, locks it, reads it in if need be.
    GrabFolio(folio::GrabFolio),
    /// `folio_unlock` and `folio_put`.
    LetGo(folio::LetGo),
    /// `write(2)` through the page cache.
    WriteFile(file_io::WriteFile),
    /// `read(2)` through the page cache.
    ReadFile(file_io::ReadFile),
    /// `write(2)` and `read(2)` of a DAX file.
    DaxIo(dax_io::DaxIo),
    /// One GUP call.
    PinPages(pin::PinPages),
    /// Releases the pages of a slot.
    Release(release::Release),
    /// `invalidate_inode_pages2_range`, or the removal of pages that lost their place in a file.
    InvalidatePages(invalidate_pages::InvalidatePages),
    /// Direct I/O between a file and a mapped page.
    Dio(dio::Dio),
    /// Reclaim tries to evict one page of a file.
    Reclaim(reclaim::Reclaim),
    /// `drop_caches`: evicts the clean, unused pages of a file.
    DropCaches(drop_caches::DropCaches),
    /// `madvise(MADV_PAGEOUT)` and `madvise(MADV_FREE)`.
    PageOut(pageout::PageOut),
    /// Moves a page of a file to another frame.
    Migrate(migrate::Migrate),
    /// Reflink: two ranges of files share blocks.
    Reflink(reflink::Reflink),
}

impl Routine {
    /// The machine at the bottom of the stack of an agent that serves others: a disk's tag, a
    /// worker. None: there is nothing for it to do in this plan.
    pub fn service(map: &Layout, actor: Actor) -> Option<Routine> {
        disk::DiskTag::service(map, actor).map(Routine::from)
    }

    /// Whether its outcomes are faults of a device (I/O errors) rather than of the allocator.
    pub fn is_device(self) -> bool {
        matches!(self, Routine::DiskTag(_))
    }
}

/// A call in another machine.
pub fn call(callee: impl Into<Routine>, then: impl Into<Routine>) -> Next {
    Next::Call { callee: callee.into(), then: then.into() }
}
