//! What cleaning does with a pinned page.

use super::axis::axis;
use crate::kernel::world::plan::SyncMode;

axis! {
    /// What writeback does with a page of the page cache that may be pinned. Every value but
    /// `ignore` asks the pin axis under the folio lock, once the mappings are write-protected
    /// (B7a): whoever pins for writing after that has to go through page_mkwrite, and for that
    /// lock. Where pins are not counted the answer is no, and every value is `ignore`.
    Writeback {
        /// What it does with any page: write-protect, clean, write (today; kernel-facts 3.1).
        Ignore = "ignore",
        /// Copies the page under the folio lock and writes the copy; the page stays dirty (claims
        /// 9-13; for filesystems with checksums Jan Kara wanted clear_page_dirty_for_io() to hand
        /// out the copy, December 2018). A transfer of a device may fall into the copy.
        Bounce = "bounce",
        /// The same, but the block layer makes the copy, when the folio has been unlocked
        /// (`__blk_queue_bounce`, as for ext3's metadata on DIF/DIX disks; claims 1-4, 10): what
        /// the folio lock keeps out may fall into the copy as well, and the checksum of a
        /// filesystem is older than the copy.
        BounceLate = "bounce-late",
        /// Never writes a page while it is pinned, be it for cleaning or for integrity: the page
        /// stays dirty, and fsync, msync and sync_file_range return 0 without having written it
        /// (claims 14-17, 21).
        Skip = "skip",
        /// Cleaning skips it; integrity (fsync, msync, sync_file_range) writes a copy that the
        /// block layer makes, and the page is clean afterwards (Jan Kara, 9 July 2018, and the
        /// five patches of 9 February 2023, of which the two about reclaim were merged).
        SkipBounce = "skip-bounce",
        /// Waits for the last pin to be released, be it for cleaning or for integrity, with the
        /// folio lock held (John Hubbard's `wait_for_dma_pinned_to_clear`, July 2018, in
        /// page_mkclean(), which runs under that lock; there cleaning skipped).
        Wait = "wait",
        /// The driver has to stop the device and give the page back; then the page is written. Who
        /// pins without a driver that can be asked, and whose driver does not answer, is waited
        /// for, as with `wait`.
        Revoke = "revoke",
    }
}

/// What a pass does with a folio that may be pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pinned {
    /// The same as with any other; nobody asks.
    Write,
    /// Writes a copy.
    Bounce(Bounce),
    /// Leaves it dirty.
    Skip,
    /// Waits for the last pin to be released.
    Wait,
    /// Asks the drivers to give it back, then waits for the rest.
    Revoke,
}

/// How a copy is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bounce {
    /// Under the folio lock; else in the block layer, after the unlock.
    pub locked: bool,
    /// The page stays dirty.
    pub stays_dirty: bool,
}

impl Writeback {
    /// What a pass in this mode does with a folio that may be pinned.
    pub fn pinned(self, mode: SyncMode) -> Pinned {
        let bounce = |locked, stays_dirty| Pinned::Bounce(Bounce { locked, stays_dirty });
        match (self, mode) {
            (Writeback::Ignore, _) => Pinned::Write,
            (Writeback::Bounce, _) => bounce(true, true),
            (Writeback::BounceLate, _) => bounce(false, true),
            (Writeback::Skip, _) | (Writeback::SkipBounce, SyncMode::Cleaning) => Pinned::Skip,
            (Writeback::SkipBounce, SyncMode::Integrity) => bounce(false, false),
            (Writeback::Wait, _) => Pinned::Wait,
            (Writeback::Revoke, _) => Pinned::Revoke,
        }
    }
}
