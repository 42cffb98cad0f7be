//! What `explore` promises: verdicts with their reach, witnesses that replay, the same bytes on
//! any number of threads, and nothing lost by an interruption.

mod shell;

use serde_json::Value;
use shell::{code, dir, gupsim, json, stderr, stdout};
use std::process::Stdio;
use std::time::{Duration, Instant};

fn shown(args: &[&str]) -> String {
    let output = gupsim(args);
    let code = output.status.code().unwrap();
    format!("$ gupsim {}\n{}--- exit {code}\n", args.join(" "), stdout(&output))
}

const EMBRACE: &str = "tests/cli/embrace.json";
const RELAY: &str = "tests/cli/relay.json";
const MANY: &str = "tests/cli/many.json";
const ORPHAN: &str = "truncate/orphan-rdma";

#[test]
fn a_refuted_invariant_is_shown_with_its_shortest_run() {
    insta::assert_snapshot!(shown(&["explore", EMBRACE, "--no-reduction"]));
}

#[test]
fn a_proof_says_how_far_it_reaches() {
    insta::assert_snapshot!(shown(&["explore", RELAY, "--no-reduction", "--starvation"]));
}

#[test]
fn in_brief_a_refuted_invariant_is_shown_by_a_small_diagram() {
    insta::assert_snapshot!(shown(&["explore", EMBRACE, "--no-reduction", "--brief"]));
    let args = ["explore", ORPHAN, "--invariant", "silent-orphan-dma", "--brief", "--jobs"];
    let run = |jobs| stdout(&gupsim(&[&args[..], &[jobs]].concat()));
    let text = run("1");
    for part in ["<- (1)", "<- (2) silent-orphan-dma", "** silent-orphan-dma is broken: the device"]
    {
        assert!(text.replace("\n   ", "").contains(part), "no {part:?} in:\n{text}");
    }
    assert_eq!(text, run("2"));
}

/// Where nothing is refuted, the end that the scenario expects is shown, and the state it is about.
#[test]
fn in_brief_an_expected_end_is_shown_with_its_state() {
    let text = stdout(&gupsim(&["explore", "truncate/growing-dirties-the-tail", "--brief"]));
    for part in ["forall errno grow = 0", "ftruncate(data, 4096)", "now data[0] folio: dirty"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn a_document_has_every_verdict() {
    let args = ["explore", EMBRACE, "--invariant", "deadlock", "--format", "json", "--no-trace"];
    insta::assert_snapshot!(shown(&[&args[..], &["--no-reduction"]].concat()));
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    for how in [&["--format", "text"][..], &["--format", "json"]] {
        let args = ["explore", ORPHAN, "--no-reduction", "--jobs"];
        let run = |jobs| gupsim(&[&args[..], &[jobs], how].concat());
        assert_eq!(run("1"), run("2"));
    }
}

#[test]
fn the_exit_code_is_that_of_the_worst_verdict() {
    let new = ["explore", ORPHAN, "--preset", "linux-6.18", "--no-reduction"];
    let with = |more: &[&str]| code(&[&new[..], more].concat());
    assert_eq!(with(&[]), 0, "proved");
    assert_eq!(code(&["explore", ORPHAN]), 1, "refuted");
    assert_eq!(with(&["--invariant", "stal"]), 2, "no such invariant");
    assert_eq!(with(&["--max-states", "40"]), 3, "bounded by states");
    assert_eq!(with(&["--depth", "9"]), 3, "bounded by depth");
    assert_eq!(with(&["--invariant", "silent-orphan-dma"]), 4, "vacuous");
    assert_eq!(with(&["--depth", "100000"]), 0, "a bound that cut nothing is none");
    let others = ["explore", ORPHAN, "--invariant", "use-after-free"];
    assert_eq!(code(&others), 0, "only what was asked for counts");
}

#[test]
fn a_bound_that_was_hit_is_never_a_proof() {
    for bound in [["--preemptions", "0"], ["--depth", "20"], ["--max-states", "200"]] {
        let found = json(&[&["explore", ORPHAN, "--no-reduction"][..], &bound].concat());
        assert_ne!(found["bounds"].as_array().unwrap().len(), 0, "{bound:?}");
        for verdict in found["invariants"].as_array().unwrap() {
            let verdict = verdict["verdict"].as_str().unwrap();
            assert!(matches!(verdict, "bounded" | "refuted"), "{bound:?}: {verdict}");
        }
    }
}

#[test]
fn a_whole_comparison_of_states_changes_no_count() {
    let plain = json(&["explore", ORPHAN, "--no-reduction"]);
    let exact = json(&["explore", ORPHAN, "--exact"]);
    for key in ["states", "transitions", "ends", "invariants", "expectations"] {
        assert_eq!(plain[key], exact[key], "{key}");
    }
    assert_eq!((&exact["collision"], &exact["collisions"]), (&0.0.into(), &0.into()));
    assert!(plain.get("collisions").is_none(), "fingerprints cannot know");
}

#[test]
fn leaving_out_the_reduction_changes_no_verdict() {
    let (with, without) =
        (json(&["explore", ORPHAN]), json(&["explore", ORPHAN, "--no-reduction"]));
    for key in ["ends", "invariants", "expectations"] {
        assert_eq!(with[key], without[key], "{key}");
    }
}

#[test]
fn the_command_of_a_witness_replays_it() {
    let found = json(&["explore", ORPHAN]);
    let verdicts = found["invariants"].as_array().unwrap();
    let refuted: Vec<&Value> = verdicts.iter().filter(|v| v["verdict"] == "refuted").collect();
    assert_eq!(refuted.len(), 2, "{refuted:?}");
    for verdict in refuted {
        let words = verdict["witness"]["replay"].as_array().unwrap();
        let words: Vec<&str> = words.iter().skip(1).map(|w| w.as_str().unwrap()).collect();
        assert_eq!(code(&words), 1);
        let run = json(&words);
        let broken =
            |v: &&Value| v["invariant"] == verdict["invariant"] && v["verdict"] == "broken";
        let broken = run["verdicts"].as_array().unwrap().iter().find(broken).unwrap();
        assert_eq!(broken["step"], verdict["witness"]["steps"], "broken by the last step");
    }
}

/// What a search found, without what names the command.
fn found(args: &[&str]) -> Vec<Value> {
    let all = json(args);
    let keys = ["states", "transitions", "ends", "invariants", "expectations", "bounds"];
    keys.map(|key| all[key].clone()).to_vec()
}

#[test]
fn a_search_that_was_cut_goes_on_from_its_checkpoint() {
    let file = dir("checkpoint").join("search.ckp");
    let file = file.to_str().unwrap();
    for (reduction, limit) in [(&["--no-reduction"][..], "300"), (&[], "200")] {
        let cut = ["explore", ORPHAN, "--max-states", limit, "--checkpoint", file];
        assert_ne!(json(&[&cut, reduction].concat())["bounds"].as_array().unwrap().len(), 0);
        let whole = found(&[&["explore", ORPHAN], reduction].concat());
        assert_eq!(whole, found(&[&["explore", ORPHAN, "--resume", file], reduction].concat()));
    }
    let output = gupsim(&["explore", RELAY, "--resume", file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("checkpoint of another search"), "{}", stderr(&output));
    std::fs::write(file, "gupsick3 and nothing that follows").unwrap();
    let output = gupsim(&["explore", ORPHAN, "--resume", file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot resume"), "{}", stderr(&output));
}

/// Kills a search as soon as it has been laid down, goes on with it, and compares.
fn survives_a_kill(name: &str, scenario: &str, how: &[&str]) {
    let file = dir(name).join("search.ckp");
    let bin = assert_cmd::cargo::cargo_bin("gupsim");
    let mut child = std::process::Command::new(bin)
        .args(["explore", scenario, "--jobs", "2", "--checkpoint-every", "0", "--checkpoint"])
        .arg(&file)
        .args(how)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !file.is_file() {
        assert!(began.elapsed() < Duration::from_secs(60), "never laid down");
        assert_eq!(child.try_wait().unwrap(), None, "over before it was laid down");
    }
    // This is SIGKILL.
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "over before it was killed");
    let whole = found(&[&["explore", scenario], how].concat());
    let resumed = ["explore", scenario, "--resume", file.to_str().unwrap(), "--jobs", "1"];
    assert_eq!(found(&[&resumed, how].concat()), whole);
}

#[test]
fn a_search_that_was_killed_goes_on_to_the_same_states_verdicts_and_witnesses() {
    survives_a_kill("killed", "writeback/fsync-then-crash", &["--no-reduction"]);
    survives_a_kill("killed-bounded", "writeback/fsync-then-crash", &["--preemptions", "2"]);
    survives_a_kill("killed-exact", "writeback/fsync-then-crash", &["--exact"]);
    survives_a_kill("killed-reduced", "truncate/direct-write-under-mapping", &[]);
}

#[test]
fn a_limit_on_states_cuts_if_and_only_if_there_are_more_on_any_number_of_threads() {
    for how in [&["--no-reduction"][..], &["--exact"], &["--preemptions", "2"], &[]] {
        let explore = |more: &[&str]| json(&[&["explore", ORPHAN][..], how, more].concat());
        let whole = explore(&[]);
        let states = whole["states"].as_u64().unwrap();
        for jobs in ["1", "2", "7"] {
            let within = |n: u64| {
                explore(&["--jobs", jobs, "--max-states", &n.to_string()])["bounds"].clone()
            };
            assert_eq!(within(states), whole["bounds"], "{how:?}, {jobs} threads");
            let cut = within(states - 1);
            assert!(cut.as_array().unwrap().contains(&"states".into()), "{how:?}: {cut}");
        }
    }
}

#[test]
fn where_nothing_can_be_laid_down_nothing_is_searched() {
    for (file, words) in [(".", "is a directory"), ("/dev/null/x.ckp", "cannot write to")] {
        let output = gupsim(&["explore", ORPHAN, "--checkpoint", file]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
    let missing = dir("no-such").join("directory/x.ckp");
    assert_eq!(code(&["explore", ORPHAN, "--checkpoint", missing.to_str().unwrap()]), 2);
    assert!(!missing.parent().unwrap().exists(), "nobody asked for a directory");
}

#[test]
fn ctrl_c_ends_the_search_of_a_large_machine_soon() {
    let bin = assert_cmd::cargo::cargo_bin("gupsim");
    let child = std::process::Command::new(bin)
        .args(["explore", "scale/rdma-farm", "--no-trace"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    let began = Instant::now();
    let killed =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    // About a second where the machine has nothing else to do.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(5), "{text}{}", stderr(&output));
    assert!(text.contains("cut by interruption") && text.contains("by interruption: "), "{text}");
}

#[test]
fn ctrl_c_leaves_what_was_found() {
    let bin = assert_cmd::cargo::cargo_bin("gupsim");
    let file = dir("interrupted").join("search.ckp");
    let child = std::process::Command::new(bin)
        .args(["explore", MANY, "--no-reduction", "--checkpoint", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let began = Instant::now();
    let killed =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(60));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(5), "{text}{}", stderr(&output));
    assert!(text.contains("cut by interruption") && text.contains("by interruption: "), "{text}");
    assert_eq!(stderr(&output), "", "no progress where nobody looks");
    assert!(file.is_file(), "a search that is interrupted is laid down");
}

#[test]
fn a_time_limit_ends_a_search() {
    let output = gupsim(&["explore", MANY, "--no-reduction", "--time", "1"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("cut by time"), "{}", stdout(&output));
}

const PINNERS: &str = "tests/symmetry/pinners.json";

#[test]
fn symmetry_says_whose_places_it_takes_for_one() {
    insta::assert_snapshot!(shown(&["explore", PINNERS, "--symmetry", "--no-trace"]));
}

#[test]
fn symmetry_that_there_is_none_of_is_no_silent_success() {
    let why = |name: &str| {
        let found = json(&["explore", name, "--symmetry"]);
        let method = found["method"].as_str().unwrap();
        assert!(!method.contains("which is which"), "{method}");
        found["notes"][0].as_str().unwrap().to_string()
    };
    assert!(why("tests/symmetry/flushed.json").contains("interrupts the processors"));
    assert!(why("tests/symmetry/truncated.json").contains("Truncate goes through all in order"));
    assert!(why(RELAY).contains("no two threads have the same program"), "{}", why(RELAY));
    for bound in [["--preemptions", "1"], ["--depth", "9"]] {
        assert_eq!(code(&[&["explore", PINNERS, "--symmetry"][..], &bound].concat()), 2);
    }
}

#[test]
fn symmetry_changes_no_verdict() {
    let verdicts = |how: &str| {
        let found = json(&["explore", "reclaim/three-pinners", how]);
        let fates: Vec<Value> =
            found["expectations"].as_array().unwrap().iter().map(|e| e["fate"].clone()).collect();
        let of = |v: &Value| (v["invariant"].clone(), v["verdict"].clone());
        let all: Vec<_> = found["invariants"].as_array().unwrap().iter().map(of).collect();
        (found["states"].as_u64().unwrap(), (all, fates))
    };
    let ((all, plain), (orbits, symmetric)) = (verdicts("--no-reduction"), verdicts("--symmetry"));
    assert_eq!(plain, symmetric);
    assert!(orbits * 4 < all, "{orbits} of {all}");
}

#[test]
fn a_truncate_that_looks_again_can_be_put_off_for_ever() {
    let args = ["explore", "dax/endless-repin", "--starvation", "--no-trace"];
    insta::assert_snapshot!(shown(&args));
    let held = ["--truncate-dax", "wait-locked"];
    let text = stdout(&gupsim(&[&args[..], &held].concat()));
    assert!(text.contains("finishes truncator in every fair run"), "{text}");
}
