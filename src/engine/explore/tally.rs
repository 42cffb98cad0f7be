//! What a search counts: sums and unions, so that the parts of several threads can be put
//! together in any order with the same result.

use super::Bound;
use crate::engine::model::{Ending, Model, Props};

/// The counts of a search or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<Mv> {
    /// Distinct states.
    pub states: u64,
    /// Moves made.
    pub transitions: u64,
    /// End states by [`Ending`].
    pub ends: [u64; 4],
    /// End states in which each property has been broken.
    pub violating_ends: [u64; 32],
    /// Properties broken anywhere.
    pub broken: Props,
    /// Properties whose premise arose anywhere.
    pub reached: Props,
    /// The longest run looked at.
    pub deepest: usize,
    /// The shortest run seen to break each property.
    pub seen: Vec<Option<Vec<Mv>>>,
    cut: u8,
}

impl<Mv> Default for Tally<Mv> {
    fn default() -> Tally<Mv> {
        Tally {
            states: 0,
            transitions: 0,
            ends: [0; 4],
            violating_ends: [0; 32],
            broken: Props::NONE,
            reached: Props::NONE,
            deepest: 0,
            seen: (0..32).map(|_| None).collect(),
            cut: 0,
        }
    }
}

impl<Mv: Copy + Ord> Tally<Mv> {
    /// Notes that something was left out.
    #[inline]
    pub fn cut_by(&mut self, bound: Bound) {
        self.cut |= 1 << bound as u8;
    }

    /// What was left out, in order.
    pub fn bounds(&self) -> Vec<Bound> {
        Bound::ALL.into_iter().filter(|&b| self.cut >> b as u8 & 1 == 1).collect()
    }

    /// Notes broken properties and the run that broke them; `run` is only asked for if it would
    /// be the shortest of length `len`.
    #[cold]
    pub fn violation(&mut self, broken: Props, len: usize, run: impl Fn() -> Vec<Mv>) {
        self.broken = self.broken.union(broken);
        for property in broken.iter() {
            let known = &mut self.seen[property];
            if known.as_ref().is_none_or(|k| len < k.len()) {
                *known = Some(run());
            }
        }
    }

    /// Counts an end state; gives what its end-state properties say is broken.
    pub fn end<M: Model<Move = Mv>>(&mut self, model: &M) -> Props {
        let ending: Ending = model.ending();
        self.ends[ending as usize] += 1;
        let (broken, reached) = model.judge_end();
        self.reached = self.reached.union(reached);
        for property in broken.union(model.broken()).iter() {
            self.violating_ends[property] += 1;
        }
        broken
    }

    /// Adds another part of the same search.
    pub fn merge(&mut self, other: Tally<Mv>) {
        self.states += other.states;
        self.transitions += other.transitions;
        for (a, b) in self.ends.iter_mut().zip(other.ends) {
            *a += b;
        }
        for (a, b) in self.violating_ends.iter_mut().zip(other.violating_ends) {
            *a += b;
        }
        self.broken = self.broken.union(other.broken);
        self.reached = self.reached.union(other.reached);
        self.deepest = self.deepest.max(other.deepest);
        self.cut |= other.cut;
        for (a, b) in self.seen.iter_mut().zip(other.seen) {
            let rank = |r: &Option<Vec<Mv>>| r.as_ref().map_or(usize::MAX, Vec::len);
            if rank(&b) < rank(a) || (rank(&b) == rank(a) && b < *a) {
                *a = b;
            }
        }
    }
}
