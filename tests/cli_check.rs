//! What `check` promises: a line for each expectation, exit codes that tell why, documents that
//! other programs read, and the same bytes on any number of threads.

mod shell;

use shell::{code, dir, gupsim, json, stderr, stdout};

fn shown(args: &[&str]) -> String {
    let output = gupsim(args);
    let code = output.status.code().unwrap();
    format!("$ gupsim {}\n{}--- exit {code}\n", args.join(" "), stdout(&output))
}

const WRONG: &str = "tests/cli/wrong.json";
const BOUNDED: &str = "tests/cli/bounded.json";

/// A scenario with these expectations alone.
fn expecting(name: &str, expect: &str) -> String {
    let mut scenario: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(WRONG).unwrap()).unwrap();
    scenario["expect"] = serde_json::from_str(expect).unwrap();
    let path = dir(name).join("scenario.json");
    std::fs::write(&path, scenario.to_string()).unwrap();
    path.display().to_string()
}

#[test]
fn each_expectation_has_its_line_and_what_is_wrong_is_shown() {
    insta::assert_snapshot!(shown(&["check", WRONG]));
}

#[test]
fn sarif_points_at_the_line_of_the_scenario() {
    insta::assert_snapshot!(shown(&["check", WRONG, "--format", "sarif"]));
}

#[test]
fn junit_has_a_case_for_each_expectation() {
    insta::assert_snapshot!(shown(&["check", WRONG, "--format", "junit"]));
}

#[test]
fn the_exit_code_says_what_is_worst() {
    let met = r#"[{ "forall": "errno cut = 0" }]"#;
    let vacuous = r#"[{ "invariant": "missing-struct-page", "verdict": "never" }]"#;
    assert_eq!(code(&["check", &expecting("check-met", met)]), 0);
    assert_eq!(code(&["check", WRONG]), 1, "failed");
    assert_eq!(code(&["check", "no-such-scenario"]), 2);
    assert_eq!(code(&["check", &expecting("check-none", "[]")]), 2, "nothing to check");
    let met = expecting("check-cut", met);
    assert_eq!(code(&["check", &met, "--max-states", "5"]), 3, "bounded");
    assert_eq!(code(&["check", &expecting("check-vacuous", vacuous)]), 4);
    assert_eq!(code(&["check", &met, "--time", "0"]), 3, "no time");
}

#[test]
fn a_bound_that_the_scenario_states_passes_and_is_named() {
    let output = gupsim(&["check", BOUNDED]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("ok within its depth"), "{}", stdout(&output));
    let found = json(&["check", BOUNDED]);
    assert_eq!(found["expectations"][0]["fate"], "within");
    assert_eq!(found["expectations"][0]["by"], "depth");
    assert_eq!(found["summary"]["within"], 1);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    for format in ["text", "json", "junit", "sarif"] {
        let run = |jobs| gupsim(&["check", "truncate", WRONG, "--format", format, "--jobs", jobs]);
        assert_eq!(run("1"), run("3"), "{format}");
    }
}

#[test]
fn the_command_beside_a_failure_shows_it() {
    let failing = expecting(
        "check-replay",
        r#"[{ "invariant": "unstable-io", "verdict": "sometimes" },
            { "invariant": "count-balance", "verdict": "sometimes" }]"#,
    );
    let found = json(&["check", &failing]);
    for line in found["expectations"].as_array().unwrap() {
        let words: Vec<&str> =
            line["repeat"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
        let output = gupsim(&words[1..]);
        assert_ne!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
    }
    let broken = json(&["check", "truncate/orphan-rdma"]);
    assert_eq!(broken["summary"]["failed"], 0);
}

#[test]
fn a_directory_a_theme_and_a_name_mean_scenarios() {
    let count = |args: &[&str]| {
        let found = json(&[&["check"], args].concat());
        found["summary"]["scenarios"].as_u64().unwrap()
    };
    assert_eq!(count(&["dax"]), count(&["scenarios/dax"]));
    assert_eq!(count(&["orphan-rdma", "fork"]), 1 + count(&["fork"]));
}

#[test]
fn the_place_of_an_expectation_is_its_line_and_column() {
    let found = json(&["check", WRONG]);
    let text = std::fs::read_to_string(WRONG).unwrap();
    for line in found["expectations"].as_array().unwrap() {
        let (row, column) = (line["line"].as_u64().unwrap(), line["column"].as_u64().unwrap());
        let written = text.lines().nth(row as usize - 1).unwrap();
        assert!(written[column as usize - 1..].starts_with("{ \""), "{row}:{column} {written}");
    }
}

#[test]
fn quiet_leaves_out_what_is_as_expected() {
    let lines = stdout(&gupsim(&["check", "truncate/orphan-rdma", "--quiet"]));
    assert_eq!(lines.lines().count(), 1, "{lines}");
}
