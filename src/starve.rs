//! Who can be put off for ever: the search for it, and what scenarios expect of it.

use crate::check::{Fate, Found, Line};
use crate::engine::explore::liveness::{self, Fairness, Starvation};
use crate::engine::explore::{Control, Options};
use crate::judged::Judged;
use crate::kernel::invariant::find;
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::Strategy;
use crate::scenario::expect::{Expectation, Expected};
use crate::scenario::load::Loaded;

/// States of the graph that is kept, if no limit is given.
pub const GRAPH: u64 = 2_000_000;

/// Bytes that a state of the graph takes, with its moves.
const BYTES: u64 = 160;

/// Looks for threads that can be put off for ever, within the limits of `options` on states and
/// memory. Strongly fair: whoever can move again and again does, so that a lock that is free again
/// and again is got in the end.
pub fn search(sim: &Sim, options: &Options, control: &impl Control<Judged>) -> Starvation<Move> {
    let room = options.max_bytes.map_or(u64::MAX, |bytes| bytes as u64 / BYTES);
    let limit = options.max_states.unwrap_or(GRAPH).min(room);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let start = Judged::new(sim.clone(), Vec::new());
    liveness::starvation(&start, Fairness::Strong, limit, control)
}

/// What a scenario expects of this under a strategy: the number of each expectation, it, and the
/// strategy as it names it.
fn expected(
    loaded: &Loaded,
    strategy: Strategy,
) -> impl Iterator<Item = (usize, &Expectation, &str)> {
    let starved = |(_, e): &(usize, &Expectation)| matches!(e.what, Expected::Starved(..));
    loaded.expectations.iter().enumerate().filter(starved).flat_map(move |(number, e)| {
        let named = e.under.iter().filter(move |(_, s)| *s == strategy);
        named.map(move |(name, _)| (number, e, name.as_str()))
    })
}

/// Whether a scenario expects anything of this under a strategy.
pub fn is_asked(loaded: &Loaded, strategy: Strategy) -> bool {
    expected(loaded, strategy).next().is_some()
}

/// How what a scenario expects of this under a strategy fared.
pub fn lines(loaded: &Loaded, strategy: Strategy, found: &Starvation<Move>) -> Vec<Line> {
    let line = |(number, expectation, under): (usize, &Expectation, &str)| {
        let Expected::Starved(thread, can) = expectation.what else { return None };
        let starved = found.lassos.iter().find(|l| l.agent == thread.0);
        let fate = match (starved.is_some(), can) {
            (true, true) => Fate::Met,
            (true, false) => Fate::Failed,
            _ if let Some(bound) = found.bound => Fate::Bounded(bound.name()),
            _ if !found.owing.contains(&thread.0) => Fate::Vacuous,
            (false, can) => {
                if can {
                    Fate::Failed
                } else {
                    Fate::Met
                }
            }
        };
        Some(Line {
            number,
            under: under.to_string(),
            text: expectation.text.clone(),
            fate,
            found: Found::Ends {
                // A thread that never comes to its end: the stall of a run without one.
                property: find("stall").map_or(0, |(i, _)| i),
                with: u64::from(starved.is_some()),
                without: u64::from(starved.is_none()),
                states: found.states,
                witness: starved.map(|l| l.stem.iter().chain(&l.cycle).copied().collect()),
            },
        })
    };
    expected(loaded, strategy).filter_map(line).collect()
}
