//! `gupsim schema`: the JSON Schema of scenarios.

use super::{Exit, failure::Failure, out};

/// Print the JSON Schema of the scenario format
///
/// Editors that know it complete and check scenarios while they are written: put
/// `"$schema": "PATH"` into a scenario.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gupsim schema > scenario.schema.json")]
pub struct Args {}

/// Prints it.
pub fn run(_args: &Args) -> Result<Exit, Failure> {
    out::print(&crate::scenario::schema())?;
    Ok(Exit::Clean)
}
