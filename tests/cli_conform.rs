//! What `conform` promises: a report that passes over nothing, errors with the cure in them for
//! recordings and sequences that are wrong, and files of `--export` and `--random` that the other
//! commands read.

mod recorded;
mod shell;

use gupsim::conform::read;
use gupsim::conform::record::NOT_COMPARED;
use recorded::Pair;
use serde_json::Value;
use shell::{code, dir, gupsim, stderr, stdout};

fn shown(args: &[&str]) -> String {
    let output = gupsim(args);
    let code = output.status.code().unwrap();
    let line = args.join(" ");
    format!("$ gupsim {line}\n{}{}--- exit {code}\n", stdout(&output), stderr(&output))
}

#[test]
fn a_recorded_sequence_reads_as_if_written_by_hand() {
    insta::assert_snapshot!(shown(&["conform", "--export", "e03_pin_fsync_redirty"]));
}

#[test]
fn a_scenario_is_written_as_a_sequence() {
    insta::assert_snapshot!(shown(&["conform", "--export", "truncate/stale-tail"]));
}

#[test]
fn what_cannot_be_said_is_named() {
    insta::assert_snapshot!(shown(&["conform", "--export", "writeback/skip-then-crash"]));
}

#[test]
fn an_exported_file_goes_there_and_back_and_is_replayed_and_explored() {
    let dir = dir("export");
    let path = |name: &str| dir.join(name).display().to_string();
    let (scenario, sequence) = (path("g03.json"), path("g03.seq"));
    assert_eq!(code(&["conform", "--export", "g03_truncate_waits", "--out", &scenario]), 0);
    assert_eq!(code(&["replay", &scenario]), 0);
    assert_eq!(code(&["check", &scenario]), 0);
    assert_eq!(code(&["conform", "--export", &scenario, "--out", &sequence]), 0);
    let text = std::fs::read_to_string(&sequence).unwrap();
    for line in ["gate close", "sfr w", "bg trunc 0", "rd 0 0", "gate open", "bgwait 3000"] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    assert_eq!(code(&["conform", "--export", &sequence, "--fs", "gate"]), 0);
    let again = gupsim(&["conform", "--export", &sequence, "--out", &scenario]);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("is there already"), "{}", stderr(&again));
}

#[test]
fn an_exported_scenario_expects_what_was_recorded_and_nothing_else() {
    let export = |args: &[&str]| stdout(&gupsim(&[&["conform", "--export"], args].concat()));
    let recorded = export(&["e03_pin_fsync_redirty"]);
    assert!(recorded.contains("curated-6.18, recorded on Linux 6.18.44"), "{recorded}");
    assert!(recorded.contains("page data[0] = v7"), "{recorded}");
    // Of 6.12 there are recordings on DAX alone, and of a file of sequences none at all.
    let file = "tests/data/kernel-truth/curated.seq";
    let others = [
        &["e03_pin_fsync_redirty", "--preset", "linux-6.12"][..],
        &[file, "--only", "e03_pin_fsync_redirty"],
    ];
    for args in others {
        let text = export(args);
        assert!(text.contains("no recording on ext4 of linux-6.1"), "{args:?}: {text}");
        assert!(!text.contains("\"expect\""), "{args:?}: {text}");
    }
}

#[test]
fn a_sequence_of_ones_own_expects_what_ones_own_recording_says() {
    // The tests' pair is of Linux 6.18, which is the design if none is said.
    let own = Pair::new().rec("\"err\":\"\"", "\"err\":\"EDEADLK\"");
    let args = ["--export", "a01_dirty_cycle", "--fs", "ext4"];
    let (code, text, _) = own.held("export-own", &args);
    assert_eq!(code, 0);
    assert!(text.contains("x.jsonl, recorded on Linux 6.18.44"), "{text}");
    assert!(text.contains("errno mmap = EDEADLK"), "{text}");
    let (code, _, said) = own.held("export-own", &["--export", "a01"]);
    assert_eq!(code, 2);
    assert!(said.contains("there is no sequence 'a01'"), "{said}");
}

#[test]
fn random_sequences_are_a_file_of_sequences() {
    let text = stdout(&gupsim(&["conform", "--random", "20", "--seed", "7"]));
    let suite = read::suite("random", &text).unwrap();
    assert_eq!(suite.sequences.len(), 20);
    assert_eq!(text, stdout(&gupsim(&["conform", "--random", "20", "--seed", "7"])));
    let gated = stdout(&gupsim(&["conform", "--random", "20", "--fs", "gatex"]));
    assert!(gated.contains("gate close\nsfr w\n") && gated.contains("fs=gatex"));
    let pmem = stdout(&gupsim(&["conform", "--random", "20", "--fs", "daxx"]));
    assert!(pmem.contains("\nbg trunc ") && pmem.contains("bgwait") && pmem.contains("fs=daxx"));
    assert!(!pmem.contains("gate close"), "{pmem}");
}

#[test]
fn wrong_words_are_said_with_the_cure() {
    let nowhere =
        dir("export-nowhere").join("no-such-directory").join("x.json").display().to_string();
    for (args, expected, what) in [
        (&["--export", "e03"][..], 2, "there is no sequence 'e03'"),
        (&["--export", "no.seq"], 2, "cannot read no.seq"),
        (&["--export", "no.json"], 2, "no scenario `no.json`"),
        (&["--export", "tests/data/kernel-truth/dax.seq"], 2, "say which with --only"),
        (&["--export", "tests/data/kernel-truth/dax.seq", "--only", "zz"], 2, "no such sequence"),
        (&["--export", "a03_msync", "--fs", "ext5"], 2, "did you mean `ext4`"),
        (&["--random", "1", "--fs", "zfs"], 2, "no file system 'zfs'"),
        (&["--fs", "zfs"], 2, "no file system 'zfs'"),
        (&["--only", "zz"], 2, "choose among what is recorded"),
        (&["--export", "a03_msync", "--preset", "linux-7"], 2, "linux-7"),
        (&["--export", "a03_msync", "--out", &nowhere], 6, "cannot write"),
        (&["--export", "a03_msync", "--format", "json"], 2, "cannot be used with"),
        (&["--out", "x.json"], 2, "add --export or --random"),
    ] {
        let output = gupsim(&[&["conform"], args].concat());
        assert_eq!(output.status.code(), Some(expected), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(what), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_recording_of_other_operations_is_refused() {
    let others = |row: &mut Value| {
        if row["step"].as_i64() > Some(0) && row["op"] != "final" {
            row["op"] = "zork".into();
        }
    };
    let (code, out, said) = Pair::new().rows(others).held("other-operations", &[]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(said.matches("`zork` here and `").count(), 5, "one for each run: {said}");
    let (code, _, said) = Pair::new().once("rd 0 0", "rd 0 1").held("other-operations", &[]);
    assert_eq!(code, 2);
    insta::assert_snapshot!(said);
    // How the words are set apart is nobody's business.
    let (code, ..) = Pair::new().seq("rd 0 0", "  rd   0\t0 # x").held("other-operations", &[]);
    assert_eq!(code, 0);
}

#[test]
fn what_has_no_counterpart_or_was_not_recorded_is_listed() {
    let pair = Pair::new().rec("e03_pin_fsync_redirty", "zork").without("blocks").without("val");
    let (code, out, _) = pair.held("no-counterpart", &[]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(out);
    let (_, out, _) = pair.held("no-counterpart", &["--format", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["without_recording"].as_array().unwrap().len(), 2);
    assert_eq!(report["without_recording"][0]["names"][0], "e03_pin_fsync_redirty");
    assert_eq!(report["without_recording"][0]["fs"], "ext4");
    assert_eq!(report["without_sequence"][0]["count"], 2);
    assert_eq!(report["without_sequence"][0]["runs"][1], "zork on gate");
    assert_eq!(report["not_recorded"][0]["field"], "blocks");
    assert_eq!(report["not_recorded"][0]["runs"], 3);
    // Who asks for less is told of less.
    let (_, out, _) = pair.held("no-counterpart", &["--only", "a01"]);
    assert!(!out.contains("Without a"), "{out}");
}

#[test]
fn every_field_may_be_missing_and_none_is_missed_in_silence() {
    let (code, whole, _) = Pair::new().held("missing", &["--format", "json"]);
    assert_eq!(code, 0);
    let fields = |report: &str| {
        let report: Value = serde_json::from_str(report).unwrap();
        let not = report["not_recorded"].as_array().unwrap();
        let not = not.iter().map(|f| f["fields"].as_u64().unwrap()).sum::<u64>();
        (report["total"]["fields"].as_u64().unwrap(), not)
    };
    let (compared, not) = fields(&whole);
    for field in [
        "minflt",
        "majflt",
        "acq",
        "rel",
        "size",
        "blocks",
        "pages",
        "maps",
        "pins",
        "sd",
        "in",
        "cs",
        "id",
        "fl",
        "mc",
        "pread",
        "disk",
        "pm",
        "val",
        "content",
        "fsync",
        "after_evict",
        "outstanding_pins",
    ] {
        let (code, out, said) = Pair::new().without(field).held("missing", &["--format", "json"]);
        assert_eq!(code, 0, "{field}: {out}{said}");
        let (left, more) = fields(&out);
        // The pins here are pinr's, of which nobody reads the contents.
        assert!(left < compared && left + more == compared + not, "{field}: {left} and {more}");
    }
    for field in ["ret", "err", "x"] {
        let (code, _, said) = Pair::new().without(field).held("missing", &[]);
        assert!(code == 2 && said.contains("lacks ret, err or x"), "{field}: {said}");
    }
}

#[test]
fn contents_missing_in_one_place_alone_are_a_difference() {
    let (code, out, _) = Pair::new().once(",\"val\":\"90\"", "").held("one-value", &[]);
    assert_eq!(code, 1);
    assert!(out.contains("maps[0.0].val  expected \"nothing\", found \"90\""), "{out}");
}

#[test]
fn an_unknown_field_is_refused_where_it_stands() {
    let spelt = |row: &mut Value| {
        if row["op"] == "fsync" {
            row["minfault"] = 1.into();
        }
    };
    let (code, _, said) = Pair::new().rows(spelt).held("unknown-field", &[]);
    assert_eq!(code, 2);
    assert!(said.starts_with("error: 1 problem in recording x.jsonl\n"), "{said}");
    for what in ["[x.jsonl:7:", "unknown field `minfault`", "`minflt`?", "and in 5 more rows"] {
        assert!(said.contains(what), "{what}: {said}");
    }
    let (code, _, said) = Pair::new().once("\"mc\":", "\"mapcount\":").held("unknown-field", &[]);
    assert!(code == 2 && said.contains("[x.jsonl:2:") && said.contains("`mapcount`"), "{said}");
    assert!(said.contains("at pages[0].mapcount"), "{said}");
}

#[test]
fn fields_that_are_not_compared_are_those_of_the_table() {
    let of_page = |name: &str| name == "lru";
    for (name, why) in NOT_COMPARED {
        assert!(!why.is_empty());
        let spoilt = Pair::new().rows(|row| match row.get_mut("pages") {
            Some(pages) if of_page(name) => pages[0]["lru"] = "LRU|ACTIVE".into(),
            _ if of_page(name) => {}
            _ => row[*name] = 99.into(),
        });
        let (code, _, said) = spoilt.held("not-compared", &[]);
        assert_eq!(code, 0, "{name}: {said}");
    }
}

#[test]
fn one_mistake_is_one_error_with_its_cure() {
    let mut all = String::new();
    let mut show = |pair: Pair, args: &[&str]| {
        let (code, out, said) = pair.held("one-mistake", args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {said}");
        all += &format!("{said}\n");
    };
    let pair = Pair::new;
    show(pair().rec("6.18.44", "5.4.0"), &[]);
    show(pair().rec("6.18.44", "banana"), &[]);
    show(pair(), &["FILES", "x.jsonl", "x.seq"]);
    show(pair(), &["FILES", "x.seq", "x.seq"]);
    show(pair(), &["FILES", "x.jsonl", "x.jsonl"]);
    show(pair().seq("pages=1", "pages=99"), &[]);
    show(pair().seq("fs=ext4,xfs", "fs=ext4,zfs"), &[]);
    show(pair(), &["FILES", "--preset", "linux-4.4"]);
    insta::assert_snapshot!(all);
}

#[test]
fn whatever_is_wrong_with_files_is_said_in_their_own_words() {
    let pair = Pair::new;
    let doubled = |of: &str| Pair { recording: pair().recording + of, ..pair() };
    let again: String = pair().recording.split_inclusive('\n').skip(1).collect();
    let more = Pair { sequences: pair().sequences.repeat(2), ..pair() };
    let cases: &[(Pair, usize, &str)] = &[
        (pair().seq("pages=1", "pages=2"), 2, "has pages=1, the sequence pages=2"),
        (pair().seq("pages=1", "pages=0"), 1, "expected a whole number from 1 to 8"),
        (pair().seq("pages=1", "pages="), 1, "a number is missing"),
        (pair().seq("fs=ext4,xfs,", "fs=,"), 1, "the name of a file system is missing"),
        (pair().seq("fs=ext4,xfs,", "fs=xfs,"), 1, "on ext4 is recorded, but the sequence says"),
        (pair().seq("rd 0 0", "rd 0 99999999999999999999999"), 1, "is too large"),
        (pair().seq("rd 0 0", "rd 0 -1"), 1, "'-1' is no number"),
        (pair().seq("\nend", "\nrd 0 0\nend"), 2, "ends after 6 of 7 operations"),
        (pair().seq("\nwr 0 0 3\n", "\n"), 2, "`wr 0 0 3`, but the sequence ends after 5"),
        (pair().seq("\nend\n", "\nend\nrd 0 0\n! f0.D\nend\n"), 1, "outside of a sequence"),
        (more, 3, "a second sequence 'a01_dirty_cycle'"),
        (Pair { sequences: String::new(), ..pair() }, 1, "the file has no sequences"),
        (Pair { recording: String::new(), ..pair() }, 1, "the recording is empty"),
        (Pair { recording: "[]\n".into(), ..pair() }, 1, "this is no recording"),
        (Pair { recording: "{\n\"a\": 1}\n".into(), ..pair() }, 1, "this is no recording"),
        (pair().lines(1..20), 1, "does not say of which kernel"),
        (pair().lines(0..12), 1, "breaks off: it has no row `final`"),
        (doubled("{\"seq\":\"a"), 1, "the row breaks off"),
        (doubled("null\n"), 1, "a row that is no JSON object"),
        (doubled("{\"meta\":1,\"kernel\":\"6.1.2\"}\n"), 1, "goes on with one of 6.1.2"),
        (doubled(&again), 5, "a second run of a01_dirty_cycle on ext4"),
        (pair().once("\"step\":1,", "\"step\":2,"), 1, "has step 2 where step 1 is expected"),
        (pair().once("\"step\":0,", ""), 1, "a row without seq, fs, step and op"),
        (
            pair().once("\"op\":\"init\"", "\"op\":\"in\\u001bit\""),
            1,
            "`in\\u{1b}it` here and `init`",
        ),
        (pair().once("\"ret\":0", "\"ret\":\"0\""), 1, "expected a whole number"),
        (pair().rec("\"ret\":0", "\"ret\":{}"), 1, "expected a whole number, and in"),
        (pair().once("\"ret\":0", "\"ret\":1e400"), 1, "larger than any number"),
        (pair().once("\"ret\":0", "\"ret\":0,\"ret\":0"), 1, "duplicate key `ret`"),
        (pair().once("\"fs\"", "\"sf\""), 1, "unknown field `sf`"),
        (pair().once("\"pages\":[", "\"pages\":[5,"), 1, "expected an object"),
        (pair().once("\"ret\":0", "\"ret\":"), 1, "one JSON object a line"),
    ];
    for (pair, problems, what) in cases {
        let (code, out, said) = pair.held("their-own-words", &[]);
        assert_eq!((code, out.as_str()), (2, ""), "{what}: {said}");
        let each = if *problems == 1 { "problem" } else { "problems" };
        assert!(said.starts_with(&format!("error: {problems} {each} in ")), "{what}: {said}");
        assert!(!said.contains("in scenario"), "{said}");
        // Words are not broken by what the report puts around them.
        let words: String = said.replace("\n  │", "");
        assert!(words.contains(what), "{what}: {said}");
    }
    let runs = |wanted: &str| {
        let (code, out, said) = pair().rec("\"seq\":\"", "\"seq\":\"q").held("none-of-them", &[]);
        assert!(code == 2 && out.is_empty() && said.contains(wanted), "{said}");
    };
    runs("none of the 5 runs in x.jsonl is of a sequence in x.seq");
    let (code, _, said) = pair().lines(0..1).held("none-of-them", &[]);
    assert!(code == 2 && said.contains("x.jsonl has no runs"), "{said}");
}

#[test]
fn runs_of_one_sequence_are_told_apart_by_their_number() {
    let again = Pair::new().rec("\"step\":", "\"rep\":1,\"step\":").recording;
    let again: String = again.split_inclusive('\n').skip(1).collect();
    let both = Pair { recording: Pair::new().recording + &again, ..Pair::new() };
    let (code, out, said) = both.held("several-runs", &[]);
    assert_eq!(code, 0, "{said}");
    let total = out.lines().find(|line| line.starts_with("all ")).unwrap();
    assert_eq!(total.split_whitespace().nth(1), Some("10"), "{out}");
}

#[test]
fn a_kernel_without_a_preset_is_held_against_one_that_is_named() {
    let other = Pair::new().rec("6.18.44", "6.19.0");
    let (code, out, said) = other.held("other-kernel", &["--preset", "linux-6.18"]);
    assert_eq!(code, 0, "{out}{said}");
}
