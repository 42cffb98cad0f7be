//! Uniform over interleavings: an agent moves with probability proportional to what it has left.
//!
//! With exact numbers of remaining moves and no waiting, every interleaving is equally likely
//! (the uniform random walk of Zhao et al., "Selectively uniform concurrency testing", ASPLOS
//! 2025); a plain random walk prefers those that finish an agent early. The numbers are learned
//! from a few random walks and are exact where agents always make the same number of moves.

use super::random::{Outcomes, outcome};
use super::stream::{Purpose, Stream};
use crate::engine::model::Model;
use crate::engine::run::Scheduler;

/// Random walks from which the numbers are learned.
const LEARNING_RUNS: u64 = 16;

/// Longest of them.
const LEARNING_STEPS: usize = 100_000;

/// The uniform sampler.
#[derive(Clone, Debug)]
pub struct Uniform {
    seed: u64,
    stream: Stream,
    outcomes: Outcomes,
    /// Moves of each agent in a run, as learned (the mean, rounded up).
    lengths: Vec<usize>,
    left: Vec<usize>,
}

impl Uniform {
    /// A sample for each run, by seed.
    pub fn new(seed: u64) -> Uniform {
        Uniform {
            seed,
            stream: Stream::new(seed, 0, Purpose::Schedule),
            outcomes: Outcomes::default(),
            lengths: Vec::new(),
            left: Vec::new(),
        }
    }

    fn learn<M: Model>(&mut self, start: &M) {
        let mut sums = vec![0; start.agents()];
        for run in 0..LEARNING_RUNS {
            let mut model = start.clone();
            let mut stream = Stream::new(self.seed, run, Purpose::Calibration);
            for _ in 0..LEARNING_STEPS {
                if model.ready() == 0 {
                    break;
                }
                let agent = model.nth_ready(stream.below(model.ready()));
                sums[agent as usize] += 1;
                let outcome = stream.below(model.outcomes(agent));
                model.apply(model.move_of(agent, outcome));
            }
        }
        self.lengths = sums.iter().map(|s: &usize| s.div_ceil(LEARNING_RUNS as usize)).collect();
    }
}

impl<M: Model> Scheduler<M> for Uniform {
    fn begin(&mut self, model: &M, run: u64) -> bool {
        if self.lengths.len() != model.agents() {
            self.learn(model);
        }
        self.left.clone_from(&self.lengths);
        self.stream = Stream::new(self.seed, run, Purpose::Schedule);
        self.outcomes.begin(self.seed, run);
        true
    }

    fn pick(&mut self, model: &M) -> Option<M::Move> {
        let ready = model.ready();
        // Who has outlived what was learned counts as having one move left.
        let weight = |left: &[usize], k: usize| left[model.nth_ready(k) as usize].max(1);
        let total: usize = (0..ready).map(|k| weight(&self.left, k)).sum();
        if total == 0 {
            return None;
        }
        let mut at = self.stream.below(total);
        for k in 0..ready {
            let share = weight(&self.left, k);
            if at < share {
                let agent = model.nth_ready(k);
                let left = &mut self.left[agent as usize];
                *left = left.saturating_sub(1);
                return Some(outcome(model, agent, &mut self.outcomes));
            }
            at -= share;
        }
        None
    }
}
