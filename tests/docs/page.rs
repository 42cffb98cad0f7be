//! Pages of the manual: their generated parts, their code blocks, and how both are blessed.

use std::fs;
use std::path::PathBuf;

/// Whether differences are to be written into the pages.
pub fn blessing() -> bool {
    std::env::var_os("GUPSIM_BLESS").is_some()
}

/// A path from the root of the crate.
pub fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The pages of the manual.
pub fn pages() -> Vec<String> {
    let docs = fs::read_dir(root("docs")).unwrap().map(|e| e.unwrap().file_name());
    let docs = docs.map(|name| format!("docs/{}", name.to_string_lossy()));
    let mut pages: Vec<String> = docs.filter(|p| p.ends_with(".md")).collect();
    pages.push("README.md".into());
    pages.sort();
    pages
}

/// Puts a text between the two comments that mark a generated part.
///
/// # Panics
/// If the page has no such marks.
pub fn with_part(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end -->");
    let from = page.find(&begin).unwrap_or_else(|| panic!("no part '{name}'")) + begin.len();
    let to = from + page[from..].find(end).unwrap_or_else(|| panic!("'{name}' has no end"));
    format!("{}\n{}\n\n{}", &page[..from], text.trim_end(), &page[to..])
}

/// Compares a page with what it should be, or writes what it should be.
pub fn settle(path: &str, old: &str, new: &str) {
    if old == new {
        return;
    }
    if blessing() {
        fs::write(root(path), new).unwrap();
        return;
    }
    let line = old.lines().zip(new.lines()).position(|(a, b)| a != b);
    let line = line.unwrap_or_else(|| old.lines().count().min(new.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(end)").to_string();
    panic!(
        "{path}:{} is not what the code says; GUPSIM_BLESS=1 cargo test --test {} writes it\n\
         page: {}\ncode: {}",
        line + 1,
        env!("CARGO_CRATE_NAME"),
        at(old),
        at(new)
    );
}

/// A fenced block of code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// What stands on its fence.
    pub info: String,
    /// The place of its text in the page, in bytes.
    pub at: std::ops::Range<usize>,
}

/// The fenced blocks of a page.
pub fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut open, mut at) = (Vec::new(), None::<(String, usize)>, 0);
    for line in page.split_inclusive('\n') {
        let fence = line.trim().strip_prefix("```");
        match (open.take(), fence) {
            (Some((info, from)), Some(_)) => blocks.push(Block { info, at: from..at }),
            (None, Some(info)) => open = Some((info.trim().to_string(), at + line.len())),
            (still, None) => open = still,
        }
        at += line.len();
    }
    assert!(open.is_none(), "a fence is never closed");
    blocks
}

/// The source files of the kernel model and the scenarios.
pub fn sources() -> Vec<String> {
    fn walk(dir: &str, out: &mut Vec<String>) {
        for entry in fs::read_dir(root(dir)).unwrap().map(|e| e.unwrap()) {
            let path = format!("{dir}/{}", entry.file_name().to_string_lossy());
            match entry.file_type().unwrap().is_dir() {
                true => walk(&path, out),
                false => out.push(path),
            }
        }
    }
    let mut found = Vec::new();
    walk("src/kernel", &mut found);
    walk("scenarios", &mut found);
    found.sort();
    found
}
