//! Facets of the rest of the machine: locks, pins, agents, ghosts.

use super::cell::{Facet, Field, Kind, RefKind};
use super::ids::*;
use super::objects::{facet, small};
use bitfield_struct::bitfield;

pub use super::device::{IntervalSub, RegionState, RegionUse, Xlat};
pub use super::disk::{
    Bio, BioEnd, BioKind, BioStep, BlockState, BlockUse, DiskState, Extent, ExtentKind, PgmapState,
};

small! {
    /// The classes of locks, outermost first as the kernel's lock order has them
    /// (header of mm/filemap.c).
    LockClass {
        /// `inode->i_rwsem`
        IRwsem = "i_rwsem",
        /// `mm->mmap_lock`
        MmapLock = "mmap_lock",
        /// `mapping->invalidate_lock` (the I_MMAP_LOCK, i_mmap_sem, MMAPLOCK of older kernels)
        InvalidateLock = "invalidate_lock",
        /// The folio lock (PG_locked).
        FolioLock = "folio lock",
        /// `mapping->i_mmap_rwsem`
        IMmapRwsem = "i_mmap_rwsem",
        /// `umem_mutex` of an ODP region, a driver's lock under which translations change.
        UmemMutex = "umem_mutex",
        /// The page-table lock.
        Ptl = "ptl",
        /// `i_pages` (the xarray's lock).
        IPages = "i_pages",
        /// The lock bit of a DAX entry.
        DaxEntry = "dax entry",
        /// The LRU lock.
        LruLock = "lru_lock",
        /// The queue of the writeback of one file (`wb_writeback`, I_SYNC).
        ISync = "I_SYNC",
    }
}

/// A lock that is held over more than one step. Folio locks are
/// [`FolioLock`](super::objects::FolioLock).
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct LockState {
    /// The exclusive holder, packed.
    #[bits(32)]
    pub writer: u32,
    /// Number of shared holders.
    #[bits(32)]
    pub readers: u32,
}
facet!(LockState of Lock { writer: actor, readers: int, });

/// The first three locks that an agent holds (each a lock's number + 1, in no particular order),
/// and how many folios it has locked (those know their owner themselves).
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Held {
    /// One.
    #[bits(20)]
    pub a: u32,
    /// Another.
    #[bits(20)]
    pub b: u32,
    /// Another.
    #[bits(20)]
    pub c: u32,
    /// Folio locks.
    #[bits(4)]
    pub folios: u8,
}
facet!(Held of Actor { a: int, b: int, c: int, folios: int, });

/// The fourth to sixth lock that an agent holds: a reflink that unmaps pages that an ODP region
/// shows has i_rwsem and invalidate_lock of both files, i_mmap_rwsem and umem_mutex.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct HeldMore {
    /// One.
    #[bits(20)]
    pub d: u32,
    /// Another.
    #[bits(20)]
    pub e: u32,
    /// Another.
    #[bits(20)]
    pub f: u32,
    #[bits(4)]
    __: u8,
}
facet!(HeldMore of Actor { d: int, e: int, f: int, });

/// Ghost: what an agent holds that others wait for and that is counted but has no owner in the
/// kernel, so that a cycle of waits is seen and a report can name who stands in the way. An agent
/// holds one of each kind at most.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Engaged {
    /// The disk on whose dev_pagemap it holds a live reference, packed.
    #[bits(12)]
    pub pgmap: u16,
    /// The file on which it counts as direct I/O in flight (`i_dio_count`), packed.
    #[bits(17)]
    pub dio: u32,
    /// The address space in which it invalidates a range, packed.
    #[bits(17)]
    pub range: u32,
    /// The region of which it has a transfer in flight, packed.
    #[bits(17)]
    pub region: u32,
    /// It has a command page of a driver.
    pub command: bool,
}
facet!(Engaged of Actor {});

small! {
    /// What kind of reference a GUP call took.
    RefType {
        /// None: the slot page is empty.
        None = "none",
        /// FOLL_GET
        Get = "get",
        /// FOLL_PIN
        Pin = "pin",
    }
}

/// A page that a GUP call returned and nobody has released yet.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Pinned {
    /// Get or pin.
    #[bits(2)]
    pub kind: RefType,
    /// FOLL_WRITE
    pub write: bool,
    /// FOLL_LONGTERM
    pub longterm: bool,
    /// The frame, packed.
    #[bits(28)]
    pub frame_bits: u32,
    /// The frame's generation when it was taken.
    #[bits(16)]
    pub generation: u16,
    #[bits(16)]
    __: u16,
}
facet!(Pinned of SlotPage { kind: word, write: flag, longterm: flag, frame_bits: frame, });

/// A buffer of a pipe: a plain reference to a frame.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Pipe {
    /// The frame, packed; 0 is empty.
    #[bits(28)]
    pub frame_bits: u32,
    /// Its generation.
    #[bits(16)]
    pub generation: u16,
    #[bits(20)]
    __: u32,
}
facet!(Pipe of PipeSlot { frame_bits: frame, });

small! {
    /// What a worker has to do.
    WorkKind {
        /// Nothing.
        None = "idle",
        /// Release a slot's pages in process context.
        Unpin = "unpin",
        /// Release a slot's pages in process context, and dirty them.
        UnpinDirty = "unpin-dirty",
    }
}

/// In the argument of a work item, beside the slot: dirty the pages without the folio lock.
pub const SET_DIRTY: u32 = 1 << 31;
/// The same: call page_mkwrite for them.
pub const MKWRITE: u32 = 1 << 30;

/// A worker's queue, one item long.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Work {
    /// What to do.
    #[bits(3)]
    pub kind: WorkKind,
    /// To what.
    #[bits(32)]
    pub arg: u32,
    /// Beside that: extents that were busy are to be freed.
    pub extents: bool,
    /// Beside that: pages of btrfs that were dirtied behind its back are to be prepared.
    pub fixups: bool,
    #[bits(27)]
    __: u32,
}
facet!(Work of Worker { kind: word, arg: int, extents: flag, fixups: flag, });

/// A named event.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct EventState {
    /// Posts that nobody has consumed.
    #[bits(32)]
    pub posts: u32,
    #[bits(32)]
    __: u32,
}
facet!(EventState of Event { posts: int, });

/// Faults that may still happen.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Budget {
    /// Writes that may still fail.
    #[bits(24)]
    pub io_errors: u32,
    /// Allocations that may still fail.
    #[bits(24)]
    pub enomem: u32,
    #[bits(16)]
    __: u16,
}
facet!(Budget of One { io_errors: int, enomem: int, });

/// Command pages of a driver that are in use (`--notifier prealloc`).
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct CommandPool {
    /// How many.
    #[bits(16)]
    pub used: u16,
    #[bits(48)]
    __: u64,
}
facet!(CommandPool of One { used: int, });

/// Power. A cell of its own: every step looks at it, and few write what else the run may fail by.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Power {
    /// Power has been lost.
    pub crashed: bool,
    #[bits(63)]
    __: u64,
}
facet!(Power of One { crashed: flag, });

small! {
    /// The life of an agent.
    Life {
        /// Running its program.
        Running = "running",
        /// Its program is done.
        Done = "done",
        /// Killed by a fatal signal or a machine check.
        Killed = "killed",
    }
}

/// An agent's control state, beyond its stack.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct ActorState {
    /// Frames on its stack.
    #[bits(4)]
    pub depth: u8,
    /// Its life.
    #[bits(2)]
    pub life: Life,
    /// A fatal signal is pending.
    pub signal: bool,
    /// It runs in an interrupt (a completion handler).
    pub in_irq: bool,
    #[bits(56)]
    __: u64,
}
facet!(ActorState of Actor { life: word, signal: flag, in_irq: flag, });

/// The last result of an operation.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct OpResult {
    /// It has completed at least once.
    pub done: bool,
    /// Its return value: negative is an errno.
    #[bits(32)]
    pub ret: i32,
    #[bits(31)]
    __: u32,
}
facet!(OpResult of OpId { done: flag, ret: int, });

/// The head of a list of free frames (object 0) or of a disk's free blocks (object 1 + disk).
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct FreeList {
    /// The first free object, packed.
    #[bits(32)]
    pub head: u32,
    /// How many there are.
    #[bits(32)]
    pub count: u32,
}
facet!(FreeList of One { head: int, count: int, });

/// Ghost: which invariants have been broken in this run so far.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Verdict {
    /// One bit per invariant, in the order of the table.
    #[bits(32)]
    pub broken: u32,
    /// The state means nothing any more: the run is cut.
    pub cut: bool,
    #[bits(31)]
    __: u32,
}
facet!(Verdict of One { broken: int, cut: flag, });
