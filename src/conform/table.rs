//! The table of rules: which hold on which kernel, and which of them the presets predict.

use super::bundled;
use super::read;
use super::record;
use super::report::{self, Compared, Fate, Filter};
use super::rules::{self, Outcome};
use super::sequence::Suite;
use super::source::Simulator;
use crate::kernel::strategy::Preset;
use crate::scenario::problem::Problems;
use indexmap::IndexMap;
use std::fmt::Write;

/// The kernels of the table: what their presets are called, newest first.
const KERNELS: &[&str] = &["6.18", "6.12", "6.1"];

/// What was found about a kernel: outcomes of rules, and runs.
#[derive(Default)]
struct Column {
    outcomes: Vec<Outcome>,
    runs: Vec<Compared>,
}

impl Column {
    /// Whether a rule holds on the kernel, and where its sequence is not predicted.
    fn cell(&self, rule: &str, sequence: &str) -> String {
        let on: Vec<(&str, bool)> = self
            .outcomes
            .iter()
            .filter_map(|o| o.rules.get(rule))
            .flatten()
            .map(|(fs, held)| (fs.as_str(), *held))
            .collect();
        let not: Vec<&str> = on.iter().filter(|(_, held)| !held).map(|(fs, _)| *fs).collect();
        let mut cell = match (on.len(), not.len()) {
            (0, _) => return "-".to_string(),
            (_, 0) => "holds".to_string(),
            (all, n) if all == n => "does not hold".to_string(),
            _ => format!("holds but on {}", not.join(", ")),
        };
        let of = || self.runs.iter().filter(|r| r.seq == sequence);
        let wrong = |fate: fn(&Fate) -> bool| -> Vec<&str> {
            of().filter(|r| fate(&r.fate)).map(|r| r.fs.as_str()).collect()
        };
        let mismatched = wrong(|fate| *fate == Fate::Mismatched);
        let lacks = wrong(|fate| matches!(fate, Fate::Unsupported(..)));
        let out = wrong(|fate| matches!(fate, Fate::OutOfScope(_)));
        if !out.is_empty() {
            let _ = write!(cell, "; out of scope on {}", out.join(", "));
        }
        if !mismatched.is_empty() {
            let _ = write!(cell, "; **not predicted** on {}", mismatched.join(", "));
        }
        if !lacks.is_empty() {
            let _ = write!(cell, "; **not in the model**: {}", lacks.join(", "));
        }
        cell
    }
}

/// The table as Markdown, of all recordings that come with the program.
///
/// # Errors
/// If a recording cannot be read.
pub fn of_rules() -> Result<String, Problems> {
    let mut suites: IndexMap<&str, Suite> = IndexMap::new();
    let mut columns: IndexMap<String, Column> = IndexMap::new();
    for bundled in bundled::ALL {
        let text = record::unpack(bundled.name, bundled.recording)?;
        let recording = record::recording(bundled.name, &text)?;
        let suite = read::suite(bundled.suite, bundled.sequences)?;
        let (major, minor) = recording.version();
        let kernel = format!("{major}.{minor}");
        let Some(preset) = Preset::find(&format!("linux-{kernel}")) else { continue };
        let (simulator, all) = (Simulator { strategy: preset.strategy }, Filter::default());
        let column = columns.entry(kernel).or_default();
        column.outcomes.push(rules::evaluate(&suite, &recording));
        column.runs.extend(report::runs(bundled.name, &suite, &recording, &simulator, &all));
        suites.insert(bundled.suite, suite);
    }
    let mut out = format!("| rule | what it says | {} |\n", KERNELS.join(" | "));
    out += &format!("|---|---|{}\n", "---|".repeat(KERNELS.len()));
    for suite in suites.values() {
        for rule in &suite.rules {
            let sequence = &suite.sequences[rule.sequence].name;
            let cell = |k: &&str| columns.get(*k).map(|c| c.cell(&rule.name, sequence));
            let cells: Vec<String> = KERNELS.iter().filter_map(cell).collect();
            let says = rule.text.replace('|', "\\|");
            let _ = writeln!(out, "| {} | {says} | {} |", rule.name, cells.join(" | "));
        }
    }
    Ok(out)
}
