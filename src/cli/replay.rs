//! `gupsim replay`: one run of a scenario, step by step.

use super::search::{self, Wanted};
use super::strategy::StrategyFlags;
use super::{Exit, failure::Failure, out, setting, watch};
use crate::judged::Judged;
use crate::kernel::sim::Sim;
use crate::kernel::strategy::Strategy;
use crate::kernel::world::price::Price;
use crate::measure;
use crate::report::brief;
use crate::report::data::Setting;
use crate::report::format::Format;
use crate::report::run::{Choose, Divergence, Run, record, schedule};
use crate::report::trace::{self, Show};
use crate::scenario::schedule::Schedule;
use crate::scenario::{Loaded, open};
use crate::schedule::timed::Pace;
use clap::builder::PossibleValue;

/// Longest run whose every step is shown unless asked for otherwise.
pub const SMALL: usize = 400;

/// Run one interleaving of a scenario and show it step by step
///
/// Which interleaving: the one that --schedule or --seed says; else the one that the scenario
/// gives; else, if the scenario expects something to break under this strategy, the most readable
/// of those --seeds that break it; else seed 0.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A scenario: the path of a file, `-` for standard input, or a name of `gupsim list scenarios`
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// The seed of the choices that no schedule fixes
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The first choices: WHO:STEP or WHO:STEP=OUTCOME, separated by commas
    #[arg(long, value_name = "CHOICES")]
    schedule: Option<Schedule>,
    /// Try seeds and show the most readable run that breaks an invariant (this one, if named); if
    /// none does, nothing is shown
    #[arg(long, value_name = "INVARIANT", num_args = 0..=1, require_equals = true,
          conflicts_with_all = ["seed", "schedule"])]
    find: Option<Option<String>>,
    /// How many seeds are tried, from 0
    #[arg(long, value_name = "N", default_value_t = 256)]
    seeds: u64,
    /// Let moves happen when they are due on a virtual clock (the default for generated worlds)
    #[arg(long, conflicts_with = "untimed")]
    timed: bool,
    /// Let moves happen in any order
    #[arg(long)]
    untimed: bool,
    /// Show what the timed run of the seed costs, too
    #[arg(long, conflicts_with_all = ["untimed", "schedule", "find"])]
    prices: bool,
    /// Stop after so many steps
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    steps: usize,
    /// How the run is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Show every step, however many
    #[arg(long, conflicts_with = "no_trace")]
    trace: bool,
    /// Show only the steps that violations and waits speak of
    #[arg(long)]
    no_trace: bool,
    /// Show the state, too, that no kernel has: what the model keeps in order to judge
    #[arg(long)]
    ghosts: bool,
    /// Show a small diagram: the calls, and of their steps those that led to what was found
    #[arg(long, conflicts_with_all = ["format", "trace", "no_trace", "ghosts"])]
    brief: bool,
    /// Print the choices of the run as one line for --schedule, and nothing else
    #[arg(long, conflicts_with_all = ["format", "trace", "no_trace", "ghosts", "brief"])]
    as_schedule: bool,
    #[command(flatten)]
    strategy: StrategyFlags,
}

const EXAMPLES: &str = "\
Examples:
  gupsim replay truncate/orphan-rdma
  gupsim replay truncate/orphan-rdma --preset linux-6.18 --longterm allow --seed 7
  gupsim replay truncate/orphan-rdma --find=corrupt-remote-read --seeds 1000
  gupsim replay writeback/rdma-write-after-clean --format mail

Exits with 0 if nothing was violated, 1 if something was, 2 if it could not be run, 3 if --find
found nothing in its --seeds, 5 if it was interrupted before anything was violated (what there is
of the run is shown).";

impl clap::ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Format] {
        const ALL: &[Format] = &{
            let mut all = [Format::Text; Format::TABLE.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = Format::TABLE[i].0;
                i += 1;
            }
            all
        };
        ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let row = Format::TABLE.iter().find(|row| row.0 == *self);
        row.map(|row| PossibleValue::new(row.1).help(row.2.trim()))
    }
}

/// Runs and shows.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let loaded = open(&args.scenario)?;
    let strategy = args.strategy.apply(loaded.strategy)?;
    let start = Sim::new(loaded.plan.clone(), strategy);
    let timed =
        if args.untimed { false } else { args.timed || args.prices || loaded.is_generated() };
    watch::interrupts()?;
    let mut choose = Choose {
        schedule: args.schedule.as_ref(),
        seed: args.seed.unwrap_or(0),
        timed,
        steps: args.steps,
        over: Some(watch::interrupted),
    };
    if args.seed.is_none() && args.schedule.is_none() && !args.prices {
        // The scenario's own schedule is one of its own design; another takes other steps.
        let own = loaded.schedule.as_ref().filter(|_| strategy == loaded.strategy);
        match (wanted(args, &loaded, strategy)?, own) {
            (Wanted::Expected(_), Some(own)) | (Wanted::Nothing, Some(own)) => {
                choose.schedule = Some(own);
            }
            (Wanted::Nothing, None) => {}
            (wanted, _) => match search::seed(&start, &choose, wanted, args.seeds) {
                Some(seed) => choose.seed = seed,
                // Another run is not what was asked for, whatever it breaks.
                None if watch::interrupted() => return Ok(Exit::Interrupted),
                None => return Ok(Exit::Bounded),
            },
        }
    }
    // Who interrupted the search for a run wants to see the one that it came to.
    choose.over = (!watch::interrupted()).then_some(watch::interrupted);
    let (run, divergence) = record(&start, &choose);
    if choose.over.is_some_and(|over| over()) {
        choose.steps = run.moves.len();
        out::say(&format!("interrupted after {} steps, which are shown", choose.steps));
    }
    if args.as_schedule {
        out::print(&format!("{}\n", schedule(&start, &run.moves)))?;
    } else {
        show(args, &loaded, &start, &choose, &run)?;
    }
    match divergence {
        Some(divergence) => Err(diverged(args, &divergence)),
        None if run.broken.is_empty() && watch::interrupted() => Ok(Exit::Interrupted),
        None if run.broken.is_empty() => Ok(Exit::Clean),
        None => Ok(Exit::Violated),
    }
}

/// Which runs are looked for where neither seed nor schedule is given.
fn wanted(args: &Args, loaded: &Loaded, strategy: Strategy) -> Result<Wanted, Failure> {
    match &args.find {
        Some(Some(name)) => search::named(name),
        Some(None) => Ok(Wanted::Any),
        // A timed run depends on the seed only where faults may happen: nothing to look for.
        None if loaded.is_generated() => Ok(Wanted::Nothing),
        None => Ok(search::expected(loaded, strategy)),
    }
}

fn show(
    args: &Args,
    loaded: &Loaded,
    start: &Sim,
    choose: &Choose,
    run: &Run,
) -> Result<(), Failure> {
    let every = !args.no_trace && (args.trace || run.moves.len() <= SMALL);
    let setting = setting(args, loaded, start.strategy, choose, run);
    let what = Show { steps: every, ghosts: args.ghosts, trail: args.brief };
    let mut report = trace::report(start, run, setting, what);
    if args.prices {
        let start = Judged::new(start.clone(), Vec::new());
        let measured = measure::measure(&start, choose.seed, 0, Pace::Exact);
        let all = Price::ALL.iter().map(|&p| (p.name(), measured.prices.get(p)));
        report.prices = all.filter(|(_, n)| *n > 0).collect();
    }
    let width = out::stdout_width();
    out::print(&match args.brief {
        true => brief::render(&report, width),
        false => args.format.render(&report, width),
    })
}

fn setting(
    args: &Args,
    loaded: &Loaded,
    strategy: Strategy,
    choose: &Choose,
    run: &Run,
) -> Setting {
    Setting {
        seed: choose.seed,
        scheduled: choose.schedule.map_or(0, |s| s.0.len()).min(run.moves.len()),
        timed: choose.timed,
        repeat: repeat(args, choose),
        ..setting::of(loaded, &args.strategy, strategy)
    }
}

/// The command line that repeats the run.
fn repeat(args: &Args, choose: &Choose) -> Vec<String> {
    let mut words = vec!["gupsim".into(), "replay".into(), args.scenario.clone()];
    words.extend(args.strategy.typed());
    if let Some(schedule) = &args.schedule {
        words.extend(["--schedule".into(), schedule.to_string()]);
    }
    // A run by the scenario's own schedule is what the scenario alone means.
    if choose.schedule.is_none() || args.seed.is_some() {
        words.extend(["--seed".into(), choose.seed.to_string()]);
    }
    match (args.timed, args.untimed) {
        _ if args.prices => words.push("--prices".into()),
        (true, _) => words.push("--timed".into()),
        (_, true) => words.push("--untimed".into()),
        _ => {}
    }
    if choose.steps != 1_000_000 {
        words.extend(["--steps".into(), choose.steps.to_string()]);
    }
    words
}

fn diverged(args: &Args, divergence: &Divergence) -> Failure {
    let help = match args.schedule {
        Some(_) => {
            "the model or the scenario has changed since; shorten the schedule to the steps \
                    that fit, or use --seed"
        }
        None => {
            "the scenario's own schedule no longer fits the model; use --seed, or put a new \
                 one into the scenario (--as-schedule prints one)"
        }
    };
    Failure::usage(divergence.to_string(), help)
}
