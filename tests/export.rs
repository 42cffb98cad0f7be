//! Sequences as scenarios, and scenarios as sequences.

use gupsim::conform::bundled;
use gupsim::conform::compare::View;
use gupsim::conform::export::forward::{self, From};
use gupsim::conform::export::{Unsaid, backward};
use gupsim::conform::observation::{Observation, Run};
use gupsim::conform::read;
use gupsim::conform::sequence::{Op, Sequence, Suite};
use gupsim::conform::sim;
use gupsim::kernel::sim::Sim;
use gupsim::kernel::strategy::Preset;
use gupsim::report::run::{Choose, record};
use gupsim::scenario::{self, Loaded, load, write};
use std::collections::BTreeMap;

fn suite(name: &str) -> Suite {
    let bundled = bundled::ALL.iter().find(|b| b.suite == name).unwrap();
    read::suite(name, bundled.sequences).unwrap()
}

fn linux() -> &'static Preset {
    Preset::find("linux-6.18").unwrap()
}

/// Loading is part of it: what is written is a scenario like any other. That it does the same as
/// the sequence, line by line, is asked by `forward` itself.
fn export(sequence: &Sequence, fs: &str) -> Result<Loaded, Unsaid> {
    let from = From { sequence, rules: &[], source: "x.seq", fs, preset: linux(), prefix: "" };
    let scenario = forward::scenario(&from)?;
    Ok(load::text(&sequence.name, &write::text(&scenario)).unwrap())
}

fn simulate(sequence: &Sequence, fs: &str) -> Run {
    sim::simulate(sequence, View::of(fs), linux().strategy).unwrap().run
}

/// What a kernel saw: each operation with what was observed after it. What the recorder refuses is
/// left out, and so is what only orders lines: the gate, whose place between them can be another,
/// and waiting. Something that ends at once may as well have run in the foreground.
fn seen(sequence: &Sequence, fs: &str) -> Vec<(String, Observation)> {
    let run = simulate(sequence, fs);
    let lines = sequence.lines.iter().zip(run.steps.into_iter().skip(1));
    let refused = |err: &str| matches!(err, "ENXIO" | "EBUSY" | "ESRCH");
    let orders = |op: &Op| matches!(op, Op::Gate(_) | Op::Sleep { .. } | Op::BackgroundWait { .. });
    lines
        .filter(|(line, (_, seen))| !refused(&seen.err) && !orders(&line.op))
        .map(|(line, (_, seen))| match &line.op {
            Op::Background { op, .. } if seen.x != "blocked" => (op.to_string(), seen),
            Op::Background { second: true, op } => (format!("bg {op}"), seen),
            op => (op.to_string(), seen),
        })
        .collect()
}

/// The file systems on which sequences are exported: one of each kind.
const ON: [&str; 7] = ["ext4", "xfs", "tmpfs", "memfd", "gate", "gateb", "dax4"];

/// Runs of a suite, those that become scenarios, and those that come back as they were.
type Counts = (usize, usize, usize);

fn count(name: &str, why: &mut BTreeMap<String, Vec<String>>) -> Counts {
    let (mut all, mut there, mut back) = (0, 0, 0);
    for sequence in &suite(name).sequences {
        for fs in ON.into_iter().filter(|fs| sequence.runs_on(fs)) {
            all += 1;
            let mut no = |unsaid: Unsaid| {
                let run = format!("{} {fs} ({})", sequence.name, unsaid.what);
                why.entry(unsaid.why).or_default().push(run);
            };
            let loaded = match export(sequence, fs) {
                Ok(loaded) => loaded,
                Err(unsaid) => {
                    no(unsaid);
                    continue;
                }
            };
            there += 1;
            match backward::sequence(&sequence.name, &loaded) {
                Ok(again) => match differs(&seen(sequence, fs), &seen(&again, fs)) {
                    None => back += 1,
                    Some(what) => no(Unsaid { what, why: "it comes back otherwise".into() }),
                },
                Err(unsaid) => no(unsaid),
            }
        }
    }
    (all, there, back)
}

/// The first line that differs.
fn differs(a: &[(String, Observation)], b: &[(String, Observation)]) -> Option<String> {
    let first = a.iter().zip(b).find(|(a, b)| a.0 != b.0);
    match first {
        Some((a, b)) => Some(format!("{} is {}", a.0, b.0)),
        None => (a.len() != b.len()).then(|| format!("{} lines are {}", a.len(), b.len())),
    }
}

/// What does not become a scenario: children that would inherit the recorder's own buffers, and a
/// read-around that needs more of the disk than its run shows. What comes back otherwise, and means
/// the same: a stalled call that is ended at once is an ordinary one, what waits for the gate alone
/// need not wait in the background, what blocked for ever ends when the gate opens; and a refused
/// MAP_SYNC leaves a file that was filled in another way.
#[test]
fn sequences_become_scenarios_and_come_back_as_they_were() {
    let expected = [
        ("curated", (159, 159, 155)),
        ("dax", (14, 14, 13)),
        ("random", (300, 297, 293)),
        ("random-gate", (75, 73, 71)),
    ];
    for (name, expected) in expected {
        let mut why = BTreeMap::new();
        assert_eq!(count(name, &mut why), expected, "{name}: {why:#?}");
    }
}

#[test]
fn what_blocks_becomes_a_schedule_that_can_be_replayed() {
    let suite = suite("curated");
    let mut held = 0;
    for sequence in &suite.sequences {
        let Ok(loaded) = export(sequence, "gate") else { continue };
        let Some(schedule) = &loaded.schedule else { continue };
        let start = Sim::new(loaded.plan.clone(), loaded.strategy);
        let choose =
            Choose { schedule: Some(schedule), steps: schedule.0.len(), ..Choose::default() };
        let (run, divergence) = record(&start, &choose);
        assert_eq!(divergence, None, "{}", sequence.name);
        assert_eq!(run.moves.len(), schedule.0.len());
        held += 1;
    }
    assert!(held > 10, "{held}");
}

/// A comparison that takes any scenario for the sequence's own would not notice this.
#[test]
fn a_machine_that_does_something_else_is_no_export_of_a_sequence() {
    let suite = suite("curated");
    let sequence = suite.sequence("a01_dirty_cycle").unwrap();
    let back = backward::sequence("a", &export(sequence, "ext4").unwrap()).unwrap();
    let mut other = sequence.clone();
    other.lines.swap(2, 4);
    assert_eq!(differs(&seen(sequence, "ext4"), &seen(&back, "ext4")), None);
    let found = differs(&seen(&other, "ext4"), &seen(&back, "ext4"));
    assert_eq!(found.as_deref(), Some("fsync is wr 0 0 1"));
}

#[test]
fn a_scenario_that_a_kernel_can_be_asked_about_becomes_a_sequence() {
    let loaded = scenario::open("truncate/stale-tail").unwrap();
    let made = backward::sequence("stale", &loaded).unwrap();
    let lines: Vec<String> = made.lines.iter().map(|l| l.op.to_string()).collect();
    let expected = ["mmap 0 shared rw 0 1", "wrb 0 2048 2048 1", "trunc 1p", "pread 0", "sfr w"];
    assert_eq!(lines, expected);
    assert_eq!((made.size, made.pages), (2048, 1));
}

#[test]
fn what_the_recorder_does_not_call_is_no_line_of_a_sequence() {
    let text = r#"{
        "title": "moved",
        "files": { "f": {} },
        "mappings": { "old": { "file": "f" }, "new": { "file": "f", "mapped": false } },
        "threads": { "app": { "do": [{ "mremap": { "from": "old", "to": "new" } }] } }
    }"#;
    let unsaid = backward::sequence("x", &load::text("moved", text).unwrap()).unwrap_err();
    assert!(unsaid.what.contains("mremap"), "{unsaid}");
    assert!(unsaid.why.contains("the recorder does not"), "{unsaid}");
}

#[test]
fn what_no_sequence_says_is_named_with_the_reason() {
    for (name, what, why) in [
        ("dax/endless-repin", "thread app, `repeat`", "does everything once"),
        ("bugs/cve-2020-29374-vmsplice", "files", "declare one"),
        ("dax/woken-for-nothing", "files near and far", "one file"),
        ("truncate/iommu-fault-kills-device", "mms", "one process"),
        ("notifier/munmap-odp", "faults.enomem", "used up"),
        ("writeback/two-faults-one-page", "threads one and two", "which of them comes first"),
        ("writeback/stable-pages", "disk disk0", "no checksum"),
        ("pin/private-is-taken", "\"pin\":{\"at\":\"buf[0]\"}", "by io_uring"),
        ("writeback/mprotect-does-not-clean", "app before 'flush_tlb_range'", "cannot stop it"),
    ] {
        let unsaid = backward::sequence("x", &scenario::open(name).unwrap()).unwrap_err();
        assert!(unsaid.what.contains(what) && unsaid.why.contains(why), "{name}: {unsaid}");
    }
}
