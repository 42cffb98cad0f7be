//! `gupsim compare --repair`: the smallest changes of a design after which what was refuted in a
//! scenario is not.

use super::{Args, Style, table};
use crate::cli::scenarios::Opened;
use crate::cli::watch::Crew;
use crate::cli::{Exit, failure::Failure, out};
use crate::compare::{self, Cell, Effort};
use crate::engine::explore::Options;
use crate::engine::model::Props;
use crate::jobs;
use crate::kernel::invariant::TABLE;
use crate::kernel::strategy::Strategy;
use crate::report::comparison::Comparison;
use crate::report::json;
use crate::report::paint::{BROKEN, STEP, paint, wrap};
use crate::scenario::strategy as words;
use serde_json::json;

/// A value of an axis.
type Value = (&'static str, &'static str);

/// Looks for repairs and compares them with what they repair.
pub fn run(args: &Args, opened: &Opened) -> Result<Exit, Failure> {
    let base = args.from.clone().unwrap_or_default();
    let own = words::describe(&base, opened.loaded.strategy)?;
    let crew = args.crew();
    let mut search = Search { args, opened, own, changes: 0, crew: &crew };
    let refuted = search.refuted(own, args.max_states);
    let (broken, complete) = (refuted.broken, refuted.complete);
    if broken.is_empty() {
        crew.finish();
        let name = if base.is_empty() { "the scenario's own strategy" } else { &base };
        let how = if complete { "is refuted" } else { "was found broken" };
        out::print(&format!("nothing {how} under {name}: there is nothing to repair\n"))?;
        return Ok(args.exit(&crew));
    }
    let (repairs, tried) = search.smallest();
    search.changes = repairs.first().map_or(0, Vec::len);
    let name = |repair: &Vec<Value>| {
        let values: Vec<String> = repair.iter().map(|(a, v)| format!("{a}={v}")).collect();
        format!("{base} {}", values.join(" ")).trim().to_string()
    };
    let names: Vec<String> = repairs.iter().map(name).collect();
    let mut designs = vec![base_name(&base, opened)];
    designs.extend(names.iter().cloned());
    let scenarios = std::slice::from_ref(opened);
    let found = table::find(scenarios, designs, args.effort(), args.workers(), &crew);
    crew.finish();
    let table = found?.table();
    let broken: Vec<&str> = broken.iter().filter_map(|i| Some(TABLE.get(i)?.name)).collect();
    let report = Report { args, broken, repairs: &names, changes: search.changes, tried, table };
    out::print(&match args.format {
        Style::Json => report.json(),
        Style::Csv => report.table.csv().map_err(|e| Failure::Internal(e.to_string()))?,
        Style::Markdown => report.table.markdown(),
        Style::Text => report.text(out::stdout_width()),
    })?;
    Ok(match (args.exit(&crew), names.is_empty()) {
        (Exit::Clean, true) => Exit::Violated,
        (exit, _) => exit,
    })
}

/// What was found.
struct Report<'a> {
    args: &'a Args,
    broken: Vec<&'static str>,
    repairs: &'a [String],
    /// Values that each of them changes.
    changes: usize,
    tried: usize,
    table: Comparison,
}

impl Report<'_> {
    fn json(&self) -> String {
        let document = json!({
            "format": 1,
            "refuted": self.broken,
            "repairs": self.repairs,
            "changes": self.changes,
            "tried": self.tried,
            "comparison": self.table,
        });
        json::document(&document)
    }

    fn text(&self, width: usize) -> String {
        let mut text = String::new();
        let refuted = paint(BROKEN, &self.broken.join(", "));
        wrap(&mut text, width, "refuted  ", "         ", &refuted);
        let values = |n: usize| if n == 1 { "one value".into() } else { format!("{n} values") };
        let what = match self.repairs.len() {
            0 => format!("no change of up to {} helps", values(self.args.changes)),
            1 => format!("one change of {} helps", values(self.changes)),
            n => format!("{n} changes of {} help", values(self.changes)),
        };
        let tried = format!("{what} ({} designs tried)", self.tried);
        wrap(&mut text, width, "repairs  ", "         ", &tried);
        for name in self.repairs {
            wrap(&mut text, width, "         - ", "           ", &paint(STEP, name));
        }
        text.push('\n');
        text + &self.table.text(width)
    }
}

/// The base as a design that can be described: the scenario's own strategy has words, too.
fn base_name(base: &str, opened: &Opened) -> String {
    match base {
        "" => words::own(&opened.loaded.scenario),
        base => base.to_string(),
    }
}

struct Search<'a> {
    args: &'a Args,
    opened: &'a Opened,
    own: Strategy,
    /// Values that the smallest repairs change.
    changes: usize,
    crew: &'a Crew,
}

/// What a search says of a design.
struct Refuted {
    broken: Props,
    complete: bool,
}

impl Search<'_> {
    /// What a design breaks.
    fn refuted(&self, strategy: Strategy, states: u64) -> Refuted {
        let search =
            Options { max_states: Some(states), witness_states: 0, ..self.args.effort().search };
        let effort = Effort { search, runs: 0, schedules: 0 };
        let found = compare::search(&self.opened.loaded, strategy, &effort, self.crew);
        let refuted = |c: &Cell| matches!(c, Cell::Refuted { .. });
        let broken = found.cells.iter().enumerate().filter(|(_, c)| refuted(c));
        let broken = broken.fold(Props::NONE, |all, (i, _)| all.union(Props::one(i)));
        Refuted { broken, complete: found.complete }
    }

    /// Whether a design breaks nothing of what is to be repaired and nothing else, in a search
    /// that was completed.
    fn repairs(&self, strategy: Strategy) -> bool {
        let quick = compare::breaks(&self.opened.loaded, strategy, QUICK);
        if !quick.is_empty() {
            return false;
        }
        let found = self.refuted(strategy, self.args.max_states);
        found.complete && found.broken.is_empty()
    }

    /// The repairs with the fewest changes, all of them, and how many designs were tried.
    fn smallest(&self) -> (Vec<Vec<Value>>, usize) {
        let mut tried = 0;
        for n in 1..=self.args.changes {
            let candidates = self.candidates(n);
            self.crew.expect(candidates.len());
            tried += candidates.len();
            let good = jobs::map(&candidates, self.args.workers(), |(_, strategy)| {
                self.crew.work(&self.opened.loaded.name, || {
                    !self.crew.is_over() && self.repairs(*strategy)
                })
            });
            let found = candidates.into_iter().zip(good).filter(|(_, good)| *good);
            let found: Vec<Vec<Value>> = found.map(|((values, _), _)| values).collect();
            if !found.is_empty() || self.crew.is_over() {
                return (found, tried);
            }
        }
        (Vec::new(), tried)
    }

    /// Every design that differs in `n` axes and makes sense.
    fn candidates(&self, n: usize) -> Vec<(Vec<Value>, Strategy)> {
        let mut all: Vec<(Vec<Value>, Strategy, usize)> = vec![(Vec::new(), self.own, 0)];
        for _ in 0..n {
            let mut next = Vec::new();
            for (values, strategy, from) in &all {
                for (at, axis) in Strategy::AXES.iter().enumerate().skip(*from) {
                    for value in axis.values {
                        let mut changed = *strategy;
                        if self.own.get(axis.flag) == Some(value.name)
                            || changed.set(axis.flag, value.name).is_err()
                        {
                            continue;
                        }
                        let mut values = values.clone();
                        values.push((axis.flag, value.name));
                        next.push((values, changed, at + 1));
                    }
                }
            }
            all = next;
        }
        let sensible = all.into_iter().filter(|(_, s, _)| s.refused().is_none());
        sensible.map(|(values, strategy, _)| (values, strategy)).collect()
    }
}

/// Schedules by which a design is looked at before it is searched.
const QUICK: u64 = 30;
