//! What a comparison with recordings found, as text and as JSON.

mod json;

use super::compare::{self, Comparison, View};
use super::gaps::Gaps;
use super::record::Recording;
use super::rules;
use super::sequence::{Sequence, Suite};
use super::source::{Lacks, Observed, Offer, Source, Trace};
use crate::report::verdicts::grouped;
use indexmap::IndexMap;
use serde::Serialize;
use std::collections::BTreeMap;
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

/// A run and what the other source made of it.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The source that it is held against.
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

/// Which runs are looked at.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Sequences whose names begin so.
    pub seq: Option<String>,
    /// This file system.
    pub fs: Option<String>,
    /// Whether the user has had enough; those that are left are not looked at then.
    pub over: Option<fn() -> bool>,
}

impl Filter {
    /// Whether it lets a run of a sequence on a file system through.
    pub fn wants(&self, seq: &str, fs: &str) -> bool {
        let begins = self.seq.as_ref().is_none_or(|prefix| seq.starts_with(prefix.as_str()));
        begins && self.fs.as_ref().is_none_or(|wanted| fs == *wanted)
    }
}

/// Holds one source against another: every run that `expected` offers is made by `found` as well,
/// and compared. `name` is what `expected` is called.
pub fn runs(
    name: &str,
    suite: &Suite,
    expected: &impl Source,
    found: &impl Source,
    filter: &Filter,
) -> Vec<Compared> {
    let mut all = Vec::new();
    let over = || filter.over.is_some_and(|over| over());
    let offers =
        expected.offers(suite).into_iter().filter(|offer| filter.wants(&offer.seq, &offer.fs));
    for offer in offers.take_while(|_| !over()) {
        let Some(sequence) = suite.sequence(&offer.seq) else { continue };
        let view = expected.view(&offer);
        let both = expected.observe(sequence, &offer, view);
        let both = both.and_then(|a| Ok((a, found.observe(sequence, &offer, view)?)));
        let (fate, comparison, trace) = match both {
            Err(Lacks { step, what }) => {
                (Fate::Unsupported(step, what), Comparison::default(), Trace::new())
            }
            Ok((a, b)) => judge(sequence, view, &a, &b),
        };
        let Offer { seq, fs, .. } = offer;
        all.push(Compared { recording: name.to_string(), seq, fs, fate, comparison, trace });
    }
    all
}

/// Why PG_private may differ: btrfs lets its private data go and takes it up again where the model
/// has none, and the stable kernels of May 2023 took over what 6.4 does about a pinned page.
const PRIVATE: &str = "PG_private of btrfs, and of a pinned page on 6.1";

/// What becomes of a run that both sources have.
fn judge(
    sequence: &Sequence,
    view: View,
    expected: &Observed,
    found: &Observed,
) -> (Fate, Comparison, Trace) {
    let (all, trace) = closest(sequence, view, expected, found);
    if all.mismatches.is_empty() {
        return (Fate::Predicted, all, trace.clone());
    }
    let may_differ = view.kernel < (6, 4) || view.fs == "gateb";
    let without = View { private: false, ..view };
    let (rest, _) = closest(sequence, without, expected, found);
    match may_differ && rest.mismatches.is_empty() {
        true => (Fate::OutOfScope(PRIVATE), rest, trace.clone()),
        false => (Fate::Mismatched, all, trace.clone()),
    }
}

/// Compares what the sources may observe, each as a whole, and gives what agrees, or agrees for
/// longest, with what the second source did.
fn closest<'a>(
    sequence: &Sequence,
    view: View,
    expected: &Observed,
    found: &'a Observed,
) -> (Comparison, &'a Trace) {
    let held = |(a, b): (&Observed, &'a Observed)| {
        (compare::compare(sequence, view, &a.run, &b.run, &b.remarks), &b.trace)
    };
    let far = |c: &Comparison| (c.mismatches.is_empty(), c.steps);
    let pairs = expected.possible().flat_map(|a| found.possible().map(move |b| (a, b)));
    let others = pairs.skip(1).map(held);
    let (comparison, trace) = others.fold(held((expected, found)), |best, other| {
        if far(&other.0) > far(&best.0) { other } else { best }
    });
    let either = expected.other.is_some() || found.other.is_some();
    (Comparison { either, ..comparison }, trace)
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
    /// Sequences without a recording, and the other way round.
    pub gaps: Gaps,
}

/// A field that would be compared if it had been recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unseen {
    /// Its name, without indices.
    pub field: String,
    /// How often.
    pub fields: usize,
    /// In how many runs.
    pub runs: usize,
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

    /// What was not recorded of the runs that are compared, by name.
    pub fn unseen(&self) -> Vec<Unseen> {
        let mut table: BTreeMap<&str, Unseen> = BTreeMap::new();
        for (field, n) in self.runs.iter().flat_map(|run| &run.comparison.unrecorded) {
            let nothing = || Unseen { field: field.clone(), fields: 0, runs: 0 };
            let unseen = table.entry(field).or_insert_with(nothing);
            unseen.fields += n;
            unseen.runs += 1;
        }
        table.into_values().collect()
    }

    /// How many fields are compared, and which could not be.
    fn fields(&self, out: &mut String) -> std::fmt::Result {
        const COLUMNS: usize = 100;
        let mut line = format!("Compared {} fields", grouped(self.total().fields as u64));
        for (n, Unseen { field, fields, runs }) in self.unseen().into_iter().enumerate() {
            let lead = if n == 0 { "; not recorded:" } else { "," };
            let (fields, each) = (grouped(fields as u64), if runs == 1 { "run" } else { "runs" });
            let next = format!("{fields} of {field} in {runs} {each}");
            line.push_str(lead);
            if line.len() + next.len() + 2 > COLUMNS {
                write!(out, "\n{line}")?;
                line = " ".to_string();
            }
            line = format!("{line} {next}");
        }
        writeln!(out, "\n{line}.")
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
        self.fields(out)?;
        self.gaps.text(out)?;
        writeln!(
            out,
            "Runs compared only up to where the outcome depends on timing: {}; steps not to be \
             compared: {}.\nRuns with a race that ends in one of two ways, both of which are \
             predicted, and that show one of them: {}.",
            c.stopped, c.skipped, c.either
        )?;
        let held = self.rules.values().filter(|&&p| p).count();
        writeln!(out, "{held} of {} rules are predicted wherever they ran.", self.rules.len())?;
        for (why, runs) in self.out_of_scope() {
            let each = if runs.len() == 1 { "run" } else { "runs" };
            writeln!(out, "\nOut of scope: {why} ({} {each})", runs.len())?;
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
