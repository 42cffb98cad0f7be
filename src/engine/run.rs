//! One run at a time: a scheduler chooses, the model moves, somebody watches.

use super::model::{Ending, Model, Props, Stepped};

/// Chooses the moves of runs, one after the other.
///
/// A scheduler lives across runs. What it chooses depends on its own parameters, the number of
/// the run and the states it is shown, and on nothing else.
pub trait Scheduler<M: Model>: Send {
    /// A run begins in the state of `model`; `false` if the scheduler has no more runs to give.
    fn begin(&mut self, model: &M, run: u64) -> bool;

    /// The next move; `None` ends the run (always so when no move is enabled).
    fn pick(&mut self, model: &M) -> Option<M::Move>;

    /// What the scheduler promises, in a sentence, if it promises anything.
    fn guarantee(&self) -> Option<String> {
        None
    }
}

impl<M: Model, S: Scheduler<M> + ?Sized> Scheduler<M> for Box<S> {
    fn begin(&mut self, model: &M, run: u64) -> bool {
        (**self).begin(model, run)
    }

    fn pick(&mut self, model: &M) -> Option<M::Move> {
        (**self).pick(model)
    }

    fn guarantee(&self) -> Option<String> {
        (**self).guarantee()
    }
}

/// When to end a run before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most moves.
    pub steps: usize,
    /// Properties whose violation ends the run.
    pub stop_at: Props,
}

impl Default for Limits {
    /// A million moves, past every violation.
    fn default() -> Limits {
        Limits { steps: 1_000_000, stop_at: Props::NONE }
    }
}

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Moves made.
    pub steps: usize,
    /// Properties broken on the way or at the end.
    pub broken: Props,
    /// Properties whose premise arose.
    pub reached: Props,
    /// The number of the move (from 0) that first broke anything; `steps` if only the end did.
    pub first_broken: Option<usize>,
    /// How it ended; `None` if a limit or the scheduler ended it.
    pub ending: Option<Ending>,
}

/// Makes runs from one start state and takes them back.
#[derive(Clone, Debug)]
pub struct Runner<M: Model> {
    model: M,
    trail: Vec<Stepped>,
    schedule: Vec<M::Move>,
}

impl<M: Model> Runner<M> {
    /// Every run will begin in this state.
    pub fn new(start: M) -> Runner<M> {
        Runner { model: start, trail: Vec::new(), schedule: Vec::new() }
    }

    /// Makes run number `run`; `None` if the scheduler has no more runs. `observe` sees every
    /// state right after the move that led there.
    pub fn run<S: Scheduler<M> + ?Sized>(
        &mut self,
        scheduler: &mut S,
        run: u64,
        limits: Limits,
        mut observe: impl FnMut(&M, M::Move, Stepped),
    ) -> Option<Outcome> {
        self.rewind();
        if !scheduler.begin(&self.model, run) {
            return None;
        }
        let mut outcome = Outcome::default();
        while outcome.steps < limits.steps {
            let Some(mv) = scheduler.pick(&self.model) else { break };
            let stepped = self.model.apply(mv);
            self.trail.push(stepped);
            self.schedule.push(mv);
            observe(&self.model, mv, stepped);
            outcome.reached = outcome.reached.union(stepped.reached);
            if !stepped.broken.is_empty() {
                outcome.first_broken.get_or_insert(outcome.steps);
                outcome.broken = outcome.broken.union(stepped.broken);
            }
            outcome.steps += 1;
            if stepped.broken.0 & limits.stop_at.0 != 0 {
                return Some(outcome);
            }
        }
        if self.model.ready() == 0 {
            outcome.ending = Some(self.model.ending());
            let (broken, reached) = self.model.judge_end();
            outcome.reached = outcome.reached.union(reached);
            if !broken.is_empty() {
                outcome.first_broken.get_or_insert(outcome.steps);
                outcome.broken = outcome.broken.union(broken);
            }
        }
        Some(outcome)
    }

    /// The moves of the last run.
    pub fn schedule(&self) -> &[M::Move] {
        &self.schedule
    }

    /// The state that the last run left, until the next one begins.
    pub fn model(&self) -> &M {
        &self.model
    }

    fn rewind(&mut self) {
        self.model.undo_all(&self.trail);
        self.trail.clear();
        self.schedule.clear();
    }
}

/// The same run twice: the fingerprint after every move has to agree. Gives the number of the
/// first move at which it does not.
pub fn first_divergence<M: Model, S: Scheduler<M> + ?Sized>(
    start: &M,
    scheduler: &mut S,
    run: u64,
    limits: Limits,
) -> Option<usize> {
    let mut traces = [Vec::new(), Vec::new()];
    for trace in &mut traces {
        let mut runner = Runner::new(start.clone());
        runner.run(scheduler, run, limits, |model, mv, _| trace.push((mv, model.fingerprint())))?;
    }
    let [a, b] = &traces;
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    (same < a.len().max(b.len())).then_some(same)
}
