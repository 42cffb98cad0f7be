//! The `gupsim` command: parse, dispatch, exit code.

use gupsim::cli::{self, Exit};
use std::io::Write;
use std::panic;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The panic hook has said where; what is left is to exit with the code that is documented.
    let exit = panic::catch_unwind(cli::run).unwrap_or_else(|_| {
        let bug = "error: this is a bug in gupsim; please report it with the command";
        // If nobody listens there is nobody to tell.
        let _ = writeln!(anstream::stderr(), "{bug}");
        Exit::Internal
    });
    ExitCode::from(exit.code())
}
