//! Starvation: can the others put an agent off for ever, although nobody is treated unfairly?
//!
//! An agent *owes* while it has begun something that it must bring to an end. It can be starved
//! if there is a cycle of states, reachable from the start, in all of which it owes and which is
//! fair: a scheduler that neglects nobody may go round it for ever. Whether such a cycle exists
//! is a question about strongly connected components (Emerson and Lei 1987 for the fair ones);
//! the cycle shown is a walk through one, from each thing that fairness needs to the nearest
//! next one.

use std::collections::VecDeque;

use serde::Serialize;

use super::graph::Graph;
use super::{Bound, Control};
use crate::engine::model::{Agent, Model};

/// What a scheduler has to give every agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fairness {
    /// Who can always move must move sometimes.
    Weak,
    /// Who can move again and again must move sometimes.
    Strong,
}

/// A run into a fair cycle in which an agent owes all the way round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lasso<Mv> {
    /// Who is starved.
    pub agent: Agent,
    /// From the start to the cycle.
    pub stem: Vec<Mv>,
    /// Once round the cycle.
    pub cycle: Vec<Mv>,
}

/// What a search for starvation found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Starvation<Mv> {
    /// States looked at.
    pub states: u64,
    /// What kept the search from being complete.
    pub bound: Option<Bound>,
    /// One lasso for each agent that can be starved, ascending.
    pub lassos: Vec<Lasso<Mv>>,
    /// Agents that owe in some state: the others were not put to the test.
    pub owing: Vec<Agent>,
}

/// Looks for agents that can be starved. The whole state graph is kept: at most `limit` states.
/// The first 64 agents are looked at.
pub fn starvation<M: Model>(
    start: &M,
    fairness: Fairness,
    limit: usize,
    control: &impl Control<M>,
) -> Starvation<M::Move> {
    let graph = Graph::build(start, limit, control);
    let owing = graph.states.iter().fold(0, |set, s| set | s.owing);
    let owing: Vec<Agent> = (0..64).filter(|a| owing >> a & 1 == 1).collect();
    let search = Search { start, graph: &graph, fairness };
    let lassos = owing.iter().filter_map(|&agent| search.lasso(agent)).collect();
    Starvation { states: graph.states.len() as u64, bound: graph.bound, lassos, owing }
}

struct Search<'a, M: Model> {
    start: &'a M,
    graph: &'a Graph<M::Move>,
    fairness: Fairness,
}

impl<M: Model> Search<'_, M> {
    fn agent(&self, mv: M::Move) -> Agent {
        self.start.agent(mv)
    }

    /// A fair cycle in which `agent` owes throughout.
    fn lasso(&self, agent: Agent) -> Option<Lasso<M::Move>> {
        let states = &self.graph.states;
        let owes = |s: u32| states[s as usize].owing >> agent & 1 == 1;
        let mut work: Vec<Vec<u32>> = vec![(0..states.len() as u32).filter(|&s| owes(s)).collect()];
        while let Some(part) = work.pop() {
            for component in self.components(&part) {
                match self.unfair(&component) {
                    None => return Some(self.walk(agent, &component)),
                    Some(rest) if !rest.is_empty() => work.push(rest),
                    Some(_) => {}
                }
            }
        }
        None
    }

    /// Edges of a state that stay within a component, given by marks.
    fn inside<'b>(
        &'b self,
        state: u32,
        mark: &'b [bool],
    ) -> impl Iterator<Item = (M::Move, u32)> + 'b {
        let edges = &self.graph.states[state as usize].edges;
        edges.iter().filter(|e| mark[e.to as usize]).map(|e| (e.mv, e.to))
    }

    /// Agents with a move from the state at all, and with one inside the component.
    fn agents_of(&self, state: u32, mark: &[bool]) -> (u64, u64) {
        let bit = |mv| 1u64.checked_shl(self.agent(mv)).unwrap_or(0);
        let all = self.graph.states[state as usize].edges.iter();
        let enabled = all.fold(0, |s, e| s | bit(e.mv));
        let moving = self.inside(state, mark).fold(0, |s, (mv, _)| s | bit(mv));
        (enabled, moving)
    }

    fn mark(&self, states: &[u32]) -> Vec<bool> {
        let mut mark = vec![false; self.graph.states.len()];
        states.iter().for_each(|&s| mark[s as usize] = true);
        mark
    }

    /// `None` if going round all of the component is fair; else the part of it in which a fair
    /// cycle may still be.
    fn unfair(&self, component: &[u32]) -> Option<Vec<u32>> {
        let mark = self.mark(component);
        let (mut sometimes, mut always, mut moving) = (0, u64::MAX, 0);
        for &state in component {
            let (enabled, moves) = self.agents_of(state, &mark);
            sometimes |= enabled;
            always &= enabled;
            moving |= moves;
        }
        let neglected = match self.fairness {
            Fairness::Weak => always & !moving,
            Fairness::Strong => sometimes & !moving,
        };
        if neglected == 0 {
            return None;
        }
        if self.fairness == Fairness::Weak {
            // Who can move everywhere in the component can in every part of it.
            return Some(Vec::new());
        }
        let able = |s: &&u32| self.agents_of(**s, &mark).0 & neglected == 0;
        Some(component.iter().filter(able).copied().collect())
    }

    /// Strongly connected components with at least one edge (Tarjan 1972, without recursion).
    fn components(&self, part: &[u32]) -> Vec<Vec<u32>> {
        let mark = self.mark(part);
        let n = mark.len();
        let (mut index, mut low) = (vec![0u32; n], vec![0u32; n]);
        let mut on_stack = vec![false; n];
        let (mut stack, mut found, mut next) = (Vec::new(), Vec::new(), 1);
        for &root in part {
            if index[root as usize] != 0 {
                continue;
            }
            let mut frames = vec![(root, 0usize)];
            while let Some(frame) = frames.last_mut() {
                let (state, edge) = *frame;
                let s = state as usize;
                if edge == 0 {
                    (index[s], low[s]) = (next, next);
                    next += 1;
                    stack.push(state);
                    on_stack[s] = true;
                }
                frame.1 += 1;
                if let Some(to) = self.inside(state, &mark).nth(edge).map(|e| e.1) {
                    let t = to as usize;
                    if index[t] == 0 {
                        frames.push((to, 0));
                    } else if on_stack[t] {
                        low[s] = low[s].min(index[t]);
                    }
                    continue;
                }
                frames.pop();
                if let Some(&(parent, _)) = frames.last() {
                    low[parent as usize] = low[parent as usize].min(low[s]);
                }
                if low[s] == index[s] {
                    let begin = stack.iter().rposition(|&x| x == state).unwrap_or(0);
                    let component = stack.split_off(begin);
                    component.iter().for_each(|&x| on_stack[x as usize] = false);
                    let loops = |s: &u32| self.inside(*s, &mark).any(|e| e.1 == *s);
                    if component.len() > 1 || component.iter().any(loops) {
                        found.push(component);
                    }
                }
            }
        }
        found
    }

    /// A closed walk through a fair component: from its first state over, for each agent, a move
    /// of its own or (if it has none) a state in which it cannot move, and back.
    fn walk(&self, agent: Agent, component: &[u32]) -> Lasso<M::Move> {
        let mark = self.mark(component);
        let first = component.iter().copied().min().unwrap_or(0);
        let able = component.iter().fold(0, |s, &x| s | self.agents_of(x, &mark).1);
        let mut needs: u64 = (0..self.start.agents().min(64)).fold(0, |s, a| s | 1 << a);
        let (mut at, mut cycle) = (first, Vec::new());
        loop {
            let (enabled, _) = self.agents_of(at, &mark);
            needs &= !(!enabled & !able);
            if needs == 0 {
                break;
            }
            let wanted = |mv: M::Move, to: u32| {
                let own = self.agent(mv);
                let idle = !self.agents_of(to, &mark).0 & !able;
                needs & (1u64.checked_shl(own).unwrap_or(0) | idle) != 0
            };
            let Some((path, end)) = self.nearest(at, &mark, wanted) else { break };
            for &mv in &path {
                needs &= !1u64.checked_shl(self.agent(mv)).unwrap_or(0);
            }
            cycle.extend(path);
            at = end;
        }
        let open = at != first || cycle.is_empty();
        let back = if open { self.nearest(at, &mark, |_, to| to == first) } else { None };
        cycle.extend(back.into_iter().flat_map(|(path, _)| path));
        Lasso { agent, stem: self.graph.run_to(first), cycle }
    }

    /// The shortest walk within the marks whose last edge is wanted, and where it ends.
    fn nearest(
        &self,
        from: u32,
        mark: &[bool],
        wanted: impl Fn(M::Move, u32) -> bool,
    ) -> Option<(Vec<M::Move>, u32)> {
        let mut came: std::collections::BTreeMap<u32, (u32, M::Move)> = Default::default();
        let mut queue = VecDeque::from([from]);
        while let Some(state) = queue.pop_front() {
            for (mv, to) in self.inside(state, mark) {
                if wanted(mv, to) {
                    let (mut path, mut at) = (vec![mv], state);
                    while at != from {
                        let (before, by) = came[&at];
                        path.push(by);
                        at = before;
                    }
                    path.reverse();
                    return Some((path, to));
                }
                if to != from && !came.contains_key(&to) {
                    came.insert(to, (state, mv));
                    queue.push_back(to);
                }
            }
        }
        None
    }
}
