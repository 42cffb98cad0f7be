//! What has no counterpart: sequences that nobody recorded, and recorded runs of sequences that are
//! not there. Neither can be compared, and neither is passed over in silence.

use super::observation::Run;
use super::record::Recording;
use super::report::Filter;
use super::sequence::{Sequence, Suite};
use serde::Serialize;
use std::fmt::Write;

/// Names that a line of text shows at most.
const SHOWN: usize = 4;

/// Sequences without a recording.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unrecorded {
    /// The file of sequences.
    pub sequences: String,
    /// The recording that has others on the same file system; none if no recording has any on one
    /// that they run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
    /// That file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fs: Option<String>,
    /// How many.
    pub count: usize,
    /// Their names.
    pub names: Vec<String>,
}

/// Recorded runs without a sequence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unknown {
    /// The recording.
    pub recording: String,
    /// The file of sequences that has none of these.
    pub sequences: String,
    /// How many runs.
    pub count: usize,
    /// Each as `NAME on FS`.
    pub runs: Vec<String>,
}

/// Everything without a counterpart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gaps {
    /// Sequences without a recording.
    pub unrecorded: Vec<Unrecorded>,
    /// Recorded runs without a sequence.
    pub unknown: Vec<Unknown>,
}

impl Gaps {
    /// Adds those of a suite of which there are these recordings, each with its name; none if
    /// nobody recorded it. Only what the filter wants is looked at.
    pub fn add(&mut self, suite: &Suite, recordings: &[(&str, &Recording)], filter: &Filter) {
        let mut covered: Vec<&str> = Vec::new();
        for (name, recording) in recordings {
            let unknown = recording.runs.iter().filter(|run| {
                suite.sequence(&run.seq).is_none() && filter.wants(&run.seq, &run.fs)
            });
            let runs: Vec<String> = unknown.map(Run::title).collect();
            if !runs.is_empty() {
                let (recording, sequences) = (name.to_string(), suite.name.clone());
                self.unknown.push(Unknown { recording, sequences, count: runs.len(), runs });
            }
            let mut on: Vec<&str> = Vec::new();
            for run in &recording.runs {
                if !on.contains(&run.fs.as_str()) {
                    on.push(&run.fs);
                }
            }
            for fs in &on {
                let ran = |s: &Sequence| {
                    recording.runs.iter().any(|run| run.seq == s.name && run.fs == *fs)
                };
                let lacks = |s: &Sequence| s.runs_on(fs) && filter.wants(&s.name, fs) && !ran(s);
                self.push(suite, Some((name, fs)), lacks);
            }
            covered.extend(on);
        }
        // Those of file systems of which there is no recording at all.
        let wanted = |s: &Sequence| match &filter.fs {
            Some(fs) => s.runs_on(fs) && filter.wants(&s.name, fs),
            None => filter.wants(&s.name, ""),
        };
        let nowhere = |s: &Sequence| wanted(s) && !covered.iter().any(|fs| s.runs_on(fs));
        self.push(suite, None, nowhere);
    }

    fn push(&mut self, suite: &Suite, on: Option<(&str, &str)>, lacks: impl Fn(&Sequence) -> bool) {
        let names: Vec<String> =
            suite.sequences.iter().filter(|s| lacks(s)).map(|s| s.name.clone()).collect();
        if !names.is_empty() {
            let (recording, fs) = on.map(|(r, fs)| (r.to_string(), fs.to_string())).unzip();
            let (sequences, count) = (suite.name.clone(), names.len());
            self.unrecorded.push(Unrecorded { sequences, recording, fs, count, names });
        }
    }

    /// A line for each, with the first names.
    pub fn text(&self, out: &mut String) -> std::fmt::Result {
        for Unrecorded { sequences, recording, fs, count, names } in &self.unrecorded {
            let each = if *count == 1 { "sequence" } else { "sequences" };
            write!(out, "Without a recording: {count} {each} of {sequences}")?;
            if let (Some(recording), Some(fs)) = (recording, fs) {
                write!(out, " on {fs} in {recording}")?;
            }
            writeln!(out, " ({})", some(names))?;
        }
        for Unknown { recording, sequences, count, runs } in &self.unknown {
            let each = if *count == 1 { "run" } else { "runs" };
            write!(out, "Without a sequence in {sequences}: {count} {each} of {recording}")?;
            writeln!(out, " ({})", some(runs))?;
        }
        Ok(())
    }
}

/// The first of some names.
fn some(names: &[String]) -> String {
    let first = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
