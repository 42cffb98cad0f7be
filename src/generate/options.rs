//! What a made-up scenario may contain. Each seed switches some of it on (swarm testing: Groce et
//! al., ISSTA 2012): a scenario with everything in it is mostly noise, and some races show only
//! where something else is absent.

macro_rules! options {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// Something that a scenario may contain.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum Feature { $($(#[doc = $doc])+ $name,)+ }

        impl Feature {
            /// Every feature.
            pub const ALL: &[Feature] = &[$(Feature::$name,)+];

            /// The word that a title has for it.
            pub fn name(self) -> &'static str {
                match self { $(Feature::$name => $label,)+ }
            }
        }
    };
}

options! {
    /// A file on pmem with a shared mapping.
    Dax = "dax",
    /// A private mapping of the file in the page cache.
    Private = "private",
    /// Loads and stores.
    Touch = "touch",
    /// read(2) and write(2).
    Calls = "calls",
    /// fsync, msync, sync_file_range.
    Sync = "sync",
    /// ftruncate.
    Truncate = "truncate",
    /// Hole punch.
    Punch = "punch",
    /// A flusher.
    Flusher = "flusher",
    /// Reclaim.
    Reclaim = "reclaim",
    /// drop_caches.
    DropCaches = "drop-caches",
    /// Migration.
    Migrate = "migrate",
    /// Short FOLL_PIN pins.
    Pin = "pin",
    /// FOLL_GET references.
    Get = "get",
    /// FOLL_LONGTERM.
    Longterm = "longterm",
    /// Direct I/O.
    Direct = "direct",
    /// A NIC with a pinned region.
    Rdma = "rdma",
    /// A device with a notifier.
    Odp = "odp",
    /// munmap, mremap, mprotect, madvise.
    Maps = "maps",
    /// fork.
    Fork = "fork",
    /// Reflink.
    Reflink = "reflink",
    /// A neighbour who takes what was freed.
    Neighbour = "neighbour",
    /// Power loss.
    Crash = "crash",
    /// A fatal signal.
    Signal = "signal",
    /// Writes that fail.
    IoErrors = "io-errors",
    /// Allocations that fail.
    Enomem = "enomem",
    /// A layout lease.
    Lease = "lease",
    /// Unbind of the pmem device.
    Unbind = "unbind",
    /// Release in an interrupt or by a worker.
    Interrupt = "interrupt",
    /// Drivers that say themselves how a page becomes dirty again, or forget it.
    Forgetful = "forgetful",
    /// A disk with checksums, stable pages, a volatile cache.
    Disk = "disk",
    /// Larger folios.
    Large = "large",
    /// Events that order threads.
    Events = "events",
    /// Repetition.
    Repeat = "repeat",
    /// A program that goes round for ever, and need not come to an end.
    Endless = "endless",
    /// A random sequence of the language that kernels are recorded in (docs/fidelity.md), instead
    /// of machine and programs.
    Sequence = "sequence",
    /// A second one on the same file at the same time.
    Pair = "pair",
}

/// The features of one scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options(pub u64);

impl Options {
    /// Whether a feature is on.
    pub fn has(self, feature: Feature) -> bool {
        self.0 >> feature as u8 & 1 == 1
    }

    /// Switches a feature on or off.
    pub fn set(&mut self, feature: Feature, on: bool) {
        self.0 = self.0 & !(1 << feature as u8) | u64::from(on) << feature as u8;
    }

    /// The same without every feature but these.
    #[must_use]
    pub fn only(self, features: &[Feature]) -> Options {
        let mask = features.iter().fold(0, |mask, &f| mask | 1 << f as u8);
        Options(self.0 & mask)
    }

    /// Those that are on, in order.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.iter().copied().filter(move |&f| self.has(f))
    }
}

impl std::fmt::Display for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.iter().map(Feature::name).collect();
        f.write_str(&names.join(" "))
    }
}

const _: () = assert!(Feature::ALL.len() <= 64);
