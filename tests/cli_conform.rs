//! What `conform --export` and `--random` promise: files that the other commands read, and errors
//! with the cure in them.

mod shell;

use gupsim::conform::read;
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
fn random_sequences_are_a_file_of_sequences() {
    let text = stdout(&gupsim(&["conform", "--random", "20", "--seed", "7"]));
    let suite = read::suite("random", &text).unwrap();
    assert_eq!(suite.sequences.len(), 20);
    assert_eq!(text, stdout(&gupsim(&["conform", "--random", "20", "--seed", "7"])));
    let gated = stdout(&gupsim(&["conform", "--random", "20", "--fs", "gatex"]));
    assert!(gated.contains("gate close\nsfr w\n") && gated.contains("fs=gatex"));
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
