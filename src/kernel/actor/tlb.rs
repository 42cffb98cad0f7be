//! TLB flushes: `flush_tlb_range()`, by interrupts or by a broadcast instruction.

use super::step::*;
use crate::kernel::strategy::Arch;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Pte;
use crate::kernel::world::price::Price;
use crate::kernel::world::{Cpu, VPage, World};

/// `flush_tlb_range()` of pages of one mapping.
///
/// With `ipi-flush` the processors in the address space's mm_cpumask answer one after the other,
/// each when it has interrupts on (`flush_tlb_mm_range`, arch/x86/mm/tlb.c); a caller that gets
/// control back therefore knows that no interrupts-off section that had begun before is still
/// running on them, which is what GUP-fast relies on. With `broadcast-flush` the hardware drops
/// the entries everywhere at once and asks nobody (`__flush_tlb_range`, arm64 TLBI + DSB).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlushTlb {
    first: VPage,
    pages: u32,
    /// So many processors have answered.
    answered: u32,
}

impl FlushTlb {
    /// A flush of `pages` pages from `first` on, all of one mapping. Returns 0.
    pub fn new(first: VPage, pages: u32) -> FlushTlb {
        FlushTlb { first, pages, answered: 0 }
    }

    /// The processor that answers next; none if no processor runs the address space.
    fn target(self, map: &Layout) -> Option<Cpu> {
        map.cpus_of(map.mm_of(self.first)).get(self.answered as usize).copied()
    }
}

/// Drops pages of a mapping from one processor's TLB.
fn drop_range(w: &mut World, cpu: Cpu, first: VPage, pages: u32) {
    for n in 0..pages {
        w.tlb_drop(cpu, first.plus(n));
    }
}

/// Drops one page from the TLB of every processor that can hold it.
pub fn drop_everywhere(w: &mut World, at: VPage) {
    let map = w.map.clone();
    for &cpu in map.cpus_of(map.mm_of(at)) {
        w.tlb_drop(cpu, at);
    }
}

/// Ghost: the kernel believes that no processor translates these pages otherwise than the page
/// table says. Not so for a page that was mapped, cached and cleared again while the flush went
/// round: whoever cleared it then owes a flush of his own.
fn settle(w: &mut World, first: VPage, pages: u32) {
    for at in (0..pages).map(|n| first.plus(n)) {
        let pte = w.get::<Pte>(at);
        if !pte.stale() {
            continue;
        }
        let outlived = (0..w.map.plan.cpus).any(|cpu| {
            w.tlb(Cpu(cpu), at).is_some_and(|entry| {
                !pte.present()
                    || entry.frame_bits() != pte.frame_bits()
                    || (entry.writable() && !pte.writable())
            })
        });
        if !outlived {
            w.set(at, pte.with_stale(false));
        }
    }
}

impl Machine for FlushTlb {
    /// A processor whose interrupts are off does not answer. That holds for the flusher's own
    /// processor as well: while another task keeps interrupts off there, the flusher does not run.
    fn need(self, cx: &Scene) -> Need {
        match (cx.strategy.arch, self.target(&cx.w.map)) {
            (Arch::IpiFlush, Some(cpu)) => Need::IrqsOn(cpu),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        Label::new("", "flush_tlb_range", Cost::Ipi)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let map = cx.map.clone();
        match (cx.strategy.arch, self.target(&map)) {
            (Arch::IpiFlush, Some(cpu)) => {
                let sent = u64::from(cpu != cx.cpu());
                cx.prices.add(Price::Ipis, sent);
                drop_range(cx, cpu, self.first, self.pages);
                let rest = FlushTlb { answered: self.answered + 1, ..self };
                if rest.target(&map).is_some() {
                    return rest.into();
                }
            }
            _ => {
                for n in 0..self.pages {
                    drop_everywhere(cx, self.first.plus(n));
                }
            }
        }
        settle(cx, self.first, self.pages);
        Next::Return(0)
    }
}
