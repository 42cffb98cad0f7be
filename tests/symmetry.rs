//! Symmetry of the kernel model, by brute force: orbits are counted by running every run again
//! with its threads exchanged, without any of the code that gives objects other names.

use gupsim::engine::explore::{self, Options};
use gupsim::engine::model::{Model, Props};
use gupsim::kernel::sim::symmetry::{Mentions, Symmetry};
use gupsim::kernel::sim::{Move, Sim};
use gupsim::kernel::world::view::Names;
use gupsim::kernel::world::{Actor, Id};
use gupsim::scenario::load;
use std::collections::{BTreeMap, BTreeSet};

/// A machine of `tests/symmetry`.
fn sim(name: &str) -> Sim {
    let path = format!("{}/tests/symmetry/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let loaded = load::text(&path, &text).unwrap_or_else(|e| panic!("{e:?}"));
    Sim::new(loaded.plan, loaded.strategy)
}

fn symmetry(start: &Sim) -> Symmetry {
    Symmetry::of(start, &Mentions::default())
}

/// Every state with the run that first led to it, breadth first.
fn states(start: &Sim) -> BTreeMap<u64, Vec<Move>> {
    let mut found = BTreeMap::from([(start.fingerprint(), Vec::new())]);
    let mut layer: Vec<Vec<Move>> = vec![Vec::new()];
    let mut moves = Vec::new();
    while !layer.is_empty() {
        let mut next = Vec::new();
        for run in layer {
            let mut sim = start.clone();
            for &mv in &run {
                sim.apply(mv);
            }
            sim.moves(&mut moves);
            for &mv in &moves {
                let stepped = sim.apply(mv);
                if let std::collections::btree_map::Entry::Vacant(new) =
                    found.entry(sim.fingerprint())
                {
                    let run: Vec<Move> = run.iter().copied().chain([mv]).collect();
                    next.push(run.clone());
                    new.insert(run);
                }
                sim.undo(stepped);
            }
        }
        layer = next;
    }
    found
}

/// The fingerprint of the state to which a run leads with its agents exchanged.
fn exchanged(start: &Sim, run: &[Move], names: &Names) -> u64 {
    let mut sim = start.clone();
    let mut moves = Vec::new();
    for mv in run {
        let agent = names.of(Actor(mv.agent)).index() as u32;
        let mv = Move { agent, ..*mv };
        sim.moves(&mut moves);
        assert!(moves.contains(&mv), "{mv:?} of {run:?} is not possible when exchanged");
        sim.apply(mv);
    }
    sim.fingerprint()
}

/// Number of orbits of all states.
fn orbits(start: &Sim, symmetry: &Symmetry) -> (usize, usize) {
    let states = states(start);
    let mut orbits: BTreeSet<u64> = BTreeSet::new();
    for run in states.values() {
        let all = symmetry.names().iter().map(|names| exchanged(start, run, names));
        let all: Vec<u64> = all.chain([exchanged(start, run, &Names::default())]).collect();
        assert!(all.iter().all(|state| states.contains_key(state)), "a state of its own: {run:?}");
        orbits.insert(all.into_iter().min().unwrap());
    }
    (states.len(), orbits.len())
}

#[test]
fn the_states_of_a_search_with_symmetry_are_the_orbits() {
    for (name, orders) in
        [("pinners", 6), ("own-pages", 2), ("processes", 2), ("pairs", 2), ("own-folios", 2)]
    {
        let mut start = sim(name);
        let symmetry = symmetry(&start);
        assert_eq!(symmetry.orders, orders, "{name}: {:?} {:?}", symmetry.groups, symmetry.refused);
        let (states, orbits) = orbits(&start, &symmetry);
        let plain = explore::explore(&start, &Options::default(), &());
        assert_eq!(plain.states, states as u64, "{name}");
        start.set_symmetry(&symmetry);
        let options = Options { symmetry: true, ..Options::default() };
        let found = explore::explore(&start, &options, &());
        assert_eq!(found.states, orbits as u64, "{name}: of {states} states");
        assert!(orbits < states, "{name}");
        assert_eq!((found.broken, found.reached), (plain.broken, plain.reached), "{name}");
        let length = |r: &explore::Report<Move>| -> Vec<(usize, usize)> {
            r.witnesses.iter().map(|w| (w.property, w.moves.len())).collect()
        };
        assert_eq!(length(&found), length(&plain), "{name}");
    }
}

#[test]
fn by_its_own_names_a_state_is_what_it_is() {
    use gupsim::engine::run::{Limits, Runner};
    use gupsim::schedule::pct::Pct;
    for (name, _) in gupsim::scenario::bundled() {
        if name.starts_with("scale/") {
            continue;
        }
        let loaded = gupsim::scenario::open(name).unwrap();
        let start = Sim::new(loaded.plan.clone(), loaded.strategy);
        if start.world.rules.endless {
            continue;
        }
        let mut runner = Runner::new(start.clone());
        let mut pct = Pct::new(3, 2, Some(60));
        let limits = Limits { steps: 2000, stop_at: Props::NONE };
        for run in 0..3 {
            runner.run(&mut pct, run, limits, |sim: &Sim, mv, _| {
                let seen = sim.seen(&Names::default(), None);
                assert_eq!(seen, sim.fingerprint(), "{name}: after {mv:?}");
            });
        }
    }
}

#[test]
fn what_depends_on_order_is_refused_and_says_why() {
    let why = |name| symmetry(&sim(name)).refused.join("; ");
    assert!(why("flushed").contains("TLB flush"), "{}", why("flushed"));
    assert!(why("truncated").contains("Truncate"), "{}", why("truncated"));
    assert!(why("asked").contains("regions are asked in order"), "{}", why("asked"));
    assert!(why("workers").contains("workers by number"), "{}", why("workers"));
}

/// Each has ends that those with the two writers exchanged have not.
#[test]
fn what_shows_a_page_and_what_lies_in_its_folio_goes_along() {
    for name in ["shown", "folios"] {
        let found = symmetry(&sim(name));
        assert_eq!((found.orders, found.groups.len()), (1, 0), "{name}: {:?}", found.refused);
    }
}

#[test]
fn devices_that_answer_differently_do_not_take_each_others_place() {
    let unlike = symmetry(&sim("unlike"));
    assert_eq!((unlike.orders, unlike.groups.len()), (1, 0), "{:?}", unlike.refused);
}
