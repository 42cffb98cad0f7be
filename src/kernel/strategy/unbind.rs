//! How GUP-fast and device removal meet.

use super::axis::axis;

axis! {
    /// How GUP-fast and the removal of a DAX device meet.
    Unbind {
        /// They do not: GUP-fast takes references on whatever the PTE names (claim 97). No release
        /// was like that: get_dev_pagemap (5c2c2587b132) came in 4.5 with the devmap entries that
        /// need it; before, DAX entries were pte_special, of which GUP takes nothing.
        Unguarded = "unguarded",
        /// At a devmap PTE GUP-fast takes a live reference on dev_pagemap first, which fails once
        /// removal has begun; but removal waits for nobody who took a page in time: it kills, puts
        /// and removes in one go (4.5 to 5.1; devm_memremap_pages_release).
        LiveRefNoWait = "live-ref-nowait",
        /// The same live reference, and removal waits: for live references, and for references to
        /// single pages, the last of which drops pgmap->ref (claims 90, 95, 98; 50f44ee7248a, 5.2,
        /// to 5.17; what the mails of 2021 argue about).
        LiveRef = "live-ref",
        /// The same live reference, and removal waits for live references, but no longer for pages:
        /// it drops their shares of pgmap->ref all at once (27674ef6c73f, 5.18, to 6.16).
        LiveRefOnly = "live-ref-only",
        /// GUP-fast keeps its ordinary rule and takes no live reference: it is "designed like the
        /// hardware's walk", and the TLB invalidate that removal does when it takes the pages out
        /// of the page tables "serialises against both" (claims 91, 92). Removal unmaps every file,
        /// flushes, waits for references to single pages, and for nothing else. Literally true
        /// only where the flush interrupts every processor and waits for its answer.
        TlbSerialise = "tlb-serialise",
        /// The driver tells the filesystem to unmap all its DAX files; whoever comes again goes
        /// through the slow path, which sees that the device is dying (claim 99). GUP-fast takes no
        /// live reference; removal waits for walks under way and for references to single pages.
        UnmapRefault = "unmap-refault",
        /// A mapped DAX page holds a real reference, so that the ordinary rule (get unless zero,
        /// re-read the PTE) suffices; removal unmaps first (6.15 to 6.17).
        MappingRef = "mapping-ref",
    }
}

impl Unbind {
    /// Whether GUP takes a live reference on dev_pagemap before it trusts a devmap PTE
    /// (`get_dev_pagemap`).
    pub fn takes_live_ref(self) -> bool {
        matches!(self, Unbind::LiveRef | Unbind::LiveRefNoWait | Unbind::LiveRefOnly)
    }
}

/// What removing a device does before its struct pages go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Removal {
    /// Waits until every section with interrupts off that had begun before is over.
    pub waits_irqs: bool,
    /// Tells the filesystem to unmap its files (MF_MEM_PRE_REMOVE, 6.7).
    pub unmaps: bool,
    /// The filesystem does so under each file's invalidate_lock, which no fault gets past: a fault
    /// that found the device alive cannot map a page after the unmapping.
    pub locks_faults: bool,
    /// Waits for live references (`pgmap->ref`).
    pub waits_live: bool,
    /// Waits for references to single pages, because each used page holds `pgmap->ref`.
    pub waits_pages: bool,
}

impl Unbind {
    /// What the removal of a device does under this design.
    ///
    /// Up to 5.1 `devm_memremap_pages_release` kills the reference, puts every page and calls
    /// `arch_remove_memory`; who still has a page is waited for only afterwards, when the request
    /// queue goes (`pmem_release_queue`). What lies between is `mem_hotplug_begin`, since 4.13 a
    /// percpu_rwsem whose writer waits for a grace period of RCU-sched, and so for every GUP-fast
    /// that had begun: by luck, not by design. 5.2 made removal wait (50f44ee7248a): each pfn is
    /// put, a page's last put drops `pgmap->ref`, and that reaches zero only after the grace period
    /// in which percpu_ref_kill leaves per-cpu mode. From 5.18 on removal drops all pages'
    /// references together (`percpu_ref_put_many`) and waits for live references alone, as
    /// `live-ref-only` and `mapping-ref` do here. `unmap-refault` and `tlb-serialise` are of 2021:
    /// the wait for pages is that of their day. How the filesystem unmaps, claim 99 does not say;
    /// here it keeps faults out, as every caller of `unmap_mapping_range` does that relies on it.
    pub fn removal(self) -> Removal {
        let killed = Removal {
            waits_irqs: true,
            unmaps: false,
            locks_faults: false,
            waits_live: false,
            waits_pages: false,
        };
        let unmapped = Removal { unmaps: true, locks_faults: true, waits_pages: true, ..killed };
        match self {
            Unbind::Unguarded => Removal { waits_irqs: false, ..killed },
            Unbind::LiveRefNoWait => killed,
            Unbind::LiveRefOnly => Removal { waits_live: true, ..killed },
            Unbind::LiveRef => Removal { waits_live: true, waits_pages: true, ..killed },
            Unbind::TlbSerialise => Removal { waits_irqs: false, ..unmapped },
            Unbind::UnmapRefault => unmapped,
            Unbind::MappingRef => Removal { unmaps: true, waits_live: true, ..killed },
        }
    }
}
