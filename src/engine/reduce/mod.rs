//! Partial-order reduction: of runs that differ only in the order of independent moves, one.
//!
//! Persistent sets say which agents have to be tried in a state. They work from the footprints
//! that moves leave behind. What an agent may *still* do, which they need to know, is learned
//! while searching: a search that learns something is repeated with what it learned, and only a
//! search that learned nothing counts. docs/exploration.md has the argument why nothing is missed
//! then. The search itself is the one of [`explore`](super::explore), which asks a `guide` for
//! the moves to try.

mod futures;
pub(crate) mod guide;
mod keep;
mod traces;

use serde::Serialize;

use self::futures::Futures;
use self::guide::Guide;
use crate::engine::hash::mix2;
use crate::engine::model::Model;

pub(crate) use self::futures::Agents;
pub use self::traces::{Traces, traces};

/// Most random runs from which futures are learned before the first search.
const WARM_UP: u64 = 64;

/// So many of them in a row from which nothing was learned are enough.
const WARM_UP_IDLE: u64 = 4;

/// Most moves of such a run.
const WARM_UP_MOVES: usize = 500;

/// Most agents that a reduction can tell apart; models with more are searched without it.
pub const MAX_AGENTS: usize = 63;

/// What a reduction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reduction {
    /// Searches made; all but the last only learned.
    pub passes: u32,
    /// Moves made in all of them together, learning runs included.
    pub executed: u64,
    /// Pairs of agent and place told apart.
    pub spots: usize,
    /// Whether it saved so little at the beginning that the search was made without.
    pub given_up: bool,
}

/// Learns from random runs, the same ones every time; gives the number of moves made, too.
fn warm_up<M: Model>(start: &M) -> (Futures, u64) {
    let (mut executed, mut idle) = (0, 0);
    let mut guide = Guide::learning(Futures::new(start));
    for run in 0..WARM_UP {
        if idle == WARM_UP_IDLE {
            break;
        }
        let mut model = start.clone();
        model.record_footprints(true);
        guide.forget_learning();
        for step in 0..WARM_UP_MOVES as u64 {
            let ready = model.ready();
            let agents = (0..ready).map(|k| model.nth_ready(k));
            guide.look(&model, agents.fold(0, |all: Agents, a| all | 1 << a));
            if ready == 0 {
                break;
            }
            // Enough for learning; schedulers have the generator whose streams are a contract.
            let random = mix2(run, step);
            let agent = model.nth_ready((random % ready as u64) as usize);
            let outcomes = model.outcomes(agent) as u64;
            let mv = model.move_of(agent, (random / ready as u64 % outcomes) as usize);
            model.apply(mv);
            executed += 1;
            guide.made(&model, agent);
        }
        idle = if guide.has_learned() { 0 } else { idle + 1 };
    }
    (guide.into_futures(), executed)
}
