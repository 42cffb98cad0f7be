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
    }
}

impl Unpin {
    /// What the releasing driver does.
    pub fn redirty(self) -> Redirty {
        match self {
            Unpin::Plain => Redirty::Plain,
            Unpin::SetDirty => Redirty::SetDirty,
            Unpin::SetDirtyLock => Redirty::SetDirtyLock,
        }
    }
}
