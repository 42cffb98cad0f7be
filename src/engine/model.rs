//! What the engine needs to know about a system in order to run, search and replay it.
//!
//! A [`Model`] is a set of agents. Each agent makes atomic *moves*; a move names its agent and,
//! where an outside party decides (an I/O error or not, an allocation that fails or not), the
//! outcome. All choice is in the move: applying the same moves to the same start state gives the
//! same states, bit for bit, on every machine.

use std::fmt::Debug;
use std::hash::Hash;

/// Number of an agent (a thread, a device queue, a disk tag) within its model, from 0.
pub type Agent = u32;

/// A set of properties (invariants) of the model, one bit each, in the order of the model's
/// own table. Models have at most 32.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, PartialOrd, Ord)]
pub struct Props(pub u32);

impl Props {
    /// No property at all.
    pub const NONE: Props = Props(0);

    /// The set that holds property `index` alone.
    #[inline]
    pub fn one(index: usize) -> Props {
        Props(1 << index)
    }

    /// Both sets together.
    #[must_use]
    #[inline]
    pub fn union(self, other: Props) -> Props {
        Props(self.0 | other.0)
    }

    /// Whether property `index` is in the set.
    #[inline]
    pub fn has(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }

    /// Whether the set is empty.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The properties in the set, ascending.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let first = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(first)
        })
    }
}

/// What one applied move did, and the token that undoes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stepped {
    /// Properties that this move broke (whether or not they had been broken before).
    pub broken: Props,
    /// Properties whose premise arose in this move: they could have been broken.
    pub reached: Props,
    /// The model's own mark, by which [`Model::undo`] finds its way back.
    pub mark: usize,
}

/// Why no move is enabled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// Every agent that has to finish has finished.
    Finished,
    /// Agents wait for each other in a cycle.
    Deadlock,
    /// An agent waits for something that nobody left will do.
    Stall,
    /// The run was cut because the state means nothing any more (memory reused under an access).
    Cut,
}

/// What a move read and wrote, as sorted, distinct cell numbers.
///
/// Two moves of different agents are *independent* in a state if neither writes what the other
/// reads or writes. The reads include everything that decided that the move was enabled, and
/// everything that the properties checked after it looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Footprint {
    /// Cells read, guards and property checks included; may repeat cells of `writes`.
    pub reads: Vec<u32>,
    /// Cells whose value was changed or could have been (a failed compare-and-swap reads only).
    pub writes: Vec<u32>,
}

impl Footprint {
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.reads.clear();
        self.writes.clear();
    }

    /// Sorts and removes repetitions; call it once after filling.
    pub fn seal(&mut self) {
        for side in [&mut self.reads, &mut self.writes] {
            side.sort_unstable();
            side.dedup();
        }
    }

    /// Whether the two footprints touch a common cell and at least one of them writes it.
    pub fn conflicts(&self, other: &Footprint) -> bool {
        meet(&self.writes, &other.writes)
            || meet(&self.writes, &other.reads)
            || meet(&self.reads, &other.writes)
    }
}

/// Whether two sorted lists share an element.
fn meet(a: &[u32], b: &[u32]) -> bool {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => return true,
        }
    }
    false
}

/// A system that can be stepped forward and back.
///
/// Laws (tested for every model with random walks): `undo` after `apply` restores state,
/// fingerprint and enabled moves exactly; equal states have equal fingerprints however they were
/// reached; `moves` is ascending and without repetition.
pub trait Model: Clone + Send {
    /// One atomic step of one agent, with its outcome. `Ord` is the canonical order, in which
    /// ties between witnesses are broken.
    type Move: Copy + Eq + Ord + Hash + Debug + Send + Sync;

    /// Number of agents.
    fn agents(&self) -> usize;

    /// Puts the enabled moves into `out` (cleared first), ascending. None: the run has ended.
    fn moves(&self, out: &mut Vec<Self::Move>);

    /// Number of agents that have an enabled move.
    fn ready(&self) -> usize;

    /// The `k`-th agent that has an enabled move (ascending), `k < ready()`.
    fn nth_ready(&self, k: usize) -> Agent;

    /// How many outcomes the next move of a ready agent has (at least 1).
    fn outcomes(&self, agent: Agent) -> usize;

    /// The move of a ready agent with outcome `outcome < outcomes(agent)`.
    fn move_of(&self, agent: Agent, outcome: usize) -> Self::Move;

    /// Whose move this is.
    fn agent(&self, mv: Self::Move) -> Agent;

    /// Makes an enabled move.
    fn apply(&mut self, mv: Self::Move) -> Stepped;

    /// Takes back the last move applied; `stepped` is what `apply` returned for it.
    fn undo(&mut self, stepped: Stepped);

    /// Takes back the last moves, which gave `trail` when they were made.
    fn undo_all(&mut self, trail: &[Stepped]) {
        trail.iter().rev().for_each(|&stepped| self.undo(stepped));
    }

    /// The hash of the state, kept up to date incrementally. Clock and measures are no part of it.
    fn fingerprint(&self) -> u64;

    /// The whole state as bytes, for exact comparison. Appends to `out`.
    fn state(&self, out: &mut Vec<u8>);

    /// Switches the recording of footprints on or off (off at the start: it costs time).
    fn record_footprints(&mut self, on: bool);

    /// What the last applied move read and wrote, sealed. Needs recording to be on.
    fn footprint(&self, out: &mut Footprint);

    /// Why no move is enabled. Only meaningful when `moves` gives none.
    fn ending(&self) -> Ending;

    /// Properties that have been broken on the way to this state, if the state remembers it.
    /// Searches use it to tell violating from clean end states.
    fn broken(&self) -> Props {
        Props::NONE
    }

    /// What the properties that are about end states only say of this one, as (broken, reached).
    /// Asked once in every state without a move. They need not show in footprints: a reduction
    /// keeps every end state.
    fn judge_end(&self) -> (Props, Props) {
        (Props::NONE, Props::NONE)
    }

    /// A fingerprint that equals that of every state which differs only by a permutation of
    /// identical parts. A search with symmetry merges states by it.
    fn canonical(&self) -> u64 {
        self.fingerprint()
    }

    /// Where the agent stands in its program: a number that depends on this agent's own control
    /// state alone. The finer it is, the more a reduction can leave out; one number for the
    /// whole program is always right.
    fn place(&self, _agent: Agent) -> u32 {
        0
    }

    /// What the agent's next move is, by a number that does not depend on how its model is built
    /// inside: models of different designs agree on it for a move that they share.
    fn key(&self, agent: Agent) -> u64 {
        u64::from(self.place(agent))
    }

    /// For an agent without an enabled move: appends the cells (numbered as in footprints) of
    /// which at least one has to be written before it can have one, and says `true`; nothing and
    /// `true` for an agent that has finished for good. `false` means "not known": a reduction
    /// then assumes that any write could wake it.
    fn waits_on(&self, _agent: Agent, _out: &mut Vec<u32>) -> bool {
        false
    }

    /// What the model has gathered over all moves that it and its clones ever made, and that is
    /// no part of any state, as words: a checkpoint keeps it. Appends to `out`.
    fn gathered(&self, _out: &mut Vec<u64>) {}

    /// Adds what [`gathered`](Self::gathered) gave in another process; ignores what makes no sense.
    fn gather(&self, _words: &[u64]) {}

    /// Whether the agent has begun something that it must bring to an end. A fair cycle in which
    /// it owes all the way round is a starvation.
    fn owes(&self, _agent: Agent) -> bool {
        false
    }
}

/// A model that also knows how long things take, for the event scheduler.
pub trait Timed: Model {
    /// Simulated nanoseconds from the moment the agent became ready until its next move is due.
    fn delay_ns(&self, agent: Agent) -> u64;

    /// Agents whose readiness or delay may have changed by the last `apply`, in no particular
    /// order, possibly repeated; the mover is always among them.
    fn changed(&self) -> &[Agent];

    /// Whether the agent has an enabled move.
    fn is_ready(&self, agent: Agent) -> bool;

    /// The outcome of a ready agent's next move under timed runs, drawn from `random`, a uniform
    /// 64-bit number of the stream for faults.
    fn timed_outcome(&self, agent: Agent, random: u64) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footprints_conflict_only_over_a_write() {
        let f = |r: &[u32], w: &[u32]| Footprint { reads: r.to_vec(), writes: w.to_vec() };
        assert!(!f(&[1, 2], &[]).conflicts(&f(&[2, 3], &[])));
        assert!(f(&[1, 2], &[]).conflicts(&f(&[], &[2])));
        assert!(f(&[], &[7]).conflicts(&f(&[], &[7])));
        assert!(!f(&[1], &[2]).conflicts(&f(&[3], &[4])));
    }
}
