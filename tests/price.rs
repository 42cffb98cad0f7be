//! Prices of timed runs: what takes long, who is kept waiting, and what expectations say of them.

use gupsim::check::{Fate, Found, check};
use gupsim::engine::explore::Options;
use gupsim::kernel::sim::Sim;
use gupsim::kernel::strategy::Strategy;
use gupsim::kernel::world::price::Price;
use gupsim::measure::{self, Measured};
use gupsim::scenario::{self, Loaded, load, strategy};

/// A pin of a millisecond, a truncate a little later, and a `write` that comes last.
const HELD: &str = r#"{
    "title": "a pin is held while the file is truncated",
    "preset": "linux-6.18",
    "files": { "data": { "pages": 2 } },
    "mappings": { "buf": { "file": "data", "populate": "write" } },
    "threads": {
        "app": { "do": [
            { "label": "pin", "pin": { "at": "buf[0]", "write": true } },
            { "sleep": 1000000 },
            { "unpin": {} }
        ] },
        "truncator": { "do": [
            { "sleep": 100000 },
            { "truncate": { "file": "data", "pages": 0 } }
        ] },
        "writer": { "do": [{ "sleep": 200000 }, { "write": "data[1]" }] }
    },
    "expect": [
        { "price": "truncate-ns < 50000" },
        { "price": "blocked-ns > 500000", "under": ["truncate-page-cache=wait-unlocked"] },
        { "price": "blocked-ns > 500000" }
    ]
}"#;

fn loaded(text: &str) -> Loaded {
    load::text("test", text).unwrap_or_else(|e| panic!("{}", e.plain(100)))
}

fn measured(loaded: &Loaded, strategy: Strategy) -> Measured {
    measure::exact(&Sim::new(loaded.plan.clone(), strategy))
}

fn under(loaded: &Loaded, text: &str) -> Measured {
    measured(loaded, strategy::describe(text, loaded.strategy).unwrap())
}

#[test]
fn a_truncate_that_waits_for_a_pin_pays_for_it_and_so_does_who_waits_for_its_locks() {
    let held = loaded(HELD);
    let free = under(&held, "truncate-page-cache=ignore").prices;
    let waits = under(&held, "truncate-page-cache=wait-unlocked").prices;
    for price in [Price::BlockedCalls, Price::BlockedNs] {
        assert_eq!(free.get(price), 0, "{}", price.name());
    }
    assert!(free.get(Price::TruncateNs) < 50_000, "{}", free.get(Price::TruncateNs));
    assert!(waits.get(Price::TruncateNs) > 800_000, "{}", waits.get(Price::TruncateNs));
    // The truncate, and the write that waits for the inode lock which the truncate holds.
    assert_eq!(waits.get(Price::BlockedCalls), 2);
    let blocked = waits.get(Price::BlockedNs);
    assert!((800_000..1_000_000).contains(&blocked), "{blocked}");
}

#[test]
fn a_dirty_page_ages_until_it_is_written_or_the_run_ends() {
    let aged = loaded(HELD);
    let run = under(&aged, "truncate-page-cache=ignore");
    // Dirty from the start until the truncate took it, or from the write to the end.
    let age = run.prices.get(Price::DirtyAgeNs);
    assert!(age > 100_000 && age <= run.time_ns, "{age} of {}", run.time_ns);
}

#[test]
fn a_price_is_judged_on_the_timed_run_under_each_strategy() {
    let lines = check(&loaded(HELD), &Options::default(), &());
    let mut fates: Vec<(usize, Fate)> = lines.iter().map(|l| (l.number, l.fate)).collect();
    fates.sort_by_key(|f| f.0);
    assert_eq!(fates, [(0, Fate::Met), (1, Fate::Met), (2, Fate::Failed)]);
    for line in lines {
        assert!(matches!(line.found, Found::Price { .. }), "{line:?}");
    }
}

#[test]
fn a_scenario_costs_the_same_each_time_and_on_every_clone() {
    for (name, _) in scenario::bundled().iter().filter(|(n, _)| !n.starts_with("scale/")) {
        let loaded = scenario::open(name).unwrap();
        let start = Sim::new(loaded.plan.clone(), loaded.strategy);
        let (one, two) = (measure::exact(&start), measure::exact(&start.clone()));
        assert_eq!(one.prices, two.prices, "{name}");
        assert_eq!((one.steps, one.time_ns), (two.steps, two.time_ns), "{name}");
        assert!(one.ending.is_some(), "{name}");
    }
}

#[test]
fn every_price_has_a_name_of_its_own_and_its_entry() {
    for price in Price::ALL {
        assert_eq!(Price::find(price.name()), Some(*price));
        assert!(!price.doc().trim().is_empty(), "{}", price.name());
    }
}
