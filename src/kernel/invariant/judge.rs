//! Shows each step to the invariants that watch what it did.

use super::{Judgement, Subject, TABLE, Waits};
use crate::engine::model::Props;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::world::Change;
use crate::kernel::world::{Actor, Kind, World};

/// Which invariants watch each facet.
const WATCHERS: [u32; Kind::COUNT] = {
    let mut by_kind = [0u32; Kind::COUNT];
    let mut i = 0;
    while i < TABLE.len() {
        let mut k = 0;
        while k < TABLE[i].watches.len() {
            by_kind[TABLE[i].watches[k] as usize] |= 1u32 << i;
            k += 1;
        }
        i += 1;
    }
    by_kind
};

/// A broken invariant, for reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Which invariant, by its place in the table.
    pub invariant: usize,
    /// What it was shown.
    pub subject: Subject,
    /// The cells that prove it.
    pub evidence: [u32; 2],
}

/// What the invariants said about a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdicts {
    /// Those that are broken.
    pub broken: Props,
    /// Those whose premise arose.
    pub reached: Props,
}

fn ask(
    w: &World,
    waits: &dyn Waits,
    which: u32,
    subject: Subject,
    mover: Actor,
    out: &mut dyn FnMut(usize, Judgement),
) {
    let mut left = which;
    while left != 0 {
        let i = left.trailing_zeros() as usize;
        left &= left - 1;
        out(i, (TABLE[i].check)(w, waits, subject, mover));
    }
}

/// Judges what a step wrote and stated. `on_broken` sees each finding.
pub fn judge(
    w: &World,
    waits: &dyn Waits,
    changes: &[Change],
    mover: Actor,
    mut on_broken: impl FnMut(Broken),
) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let mut note = |subject, i, judgement| match judgement {
        Judgement::NotAsked => {}
        Judgement::Holds => verdicts.reached.0 |= 1u32 << i,
        Judgement::Broken(evidence) => {
            verdicts.reached.0 |= 1u32 << i;
            verdicts.broken.0 |= 1u32 << i;
            on_broken(Broken { invariant: i, subject, evidence });
        }
    };
    for (n, change) in changes.iter().enumerate() {
        let which = WATCHERS[change.kind as usize];
        // Each cell once, with the word before the step's first write to it.
        if which != 0 && !changes[..n].iter().any(|c| c.cell == change.cell) {
            let object = change.object;
            let subject = Subject::Wrote { kind: change.kind, object, old: change.old };
            ask(w, waits, which, subject, mover, &mut |i, j| note(subject, i, j));
        }
    }
    for fact in &w.facts {
        let subject = Subject::Fact(*fact);
        ask(w, waits, hearers(fact), subject, mover, &mut |i, j| note(subject, i, j));
    }
    verdicts
}

/// Which invariants listen to a fact.
fn hearers(fact: &Fact) -> u32 {
    let mut which = 0;
    for (i, invariant) in TABLE.iter().enumerate() {
        which |= u32::from((invariant.hears)(fact)) << i;
    }
    which
}

/// Judges every object of the world, whether or not a step touched it, and the facts of the step:
/// the slow way that has to give the same answer.
pub fn judge_all(
    w: &World,
    waits: &dyn Waits,
    mover: Actor,
    mut on_broken: impl FnMut(Broken),
) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let mut note = |subject, i, judgement| {
        if let Judgement::Broken(evidence) = judgement {
            verdicts.broken.0 |= 1u32 << i;
            on_broken(Broken { invariant: i, subject, evidence });
        }
    };
    for &kind in Kind::ALL {
        for object in 0..w.len(kind) {
            let old = w.word_of(kind, object);
            let subject = Subject::Wrote { kind, object, old };
            ask(w, waits, WATCHERS[kind as usize], subject, mover, &mut |i, j| note(subject, i, j));
        }
    }
    for fact in &w.facts {
        let subject = Subject::Fact(*fact);
        ask(w, waits, hearers(fact), subject, mover, &mut |i, j| note(subject, i, j));
    }
    verdicts
}
