//! Printing: stdout that may be closed at any time, and the width of the terminal.

use super::failure::Failure;
use std::io::{self, ErrorKind, Write};
use terminal_size::{Width, terminal_size_of};

/// Width of lines where there is no terminal, so that files are the same everywhere.
const FILE_WIDTH: usize = 100;

/// Prints data. Whoever reads it may have seen enough: a closed pipe is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    let done = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match done {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::Output(error)),
        Ok(()) => Ok(()),
    }
}

/// Says something on the side.
pub fn say(text: &str) {
    let mut stderr = anstream::stderr().lock();
    // If nobody listens there is nobody to tell.
    let _ = writeln!(stderr, "{text}");
}

/// Columns of the terminal that stdout is; a fixed number if it is none.
pub fn stdout_width() -> usize {
    columns(terminal_size_of(io::stdout()))
}

/// Columns of the terminal that stderr is; a fixed number if it is none.
pub fn stderr_width() -> usize {
    columns(terminal_size_of(io::stderr()))
}

fn columns<H>(size: Option<(Width, H)>) -> usize {
    size.map_or(FILE_WIDTH, |(width, _)| usize::from(width.0))
}
