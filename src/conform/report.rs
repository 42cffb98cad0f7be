//! What a comparison with recordings found, as text and as JSON.

use super::compare::{self, Comparison, View};
use super::observation::Run;
use super::record::Recording;
use super::rules;
use super::sequence::{Sequence, Suite};
use super::sim::{self, Simulated};
use crate::kernel::strategy::Strategy;
use indexmap::IndexMap;
use serde::Serialize;
use std::fmt::Write;

/// What became of one recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Everything that is compared agrees.
    Predicted,
    /// Everything but something that the specification of the recordings allows to be left out.
    OutOfScope(&'static str),
    /// Something differs.
    Mismatched,
    /// The model lacks an operation: its step, and what is missing.
    Unsupported(usize, String),
}

/// A recorded run and what the simulator made of it.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The recording.
    pub recording: String,
    /// The sequence.
    pub seq: String,
    /// The file system.
    pub fs: String,
    /// What became of it.
    pub fate: Fate,
    /// How the runs compare; empty if the model lacks an operation.
    pub comparison: Comparison,
    /// The steps of the simulator: for each operation who made which.
    pub trace: Trace,
}

/// The steps of the simulator, by operation.
pub type Trace = Vec<Vec<(String, &'static str)>>;

/// Which runs are looked at.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Sequences whose names begin so.
    pub seq: Option<String>,
    /// This file system.
    pub fs: Option<String>,
}

impl Filter {
    fn wants(&self, run: &Run) -> bool {
        let seq = self.seq.as_ref().is_none_or(|prefix| run.seq.starts_with(prefix.as_str()));
        seq && self.fs.as_ref().is_none_or(|fs| run.fs == *fs)
    }
}

/// Simulates the sequences of a recording and compares.
pub fn runs(
    name: &str,
    suite: &Suite,
    recording: &Recording,
    strategy: Strategy,
    filter: &Filter,
) -> Vec<Compared> {
    let mut found = Vec::new();
    for run in recording.runs.iter().filter(|run| filter.wants(run)) {
        let Some(sequence) = suite.sequences.iter().find(|s| s.name == run.seq) else { continue };
        let used = used(recording, run);
        let view = View { fs: &run.fs, kernel: recording.version(), used, private: true };
        let (fate, comparison, trace) = match sim::simulate(sequence, view, strategy) {
            Err(lacks) => {
                let fate = Fate::Unsupported(lacks.step, lacks.what);
                (fate, Comparison::default(), Vec::new())
            }
            Ok(simulated) => judge(sequence, view, run, simulated),
        };
        let (seq, fs) = (run.seq.clone(), run.fs.clone());
        found.push(Compared { recording: name.to_string(), seq, fs, fate, comparison, trace });
    }
    found
}

/// Whether a run's file got the blocks of an earlier one. The runs of a file system were made one
/// after the other on the same device. Which blocks a new file gets is the allocator's business,
/// which is not simulated; what can be seen of it is PG_dirty of a pmem page (x03, x15): xfs gives
/// out again what has been freed, ext4 does not.
fn used(recording: &Recording, run: &Run) -> bool {
    let first = recording.runs.iter().find(|other| other.fs == run.fs);
    run.fs == "daxx" && first.is_some_and(|first| first.seq != run.seq)
}

/// Why PG_private may differ: btrfs lets its private data go and takes it up again where the model
/// has none, and the stable kernels of May 2023 took over what 6.4 does about a pinned page.
const PRIVATE: &str = "PG_private of btrfs, and of a pinned page on 6.1";

/// What becomes of a run.
fn judge(
    sequence: &Sequence,
    view: View,
    run: &Run,
    simulated: Simulated,
) -> (Fate, Comparison, Trace) {
    let (all, trace) = held_against(sequence, view, run, simulated.clone());
    if all.mismatches.is_empty() {
        return (Fate::Predicted, all, trace);
    }
    let may_differ = view.kernel < (6, 4) || view.fs == "gateb";
    let without = View { private: false, ..view };
    let (rest, _) = held_against(sequence, without, run, simulated);
    match may_differ && rest.mismatches.is_empty() {
        true => (Fate::OutOfScope(PRIVATE), rest, trace),
        false => (Fate::Mismatched, all, trace),
    }
}

/// Compares a recorded run with a simulated one, or with its other outcome if that fits better.
fn held_against(
    sequence: &Sequence,
    view: View,
    run: &Run,
    simulated: Simulated,
) -> (Comparison, Trace) {
    let Simulated { run: found, remarks, trace, other } = simulated;
    let first = compare::compare(sequence, view, run, &found, &remarks);
    let Some(other) = other else { return (first, trace) };
    let second = compare::compare(sequence, view, run, &other.run, &other.remarks);
    let (comparison, trace) = match first.mismatches.is_empty() || second.steps < first.steps {
        true => (first, trace),
        false => (second, other.trace),
    };
    (Comparison { either: true, ..comparison }, trace)
}

/// Counts of runs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    /// Recorded.
    pub recorded: usize,
    /// Of these, the runs of which nothing is left out.
    pub in_scope: usize,
    /// Of these, the runs that are simulated: the model has every operation.
    pub compared: usize,
    /// In agreement.
    pub predicted: usize,
    /// Steps compared.
    pub steps: usize,
    /// Fields compared.
    pub fields: usize,
    /// Runs compared only up to where the outcome depends on timing.
    pub stopped: usize,
    /// Steps that are not to be compared.
    pub skipped: usize,
    /// Runs with a race that may end in either of two ways.
    pub either: usize,
}

impl Counts {
    fn add(&mut self, run: &Compared) {
        self.recorded += 1;
        let left_out = matches!(run.fate, Fate::OutOfScope(_));
        let lacking = matches!(run.fate, Fate::Unsupported(..));
        self.in_scope += usize::from(!left_out);
        self.compared += usize::from(!left_out && !lacking);
        self.predicted += usize::from(run.fate == Fate::Predicted);
        self.steps += run.comparison.steps;
        self.fields += run.comparison.fields;
        self.stopped += usize::from(run.comparison.stopped.is_some());
        self.skipped += run.comparison.skipped;
        self.either += usize::from(run.comparison.either);
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The design.
    pub preset: String,
    /// The runs, in the order of the recordings.
    pub runs: Vec<Compared>,
    /// Rules of the recordings, by name: predicted wherever they ran, or not.
    pub rules: IndexMap<String, bool>,
}

impl Report {
    /// Adds the runs of a recording, and what became of its rules.
    pub fn add(&mut self, suite: &Suite, recording: &Recording, runs: Vec<Compared>) {
        let outcome = rules::evaluate(suite, recording);
        for rule in &suite.rules {
            let sequence = &suite.sequences[rule.sequence].name;
            let mut of = runs.iter().filter(|r| r.seq == *sequence).peekable();
            if of.peek().is_none() || !outcome.rules.contains_key(&rule.name) {
                continue;
            }
            let predicted = of.all(|r| r.fate == Fate::Predicted);
            *self.rules.entry(rule.name.clone()).or_insert(true) &= predicted;
        }
        self.runs.extend(runs);
    }

    /// Counts of all runs.
    pub fn total(&self) -> Counts {
        let mut counts = Counts::default();
        self.runs.iter().for_each(|run| counts.add(run));
        counts
    }

    /// Counts by recording and file system, in order of appearance.
    pub fn by_file_system(&self) -> IndexMap<(String, String), Counts> {
        let mut table: IndexMap<(String, String), Counts> = IndexMap::new();
        for run in &self.runs {
            table.entry((run.recording.clone(), run.fs.clone())).or_default().add(run);
        }
        table
    }

    /// What is left out, and the runs that it concerns.
    pub fn out_of_scope(&self) -> IndexMap<&'static str, Vec<&Compared>> {
        let mut table: IndexMap<&'static str, Vec<&Compared>> = IndexMap::new();
        for run in &self.runs {
            if let Fate::OutOfScope(why) = run.fate {
                table.entry(why).or_default().push(run);
            }
        }
        table
    }

    /// What is missing in the model, and in how many runs it is the first thing that is; most
    /// frequent first.
    pub fn missing(&self) -> Vec<(String, usize)> {
        let mut table: IndexMap<String, usize> = IndexMap::new();
        for run in &self.runs {
            if let Fate::Unsupported(_, what) = &run.fate {
                *table.entry(what.clone()).or_default() += 1;
            }
        }
        let mut table: Vec<(String, usize)> = table.into_iter().collect();
        table.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        table
    }

    /// Whether anything differs.
    pub fn mismatched(&self) -> bool {
        self.runs.iter().any(|run| run.fate == Fate::Mismatched)
    }

    /// The report as text. `trace`: every step of a run that differs, else those of the operation
    /// in which it does.
    pub fn text(&self, most: usize, trace: bool) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out, most, trace);
        out
    }

    fn write(&self, out: &mut String, most: usize, trace: bool) -> std::fmt::Result {
        let wrong: Vec<&Compared> =
            self.runs.iter().filter(|r| r.fate == Fate::Mismatched).collect();
        for run in wrong.iter().take(most) {
            mismatch(out, run, trace)?;
        }
        if wrong.len() > most {
            writeln!(out, "... and {} more runs that differ\n", wrong.len() - most)?;
        }
        writeln!(
            out,
            "{:<26} {:<6} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7}",
            "recording", "on", "recorded", "in scope", "compared", "predicted", "steps", "fields"
        )?;
        let total = (("all".to_string(), String::new()), self.total());
        for ((recording, fs), c) in self.by_file_system().into_iter().chain([total]) {
            writeln!(
                out,
                "{recording:<26} {fs:<6} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7}",
                c.recorded, c.in_scope, c.compared, c.predicted, c.steps, c.fields
            )?;
        }
        let c = self.total();
        writeln!(
            out,
            "\n{} runs are compared only up to where the outcome depends on timing; {} \
                       steps are not to be compared.\n{} runs have a race that ends in one of two \
                       ways, both of which are predicted, and show one of them.",
            c.stopped, c.skipped, c.either
        )?;
        let held = self.rules.values().filter(|&&p| p).count();
        writeln!(out, "{held} of {} rules are predicted wherever they ran.", self.rules.len())?;
        for (why, runs) in self.out_of_scope() {
            writeln!(out, "\nOut of scope: {why} ({} runs)", runs.len())?;
            for run in runs {
                writeln!(out, "  {} on {}", run.seq, run.fs)?;
            }
        }
        let missing = self.missing();
        if !missing.is_empty() {
            writeln!(
                out,
                "\nNot in the model, and the first thing that is missing in so many runs:"
            )?;
            for (what, n) in missing {
                writeln!(out, "  {n:>4} {what}")?;
            }
        }
        Ok(())
    }

    /// The report as JSON.
    pub fn json(&self) -> String {
        let runs: Vec<Json> = self.runs.iter().map(Json::of).collect();
        let table = self.by_file_system();
        let tables: Vec<Table> = table
            .iter()
            .map(|((recording, fs), counts)| Table { recording, fs, counts: *counts })
            .collect();
        let document = Document {
            format: "gupsim-conform-1",
            preset: &self.preset,
            total: self.total(),
            by_file_system: tables,
            rules: &self.rules,
            missing: self.missing().into_iter().collect(),
            runs,
        };
        let text = serde_json::to_string_pretty(&document).unwrap_or_default();
        text + "\n"
    }
}

fn mismatch(out: &mut String, run: &Compared, trace: bool) -> std::fmt::Result {
    let c = &run.comparison;
    let Some(first) = c.mismatches.first() else { return Ok(()) };
    writeln!(out, "{} on {}, step {}: {}", run.seq, run.fs, first.step, first.op)?;
    let wide = c.mismatches.iter().map(|m| m.field.len()).max().unwrap_or(0);
    for m in &c.mismatches {
        writeln!(out, "  {:<wide$}  expected {:?}, found {:?}", m.field, m.expected, m.found)?;
    }
    let last = first.step.min(run.trace.len().saturating_sub(1));
    let from = if trace { 0 } else { last };
    for (n, steps) in run.trace.iter().enumerate().take(last + 1).skip(from) {
        for (who, step) in steps {
            writeln!(out, "    {n:>2} {who:<8} {step}")?;
        }
    }
    writeln!(out)
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    preset: &'a str,
    total: Counts,
    by_file_system: Vec<Table<'a>>,
    rules: &'a IndexMap<String, bool>,
    missing: IndexMap<String, usize>,
    runs: Vec<Json<'a>>,
}

#[derive(Serialize)]
struct Table<'a> {
    recording: &'a str,
    fs: &'a str,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize)]
struct Json<'a> {
    recording: &'a str,
    seq: &'a str,
    fs: &'a str,
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    either: bool,
    steps: usize,
    fields: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mismatches: Vec<Field<'a>>,
}

#[derive(Serialize)]
struct Field<'a> {
    step: usize,
    op: &'a str,
    field: &'a str,
    expected: &'a str,
    found: &'a str,
}

impl Json<'_> {
    fn of(run: &Compared) -> Json<'_> {
        let c = &run.comparison;
        let (fate, why) = match &run.fate {
            Fate::Predicted => ("predicted", None),
            Fate::OutOfScope(why) => ("out of scope", Some(*why)),
            Fate::Mismatched => ("mismatched", None),
            Fate::Unsupported(_, what) => ("unsupported", Some(what.as_str())),
        };
        let mismatches = c.mismatches.iter().map(|m| Field {
            step: m.step,
            op: &m.op,
            field: &m.field,
            expected: &m.expected,
            found: &m.found,
        });
        Json {
            recording: &run.recording,
            seq: &run.seq,
            fs: &run.fs,
            fate,
            why,
            either: c.either,
            steps: c.steps,
            fields: c.fields,
            stopped: c.stopped.map(|(_, why)| why),
            mismatches: mismatches.collect(),
        }
    }
}
