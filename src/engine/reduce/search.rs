//! The depth-first search over persistent sets with sleep sets.
//!
//! With memory of states, a state that comes up again is looked at again only for the agents
//! that slept the last time and are awake now (Godefroid, Holzmann and Pirottin, "State-space
//! caching revisited", 1995). Without it, each complete run is one Mazurkiewicz trace.

use super::futures::{Agents, Futures};
use super::sleepers::Sleepers;
use super::{MAX_AGENTS, learn, spots};
use crate::engine::explore::tally::Tally;
use crate::engine::explore::{Bound, Control, Options, Poll, Progress};
use crate::engine::model::{Agent, Ending, Footprint, Model, Stepped};

/// Moves between two looks at the outside world.
const POLL_EVERY: u64 = 1 << 12;

/// Moves that a pass goes on after it learned something for the first time, at least.
const PATIENCE: u64 = 1 << 10;

/// Why a pass ended early.
pub(super) enum Stop {
    /// A limit.
    Bound(Bound),
    /// It learned so much that it is better begun again.
    Learned,
    /// It found a cycle and used sleep sets.
    Cycle,
}

/// How a pass searches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// With sleep sets, merging states; only right while there are no cycles.
    Acyclic,
    /// Without sleep sets, merging states, trying everybody where a cycle closes.
    Cyclic,
    /// With sleep sets, without memory of states.
    Traces,
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
    fingerprint: u64,
    was_on_run: bool,
    spots: Vec<u32>,
    enabled: Agents,
    /// Agents still to be tried.
    todo: Agents,
    /// Agents taken up so far or asleep: never to be put on `todo`.
    settled: Agents,
    /// The moves of all agents, and the next one of the agent being tried.
    moves: Vec<Mv>,
    next: usize,
    trying: Option<Sleeper>,
    sleepers: Vec<Sleeper>,
    /// How the run got here.
    by: Option<(Mv, Stepped)>,
}

/// One search with the tables as they are, which may make them grow.
pub(super) struct Pass<'a, M: Model> {
    model: M,
    futures: &'a mut Futures,
    options: &'a Options,
    mode: Mode,
    pub(super) tally: Tally<M::Move>,
    pub(super) redundant: u64,
    sleepers: Sleepers,
    nodes: Vec<Node<M::Move>>,
    learned_at: Option<u64>,
    closed_cycle: bool,
    footprint: Footprint,
}

impl<'a, M: Model> Pass<'a, M> {
    pub(super) fn new(
        start: &M,
        futures: &'a mut Futures,
        options: &'a Options,
        mode: Mode,
    ) -> Self {
        let mut model = start.clone();
        model.record_footprints(true);
        Pass {
            model,
            futures,
            options,
            mode,
            closed_cycle: false,
            tally: Tally::default(),
            redundant: 0,
            sleepers: Sleepers::default(),
            nodes: Vec::new(),
            learned_at: None,
            footprint: Footprint::default(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.sleepers.bytes()
    }

    /// Searches to the end; `executed` is what earlier passes did, for the progress report.
    pub(super) fn run(&mut self, control: &impl Control<M>, executed: u64) -> Option<Stop> {
        let start = spots(&self.model, self.futures);
        self.enter(None, start, Vec::new());
        while !self.nodes.is_empty() {
            let before = self.tally.transitions;
            self.step();
            if self.tally.transitions == before {
                continue;
            }
            if self.closed_cycle && self.mode == Mode::Acyclic {
                return Some(Stop::Cycle);
            }
            if self.learned_enough() {
                return Some(Stop::Learned);
            }
            if let Some(bound) = self.limit() {
                return Some(Stop::Bound(bound));
            }
            if self.tally.transitions.is_multiple_of(POLL_EVERY) {
                let progress = Progress {
                    states: self.tally.states,
                    transitions: executed + self.tally.transitions,
                    depth: self.nodes.len(),
                    frontier: self.nodes.iter().map(|n| n.todo.count_ones() as usize).sum(),
                    bytes: self.bytes(),
                    done: 0.0,
                };
                if let Poll::Stop(bound) = control.poll(&progress) {
                    return Some(Stop::Bound(bound));
                }
            }
        }
        None
    }

    /// Whether the tables grew long enough ago that this pass is not worth going on with.
    fn learned_enough(&mut self) -> bool {
        let now = self.tally.transitions;
        match self.learned_at {
            None if self.futures.grown => self.learned_at = Some(now),
            Some(then) => return now >= 2 * then + PATIENCE,
            None => {}
        }
        false
    }

    fn limit(&self) -> Option<Bound> {
        if self.options.max_states.is_some_and(|m| self.tally.states >= m) {
            return Some(Bound::States);
        }
        self.options.max_bytes.is_some_and(|m| self.bytes() >= m).then_some(Bound::Memory)
    }

    /// Tries the next move of the last state on the run, or goes back from it.
    fn step(&mut self) {
        let Some(node) = self.nodes.last_mut() else { return };
        let Some(mv) = Self::next_move(&self.model, node) else {
            self.leave();
            return;
        };
        let agent = self.model.agent(mv);
        let stepped = self.model.apply(mv);
        self.tally.transitions += 1;
        self.tally.reached = self.tally.reached.union(stepped.reached);
        if !stepped.broken.is_empty() {
            let runs = self.nodes.iter().filter_map(|n| n.by.map(|b| b.0)).chain([mv]);
            self.tally.violation(stepped.broken, self.nodes.len(), || runs.clone().collect());
        }
        let Some(node) = self.nodes.last_mut() else { return };
        let after = learn(&self.model, self.futures, agent, &node.spots, &mut self.footprint);
        let cut = self.model.ready() == 0 && self.model.ending() == Ending::Cut;
        if let Some(trying) = &mut node.trying {
            trying.cut |= cut;
            trying.footprint.reads.extend_from_slice(&self.footprint.reads);
            trying.footprint.writes.extend_from_slice(&self.footprint.writes);
        }
        let sleepers = if self.mode == Mode::Cyclic { &[][..] } else { &node.sleepers };
        let independent = |s: &&Sleeper| !s.footprint.conflicts(&self.footprint);
        let asleep: Vec<Sleeper> = sleepers.iter().filter(independent).cloned().collect();
        // A run that closes a cycle might put an agent off for ever: try everybody there.
        if self.mode != Mode::Traces && self.sleepers.on_run(self.model.fingerprint()) {
            self.closed_cycle = true;
            node.todo |= node.enabled & !node.settled;
            node.settled |= node.enabled;
        }
        self.enter(Some((mv, stepped)), after, asleep);
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
    fn enter(&mut self, by: Option<(M::Move, Stepped)>, spots: Vec<u32>, sleepers: Vec<Sleeper>) {
        let fingerprint = self.model.fingerprint();
        let asleep = sleepers.iter().fold(0, |s: Agents, x| s | 1 << x.agent);
        let merge = self.mode != Mode::Traces;
        let known = if merge { self.sleepers.meet(fingerprint, asleep) } else { None };
        let awake = known.map_or(Agents::MAX >> 1, |k| k & !asleep);
        if awake == 0 {
            if let Some((_, stepped)) = by {
                self.model.undo(stepped);
            }
            return;
        }
        let mut moves = Vec::new();
        self.model.moves(&mut moves);
        let enabled = moves.iter().fold(0, |s: Agents, &m| s | 1 << self.model.agent(m));
        if known.is_none() {
            self.first_visit(&by, enabled, &spots);
        }
        let persistent = self.futures.persistent(&spots, enabled);
        let todo = persistent & awake & !asleep;
        self.redundant += u64::from(enabled != 0 && todo == 0);
        let was_on_run = merge && self.sleepers.on_run(fingerprint);
        if merge {
            self.sleepers.set_on_run(fingerprint, true);
        }
        self.nodes.push(Node {
            fingerprint,
            was_on_run,
            spots,
            enabled,
            todo,
            settled: persistent | asleep,
            moves,
            next: 0,
            trying: None,
            sleepers,
            by,
        });
    }

    /// Counts a new state and learns who waits in it.
    fn first_visit(&mut self, by: &Option<(M::Move, Stepped)>, enabled: Agents, spots: &[u32]) {
        self.tally.states += 1;
        self.tally.deepest = self.tally.deepest.max(self.nodes.len());
        for (agent, &spot) in spots.iter().enumerate() {
            if enabled >> agent & 1 == 0 {
                self.futures.waited(&self.model, agent as Agent, spot);
            }
        }
        if enabled == 0 {
            let broken = self.tally.end(&self.model);
            if !broken.is_empty() {
                let before = self.nodes.iter().filter_map(|n| n.by.map(|b| b.0));
                let run = before.chain(by.map(|b| b.0));
                let len = self.nodes.len();
                self.tally.violation(broken, len, || run.clone().collect());
            }
        }
    }

    /// Goes back from the last state on the run.
    fn leave(&mut self) {
        let Some(node) = self.nodes.pop() else { return };
        if self.mode != Mode::Traces {
            self.sleepers.set_on_run(node.fingerprint, node.was_on_run);
        }
        if let Some((_, stepped)) = node.by {
            self.model.undo(stepped);
        }
    }
}

const _: () = assert!(MAX_AGENTS < Agents::BITS as usize);
