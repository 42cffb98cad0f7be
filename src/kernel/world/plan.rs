//! The immutable description of a machine and its programs, from which a world is built.
//!
//! A scenario file compiles to a [`Plan`]; a plan together with a strategy is all that a run
//! depends on. Every reference is already resolved to a number; [`Layout`](super::layout::Layout)
//! turns numbers back into the words of the scenario.

use super::costs::Costs;
use super::ids::*;
use std::ops::Range;

pub use super::op::*;

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
    /// A fault maps what is cached around its page and reads what is not (fault-around,
    /// read-around); without it, as if `fault_around_bytes` were 4096 and `read_ahead_kb` 0.
    pub around: bool,
    /// Disks that are loop devices: their driver has taken a copy of what is to be written by the
    /// time that the submission returns.
    pub loops: Vec<Disk>,
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
    /// folio's size. Where not all pages of such a folio are cached at the start, those that are
    /// have base pages ([`FilePlan::folio`]).
    pub folio_order: u32,
}

/// The pages of a file that belong into one folio, at the start of the run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InitFolio {
    /// The pages, by index.
    pub pages: Range<u32>,
    /// All of them are cached, in one folio.
    pub large: bool,
    /// One of them is dirty.
    pub dirty: bool,
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
    /// Its driver stops it and gives a pinned page back when the kernel asks (`--writeback
    /// revoke`); else it does not answer.
    pub revocable: bool,
    /// Its translation table can be changed while it runs. Else it breaks if that is done
    /// ("freaks out", claim 30).
    pub redirects: bool,
    /// It has a command that ends the transfers of one memory region. Else it can only be reset.
    pub terminates: bool,
    /// It survives an access that the IOMMU refuses (claim 29). Else it is gone.
    pub survives_faults: bool,
}

impl DevicePlan {
    /// A device that can do all of it.
    pub fn new(name: impl Into<String>, kind: DeviceKind) -> DevicePlan {
        let name = name.into();
        let (revocable, redirects, terminates, survives_faults) = (true, true, true, true);
        DevicePlan { name, kind, revocable, redirects, terminates, survives_faults }
    }
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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

impl ThreadPlan {
    /// Whether its program goes round for ever.
    pub fn is_endless(&self) -> bool {
        self.program.iter().any(|op| matches!(op, Op::Repeat { times: 0, .. }))
    }
}

impl FilePlan {
    /// The initial state of page `index`.
    pub fn page(&self, index: u32) -> InitPage {
        self.pages.get(index as usize).copied().unwrap_or(InitPage::Hole)
    }

    /// The folio into which page `index` belongs. None is made that reaches beyond the end of the
    /// file, or over a page that is there already or is to be left alone (`page_cache_ra_order`:
    /// "Don't allocate pages past EOF"; `filemap_add_folio`: -EEXIST).
    pub fn folio(&self, index: u32) -> InitFolio {
        let size = 1 << self.folio_order;
        let first = index - index % size;
        let pages = first..first + size;
        let cached = |n| matches!(self.page(n), InitPage::Clean | InitPage::Dirty);
        let large = size > 1 && self.fs != FsKind::Dax && pages.clone().all(cached);
        let dirty = pages.clone().any(|n| self.page(n) == InitPage::Dirty);
        InitFolio { pages, large, dirty }
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
