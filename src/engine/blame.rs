//! How likely a violation was after each step of a run: where it was lost.
//!
//! The probability that a property is broken in the rest of a run, under a random walk that
//! chooses among the agents that can move and then among their outcomes, is exact: it is the
//! least solution of one linear equation for each state. Without cycles one pass backwards gives
//! it; with cycles the passes are repeated until nothing moves any more.

use serde::Serialize;

use super::explore::Control;
use super::explore::graph::{Graph, State};
use super::model::Model;

/// Change of a probability below which it counts as settled.
const SETTLED: f64 = 1e-12;

/// Most passes; a cycle that is left with probability 1/1000 settles long before.
const PASSES: usize = 100_000;

/// The probabilities along a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Blame {
    /// After 0, 1, 2 ... moves of the run: the probability that the property is still broken in
    /// what follows. 1 from the move on that broke it.
    pub after: Vec<f64>,
    /// The move (from 0) after which the violation could not be avoided any more.
    pub inevitable_from: Option<usize>,
}

/// The probabilities along `run` that `property` is broken. `None` if the state space has more
/// than `limit` states or the run cannot be made.
pub fn blame<M: Model>(
    start: &M,
    property: usize,
    run: &[M::Move],
    limit: usize,
    control: &impl Control<M>,
) -> Option<Blame> {
    let graph = Graph::build(start, limit, control);
    if graph.bound.is_some() {
        return None;
    }
    let odds = odds(start, &graph, property);
    let mut at = 0;
    let mut after = vec![odds[at]];
    let mut broken = false;
    for &mv in run {
        let edge = graph.states[at].edges.iter().find(|e| e.mv == mv)?;
        broken |= edge.broken.has(property);
        at = edge.to as usize;
        after.push(if broken { 1.0 } else { odds[at] });
    }
    let certain = |p: &f64| *p > 1.0 - 1e-9;
    let tail = after.iter().rev().take_while(|p| certain(p)).count();
    let inevitable_from = (after.len() - tail).checked_sub(1).filter(|_| tail > 0);
    Some(Blame { after, inevitable_from })
}

/// For each state the probability that the property is broken on the way from it.
fn odds<M: Model>(start: &M, graph: &Graph<M::Move>, property: usize) -> Vec<f64> {
    let mut odds = vec![0.0; graph.states.len()];
    for _ in 0..PASSES {
        let mut change: f64 = 0.0;
        for at in (0..odds.len()).rev() {
            let now = one(start, &graph.states[at], property, &odds);
            change = change.max((now - odds[at]).abs());
            odds[at] = now;
        }
        if change < SETTLED {
            break;
        }
    }
    odds
}

/// The probability in one state from those of its successors. An agent's moves lie together in
/// canonical order or not: the share of each is one over its agent's number of moves.
fn one<M: Model>(start: &M, state: &State<M::Move>, property: usize, odds: &[f64]) -> f64 {
    let agents = state.edges.iter().map(|e| start.agent(e.mv));
    let own = |agent| agents.clone().filter(|&a| a == agent).count() as f64;
    let distinct: std::collections::BTreeSet<_> = agents.clone().collect();
    let each = |e: &super::explore::graph::Edge<M::Move>| {
        let then = if e.broken.has(property) { 1.0 } else { odds[e.to as usize] };
        then / own(start.agent(e.mv))
    };
    let sum: f64 = state.edges.iter().map(each).sum();
    if distinct.is_empty() { 0.0 } else { sum / distinct.len() as f64 }
}
