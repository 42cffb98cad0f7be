//! Partial-order reduction: of runs that differ only in the order of independent moves, one.
//!
//! Persistent sets say which agents have to be tried in a state; sleep sets leave out what was
//! tried before in another order. Both work from the footprints that moves leave behind. What an
//! agent may *still* do, which persistent sets need, is learned while searching: a search that
//! learns something is repeated with what it learned, and only a search that learned nothing
//! counts. docs/exploration.md has the argument why nothing is missed then.

mod futures;
mod search;
mod sleepers;

use serde::Serialize;

use self::futures::Futures;
use self::search::{Mode, Pass, Stop};
use crate::engine::explore::tally::Tally;
use crate::engine::explore::{Control, Options};
use crate::engine::hash::mix2;
use crate::engine::model::{Ending, Footprint, Model};

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
}

/// What a reduced search without memory of states counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Complete runs: exactly one for each Mazurkiewicz trace.
    pub complete: u64,
    /// Complete runs by [`Ending`].
    pub ends: [u64; 4],
    /// Runs given up because everything left had been tried in another order.
    pub redundant: u64,
    /// Moves made in the last pass.
    pub transitions: u64,
}

/// Searches `start` with reduction, merging states. Gives the counts of the last pass, what the
/// reduction did, and the memory taken.
pub fn search<M: Model>(
    start: &M,
    options: &Options,
    control: &impl Control<M>,
) -> (Tally<M::Move>, Reduction, usize) {
    let mut futures = Futures::default();
    let mut reduction = Reduction { executed: warm_up(start, &mut futures), ..Default::default() };
    let mut mode = Mode::Acyclic;
    loop {
        futures.grown = false;
        let mut pass = Pass::new(start, &mut futures, options, mode);
        let stop = pass.run(control, reduction.executed);
        reduction.passes += 1;
        reduction.executed += pass.tally.transitions;
        let (mut tally, bytes) = (std::mem::take(&mut pass.tally), pass.bytes());
        reduction.spots = futures.len();
        match stop {
            Some(Stop::Bound(bound)) => {
                tally.cut_by(bound);
                return (tally, reduction, bytes);
            }
            Some(Stop::Cycle) => mode = Mode::Cyclic,
            None if !futures.grown => return (tally, reduction, bytes),
            None | Some(Stop::Learned) => {}
        }
    }
}

/// Counts the runs that a reduced search without memory of states makes. The model must end
/// every run.
pub fn traces<M: Model>(start: &M) -> Traces {
    let mut futures = Futures::default();
    warm_up(start, &mut futures);
    let options = Options::default();
    loop {
        futures.grown = false;
        let mut pass = Pass::new(start, &mut futures, &options, Mode::Traces);
        pass.run(&(), 0);
        let Tally { ends, transitions, .. } = pass.tally;
        let (complete, redundant) = (ends.iter().sum(), pass.redundant);
        if !futures.grown {
            return Traces { complete, ends, redundant, transitions };
        }
    }
}

/// Learns from random runs, the same ones every time; gives the number of moves made.
fn warm_up<M: Model>(start: &M, futures: &mut Futures) -> u64 {
    let mut executed = 0;
    let mut footprint = Footprint::default();
    let mut idle = 0;
    for run in 0..WARM_UP {
        if idle == WARM_UP_IDLE {
            break;
        }
        futures.grown = false;
        let mut model = start.clone();
        model.record_footprints(true);
        let mut before = spots(&model, futures);
        for step in 0..WARM_UP_MOVES as u64 {
            let ready = model.ready() as u64;
            if ready == 0 {
                break;
            }
            // Enough for learning; schedulers have the generator whose streams are a contract.
            let random = mix2(run, step);
            let agent = model.nth_ready((random % ready) as usize);
            let outcomes = model.outcomes(agent) as u64;
            let mv = model.move_of(agent, (random / ready % outcomes) as usize);
            model.apply(mv);
            executed += 1;
            before = learn(&model, futures, agent, &before, &mut footprint);
        }
        idle = if futures.grown { 0 } else { idle + 1 };
    }
    executed
}

/// The spots of all agents.
fn spots<M: Model>(model: &M, futures: &mut Futures) -> Vec<u32> {
    (0..model.agents()).map(|a| futures.spot(model, a as u32)).collect()
}

/// Learns from the move that was just made by `agent` from `before`; gives the new spots.
fn learn<M: Model>(
    model: &M,
    futures: &mut Futures,
    agent: u32,
    before: &[u32],
    footprint: &mut Footprint,
) -> Vec<u32> {
    let cut = model.ready() == 0 && model.ending() == Ending::Cut;
    model.footprint(footprint);
    futures.moved(before[agent as usize], footprint, cut);
    let known = before.iter().enumerate();
    let after: Vec<u32> =
        known.map(|(a, &spot)| futures.spot_after(model, a as u32, spot)).collect();
    for (&from, &to) in before.iter().zip(&after) {
        futures.followed(from, to);
    }
    after
}
