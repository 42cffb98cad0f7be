//! The `gupsim` command: parse, dispatch, exit code.

use gupsim::cli::{self, Exit};
use std::panic;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The panic hook has said where; what is left is to exit with the code that is documented.
    let exit = panic::catch_unwind(cli::run).unwrap_or_else(|_| {
        anstream::eprintln!("error: this is a bug in gupsim; please report it with the command");
        Exit::Internal
    });
    ExitCode::from(exit.code())
}
