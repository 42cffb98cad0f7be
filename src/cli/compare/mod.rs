//! `gupsim compare`: designs side by side.

mod diverge;
mod grid;
mod history;
mod repair;
mod table;

use self::grid::Grid;
use super::scenarios::{self, Opened};
use super::strategy::StrategyFlags;
use super::watch::{self, Crew};
use super::{Exit, failure::Failure, out, setting};
use crate::compare::Effort;
use crate::engine::explore::Options;
use crate::kernel::invariant::{self, TABLE};
use crate::kernel::sim::{Move, Sim};
use crate::report::Format;
use crate::report::brief;
use crate::report::data::Setting;
use crate::report::run::again;
use crate::report::trace::{self, Show};
use crate::scenario::suggest;
use std::time::Duration;

/// Scenarios that together show what the argument is about: writeback of pinned pages, truncate
/// under them, DAX, fork, reclaim, notifiers, unbind.
pub const REPRESENTATIVE: &[&str] = &[
    "writeback/rdma-write-after-clean",
    "writeback/stable-pages",
    "bugs/d824ec2a1546-page-without-buffers",
    "truncate/orphan-rdma",
    "dax/punch-foreign-dma",
    "dax/longterm-stall",
    "bugs/70e806e4e645-lost-dma-after-fork",
    "reclaim/pinned-page-survives",
    "notifier/odp-truncate",
    "unbind/gup-fast-vs-unbind",
];

/// Put designs side by side: what each protects, and what that costs
///
/// Every design goes through the same scenarios. Of each invariant that is at risk under any of
/// them the table says whether it is proved, refuted (and in how many steps), bounded or vacuous;
/// below that what the design costs in the same timed runs. Lists of values are combined, each
/// with each; combinations that make no sense are listed with the reason.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Scenarios: files, directories, names and themes [default: a representative set]
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Replay the shortest run that breaks an invariant (COLUMN) under a design (ROW, or `#n`)
    #[arg(long, num_args = 2, value_names = ["ROW", "COLUMN"])]
    witness: Option<Vec<String>>,
    /// Run one schedule under two designs, up to where they part and a little further
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "witness")]
    diverge: Option<Vec<String>>,
    /// The number of that schedule [default: the first in which the two break different rules]
    #[arg(long, value_name = "N", requires = "diverge",
          conflicts_with_all = ["witness", "history", "repair"])]
    schedule: Option<u64>,
    /// The kernels in order, and since when which rule holds in one scenario
    #[arg(long, conflicts_with_all = ["witness", "diverge"])]
    history: bool,
    /// The smallest changes of a design after which what is refuted in a scenario is not
    #[arg(long, conflicts_with_all = ["witness", "diverge", "history"])]
    repair: bool,
    /// The design that is repaired [default: the scenario's own]
    #[arg(long, value_name = "PRESET", requires = "repair",
          conflicts_with_all = ["witness", "diverge", "history"])]
    from: Option<String>,
    /// Most values that a repair changes
    #[arg(long, value_name = "N", default_value_t = 2, requires = "repair",
          conflicts_with_all = ["witness", "diverge", "history"])]
    changes: usize,
    /// Only who protects whom, a line for each design; of a --witness a small diagram
    #[arg(long, conflicts_with_all = ["diverge", "history", "repair", "format"])]
    brief: bool,
    /// Timed runs of each scenario from which prices are taken
    #[arg(long, value_name = "N", default_value_t = 21)]
    runs: u64,
    /// Schedules that all designs share where a search is cut
    #[arg(long, value_name = "N", default_value_t = 1000)]
    schedules: u64,
    /// Cut each search after about so many states
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    max_states: u64,
    /// Stop after so many seconds
    #[arg(long, value_name = "S")]
    time: Option<u64>,
    /// Searches at a time; no result depends on it [default: one for each processor]
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=crate::cli::MOST_JOBS))]
    jobs: Option<u16>,
    /// How the table is written
    #[arg(long, value_enum, default_value_t = Style::Text)]
    format: Style,
    #[command(flatten)]
    grid: Grid,
}

/// How the table is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Style {
    /// Tables for a terminal
    Text,
    /// A table in Markdown
    Markdown,
    /// A line for each design
    Csv,
    /// One JSON document
    Json,
}

const EXAMPLES: &str = "\
Examples:
  gupsim compare
  gupsim compare --brief
  gupsim compare truncate/orphan-rdma --preset linux-4.19 --longterm all
  gupsim compare truncate/orphan-rdma --witness linux-4.19 silent-orphan-dma
  gupsim compare --witness '#7' clean-but-newer
  gupsim compare --diverge linux-4.19 linux-6.18 truncate/orphan-rdma
  gupsim compare --history dax/punch-foreign-dma
  gupsim compare --repair dax/punch-foreign-dma --from linux-4.14

A design is PRESET, AXIS=VALUE ... or PRESET AXIS=VALUE ..., as in a scenario's expectations.
Exits with 0 when the table is complete, 1 after --witness, and after --repair if nothing helps, 3
if the time was up and 5 if it was interrupted (what was found is printed).";

/// States that the search for a shortest run may visit.
const WITNESS_STATES: usize = 200_000;

/// Compares.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let typed = match args.scenarios.is_empty() {
        true if args.diverge.is_some() || args.history || args.repair => {
            return Err(Failure::usage(
                "this looks at one scenario, and none was named",
                "`gupsim list scenarios` shows what there is",
            ));
        }
        true => REPRESENTATIVE.iter().map(|s| s.to_string()).collect(),
        false => args.scenarios.clone(),
    };
    let opened = scenarios::all(&typed)?;
    watch::interrupts()?;
    if args.diverge.is_some() || args.history || args.repair {
        let [one] = opened.as_slice() else {
            return Err(Failure::usage("this looks at one scenario", "name one scenario"));
        };
        if !args.history && !args.grid.is_empty() {
            return Err(Failure::usage(
                "--diverge and --repair take no lists of designs",
                "--diverge names its two; --repair takes --from 'PRESET AXIS=VALUE ...'",
            ));
        }
        if args.diverge.is_some() && matches!(args.format, Style::Csv | Style::Markdown) {
            return Err(Failure::usage("two runs are no table", "--format text or json"));
        }
        return match &args.diverge {
            Some(designs) => diverge::run(args, designs, one),
            None if args.history => history::run(args, &opened),
            None => repair::run(args, one),
        };
    }
    if let Some(wanted) = &args.witness {
        return witness(args, &opened, &wanted[0], &wanted[1]);
    }
    let crew = args.crew();
    let found = table::find(&opened, args.grid.designs()?, args.effort(), args.workers(), &crew);
    crew.finish();
    let table = found?.table();
    out::print(&match args.format {
        Style::Text if args.brief => table.brief(out::stdout_width()),
        Style::Text => table.text(out::stdout_width()),
        Style::Markdown => table.markdown(),
        Style::Json => table.json(),
        Style::Csv => table.csv().map_err(|e| Failure::Internal(e.to_string()))?,
    })?;
    Ok(args.exit(&crew))
}

impl Args {
    fn effort(&self) -> Effort {
        let search = Options {
            reduction: true,
            max_states: Some(self.max_states),
            max_bytes: Some(2 << 30),
            witness_states: WITNESS_STATES,
            ..Options::default()
        };
        Effort { search, schedules: self.schedules, runs: self.runs }
    }

    fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(cores, usize::from)
    }

    fn crew(&self) -> Crew {
        Crew::new(self.time.map(Duration::from_secs), 0)
    }

    fn exit(&self, crew: &Crew) -> Exit {
        match (watch::interrupted(), crew.is_over()) {
            (true, _) => Exit::Interrupted,
            (false, true) => Exit::Bounded,
            (false, false) => Exit::Clean,
        }
    }
}

/// Replays the shortest run that breaks an invariant under a design.
fn witness(args: &Args, opened: &[Opened], row: &str, column: &str) -> Result<Exit, Failure> {
    let Some((property, _)) = invariant::find(column) else {
        let known = TABLE.iter().map(|i| i.name);
        let help = suggest::cure(column, known, "");
        return Err(Failure::usage(format!("unknown invariant '{column}'"), help));
    };
    let design = chosen(args, opened, row)?;
    if let Err(problem) = crate::scenario::strategy::describe(&design, opened[0].loaded.strategy) {
        return Err(problem.into());
    }
    let crew = args.crew();
    let effort = Effort { runs: 1, ..args.effort() };
    let found = table::find(opened, vec![design.clone()], effort, args.workers(), &crew);
    crew.finish();
    let found = found?;
    match found.shown(0, property) {
        Some(shown) if !shown.moves.is_empty() => {
            show(args, shown.scenario, &design, &shown)?;
            Ok(Exit::Violated)
        }
        Some(_) => Err(Failure::usage(
            format!("{column} is refuted under {design} by no single run that was kept"),
            "",
        )),
        None if found.is_complete() => Err(Failure::usage(
            format!("{column} is not refuted under {design}"),
            "`gupsim compare` with the same scenarios shows what is",
        )),
        None => Err(Failure::usage(
            format!("{column} was not refuted under {design} as far as the search went"),
            "let it go further: --max-states, --schedules, --time",
        )),
    }
}

/// The design that is meant by a row: its number (`#3`), its name, or what the table shows of that.
fn chosen(args: &Args, opened: &[Opened], row: &str) -> Result<String, Failure> {
    let rows = table::kept(opened, &args.grid.designs()?);
    if let Some(number) = row.strip_prefix('#') {
        let at = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        return at.and_then(|n| rows.get(n)).cloned().ok_or_else(|| {
            let help = format!("the rows of this table are #1 to #{}", rows.len());
            Failure::usage(format!("no row '{row}'"), help)
        });
    }
    if row.is_empty() && !rows.iter().any(String::is_empty) {
        return Err(Failure::usage("the row has no name", "name a design, or a row by `#n`"));
    }
    let names: Vec<&str> = rows.iter().map(String::as_str).collect();
    let common = table::common(&names).len();
    let named =
        rows.iter().find(|d| *d == row).or_else(|| rows.iter().find(|d| d[common..] == *row));
    // A design that is no row of this table can be looked at all the same.
    Ok(named.cloned().unwrap_or_else(|| row.to_string()))
}

/// Shows a run as `gupsim replay` does.
fn show(args: &Args, opened: &Opened, design: &str, shown: &table::Shown) -> Result<(), Failure> {
    let start = Sim::new(opened.loaded.plan.clone(), shown.strategy);
    let report = report(opened, design, &start, shown.moves);
    let format = if args.format == Style::Json { Format::Json } else { Format::Text };
    let width = out::stdout_width();
    out::print(&match args.brief {
        true => brief::render(&report, width),
        false => format.render(&report, width),
    })
}

/// A run described, with the command that repeats it.
fn report(
    opened: &Opened,
    design: &str,
    start: &Sim,
    moves: &[Move],
) -> crate::report::data::Report {
    let run = again(start, moves);
    let flags = StrategyFlags::described(design);
    let setting = Setting {
        scheduled: moves.len(),
        repeat: setting::replay(&opened.name, &flags, start, moves),
        ..setting::of(&opened.loaded, &flags, start.strategy)
    };
    trace::report(start, &run, setting, Show { steps: true, trail: true, ..Show::default() })
}
