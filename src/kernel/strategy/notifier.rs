//! What a device with an MMU notifier does when a range goes away.

use super::axis::axis;

axis! {
    /// What a device with an MMU notifier does in invalidate_range_start.
    Notifier {
        /// It does not listen: hardware that faults pages in, but whose driver never subscribed
        /// ("anything that does ODP without support for mmu notifier", claim 43).
        None = "none",
        /// It tears its translations down before it returns (claim 45).
        Sync = "sync",
        /// It returns first and tears down afterwards (claims 44, 45: too late).
        Late = "late",
        /// As sync, but the command to the device needs an allocation, and what it returns is
        /// ignored: if it fails, the device goes on translating (claims 49-52; mlx5 as of 6.17).
        MayFail = "may-fail",
        /// As may-fail, but the failure is passed up and blocks the caller (claim 54): munmap,
        /// mremap, madvise, mprotect, fork and a COW fault fail with ENOMEM and leave the pages
        /// mapped; reclaim and migration leave the page alone. Truncate, hole punch and
        /// page_mkclean have nobody to tell (`unmap_mapping_range`, `folio_mkclean` return no
        /// error, i_size is on record by then): they begin again until it works, with their locks
        /// held.
        Abort = "abort",
        /// The driver keeps a couple of command pages, allocated and mapped beforehand, so that
        /// neither can fail (claim 53). All its devices share them: a callback that finds them all
        /// in use sleeps, or gives up where it must not (mlx5 has one such page, under
        /// `xlt_emergency_page_mutex`, which is allocated beforehand but not mapped).
        Prealloc = "prealloc",
    }
}

/// Command pages that the driver keeps under `prealloc`: "pre-allocate and pre-map couple pages".
pub const COMMAND_PAGES: u16 = 2;

impl Notifier {
    /// Whether the command that zaps translations needs a page that may not be had.
    pub fn allocates(self) -> bool {
        matches!(self, Notifier::MayFail | Notifier::Abort)
    }

    /// Whether the command takes one of the driver's own pages.
    pub fn pools(self) -> bool {
        self == Notifier::Prealloc
    }

    /// Whether a callback that may block passes its failure up.
    pub fn passes_up(self) -> bool {
        self == Notifier::Abort
    }
}
