//! How GUP-fast and device removal meet.

use super::axis::axis;

axis! {
    /// How GUP-fast and the removal of a DAX device meet.
    Unbind {
        /// They do not: GUP-fast takes references on whatever the PTE names (claim 97; before 4.5).
        Unguarded = "unguarded",
        /// At a devmap PTE GUP-fast takes a live reference on dev_pagemap first, which fails once
        /// removal has begun (claims 90, 95, 98; 4.5 to 6.16).
        LiveRef = "live-ref",
        /// A mapped DAX page holds a real reference, so that the ordinary rule (get unless zero,
        /// re-read the PTE) suffices; removal unmaps first (6.15 to 6.17).
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

/// What removing a device does before its struct pages go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Removal {
    /// Tells the filesystem to unmap its files (MF_MEM_PRE_REMOVE).
    pub unmaps: bool,
    /// Waits for live references (`pgmap->ref`).
    pub waits_live: bool,
    /// Waits for references to single pages, because each used page holds `pgmap->ref`.
    pub waits_pages: bool,
}

impl Unbind {
    /// What the removal of a device does under this design.
    ///
    /// `live-ref` is the kernel of 5.3 to 5.17, about which the mail of 2021 argues: memunmap_pages
    /// does put_page() on every pfn, a page's last put drops pgmap->ref, and the removal waits for
    /// that (50f44ee7248a). Before 5.3, devm_memremap_pages_release killed the reference and
    /// called arch_remove_memory at once; from 5.18 on it drops all pages' references together
    /// (percpu_ref_put_many) and waits for live references alone, as `mapping-ref` does here.
    pub fn removal(self) -> Removal {
        match self {
            Unbind::Unguarded => Removal { unmaps: false, waits_live: false, waits_pages: false },
            Unbind::LiveRef => Removal { unmaps: false, waits_live: true, waits_pages: true },
            Unbind::MappingRef => Removal { unmaps: true, waits_live: true, waits_pages: false },
        }
    }
}
