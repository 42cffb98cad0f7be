//! Many random runs of one machine, on many threads, with the same result on any number of them.
//!
//! Run number n is the same whichever thread makes it and whatever was run before, and everything
//! that is kept of runs is a sum, a union, or the least of something.

use crate::engine::explore::visited::{Seen, Visited};
use crate::engine::model::{Agent, Ending, Model, Props, Stepped};
use crate::engine::run::{Limits, Runner, Scheduler, first_divergence};
use crate::judged::Judged;
use crate::kernel::sim::Move;
use crate::report::signature::{Signature, failures};
use crate::schedule::{Kind, Params};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// First runs of which every failure is looked at closely. Later ones are if they break an
/// invariant at another place than any of these.
const CLOSE: u64 = 1024;

/// Runs that a thread takes at a time.
const BLOCK: u64 = 64;

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who chooses the moves.
    pub kind: Kind,
    /// With which parameters.
    pub params: Params,
    /// Number of runs at most.
    pub runs: u64,
    /// Most steps of a run.
    pub steps: usize,
    /// Threads; no result depends on it unless the runs are ended early.
    pub jobs: usize,
    /// One run in so many is made twice and compared; 0: none.
    pub check_every: u64,
    /// Bytes that each thread's set of states may take.
    pub bytes: usize,
}

/// The outside world of the runs.
pub trait Control: Sync {
    /// Whether to end early; asked between blocks of runs, with the runs made so far.
    fn stop(&self, _runs: u64) -> bool {
        false
    }

    /// Called at once when a new kind of failure was found, or one in an earlier run than before.
    fn found(&self, _signature: Signature, _run: u64, _moves: &[Move]) {}
}

impl Control for () {}

/// What was counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// Runs.
    pub runs: u64,
    /// Steps of all runs.
    pub steps: u64,
    /// Runs by how they ended; the last are those that the limit on steps ended.
    pub ends: [u64; 5],
    /// For each property, the runs in which it was broken.
    pub broken: [u64; 32],
    /// For each property, the runs in which its premise arose.
    pub reached: [u64; 32],
    /// For each broken property, the fewest steps to it, and the run.
    pub quickest: [Option<(usize, u64)>; 32],
    /// Runs that were made twice.
    pub checked: u64,
    /// The first run that was not the same the second time, and the step.
    pub diverged: Option<(u64, usize)>,
    /// Distinct states.
    pub states: Visited,
    /// Whether some states were not counted because the memory for them was full.
    pub full: bool,
    /// Each kind of failure with the first run in which it was seen.
    pub kinds: BTreeMap<Signature, u64>,
    /// Where invariants were broken for the first time in a run.
    places: BTreeSet<Place>,
}

/// A cheap stand-in for a [`Signature`]: the property, who broke it, and its next step.
type Place = (usize, Agent, &'static str);

impl Tally {
    fn merge(&mut self, other: Tally) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.checked += other.checked;
        self.full |= other.full;
        let sums = [(&mut self.broken, other.broken), (&mut self.reached, other.reached)];
        for (mine, theirs) in sums {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
        self.ends.iter_mut().zip(other.ends).for_each(|(a, b)| *a += b);
        for (mine, theirs) in self.quickest.iter_mut().zip(other.quickest) {
            *mine = mine.iter().copied().chain(theirs).min();
        }
        self.diverged = self.diverged.into_iter().chain(other.diverged).min();
        self.states.merge(&other.states);
        for (signature, run) in other.kinds {
            let first = self.kinds.entry(signature).or_insert(run);
            *first = run.min(*first);
        }
        self.places.extend(other.places);
    }
}

/// Makes the runs.
pub fn fuzz(start: &Judged, options: &Options, control: &impl Control) -> Tally {
    let none = BTreeSet::new();
    let close = CLOSE.min(options.runs);
    let mut tally = phase(start, options, control, 0..close, &none);
    let places = std::mem::take(&mut tally.places);
    if close < options.runs && tally.diverged.is_none() {
        tally.merge(phase(start, options, control, close..options.runs, &places));
    }
    tally
}

/// Makes some of the runs. Failures at places that are `known` are only counted.
fn phase(
    start: &Judged,
    options: &Options,
    control: &impl Control,
    runs: std::ops::Range<u64>,
    known: &BTreeSet<Place>,
) -> Tally {
    let (next, over) = (AtomicU64::new(runs.start), AtomicBool::new(false));
    let work = |start: Judged| {
        let mut thread = Thread::new(start, options, known);
        while !over.load(Ordering::Acquire) {
            let from = next.fetch_add(BLOCK, Ordering::AcqRel);
            if from >= runs.end || control.stop(from) {
                break;
            }
            for run in from..runs.end.min(from + BLOCK) {
                thread.run(run, control);
            }
            if thread.tally.diverged.is_some() {
                over.store(true, Ordering::Release);
            }
        }
        thread.tally
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let spawn = |_| {
            let start = start.clone();
            scope.spawn(|| work(start))
        };
        let threads: Vec<_> = (0..options.jobs.max(1)).map(spawn).collect();
        for thread in threads {
            match thread.join() {
                Ok(part) => tally.merge(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    tally
}

/// One thread's share.
struct Thread<'a> {
    start: Judged,
    options: &'a Options,
    known: &'a BTreeSet<Place>,
    scheduler: Box<dyn Scheduler<Judged>>,
    runner: Runner<Judged>,
    tally: Tally,
}

impl<'a> Thread<'a> {
    fn new(start: Judged, options: &'a Options, known: &'a BTreeSet<Place>) -> Thread<'a> {
        let scheduler = options.kind.build(options.params);
        let runner = Runner::new(start.clone());
        let mut tally = Tally::default();
        tally.states.claim(start.fingerprint(), |_| ());
        Thread { start, options, known, scheduler, runner, tally }
    }

    fn run(&mut self, run: u64, control: &impl Control) {
        let limits = Limits { steps: self.options.steps, stop_at: Props::NONE };
        let Thread { scheduler, runner, tally, .. } = self;
        let Tally { states, full, .. } = tally;
        *full |= states.bytes() > self.options.bytes;
        let (counting, mut step) = (!*full, 0);
        let mut first: Vec<(Place, usize)> = Vec::new();
        let observe = |model: &Judged, mv: Move, stepped: Stepped| {
            step += 1;
            if counting {
                states.claim(model.fingerprint(), |_| ());
            }
            for i in stepped.broken.iter() {
                if first.iter().all(|(place, _)| place.0 != i) {
                    let next = model.sim().label(mv.agent).map_or("", |label| label.name);
                    first.push(((i, mv.agent, next), step));
                }
            }
        };
        let Some(outcome) = runner.run(scheduler.as_mut(), run, limits, observe) else { return };
        let by_steps = first.iter().fold(Props::NONE, |s, f| s.union(Props::one(f.0.0)));
        let by_end = Props(outcome.broken.0 & !by_steps.0);
        first.extend(by_end.iter().map(|i| ((i, Agent::MAX, ""), outcome.steps)));
        tally.runs += 1;
        tally.steps += outcome.steps as u64;
        tally.ends[outcome.ending.map_or(4, |e: Ending| e as usize)] += 1;
        outcome.reached.iter().for_each(|i| tally.reached[i] += 1);
        for &((i, ..), steps) in &first {
            tally.broken[i] += 1;
            let quickest = &mut tally.quickest[i];
            *quickest = quickest.iter().copied().chain([(steps, run)]).min();
        }
        if first.iter().any(|(place, _)| !self.known.contains(place)) {
            self.look_closely(run, control);
        }
        self.tally.places.extend(first.into_iter().map(|(place, _)| place));
        let every = self.options.check_every;
        if every > 0 && run.is_multiple_of(every) {
            self.check(run, limits);
        }
    }

    /// Notes the kinds of failure of the last run.
    fn look_closely(&mut self, run: u64, control: &impl Control) {
        for failed in failures(self.start.sim(), self.runner.schedule()) {
            // The order of locks is a matter of all runs together.
            if failed.signature.invariant == crate::kernel::invariant::LOCK_ORDER {
                continue;
            }
            let known = self.tally.kinds.get(&failed.signature);
            if known.is_none_or(|&first| run < first) {
                self.tally.kinds.insert(failed.signature, run);
                let moves = &self.runner.schedule()[..failed.steps];
                control.found(failed.signature, run, moves);
            }
        }
    }

    /// Makes a run twice more and compares the fingerprints of every step.
    fn check(&mut self, run: u64, limits: Limits) {
        self.tally.checked += 1;
        if let Some(step) = first_divergence(&self.start, self.scheduler.as_mut(), run, limits) {
            let diverged = Some((run, step));
            self.tally.diverged = self.tally.diverged.into_iter().chain(diverged).min();
        }
    }
}

/// The moves of one run.
pub fn one(start: &Judged, options: &Options, run: u64) -> (Vec<Move>, Option<String>) {
    let mut scheduler: Box<dyn Scheduler<Judged>> = options.kind.build(options.params);
    let mut runner = Runner::new(start.clone());
    let limits = Limits { steps: options.steps, stop_at: Props::NONE };
    runner.run(scheduler.as_mut(), run, limits, |_, _, _| ());
    (runner.schedule().to_vec(), scheduler.guarantee())
}
