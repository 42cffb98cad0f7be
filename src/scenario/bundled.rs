//! The scenarios that come with gupsim, embedded in the binary.

use super::load::{self, Loaded};
use super::problem::{Problem, Problems, Source};
use super::suggest;
use std::path::Path;

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// All bundled scenarios, sorted by name: `writeback/fsync-then-crash` and its text.
pub fn bundled() -> &'static [(&'static str, &'static str)] {
    BUNDLED
}

/// The bundled scenario of a name, with or without its theme (`fsync-then-crash`).
pub fn find(name: &str) -> Option<(&'static str, &'static str)> {
    let name = name.strip_suffix(".json").unwrap_or(name);
    let short = |full: &str| full.rsplit('/').next() == Some(name);
    let mut candidates = BUNDLED.iter().filter(|(full, _)| *full == name || short(full));
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => Some(*only),
        _ => BUNDLED.iter().find(|(full, _)| *full == name).copied(),
    }
}

/// What is typed for standard input.
const STDIN: &str = "-";

/// Whether what was typed can be read: a file, a pipe (`<(jq ... x.json)`), or `-` for standard
/// input.
pub fn is_readable(name: &str) -> bool {
    let path = Path::new(name);
    name == STDIN || path.exists() && !path.is_dir()
}

/// Loads a scenario by what was typed: the path of a file, `-` for standard input, or the name of
/// a bundled one.
///
/// # Errors
/// If there is neither (the error names the nearest), or everything that is wrong with it.
pub fn open(name: &str) -> Result<Loaded, Problems> {
    let path = Path::new(name);
    if name == STDIN {
        return load::reader("stdin", || Ok(std::io::stdin().lock()));
    }
    if is_readable(name) {
        return load::file(path);
    }
    if let Some((full, text)) = find(name) {
        return load::text(full, text);
    }
    let known =
        BUNDLED.iter().flat_map(|(full, _)| [*full, full.rsplit('/').next().unwrap_or(full)]);
    let nearest = suggest::nearest(name, known);
    let help = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`? `gupsim list scenarios` shows all"),
        None => "give the path of a file, or a name that `gupsim list scenarios` shows".into(),
    };
    let what = match path.is_dir() {
        true => format!("`{name}` is a directory, and one scenario is meant"),
        false => format!("no scenario `{name}`, neither as a file nor bundled"),
    };
    let source = Source { name: name.to_string(), text: String::new() };
    Err(Problems::new(source, vec![Problem::general(what).help(help)]))
}
