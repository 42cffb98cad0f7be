//! Invariants about counts and pins: what the counts say, and what they are asked.

use super::{Hurt, Invariant, Judgement, Premise, Subject, Waits};
use crate::kernel::world::facts::{Fact, FactKind};
use crate::kernel::world::machine::{BlockState, BlockUse};
use crate::kernel::world::objects::{Counts, Flags, Holders};
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::{Actor, Block, Frame, Kind, World};

/// See its `doc`.
///
/// Re-use needs no case of its own: a block or frame goes through the free list on its way from
/// one owner to the next. A block on the busy-extent list is not free. A reference that is taken
/// after the free (GUP-fast, before it looks at the PTE again) does not break the rule: nothing
/// was freed under it.
pub const FREED_WHILE_PINNED: Invariant = Invariant {
    name: "freed-while-pinned",
    hurts: Hurt::System,
    doc: "A frame or a DAX block is freed, and so may be re-used, while a pin on it is held.",
    source: "claims 32, 55-72; dax_layout_busy_page",
    premise: "a pinned page is unmapped or leaves its file",
    arises: Premise::PinTakenAway,
    watches: &[Kind::Flags, Kind::BlockState],
    hears: &[],
    check: freed_while_pinned,
    fatal: false,
};

fn freed_while_pinned(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Wrote { kind, object, old } = subject else { return Judgement::NotAsked };
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

/// A free of a page that nobody has pinned could not have broken the rule.
fn broken_if_pinned(w: &World, frame: Frame, evidence: [u32; 2]) -> Judgement {
    if w.get::<Holders>(frame).pins() > 0 {
        Judgement::Broken(evidence)
    } else {
        Judgement::NotAsked
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
          pins in the hands of agents. The refcount of a free frame is zero.",
    source: "mm/debug.c, page_ref_freeze(); kernel-facts 2.1",
    premise: "a folio's counts or holders change",
    arises: Premise::Checked,
    watches: &[Kind::Counts, Kind::Holders],
    hears: &[],
    check: count_balance,
    fatal: false,
};

fn count_balance(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Wrote { object, .. } = subject else { return Judgement::NotAsked };
    let frame = Frame(object);
    let flags = w.get::<Flags>(frame);
    if frame == ZERO_PAGE || flags.tail() || flags.removed() {
        return Judgement::NotAsked;
    }
    if w.get::<Counts>(frame) == expected(w, frame, flags) {
        Judgement::Holds
    } else {
        Judgement::Broken([w.cell::<Counts>(frame), w.cell::<Holders>(frame)])
    }
}

/// The counts that the holders of a folio add up to. They are never negative, so that a negative
/// count disagrees with every number of holders.
fn expected(w: &World, head: Frame, flags: Flags) -> Counts {
    let holders = w.get::<Holders>(head);
    let (mapped, base) = match (flags.pmem(), w.rules.mapped_refs) {
        (true, false) => (0, 1),
        _ => (holders.ptes(), 0),
    };
    let (pin_refs, pin_count) =
        if flags.order() == 0 { (w.rules.pin_refs, 0) } else { w.rules.pin_large };
    let plain = base
        + i32::from(holders.cache())
        + i32::from(holders.private())
        + i32::from(mapped)
        + i32::from(holders.refs());
    Counts::new()
        .with_refs(plain + i32::from(holders.pins()) * pin_refs)
        .with_maps(mapped as i16)
        .with_pins(holders.pins() * pin_count)
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
    let Subject::Fact(Fact::PinAsked { frame, answer }) = subject else {
        return Judgement::NotAsked;
    };
    let head = w.head(frame);
    match (pinned(w, head), answer) {
        (false, _) => Judgement::NotAsked,
        (true, true) => Judgement::Holds,
        (true, false) => Judgement::Broken([w.cell::<Counts>(head), w.cell::<Holders>(head)]),
    }
}
