//! Why a command could not be carried out, and how that is said.

use super::{Exit, out};
use crate::scenario::Problems;
use crate::scenario::problem::Problem;
use std::io;
use std::path::PathBuf;

/// Why a command could not be carried out.
#[derive(Debug)]
pub enum Failure {
    /// What was typed makes no sense.
    Usage {
        /// What is wrong, as a lowercase fragment.
        what: String,
        /// The cure; empty if it is obvious.
        help: String,
    },
    /// Scenarios are wrong.
    Scenarios(Vec<Problems>),
    /// Output could not be written.
    Output(io::Error),
    /// The program contradicts itself.
    Internal(String),
    /// A file that was asked for could not be written.
    File(PathBuf, io::Error),
}

impl Failure {
    /// A usage error.
    pub fn usage(what: impl Into<String>, help: impl Into<String>) -> Failure {
        Failure::Usage { what: what.into(), help: help.into() }
    }

    /// Says it on stderr.
    pub fn report(self) -> Exit {
        let red = crate::report::paint::BROKEN;
        let error = |what: String| out::say(&format!("{red}error:{red:#} {what}"));
        match self {
            Failure::Usage { what, help } => {
                error(what);
                if !help.is_empty() {
                    out::say(&format!("  help: {help}"));
                }
                return Exit::Usage;
            }
            Failure::Scenarios(all) => {
                for problems in all {
                    error(problems.to_string());
                    out::say(problems.plain(out::stderr_width()).trim_end());
                }
                return Exit::Usage;
            }
            Failure::Internal(what) => error(format!("this is a bug in gupsim: {what}")),
            Failure::File(path, why) => error(format!("cannot write {}: {why}", path.display())),
            Failure::Output(why) => error(format!("cannot write the output: {why}")),
        }
        Exit::Internal
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Failure {
        Failure::Scenarios(vec![problems])
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure::usage(problem.message, problem.help)
    }
}
