//! The state graph itself, for questions about all of it at once: cycles and probabilities.

use std::collections::BTreeMap;

use super::{Bound, Control, Poll, Progress};
use crate::engine::model::{Model, Props};

/// An edge: the move, where it leads, and what it broke.
#[derive(Clone, Copy, Debug)]
pub struct Edge<Mv> {
    /// The move.
    pub mv: Mv,
    /// The number of the state it leads to.
    pub to: u32,
    /// Properties that it broke, those of the end state it leads to included.
    pub broken: Props,
}

/// A state: its edges, and the agents that owe something in it.
#[derive(Clone, Debug)]
pub struct State<Mv> {
    /// The moves, in canonical order.
    pub edges: Vec<Edge<Mv>>,
    /// One bit for each of the first 64 agents: [`Model::owes`].
    pub owing: u64,
    /// The state it was first reached from, for the way back to the start.
    pub parent: u32,
    /// The move it was first reached by.
    pub by: Option<Mv>,
}

/// Every state and edge, numbered breadth first from 0, the start.
#[derive(Clone, Debug)]
pub struct Graph<Mv> {
    /// The states.
    pub states: Vec<State<Mv>>,
    /// What kept it from being whole.
    pub bound: Option<Bound>,
}

impl<Mv: Copy> Graph<Mv> {
    /// Builds the graph of everything that `start` can do, up to `limit` states.
    pub fn build<M: Model<Move = Mv>>(
        start: &M,
        limit: usize,
        control: &impl Control<M>,
    ) -> Graph<Mv> {
        let mut numbers = BTreeMap::from([(start.fingerprint(), 0u32)]);
        let mut states = vec![State { edges: Vec::new(), owing: 0, parent: 0, by: None }];
        let mut bound = None;
        let mut model = start.clone();
        let mut path = Vec::new();
        let mut moves = Vec::new();
        let mut transitions = 0;
        let mut at = 0;
        while at < states.len() {
            if at.is_multiple_of(1 << 12) {
                let left = states.len() - at;
                let states = states.len() as u64;
                let now = Progress { states, transitions, frontier: left, ..Progress::default() };
                if let Poll::Stop(why) = control.poll(&now) {
                    bound = Some(why);
                    break;
                }
            }
            let trail = walk(&mut model, &states, at as u32, &mut path);
            let owing = (0..model.agents() as u32).filter(|&a| model.owes(a));
            states[at].owing = owing.fold(0, |s, a| s | 1u64.checked_shl(a).unwrap_or(0));
            model.moves(&mut moves);
            for &mv in &moves {
                transitions += 1;
                let stepped = model.apply(mv);
                let key = model.fingerprint();
                let to = match numbers.get(&key) {
                    Some(&to) => to,
                    None if states.len() >= limit => {
                        bound = Some(Bound::States);
                        model.undo(stepped);
                        continue;
                    }
                    None => {
                        let to = states.len() as u32;
                        let (parent, by) = (at as u32, Some(mv));
                        numbers.insert(key, to);
                        states.push(State { edges: Vec::new(), owing: 0, parent, by });
                        to
                    }
                };
                let end = if model.ready() == 0 { model.judge_end().0 } else { Props::NONE };
                model.undo(stepped);
                let broken = stepped.broken.union(end);
                states[at].edges.push(Edge { mv, to, broken });
            }
            trail.into_iter().rev().for_each(|stepped| model.undo(stepped));
            at += 1;
        }
        Graph { states, bound }
    }

    /// The moves from the start to a state, as few as possible.
    pub fn run_to(&self, state: u32) -> Vec<Mv> {
        let mut run = Vec::new();
        let mut at = state;
        while let Some(by) = self.states[at as usize].by {
            run.push(by);
            at = self.states[at as usize].parent;
        }
        run.reverse();
        run
    }
}

/// Steps the model from the start to a state; gives what undoes it.
fn walk<M: Model>(
    model: &mut M,
    states: &[State<M::Move>],
    to: u32,
    path: &mut Vec<M::Move>,
) -> Vec<crate::engine::model::Stepped> {
    path.clear();
    let mut at = to as usize;
    while let Some(by) = states[at].by {
        path.push(by);
        at = states[at].parent as usize;
    }
    path.iter().rev().map(|&mv| model.apply(mv)).collect()
}
