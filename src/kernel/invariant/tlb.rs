//! Invariants about the TLB.

use super::look::maps;
use super::{Hurt, Invariant, Judgement, Premise, Subject, Waits};
use crate::kernel::world::facts::{Fact, FactKind};
use crate::kernel::world::objects::{Pte, Tlb};
use crate::kernel::world::{Actor, Cpu, Kind, VPage, World};

/// See its `doc`.
///
/// Between the change of the entry and the flush (`Pte.stale`) a processor may go on using its
/// copy: the kernel knows that and does not yet rely on the change. After the flush it does.
pub const STALE_TLB: Invariant = Invariant {
    name: "stale-tlb",
    hurts: Hurt::System,
    doc: "A CPU wrote through a translation that the kernel believes gone: the page table no \
          longer allows it, and the flush is done.",
    source: "Documentation/core-api/cachetlb.rst; kernel-facts 1.2 (GUP-fast and the IPI)",
    premise: "a page table entry loses its frame or its write permission while a TLB holds it",
    arises: Premise::Checked,
    watches: &[Kind::Pte],
    hears: &[FactKind::Stored],
    check: stale_tlb,
    fatal: false,
};

fn stale_tlb(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let (at, frame) = match subject {
        Subject::Fact(Fact::Stored { at, frame, through_tlb: true }) => (at, frame),
        Subject::Wrote { object, old, .. } => return outdated(w, VPage(object), old),
        Subject::Fact(_) => return Judgement::NotAsked,
    };
    let pte = w.get::<Pte>(at);
    match maps(pte, frame) && pte.writable() {
        true => Judgement::NotAsked,
        false if pte.stale() => Judgement::Holds,
        false => Judgement::Broken([w.cell::<Pte>(at), w.cell::<Pte>(at)]),
    }
}

/// Whether a write to a page table entry made copies in TLBs wrong.
fn outdated(w: &World, page: VPage, old: u64) -> Judgement {
    let (before, now) = (Pte::from_bits(old), w.get::<Pte>(page));
    let Some(frame) = before.frame().filter(|_| before.present() && before.writable()) else {
        return Judgement::NotAsked;
    };
    if maps(now, frame) && now.writable() {
        return Judgement::NotAsked;
    }
    let holds = |cpu| {
        let entry = w.get::<Tlb>(w.map.tlb_slot(Cpu(cpu), page));
        entry.vpage_bits() == page.0 + 1 && entry.writable()
    };
    match (0..w.map.plan.cpus).any(holds) {
        true => Judgement::Holds,
        false => Judgement::NotAsked,
    }
}
