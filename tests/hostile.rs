//! Hostile input on the command line and in scenarios that load: no panic (exit 6), no hang, and
//! whatever cannot be meant is refused with exit 2 and the cure.

use assert_cmd::Command;
use std::io::Write;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

const RELAY: &str = "tests/cli/relay.json";

fn command() -> Command {
    let mut command = Command::cargo_bin("gupsim").unwrap();
    command.env_remove("CLICOLOR_FORCE").timeout(Duration::from_secs(30));
    command
}

fn run(args: &[&str]) -> Output {
    command().args(args).output().unwrap()
}

/// The exit code and what was said; a run that was killed for its length has no code.
fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Refused with exit 2, and with these words.
fn refused(args: &[&str], words: &str) {
    let (code, said) = said(&run(args));
    assert_eq!(code, Some(2), "{args:?}\n{said}");
    assert!(said.contains(words), "{args:?} said:\n{said}");
}

/// A scenario in a file of its own.
fn scenario(name: &str, text: &str) -> String {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hostile");
    let path = dir.join(format!("{name}.json"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_string()
}

/// Runs a scenario by several presets and seeds, on the clock and off: it ends, one way or
/// another. Gives the exit codes.
fn survives(name: &str, text: &str) -> Vec<i32> {
    let path = scenario(name, text);
    let mut codes = Vec::new();
    for preset in ["linux-4.14", "linux-4.19", "linux-6.18"] {
        for seed in ["0", "1", "18446744073709551615"] {
            for time in ["--timed", "--untimed"] {
                let args = ["replay", &path, "--preset", preset, "--seed", seed, time];
                let output = run(&[&args[..], &["--steps", "20000", "--format", "jsonl"]].concat());
                let (code, said) = said(&output);
                let code = code.unwrap_or_else(|| panic!("{name} {args:?} hangs\n{said}"));
                assert!(code <= 1, "{name} {args:?}: exit {code}\n{said}");
                codes.push(code);
            }
        }
    }
    codes
}

// --- flags -----------------------------------------------------------------------------------

#[test]
fn schedules_that_mean_nothing_are_refused() {
    refused(&["replay", RELAY, "--schedule", "nobody:nothing"], "no agent 'nobody'");
    refused(&["replay", RELAY, "--schedule", ":::"], "names nobody");
    refused(&["replay", RELAY, "--schedule", ",,,,"], "names nobody");
    refused(&["replay", RELAY, "--schedule", "a=b=c"], "no agent 'a'");
    refused(&["replay", RELAY, "--schedule", "%zz"], "hexadecimal");
    refused(&["replay", RELAY, "--schedule", "%ff"], "UTF-8");
    let long = vec!["nobody"; 10_000].join(",");
    refused(&["replay", RELAY, "--schedule", &long], "no agent");
}

#[test]
fn a_schedule_longer_than_the_run_says_where_the_run_ended() {
    let output = run(&["replay", RELAY, "--seed", "1", "--as-schedule"]);
    let schedule = String::from_utf8(output.stdout).unwrap();
    let schedule = schedule.trim();
    assert_eq!(run(&["replay", RELAY, "--schedule", schedule]).status.code(), Some(0));
    let first = schedule.split(',').next().unwrap();
    refused(&["replay", RELAY, "--schedule", &format!("{schedule},{first}")], "no longer fits");
    let who = first.split(':').next().unwrap();
    refused(&["replay", RELAY, "--schedule", &format!("{who}:nonsense")], "no longer fits");
    refused(&["replay", RELAY, "--schedule", &format!("{first}=eio")], "ordinary outcome");
}

#[test]
fn numbers_at_the_edges_are_run_or_refused() {
    for seed in ["0", "18446744073709551615"] {
        for time in ["--timed", "--untimed"] {
            assert_eq!(run(&["replay", RELAY, "--seed", seed, time]).status.code(), Some(0));
        }
    }
    for seed in ["-1", "18446744073709551616", "1e3", "", "0x10", "NaN"] {
        refused(&["replay", RELAY, &format!("--seed={seed}")], "--seed");
    }
    let endless = "18446744073709551615";
    assert_eq!(run(&["replay", RELAY, "--steps", endless]).status.code(), Some(0));
    assert_eq!(run(&["replay", RELAY, "--seeds", "0", "--find"]).status.code(), Some(3));
    for format in ["text", "json", "jsonl", "mail"] {
        let none = run(&["replay", RELAY, "--steps", "0", "--format", format]);
        assert_eq!(none.status.code(), Some(0), "{format}: nothing happened, nothing is violated");
    }
}

#[test]
fn flags_that_contradict_each_other_or_do_not_exist_are_refused() {
    refused(&["replay"], "SCENARIO");
    refused(&["replay", RELAY, "--timed", "--untimed"], "cannot be used");
    refused(&["replay", RELAY, "--find=stall", "--seed", "1"], "cannot be used");
    refused(&["replay", RELAY, "--find=nonsense"], "unknown invariant");
    refused(&["replay", RELAY, "--preset", "linux-9"], "linux-9");
    refused(&["replay", RELAY, "--truncate", "dax=,page-cache="], "");
    refused(&["replay", RELAY, "--truncate", "="], "knows no ''");
    refused(&["replay", RELAY, "--format", "xml"], "xml");
    // Flags of one way to use a command, in another.
    refused(&["fuzz", RELAY, "--number", "3"], "cannot be used");
    refused(&["fuzz", "--number", "3"], "--generate");
    refused(&["fuzz", "--run", "3", "--number", "3"], "--generate");
    refused(&["fuzz", RELAY, "--bug-depth", "3"], "means nothing to the scheduler random");
    refused(&["compare", RELAY, "--witness", "a", "b", "--schedule", "3"], "cannot be used");
    refused(&["compare", RELAY, "--history", "--from", "linux-4.4"], "cannot be used");
    refused(&["compare", RELAY, "--diverge", "a", "b", "--changes", "1"], "cannot be used");
    refused(&["conform", "--table", "--seed", "3"], "cannot be used");
    refused(&["explain", ""], "");
    refused(&["explain", "\u{1b}[31m"], "");
    refused(&["list", "everything"], "everything");
    refused(&["completions", "cmd"], "cmd");
    refused(&["\u{0}".trim_matches('\0'), "x"], "");
}

#[test]
fn numbers_that_cannot_be_meant_are_refused() {
    for command in ["explore", "fuzz", "check", "compare"] {
        for jobs in ["0", "1025", "65535", "-1"] {
            refused(&[command, RELAY, &format!("--jobs={jobs}")], "");
        }
    }
    for flag in ["--runs", "--time", "--steps", "--bug-depth", "--generate"] {
        refused(&["fuzz", &format!("{flag}=0")], "");
        refused(&["fuzz", &format!("{flag}=-1")], "");
    }
    let deep = ["fuzz", RELAY, "--scheduler", "pct", "--bug-depth=18446744073709551615"];
    refused(&deep, "--bug-depth");
    refused(&["explore", RELAY, "--max-states", "18446744073709551616"], "number too large");
    refused(&["conform", "--random", "18446744073709551615"], "is not in 1..=100000");
    let every =
        ["--preset", "--pin", "--truncate", "--writeback", "--unbind", "--fork", "--longterm"];
    let every: Vec<&str> = every.iter().flat_map(|axis| [axis, "all"]).collect();
    refused(&[&["compare", RELAY][..], &every].concat(), "too many to compare");
    let many = r#"[{"name": "many", "vars": 4294967295, "threads": [[]], "expect": {
        "interleavings": 1, "traces": 1, "states": 1, "deadlock_traces": 0}}]"#;
    refused(&["selftest", "--programs", &scenario("many", many)], "give at most 1024");
    refused(&["selftest", "--programs", &scenario("none", "[]")], "there is no program in it");
    refused(&["selftest", "--programs", "no/such"], "leave --programs out");
}

#[test]
fn where_findings_cannot_be_written_nothing_is_run() {
    for command in [&["fuzz", RELAY][..], &["fuzz", "--generate=5"], &["shrink", RELAY]] {
        refused(&[command, &["--out", "/dev/null/findings/x.json"]].concat(), "cannot write to");
    }
}

#[test]
fn paths_that_are_no_scenario_are_refused() {
    refused(&["replay", ""], "");
    refused(&["replay", "."], "");
    refused(&["replay", "/"], "");
    refused(&["replay", "/dev/null"], "");
    refused(&["replay", "no/such/scenario"], "no/such/scenario");
    refused(&["replay", "../../../../etc/passwd"], "");
    refused(&["replay", "\u{202e}gnp.exe\u{7}"], "");
    refused(&["replay", &"x".repeat(100_000)], "");
}

#[cfg(unix)]
#[test]
fn arguments_that_are_no_utf8_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let odd = OsStr::from_bytes(b"\xff\xfe");
    for args in [vec![odd], vec![OsStr::new("replay"), odd], vec![OsStr::new("explain"), odd]] {
        let output = command().args(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?} {:?}", said(&output));
    }
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("checkpoints");
    std::fs::create_dir_all(&folder).unwrap();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_string();
    let held = "dax/longterm-stall";
    run(&["explore", held, "--max-states", "30", "--checkpoint", &at("whole")]);
    let whole = std::fs::read(at("whole")).unwrap();
    let refuses = |bytes: &[u8]| {
        std::fs::write(at("damaged"), bytes).unwrap();
        refused(&["explore", held, "--resume", &at("damaged")], "not a whole checkpoint");
    };
    for cut in [0, 1, 8, 64, whole.len() - 8, whole.len() - 1] {
        refuses(&whole[..cut]);
    }
    refuses(&[&whole[..], b"more"].concat());
    refuses(&[&whole[..], &[0; 8]].concat());
    for part in 0..24 {
        let mut bytes = whole.clone();
        bytes[16 + part * (whole.len() - 16) / 24] ^= 0x41;
        refuses(&bytes);
    }
    refused(&["explore", RELAY, "--resume", &at("whole")], "another search");
    refused(&["explore", held, "--checkpoint", &at("no/such")], "cannot write to");
    refused(&["explore", held, "--checkpoint", &at("")], "it is a directory");
}

#[test]
fn time_ends_a_hunt_whose_first_scenario_never_would() {
    let runs = u64::MAX.to_string();
    let output = run(&["fuzz", "--generate", "--runs", &runs, "--time", "1"]);
    assert!(output.status.code().is_some_and(|c| c < 6), "{:?}", said(&output));
}

// --- surroundings ----------------------------------------------------------------------------

#[test]
fn an_empty_environment_changes_nothing() {
    let usual = run(&["replay", RELAY, "--seed", "3"]);
    let bare = command().env_clear().args(["replay", RELAY, "--seed", "3"]).output().unwrap();
    assert_eq!(usual.stdout, bare.stdout);
    for (name, value) in [("NO_COLOR", "1"), ("COLUMNS", "1"), ("LINES", "0"), ("TERM", "dumb")] {
        let output = command().env(name, value).args(["replay", RELAY, "--seed", "3"]).output();
        assert_eq!(usual.stdout, output.unwrap().stdout, "{name}");
    }
    for args in [&["replay", "no-such"][..], &["--help"], &["list", "scenarios"]] {
        let output = command().env("COLUMNS", "1").args(args).output().unwrap();
        assert!(output.status.code().is_some_and(|c| c <= 2), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_said() {
    for args in [&["schema"][..], &["--help"], &["--version"], &["explore", "--help"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let bin = assert_cmd::cargo::cargo_bin("gupsim");
        let output = std::process::Command::new(bin).args(args).stdout(full).output().unwrap();
        let (code, said) = said(&output);
        assert_eq!(code, Some(6), "{args:?}");
        assert!(said.contains("cannot write the output"), "{args:?}: {said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn complaints_that_nobody_can_hear_change_no_exit_code() {
    for args in [&["replay", "no-such"][..], &["fuzz", RELAY, "--bug-depth=3"], &["replay", "-"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let bin = assert_cmd::cargo::cargo_bin("gupsim");
        let mut command = std::process::Command::new(bin);
        let output = command.args(args).stdin(std::process::Stdio::null()).stderr(full).output();
        assert_eq!(output.unwrap().status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn all_broken_scenarios_of_a_directory_are_reported() {
    let one = scenario("broken/one", "{");
    scenario("broken/sound", &std::fs::read_to_string(RELAY).unwrap());
    scenario("broken/two", "[]");
    let directory = one.trim_end_matches("one.json");
    for command in ["check", "compare"] {
        for file in ["broken/one.json:1", "broken/two.json:1"] {
            refused(&[command, directory], file);
        }
    }
}

#[test]
fn a_scenario_from_a_pipe_or_of_garbage_is_read_or_refused() {
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("null", b"null"),
        ("nul", b"\0"),
        ("utf16", b"\xff\xfe{\0}\0"),
        ("latin1", b"{\"title\": \"caf\xe9\"}"),
        ("brackets", "[".repeat(100_000).as_bytes()),
    ] {
        let path = scenario(name, "");
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        refused(&["replay", &path], "");
    }
}

#[test]
fn a_scenario_is_read_from_whatever_can_be_read() {
    let text = std::fs::read(RELAY).unwrap();
    for what in ["replay", "explore", "fuzz", "check", "compare"] {
        let usual = run(&[what, RELAY]).status.code();
        for name in ["-", "/dev/stdin"] {
            let output = command().args([what, name]).write_stdin(text.clone()).output().unwrap();
            assert_eq!(output.status.code(), usual, "{what} {name}: {}", said(&output).1);
        }
    }
    let output = command().args(["replay", "-"]).write_stdin("{").output().unwrap();
    assert!(said(&output).1.contains("never closed") && said(&output).0 == Some(2));
    refused(&["replay", "scenarios/dax"], "is a directory");
}

#[cfg(unix)]
#[test]
fn a_scenario_is_read_from_a_named_pipe() {
    let path = scenario("beside-a-pipe", "").replace(".json", ".pipe");
    let _ = std::fs::remove_file(&path);
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let pipe = path.clone();
    std::thread::spawn(move || std::fs::write(pipe, std::fs::read(RELAY).unwrap()));
    let output = run(&["explore", &path]);
    assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
}

// --- scenarios -------------------------------------------------------------------------------

const FILE: &str = r#""files": {"data": {}},
    "mappings": {"buf": {"file": "data"}}"#;

fn threads(text: &str) -> String {
    format!(r#"{{"title": "t", {FILE}, "threads": {{{text}}}}}"#)
}

#[test]
fn programs_of_nothing_end() {
    let nobody = scenario("nobody", r#"{"title": "t", "threads": {}}"#);
    refused(&["replay", &nobody], "without threads");
    survives("empty-program", &threads(r#""a": {"do": []}"#));
    let repeat = threads(r#""a": {"do": [{"repeat": {"times": 3, "do": []}}]}"#);
    refused(&["replay", &scenario("nothing-repeated", &repeat)], "a repeat of nothing");
}

#[test]
fn endless_and_long_repeats_stop_at_the_limit_of_steps() {
    let store = r#"{"store": "buf[0]"}"#;
    let nested = format!(
        r#""a": {{"do": [{{"repeat": {{"times": 1000000, "do": [
            {{"repeat": {{"times": 1000000, "do": [{store}]}}}}]}}}}]}}"#
    );
    survives("long-repeat", &threads(&nested));
    survives(
        "endless-post",
        &threads(
            r#""a": {"background": true, "do": [{"repeat": {"do": [{"post": "e"}]}}]},
               "b": {"do": [{"wait": "e"}]}"#,
        ),
    );
}

#[test]
fn releases_of_what_is_not_held_are_errors_of_the_call() {
    survives(
        "unpin-twice",
        &threads(
            r#""a": {"do": [{"pin": {"at": "buf[0]", "slot": "s"}},
                {"unpin": {"slot": "s"}}, {"unpin": {"slot": "s"}}]}"#,
        ),
    );
    survives(
        "pin-after-unmap",
        &threads(
            r#""a": {"do": [{"munmap": "buf"}, {"pin": {"at": "buf[0]", "slot": "s"}},
                {"unpin": {"slot": "s"}}, {"munmap": "buf"}]}"#,
        ),
    );
}

#[test]
fn events_that_nobody_posts_in_time_stall() {
    let once = r#""a": {"do": [{"wait": "e"}, {"wait": "e"}]}, "b": {"do": [{"post": "e"}]}"#;
    let path = scenario("posted-once", &threads(once));
    refused(&["replay", &path], "posted 1 times and waited for 2 times");
    let codes = survives(
        "never-posted",
        &threads(
            r#""c": {"do": [{"wait": "f"}, {"post": "g"}]},
               "d": {"do": [{"wait": "g"}, {"post": "f"}]}"#,
        ),
    );
    assert!(codes.iter().all(|&code| code == 1), "{codes:?}");
}

#[test]
fn a_crash_at_once_ends_the_run() {
    survives(
        "crash",
        &threads(
            r#""power": {"kind": "chance", "do": [{"crash": {}}]},
               "a": {"do": [{"store": "buf[0]"}, {"fsync": "data"}]}"#,
        ),
    );
}

#[test]
fn children_of_children_run() {
    let text = r#"{"title": "t",
        "mms": {"C": {"child_of": "P"}, "G": {"child_of": "C"}},
        "files": {"data": {"pages": 1}},
        "mappings": {"buf": {"file": "data"}, "anon": {}},
        "threads": {
            "p": {"do": [{"store": "anon[0]"}, {"fork": "C"}, {"store": "anon[0]"}]},
            "c": {"mm": "C", "do": [{"store": "anon[0]"}, {"fork": "G"}, {"store": "buf[0]"}]},
            "g": {"mm": "G", "do": [{"store": "anon[0]"}, {"load": "buf[0]"}]}
        }}"#;
    survives("grandchildren", text);
    let path = scenario(
        "fork-twice",
        &text.replace(r#"{"fork": "C"}, "#, r#"{"fork": "C"}, {"fork": "C"}, "#),
    );
    refused(&["replay", &path], "forked more than once");
}

#[test]
fn a_mapping_goes_away_under_dma() {
    for kind in ["nic", "odp-nic", "gpu", "capture"] {
        let text = format!(
            r#"{{"title": "t", {FILE}, "devices": {{"dev": {{"kind": "{kind}"}}}},
            "threads": {{
                "a": {{"do": [{{"register": {{"at": "buf"}}}},
                    {{"munmap": "buf"}}, {{"deregister": {{}}}}]}},
                "d": {{"kind": "device", "device": "dev",
                    "do": [{{"dma_write": "mr[0]"}}, {{"dma_read": "mr[0]"}}]}}
            }}}}"#
        );
        survives(&format!("munmap-{kind}"), &text);
    }
}

#[test]
fn names_of_every_kind_are_shown_or_refused_but_never_obeyed() {
    for name in
        [" ", "a b", "héllo", "\u{1b}[31m", "\n", "\u{202e}", "😀", "a,b:c=d%", "-", "--help"]
    {
        let escaped = serde_json::to_string(name).unwrap();
        let text = threads(&format!(r#"{escaped}: {{"do": [{{"store": "buf[0]"}}]}}"#));
        let path = scenario("names", &text);
        for format in ["text", "json", "jsonl", "mail"] {
            let output = run(&["replay", &path, "--format", format]);
            let (code, said) = said(&output);
            assert!(code.is_some_and(|c| c <= 2), "{name:?}: {code:?}\n{said}");
            let all = [output.stdout, output.stderr].concat();
            assert!(!all.contains(&0x1b), "{name:?} reaches the terminal");
        }
    }
    let long = "n".repeat(65);
    let path = scenario("long-name", &threads(&format!(r#""{long}": {{"do": []}}"#)));
    refused(&["replay", &path], "64");
}

#[test]
fn three_hundred_transfers_through_one_translation_are_counted() {
    let device = |i: u32| {
        format!(
            r#""d{i}": {{"kind": "device", "device": "dev", "do": [{{"dma_write": "mr[0]"}}]}}"#
        )
    };
    let devices: Vec<String> = (0..300).map(device).collect();
    let text = format!(
        r#"{{"title": "t", {FILE}, "devices": {{"dev": {{"kind": "nic"}}}}, "threads": {{
            "a": {{"do": [{{"register": {{"at": "buf"}}}}]}},
            {}}}}}"#,
        devices.join(",")
    );
    survives("many-transfers", &text);
}

#[test]
fn a_machine_larger_than_the_memory_of_a_search_is_not_searched() {
    let large = r#"{"title": "t", "files": {"data": {"pages": 100000}},
        "threads": {"a": {"do": [{"fsync": "data"}]}}}"#;
    let large = scenario("large", large);
    refused(&["explore", &large, "--memory", "1"], "MB for each thread, and --memory is 1");
    assert_eq!(run(&["explore", &large, "--memory", "100"]).status.code(), Some(0));
}

#[test]
fn more_mappers_of_a_page_than_can_be_counted_are_refused() {
    let mapping = |i: u32| format!(r#""m{i}": {{"file": "data", "populate": "read"}}"#);
    let mappings: Vec<String> = (0..33_000).map(mapping).collect();
    let text = format!(
        r#"{{"title": "t", "files": {{"data": {{"pages": 1}}}}, "mappings": {{{}}},
            "threads": {{"a": {{"do": [{{"load": "m0[0]"}}]}}}}}}"#,
        mappings.join(",")
    );
    refused(&["replay", &scenario("mappers", &text)], "could map one folio");
}
