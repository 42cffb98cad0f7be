//! `gupsim shrink`: a failing run made as simple as it gets, scenario and schedule together.

use super::strategy::StrategyFlags;
use super::watch::{self, Watch};
use super::{Exit, failure::Failure, file, findings, out, search, setting};
use crate::engine::blame::{Blame, blame};
use crate::engine::model::{Model, Props};
use crate::engine::run::{Limits, Runner};
use crate::engine::shrink::{NearestPass, nearest_pass, preemptions};
use crate::judged::Judged;
use crate::kernel::sim::{Move, Sim};
use crate::report::data::{Report, Setting};
use crate::report::paint::{BROKEN, HELD, STEP, WAIT, command, paint, wrap};
use crate::report::run::{Choose, record, schedule};
use crate::report::signature::{Failed, Signature, failures};
use crate::report::trace::{self, Show};
use crate::report::verdicts::line;
use crate::report::{agents, text};
use crate::scenario::types::{Scenario, Verdict};
use crate::scenario::{Loaded, load, open, write};
use crate::schedule::random::RandomWalk;
use crate::simplify::{self, Failing};
use std::path::{Path, PathBuf};

/// Make a failing run as simple as it gets, and its scenario with it
///
/// Threads, operations, pages, faults, steps and preemptions are left out as long as the same
/// invariant is broken between the same two steps; each try is run, none is guessed. The result
/// is a scenario file that `gupsim replay` shows.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A scenario with a schedule that fails, as `gupsim fuzz --out` writes them; of one without
    /// a schedule, the first random run that fails is taken
    #[arg(value_name = "FINDING")]
    finding: String,
    /// The invariant whose violation is kept, where the run breaks several
    #[arg(long, value_name = "NAME")]
    invariant: Option<String>,
    /// Where the result is written [default: NAME.min.json beside the finding]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Show the steps of the nearest run that does not fail, too
    #[arg(long)]
    nearest_pass: bool,
}

const EXAMPLES: &str = "\
Examples:
  gupsim shrink findings/orphan-rdma-silent-orphan-dma-1c9d5cf0.json
  gupsim shrink truncate/orphan-rdma --out small.json --nearest-pass

Exits with 1, because the result is a violation; with 2 if there is nothing that fails. Ctrl-C ends
it with the simplest that was found (5 if nothing had failed yet).";

/// Random runs in which a failure is looked for where no schedule is given.
const TRIES: u64 = 10_000;

/// Most steps of such a run.
const STEPS: usize = 20_000;

/// Longest run whose neighbours are looked through, and how far a shorter one is carried on.
const NEIGHBOURS: usize = 200;

/// Steps that the nearest pass may go on.
const CARRY_ON: usize = 5_000;

/// States of a scenario that is small enough for exact probabilities.
const SMALL: usize = 100_000;

/// Shrinks and shows.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let wanted = match &args.invariant {
        Some(name) => search::property(name)?,
        None => Props::NONE,
    };
    let loaded = open(&args.finding)?;
    let path = args.out.clone().unwrap_or_else(|| beside(&loaded.name));
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty() && !path.exists()) {
        file::directory(dir)?;
    }
    file::writable(&path)?;
    let start = Judged::new(Sim::new(loaded.plan.clone(), loaded.strategy), Vec::new());
    watch::interrupts()?;
    let Some((moves, failed)) = failing(&loaded, &start, wanted)? else {
        return Ok(Exit::Interrupted);
    };
    let signature = failed.signature;
    let moves = moves[..failed.steps].to_vec();
    let before = (simplify::size(&loaded.scenario), cost(&start, &moves));
    let given = simplify::scenario(&loaded.scenario, start.sim(), &moves, signature);
    let bar = watch::line();
    let first = Failing { loaded: Loaded { scenario: given, ..loaded }, start, moves };
    let small = simplify::simplify(first, signature, |f| {
        let [threads, operations, ..] = simplify::size(&f.loaded.scenario);
        let length = f.moves.len();
        bar.set_message(format!("{threads} threads, {operations} operations, {length} steps"));
        !watch::interrupted()
    });
    bar.finish_and_clear();
    let result =
        simplify::scenario(&small.loaded.scenario, small.start.sim(), &small.moves, signature);
    let name = path.display().to_string();
    verify(&name, &write::text(&result), signature)?;
    findings::save(&path, &result)?;
    let after = (simplify::size(&result), cost(&small.start, &small.moves));
    out::print(&show(args, &path, &small, signature, before, after))?;
    Ok(Exit::Violated)
}

/// The run of a finding, and its failure; `None` if the search for one was interrupted.
fn failing(
    loaded: &Loaded,
    start: &Judged,
    wanted: Props,
) -> Result<Option<(Vec<Move>, Failed)>, Failure> {
    let wanted = match wanted.is_empty() {
        true => named(&loaded.scenario),
        false => wanted,
    };
    let pick = |moves: &[Move]| {
        let found = failures(start.sim(), moves);
        let asked = |f: &&Failed| wanted.is_empty() || wanted.has(f.signature.invariant);
        found.iter().find(asked).copied()
    };
    if let Some(own) = &loaded.schedule {
        let choose = Choose { schedule: Some(own), steps: own.0.len(), ..Choose::default() };
        let (run, divergence) = record(start.sim(), &choose);
        if let Some(divergence) = divergence {
            return Err(Failure::usage(divergence.to_string(), "the model has changed since"));
        }
        return match pick(&run.moves) {
            Some(failed) => Ok(Some((run.moves, failed))),
            None => Err(Failure::usage(
                "the schedule of this scenario breaks nothing that was asked for",
                "`gupsim fuzz --out DIR` writes scenarios that do",
            )),
        };
    }
    let mut runner = Runner::new(start.clone());
    let limits = Limits { steps: STEPS, stop_at: Props::NONE };
    let mut walk = RandomWalk::new(0);
    for run in 0..TRIES {
        let outcome = runner.run(&mut walk, run, limits, |_, _, _| ());
        if outcome.is_some_and(|o| !o.broken.is_empty())
            && let Some(failed) = pick(runner.schedule())
        {
            return Ok(Some((runner.schedule().to_vec(), failed)));
        }
        if watch::interrupted() {
            return Ok(None);
        }
    }
    Err(Failure::usage(
        format!("the scenario has no schedule, and none of {TRIES} random runs fails"),
        "`gupsim explore` prints a schedule of any violation that there is",
    ))
}

/// The invariants that a scenario expects to break.
fn named(scenario: &Scenario) -> Props {
    let broken = scenario.expect.iter().filter(|e| e.verdict.is_some_and(|v| v != Verdict::Never));
    let names = broken.filter_map(|e| e.invariant.as_deref());
    let found = names.filter_map(crate::kernel::invariant::find);
    found.fold(Props::NONE, |s, (i, _)| s.union(Props::one(i)))
}

/// Steps and preemptions.
fn cost(start: &Judged, moves: &[Move]) -> [u64; 2] {
    [moves.len() as u64, preemptions(start, moves) as u64]
}

/// Where a result is written by default.
fn beside(name: &str) -> PathBuf {
    let path = Path::new(name);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let file = format!("{}.min.json", stem.strip_suffix(".min").unwrap_or(&stem));
    // A bundled scenario lies nowhere, nor does one that came through a pipe.
    let piped = ["/dev", "/proc"].iter().any(|dir| path.starts_with(dir));
    if path.is_file() && !piped { path.with_file_name(file) } else { file.into() }
}

/// Reads the text of the result as any other and replays it, before it takes a file's place.
fn verify(name: &str, text: &str, signature: Signature) -> Result<(), Failure> {
    let loaded = load::text(name, text)?;
    let start = Sim::new(loaded.plan.clone(), loaded.strategy);
    let steps = loaded.schedule.as_ref().map_or(0, |s| s.0.len());
    let choose = Choose { schedule: loaded.schedule.as_ref(), steps, ..Choose::default() };
    let (run, divergence) = record(&start, &choose);
    if divergence.is_none() && simplify::shows(&start, &run.moves, signature) {
        return Ok(());
    }
    Err(Failure::Internal(format!("{name} does not fail as it should")))
}

fn show(
    args: &Args,
    path: &Path,
    small: &Failing,
    signature: Signature,
    before: ([u64; 4], [u64; 2]),
    after: ([u64; 4], [u64; 2]),
) -> String {
    let width = out::stdout_width().max(40);
    let mut text = String::new();
    let name = path.display().to_string();
    let report = report(small, &name, &small.moves);
    let title = format!("{}: {}", paint(STEP, &name), report.setting.title);
    wrap(&mut text, width, "", "  ", &title);
    wrap(&mut text, width, "", "  ", &text::design(&report.setting));
    text.push('\n');
    let failure = format!("{}: {}", paint(BROKEN, signature.invariant()), signature.steps());
    line(&mut text, width, "failure", &failure);
    let keys = ["threads", "operations", "pages", "faults", "steps", "preemptions"];
    let flat = |(a, b): ([u64; 4], [u64; 2])| a.into_iter().chain(b);
    let sizes = keys.iter().zip(flat(before).zip(flat(after)));
    let sizes: Vec<String> = sizes
        .map(|(key, (from, to))| match from == to {
            true => format!("{key} {to}"),
            false => format!("{key} {from} -> {to}"),
        })
        .collect();
    line(&mut text, width, "size", &sizes.join(", "));
    let shown = explain(&mut text, args, small, signature, width);
    text.push('\n');
    text::trace(&mut text, &self::report(small, &name, &shown), width);
    text::summary(&mut text, &report, width);
    command(&mut text, "repeat   ", STEP, &report.command());
    text
}

/// What explains a failure: how little would have saved it, and where it was lost. Gives the run
/// that is to be shown after it.
fn explain(
    out: &mut String,
    args: &Args,
    small: &Failing,
    signature: Signature,
    width: usize,
) -> Vec<Move> {
    let (start, moves) = (&small.start, &small.moves);
    let words = in_words(start.sim(), moves);
    let wanted = Props::one(signature.invariant);
    let near = match moves.len() {
        0..=NEIGHBOURS => {
            let limits = [NEIGHBOURS, NEIGHBOURS + CARRY_ON];
            nearest_pass(start, moves, wanted, limits, watch::interrupted)
        }
        _ => None,
    };
    match &near {
        None if watch::interrupted() => {}
        None => line(out, width, "passes", "no run that differs by one stretch of one agent"),
        Some(near) => {
            let words = in_words(start.sim(), &near.failing);
            line(out, width, "passes", &paint(HELD, &moved(near, &words)));
        }
    }
    if let Some(blame) = blame(start, signature.invariant, moves, SMALL, &Watch::new(None, None)) {
        line(out, width, "blame", &paint(WAIT, &blamed(&blame, &words)));
    }
    if let (Some(near), true) = (near, args.nearest_pass) {
        out.push_str("\nThe nearest run that does not fail:\n\n");
        text::trace(out, &report(small, &small.loaded.name, &near.moves), width);
        let on = match near.failing.len() > moves.len() {
            true => format!(", at step {}, carried on", moves.len()),
            false => String::new(),
        };
        out.push_str(&format!("The run that does{on}:\n"));
        return near.failing;
    }
    moves.clone()
}

/// Which stretch of a run was moved, in words.
fn moved(near: &NearestPass<Move>, words: &[String]) -> String {
    let (from, end) = (near.moved.start, near.moved.end);
    let stretch = match end - from {
        1 => format!("step {} ({})", from + 1, words[from]),
        _ => format!("steps {} to {end} ({} to {})", from + 1, words[from], words[end - 1]),
    };
    match near.before {
        _ if near.waited => format!("if {stretch} came only when nobody else could go on"),
        to if to < from => format!("if {stretch} came before step {} ({})", to + 1, words[to]),
        to => format!("if {stretch} came only after step {to} ({})", words[to - 1]),
    }
}

/// Where a failure was lost, in words.
fn blamed(blame: &Blame, words: &[String]) -> String {
    let percent = |p: f64| match p {
        p if p > 0.0 && p < 0.001 => format!("1 in {:.0}", 1.0 / p),
        p => format!("{:.2}%", p * 100.0),
    };
    let first = blame.after.first().copied().unwrap_or(0.0);
    if first > 1.0 - 1e-9 {
        return "every run breaks it, in whatever order".into();
    }
    let mut text = format!("of random runs {} break it", percent(first));
    let rises = blame.after.windows(2).map(|w| w[1] - w[0]).enumerate();
    if let Some((most, _)) = rises.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))) {
        let (from, to) = (percent(blame.after[most]), percent(blame.after[most + 1]));
        let step = &words[most];
        text.push_str(&format!("; step {} ({step}) raises that from {from} to {to}", most + 1));
    }
    if let Some(n) = blame.inevitable_from {
        text.push_str(&format!("; after step {} it is inevitable", n + 1));
    }
    text
}

/// Each step of a run: who, and which step.
fn in_words(start: &Sim, moves: &[Move]) -> Vec<String> {
    let mut sim = start.clone();
    let words = moves.iter().map(|&mv| {
        let label = sim.label(mv.agent).map(agents::step_words).unwrap_or_default();
        let words = format!("{}: {label}", agents::name(&sim, mv.agent));
        sim.apply(mv);
        words
    });
    words.collect()
}

fn report(small: &Failing, name: &str, moves: &[Move]) -> Report {
    let sim = small.start.sim();
    let choices = schedule(sim, moves);
    let choose = Choose { schedule: Some(&choices), steps: moves.len(), ..Choose::default() };
    let (run, _) = record(sim, &choose);
    let words = ["gupsim", "replay", name];
    let setting = Setting {
        scheduled: moves.len(),
        repeat: words.map(String::from).to_vec(),
        ..setting::of(&small.loaded, &StrategyFlags::default(), sim.strategy)
    };
    let steps = moves.len() <= super::replay::SMALL;
    trace::report(sim, &run, setting, Show { steps, ..Show::default() })
}
