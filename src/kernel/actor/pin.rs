//! The entry of every GUP call, and what it means to take and to drop what GUP takes.
//!
//! Not modelled: FOLL_NOWAIT, huge pages, secretmem, and the migration of long-term
//! pinned pages out of movable zones (there are no zones).

use super::errno::{EBUSY, EFAULT, EINVAL, EOPNOTSUPP};
use super::gup_fast::GupFast;
use super::gup_slow::GupSlow;
use super::step::*;
use crate::kernel::strategy::longterm::Refused;
use crate::kernel::strategy::pin::{ENTRY_BYTES, PRIVATE_BYTES};
use crate::kernel::strategy::{Guard, Pin, Truncate};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::machine::{DiskState, Pinned, RefType};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{CacheSlot, Counts, MappingPins, MmState, Owner};
use crate::kernel::world::page::{Holder, ZERO_PAGE};
use crate::kernel::world::pins::PinCount;
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
            PinCall::GetForce => "get_user_pages_remote(FOLL_FORCE)",
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
        let says = watched && cx.strategy.keeps(Guard::HasPinned);
        if says && !cx.get::<MmState>(mm).has_pinned() {
            cx.update::<MmState>(mm, |m| m.with_has_pinned(true));
        }
        if call.is_fast() && (cx.strategy.pin.fast() || !call.is_pin()) {
            GupFast::new(request, watched).into()
        } else {
            if call.is_fast() {
                cx.prices.add(Price::FastMisses, u64::from(request.pages));
            }
            GupSlow::new(request, 0).into()
        }
    }
}

/// What `check_vma_flags` returns for a long-term pin, as the strategy has it (kernel-facts 1.5):
/// 0, or -EOPNOTSUPP or -EFAULT.
pub fn longterm_refused(cx: &mut Step, dax: bool, tracked: bool, write: bool) -> Ret {
    let Some(refused) = cx.strategy.longterm.refuses(dax, tracked, write) else { return 0 };
    cx.w.prices.add(Price::RefusedPins, 1);
    match refused {
        Refused::Dax | Refused::NoNotifier => -EOPNOTSUPP,
        Refused::DirtyTracked => -EFAULT,
    }
}

/// `try_grab_folio`: takes what a GUP call takes, in one go; the caller knows that the page cannot
/// go away (page-table lock). False: the count is not positive, so that it may have overflown
/// (`try_get_page`), or what the design needs to count a pin could not be allocated (`outcome`).
pub fn grab(cx: &mut Step, frame: Frame, pin: bool, outcome: u8) -> bool {
    if pin && frame == ZERO_PAGE {
        return true; // the zero page is never really pinned
    }
    if !cx.try_get(frame) {
        return false;
    }
    cx.prices.add(Price::PinAtomics, 1);
    cx.hold(frame, Holder::Ref, 1);
    if pin {
        if lacks_structure(cx, cx.strategy.pin, frame) {
            if outcome > 0 {
                cx.fail_allocation();
                cx.drop_ref(frame);
                return false;
            }
            install(cx, frame);
        }
        count_pin(cx, frame);
    }
    true
}

/// Whether a pin of this page needs a structure that does not exist yet: one behind page->private,
/// an entry in a table.
pub fn lacks_structure(w: &World, pin: Pin, frame: Frame) -> bool {
    match pin {
        Pin::PagePrivate => !w.flags(frame).pin_private(),
        Pin::SideTable => w.counts(frame).pins() == 0,
        _ => false,
    }
}

/// Whether truncate, which waits for a page, keeps this reference to it from being taken
/// (`--truncate wait-flag`: a flag on the page, looked at by pins; `wait-pgmap`: the dev_pagemap,
/// looked up by every GUP call, claims 56, 59, 69).
pub fn turned_away(cx: &mut Step, frame: Frame, pin: bool) -> bool {
    let watches = |t: Truncate| matches!(t, Truncate::WaitFlag | Truncate::WaitPgmap);
    if !watches(cx.strategy.truncate) && !watches(cx.strategy.truncate_dax) {
        return false;
    }
    match cx.map.pmem_block(frame) {
        Some(block) if cx.strategy.truncate_dax == Truncate::WaitPgmap => {
            cx.w.prices.add(Price::PgmapLookups, 1);
            cx.get::<DiskState>(cx.map.disk_of(block)).closed() > 0
        }
        _ => {
            let at = cx.get::<Owner>(frame).file_page();
            pin && at.is_some_and(|at| cx.get::<CacheSlot>(at).barred())
        }
    }
}

/// The same where it is the last word: in the slow path.
pub fn refused(cx: &mut Step, frame: Frame, pin: bool) -> bool {
    let refused = turned_away(cx, frame, pin);
    cx.w.prices.add(Price::RefusedPins, u64::from(refused));
    refused
}

/// Puts such a structure, just allocated without sleeping, into its place; if another one is there
/// by now, it is given back. In page->private it takes the place of the filesystem's buffers, which
/// it keeps.
pub fn install(cx: &mut Step, frame: Frame) {
    let pin = cx.strategy.pin;
    let bytes = if pin == Pin::PagePrivate { PRIVATE_BYTES } else { ENTRY_BYTES };
    cx.prices.add(Price::Allocs, 1);
    cx.prices.add(Price::AtomicAllocs, 1);
    if !lacks_structure(cx, pin, frame) && cx.strategy.keeps(Guard::PinInstallOnce) {
        return;
    }
    cx.prices.add(Price::PinBytes, u64::from(bytes));
    if pin == Pin::PagePrivate {
        cx.change_flags(frame, |f| {
            f.with_pin_private(true).with_hidden_buffers(f.buffers()).with_buffers(false)
        });
    }
}

/// F11: turns the plain reference of the caller into a pin, as the strategy counts it, in one step.
pub fn count_pin(cx: &mut Step, frame: Frame) {
    let head = cx.head(frame);
    let adds = cx.pin_adds(head);
    cx.update::<Counts>(head, |c| {
        c.with_refs(c.refs().wrapping_add(adds.refs - 1))
            .with_pins(c.pins().wrapping_add(adds.pins))
            .with_maps(c.maps() + adds.maps)
    });
    match cx.strategy.pin {
        Pin::MappingCounter => {
            let mapping = cx.mapping_of(head);
            if let Some(file) = mapping {
                cx.update::<MappingPins>(file, |m| m.with_pins(m.pins() + 1));
            }
            cx.change_flags(head, |f| f.with_dma_pinned(true));
            cx.prices.add(Price::PinAtomics, 2);
        }
        Pin::SideTable => {
            cx.prices.add(Price::PinLocks, 1);
            cx.prices.add(Price::SideLookups, 1);
        }
        _ => cx.prices.add(Price::PinAtomics, u64::from(adds != PinCount::PLAIN)),
    }
    hold_pin(cx, head);
}

/// The plain reference of the caller is a pin from now on.
pub fn hold_pin(cx: &mut Step, frame: Frame) {
    cx.hold(frame, Holder::Ref, -1);
    cx.hold(frame, Holder::Pin, 1);
    let refs = cx.counts(frame).refs();
    cx.prices.add(Price::Pins, 1);
    cx.prices.peak(Price::RefsPeak, refs as u32 as u64);
}

/// `gup_put_folio`: drops what a GUP call took; the last reference frees the folio. Where a pin
/// takes several steps to release, [`UncountPin`](super::pin_count::UncountPin) does it.
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
    let adds = cx.pin_adds(head);
    cx.hold(frame, Holder::Pin, -1);
    cx.prices.add(Price::Unpins, 1);
    cx.prices.add(Price::PinAtomics, 1);
    if adds != PinCount::PLAIN && adds.refs == 1 {
        // A structure that somebody else has thrown away takes no more counts.
        let lost = cx.strategy.pin == Pin::PagePrivate && !cx.flags(head).pin_private();
        let pins = if lost { 0 } else { adds.pins };
        cx.update::<Counts>(head, |c| {
            c.with_pins(c.pins().wrapping_sub(pins)).with_maps(c.maps() - adds.maps)
        });
    }
    uncount(cx, head);
    cx.put_refs(head, adds.refs);
}

/// What else a design does when a pin goes.
fn uncount(cx: &mut Step, head: Frame) {
    match cx.strategy.pin {
        Pin::PagePrivate => {
            let flags = cx.flags(head);
            if flags.pin_private() && cx.counts(head).pins() == 0 {
                cx.change_flags(head, |f| {
                    f.with_buffers(f.hidden_buffers())
                        .with_pin_private(false)
                        .with_hidden_buffers(false)
                });
            }
            cx.prices.add(Price::PinAtomics, 1);
        }
        // The mapping that the page has now: none, if it has been truncated.
        Pin::MappingCounter => {
            let mapping = cx.mapping_of(head);
            if let Some(file) = mapping {
                cx.update::<MappingPins>(file, |m| m.with_pins(m.pins().saturating_sub(1)));
            }
            cx.prices.add(Price::PinAtomics, 1);
        }
        Pin::SideTable => {
            cx.prices.add(Price::PinLocks, 1);
            cx.prices.add(Price::SideLookups, 1);
        }
        Pin::SqueezeHmm if cx.flags(head).pmem() => {
            cx.prices.add(Price::SideLookups, 1);
            cx.prices.add(Price::PinAtomics, 1);
        }
        Pin::PageCounter | Pin::SqueezeHmm | Pin::Mapcount => {
            cx.prices.add(Price::PinAtomics, 1);
        }
        Pin::None | Pin::RefcountBias | Pin::FolioPincount | Pin::OffLru | Pin::FakeVma => {}
    }
}

/// Releases page `n` of a slot and empties it.
pub fn put_kept(cx: &mut Step, at: SlotPage) {
    let kept = cx.get::<Pinned>(at);
    cx.set(at, Pinned::new());
    if let Some(frame) = Frame::unpack(kept.frame_bits()) {
        put(cx, frame, kept.kind() == RefType::Pin);
    }
}
