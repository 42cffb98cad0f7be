//! Scenarios by what was typed: files, directories, bundled names and themes.

use super::failure::Failure;
use crate::scenario::{Loaded, bundled, is_readable, open};
use std::path::{Path, PathBuf};

/// A scenario with the name that opens it again.
#[derive(Debug)]
pub struct Opened {
    /// What `gupsim replay` takes.
    pub name: String,
    /// The scenario.
    pub loaded: Loaded,
}

impl Opened {
    /// Its file; for a bundled one, where it lies in the sources.
    pub fn file(&self) -> String {
        match bundled().iter().any(|(name, _)| *name == self.loaded.name) {
            true => format!("scenarios/{}.json", self.loaded.name),
            false => self.name.clone(),
        }
    }
}

/// Opens what was typed; all bundled scenarios if nothing was.
///
/// # Errors
/// If something is neither a file nor a directory nor a bundled scenario or theme, if a directory
/// has no scenarios, or if scenarios are wrong: all of these.
pub fn all(typed: &[String]) -> Result<Vec<Opened>, Failure> {
    let mut names: Vec<String> = Vec::new();
    if typed.is_empty() {
        names.extend(bundled().iter().map(|(name, _)| name.to_string()));
    }
    for name in typed {
        let path = Path::new(name);
        let theme = format!("{}/", name.trim_end_matches('/'));
        let themed = || bundled().iter().map(|b| b.0).filter(|full| full.starts_with(&theme));
        if path.is_dir() {
            let files = files(path).map_err(|e| unreadable(path, &e))?;
            if files.is_empty() {
                let what = format!("there is no scenario (*.json) in {name}");
                return Err(Failure::usage(what, ""));
            }
            names.extend(files.into_iter().map(|f| f.display().to_string()));
        } else if !is_readable(name) && themed().next().is_some() {
            names.extend(themed().map(String::from));
        } else {
            names.push(name.clone());
        }
    }
    let (mut opened, mut wrong) = (Vec::new(), Vec::new());
    for name in names {
        match open(&name) {
            Ok(loaded) => opened.push(Opened { loaded, name }),
            Err(problems) => wrong.push(problems),
        }
    }
    if wrong.is_empty() { Ok(opened) } else { Err(Failure::Scenarios(wrong)) }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read the directory {}: {error}", path.display()), "")
}

/// The JSON files in a directory and those below it, by name.
fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(dir)?.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>()?;
    entries.sort();
    let mut found = Vec::new();
    for path in entries {
        // A link may lead in a circle.
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path)?);
        } else if path.is_file() && path.extension().is_some_and(|e| e == "json") {
            found.push(path);
        }
    }
    Ok(found)
}
