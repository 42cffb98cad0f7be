//! What `fuzz`, `shrink` and `selftest` promise: runs that can be made again, findings that are
//! whole and replay, and numbers that are held against those of others.

mod shell;

use serde_json::Value;
use shell::{code, dir, gupsim, json, stderr, stdout};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The files of a directory, by name, with what is in them.
fn files(dir: &Path) -> Vec<(String, String)> {
    let read = |e: std::io::Result<std::fs::DirEntry>| {
        let path = e.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        (path.file_name().unwrap().to_string_lossy().into_owned(), text)
    };
    let mut all: Vec<(String, String)> = std::fs::read_dir(dir).unwrap().map(read).collect();
    all.sort();
    all
}

const RELAY: &str = "tests/cli/relay.json";
const ORPHAN: &str = "truncate/orphan-rdma";

#[test]
fn the_number_of_threads_changes_no_byte_of_result_or_findings() {
    let out = |n: &str| dir(&format!("jobs-{n}"));
    let run = |jobs: &str| {
        let dir = out(jobs);
        let args = ["fuzz", ORPHAN, "--runs", "1500", "--jobs", jobs, "--out"];
        let output = gupsim(&[&args[..], &[dir.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(1));
        (stdout(&output).replace(dir.to_str().unwrap(), "DIR"), files(&dir))
    };
    let (one, two) = (run("1"), run("2"));
    assert_eq!(one, two);
    assert!(one.1.len() >= 4, "{:?}", one.1.iter().map(|f| &f.0).collect::<Vec<_>>());
}

#[test]
fn every_scheduler_runs_and_pct_states_its_guarantee() {
    let manual = include_str!("../docs/exploration.md");
    for (_, scheduler, _) in gupsim::schedule::TABLE {
        assert!(manual.contains(&format!("\n| {scheduler} |")), "the manual lacks {scheduler}");
        let args = ["fuzz", ORPHAN, "--runs", "65", "--scheduler", scheduler];
        let found = &json(&args)[0];
        assert_eq!((&found["runs"], &found["checked"]), (&65.into(), &2.into()), "{scheduler}");
        assert!(found["states"].as_u64().unwrap() > 40, "{scheduler}");
        assert_eq!(found["guarantee"].is_string(), scheduler == "pct", "{scheduler}");
    }
}

#[test]
fn the_printed_line_shows_the_run_that_failed_first() {
    let found = &json(&["fuzz", ORPHAN, "--runs", "500", "--seed", "3"])[0];
    for broken in found["broken"].as_array().unwrap() {
        let words = broken["quickest"]["repeat"].as_array().unwrap();
        let words: Vec<&str> = words.iter().skip(1).map(|w| w.as_str().unwrap()).collect();
        let run = json(&words);
        let same = |v: &&Value| v["invariant"] == broken["invariant"];
        let verdict = run["verdicts"].as_array().unwrap().iter().find(same).unwrap();
        assert_eq!(verdict["step"], broken["quickest"]["steps"]);
    }
}

#[test]
fn what_breaks_nothing_exits_with_0_and_what_is_no_scenario_with_2() {
    assert_eq!(code(&["fuzz", RELAY, "--runs", "50"]), 0);
    assert_eq!(code(&["fuzz", "no/such", "--runs", "50"]), 2);
    assert_eq!(code(&["fuzz", RELAY, ORPHAN, "--run", "1"]), 2);
}

#[test]
fn a_finding_shrinks_to_a_scenario_that_replays_the_same_failure() {
    let dir = dir("shrink");
    let out = dir.to_str().unwrap();
    let found = json(&["fuzz", ORPHAN, "--runs", "200", "--seed", "1", "--out", out]);
    let broken = &found[0]["broken"][0];
    let invariant = broken["invariant"].as_str().unwrap();
    let file = broken["kinds"][0]["file"].as_str().unwrap();
    assert_eq!(code(&["replay", file]), 1);
    let small = dir.join("small.json");
    let small = small.to_str().unwrap();
    let output = gupsim(&["shrink", file, "--out", small, "--nearest-pass"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    for part in ["failure  ", "operations 3, ", "passes   ", "blame    of random runs "] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let replayed = stdout(&gupsim(&["replay", small]));
    assert!(replayed.contains(&format!("** {invariant} is broken")), "{replayed}");
    // A fixpoint: there is nothing left to leave out.
    let again = dir.join("again.json");
    assert_eq!(code(&["shrink", small, "--out", again.to_str().unwrap()]), 1);
    assert_eq!(std::fs::read_to_string(small).unwrap(), std::fs::read_to_string(again).unwrap());
}

#[test]
fn what_fuzz_writes_and_prints_is_as_simple_as_it_gets() {
    let dir = dir("simple");
    let found = json(&["fuzz", ORPHAN, "--runs", "200", "--out", dir.to_str().unwrap()]);
    for broken in found[0]["broken"].as_array().unwrap() {
        let simple = &broken["simple"];
        assert!(simple["steps"].as_u64() <= broken["quickest"]["steps"].as_u64());
        let words = simple["replay"].as_array().unwrap();
        let words: Vec<&str> = words.iter().skip(1).map(|w| w.as_str().unwrap()).collect();
        let run = json(&words);
        let same = |v: &&Value| v["invariant"] == broken["invariant"];
        let verdict = run["verdicts"].as_array().unwrap().iter().find(same).unwrap();
        assert_eq!(verdict["step"], simple["steps"], "the last step breaks it");
    }
    let again = dir.join("again.json");
    for (name, text) in files(&dir) {
        let file = dir.join(name);
        let args = ["shrink", file.to_str().unwrap(), "--out", again.to_str().unwrap()];
        assert_eq!(code(&args), 1);
        assert_eq!(text, std::fs::read_to_string(&again).unwrap(), "nothing to leave out");
    }
}

#[test]
fn the_nearest_pass_may_take_what_the_failure_kept_from_happening() {
    let out = dir("nearest").join("small.json");
    let passes = |name: &str| {
        let output = gupsim(&["shrink", name, "--out", out.to_str().unwrap(), "--nearest-pass"]);
        let text = stdout(&output);
        let line = text.split("\npasses   ").nth(1).expect("a line").split("\nblame").next();
        let words: Vec<&str> = line.unwrap().split_whitespace().collect();
        assert!(text.contains("The nearest run that does not fail:"), "{text}");
        words.join(" ")
    };
    // The transfer has to be over before the page leaves its file: more than what broke it.
    let line = passes(ORPHAN);
    assert!(line.contains("write second half) came before step"), "{line}");
    // In a deadlock nobody can do what would have saved it.
    let line = passes("dax/wait-under-lock-deadlock");
    assert!(line.contains("came only when nobody else could go on"), "{line}");
}

/// In a random order 8,000 threads do not come to the end of their first steps.
#[test]
fn a_generated_world_is_shrunk_by_its_run_on_the_clock() {
    let out = dir("crowd").join("small.json");
    let found = json(&["shrink", "tests/cli/crowd.json", "--out", out.to_str().unwrap()]);
    assert!(found["before"]["steps"].as_u64().unwrap() > 20_000, "{}", found["before"]);
    let after = ["threads", "operations", "pages"].map(|key| found["after"][key].as_u64().unwrap());
    assert_eq!(after, [3, 3, 1]);
    assert_eq!(code(&["replay", out.to_str().unwrap()]), 1);
}

#[test]
fn what_cannot_be_avoided_is_nobodys_fault() {
    let out = dir("blame").join("small.json");
    let output = gupsim(&["shrink", "truncate/stale-tail", "--out", out.to_str().unwrap()]);
    let text = stdout(&output);
    assert!(text.contains("blame    every run breaks it, in whatever order"), "{text}");
}

#[test]
fn what_is_shrunk_is_one_json_document_with_the_odds_of_every_step() {
    let out = dir("shrink-json").join("small.json");
    let out = out.to_str().unwrap();
    let args = ["shrink", ORPHAN, "--out", out, "--nearest-pass"];
    let found = json(&args);
    assert_eq!(found["format"], 1);
    assert_eq!((&found["finding"], &found["shrink"]["scenario"]), (&ORPHAN.into(), &out.into()));
    assert_eq!(found["fingerprint"]["invariant"], "silent-orphan-dma");
    let keys = ["threads", "operations", "pages", "faults", "steps", "preemptions"];
    for key in keys {
        let (before, after) = (found["before"][key].as_u64(), found["after"][key].as_u64());
        assert!(after.is_some() && after <= before, "{key}: {before:?} -> {after:?}");
    }
    let steps = found["after"]["steps"].as_u64().unwrap() as usize;
    let odds = found["blame"]["after_steps"].as_array().unwrap();
    let odds: Vec<f64> = odds.iter().map(|p| p.as_f64().unwrap()).collect();
    assert_eq!((odds.len(), odds.last()), (steps + 1, Some(&1.0)));
    let from = found["blame"]["inevitable_from"].as_u64().unwrap() as usize;
    let certain: Vec<bool> = odds.iter().map(|&p| p > 1.0 - 1e-9).collect();
    assert!(certain[from..].iter().all(|c| *c) && !certain[from - 1], "{from}: {odds:?}");
    assert_eq!(found["shown"]["steps"].as_array().unwrap().len(), steps);
    let beside = &found["nearest_pass"]["shown"];
    assert!(beside["passes"]["findings"].as_array().unwrap().is_empty());
    assert!(!beside["fails"]["findings"].as_array().unwrap().is_empty());
    // The text has the odds beside the steps that change them, and only there.
    let text = stdout(&gupsim(&args[..4]));
    let mut shown = 0;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(n) = words.first().and_then(|n| n.parse::<usize>().ok()) else { continue };
        let Some(percent) = words.get(1).and_then(|w| w.strip_suffix('%')) else { continue };
        let said: f64 = percent.parse().unwrap();
        assert!((said - odds[n] * 100.0).abs() < 0.006, "step {n}: {line}");
        shown += 1;
    }
    let changes = odds.windows(2).filter(|w| (w[1] - w[0]).abs() > 1e-9).count();
    assert!(shown == changes && changes > 5, "{shown} of {changes} changes");
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words.join(" ").matches("<- inevitable from here").count(), 1, "{text}");
}

#[test]
fn a_noisy_finding_loses_its_noise_and_a_fault_that_did_no_harm() {
    let dir = dir("noisy");
    let out = dir.to_str().unwrap();
    let found = json(&["fuzz", "tests/cli/noisy.json", "--runs", "300", "--out", out]);
    let file = found[0]["broken"][0]["kinds"][0]["file"].as_str().unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    for left in ["noise-", "faults", "cpus", "log", "repeat", "..", "\"pages\": 4", "eio"] {
        assert!(!text.contains(left), "{left} is not needed:\n{text}");
    }
    assert!(text.contains("\"register\": { \"at\": \"buf[0]\" }"), "{text}");
    assert!(text.contains("\"dma_write\": \"mr[0]\""), "{text}");
}

/// Interrupts a command after a while; what it printed, and its exit code.
fn interrupted(args: &[&str]) -> (String, Option<i32>) {
    let bin = assert_cmd::cargo::cargo_bin("gupsim");
    let mut command = std::process::Command::new(bin);
    let child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let began = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    (stdout(&output) + &stderr(&output), output.status.code())
}

#[test]
fn ctrl_c_leaves_what_there_is_so_far() {
    let (text, code) = interrupted(&["replay", RELAY, "--find=stall", "--seeds", "99999999999"]);
    assert_eq!(code, Some(5), "the run that is shown breaks nothing: {text}");
    assert!(text.contains("seeds breaks stall") && !text.contains("99999999999"), "{text}");
    let wide = |_| vec![serde_json::json!({"op": "write", "var": 0, "value": 1}); 9];
    let expect = serde_json::json!(
        {"interleavings": 0, "traces": 0, "states": 0, "deadlock_traces": 0}
    );
    let threads: Vec<_> = (0..8).map(wide).collect();
    let program = serde_json::json!(
        {"name": "endless", "vars": 1, "threads": threads, "expect": expect}
    );
    let file = dir("endless").join("programs.json");
    std::fs::write(&file, serde_json::json!([program]).to_string()).unwrap();
    let (text, code) = interrupted(&["selftest", "--programs", file.to_str().unwrap()]);
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("interrupted; the first 0 numbers are as expected"), "{text}");
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    let output = gupsim(&["shrink", RELAY, "--out", "never-written.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("none of 10000 random runs fails"), "{}", stderr(&output));
    assert!(!Path::new("never-written.json").exists());
}

#[test]
fn the_trial_of_the_engine_is_passed_and_a_wrong_number_is_seen() {
    let output = gupsim(&["selftest"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("numbers are as expected"), "{}", stdout(&output));
    let text = std::fs::read_to_string("tests/data/programs.json").unwrap();
    let mut programs: Value = serde_json::from_str(&text).unwrap();
    let states = &mut programs[0]["expect"]["states"];
    *states = (states.as_u64().unwrap() + 1).into();
    let file = dir("selftest").join("programs.json");
    std::fs::write(&file, programs.to_string()).unwrap();
    let output = gupsim(&["selftest", "--quiet", "--programs", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("wrong"), "{}", stdout(&output));
    std::fs::write(&file, "[{}]").unwrap();
    assert_eq!(code(&["selftest", "--programs", file.to_str().unwrap()]), 2);
}

#[test]
fn made_up_scenarios_are_the_same_on_any_number_of_threads_and_can_be_printed() {
    let args = ["fuzz", "--generate=60", "--seed", "5", "--jobs"];
    let run = |jobs: &str| stdout(&gupsim(&[&args[..], &[jobs]].concat()));
    assert_eq!(run("1"), run("2"));
    let text = run("1");
    assert!(text.contains("60 scenarios, 2,400 runs, "), "{text}");
    assert!(text.contains(" distinct states; ") && text.contains("\nuse-after-free  "), "{text}");
    let found = json(&args[..4]);
    for claim in found["claims"].as_array().unwrap() {
        let interval: Vec<f64> =
            claim["interval"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
        let (broken, tested) = (&claim["broken"], claim["tested"].as_u64().unwrap());
        assert!(*broken == 0 && interval[0] == 0.0, "{claim}");
        // Wilson's interval of 0 of n ends at z^2 / (n + z^2).
        let most = 3.8415 / (tested as f64 + 3.8415);
        assert!((interval[1] - most).abs() < 1e-3, "{claim}: {most}");
    }
    let print = ["fuzz", "--generate", "--seed", "5", "--number", "7"];
    let text = stdout(&gupsim(&print));
    let title = "\"title\": \"made up, seed 5, number 7: ";
    assert!(text.contains(title) && text.ends_with("}\n"), "{text}");
    let file = dir("made").join("seven.json");
    std::fs::write(&file, text).unwrap();
    assert!(code(&["replay", file.to_str().unwrap()]) < 2, "it is a scenario like any other");
    let shown = stdout(&gupsim(&[&print[..], &["--run", "3"]].concat()));
    let again = "repeat   gupsim fuzz --generate --seed 5 --number 7 --run 3\n";
    assert!(shown.contains("made up, seed 5, number 7: ") && shown.contains(again), "{shown}");
    assert_eq!(code(&["fuzz", "--generate", "--run", "3"]), 2, "of which scenario?");
}

/// Shrinks into a file; its exit code and what it said.
fn shrunk(path: &str) -> (Option<i32>, String) {
    let output = gupsim(&["shrink", "truncate/orphan-rdma", "--out", path]);
    (output.status.code(), stderr(&output))
}

#[cfg(unix)]
#[test]
fn a_result_goes_through_a_link_and_takes_no_file_beside_it() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = dir("links");
    let at = |name: &str| dir.join(name).to_str().unwrap().to_string();
    std::fs::create_dir(at("far")).unwrap();
    std::fs::write(at("far/old.json"), "old").unwrap();
    std::fs::set_permissions(at("far/old.json"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink("far/old.json", at("link.json")).unwrap();
    symlink("link.json", at("again.json")).unwrap();
    symlink("far/new.json", at("dangling.json")).unwrap();
    for (link, file) in [("again.json", "far/old.json"), ("dangling.json", "far/new.json")] {
        let done = shrunk(&at(link));
        assert_eq!(done.0, Some(1), "{done:?}");
        assert!(std::fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link} is a link");
        assert_eq!(code(&["replay", &at(file)]), 1, "{file}");
    }
    let mode = std::fs::metadata(at("far/old.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "the permissions are the old ones");
    assert_eq!(std::fs::read_dir(at("far")).unwrap().count(), 2, "nothing is left behind");
    symlink("circle.json", at("circle.json")).unwrap();
    assert_eq!(shrunk(&at("circle.json")).0, Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_or_a_pipe_is_written_to_and_never_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let done = shrunk("/dev/full");
    assert_eq!(done.0, Some(6), "{done:?}");
    assert!(done.1.contains("cannot write /dev/full"), "{done:?}");
    let is_device = |path: &str| std::fs::metadata(path).unwrap().file_type().is_char_device();
    assert!(is_device("/dev/full") && is_device("/dev/null"));
    let pipe = dir("pipes").join("out");
    let path = pipe.to_str().unwrap().to_string();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap());
    assert_eq!(shrunk(&path).0, Some(1));
    assert!(reader.join().unwrap().contains("\"schedule\""));
    assert!(std::fs::metadata(&path).unwrap().file_type().is_fifo());
    let search = ["explore", "truncate/orphan-rdma", "--checkpoint"];
    for path in ["/dev/full", "/dev/null", &path] {
        let output = gupsim(&[&search[..], &[path]].concat());
        assert_eq!(output.status.code(), Some(2), "{path}");
        assert!(stderr(&output).contains("cannot replace"), "{}", stderr(&output));
    }
    let export = ["conform", "--export", "truncate/stale-tail", "--out"];
    assert_eq!(code(&[&export[..], &["/dev/null"]].concat()), 0);
    assert_eq!(code(&[&export[..], &["/dev/full"]].concat()), 6);
}
