//! MADV_FREE: when reclaim may discard a page.

use super::axis::axis;
use crate::kernel::world::objects::Counts;

axis! {
    /// What keeps reclaim from unmapping and discarding a page that MADV_FREE has given up.
    Lazyfree {
        /// That it has been written to: it is dirty, or its entry is. Who holds a reference and has
        /// yet to write is not seen: the page is unmapped, and kept for him alone (802a3a92ad7a,
        /// 4.12, to 5.17).
        Dirty = "dirty",
        /// That, or any reference beyond those of its mappings and of reclaim itself, looked at
        /// after the entry has been cleared (6c8e2a256915, 5.18).
        DirtyOrReferenced = "dirty-or-referenced",
    }
}

impl Lazyfree {
    /// Whether `try_to_unmap_one` discards the page, whose entry it has just cleared; `counts` are
    /// as before the clearing, with reclaim's own reference.
    pub fn discards(self, dirty: bool, counts: Counts) -> bool {
        let referenced = counts.refs() != 1 + i32::from(counts.maps());
        !dirty && (self == Lazyfree::Dirty || !referenced)
    }
}
