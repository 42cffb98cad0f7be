//! Invariants about counts and pins: what the counts say, and what they are asked.

use super::{Hurt, Invariant, Judgement, Premise, Subject, Waits};
use crate::kernel::world::facts::{Fact, FactKind};
use crate::kernel::world::machine::{BlockState, BlockUse, Pinned, RefType};
use crate::kernel::world::objects::{Counts, Flags, Holders, MappingPins, Owner};
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::pins::PinCount;
use crate::kernel::world::{Actor, Block, File, Frame, Kind, SlotPage, World};

/// See its `doc`.
///
/// Re-use needs no case of its own: a block or frame goes through the free list on its way from
/// one owner to the next. A block on the busy-extent list is not free.
///
/// A pin is held once a slot keeps it, which is when somebody may use the page. GUP-fast counts its
/// pin before it looks at the PTE again (F11, F13), and drops it if the entry has changed: such a
/// passing pin is on a page that may be freed under it, and the kernel knows: GUP-fast "will see
/// that the page it took a reference against is no longer mapped in the page tables and bail"
/// (dax_layout_busy_page_range). Should it not bail, the page is free when the slot is filled, and
/// that breaks the rule as well. Pins without a slot (very many of them, taken in one go) are seen
/// where they are more than agents could be about to take.
pub const FREED_WHILE_PINNED: Invariant = Invariant {
    name: "freed-while-pinned",
    hurts: Hurt::System,
    doc: "A frame or a DAX block is freed, and so may be re-used, while a pin on it is held.",
    source: "claims 32, 55-72; dax_layout_busy_page",
    premise: "a pinned page is unmapped or leaves its file",
    arises: Premise::PinTakenAway,
    watches: &[Kind::Flags, Kind::BlockState, Kind::Pinned],
    hears: &[],
    check: freed_while_pinned,
    fatal: false,
};

fn freed_while_pinned(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Wrote { kind, object, old } = subject else { return Judgement::NotAsked };
    if kind == Kind::Pinned {
        return kept_after_free(w, SlotPage(object), Pinned::from_bits(old));
    }
    if kind == Kind::Flags {
        let (frame, before) = (Frame(object), Flags::from_bits(old));
        // A tail page's holders are its head's, which was freed in the same step.
        if before.free() || before.tail() || !w.get::<Flags>(frame).free() {
            return Judgement::NotAsked;
        }
        return broken_if_pinned(w, frame, [w.cell::<Flags>(frame), w.cell::<Counts>(frame)]);
    }
    let (block, before) = (Block(object), BlockState::from_bits(old).state());
    let Some(frame) = w.map.pmem_frame(block) else { return Judgement::NotAsked };
    if before == BlockUse::Free || w.get::<BlockState>(block).state() != BlockUse::Free {
        return Judgement::NotAsked;
    }
    broken_if_pinned(w, frame, [w.cell::<BlockState>(block), w.cell::<Counts>(frame)])
}

fn pinned(w: &World, frame: Frame) -> bool {
    w.get::<Holders>(w.head(frame)).pins() > 0
}

/// Whether a slot keeps a pin of a folio; or there are more pins than could be passing ones.
fn kept(w: &World, head: Frame) -> bool {
    let pins = w.get::<Holders>(head).pins();
    let keeps = |kept: Pinned| {
        let frame = Frame::unpack(kept.frame_bits()).filter(|_| kept.kind() == RefType::Pin);
        frame.is_some_and(|f| w.head(f) == head)
    };
    let mut slots = w.map.slot_pages.iter().flat_map(|pages| pages.clone()).map(SlotPage);
    pins > 0 && (pins > w.map.actors() || slots.any(|at| keeps(w.get(at))))
}

/// A free of a page that nobody has pinned could not have broken the rule.
fn broken_if_pinned(w: &World, frame: Frame, evidence: [u32; 2]) -> Judgement {
    match kept(w, frame) {
        true => Judgement::Broken(evidence),
        false => Judgement::NotAsked,
    }
}

/// A pin that is handed out of a page that had been freed before.
fn kept_after_free(w: &World, at: SlotPage, before: Pinned) -> Judgement {
    let now = w.get::<Pinned>(at);
    let frame = Frame::unpack(now.frame_bits()).filter(|_| now.kind() == RefType::Pin);
    let Some(frame) = frame.filter(|_| before.kind() == RefType::None) else {
        return Judgement::NotAsked;
    };
    let block = w.map.pmem_block(frame).filter(|&b| {
        let free = w.get::<BlockState>(b).state() == BlockUse::Free;
        free && !w.get::<Flags>(frame).removed()
    });
    match (w.get::<Flags>(w.head(frame)).free(), block) {
        (true, _) => Judgement::Broken([w.cell::<Pinned>(at), w.cell::<Flags>(frame)]),
        (_, Some(block)) => Judgement::Broken([w.cell::<Pinned>(at), w.cell::<BlockState>(block)]),
        _ => Judgement::NotAsked,
    }
}

/// See its `doc`.
///
/// The equation holds after every step, transient references included: whoever holds one between
/// two steps (GUP-fast before it looks at the PTE again, mmu_gather between zap and flush, a bio,
/// a batch) is counted in `Holders.refs` or `Holders.pins`. A count is frozen to zero only within
/// one step (`__remove_mapping` under the lock of `i_pages`). The counts of a struct page that was
/// removed with its device say nothing.
pub const COUNT_BALANCE: Invariant = Invariant {
    name: "count-balance",
    hurts: Hurt::System,
    doc: "A folio's refcount, mapcount or pincount disagrees with the holders that exist, or is \
          negative. Holders are the page cache, buffers, page table entries, and references and \
          pins in the hands of agents. The refcount of a free frame is zero. Where a mapping \
          counts pins, its counter is the number of pins on pages of its file.",
    source: "mm/debug.c, page_ref_freeze(); kernel-facts 2.1",
    premise: "a folio's counts or holders change",
    arises: Premise::Checked,
    watches: &[Kind::Counts, Kind::Holders, Kind::Owner, Kind::MappingPins],
    hears: &[],
    check: count_balance,
    fatal: false,
};

fn count_balance(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Wrote { kind, object, old } = subject else { return Judgement::NotAsked };
    let of_mapping = w.rules.pin.of_mapping;
    match kind {
        Kind::MappingPins => return mapping_balance(w, File(object)),
        Kind::Owner if !of_mapping => return Judgement::NotAsked,
        // A page that is freed with its last unpin is no page of its file any more.
        Kind::Owner => {
            let file = w.home(Owner::from_bits(old));
            return file.map_or(Judgement::NotAsked, |file| mapping_balance(w, file));
        }
        _ => {}
    }
    let frame = Frame(object);
    let flags = w.get::<Flags>(frame);
    if frame == ZERO_PAGE || flags.tail() || flags.removed() {
        return Judgement::NotAsked;
    }
    let taken = flags.free() && w.get::<Counts>(frame).refs() != 0;
    if taken || !agrees(w, frame, flags) {
        return Judgement::Broken([w.cell::<Counts>(frame), w.cell::<Holders>(frame)]);
    }
    match of_mapping.then(|| w.home_of(frame)).flatten() {
        Some(file) => mapping_balance(w, file),
        None => Judgement::Holds,
    }
}

/// Whether a folio's counts are what its holders add up to. That is never negative, so that a
/// negative count disagrees with every number of holders, one that has overflown, too.
fn agrees(w: &World, head: Frame, flags: Flags) -> bool {
    let (counts, holders) = (w.get::<Counts>(head), w.get::<Holders>(head));
    let (mapped, base) = match (flags.pmem(), w.rules.mapped_refs) {
        (true, false) => (0, 1),
        _ => (holders.ptes(), 0),
    };
    let pins = i64::from(holders.pins());
    let adds = if pins == 0 { PinCount::default() } else { w.pin_adds(head) };
    let plain = base
        + i64::from(holders.cache())
        + i64::from(holders.private())
        + i64::from(mapped)
        + i64::from(holders.refs());
    i64::from(counts.refs()) == plain + pins * i64::from(adds.refs)
        && i64::from(counts.maps()) == i64::from(mapped) + pins * i64::from(adds.maps)
        && i64::from(counts.pins()) == pins * i64::from(adds.pins)
}

/// The counter of a mapping is the pins on pages of its file, truncated ones included.
fn mapping_balance(w: &World, file: File) -> Judgement {
    let count = w.get::<MappingPins>(file);
    let heads = (0..w.map.frames()).map(Frame).filter(|&f| !w.get::<Flags>(f).tail());
    let held = heads.filter(|&f| w.home_of(f) == Some(file));
    let pins: u32 = held.map(|f| w.get::<Holders>(f).pins()).sum();
    if count.pins() == pins + u32::from(count.adding()) {
        Judgement::Holds
    } else {
        Judgement::Broken([w.cell::<MappingPins>(file); 2])
    }
}

/// See its `doc`.
pub const PIN_MISSED: Invariant = Invariant {
    name: "pin-missed",
    hurts: Hurt::System,
    doc: "The strategy answers \"not pinned\" for a page that is pinned. (A false positive costs \
          something and is counted; only a false negative breaks anything.)",
    source: "folio_maybe_dma_pinned: \"false\" is certain; \
             Documentation/core-api/pin_user_pages.rst",
    premise: "the strategy is asked about a folio that is pinned",
    arises: Premise::Checked,
    watches: &[],
    hears: &[FactKind::PinAsked],
    check: pin_missed,
    fatal: false,
};

fn pin_missed(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Fact(Fact::PinAsked { frame, answer, then }) = subject else {
        return Judgement::NotAsked;
    };
    let head = w.head(frame);
    match (then && pinned(w, head), answer) {
        (false, _) => Judgement::NotAsked,
        (true, true) => Judgement::Holds,
        (true, false) => Judgement::Broken([w.cell::<Counts>(head), w.cell::<Holders>(head)]),
    }
}
