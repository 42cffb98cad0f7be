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

/// Sees to it that files can be put into a directory, before hours of work depend on it.
///
/// # Errors
/// If it is not there and cannot be made, or nothing can be written there.
pub fn directory(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).and_then(|()| probe(dir)).map_err(|e| unwritable(dir, &e))
}

/// Puts a file into a directory and removes it again.
fn probe(dir: &Path) -> std::io::Result<()> {
    let path = dir.join(format!(".gupsim-{}.part", std::process::id()));
    std::fs::File::create(&path).and_then(|_| std::fs::remove_file(&path))
}

fn unwritable(dir: &Path, error: &std::io::Error) -> Failure {
    let what = format!("cannot write to the directory {}: {error}", dir.display());
    Failure::usage(what, "name one that can be written to")
}

/// Sees to it that a file can be written to a directory that is there.
///
/// # Errors
/// If it is a directory itself, or its directory cannot be written to.
pub fn writable(path: &Path) -> Result<(), Failure> {
    if path.is_dir() || path.file_name().is_none() {
        let what = format!("cannot write {}: it is a directory", path.display());
        return Err(Failure::usage(what, "give the name of a file"));
    }
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    probe(dir).map_err(|e| unwritable(dir, &e))
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
