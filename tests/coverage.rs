//! Nothing in the model is idle: every invariant is broken somewhere and kept somewhere where it
//! could be broken, every machine and every value of a strategy is run by a bundled scenario, and
//! each of them has its manual entry.

use gupsim::engine::explore::{self, Options};
use gupsim::engine::model::Props;
use gupsim::engine::run::{Limits, Runner};
use gupsim::kernel::actor::routine::Routine;
use gupsim::kernel::invariant::{TABLE, find};
use gupsim::kernel::sim::Sim;
use gupsim::kernel::strategy::{Preset, Strategy};
use gupsim::kernel::world::layout::Layout;
use gupsim::scenario::expect::Expected;
use gupsim::scenario::{self, Loaded};
use gupsim::schedule::pct::Pct;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// States of one search: enough to meet what a scenario was written for, and not its whole space,
/// which is the business of `expectations.rs`.
const STATES: u64 = 20_000;

/// Runs from which the machines are gathered, for each scenario and strategy. By random
/// priorities, so that what may end a run at any moment (power loss) does not end most of them.
const WALKS: u64 = 24;

/// Unit tests that break an invariant in a world built by hand: (invariant, file, test).
const CANARIES: &[(&str, &str, &str)] = &[
    ("use-after-free", "memory", "touching_a_freed_frame_is_use_after_free"),
    ("foreign-dma", "memory", "dma_into_a_frame_that_was_handed_on_is_foreign"),
    ("freed-while-pinned", "memory", "freeing_a_frame_whose_pin_is_not_counted_is_found"),
    ("count-balance", "memory", "a_count_without_a_holder_is_out_of_balance"),
    ("pin-missed", "memory", "only_a_wrong_no_misses_a_pin"),
    ("lost-write", "files", "a_clean_page_at_the_end_has_lost_its_write"),
    ("clean-but-newer", "files", "a_clean_page_must_not_be_newer_than_the_disk"),
    ("unstable-io", "files", "a_page_that_changes_after_its_checksum_is_unstable"),
    ("torn-snapshot", "files", "a_block_that_mixes_two_whole_versions_is_torn"),
    (
        "dirty-without-mkwrite",
        "files",
        "a_page_needs_what_its_filesystem_prepares_before_it_is_dirty",
    ),
    ("silent-orphan-dma", "memory", "dma_to_a_truncated_page_is_silent_until_somebody_is_told"),
    ("corrupt-remote-read", "memory", "a_peer_must_get_what_the_file_holds"),
    ("stale-device-mapping", "memory", "a_device_must_not_translate_after_range_start"),
    ("stale-tlb", "memory", "a_store_through_a_flushed_translation_is_found"),
    ("missing-struct-page", "memory", "a_reference_to_a_removed_struct_page_is_found"),
    ("double-owned-block", "files", "a_block_has_one_owner_unless_it_is_shared"),
    ("space-leak", "files", "a_block_without_an_extent_has_leaked"),
    ("exposed-beyond-eof", "files", "what_was_cut_off_must_not_come_back"),
    ("sleep-in-atomic", "waits", "sleeping_in_an_interrupt_or_with_interrupts_off_is_found"),
    ("lock-order", "waits", "two_locks_taken_in_both_orders_make_a_cycle_without_any_deadlock"),
    ("deadlock", "waits", "a_cycle_of_waits_is_a_deadlock_and_no_stall"),
    ("stall", "waits", "a_wait_for_what_nobody_will_do_is_a_stall"),
];

/// Asserts that everything is used.
fn complete(what: &str, names: impl Iterator<Item = (String, bool)>) {
    let missing: Vec<String> = names.filter(|(_, used)| !used).map(|(name, _)| name).collect();
    assert!(missing.is_empty(), "{what}: {}", missing.join(", "));
}

/// The strategies under which a scenario is to be looked at: those its expectations name.
fn strategies(loaded: &Loaded) -> Vec<Strategy> {
    let mut all = vec![loaded.strategy];
    for (_, strategy) in loaded.expectations.iter().flat_map(|e| &e.under) {
        if !all.contains(strategy) {
            all.push(*strategy);
        }
    }
    all
}

/// Every small bundled scenario under each of its strategies.
fn worlds(mut each: impl FnMut(&str, Sim)) {
    for (name, _) in scenario::bundled() {
        if name.starts_with("scale/") {
            continue;
        }
        let loaded = scenario::open(name).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let map = Arc::new(Layout::new(loaded.plan.clone()));
        for strategy in strategies(&loaded) {
            each(name, Sim::with_layout(map.clone(), strategy));
        }
    }
}

#[test]
fn every_invariant_is_kept_where_its_premise_arises() {
    let options =
        Options { max_states: Some(STATES), witness_states: 0, jobs: 2, ..Options::default() };
    let (mut kept, mut broken) = (Props::NONE, Props::NONE);
    worlds(|_, sim| {
        let report = explore::explore(&sim, &options, &());
        broken = broken.union(report.broken);
        kept = kept.union(Props(report.reached.0 & !report.broken.0));
    });
    for (i, invariant) in TABLE.iter().enumerate() {
        let (kept, broken) = (kept.has(i), broken.has(i));
        println!("{:22} kept {kept:5} broken {broken:5}", invariant.name);
    }
    let names = TABLE.iter().enumerate().map(|(i, v)| (v.name.to_string(), kept.has(i)));
    complete("it could be broken and is not in no bundled scenario", names);
}

#[test]
fn every_invariant_has_a_canary_that_breaks_it() {
    for invariant in TABLE {
        assert!(CANARIES.iter().any(|c| c.0 == invariant.name), "{} has none", invariant.name);
    }
    for (name, file, test) in CANARIES {
        assert!(find(name).is_some(), "{name} is no invariant");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join(format!("src/kernel/invariant/tests/{file}.rs"));
        let text = std::fs::read_to_string(&path).unwrap();
        let body = text.split(&format!("fn {test}() {{")).nth(1);
        let body = body.unwrap_or_else(|| panic!("{file}.rs has no test {test}"));
        let body = body.split("\n}\n").next().unwrap_or_default();
        assert!(body.contains("b.breaks("), "{test} breaks nothing");
    }
}

#[test]
fn every_machine_is_run_by_a_scenario_and_has_its_entry() {
    let mut seen = BTreeSet::new();
    worlds(|_, sim| {
        for agent in 0..gupsim::engine::model::Model::agents(&sim) as u32 {
            seen.extend(sim.stack(agent).map(Routine::name));
        }
        let mut runner = Runner::new(sim);
        let mut walk = Pct::new(7, 3, None);
        for run in 0..WALKS {
            runner.run(
                &mut walk,
                run,
                Limits { steps: 5_000, ..Limits::default() },
                |sim, mv, _| {
                    seen.extend(sim.stack(mv.agent).map(Routine::name));
                },
            );
        }
    });
    for (name, doc) in Routine::TABLE {
        assert!(!doc.trim().is_empty(), "{name} is not documented");
    }
    let names = Routine::TABLE.iter().map(|(name, _)| (name.to_string(), seen.contains(name)));
    complete("no bundled scenario runs it", names);
}

/// Whether a value makes no sense in any design (`Strategy::refused`), so that no scenario can
/// run it.
fn never_allowed(flag: &str, value: &str) -> bool {
    Preset::ALL.iter().all(|preset| {
        let mut strategy = preset.strategy;
        strategy.set(flag, value).unwrap();
        strategy.refused().is_some()
    })
}

#[test]
fn every_value_of_a_strategy_is_run_by_a_scenario_and_has_its_entry() {
    let mut seen = BTreeSet::new();
    for (name, _) in scenario::bundled() {
        let loaded = scenario::open(name).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        for strategy in strategies(&loaded) {
            let value = |a: &gupsim::kernel::strategy::AxisInfo| (a.flag, strategy.get(a.flag));
            seen.extend(Strategy::AXES.iter().map(value));
        }
    }
    let mut names = Vec::new();
    for axis in Strategy::AXES {
        for value in axis.values {
            assert!(!value.doc.trim().is_empty(), "{}={} is not documented", axis.flag, value.name);
            let used = seen.contains(&(axis.flag, Some(value.name)))
                || never_allowed(axis.flag, value.name);
            names.push((format!("{}={}", axis.flag, value.name), used));
        }
    }
    complete("no bundled scenario names it", names.into_iter());
}

/// Axes that are a bug and its fix: nobody argued for the bug, or against the fix.
const FIXES: &[&str] = &["cow-retry", "lazyfree", "remap-flush"];

/// An expectation that speaks for a value does so by contrast: under another value of the axis
/// the scenario expects something else of the same invariant (or states a condition for it).
#[test]
fn every_value_of_a_strategy_is_shown_at_work_and_with_what_was_said_against_it() {
    let (mut credit, mut objection) = (BTreeSet::new(), BTreeSet::new());
    for (name, _) in scenario::bundled() {
        let loaded = scenario::open(name).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        for e in &loaded.expectations {
            objection.extend(e.objection);
            let Some((flag, value)) = e.credit else { continue };
            let differs = |other: &scenario::expect::Expectation| {
                let elsewhere = other.under.iter().any(|(_, s)| s.get(flag) != Some(value));
                let says = |e: &scenario::expect::Expectation| match &e.what {
                    Expected::Invariant(name, verdict) => Some((name.clone(), *verdict)),
                    _ => None,
                };
                elsewhere
                    && match (says(e), says(other)) {
                        (Some((a, x)), Some((b, y))) => a == b && x != y,
                        (None, None) => true,
                        _ => false,
                    }
            };
            let contrast = loaded.expectations.iter().any(differs);
            assert!(contrast, "{name}: {flag}={value} gets credit for {} without contrast", e.text);
            credit.insert((flag, value));
        }
    }
    for (what, shown) in [("at work", &credit), ("with its objection", &objection)] {
        let fixed = |flag: &&&str| shown.iter().any(|(axis, _)| *axis == **flag);
        assert_eq!(FIXES.iter().filter(fixed).count(), FIXES.len(), "a fix is not shown {what}");
        let argued = |flag| !FIXES.contains(flag);
        let axes = Strategy::AXES.iter().filter(|a| argued(&a.flag));
        let values = axes.flat_map(|a| a.values.iter().map(|v| (a.flag, v.name)));
        let shown = |a, v| shown.contains(&(a, v)) || never_allowed(a, v);
        let names = values.map(|(a, v)| (format!("{a}={v}"), shown(a, v)));
        complete(&format!("no bundled scenario shows it {what}"), names);
    }
}
