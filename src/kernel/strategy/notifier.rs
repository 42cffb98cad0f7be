//! What a device with an MMU notifier does when a range goes away.

use super::axis::axis;

axis! {
    /// What a device with an MMU notifier does in invalidate_range_start.
    Notifier {
        /// It tears its translations down before it returns (claim 45).
        Sync = "sync",
        /// It returns first and tears down afterwards (claims 44, 45: too late).
        Late = "late",
    }
}
