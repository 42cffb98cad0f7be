//! What a design costs, counted while it runs.
//!
//! Prices are no part of the state: not hashed, not undone. They mean something in runs that go
//! forward from the first state (a timed run, a replay), and nothing in a search.
//!
//! The world has no clock: prices in nanoseconds, and those of calls that wait, are counted by
//! the [meter](crate::kernel::sim::Meter) of a timed run.

macro_rules! prices {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// A thing that is counted.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Price { $($(#[doc = $doc])+ $name,)+ }

        impl Price {
            /// Every price, in order.
            pub const ALL: &[Price] = &[$(Price::$name,)+];
            /// Number of prices.
            pub const COUNT: usize = Price::ALL.len();
            /// The price of this name.
            pub fn find(name: &str) -> Option<Price> {
                match name { $($label => Some(Price::$name),)+ _ => None }
            }
            /// The name in tables, JSON and CSV.
            pub fn name(self) -> &'static str {
                match self { $(Price::$name => $label,)+ }
            }
            /// The manual entry: what is counted, and in which unit.
            pub fn doc(self) -> &'static str {
                match self { $(Price::$name => concat!($($doc, "\n",)+),)+ }
            }
        }
    };
}

prices! {
    /// Pages pinned (each page of each call).
    Pins = "pins",
    /// Pages unpinned.
    Unpins = "unpins",
    /// Page faults that were handled, those of GUP as well (`min_flt` and `maj_flt`).
    Faults = "faults",
    /// Those of them that did not find their page in the page cache, or allocated a block of a DAX
    /// file (VM_FAULT_MAJOR: `maj_flt`).
    MajorFaults = "major-faults",
    /// Atomic operations on counts and bits of pages and mappings, by GUP calls and the release of
    /// what they took.
    PinAtomics = "pin-atomics",
    /// Locks taken by pin and unpin on account of the count alone.
    PinLocks = "pin-locks",
    /// Pages that GUP-fast pinned.
    FastHits = "fast-hits",
    /// Pages that GUP-fast gave up on, so that the slow path had to take them.
    FastMisses = "fast-misses",
    /// Lookups of a structure beside `struct page`, on account of a pin or of asking for one.
    SideLookups = "side-lookups",
    /// Lookups of a dev_pagemap by GUP-fast.
    PgmapLookups = "pgmap-lookups",
    /// Allocations that the design needs and another does not.
    Allocs = "allocs",
    /// Those of them in a context that must not sleep.
    AtomicAllocs = "atomic-allocs",
    /// Bytes allocated for pinned pages, all pins together.
    PinBytes = "pin-bytes",
    /// Pages taken off an LRU list or put back, on account of a pin.
    LruMoves = "lru-moves",
    /// Page-table entries looked at by reverse mapping to answer whether a page is pinned.
    RmapPtes = "rmap-ptes",
    /// Times that the answer was "maybe pinned" for a page without a pin.
    FalsePinned = "false-pinned",
    /// Highest refcount that a page reached.
    RefsPeak = "refs-peak",
    /// Pages copied into a bounce page before they were written.
    BouncePages = "bounce-pages",
    /// Bytes copied into bounce pages.
    BounceBytes = "bounce-bytes",
    /// Times that a pass of writeback left a dirty page alone because it was pinned.
    Skipped = "skipped",
    /// Waiters woken by the end of a pin.
    Wakes = "wakes",
    /// Those of them that found they had to go on waiting.
    FalseWakes = "false-wakes",
    /// Calls of the filesystem from a context that must not sleep.
    AtomicCallbacks = "atomic-callbacks",
    /// Pins refused by the design.
    RefusedPins = "refused-pins",
    /// Transfers ended by force.
    KilledTransfers = "killed-transfers",
    /// Translations pointed at another page while a device used them.
    Redirected = "redirected",
    /// System calls and page faults that failed because of a pin (not only of a fault injected).
    FailedCalls = "failed-calls",
    /// Invalidations begun again because a callback had failed and the caller may not fail.
    NotifierRetries = "notifier-retries",
    /// Interrupts that TLB flushes sent to other processors and waited for.
    Ipis = "ipis",
    /// System calls that a signal ended while they waited.
    Interrupted = "interrupted",
    /// System calls that waited for the end of a pin, a transfer, a notifier's section or a
    /// lease, or for what somebody held who did.
    BlockedCalls = "blocked-calls",
    /// The longest that one of them waited in this way, in simulated nanoseconds.
    BlockedNs = "blocked-ns",
    /// The longest truncate or hole punch, in simulated nanoseconds.
    TruncateNs = "truncate-ns",
    /// The longest that a block was neither free nor part of a file, in simulated nanoseconds.
    BusyBlockNs = "busy-block-ns",
    /// The longest that a page of a file stayed tagged dirty (what a crash would have lost), in
    /// simulated nanoseconds.
    DirtyAgeNs = "dirty-age-ns",
    /// Time that callers of MMU notifiers waited in them, all waits together, in simulated
    /// nanoseconds.
    NotifierNs = "notifier-ns",
}

impl Price {
    /// Whether it is the greatest value seen, rather than a sum.
    pub fn is_peak(self) -> bool {
        matches!(
            self,
            Price::RefsPeak
                | Price::BlockedNs
                | Price::TruncateNs
                | Price::BusyBlockNs
                | Price::DirtyAgeNs
        )
    }

    /// Whether it is harm that a design does by refusing, ending or making wait, rather than work
    /// that it does.
    pub fn is_harm(self) -> bool {
        matches!(
            self,
            Price::RefusedPins
                | Price::KilledTransfers
                | Price::Redirected
                | Price::FailedCalls
                | Price::Interrupted
                | Price::BlockedCalls
                | Price::BlockedNs
        )
    }
}

/// The counts of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prices([u64; Price::COUNT]);

impl Default for Prices {
    fn default() -> Prices {
        Prices([0; Price::COUNT])
    }
}

impl Prices {
    /// What has been counted.
    pub fn get(&self, price: Price) -> u64 {
        self.0[price as usize]
    }

    /// Counts `n` more.
    #[inline]
    pub fn add(&mut self, price: Price, n: u64) {
        let slot = &mut self.0[price as usize];
        *slot = slot.wrapping_add(n);
    }

    /// Keeps the greatest value seen.
    #[inline]
    pub fn peak(&mut self, price: Price, value: u64) {
        let slot = &mut self.0[price as usize];
        *slot = (*slot).max(value);
    }

    /// Adds another count: greatest values stay the greatest, all others are summed.
    pub fn merge(&mut self, other: &Prices) {
        for &price in Price::ALL {
            match price.is_peak() {
                true => self.peak(price, other.get(price)),
                false => self.add(price, other.get(price)),
            }
        }
    }
}
