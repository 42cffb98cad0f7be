//! Made-up scenarios: they make sense, they are the same everywhere, and no design breaks what it
//! claims to keep.

use gupsim::engine::model::{Model, Props};
use gupsim::engine::run::{Limits, Runner};
use gupsim::fuzz;
use gupsim::generate::hunt::{self, Design, Options, Tally};
use gupsim::generate::options::Feature;
use gupsim::judged::Judged;
use gupsim::kernel::invariant::TABLE;
use gupsim::kernel::sim::Sim;
use gupsim::kernel::strategy::claims::CLAIMS;
use gupsim::kernel::strategy::{Guard, Preset, Strategy};
use gupsim::report::run::{self, Choose, record};
use gupsim::report::signature::failures;
use gupsim::scenario::write;
use gupsim::schedule::{self, Kind, Params};

fn designs() -> Vec<Design> {
    let of = |p: &Preset| Design { preset: p.name.into(), differs: Vec::new() };
    Preset::ALL.iter().map(of).collect()
}

fn options(scenarios: u64, jobs: usize) -> Options {
    let runs = fuzz::Options {
        kind: Kind::Random,
        params: Params { seed: 0, depth: 3, steps: None },
        runs: 20,
        steps: 2_000,
        jobs: 1,
        check_every: 20,
        bytes: 1 << 24,
    };
    Options { seed: 0, scenarios, designs: designs(), without: None, runs, jobs }
}

#[test]
fn every_made_up_scenario_is_a_machine_with_something_to_do() {
    let mut some = 0;
    for number in 0..300 {
        let made = hunt::make(1, number, &designs());
        let made = made.unwrap_or_else(|e| panic!("number {number}: {}", e.plain(100)));
        let sim = Sim::new(made.loaded.plan, made.loaded.strategy);
        let mut moves = Vec::new();
        sim.moves(&mut moves);
        some += usize::from(!moves.is_empty());
    }
    assert!(some > 280, "{some} of 300");
}

#[test]
fn a_number_is_one_scenario_and_others_are_others() {
    let text = |seed, n| write::text(&hunt::make(seed, n, &designs()).unwrap().loaded.scenario);
    assert_eq!(text(3, 7), text(3, 7));
    assert_ne!(text(3, 7), text(3, 8));
    assert_ne!(text(3, 7), text(4, 7));
}

#[test]
fn every_feature_is_drawn_and_can_be_left_out() {
    for feature in Feature::ALL {
        let drawn = |n| {
            let title = hunt::make(0, n, &designs()).unwrap().loaded.scenario.title;
            title.split(' ').any(|word| word == feature.name())
        };
        let times = (0..60).filter(|&n| drawn(n)).count();
        assert!((1..60).contains(&times), "{}: {times} of 60", feature.name());
    }
}

/// A scheduler that is asked for a run again gives it again, whatever it has run before, and its
/// choices, written down by name, make it once more: to the same end, and not beyond it.
#[test]
fn a_run_of_any_scheduler_is_repeated_by_its_number_and_by_its_choices() {
    let limits = Limits { steps: 400, stop_at: Props::NONE };
    for number in 0..60 {
        let made = hunt::make(5, number, &designs()).unwrap();
        let start = Judged::new(Sim::new(made.loaded.plan, made.loaded.strategy), Vec::new());
        for (kind, name, _) in schedule::TABLE {
            let params = Params { seed: 5, depth: 3, steps: None };
            let mut scheduler = kind.build(params);
            let mut runner = Runner::new(start.clone());
            for n in 0..3 {
                let outcome = runner.run(scheduler.as_mut(), n, limits, |_, _, _| ());
                let what = format!("scenario {number}, {name}, run {n}");
                let mut alone = Runner::new(start.clone());
                let again = alone.run(kind.build(params).as_mut(), n, limits, |_, _, _| ());
                assert_eq!((outcome, runner.schedule()), (again, alone.schedule()), "{what}");
                let Some(outcome) = outcome else { continue };
                let choices = run::schedule(start.sim(), runner.schedule());
                let steps = outcome.steps;
                let by_name = Choose { schedule: Some(&choices), steps, ..Choose::default() };
                let (made, diverged) = record(start.sim(), &by_name);
                assert_eq!(diverged, None, "{what}");
                assert_eq!((made.ending, made.moves.len()), (outcome.ending, steps), "{what}");
            }
        }
    }
}

#[test]
fn sequences_are_made_on_every_file_system() {
    let mut found = std::collections::BTreeMap::new();
    for number in 0..500 {
        let scenario = hunt::make(0, number, &designs()).unwrap().loaded.scenario;
        if scenario.title.contains(" sequence") {
            *found.entry(format!("{:?}", scenario.files["data"].fs)).or_insert(0) += 1;
        }
    }
    let on: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(on, ["Btrfs", "Dax", "Ext4", "Tmpfs", "Xfs"]);
    assert!(found.values().all(|&n| n > 8), "{found:?}");
}

#[test]
fn every_invariant_has_one_claim_and_every_claim_an_invariant() {
    for invariant in TABLE {
        let of = CLAIMS.iter().filter(|c| c.invariant == invariant.name).count();
        assert_eq!(of, 1, "{}", invariant.name);
    }
    assert_eq!(CLAIMS.len(), TABLE.len());
}

fn numbers(tally: &Tally) -> (Vec<u64>, [[u64; 32]; 4], Vec<String>) {
    let Tally { scenarios, runs, steps, states, checked, .. } = *tally;
    let Tally { reached, tested, failed, unclaimed, .. } = *tally;
    let broken = tally.broken.values().map(|b| format!("{b:?}")).collect();
    let counts = vec![scenarios, runs, steps, states, checked];
    (counts, [reached, tested, failed, unclaimed], broken)
}

#[test]
fn what_is_found_does_not_depend_on_the_number_of_threads() {
    let of = |jobs| numbers(&hunt::hunt(&options(90, jobs), &()));
    assert_eq!(of(1), of(3));
}

#[test]
fn no_preset_breaks_what_it_claims_to_keep() {
    let tally = hunt::hunt(&options(600, 2), &());
    let broken: Vec<_> = tally.broken.iter().collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!((tally.refused, tally.diverged), (None, None));
    // The claims are put to the test, and there is more in the world than what they speak of.
    let tested =
        Props((0..TABLE.len()).filter(|&i| tally.tested[i] > 0).fold(0, |s, i| s | 1 << i));
    assert!(tested.iter().count() > 12, "{tested:?}");
    assert!(tally.unclaimed.iter().any(|&n| n > 0));
}

#[test]
fn the_quickest_run_that_breaks_a_claim_can_be_made_again() {
    let options = Options { without: Some(Guard::MkwriteTruncated), ..options(200, 2) };
    let tally = hunt::hunt(&options, &());
    let quickest = tally.quickest.iter().enumerate().filter_map(|(i, q)| Some((i, (*q)?)));
    let mut some = 0;
    for (invariant, (steps, number, run)) in quickest {
        let made = hunt::make(options.seed, number, &options.designs).unwrap();
        let strategy = Strategy { without: options.without, ..made.loaded.strategy };
        let start = Judged::new(Sim::new(made.loaded.plan, strategy), Vec::new());
        let (moves, _) = fuzz::one(&start, &options.runs, run);
        let all = failures(start.sim(), &moves);
        let failed = all.iter().find(|f| f.signature.invariant == invariant).unwrap();
        assert_eq!(failed.steps, steps, "{} in {number}, run {run}", TABLE[invariant].name);
        assert!((1..=tally.tested[invariant]).contains(&tally.failed[invariant]));
        some += 1;
    }
    assert!(some > 0);
    for (i, invariant) in TABLE.iter().enumerate() {
        let sorted = tally.broken.keys().any(|(signature, _)| signature.invariant == i);
        let failed = tally.failed[i] > 0;
        assert_eq!((failed, failed), (tally.quickest[i].is_some(), sorted), "{}", invariant.name);
    }
    assert!(tally.states > tally.scenarios && !tally.full);
}

/// Ends a hunt with its first success.
struct First(std::sync::atomic::AtomicBool);

impl hunt::Control for First {
    fn stop(&self, _: u64) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
    fn found(&self, _: &hunt::Broken, _: &hunt::Made) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn the_hunt_notices_guards_that_are_taken_away() {
    // Hunts of this size notice a third of all guards; the bundled scenarios, all of them
    // (tests/mutants.rs).
    use Guard::*;
    for guard in [RmapFlush, CleanWriteProtect, MkwriteTruncated, CowPteSame, ZapNotify] {
        let options = Options { without: Some(guard), ..options(400, 2) };
        let found = hunt::hunt(&options, &First(Default::default())).broken;
        assert!(!found.is_empty(), "{}", guard.name());
    }
}
