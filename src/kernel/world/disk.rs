//! Facets of disks: their queues, blocks, the extent maps of files, bios.

use super::cell::{Facet, Field, Kind, RefKind};
use super::ids::*;
use super::objects::{facet, small};
use bitfield_struct::bitfield;

/// A disk: its queue and its volatile cache; for pmem, its `dev_pagemap`.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct DiskState {
    /// Hardware tags in use.
    #[bits(16)]
    pub in_flight: u16,
    /// Number of cache flushes completed.
    #[bits(20)]
    pub epoch: u32,
    /// pmem: life of the dev_pagemap.
    #[bits(3)]
    pub pgmap: PgmapState,
    /// pmem: live references (`pgmap->ref`) beyond the base reference.
    #[bits(16)]
    pub pgmap_refs: u16,
    /// pmem: truncates that have closed the dev_pagemap to new references
    /// (`--truncate-dax wait-pgmap`).
    #[bits(9)]
    pub closed: u16,
}
facet!(DiskState of Disk {
    in_flight: int, epoch: int, pgmap: word, pgmap_refs: int, closed: int,
});

small! {
    /// The life of a `dev_pagemap` (`memunmap_pages`).
    PgmapState {
        /// `percpu_ref_tryget_live` succeeds.
        Live = "live",
        /// `percpu_ref_kill` has run: no new live reference.
        Killed = "killed",
        /// The reference count has reached zero.
        Drained = "drained",
        /// `remove_pages`: there are no struct pages any more.
        Removed = "removed",
    }
}

small! {
    /// The state of a block.
    BlockUse {
        /// Free; `link` is the next free block + 1.
        Free = "free",
        /// Part of a file; `link` is the file page + 1 (of the first owner, if shared).
        Owned = "owned",
        /// On the busy-extent list: neither free nor part of a file.
        Busy = "busy",
        /// Shared by reflink between files.
        Shared = "shared",
    }
}

/// A block of a disk.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct BlockState {
    /// What it is used for.
    #[bits(2)]
    pub state: BlockUse,
    /// By whom: see [`BlockUse`].
    #[bits(28)]
    pub link: u32,
    /// The disk's flush epoch in which it was last written: durable once that epoch has passed.
    #[bits(20)]
    pub epoch: u32,
    /// Number of owners, if shared; of a block that copy-on-write has allocated and that is in no
    /// extent map yet, the I/Os that are to go to it.
    #[bits(8)]
    pub owners: u8,
    #[bits(6)]
    __: u8,
}
facet!(BlockState of Block { state: word, link: int, epoch: int, owners: int, });

small! {
    /// What a file's extent map says of a page.
    ExtentKind {
        /// No block.
        Hole = "hole",
        /// Reserved, to be allocated by writeback.
        Delalloc = "delalloc",
        /// Allocated, reads as zeroes.
        Unwritten = "unwritten",
        /// Allocated and written.
        Written = "written",
    }
}

/// An entry of a file's extent map.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Extent {
    /// What is there.
    #[bits(2)]
    pub kind: ExtentKind,
    /// The block, packed.
    #[bits(28)]
    pub block_bits: u32,
    #[bits(34)]
    __: u64,
}
facet!(Extent of FilePage { kind: word, block_bits: block, });

impl Extent {
    /// The block, if one is allocated.
    #[inline]
    pub fn block(self) -> Option<Block> {
        Block::unpack(self.block_bits())
    }
    /// An allocated block.
    pub fn at(kind: ExtentKind, block: Block) -> Extent {
        Extent::new().with_kind(kind).with_block_bits(Block::pack(Some(block)))
    }
}

small! {
    /// How far a bio is.
    BioStep {
        /// The tag is free.
        Idle = "idle",
        /// The submitter copies the page into a bounce page; the device has not got it yet.
        Bouncing = "bouncing",
        /// Submitted; nothing has looked at the page yet.
        Submitted = "submitted",
        /// The checksum has been taken.
        Summed = "summed",
        /// The first half of the page has been transferred.
        Half = "half",
        /// The whole page has been transferred.
        Transferred = "transferred",
        /// Completed, and whoever waits has not collected it yet.
        Done = "done",
    }
}

small! {
    /// What happens when a bio completes.
    BioKind {
        /// `end_page_writeback` of the frame.
        Writeback = "writeback",
        /// The frame becomes uptodate and is unlocked.
        ReadIn = "read",
        /// Direct read: the disk writes into a user's page; the submitter waits.
        DioRead = "dio-read",
        /// Direct write: the disk reads a user's page; the submitter waits.
        DioWrite = "dio-write",
        /// A flush of the volatile cache; the submitter waits.
        Flush = "flush",
    }
}

/// A bio in flight: how far, what for, and the frame.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Bio {
    /// How far it is.
    #[bits(3)]
    pub step: BioStep,
    /// What for.
    #[bits(3)]
    pub kind: BioKind,
    /// It failed (EIO).
    pub error: bool,
    /// Its data is a private copy (bounce page), not the frame.
    pub bounced: bool,
    /// The frame, packed.
    #[bits(28)]
    pub frame_bits: u32,
    /// The frame's generation when the bio was built.
    #[bits(16)]
    pub generation: u16,
    #[bits(12)]
    __: u16,
}
facet!(Bio of Tag {
    step: word, kind: word, error: flag, bounced: flag, frame_bits: frame,
});

/// A bio in flight: the block, and who waits for it.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct BioEnd {
    /// The block, packed.
    #[bits(28)]
    pub block_bits: u32,
    /// The submitter, packed.
    #[bits(32)]
    pub submitter: u32,
    #[bits(4)]
    __: u8,
}
facet!(BioEnd of Tag { block_bits: block, submitter: actor, });
