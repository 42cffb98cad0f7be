//! Where a pin is counted.

use super::axis::axis;

axis! {
    /// Where a pin is counted.
    Pin {
        /// Nowhere: a pin is a plain reference (get_page). Asked whether a page is pinned, the kernel
        /// answers no. The kernel of 2018.
        None = "none",
        /// refcount += 1024 for a base page, an exact pincount beside the reference for a larger folio
        /// (try_grab_folio; merged in 5.7, exact for all large folios since 5.18). "Maybe pinned" is
        /// refcount >= 1024 or pincount > 0.
        FolioPincount = "folio-pincount",
    }
}

axis! {
    /// Which reference direct I/O takes on its buffer.
    DioRef {
        /// A plain reference (iov_iter_get_pages; the page cache's direct I/O until 6.4).
        Get = "get",
        /// FOLL_PIN (iov_iter_extract_pages, 6.5).
        Pin = "pin",
    }
}
