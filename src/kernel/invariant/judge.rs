//! Shows each step to the invariants that watch what it did.

use super::look::taken_away;
use super::{Judgement, Premise, Subject, TABLE, Waits};
use crate::engine::model::Props;
use crate::kernel::world::door::Change;
use crate::kernel::world::facts::{Fact, FactKind};
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

/// Which invariants listen to each kind of fact.
const HEARERS: [u32; FactKind::COUNT] = {
    let mut by_kind = [0u32; FactKind::COUNT];
    let mut i = 0;
    while i < TABLE.len() {
        let mut k = 0;
        while k < TABLE[i].hears.len() {
            by_kind[TABLE[i].hears[k] as usize] |= 1u32 << i;
            k += 1;
        }
        i += 1;
    }
    by_kind
};

/// The invariants whose premise arises in one way.
const fn arising(premise: Premise) -> u32 {
    let (mut which, mut i) = (0, 0);
    while i < TABLE.len() {
        if TABLE[i].arises as u8 == premise as u8 {
            which |= 1u32 << i;
        }
        i += 1;
    }
    which
}

const TAKEN_AWAY: u32 = arising(Premise::TakenAway);
const PIN_TAKEN_AWAY: u32 = arising(Premise::PinTakenAway);
const TAKEN_FROM_FILE: u32 = arising(Premise::TakenFromFile);

/// Which invariants could be broken because a write took a page away.
fn premises(w: &World, change: Change) -> u32 {
    let Some(taken) = taken_away(w, change) else { return 0 };
    let pinned = if taken.pinned { PIN_TAKEN_AWAY } else { 0 };
    TAKEN_AWAY | pinned | if taken.of_file { TAKEN_FROM_FILE } else { 0 }
}

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

impl Broken {
    /// Whether both say the same of the same cells, whatever showed it.
    pub fn same(&self, other: &Broken) -> bool {
        let sorted = |[a, b]: [u32; 2]| (a.min(b), a.max(b));
        self.invariant == other.invariant && sorted(self.evidence) == sorted(other.evidence)
    }
}

/// What the invariants said about a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdicts {
    /// Those that are broken.
    pub broken: Props,
    /// Those whose premise arose.
    pub reached: Props,
}

/// Shows a subject to the invariants of a set.
#[inline]
fn ask(
    w: &World,
    waits: &dyn Waits,
    mut which: u32,
    subject: Subject,
    mover: Actor,
    mut note: impl FnMut(Subject, usize, Judgement),
) {
    while which != 0 {
        let i = which.trailing_zeros() as usize;
        which &= which - 1;
        note(subject, i, (TABLE[i].check)(w, waits, subject, mover));
    }
}

impl Verdicts {
    fn note(
        &mut self,
        on_broken: &mut impl FnMut(Broken),
        (invariant, subject): (usize, Subject),
        judgement: Judgement,
    ) {
        match judgement {
            Judgement::NotAsked => {}
            Judgement::Holds => self.reached.0 |= 1u32 << invariant,
            Judgement::Broken(evidence) => {
                self.reached.0 |= 1u32 << invariant;
                self.broken.0 |= 1u32 << invariant;
                on_broken(Broken { invariant, subject, evidence });
            }
        }
    }
}

impl Verdicts {
    /// Adds what the invariants say of one more fact.
    pub fn hear(
        &mut self,
        w: &World,
        waits: &dyn Waits,
        fact: Fact,
        mover: Actor,
        mut on_broken: impl FnMut(Broken),
    ) {
        let which = HEARERS[fact.kind() as usize];
        let note = |subject, i, judgement| self.note(&mut on_broken, (i, subject), judgement);
        ask(w, waits, which, Subject::Fact(fact), mover, note);
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
    let mut reached = 0;
    let mut note = |subject, i, judgement| verdicts.note(&mut on_broken, (i, subject), judgement);
    for (n, change) in changes.iter().enumerate() {
        let which = WATCHERS[change.kind as usize];
        let takes = matches!(change.kind, Kind::Pte | Kind::Owner);
        // Each cell once, with the word before the step's first write to it.
        if (which == 0 && !takes) || changes[..n].iter().any(|c| c.cell == change.cell) {
            continue;
        }
        if takes {
            reached |= premises(w, *change);
        }
        let object = change.object;
        let subject = Subject::Wrote { kind: change.kind, object, old: change.old };
        ask(w, waits, which, subject, mover, &mut note);
    }
    for fact in &w.facts {
        let which = HEARERS[fact.kind() as usize];
        ask(w, waits, which, Subject::Fact(*fact), mover, &mut note);
    }
    verdicts.reached.0 |= reached;
    verdicts
}

/// Judges every object of the world, whether or not a step touched it: the slow way. What is
/// broken after a step and was not before has to be among what [`judge`] says of the step. Facts,
/// and changes as such (a block that *was* owned), belong to steps and have no place here.
pub fn judge_all(
    w: &World,
    waits: &dyn Waits,
    mover: Actor,
    mut on_broken: impl FnMut(Broken),
) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let mut note = |subject, i, judgement| verdicts.note(&mut on_broken, (i, subject), judgement);
    for &kind in Kind::ALL {
        for object in 0..w.len(kind) {
            let old = w.word_of(kind, object);
            let subject = Subject::Wrote { kind, object, old };
            ask(w, waits, WATCHERS[kind as usize], subject, mover, &mut note);
        }
    }
    verdicts
}
