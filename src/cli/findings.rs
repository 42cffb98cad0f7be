//! Findings: failing runs as scenario files that anybody can replay.

use super::failure::Failure;
use crate::engine::hash;
use crate::kernel::strategy::Strategy;
use crate::report::signature::Signature;
use crate::scenario::types::Scenario;
use crate::scenario::{Loaded, write};
use std::io::Write;
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
    let done = || -> std::io::Result<()> {
        let dir = path.parent().filter(|d| !d.as_os_str().is_empty());
        if let Some(dir) = dir {
            std::fs::create_dir_all(dir)?;
        }
        let mut part = path.as_os_str().to_os_string();
        part.push(".part");
        let mut file = std::fs::File::create(&part)?;
        file.write_all(write::text(scenario).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    done().map_err(|e| Failure::File(path.to_path_buf(), e))
}
