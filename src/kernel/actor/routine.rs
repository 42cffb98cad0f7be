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
            pub fn need(&self, cx: &Scene) -> Need {
                match self { $(Routine::$name(m) => m.need(cx),)+ }
            }
            /// See [`Machine::interruptible`].
            #[inline]
            pub fn interruptible(&self) -> bool {
                match self { $(Routine::$name(m) => m.interruptible(),)+ }
            }
            /// See [`Machine::outcomes`].
            #[inline]
            pub fn outcomes(&self, cx: &Scene) -> u8 {
                match self { $(Routine::$name(m) => m.outcomes(cx),)+ }
            }
            /// See [`Machine::label`].
            #[inline]
            pub fn label(&self) -> Label {
                match self { $(Routine::$name(m) => m.label(),)+ }
            }
            /// See [`Machine::step`].
            #[inline]
            pub fn step(&self, cx: &mut Step, outcome: u8) -> Next {
                match self { $(Routine::$name(m) => m.step(cx, outcome),)+ }
            }
            /// See [`Machine::resume`].
            #[inline]
            pub fn resume(&self, cx: &mut Step, ret: Ret) -> Next {
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
    /// A shared page becomes writable: wp_page_shared, do_shared_fault (W1 to W9).
    Mkwrite(fault_mkwrite::Mkwrite),
    /// The filesystem is told that a page will be written: page_mkwrite (W3, W4).
    PageMkwrite(page_mkwrite::PageMkwrite),
    /// Copy on write: wp_page_copy.
    Cow(fault_cow::Cow),
    /// A fault on a page of a DAX file: dax_iomap_pte_fault.
    DaxFault(fault_dax::DaxFault),
    /// The entry of a GUP call.
    PinPages(pin::PinPages),
    /// Counting a pin, where that takes more than one step.
    CountPin(pin_count::CountPin),
    /// Taking a pin off its count, where that takes more than one step.
    UncountPin(pin_count::UncountPin),
    /// Whether a page is pinned, where the answer takes more than one step.
    AskPinned(pinned::AskPinned),
    /// The lockless walk of a GUP call (F1 to F21).
    GupFast(gup_fast::GupFast),
    /// The slow path of a GUP call, with faults.
    GupSlow(gup_slow::GupSlow),
    /// Releasing what a GUP call took: unpin_user_pages and its relatives.
    Release(release::Release),
    /// Very many references to one page, or pins of it, taken and kept.
    Hoard(hoard::Hoard),
    /// A kernel worker, which does what interrupts must not do.
    Kworker(worker::Kworker),
    /// fork: copies the page tables of private mappings.
    ForkMm(fork::ForkMm),
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
    /// `ftruncate()` or `fallocate(PUNCH_HOLE)` up to T5, and its end: locks, busy pages.
    Cut(cut::Cut),
    /// `ftruncate()` of a locked file.
    TruncateFile(truncate::TruncateFile),
    /// Removal of pages from the page cache.
    TruncatePages(truncate_pages::TruncatePages),
    /// Zeroing of the end of a file's last page.
    ZeroTail(zero_tail::ZeroTail),
    /// Pages that somebody still refers to, before they are taken from a file.
    BreakLayouts(dax_layout::BreakLayouts),
    /// A pinned page is taken back from the devices that use it.
    RecallPage(recall::RecallPage),
    /// Extents that were busy are freed.
    FreeBusy(busy::FreeBusy),
    /// Pages of btrfs that were dirtied behind its back are prepared for writeback.
    FixUp(fixup::FixUp),
    /// `fallocate(PUNCH_HOLE)` in a locked file.
    Punch(punch::Punch),
    /// Removal of a pmem device.
    UnbindDevice(unbind::UnbindDevice),
    /// `mmap()` and `munmap()`.
    MapCall(mapping::MapCall),
    /// `mremap()`.
    Remap(remap::Remap),
    /// `mprotect()`.
    Protect(mapping::Protect),
    /// `madvise()` of pages that are dropped or faulted in.
    Advise(mapping::Advise),
    /// A hardware tag of a disk: takes the checksum, transfers the page in two halves, completes.
    DiskTag(disk::DiskTag),
    /// Walks the reverse map of a folio: cleans its PTEs, clears them, migrates them.
    RmapWalk(rmap::RmapWalk),
    /// Writes the dirty pages of a file: cleaning skips what is busy, integrity waits.
    WritePages(writeback::WritePages),
    /// Asks whether a folio that is to be written may be pinned, and does what --writeback says.
    WritePinned(writeback_pinned::WritePinned),
    /// Fills a bounce page, a half at a time, and submits it.
    CopyPage(bounce::CopyPage),
    /// Waits until no page of a file is under writeback.
    WaitPages(writeback_wait::WaitPages),
    /// A flusher's pass over a file.
    WritebackInode(writeback_wait::WritebackInode),
    /// Writeback of a DAX file: flushes CPU caches and write-protects its mappings.
    DaxWriteback(dax_writeback::DaxWriteback),
    /// fsync: writes, waits, commits the journal, flushes the disk's cache, reports errors once.
    Fsync(sync_calls::Fsync),
    /// msync.
    Msync(sync_calls::Msync),
    /// fcntl(F_ADD_SEALS) of a memfd.
    AddSeal(seal::AddSeal),
    /// sync_file_range.
    SyncFileRange(sync_calls::SyncFileRange),
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
    /// Splitting of a larger folio.
    SplitFolio(split::SplitFolio),
    /// Reclaim of an anonymous page that MADV_FREE has given up.
    Discard(lazyfree::Discard),
    /// The kernel itself reads or writes a page that a GUP call has returned.
    PinnedIo(pinned_io::PinnedIo),
    /// Moves a page of a file to another frame.
    Migrate(migrate::Migrate),
    /// `mlock()` and `munlock()`.
    Mlock(mlock::Mlock),
    /// `madvise(MADV_REMOVE)`.
    RemovePages(punch::RemovePages),
    /// `splice()` of a page of a file into a pipe.
    SpliceRead(splice::SpliceRead),
    /// Reflink: two ranges of files share blocks.
    Reflink(reflink::Reflink),
}

impl Routine {
    /// The machine at the bottom of the stack of an agent that serves others: a disk's tag, a
    /// worker. None: there is nothing for it to do in this plan.
    pub fn service(map: &Layout, actor: Actor) -> Option<Routine> {
        let tag = disk::DiskTag::service(map, actor).map(Routine::from);
        tag.or_else(|| map.teardown_region(actor).map(|r| invalidate::LateTeardown(r).into()))
            .or_else(|| map.worker_of(actor).map(|worker| worker::Kworker(worker).into()))
    }

    /// Whether its outcomes are faults of a device (I/O errors) rather than of the allocator.
    pub fn is_device(&self) -> bool {
        matches!(self, Routine::DiskTag(_))
    }
}

/// A call in another machine.
pub fn call(callee: impl Into<Routine>, then: impl Into<Routine>) -> Next {
    Next::Call { callee: callee.into(), then: then.into() }
}
