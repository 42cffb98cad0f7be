//! The commands that the manual shows, carried out by the binary under test.

use super::page::{Block, root};
use assert_cmd::Command;
use std::fs;
use std::path::{Path, PathBuf};

/// A command and the output that the page shows for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The line, without its prompt.
    pub line: String,
    /// What follows it in a console block; empty if the page shows no output.
    pub output: String,
    /// The exit code that the page promises in a comment, `# exits with 3`.
    pub exit: Option<i32>,
}

impl Shown {
    /// # Panics
    /// If what the page promises is no number.
    fn of(line: &str) -> Shown {
        let promised = line.split_once("# exits with ").map(|(_, code)| code.trim());
        let number =
            |code: &str| code.parse().unwrap_or_else(|_| panic!("no exit code in '{line}'"));
        Shown { line: line.into(), output: String::new(), exit: promised.map(number) }
    }
}

/// The commands of a block of type `sh` or `console`.
pub fn shown(block: &Block, text: &str) -> Vec<Shown> {
    let console = match block.info.split_whitespace().next() {
        Some("console") => true,
        Some("sh") => false,
        _ => return Vec::new(),
    };
    let mut all: Vec<Shown> = Vec::new();
    for line in text.split_inclusive('\n') {
        let typed = line.trim_end();
        match (typed.strip_prefix("$ "), all.last_mut()) {
            (Some(command), _) => all.push(Shown::of(command)),
            (None, Some(last)) if console => last.output.push_str(line),
            (None, _) if typed.is_empty() || typed.starts_with('#') => {}
            (None, _) => all.push(Shown::of(typed)),
        }
    }
    all
}

/// The words of a command of gupsim; none for another program's. What the shell does with the
/// output (`>`, `|`) and comments are left away.
pub fn gupsim(line: &str) -> Option<Vec<String>> {
    let words = shlex::split(line).unwrap_or_else(|| panic!("not a command: {line}"));
    let ours = ["cargo run --release -- ", "cargo run -- ", "gupsim "];
    let skip = ours.iter().find(|p| line.starts_with(**p))?.split_whitespace().count();
    let end = words.iter().position(|w| matches!(w.as_str(), ">" | "|" | "#" | "2>"));
    Some(words[skip..end.unwrap_or(words.len())].to_vec())
}

/// Programs that the manual may show and that the test cannot run.
pub fn known(line: &str) -> bool {
    ["cargo test", "cargo build", "cargo install", "cargo bench", "cargo doc", "git clone", "cd "]
        .iter()
        .any(|p| line.starts_with(p))
        || line.split_whitespace().any(|w| w == "cargo") && line.contains("=")
}

/// A folder with the files that a page shows, in which its commands run. A command that names a
/// file of the crate runs in the crate's own.
pub struct Desk(PathBuf);

impl Desk {
    /// The blocks of JSON whose fence names a file are that file.
    pub fn new(page: &str, text: &str, blocks: &[Block]) -> Desk {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(page.replace('/', "-"));
        // Some commands refuse to write over what is there.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        for block in blocks {
            if let Some(name) = block.info.strip_prefix("json ").filter(|n| n.ends_with(".json")) {
                fs::write(dir.join(name), &text[block.at.clone()]).unwrap();
            }
        }
        Desk(dir)
    }

    /// Runs a command. Its output, if it ended with the code that is promised; where none is, with
    /// any verdict: clean, violated, bounded, vacuous.
    pub fn run(&self, words: &[String], promised: Option<i32>) -> Result<String, String> {
        let mut command = Command::cargo_bin("gupsim").unwrap();
        let ours = |w: &String| w.contains('/') && root(w).is_file();
        let dir = if words.iter().any(ours) { root("") } else { self.0.clone() };
        let done = command.env_remove("CLICOLOR_FORCE").current_dir(dir).args(words);
        let done = done.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let code = done.status.code();
        let expected = match promised {
            Some(_) => code == promised,
            None => matches!(code, Some(0 | 1 | 3 | 4)),
        };
        match expected {
            true => Ok(String::from_utf8(done.stdout).unwrap()),
            false => Err(format!("exit {code:?}\n{said}")),
        }
    }
}
