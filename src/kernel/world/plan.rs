//! The immutable description of a machine and its programs, from which a world is built.
//!
//! A scenario file compiles to a [`Plan`]; a plan together with a strategy is all that a run
//! depends on. Every reference is already resolved to a number; [`Names`] turns numbers back
//! into the words of the scenario.

use super::costs::Costs;
use super::ids::*;
use std::ops::Range;

/// Bytes of a page.
pub const PAGE_SIZE: u32 = 4096;

/// A machine, its files and mappings, and the programs of its threads.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Processors. Threads name theirs; each processor has a TLB.
    pub cpus: u32,
    /// Frames of RAM that are free at the start, beyond those that cached pages need.
    pub spare_frames: u32,
    /// Block devices and pmem devices.
    pub disks: Vec<DiskPlan>,
    /// Files. File pages are numbered through in this order.
    pub files: Vec<FilePlan>,
    /// Address spaces.
    pub mms: Vec<MmPlan>,
    /// Mappings. Virtual pages are numbered through in this order.
    pub vmas: Vec<VmaPlan>,
    /// DMA devices.
    pub devices: Vec<DevicePlan>,
    /// Regions that devices may have registered. Region pages are numbered through.
    pub regions: Vec<RegionPlan>,
    /// Slots in which GUP callers keep what they pinned. Slot pages are numbered through; every
    /// region has a slot of its own ([`RegionPlan::slot`]).
    pub slots: Vec<SlotPlan>,
    /// Named events.
    pub events: Vec<String>,
    /// Threads that the scenario names, in its order.
    pub threads: Vec<ThreadPlan>,
    /// Kernel workers (`kworker`) that run deferred work.
    pub workers: u32,
    /// Pipe buffers that vmsplice and splice may fill.
    pub pipe_slots: u32,
    /// Faults that may happen.
    pub faults: Faults,
    /// How long things take in timed runs.
    pub costs: Costs,
}

/// What a file lies on.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    /// Name in the scenario.
    pub name: String,
    /// Block device or pmem.
    pub kind: DiskKind,
    /// Blocks (pmem: frames) that are free at the start.
    pub spare_blocks: u32,
}

/// The kind of a disk and what it demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskKind {
    /// A block device with bios.
    Block {
        /// T10 DIF/DIX or the like: a checksum is taken over the page before the transfer, and
        /// a transfer that does not match it fails.
        checksum: bool,
        /// `QUEUE_FLAG_STABLE_WRITES`: page_mkwrite and write_begin wait for writeback.
        stable_writes: bool,
        /// A volatile write cache: contents are durable only after a flush.
        volatile_cache: bool,
        /// Bios in flight at once.
        queue_depth: u32,
    },
    /// Persistent memory under a DAX filesystem (`dev_pagemap` of type FS_DAX).
    Pmem,
}

/// How a filesystem keeps its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum FsKind {
    /// Page cache, blocks overwritten in place, buffers attached, delayed allocation (ext4).
    Ext4,
    /// Page cache, no buffers needed (xfs, iomap).
    Xfs,
    /// Page cache, copy on write with data checksums, stable pages always (btrfs).
    Btrfs,
    /// Page cache without a disk: no writeback, no dirty tracking (tmpfs).
    Tmpfs,
    /// Direct access: the file's pages are the blocks of a pmem disk (ext4/xfs `-o dax`).
    Dax,
}

impl FsKind {
    /// Whether writes through shared mappings are tracked page by page (`page_mkwrite`,
    /// `pfn_mkwrite`), so that a clean page's PTE is read-only. tmpfs has none.
    pub fn tracks_dirty(self) -> bool {
        self != FsKind::Tmpfs
    }
}

/// A file.
#[derive(Clone, Debug)]
pub struct FilePlan {
    /// Name in the scenario.
    pub name: String,
    /// Filesystem kind.
    pub fs: FsKind,
    /// The disk it lies on; none for tmpfs.
    pub disk: Option<Disk>,
    /// Size in bytes at the start.
    pub size: u64,
    /// Pages that the file may ever have: the number of its file pages in the world.
    pub capacity: u32,
    /// Each page at the start; shorter than `capacity` means holes.
    pub pages: Vec<InitPage>,
    /// Order of the folios of its page cache (0: base pages). `capacity` is a multiple of the
    /// folio's size.
    pub folio_order: u32,
}

/// A file's page at the start of the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InitPage {
    /// No block, not cached.
    Hole,
    /// A block with initial contents, not cached.
    Cold,
    /// A block with initial contents, cached, clean (buffers attached where the fs has them).
    Clean,
    /// As `Clean`, but newer contents than the block's in the cache, dirty (prepared by the fs).
    Dirty,
}

/// An address space.
#[derive(Clone, Debug)]
pub struct MmPlan {
    /// Name in the scenario.
    pub name: String,
    /// Created by a fork during the run (its mappings exist but are empty until then).
    pub child_of: Option<Mm>,
}

/// A mapping.
#[derive(Clone, Debug)]
pub struct VmaPlan {
    /// Name in the scenario.
    pub name: String,
    /// Whose mapping it is.
    pub mm: Mm,
    /// Length in pages.
    pub pages: u32,
    /// What is mapped.
    pub backing: Backing,
    /// MAP_SHARED (else MAP_PRIVATE).
    pub shared: bool,
    /// PROT_READ.
    pub read: bool,
    /// PROT_WRITE.
    pub write: bool,
    /// Mapped from the start, or only by an `mmap` operation (or a fork).
    pub mapped: bool,
    /// PTEs present at the start; others are faulted in on first use.
    pub populate: Populate,
    /// In a forked child: the mapping of the parent that this one is the copy of.
    pub copy_of: Option<Vma>,
}

/// What a mapping shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backing {
    /// A file from this page of it on.
    File {
        /// The file.
        file: File,
        /// First page of the file that is mapped.
        first: u32,
    },
    /// Anonymous memory.
    Anon,
}

/// Which PTEs exist at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Populate {
    /// None: the first access of each page faults.
    #[default]
    None,
    /// Read-only PTEs for cached pages.
    Read,
    /// Writable, dirty PTEs (and dirty pages) as after a store; private memory has pages of its
    /// own.
    Write,
}

/// What a DMA device can and cannot do.
#[derive(Clone, Debug)]
pub struct DevicePlan {
    /// Name in the scenario.
    pub name: String,
    /// The kind.
    pub kind: DeviceKind,
}

/// The kind of a DMA device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum DeviceKind {
    /// An RDMA NIC with pinned memory regions; its translation table cannot follow notifiers.
    Nic,
    /// An RDMA NIC with on-demand paging: no pins, MMU notifier, device page faults (mlx5).
    OdpNic,
    /// A GPU with an MMU notifier and faulting hardware (hmm mirror).
    Gpu,
    /// A capture card: long-term pins, streams for ever (v4l2 videobuf).
    Capture,
}

impl DeviceKind {
    /// Whether the device subscribes to MMU notifiers and faults instead of pinning.
    pub fn has_notifier(self) -> bool {
        matches!(self, DeviceKind::OdpNic | DeviceKind::Gpu)
    }
}

/// A region of a device.
#[derive(Clone, Debug)]
pub struct RegionPlan {
    /// Name in the scenario.
    pub name: String,
    /// The device.
    pub device: Device,
    /// Most pages that it may cover.
    pub pages: u32,
    /// The slot that holds its pins.
    pub slot: Slot,
}

/// A slot for pinned pages.
#[derive(Clone, Debug)]
pub struct SlotPlan {
    /// Name in the scenario.
    pub name: String,
    /// Most pages that it may hold.
    pub pages: u32,
}

/// What a thread is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A user thread in this address space.
    User(Mm),
    /// A kernel thread (flusher, kswapd, somebody writing to sysfs).
    Kernel,
    /// The transfers that a device makes by itself or for its remote peer.
    Device(Device),
    /// Somebody else, who allocates what was freed.
    Neighbour,
    /// Something from outside that may happen at any moment, or never: power loss, a signal, a
    /// timeout. A run may end without it.
    Chance,
}

/// A thread with its program.
#[derive(Clone, Debug)]
pub struct ThreadPlan {
    /// Name in the scenario.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// The processor it runs on (ignored for devices and chance).
    pub cpu: Cpu,
    /// Its operations, with jumps resolved.
    pub program: Vec<Op>,
    /// Number of its first operation; operation `i` of the program is `first_op + i`.
    pub first_op: OpId,
    /// Names of operations for conditions and contents; empty where the scenario gave none.
    pub labels: Vec<String>,
    /// Whether the run may end before this thread has finished (a device that streams for ever).
    pub background: bool,
}

/// Bytes of a page, end exclusive. The whole page is `0..4096`.
pub type Part = (u16, u16);

/// The whole page.
pub const WHOLE: Part = (0, PAGE_SIZE as u16);

/// Which system call or API takes references.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum PinCall {
    /// `pin_user_pages_fast`: fast walk first, slow for the rest; FOLL_PIN.
    PinFast,
    /// `pin_user_pages`: slow walk only; FOLL_PIN.
    PinSlow,
    /// `get_user_pages_fast`: FOLL_GET.
    GetFast,
    /// `get_user_pages`: slow walk only; FOLL_GET.
    GetSlow,
}

impl PinCall {
    /// FOLL_PIN (else FOLL_GET).
    pub fn is_pin(self) -> bool {
        matches!(self, PinCall::PinFast | PinCall::PinSlow)
    }
    /// Whether the lockless walk is tried first.
    pub fn is_fast(self) -> bool {
        matches!(self, PinCall::PinFast | PinCall::GetFast)
    }
}

/// Where an unpin runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Context {
    /// In process context: may sleep.
    Process,
    /// In an interrupt: must not sleep.
    Irq,
    /// Handed to a workqueue by the interrupt.
    Worker,
}

/// How dirtiness comes back when a pin that was written through is released.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Redirty {
    /// Not at all: the driver forgets.
    Plain,
    /// `set_page_dirty` without the folio lock.
    SetDirty,
    /// `set_page_dirty_lock`: takes the folio lock, may sleep.
    SetDirtyLock,
}

/// `madvise` advice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Advice {
    /// Zap the range.
    DontNeed,
    /// Reclaim the range now.
    PageOut,
    /// Lazily free anonymous pages.
    Free,
    /// Fault in for reading.
    PopulateRead,
    /// Fault in for writing.
    PopulateWrite,
}

/// What a flusher is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum SyncMode {
    /// WB_SYNC_NONE: memory cleaning, skips what is busy.
    Cleaning,
    /// WB_SYNC_ALL: data integrity, waits.
    Integrity,
}

/// Bits of `sync_file_range`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct SfrFlags {
    /// SYNC_FILE_RANGE_WAIT_BEFORE
    pub wait_before: bool,
    /// SYNC_FILE_RANGE_WRITE
    pub write: bool,
    /// SYNC_FILE_RANGE_WAIT_AFTER
    pub wait_after: bool,
}

/// One operation of a program. Ranges of pages are `first` and `pages`.
#[allow(missing_docs, reason = "the fields are named in the variant's own entry")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// A CPU load from a mapping; records the contents.
    Load { at: VPage },
    /// A CPU store of a new version to a part of a mapped page.
    Store { at: VPage, part: Part },
    /// `write(2)` of a new version to a part of a page of a file.
    Write { at: FilePage, part: Part },
    /// `read(2)` of a page of a file; records the contents.
    Read { at: FilePage },
    /// `O_DIRECT` read of a page of a file into a mapped page: the disk writes into the page.
    DioRead { from: FilePage, into: VPage },
    /// `O_DIRECT` write of a page of a file from a mapped page: the disk reads the page.
    DioWrite { to: FilePage, from: VPage },
    /// `fsync` (`data_only`: `fdatasync`).
    Fsync { file: File, data_only: bool },
    /// `msync` of a mapping, MS_SYNC (else MS_ASYNC, which does nothing).
    Msync { vma: Vma, sync: bool },
    /// `sync_file_range` over the whole file.
    SyncFileRange { file: File, flags: SfrFlags },
    /// `ftruncate` to `size` bytes, shrinking or extending.
    Truncate { file: File, size: u64 },
    /// `fallocate(PUNCH_HOLE | KEEP_SIZE)` of whole pages.
    Punch { first: FilePage, pages: u32 },
    /// Reflink (snapshot) of `pages` pages: the two ranges share blocks until one is written.
    Reflink { from: FilePage, to: FilePage, pages: u32 },
    /// `mmap` of a mapping that the scenario declared unmapped.
    Mmap { vma: Vma },
    /// `munmap` of a whole mapping.
    Munmap { vma: Vma },
    /// `mprotect` of a whole mapping.
    Mprotect { vma: Vma, read: bool, write: bool },
    /// `madvise` of pages of a mapping.
    Madvise { first: VPage, pages: u32, advice: Advice },
    /// `fork`: the child's address space and mappings are declared in the plan.
    Fork { child: Mm },
    /// One GUP call.
    Pin { first: VPage, pages: u32, write: bool, longterm: bool, call: PinCall, slot: Slot },
    /// Releases all pages of a slot; `dirty`: the pages were written to. `how`: what the driver
    /// does about it; none: what the strategy's `--unpin` says.
    Unpin { slot: Slot, dirty: bool, how: Option<Redirty>, context: Context },
    /// Registers a region: pins (or subscribes, with a notifier) and programs the device.
    Register { region: Region, first: VPage, pages: u32, write: bool, longterm: bool },
    /// Deregisters a region: stops the device, then releases.
    Deregister { region: Region, dirty: bool, how: Option<Redirty> },
    /// The device writes a new version into a page of a region (a remote peer's RDMA write).
    DmaWrite { region: Region, page: u32 },
    /// The device reads a page of a region and sends it to a remote peer, who keeps it.
    DmaRead { region: Region, page: u32 },
    /// Waits until every transfer that the region's device has started has completed.
    DmaWait { region: Region },
    /// One writeback pass over a file's dirty pages.
    Writeback { file: File, mode: SyncMode },
    /// Reclaim tries to evict this page of a file.
    Reclaim { page: FilePage },
    /// `drop_caches`, or `posix_fadvise(DONTNEED)` without writeback: evicts clean unused pages.
    DropCaches { file: File },
    /// Compaction moves the page to another frame.
    Migrate { page: FilePage },
    /// `echo NAMESPACE > .../unbind` of a pmem device.
    Unbind { disk: Disk },
    /// A neighbour takes a free frame, fills it, and keeps it.
    TakeFrame,
    /// A neighbour appends a page to a file of its own: takes a free block, fills it.
    TakeBlock { page: FilePage },
    /// A neighbour checks that what it took still holds what it wrote; records the contents.
    Verify { taken: OpId },
    /// The holder of a layout lease takes it.
    TakeLease { file: File },
    /// The holder answers a lease break: it has let go.
    AnswerLease { file: File },
    /// Power loss: RAM and volatile caches are gone, the run ends.
    Crash,
    /// A fatal signal is delivered.
    Signal { to: Actor },
    /// The timeout of a lease break runs out.
    LeaseTimeout { file: File },
    /// Posts an event.
    Post { event: Event },
    /// Waits until the event has been posted, and consumes one post.
    Wait { event: Event },
    /// Waits in timed runs; may take any time in others.
    Sleep { ns: u64 },
    /// Jumps back to operation `to` until `times` rounds are done (0: for ever).
    Repeat { to: u16, times: u32 },
}

/// Faults that may happen, and how often at most. In exploration each is a choice; in timed runs
/// each has a probability.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Faults {
    /// Writes that may fail with EIO.
    pub io_errors: u32,
    /// Allocations that may fail with ENOMEM.
    pub enomem: u32,
    /// Probability that an I/O error happens at an opportunity of a timed run, in 1/65536.
    pub io_error_rate: u32,
    /// Probability that an allocation fails at an opportunity of a timed run, in 1/65536.
    pub enomem_rate: u32,
}

impl Plan {
    /// Number of all file pages.
    pub fn file_pages(&self) -> u32 {
        self.files.iter().map(|f| f.capacity).sum()
    }

    /// Number of all virtual pages.
    pub fn vpages(&self) -> u32 {
        self.vmas.iter().map(|v| v.pages).sum()
    }

    /// Number of operations in all programs, plus the two that are reserved.
    pub fn ops(&self) -> u32 {
        2 + self.threads.iter().map(|t| t.program.len() as u32).sum::<u32>()
    }

    /// The numbers of a running sum, for tables that are numbered through.
    pub fn ranges(lengths: impl Iterator<Item = u32>) -> Vec<Range<u32>> {
        let mut at = 0;
        lengths
            .map(|n| {
                at += n;
                at - n..at
            })
            .collect()
    }
}

impl FilePlan {
    /// The initial state of page `index`.
    pub fn page(&self, index: u32) -> InitPage {
        self.pages.get(index as usize).copied().unwrap_or(InitPage::Hole)
    }

    /// Blocks that the file has at the start.
    pub fn blocks(&self) -> u32 {
        match self.disk {
            Some(_) => self.pages.iter().filter(|&&p| p != InitPage::Hole).count() as u32,
            None => 0,
        }
    }

    /// Frames of RAM that its page cache holds at the start.
    pub fn cached(&self) -> u32 {
        let cached = |p: &&InitPage| matches!(p, InitPage::Clean | InitPage::Dirty);
        match self.fs {
            FsKind::Dax => 0,
            _ => self.pages.iter().filter(cached).count() as u32,
        }
    }
}
