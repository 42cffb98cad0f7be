//! Reduction against plain search on the bundled scenarios: the same violations, premises and end
//! states. Prints what is left of the moves.

use gupsim::engine::explore::{Options, explore};
use gupsim::kernel::invariant::LOCK_ORDER;
use gupsim::kernel::sim::Sim;
use gupsim::scenario::{bundled, load};

/// States of the largest full search.
const MOST: u64 = 100_000;

#[test]
fn reduced_and_full_search_agree_on_the_bundled_scenarios() {
    // Lock orders are a matter of all transitions made together, not of states.
    let judged = |props: u32| props & !(1 << LOCK_ORDER);
    let mut compared = 0;
    for (name, text) in bundled::bundled().iter().filter(|(n, _)| !n.starts_with("scale/")) {
        let loaded = load::text(name, text).expect("a bundled scenario");
        let start = Sim::new(loaded.plan, loaded.strategy);
        let plain = Options { witness_states: 0, max_states: Some(MOST), ..Options::default() };
        let full = explore(&start, &plain, &());
        if !full.is_complete() {
            println!("{name}: more than {MOST} states");
            continue;
        }
        let reduced = explore(&start, &Options { reduction: true, insist: true, ..plain }, &());
        println!(
            "{name}: {} of {} states, {} of {} moves ({:.2})",
            reduced.states,
            full.states,
            reduced.transitions,
            full.transitions,
            reduced.transitions as f64 / full.transitions as f64
        );
        assert_eq!(judged(full.broken.0), judged(reduced.broken.0), "{name}: broken");
        assert_eq!(judged(full.reached.0), judged(reduced.reached.0), "{name}: reached");
        assert_eq!(full.ends, reduced.ends, "{name}: end states");
        assert_eq!(full.violating_ends, reduced.violating_ends, "{name}: violating ends");
        compared += 1;
    }
    assert!(compared >= 10, "only {compared} scenarios were small enough");
}

#[test]
fn a_reduction_that_saves_next_to_nothing_is_given_up_and_one_that_pays_is_not() {
    let search = |name: &str, options: Options| {
        let (_, text) = bundled::bundled().iter().find(|(n, _)| *n == name).expect("bundled");
        let loaded = load::text(name, text).expect("a bundled scenario");
        explore(&Sim::new(loaded.plan, loaded.strategy), &options, &())
    };
    let plain = Options { witness_states: 0, ..Options::default() };
    let reduced = Options { reduction: true, ..plain.clone() };
    for (name, given_up) in
        [("truncate/direct-write-under-mapping", true), ("notifier/three-share-two-pages", false)]
    {
        let (full, less) = (search(name, plain.clone()), search(name, reduced.clone()));
        let reduction = less.reduction.unwrap();
        assert!(full.transitions > 40_000, "{name} is too small to tell");
        assert_eq!(reduction.given_up, given_up, "{name}");
        assert_eq!(less.states == full.states, given_up, "{name}");
        assert_eq!((less.broken, less.reached), (full.broken, full.reached), "{name}");
        let jobs = search(name, Options { jobs: 3, ..reduced.clone() });
        assert_eq!((jobs.states, jobs.reduction), (less.states, less.reduction), "{name}");
    }
}
