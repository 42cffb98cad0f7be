//! The hunt for broken claims: made-up scenarios, each run a number of times, under the property
//! that a design keeps what it claims to keep.
//!
//! Scenario number n is made and run by itself, so that what is found does not depend on the
//! number of threads; of failures of one kind under one design the lowest number is kept.

use super::scenario;
use crate::engine::explore::visited::Seen;
use crate::fuzz;
use crate::judged::Judged;
use crate::kernel::invariant::TABLE;
use crate::kernel::sim::Sim;
use crate::kernel::strategy::claims::{Claim, claimed};
use crate::kernel::strategy::situation::Situation;
use crate::kernel::strategy::{Guard, Strategy};
use crate::report::signature::Signature;
use crate::scenario::problem::Problem;
use crate::scenario::types::Scenario;
use crate::scenario::{Loaded, Problems, load, write};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A design under which scenarios are made.
#[derive(Clone, Debug)]
pub struct Design {
    /// Its preset.
    pub preset: String,
    /// What differs from the preset, axis by axis.
    pub differs: Vec<(String, String)>,
}

impl Design {
    /// It in words.
    pub fn words(&self) -> String {
        let differs = self.differs.iter().map(|(axis, value)| format!(" {axis}={value}"));
        self.preset.clone() + &differs.collect::<String>()
    }
}

/// What is hunted.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of the scenarios.
    pub seed: u64,
    /// Number of scenarios at most.
    pub scenarios: u64,
    /// Designs, taken in turn.
    pub designs: Vec<Design>,
    /// A guard that is taken away, for tests: what the designs claim is then not so.
    pub without: Option<Guard>,
    /// How each scenario is run.
    pub runs: fuzz::Options,
    /// Threads.
    pub jobs: usize,
}

/// The outside world of a hunt.
pub trait Control: Sync {
    /// Whether to end early; asked before each scenario, with the number of those begun.
    fn stop(&self, _begun: u64) -> bool {
        false
    }

    /// Called when a claim was found broken in a new way, or by a lower number than before.
    fn found(&self, _broken: &Broken, _made: &Made) {}
}

impl Control for () {}

/// A scenario that was made up, and what is claimed of it.
#[derive(Debug)]
pub struct Made {
    /// The scenario, compiled.
    pub loaded: Loaded,
    /// What its design claims to keep.
    pub claims: Vec<&'static Claim>,
}

impl Made {
    /// Whether it is claimed that an invariant is kept.
    pub fn claims(&self, invariant: usize) -> bool {
        self.claims.iter().any(|c| TABLE.get(invariant).is_some_and(|i| i.name == c.invariant))
    }
}

/// Scenario `number` of a seed under a design.
///
/// # Errors
/// If it cannot be compiled, which is a bug of whoever makes it.
pub fn make(seed: u64, number: u64, designs: &[Design]) -> Result<Made, Problems> {
    let mut scenario = scenario(seed, number);
    if let Some(design) = designs.get((number % designs.len().max(1) as u64) as usize) {
        scenario.preset = Some(design.preset.clone());
        scenario.strategy = design.differs.iter().cloned().collect();
    }
    of(&scenario)
}

/// A scenario with what is claimed of it.
///
/// # Errors
/// If it cannot be compiled.
pub fn of(scenario: &Scenario) -> Result<Made, Problems> {
    let loaded = load::text(&scenario.title, &write::text(scenario))?;
    let claims = claimed(&loaded.strategy, &Situation::of(&loaded.plan));
    Ok(Made { loaded, claims })
}

/// A claim that does not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    /// How.
    pub signature: Signature,
    /// The design.
    pub strategy: Strategy,
    /// The scenario's number.
    pub number: u64,
    /// The run of it.
    pub run: u64,
    /// Scenarios in which it was broken in this way.
    pub scenarios: u64,
}

/// What came of a hunt.
#[derive(Debug, Default)]
pub struct Tally {
    /// Scenarios.
    pub scenarios: u64,
    /// Runs of all of them.
    pub runs: u64,
    /// Steps of all runs.
    pub steps: u64,
    /// Distinct states: those of each scenario, all together.
    pub states: u64,
    /// Whether some states were not counted because the memory for them was full.
    pub full: bool,
    /// Runs that were made twice.
    pub checked: u64,
    /// For each invariant, the runs in which its premise arose.
    pub reached: [u64; 32],
    /// For each invariant, the scenarios for which it was claimed and in which its premise arose.
    pub tested: [u64; 32],
    /// For each invariant, the scenarios in which it was broken although it was claimed.
    pub failed: [u64; 32],
    /// For each invariant, the scenarios in which it was broken and nobody had claimed it.
    pub unclaimed: [u64; 32],
    /// For each broken claim the fewest steps to it, the scenario and the run.
    pub quickest: [Option<(usize, u64, u64)>; 32],
    /// Claims that do not hold, by how and under which design.
    pub broken: BTreeMap<(Signature, String), Broken>,
    /// The first scenario that could not be compiled, and why.
    pub refused: Option<(u64, String)>,
    /// The first scenario whose runs were not the same the second time, the run, the step.
    pub diverged: Option<(u64, u64, usize)>,
}

impl Tally {
    fn merge(&mut self, other: Tally) {
        self.scenarios += other.scenarios;
        self.runs += other.runs;
        self.steps += other.steps;
        self.states += other.states;
        self.full |= other.full;
        self.checked += other.checked;
        let sums = [
            (&mut self.reached, other.reached),
            (&mut self.tested, other.tested),
            (&mut self.failed, other.failed),
            (&mut self.unclaimed, other.unclaimed),
        ];
        for (mine, theirs) in sums {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
        for (mine, theirs) in self.quickest.iter_mut().zip(other.quickest) {
            *mine = mine.iter().copied().chain(theirs).min();
        }
        for (key, theirs) in other.broken {
            match self.broken.get_mut(&key) {
                None => drop(self.broken.insert(key, theirs)),
                Some(mine) => {
                    let scenarios = mine.scenarios + theirs.scenarios;
                    if theirs.number < mine.number {
                        *mine = theirs;
                    }
                    mine.scenarios = scenarios;
                }
            }
        }
        self.refused = [self.refused.take(), other.refused].into_iter().flatten().min();
        self.diverged = [self.diverged, other.diverged].into_iter().flatten().min();
    }
}

/// Hunts.
pub fn hunt(options: &Options, control: &impl Control) -> Tally {
    let (next, lowest) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        let mut tally = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::AcqRel);
            if number >= options.scenarios || control.stop(number) {
                return tally;
            }
            one(options, number, control, &lowest, &mut tally);
        }
    };
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            match thread.join() {
                Ok(part) => all.merge(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    all
}

/// The lowest number that is known for each kind of failure under each design.
type Lowest = Mutex<BTreeMap<(Signature, String), u64>>;

/// The runs of a scenario end with the hunt.
struct Within<'a, C>(&'a C, u64);

impl<C: Control> fuzz::Control for Within<'_, C> {
    fn stop(&self, _runs: u64) -> bool {
        self.0.stop(self.1)
    }
}

/// Makes and runs one scenario.
fn one(options: &Options, number: u64, control: &impl Control, lowest: &Lowest, tally: &mut Tally) {
    let made = match make(options.seed, number, &options.designs) {
        Ok(made) => made,
        Err(problems) => {
            let why = |p: &Problem| format!("{} ({})", p.message, p.path);
            let first = (number, problems.list.first().map(why).unwrap_or_default());
            tally.refused = [tally.refused.take(), Some(first)].into_iter().flatten().min();
            return;
        }
    };
    let strategy = Strategy { without: options.without, ..made.loaded.strategy };
    let start = Judged::new(Sim::new(made.loaded.plan.clone(), strategy), Vec::new());
    let found = fuzz::fuzz(&start, &options.runs, &Within(control, number));
    tally.scenarios += 1;
    tally.runs += found.runs;
    tally.steps += found.steps;
    tally.states += found.states.len() as u64;
    tally.full |= found.full;
    tally.checked += found.checked;
    if let Some((run, step)) = found.diverged {
        tally.diverged = [tally.diverged, Some((number, run, step))].into_iter().flatten().min();
    }
    for i in 0..TABLE.len() {
        let claims = made.claims(i);
        let broken = found.broken[i] > 0;
        tally.reached[i] += found.reached[i];
        tally.tested[i] += u64::from(claims && (found.reached[i] > 0 || broken));
        tally.failed[i] += u64::from(claims && broken);
        tally.unclaimed[i] += u64::from(!claims && broken);
        let quickest = found.quickest[i].filter(|_| claims);
        let quickest = quickest.map(|(steps, run)| (steps, number, run));
        tally.quickest[i] = tally.quickest[i].into_iter().chain(quickest).min();
    }
    for (signature, run) in found.kinds {
        if !made.claims(signature.invariant) {
            continue;
        }
        let key = (signature, design(options, number));
        let broken = Broken { signature, strategy, number, run, scenarios: 1 };
        let known = tally.broken.entry(key.clone()).or_insert_with(|| broken.clone());
        if known.number != number {
            known.scenarios += 1;
            if number < known.number {
                *known = Broken { scenarios: known.scenarios, ..broken.clone() };
            }
        }
        // One at a time: a file ends up with the lowest number.
        let mut lowest = lowest.lock().unwrap_or_else(|e| e.into_inner());
        if lowest.get(&key).is_none_or(|&n| number < n) {
            lowest.insert(key, number);
            control.found(&broken, &made);
        }
    }
}

/// The design of a number in words.
fn design(options: &Options, number: u64) -> String {
    let n = number % options.designs.len().max(1) as u64;
    options.designs.get(n as usize).map(Design::words).unwrap_or_default()
}
