//! Operations on pages that a slot holds, on memory that is locked, and on mappings that move.

use super::access;
use super::program::Program;
use crate::kernel::world::ids::{Slot, Vma};
use crate::kernel::world::plan::{FsKind, Op};
use crate::scenario::op::{self, Do};
use crate::scenario::path::At;
use crate::scenario::problem::Problem;

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

    /// A mapping takes the place of another, which has to show the same pages.
    pub(super) fn remap(&mut self, remap: &op::Mremap, at: &At) -> Option<Op> {
        let (from_at, to_at) = (at.key("from"), at.key("to"));
        let (from, to) = (self.vma(&remap.from, &from_at)?, self.vma(&remap.to, &to_at)?);
        self.touch(from, &from_at);
        self.ledger.maps(to);
        let plan = |vma: Vma| &self.plan.vmas[vma.0 as usize];
        let shows = |vma: Vma| (plan(vma).backing, plan(vma).pages, plan(vma).shared);
        let (a, b) = (plan(from).name.clone(), plan(to).name.clone());
        let problem = if from == to {
            Problem::general(format!("`{a}` takes its own place")).help("name another mapping")
        } else if shows(from) != shows(to) {
            Problem::general(format!("`{b}` is not where `{a}` can move to"))
                .label("it shows other pages, or is shared otherwise")
                .help(format!("declare `{b}` like `{a}`, with \"mapped\": false"))
        } else {
            return Some(Op::Mremap { from, to, keeps: remap.dontunmap });
        };
        self.report.value(&to_at, problem);
        None
    }

    fn held_slot(&mut self, name: Option<&str>, at: &At) -> Option<Slot> {
        let name = name.unwrap_or(DEFAULT_SLOT);
        let slot = self.ledger.slot(name, self.place.i, self.plan, self.tables);
        self.report.ok(&at.key("slot"), slot)
    }

    pub(super) fn holding(&mut self, op: &Do, at: &At) -> Option<Op> {
        let Do::Splice(splice) = op else { return None };
        let page = self.whole_page(&splice.from, &at.key("from"))?;
        if self.plan.files[page.file.0 as usize].fs == FsKind::Dax {
            // vfs_splice_read: copy_splice_read where IS_DAX.
            let problem = Problem::general("a page of a DAX file goes into a pipe as a copy")
                .help("nothing refers to it afterwards; say `read`");
            self.report.value(&at.key("from"), problem);
        }
        let from = page.first;
        let slot = self.held_slot(splice.slot.as_deref(), at)?;
        let spot = self.spot(at);
        self.ledger.fill_slot(slot, 1, &spot, self.plan);
        Some(Op::Splice { from, slot })
    }
}
