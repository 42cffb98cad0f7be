//! Every bundled scenario means what it says: its expectations, held against all interleavings.

use gupsim::check::{Fate, Line, check};
use gupsim::engine::explore::Options;
use gupsim::scenario;

/// States after which a search is called too large for this test.
const MOST_STATES: u64 = 3_000_000;

/// Names a scenario to look at alone, with all its lines.
const ONLY: &str = "GUPSIM_SCENARIO";

fn show(line: &Line) -> String {
    format!(
        "  {:?}: {} under {} ({} with, {} without, {} states{})",
        line.fate,
        line.text,
        if line.under.is_empty() { "its own strategy" } else { &line.under },
        line.with,
        line.without,
        line.states,
        line.witness
            .as_ref()
            .map(|w| format!(", witness of {} steps", w.len()))
            .unwrap_or_default(),
    )
}

#[test]
fn every_expectation_of_every_small_scenario_is_met() {
    let only = std::env::var(ONLY).ok();
    let options = Options { max_states: Some(MOST_STATES), jobs: 2, ..Options::default() };
    let mut failed = Vec::new();
    for (name, _) in scenario::bundled() {
        // Large worlds are for timed runs.
        if name.starts_with("scale/") || only.as_ref().is_some_and(|o| !name.contains(o.as_str())) {
            continue;
        }
        let loaded = scenario::open(name).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let lines = check(&loaded, &options, &());
        println!("{name}");
        for line in &lines {
            println!("{}", show(line));
            if line.fate != Fate::Met {
                failed.push(format!("{name}\n{}", show(line)));
            }
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}
