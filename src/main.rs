//! The `gupsim` command: parse, dispatch, exit code.

fn main() {}
