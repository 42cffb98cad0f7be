//! Exhaustive search: what can happen under *every* order of steps.
//!
//! [`explore`] goes through the whole state space, judges all properties at once (it goes on past
//! a violation) and says how far its verdicts reach. The pieces: `search` is the one depth-first
//! loop, `guided` what it does in a state under a reduction, `drive` runs it on one or many threads
//! and through checkpoints, [`visited`] remembers states, [`witness`] finds shortest violations,
//! [`enumerate`] counts schedules without remembering states.

pub mod checkpoint;
mod drive;
pub mod enumerate;
mod estimate;
mod exact;
pub mod graph;
mod guided;
pub mod liveness;
mod search;
pub mod tally;
pub mod visited;
pub mod witness;
mod work;

use serde::Serialize;

use self::checkpoint::Snapshot;
use self::visited::{Seen, collision_probability};
use super::hash::mix2;
use super::model::{Agent, Ending, Model, Props};
use super::reduce::Reduction;

/// What kept a search from being complete.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Schedules with more preemptions than allowed were left out.
    Preemptions,
    /// Runs were cut at the depth limit.
    Depth,
    /// The number of states reached its limit.
    States,
    /// The memory for states reached its limit.
    Memory,
    /// The time was up.
    Time,
    /// The user interrupted the search.
    Interruption,
}

impl Bound {
    /// Every bound, in order.
    pub const ALL: [Bound; 6] = [
        Bound::Preemptions,
        Bound::Depth,
        Bound::States,
        Bound::Memory,
        Bound::Time,
        Bound::Interruption,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Bound::Preemptions => "preemptions",
            Bound::Depth => "depth",
            Bound::States => "states",
            Bound::Memory => "memory",
            Bound::Time => "time",
            Bound::Interruption => "interruption",
        }
    }
}

/// What a completed or bounded search says about one property.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It held in every state of a completed search, and its premise arose.
    Proved,
    /// It was broken; there is a witness.
    Refuted,
    /// It held as far as the search went, which was not everywhere.
    Bounded(Bound),
    /// The search was completed and the property's premise never arose: nothing was tried.
    Vacuous,
}

/// How to search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Options {
    /// Leave out orders of independent moves. Ignored under `preemptions` and `depth`, which cut
    /// orders that a reduction would count on.
    pub reduction: bool,
    /// Keep to the reduction even if it saves next to nothing at the beginning.
    pub insist: bool,
    /// Merge states that differ by a permutation of identical parts; without `reduction`.
    pub symmetry: bool,
    /// Compare whole states instead of fingerprints; without reduction and symmetry.
    pub exact: bool,
    /// At most this many switches away from an agent that could have gone on.
    pub preemptions: Option<u32>,
    /// At most this many moves from the start.
    pub depth: Option<usize>,
    /// Stop after about this many states.
    pub max_states: Option<u64>,
    /// Stop when the set of states takes this many bytes.
    pub max_bytes: Option<usize>,
    /// Threads. No result depends on it.
    pub jobs: usize,
    /// How many states the search for a shortest witness may visit; 0: keep the shortest seen.
    pub witness_states: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            reduction: false,
            insist: false,
            symmetry: false,
            exact: false,
            preemptions: None,
            depth: None,
            max_states: None,
            max_bytes: None,
            jobs: 1,
            witness_states: 4_000_000,
        }
    }
}

impl Options {
    /// Whether the search cuts runs by their shape.
    pub fn is_bounded(&self) -> bool {
        self.preemptions.is_some() || self.depth.is_some()
    }

    /// Whether a reduction takes place, if the model has no more than
    /// [`MAX_AGENTS`](super::reduce::MAX_AGENTS).
    pub fn is_reduced(&self) -> bool {
        self.reduction && !self.exact && !self.symmetry && !self.is_bounded()
    }

    /// What a state is known by in the visited set without `preemptions` and `depth`.
    #[inline]
    fn plain_key<M: Model>(&self, model: &M) -> u64 {
        if self.symmetry { model.canonical() } else { model.fingerprint() }
    }

    /// What a state is known by in any case: with the agent that moved last, the preemptions used
    /// and the moves made on the way there, as far as bounds depend on them.
    #[inline]
    fn key<M: Model>(&self, model: &M, last: Option<Agent>, used: u32, depth: usize) -> u64 {
        let mut key = self.plain_key(model);
        if self.preemptions.is_some() {
            let agent = last.map_or(u64::from(u32::MAX), u64::from);
            key = mix2(key, agent << 32 | u64::from(used));
        }
        if self.depth.is_some() {
            key = mix2(key, depth as u64);
        }
        key
    }
}

/// How far a running search is. The rate is the caller's to compute: the engine reads no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// Distinct states so far.
    pub states: u64,
    /// Moves made so far.
    pub transitions: u64,
    /// Length of the run being looked at.
    pub depth: usize,
    /// States found and not looked at yet, on this thread.
    pub frontier: usize,
    /// Bytes taken by the set of states.
    pub bytes: usize,
    /// A guess at the part of the search that is done, 0 to 1: the share that it has seen of the
    /// states on some random runs. 0 as long as there is none.
    pub done: f64,
}

/// What a search shall do after a report of progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poll {
    /// Go on.
    Continue,
    /// Hand a snapshot to [`Control::save`], then go on.
    Checkpoint,
    /// End here; the verdicts are bounded by this.
    Stop(Bound),
}

/// The outside world of a search: clocks, interruption, checkpoint files, progress lines.
pub trait Control<M: Model>: Sync {
    /// Called every few thousand states, from any thread of the search.
    fn poll(&self, _progress: &Progress) -> Poll {
        Poll::Continue
    }

    /// Called with everything that is needed to go on later, after [`Poll::Checkpoint`] and
    /// before a [`Poll::Stop`] takes effect.
    fn save(&self, _snapshot: &Snapshot<M>) {}
}

/// No outside world: the search runs to its end.
impl<M: Model> Control<M> for () {}

/// A run that breaks a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witness<Mv> {
    /// The property that the last move (or the end state it leads to) breaks.
    pub property: usize,
    /// The moves, from the start.
    pub moves: Vec<Mv>,
    /// Whether no shorter run within the bounds breaks it; ties are broken by the order of moves.
    pub shortest: bool,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report<Mv> {
    /// Distinct states.
    pub states: u64,
    /// Enabled moves of those states (under a reduction: moves made).
    pub transitions: u64,
    /// End states, by [`Ending`] in its order.
    pub ends: [u64; 4],
    /// For each property, the end states in which it has been broken.
    pub violating_ends: [u64; 32],
    /// Properties that were broken somewhere.
    #[serde(skip)]
    pub broken: Props,
    /// Properties whose premise arose somewhere.
    #[serde(skip)]
    pub reached: Props,
    /// What the search was cut by; empty: it is complete.
    pub bounds: Vec<Bound>,
    /// The probability that equal fingerprints of different states hid something; 0 if exact.
    pub collision: f64,
    /// Under `exact`: pairs of states that fingerprints would have merged.
    pub collisions: Option<u64>,
    /// Bytes taken by the set of states at the end.
    pub bytes: usize,
    /// Length of the longest run looked at. Depends on the order of the search: not a result.
    pub deepest: usize,
    /// What the reduction did, if there was one.
    pub reduction: Option<Reduction>,
    /// One violating run for each broken property, ascending.
    pub witnesses: Vec<Witness<Mv>>,
}

impl<Mv> Report<Mv> {
    /// The verdict on property `index`.
    pub fn verdict(&self, index: usize) -> Verdict {
        if self.broken.has(index) {
            Verdict::Refuted
        } else if let Some(&bound) = self.bounds.first() {
            Verdict::Bounded(bound)
        } else if self.reached.has(index) {
            Verdict::Proved
        } else {
            Verdict::Vacuous
        }
    }

    /// Whether nothing was left out.
    pub fn is_complete(&self) -> bool {
        self.bounds.is_empty()
    }

    /// End states of one kind.
    pub fn ends(&self, ending: Ending) -> u64 {
        self.ends[ending as usize]
    }

    /// End states of any kind.
    pub fn end_states(&self) -> u64 {
        self.ends.iter().sum()
    }
}

/// Searches everything that `start` can do.
pub fn explore<M: Model>(
    start: &M,
    options: &Options,
    control: &impl Control<M>,
) -> Report<M::Move> {
    resume(start, options, control, Snapshot::begin(start, options))
}

/// Goes on where a [`Snapshot`] was taken.
pub fn resume<M: Model>(
    start: &M,
    options: &Options,
    control: &impl Control<M>,
    snapshot: Snapshot<M>,
) -> Report<M::Move> {
    let snapshot = drive::many(start, options, control, snapshot);
    let Snapshot { visited, tally, lessons, whole, .. } = snapshot;
    let reduction = lessons.map(|lessons| Reduction {
        passes: lessons.rounds + 1,
        executed: lessons.executed + tally.transitions,
        spots: lessons.spots(),
        given_up: lessons.given_up,
    });
    let witnesses = witness::shortest(start, options, &tally, control);
    Report {
        states: tally.states,
        transitions: tally.transitions,
        ends: tally.ends,
        violating_ends: tally.violating_ends,
        broken: tally.broken,
        reached: tally.reached,
        bounds: tally.bounds(),
        collision: whole.as_ref().map_or(collision_probability(tally.states), |_| 0.0),
        collisions: whole.as_ref().map(|w| w.seen.collisions() as u64),
        bytes: whole.as_ref().map_or(visited.bytes(), |w| (&w.seen).bytes()),
        deepest: tally.deepest,
        reduction,
        witnesses,
    }
}
