//! The reader of recordings: what real kernels did, one row a line.

use super::observation::*;
use crate::scenario::problem::{Problem, Problems, Source};
use indexmap::IndexMap;
use serde::Deserialize;
use std::io::Read;

/// Bytes of a recording at most, when it has been unpacked.
pub const MOST: u64 = 256 << 20;

/// A recording.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The release of the kernel, such as `6.18.44`.
    pub kernel: String,
    /// Its runs, in the order of the file.
    pub runs: Vec<Run>,
}

impl Recording {
    /// Version of the kernel: its first two numbers.
    pub fn version(&self) -> (i64, i64) {
        let release = self.kernel.split(['-', '+']).next().unwrap_or("");
        let mut numbers = release.split('.').map(|n| n.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

/// Unpacks a recording that may be compressed (gzip).
///
/// # Errors
/// If it cannot be unpacked, is larger than [`MOST`], or is not UTF-8.
pub fn unpack(name: &str, bytes: &[u8]) -> Result<String, Problems> {
    let fail = |what: String| {
        let source = Source { name: name.to_string(), text: String::new() };
        Problems::new(source, vec![Problem::general(what)])
    };
    let mut out = Vec::new();
    let read = match bytes.starts_with(&[0x1f, 0x8b]) {
        true => flate2::read::GzDecoder::new(bytes).take(MOST + 1).read_to_end(&mut out),
        false => bytes.take(MOST + 1).read_to_end(&mut out),
    };
    read.map_err(|error| fail(format!("cannot unpack {name}: {error}")))?;
    if out.len() as u64 > MOST {
        return Err(fail(format!("the recording is larger than {} MiB", MOST >> 20)));
    }
    String::from_utf8(out).map_err(|error| fail(format!("{name} is not UTF-8: {error}")))
}

/// Reads a recording.
///
/// # Errors
/// Everything that is wrong with it.
pub fn recording(name: &str, text: &str) -> Result<Recording, Problems> {
    let mut found = Recording::default();
    let mut runs: IndexMap<(String, String, u32), Run> = IndexMap::new();
    let mut problems = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let (start, row) = (at, line.trim_end());
        at += line.len();
        if row.is_empty() {
            continue;
        }
        let read = serde_json::from_str::<Row>(row).map_err(|error| {
            let byte = start + error.column().saturating_sub(1).min(row.len());
            Problem::at(byte..(byte + 1).min(start + row.len()), error.to_string())
        });
        let added = read.and_then(|row| {
            let span = start..start + line.trim_end().len();
            add(&mut found, &mut runs, row).map_err(|what| Problem::at(span, what))
        });
        problems.extend(added.err());
    }
    if found.kernel.is_empty() && problems.is_empty() {
        let problem = Problem::general("the recording does not say of which kernel it is");
        problems.push(problem.help("its first line is {\"meta\":1,\"kernel\":\"...\"}"));
    }
    if !problems.is_empty() {
        let source = Source { name: name.to_string(), text: text.to_string() };
        return Err(Problems::new(source, problems));
    }
    found.runs = runs.into_values().collect();
    Ok(found)
}

/// Puts a row where it belongs.
fn add(
    found: &mut Recording,
    runs: &mut IndexMap<(String, String, u32), Run>,
    row: Row,
) -> Result<(), String> {
    if let Some(kernel) = row.kernel {
        found.kernel = kernel;
        return Ok(());
    }
    let (Some(seq), Some(fs), Some(op)) = (row.seq, row.fs, row.op) else {
        return Err("a row without seq, fs and op".to_string());
    };
    let run = runs.entry((seq.clone(), fs.clone(), row.rep)).or_insert_with(|| Run {
        seq,
        fs,
        ..Run::default()
    });
    if row.step == -1 {
        run.broken = Some(op);
        return Ok(());
    }
    if run.steps.len() as i64 != row.step || run.ended.is_some() {
        return Err(format!("step {} after {} steps", row.step, run.steps.len()));
    }
    if op == "final" {
        let (Some(content), Some(fsync), Some(after_evict)) =
            (row.content, row.fsync, row.after_evict)
        else {
            return Err("a final row without content, fsync and after_evict".to_string());
        };
        let outstanding_pins = row.outstanding_pins.unwrap_or(0);
        run.ended = Some(Ended { content, fsync, after_evict, outstanding_pins });
        return Ok(());
    }
    let seen = row.seen.into_observation().ok_or("a row without ret, err, x, size or pages")?;
    run.steps.push((op, seen));
    Ok(())
}

/// A line of a recording, whichever kind it is.
#[derive(Deserialize)]
struct Row {
    kernel: Option<String>,
    seq: Option<String>,
    fs: Option<String>,
    #[serde(default)]
    rep: u32,
    #[serde(default)]
    step: i64,
    op: Option<String>,
    content: Option<Vec<String>>,
    fsync: Option<String>,
    after_evict: Option<Vec<String>>,
    outstanding_pins: Option<i64>,
    #[serde(flatten)]
    seen: Seen,
}

/// What a row says of one step.
#[derive(Deserialize)]
struct Seen {
    ret: Option<i64>,
    err: Option<String>,
    x: Option<String>,
    #[serde(default)]
    minflt: i64,
    #[serde(default)]
    majflt: i64,
    #[serde(default)]
    acq: i64,
    #[serde(default)]
    rel: i64,
    size: Option<i64>,
    blocks: Option<i64>,
    pages: Option<Vec<FilePage>>,
    #[serde(default)]
    maps: Vec<Mapped>,
    #[serde(default)]
    child: Vec<Mapped>,
    #[serde(default)]
    pins: Vec<Pinned>,
    sd: Option<Vec<i64>>,
}

impl Seen {
    fn into_observation(self) -> Option<Observation> {
        Some(Observation {
            ret: self.ret?,
            err: self.err?,
            x: self.x?,
            minflt: self.minflt,
            majflt: self.majflt,
            acq: self.acq,
            rel: self.rel,
            size: self.size?,
            blocks: self.blocks,
            pages: self.pages?,
            maps: self.maps,
            child: self.child,
            pins: self.pins,
            sd: self.sd,
        })
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
        assert_eq!(problems.list[0].message, "step 1 after 0 steps");
    }

    #[test]
    fn the_version_is_the_first_two_numbers_of_the_release() {
        let version =
            |kernel: &str| Recording { kernel: kernel.to_string(), runs: Vec::new() }.version();
        assert_eq!(version("6.18.44"), (6, 18));
        assert_eq!(version("6.1.0-37-amd64"), (6, 1));
        assert_eq!(version("6.12.113+deb13"), (6, 12));
    }
}
