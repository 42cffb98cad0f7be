//! Holds a scenario's expectations against every interleaving, under the strategies that they
//! name, and its prices against the timed run.

use crate::engine::explore::{self, Bound, Control, Options, Report};
use crate::engine::model::Props;
use crate::judged::{Judged, MOST_CONDITIONS};
use crate::kernel::invariant::{self, LOCK_ORDER, TABLE};
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::Strategy;
use crate::kernel::world::layout::Layout;
use crate::measure;
use crate::scenario::condition::Condition;
use crate::scenario::expect::{Expectation, Expected};
use crate::scenario::load::Loaded;
use crate::scenario::types::{Limits, Verdict};
use crate::schedule::timed::Pace;
use crate::starve;
use std::sync::Arc;

/// How an expectation fared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is met.
    Met,
    /// It is met as far as the bound of this name, which the scenario itself states.
    Within(&'static str),
    /// It is not met.
    Failed,
    /// It is met so far, but the search was cut by this.
    Bounded(&'static str),
    /// It is met because the invariant's premise never arose, or nothing ever ended: it says
    /// nothing.
    Vacuous,
}

impl Fate {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Met => "met",
            Fate::Within(_) => "within",
            Fate::Failed => "failed",
            Fate::Bounded(_) => "bounded",
            Fate::Vacuous => "vacuous",
        }
    }

    /// Whether it is as the scenario expects, as far as the scenario asks.
    pub fn passes(self) -> bool {
        matches!(self, Fate::Met | Fate::Within(_))
    }
}

/// An expectation under one strategy, with what was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Number of the expectation in the scenario.
    pub number: usize,
    /// The strategy, as the expectation names it; empty: the scenario's own.
    pub under: String,
    /// The expectation as it is written.
    pub text: String,
    /// How it fared.
    pub fate: Fate,
    /// What it was held against.
    pub found: Found,
}

impl Line {
    /// Its place among the expectations of its scenario and the strategies that each names.
    pub fn place(&self, loaded: &Loaded) -> (usize, usize) {
        let under = loaded.expectations.get(self.number).map_or(&[][..], |e| &e.under);
        let nth = under.iter().position(|(name, _)| *name == self.under);
        (self.number, nth.unwrap_or(under.len()))
    }
}

/// What an expectation was held against.
#[derive(Clone, PartialEq, Debug)]
pub enum Found {
    /// The end states of a search, or of runs.
    Ends {
        /// The property: an invariant's place in the table, or beyond it.
        property: usize,
        /// End states in which the invariant was broken, or the condition met.
        with: u64,
        /// All other end states.
        without: u64,
        /// Distinct states of the search; the steps of all runs.
        states: u64,
        /// A run that shows it, if there is one and it was kept.
        witness: Option<Vec<Move>>,
    },
    /// The timed run of seed 0.
    Price {
        /// What the run cost.
        value: u64,
        /// Its length in moves.
        steps: usize,
    },
    /// Nothing: there was no time left.
    Nothing,
}

/// An expectation, its number in the scenario, and one of the strategies that it names.
type Named<'a> = (usize, &'a Expectation, &'a str);

/// Expectations that one search holds under one strategy.
#[derive(Clone, Debug, Default)]
pub struct Asked<'a> {
    /// Each with its property.
    list: Vec<(Named<'a>, usize)>,
    /// The conditions among them.
    pub conditions: Vec<Condition>,
}

/// What a scenario expects under a strategy.
fn named(loaded: &Loaded, strategy: Strategy) -> impl Iterator<Item = Named<'_>> {
    loaded.expectations.iter().enumerate().flat_map(move |(number, e)| {
        let named = e.under.iter().filter(move |(_, s)| *s == strategy);
        named.map(move |(name, _)| (number, e, name.as_str()))
    })
}

impl<'a> Asked<'a> {
    /// What a scenario expects of the interleavings under a strategy, in as many parts as it takes
    /// searches; at least one, though it may be empty.
    pub fn of(loaded: &'a Loaded, strategy: Strategy) -> Vec<Asked<'a>> {
        let mut parts = vec![Asked::default()];
        for asked in named(loaded, strategy) {
            let is_condition = matches!(asked.1.what, Expected::Exists(_) | Expected::Forall(_));
            match parts.last() {
                Some(last) if is_condition && last.conditions.len() == MOST_CONDITIONS => {
                    parts.push(Asked::default());
                }
                _ => {}
            }
            if let Some(last) = parts.last_mut() {
                last.add(asked);
            }
        }
        parts
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn add(&mut self, asked: Named<'a>) {
        let property = match &asked.1.what {
            Expected::Invariant(name, _) => invariant::find(name).map(|(i, _)| i),
            Expected::Starved(..) => None,
            Expected::Exists(c) | Expected::Forall(c) => {
                self.conditions.push(c.clone());
                Some(TABLE.len() + self.conditions.len() - 1)
            }
            Expected::Price(_) => None,
        };
        self.list.extend(property.map(|p| (asked, p)));
    }

    /// What a search found about them; its bounds count as stated by the scenario if they are among
    /// these.
    pub fn lines(&self, report: &Report<Move>, stated: &[Bound]) -> Vec<Line> {
        let unstated = report.bounds.iter().find(|b| !stated.contains(b));
        let cut = match unstated {
            Some(bound) => Some(Cut { by: bound.name(), stated: false }),
            None => report.bounds.first().map(|b| Cut { by: b.name(), stated: true }),
        };
        self.all(|property| {
            let with = report.violating_ends[property];
            let shown = report.witnesses.iter().find(|w| w.property == property);
            let evidence = Evidence {
                with,
                without: report.end_states() - with,
                broken: report.broken.has(property),
                reached: report.reached.has(property),
                cut,
            };
            (evidence, report.states, shown.map(|w| w.moves.clone()))
        })
    }

    /// A line for each, from what was found about its property: evidence, states, and a run.
    fn all(&self, found: impl Fn(usize) -> (Evidence, u64, Option<Vec<Move>>)) -> Vec<Line> {
        let line = |&((number, expectation, under), property): &(Named, usize)| {
            let (evidence, states, witness) = found(property);
            let (with, without) = (evidence.with, evidence.without);
            Line {
                number,
                under: under.to_string(),
                text: expectation.text.clone(),
                fate: evidence.fate(&expectation.what),
                found: Found::Ends { property, with, without, states, witness },
            }
        };
        self.list.iter().map(line).collect()
    }
}

/// What cut a search.
#[derive(Clone, Copy, Debug)]
struct Cut {
    by: &'static str,
    /// Whether the scenario says so itself.
    stated: bool,
}

/// What was found about a property.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    /// End states that have it.
    with: u64,
    /// All others.
    without: u64,
    /// Whether it was broken (met) anywhere.
    broken: bool,
    /// Whether its premise arose anywhere.
    reached: bool,
    cut: Option<Cut>,
}

impl Evidence {
    fn fate(self, what: &Expected) -> Fate {
        let so_far = match self.cut {
            None => Fate::Met,
            Some(Cut { by, stated: true }) => Fate::Within(by),
            Some(Cut { by, stated: false }) => Fate::Bounded(by),
        };
        // What a bound that nobody agreed to has cut off may hold what was not found.
        let open = matches!(self.cut, Some(Cut { stated: false, .. }));
        let nothing = |fate| if open { so_far } else { fate };
        match what {
            Expected::Invariant(_, Verdict::Never) => match (self.broken, self.reached) {
                (true, _) => Fate::Failed,
                (false, true) => so_far,
                (false, false) => nothing(Fate::Vacuous),
            },
            Expected::Invariant(_, Verdict::Sometimes) if self.broken => Fate::Met,
            Expected::Exists(_) if self.with > 0 => Fate::Met,
            Expected::Invariant(_, Verdict::Sometimes) | Expected::Exists(_) => {
                nothing(Fate::Failed)
            }
            Expected::Invariant(_, Verdict::Always) | Expected::Forall(_) => {
                match (self.without, self.with) {
                    (0, 0) => nothing(Fate::Vacuous),
                    (0, _) => so_far,
                    _ => Fate::Failed,
                }
            }
            // No end state answers it.
            Expected::Price(_) | Expected::Starved(..) => Fate::Vacuous,
        }
    }
}

/// One search, or one timed run, that expectations of a scenario need.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    /// The scenario.
    pub loaded: &'a Loaded,
    map: Arc<Layout>,
    strategy: Strategy,
    what: What<'a>,
}

#[derive(Clone, Debug)]
enum What<'a> {
    Search(Asked<'a>),
    Prices,
    Starvation,
}

impl<'a> Task<'a> {
    /// All that a scenario's expectations need: for each strategy that they name a search, more if
    /// there are too many conditions for one, and a timed run if there are prices.
    pub fn of(loaded: &'a Loaded) -> Vec<Task<'a>> {
        let map = Arc::new(Layout::new(loaded.plan.clone()));
        let mut strategies: Vec<Strategy> = Vec::new();
        for (_, strategy) in loaded.expectations.iter().flat_map(|e| &e.under) {
            if !strategies.contains(strategy) {
                strategies.push(*strategy);
            }
        }
        let task = |strategy, what| Task { loaded, map: map.clone(), strategy, what };
        let mut tasks = Vec::new();
        for strategy in strategies {
            let asked = Asked::of(loaded, strategy).into_iter().filter(|a| !a.is_empty());
            tasks.extend(asked.map(|a| task(strategy, What::Search(a))));
            let priced = |e: &Expectation| matches!(e.what, Expected::Price(_));
            if named(loaded, strategy).any(|(_, e, _)| priced(e)) {
                tasks.push(task(strategy, What::Prices));
            }
            if starve::is_asked(loaded, strategy) {
                tasks.push(task(strategy, What::Starvation));
            }
        }
        tasks
    }

    /// Carries it out. What the scenario says of limits goes before `options`.
    pub fn run(&self, options: &Options, control: &impl Control<Judged>) -> Vec<Line> {
        let limits = self.loaded.limits();
        let sim = self.start();
        match &self.what {
            What::Prices => prices(self.loaded, &sim),
            What::Starvation => {
                let (options, _) = within(options, limits);
                let found = starve::search(&sim, &options, control);
                starve::lines(self.loaded, self.strategy, &found)
            }
            What::Search(asked) => {
                let start = Judged::new(sim, asked.conditions.clone());
                if let Some(runs) = limits.runs {
                    return timed(asked, &start, runs, control);
                }
                let (options, stated) = within(options, limits);
                let report = start.complete(explore::explore(&start, &options, control));
                asked.lines(&report, &stated)
            }
        }
    }

    /// Its lines if there is no time for it.
    pub fn left_out(&self) -> Vec<Line> {
        let line = |(number, e, under): Named| Line {
            number,
            under: under.to_string(),
            text: e.text.clone(),
            fate: Fate::Bounded(Bound::Interruption.name()),
            found: Found::Nothing,
        };
        match &self.what {
            What::Search(asked) => asked.list.iter().map(|&(named, _)| line(named)).collect(),
            What::Prices => {
                let all = named(self.loaded, self.strategy);
                all.filter(|n| matches!(n.1.what, Expected::Price(_))).map(line).collect()
            }
            What::Starvation => {
                let all = named(self.loaded, self.strategy);
                all.filter(|n| matches!(n.1.what, Expected::Starved(..))).map(line).collect()
            }
        }
    }

    /// The state in which it begins.
    pub fn start(&self) -> Sim {
        Sim::with_layout(self.map.clone(), self.strategy)
    }
}

/// Checks all expectations of a scenario; the lines are in its order.
pub fn check(loaded: &Loaded, options: &Options, control: &impl Control<Judged>) -> Vec<Line> {
    let tasks = Task::of(loaded);
    let mut lines: Vec<Line> = tasks.iter().flat_map(|t| t.run(options, control)).collect();
    lines.sort_by_key(|line| line.place(loaded));
    lines
}

/// Options with a scenario's own limits, and which bounds are therefore stated.
fn within(options: &Options, limits: &Limits) -> (Options, Vec<Bound>) {
    let mut options = options.clone();
    let mut stated = Vec::new();
    if let Some(preemptions) = limits.preemptions {
        options.preemptions = Some(preemptions);
        stated.push(Bound::Preemptions);
    }
    if let Some(depth) = limits.depth.and_then(|d| usize::try_from(d).ok()) {
        options.depth = Some(depth);
        stated.push(Bound::Depth);
    }
    if let Some(states) = limits.states {
        options.max_states = Some(states);
        stated.push(Bound::States);
    }
    (options, stated)
}

/// Holds expectations against timed runs: the exact one first, then others at random paces.
fn timed(asked: &Asked, start: &Judged, runs: u64, control: &impl Control<Judged>) -> Vec<Line> {
    let (mut broken, mut reached) = (Props::NONE, Props::NONE);
    let (mut with, mut ended, mut steps, mut made) = ([0u64; 32], 0, 0, 0);
    for run in 0..runs {
        let polled = explore::Progress { states: steps, transitions: steps, ..Default::default() };
        if matches!(control.poll(&polled), explore::Poll::Stop(_)) {
            break;
        }
        let pace = if run == 0 { Pace::Exact } else { Pace::Random };
        let measured = measure::measure(start, 0, run, pace);
        broken = broken.union(measured.broken);
        reached = reached.union(measured.reached);
        measured.broken.iter().for_each(|p| with[p] += 1);
        ended += u64::from(measured.ending.is_some());
        steps += measured.steps as u64;
        made += 1;
    }
    if start.lock_cycle().is_some() {
        broken = broken.union(Props::one(LOCK_ORDER));
    }
    let cut = match (made == runs, ended == made) {
        (false, _) => Cut { by: Bound::Interruption.name(), stated: false },
        (true, false) => Cut { by: Bound::Depth.name(), stated: false },
        (true, true) => Cut { by: "runs", stated: true },
    };
    asked.all(|property| {
        let evidence = Evidence {
            with: with[property],
            without: made - with[property],
            broken: broken.has(property),
            reached: reached.has(property),
            cut: Some(cut),
        };
        (evidence, steps, None)
    })
}

/// What the timed run of seed 0 says about the prices that a scenario expects.
fn prices(loaded: &Loaded, start: &Sim) -> Vec<Line> {
    let mut run = None;
    let priced = named(loaded, start.strategy).filter_map(|(number, e, under)| {
        let Expected::Price(priced) = &e.what else { return None };
        let run = run.get_or_insert_with(|| measure::exact(start));
        let value = run.prices.get(priced.price);
        let fate = match (run.ending, priced.met(value)) {
            (None, _) => Fate::Bounded(Bound::Depth.name()),
            (Some(_), true) => Fate::Met,
            (Some(_), false) => Fate::Failed,
        };
        let found = Found::Price { value, steps: run.steps };
        Some(Line { number, under: under.to_string(), text: e.text.clone(), fate, found })
    });
    priced.collect()
}
