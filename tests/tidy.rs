//! The laws of style and layering, as an ordinary test.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest line of a source file, in columns.
const COLUMNS: usize = 100;
/// Longest source file, in lines.
const LINES: usize = 500;
/// Longest function, in lines.
const FUNCTION: usize = 70;
/// Functions that are one table, a match with a line for each variant: as long as the enumeration.
const TABLES: &[&str] = &["src/report/names.rs: pub fn operation("];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file with this ending below some folders of the crate, with its path from the root.
fn files(folders: &[&str], ending: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, ending: &str, out: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten().map(|e| e.path()) {
            if entry.is_dir() {
                walk(&entry, ending, out);
            } else if entry.to_string_lossy().ends_with(ending) {
                out.push(entry);
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        walk(&root().join(folder), ending, &mut found);
    }
    found.sort();
    found
        .into_iter()
        .map(|p| {
            let name = p.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&p).unwrap())
        })
        .collect()
}

fn sources() -> Vec<(String, String)> {
    files(&["src", "tests", "benches"], ".rs")
}

/// Fails with every complaint at once.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent = sources().into_iter().filter(|(_, text)| !text.starts_with("//! "));
    none(silent.map(|(name, _)| format!("{name} does not begin with a //! header")).collect());
}

#[test]
fn lines_and_files_are_short() {
    let mut complaints = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > LINES {
            complaints.push(format!("{name} has {lines} lines, more than {LINES}"));
        }
        for (n, line) in text.lines().enumerate() {
            if line.chars().count() > COLUMNS {
                complaints.push(format!("{name}:{} is longer than {COLUMNS} columns", n + 1));
            }
        }
    }
    none(complaints);
}

#[test]
fn functions_are_short() {
    let mut complaints = Vec::new();
    for (name, text) in sources() {
        let mut open: Option<(usize, usize)> = None;
        for (n, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let starts = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "const fn "];
            if starts.iter().any(|s| code.starts_with(s)) && !code.ends_with(';') {
                open = Some((n, indent));
            } else if let Some((from, at)) = open
                && code == "}"
                && indent == at
            {
                let length = n - from + 1;
                let first = text.lines().nth(from).unwrap_or_default().trim_start();
                let is_table = TABLES.iter().any(|t| format!("{name}: {first}").starts_with(t));
                if length > FUNCTION && !is_table {
                    complaints.push(format!("{name}:{}: a function of {length} lines", from + 1));
                }
                open = None;
            }
        }
    }
    none(complaints);
}

/// Which parts of the crate a part may import, in the order of the layers.
const LAYERS: &[(&str, &[&str])] = &[
    ("src/kernel/world/", &["crate::kernel::world"]),
    ("src/kernel/strategy/", &["crate::kernel::world", "crate::kernel::strategy"]),
    (
        "src/kernel/invariant/",
        &["crate::kernel::world", "crate::kernel::invariant", "crate::engine::model"],
    ),
    (
        "src/kernel/actor/",
        &["crate::kernel::world", "crate::kernel::strategy", "crate::kernel::actor"],
    ),
    ("src/kernel/", &["crate::kernel", "crate::engine::model"]),
    ("src/engine/", &["crate::engine", "crate::schedule"]),
    ("src/schedule/", &["crate::engine", "crate::schedule"]),
    ("src/litmus/", &["crate::engine", "crate::schedule", "crate::litmus"]),
    ("src/scenario/", &["crate::kernel", "crate::scenario"]),
    (
        "src/report/",
        &["crate::kernel", "crate::engine", "crate::schedule", "crate::scenario", "crate::report"],
    ),
];

#[test]
fn arrows_run_down_only() {
    let mut complaints = Vec::new();
    for (name, text) in files(&["src"], ".rs") {
        let Some((layer, allowed)) = LAYERS.iter().find(|(l, _)| name.starts_with(l)) else {
            continue;
        };
        // Tests may look wherever they like.
        if ["_tests.rs", "/tests.rs", "testkit.rs", "tests/mod.rs"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (n, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for (at, _) in line.match_indices("crate::") {
                let path = &line[at..];
                let macro_path = line[..at].ends_with('$');
                if !macro_path && !allowed.iter().any(|a| path.starts_with(a)) {
                    complaints.push(format!("{name}:{}: {layer} imports {path}", n + 1));
                }
            }
        }
    }
    none(complaints);
}

#[test]
fn only_the_command_line_prints_or_knows_the_time() {
    let mut complaints = Vec::new();
    let banned = ["println!", "print!(", "eprintln!", "SystemTime", "Instant::now", "std::env"];
    for (name, text) in files(&["src"], ".rs") {
        if name.starts_with("src/cli/") || name == "src/main.rs" {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (n, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for word in banned.iter().filter(|w| line.contains(**w)) {
                complaints.push(format!("{name}:{}: {word}", n + 1));
            }
        }
    }
    none(complaints);
}

#[test]
fn nothing_that_iterates_in_hash_order_is_in_the_model_or_engine() {
    let mut complaints = Vec::new();
    for (name, text) in files(&["src/kernel", "src/engine", "src/schedule", "src/litmus"], ".rs") {
        for (n, line) in text.lines().enumerate() {
            if ["HashMap", "HashSet"].iter().any(|w| line.contains(w)) {
                complaints.push(format!("{name}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    none(complaints);
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    let mut complaints = Vec::new();
    let banned = [concat!("#[ign", "ore"), concat!("to", "do!("), concat!("unimpl", "emented!(")];
    for (name, text) in sources() {
        for word in banned.iter().filter(|w| text.contains(**w)) {
            complaints.push(format!("{name}: {word}"));
        }
    }
    none(complaints);
}
