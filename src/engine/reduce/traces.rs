//! A depth-first search over persistent sets with sleep sets, without memory of states: each
//! complete run is one Mazurkiewicz trace.
//!
//! Sleep sets leave out a move that was tried before and that nothing since then conflicts with
//! (Godefroid, LNCS 1032, chapter 5).

use super::futures::Agents;
use super::guide::{Guide, Lessons};
use crate::engine::explore::tally::Tally;
use crate::engine::model::{Agent, Ending, Footprint, Model, Stepped};

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

/// Counts the runs that a reduced search without memory of states makes, unless `over` says that
/// it is. The model must end every run.
pub fn traces<M: Model>(start: &M, over: impl Fn() -> bool) -> Traces {
    let mut lessons = Lessons::new(start);
    loop {
        let mut pass = Pass::new(start, Guide::new(&lessons));
        pass.run(&over);
        let Pass { tally, redundant, guide, .. } = pass;
        lessons.merge(guide);
        if !lessons.grown || over() {
            let Tally { ends, transitions, .. } = tally;
            return Traces { complete: ends.iter().sum(), ends, redundant, transitions };
        }
        lessons = lessons.next(tally.transitions);
    }
}

/// An agent that need not be tried: all its moves were, in another order.
#[derive(Clone, Debug)]
struct Sleeper {
    agent: Agent,
    footprint: Footprint,
    /// One of its moves ended the run for everybody, which no other order can stand for.
    cut: bool,
}

/// A state on the present run.
#[derive(Debug)]
struct Node<Mv> {
    spots: Vec<u32>,
    /// Agents still to be tried.
    todo: Agents,
    /// The moves of all agents, and the next one of the agent being tried.
    moves: Vec<Mv>,
    next: usize,
    trying: Option<Sleeper>,
    sleepers: Vec<Sleeper>,
    /// How the run got here.
    by: Option<Stepped>,
}

/// One search.
struct Pass<M: Model> {
    model: M,
    guide: Guide,
    tally: Tally<M::Move>,
    redundant: u64,
    nodes: Vec<Node<M::Move>>,
}

impl<M: Model> Pass<M> {
    fn new(start: &M, guide: Guide) -> Self {
        let mut model = start.clone();
        model.record_footprints(true);
        Pass { model, guide, tally: Tally::default(), redundant: 0, nodes: Vec::new() }
    }

    fn run(&mut self, over: impl Fn() -> bool) {
        self.enter(None, Vec::new());
        while !self.nodes.is_empty() && !over() {
            self.step();
        }
    }

    /// Tries the next move of the last state on the run, or goes back from it.
    fn step(&mut self) {
        let Some(node) = self.nodes.last_mut() else { return };
        let Some(mv) = Self::next_move(&self.model, node) else {
            if let Some(stepped) = self.nodes.pop().and_then(|node| node.by) {
                self.model.undo(stepped);
            }
            return;
        };
        let stepped = self.model.apply(mv);
        self.tally.transitions += 1;
        self.guide.spots.clone_from(&node.spots);
        self.guide.made(&self.model, self.model.agent(mv));
        let footprint = &self.guide.footprint;
        if let Some(trying) = &mut node.trying {
            trying.cut |= self.model.ready() == 0 && self.model.ending() == Ending::Cut;
            trying.footprint.reads.extend_from_slice(&footprint.reads);
            trying.footprint.writes.extend_from_slice(&footprint.writes);
        }
        let independent = |s: &&Sleeper| !s.footprint.conflicts(footprint);
        let asleep: Vec<Sleeper> = node.sleepers.iter().filter(independent).cloned().collect();
        self.enter(Some(stepped), asleep);
    }

    /// The next move to try in a state, going from agent to agent.
    fn next_move(model: &M, node: &mut Node<M::Move>) -> Option<M::Move> {
        loop {
            if let Some(trying) = &mut node.trying {
                let agent = trying.agent;
                let rest = node.moves.iter().enumerate().skip(node.next);
                if let Some((i, &mv)) = rest.into_iter().find(|(_, m)| model.agent(**m) == agent) {
                    node.next = i + 1;
                    return Some(mv);
                }
                trying.footprint.seal();
            }
            node.sleepers.extend(node.trying.take().filter(|t| !t.cut));
            if node.todo == 0 {
                return None;
            }
            let agent = node.todo.trailing_zeros();
            node.todo &= node.todo - 1;
            node.next = 0;
            node.trying = Some(Sleeper { agent, footprint: Footprint::default(), cut: false });
        }
    }

    /// Comes to a state: decides what to try there.
    fn enter(&mut self, by: Option<Stepped>, sleepers: Vec<Sleeper>) {
        let asleep = sleepers.iter().fold(0, |s: Agents, x| s | 1 << x.agent);
        let mut moves = Vec::new();
        self.model.moves(&mut moves);
        let enabled = moves.iter().fold(0, |s: Agents, &m| s | 1 << self.model.agent(m));
        let todo = self.guide.look(&self.model, enabled) & !asleep;
        if enabled == 0 {
            self.tally.end(&self.model);
        }
        self.redundant += u64::from(enabled != 0 && todo == 0);
        let spots = self.guide.spots.clone();
        self.nodes.push(Node { spots, todo, moves, next: 0, trying: None, sleepers, by });
    }
}
