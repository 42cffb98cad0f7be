//! The command line: what can be typed, and who carries it out. One file per command.
//!
//! Data goes to stdout, talk to stderr. Only this module prints, and only it knows of terminals.

mod catalog;
mod check;
mod compare;
mod completions;
mod conform;
mod conform_export;
mod exit;
mod explain;
mod explore;
mod failure;
mod file;
mod findings;
mod fuzz;
mod generate;
mod list;
mod out;
mod replay;
mod scenarios;
mod schema;
mod search;
mod selftest;
mod setting;
mod shown;
mod shrink;
mod steps;
mod strategy;
mod symmetry;
mod watch;

pub use exit::Exit;

use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;

/// Most threads that a command can be told to use: more than any machine has processors, and
/// fewer than systems let a process have.
const MOST_JOBS: i64 = 1024;

/// What happens to pinned pages: kernel races by seed, by schedule, step by step.
///
/// gupsim simulates the Linux page / pin / writeback / truncate life cycle. A scenario describes
/// threads, files, devices and mappings; a strategy says how the kernel is designed; an
/// interleaving of their atomic steps is a run, in which every step is checked against the
/// invariants.
#[derive(Debug, Parser)]
#[command(name = "gupsim", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    color: When,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  gupsim list scenarios
  gupsim replay truncate/orphan-rdma
  gupsim replay dax/punch-foreign-dma --truncate-dax wait-unlocked
  gupsim explore truncate/orphan-rdma --preset linux-6.18
  gupsim explain silent-orphan-dma

Exit codes: 0 nothing violated, 1 violated, 2 bad input or usage, 3 cut by a limit;
`gupsim explain exit-codes` has them all.";

/// When to use colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum When {
    /// On a terminal only, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl When {
    fn choose(self) {
        let choice = match self {
            When::Auto => anstream::ColorChoice::Auto,
            When::Always => anstream::ColorChoice::Always,
            When::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::Args),
    Explore(explore::Args),
    Fuzz(fuzz::Args),
    Check(check::Args),
    Compare(compare::Args),
    Shrink(shrink::Args),
    Selftest(selftest::Args),
    Conform(conform::Args),
    List(list::Args),
    Explain(explain::Args),
    Schema(schema::Args),
    Completions(completions::Args),
}

/// The command line as clap knows it.
fn command() -> clap::Command {
    Cli::command()
}

/// Parses the command line and carries out what it says.
pub fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            if error.use_stderr() {
                // Nobody is left to hear that the complaint could not be printed.
                let _ = error.print();
                return Exit::Usage;
            }
            let printed = out::print(&error.render().ansi().to_string());
            return printed.map_or_else(Failure::report, |()| Exit::Clean);
        }
    };
    cli.color.choose();
    let done = match cli.command {
        Command::Replay(args) => replay::run(&args),
        Command::Explore(args) => explore::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Shrink(args) => shrink::run(&args),
        Command::Selftest(args) => selftest::run(&args),
        Command::Conform(args) => conform::run(&args),
        Command::List(args) => list::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    done.unwrap_or_else(Failure::report)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_makes_sense_to_clap() {
        super::command().debug_assert();
    }
}
