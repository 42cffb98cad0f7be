//! Partial order sampling: a random priority for every *move*, drawn anew after a race.
//!
//! Yuan, Yang and Gu, CAV 2018. The enabled move of highest priority goes first; afterwards the
//! pending moves that conflict with it draw again, so that both orders of a race stay likely.
//! What a pending move would touch is found by trying it on a copy; it stays the same until a
//! conflicting move is made, which is just when the priority is drawn again.

use super::random::{Outcomes, outcome};
use super::stream::{Purpose, Stream};
use crate::engine::model::{Agent, Footprint, Model};
use crate::engine::run::Scheduler;

/// The next move of an agent, its priority, and what it would touch.
#[derive(Clone, Debug)]
struct Pending<Mv> {
    mv: Mv,
    priority: u64,
    footprint: Footprint,
}

/// POS over the moves of a model.
#[derive(Clone, Debug)]
pub struct Pos<M: Model> {
    seed: u64,
    stream: Stream,
    outcomes: Outcomes,
    /// A copy that follows the run, with footprints on.
    probe: Option<M>,
    pending: Vec<Option<Pending<M::Move>>>,
}

impl<M: Model> Pos<M> {
    /// A sample for each run, by seed.
    pub fn new(seed: u64) -> Pos<M> {
        let stream = Stream::new(seed, 0, Purpose::Schedule);
        Pos { seed, stream, outcomes: Outcomes::default(), probe: None, pending: Vec::new() }
    }
}

impl<M: Model> Scheduler<M> for Pos<M> {
    fn begin(&mut self, model: &M, run: u64) -> bool {
        self.stream = Stream::new(self.seed, run, Purpose::Schedule);
        self.outcomes.begin(self.seed, run);
        let mut probe = model.clone();
        probe.record_footprints(true);
        self.probe = Some(probe);
        self.pending.clear();
        self.pending.resize_with(model.agents(), || None);
        true
    }

    fn pick(&mut self, model: &M) -> Option<M::Move> {
        let probe = self.probe.as_mut()?;
        let mut first: Option<(u64, Agent)> = None;
        for k in 0..model.ready() {
            let agent = model.nth_ready(k);
            let pending = self.pending[agent as usize].get_or_insert_with(|| {
                let mv = outcome(model, agent, &mut self.outcomes);
                let mut footprint = Footprint::default();
                let stepped = probe.apply(mv);
                probe.footprint(&mut footprint);
                probe.undo(stepped);
                Pending { mv, priority: self.stream.bits(), footprint }
            });
            if first.is_none_or(|(priority, _)| pending.priority > priority) {
                first = Some((pending.priority, agent));
            }
        }
        let (_, agent) = first?;
        let made = self.pending[agent as usize].take()?;
        probe.apply(made.mv);
        for pending in &mut self.pending {
            if pending.as_ref().is_some_and(|p| p.footprint.conflicts(&made.footprint)) {
                *pending = None;
            }
        }
        Some(made.mv)
    }
}
