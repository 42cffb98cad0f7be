//! What the command line promises: exit codes, formats, byte-identical output, and how it looks.
//!
//! The looks are held by snapshots of scenarios that use nothing but posts and waits, so that
//! they change only when a report changes. `INSTA_UPDATE=always cargo test --test cli` blesses.

mod shell;

use shell::{code, gupsim, stderr, stdout};
use std::process::Stdio;

/// What a command prints, what it says on the side, and its exit code.
fn shown(args: &[&str]) -> String {
    let output = gupsim(args);
    let code = output.status.code().unwrap();
    let err = match stderr(&output) {
        err if err.is_empty() => err,
        err => format!("--- stderr\n{err}"),
    };
    format!("$ gupsim {}\n{}{err}--- exit {code}\n", args.join(" "), stdout(&output))
}

const EMBRACE: &str = "tests/cli/embrace.json";
const RELAY: &str = "tests/cli/relay.json";

fn bundled() -> Vec<String> {
    let list = stdout(&gupsim(&["list", "scenarios", "--format", "json"]));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let names = list.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_string());
    let names: Vec<String> = names.collect();
    assert!(names.len() >= 13, "{names:?}");
    names
}

// --- looks -----------------------------------------------------------------------------------

#[test]
fn a_deadlock_shows_who_waits_for_whom() {
    insta::assert_snapshot!(shown(&["replay", EMBRACE]));
}

#[test]
fn a_deadlock_in_brief_is_a_small_diagram() {
    insta::assert_snapshot!(shown(&["replay", EMBRACE, "--brief"]));
}

#[test]
fn a_run_in_brief_shows_what_it_cost() {
    let args = ["replay", "notifier/munmap-under-stream", "--prices", "--brief"];
    let text = stdout(&gupsim(&args));
    for part in [" times)", "waits for transfers", "prices   ", "notifier-ns "] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn a_mail_shows_the_same_in_72_columns() {
    insta::assert_snapshot!(shown(&["replay", EMBRACE, "--format", "mail"]));
}

#[test]
fn a_timed_run_shows_microseconds() {
    insta::assert_snapshot!(shown(&["replay", RELAY, "--timed"]));
}

#[test]
fn a_json_document_holds_the_whole_run() {
    insta::assert_snapshot!(shown(&["replay", RELAY, "--seed", "1", "--format", "json"]));
}

#[test]
fn exit_codes_are_explained() {
    insta::assert_snapshot!(shown(&["explain", "exit-codes"]));
}

#[test]
fn an_invariant_is_explained_with_its_source() {
    let text = stdout(&gupsim(&["explain", "deadlock"]));
    for part in ["deadlock (invariant)", "premise", "sources", "shown by", "dax/wait-under-lock"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn a_strategy_value_is_explained_with_its_axis_wherever_it_occurs() {
    let text = stdout(&gupsim(&["explain", "wait-locked"]));
    assert!(text.contains("truncate-page-cache=wait-locked"), "{text}");
    assert!(text.contains("truncate-dax=wait-locked"), "{text}");
    assert_eq!(code(&["explain", "truncate-dax=wait-locked"]), 0);
    assert_eq!(code(&["explain", "Folio_Pincount"]), 0);
}

#[test]
fn a_step_of_a_trace_and_a_rule_of_a_recording_are_explained() {
    let step = stdout(&gupsim(&["explain", "t7"]));
    for part in ["T7 (step of the kernel)", "`truncate_pagecache`", "TruncatePages", "truncate.c"] {
        assert!(step.contains(part), "no {part:?} in:\n{step}");
    }
    let rule = stdout(&gupsim(&["explain", "E13"]));
    for part in ["E13 (rule of recorded kernels)", "next writeback saves it", "e03_pin_fsync"] {
        assert!(rule.contains(part), "no {part:?} in:\n{rule}");
    }
    // Whatever a trace calls a step by has an entry.
    let run = stdout(&gupsim(&["replay", "truncate/orphan-rdma", "--format", "json"]));
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    let ids = run["steps"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap());
    let mut ids: Vec<&str> = ids.filter(|id| !id.is_empty()).collect();
    ids.sort();
    ids.dedup();
    assert!(ids.len() > 8, "{ids:?}");
    ids.iter().for_each(|id| assert_eq!(code(&["explain", id]), 0, "{id}"));
}

#[test]
fn everything_that_is_listed_is_explained() {
    for what in ["scenarios", "strategies", "invariants", "actors", "presets"] {
        let list = stdout(&gupsim(&["list", what, "--format", "json"]));
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        for entry in list.as_array().unwrap() {
            let name = entry["name"].as_str().unwrap();
            let text = entry["text"][0].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{name} has no manual entry");
        }
        let first = list[0]["name"].as_str().unwrap();
        assert_eq!(code(&["explain", first]), 0, "{first}");
    }
}

// --- exit codes ------------------------------------------------------------------------------

#[test]
fn a_run_that_violates_nothing_exits_with_0_and_one_that_does_with_1() {
    assert_eq!(code(&["replay", RELAY]), 0);
    assert_eq!(code(&["replay", EMBRACE]), 1);
}

#[test]
fn a_deadlock_from_the_start_on_is_a_violation_though_no_step_led_there() {
    let output = gupsim(&["replay", "tests/cli/stuck.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("broken   deadlock (at the end)"), "{}", stdout(&output));
}

#[test]
fn bad_usage_exits_with_2_and_names_the_cure() {
    let cases: [(&[&str], &str); 9] = [
        (&["replay", "truncate/orphan-rmda"], "did you mean `truncate/orphan-rdma`?"),
        (&["replay", RELAY, "--pin", "folio-pin-count"], "folio-pincount"),
        (&["replay", RELAY, "--truncate", "pages=ignore"], "page-cache=VALUE,dax=VALUE"),
        (&["replay", RELAY, "--truncate", "wait-lokced"], "wait-locked"),
        (&["replay", RELAY, "--preset", "linux-4.19", "--fork", "copy-pinned"], "--fork share"),
        (&["replay", RELAY, "--find=stal"], "stall"),
        (&["replay", RELAY, "--seed", "x"], "--seed"),
        (&["explain", "clean-but-never"], "clean-but-newer"),
        (&["frobnicate"], "Usage"),
    ];
    for (args, cure) in cases {
        let output = gupsim(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?} prints data");
        assert!(stderr(&output).contains(cure), "{args:?}: no {cure:?} in {}", stderr(&output));
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    for args in [&["--help"][..], &["--version"], &["replay", "--help"], &["explain", "--help"]] {
        let output = gupsim(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn every_axis_has_a_flag_and_every_flag_works() {
    for axis in gupsim::kernel::strategy::Strategy::AXES {
        let help = stdout(&gupsim(&["replay", "--help"]));
        assert!(help.contains(&format!("--{} <VALUE>", axis.flag)), "{}", axis.flag);
    }
    let args = ["replay", RELAY, "--truncate", "page-cache=ignore,dax=wait-locked", "--format"];
    let json = stdout(&gupsim(&[&args[..], &["json"]].concat()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["run"]["strategy"]["truncate-dax"], "wait-locked");
    assert_eq!(json["run"]["strategy"]["truncate-page-cache"], "ignore");
    assert_eq!(json["run"]["differs"][0], "truncate-dax");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let bin = assert_cmd::cargo::cargo_bin("gupsim");
    let json = &["replay", RELAY, "--format", "json"];
    for args in [&["list", "strategies"][..], &["replay", RELAY], json, &["schema"]] {
        let mut child = std::process::Command::new(&bin)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{args:?}");
    }
}

/// Nobody who looks for one rule is shown a run that breaks another.
#[test]
fn what_is_not_found_is_said_and_nothing_else_is_shown() {
    let of = |seeds: &str| {
        let args = ["replay", "dax/punch-foreign-dma", "--preset", "linux-4.14", "--seeds", seeds];
        gupsim(&[&args[..], &["--find=foreign-dma", "--as-schedule"]].concat())
    };
    let output = of("64");
    assert_eq!((output.status.code(), stdout(&output)), (Some(3), String::new()));
    for part in ["none of the first 64 seeds breaks foreign-dma", "some of them break is freed-"] {
        assert!(stderr(&output).contains(part), "no {part:?} in {}", stderr(&output));
    }
    assert_eq!(code(&["replay", EMBRACE, "--find"]), 1);
    assert_eq!(code(&["replay", EMBRACE, "--find=deadlock"]), 1);
    assert_eq!(code(&["replay", RELAY, "--find"]), 3);
}

#[test]
fn the_examples_of_replay_run_and_find_what_they_look_for() {
    let help = stdout(&gupsim(&["replay", "--help"]));
    let examples: Vec<&str> = help.lines().filter_map(|l| l.strip_prefix("  gupsim ")).collect();
    assert!(examples.len() >= 4, "{help}");
    for example in examples {
        let words: Vec<&str> = example.split(' ').collect();
        let code = code(&words);
        assert!(code == 1 || code == 0 && !example.contains("--find"), "{example}: {code}");
    }
}

// --- schedules -------------------------------------------------------------------------------

#[test]
fn a_schedule_is_followed_and_printed_again() {
    let line = "first:sleep,first:post,second:wait,second:sleep";
    let printed = stdout(&gupsim(&["replay", RELAY, "--schedule", line, "--as-schedule"]));
    assert_eq!(printed.trim_end(), line);
}

#[test]
fn a_schedule_that_does_not_fit_says_where_and_what_would() {
    let cases = [
        ("first:sleep,second:wait", "at step 2", "second waits for event 'baton'"),
        ("first:post", "at step 1", "the next step of first is 'sleep'"),
        ("third:sleep", "at step 1", "there is no agent 'third'"),
        ("first:sleep=eio", "at step 1", "the ordinary outcome only"),
        ("first,first,first", "at step 3", "first has finished"),
    ];
    for (schedule, step, why) in cases {
        let output = gupsim(&["replay", RELAY, "--schedule", schedule]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{schedule}");
        assert!(said.contains(step) && said.contains(why), "{schedule}: {said}");
        assert!(said.contains("possible there: "), "{schedule}: {said}");
    }
}

#[test]
fn the_command_that_a_report_prints_repeats_it() {
    let text = stdout(&gupsim(&["replay", EMBRACE, "--seed", "5", "--arch", "broadcast-flush"]));
    let command = text.lines().find_map(|l| l.strip_prefix("repeat   gupsim ")).unwrap();
    let args: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(stdout(&gupsim(&args)), text);
}

// --- every bundled scenario ------------------------------------------------------------------

#[test]
fn every_bundled_scenario_gives_the_same_bytes_twice() {
    for name in bundled() {
        for format in ["text", "json"] {
            let args = ["replay", &name, "--format", format, "--steps", "3000"];
            let (a, b) = (gupsim(&args), gupsim(&args));
            assert!(matches!(a.status.code(), Some(0 | 1)), "{name}: {}", stderr(&a));
            assert_eq!(a, b, "{name} {format}");
        }
    }
}

#[test]
fn every_bundled_scenario_fits_into_a_mail() {
    for name in bundled() {
        let args = ["replay", &name, "--format", "mail", "--steps", "300"];
        let mail = stdout(&gupsim(&args));
        for line in mail.lines() {
            assert!(line.chars().count() <= 72, "{name}: {line:?}");
            assert!(!line.contains('\u{1b}') && line == line.trim_end(), "{name}: {line:?}");
        }
    }
}

#[test]
fn every_bundled_scenario_in_brief_can_be_taken_in_at_a_glance() {
    for name in bundled() {
        let run = || stdout(&gupsim(&["replay", &name, "--brief"]));
        let text = run();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        assert!(text.lines().count() <= 36, "{name}:\n{text}");
        assert_eq!(text, run(), "{name}");
    }
}

#[test]
fn every_bundled_scenario_is_repeated_by_the_schedule_of_its_run() {
    for name in bundled() {
        let run = |how: &[&str]| {
            let args = [&["replay", &name, "--untimed", "--steps", "300"], how].concat();
            stdout(&gupsim(&args))
        };
        let schedule = run(&["--seed", "3", "--as-schedule"]);
        let steps = |json: &str| {
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            (json["steps"].clone(), json["findings"].clone(), json["end"].clone())
        };
        let by_seed = steps(&run(&["--seed", "3", "--format", "json"]));
        let line = schedule.trim_end();
        let by_schedule = steps(&run(&["--schedule", line, "--seed", "9", "--format", "json"]));
        assert_eq!(by_seed, by_schedule, "{name}");
    }
}

#[test]
fn every_line_of_jsonl_is_an_object_with_a_type() {
    for name in bundled() {
        let args = ["replay", &name, "--format", "jsonl", "--steps", "300"];
        for line in stdout(&gupsim(&args)).lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(object["type"].is_string(), "{name}: {line}");
        }
    }
}
