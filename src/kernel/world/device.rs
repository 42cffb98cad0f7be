//! Facets of DMA devices: regions, their subscriptions, translation tables.

use super::cell::{Facet, Field, Kind, RefKind};
use super::facts::Page;
use super::ids::*;
use super::objects::{facet, small};
use bitfield_struct::bitfield;

small! {
    /// The life of a region.
    RegionUse {
        /// Not registered yet: nobody has been given its key, so that nobody uses it.
        None = "none",
        /// Registered: the device may transfer. With a notifier: subscribed.
        Registered = "registered",
        /// Terminated by the kernel: transfers fail and the program is told.
        Terminated = "terminated",
        /// Deregistered, or registering it has failed: transfers fail.
        Gone = "gone",
    }
}

/// A region of a device.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct RegionState {
    /// Its life.
    #[bits(2)]
    pub state: RegionUse,
    /// Registered for writing.
    pub write: bool,
    /// Being deregistered: no transfer begins any more.
    pub stopping: bool,
    /// A callback has returned and left entries to be torn down (`--notifier late`).
    pub teardown_due: bool,
    /// The virtual page at which it begins, packed.
    #[bits(23)]
    pub first_bits: u32,
    /// Pages registered.
    #[bits(22)]
    pub pages: u32,
    /// Transfers begun and not completed, those that wait for a device page fault included: of
    /// each thread one at most.
    #[bits(14)]
    pub in_flight: u16,
}
facet!(RegionState of Region {
    state: word, write: flag, stopping: flag, teardown_due: flag, first_bits: vpage, pages: int,
    in_flight: int,
});

impl RegionState {
    /// Whether a transfer may begin.
    pub fn usable(self) -> bool {
        self.state() == RegionUse::Registered && !self.stopping()
    }

    /// The virtual page that page `n` of the region shows; none beyond its end, or if it has
    /// never been registered.
    pub fn vpage(self, n: u32) -> Option<VPage> {
        let first = VPage::unpack(self.first_bits())?;
        (n < self.pages()).then(|| first.plus(n))
    }

    /// The pages of the region (numbered from 0) that show virtual pages of a range.
    pub fn overlap(self, first: VPage, pages: u32) -> std::ops::Range<u32> {
        let Some(mine) = VPage::unpack(self.first_bits()) else { return 0..0 };
        let from = first.0.max(mine.0);
        let to = (first.0 + pages).min(mine.0 + self.pages());
        if from < to { from - mine.0..to - mine.0 } else { 0..0 }
    }
}

/// A region's subscription to the notifier of its address space (`mmu_interval_notifier`).
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct IntervalSub {
    /// `interval_sub->invalidate_seq`, as `mmu_interval_set_seq` stored it last.
    #[bits(32)]
    pub seq: u32,
    #[bits(32)]
    __: u32,
}
facet!(IntervalSub of Region { seq: int, });

/// An entry of a device's translation table.
#[bitfield(u64)]
#[derive(PartialEq, Eq, Hash)]
pub struct Xlat {
    /// The device can translate.
    pub valid: bool,
    /// ... for writing.
    pub write: bool,
    /// Redirected to a page of no meaning (the "crappy page"); if not `valid`, to nothing at all:
    /// the device would translate, and the IOMMU does not.
    pub crappy: bool,
    /// The driver has been told that the page left its file.
    pub told: bool,
    /// A notifier callback has named it: to be torn down. The device translates until `valid` is
    /// cleared, the driver keeps the DMA mapping (`frame_bits`) until transfers have drained.
    pub doomed: bool,
    /// The command that should have zapped it has failed, and the driver does not know: as far as
    /// it is concerned there is no such entry.
    pub leaked: bool,
    /// Transfers that hold the translation.
    #[bits(14)]
    pub busy: u16,
    /// The frame, packed.
    #[bits(28)]
    pub frame_bits: u32,
    /// The frame's generation when the entry was made.
    #[bits(16)]
    pub generation: u16,
}
facet!(Xlat of RegionPage {
    valid: flag, write: flag, crappy: flag, told: flag, doomed: flag, leaked: flag, busy: int,
    frame_bits: frame,
});

impl Xlat {
    /// The frame that the entry names (that is DMA-mapped), whether or not the device may use it.
    #[inline]
    pub fn page(self) -> Option<Page> {
        let frame = Frame::unpack(self.frame_bits())?;
        Some(Page { frame, generation: self.generation() })
    }

    /// Whether the IOMMU refuses what the device translates to.
    pub fn iommu_refuses(self) -> bool {
        self.crappy() && !self.valid()
    }

    /// A valid entry for a frame, held by no transfer yet.
    pub fn to(page: Page, write: bool) -> Xlat {
        let frame = Frame::pack(Some(page.frame));
        let entry = Xlat::new().with_valid(true).with_write(write).with_frame_bits(frame);
        entry.with_generation(page.generation)
    }
}
