//! What a design costs, counted while it runs.
//!
//! Prices are no part of the state: not hashed, not undone. They mean something in runs that go
//! forward from the first state (a timed run, a replay), and nothing in a search.

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
    /// `nr_foll_pin_acquired`: times that a page was pinned, by attempts that were given up as
    /// well.
    FollPinAcquired = "foll-pin-acquired",
    /// `nr_foll_pin_released`: times that such a pin was dropped.
    FollPinReleased = "foll-pin-released",
    /// Page faults that were handled, those of GUP as well (`min_flt` and `maj_flt`).
    Faults = "faults",
    /// Those of them that did not find their page in the page cache, or allocated a block of a DAX
    /// file (VM_FAULT_MAJOR: `maj_flt`).
    MajorFaults = "major-faults",
    /// Atomic operations on shared cache lines, by pin and unpin.
    PinAtomics = "pin-atomics",
    /// Locks taken by pin and unpin on account of the count alone.
    PinLocks = "pin-locks",
    /// Pages that GUP-fast pinned.
    FastHits = "fast-hits",
    /// Pages that GUP-fast gave up on, so that the slow path had to take them.
    FastMisses = "fast-misses",
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
    /// Times that cleaning passed over a dirty page because it was pinned.
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
    /// System calls that failed because of a pin (not only of a fault injected).
    FailedCalls = "failed-calls",
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
}
