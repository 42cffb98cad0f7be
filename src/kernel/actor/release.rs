//! Releasing what a GUP call returned.

use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{Pinned, RefType};
use crate::kernel::world::need::Need;
use crate::kernel::world::page::Holder;
use crate::kernel::world::plan::{Context, Redirty};
use crate::kernel::world::{Frame, Id, Slot, SlotPage};

/// Releases all pages of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Release {
    slot: Slot,
    dirty: bool,
    how: Redirty,
}

impl Release {
    /// Releases all pages of a slot. Returns 0.
    pub fn new(slot: Slot, dirty: bool, how: Redirty, _context: Context) -> Release {
        Release { slot, dirty, how }
    }
}

impl Machine for Release {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "unpin_user_pages", Cost::Atomic)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        for at in cx.map.slot_pages[self.slot.index()].clone().map(SlotPage) {
            let pinned = cx.get::<Pinned>(at);
            let Some(frame) = Frame::unpack(pinned.frame_bits()) else { continue };
            if self.dirty && self.how != Redirty::Plain && !cx.flags(frame).dirty() {
                cx.mark_dirty(frame);
            }
            cx.set(at, Pinned::new());
            if pinned.kind() == RefType::Pin {
                let refs = cx.strategy.pin.grab(0).refs;
                cx.hold(frame, Holder::Pin, -1);
                cx.put_refs(frame, refs);
            } else {
                cx.drop_ref(frame);
            }
        }
        Next::Return(0)
    }
}
