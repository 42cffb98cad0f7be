//! Facets of memory: frames, page tables, TLBs, mappings.
//!
//! Each type here is one cell: a bit field in 64 bits. References to objects are packed with 0
//! as none.

use super::cell::{Facet, Field, Kind, RefKind};
use super::contents::Contents;
pub use super::file::{CacheSlot, FileState, Lease, LeaseState, Size};
use super::ids::*;
pub use super::pins::MappingPins;
use bitfield_struct::bitfield;
use std::hash::{Hash, Hasher};

/// Defines an enumeration that fits into a bit field.
macro_rules! small {
    ($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $vdoc:literal])+ $variant:ident = $label:literal,)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        #[repr(u8)]
        pub enum $name { #[default] $($(#[doc = $vdoc])+ $variant,)+ }

        impl $name {
            /// Every value, in order of its bits.
            pub const ALL: &[$name] = &[$($name::$variant,)+];
            /// The word that a trace shows.
            pub fn label(self) -> &'static str {
                match self { $($name::$variant => $label,)+ }
            }
            /// The bits of the field.
            pub const fn into_bits(self) -> u8 { self as u8 }
            /// The reverse of `into_bits`; bits that no value has cannot occur.
            pub const fn from_bits(bits: u8) -> $name {
                $name::ALL[bits as usize % $name::ALL.len()]
            }
        }
    };
}
pub(crate) use small;

/// Makes a bit field a facet, and says how a trace shows its fields.
macro_rules! facet {
    ($name:ident of $id:ty { $($field:ident: $how:ident,)* }) => {
        impl Facet for $name {
            const KIND: Kind = Kind::$name;
            type Of = $id;
            #[inline]
            fn pack(self) -> u64 { self.into_bits() }
            #[inline]
            fn unpack(bits: u64) -> $name { $name::from_bits(bits) }
            #[allow(unused_variables, reason = "a facet may have no fields to show")]
            fn fields(self, put: &mut dyn FnMut(&'static str, Field)) {
                $(put(stringify!($field), facet!(@$how self.$field()));)*
            }
        }
    };
    (@flag $v:expr) => { Field::Flag($v) };
    (@int $v:expr) => { Field::Int($v as i64) };
    (@word $v:expr) => { Field::Word($v.label()) };
    (@frame $v:expr) => { Field::Ref(RefKind::Frame, $v.checked_sub(1)) };
    (@block $v:expr) => { Field::Ref(RefKind::Block, $v.checked_sub(1)) };
    (@file_page $v:expr) => { Field::Ref(RefKind::FilePage, $v.checked_sub(1)) };
    (@vpage $v:expr) => { Field::Ref(RefKind::VPage, $v.checked_sub(1)) };
    (@actor $v:expr) => { Field::Ref(RefKind::Actor, $v.checked_sub(1)) };
}
pub(crate) use facet;

/// Makes a facet of a whole word of contents.
macro_rules! contents_facet {
    ($($(#[doc = $doc:literal])+ $name:ident of $id:ty;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        pub struct $name(pub Contents);

        impl Facet for $name {
            const KIND: Kind = Kind::$name;
            type Of = $id;
            #[inline]
            fn pack(self) -> u64 { self.0.bits() }
            #[inline]
            fn unpack(bits: u64) -> $name { $name(Contents::from_bits(bits)) }
            fn fields(self, put: &mut dyn FnMut(&'static str, Field)) {
                put("", Field::Bytes(self.0.bits()));
            }
        }
    )+};
}

contents_facet! {
    /// What a frame holds.
    Data of Frame;
    /// Ghost: what the last completed write left of a page of a file, wherever it is now.
    Newest of FilePage;
    /// Ghost: what of a page of a file a successful fsync has promised to survive a crash.
    Promised of FilePage;
    /// Ghost: what of a page of a file could not be written, and was put on record as an error
    /// that fsync reports.
    Excused of FilePage;
    /// Ghost: what of a page of a file was newest when a thread's sync call under way began: what
    /// it will have promised if it succeeds.
    Asked of AskedPage;
    /// What a block device returns for a block.
    BlockData of Block;
    /// What a block holds after a power loss, unless its cache has been flushed since
    /// ([`BlockState::epoch`](super::machine::BlockState)).
    BlockDurable of Block;
    /// What a bio has transferred so far; from the start, for a bounced bio.
    BioData of Tag;
    /// What the checksum of a bio was taken over.
    BioSum of Tag;
    /// What an operation read last.
    OpValue of OpId;
}

/// A folio's counts (`_refcount`, `_mapcount` + 1, `_pincount`), in the head frame.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Counts {
    /// `page_ref_count()`, pins of base pages included in steps of 1024 where the strategy does so.
    #[bits(32)]
    pub refs: i32,
    /// `page_mapcount()`: page table entries that map the folio.
    #[bits(16)]
    pub maps: i16,
    /// The count of pins where the design keeps one beside the reference: `folio_pincount`, exact,
    /// for larger folios only; or a count in struct page, in a structure behind it, in a table.
    #[bits(16)]
    pub pins: u16,
}
facet!(Counts of Frame { refs: int, maps: int, pins: int, });

/// A folio's flags, order and generation.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Flags {
    /// PG_dirty
    pub dirty: bool,
    /// PG_writeback
    pub writeback: bool,
    /// PG_uptodate
    pub uptodate: bool,
    /// PG_referenced
    pub referenced: bool,
    /// PG_lru: on an LRU list.
    pub lru: bool,
    /// PG_active
    pub active: bool,
    /// PG_reclaim
    pub reclaim: bool,
    /// PG_swapbacked
    pub swapbacked: bool,
    /// PG_mlocked
    pub mlocked: bool,
    /// PG_private: the filesystem's private data (buffers) is attached.
    pub buffers: bool,
    /// The filesystem has reserved or allocated what the next writeback of this page needs
    /// (delalloc, COW broken) since the last one. Real as EXTENT_DELALLOC in btrfs.
    pub prepared: bool,
    /// PageAnonExclusive
    pub exclusive: bool,
    /// PG_reserved: the zero page.
    pub zero_page: bool,
    /// A frame of a pmem device.
    pub pmem: bool,
    /// On the free list of the page allocator.
    pub free: bool,
    /// The struct page has been removed with its device.
    pub removed: bool,
    /// A tail page of a larger folio.
    pub tail: bool,
    /// How many frames back the head is (tail pages only).
    #[bits(9)]
    pub head_offset: u16,
    /// log2 of the folio's pages (head only).
    #[bits(4)]
    pub order: u8,
    /// Bumped each time the frame is freed.
    #[bits(16)]
    pub generation: u16,
    /// PageDmaPinned: a page of this mapping has been pinned (`--pin mapping-counter`); the page is
    /// off its LRU list for the time of its pins (`--pin off-lru`).
    pub dma_pinned: bool,
    /// page->private leads to the structure in which pins are counted (`--pin page-private`).
    pub pin_private: bool,
    /// That structure keeps the filesystem's buffers until the last unpin.
    pub hidden_buffers: bool,
    /// The processor in whose batch the page waits to be put on its LRU list, + 1. Kept under
    /// `--pin off-lru` only, where it makes a difference.
    #[bits(8)]
    pub batch: u8,
    /// pmem: the block is on the list of busy extents, and the last reference to the page takes it
    /// off (`--truncate busy-extents`).
    pub delayed_free: bool,
    /// PG_checked: btrfs has queued work that will prepare the page for writeback
    /// (`btrfs_writepage_cow_fixup`).
    pub checked: bool,
    #[bits(5)]
    __: u32,
}
facet!(Flags of Frame {
    dirty: flag, writeback: flag, uptodate: flag, referenced: flag, lru: flag, active: flag,
    reclaim: flag, swapbacked: flag, mlocked: flag, buffers: flag, prepared: flag,
    exclusive: flag, free: flag, removed: flag, dma_pinned: flag, pin_private: flag,
    hidden_buffers: flag, batch: int, delayed_free: flag, checked: flag, order: int,
    generation: int,
});

small! {
    /// What `page->mapping` and index of a frame say.
    OwnerKind {
        /// Nobody: in the hands of the kernel thread that allocated it, or detached.
        None = "none",
        /// On the free list; `link` is the next free frame + 1.
        Free = "free",
        /// A page of a file: `page->mapping` set; `link` is the file page + 1.
        File = "file",
        /// Was a page of a file: truncated, `page->mapping` is NULL, the index is kept.
        Detached = "detached",
        /// Anonymous memory; `link` is the virtual page + 1 for which it was allocated.
        Anon = "anon",
        /// A neighbour's; `link` is the actor + 1.
        Neighbour = "neighbour",
    }
}

/// Who owns a frame.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Owner {
    /// What kind of owner.
    #[bits(3)]
    pub kind: OwnerKind,
    /// Which one: see [`OwnerKind`].
    #[bits(32)]
    pub link: u32,
    #[bits(29)]
    __: u32,
}
facet!(Owner of Frame { kind: word, link: int, });

impl Owner {
    /// The page of the file that this frame caches; none if it is detached or something else.
    #[inline]
    pub fn file_page(self) -> Option<FilePage> {
        (self.kind() == OwnerKind::File).then(|| FilePage(self.link().wrapping_sub(1)))
    }

    /// An owner of a kind with its link.
    pub fn of(kind: OwnerKind, link: u32) -> Owner {
        Owner::new().with_kind(kind).with_link(link)
    }
}

/// The folio lock (PG_locked) with its owner.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct FolioLock {
    /// Who holds it, packed.
    #[bits(32)]
    pub owner: u32,
    #[bits(32)]
    __: u32,
}
facet!(FolioLock of Frame { owner: actor, });

/// Ghost: the holders of a folio that exist, counted where they come and go (a slot of the page
/// cache is filled, a PTE is set, an agent takes a reference), not where the counts change.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Holders {
    /// References of the page cache (one per page of the folio).
    #[bits(10)]
    pub cache: u16,
    /// The filesystem's private data (buffers).
    pub private: bool,
    /// Page table entries.
    #[bits(15)]
    pub ptes: u16,
    /// Plain references in the hands of agents, bios and pipes.
    #[bits(16)]
    pub refs: u32,
    /// Pins: FOLL_PIN, or what was meant as one where the strategy counts none. More than the 2^21
    /// that the counting bias leaves room for.
    #[bits(22)]
    pub pins: u32,
}

impl Holders {
    /// The largest number of plain references that can be told apart; a count that goes below zero
    /// wraps around to it and is found out of balance.
    pub const MOST_REFS: u32 = (1 << Holders::REFS_BITS) - 1;
    /// The same for pins.
    pub const MOST_PINS: u32 = (1 << Holders::PINS_BITS) - 1;
    /// The same for page table entries.
    pub const MOST_PTES: u16 = (1 << Holders::PTES_BITS) - 1;
}
facet!(Holders of Frame { cache: int, private: flag, ptes: int, refs: int, pins: int, });

/// An entry of a page table.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Pte {
    /// Maps a frame.
    pub present: bool,
    /// Allows stores.
    pub writable: bool,
    /// Written through since it was cleaned.
    pub dirty: bool,
    /// Accessed.
    pub young: bool,
    /// pte_special: no struct page to be used.
    pub special: bool,
    /// pte_devmap: a page of a dev_pagemap.
    pub devmap: bool,
    /// A migration entry: the page is being moved.
    pub migration: bool,
    /// Ghost: cleared or write-protected, and the TLBs have not been flushed for it yet.
    pub stale: bool,
    /// The frame, packed.
    #[bits(28)]
    pub frame_bits: u32,
    #[bits(28)]
    __: u32,
}
facet!(Pte of VPage {
    present: flag, writable: flag, dirty: flag, young: flag, special: flag, devmap: flag,
    migration: flag, stale: flag, frame_bits: frame,
});

impl Hash for Pte {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.frame().hash(state);
        state.write_u64(self.with_frame_bits(0).into_bits());
    }
}

impl Pte {
    /// The frame that a present entry maps (or a migration entry names).
    #[inline]
    pub fn frame(self) -> Option<Frame> {
        Frame::unpack(self.frame_bits())
    }

    /// The same entry for another frame.
    #[inline]
    pub fn with_frame(self, frame: Frame) -> Pte {
        self.with_frame_bits(Frame::pack(Some(frame)))
    }
}

/// An entry of a TLB: a copy of a PTE that may be stale.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Tlb {
    /// The virtual page, packed; 0 is an empty slot.
    #[bits(28)]
    pub vpage_bits: u32,
    /// The frame, packed.
    #[bits(28)]
    pub frame_bits: u32,
    /// Allows stores.
    pub writable: bool,
    /// Knows that the PTE is dirty.
    pub dirty: bool,
    /// Ghost: the frame's generation when the entry was loaded, modulo 64.
    #[bits(6)]
    pub generation: u8,
}
facet!(Tlb of TlbSlot { vpage_bits: vpage, frame_bits: frame, writable: flag, dirty: flag, });

/// A processor.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct CpuState {
    /// Who runs with interrupts off on it, packed.
    #[bits(32)]
    pub irq_off: u32,
    #[bits(32)]
    __: u32,
}
facet!(CpuState of Cpu { irq_off: actor, });

/// A mapping.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct VmaState {
    /// It exists.
    pub mapped: bool,
    /// VM_READ
    pub read: bool,
    /// VM_WRITE
    pub write: bool,
    /// VM_LOCKED: pages that mlock has locked, one bit each (of the first 16). The kernel splits
    /// the mapping there.
    #[bits(16)]
    pub locked: u16,
    /// Where else the mapping is split, one bit for each page with which a piece begins: what a
    /// fork copied in pieces stays in pieces.
    #[bits(16)]
    pub cuts: u16,
    /// `vma->anon_vma` of a private mapping of a file: it has had a copy of a page, or tried to.
    pub anon_vma: bool,
    /// VM_MAYWRITE is gone: a shared mapping of a memfd that had been sealed against writing.
    pub frozen: bool,
    #[bits(27)]
    __: u64,
}
facet!(VmaState of Vma { mapped: flag, read: flag, write: flag, locked: int, frozen: flag, });

/// An address space.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct MmState {
    /// It exists (a child's does not before the fork).
    pub live: bool,
    /// MMF_HAS_PINNED
    pub has_pinned: bool,
    /// `write_protect_seq`: odd while a fork copies.
    #[bits(14)]
    pub write_protect_seq: u16,
    /// Notifier ranges being invalidated right now (`active_invalidate_ranges`).
    #[bits(16)]
    pub invalidating: u16,
    /// `notifier_subscriptions->invalidate_seq`: odd while an overlapping invalidation runs.
    #[bits(32)]
    pub invalidate_seq: u32,
}
facet!(MmState of Mm {
    live: flag, has_pinned: flag, write_protect_seq: int, invalidating: int, invalidate_seq: int,
});

/// Ghost: how many versions were written, where programs go round for ever; no part of what a
/// state is ([`Ranks`](super::view::Ranks)).
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Versions {
    /// The number of the youngest.
    #[bits(32)]
    pub count: u32,
    #[bits(32)]
    __: u32,
}
facet!(Versions of One { count: int, });
