//! Page faults: a stand-in that maps cached pages of shared mappings.

use super::errno::EFAULT;
use super::step::*;
use crate::kernel::world::VPage;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Pte;

/// A page fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fault {
    at: VPage,
    write: bool,
}

impl Fault {
    /// `handle_mm_fault` with mmap_lock held shared by the caller.
    pub fn locked(at: VPage, write: bool) -> Fault {
        Fault { at, write }
    }
}

impl Machine for Fault {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "handle_mm_fault", Cost::Fault)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let cached = cx.map.backing(self.at).and_then(|page| cx.cached(page));
        let Some(frame) = cached else { return Next::Return(-EFAULT) };
        if !cx.get::<Pte>(self.at).present() {
            cx.map_page(frame, 1);
        }
        let pte = Pte::new().with_present(true).with_young(true).with_frame(frame);
        cx.set_pte(self.at, pte.with_writable(self.write).with_dirty(self.write));
        if self.write {
            cx.change_flags(frame, |f| f.with_prepared(true));
            cx.mark_dirty(frame);
        }
        Next::Return(0)
    }
}
