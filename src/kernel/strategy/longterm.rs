//! Who may take a long-term pin.

use super::axis::axis;

axis! {
    /// Who may take a long-term pin (FOLL_LONGTERM).
    Longterm {
        /// Everybody (get_user_pages_longterm did not exist before 4.15).
        Allow = "allow",
        /// Nobody on a mapping of a DAX file: EOPNOTSUPP (2bb6d2837083, 4.15; claim 39).
        RefuseDax = "refuse-dax",
        /// As refuse-dax, and beyond it no writing long-term pin of a shared mapping of a file that
        /// needs dirty tracking: EFAULT (writable_file_mapping_allowed and reject_file_backed,
        /// 6.5).
        RefuseFile = "refuse-file",
    }
}

/// Why a long-term pin is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The mapping shows a DAX file.
    Dax,
    /// It would write to a file whose stores are tracked.
    DirtyTracked,
}

impl Longterm {
    /// Whether a long-term pin of a mapping is refused (`check_vma_flags`). `dax`: it shows a DAX
    /// file; `tracked_write`: the pin writes, and the mapping is shared, writable, and of a file
    /// that tracks stores (`vma_needs_dirty_tracking`).
    pub fn refuses(self, dax: bool, tracked_write: bool) -> Option<Refused> {
        match self {
            Longterm::RefuseDax | Longterm::RefuseFile if dax => Some(Refused::Dax),
            Longterm::RefuseFile if tracked_write => Some(Refused::DirtyTracked),
            _ => None,
        }
    }

    /// Whether GUP-fast leaves writing long-term pins of file pages other than tmpfs to the slow
    /// path (`reject_file_backed` in `gup_fast_folio_allowed`).
    pub fn rejects_files(self) -> bool {
        self == Longterm::RefuseFile
    }
}
