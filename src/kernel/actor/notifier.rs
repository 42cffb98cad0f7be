//! MMU notifiers.

use super::step::*;
use crate::kernel::world::VPage;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::need::Need;

/// `mmu_notifier_invalidate_range_start`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RangeStart {
    first: VPage,
    pages: u32,
}

impl RangeStart {
    /// Tells subscribers that pages of a mapping are about to change.
    pub fn new(first: VPage, pages: u32, _blockable: bool) -> RangeStart {
        RangeStart { first, pages }
    }
}

impl Machine for RangeStart {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "mmu_notifier_invalidate_range_start", Cost::Step)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        for n in 0..self.pages {
            cx.facts.push(Fact::RangeStarted { at: self.first.plus(n) });
        }
        Next::Return(0)
    }
}

/// `mmu_notifier_invalidate_range_end`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RangeEnd;

impl RangeEnd {
    /// Tells subscribers that the change is over.
    pub fn new(_first: VPage, _pages: u32) -> RangeEnd {
        RangeEnd
    }
}

impl Machine for RangeEnd {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "mmu_notifier_invalidate_range_end", Cost::Step)
    }

    fn step(self, _cx: &mut Step, _outcome: u8) -> Next {
        Next::Return(0)
    }
}
