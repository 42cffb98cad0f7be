//! How dirtiness comes back at release.

use super::axis::axis;
use crate::kernel::world::plan::Redirty;

axis! {
    /// How dirtiness comes back when a written pin is released.
    Unpin {
        /// Not at all: the driver forgets.
        Plain = "plain",
        /// set_page_dirty without the folio lock.
        SetDirty = "set-dirty",
        /// set_page_dirty_lock / unpin_user_pages_dirty_lock: under the folio lock, may sleep.
        SetDirtyLock = "set-dirty-lock",
        /// page_mkwrite once more, before the page is dirtied: the filesystem reserves and attaches
        /// what it needs, as after a fault. May sleep, and takes invalidate_lock and the folio lock
        /// (Jerome Glisse, 14 December 2018; claim 86).
        Mkwrite = "mkwrite",
    }
}

impl Unpin {
    /// What the releasing driver does.
    pub fn redirty(self) -> Redirty {
        match self {
            Unpin::Plain => Redirty::Plain,
            Unpin::SetDirty => Redirty::SetDirty,
            Unpin::SetDirtyLock => Redirty::SetDirtyLock,
            Unpin::Mkwrite => Redirty::Mkwrite,
        }
    }
}
