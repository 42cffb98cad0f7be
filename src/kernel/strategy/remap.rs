//! When mremap flushes the old address of what it has moved.

use super::axis::axis;

axis! {
    /// When mremap flushes the old address of the entries that it has moved: until then a
    /// processor may go on with the page through the old address, and whoever finds the entry at
    /// the new one does not know of it.
    RemapFlush {
        /// When all have been moved and the page-table locks are dropped (up to 4.8).
        Late = "late",
        /// Before the lock of the old page table is dropped if one of the entries is dirty, so that
        /// folio_mkclean finds no page that somebody still stores to (5d1904204c99, 4.9); else
        /// afterwards.
        Dirty = "dirty",
        /// Before the locks of both page tables are dropped, so that nobody frees a page that
        /// somebody still reads (eb66ae030829, 4.19; CVE-2018-18281).
        Always = "always",
    }
}

impl RemapFlush {
    /// Whether the flush comes before the page-table locks are dropped; `dirty`: an entry that was
    /// moved is.
    pub fn under_locks(self, dirty: bool) -> bool {
        match self {
            RemapFlush::Late => false,
            RemapFlush::Dirty => dirty,
            RemapFlush::Always => true,
        }
    }
}
