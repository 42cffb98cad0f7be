//! Schedules that different designs share: a random priority for every step, by its name.
//!
//! Two designs make different steps, so that a list of moves of one is nonsense in the other. Here
//! what is random hangs on *which* step it is: the agent, what the step is called
//! ([`Model::key`]), and how often the agent has come to it. Steps that both designs make have the
//! same priorities and outcomes in both; a step that one of them lacks leaves the others alone.
//! For one design alone this is partial order sampling without new draws after a race (Yuan et
//! al. 2018, see [`super::pos`]).

use crate::engine::hash::mix2;
use crate::engine::model::{Agent, Model};
use crate::engine::run::Scheduler;
use std::collections::BTreeMap;

/// An agent's next step.
#[derive(Clone, Copy, Debug)]
struct Pending {
    priority: u64,
    /// Decides the outcome.
    random: u64,
}

/// Priorities by name.
#[derive(Clone, Debug)]
pub struct Keyed {
    seed: u64,
    run: u64,
    /// By agent; none: it has moved since, or has not been ready yet.
    pending: Vec<Option<Pending>>,
    /// How often an agent has come to a step.
    times: BTreeMap<(Agent, u64), u64>,
}

impl Keyed {
    /// A schedule for each run, by seed.
    pub fn new(seed: u64) -> Keyed {
        Keyed { seed, run: 0, pending: Vec::new(), times: BTreeMap::new() }
    }

    fn draw<M: Model>(&mut self, model: &M, agent: Agent) -> Pending {
        let key = model.key(agent);
        let times = self.times.entry((agent, key)).or_insert(0);
        *times += 1;
        let run = mix2(self.seed, self.run);
        let priority = [u64::from(agent), key, *times].into_iter().fold(run, mix2);
        Pending { priority, random: mix2(priority, 1) }
    }
}

impl<M: Model> Scheduler<M> for Keyed {
    fn begin(&mut self, model: &M, run: u64) -> bool {
        self.run = run;
        self.pending.clear();
        self.pending.resize(model.agents(), None);
        self.times.clear();
        true
    }

    fn pick(&mut self, model: &M) -> Option<M::Move> {
        let mut first: Option<(Pending, Agent)> = None;
        for k in 0..model.ready() {
            let agent = model.nth_ready(k);
            let pending = match self.pending[agent as usize] {
                Some(pending) => pending,
                None => self.draw(model, agent),
            };
            self.pending[agent as usize] = Some(pending);
            if first.is_none_or(|(best, _)| pending.priority > best.priority) {
                first = Some((pending, agent));
            }
        }
        let (pending, agent) = first?;
        self.pending[agent as usize] = None;
        let outcome = pending.random % model.outcomes(agent).max(1) as u64;
        Some(model.move_of(agent, outcome as usize))
    }
}
