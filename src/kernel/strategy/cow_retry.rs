//! FOLL_FORCE on a read-only private mapping: how the retry after the copy looks the page up.

use super::axis::axis;

axis! {
    /// How a forced write to a read-only private mapping looks its copy up after the fault.
    CowRetry {
        /// As if it only read (FOLL_WRITE is dropped): whatever page is mapped by then is taken and
        /// written to. If madvise(DONTNEED) has dropped the copy meanwhile, that is a page of the
        /// page cache: Dirty COW, CVE-2016-5195 (f33ea7f404e5, 2.6.13, to 4.8).
        DropWrite = "drop-write",
        /// It goes on asking for write access, and takes a read-only entry only if that shows the
        /// copy: by FOLL_COW and the entry's dirty bit (19be0eaffa3a, 4.9), since 6.0 by
        /// PageAnonExclusive (5535be309971; the dirty bit could be forged with userfaultfd on
        /// shmem, CVE-2022-2590).
        CheckCopy = "check-copy",
    }
}

impl CowRetry {
    /// Whether FOLL_WRITE is dropped once the copy has been made.
    pub fn drops_write(self) -> bool {
        self == CowRetry::DropWrite
    }
}
