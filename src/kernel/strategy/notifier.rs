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
    }
}
