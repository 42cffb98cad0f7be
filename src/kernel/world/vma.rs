//! The pieces of a mapping: which pages are locked, and where the kernel has split it.

use super::objects::VmaState;

impl VmaState {
    /// Pages whose locking can be told apart.
    pub const LOCKABLE: u32 = 16;

    fn bits_of(first: u32, pages: u32) -> u16 {
        let below = |n: u32| (1u32 << n.min(VmaState::LOCKABLE)) - 1;
        (below(first.saturating_add(pages)) & !below(first)) as u16
    }

    /// Whether any of these pages is locked.
    pub fn any_locked(self, first: u32, pages: u32) -> bool {
        self.locked() & VmaState::bits_of(first, pages) != 0
    }

    /// Locks pages, or unlocks them.
    #[must_use]
    pub fn with_locked_pages(self, first: u32, pages: u32, lock: bool) -> VmaState {
        let bits = VmaState::bits_of(first, pages);
        self.with_locked(if lock { self.locked() | bits } else { self.locked() & !bits })
    }

    /// A bit for each page that is locked differently from the one before it, or where a cut is.
    pub fn edges(self) -> u16 {
        (self.locked() ^ self.locked() << 1) & !1 | self.cuts()
    }

    /// The pages of the piece of a mapping of `pages` pages in which page `n` lies.
    pub fn piece(self, n: u32, pages: u32) -> std::ops::Range<u32> {
        let edges = u32::from(self.edges());
        let is_edge = |p: u32| p < VmaState::LOCKABLE && edges >> p & 1 == 1;
        let from = (1..=n).rev().find(|&p| is_edge(p)).unwrap_or(0);
        let to = (n + 1..pages).find(|&p| is_edge(p)).unwrap_or(pages);
        from..to
    }
}
