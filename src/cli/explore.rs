//! `gupsim explore`: every interleaving of a scenario, and what that says of each invariant.

use super::shown::{self, Showing};
use super::strategy::StrategyFlags;
use super::watch::{self, Checkpoints, Watch};
use super::{Exit, failure::Failure, file, out, search, setting, symmetry};
use crate::check::{Asked, Found, Line};
use crate::engine::explore::checkpoint::{CheckpointError, Snapshot};
use crate::engine::explore::{self, Bound, Options, Verdict};
use crate::engine::hash;
use crate::engine::model::{Agent, Ending, Model, Props};
use crate::engine::reduce;
use crate::judged::Judged;
use crate::kernel::invariant::{LOCK_ORDER, TABLE};
use crate::kernel::sim::{Move, Sim};
use crate::report::agents;
use crate::report::data::{Finding, Setting};
use crate::report::run::schedule;
use crate::report::trace::Show;
use crate::report::verdicts::{
    self, Ends, Expectation, Lasso, Starvation, Stretch, Verdicts, Witness,
};
use crate::scenario::schedule::Choice;
use crate::scenario::{Loaded, open};
use crate::starve;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Search every interleaving of a scenario and prove or refute each invariant
///
/// A verdict is `proved` (the search is complete and the premise arose), `refuted` (with a
/// shortest run that shows it), `bounded` (never broken as far as the search went) or `vacuous`
/// (the premise arises in no interleaving). Ctrl-C ends the search and keeps what was found.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A scenario: the path of a file, `-` for standard input, or a name of `gupsim list scenarios`
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// Judge only these invariants (may be repeated)
    #[arg(long, value_name = "NAME")]
    invariant: Vec<String>,
    /// At most so many switches away from a thread that could have gone on
    #[arg(long, value_name = "N")]
    preemptions: Option<u32>,
    /// At most so many steps from the start
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
    /// Stop when there are more states than that
    #[arg(long, value_name = "N")]
    max_states: Option<u64>,
    /// Stop when the set of states takes more MB than that (the machine itself, of which each
    /// thread has a copy, is not counted)
    #[arg(long, value_name = "MB", default_value_t = 4096)]
    memory: usize,
    /// Stop after so many seconds
    #[arg(long, value_name = "S")]
    time: Option<u64>,
    /// Threads; no result depends on it [default: one for each processor]
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=super::MOST_JOBS))]
    jobs: Option<u16>,
    /// Search orders of independent steps, too, where they would be left out
    #[arg(long)]
    no_reduction: bool,
    /// Take states for one that differ only in which of several interchangeable threads is which
    #[arg(long, conflicts_with_all = ["exact", "preemptions", "depth"])]
    symmetry: bool,
    /// Compare whole states instead of fingerprints (slow)
    #[arg(long)]
    exact: bool,
    /// Look for threads that the others can put off for ever in a fair run, too
    #[arg(long)]
    starvation: bool,
    /// Lay the search down in this file from time to time
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Seconds between two checkpoints
    #[arg(long, value_name = "S", default_value_t = 60, requires = "checkpoint")]
    checkpoint_every: u64,
    /// Go on where the search of this file was laid down
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// How the verdicts are written
    #[arg(long, value_enum, default_value_t = Style::Text)]
    format: Style,
    /// Show no steps of the witness
    #[arg(long)]
    no_trace: bool,
    /// Say it in a few lines, with a small diagram of the witness: the calls, and of their steps
    /// those that led to what was found; where nothing is refuted, of a run that ends as expected
    #[arg(long, conflicts_with_all = ["format", "no_trace"])]
    brief: bool,
    #[command(flatten)]
    strategy: StrategyFlags,
}

/// How verdicts are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Style {
    /// Lines for a terminal
    Text,
    /// One JSON document
    Json,
}

const EXAMPLES: &str = "\
Examples:
  gupsim explore truncate/orphan-rdma
  gupsim explore truncate/orphan-rdma --preset linux-6.18 --invariant silent-orphan-dma
  gupsim explore my.json --preemptions 2 --time 60
  gupsim explore my.json --checkpoint my.ckp; gupsim explore my.json --resume my.ckp

Exits with 0 if everything is proved or vacuous, 1 if anything is refuted or an expectation
failed, 2 if it could not be searched, 3 if a limit was hit, 4 if an invariant that was named
with --invariant is vacuous, 5 if it was interrupted.";

/// Searches and says what follows.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let loaded = open(&args.scenario)?;
    let strategy = args.strategy.apply(loaded.strategy)?;
    let mut wanted = Props::NONE;
    for name in &args.invariant {
        wanted = wanted.union(search::property(name)?);
    }
    let mut start = Sim::new(loaded.plan.clone(), strategy);
    fits(&start, args.memory)?;
    let (mut options, mut method) = options(args, &loaded, &start);
    let mut notes = Vec::new();
    if args.symmetry {
        options.symmetry = symmetry::apply(&mut start, &loaded, strategy, &options, &mut notes);
        if options.symmetry {
            method = symmetry::method(&start);
        }
    }
    let checkpoint = args.checkpoint.as_deref().map(file::regular).transpose()?;
    watch::interrupts()?;
    let setting =
        Setting { repeat: repeat(args), ..setting::of(&loaded, &args.strategy, strategy) };
    let mut found: Option<Verdicts> = None;
    // What could not be laid down has been searched all the same.
    let mut failed = None;
    let began = Instant::now();
    let left = || args.time.map(|s| Duration::from_secs(s).saturating_sub(began.elapsed()));
    for (n, asked) in Asked::of(&loaded, strategy).iter().enumerate() {
        let judged = Judged::new(start.clone(), asked.conditions.clone());
        let checkpoint = checkpoint.as_deref().filter(|_| n == 0);
        let resume = args.resume.as_deref().filter(|_| n == 0);
        let files = Files { checkpoint, every: args.checkpoint_every, resume };
        let (report, watch) = search_all(&loaded, &judged, &options, files, left())?;
        failed = failed.or(watch.finish().err());
        let lines = asked.lines(&report, &[]);
        let expectations = lines.iter().filter_map(|line| expectation(line, wanted));
        match &mut found {
            Some(first) => first.expectations.extend(expectations),
            None => {
                let mut first = Verdicts {
                    method: made(&method, &report),
                    ..judge(args, &judged, &report, wanted, setting.clone())
                };
                first.expectations = expectations.collect();
                found = Some(first);
            }
        }
        if let Some(Verdicts { shown: shown @ None, .. }) = &mut found
            && args.brief
            && wanted.is_empty()
        {
            *shown = show(args, &setting).expected(&loaded, judged.sim(), &lines);
        }
    }
    let Some(mut found) = found else { return Ok(Exit::Clean) };
    found.notes.extend(notes);
    if args.starvation && !watch::interrupted() {
        let (starvation, lines) = starved(args, &loaded, &start, &options, left())?;
        found.starvation = Some(starvation);
        found.expectations.extend(lines);
    }
    out::print(&match args.format {
        Style::Text if args.brief => found.brief(out::stdout_width()),
        Style::Text => found.text(out::stdout_width()),
        Style::Json => found.json(),
    })?;
    match failed {
        Some(failure) => Err(failure),
        None => Ok(exit(&found, !wanted.is_empty())),
    }
}

/// Refuses a machine that alone takes more memory than all states of it may.
fn fits(start: &Sim, memory: usize) -> Result<(), Failure> {
    let machine = start.world.bytes() >> 20;
    if machine <= memory {
        return Ok(());
    }
    let what = format!("the machine takes {machine} MB for each thread, and --memory is {memory}");
    Err(Failure::usage(what, "give files and mappings fewer pages, or --memory more MB"))
}

/// How runs are shown.
fn show<'a>(args: &'a Args, setting: &'a Setting) -> Showing<'a> {
    let what = Show { steps: !args.no_trace, trail: args.brief, ..Show::default() };
    Showing { scenario: &args.scenario, strategy: &args.strategy, setting, what }
}

/// How to search, and that in words.
fn options(args: &Args, loaded: &Loaded, start: &Sim) -> (Options, String) {
    let limits = loaded.limits();
    let own_depth = || limits.depth.and_then(|d| usize::try_from(d).ok());
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        reduction: !args.no_reduction && says_where(start),
        exact: args.exact,
        preemptions: args.preemptions.or(limits.preemptions),
        depth: args.depth.or_else(own_depth),
        max_states: args.max_states.or(limits.states),
        max_bytes: Some(args.memory.saturating_mul(1 << 20)),
        jobs: args.jobs.map_or_else(cores, usize::from),
        ..Options::default()
    };
    let most = |p: u32| match p {
        1 => "at most 1 preemption".to_string(),
        p => format!("at most {p} preemptions"),
    };
    let mut method = match (options.preemptions, options.depth) {
        (None, None) => "every interleaving".to_string(),
        (Some(p), None) => format!("interleavings with {}", most(p)),
        (None, Some(d)) => format!("interleavings up to {}", verdicts::steps(d)),
        (Some(p), Some(d)) => {
            format!("interleavings with {}, up to {}", most(p), verdicts::steps(d))
        }
    };
    if options.is_reduced() && start.agents() <= reduce::MAX_AGENTS {
        method.push_str(", up to the order of independent steps");
    }
    (options, method)
}

/// How it was searched: without a reduction that was given up.
fn made(method: &str, report: &explore::Report<Move>) -> String {
    let given_up = report.reduction.is_some_and(|r| r.given_up);
    if given_up { "every interleaving".to_string() } else { method.to_string() }
}

/// Steps along which a model is asked whether it says where its agents are.
const PROBED: usize = 64;

/// Whether the model says where in its program an agent is: without that a reduction has to
/// assume that everybody may touch everything at any time, and costs more than it saves.
fn says_where(start: &Sim) -> bool {
    let mut sim = start.clone();
    let mut moves = Vec::new();
    for _ in 0..PROBED {
        if (0..sim.agents() as Agent).any(|a| sim.place(a) != 0) {
            return true;
        }
        sim.moves(&mut moves);
        match moves.first() {
            Some(&mv) => sim.apply(mv),
            None => return false,
        };
    }
    false
}

/// Where a search is laid down, after how many seconds, and where it goes on.
#[derive(Clone, Copy, Debug)]
struct Files<'a> {
    checkpoint: Option<&'a Path>,
    every: u64,
    resume: Option<&'a Path>,
}

/// Makes the search, or goes on with it.
fn search_all(
    loaded: &Loaded,
    start: &Judged,
    options: &Options,
    files: Files,
    until: Option<Duration>,
) -> Result<(explore::Report<Move>, Watch), Failure> {
    let caller = identity(loaded, start);
    let checkpoints = files.checkpoint.map(|path| Checkpoints {
        path: path.to_path_buf(),
        every: Duration::from_secs(files.every),
        start: Mutex::new(start.clone()),
        options: options.clone(),
        caller,
    });
    let snapshot = match files.resume {
        None => None,
        Some(path) => Some(Snapshot::load(start, options, caller, path).map_err(|e| {
            let help = match e {
                CheckpointError::Io(_) => "--resume takes a file that --checkpoint has written",
                _ => "",
            };
            Failure::usage(format!("cannot resume {}: {e}", path.display()), help)
        })?),
    };
    let watch = Watch::new(until, checkpoints);
    let report = match snapshot {
        Some(snapshot) => explore::resume(start, options, &watch, snapshot),
        None => explore::explore(start, options, &watch),
    };
    Ok((start.complete(report), watch))
}

/// What tells this search from others with the same start state: the scenario as a whole (its
/// conditions are properties), and the design.
fn identity(loaded: &Loaded, start: &Judged) -> u64 {
    let scenario = serde_json::to_string(&loaded.scenario).unwrap_or_default();
    hash::mix2(
        hash::bytes(scenario.as_bytes()),
        hash::bytes(format!("{:?}", start.sim().strategy).as_bytes()),
    )
}

/// The verdicts of the invariants that were asked for (all, if none was).
fn judge(
    args: &Args,
    start: &Judged,
    report: &explore::Report<Move>,
    wanted: Props,
    setting: Setting,
) -> Verdicts {
    let asked = |i: &usize| wanted.is_empty() || wanted.has(*i);
    let mut invariants = Vec::new();
    let mut shown = None;
    for i in (0..TABLE.len()).filter(asked) {
        let mut verdict = verdict(report, i);
        let witness = report.witnesses.iter().find(|w| w.property == i);
        if let Some(witness) = witness {
            let moves = shown::shorter(start, witness);
            verdict.witness = Some(Witness {
                steps: moves.len(),
                shortest: witness.shortest,
                replay: setting::replay(&args.scenario, &args.strategy, start.sim(), &moves),
            });
            // The table begins with what is worst.
            if shown.is_none() {
                let mut report = show(args, &setting).report(start.sim(), &moves);
                if args.brief && !wanted.is_empty() {
                    let asked = |f: &Finding| {
                        search::property(f.invariant).is_ok_and(|p| wanted.0 & p.0 != 0)
                    };
                    report.findings.retain(asked);
                }
                shown = Some(report);
            }
        }
        if i == LOCK_ORDER {
            let cycle = start.lock_cycle().unwrap_or_default();
            verdict.cycle = cycle.into_iter().map(|class| class.label()).collect();
        }
        invariants.push(verdict);
    }
    let end = |e| report.ends(e);
    Verdicts {
        format: verdicts::FORMAT,
        setting,
        method: String::new(),
        bounds: report.bounds.iter().map(|b| b.name()).collect(),
        states: report.states,
        transitions: report.transitions,
        ends: Ends {
            finished: end(Ending::Finished),
            deadlock: end(Ending::Deadlock),
            stall: end(Ending::Stall),
            cut: end(Ending::Cut),
        },
        collision: report.collision,
        collisions: report.collisions,
        invariants,
        expectations: Vec::new(),
        starvation: None,
        notes: Vec::new(),
        shown,
    }
}

fn verdict(report: &explore::Report<Move>, i: usize) -> verdicts::Verdict {
    let (verdict, by) = match report.verdict(i) {
        Verdict::Proved => ("proved", None),
        Verdict::Refuted => ("refuted", None),
        Verdict::Bounded(by) => ("bounded", Some(by.name())),
        Verdict::Vacuous => ("vacuous", None),
    };
    verdicts::Verdict {
        invariant: TABLE[i].name,
        verdict,
        by,
        violating_ends: report.violating_ends[i],
        witness: None,
        cycle: Vec::new(),
    }
}

fn expectation(line: &Line, wanted: Props) -> Option<Expectation> {
    let Found::Ends { property, with, without, .. } = line.found else { return None };
    let asked_for = wanted.is_empty() || wanted.has(property);
    let fate = line.fate.name();
    asked_for.then(|| Expectation { text: line.text.clone(), fate, with, without })
}

/// Looks for threads that can be put off for ever, and what the scenario expects of that.
fn starved(
    args: &Args,
    loaded: &Loaded,
    sim: &Sim,
    options: &Options,
    until: Option<Duration>,
) -> Result<(Starvation, Vec<Expectation>), Failure> {
    let watch = Watch::new(until, None);
    let found = starve::search(sim, options, &watch);
    watch.finish()?;
    let lines = starve::lines(loaded, sim.strategy, &found);
    let lines = lines.iter().filter_map(|line| expectation(line, Props::NONE)).collect();
    let lasso = |l: &explore::liveness::Lasso<Move>| {
        let moves: Vec<Move> = l.stem.iter().chain(&l.cycle).copied().collect();
        Lasso {
            agent: agents::name(sim, l.agent),
            stem: l.stem.len(),
            cycle: l.cycle.len(),
            round: stretches(&schedule(sim, &moves).0[l.stem.len()..]),
            replay: setting::replay(&args.scenario, &args.strategy, sim, &moves),
        }
    };
    let starvation = Starvation {
        states: found.states,
        bound: found.bound.map(Bound::name),
        tested: found.owing.iter().map(|&a| agents::name(sim, a)).collect(),
        starved: found.lassos.iter().map(lasso).collect(),
    };
    Ok((starvation, lines))
}

/// Choices by who makes them.
fn stretches(choices: &[Choice]) -> Vec<Stretch> {
    let same = choices.chunk_by(|a, b| a.who == b.who);
    let step = |c: &Choice| c.step.clone().unwrap_or_default();
    let stretch =
        |s: &[Choice]| Stretch { who: s[0].who.clone(), steps: s.iter().map(step).collect() };
    same.map(stretch).collect()
}

/// The command that repeats the search.
fn repeat(args: &Args) -> Vec<String> {
    let mut words = vec!["gupsim".into(), "explore".into(), args.scenario.clone()];
    words.extend(args.strategy.typed());
    let mut number = |flag: &str, n: Option<u64>| {
        words.extend(n.into_iter().flat_map(|n| [format!("--{flag}"), n.to_string()]));
    };
    number("preemptions", args.preemptions.map(u64::from));
    number("depth", args.depth.map(|d| d as u64));
    number("max-states", args.max_states);
    for name in &args.invariant {
        words.extend(["--invariant".into(), name.clone()]);
    }
    let flags = [
        (args.no_reduction, "--no-reduction"),
        (args.symmetry, "--symmetry"),
        (args.exact, "--exact"),
        (args.starvation, "--starvation"),
    ];
    words.extend(flags.iter().filter(|f| f.0).map(|f| f.1.to_string()));
    words
}

/// The exit code; `named`: the invariants were named.
fn exit(found: &Verdicts, named: bool) -> Exit {
    let cut = found.starvation.as_ref().and_then(|s| s.bound);
    let bounds = || found.bounds.iter().copied().chain(cut);
    if found.refuted() {
        Exit::Violated
    } else if bounds().any(|b| b == Bound::Interruption.name()) || watch::interrupted() {
        Exit::Interrupted
    } else if bounds().next().is_some() || !found.of("bounded").is_empty() {
        Exit::Bounded
    } else if named && !found.of("vacuous").is_empty() {
        Exit::Vacuous
    } else {
        Exit::Clean
    }
}
