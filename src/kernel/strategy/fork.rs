//! Fork and COW: who keeps the page.

use super::axis::axis;
use crate::kernel::world::objects::Counts;

axis! {
    /// What fork does with a pinned anonymous page.
    Fork {
        /// It is shared read-only like any other: the next store of either side copies, and the pin
        /// may end up on the other side's page (before 5.9).
        Share = "share",
        /// As copy-pinned, but without write_protect_seq: GUP-fast can come between the look at the
        /// count and the write protection (70e806e4e645, 5.9, and 5.10). GUP-fast samples a
        /// sequence that never changes.
        CopyPinnedUnguarded = "copy-pinned-unguarded",
        /// If the mm has pins (MMF_HAS_PINNED) and the page may be pinned, the child gets a copy at
        /// once (70e806e4e645, 5.9; under write_protect_seq since 57efa1fe5957, 5.11).
        CopyPinned = "copy-pinned",
    }
}

axis! {
    /// When a store to a write-protected anonymous page may reuse it.
    CowReuse {
        /// When nobody else maps it: mapcount 1 (before 5.8: reuse_swap_page looks at map and swap
        /// counts).
        Mapcount = "mapcount",
        /// When nobody else references it: refcount 1 (09854ba94c6a, 5.9).
        Refcount = "refcount",
        /// When PageAnonExclusive is set, or refcount is 1 (5.19).
        Exclusive = "exclusive",
    }
}

impl Fork {
    /// Whether fork copies pinned pages, and so GUP says that the address space has pins
    /// (MMF_HAS_PINNED) and meets fork at write_protect_seq.
    pub fn heeds_pins(self) -> bool {
        self != Fork::Share
    }

    /// Whether fork makes write_protect_seq odd while it looks and write-protects.
    pub fn guards(self) -> bool {
        self == Fork::CopyPinned
    }
}

impl CowReuse {
    /// Whether a store to a write-protected anonymous page may reuse it (`do_wp_page`).
    /// `locked`: somebody holds the folio lock, so that a trylock fails.
    pub fn reuses(self, exclusive: bool, counts: Counts, locked: bool) -> bool {
        match self {
            CowReuse::Mapcount => counts.maps() == 1,
            CowReuse::Refcount => counts.refs() == 1 && counts.maps() == 1 && !locked,
            CowReuse::Exclusive => exclusive || (counts.refs() == 1 && !locked),
        }
    }

    /// Whether a read pin of a page that is not exclusive un-shares it first
    /// (`gup_must_unshare`, 5.19).
    pub fn unshares(self) -> bool {
        self == CowReuse::Exclusive
    }
}
