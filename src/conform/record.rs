//! The reader of recordings: what real kernels did, one row a line.

mod row;

use super::observation::*;
use super::read;
use crate::scenario::outline::Outline;
use crate::scenario::problem::{Problem, Problems, Source};
use crate::scenario::typed;
use indexmap::IndexMap;
use row::Row;
use std::io::Read;
use std::ops::Range;

pub use row::NOT_COMPARED;

/// Bytes of a recording at most, when it has been unpacked.
pub const MOST: u64 = 256 << 20;

/// Problems of a recording that are shown at most.
const SHOWN: usize = 5;

/// What its problems call a recording.
const KIND: &str = "recording";

/// A recording.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The release of the kernel, such as `6.18.44`.
    pub kernel: String,
    /// Its runs, in the order of the file.
    pub runs: Vec<Run>,
    /// For each run where its rows are in the text.
    pub places: Vec<Vec<Range<usize>>>,
    /// Where the kernel is named in the text.
    pub kernel_at: Range<usize>,
    /// The text.
    pub source: Source,
}

impl Recording {
    /// Version of the kernel: its first two numbers.
    pub fn version(&self) -> (i64, i64) {
        version(&self.kernel).unwrap_or_default()
    }

    /// Something is wrong with it. A file of thousands of rows may hold as many mistakes; who has
    /// mended the first few finds the others.
    pub fn wrong(&self, mut list: Vec<Problem>) -> Problems {
        list.sort_by_key(|p| p.span.as_ref().map_or(0, |s| s.start));
        let more = list.len().saturating_sub(SHOWN);
        list.truncate(SHOWN);
        if let Some(last) = list.last_mut().filter(|_| more > 0) {
            let before = if last.help.is_empty() { "" } else { "; " };
            last.help += &format!("{before}{more} more problems are not shown");
        }
        Problems::new(self.source.clone(), list).of(KIND)
    }
}

/// The first two numbers of a release.
fn version(release: &str) -> Option<(i64, i64)> {
    let mut numbers = release.split(['-', '+']).next()?.split('.');
    let mut number = || numbers.next()?.parse::<u16>().ok().map(i64::from);
    Some((number()?, number()?))
}

/// Unpacks a recording that may be compressed (gzip).
///
/// # Errors
/// If it cannot be unpacked, is larger than [`MOST`], or is not UTF-8.
pub fn unpack(name: &str, bytes: &[u8]) -> Result<String, Problems> {
    let fail = |what: String| {
        let source = Source { name: name.to_string(), text: String::new() };
        let help = "give it as the recorder wrote it, or packed with gzip";
        Problems::new(source, vec![Problem::general(what).help(help)]).of("file")
    };
    let mut out = Vec::new();
    let read = match bytes.starts_with(&[0x1f, 0x8b]) {
        true => flate2::read::GzDecoder::new(bytes).take(MOST + 1).read_to_end(&mut out),
        false => bytes.take(MOST + 1).read_to_end(&mut out),
    };
    read.map_err(|error| fail(format!("cannot unpack {name}: {error}")))?;
    if out.len() as u64 > MOST {
        return Err(fail(format!("{name} is larger than {} MiB", MOST >> 20)));
    }
    String::from_utf8(out).map_err(|error| fail(format!("{name} is not UTF-8: {error}")))
}

/// Whether a text looks like a recording: rows of JSON.
pub fn looks_so(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Reads a recording.
///
/// # Errors
/// Everything that is wrong with it: each kind of mistake in the lines at its first place.
pub fn recording(name: &str, text: &str) -> Result<Recording, Problems> {
    let mut reader = Reader::default();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let span = at..at + line.trim_end().len();
        at += line.len();
        if !span.is_empty() && !reader.line(text, span) {
            break;
        }
    }
    let Reader { mut found, runs, wrong, unread, .. } = reader;
    let mut problems: Vec<Problem> = wrong.into_values().map(Wrong::problem).collect();
    if found.kernel.is_empty() && problems.is_empty() && !unread {
        let what = match text.trim().is_empty() {
            true => "the recording is empty",
            false => "the recording does not say of which kernel it is",
        };
        let problem = Problem::general(what);
        problems.push(problem.help("its first line is {\"meta\":1,\"kernel\":\"...\"}"));
    }
    found.source = Source { name: name.to_string(), text: text.to_string() };
    if !problems.is_empty() {
        return Err(found.wrong(problems));
    }
    (found.runs, found.places) = runs.into_values().map(|open| (open.run, open.rows)).unzip();
    without_contents(&mut found.runs);
    Ok(found)
}

/// A mistake, and in how many more rows it is made.
struct Wrong {
    problem: Problem,
    more: usize,
}

impl Wrong {
    fn problem(self) -> Problem {
        let more = match self.more {
            0 => return self.problem,
            1 => "and in one more row".to_string(),
            more => format!("and in {more} more rows"),
        };
        let before = self.problem.label.clone();
        self.problem.label(if before.is_empty() { more } else { format!("{before}, {more}") })
    }
}

/// A run of which rows have been read.
#[derive(Default)]
struct Open {
    run: Run,
    rows: Vec<Range<usize>>,
    /// Operations in the background, first and second, have not ended.
    pending: [bool; 2],
    /// A row is wrong: what follows from this is not said.
    broken: bool,
}

#[derive(Default)]
struct Reader {
    found: Recording,
    runs: IndexMap<(String, String, u32), Open>,
    /// By place in the row, and message.
    wrong: IndexMap<(String, String), Wrong>,
    /// A row could not be read at all: nobody knows which run it belongs to.
    unread: bool,
}

impl Reader {
    /// Reads a line; whether to go on.
    fn line(&mut self, text: &str, span: Range<usize>) -> bool {
        let first = self.runs.is_empty() && self.found.kernel.is_empty() && !self.unread;
        let row = &text[span.clone()];
        let read = serde_json::from_str::<Row>(row);
        let alien = !looks_so(row) || read.as_ref().is_err_and(|error| !error.is_data());
        if first && alien {
            self.note(stranger(text, span));
            return false;
        }
        let problem = match read {
            _ if !looks_so(row) => {
                self.unread = true;
                Some(Problem::at(span, "a row that is no JSON object"))
            }
            Ok(row) => self.row(row, &span).err(),
            Err(error) => {
                self.unread = true;
                Some(misread(text, span, &error))
            }
        };
        problem.into_iter().for_each(|problem| self.note(problem));
        true
    }

    fn note(&mut self, problem: Problem) {
        let kind = (problem.path.clone(), problem.message.clone());
        let more = |before: &mut Wrong| before.more += 1;
        self.wrong.entry(kind).and_modify(more).or_insert(Wrong { problem, more: 0 });
    }

    /// Puts a row where it belongs.
    fn row(&mut self, row: Row, span: &Range<usize>) -> Result<(), Problem> {
        let wrong = |what: String| Problem::at(span.clone(), what);
        match (&row.kernel, &row.seq, &row.fs, &row.op, row.step) {
            (Some(_), None, ..) => return self.kernel(row, span),
            (None, Some(_), Some(_), Some(_), Some(_)) => {}
            (Some(_), ..) => return Err(wrong("a row with both a kernel and a sequence".into())),
            _ => {
                self.unread = true;
                return Err(wrong("a row without seq, fs, step and op".into())
                    .help("the first line names the kernel; every other one is a step of a run"));
            }
        }
        let (seq, fs) = (row.seq.clone().unwrap_or_default(), row.fs.clone().unwrap_or_default());
        let open = self.runs.entry((seq.clone(), fs.clone(), row.rep)).or_insert_with(|| {
            let run = Run { seq, fs, ..Run::default() };
            Open { run, ..Open::default() }
        });
        if open.broken {
            return Ok(());
        }
        let added = open.add(row);
        open.rows.push(span.clone());
        open.broken = added.is_err();
        match added {
            // What is missing may be in a row that could not be read.
            Err(_) if self.unread => Ok(()),
            added => added.map_err(|(what, help)| wrong(what).help(help)),
        }
    }

    /// The line that says of which kernel the recording is.
    fn kernel(&mut self, row: Row, span: &Range<usize>) -> Result<(), Problem> {
        let kernel = row.kernel.unwrap_or_default();
        let wrong = |what: String, help: &str| Err(Problem::at(span.clone(), what).help(help));
        if version(&kernel).is_none() {
            let what = format!("'{}' is no release of a kernel", short(&kernel));
            return wrong(what, "such as 6.18.44");
        }
        let before = &self.found.kernel;
        if !before.is_empty() && *before != kernel {
            let (before, kernel) = (short(before), short(&kernel));
            let what = format!("a recording of {before} goes on with one of {kernel}");
            return wrong(what, "give each kernel its own file");
        }
        self.found.kernel = kernel;
        self.found.kernel_at = span.clone();
        Ok(())
    }
}

/// What is wrong with a row, and the cure.
type Refused = (String, &'static str);

impl Open {
    /// Adds a row to its run.
    fn add(&mut self, row: Row) -> Result<(), Refused> {
        let run = &mut self.run;
        let (step, op) = (row.step.unwrap_or_default(), row.op.clone().unwrap_or_default());
        let of = run.title();
        if run.ended.is_some() || run.broken.is_some() {
            let again = "a sequence that was run several times has a `rep` for each run";
            return Err((format!("a second run of {of}"), again));
        }
        if step == -1 {
            run.broken = Some(op.clone()).filter(|op| matches!(op.as_str(), "TIMEOUT" | "CRASH"));
            let how = "a run that could not go on ends with TIMEOUT or CRASH";
            return run
                .broken
                .as_ref()
                .map(drop)
                .ok_or((format!("{of} ends with '{}'", short(&op)), how));
        }
        if step == 0 && !run.steps.is_empty() {
            let what = format!("a second run of {of} begins before the first has ended");
            return Err((what, "a sequence that was run several times has a `rep` for each run"));
        }
        if run.steps.len() as i64 != step {
            let expected = run.steps.len();
            let what = format!("{of} has step {step} where step {expected} is expected");
            return Err((what, "a run has all of its steps, in order"));
        }
        if op == "final" {
            run.ended = Some(row.ended());
            return Ok(());
        }
        let x = row.x().to_string();
        self.waits(&op, &x);
        let lacks = (format!("step {step} of {of} lacks ret, err or x"), "every row has a result");
        let seen = row.observation(self.pending.contains(&true)).ok_or(lacks)?;
        self.run.steps.push((op, seen));
        Ok(())
    }

    /// Whether an operation in the background is left running, or has been waited for.
    fn waits(&mut self, op: &str, x: &str) {
        let word = op.split_whitespace().next().unwrap_or_default();
        let (word, second) = word.strip_suffix('2').map_or((word, 0), |word| (word, 1));
        match word {
            "bg" => self.pending[second] = x == "blocked",
            "bgwait" | "bgsig" => self.pending[second] &= x == "blocked",
            _ => {}
        }
    }
}

/// A file whose first line is not even a row is no recording: all is said by this.
fn stranger(text: &str, span: Range<usize>) -> Problem {
    if read::looks_so(text) {
        return Problem::at(span, "these are sequences, not a recording of them")
            .help("write `gupsim conform FILE.seq FILE.jsonl`");
    }
    Problem::at(span, "this is no recording")
        .label("expected one JSON object on each line")
        .help("the first line of a recording is {\"meta\":1,\"kernel\":\"...\"}")
}

/// A row that could not be read: where, and why.
fn misread(text: &str, span: Range<usize>, error: &serde_json::Error) -> Problem {
    let row = &text[span.clone()];
    if error.is_eof() {
        let last = text.floor_char_boundary(span.end - 1);
        return Problem::at(last..span.end, "the row breaks off").help("the file is cut short");
    }
    let problem = match Outline::of(row) {
        Ok(outline) => typed::read::<Row>(row, &outline).err(),
        // Its cures are those of a scenario.
        Err(list) => list.into_iter().next().map(|problem| problem.help("")),
    };
    let mut problem = problem.unwrap_or_else(|| Problem::general(error.to_string()));
    if problem.help.is_empty() {
        problem.help = "give it as the recorder wrote it: one JSON object a line".to_string();
    }
    let at = problem.span.unwrap_or(0..row.len());
    Problem { span: Some(span.start + at.start..span.start + at.end), ..problem }
}

/// Contents of mapped and pinned pages are there only where they could be read, which is a thing
/// observed. A recording that has none at all did not look.
fn without_contents(runs: &mut [Run]) {
    let steps = || runs.iter().flat_map(|run| &run.steps).map(|(_, seen)| seen);
    let read = |pages: &[Mapped]| pages.iter().any(|page| page.val.is_some());
    let maps = steps().any(|seen| read(&seen.maps));
    let child = maps || steps().any(|seen| read(&seen.child));
    let pins = steps().flat_map(|seen| &seen.pins).any(|pin| pin.val.is_some());
    for (_, seen) in runs.iter_mut().flat_map(|run| &mut run.steps) {
        for (kind, pages, known) in [("maps", &seen.maps, maps), ("child", &seen.child, child)] {
            let unread = pages.iter().filter(|page| !known && page.pm.contains('P'));
            let names = unread.map(|page| format!("{kind}[{}.{}].val", page.s, page.p));
            seen.unrecorded.extend(names);
        }
        let unread = seen.pins.iter().filter(|pin| !pins && !pin.k.starts_with("pin"));
        seen.unrecorded.extend(unread.map(|pin| format!("pins[{}{}].val", pin.k, pin.p)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_row_is_reported_with_its_line() {
        let text = "{\"meta\":1,\"kernel\":\"6.18.44\"}\n{\"seq\":\"a\",\"fs\":}\n";
        let problems = recording("x.jsonl", text).unwrap_err();
        assert_eq!(problems.list.len(), 1);
        let span = problems.list[0].span.clone().unwrap();
        assert_eq!(problems.source.line_column(span.start).0, 2);
    }

    #[test]
    fn steps_come_in_order() {
        let text = "{\"meta\":1,\"kernel\":\"6.18.44\"}\n{\"seq\":\"a\",\"fs\":\"b\",\"step\":1,\
                    \"op\":\"init\",\"ret\":0,\"err\":\"\",\"x\":\"\",\"size\":0,\"pages\":[]}\n";
        let problems = recording("x.jsonl", text).unwrap_err();
        assert_eq!(problems.list[0].message, "a on b has step 1 where step 0 is expected");
    }

    #[test]
    fn the_version_is_the_first_two_numbers_of_the_release() {
        assert_eq!(version("6.18.44"), Some((6, 18)));
        assert_eq!(version("6.1.0-37-amd64"), Some((6, 1)));
        assert_eq!(version("6.12.113+deb13"), Some((6, 12)));
        assert_eq!(version("7.0-rc1"), Some((7, 0)));
        for nothing in ["", "6", "banana", "6.x", "-1.2", "999999999999.1"] {
            assert_eq!(version(nothing), None, "{nothing}");
        }
    }
}
