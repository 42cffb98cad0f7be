//! What a cell of state is: one 64-bit word, one facet of one object.

use super::ids::Id;
use std::fmt::Debug;

/// A type of cell: one facet of one kind of object, as a bit field in 64 bits.
pub trait Facet: Copy + Eq + Debug {
    /// Which facet this is.
    const KIND: Kind;
    /// What kind of object it is a facet of.
    type Of: Id;
    /// The word that is stored.
    fn pack(self) -> u64;
    /// The reverse of `pack`.
    fn unpack(bits: u64) -> Self;
    /// The fields by name, for traces and reports.
    fn fields(self, put: &mut dyn FnMut(&'static str, Field));
}

/// A value of a field, as a trace shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// Shown by its presence (`dirty`) or absence (`!dirty`).
    Flag(bool),
    /// A number.
    Int(i64),
    /// A word of a fixed vocabulary.
    Word(&'static str),
    /// An object by kind and number; 0 in the packed form is none.
    Ref(RefKind, Option<u32>),
    /// Contents of a page, to be rendered by the world.
    Bytes(u64),
}

/// The kinds of object that a field can point to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefKind {
    /// A frame of memory.
    Frame,
    /// A block of a disk.
    Block,
    /// A page of a file.
    FilePage,
    /// A page of a mapping.
    VPage,
    /// An agent.
    Actor,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// The facets of the world's objects; the order is the order of their cells.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Kind { $($(#[doc = $doc])+ $name,)+ }

        impl Kind {
            /// Every facet, in order.
            pub const ALL: &[Kind] = &[$(Kind::$name,)+];
            /// Number of facets.
            pub const COUNT: usize = Kind::ALL.len();
            /// The name as traces print it.
            pub fn label(self) -> &'static str {
                match self { $(Kind::$name => $label,)+ }
            }

            /// The fields of a word of this facet, by name.
            pub fn fields(self, word: u64, put: &mut dyn FnMut(&'static str, Field)) {
                use super::{machine::*, objects::*};
                match self { $(Kind::$name => <$name as Facet>::unpack(word).fields(put),)+ }
            }
        }
    };
}

kinds! {
    /// A folio's refcount, mapcount and pincount.
    Counts = "count",
    /// A folio's flags, order and generation.
    Flags = "flags",
    /// Who owns a frame: `page->mapping` and index, the free list, a neighbour.
    Owner = "owner",
    /// The folio lock.
    FolioLock = "lock",
    /// A frame's contents.
    Data = "data",
    /// Ghost: the holders of references to a frame that exist.
    Holders = "holders",
    /// An entry of a page table.
    Pte = "pte",
    /// A slot of the page cache (`i_pages`) with its tags.
    CacheSlot = "cache",
    /// An entry of a file's extent map.
    Extent = "extent",
    /// Ghost: the newest completed contents of a page of a file.
    Newest = "newest",
    /// Ghost: what fsync promised of a page of a file.
    Promised = "promised",
    /// Ghost: what of a page of a file was lost with an error on record.
    Excused = "excused",
    /// Ghost: what was newest when a sync call that is under way began.
    Asked = "asked",
    /// A block's state and owner.
    BlockState = "block",
    /// A block's contents as the device returns them.
    BlockData = "disk",
    /// A block's contents that survive a power loss until the next cache flush.
    BlockDurable = "durable",
    /// An entry of a TLB.
    Tlb = "tlb",
    /// A processor's interrupt state.
    CpuState = "cpu",
    /// A mapping's state (mapped, permissions, locked).
    VmaState = "vma",
    /// An address space's state.
    MmState = "mm",
    /// A file's size.
    Size = "i_size",
    /// A file's error sequence and counters.
    FileState = "file",
    /// A file's layout lease.
    Lease = "lease",
    /// A lock's holder.
    LockState = "lock",
    /// Which locks an agent holds.
    Held = "held",
    /// Which further locks an agent holds.
    HeldMore = "held-more",
    /// Ghost: what an agent holds that is neither a lock nor a page.
    Engaged = "engaged",
    /// A disk's queue and cache state; a pmem device's dev_pagemap.
    DiskState = "disk",
    /// A bio in flight: state and frame.
    Bio = "bio",
    /// A bio in flight: block and completion.
    BioEnd = "bio-end",
    /// The contents that a bio transfers.
    BioData = "bio-data",
    /// The contents over which a bio's checksum was taken.
    BioSum = "bio-sum",
    /// A region's state.
    RegionState = "region",
    /// A region's subscription to the MMU notifier.
    IntervalSub = "interval",
    /// An entry of a device's translation table.
    Xlat = "xlat",
    /// A page that a GUP call returned and nobody has released yet.
    Pinned = "pin",
    /// A pipe's buffer.
    Pipe = "pipe",
    /// A worker's queue.
    Work = "work",
    /// Posts of a named event that nobody has consumed.
    EventState = "event",
    /// How many faults of each kind may still happen.
    Budget = "budget",
    /// Command pages of a driver that are in use.
    CommandPool = "command-pages",
    /// Whether power has been lost.
    Power = "power",
    /// An agent's control state.
    ActorState = "thread",
    /// The last result of an operation.
    OpResult = "result",
    /// The last contents that an operation read.
    OpValue = "value",
    /// Heads of the lists of free frames and blocks.
    FreeList = "free-list",
    /// Ghost: which invariants have been broken so far.
    Verdict = "verdict",
    /// Ghost: how many versions were written, where programs go round for ever.
    Versions = "versions",
    /// A file's counter of pins (under `--pin mapping-counter` only).
    MappingPins = "pins",
}

impl Kind {
    /// Facets of the same kind of object form a group, named by its first: their cells lie side
    /// by side.
    pub fn first_of_group(self) -> Kind {
        use Kind::*;
        match self {
            Counts | Flags | Owner | FolioLock | Data | Holders => Counts,
            CacheSlot | Extent | Newest | Promised | Excused => CacheSlot,
            BlockState | BlockData | BlockDurable => BlockState,
            Size | FileState | Lease => Size,
            Bio | BioEnd | BioData | BioSum => Bio,
            Held | HeldMore | Engaged | ActorState => Held,
            OpResult | OpValue => OpResult,
            other => other,
        }
    }
}
