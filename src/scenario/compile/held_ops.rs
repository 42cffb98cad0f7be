//! Operations on pages that a slot holds, and on memory that is locked.

use super::access;
use super::program::Program;
use crate::kernel::world::ids::Slot;
use crate::kernel::world::plan::Op;
use crate::scenario::op::Do;
use crate::scenario::path::At;

/// The slot that is meant where none is named.
const DEFAULT_SLOT: &str = "pin";

impl Program<'_, '_> {
    pub(super) fn locking(&mut self, op: &Do, at: &At) -> Option<Op> {
        let (Do::Mlock(place) | Do::Munlock(place)) = op else { return None };
        let mapped = self.mapped(place, at)?;
        self.report.ok(at, access::whole(mapped.part))?;
        let lock = matches!(op, Do::Mlock(_));
        Some(Op::Mlock { first: mapped.first, pages: mapped.pages, lock })
    }

    fn held_slot(&mut self, name: Option<&str>, at: &At) -> Option<Slot> {
        let name = name.unwrap_or(DEFAULT_SLOT);
        let slot = self.ledger.slot(name, self.place.i, self.plan, self.tables);
        self.report.ok(&at.key("slot"), slot)
    }

    pub(super) fn holding(&mut self, op: &Do, at: &At) -> Option<Op> {
        let Do::Splice(splice) = op else { return None };
        let from = self.whole_page(&splice.from, &at.key("from"))?.first;
        let slot = self.held_slot(splice.slot.as_deref(), at)?;
        let spot = self.spot(at);
        self.ledger.fill_slot(slot, 1, &spot, self.plan);
        Some(Op::Splice { from, slot })
    }
}
