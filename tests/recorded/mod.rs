//! A recording of three sequences and their text, to be spoiled: what tests of `conform` with files
//! share.

use assert_cmd::Command;
use gupsim::conform::{bundled, record};
use serde_json::Value;
use std::path::PathBuf;

/// The sequences: one on a file system that can be held, one whose pin dirties, one that blocks.
const NAMES: [&str; 3] = ["a01_dirty_cycle", "e03_pin_fsync_redirty", "g03_truncate_waits"];

/// Sequences and what a kernel did, as text.
#[derive(Clone)]
pub struct Pair {
    /// `x.seq`
    pub sequences: String,
    /// `x.jsonl`
    pub recording: String,
}

impl Pair {
    /// As recorded on 6.18.
    pub fn new() -> Pair {
        let bundled = bundled::ALL.iter().find(|b| b.name == "curated-6.18").unwrap();
        let wanted = |name: &str| NAMES.contains(&name);
        let parts = bundled.sequences.split_inclusive("\nend\n");
        let named = |part: &str| {
            let head = part.lines().find_map(|line| line.strip_prefix("seq ")).unwrap_or_default();
            head.split(' ').next().is_some_and(wanted)
        };
        let from = |part: &str| part[part.find("seq ").unwrap()..].to_string();
        let sequences = parts.filter(|part| named(part)).map(from).collect();
        let rows = record::unpack(bundled.name, bundled.recording).unwrap();
        let of = |line: &&str| {
            let row: Value = serde_json::from_str(line).unwrap();
            row["seq"].as_str().is_none_or(wanted)
        };
        let recording = rows.lines().filter(of).map(|line| format!("{line}\n")).collect();
        Pair { sequences, recording }
    }

    /// With other text in the sequences.
    pub fn seq(mut self, from: &str, to: &str) -> Pair {
        assert!(self.sequences.contains(from), "{from}");
        self.sequences = self.sequences.replacen(from, to, 1);
        self
    }

    /// With other text in the recording, everywhere.
    pub fn rec(mut self, from: &str, to: &str) -> Pair {
        assert!(self.recording.contains(from), "{from}");
        self.recording = self.recording.replace(from, to);
        self
    }

    /// With other text where it occurs first in the recording.
    pub fn once(mut self, from: &str, to: &str) -> Pair {
        assert!(self.recording.contains(from), "{from}");
        self.recording = self.recording.replacen(from, to, 1);
        self
    }

    /// With so many lines of the recording.
    pub fn lines(mut self, wanted: std::ops::Range<usize>) -> Pair {
        let (from, lines) = (wanted.start, wanted.len());
        let kept = self.recording.split_inclusive('\n').skip(from).take(lines);
        self.recording = kept.collect();
        self
    }

    /// With changed rows, those of the steps and those of the end.
    pub fn rows(mut self, change: impl Fn(&mut Value)) -> Pair {
        let changed = |line: &str| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            if row["meta"].is_null() {
                change(&mut row);
            }
            format!("{row}\n")
        };
        self.recording = self.recording.lines().map(changed).collect();
        self
    }

    /// Without a field in any row, page, mapping or pin.
    pub fn without(self, field: &str) -> Pair {
        self.rows(|row| {
            let row = row.as_object_mut().unwrap();
            row.remove(field);
            for part in ["pages", "maps", "child", "pins"] {
                let elements = row.get_mut(part).and_then(Value::as_array_mut);
                for element in elements.into_iter().flatten() {
                    element.as_object_mut().unwrap().remove(field);
                }
            }
        })
    }

    /// Writes both into a directory of a test's own.
    pub fn write(&self, test: &str) -> PathBuf {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("x.seq"), &self.sequences).unwrap();
        std::fs::write(dir.join("x.jsonl"), &self.recording).unwrap();
        dir
    }

    /// Holds the simulator against them: exit code, what was printed, what was said.
    pub fn held(&self, test: &str, args: &[&str]) -> (i32, String, String) {
        let dir = self.write(test);
        let mut command = Command::cargo_bin("gupsim").unwrap();
        command.env_remove("CLICOLOR_FORCE").current_dir(dir).arg("conform");
        let files = if args.first() == Some(&"FILES") { &[][..] } else { &["x.seq", "x.jsonl"] };
        command.args(files).args(args.iter().filter(|arg| **arg != "FILES"));
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}
