//! DAX: what counts as idle, and whether an orphaned reference is waited for.

use super::axis::axis;
use crate::kernel::world::objects::Counts;

axis! {
    /// What refcount an unused DAX page has.
    DaxIdle {
        /// A page that nobody uses has refcount 1; mapping it takes no reference. Busy is any other
        /// refcount (fs/dax.c until 6.14: dax_page_refcount / page_ref_count(page) != 1).
        RefcountOne = "refcount-1",
        /// Each mapping holds a real reference, a page that nobody uses has refcount 0; busy is
        /// refcount - mapcount != 0 (38607c62b34b, 6.15: fs/dax: properly refcount fs dax pages).
        MappedRef = "mapped-ref",
    }
}

impl DaxIdle {
    /// The refcount of a page that nobody uses, mappings not counted.
    pub fn idle_refs(self) -> i32 {
        match self {
            DaxIdle::RefcountOne => 1,
            DaxIdle::MappedRef => 0,
        }
    }

    /// Whether somebody uses a page otherwise than by mapping it.
    pub fn busy(self, counts: Counts) -> bool {
        counts.refs() - i32::from(counts.maps()) != self.idle_refs()
    }
}

axis! {
    /// Whether a layout break waits for a reference to a file that no mapping shows any more.
    DaxOrphan {
        /// It is not seen: dax_layout_busy_page_range returns at once unless mapping_mapped()
        /// (until 6.14; seen on 6.1 and 6.12, where the block is freed under the reference).
        Ignore = "ignore",
        /// It is waited for (cee91fa13a8e, 6.15; seen on 6.18).
        Wait = "wait",
    }
}
