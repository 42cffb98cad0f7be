//! Zapping page table entries, in one step.

use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Pte;
use crate::kernel::world::{Cpu, FilePage, VPage};

/// `unmap_mapping_range` and `zap_page_range`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Zap {
    /// All mappings of pages of a file.
    File(FilePage, u32),
    /// A range of one mapping.
    Range(VPage, u32),
}

impl Zap {
    /// All mappings of `pages` pages of a file.
    pub fn file(first: FilePage, pages: u32, _even_cows: bool) -> Zap {
        Zap::File(first, pages)
    }
    /// `pages` pages of a mapping.
    pub fn range(first: VPage, pages: u32) -> Zap {
        Zap::Range(first, pages)
    }
}

impl Machine for Zap {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }
    fn label(self) -> Label {
        Label::new("", "zap_page_range", Cost::Walk)
    }
    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let map = cx.map.clone();
        let pages: Vec<VPage> = match self {
            Zap::Range(first, pages) => (0..pages).map(|n| first.plus(n)).collect(),
            Zap::File(first, pages) => {
                (0..pages).flat_map(|n| map.rmap(first.plus(n)).collect::<Vec<_>>()).collect()
            }
        };
        for at in pages {
            let pte = cx.get::<Pte>(at);
            let Some(frame) = pte.frame().filter(|_| pte.present()) else { continue };
            cx.set_pte(at, Pte::new());
            for cpu in (0..map.plan.cpus).map(Cpu) {
                cx.tlb_drop(cpu, at);
            }
            if pte.dirty() && !cx.flags(frame).pmem() {
                cx.mark_dirty(frame);
            }
            cx.map_page(frame, -1);
        }
        Next::Return(0)
    }
}
