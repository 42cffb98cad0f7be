//! What the threads of a search pass on: pieces of work, and whether to go on.

use super::{Bound, Poll, Progress};
use crate::engine::model::Model;
use crate::engine::reduce::Agents;

/// A piece of work: claimed states that nobody has looked at, each one move away from a state of a
/// run; or, if there are none, the start. One run for all of them: in a search that goes deep there
/// is something left to do at every depth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Work<Mv> {
    pub(super) run: Vec<Mv>,
    /// Moves by ascending depth: behind how many moves of the run, and the agents to try behind
    /// them (all, where none sleep).
    pub(super) rest: Vec<(usize, Mv, Agents)>,
}

impl<Mv> Work<Mv> {
    /// All that there is to do from the start.
    pub(super) fn everything() -> Work<Mv> {
        Work { run: Vec::new(), rest: Vec::new() }
    }
}

/// Why a search pauses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Halt {
    /// It ends here.
    Stop(Bound),
    /// A snapshot is wanted.
    Checkpoint,
    /// It has learned enough, or so little that it is worth more threads.
    Enough,
}

/// Where a search meets the rest: sharing work and asking whether to go on.
pub(super) trait Hub<M: Model> {
    /// Whether somebody could use a piece of work.
    fn hungry(&self) -> bool {
        false
    }

    /// Takes a piece of work.
    fn give(&self, _work: Work<M::Move>) {}

    /// Whether a search that learns has learned so much, after so many transitions, that it is
    /// better begun again, or so little that it is better carried on with more threads.
    fn enough(&self, _transitions: u64, _learned: bool) -> bool {
        false
    }

    /// Asks whether to go on; `fresh` is the number of transitions since the last call.
    fn poll(&self, progress: &Progress, fresh: u64) -> Poll;
}
