//! Every guard that keeps a race from happening is missed when it is gone: without it, an
//! expectation of some bundled scenario fails.

#[path = "mutants/table.rs"]
mod table;

use gupsim::check::{Fate, check};
use gupsim::engine::explore::Options;
use gupsim::kernel::strategy::Guard;
use gupsim::scenario::{self, Loaded};
use std::collections::BTreeMap;
use table::{KILLED, SURVIVORS};

/// A scenario whose expectations are judged without a guard.
fn without(name: &str, guard: Guard) -> Loaded {
    let mut loaded = scenario::open(name).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    for (_, strategy) in loaded.expectations.iter_mut().flat_map(|e| &mut e.under) {
        strategy.without = Some(guard);
    }
    loaded
}

/// The first expectation that fails without a guard.
fn killed(name: &str, guard: Guard) -> Option<String> {
    let options =
        Options { jobs: 2, witness_states: 0, max_states: Some(2_000_000), ..Options::default() };
    let lines = check(&without(name, guard), &options, &());
    let failed = lines.into_iter().find(|l| l.fate == Fate::Failed)?;
    Some(format!("{} [{}]", failed.text, failed.under))
}

#[test]
fn every_guard_is_missed_by_the_scenario_that_is_named() {
    for &(guard, name) in KILLED {
        let why = killed(name, guard);
        println!("{:24} {name}: {}", guard.name(), why.as_deref().unwrap_or("-"));
        assert!(why.is_some(), "{name} does not notice that {} is gone", guard.name());
    }
}

#[test]
fn every_guard_is_accounted_for() {
    let mut count: BTreeMap<Guard, u32> = BTreeMap::new();
    for &(guard, _) in KILLED.iter().chain(SURVIVORS) {
        *count.entry(guard).or_default() += 1;
    }
    for &guard in Guard::ALL {
        assert_eq!(count.get(&guard), Some(&1), "{}: {}", guard.name(), guard.doc());
    }
}

/// `GUPSIM_HUNT=1` (or names of guards) looks for scenarios that miss a guard, for the table above;
/// `GUPSIM_IN` gives parts of the names of those to look at.
#[test]
fn hunt() {
    let Ok(wanted) = std::env::var("GUPSIM_HUNT") else { return };
    let within = std::env::var("GUPSIM_IN").unwrap_or_default();
    let within: Vec<&str> = within.split(',').collect();
    let named = |guard: &Guard| wanted == "1" || wanted.split(',').any(|w| w == guard.name());
    for &guard in Guard::ALL.iter().filter(|g| named(g)) {
        let names = scenario::bundled().iter().map(|(name, _)| *name);
        let killers: Vec<String> = names
            .filter(|name| !name.starts_with("scale/"))
            .filter(|name| within.iter().any(|part| name.contains(part)))
            .filter_map(|name| Some(format!("{name}: {}", killed(name, guard)?)))
            .take(2)
            .collect();
        println!("{:24} {killers:?}", guard.name());
    }
}
