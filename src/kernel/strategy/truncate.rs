//! What truncate and hole punch do with a pinned or busy page.

use super::axis::axis;

axis! {
    /// What truncate and hole punch do with a pinned (page cache) or busy (DAX) page.
    Truncate {
        /// Nothing: the page leaves the file, the pin keeps the frame, the blocks are freed (claim
        /// 32).
        Ignore = "ignore",
        /// Waits for the page to become idle while holding the fault lock (claim 68: deadlock).
        WaitLocked = "wait-locked",
        /// Waits for the page to become idle with the fault lock dropped, retakes it and looks
        /// again (merged for DAX: 4.18 xfs, 4.19 ext4; kernel-facts D1-D6).
        WaitUnlocked = "wait-unlocked",
    }
}

impl Truncate {
    /// Whether invalidate_lock is dropped for the wait.
    pub fn drops_lock(self) -> bool {
        self == Truncate::WaitUnlocked
    }
}
