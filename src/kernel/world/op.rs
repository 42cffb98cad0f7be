//! What a thread's program may consist of: the operations and their arguments.

use super::ids::*;
use super::plan::PAGE_SIZE;

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
    /// `pin_user_pages_remote`: slow walk only, takes mmap_lock itself; FOLL_PIN, FOLL_TOUCH
    /// (process_vm_readv and process_vm_writev).
    PinRemote,
    /// `get_user_pages_remote` with FOLL_FORCE, for ptrace and /proc/PID/mem: slow walk; FOLL_GET,
    /// FOLL_TOUCH. What the mapping forbids is not asked; a private one gets a copy.
    GetForce,
}

impl PinCall {
    /// FOLL_PIN (else FOLL_GET).
    pub fn is_pin(self) -> bool {
        matches!(self, PinCall::PinFast | PinCall::PinSlow | PinCall::PinRemote)
    }
    /// Whether the lockless walk is tried first.
    pub fn is_fast(self) -> bool {
        matches!(self, PinCall::PinFast | PinCall::GetFast)
    }
    /// FOLL_FORCE.
    pub fn forces(self) -> bool {
        self == PinCall::GetForce
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
    /// page_mkwrite, then dirty: takes invalidate_lock and the folio lock, may sleep.
    Mkwrite,
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
    /// Make the range the next to be reclaimed.
    Cold,
    /// Punch a hole into the file that is mapped there.
    Remove,
    /// Fault in for reading.
    PopulateRead,
    /// Fault in for writing.
    PopulateWrite,
}

/// A seal of a memfd (`F_ADD_SEALS`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Seal {
    /// F_SEAL_SHRINK: the file cannot become smaller.
    Shrink,
    /// F_SEAL_GROW: it cannot become larger.
    Grow,
    /// F_SEAL_WRITE: its contents cannot change.
    Write,
    /// F_SEAL_FUTURE_WRITE: nobody new can change them.
    FutureWrite,
}

impl Seal {
    /// Its bit in a set of seals.
    pub fn bit(self) -> u8 {
        1 << self as u8
    }
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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
    /// `msync` of a mapping, MS_INVALIDATE: does nothing but fail if any of it is locked.
    MsyncInvalidate { vma: Vma },
    /// `sync_file_range` over the whole file.
    SyncFileRange { file: File, flags: SfrFlags },
    /// `ftruncate` to `size` bytes, shrinking or extending.
    Truncate { file: File, size: u64 },
    /// `fallocate(PUNCH_HOLE | KEEP_SIZE)` of whole pages.
    Punch { first: FilePage, pages: u32 },
    /// The same of bytes: from byte `from` of the first page to byte `to` of the last, exclusive.
    PunchPart { first: FilePage, pages: u32, from: u16, to: u16 },
    /// `fallocate(ZERO_RANGE)` of whole pages: they read as zeroes and keep their blocks.
    ZeroRange { first: FilePage, pages: u32 },
    /// `fallocate(COLLAPSE_RANGE)` of whole pages: what follows takes their place.
    CollapseRange { first: FilePage, pages: u32 },
    /// `fcntl(F_ADD_SEALS)` of one seal.
    AddSeal { file: File, seal: Seal },
    /// Reflink (snapshot) of `pages` pages: the two ranges share blocks until one is written.
    Reflink { from: FilePage, to: FilePage, pages: u32 },
    /// `mmap` of a mapping that the scenario declared unmapped.
    Mmap { vma: Vma },
    /// `munmap` of a whole mapping.
    Munmap { vma: Vma },
    /// `mremap` of a whole mapping to the place of another; `keeps`: MREMAP_DONTUNMAP.
    Mremap { from: Vma, to: Vma, keeps: bool },
    /// `mprotect` of a whole mapping.
    Mprotect { vma: Vma, read: bool, write: bool },
    /// `madvise` of pages of a mapping.
    Madvise { first: VPage, pages: u32, advice: Advice },
    /// `mlock` of pages of a mapping (`lock`), or `munlock`.
    Mlock { first: VPage, pages: u32, lock: bool },
    /// `fork`: the child's address space and mappings are declared in the plan.
    Fork { child: Mm },
    /// One GUP call.
    Pin { first: VPage, pages: u32, write: bool, longterm: bool, call: PinCall, slot: Slot },
    /// Releases all pages of a slot; `dirty`: the pages were written to. `how`: what the driver
    /// does about it; none: what the strategy's `--unpin` says.
    Unpin { slot: Slot, dirty: bool, how: Option<Redirty>, context: Context },
    /// `splice` of a page of a file into a pipe: the slot keeps a plain reference.
    Splice { from: FilePage, slot: Slot },
    /// Takes that many pins of a page, or plain references to it, and keeps them.
    Hoard { at: VPage, count: u32, pin: bool },
    /// The kernel writes a new version to a page that a slot holds: `access_remote_vm`,
    /// process_vm_writev, any driver that fills a user's page by itself (case 5 of
    /// pin_user_pages.rst).
    WritePinned { slot: Slot, page: u32 },
    /// The kernel copies out of a page that a slot holds, as read(2) of a pipe that vmsplice has
    /// filled; records the contents.
    ReadPinned { slot: Slot, page: u32 },
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
    /// The holder waits until it is asked to let go (the signal of a lease break).
    AwaitBreak { file: File },
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
