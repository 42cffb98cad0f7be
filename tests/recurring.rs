//! Where programs go round for ever, states recur: numbers that only grow count by their ranks.
//! Two states that count as one must be able to do the same.

use gupsim::engine::explore::{self, Options};
use gupsim::engine::model::{Model, Props};
use gupsim::kernel::sim::{Move, Sim};
use gupsim::scenario::{load, open};
use std::collections::BTreeMap;

fn machines() -> Vec<(String, Sim)> {
    let of = |name: &str| {
        let loaded = match name.contains('/') {
            true => open(name).unwrap(),
            false => {
                let path = format!("{}/tests/symmetry/{name}.json", env!("CARGO_MANIFEST_DIR"));
                load::text(name, &std::fs::read_to_string(path).unwrap())
                    .unwrap_or_else(|e| panic!("{}", e.plain(100)))
            }
        };
        (name.to_string(), Sim::new(loaded.plan, loaded.strategy))
    };
    ["dax/endless-repin", "rounds", "invalidated"].map(of).into()
}

/// What can be done in a state: each move, what it breaks, and which state follows.
fn futures(sim: &mut Sim) -> Vec<(Move, Props, u64)> {
    let mut moves = Vec::new();
    sim.moves(&mut moves);
    let mut future = |&mv: &Move| {
        let stepped = sim.apply(mv);
        let next = sim.fingerprint();
        assert_eq!(next, sim.full_fingerprint());
        sim.undo(stepped);
        (mv, stepped.broken, next)
    };
    moves.iter().map(&mut future).collect()
}

#[test]
fn states_that_count_as_one_can_do_the_same() {
    for (name, start) in machines() {
        let mut known = BTreeMap::from([(start.fingerprint(), futures(&mut start.clone()))]);
        let mut layer = vec![start];
        let (mut twice, mut raw) = (0, 0);
        while let Some(mut sim) = layer.pop() {
            let mut moves = Vec::new();
            sim.moves(&mut moves);
            for &mv in &moves {
                let stepped = sim.apply(mv);
                let found = futures(&mut sim);
                match known.get(&sim.fingerprint()) {
                    Some(first) => {
                        assert_eq!(first, &found, "{name}: a state that is not what it seems");
                        twice += 1;
                        raw += usize::from(sim.world.fingerprint() != sim.fingerprint());
                    }
                    None => {
                        known.insert(sim.fingerprint(), found);
                        layer.push(sim.clone());
                    }
                }
                sim.undo(stepped);
                if known.len() > 4_000 {
                    layer.clear();
                }
            }
        }
        assert!(twice > known.len() / 2 && raw > 0, "{name}: {twice} of {}", known.len());
    }
}

#[test]
fn a_search_of_programs_that_go_round_for_ever_comes_to_its_end() {
    for (name, start) in machines().into_iter().filter(|(name, _)| name != "invalidated") {
        for reduction in [false, true] {
            let options = Options { reduction, max_states: Some(300_000), ..Options::default() };
            let found = explore::explore(&start, &options, &());
            assert!(found.is_complete(), "{name}: {} states, {:?}", found.states, found.bounds);
        }
    }
}
