//! What pins do to a folio's counts, and what the counts say.

use super::cell::{Facet, Field, Kind};
use super::door::World;
use super::ids::*;
use super::objects::{facet, *};
use bitfield_struct::bitfield;

/// The counter of pins in a file's address_space (`--pin mapping-counter`).
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct MappingPins {
    /// Pins that were added and not taken away again.
    #[bits(32)]
    pub pins: u32,
    /// Ghost: those of them that are not held yet, for the bit of their page is about to be set.
    #[bits(16)]
    pub adding: u16,
    #[bits(16)]
    __: u16,
}
facet!(MappingPins of File { pins: int, });

/// What one pin adds to a folio's counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PinCount {
    /// To the refcount.
    pub refs: i32,
    /// To the count of pins, wherever the design keeps it.
    pub pins: u16,
    /// To the mapcount of pages of the page cache; anonymous memory and DAX are not counted.
    pub maps: i16,
}

impl PinCount {
    /// A plain reference.
    pub const PLAIN: PinCount = PinCount { refs: 1, pins: 0, maps: 0 };
}

/// How a design counts pins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PinRules {
    /// What a pin adds to the counts of a base page.
    pub small: PinCount,
    /// What a pin of one page adds to the counts of a larger folio.
    pub large: PinCount,
    /// Pins are counted in the address_space.
    pub of_mapping: bool,
    /// The count lies where the links of the LRU list are: pages of devices are not counted.
    pub off_lru: bool,
}

impl World {
    /// What one pin adds to the counts of a folio.
    #[inline]
    pub fn pin_adds(&self, head: Frame) -> PinCount {
        let flags = self.get::<Flags>(head);
        let PinRules { small, large, off_lru, .. } = self.rules.pin;
        let adds = if flags.order() == 0 { small } else { large };
        if adds.maps > 0 && (flags.pmem() || self.get::<Owner>(head).kind() == OwnerKind::Anon) {
            return PinCount { maps: 0, ..adds };
        }
        if off_lru && flags.pmem() { PinCount { pins: 0, ..adds } } else { adds }
    }

    /// Whether a folio's counts say that it may be pinned: the question of
    /// `folio_maybe_dma_pinned` for those who wait for the answer to change. Where the answer takes
    /// a walk of the reverse map, the waiter stands for one who walks again after each unpin, and
    /// the ghost count of entries for what he finds.
    pub fn counts_say_pinned(&self, frame: Frame) -> bool {
        let head = self.head(frame);
        let (adds, counts) = (self.pin_adds(head), self.get::<Counts>(head));
        if adds.pins > 0 {
            counts.pins() > 0
        } else if adds.refs > 1 {
            // A count that has overflown is negative: as unsigned it is large.
            counts.refs() as u32 >= adds.refs as u32
        } else {
            adds.maps > 0 && i32::from(counts.maps()) > i32::from(self.get::<Holders>(head).ptes())
        }
    }

    /// The file on whose counter a page's pins are, while its `page->mapping` is set.
    pub fn mapping_of(&self, frame: Frame) -> Option<File> {
        let at = self.get::<Owner>(self.head(frame)).file_page()?;
        Some(self.map.file_of(at))
    }

    /// The file that a page belongs to, or belonged to before it was truncated: what a structure
    /// that was filed under it is filed under.
    pub fn home_of(&self, frame: Frame) -> Option<File> {
        self.home(self.get::<Owner>(self.head(frame)))
    }

    /// The same of an owner.
    pub fn home(&self, owner: Owner) -> Option<File> {
        match owner.kind() {
            OwnerKind::File | OwnerKind::Detached => {
                Some(self.map.file_of(FilePage(owner.link().wrapping_sub(1))))
            }
            _ => None,
        }
    }
}
