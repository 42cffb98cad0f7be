//! `gupsim shrink`: a failing run made as simple as it gets, scenario and schedule together.

use super::explore::Style;
use super::strategy::StrategyFlags;
use super::watch::{self, Watch};
use super::{Exit, failure::Failure, file, findings, out, search, setting};
use crate::engine::blame::blame;
use crate::engine::model::{Model, Props};
use crate::engine::run::{Limits, Runner};
use crate::engine::shrink::{nearest_pass, preemptions};
use crate::judged::Judged;
use crate::kernel::sim::{Move, Sim};
use crate::report::agents;
use crate::report::data::{Report, Setting};
use crate::report::run::{Choose, again, record};
use crate::report::shrunk::{Beside, FORMAT, Measures, Odds, Passes, Shrunk};
use crate::report::signature::{Failed, Signature, failures};
use crate::report::trace::{self, Show};
use crate::scenario::types::{Scenario, Verdict};
use crate::scenario::{Loaded, load, open, write};
use crate::schedule::random::RandomWalk;
use crate::simplify::reduce::size;
use crate::simplify::{self, Failing};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Make a failing run as simple as it gets, and its scenario with it
///
/// Threads, operations, pages, faults, steps and preemptions are left out as long as the same
/// invariant is broken between the same two steps; each try is run, none is guessed. The result
/// is a scenario file that `gupsim replay` shows.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A scenario with a schedule that fails, as `gupsim fuzz --out` writes them; of one without
    /// a schedule, the first random run that fails is taken (of a generated world, the timed run)
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
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Style::Text)]
    format: Style,
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
    let bar = watch::line();
    let found = failing(&loaded, &start, wanted, &bar);
    bar.finish_and_clear();
    let Some((moves, failed, timed)) = found? else {
        out::say("interrupted before any run had failed");
        return Ok(Exit::Interrupted);
    };
    let signature = failed.signature;
    let moves = moves[..failed.steps].to_vec();
    let before = measures(&loaded.scenario, &start, &moves);
    let given = simplify::scenario(&loaded.scenario, start.sim(), &moves, signature);
    let first = Failing { loaded: Loaded { scenario: given, ..loaded }, start, moves, timed };
    let bar = watch::line();
    let (began, mut tries) = (Instant::now(), 0);
    let small = simplify::simplify(first, signature, |f| {
        let [threads, operations, ..] = size(&f.loaded.scenario);
        let (length, rate) = (f.moves.len(), watch::rate(tries, began.elapsed()));
        bar.set_message(format!(
            "{threads} threads, {operations} operations, {length} steps after {tries} tries, \
             {rate}/s"
        ));
        tries += 1;
        !watch::interrupted()
    });
    bar.finish_and_clear();
    let result =
        simplify::scenario(&small.loaded.scenario, small.start.sim(), &small.moves, signature);
    let name = path.display().to_string();
    verify(&name, &write::text(&result), signature)?;
    findings::save(&path, &result)?;
    let sizes = [before, measures(&result, &small.start, &small.moves)];
    let shrunk = shrunk(args, &path, &small, signature, sizes);
    out::print(&match args.format {
        Style::Text => shrunk.text(out::stdout_width()),
        Style::Json => shrunk.json(),
    })?;
    Ok(Exit::Violated)
}

/// The run of a finding, its failure, and whether it is a long timed run; `None` if the search for
/// one was interrupted.
fn failing(
    loaded: &Loaded,
    start: &Judged,
    wanted: Props,
    bar: &ProgressBar,
) -> Result<Option<(Vec<Move>, Failed, bool)>, Failure> {
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
            Some(failed) => Ok(Some((run.moves, failed, false))),
            None => Err(Failure::usage(
                "the schedule of this scenario breaks nothing that was asked for",
                "`gupsim fuzz --out DIR` writes scenarios that do",
            )),
        };
    }
    if loaded.is_generated() {
        let over = Some(watch::interrupted as fn() -> bool);
        let limit = Limits::default().steps;
        let choose = Choose { timed: true, steps: limit, over, ..Choose::default() };
        let moves = record(start.sim(), &choose).0.moves;
        if let Some(failed) = pick(&moves) {
            let timed = failed.steps > simplify::SHRINKABLE;
            return Ok(Some((moves, failed, timed)));
        }
    }
    let began = Instant::now();
    let mut runner = Runner::new(start.clone());
    let limits = Limits { steps: STEPS, stop_at: Props::NONE };
    let mut walk = RandomWalk::new(0);
    for run in 0..TRIES {
        let outcome = runner.run(&mut walk, run, limits, |_, _, _| ());
        if outcome.is_some_and(|o| !o.broken.is_empty())
            && let Some(failed) = pick(runner.schedule())
        {
            return Ok(Some((runner.schedule().to_vec(), failed, false)));
        }
        if watch::interrupted() {
            return Ok(None);
        }
        let rate = watch::rate(run + 1, began.elapsed());
        bar.set_message(format!("none of {} random runs fails, {rate}/s", run + 1));
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

/// How large a scenario and a run of it are.
fn measures(scenario: &Scenario, start: &Judged, moves: &[Move]) -> Measures {
    Measures::new(size(scenario), [moves.len() as u64, preemptions(start, moves) as u64])
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

/// What was made of a finding, and what explains it.
fn shrunk(
    args: &Args,
    path: &Path,
    small: &Failing,
    signature: Signature,
    [before, after]: [Measures; 2],
) -> Shrunk {
    let (start, moves, name) = (&small.start, &small.moves, path.display().to_string());
    let blame = blame(start, signature.invariant, moves, SMALL, &Watch::new(None, None));
    let odds = blame.map(|blame| Odds::new(blame, &in_words(start.sim(), moves)));
    let report = |moves: &[Move]| report(small, &name, moves);
    let failing = |moves: &[Move]| {
        let mut report = report(moves);
        odds.iter().for_each(|odds| odds.beside(&mut report));
        report
    };
    let limits = [NEIGHBOURS, NEIGHBOURS + CARRY_ON];
    let wanted = Props::one(signature.invariant);
    let near = match moves.len() {
        0..=NEIGHBOURS => nearest_pass(start, moves, wanted, limits, watch::interrupted),
        _ => None,
    };
    let interrupted = near.is_none() && watch::interrupted();
    let near = near.map(|near| {
        let both = || Beside { passes: report(&near.moves), fails: failing(&near.failing) };
        let words = in_words(start.sim(), &near.failing);
        Passes::new(&near, &words, args.nearest_pass.then(both))
    });
    let shown = failing(moves);
    Shrunk {
        format: FORMAT,
        setting: shown.setting.clone(),
        finding: args.finding.clone(),
        fingerprint: signature.into(),
        before,
        after,
        nearest_pass: near,
        interrupted,
        blame: odds,
        shown,
    }
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
    let run = again(sim, moves);
    let words = ["gupsim", "replay", name];
    let setting = Setting {
        scenario: name.to_string(),
        scheduled: moves.len(),
        repeat: words.map(String::from).to_vec(),
        ..setting::of(&small.loaded, &StrategyFlags::default(), sim.strategy)
    };
    let steps = moves.len() <= super::replay::SMALL;
    trace::report(sim, &run, setting, Show { steps, ..Show::default() })
}
