//! What cleaning does with a pinned page.

use super::axis::axis;

axis! {
    /// What writeback does with a pinned page.
    Writeback {
        /// What it does with any page: write-protect, clean, write (today; kernel-facts 3.1).
        Ignore = "ignore",
    }
}
