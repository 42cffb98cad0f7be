//! Every bundled scenario means what it says: its expectations, held against all interleavings.
//!
//! `GUPSIM_SCENARIO=name cargo test --test expectations -- --nocapture` looks at one scenario
//! alone and prints the shortest run that shows each of its lines, as a schedule; the name may
//! also be the path of a file.

use gupsim::check::{Fate, Found, Line, check};
use gupsim::engine::explore::Options;
use gupsim::kernel::sim::{Move, Sim};
use gupsim::report::run;
use gupsim::scenario::schedule::Schedule;
use gupsim::scenario::{self, Loaded};

/// States after which a search is called too large for this test.
const MOST_STATES: u64 = 3_000_000;

/// Names a scenario to look at alone, with all its lines.
const ONLY: &str = "GUPSIM_SCENARIO";

fn show(line: &Line) -> String {
    let under = if line.under.is_empty() { "its own strategy" } else { &line.under };
    let found = match &line.found {
        Found::Ends { with, without, states, witness, .. } => format!(
            "{with} with, {without} without, {states} states{}",
            witness.as_ref().map(|w| format!(", witness of {} steps", w.len())).unwrap_or_default(),
        ),
        Found::Price { value, steps } => format!("it is {value}, after {steps} steps"),
    };
    format!("  {:?}: {} under {under} ({found})", line.fate, line.text)
}

/// The run that shows a line, for `gupsim replay --schedule`.
fn schedule(loaded: &Loaded, line: &Line, witness: &[Move]) -> Schedule {
    let mut named = loaded.expectations.iter().flat_map(|e| &e.under);
    let strategy = named.find(|(name, _)| *name == line.under).map_or(loaded.strategy, |u| u.1);
    run::schedule(&Sim::new(loaded.plan.clone(), strategy), witness)
}

#[test]
fn every_expectation_of_every_small_scenario_is_met() {
    let only = std::env::var(ONLY).ok();
    let options = Options { max_states: Some(MOST_STATES), jobs: 2, ..Options::default() };
    let mut failed = Vec::new();
    let file = only.as_deref().filter(|o| o.ends_with(".json"));
    let bundled = scenario::bundled().iter().map(|(name, _)| *name);
    let wanted = |name: &&str| only.as_ref().is_none_or(|o| name.contains(o.as_str()));
    // Large worlds are for timed runs.
    let small = bundled.filter(|name| !name.starts_with("scale/"));
    for name in small.filter(wanted).chain(file) {
        let loaded = scenario::open(name).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let lines = check(&loaded, &options, &());
        println!("{name}");
        for line in &lines {
            println!("{}", show(line));
            if let (Found::Ends { witness: Some(witness), .. }, true) =
                (&line.found, only.is_some())
            {
                println!("    {}", schedule(&loaded, line, witness));
            }
            if line.fate != Fate::Met {
                failed.push(format!("{name}\n{}", show(line)));
            }
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}
