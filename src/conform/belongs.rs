//! Whether a recording is one of these sequences: each row says which operation ran, and has to
//! say the same as the sequence.

use super::observation::{Run, short};
use super::record::Recording;
use super::sequence::{Sequence, Suite};
use crate::scenario::problem::{Problem, Problems};
use std::ops::Range;

/// Holds the operations that a recording names against its sequences. A run whose sequence is not
/// there is none of its business ([`super::gaps`] lists it).
///
/// # Errors
/// The first thing in each run that is not as the sequence has it.
pub fn check(suite: &Suite, recording: &Recording) -> Result<(), Problems> {
    let runs = recording.runs.iter().zip(&recording.places);
    let of = |run: &Run| suite.sequence(&run.seq);
    let text = &recording.source.text;
    let wrong = runs.filter_map(|(run, places)| strange(of(run)?, run, text, places));
    let wrong: Vec<Problem> = wrong.map(|p| cured(p, suite)).collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(recording.wrong(wrong)),
    }
}

fn cured(problem: Problem, suite: &Suite) -> Problem {
    let help = format!("this is no recording of {} as it is; record it again", suite.name);
    if problem.help.is_empty() { problem.help(help) } else { problem }
}

/// Where a row names its operation.
fn op_at(text: &str, row: Range<usize>) -> Range<usize> {
    let op = text[row.clone()].find("\"op\":").map(|n| row.start + n + 5);
    let value = op.and_then(|at| {
        let rest = &text[at..row.end];
        let lead = rest.len() - rest.trim_start().len();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        values.next()?.ok()?;
        Some(at + lead..at + values.byte_offset())
    });
    value.unwrap_or(row)
}

/// The first thing in a run that its sequence does not have. `places`: its rows in the text.
fn strange(sequence: &Sequence, run: &Run, text: &str, places: &[Range<usize>]) -> Option<Problem> {
    let of = run.title();
    let at = |row: usize, what: String| {
        let last = places.last().cloned().unwrap_or_default();
        Some(Problem::at(places.get(row).cloned().unwrap_or(last), what))
    };
    if !sequence.runs_on(&run.fs) {
        let on =
            if sequence.on.is_empty() { "all but gate*".into() } else { sequence.on.join(",") };
        let what = format!("{of} is recorded, but the sequence says fs={on}");
        return at(0, what);
    }
    for (n, (op, seen)) in run.steps.iter().enumerate() {
        let line = n.checked_sub(1).map(|n| sequence.lines.get(n).map(|line| line.text.as_str()));
        let place = || op_at(text, places.get(n).cloned().unwrap_or_default());
        let Some(line) = line.unwrap_or(Some("init")) else {
            let (op, most) = (short(op), sequence.lines.len());
            let what = format!("step {n} of {of} is `{op}`, but the sequence ends after {most}");
            return Some(Problem::at(place(), what));
        };
        if !op.split_whitespace().eq(line.split_whitespace()) {
            let op = short(op);
            let what = format!("step {n} of {of} is `{op}` here and `{line}` in the sequence");
            return Some(Problem::at(place(), what));
        }
        let (pages, expected) = (seen.pages.len(), sequence.pages as usize);
        if pages != expected && !seen.lacks("pages") {
            let what = format!("step {n} of {of} has pages={pages}, the sequence pages={expected}");
            return at(n, what);
        }
    }
    let (all, made) = (sequence.lines.len(), run.steps.len().saturating_sub(1));
    match (&run.ended, &run.broken) {
        (None, None) => {
            let problem = at(usize::MAX, format!("{of} breaks off: it has no row `final`"));
            problem.map(|p| p.help("the file is cut short; every run ends with such a row"))
        }
        (Some(_), _) if made < all => {
            at(usize::MAX, format!("{of} ends after {made} of {all} operations"))
        }
        (None, Some(how)) if made == all && !run.steps.is_empty() => {
            at(usize::MAX, format!("{of} ends with {how} after the last of its operations"))
        }
        _ => None,
    }
}
