//! Probabilistic concurrency testing: random priorities and a few random changes of them.
//!
//! Burckhardt, Kothari, Musuvathi and Nagarakatte, ASPLOS 2010: a bug of depth d (d orderings
//! suffice for it) in a program of n threads and k steps is hit with probability at least
//! 1/(n k^(d-1)) in each run, whatever the program.

use super::random::{Outcomes, outcome};
use super::stream::{Purpose, Stream};
use crate::engine::model::{Agent, Model};
use crate::engine::run::Scheduler;

/// Runs in which the length of runs is measured if it is not given.
const MEASURED_RUNS: u64 = 16;

/// Longest run that the measurement follows.
const MEASURED_STEPS: usize = 100_000;

/// PCT with distinct random priorities and d-1 distinct change points in 1..=k.
#[derive(Clone, Debug)]
pub struct Pct {
    seed: u64,
    depth: usize,
    steps: Option<usize>,
    agents: usize,
    /// By agent; higher goes first. Changed priorities are below `depth`.
    priorities: Vec<usize>,
    /// Step numbers from 1, with the priority that the agent about to move then gets.
    changes: Vec<(usize, usize)>,
    step: usize,
    outcomes: Outcomes,
}

impl Pct {
    /// For bugs of depth `depth` (at least 1) in runs of `steps` moves; measured if not given.
    pub fn new(seed: u64, depth: usize, steps: Option<usize>) -> Pct {
        Pct {
            seed,
            depth: depth.max(1),
            steps,
            agents: 0,
            priorities: Vec::new(),
            changes: Vec::new(),
            step: 0,
            outcomes: Outcomes::default(),
        }
    }

    /// The lower bound on the probability of each run to hit a bug of the depth.
    pub fn bound(&self) -> f64 {
        let k = self.steps.unwrap_or(1).max(1) as f64;
        1.0 / (self.agents.max(1) as f64 * k.powi(self.depth as i32 - 1))
    }

    /// The runs after which such a bug has been hit with probability 99%.
    pub fn runs_for_99_percent(&self) -> f64 {
        match self.bound() {
            b if b >= 1.0 => 1.0,
            b => (0.01f64.ln() / f64::ln_1p(-b)).ceil(),
        }
    }
}

/// The longest of a few random walks.
fn measure<M: Model>(model: &M, seed: u64) -> usize {
    let mut longest = 1;
    for run in 0..MEASURED_RUNS {
        let mut model = model.clone();
        let mut stream = Stream::new(seed, run, Purpose::Calibration);
        let mut steps = 0;
        while model.ready() > 0 && steps < MEASURED_STEPS {
            let agent = model.nth_ready(stream.below(model.ready()));
            let outcome = stream.below(model.outcomes(agent));
            model.apply(model.move_of(agent, outcome));
            steps += 1;
        }
        longest = longest.max(steps);
    }
    longest
}

impl<M: Model> Scheduler<M> for Pct {
    fn begin(&mut self, model: &M, run: u64) -> bool {
        let seed = self.seed;
        let k = *self.steps.get_or_insert_with(|| measure(model, seed));
        self.agents = model.agents();
        let mut setup = Stream::new(seed, run, Purpose::Setup);
        self.priorities.clear();
        self.priorities.extend((0..self.agents).map(|a| self.depth + a));
        setup.shuffle(&mut self.priorities);
        self.changes.clear();
        // Never more change points than steps to put them at.
        while self.changes.len() < (self.depth - 1).min(k) {
            let at = setup.below(k) + 1;
            if self.changes.iter().all(|c| c.0 != at) {
                self.changes.push((at, self.depth - 1 - self.changes.len()));
            }
        }
        self.step = 0;
        self.outcomes.begin(seed, run);
        true
    }

    fn pick(&mut self, model: &M) -> Option<M::Move> {
        self.step += 1;
        let ready = model.ready();
        if ready == 0 {
            return None;
        }
        let first = |priorities: &[usize]| -> Agent {
            let ranked = (0..ready).map(|k| model.nth_ready(k));
            ranked.max_by_key(|&a| priorities[a as usize]).unwrap_or_default()
        };
        let mut agent = first(&self.priorities);
        if let Some(&(_, priority)) = self.changes.iter().find(|c| c.0 == self.step) {
            self.priorities[agent as usize] = priority;
            agent = first(&self.priorities);
        }
        Some(outcome(model, agent, &mut self.outcomes))
    }

    fn guarantee(&self) -> Option<String> {
        Some(format!(
            "n = {}, k = {}, d = {}: each run hits a bug of depth {} with probability at least \
             1/(n k^(d-1)) = {:.3e}; {:.0} runs for 99%",
            self.agents,
            self.steps.unwrap_or(0),
            self.depth,
            self.depth,
            self.bound(),
            self.runs_for_99_percent()
        ))
    }
}
