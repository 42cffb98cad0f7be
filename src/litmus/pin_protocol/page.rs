//! The state of the pin protocol in words: one for each page with its pinner, one for the others.

/// Where writeback and truncate stand, in one word: the program counter of writeback, which
/// counts (round, page, step) as one number, what it stands for (divisions saved in every step),
/// and the program counter of truncate. The top bit tells it from pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Control(pub(super) u64);

impl Control {
    const STEP: u32 = 16;
    const PAGE: u32 = 24;
    const TRUNCATE: u32 = 32;

    #[inline]
    pub(super) fn start() -> Control {
        Control(1 << 63)
    }

    /// The program counter of writeback.
    #[inline]
    pub(super) fn writeback(self) -> u16 {
        self.0 as u16
    }

    /// The step of writeback at its present page.
    #[inline]
    pub(super) fn step(self) -> u8 {
        (self.0 >> Self::STEP) as u8
    }

    /// The page that writeback is at.
    #[inline]
    pub(super) fn page(self) -> usize {
        usize::from((self.0 >> Self::PAGE) as u8)
    }

    /// The program counter of truncate.
    #[inline]
    pub(super) fn truncate(self) -> u16 {
        u16::from((self.0 >> Self::TRUNCATE) as u8)
    }

    /// Writeback has gone `steps` on, to a step of a page.
    #[inline]
    pub(super) fn write_back(self, steps: u8, page: usize, step: u8) -> Control {
        let place = (page as u64) << Self::PAGE | u64::from(step) << Self::STEP;
        let kept = self.0 & !(0xffff << Self::STEP);
        Control((kept | place) + u64::from(steps))
    }

    /// Truncate has made a step.
    #[inline]
    pub(super) fn cut(self) -> Control {
        Control(self.0 + (1 << Self::TRUNCATE))
    }
}

/// One page, its page-table entry, its block on disk and its pinner, in one word: five numbers of
/// a byte each, flags, the owner of the lock, the pinner's program counter and the page's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Page(pub(super) u64);

/// Where a number lies in a [`Page`].
#[derive(Clone, Copy)]
pub(super) enum Lane {
    Refcount = 0,
    Pincount = 8,
    Content = 16,
    Snapshot = 24,
    Disk = 32,
}

pub(super) const PTE_WRITABLE: u64 = 1 << 40;
pub(super) const PTE_DIRTY: u64 = 1 << 41;
pub(super) const DIRTY: u64 = 1 << 42;
pub(super) const WRITEBACK_FLAG: u64 = 1 << 43;
pub(super) const IN_CACHE: u64 = 1 << 44;
pub(super) const LOCK_SHIFT: u32 = 46;
const PIN_SHIFT: u32 = 48;
pub(super) const INDEX_SHIFT: u32 = 56;

impl Page {
    #[inline]
    pub(super) fn new(index: usize) -> Page {
        Page(1 << Lane::Refcount as u32 | IN_CACHE | (index as u64) << INDEX_SHIFT)
    }

    #[inline]
    pub(super) fn get(self, lane: Lane) -> u64 {
        self.0 >> lane as u32 & 0xff
    }

    #[inline]
    pub(super) fn set(&mut self, lane: Lane, value: u64) {
        self.0 = self.0 & !(0xff << lane as u32) | (value & 0xff) << lane as u32;
    }

    #[inline]
    pub(super) fn add(&mut self, lane: Lane, n: i64) {
        self.set(lane, self.get(lane).wrapping_add_signed(n));
    }

    #[inline]
    pub(super) fn has(self, flags: u64) -> bool {
        self.0 & flags == flags
    }

    #[inline]
    pub(super) fn raise(&mut self, flags: u64) {
        self.0 |= flags;
    }

    #[inline]
    pub(super) fn clear(&mut self, flags: u64) {
        self.0 &= !flags;
    }

    #[inline]
    pub(super) fn locked(self) -> u8 {
        (self.0 >> LOCK_SHIFT & 3) as u8
    }

    #[inline]
    pub(super) fn lock(&mut self, owner: u8) {
        self.0 = self.0 & !(3 << LOCK_SHIFT) | u64::from(owner) << LOCK_SHIFT;
    }
    /// The program counter of the page's pinner.
    #[inline]
    pub(super) fn pinner(self) -> u16 {
        u16::from((self.0 >> PIN_SHIFT) as u8)
    }

    /// The pinner has made a step.
    #[inline]
    pub(super) fn pin(&mut self) {
        self.0 += 1 << PIN_SHIFT;
    }
}
