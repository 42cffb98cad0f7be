//! Flushing TLBs, in one step on every processor.

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
    /// Flushes `pages` pages from `first` on.
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
        let cpus = cx.map.plan.cpus;
        for at in (0..self.pages).map(|n| self.first.plus(n)) {
            for cpu in (0..cpus).map(Cpu) {
                cx.tlb_drop(cpu, at);
            }
            cx.update::<Pte>(at, |p| p.with_stale(false));
        }
        Next::Return(0)
    }
}
