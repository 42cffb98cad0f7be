//! The event scheduler: a virtual clock, and moves that happen when they are due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::random::Outcomes;
use super::stream::{Purpose, Stream};
use crate::engine::model::{Agent, Timed};
use crate::engine::run::Scheduler;

/// How the timed schedulers break ties and stretch delays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Delays as the model gives them; ties in the order in which agents became ready.
    Exact,
    /// Each run gives every agent a speed (delays times 1/8 to 8, by powers of two) and a
    /// priority that breaks ties.
    Random,
}

/// When an agent is due.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    /// Since when it has been ready, in simulated nanoseconds.
    since: u64,
    delay: u64,
    /// The queue entry that counts; 0 if the agent is not ready.
    sequence: u64,
}

/// Discrete-event scheduling over a queue ordered by (time, rank, sequence).
#[derive(Clone, Debug)]
pub struct EventQueue {
    seed: u64,
    pace: Pace,
    now: u64,
    sequence: u64,
    queue: BinaryHeap<Reverse<(u64, u32, u64, Agent)>>,
    dues: Vec<Due>,
    /// By agent: the power of two its delays are stretched by, plus 3; and its rank.
    speeds: Vec<(u32, u32)>,
    outcomes: Outcomes,
    begun: bool,
    mover: Option<Agent>,
}

impl EventQueue {
    /// Runs on a virtual clock, by seed (which decides faults, and speeds at a random pace).
    pub fn new(seed: u64, pace: Pace) -> EventQueue {
        EventQueue {
            seed,
            pace,
            now: 0,
            sequence: 0,
            queue: BinaryHeap::new(),
            dues: Vec::new(),
            speeds: Vec::new(),
            outcomes: Outcomes::default(),
            begun: false,
            mover: None,
        }
    }

    /// The virtual clock, in nanoseconds since the start of the run.
    pub fn now_ns(&self) -> u64 {
        self.now
    }

    /// Looks at an agent again after something happened to it.
    fn update<M: Timed>(&mut self, model: &M, agent: Agent) {
        let due = &mut self.dues[agent as usize];
        if !model.is_ready(agent) {
            due.sequence = 0;
            return;
        }
        let (speed, rank) = self.speeds[agent as usize];
        let stretched = (u128::from(model.delay_ns(agent)) << speed) >> 3;
        let delay = u64::try_from(stretched).unwrap_or(u64::MAX);
        if due.sequence == 0 || self.mover == Some(agent) {
            due.since = self.now;
        } else if due.delay == delay {
            return;
        }
        self.sequence += 1;
        due.delay = delay;
        due.sequence = self.sequence;
        // A delay that shrank below the time already waited is due now.
        let at = due.since.saturating_add(delay).max(self.now);
        self.queue.push(Reverse((at, rank, self.sequence, agent)));
    }
}

impl<M: Timed> Scheduler<M> for EventQueue {
    fn begin(&mut self, model: &M, run: u64) -> bool {
        let n = model.agents();
        (self.now, self.sequence, self.mover, self.begun) = (0, 0, None, false);
        self.queue.clear();
        self.dues.clear();
        self.dues.resize(n, Due::default());
        self.speeds.clear();
        self.speeds.resize(n, (3, 0));
        if self.pace == Pace::Random {
            let mut setup = Stream::new(self.seed, run, Purpose::Setup);
            let mut ranks: Vec<u32> = (0..n as u32).collect();
            setup.shuffle(&mut ranks);
            for (speed, rank) in self.speeds.iter_mut().zip(ranks) {
                *speed = (setup.below(7) as u32, rank);
            }
        }
        self.outcomes.begin(self.seed, run);
        true
    }

    fn pick(&mut self, model: &M) -> Option<M::Move> {
        // A run can be over while somebody is still due: nobody was told.
        if model.ready() == 0 {
            return None;
        }
        if self.begun {
            for &agent in model.changed() {
                self.update(model, agent);
                // Listed twice, it must not begin to wait anew.
                if self.mover == Some(agent) {
                    self.mover = None;
                }
            }
        } else {
            self.begun = true;
            (0..model.agents() as Agent).for_each(|agent| self.update(model, agent));
        }
        loop {
            let Reverse((at, _, sequence, agent)) = self.queue.pop()?;
            if self.dues[agent as usize].sequence == sequence {
                self.now = at;
                self.mover = Some(agent);
                let outcome = if model.outcomes(agent) > 1 {
                    model.timed_outcome(agent, self.outcomes.get().bits())
                } else {
                    0
                };
                return Some(model.move_of(agent, outcome));
            }
        }
    }
}
