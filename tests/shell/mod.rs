//! Runs the built command and looks at what came out: what the tests of the command line share.
#![allow(dead_code, reason = "each test takes what it needs")]

use assert_cmd::Command;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Output;

/// A run of the command.
pub fn gupsim(args: &[&str]) -> Output {
    let mut command = Command::cargo_bin("gupsim").unwrap();
    command.env_remove("CLICOLOR_FORCE").args(args).output().unwrap()
}

/// What it printed.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it said on the side.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Its exit code.
pub fn code(args: &[&str]) -> i32 {
    gupsim(args).status.code().unwrap()
}

/// What it printed as JSON.
pub fn json(args: &[&str]) -> Value {
    let output = gupsim(&[args, &["--format", "json"]].concat());
    serde_json::from_str(&stdout(&output)).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)))
}

/// A directory of a test's own, empty.
pub fn dir(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
