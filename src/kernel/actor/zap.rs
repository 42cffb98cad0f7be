//! Zapping of page table entries.

use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Pte;
use crate::kernel::world::{Cpu, FilePage, VPage};

/// `unmap_mapping_range`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Zap {
    first: FilePage,
    pages: u32,
}

impl Zap {
    /// Unmaps pages of a file everywhere. Returns 0.
    pub fn file(first: FilePage, pages: u32, _even_cows: bool) -> Zap {
        Zap { first, pages }
    }
}

impl Machine for Zap {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "unmap_mapping_range", Cost::Walk)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        for page in (0..self.pages).map(|n| self.first.plus(n)) {
            let found: Vec<VPage> = cx.map.rmap(page).collect();
            for at in found {
                let pte = cx.get::<Pte>(at);
                let Some(frame) = pte.frame().filter(|_| pte.present()) else { continue };
                cx.set_pte(at, Pte::new());
                if pte.dirty() {
                    cx.mark_dirty(frame);
                }
                cx.map_page(frame, -1);
                for cpu in (0..cx.map.plan.cpus).map(Cpu) {
                    cx.tlb_drop(cpu, at);
                }
            }
        }
        Next::Return(0)
    }
}
