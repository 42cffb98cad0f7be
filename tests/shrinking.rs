//! What shrinking promises: of what is left, nothing can be left out, and it is the same failure.

use gupsim::engine::model::Props;
use gupsim::engine::shrink::preemptions;
use gupsim::fuzz;
use gupsim::judged::Judged;
use gupsim::kernel::sim::{Move, Sim};
use gupsim::report::run::{lenient, schedule};
use gupsim::report::signature::{Signature, failures};
use gupsim::scenario::schedule::Schedule;
use gupsim::scenario::types::Scenario;
use gupsim::scenario::{Loaded, load, open, write};
use gupsim::schedule::{Kind, Params};
use gupsim::simplify::{self, Failing, reduce};
use serde_json::{Value, json};

fn judged(loaded: &Loaded) -> Judged {
    Judged::new(Sim::new(loaded.plan.clone(), loaded.strategy), Vec::new())
}

fn options(runs: u64) -> fuzz::Options {
    fuzz::Options {
        kind: Kind::Random,
        params: Params { seed: 0, depth: 3, steps: None },
        runs,
        steps: 2000,
        jobs: 1,
        check_every: 0,
        bytes: 1 << 20,
    }
}

/// A bundled scenario with much in it that no failure needs.
fn noisy(name: &str) -> Loaded {
    let mut scenario: Value =
        serde_json::from_str(&write::text(&open(name).unwrap().scenario)).unwrap();
    let own = scenario.as_object_mut().unwrap();
    own.remove("schedule");
    own.remove("expect");
    own.remove("limits");
    own.insert("cpus".into(), json!(6));
    own.insert("faults".into(), json!({ "io_errors": 1, "enomem": 1 }));
    let mut add = |section: &str, name: &str, what: Value| {
        let section = own.entry(section).or_insert_with(|| json!({}));
        section.as_object_mut().unwrap().insert(name.into(), what);
    };
    add("disks", "noise-disk", json!({ "queue_depth": 3 }));
    add("files", "log", json!({ "disk": "noise-disk", "pages": 3, "initial": "dirty" }));
    add("mappings", "heap", json!({ "pages": 4 }));
    let touch =
        json!({ "repeat": { "times": 2, "do": [{ "store": "heap[1]" }, { "load": "heap[3]" }] } });
    let pin = json!({ "pin": { "at": "heap[0..4]", "slot": "noise", "write": true } });
    let unpin = json!({ "unpin": { "slot": "noise", "dirty": true } });
    add("threads", "noise-user", json!({ "do": [touch, pin, unpin] }));
    let flush = json!({ "writeback": "log" });
    add("threads", "noise-flusher", json!({ "kind": "kernel", "do": [flush] }));
    // Files that lay on the only disk do so still.
    for file in own["files"].as_object_mut().unwrap().values_mut() {
        let file = file.as_object_mut().unwrap();
        if !file.contains_key("disk")
            && file.get("fs").is_none_or(|fs| fs != "dax" && fs != "tmpfs")
        {
            file.insert("disk".into(), json!("noise-disk"));
        }
    }
    load::text(name, &scenario.to_string()).unwrap_or_else(|e| panic!("{name}: {}", e.plain(100)))
}

/// Every kind of failure of some runs, with the first run that shows it.
fn found(loaded: &Loaded, runs: u64) -> Vec<(Signature, Vec<Move>)> {
    let start = judged(loaded);
    let tally = fuzz::fuzz(&start, &options(runs), &());
    let moves = |(&signature, &run): (&Signature, &u64)| {
        let (moves, _) = fuzz::one(&start, &options(runs), run);
        let all = failures(start.sim(), &moves);
        let steps = all.iter().find(|f| f.signature == signature).unwrap().steps;
        (signature, moves[..steps].to_vec())
    };
    tally.kinds.iter().map(moves).collect()
}

fn simplified(loaded: Loaded, moves: Vec<Move>, signature: Signature) -> Failing {
    let start = judged(&loaded);
    simplify::simplify(Failing { loaded, start, moves, timed: false }, signature, |_| true)
}

/// Where noise was made.
const NOISY: [&str; 8] = [
    "truncate/region-cut",
    "writeback/torn-direct-read",
    "truncate/orphan-rdma",
    "bugs/57efa1fe5957-gup-fast-against-fork",
    "writeback/rdma-write-after-clean",
    "dax/wait-under-lock-deadlock",
    "truncate/punch-meets-read",
    "pin/munmap-during-the-walk",
];

#[test]
fn of_what_is_left_nothing_can_be_left_out() {
    let mut kinds = 0;
    for name in NOISY {
        let noisy = noisy(name);
        for (signature, moves) in found(&noisy, 400).into_iter().take(3) {
            let start = judged(&noisy);
            let before = (reduce::size(&noisy.scenario), moves.len(), preemptions(&start, &moves));
            let again = load::text(name, &write::text(&noisy.scenario)).unwrap();
            let small = simplified(again, moves, signature);
            let scenario = &small.loaded.scenario;
            let what = format!("{name}: {} {}", signature.invariant(), signature.steps());
            let text = write::text(scenario);
            assert!(simplify::shows(small.start.sim(), &small.moves, signature), "{what}");
            let after = preemptions(&small.start, &small.moves);
            assert!(reduce::size(scenario) < before.0, "{what}");
            assert!(small.moves.len() <= before.1 && after <= before.2, "{what}");
            let hint = schedule(small.start.sim(), &small.moves);
            fixpoint(scenario, &hint, signature, &what);
            nothing_by_hand(scenario, &hint, signature, &what);
            // Once more changes no byte.
            let whole = |f: &Failing| {
                let scenario = &f.loaded.scenario;
                write::text(&simplify::scenario(scenario, f.start.sim(), &f.moves, signature))
            };
            let again = load::text(name, &text).unwrap();
            assert_eq!(whole(&simplified(again, small.moves.clone(), signature)), whole(&small));
            kinds += 1;
        }
    }
    assert!(kinds >= 10, "{kinds} kinds of failure");
}

/// No reduction of the list leads to the same failure.
fn fixpoint(scenario: &Scenario, hint: &Schedule, signature: Signature, what: &str) {
    for candidate in reduce::candidates(scenario) {
        let failing = Failing::of(&candidate, hint, signature);
        let text = write::text(&candidate);
        assert!(failing.is_none(), "{what}: this fails as well:\n{text}");
    }
}

/// The same with a list of this test: each thread, operation and step, the faults, the pages.
fn nothing_by_hand(scenario: &Scenario, hint: &Schedule, signature: Signature, what: &str) {
    // The preemptions of the failing run, if it is one.
    let fails = |scenario: &Scenario, hint: &Schedule| {
        let bare = Scenario { schedule: Vec::new(), ..scenario.clone() };
        let loaded = load::text("by hand", &write::text(&bare)).ok()?;
        let start = judged(&loaded);
        let moves = lenient(start.sim(), hint, Props::one(signature.invariant), 0);
        let shows = simplify::shows(start.sim(), &moves, signature);
        shows.then(|| preemptions(&start, &moves))
    };
    let best = fails(scenario, hint).unwrap();
    let with = |change: &dyn Fn(&mut Scenario)| {
        let mut changed = scenario.clone();
        change(&mut changed);
        let same = changed == *scenario;
        assert!(same || fails(&changed, hint).is_none(), "{what}:\n{}", write::text(&changed));
    };
    for (name, thread) in &scenario.threads {
        with(&|s| {
            s.threads.shift_remove(name);
        });
        for i in 0..thread.program.len() {
            with(&|s| {
                s.threads[name].program.remove(i);
            });
        }
    }
    for name in scenario.files.keys() {
        with(&|s| {
            let file = &mut s.files[name];
            file.pages = file.pages.filter(|&n| n > 1).map(|n| n - 1);
        });
    }
    with(&|s| s.faults = Default::default());
    for i in 0..hint.0.len() {
        let mut shorter = hint.clone();
        shorter.0.remove(i);
        // A shorter run that is harder to follow is not simpler.
        let worse = fails(scenario, &shorter).is_none_or(|preemptions| preemptions > best);
        assert!(worse, "{what}: without step {}", i + 1);
    }
}

/// The transfer of the log has to come to its end before the file is truncated, but how is of no
/// consequence.
const FSYNC_FIRST: &str = r#"{
  "title": "a fsync that may fail, and then a truncate under a region",
  "preset": "linux-4.19",
  "files": { "data": {}, "log": { "initial": "dirty" } },
  "mappings": { "buf": { "file": "data", "populate": "write" } },
  "devices": { "nic": {} },
  "threads": {
    "app": { "do": [{ "register": { "at": "buf[0]" } }] },
    "nic": { "kind": "device", "do": [{ "dma_write": "mr[0]" }] },
    "truncator": { "do": [{ "fsync": "log" }, { "truncate": { "file": "data", "pages": 0 } }] }
  },
  "faults": { "io_errors": 1 }
}"#;

#[test]
fn a_fault_that_is_not_needed_does_not_happen() {
    let loaded = load::text("fsync first", FSYNC_FIRST).unwrap();
    let start = judged(&loaded);
    let mut faulty = 0;
    for run in 0..1000 {
        let (moves, _) = fuzz::one(&start, &options(1000), run);
        let all = failures(start.sim(), &moves);
        let Some(failed) = all.iter().find(|f| f.signature.invariant() == "silent-orphan-dma")
        else {
            continue;
        };
        let moves = &moves[..failed.steps];
        if moves.iter().all(|mv| mv.outcome == 0) {
            continue;
        }
        let again = load::text("fsync first", FSYNC_FIRST).unwrap();
        let small = simplified(again, moves.to_vec(), failed.signature);
        assert!(small.moves.iter().all(|mv| mv.outcome == 0), "run {run}");
        assert_eq!(reduce::size(&small.loaded.scenario), [3, 3, 1, 0], "run {run}");
        faulty += 1;
    }
    assert!(faulty >= 3, "{faulty} runs with a fault before the failure");
}

/// The candidates of a scenario, each as one line of its threads, mappings and files.
fn candidates(text: &str) -> Vec<String> {
    let scenario = load::text("candidates", text).unwrap().scenario;
    let lines = reduce::candidates(&scenario).into_iter().map(|s| {
        let text = write::text(&s);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    lines.collect()
}

const REGION: &str = r#"{
  "title": "a region",
  "files": { "data": { "pages": 4, "except": { "2": "dirty" } } },
  "mappings": { "buf": { "file": "data" } },
  "devices": { "nic": {} },
  "threads": {
    "app": { "do": [{ "register": { "at": "buf[0..4]" } }, { "store": "buf[2].first-half" }] },
    "nic": { "kind": "device", "do": [{ "dma_write": "mr[2]" }] },
    "cutter": { "do": [{ "truncate": { "file": "data", "pages": 3 } }] }
  }
}"#;

#[test]
fn a_region_on_fewer_pages_has_them_numbered_from_its_first() {
    let all = candidates(REGION);
    let has = |parts: &[&str]| all.iter().any(|c| parts.iter().all(|p| c.contains(p)));
    assert!(has(&["\"at\": \"buf[2]\"", "\"dma_write\": \"mr[0]\"", "\"store\": \"buf[2]"]));
    assert!(has(&["\"at\": \"buf[2..4]\"", "\"dma_write\": \"mr[0]\""]));
    assert!(has(&["\"at\": \"buf[1..4]\"", "\"dma_write\": \"mr[1]\""]));
    assert!(!has(&["\"at\": \"buf[3]\"", "dma_write"]), "the transfer would be to no page");
}

#[test]
fn a_file_loses_a_page_and_what_follows_moves_up() {
    let all = candidates(REGION);
    let has = |parts: &[&str]| all.iter().any(|c| parts.iter().all(|p| c.contains(p)));
    let first = ["\"pages\": 3, \"except\": { \"1\": \"dirty\" }", "\"buf[0..3]\"", "\"mr[1]\""];
    assert!(has(&first) && has(&["\"pages\": 2 }", "\"buf[1].first-half\""]));
    // The last page lay beyond what is truncated.
    assert!(has(&[
        "\"except\": { \"2\": \"dirty\" }",
        "\"buf[0..3]\"",
        "\"mr[2]\"",
        "\"pages\": 3 }"
    ]));
    // Page 2 is the only one that something is done to.
    let without = |c: &&String| c.contains("\"data\": { \"pages\": 3 }") && c.contains("dma_write");
    assert_eq!(all.iter().filter(without).count(), 0);
}
