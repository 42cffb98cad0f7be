//! Where a pin is counted.

use super::axis::axis;
use crate::kernel::world::objects::Counts;
use crate::kernel::world::plan::PinCall;

axis! {
    /// Where a pin is counted.
    Pin {
        /// Nowhere: a pin is a plain reference (get_page). Asked whether a page is pinned, the
        /// kernel answers no. The kernel of 2018.
        None = "none",
        /// refcount += 1024 for a base page, an exact pincount beside the reference for a larger
        /// folio (try_grab_folio; merged in 5.7, exact for all large folios since 5.18). "Maybe
        /// pinned" is refcount >= 1024 or pincount > 0.
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

impl DioRef {
    /// The GUP call with which direct I/O takes its buffer.
    pub fn call(self) -> PinCall {
        match self {
            DioRef::Get => PinCall::GetFast,
            DioRef::Pin => PinCall::PinFast,
        }
    }
}

/// `GUP_PIN_COUNTING_BIAS`
pub const BIAS: i32 = 1024;

/// What one pin of one page adds to the folio's counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grab {
    /// To the refcount.
    pub refs: i32,
    /// To the pincount.
    pub pins: u16,
}

impl Pin {
    /// What a pin of one page of a folio of this order adds (and an unpin takes away).
    pub fn grab(self, order: u8) -> Grab {
        match (self, order) {
            (Pin::None, _) => Grab { refs: 1, pins: 0 },
            (Pin::FolioPincount, 0) => Grab { refs: BIAS, pins: 0 },
            (Pin::FolioPincount, _) => Grab { refs: 1, pins: 1 },
        }
    }

    /// `folio_maybe_dma_pinned`: "no" must be certain.
    pub fn maybe_pinned(self, counts: Counts, order: u8) -> bool {
        match (self, order) {
            (Pin::None, _) => false,
            (Pin::FolioPincount, 0) => counts.refs() as u32 >= BIAS as u32,
            (Pin::FolioPincount, _) => counts.pins() > 0,
        }
    }
}
