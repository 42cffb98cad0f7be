//! Reclaim and the filesystem's private data.

use super::axis::axis;

axis! {
    /// What reclaim does with a pinned page's private data.
    Reclaim {
        /// It looks at no pin: buffers are stripped (release_folio) before the reference freeze
        /// notices the extra reference (before 6.4).
        Strip = "strip",
        /// A page that may be pinned is activated after unmapping (d824ec2a1546, 6.4).
        SkipPinned = "skip-pinned",
    }
}

impl Reclaim {
    /// Whether reclaim asks if a page may be pinned, once it has unmapped it.
    pub fn asks(self) -> bool {
        self == Reclaim::SkipPinned
    }
}

axis! {
    /// What writeback does with a dirty page without buffers.
    NoBuffers {
        /// BUG_ON(!page_has_buffers(page)) in ext4_writepages: the machine stops (before 5.18).
        Bug = "bug",
        /// Warns, clears the dirty flag and skips the page: its data is lost, the machine goes on
        /// (5.18).
        Warn = "warn",
    }
}
