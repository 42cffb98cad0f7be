//! DAX: what counts as idle, and whether an orphaned reference is waited for.

use super::axis::axis;

axis! {
    /// What refcount an unused DAX page has.
    DaxIdle {
        /// A page that nobody uses has refcount 1; mapping it takes no reference. Busy is refcount > 1
        /// (fs/dax.c until 6.14: dax_page_refcount / page_ref_count(page) != 1).
        RefcountOne = "refcount-1",
        /// Each mapping holds a real reference, a page that nobody uses has refcount 0; busy is
        /// refcount - mapcount != 0 (7851bf649d42, 6.15: fs/dax: properly refcount fs dax pages).
        MappedRef = "mapped-ref",
    }
}

axis! {
    /// Whether a layout break waits for a page that left the mapping's tree.
    DaxOrphan {
        /// A reference to a page whose mapping entry is gone is not seen: dax_layout_busy_page scans only
        /// pages with page->mapping set (until 6.14; seen on 6.1 and 6.12).
        Ignore = "ignore",
        /// It is waited for (6.15 and later; seen on 6.18).
        Wait = "wait",
    }
}
