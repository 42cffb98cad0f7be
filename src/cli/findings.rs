//! Findings: failing runs as scenario files that anybody can replay.

use super::failure::Failure;
use crate::engine::hash;
use crate::kernel::strategy::Strategy;
use crate::report::signature::Signature;
use crate::scenario::types::Scenario;
use crate::scenario::{Loaded, write};
use std::path::{Path, PathBuf};

/// The file of a failure of a scenario: the same for the same kind of failure.
pub fn file(dir: &Path, loaded: &Loaded, strategy: Strategy, signature: Signature) -> PathBuf {
    let stem = Path::new(&loaded.name).file_stem().unwrap_or_default().to_string_lossy();
    path(dir, &stem, &loaded.name, strategy, signature)
}

/// The file of a failure of something that has a name and the stem of one.
pub fn path(
    dir: &Path,
    stem: &str,
    name: &str,
    strategy: Strategy,
    signature: Signature,
) -> PathBuf {
    let kind = format!("{name} {strategy:?} {}", signature.steps());
    let number = hash::bytes(kind.as_bytes()) as u32;
    dir.join(format!("{stem}-{}-{number:08x}.json", signature.invariant()))
}

/// Writes a scenario at once: readers see the old file, or the new one whole.
///
/// # Errors
/// If the file or its directory cannot be written.
pub fn save(path: &Path, scenario: &Scenario) -> Result<(), Failure> {
    super::file::write(path, &write::text(scenario))
}
