//! The entry of every GUP call, and what it means to take and to drop what GUP takes.
//!
//! Not modelled: FOLL_NOWAIT, huge pages, secretmem, and the migration of long-term
//! pinned pages out of movable zones (there are no zones).

use super::errno::{EBUSY, EINVAL};
use super::fault::{Access, is_shared};
use super::gup_fast::GupFast;
use super::gup_slow::GupSlow;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::machine::{Pinned, RefType};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Counts, MmState, Owner, OwnerKind, VmaState};
use crate::kernel::world::page::{Holder, ZERO_PAGE};
use crate::kernel::world::plan::PinCall;
use crate::kernel::world::price::Price;
use crate::kernel::world::{Frame, Slot, SlotPage, VPage, World};

/// What a GUP call asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GupFlags {
    /// FOLL_WRITE
    pub write: bool,
    /// FOLL_LONGTERM
    pub longterm: bool,
    /// Which function is called: FOLL_PIN or FOLL_GET, fast or slow.
    pub call: PinCall,
}

impl GupFlags {
    /// What a fault is for (`faultin_page`).
    pub fn access(self) -> Access {
        match (self.write, self.call) {
            (true, PinCall::GetForce) => Access::Force,
            (true, _) => Access::Write,
            (false, _) => Access::Read,
        }
    }
}

/// A GUP call: the pages, and the slot that takes what is pinned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Request {
    /// The first page.
    pub first: VPage,
    /// How many.
    pub pages: u32,
    /// Where they are kept.
    pub slot: Slot,
    /// How.
    pub flags: GupFlags,
}

impl Request {
    /// Page `n` of the range; none beyond the mapping in which it begins.
    pub fn page(self, w: &World, n: u32) -> Option<VPage> {
        let vma = w.map.vma_of(self.first);
        let at = self.first.plus(n);
        (at.0 < w.map.vma_pages[vma.0 as usize].end).then_some(at)
    }

    /// Page `n` of the slot.
    pub fn slot_page(self, w: &World, n: u32) -> SlotPage {
        w.map.slot_page(self.slot, n)
    }

    /// Whether a read pin would have to un-share a page (`gup_must_unshare`). `cow`: the mapping is
    /// private; GUP-fast cannot know and asks as if it were.
    pub fn must_unshare(self, cx: &Step, anon: bool, exclusive: bool, cow: bool) -> bool {
        let pins = self.flags.call.is_pin() && !self.flags.write;
        let shared = if anon { !exclusive } else { self.flags.longterm && cow };
        pins && shared && cx.strategy.cow_reuse.unshares()
    }

    /// `can_follow_write_pte`: FOLL_FORCE writes to a page that is exclusively the mapping's own,
    /// which may not be written otherwise.
    pub fn forces(self, cx: &Step, at: VPage, frame: Frame) -> bool {
        let write = cx.get::<VmaState>(cx.map.vma_of(at)).write();
        let own = cx.get::<Owner>(cx.head(frame)).kind() == OwnerKind::Anon;
        let forced = self.flags.call == PinCall::GetForce && !is_shared(cx, at);
        forced && !write && own && cx.flags(frame).exclusive()
    }

    /// Keeps a page that has been taken as page `n` of the slot.
    pub fn keep(self, cx: &mut Step, n: u32, frame: Frame) {
        let GupFlags { write, longterm, call } = self.flags;
        let kept = Pinned::new()
            .with_kind(if call.is_pin() { RefType::Pin } else { RefType::Get })
            .with_write(write)
            .with_longterm(longterm)
            .with_frame_bits(Frame::pack(Some(frame)))
            .with_generation(cx.page(frame).generation);
        let at = self.slot_page(cx, n);
        cx.set(at, kept);
    }
}

/// A GUP call, before its first step. Fills pages 0.. of the slot and returns how many, or
/// -errno if none (kernel-facts 1.5; -EBUSY if the slot still holds pages).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PinPages(Request);

impl PinPages {
    /// A call for `pages` pages from `first` on.
    pub fn new(first: VPage, pages: u32, slot: Slot, flags: GupFlags) -> PinPages {
        PinPages(Request { first, pages, slot, flags })
    }
}

impl Machine for PinPages {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        let name = match self.0.flags.call {
            PinCall::PinFast => "pin_user_pages_fast: mm_set_has_pinned_flag",
            PinCall::PinSlow => "pin_user_pages: mm_set_has_pinned_flag",
            PinCall::GetFast => "get_user_pages_fast",
            PinCall::GetSlow => "get_user_pages",
            PinCall::PinRemote => "pin_user_pages_remote: mm_set_has_pinned_flag",
            PinCall::GetForce => "get_user_pages_remote",
        };
        Label::new("F0", name, Cost::Syscall)
    }

    /// F0: MMF_HAS_PINNED is set before any page is pinned, and never cleared.
    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let PinPages(request) = self;
        let slot = cx.map.slot_pages[request.slot.0 as usize].clone();
        let taken = |&n: &u32| cx.get::<Pinned>(SlotPage(n)).kind() != RefType::None;
        if slot.clone().any(|n| taken(&n)) {
            return Next::Return(-EBUSY);
        }
        if request.pages == 0 || request.pages > slot.len() as u32 {
            return Next::Return(-EINVAL);
        }
        let call = request.flags.call;
        let mm = cx.map.mm_of(request.first);
        let watched = call.is_pin() && cx.strategy.fork.heeds_pins();
        if watched && !cx.get::<MmState>(mm).has_pinned() {
            cx.update::<MmState>(mm, |m| m.with_has_pinned(true));
        }
        if call.is_fast() {
            GupFast::new(request, watched).into()
        } else {
            GupSlow::new(request, 0).into()
        }
    }
}

/// `try_grab_folio`: takes what a GUP call takes, in one go; the caller knows that the page cannot
/// go away (page-table lock). False: the count is not positive.
pub fn grab(cx: &mut Step, frame: Frame, pin: bool) -> bool {
    if pin && frame == ZERO_PAGE {
        return true; // the zero page is never really pinned
    }
    if !cx.try_get(frame) {
        return false;
    }
    cx.hold(frame, Holder::Ref, 1);
    if pin {
        count_pin(cx, frame);
    }
    true
}

/// F11: turns the plain reference of the caller into a pin, as the strategy counts it.
pub fn count_pin(cx: &mut Step, frame: Frame) {
    let head = cx.head(frame);
    let grab = cx.strategy.pin.grab(cx.flags(head).order());
    cx.update::<Counts>(head, |c| {
        c.with_refs(c.refs().wrapping_add(grab.refs - 1)).with_pins(c.pins() + grab.pins)
    });
    cx.hold(frame, Holder::Ref, -1);
    cx.hold(frame, Holder::Pin, 1);
    cx.w.prices.add(Price::FollPinAcquired, 1);
}

/// `gup_put_folio`: drops what a GUP call took; the last reference frees the folio.
pub fn put(cx: &mut Step, frame: Frame, pin: bool) {
    if pin && frame == ZERO_PAGE {
        return;
    }
    cx.facts.push(Fact::StructPageUsed { frame });
    if !pin {
        cx.drop_ref(frame);
        return;
    }
    let head = cx.head(frame);
    let grab = cx.strategy.pin.grab(cx.flags(head).order());
    cx.hold(frame, Holder::Pin, -1);
    cx.w.prices.add(Price::FollPinReleased, 1);
    if grab.pins > 0 {
        cx.update::<Counts>(head, |c| c.with_pins(c.pins().wrapping_sub(grab.pins)));
    }
    cx.put_refs(head, grab.refs);
}

/// Releases page `n` of a slot and empties it.
pub fn put_kept(cx: &mut Step, at: SlotPage) {
    let kept = cx.get::<Pinned>(at);
    cx.set(at, Pinned::new());
    if let Some(frame) = Frame::unpack(kept.frame_bits()) {
        put(cx, frame, kept.kind() == RefType::Pin);
    }
}
