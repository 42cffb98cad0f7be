//! Who may take a long-term pin.

use super::axis::axis;

axis! {
    /// Who may take a long-term pin (FOLL_LONGTERM).
    Longterm {
        /// Everybody (get_user_pages_longterm did not exist before 4.15).
        Allow = "allow",
        /// Nobody on a mapping of a DAX file: EOPNOTSUPP (2bb6d2837083, 4.15; claim 39).
        RefuseDax = "refuse-dax",
        /// As refuse-dax, and beyond it no writing long-term pin of a shared mapping of a file that needs
        /// dirty tracking: EFAULT (writable_file_mapping_allowed and reject_file_backed, 6.5).
        RefuseFile = "refuse-file",
    }
}
