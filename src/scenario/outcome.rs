//! What conditions ask of a final state, answered by the world.

use super::condition::{Condition, Contents, Fact, FinalState, Of, Quantity, Test};
use crate::kernel::world::ids::{FilePage, Frame, One, OpId};
use crate::kernel::world::machine::{ActorState, Extent, ExtentKind, Life, OpResult, Power};
use crate::kernel::world::objects::{
    BlockData, CacheSlot, Counts, Data, Flags, Holders, OpValue, Size,
};
use crate::kernel::world::plan::Part;
use crate::kernel::world::{Contents as Word, Version, World};

impl FinalState for World {
    fn contents(&self, of: Of, part: Part) -> Contents {
        let (word, of_page) = match of {
            Of::Page(at) => (frame_of(self, at).map(|f| self.data(f)), Some(at)),
            Of::Disk(at) => (durable(self, at), Some(at)),
            Of::Remote(op) | Of::Read(op) => {
                let done = self.get::<OpResult>(op).done();
                (done.then(|| self.get::<OpValue>(op).0), None)
            }
        };
        word.map_or(Contents::Absent, |word| summary(self, word, part, of_page))
    }

    fn errno(&self, op: OpId) -> Option<i32> {
        let result = self.get::<OpResult>(op);
        result.done().then(|| (-result.ret()).max(0))
    }

    fn number(&self, of: Quantity) -> Option<i64> {
        match of {
            Quantity::Refcount(at) => frame_of(self, at).map(|f| self.counts(f).refs().into()),
            Quantity::Mapcount(at) => frame_of(self, at).map(|f| self.counts(f).maps().into()),
            Quantity::Pins(at) => {
                frame_of(self, at).map(|f| self.get::<Holders>(self.head(f)).pins().into())
            }
            Quantity::Size(file) => i64::try_from(self.get::<Size>(file).bytes()).ok(),
            Quantity::Result(op) => {
                let result = self.get::<OpResult>(op);
                result.done().then(|| result.ret().into())
            }
        }
    }

    fn holds(&self, fact: Fact) -> bool {
        let flag = |at, of: fn(Flags) -> bool| {
            frame_of(self, at).is_some_and(|frame| of(self.flags(frame)))
        };
        match fact {
            Fact::Cached(at) => self.get::<CacheSlot>(at).frame().is_some(),
            Fact::Dirty(at) => flag(at, |f| f.dirty()),
            Fact::Writeback(at) => flag(at, |f| f.writeback()),
            Fact::Pinned(at) => {
                frame_of(self, at).is_some_and(|f| self.get::<Holders>(self.head(f)).pins() > 0)
            }
            Fact::Done(op) => self.get::<OpResult>(op).done(),
            Fact::Finished(actor) => self.get::<ActorState>(actor).life() == Life::Done,
            Fact::Crashed => self.get::<Power>(One(0)).crashed(),
        }
    }
}

/// The cells that a condition looks at, in a state; not the results of operations, which their
/// callers tell.
pub fn looked_at(w: &World, condition: &Condition, out: &mut Vec<u32>) {
    match condition {
        Condition::And(all) | Condition::Or(all) => all.iter().for_each(|c| looked_at(w, c, out)),
        Condition::Not(not) => looked_at(w, not, out),
        Condition::Test(test) => out.extend(cell_of(w, test)),
    }
    out.dedup();
}

fn cell_of(w: &World, test: &Test) -> Option<u32> {
    let head = |at| frame_of(w, at).map(|frame| w.head(frame));
    match *test {
        Test::Contents { of: Of::Page(at), .. } => Some(w.cell::<Data>(frame_of(w, at)?)),
        Test::Contents { of: Of::Disk(at), .. } => {
            let block = w.get::<Extent>(at).block()?;
            match w.map.pmem_frame(block) {
                Some(frame) => Some(w.cell::<Data>(frame)),
                None => Some(w.cell::<BlockData>(block)),
            }
        }
        Test::Number { of: Quantity::Refcount(at) | Quantity::Mapcount(at), .. } => {
            Some(w.cell::<Counts>(head(at)?))
        }
        Test::Number { of: Quantity::Pins(at), .. } | Test::Fact(Fact::Pinned(at)) => {
            Some(w.cell::<Holders>(head(at)?))
        }
        Test::Number { of: Quantity::Size(file), .. } => Some(w.cell::<Size>(file)),
        Test::Fact(Fact::Cached(at)) => Some(w.cell::<CacheSlot>(at)),
        Test::Fact(Fact::Dirty(at) | Fact::Writeback(at)) => Some(w.cell::<Flags>(head(at)?)),
        _ => None,
    }
}

/// The frame that holds a page of a file: its cache, or the file's own block of a pmem device.
fn frame_of(w: &World, at: FilePage) -> Option<Frame> {
    let extent = w.get::<Extent>(at);
    let pmem = extent.block().and_then(|block| w.map.pmem_frame(block));
    pmem.or_else(|| w.cached(at))
}

/// What the disk holds of a page of a file if power is lost now; none where it has no block.
fn durable(w: &World, at: FilePage) -> Option<Word> {
    let extent = w.get::<Extent>(at);
    match extent.kind() {
        ExtentKind::Hole | ExtentKind::Delalloc => None,
        ExtentKind::Unwritten => Some(Word::ZERO),
        ExtentKind::Written => extent.block().map(|block| w.durable_contents(block)),
    }
}

/// Whose bytes these are. `at` is the page that they should belong to; none if any page will do.
fn summary(w: &World, word: Word, part: Part, at: Option<FilePage>) -> Contents {
    let mut from = 0;
    let mut found = None;
    for run in w.patches.runs(word) {
        let within = run.end > part.0 && from < part.1;
        from = run.end;
        if within {
            let this = one(w, run.holds, at);
            if found.is_some_and(|other| other != this) {
                return Contents::Mixed;
            }
            found = Some(this);
        }
    }
    found.unwrap_or(Contents::Absent)
}

fn one(w: &World, holds: Word, at: Option<FilePage>) -> Contents {
    let Some(version) = holds.version() else { return Contents::Zero };
    match version.author {
        // What operations wrote is told by the operation, wherever it is found.
        Version::INITIAL | Version::EARLIER => {
            let own = w.map.file_page_of(version);
            if own.is_none() || at.is_some_and(|at| own != Some(at)) {
                Contents::Foreign
            } else if version.author == Version::INITIAL {
                Contents::Initial
            } else {
                Contents::Newer
            }
        }
        op => Contents::By(op),
    }
}
