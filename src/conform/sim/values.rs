//! What pages hold, in the words of the language of sequences.

use super::super::sequence::PAGE;
use super::machine::{FILE, RAW, SOURCE, Sources};
use crate::kernel::world::machine::OpResult;
use crate::kernel::world::objects::OpValue;
use crate::kernel::world::plan::Op;
use crate::kernel::world::{Contents, Id, OpId, Version, World};
use std::collections::BTreeMap;

/// The value that the first page of a sequence's file has at the start; the next has the next.
pub const FIRST: u32 = 90;

/// Runs of one value that a page is printed with at most.
const RUNS: usize = 6;

/// The value that each operation writes, and what other files hold from the start.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// By operation.
    pub written: BTreeMap<u32, u32>,
    /// What pages of other files hold.
    pub sources: Sources,
}

impl Values {
    /// The value of a version: what its author was told to write.
    fn of_version(&self, w: &World, version: Version) -> Option<u32> {
        if version.author == Version::INITIAL {
            let page = w.map.file_page_of(version)?;
            let index = w.map.index_in_file(page) as usize;
            return match w.map.file_of(page) {
                FILE => Some(FIRST + index as u32),
                SOURCE => self.sources.file.get(index).copied(),
                RAW => self.sources.raw.get(index).copied(),
                _ => None,
            };
        }
        if let Some(&value) = self.written.get(&version.author.0) {
            return Some(value);
        }
        // A direct read wrote what it read.
        match w.map.op(version.author)? {
            Op::DioRead { .. } => {
                let read = w.get::<OpValue>(version.author).0;
                let read = read.version().filter(|v| v.author != version.author);
                read.map_or(Some(0), |v| self.of_version(w, v))
            }
            _ => None,
        }
    }

    /// The value of a run; a page of nobody's is 0.
    fn of(&self, w: &World, contents: Contents) -> String {
        match contents.version() {
            None => "0".to_string(),
            Some(version) => match self.of_version(w, version) {
                Some(value) => value.to_string(),
                None => format!("?{contents:?}"),
            },
        }
    }

    /// The first `len` bytes of a page: `V` if all 4096 agree, else runs.
    pub fn page(&self, w: &World, contents: Contents, len: u64) -> String {
        let end = len / 8 * 8;
        let mut runs: Vec<(u64, u64, String)> = Vec::new();
        let mut from = 0;
        for run in w.patches.runs(contents) {
            let to = u64::from(run.end).min(end);
            if to <= from {
                continue;
            }
            let value = self.of(w, run.holds);
            match runs.last_mut() {
                Some((_, last, same)) if *same == value => *last = to,
                _ => runs.push((from, to, value)),
            }
            from = to;
        }
        if let [(0, PAGE, value)] = runs.as_slice() {
            return value.clone();
        }
        let shown = runs.iter().take(RUNS).map(|(from, to, v)| format!("{v}@{from}-{to}"));
        let text = shown.collect::<Vec<_>>().join(" ");
        if runs.len() > RUNS { format!("{text}...") } else { text }
    }

    /// The first word of a page.
    pub fn word(&self, w: &World, contents: Contents) -> String {
        self.of(w, w.patches.at(contents, 0))
    }
}

/// What an operation has returned; none if it has not ended.
pub fn ret(w: &World, op: OpId) -> Option<i32> {
    if op.index() >= w.map.plan.ops() as usize {
        return None;
    }
    let result = w.get::<OpResult>(op);
    result.done().then(|| result.ret())
}

/// What it has read.
pub fn read(w: &World, op: OpId) -> Contents {
    w.get::<OpValue>(op).0
}
