//! `gupsim completions`: scripts that complete the command line.

use super::{Exit, failure::Failure, out};
use clap_complete::Shell;

/// Print a script that completes the command line in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gupsim completions bash > \
                        ~/.local/share/bash-completion/completions/gupsim")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints it.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "gupsim", &mut script);
    out::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Clean)
}
