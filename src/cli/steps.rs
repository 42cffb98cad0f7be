//! What has a number: the steps of docs/model.md, which traces name (T7), and the rules of
//! recorded kernels, which exported scenarios name (E13).
//!
//! The page is the table. Its rows about machines are written from the code, and tests/docs.rs
//! holds that no number is missing.

use super::catalog::{Entry, Topic};
use crate::conform::{bundled, read};
use indexmap::IndexMap;

/// The page with the numbered steps and the machines that make them.
const MODEL: &str = include_str!("../../docs/model.md");

/// The numbered steps: what the kernel does in each, where, and what is simulated of it.
pub fn of_steps() -> Vec<Entry> {
    let mut found: IndexMap<&str, Entry> = IndexMap::new();
    let (mut source, mut machine) = (String::new(), "");
    for paragraph in MODEL.split("\n\n") {
        // A machine is introduced by its name; the sources of numbered steps, above their table.
        machine =
            paragraph.strip_prefix("**").and_then(|p| p.split("**").next()).unwrap_or(machine);
        if !paragraph.starts_with(['|', '#']) {
            source = text(paragraph);
            continue;
        }
        for row in paragraph.lines() {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            match cells.as_slice() {
                [id, does, function, here] if is_id(id) => {
                    let mut entry = Entry::new(Topic::Step, *id, &text(does));
                    entry.rows.push(("function".into(), text(function)));
                    entry.rows.push(("here".into(), text(here)));
                    entry.sources.push(source.clone());
                    found.insert(*id, entry);
                }
                [id, name, does] if is_id(id) => {
                    if let Some(entry) = found.get_mut(*id) {
                        entry.rows.push((machine.into(), text(&format!("{name} {does}"))));
                    }
                }
                _ => {}
            }
        }
    }
    found.into_values().collect()
}

/// Whether a cell is the number of a step: letters, then digits.
fn is_id(cell: &str) -> bool {
    let digits = cell.trim_start_matches(|c: char| c.is_ascii_uppercase());
    digits.len() < cell.len() && digits.parse::<u32>().is_ok()
}

/// Markdown in one line, with the words of its links alone.
fn text(markdown: &str) -> String {
    let mut out = String::new();
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once("](") {
        let (before, words) = before.rsplit_once('[').unwrap_or((before, ""));
        out.push_str(before);
        out.push_str(words);
        rest = link.split_once(')').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The rules of recorded kernels: what each says, and the sequence that shows it.
pub fn of_rules() -> Vec<Entry> {
    let mut suites: Vec<_> = bundled::ALL.iter().map(|b| (b.suite, b.sequences)).collect();
    suites.dedup_by_key(|suite| suite.0);
    let mut out: Vec<Entry> = Vec::new();
    for (name, sequences) in suites {
        // A test holds that what comes with gupsim can be read.
        let Ok(suite) = read::suite(name, sequences) else { continue };
        for rule in &suite.rules {
            if out.iter().any(|e| e.name == rule.name) {
                continue;
            }
            let Some(sequence) = suite.sequences.get(rule.sequence) else { continue };
            let mut entry = Entry::new(Topic::Rule, &rule.name, &rule.text);
            let sequence = &sequence.name;
            entry.rows.push(("sequence".into(), sequence.clone()));
            entry.rows.push(("held by".into(), format!("gupsim conform --only {sequence}")));
            entry.rows.push(("exported".into(), format!("gupsim conform --export {sequence}")));
            entry.sources.push(format!("tests/data/kernel-truth/{name}.seq"));
            out.push(entry);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::actor::Routine;

    fn named<'a>(entries: &'a [Entry], name: &str) -> &'a Entry {
        entries.iter().find(|e| e.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    #[test]
    fn a_step_says_what_the_kernel_does_where_and_which_machine_makes_it() {
        let steps = of_steps();
        assert!(steps.len() > 70, "{}", steps.len());
        for step in &steps {
            let machines = step.rows.iter().filter(|r| r.0 != "function" && r.0 != "here");
            for (machine, does) in machines {
                let known = Routine::TABLE.iter().any(|(name, _)| name == machine);
                assert!(known && !does.is_empty(), "{}: {machine}: {does}", step.name);
            }
            assert!(step.sources[0].contains(".c"), "{}: {:?}", step.name, step.sources);
        }
        let row =
            |key: &str| named(&steps, "T7").rows.iter().find(|r| r.0 == key).unwrap().1.clone();
        assert!(row("function").contains("`truncate_pagecache`"));
        assert!(row("TruncatePages").contains("find_lock_entries"));
    }

    #[test]
    fn a_rule_says_which_sequence_shows_it() {
        let rules = of_rules();
        assert!(rules.len() > 100, "{}", rules.len());
        assert_eq!(named(&rules, "E13").rows[0].1, "e03_pin_fsync_redirty");
        assert_eq!(named(&rules, "X30").sources, ["tests/data/kernel-truth/dax.seq"]);
    }
}
