//! Sequences as scenarios, and scenarios as sequences.

use gupsim::check::{Fate, Line, check};
use gupsim::conform::bundled::{self, Bundled};
use gupsim::conform::compare::View;
use gupsim::conform::export::expect::Recorded;
use gupsim::conform::export::forward::{self, From};
use gupsim::conform::export::{Unsaid, backward};
use gupsim::conform::observation::{Observation, Run};
use gupsim::conform::read;
use gupsim::conform::record::{self, Recording};
use gupsim::conform::sequence::{Op, Sequence, Suite};
use gupsim::conform::sim;
use gupsim::engine::explore::Options;
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
    let from = From {
        sequence,
        rules: &[],
        source: "x.seq",
        fs,
        preset: linux(),
        prefix: "",
        recorded: None,
    };
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

fn recorded(of: &Bundled) -> (Suite, Recording) {
    let text = record::unpack(of.name, of.recording).unwrap();
    (read::suite(of.suite, of.sequences).unwrap(), record::recording(of.name, &text).unwrap())
}

/// What comes of the expectations that a recorded run gives its sequence's scenario, under the
/// design of the kernel that was recorded; none if the sequence becomes no scenario.
fn checked(suite: &Suite, recording: &Recording, run: &Run) -> Option<(Loaded, Vec<Line>)> {
    let (major, minor) = recording.version();
    let preset = Preset::find(&format!("linux-{major}.{minor}")).unwrap();
    let sequence = suite.sequence(&run.seq).unwrap();
    let recorded = Some(Recorded { name: "x", kernel: &recording.kernel, run });
    let (source, fs) = ("x.seq", run.fs.as_str());
    let from = From { sequence, rules: &[], source, fs, preset, prefix: "", recorded };
    let text = write::text(&forward::scenario(&from).ok()?);
    let loaded = load::text(&sequence.name, &text).unwrap_or_else(|e| panic!("{}", e.plain(100)));
    let lines = check(&loaded, &Options::default(), &());
    Some((loaded, lines))
}

/// Runs that become scenarios; those of them with an order that the program alone does not say.
/// What comes with gupsim is met everywhere, in a search that nothing cuts.
#[test]
fn what_was_recorded_is_expected_and_met_under_the_design_of_its_kernel() {
    let expected = [
        ("curated-6.18", (101, 12)),
        ("curated-6.18-ext4journal", (41, 12)),
        ("curated-6.18-xfs", (41, 12)),
        ("curated-6.18-btrfs", (41, 13)),
        ("curated-6.1", (74, 0)),
        ("curated-6.1-gate", (40, 12)),
        ("dax-6.18.15", (28, 12)),
        ("dax-6.12.113", (28, 12)),
        ("dax-6.1.0", (26, 12)),
        ("random-6.18", (297, 16)),
        ("random-gate-6.18", (73, 38)),
    ];
    let mut found = Vec::new();
    for of in bundled::ALL {
        let (suite, recording) = recorded(of);
        let (mut all, mut free) = (0, 0);
        for run in &recording.runs {
            let Some((loaded, lines)) = checked(&suite, &recording, run) else { continue };
            for line in &lines {
                assert_eq!(line.fate, Fate::Met, "{} on {}: {}", run.seq, run.fs, line.text);
            }
            assert!(!lines.is_empty(), "{} on {}", run.seq, run.fs);
            all += 1;
            free += usize::from(loaded.scenario.expect.iter().any(|e| e.exists.is_some()));
        }
        found.push((of.name, (all, free)));
    }
    assert_eq!(found, expected);
}

/// A recording of a kernel that did otherwise is not met: neither if an operation fails, nor if
/// the file ends up larger, nor if a page of it has other contents.
#[test]
fn what_no_kernel_did_is_not_met() {
    let (suite, recording) = recorded(&bundled::ALL[0]);
    let fails = |run: &Run| {
        let lines = checked(&suite, &recording, run).unwrap().1;
        lines.iter().any(|line| line.fate == Fate::Failed)
    };
    let mut contents = 0;
    for run in &recording.runs {
        let mut refused = run.clone();
        refused.steps[1].1.err = "EDEADLK".into();
        assert!(fails(&refused), "{} on {}", run.seq, run.fs);
        let mut grown = run.clone();
        let last = &mut grown.steps.last_mut().unwrap().1;
        last.size += 512;
        assert!(fails(&grown), "{} on {}", run.seq, run.fs);
        let mut other = run.clone();
        let last = &mut other.steps.last_mut().unwrap().1;
        let Some(page) = last.pages.iter_mut().find(|p| p.pread.as_deref() == Some("1")) else {
            continue;
        };
        page.pread = Some("0".into());
        assert!(fails(&other), "{} on {}", run.seq, run.fs);
        contents += 1;
    }
    assert!(contents > 9, "{contents}");
}

/// Of what differs between 6.1 and 6.18 on ext4 one thing is a result: before GUP itself refused
/// long-term pins of files, io_uring did, with another errno.
#[test]
fn what_another_kernel_did_is_not_met_where_it_did_otherwise() {
    let of = |name: &str| bundled::ALL.iter().find(|of| of.name == name).unwrap();
    let (suite, old) = recorded(of("curated-6.1"));
    let (_, new) = recorded(of("curated-6.18"));
    let mut differs = Vec::new();
    for run in old.runs.iter().filter(|run| run.fs == "ext4") {
        let Some((_, lines)) = checked(&suite, &new, run) else { continue };
        if lines.iter().any(|line| line.fate == Fate::Failed) {
            differs.push(run.seq.as_str());
        }
    }
    assert_eq!(differs, ["f01_ltp_ext4"]);
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
