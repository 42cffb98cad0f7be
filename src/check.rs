//! Holds a scenario's expectations against every interleaving, under the strategies that they
//! name, and its prices against the timed run.

use crate::engine::explore::{self, Bound, Control, Options, Report};
use crate::engine::model::{Agent, Ending, Footprint, Model, Props, Stepped, Timed};
use crate::kernel::invariant::lock::Seen;
use crate::kernel::invariant::{self, LOCK_ORDER, LockGraph, TABLE};
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::Strategy;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::plan::{Op, ThreadPlan};
use crate::measure;
use crate::report::run::broken_by;
use crate::scenario::condition::Condition;
use crate::scenario::expect::{Expectation, Expected};
use crate::scenario::load::Loaded;
use crate::scenario::types::Verdict;
use std::sync::{Arc, Mutex, PoisonError};

/// Conditions that one search can hold against the end states: what is left of the 32 properties
/// of a model.
pub const MOST_CONDITIONS: usize = 32 - TABLE.len();

/// A machine whose end states are held against conditions: condition `i` is property
/// `TABLE.len() + i`, "broken" where it is met.
///
/// Three things that no single step of [`Sim`] can answer are answered here: whether agents wait
/// for ever without a step that led there, the order of locks (over all transitions of a search,
/// whichever of its threads made them), and who owes something.
#[derive(Clone, Debug)]
pub struct Judged {
    sim: Sim,
    conditions: Arc<Vec<Condition>>,
    /// The lock orders of all clones together.
    orders: Arc<Mutex<LockGraph>>,
    /// Orders of this clone that `orders` has.
    known: usize,
    /// By agent: whether it has a program that ends.
    ends: Arc<Vec<bool>>,
}

impl Judged {
    /// A machine with conditions, [`MOST_CONDITIONS`] at most.
    pub fn new(sim: Sim, conditions: Vec<Condition>) -> Judged {
        let for_ever = |op: &Op| matches!(op, Op::Repeat { times: 0, .. });
        let ends = |t: &ThreadPlan| !t.background && !t.program.iter().any(for_ever);
        let ends = sim.world.map.plan.threads.iter().map(ends).collect();
        let (conditions, ends) = (Arc::new(conditions), Arc::new(ends));
        Judged { sim, conditions, orders: Default::default(), known: 0, ends }
    }

    /// The machine.
    pub fn sim(&self) -> &Sim {
        &self.sim
    }

    /// A cycle in the order in which all clones have taken locks: each class was taken under the
    /// one before, the first under the last. Which one does not depend on who saw what first.
    pub fn lock_cycle(&self) -> Option<Vec<LockClass>> {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = |s: &Seen| (s.held.into_bits(), s.taken.into_bits());
        let mut seen: Vec<Seen> = orders.orders().to_vec();
        seen.sort_unstable_by_key(pair);
        let mut sorted = LockGraph::default();
        for s in seen {
            sorted.note(s.taken, 1 << s.held.into_bits(), || (s.by, s.op, s.step));
        }
        let mut cycle: Vec<LockClass> = sorted.cycle()?.into_iter().map(|s| s.held).collect();
        let least = (0..cycle.len()).min_by_key(|&i| cycle[i].into_bits())?;
        cycle.rotate_left(least);
        Some(cycle)
    }

    /// Adds to a report what only the search as a whole has found.
    pub fn complete(&self, mut report: Report<Move>) -> Report<Move> {
        if self.lock_cycle().is_some() {
            report.broken = report.broken.union(Props::one(LOCK_ORDER));
        }
        report
    }

    fn share_orders(&mut self) {
        let own = self.sim.lock_orders();
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.merge(own);
        self.known = own.orders().len();
    }
}

impl Model for Judged {
    type Move = Move;

    fn agents(&self) -> usize {
        self.sim.agents()
    }
    fn moves(&self, out: &mut Vec<Move>) {
        self.sim.moves(out);
    }
    fn ready(&self) -> usize {
        self.sim.ready()
    }
    fn nth_ready(&self, k: usize) -> Agent {
        self.sim.nth_ready(k)
    }
    fn outcomes(&self, agent: Agent) -> usize {
        self.sim.outcomes(agent)
    }
    fn move_of(&self, agent: Agent, outcome: usize) -> Move {
        self.sim.move_of(agent, outcome)
    }
    fn agent(&self, mv: Move) -> Agent {
        self.sim.agent(mv)
    }
    fn undo(&mut self, stepped: Stepped) {
        self.sim.undo(stepped);
    }
    fn fingerprint(&self) -> u64 {
        self.sim.fingerprint()
    }
    fn state(&self, out: &mut Vec<u8>) {
        self.sim.state(out);
    }
    fn record_footprints(&mut self, on: bool) {
        self.sim.record_footprints(on);
    }
    fn footprint(&self, out: &mut Footprint) {
        self.sim.footprint(out);
    }
    fn ending(&self) -> Ending {
        self.sim.ending()
    }
    fn broken(&self) -> Props {
        self.sim.broken()
    }
    fn canonical(&self) -> u64 {
        self.sim.canonical()
    }
    fn place(&self, agent: Agent) -> u32 {
        self.sim.place(agent)
    }
    fn waits_on(&self, agent: Agent, out: &mut Vec<u32>) -> bool {
        self.sim.waits_on(agent, out)
    }

    #[inline]
    fn apply(&mut self, mv: Move) -> Stepped {
        let mut stepped = self.sim.apply(mv);
        if self.sim.lock_orders().orders().len() > self.known {
            self.share_orders();
        }
        // What this clone has seen of the order of locks is not all that has been seen.
        stepped.broken.0 &= !Props::one(LOCK_ORDER).0;
        stepped
    }

    /// A thread whose program ends owes that end.
    fn owes(&self, agent: Agent) -> bool {
        self.ends.get(agent as usize) == Some(&true) && self.sim.top(agent).is_some()
    }

    fn judge_end(&self) -> (Props, Props) {
        // A run that was cut has no final state.
        if self.sim.ending() == Ending::Cut {
            return (Props::NONE, Props::NONE);
        }
        let mut met = broken_by(self.sim.ending());
        for (i, condition) in self.conditions.iter().enumerate() {
            if condition.met(&self.sim.world) {
                met = met.union(Props::one(TABLE.len() + i));
            }
        }
        (met, met)
    }
}

impl Timed for Judged {
    fn delay_ns(&self, agent: Agent) -> u64 {
        self.sim.delay_ns(agent)
    }
    fn changed(&self) -> &[Agent] {
        self.sim.changed()
    }
    fn is_ready(&self, agent: Agent) -> bool {
        self.sim.is_ready(agent)
    }
    fn timed_outcome(&self, agent: Agent, random: u64) -> usize {
        self.sim.timed_outcome(agent, random)
    }
}

/// How an expectation fared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is met by every interleaving.
    Met,
    /// It is not met.
    Failed,
    /// It is met so far, but the search was cut.
    Bounded(Bound),
    /// It is met because the invariant's premise never arose: it says nothing.
    Vacuous,
}

impl Fate {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Met => "met",
            Fate::Failed => "failed",
            Fate::Bounded(_) => "bounded",
            Fate::Vacuous => "vacuous",
        }
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

/// What an expectation was held against.
#[derive(Clone, PartialEq, Debug)]
pub enum Found {
    /// The end states of a search.
    Ends {
        /// The property: an invariant's place in the table, or beyond it.
        property: usize,
        /// End states in which the invariant was broken, or the condition met.
        with: u64,
        /// All other end states.
        without: u64,
        /// Distinct states of the search.
        states: u64,
        /// The shortest run that shows it, if one was looked for.
        witness: Option<Vec<Move>>,
    },
    /// The timed run of seed 0.
    Price {
        /// What the run cost.
        value: u64,
        /// Its length in moves.
        steps: usize,
    },
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
            Expected::Exists(c) | Expected::Forall(c) => {
                self.conditions.push(c.clone());
                Some(TABLE.len() + self.conditions.len() - 1)
            }
            Expected::Price(_) => None,
        };
        self.list.extend(property.map(|p| (asked, p)));
    }

    /// What a search found about them.
    pub fn lines(&self, report: &Report<Move>) -> Vec<Line> {
        let line = |&((number, expectation, under), property): &(Named, usize)| {
            let with = report.violating_ends[property];
            let shown = report.witnesses.iter().find(|w| w.property == property);
            Line {
                number,
                under: under.to_string(),
                text: expectation.text.clone(),
                fate: fate(&expectation.what, report, property),
                found: Found::Ends {
                    property,
                    with,
                    without: report.end_states() - with,
                    states: report.states,
                    witness: shown.map(|w| w.moves.clone()),
                },
            }
        };
        self.list.iter().map(line).collect()
    }
}

/// Checks all expectations of a scenario, one search (and one timed run) for each strategy that
/// they name.
pub fn check(loaded: &Loaded, options: &Options, control: &impl Control<Judged>) -> Vec<Line> {
    let map = Arc::new(Layout::new(loaded.plan.clone()));
    let mut strategies: Vec<Strategy> = Vec::new();
    for (_, strategy) in loaded.expectations.iter().flat_map(|e| &e.under) {
        if !strategies.contains(strategy) {
            strategies.push(*strategy);
        }
    }
    let mut lines = Vec::new();
    for strategy in strategies {
        let sim = Sim::with_layout(map.clone(), strategy);
        for asked in Asked::of(loaded, strategy).into_iter().filter(|a| !a.is_empty()) {
            let start = Judged::new(sim.clone(), asked.conditions.clone());
            let report = start.complete(explore::explore(&start, options, control));
            lines.extend(asked.lines(&report));
        }
        lines.extend(prices(loaded, &sim));
    }
    lines
}

/// What the timed run of seed 0 says about the prices that a scenario expects.
fn prices(loaded: &Loaded, start: &Sim) -> Vec<Line> {
    let mut run = None;
    let priced = named(loaded, start.strategy).filter_map(|(number, e, under)| {
        let Expected::Price(priced) = &e.what else { return None };
        let run = run.get_or_insert_with(|| measure::exact(start));
        let value = run.prices.get(priced.price);
        let fate = match (run.ending, priced.met(value)) {
            (None, _) => Fate::Bounded(Bound::Depth),
            (Some(_), true) => Fate::Met,
            (Some(_), false) => Fate::Failed,
        };
        let found = Found::Price { value, steps: run.steps };
        Some(Line { number, under: under.to_string(), text: e.text.clone(), fate, found })
    });
    priced.collect()
}

fn fate(what: &Expected, report: &Report<Move>, property: usize) -> Fate {
    let cut = report.bounds.first().map(|&b| Fate::Bounded(b));
    let with = report.violating_ends[property];
    let all = with == report.end_states();
    let found = report.broken.has(property);
    match what {
        Expected::Invariant(_, Verdict::Never) => match (found, report.reached.has(property)) {
            (true, _) => Fate::Failed,
            (false, true) => cut.unwrap_or(Fate::Met),
            (false, false) => cut.unwrap_or(Fate::Vacuous),
        },
        Expected::Invariant(_, Verdict::Sometimes) if found => Fate::Met,
        Expected::Exists(_) if with > 0 => Fate::Met,
        Expected::Invariant(_, Verdict::Sometimes) | Expected::Exists(_) => {
            cut.unwrap_or(Fate::Failed)
        }
        Expected::Invariant(_, Verdict::Always) | Expected::Forall(_) if all => {
            cut.unwrap_or(Fate::Met)
        }
        Expected::Invariant(_, Verdict::Always) | Expected::Forall(_) => Fate::Failed,
        // No search answers it.
        Expected::Price(_) => Fate::Vacuous,
    }
}
