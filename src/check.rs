//! Holds a scenario's expectations against every interleaving, under the strategies that they
//! name.

use crate::engine::explore::{self, Bound, Control, Options, Report};
use crate::engine::model::{Agent, Ending, Footprint, Model, Props, Stepped};
use crate::kernel::invariant::{self, TABLE};
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::Strategy;
use crate::kernel::world::layout::Layout;
use crate::scenario::condition::Condition;
use crate::scenario::expect::{Expectation, Expected};
use crate::scenario::load::Loaded;
use crate::scenario::types::Verdict;
use std::sync::Arc;

/// Conditions that one search can hold against the end states: what is left of the 32 properties
/// of a model.
pub const MOST_CONDITIONS: usize = 32 - TABLE.len();

/// A machine whose end states are held against conditions: condition `i` is property
/// `TABLE.len() + i`, "broken" where it is met.
#[derive(Clone)]
pub struct Judged {
    sim: Sim,
    conditions: Arc<Vec<Condition>>,
}

impl Judged {
    /// A machine with conditions, [`MOST_CONDITIONS`] at most.
    pub fn new(sim: Sim, conditions: Vec<Condition>) -> Judged {
        Judged { sim, conditions: Arc::new(conditions) }
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
    fn apply(&mut self, mv: Move) -> Stepped {
        self.sim.apply(mv)
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

    fn judge_end(&self) -> (Props, Props) {
        // A run that was cut has no final state.
        if self.sim.ending() == Ending::Cut {
            return (Props::NONE, Props::NONE);
        }
        let mut met = Props::NONE;
        for (i, condition) in self.conditions.iter().enumerate() {
            if condition.met(&self.sim.world) {
                met = met.union(Props::one(TABLE.len() + i));
            }
        }
        (met, met)
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

/// An expectation under one strategy, with what was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// The strategy, as the expectation names it; empty: the scenario's own.
    pub under: String,
    /// The expectation as it is written.
    pub text: String,
    /// How it fared.
    pub fate: Fate,
    /// End states in which the invariant was broken, or the condition met.
    pub with: u64,
    /// All other end states.
    pub without: u64,
    /// Distinct states of the search.
    pub states: u64,
    /// The shortest run that shows it, if one was looked for.
    pub witness: Option<Vec<Move>>,
}

/// Checks all expectations of a scenario, one search for each strategy that they name.
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
        let asked = loaded.expectations.iter().flat_map(|e| {
            let named = e.under.iter().filter(|(_, s)| *s == strategy);
            named.map(move |(name, _)| (e, name.as_str()))
        });
        let asked: Vec<(&Expectation, &str)> = asked.collect();
        for group in asked.chunks(MOST_CONDITIONS) {
            let sim = Sim::with_layout(map.clone(), strategy);
            check_group(sim, group, options, control, &mut lines);
        }
    }
    lines
}

fn check_group(
    sim: Sim,
    group: &[(&Expectation, &str)],
    options: &Options,
    control: &impl Control<Judged>,
    lines: &mut Vec<Line>,
) {
    let mut conditions = Vec::new();
    let mut property = Vec::new();
    for (expectation, _) in group {
        property.push(match &expectation.what {
            Expected::Invariant(name, _) => invariant::find(name).map(|(i, _)| i),
            Expected::Exists(c) | Expected::Forall(c) => {
                conditions.push(c.clone());
                Some(TABLE.len() + conditions.len() - 1)
            }
        });
    }
    let report = explore::explore(&Judged::new(sim, conditions), options, control);
    for ((expectation, under), property) in group.iter().zip(property) {
        let Some(property) = property else { continue };
        let with = report.violating_ends[property];
        lines.push(Line {
            under: (*under).to_string(),
            text: expectation.text.clone(),
            fate: fate(&expectation.what, &report, property),
            with,
            without: report.end_states() - with,
            states: report.states,
            witness: report
                .witnesses
                .iter()
                .find(|w| w.property == property)
                .map(|w| w.moves.clone()),
        });
    }
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
    }
}
