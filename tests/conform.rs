//! The recordings of real kernels: every one is read, and the rules that hold on them are those
//! that `rules.md` lists: an independent proof that reader and evaluator are right.

use gupsim::conform::belongs;
use gupsim::conform::bundled::{self, Bundled};
use gupsim::conform::compare::{View, compare};
use gupsim::conform::observation::{Observation, Run};
use gupsim::conform::read;
use gupsim::conform::record::{self, Recording};
use gupsim::conform::report::{self, Fate, Filter, Report};
use gupsim::conform::rules::{self, Outcome};
use gupsim::conform::sequence::{Sequence, Suite};
use gupsim::conform::source::{Lacks, Observed, Offer, Simulator, Source};
use gupsim::kernel::strategy::Preset;
use std::borrow::Cow;

const RULES: &str = include_str!("data/kernel-truth/rules.md");

fn load(bundled: &Bundled) -> (Suite, Recording) {
    let suite = read::suite(bundled.suite, bundled.sequences).unwrap();
    let text = record::unpack(bundled.name, bundled.recording).unwrap();
    (suite, record::recording(bundled.name, &text).unwrap())
}

fn find(name: &str) -> (Suite, Outcome) {
    let bundled = bundled::ALL.iter().find(|b| b.name == name).unwrap();
    let (suite, recording) = load(bundled);
    let outcome = rules::evaluate(&suite, &recording);
    (suite, outcome)
}

#[test]
fn every_recording_is_read_and_belongs_to_its_sequences() {
    let (mut runs, mut steps) = (0, 0);
    for bundled in bundled::ALL {
        let (suite, recording) = load(bundled);
        belongs::check(&suite, &recording).unwrap();
        for run in &recording.runs {
            let sequence = suite.sequences.iter().find(|s| s.name == run.seq).unwrap();
            assert!(sequence.runs_on(&run.fs), "{} on {}", run.seq, run.fs);
            let texts = sequence.lines.iter().map(|l| l.text.as_str());
            let ran = run.steps.iter().skip(1).map(|(op, _)| op.as_str());
            if run.broken.is_none() {
                assert!(texts.eq(ran), "{} on {}", run.seq, run.fs);
                assert!(run.ended.is_some());
            }
            steps += run.steps.len();
        }
        runs += recording.runs.len();
    }
    assert_eq!(bundled::ALL.len(), 11);
    // 101 + 3 x 41 + 77 + 41 curated, 3 x 28 DAX, 300 + 75 random ones.
    assert_eq!(runs, 101 + 41 * 3 + 77 + 41 + 28 * 3 + 300 + 75);
    assert!(steps > 7000, "{steps}");
}

#[test]
fn the_suites_have_the_sequences_and_rules_that_they_should() {
    let expected =
        [("curated", 57, 127), ("dax", 14, 25), ("random", 150, 0), ("random-gate", 75, 0)];
    for (name, sequences, rules) in expected {
        let bundled = bundled::ALL.iter().find(|b| b.suite == name).unwrap();
        let suite = read::suite(name, bundled.sequences).unwrap();
        assert_eq!((suite.sequences.len(), suite.rules.len()), (sequences, rules), "{name}");
    }
}

/// The cells of the rows of the table whose first column is a rule.
fn table(heading: &str) -> Vec<Vec<String>> {
    let section = RULES.split("## ").find(|s| s.starts_with(heading)).unwrap();
    let rows = section.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| rule "));
    let cells = |row: &str| -> Vec<String> {
        let row = row.replace("\\|", "\u{1}");
        let cells = row.trim_matches('|').split('|');
        cells.map(|c| c.trim().replace('\u{1}', "|").replace("**", "")).collect()
    };
    rows.map(cells).collect()
}

/// `yes`, `no` or `-`: whether a rule held wherever it ran.
fn word(outcomes: &[&Outcome], rule: &str) -> &'static str {
    let on = outcomes.iter().filter_map(|o| o.rules.get(rule)).flatten();
    match on.map(|&(_, held)| held).reduce(|a, b| a && b) {
        None => "-",
        Some(true) => "yes",
        Some(false) => "no",
    }
}

#[test]
fn the_rules_of_the_page_cache_hold_where_the_list_says_so() {
    let (suite, host) = find("curated-6.18");
    let [journal, xfs, btrfs, old, old_gate] = [
        "curated-6.18-ext4journal",
        "curated-6.18-xfs",
        "curated-6.18-btrfs",
        "curated-6.1",
        "curated-6.1-gate",
    ]
    .map(|name| find(name).1);
    let rows = table("Rules, page cache");
    assert_eq!(rows.len(), suite.rules.len());
    for (row, rule) in rows.iter().zip(&suite.rules) {
        assert_eq!(row[0], rule.name);
        assert_eq!(row[2], suite.sequences[rule.sequence].name);
        let held = host.rules[&rule.name].iter().filter(|(_, held)| *held);
        let on: Vec<&str> = held.map(|(fs, _)| fs.as_str()).collect();
        assert_eq!(row[3], on.join(","), "{}", rule.name);
        assert_eq!(row[4], word(&[&journal], &rule.name), "{} ext4 journal", rule.name);
        assert_eq!(row[5], word(&[&xfs], &rule.name), "{} xfs", rule.name);
        assert_eq!(row[6], word(&[&btrfs], &rule.name), "{} btrfs", rule.name);
        assert_eq!(row[9], word(&[&old, &old_gate], &rule.name), "{} 6.1", rule.name);
    }
    // On the host every rule holds wherever it ran.
    assert_eq!(host.failures, []);
}

#[test]
fn the_rules_of_dax_hold_where_the_list_says_so() {
    let (suite, host) = find("dax-6.18.15");
    let (_, middle) = find("dax-6.12.113");
    let (_, old) = find("dax-6.1.0");
    let rows = table("Rules, DAX");
    assert_eq!(rows.len(), suite.rules.len());
    for row in &rows {
        let rule = suite.rules.iter().find(|r| r.name == row[0]).unwrap();
        assert_eq!(row[2], suite.sequences[rule.sequence].name);
        for (n, outcome) in [&host, &middle, &old].into_iter().enumerate() {
            assert_eq!(row[3 + n], word(&[outcome], &rule.name), "{}", rule.name);
        }
    }
}

#[test]
fn what_is_wrong_with_a_sequence_is_said_with_its_place() {
    for (text, line, column, message) in [
        ("seq a\nrdd 0 0\nend\n", 2, 1, "unknown operation 'rdd'"),
        ("seq a\nrd 0\nend\n", 2, 1, "wrong number of arguments"),
        ("seq a\nrd 0 x\nend\n", 2, 6, "'x' is no number"),
        ("seq a\nrd 4 0\nend\n", 2, 4, "'4' is too large"),
        ("seq a\ntrunc 0p-1\nend\n", 2, 7, "'0p-1' is no number of bytes"),
        ("seq a init=cool\nend\n", 1, 12, "unknown word 'cool'"),
        ("seq a pagse=2\nend\n", 1, 7, "unknown key 'pagse'"),
        ("seq a\nseq b\nend\n", 2, 1, "sequence 'a' has not ended"),
        ("seq a\nend\nseq a\nend\n", 3, 5, "a second sequence 'a'"),
        ("rd 0 0\n", 1, 1, "an operation outside of a sequence"),
        ("seq a\n", 1, 1, "sequence 'a' has no end"),
        ("seq a\n! f0.D andd\nend\n", 2, 8, "the expression has ended"),
        ("seq a\nbg\nend\n", 2, 1, "nothing to run in the background"),
        ("seq a\nrule A01\nend\n", 2, 1, "a rule without a name or without words"),
        ("seq a\nsfr x\nend\n", 2, 5, "'x' are no letters of sfr"),
    ] {
        let problems = read::suite("x.seq", text).unwrap_err();
        let first = &problems.list[0];
        let place = problems.source.line_column(first.span.clone().unwrap().start);
        assert_eq!((place, first.message.as_str()), ((line, column), message), "{text}");
    }
}

/// A kernel: how many runs of it are recorded, which of them are out of scope (docs/fidelity.md),
/// how many end in one of two ways, how many fields are compared at least.
type Kernel = (&'static str, usize, &'static [(&'static str, &'static str)], usize, usize);

const KERNELS: &[Kernel] = &[
    ("6.18", 627, &[("b03_partial", "gateb")], 2, 195_000),
    ("6.12", 28, &[], 0, 4_400),
    ("6.1", 146, &[("e06_pin_pageout", "ext4"), ("e06_pin_pageout", "gate")], 0, 25_000),
];

#[test]
fn the_presets_do_what_their_kernels_did() {
    for &(kernel, recorded, left_out, either, fields) in KERNELS {
        let strategy = Preset::find(&format!("linux-{kernel}")).unwrap().strategy;
        let simulator = Simulator { strategy };
        let mut report = Report::default();
        for bundled in bundled::ALL {
            let (suite, recording) = load(bundled);
            let (major, minor) = recording.version();
            if format!("{major}.{minor}") == kernel {
                let all = Filter::default();
                let runs = report::runs(bundled.name, &suite, &recording, &simulator, &all);
                report.add(&suite, &recording, runs);
            }
        }
        let of = |wanted: fn(&Fate) -> bool| -> Vec<(&str, &str)> {
            let found = report.runs.iter().filter(|r| wanted(&r.fate));
            found.map(|r| (r.seq.as_str(), r.fs.as_str())).collect()
        };
        let wrong = of(|fate| *fate == Fate::Mismatched);
        assert_eq!(wrong, [], "{kernel}: {}", report.text(20, false));
        assert_eq!(report.missing(), [], "{kernel}");
        assert_eq!(of(|fate| matches!(fate, Fate::OutOfScope(_))), left_out, "{kernel}");
        let counts = report.total();
        assert_eq!(counts.recorded, recorded, "{kernel}");
        assert_eq!(counts.in_scope, recorded - left_out.len(), "{kernel}");
        assert_eq!((counts.compared, counts.predicted), (counts.in_scope, counts.in_scope));
        assert_eq!(counts.either, either, "{kernel}");
        assert!(counts.fields > fields, "{kernel}: {counts:?}");
    }
}

/// A source that has seen one thing.
struct Witness(Run);

impl Source for Witness {
    fn offers(&self, _: &Suite) -> Vec<Offer> {
        vec![Offer { seq: self.0.seq.clone(), fs: self.0.fs.clone(), nth: 0 }]
    }

    fn observe(&self, _: &Sequence, _: &Offer, _: View) -> Result<Observed<'_>, Lacks> {
        Ok(Observed { run: Cow::Borrowed(&self.0), ..Observed::default() })
    }

    fn view<'a>(&self, offer: &'a Offer) -> View<'a> {
        View::of(&offer.fs)
    }
}

#[test]
fn a_race_is_predicted_whichever_way_it_ends_but_as_a_whole() {
    let bundled = bundled::ALL.iter().find(|b| b.name == "curated-6.18").unwrap();
    let suite = read::suite(bundled.suite, bundled.sequences).unwrap();
    let simulator = Simulator { strategy: Preset::find("linux-6.18").unwrap().strategy };
    for seq in ["e03_pin_fsync_redirty", "g12_bio_pin_fsync"] {
        let offer = Offer { seq: seq.to_string(), fs: "gateb".to_string(), nth: 0 };
        let sequence = suite.sequence(seq).unwrap();
        let seen = simulator.observe(sequence, &offer, View::of("gateb")).unwrap();
        let ends: Vec<Run> = seen.possible().map(|o| o.run.clone().into_owned()).collect();
        let [slow, fast] = &ends[..] else { panic!("{seq} ends in {} ways", ends.len()) };
        let fate = |run: &Run| {
            let (witness, all) = (Witness(run.clone()), Filter::default());
            let found = report::runs("witness", &suite, &witness, &simulator, &all).remove(0);
            assert!(found.comparison.either, "{seq}");
            found.fate
        };
        assert_eq!((fate(slow), fate(fast)), (Fate::Predicted, Fate::Predicted), "{seq}");
        let mut mixed = slow.clone();
        let differ: Vec<usize> =
            (0..slow.steps.len()).filter(|&n| slow.steps[n] != fast.steps[n]).collect();
        mixed.steps[differ[0]] = fast.steps[differ[0]].clone();
        // The ends of g12 differ in one step alone, and so cannot be mixed.
        let whole = differ.len() == 1 && slow.ended == fast.ended;
        assert_eq!(whole, seq.starts_with("g12"), "{differ:?}");
        assert_eq!(fate(&mixed) == Fate::Predicted, whole, "{seq}");
    }
}

#[test]
fn the_simulator_agrees_with_itself() {
    let bundled = bundled::ALL.iter().find(|b| b.name == "curated-6.18").unwrap();
    let suite = read::suite(bundled.suite, bundled.sequences).unwrap();
    let simulator = Simulator { strategy: Preset::find("linux-6.18").unwrap().strategy };
    let found = report::runs("itself", &suite, &simulator, &simulator, &Filter::default());
    assert!(found.len() > 150, "{}", found.len());
    assert!(found.iter().all(|run| run.fate == Fate::Predicted));
}

#[test]
fn operations_that_reach_far_are_simulated_or_lacking() {
    let simulator = Simulator { strategy: Preset::find("linux-6.18").unwrap().strategy };
    for (fs, lines, lacks) in [
        ("ext4", "mmap 0 shared ro 0 1\nmunlock 0 0 8", Some("mlock beyond the end of a mapping")),
        ("gateb", "anon 0 8\nmlock 0 7 8", Some("mlock beyond the end of a mapping")),
        ("ext4", "anon 0 1\nureg 0 0 2", Some("ureg beyond the end of a mapping")),
        ("ext4", "anon 0 1\nmadv 0 0 2 COLD", Some("madv beyond the end of a mapping")),
        ("daxx", "spl 0", Some("splice of a file on pmem")),
        ("tmpfs", "bg punch 4096p 2p-1", None),
        ("gatex", "bg collapse 8p 1p", None),
        ("memfd", "bg pwriteb 4096p 1p 7\nbg2 mmap 0 private ro 0 3", None),
        ("tmpfs", "mmap 0 private rw 0 3\ndreads 0 0 7", None),
    ] {
        let suite = read::suite("far", &format!("seq a fs={fs} pages=2\n{lines}\nend\n")).unwrap();
        let offer = Offer { seq: "a".to_string(), fs: fs.to_string(), nth: 0 };
        let seen = simulator.observe(&suite.sequences[0], &offer, View::of(fs));
        assert_eq!(seen.err().map(|l| l.what).as_deref(), lacks, "{fs}: {lines}");
    }
}

/// A change of an observation.
type Change<'a> = &'a dyn Fn(&mut Observation);

/// A comparison that notices nothing would agree with everything: each field is changed in turn.
#[test]
fn a_recording_in_which_anything_is_changed_disagrees() {
    let bundled = bundled::ALL.iter().find(|b| b.name == "curated-6.18").unwrap();
    let (suite, recording) = load(bundled);
    let run = recording.runs.iter().find(|r| r.seq == "e06_pin_pageout" && r.fs == "gate").unwrap();
    let sequence = suite.sequences.iter().find(|s| s.name == run.seq).unwrap();
    let kernel = recording.version();
    let view = View { fs: &run.fs, kernel, used: false, private: true };
    let differs = |change: &dyn Fn(&mut Run)| {
        let mut other = run.clone();
        change(&mut other);
        let found = compare(sequence, view, run, &other, &[]);
        (found.mismatches.len() == 1).then(|| found.mismatches[0].field.clone())
    };
    assert_eq!(compare(sequence, view, run, run, &[]).mismatches, []);
    let at = 4; // pinned, synced, mapped
    let expected: &[(&str, Change)] = &[
        ("ret", &|o| o.ret += 1),
        ("err", &|o| o.err.push('E')),
        ("x", &|o| o.x.push('1')),
        ("minflt", &|o| o.minflt += 1),
        ("majflt", &|o| o.majflt += 1),
        ("acq", &|o| o.acq += 1),
        ("rel", &|o| o.rel += 1),
        ("size", &|o| o.size += 1),
        ("blocks", &|o| o.blocks = Some(24)),
        ("sd[0]", &|o| o.sd.as_mut().unwrap()[0] += 4),
        ("pages[0].in", &|o| o.pages[0].cached = 0),
        ("pages[0].cs", &|o| o.pages[0].cs = "111".into()),
        ("pages[0].id", &|o| o.pages[0].id = "Z".into()),
        ("pages[0].fl", &|o| o.pages[0].fl.push_str("|DIRTY")),
        ("pages[0].mc", &|o| o.pages[0].mc += 1),
        ("pages[0].pread", &|o| o.pages[0].pread = Some("9".into())),
        ("pages[0].disk", &|o| o.pages[0].disk = Some("9".into())),
        ("maps[0.0].pm", &|o| o.maps[0].pm = "P".into()),
        ("maps[0.0].id", &|o| o.maps[0].id = "Z".into()),
        ("maps[0.0].fl", &|o| o.maps[0].fl.as_mut().unwrap().push_str("|WRITEBACK")),
        ("maps[0.0].mc", &|o| o.maps[0].mc = Some(7)),
        ("maps[0.0].val", &|o| o.maps[0].val = None),
        ("pins[pinr0].id", &|o| o.pins[0].id = "Z".into()),
        ("pins[pinr0].fl", &|o| o.pins[0].fl.clear()),
        ("pins[pinr0].mc", &|o| o.pins[0].mc += 1),
        ("pins[pinr0].val", &|o| o.pins[0].val = Some("9".into())),
    ];
    for (field, change) in expected {
        let found = differs(&|run: &mut Run| change(&mut run.steps[at].1));
        assert_eq!(found.as_deref(), Some(*field));
    }
    let ended = |run: &mut Run| run.ended.as_mut().unwrap().outstanding_pins += 1;
    assert_eq!(differs(&ended).as_deref(), Some("outstanding_pins"));
}
