//! `gupsim fuzz`: many random runs of one scenario or several.

use super::explore::Style;
use super::strategy::StrategyFlags;
use super::{Exit, failure::Failure, file, findings, generate, out, setting, watch};
use crate::engine::explore::visited::Seen;
use crate::engine::model::Props;
use crate::engine::shrink::{self, preemptions};
use crate::fuzz::{self, Control, Tally};
use crate::jobs;
use crate::judged::Judged;
use crate::kernel::invariant::{LOCK_ORDER, TABLE};
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::Strategy;
use crate::litmus::stats::interval_95;
use crate::report::data::Setting;
use crate::report::format::Format;
use crate::report::json;
use crate::report::run::again;
use crate::report::runs::{self, Broken, Held, Quickest, Runs, Simple};
use crate::report::signature::{Signature, failures};
use crate::report::trace::{self, Show};
use crate::report::verdicts::grouped;
use crate::scenario::schedule::Schedule;
use crate::scenario::{Loaded, bundled, open};
use crate::schedule::{Kind, Params, TABLE as SCHEDULERS};
use crate::simplify::{self, Failing};
use clap::builder::PossibleValue;
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Make many random runs and count what they break
///
/// Nothing is proved by it; it is for scenarios too large for `explore`. Without a scenario, all
/// bundled ones are run that are not generated worlds.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Scenarios: paths of files, or names of `gupsim list scenarios`
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Make up scenarios, so many (see below), and see whether each design keeps what it claims
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true,
          value_parser = clap::value_parser!(u64).range(1..),
          default_missing_value = generate::SCENARIOS, conflicts_with = "scenarios")]
    generate: Option<u64>,
    // What is required is not asked for where it would conflict with what is there: so this does.
    /// With --generate: print this scenario and run none, or only one run of it (--run)
    #[arg(long, value_name = "N", requires = "generate", conflicts_with = "scenarios")]
    pub(super) number: Option<u64>,
    /// Runs of each scenario [default: 10000, or without end under --time; of a made-up one 40]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) runs: Option<u64>,
    /// Stop after so many seconds, shared by the scenarios
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) time: Option<u64>,
    /// Who chooses the moves
    #[arg(long, value_enum, default_value_t = Kind::Random)]
    pub(super) scheduler: Kind,
    /// The seed of everything random
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// For pct: how many orderings the bugs need that it aims at [default: 3]
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u8).range(1..=64))]
    bug_depth: Option<u8>,
    /// End a run after so many steps
    #[arg(long, value_name = "N", default_value_t = 20_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Threads; no result depends on it [default: one for each processor]
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=super::MOST_JOBS))]
    jobs: Option<u16>,
    /// Write a scenario file for each kind of failure to this directory, at once
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Make one run in N twice more and compare every step; 0: none
    #[arg(long, value_name = "N", default_value_t = 64)]
    self_check: u64,
    /// Show this run, step by step, and make no other
    #[arg(long, value_name = "N", conflicts_with_all = ["runs", "time", "out"])]
    pub(super) run: Option<u64>,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = Style::Text)]
    pub(super) format: Style,
    #[command(flatten)]
    pub(super) strategy: StrategyFlags,
}

const EXAMPLES: &str = "\
Examples:
  gupsim fuzz truncate/orphan-rdma
  gupsim fuzz truncate/orphan-rdma --scheduler pct --runs 100000 --out findings
  gupsim fuzz --time 60
  gupsim fuzz truncate/orphan-rdma --run 17
  gupsim fuzz --generate=5000 --seed 7 --out findings

A made-up scenario has some of the features that there are (each seed and number draws its own),
and its design is that of a preset, all in turn, with the axes that are given. What a design claims
to keep stands in src/kernel/strategy/claims.rs; failures of what it does not claim are counted
only. A title says what was drawn; `--number N` prints a scenario.

Exits with 0 if nothing was broken (which proves nothing), 1 if something was, 2 if it could not
be run, 5 if it was interrupted before anything was broken.";

/// Runs of each scenario if nothing says how many.
const RUNS: u64 = 10_000;

/// Bytes that each thread's set of states may take.
const BYTES: usize = 1 << 30;

impl clap::ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Kind] {
        const ALL: [Kind; SCHEDULERS.len()] = {
            let mut all = [Kind::Random; SCHEDULERS.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = SCHEDULERS[i].0;
                i += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let row = SCHEDULERS.iter().find(|row| row.0 == *self);
        row.map(|row| PossibleValue::new(row.1).help(row.2))
    }
}

/// Makes the runs and says what came of them.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if args.bug_depth.is_some() && args.scheduler != Kind::Pct {
        let what = format!("--bug-depth means nothing to the scheduler {}", args.scheduler.name());
        return Err(Failure::usage(what, "add --scheduler pct, or leave it out"));
    }
    if let Some(scenarios) = args.generate {
        return generate::run(args, scenarios, options(args));
    }
    let small = || bundled().iter().map(|b| b.0).filter(|name| !name.starts_with("scale/"));
    let names: Vec<String> = match args.scenarios.is_empty() {
        true => small().map(String::from).collect(),
        false => args.scenarios.clone(),
    };
    let mut loaded = Vec::new();
    for name in &names {
        let scenario = open(name)?;
        let strategy = args.strategy.apply(scenario.strategy)?;
        loaded.push((name.as_str(), scenario, strategy));
    }
    if let Some(number) = args.run {
        return match loaded.as_slice() {
            [(name, scenario, strategy)] => {
                let setting = Setting {
                    seed: args.seed,
                    repeat: repeat(args, name, Some(number)),
                    ..setting::of(scenario, &args.strategy, *strategy)
                };
                show(args, scenario, *strategy, &options(args), setting)
            }
            _ => Err(Failure::usage("--run shows a run of one scenario", "name one scenario")),
        };
    }
    watch::interrupts()?;
    let each = args.time.map(|s| Duration::from_secs(s) / loaded.len().max(1) as u32);
    if let Some(dir) = &args.out {
        file::directory(dir)?;
    }
    let (mut all, mut failed) = (Vec::new(), None);
    for (name, scenario, strategy) in &loaded {
        if watch::interrupted() || failed.is_some() {
            break;
        }
        let (found, unwritten) = of_scenario(args, name, scenario, *strategy, each)?;
        failed = unwritten;
        if args.format == Style::Text {
            let gap = if all.is_empty() { "" } else { "\n" };
            out::print(&format!("{gap}{}", found.text(out::stdout_width())))?;
        }
        all.push(found);
    }
    if args.format == Style::Json {
        out::print(&json::document(&all))?;
    }
    match failed {
        Some(failure) => Err(failure),
        None if all.iter().any(Runs::violated) => Ok(Exit::Violated),
        None if watch::interrupted() => Ok(Exit::Interrupted),
        None => Ok(Exit::Clean),
    }
}

fn options(args: &Args) -> fuzz::Options {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let endless = if args.time.is_some() { u64::MAX } else { RUNS };
    let usual = Params::seeded(args.seed);
    fuzz::Options {
        kind: args.scheduler,
        params: Params { depth: args.bug_depth.map_or(usual.depth, usize::from), ..usual },
        runs: args.runs.unwrap_or(endless),
        steps: usize::try_from(args.steps).unwrap_or(usize::MAX),
        jobs: args.jobs.map_or_else(cores, usize::from),
        check_every: args.self_check,
        bytes: BYTES,
    }
}

/// The world outside of the runs of one scenario.
struct Outside<'a> {
    began: Instant,
    until: Option<Duration>,
    bar: ProgressBar,
    loaded: &'a Loaded,
    start: Mutex<Judged>,
    dir: Option<&'a Path>,
    /// The first run of each kind that has a file.
    written: Mutex<BTreeMap<Signature, u64>>,
    failed: Mutex<Option<Failure>>,
}

impl Control for Outside<'_> {
    fn stop(&self, runs: u64) -> bool {
        let elapsed = self.began.elapsed();
        if !self.bar.is_hidden() {
            let kinds = self.written.lock().unwrap_or_else(|e| e.into_inner()).len();
            let (runs, rate) = (grouped(runs), watch::rate(runs, elapsed));
            self.bar.set_message(format!("{runs} runs, {rate}/s, {kinds} kinds of failure"));
        }
        watch::interrupted() || self.until.is_some_and(|until| elapsed >= until)
    }

    fn found(&self, signature: Signature, run: u64, moves: &[Move]) {
        // One at a time: the file of a kind ends up with the first run that shows it.
        let mut written = self.written.lock().unwrap_or_else(|e| e.into_inner());
        if written.get(&signature).is_some_and(|&first| first <= run) {
            return;
        }
        written.insert(signature, run);
        let Some(dir) = self.dir else { return };
        let start = self.start.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let moves = simplify::simpler(&start, moves, signature);
        let finding = simplify::scenario(&self.loaded.scenario, start.sim(), &moves, signature);
        let path = findings::file(dir, self.loaded, start.sim().strategy, signature);
        if let Err(failure) = findings::save(&path, &finding) {
            self.failed.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(failure);
        }
    }
}

impl Outside<'_> {
    /// Makes what was written at once as simple as it gets, scenario and schedule together. Under
    /// a limit of time that may take as long again.
    fn simplify(&self, options: &fuzz::Options, tally: &Tally) {
        let Some(dir) = self.dir else { return };
        let late = || self.until.is_some_and(|until| self.began.elapsed() >= until * 2);
        let over = || watch::interrupted() || late();
        let kinds: Vec<_> = tally.kinds.iter().map(|(s, run)| (*s, *run)).collect();
        let work = |(signature, run): &(Signature, u64)| {
            let start = self.start.lock().unwrap_or_else(|e| e.into_inner()).clone();
            let moves = simplest(&start, options, *run, signature.invariant)?;
            let given = simplify::scenario(&self.loaded.scenario, start.sim(), &moves, *signature);
            let first = Failing::of(&given, &Schedule(given.schedule.clone()), *signature)?;
            let small = simplify::simplify(first, *signature, |_| !over());
            let (scenario, sim) = (&small.loaded.scenario, small.start.sim());
            let finding = simplify::scenario(scenario, sim, &small.moves, *signature);
            let path = findings::file(dir, self.loaded, start.sim().strategy, *signature);
            findings::save(&path, &finding).err()
        };
        self.bar.set_message("making findings simple");
        jobs::each(&kinds, options.jobs, work, |_, failed| {
            if let Some(failure) = failed {
                self.failed.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(failure);
            }
        });
    }
}

/// Makes the runs of one scenario; also says which finding could not be written.
fn of_scenario(
    args: &Args,
    name: &str,
    loaded: &Loaded,
    strategy: Strategy,
    until: Option<Duration>,
) -> Result<(Runs, Option<Failure>), Failure> {
    let start = Judged::new(Sim::new(loaded.plan.clone(), strategy), Vec::new());
    let options = options(args);
    let outside = Outside {
        began: Instant::now(),
        until,
        bar: watch::line(),
        loaded,
        start: Mutex::new(start.clone()),
        dir: args.out.as_deref(),
        written: Mutex::default(),
        failed: Mutex::default(),
    };
    let tally = fuzz::fuzz(&start, &options, &outside);
    let elapsed = outside.began.elapsed().as_secs_f64();
    if let Some((run, step)) = tally.diverged {
        outside.bar.finish_and_clear();
        return Err(Failure::Internal(format!(
            "run {run} was not the same the second time, from step {step} on: please report it \
             with the scenario"
        )));
    }
    outside.simplify(&options, &tally);
    outside.bar.finish_and_clear();
    let failed = outside.failed.into_inner().unwrap_or_else(|e| e.into_inner());
    out::say(&format!("{}: {}", loaded.name, rates(tally.runs, tally.steps, elapsed)));
    let guarantee = match tally.runs {
        0 => None,
        _ => fuzz::one(&start, &options, 0).1,
    };
    let repeat = |run: Option<u64>| repeat(args, name, run);
    let setting = Setting { repeat: repeat(None), ..setting::of(loaded, &args.strategy, strategy) };
    let file = |s| args.out.as_ref().map(|dir| findings::file(dir, loaded, strategy, s));
    let simple = |run, invariant| {
        let moves = simplest(&start, &options, run, invariant)?;
        let replay = setting::replay(name, &args.strategy, start.sim(), &moves);
        Some(Simple { steps: moves.len(), preemptions: preemptions(&start, &moves), replay })
    };
    let found = result(&start, args, setting, &tally, Shown { repeat, file, simple });
    Ok((Runs { guarantee, ..found }, failed))
}

/// How fast it went.
pub(super) fn rates(runs: u64, steps: u64, seconds: f64) -> String {
    let rate = |n: u64| grouped((n as f64 / seconds.max(1e-6)) as u64);
    format!("{} runs/s, {} steps/s", rate(runs), rate(steps))
}

/// A run of these, up to where it breaks an invariant, made as simple as it gets.
fn simplest(
    start: &Judged,
    options: &fuzz::Options,
    run: u64,
    invariant: usize,
) -> Option<Vec<Move>> {
    let (moves, _) = fuzz::one(start, options, run);
    let found = failures(start.sim(), &moves);
    let failed = found.iter().find(|f| f.signature.invariant == invariant)?;
    let moves = &moves[..failed.steps];
    // One that is too long for that says no more than the run itself.
    let short = moves.len() <= simplify::SHRINKABLE && !watch::interrupted();
    let same =
        |run: &[Move]| !watch::interrupted() && simplify::shows(start.sim(), run, failed.signature);
    short.then(|| shrink::shrink(start, moves, Props::one(invariant), same))
}

/// How what was found is shown: the command for the runs or one of them, the file of a kind of
/// failure, and a run made simple.
struct Shown<R, F, S> {
    repeat: R,
    file: F,
    simple: S,
}

fn result(
    start: &Judged,
    args: &Args,
    setting: Setting,
    tally: &Tally,
    shown: Shown<
        impl Fn(Option<u64>) -> Vec<String>,
        impl Fn(Signature) -> Option<PathBuf>,
        impl Fn(u64, usize) -> Option<Simple>,
    >,
) -> Runs {
    let Shown { repeat, file, simple } = shown;
    let kinds = |i: usize| {
        let of = tally.kinds.iter().filter(move |(s, _)| s.invariant == i);
        let kind = |(&signature, &run): (&Signature, &u64)| runs::Kind {
            between: signature.steps(),
            run,
            file: file(signature).map(|f| f.display().to_string()),
        };
        of.map(kind).collect()
    };
    let broken = |i: usize| Broken {
        invariant: TABLE[i].name,
        runs: tally.broken[i],
        interval: interval_95(tally.broken[i], tally.runs),
        quickest: tally.quickest[i].map(|(steps, run)| Quickest {
            run,
            steps,
            repeat: repeat(Some(run)),
        }),
        simple: tally.quickest[i].and_then(|(_, run)| simple(run, i)),
        kinds: kinds(i),
    };
    let circle = start.lock_cycle().unwrap_or_default();
    let circle: Vec<&str> = circle.into_iter().map(|class| class.label()).collect();
    let all = 0..TABLE.len();
    let is_held = |&i: &usize| {
        let circle = i == LOCK_ORDER && !circle.is_empty();
        tally.broken[i] == 0 && tally.reached[i] > 0 && !circle
    };
    let held = |i: usize| Held { invariant: TABLE[i].name, reached: tally.reached[i] };
    let vacuous = all.clone().filter(|&i| tally.reached[i] == 0 && tally.broken[i] == 0);
    Runs {
        format: runs::FORMAT,
        setting,
        scheduler: args.scheduler.name(),
        seed: args.seed,
        guarantee: None,
        runs: tally.runs,
        steps: tally.steps,
        states: tally.states.len() as u64,
        more_states: tally.full,
        checked: tally.checked,
        ends: tally.ends,
        broken: all.clone().filter(|&i| tally.broken[i] > 0).map(broken).collect(),
        held: all.filter(is_held).map(held).collect(),
        vacuous: vacuous.map(|i| TABLE[i].name).collect(),
        circle: circle.clone(),
    }
}

/// The command that repeats the runs of a scenario, or shows one of them.
fn repeat(args: &Args, scenario: &str, run: Option<u64>) -> Vec<String> {
    let mut words = vec!["gupsim".into(), "fuzz".into(), scenario.to_string()];
    words.extend(how(args));
    match run {
        Some(run) => words.extend(["--run".into(), run.to_string()]),
        None => {
            words.extend(args.runs.into_iter().flat_map(|n| ["--runs".to_string(), n.to_string()]))
        }
    }
    words
}

/// What was typed that decides what happens in a run.
pub(super) fn how(args: &Args) -> Vec<String> {
    let mut words = args.strategy.typed();
    if args.scheduler != Kind::Random {
        words.extend(["--scheduler".into(), args.scheduler.name().into()]);
    }
    let mut number = |flag: &str, n: u64, usual: u64| {
        if n != usual {
            words.extend([format!("--{flag}"), n.to_string()]);
        }
    };
    number("seed", args.seed, 0);
    number("bug-depth", args.bug_depth.map_or(0, u64::from), 0);
    number("steps", args.steps, 20_000);
    words
}

/// Shows the run that was asked for.
pub(super) fn show(
    args: &Args,
    loaded: &Loaded,
    strategy: Strategy,
    options: &fuzz::Options,
    setting: Setting,
) -> Result<Exit, Failure> {
    let start = Judged::new(Sim::new(loaded.plan.clone(), strategy), Vec::new());
    let (moves, _) = fuzz::one(&start, options, args.run.unwrap_or_default());
    let sim = start.sim();
    let run = again(sim, &moves);
    let every = Show { steps: moves.len() <= super::replay::SMALL, ..Show::default() };
    let report = trace::report(sim, &run, setting, every);
    let format = if args.format == Style::Json { Format::Json } else { Format::Text };
    out::print(&format.render(&report, out::stdout_width()))?;
    Ok(if run.broken.is_empty() { Exit::Clean } else { Exit::Violated })
}
