//! `gupsim check`: what scenarios expect, held against every interleaving.

use super::scenarios::{self, Opened};
use super::strategy::StrategyFlags;
use super::watch::{self, Crew};
use super::{Exit, failure::Failure, out, setting};
use crate::check::{Fate, Found, Line, Task};
use crate::engine::explore::Options;
use crate::engine::model::Props;
use crate::engine::shrink;
use crate::jobs;
use crate::judged::Judged;
use crate::kernel::invariant::TABLE;
use crate::report::checks::{self, Checked, Checks, Observed, Summary};
use crate::report::{junit, sarif};
use crate::scenario::Loaded;
use crate::scenario::expect::{Expectation, Expected};
use crate::scenario::strategy as words;
use std::time::Duration;

/// Hold what scenarios expect against every interleaving
///
/// One line for each expectation under each strategy that it names: how often what it speaks of
/// is seen, the end states that show it and those that do not, and whether that is as expected.
/// Each search is exhaustive, unless the scenario itself states a bound (`limits`); an
/// expectation whose premise never arises fails. Ctrl-C ends the searches and keeps what was
/// found.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files, directories, or names and themes of `gupsim list scenarios` [default: all of these]
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Show only what is not as expected
    #[arg(short, long)]
    quiet: bool,
    /// Stop each search after about so many states
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    max_states: u64,
    /// Stop each search when its set of states takes so many MB (the machine itself is not counted)
    #[arg(long, value_name = "MB", default_value_t = 2048)]
    memory: usize,
    /// Stop after so many seconds
    #[arg(long, value_name = "S")]
    time: Option<u64>,
    /// Searches at a time; no result depends on it [default: one for each processor]
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=super::MOST_JOBS))]
    jobs: Option<u16>,
    /// How the results are written
    #[arg(long, value_enum, default_value_t = Style::Text)]
    format: Style,
}

/// How results are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Style {
    /// A line each, for a terminal
    Text,
    /// One JSON document
    Json,
    /// JUnit XML
    Junit,
    /// SARIF 2.1.0: what is not as expected, at its line of the scenario
    Sarif,
}

const EXAMPLES: &str = "\
Examples:
  gupsim check
  gupsim check truncate/orphan-rdma dax
  gupsim check my.json scenarios/ --quiet
  gupsim check --format junit > check.xml

Exits with 0 if all is as expected, 1 if an expectation failed, 2 if there was nothing to check,
3 if a limit that the scenario does not state cut a search, 4 if an expectation is vacuous, 5 if
it was interrupted. What is worst counts: 1, then 4, then 5, then 3.";

/// Checks.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let opened = scenarios::all(&args.paths)?;
    let tasks: Vec<(usize, Task)> = (opened.iter().enumerate())
        .flat_map(|(n, o)| Task::of(&o.loaded).into_iter().map(move |task| (n, task)))
        .collect();
    if tasks.is_empty() {
        return Err(Failure::usage("these scenarios expect nothing", "give one with `expect`"));
    }
    watch::interrupts()?;
    let options = Options {
        reduction: true,
        max_states: Some(args.max_states),
        max_bytes: Some(args.memory.saturating_mul(1 << 20)),
        // The run that a search comes across is enough; what is shown is made shorter.
        witness_states: 0,
        ..Options::default()
    };
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let crew = Crew::new(args.time.map(Duration::from_secs), tasks.len());
    let work = |(n, task): &(usize, Task)| {
        let opened = &opened[*n];
        crew.work(&opened.loaded.name, || {
            let lines = match crew.is_over() {
                true => task.left_out(),
                false => task.run(&options, &crew),
            };
            let part = |line: Line| (line.place(&opened.loaded), checked(opened, task, &line));
            lines.into_iter().map(part).collect::<Vec<_>>()
        })
    };
    let mut printer = Printer::new(args, &opened);
    let mut failed = None;
    jobs::each(&tasks, jobs, work, |n, part| {
        printer.scenario.extend(part);
        // The last search of a scenario completes its lines.
        if tasks.get(n + 1).is_none_or(|next| next.0 != tasks[n].0)
            && let Err(failure) = crew.aside(|| printer.complete())
        {
            failed.get_or_insert(failure);
        }
    });
    crew.finish();
    match failed {
        Some(failure) => Err(failure),
        None => printer.finish(opened.len()),
    }
}

/// What has been found of a scenario, and of all before it.
struct Printer<'a> {
    args: &'a Args,
    /// Of the scenario at hand, each with its place.
    scenario: Vec<((usize, usize), Checked)>,
    all: Vec<Checked>,
    width: usize,
    indent: usize,
}

impl<'a> Printer<'a> {
    fn new(args: &'a Args, opened: &[Opened]) -> Printer<'a> {
        let width = out::stdout_width();
        let each = |o: &'_ Opened| {
            let length = |e: &Expectation, under: &str| {
                let label = (o.loaded.name.as_str(), strategy(&o.loaded, under), subject(e));
                checks::label(label.0, &label.1, &label.2).chars().count()
            };
            let expectations = o.loaded.expectations.iter();
            let longest = expectations.flat_map(|e| e.under.iter().map(move |u| length(e, &u.0)));
            longest.max()
        };
        let indent = checks::indent(opened.iter().filter_map(each), width);
        Printer { args, scenario: Vec::new(), all: Vec::new(), width, indent }
    }

    /// The lines of a scenario are complete.
    fn complete(&mut self) -> Result<(), Failure> {
        let mut lines = std::mem::take(&mut self.scenario);
        lines.sort_by_key(|line| line.0);
        let mut text = String::new();
        for (_, checked) in lines {
            if !(self.args.quiet && checked.passes()) {
                text.push_str(&checked.text(self.width, self.indent));
            }
            self.all.push(checked);
        }
        match self.args.format {
            Style::Text => out::print(&text),
            _ => Ok(()),
        }
    }

    /// Everything is complete.
    fn finish(self, scenarios: usize) -> Result<Exit, Failure> {
        let mut summary = Summary { scenarios, ..Summary::default() };
        self.all.iter().for_each(|c| summary.add(c.fate));
        let checks = Checks { format: checks::FORMAT, summary, expectations: self.all };
        out::print(&match self.args.format {
            Style::Text => summary.text(),
            Style::Json => checks.json(),
            Style::Junit => junit::render(&checks).map_err(|e| Failure::Internal(e.to_string()))?,
            Style::Sarif => sarif::render(&checks),
        })?;
        Ok(match summary {
            Summary { failed: 1.., .. } => Exit::Violated,
            Summary { vacuous: 1.., .. } => Exit::Vacuous,
            Summary { bounded: 1.., .. } if watch::interrupted() => Exit::Interrupted,
            Summary { bounded: 1.., .. } => Exit::Bounded,
            _ => Exit::Clean,
        })
    }
}

/// What an expectation speaks of.
fn subject(expectation: &Expectation) -> String {
    match &expectation.what {
        Expected::Invariant(name, _) => name.clone(),
        _ => expectation.text.clone(),
    }
}

/// A strategy as an expectation names it, or as the scenario does.
fn strategy(loaded: &Loaded, under: &str) -> String {
    match under {
        "" => words::own(&loaded.scenario),
        under => under.to_string(),
    }
}

fn checked(opened: &Opened, task: &Task, line: &Line) -> Checked {
    let loaded = &opened.loaded;
    let expectation = &loaded.expectations[line.number];
    let (row, column) = loaded.place_of(line.number);
    let repeat = match line.fate.passes() {
        true => Vec::new(),
        false => repeat(opened, task, line),
    };
    Checked {
        scenario: loaded.name.clone(),
        file: opened.file(),
        line: row,
        column,
        strategy: strategy(loaded, &line.under),
        subject: subject(expectation),
        expected: line.text.clone(),
        fate: line.fate.name(),
        by: match line.fate {
            Fate::Within(by) | Fate::Bounded(by) => Some(by),
            _ => None,
        },
        observed: match line.found {
            Found::Ends { with, without, states, .. } => {
                Some(Observed::Ends { with, without, states })
            }
            Found::Price { value, .. } => Some(Observed::Price(value)),
            Found::Nothing => None,
        },
        because: expectation.because.clone(),
        repeat,
    }
}

/// The command that shows what is wrong with an expectation.
fn repeat(opened: &Opened, task: &Task, line: &Line) -> Vec<String> {
    let flags = StrategyFlags::described(&line.under);
    let start = task.start();
    let words = |command: &str, more: &[&str]| {
        let mut words = vec!["gupsim".to_string(), command.into(), opened.name.clone()];
        words.extend(flags.typed());
        words.extend(more.iter().map(|w| w.to_string()));
        words
    };
    match &line.found {
        Found::Ends { property, witness: Some(moves), .. } if *property < TABLE.len() => {
            let judged = Judged::new(start, Vec::new());
            let moves = shrink::shrink(&judged, moves, Props::one(*property), |_| true);
            setting::replay(&opened.name, &flags, judged.sim(), &moves)
        }
        Found::Price { .. } => words("replay", &["--prices"]),
        // Too large to be searched.
        _ if opened.loaded.limits().runs.is_some() => words("replay", &["--timed"]),
        _ => words("explore", &[]),
    }
}
