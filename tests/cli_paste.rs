//! What is printed to be typed again is one line that a shell reads as the words that were meant,
//! in whatever command and report it stands.

mod shell;

use shell::{code, dir, gupsim, stderr, stdout};

/// The commands of gupsim in a text, word by word: a line each, after its label and indentation.
fn commands(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter_map(|line| {
        let line = line.strip_prefix("repeat   ").unwrap_or(line).trim_start();
        line.starts_with("gupsim ").then_some(line)
    });
    lines.map(|l| shlex::split(l).unwrap_or_else(|| panic!("unfinished: {l}"))).collect()
}

/// Runs each command that a command prints, of which there have to be so many, and gives the
/// reports. All of them show something broken.
fn pasted(args: &[&str], count: usize) -> Vec<String> {
    let output = gupsim(args);
    let text = stdout(&output);
    let found = commands(&text);
    assert_eq!(found.len(), count, "{args:?}: {}\n{text}", stderr(&output));
    let run = |words: &Vec<String>| {
        let words: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let output = gupsim(&words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", stderr(&output));
        stdout(&output)
    };
    found.iter().map(run).collect()
}

const ORPHAN: &str = "truncate/orphan-rdma";

#[test]
fn the_command_below_each_refuted_invariant_shows_it() {
    let runs = pasted(&["explore", ORPHAN, "--no-trace"], 2);
    for (run, broken) in runs.iter().zip(["silent-orphan-dma", "corrupt-remote-read"]) {
        assert!(run.contains(&format!("broken   {broken} (step ")), "no {broken} in:\n{run}");
    }
}

#[test]
fn the_command_below_a_starved_thread_goes_once_round() {
    let output = gupsim(&["explore", "dax/endless-repin", "--starvation", "--no-trace"]);
    let text = stdout(&output);
    let [command] = commands(&text).try_into().unwrap_or_else(|_| panic!("{text}"));
    let words: Vec<&str> = command[1..].iter().map(String::as_str).collect();
    let run = gupsim(&words);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert!(stdout(&run).contains("limit of steps after 48 steps"), "{}", stdout(&run));
}

#[test]
fn the_commands_below_what_random_runs_broke_show_it() {
    let args = ["fuzz", ORPHAN, "--runs", "300", "--seed", "5", "--jobs", "1"];
    // The quickest run that shows each, and that run made simple.
    for run in pasted(&args, 4) {
        assert!(run.contains(" is broken"), "{run}");
    }
}

#[test]
fn the_command_below_a_witness_and_two_runs_that_part_shows_them() {
    let witness = ["compare", ORPHAN, "--witness", "linux-4.19", "silent-orphan-dma"];
    assert!(pasted(&witness, 1)[0].contains("silent-orphan-dma is broken"));
    let text = stdout(&gupsim(&["compare", ORPHAN, "--diverge", "linux-4.19", "linux-6.18"]));
    let codes = commands(&text).into_iter().map(|words| {
        let words: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        code(&words)
    });
    assert_eq!(codes.collect::<Vec<_>>(), [1, 0], "{text}");
}

#[test]
fn the_command_below_a_shrunk_run_and_in_its_explanation_shows_it() {
    let file = dir("paste").join("with a space.json").display().to_string();
    assert_eq!(pasted(&["shrink", ORPHAN, "--out", &file], 1).len(), 1);
    let run = &pasted(&["explore", &file, "--no-trace"], 1)[0];
    assert!(run.contains("silent-orphan-dma is broken"), "{run}");
}

#[test]
fn a_row_of_a_table_is_typed_as_the_table_says() {
    let designs = ["--preset", "linux-4.19", "--truncate", "ignore,wait-unlocked"];
    let text = stdout(&gupsim(&[&["compare", ORPHAN][..], &designs].concat()));
    let more = text.lines().find_map(|l| l.strip_prefix("To see one: the same with "));
    let more = shlex::split(more.unwrap_or_else(|| panic!("{text}"))).unwrap();
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let args = [&["compare", ORPHAN][..], &designs, &more].concat();
    assert_eq!(code(&args), 1, "{args:?}");
}

/// In a mail a command goes over several lines, which a shell puts together again.
#[test]
fn the_command_of_a_mail_is_read_by_a_shell() {
    let found = stdout(&gupsim(&["explore", ORPHAN, "--no-trace"]));
    let command = &commands(&found)[0];
    let words: Vec<&str> = command[1..].iter().map(String::as_str).collect();
    let mail = stdout(&gupsim(&[&words[..], &["--format", "mail"]].concat()));
    let typed = mail.split("To see it again:\n\n").nth(1).unwrap();
    let bin = assert_cmd::cargo::cargo_bin("gupsim");
    let script = format!("gupsim() {{ {} \"$@\"; }}\n{typed}", bin.display());
    let done = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{typed}: {}", stderr(&done));
    assert!(stdout(&done).contains("silent-orphan-dma is broken"));
}
