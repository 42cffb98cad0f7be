//! Expectations: which invariant breaks how often, what final states exist, and what a timed run
//! costs, under which strategies.

use super::compile::Tables;
use super::compile::report::Report;
use super::condition::{self, Compare, Condition};
use super::path::At;
use super::problem::Problem;
use super::types::{Expect, Scenario, Verdict};
use super::{strategy, suggest};
use crate::kernel::invariant;
use crate::kernel::strategy::Strategy;
use crate::kernel::world::Actor;
use crate::kernel::world::plan::Plan;
use crate::kernel::world::price::Price;

/// An expectation with all names resolved.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// What is expected.
    pub what: Expected,
    /// It as it is written.
    pub text: String,
    /// Under which strategies, with their descriptions; never empty.
    pub under: Vec<(String, Strategy)>,
    /// Why; empty where the scenario does not say.
    pub because: String,
    /// The value of an axis that this speaks for.
    pub credit: Option<Value>,
    /// The value of an axis that this speaks against.
    pub objection: Option<Value>,
}

/// A value of an axis: the axis's flag and the value's name.
pub type Value = (&'static str, &'static str);

/// What is expected: of all interleavings together, or of the timed run of seed 0.
#[derive(Clone, Debug)]
pub enum Expected {
    /// The invariant of this name breaks so often.
    Invariant(String, Verdict),
    /// Whether the others can put this thread off for ever in a fair run.
    Starved(Actor, bool),
    /// Some final state meets the condition.
    Exists(Condition),
    /// Every final state meets the condition.
    Forall(Condition),
    /// The timed run of seed 0 has this price.
    Price(Priced),
}

/// A price compared with a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Priced {
    /// What is counted.
    pub price: Price,
    /// How it is compared.
    pub compare: Compare,
    /// What it is compared with.
    pub with: u64,
}

impl Priced {
    /// Reads such as `fast-misses > 0`.
    ///
    /// # Errors
    /// If it has another form; the span is relative to the text.
    pub fn parse(text: &str) -> Result<Priced, Problem> {
        let signs = |c: char| matches!(c, '<' | '=' | '>' | '!');
        let start = text.find(signs).unwrap_or(text.len());
        let end = start + text[start..].find(|c| !signs(c)).unwrap_or(text.len() - start);
        let (name, number) = (text[..start].trim(), text[end..].trim());
        let at = text.len() - text.trim_start().len();
        let price = Price::find(name).ok_or_else(|| {
            let known = Price::ALL.iter().map(|p| p.name());
            Problem::at(at..at + name.len(), format!("unknown price `{name}`"))
                .help(suggest::cure(name, known, ""))
        })?;
        let compare = Compare::parse(&text[start..end]).ok_or_else(|| {
            Problem::at(start..end, "a comparison must follow")
                .help("write =, !=, <, <=, > or >= and a number")
        })?;
        let with = number.parse().map_err(|_| {
            Problem::at(end..text.len(), format!("expected a number, found `{number}`"))
                .help("prices are counts, bytes or nanoseconds: whole numbers without a unit")
        })?;
        Ok(Priced { price, compare, with })
    }

    /// Whether a value is as it says.
    pub fn met(&self, value: u64) -> bool {
        self.compare.holds(value.cmp(&self.with))
    }
}

/// What names in expectations mean.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The machine.
    pub plan: &'a Plan,
    /// The names.
    pub tables: &'a Tables,
    /// The scenario's own strategy.
    pub strategy: Strategy,
}

/// Resolves a scenario's expectations.
pub fn compile(scenario: &Scenario, context: &Context, report: &mut Report) -> Vec<Expectation> {
    // Where the machine is wrong, conditions would only repeat that.
    let conditions = report.is_empty();
    let section = At::ROOT.key("expect");
    let mut list = Vec::new();
    for (n, expect) in scenario.expect.iter().enumerate() {
        if report.stops(None) {
            break;
        }
        let at = section.index(n);
        let under = under(expect, context, &at, report);
        let credit = value(expect.credit.as_deref(), &under, &at.key("credit"), report);
        let objection = value(expect.objection.as_deref(), &under, &at.key("objection"), report);
        if let Some((what, text)) = what(expect, context, conditions, &at, report) {
            let because = expect.because.clone();
            list.push(Expectation { what, text, under, because, credit, objection });
        }
    }
    list
}

fn what(
    expect: &Expect,
    context: &Context,
    conditions: bool,
    at: &At,
    report: &mut Report,
) -> Option<(Expected, String)> {
    let mut condition = |text: &str, key: &str| {
        if !conditions {
            return None;
        }
        let parsed = condition::parse(text, context.plan, context.tables);
        report.ok(&at.key(key), parsed.map_err(quoted))
    };
    if let Some(name) = &expect.starved {
        return starved(expect, name, context, at, report);
    }
    let Expect { invariant, verdict, exists, forall, price, .. } = expect;
    match (invariant, *verdict, exists, forall, price) {
        (None, None, Some(text), None, None) => {
            Some((Expected::Exists(condition(text, "exists")?), format!("exists {text}")))
        }
        (None, None, None, Some(text), None) => {
            Some((Expected::Forall(condition(text, "forall")?), format!("forall {text}")))
        }
        (None, None, None, None, Some(text)) => {
            let priced = report.ok(&at.key("price"), Priced::parse(text).map_err(quoted))?;
            Some((Expected::Price(priced), text.clone()))
        }
        (Some(name), Some(verdict), None, None, None) => {
            if invariant::find(name).is_none() {
                let known = invariant::TABLE.iter().map(|i| i.name);
                let help = suggest::cure(name, known, "");
                let problem = Problem::general(format!("unknown invariant `{name}`"));
                report.value(&at.key("invariant"), problem.help(help));
            }
            let how = match verdict {
                Verdict::Never => "never",
                Verdict::Sometimes => "sometimes",
                Verdict::Always => "always",
            };
            Some((Expected::Invariant(name.clone(), verdict), format!("{name} {how}")))
        }
        _ => {
            let problem = Problem::general("this expects nothing, or several things at once");
            report.value(
                at,
                problem.help(
                    "give `invariant` or `starved` with `verdict`, or `exists`, `forall` or \
                     `price`",
                ),
            );
            None
        }
    }
}

/// An expectation about a thread that others can put off for ever.
fn starved(
    expect: &Expect,
    name: &str,
    context: &Context,
    at: &At,
    report: &mut Report,
) -> Option<(Expected, String)> {
    let threads = &context.plan.threads;
    let Some(thread) = threads.iter().position(|t| t.name == name) else {
        let known = threads.iter().map(|t| t.name.as_str());
        let help = suggest::cure(name, known, "");
        let problem = Problem::general(format!("unknown thread `{name}`"));
        report.value(&at.key("starved"), problem.help(help));
        return None;
    };
    let others = expect.invariant.is_some() || expect.exists.is_some() || expect.forall.is_some();
    let can = match expect.verdict {
        Some(Verdict::Sometimes) if !others => true,
        Some(Verdict::Never) if !others => false,
        _ => {
            let problem = Problem::general("this does not say whether the thread can be starved");
            report
                .value(at, problem.help("give `starved` with the verdict `sometimes` or `never`"));
            return None;
        }
    };
    let how = if can { "sometimes" } else { "never" };
    Some((Expected::Starved(Actor(thread as u32), can), format!("{name} starved {how}")))
}

/// A problem in a string: its span is relative to the text, and the value begins with a quote.
fn quoted(problem: Problem) -> Problem {
    let span = problem.span.clone().map(|s| s.start + 1..s.end + 1);
    Problem { span, ..problem }
}

fn under(
    expect: &Expect,
    context: &Context,
    at: &At,
    report: &mut Report,
) -> Vec<(String, Strategy)> {
    if expect.under.is_empty() {
        return vec![(String::new(), context.strategy)];
    }
    let at = at.key("under");
    let mut list = Vec::new();
    for (n, text) in expect.under.iter().enumerate() {
        let described = strategy::describe(text, context.strategy);
        if let Some(strategy) = report.ok(&at.index(n), described) {
            list.push((text.clone(), strategy));
        }
    }
    list
}

/// The value that an expectation speaks for or against; one of its strategies must have it.
fn value(
    text: Option<&str>,
    under: &[(String, Strategy)],
    at: &At,
    report: &mut Report,
) -> Option<Value> {
    let value = report.ok(at, strategy::value(text?))?;
    let (flag, name) = value;
    if !under.iter().any(|(_, s)| s.get(flag) == Some(name)) {
        let problem = Problem::general(format!("no strategy of `under` has {flag}={name}"));
        report.value(at, problem.help("name a strategy there that has it"));
    }
    Some(value)
}
