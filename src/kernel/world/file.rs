//! Facets of files: slots of the page cache, sizes, error states, leases.

use super::cell::{Facet, Field, Kind, RefKind};
use super::ids::*;
use super::objects::{facet, small};
use bitfield_struct::bitfield;

/// A slot of the page cache (of a DAX file: an entry of its tree), with its tags.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct CacheSlot {
    /// The frame, packed.
    #[bits(28)]
    pub frame_bits: u32,
    /// PAGECACHE_TAG_DIRTY
    pub tag_dirty: bool,
    /// PAGECACHE_TAG_TOWRITE
    pub tag_towrite: bool,
    /// PAGECACHE_TAG_WRITEBACK
    pub tag_writeback: bool,
    /// The lock bit of a DAX entry.
    pub dax_locked: bool,
    /// Truncate waits for references to the page: it gets no new pin (`--truncate wait-flag`), or
    /// cannot be faulted in (`block-refault`).
    pub barred: bool,
    /// Ghost: who holds it, packed.
    #[bits(30)]
    pub dax_owner: u32,
    /// The buffer of this page of a larger folio is not mapped any more, for the page was punched
    /// out of it (`discard_buffer`, ext4): nothing of it is written until the filesystem is told of
    /// a write.
    pub unmapped: bool,
}
facet!(CacheSlot of FilePage {
    frame_bits: frame, tag_dirty: flag, tag_towrite: flag, tag_writeback: flag, dax_locked: flag,
    barred: flag, unmapped: flag,
});

impl CacheSlot {
    /// The frame.
    #[inline]
    pub fn frame(self) -> Option<Frame> {
        Frame::unpack(self.frame_bits())
    }
}

/// A file's size.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Size {
    /// `i_size`, in bytes.
    #[bits(64)]
    pub bytes: u64,
}
facet!(Size of File { bytes: int, });

/// A file's error state and counters.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct FileState {
    /// `mapping->wb_err`: how many write errors have been recorded.
    #[bits(16)]
    pub wb_err: u16,
    /// How many of them fsync has reported.
    #[bits(16)]
    pub wb_err_seen: u16,
    /// `i_dio_count`: direct I/O in flight on this inode.
    #[bits(13)]
    pub dio_count: u16,
    /// Blocks detached from the file, on the list of busy extents.
    #[bits(13)]
    pub busy: u16,
    /// The last error recorded is ENOSPC; else it is EIO.
    pub wb_nospc: bool,
    /// Seals of a memfd, one bit each ([`Seal::bit`](super::op::Seal::bit)).
    #[bits(4)]
    pub seals: u8,
    /// `i_mmap_writable` is negative (`mapping_deny_writable`).
    pub deny_writable: bool,
}
facet!(FileState of File {
    wb_err: int, wb_err_seen: int, dio_count: int, busy: int, wb_nospc: flag, seals: int,
    deny_writable: flag,
});

small! {
    /// The state of a file's layout lease.
    LeaseState {
        /// Nobody holds one.
        None = "none",
        /// Held.
        Held = "held",
        /// The holder has been asked to let go.
        Breaking = "breaking",
        /// The holder has let go.
        Released = "released",
        /// The holder did not answer in time.
        Broken = "broken",
    }
}

/// A file's layout lease.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Lease {
    /// Its state.
    #[bits(3)]
    pub state: LeaseState,
    /// Its holder, packed.
    #[bits(32)]
    pub holder: u32,
    #[bits(29)]
    __: u32,
}
facet!(Lease of File { state: word, holder: actor, });
