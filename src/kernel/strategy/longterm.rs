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
        /// No driver that does not obey page_mkclean gets a page of a file whose stores are
        /// tracked, be it for writing or for reading, and whatever it calls its pin: EOPNOTSUPP.
        /// Devices with an MMU notifier, which pin nothing, get theirs (choice C1; claim 8). The
        /// mail names no error and no exception; private and anonymous memory is left alone here,
        /// because page_mkclean never concerns it.
        NotifierOnly = "notifier-only",
    }
}

/// Why a long-term pin is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The mapping shows a DAX file.
    Dax,
    /// It would write to a file whose stores are tracked.
    DirtyTracked,
    /// The driver would not hear of page_mkclean.
    NoNotifier,
}

impl Longterm {
    /// Whether a long-term pin of a mapping is refused (`check_vma_flags`). `dax`: it shows a DAX
    /// file; `tracked`: it is shared, and of a file that tracks stores
    /// (`vma_needs_dirty_tracking`); `write`: the pin writes, and the mapping may be written to.
    pub fn refuses(self, dax: bool, tracked: bool, write: bool) -> Option<Refused> {
        match self {
            Longterm::Allow => None,
            _ if dax => Some(Refused::Dax),
            Longterm::RefuseFile if tracked && write => Some(Refused::DirtyTracked),
            Longterm::NotifierOnly if tracked => Some(Refused::NoNotifier),
            _ => None,
        }
    }

    /// Whether GUP-fast leaves long-term pins of file pages other than tmpfs to the slow path
    /// (`reject_file_backed` in `gup_fast_folio_allowed`); `write`: FOLL_PIN and FOLL_WRITE.
    pub fn rejects_files(self, write: bool) -> bool {
        match self {
            Longterm::Allow | Longterm::RefuseDax => false,
            Longterm::RefuseFile => write,
            Longterm::NotifierOnly => true,
        }
    }

    /// Whether io_uring has to look by itself at the mappings whose pages it registered, and gives
    /// them back if one shows a file other than tmpfs (`io_pin_pages` until 6.4, since when
    /// `reject_file_backed` does it).
    pub fn leaves_files_to_callers(self) -> bool {
        matches!(self, Longterm::Allow | Longterm::RefuseDax)
    }

    /// Whether what a driver registers counts as long-term even where the driver does not say so.
    pub fn judges_drivers(self) -> bool {
        self == Longterm::NotifierOnly
    }
}
