//! The bundled scenarios: they load, are complete, and are found by their names.

use gupsim::engine::model::Model;
use gupsim::kernel::invariant::find;
use gupsim::kernel::sim::Sim;
use gupsim::report::run::{Choose, record};
use gupsim::scenario;
use gupsim::scenario::expect::Expected;
use gupsim::scenario::types::Verdict;

/// Documents point to these names.
const FIXED: &[&str] = &[
    "writeback/rdma-write-after-clean",
    "bugs/d824ec2a1546-page-without-buffers",
    "writeback/fsync-then-crash",
    "truncate/orphan-rdma",
    "truncate/extend-refault",
    "dax/punch-foreign-dma",
    "dax/wait-under-lock-deadlock",
    "dax/longterm-stall",
    "notifier/odp-truncate",
    "unbind/gup-fast-vs-unbind",
    "reclaim/pinned-page-survives",
    "bugs/70e806e4e645-lost-dma-after-fork",
    "scale/rdma-farm",
];

#[test]
fn every_bundled_scenario_loads() {
    for (name, text) in scenario::bundled() {
        if let Err(problems) = scenario::load::text(name, text) {
            panic!("{}", problems.plain(100));
        }
    }
}

#[test]
fn every_bundled_scenario_is_a_machine_with_something_to_do() {
    for (name, text) in scenario::bundled() {
        let loaded = scenario::load::text(name, text).unwrap();
        let sim = Sim::new(loaded.plan, loaded.strategy);
        let mut moves = Vec::new();
        sim.moves(&mut moves);
        assert!(!moves.is_empty(), "{name}: nobody can do anything");
    }
}

#[test]
fn every_bundled_scenario_says_what_it_shows_where_it_comes_from_and_what_is_expected() {
    for (name, text) in scenario::bundled() {
        let scenario = scenario::load::text(name, text).unwrap().scenario;
        assert!(!scenario.look_for.is_empty(), "{name} says what to look for");
        assert!(!scenario.source.is_empty(), "{name} has a source");
        assert!(!scenario.expect.is_empty(), "{name} expects something");
        let lower = scenario.title.starts_with(|c: char| !c.is_uppercase());
        assert!(lower || scenario.title.split(' ').next().unwrap().len() > 1, "{name}: title");
        assert!(scenario.title.len() <= 100, "{name}: title fits on a line");
    }
}

#[test]
fn a_scenarios_own_schedule_fits_to_its_end_and_breaks_what_is_expected_to_break() {
    let mut scheduled = 0;
    for (name, text) in scenario::bundled() {
        let loaded = scenario::load::text(name, text).unwrap();
        let Some(schedule) = &loaded.schedule else { continue };
        scheduled += 1;
        let start = Sim::new(loaded.plan.clone(), loaded.strategy);
        let choose = Choose { schedule: Some(schedule), steps: 10_000, ..Choose::default() };
        let (run, divergence) = record(&start, &choose);
        assert_eq!(divergence, None, "{name}");
        assert_eq!(run.moves.len(), schedule.0.len(), "{name}: the schedule is the whole run");
        let own = loaded
            .expectations
            .iter()
            .filter(|e| e.under.iter().any(|(_, strategy)| *strategy == loaded.strategy));
        let breaks = own.filter_map(|e| match &e.what {
            Expected::Invariant(i, verdict) if *verdict != Verdict::Never => find(i),
            _ => None,
        });
        let breaks: Vec<usize> = breaks.map(|(i, _)| i).collect();
        let shown = breaks.is_empty() || breaks.iter().any(|&i| run.broken.has(i));
        assert!(shown, "{name}: {:?}", run.broken);
    }
    assert!(scheduled >= 6, "{scheduled}");
}

#[test]
fn the_names_that_documents_point_to_exist() {
    let names: Vec<&str> = scenario::bundled().iter().map(|(name, _)| *name).collect();
    for fixed in FIXED {
        assert!(names.contains(fixed), "{fixed}");
    }
}

#[test]
fn a_scenario_is_found_by_full_name_short_name_and_path() {
    let full = scenario::open("writeback/rdma-write-after-clean").unwrap();
    let short = scenario::open("rdma-write-after-clean").unwrap();
    let path = scenario::open("scenarios/writeback/rdma-write-after-clean.json").unwrap();
    assert_eq!(full.name, "writeback/rdma-write-after-clean");
    assert_eq!(full.scenario, short.scenario);
    assert_eq!(full.scenario, path.scenario);
}

#[test]
fn an_unknown_scenario_names_the_nearest() {
    let problems = scenario::open("rdma-write-after-clear").unwrap_err();
    let report = problems.plain(100);
    assert!(report.contains("did you mean `rdma-write-after-clean`"), "{report}");
}

#[test]
fn a_scenario_that_is_written_out_again_is_the_same_scenario() {
    for (name, text) in scenario::bundled() {
        let before = scenario::load::text(name, text).unwrap();
        let written = serde_json::to_string(&before.scenario).unwrap();
        let after = scenario::load::text(name, &written).unwrap();
        assert_eq!(before.scenario, after.scenario);
        assert_eq!(format!("{:?}", before.plan), format!("{:?}", after.plan), "{name}");
    }
}
