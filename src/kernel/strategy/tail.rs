//! The bytes between the end of a file and the end of its last page.

use super::axis::axis;
use crate::kernel::world::plan::FsKind;

axis! {
    /// What growing a file does with the old last page's bytes beyond the old end.
    EofTail {
        /// Nothing: what an mmap store left there becomes readable (ext4 until 6.12; seen on 6.1).
        Keep = "keep",
        /// They are zeroed and the page is dirtied (c7fc0366c656, 6.13, and stable kernels of
        /// January 2025; seen on ext4 6.18).
        Zero = "zero",
    }
}

impl EofTail {
    /// Whether growing a file of this kind zeroes the old tail. xfs (`xfs_zero_range`) and btrfs
    /// (`btrfs_cont_expand`) always have, tmpfs does not (seen on 6.18); the value decides for
    /// the others.
    pub fn zeroes(self, fs: FsKind) -> bool {
        match fs {
            FsKind::Xfs | FsKind::Btrfs => true,
            FsKind::Tmpfs => false,
            FsKind::Ext4 | FsKind::Dax => self == EofTail::Zero,
        }
    }
}
