//! Designs side by side: what each proves of each invariant in the same scenarios, and what it
//! costs in the same runs.

use crate::engine::explore::{self, Control, Options, Poll, Progress, Verdict};
use crate::engine::model::{Model, Props};
use crate::engine::run::{Limits, Runner};
use crate::engine::shrink;
use crate::judged::Judged;
use crate::kernel::invariant::{LOCK_ORDER, TABLE};
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::Strategy;
use crate::kernel::world::price::{Price, Prices};
use crate::litmus::stats::interval_95;
use crate::measure;
use crate::scenario::Loaded;
use crate::schedule::keyed::Keyed;
use crate::schedule::timed::Pace;

/// How thoroughly designs are compared.
#[derive(Clone, Debug)]
pub struct Effort {
    /// How a scenario's interleavings are searched.
    pub search: Options,
    /// Schedules that every design runs where the search of one of them was cut.
    pub schedules: u64,
    /// Timed runs from which prices are taken.
    pub runs: u64,
}

/// What one design says of one invariant.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// Its premise never arose in a completed search.
    Vacuous,
    /// It holds in all of so many states.
    Proved {
        /// Distinct states.
        states: u64,
    },
    /// It was not broken in so many runs; a search was not completed.
    Bounded {
        /// Runs.
        runs: u64,
    },
    /// It is broken.
    Refuted {
        /// Length of the shortest run that breaks it, as far as that is known.
        steps: usize,
        /// Whether none is shorter.
        shortest: bool,
        /// The run. Empty for lock-order, which is broken by all runs together, and for worlds
        /// that are too large to keep one.
        moves: Vec<Move>,
        /// Of so many runs so many broke it; none where there was a search.
        hits: Option<(u64, u64)>,
    },
}

impl Cell {
    /// The verdict in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Cell::Vacuous => "vacuous",
            Cell::Proved { .. } => "proved",
            Cell::Bounded { .. } => "bounded",
            Cell::Refuted { .. } => "refuted",
        }
    }

    /// The 95% interval of the probability that a run breaks it, where that was sampled.
    pub fn interval(&self) -> Option<(f64, f64)> {
        match *self {
            Cell::Bounded { runs } => Some(interval_95(0, runs)),
            Cell::Refuted { hits: Some((hits, runs)), .. } => Some(interval_95(hits, runs)),
            _ => None,
        }
    }
}

/// One design in one scenario.
#[derive(Clone, Debug)]
pub struct Findings {
    /// A verdict for each invariant, in the order of the table.
    pub cells: Vec<Cell>,
    /// Invariants that were at risk.
    pub reached: Props,
    /// What each of the timed runs cost.
    pub prices: Vec<Prices>,
    /// Distinct states of the search.
    pub states: u64,
    /// Whether the search was completed.
    pub complete: bool,
}

/// The first state of a scenario under a design.
pub fn start(loaded: &Loaded, strategy: Strategy) -> Judged {
    Judged::new(Sim::new(loaded.plan.clone(), strategy), Vec::new())
}

/// Whether a scenario says that it is too large to be searched.
fn too_large(loaded: &Loaded) -> bool {
    loaded.limits().runs.is_some()
}

/// Searches a scenario under a design, or makes timed runs of one that is too large for that.
pub fn search(
    loaded: &Loaded,
    strategy: Strategy,
    effort: &Effort,
    control: &impl Control<Judged>,
) -> Findings {
    if stops(control) {
        return Findings {
            cells: vec![Cell::Bounded { runs: 0 }; TABLE.len()],
            reached: Props::NONE,
            prices: Vec::new(),
            states: 0,
            complete: false,
        };
    }
    let start = start(loaded, strategy);
    let (cells, reached, states, complete) = if too_large(loaded) {
        (vec![Cell::Vacuous; TABLE.len()], Props::NONE, 0, false)
    } else {
        let report = start.complete(explore::explore(&start, &effort.search, control));
        let cells = (0..TABLE.len()).map(|i| cell(&start, &report, i)).collect();
        (cells, report.reached.union(report.broken), report.states, report.is_complete())
    };
    let runs = if too_large(loaded) { loaded.limits().runs.unwrap_or(1) } else { effort.runs };
    let mut found = Findings { cells, reached, prices: Vec::new(), states, complete };
    let mut tally = Sampled::default();
    for run in 0..runs {
        if stops(control) {
            break;
        }
        let measured = measure::measure(&start, 0, run, Pace::Random);
        let at = |i| measured.broken_at.get(&i).copied().unwrap_or(measured.steps);
        tally.add(measured.broken, measured.reached, at, Vec::new);
        found.prices.push(measured.prices);
    }
    if too_large(loaded) {
        tally.decide(&start, &mut found);
    }
    found
}

/// Makes the schedules that all designs share, for a design in a scenario of which some search was
/// cut. What this design's own search has decided stays.
pub fn sample(
    loaded: &Loaded,
    strategy: Strategy,
    effort: &Effort,
    control: &impl Control<Judged>,
    found: &mut Findings,
) {
    if found.complete || too_large(loaded) {
        return;
    }
    let start = start(loaded, strategy);
    let mut runner = Runner::new(start.clone());
    let mut scheduler = Keyed::new(0);
    let limits = Limits { steps: SAMPLE_STEPS, ..Limits::default() };
    let mut tally = Sampled::default();
    for run in 0..effort.schedules {
        if stops(control) {
            break;
        }
        let made = runner.run(&mut scheduler, run, limits, |_, _, _| ());
        let Some(outcome) = made else { break };
        let moves = || runner.schedule().to_vec();
        tally.add(outcome.broken, outcome.reached, |_| outcome.steps, moves);
    }
    tally.decide(&start, found);
}

/// What the first of the shared schedules break under a design; ends with the first that breaks
/// anything.
pub fn breaks(loaded: &Loaded, strategy: Strategy, schedules: u64) -> Props {
    if too_large(loaded) {
        return Props::NONE;
    }
    let limits = Limits { steps: SAMPLE_STEPS, stop_at: Props(u32::MAX) };
    let mut runner = Runner::new(start(loaded, strategy));
    let mut scheduler = Keyed::new(0);
    let mut runs = (0..schedules)
        .filter_map(|run| runner.run(&mut scheduler, run, limits, |_, _, _| ()))
        .map(|outcome| outcome.broken);
    runs.find(|broken| !broken.is_empty()).unwrap_or(Props::NONE)
}

/// Longest run of a shared schedule.
const SAMPLE_STEPS: usize = 20_000;

fn stops(control: &impl Control<Judged>) -> bool {
    matches!(control.poll(&Progress::default()), Poll::Stop(_))
}

fn cell(start: &Judged, report: &explore::Report<Move>, i: usize) -> Cell {
    match report.verdict(i) {
        Verdict::Proved => Cell::Proved { states: report.states },
        Verdict::Vacuous => Cell::Vacuous,
        Verdict::Bounded(_) => Cell::Bounded { runs: 0 },
        Verdict::Refuted => {
            let witness = report.witnesses.iter().find(|w| w.property == i);
            let shortest = witness.is_some_and(|w| w.shortest);
            let moves = match witness {
                Some(w) if w.shortest => w.moves.clone(),
                Some(w) => shrink::shrink(start, &w.moves, Props::one(i), |_| true),
                None => Vec::new(),
            };
            Cell::Refuted { steps: moves.len(), shortest, moves, hits: None }
        }
    }
}

/// What runs have shown.
#[derive(Debug, Default)]
struct Sampled {
    runs: u64,
    reached: Props,
    hits: [u64; 32],
    /// The shortest run that broke it.
    best: [Option<(usize, Vec<Move>)>; 32],
}

impl Sampled {
    /// A run that broke these after so many steps.
    fn add(
        &mut self,
        broken: Props,
        reached: Props,
        at: impl Fn(usize) -> usize,
        moves: impl Fn() -> Vec<Move>,
    ) {
        self.runs += 1;
        self.reached = self.reached.union(reached).union(broken);
        for i in broken.iter().filter(|&i| i < TABLE.len()) {
            let steps = at(i);
            self.hits[i] += 1;
            if self.best[i].as_ref().is_none_or(|best| steps < best.0) {
                self.best[i] = Some((steps, moves()));
            }
        }
    }

    /// Decides what no search has decided.
    fn decide(self, start: &Judged, found: &mut Findings) {
        found.reached = found.reached.union(self.reached);
        for (i, cell) in found.cells.iter_mut().enumerate() {
            if matches!(cell, Cell::Proved { .. } | Cell::Refuted { hits: None, .. }) {
                continue;
            }
            *cell = match &self.best[i] {
                Some((steps, moves)) if moves.is_empty() => {
                    let hits = Some((self.hits[i], self.runs));
                    Cell::Refuted { steps: *steps, shortest: false, moves: Vec::new(), hits }
                }
                Some((_, moves)) => {
                    let moves = shrink::shrink(start, moves, Props::one(i), |_| true);
                    let hits = Some((self.hits[i], self.runs));
                    Cell::Refuted { steps: moves.len(), shortest: false, moves, hits }
                }
                None if i == LOCK_ORDER && start.lock_cycle().is_some() => {
                    Cell::Refuted { steps: 0, shortest: false, moves: Vec::new(), hits: None }
                }
                None => Cell::Bounded { runs: self.runs },
            };
        }
    }
}

/// The least, the middle and the greatest of what runs cost.
pub fn spread(prices: &[Prices], price: Price) -> (u64, u64, u64) {
    let mut all: Vec<u64> = prices.iter().map(|p| p.get(price)).collect();
    all.sort_unstable();
    match (all.first(), all.get(all.len() / 2), all.last()) {
        (Some(&least), Some(&middle), Some(&greatest)) => (least, middle, greatest),
        _ => (0, 0, 0),
    }
}

/// Two runs of one schedule under two designs.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The designs' first states.
    pub starts: [Judged; 2],
    /// Their moves.
    pub moves: [Vec<Move>; 2],
    /// What each broke.
    pub broken: [Props; 2],
}

/// Makes the same schedule under two designs.
pub fn pair(loaded: &Loaded, designs: [Strategy; 2], run: u64) -> Pair {
    let starts = designs.map(|strategy| start(loaded, strategy));
    let limits = Limits { steps: SAMPLE_STEPS, ..Limits::default() };
    let made = starts.clone().map(|start| {
        let mut runner = Runner::new(start);
        let outcome = runner.run(&mut Keyed::new(0), run, limits, |_, _, _| ());
        (runner.schedule().to_vec(), outcome.map_or(Props::NONE, |o| o.broken))
    });
    let [a, b] = made;
    Pair { starts, moves: [a.0, b.0], broken: [a.1, b.1] }
}

/// Where two runs of one schedule go apart, by the number of the step from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Parting {
    /// The first step that changes the machine in another way, or breaks another rule.
    pub differs: Option<usize>,
    /// The first that is another step, or another agent's: from here on there is no same run. The
    /// shorter length if one run is the beginning of the other.
    pub parts: Option<usize>,
}

/// Where two runs go apart.
pub fn parting(pair: &Pair) -> Parting {
    let [mut a, mut b] = pair.starts.clone();
    let mut found = Parting::default();
    for (n, (&x, &y)) in pair.moves[0].iter().zip(&pair.moves[1]).enumerate() {
        if (x, a.key(x.agent)) != (y, b.key(y.agent)) {
            return Parting { parts: Some(n), ..found };
        }
        // Equal changes change the fingerprint equally, wherever it stood.
        let change = |judged: &mut Judged, mv: Move| {
            let before = judged.sim().world.fingerprint();
            let broken = judged.apply(mv).broken;
            (broken, before ^ judged.sim().world.fingerprint())
        };
        if change(&mut a, x) != change(&mut b, y) {
            found.differs.get_or_insert(n);
        }
    }
    let [x, y] = [pair.moves[0].len(), pair.moves[1].len()];
    Parting { parts: (x != y).then_some(x.min(y)), ..found }
}
