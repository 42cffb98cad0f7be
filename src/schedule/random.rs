//! A random walk: every agent that can move is equally likely to.

use super::stream::{Purpose, Stream};
use crate::engine::model::{Agent, Model};
use crate::engine::run::Scheduler;

/// Draws one of the outcomes of an agent's next move; without a draw if there is one only.
#[inline]
pub(super) fn outcome<M: Model>(model: &M, agent: Agent, stream: &mut Outcomes) -> M::Move {
    let n = model.outcomes(agent);
    let outcome = if n > 1 { stream.get().below(n) } else { 0 };
    model.move_of(agent, outcome)
}

/// The stream of outcomes, made when it is first needed: most runs of most models have none.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcomes {
    seed: u64,
    run: u64,
    stream: Option<Stream>,
}

impl Outcomes {
    pub(super) fn begin(&mut self, seed: u64, run: u64) {
        *self = Outcomes { seed, run, stream: None };
    }

    pub(super) fn get(&mut self) -> &mut Stream {
        let (seed, run) = (self.seed, self.run);
        self.stream.get_or_insert_with(|| Stream::new(seed, run, Purpose::Outcome))
    }
}

/// The random walk: uniform over the agents that can move, then over the outcomes.
#[derive(Clone, Debug)]
pub struct RandomWalk {
    seed: u64,
    stream: Stream,
    outcomes: Outcomes,
}

impl RandomWalk {
    /// A walk for each run, by seed.
    pub fn new(seed: u64) -> RandomWalk {
        let stream = Stream::new(seed, 0, Purpose::Schedule);
        RandomWalk { seed, stream, outcomes: Outcomes::default() }
    }
}

impl<M: Model> Scheduler<M> for RandomWalk {
    fn begin(&mut self, _model: &M, run: u64) -> bool {
        self.stream = Stream::new(self.seed, run, Purpose::Schedule);
        self.outcomes.begin(self.seed, run);
        true
    }

    #[inline]
    fn pick(&mut self, model: &M) -> Option<M::Move> {
        let agent = match model.ready() {
            0 => return None,
            1 => model.nth_ready(0),
            n => model.nth_ready(self.stream.below(n)),
        };
        Some(outcome(model, agent, &mut self.outcomes))
    }
}
