//! Fork and COW: who keeps the page.

use super::axis::axis;

axis! {
    /// What fork does with a pinned anonymous page.
    Fork {
        /// It is shared read-only like any other: the next store of either side copies, and the pin may
        /// end up on the other side's page (before 5.9).
        Share = "share",
        /// If the mm has pins (MMF_HAS_PINNED) and the page may be pinned, the child gets a copy at once
        /// (70e806e4e645, 5.9; under write_protect_seq since 57efa1fe5957, 5.11).
        CopyPinned = "copy-pinned",
    }
}

axis! {
    /// When a store to a write-protected anonymous page may reuse it.
    CowReuse {
        /// When nobody else maps it: mapcount 1 (before 5.8: reuse_swap_page looks at map and swap counts).
        Mapcount = "mapcount",
        /// When nobody else references it: refcount 1 (09854ba94c6a, 5.9).
        Refcount = "refcount",
        /// When PageAnonExclusive is set, or refcount is 1 (5.19).
        Exclusive = "exclusive",
    }
}
