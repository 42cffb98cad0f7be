//! What `compare` promises: every design in the same scenarios, verdicts that hold what they say,
//! witnesses that replay, and the same bytes on any number of threads.

mod shell;

use serde_json::Value;
use shell::{code, gupsim, json, stderr, stdout};

const ORPHAN: &str = "truncate/orphan-rdma";
const HELD: &str = "tests/cli/held.json";
const EMBRACE: &str = "tests/cli/embrace.json";

fn shown(args: &[&str]) -> String {
    let output = gupsim(args);
    let code = output.status.code().unwrap();
    format!("$ gupsim {}\n{}--- exit {code}\n", args.join(" "), stdout(&output))
}

/// The cell of a design and an invariant.
fn cell<'a>(table: &'a Value, design: &str, invariant: &str) -> &'a Value {
    let columns = table["columns"].as_array().unwrap();
    let n = columns.iter().position(|c| c["invariant"] == invariant).unwrap();
    &row(table, design)["cells"][n]
}

fn row<'a>(table: &'a Value, design: &str) -> &'a Value {
    let common = table["common"].as_str().unwrap();
    let is = |r: &&Value| format!("{common}{}", r["design"].as_str().unwrap()) == design;
    table["rows"].as_array().unwrap().iter().find(is).unwrap()
}

fn price(table: &Value, design: &str, name: &str) -> [u64; 3] {
    let prices = table["prices"].as_array().unwrap();
    let Some(n) = prices.iter().position(|p| p["price"] == name) else { return [0; 3] };
    let all = &row(table, design)["prices"][n];
    [0, 1, 2].map(|i| all[i].as_u64().unwrap())
}

#[test]
fn a_table_has_rows_of_verdicts_and_says_what_they_mean() {
    insta::assert_snapshot!(shown(&["compare", EMBRACE, "--preset", "linux-4.19,linux-6.18"]));
}

#[test]
fn one_design_protects_whom_the_other_hurts() {
    let table = json(&["compare", ORPHAN, "--preset", "linux-4.19,linux-6.18"]);
    let old = cell(&table, "linux-4.19", "silent-orphan-dma");
    assert_eq!(old["verdict"], "refuted");
    assert_eq!(old["shortest"], true);
    assert_eq!(cell(&table, "linux-6.18", "silent-orphan-dma")["verdict"], "vacuous");
    let rdma = |design: &str| row(&table, design)["groups"][1].clone();
    assert_eq!(rdma("linux-4.19")["verdict"], "hurt");
    assert_ne!(rdma("linux-6.18")["verdict"], "hurt");
}

#[test]
fn verdicts_agree_with_explore() {
    let table = json(&["compare", ORPHAN, "--preset", "linux-4.19,linux-6.18"]);
    let found = json(&["explore", ORPHAN, "--preset", "linux-4.19", "--no-trace"]);
    for verdict in found["invariants"].as_array().unwrap() {
        let name = verdict["invariant"].as_str().unwrap();
        let columns = table["columns"].as_array().unwrap();
        if columns.iter().any(|c| c["invariant"] == name) {
            let cell = cell(&table, "linux-4.19", name);
            assert_eq!(cell["verdict"], verdict["verdict"], "{name}");
            if verdict["verdict"] == "refuted" {
                assert_eq!(cell["steps"], verdict["witness"]["steps"], "{name}");
            }
        }
    }
}

#[test]
fn the_command_of_a_cell_breaks_its_invariant() {
    let table = json(&["compare", ORPHAN, "--preset", "linux-4.19,linux-6.18"]);
    let words = cell(&table, "linux-4.19", "silent-orphan-dma")["replay"].as_array().unwrap();
    let words: Vec<&str> = words.iter().map(|w| w.as_str().unwrap()).collect();
    let output = gupsim(&words[1..]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).contains("silent-orphan-dma is broken"));
    let witness = gupsim(&["compare", ORPHAN, "--witness", "linux-4.19", "silent-orphan-dma"]);
    assert_eq!(witness.status.code(), Some(1));
    assert!(stdout(&witness).contains("silent-orphan-dma is broken"));
}

#[test]
fn who_waits_pays_and_the_price_is_a_column() {
    let table = json(&["compare", HELD, "--truncate", "ignore,wait-unlocked"]);
    let of = |value: &str, name: &str| price(&table, &format!("truncate={value}"), name);
    assert_eq!(of("ignore", "blocked-calls"), [0; 3]);
    assert!(of("wait-unlocked", "blocked-calls")[2] > 0);
    let [least, middle, greatest] = of("wait-unlocked", "truncate-ns");
    assert!(least <= middle && middle <= greatest && greatest > 100_000, "{greatest}");
    let free = table["free"].as_array().unwrap();
    assert!(free.iter().any(|p| p == "bounce-pages"), "{free:?}");
}

#[test]
fn a_combination_that_makes_no_sense_is_listed_with_its_reason() {
    let args = ["compare", HELD, "--pin", "none,folio-pincount", "--truncate", "all"];
    let table = json(&args);
    let refused = table["refused"].as_array().unwrap();
    let none = |r: &&Value| r["design"].as_str().unwrap().contains("pin=none");
    assert!(refused.iter().filter(none).count() > 0, "{refused:?}");
    assert!(refused.iter().all(|r| r["why"].as_str().unwrap().contains("makes no sense")));
    assert!(stdout(&gupsim(&args)).contains("refused  "));
}

#[test]
fn a_search_that_is_cut_is_bounded_and_sampled_by_the_same_schedules() {
    let args = ["compare", ORPHAN, "--preset", "linux-4.19,linux-6.18", "--max-states", "30"];
    let table = json(&[&args[..], &["--schedules", "200"]].concat());
    let refuted = cell(&table, "linux-4.19", "silent-orphan-dma");
    assert_eq!(refuted["verdict"], "refuted");
    let kept = cell(&table, "linux-4.19", "count-balance");
    assert_eq!((&kept["verdict"], &kept["runs"]), (&"bounded".into(), &200.into()));
    let high = kept["interval"][1].as_f64().unwrap();
    assert!(high > 0.0 && high < 0.05, "{high}");
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    for format in ["text", "markdown", "csv", "json"] {
        let args = ["compare", ORPHAN, HELD, "--format", format, "--jobs"];
        let run = |jobs| gupsim(&[&args[..], &[jobs]].concat());
        assert_eq!(run("1"), run("3"), "{format}");
    }
}

#[test]
fn two_designs_share_a_schedule_until_they_part() {
    let pair = ["compare", ORPHAN, "--diverge", "linux-4.19", "linux-6.18"];
    let found = json(&pair);
    let parts = found["parts"].as_u64().unwrap() as usize;
    let step = |run: usize, n: usize| {
        let step = &found["runs"][run]["steps"][n];
        (step["agent"].clone(), step["step"].clone())
    };
    assert!(parts > 1);
    assert!((0..parts - 1).all(|n| step(0, n) == step(1, n)));
    assert_ne!(step(0, parts - 1), step(1, parts - 1));
    assert!(stdout(&gupsim(&pair)).contains("here they part"));
    let same = gupsim(&["compare", ORPHAN, "--diverge", "linux-6.18", "linux-6.18"]);
    assert!(stdout(&same).contains("the same steps"), "{}", stdout(&same));
}

#[test]
fn history_says_since_when_a_kernel_is_safe() {
    let text = stdout(&gupsim(&["compare", "--history", "dax/punch-foreign-dma"]));
    assert!(text.contains("since 4.19"), "{text}");
}

#[test]
fn every_smallest_repair_is_found_and_repairs() {
    let repair = ["compare", "--repair", "dax/punch-foreign-dma", "--from", "linux-4.14"];
    let found = json(&repair);
    let repairs = found["repairs"].as_array().unwrap();
    assert!(repairs.iter().any(|r| r == "linux-4.14 longterm=refuse-dax"), "{repairs:?}");
    let table = &found["comparison"];
    for design in repairs {
        let row = row(table, design.as_str().unwrap());
        let refuted = |c: &Value| c["verdict"] == "refuted";
        assert!(!row["cells"].as_array().unwrap().iter().any(refuted), "{design}");
    }
    assert_eq!(code(&["compare", "--repair", HELD, "--from", "linux-6.18"]), 0);
}

#[test]
fn what_is_typed_wrong_is_said_with_the_nearest_right() {
    let help = |args: &[&str]| {
        let output = gupsim(&[&["compare"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        stderr(&output)
    };
    assert!(help(&["--pin", "nonee"]).contains("did you mean `none`"));
    assert!(help(&["--preset", "linux-9"]).contains("did you mean"));
    assert!(help(&[ORPHAN, "--witness", "linux-6.18", "silent-orphan"]).contains("did you mean"));
    assert!(help(&["--history"]).contains("one scenario"));
    assert!(help(&[ORPHAN, "--preset", ""]).contains("empty name"));
    assert!(help(&[ORPHAN, "--witness", "#0", "stall"]).contains("#1 to #18"));
    assert!(help(&[ORPHAN, "--witness", "#x", "stall"]).contains("#1 to #18"));
    assert!(help(&[ORPHAN, "--witness", "", "stall"]).contains("no name"));
    assert!(help(&["--repair", ORPHAN, "--pin", "all"]).contains("no lists"));
    let pair = ["--diverge", "linux-4.19", "linux-6.18", ORPHAN, "--format", "csv"];
    assert!(help(&pair).contains("--format text or json"));
}

#[test]
fn a_search_that_was_cut_is_not_said_to_refute_nothing() {
    let args = ["compare", ORPHAN, "--witness", "linux-4.19", "corrupt-remote-read"];
    let output = gupsim(&[&args[..], &["--max-states", "1", "--schedules", "0"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("as far as the search went"), "{}", stderr(&output));
}

#[test]
fn many_designs_stand_in_numbered_columns_that_fit() {
    let text = stdout(&gupsim(&["compare", ORPHAN]));
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let row = |name: &str| text.lines().find(|line| line.split(' ').any(|w| w == name)).unwrap();
    assert!(row("linux-6.18").starts_with("7 "), "{text}");
    let rule = row("corrupt-remote-read");
    let cells: Vec<&str> = rule.split_whitespace().skip(1).collect();
    assert_eq!((cells.len(), cells[6]), (18, "-"), "{rule}");
    let table = json(&["compare", ORPHAN]);
    let steps = &cell(&table, "linux-4.19", "corrupt-remote-read")["steps"];
    assert_eq!(cells[2], steps.to_string());
    for word in ["Protects ", "Refuses ", "Hurts "] {
        assert!(text.contains(word), "{text}");
    }
    let numbered = gupsim(&["compare", ORPHAN, "--witness", "#3", "corrupt-remote-read"]);
    let named = gupsim(&["compare", ORPHAN, "--witness", "linux-4.19", "corrupt-remote-read"]);
    assert_eq!(numbered, named);
}

#[test]
fn a_witness_in_brief_is_a_small_diagram() {
    let args = ["compare", ORPHAN, "--witness", "linux-4.19", "silent-orphan-dma", "--brief"];
    let text = stdout(&gupsim(&args));
    for part in ["step  ", "> ", "<- (1)", "<- (2)", "** silent-orphan-dma is broken:"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    assert!(text.lines().count() < 30, "{text}");
}

#[test]
fn in_brief_it_is_a_line_for_each_design_and_who_protects_refuses_and_hurts() {
    let text =
        stdout(&gupsim(&["compare", ORPHAN, "--brief", "--preset", "linux-4.19,linux-6.18"]));
    assert!(text.lines().count() < 15, "{text}");
    assert!(text.contains("Refuses"), "{text}");
}

#[test]
fn what_no_run_can_count_is_in_the_table() {
    let table = json(&["compare", HELD, "--pin", "page-counter,fake-vma", "--truncate", "lease"]);
    let of = |pin: &str| row(&table, &format!("pin={pin} truncate=lease"))["standing"].clone();
    assert_eq!(of("page-counter")["page_bytes"], 4);
    assert_eq!(of("page-counter")["names_holder"], false);
    assert_eq!(of("fake-vma")["names_holder"], true);
    assert!(of("fake-vma")["driver"].to_string().contains("ask the program"));
    let value = stdout(&gupsim(&["explain", "pin=fake-vma"]));
    assert!(value.contains("bytes for each pinned page"), "{value}");
    let value = stdout(&gupsim(&["explain", "truncate-dax=lease"]));
    assert!(value.contains("of drivers: ask the program"), "{value}");
}

#[test]
fn history_takes_lists_of_values_too() {
    let table = json(&["compare", "--history", ORPHAN, "--longterm", "allow"]);
    assert!(row(&table, "linux-6.18 longterm=allow").is_object());
}
