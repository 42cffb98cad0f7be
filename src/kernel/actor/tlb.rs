//! TLB flushes.

use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Pte;
use crate::kernel::world::{Cpu, VPage};

/// `flush_tlb_range`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlushTlb {
    first: VPage,
    pages: u32,
}

impl FlushTlb {
    /// Flushes pages of a mapping from every TLB.
    pub fn new(first: VPage, pages: u32) -> FlushTlb {
        FlushTlb { first, pages }
    }
}

impl Machine for FlushTlb {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "flush_tlb_range", Cost::Ipi)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        for at in (0..self.pages).map(|n| self.first.plus(n)) {
            for cpu in (0..cx.map.plan.cpus).map(Cpu) {
                cx.tlb_drop(cpu, at);
            }
            cx.update::<Pte>(at, |p| p.with_stale(false));
        }
        Next::Return(0)
    }
}
