//! Every bundled scenario means what it says: what `gupsim check` finds, held by a test.
//!
//! `GUPSIM_SCENARIO=name cargo test --test expectations -- --nocapture` looks at one scenario
//! alone and prints the shortest run that shows each of its lines, as a schedule; the name may
//! also be the path of a file.

use gupsim::check::{Found, Line, check};
use gupsim::engine::explore::Options;
use gupsim::jobs;
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
        Found::Nothing => "not looked at".into(),
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
fn every_expectation_of_every_scenario_is_met() {
    let only = std::env::var(ONLY).ok();
    let witness_states = if only.is_some() { 4_000_000 } else { 0 };
    let options = Options {
        reduction: true,
        max_states: Some(MOST_STATES),
        witness_states,
        ..Options::default()
    };
    let file = only.as_deref().filter(|o| o.ends_with(".json"));
    let wanted = |name: &&str| only.as_ref().is_none_or(|o| name.contains(o.as_str()));
    let names = scenario::bundled().iter().map(|b| b.0).filter(wanted).chain(file);
    let names: Vec<&str> = names.collect();
    let checked = jobs::map(&names, 2, |name| {
        let loaded = scenario::open(name).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let lines = check(&loaded, &options, &());
        (loaded, lines)
    });
    let mut failed = Vec::new();
    for (loaded, lines) in checked {
        println!("{}", loaded.name);
        for line in &lines {
            println!("{}", show(line));
            if let (Found::Ends { witness: Some(witness), .. }, true) =
                (&line.found, only.is_some())
            {
                println!("    {}", schedule(&loaded, line, witness));
            }
            if !line.fate.passes() {
                failed.push(format!("{}\n{}", loaded.name, show(line)));
            }
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}
