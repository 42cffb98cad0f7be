//! A schedule that is given, move by move.

use crate::engine::model::Model;
use crate::engine::run::Scheduler;

/// Plays one schedule; ends at the first move that is not enabled.
#[derive(Clone, Debug)]
pub struct Replay<Mv> {
    schedule: Vec<Mv>,
    next: usize,
    diverged: Option<usize>,
    moves: Vec<Mv>,
}

impl<Mv> Replay<Mv> {
    /// Plays `schedule` in every run.
    pub fn new(schedule: Vec<Mv>) -> Replay<Mv> {
        Replay { schedule, next: 0, diverged: None, moves: Vec::new() }
    }

    /// The number of the first move that could not be made in the last run.
    pub fn diverged(&self) -> Option<usize> {
        self.diverged
    }
}

impl<M: Model> Scheduler<M> for Replay<M::Move> {
    fn begin(&mut self, _model: &M, _run: u64) -> bool {
        (self.next, self.diverged) = (0, None);
        true
    }

    fn pick(&mut self, model: &M) -> Option<M::Move> {
        let &mv = self.schedule.get(self.next)?;
        model.moves(&mut self.moves);
        if self.moves.binary_search(&mv).is_err() {
            self.diverged = Some(self.next);
            return None;
        }
        self.next += 1;
        Some(mv)
    }
}
