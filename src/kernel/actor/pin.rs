//! GUP calls.

use super::errno::EFAULT;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{Pinned, RefType};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Pte;
use crate::kernel::world::page::Holder;
use crate::kernel::world::plan::PinCall;
use crate::kernel::world::{Frame, Slot, VPage};

/// FOLL flags of a GUP call.
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
}

impl PinPages {
    /// Takes references to mapped pages into a slot. Returns how many, or -errno.
    pub fn new(first: VPage, pages: u32, slot: Slot, flags: GupFlags) -> PinPages {
        PinPages { first, pages, slot, flags }
    }
}

impl Machine for PinPages {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "get_user_pages", Cost::Walk)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        for n in 0..self.pages {
            let pte = cx.get::<Pte>(self.first.plus(n));
            let usable = pte.present() && (pte.writable() || !self.flags.write);
            let Some(frame) = pte.frame().filter(|_| usable) else { return Next::Return(-EFAULT) };
            let pinned = Pinned::new()
                .with_write(self.flags.write)
                .with_frame_bits(Frame::pack(Some(frame)))
                .with_generation(cx.page(frame).generation);
            let at = cx.map.slot_page(self.slot, n);
            if self.flags.call.is_pin() {
                let grab = cx.strategy.pin.grab(0);
                cx.add_refs(frame, grab.refs);
                cx.hold(frame, Holder::Pin, 1);
                cx.set(at, pinned.with_kind(RefType::Pin));
            } else {
                cx.take_ref(frame);
                cx.set(at, pinned.with_kind(RefType::Get));
            }
        }
        Next::Return(self.pages as i32)
    }
}
