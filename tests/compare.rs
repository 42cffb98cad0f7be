//! Designs are compared fairly: the same schedules, and runs that never contradict a search.

use gupsim::compare::{self, Cell, Effort, parting};
use gupsim::engine::explore::Options;
use gupsim::kernel::invariant::{TABLE, find};
use gupsim::kernel::strategy::Preset;
use gupsim::scenario::{self, Loaded};

fn orphan() -> Loaded {
    scenario::open("truncate/orphan-rdma").unwrap()
}

fn effort(max_states: Option<u64>) -> Effort {
    let search = Options { reduction: true, max_states, ..Options::default() };
    Effort { search, schedules: 300, runs: 5 }
}

#[test]
fn a_schedule_is_the_same_each_time_and_another_for_another_number() {
    let loaded = orphan();
    let twice = |run| compare::pair(&loaded, [loaded.strategy; 2], run);
    let (first, second) = (twice(0), twice(1));
    assert_eq!(first.moves[0], first.moves[1]);
    assert_eq!(parting(&first), compare::Parting::default());
    assert_ne!(first.moves[0], second.moves[0]);
}

#[test]
fn what_runs_break_a_search_refutes_and_what_a_search_proves_no_run_breaks() {
    let loaded = orphan();
    let mut were_cut = 0;
    for preset in Preset::ALL {
        let all = compare::search(&loaded, preset.strategy, &effort(None), &());
        assert!(all.complete, "{}", preset.name);
        let mut cut = compare::search(&loaded, preset.strategy, &effort(Some(20)), &());
        if cut.complete {
            continue; // it takes fewer states than a search looks at before it looks at the limit
        }
        were_cut += 1;
        compare::sample(&loaded, preset.strategy, &effort(Some(20)), &(), &mut cut);
        for (i, invariant) in TABLE.iter().enumerate() {
            let name = format!("{} under {}", invariant.name, preset.name);
            match (&all.cells[i], &cut.cells[i]) {
                (Cell::Refuted { steps, .. }, Cell::Refuted { steps: seen, .. }) => {
                    assert!(seen >= steps, "{name}: {seen} steps, and the shortest has {steps}");
                }
                (_, Cell::Refuted { .. }) => panic!("{name}: runs break what is not refuted"),
                (_, Cell::Proved { .. } | Cell::Vacuous) => panic!("{name}: a cut search decides"),
                (_, Cell::Bounded { runs }) => assert_eq!(*runs, 300, "{name}"),
            }
        }
    }
    assert!(were_cut > Preset::ALL.len() / 2, "{were_cut}");
}

#[test]
fn sampling_finds_what_is_easy_to_find() {
    let loaded = orphan();
    let old = Preset::find("linux-4.19").unwrap().strategy;
    let mut cut = compare::search(&loaded, old, &effort(Some(20)), &());
    compare::sample(&loaded, old, &effort(Some(20)), &(), &mut cut);
    let (orphaned, _) = find("silent-orphan-dma").unwrap();
    let cell = &cut.cells[orphaned];
    let (low, high) = cell.interval().unwrap();
    assert!(matches!(cell, Cell::Refuted { hits: Some((1.., 300)), .. }), "{cell:?}");
    assert!(low > 0.0 && high < 1.0);
}

#[test]
fn prices_come_from_the_same_runs_each_time() {
    let loaded = orphan();
    let find = || compare::search(&loaded, loaded.strategy, &effort(None), &()).prices;
    let prices = find();
    assert_eq!(prices.len(), 5);
    assert_eq!(prices, find());
}
