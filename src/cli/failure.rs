//! Why a command could not be carried out, and how that is said.

use super::Exit;
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
    /// The scenario is wrong.
    Scenario(Box<Problems>),
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
        match self {
            Failure::Usage { what, help } => {
                anstream::eprintln!("{red}error:{red:#} {what}");
                if !help.is_empty() {
                    anstream::eprintln!("  help: {help}");
                }
                Exit::Usage
            }
            Failure::Scenario(problems) => {
                anstream::eprintln!("{red}error:{red:#} {problems}");
                anstream::eprintln!("{}", problems.plain(super::out::stderr_width()).trim_end());
                Exit::Usage
            }
            Failure::Internal(what) => {
                anstream::eprintln!("{red}error:{red:#} this is a bug in gupsim: {what}");
                Exit::Internal
            }
            Failure::File(path, error) => {
                let path = path.display();
                anstream::eprintln!("{red}error:{red:#} cannot write {path}: {error}");
                Exit::Internal
            }
            Failure::Output(error) => {
                anstream::eprintln!("{red}error:{red:#} cannot write the output: {error}");
                Exit::Internal
            }
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Failure {
        Failure::Scenario(Box::new(problems))
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure::usage(problem.message, problem.help)
    }
}
