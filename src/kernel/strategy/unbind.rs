//! How GUP-fast and device removal meet.

use super::axis::axis;

axis! {
    /// How GUP-fast and the removal of a DAX device meet.
    Unbind {
        /// They do not: GUP-fast takes references on whatever the PTE names (claim 97; before 4.5).
        Unguarded = "unguarded",
        /// At a devmap PTE GUP-fast takes a live reference on dev_pagemap first, which fails once removal
        /// has begun (claims 90, 95, 98; 4.5 to 6.16).
        LiveRef = "live-ref",
        /// A mapped DAX page holds a real reference, so that the ordinary rule (get unless zero, re-read
        /// the PTE) suffices; removal unmaps first (6.15 to 6.17).
        MappingRef = "mapping-ref",
    }
}

impl Unbind {
    /// Whether GUP takes a live reference on dev_pagemap before it trusts a devmap PTE
    /// (`get_dev_pagemap`).
    pub fn takes_live_ref(self) -> bool {
        self == Unbind::LiveRef
    }
}
