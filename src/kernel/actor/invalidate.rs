//! A device's `mmu_interval_notifier_ops::invalidate` callback.

use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::{Region, VPage};

/// One device's callback for one region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Invalidate {
    region: Region,
}

impl Invalidate {
    /// The callback of `region` for pages of a mapping.
    pub fn new(region: Region, _first: VPage, _pages: u32, _blockable: bool) -> Invalidate {
        Invalidate { region }
    }
}

impl Machine for Invalidate {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "invalidate", Cost::Lock)
    }

    fn step(self, _cx: &mut Step, _outcome: u8) -> Next {
        Next::Return(0)
    }
}
