//! A page of the pin protocol in one word, and what parts of the state add to the fingerprint.

use crate::engine::hash::mix;

/// A part of the state, and what it adds to the fingerprint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hashed<T> {
    pub(super) is: T,
    pub(super) hash: u64,
}

impl Hashed<Page> {
    #[inline]
    pub(super) fn page(is: Page) -> Hashed<Page> {
        Hashed { is, hash: mix(is.0) }
    }
}

impl Hashed<u16> {
    #[inline]
    pub(super) fn pc(agent: usize, is: u16) -> Hashed<u16> {
        Hashed { is, hash: mix(1 << 63 | (agent as u64) << 32 | u64::from(is)) }
    }
}

/// One page, its page-table entry and its block on disk, in one word: five numbers of a byte
/// each, flags, the owner of the lock, and the page's number.
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
}
