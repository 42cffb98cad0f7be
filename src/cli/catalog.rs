//! Everything that has a name and a manual entry: what `list` lists and `explain` explains.
//!
//! The entries come from the tables that the rest of the program runs by; none is written here.

use super::{Exit, steps};
use crate::engine::model::Model;
use crate::kernel::actor::Routine;
use crate::kernel::invariant::TABLE as INVARIANTS;
use crate::kernel::sim::Sim;
use crate::kernel::strategy::pin::Pin;
use crate::kernel::strategy::truncate::Truncate;
use crate::kernel::strategy::{Preset, Strategy};
use crate::kernel::world::costs::Cost;
use crate::report::run::{Choose, record};
use crate::scenario::expect::Expected;
use crate::scenario::types::Verdict;
use crate::scenario::{Loaded, bundled, open, strategy};

/// What kind of thing an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    /// A bundled scenario.
    Scenario,
    /// A strategy axis.
    Axis,
    /// A value of a strategy axis.
    Value,
    /// An invariant.
    Invariant,
    /// A machine: a part of what an agent does.
    Machine,
    /// A preset.
    Preset,
    /// An entry of the cost table.
    Cost,
    /// A numbered step of the kernel.
    Step,
    /// A rule that recordings of kernels are held to.
    Rule,
    /// The exit codes.
    ExitCodes,
}

impl Topic {
    /// What an entry of this kind is called.
    pub fn label(self) -> &'static str {
        match self {
            Topic::Scenario => "scenario",
            Topic::Axis => "strategy axis",
            Topic::Value => "strategy value",
            Topic::Invariant => "invariant",
            Topic::Machine => "machine",
            Topic::Preset => "preset",
            Topic::Cost => "cost",
            Topic::Step => "step of the kernel",
            Topic::Rule => "rule of recorded kernels",
            Topic::ExitCodes => "reference",
        }
    }
}

/// A manual entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is about.
    pub topic: Topic,
    /// The name.
    pub name: String,
    /// For a value: its axis.
    pub axis: Option<&'static str>,
    /// Paragraphs.
    pub text: Vec<String>,
    /// Lines of a table: key and text.
    pub rows: Vec<(String, String)>,
    /// Where it comes from.
    pub sources: Vec<String>,
}

impl Entry {
    /// An entry with paragraphs as a doc comment has them.
    pub fn new(topic: Topic, name: impl Into<String>, text: &str) -> Entry {
        let text = paragraphs(text);
        let (axis, rows, sources) = (None, Vec::new(), Vec::new());
        Entry { topic, name: name.into(), axis, text, rows, sources }
    }

    /// The first sentence.
    pub fn summary(&self) -> &str {
        let first = self.text.first().map_or("", String::as_str);
        first.split_once(". ").map_or(first.trim_end_matches('.'), |(sentence, _)| sentence)
    }

    /// The name by which `explain` finds exactly this entry.
    pub fn full_name(&self) -> String {
        match self.axis {
            Some(axis) => format!("{axis}={}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A doc comment as paragraphs, each on one line.
fn paragraphs(doc: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    for line in doc.lines().map(str::trim) {
        match (line, out.last_mut()) {
            ("", _) => out.push(String::new()),
            (line, Some(last)) => {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.push_str(line);
            }
            (_, None) => {}
        }
    }
    out.retain(|p| !p.is_empty());
    out
}

/// The bundled scenarios that load; a test holds that all do.
pub fn scenarios() -> Vec<Loaded> {
    bundled().iter().filter_map(|(name, _)| open(name).ok()).collect()
}

/// The scenarios.
pub fn of_scenarios(loaded: &[Loaded]) -> Vec<Entry> {
    let entry = |l: &Loaded| {
        let mut entry = Entry::new(Topic::Scenario, &l.name, &l.scenario.title);
        entry.text.extend(l.scenario.look_for.iter().cloned());
        entry.sources = l.scenario.source.clone();
        entry.rows.push(("strategy".into(), strategy::own(&l.scenario)));
        let threads: Vec<&str> = l.plan.threads.iter().map(|t| t.name.as_str()).collect();
        entry.rows.push(("threads".into(), threads.join(", ")));
        for expectation in &l.expectations {
            let under: Vec<&str> = expectation.under.iter().map(|u| u.0.as_str()).collect();
            let what = match &expectation.what {
                Expected::Invariant(name, verdict) => {
                    format!("{name}: {}", format!("{verdict:?}").to_lowercase())
                }
                _ => expectation.text.clone(),
            };
            let because = match expectation.because.as_str() {
                "" => String::new(),
                why => format!(": {why}"),
            };
            let text = format!("{what}, under {}{because}", under.join(" or "));
            entry.rows.push(("expects".into(), text));
        }
        entry
    };
    loaded.iter().map(entry).collect()
}

/// The axes, each followed by its values.
pub fn of_strategies() -> Vec<Entry> {
    let mut out = Vec::new();
    for axis in Strategy::AXES {
        let mut entry = Entry::new(Topic::Axis, axis.flag, axis.doc);
        for value in axis.values {
            let doc = Entry::new(Topic::Value, value.name, value.doc);
            entry.rows.push((value.name.into(), doc.summary().to_string()));
        }
        out.push(entry);
        for value in axis.values {
            let mut entry = Entry::new(Topic::Value, value.name, value.doc);
            entry.axis = Some(axis.flag);
            entry.rows.push(("axis".into(), format!("--{}: {}", axis.flag, axis.doc.trim())));
            let chosen = |p: &&Preset| p.strategy.get(axis.flag) == Some(value.name);
            let presets: Vec<&str> = Preset::ALL.iter().filter(chosen).map(|p| p.name).collect();
            if !presets.is_empty() {
                entry.rows.push(("presets".into(), presets.join(", ")));
            }
            entry.rows.extend(standing(axis.flag, value.name));
            out.push(entry);
        }
    }
    out
}

/// What a value costs before anything runs, and what it asks of others.
fn standing(axis: &str, value: &str) -> Vec<(String, String)> {
    let pin = Pin::ALL.iter().find(|v| axis == "pin" && v.name() == value);
    let truncate = |v: &&Truncate| axis.starts_with("truncate-") && v.name() == value;
    let mut rows = Vec::new();
    let mut row = |name: &str, text: String| rows.push((name.to_string(), text));
    if let Some(facts) = pin.map(|pin| pin.standing()) {
        let holder = if facts.names_holder { "can" } else { "cannot" };
        row(
            "memory",
            match (facts.page_bytes, facts.pinned_bytes) {
                (0, 0) => "none beyond what struct page has".into(),
                (0, pinned) => format!("{pinned} bytes for each pinned page"),
                (page, 0) => format!("{page} bytes in every struct page"),
                (page, pinned) => format!("{page} bytes in every struct page, {pinned} if pinned"),
            },
        );
        row("holder", format!("who waits for the last pin {holder} be told who holds it"));
        facts.hooks.iter().for_each(|hook| row("asks", (*hook).to_string()));
    }
    if let Some(demands) = Truncate::ALL.iter().find(truncate).map(|v| v.demands()) {
        demands.filesystem.iter().for_each(|d| row("asks", format!("of filesystems: {d}")));
        demands.driver.iter().for_each(|d| row("asks", format!("of drivers: {d}")));
        demands.visible.iter().for_each(|seen| row("seen as", (*seen).to_string()));
    }
    rows
}

/// The invariants.
pub fn of_invariants() -> Vec<Entry> {
    let entry = |i: &crate::kernel::invariant::Invariant| {
        let mut entry = Entry::new(Topic::Invariant, i.name, i.doc);
        entry.rows.push(("premise".into(), i.premise.into()));
        entry.rows.push(("hurts".into(), i.hurts.name().into()));
        if i.fatal {
            entry.rows.push(("after it".into(), "the state means nothing: the run is cut".into()));
        }
        entry.sources.push(i.source.into());
        entry
    };
    INVARIANTS.iter().map(entry).collect()
}

/// The machines that agents are made of.
pub fn of_machines() -> Vec<Entry> {
    Routine::TABLE.iter().map(|(name, doc)| Entry::new(Topic::Machine, *name, doc)).collect()
}

/// The presets.
pub fn of_presets() -> Vec<Entry> {
    let entry = |p: &Preset| {
        let mut entry = Entry::new(Topic::Preset, p.name, p.doc);
        for axis in Strategy::AXES {
            let value = p.strategy.get(axis.flag).unwrap_or_default();
            entry.rows.push((axis.flag.into(), value.into()));
        }
        entry
    };
    Preset::ALL.iter().map(entry).collect()
}

fn of_costs() -> Vec<Entry> {
    let entry = |c: &Cost| {
        let mut entry = Entry::new(Topic::Cost, c.name(), c.doc());
        entry.rows.push(("default".into(), format!("{} ns", c.default_ns())));
        entry
    };
    Cost::ALL.iter().map(entry).collect()
}

fn exit_codes() -> Entry {
    let text = "What the exit code of a command says. The codes are stable.";
    let mut entry = Entry::new(Topic::ExitCodes, "exit-codes", text);
    for (exit, doc) in Exit::TABLE {
        entry.rows.push((exit.code().to_string(), doc.trim().to_string()));
    }
    entry
}

/// Every entry.
pub fn all(loaded: &[Loaded]) -> Vec<Entry> {
    let mut out = of_scenarios(loaded);
    out.extend(of_strategies());
    out.extend(of_invariants());
    out.extend(of_machines());
    out.extend(of_presets());
    out.extend(of_costs());
    out.extend(steps::of_steps());
    out.extend(steps::of_rules());
    out.push(exit_codes());
    out
}

/// The scenarios that show what an entry is about.
pub fn shown_by<'a>(entry: &Entry, loaded: &'a [Loaded]) -> Vec<&'a str> {
    let shows = |l: &&Loaded| match entry.topic {
        Topic::Invariant => l.expectations.iter().any(|e| {
            matches!(&e.what, Expected::Invariant(name, verdict)
                if *name == entry.name && *verdict != Verdict::Never)
        }),
        Topic::Value => {
            let Some(axis) = entry.axis else { return false };
            // What a scenario names itself, not what every preset brings along.
            let named = l.scenario.strategy.iter().any(|(a, v)| names(a, axis) && *v == entry.name);
            let words = || l.scenario.expect.iter().flat_map(|e| &e.under);
            named
                || words().flat_map(|u| u.split_whitespace()).any(|word| {
                    word.split_once('=').is_some_and(|(a, v)| names(a, axis) && v == entry.name)
                })
        }
        Topic::Preset => {
            let own = l.scenario.preset.as_deref().unwrap_or(Preset::DEFAULT);
            let words = || l.scenario.expect.iter().flat_map(|e| &e.under);
            own == entry.name || words().any(|u| u.split_whitespace().any(|w| w == entry.name))
        }
        Topic::Machine => goes_through(l, &entry.name),
        _ => false,
    };
    loaded.iter().filter(shows).map(|l| l.name.as_str()).collect()
}

/// Most moves of a run that is looked through for a machine: larger worlds show everything.
const MOST_MOVES: usize = 1000;

/// Whether a machine makes a step in a scenario's own run: its schedule, then seed 0.
fn goes_through(l: &Loaded, machine: &str) -> bool {
    let mut sim = Sim::new(l.plan.clone(), l.strategy);
    let choose =
        Choose { schedule: l.schedule.as_ref(), seed: 0, steps: MOST_MOVES, ..Choose::default() };
    let (run, _) = record(&sim, &choose);
    run.moves.iter().any(|&mv| {
        let here = sim.stack(mv.agent).any(|routine| routine.name() == machine);
        sim.apply(mv);
        here
    })
}

/// Whether an axis as a scenario writes it means (also) this axis.
fn names(written: &str, axis: &str) -> bool {
    written == axis || (written == "truncate" && axis.starts_with("truncate-"))
}
