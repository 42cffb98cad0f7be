//! The report as JSON.

use super::{Compared, Counts, Fate, Report, Unseen};
use crate::conform::gaps::{Unknown, Unrecorded};
use indexmap::IndexMap;
use serde::Serialize;

impl Report {
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
            not_recorded: self.unseen(),
            without_recording: &self.gaps.unrecorded,
            without_sequence: &self.gaps.unknown,
            runs,
        };
        crate::report::json::document(&document)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    preset: &'a str,
    total: Counts,
    by_file_system: Vec<Table<'a>>,
    rules: &'a IndexMap<String, bool>,
    missing: IndexMap<String, usize>,
    not_recorded: Vec<Unseen>,
    without_recording: &'a [Unrecorded],
    without_sequence: &'a [Unknown],
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
