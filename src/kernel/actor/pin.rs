//! GUP calls: a stand-in that pins what is mapped already.

use super::errno::EFAULT;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{Pinned, RefType};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Pte;
use crate::kernel::world::page::Holder;
use crate::kernel::world::plan::PinCall;
use crate::kernel::world::{Frame, Slot, VPage};

/// Flags of a GUP call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GupFlags {
    /// FOLL_WRITE
    pub write: bool,
    /// FOLL_LONGTERM
    pub longterm: bool,
    /// Which call.
    pub call: PinCall,
}

/// One GUP call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PinPages {
    first: VPage,
    pages: u32,
    slot: Slot,
    flags: GupFlags,
    done: u32,
}

impl PinPages {
    /// Pins `pages` pages from `first` into a slot.
    pub fn new(first: VPage, pages: u32, slot: Slot, flags: GupFlags) -> PinPages {
        PinPages { first, pages, slot, flags, done: 0 }
    }
}

impl Machine for PinPages {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("F9", "try_grab_folio", Cost::Atomic)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let pte = cx.get::<Pte>(self.first.plus(self.done));
        let usable = pte.present() && (pte.writable() || !self.flags.write);
        let Some(frame) = pte.frame().filter(|_| usable) else {
            return Next::Return(if self.done > 0 { self.done as Ret } else { -EFAULT });
        };
        let grab = cx.strategy.pin.grab(cx.flags(frame).order());
        cx.add_refs(frame, grab.refs);
        cx.hold(frame, Holder::Pin, 1);
        let page = cx.page(frame);
        let pinned = Pinned::new()
            .with_kind(RefType::Pin)
            .with_write(self.flags.write)
            .with_longterm(self.flags.longterm)
            .with_frame_bits(Frame::pack(Some(frame)))
            .with_generation(page.generation);
        let at = cx.map.slot_page(self.slot, self.done);
        cx.set(at, pinned);
        match self.done + 1 {
            done if done == self.pages => Next::Return(done as Ret),
            done => PinPages { done, ..self }.into(),
        }
    }
}
