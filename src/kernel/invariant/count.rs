//! Invariants about counts.

use super::{Invariant, Judgement, Subject, Waits, deaf};
use crate::kernel::world::objects::{Counts, Flags, Holders};
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::{Actor, Frame, Kind, World};

/// See its `doc`.
pub const COUNT_BALANCE: Invariant = Invariant {
    name: "count-balance",
    doc: "A folio's refcount or mapcount disagrees with the holders that exist, or is negative. \
          Holders are the page cache, buffers, page table entries, and references and pins in \
          the hands of agents.",
    source: "mm/debug.c, page_ref_freeze(); kernel-facts 2.1",
    premise: "a folio's counts or holders change",
    watches: &[Kind::Counts, Kind::Holders],
    hears: deaf,
    check: count_balance,
    fatal: false,
};

fn count_balance(w: &World, _waits: &dyn Waits, subject: Subject, _mover: Actor) -> Judgement {
    let Subject::Wrote { object, .. } = subject else { return Judgement::NotAsked };
    let frame = Frame(object);
    if frame == ZERO_PAGE || w.get::<Flags>(frame).tail() {
        return Judgement::NotAsked;
    }
    let (counts, holders) = (w.get::<Counts>(frame), w.get::<Holders>(frame));
    let evidence = [w.cell::<Counts>(frame), w.cell::<Holders>(frame)];
    if counts.refs() < 0 || counts.maps() < 0 || counts.maps() as u16 != holders.ptes() {
        return Judgement::Broken(evidence);
    }
    Judgement::Holds
}
