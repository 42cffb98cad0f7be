//! Release of pinned pages: a stand-in without folio locks.

use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{Pinned, RefType};
use crate::kernel::world::need::Need;
use crate::kernel::world::page::Holder;
use crate::kernel::world::plan::{Context, Redirty};
use crate::kernel::world::{Frame, Id, Slot, SlotPage};

/// Releases the pages of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Release {
    slot: Slot,
    dirty: bool,
    how: Redirty,
    context: Context,
}

impl Release {
    /// Releases all pages of a slot.
    pub fn new(slot: Slot, dirty: bool, how: Redirty, context: Context) -> Release {
        Release { slot, dirty, how, context }
    }
}

impl Machine for Release {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "unpin_user_page", Cost::Atomic)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let mut pages = cx.map.slot_pages[self.slot.index()].clone().map(SlotPage);
        let held = |at: &SlotPage| cx.get::<Pinned>(*at).kind() != RefType::None;
        let Some(at) = pages.find(held) else { return Next::Return(0) };
        if let Some(frame) = Frame::unpack(cx.get::<Pinned>(at).frame_bits()) {
            if self.dirty && self.how != Redirty::Plain {
                cx.mark_dirty(frame);
            }
            let grab = cx.strategy.pin.grab(cx.flags(frame).order());
            cx.hold(frame, Holder::Pin, -1);
            cx.put_refs(frame, grab.refs);
        }
        cx.set(at, Pinned::new());
        self.into()
    }
}
