//! The shortest way to break each property, breadth first.
//!
//! States are looked at layer by layer in the order of their runs, moves in canonical order, so
//! the run found is the first in that order among the shortest. A state is kept as its parent and
//! its move; the model walks from one to the next over their last common ancestor.

use super::tally::Tally;
use super::visited::{Seen, Visited};
use super::{Bound, Control, Options, Poll, Progress, Witness};
use crate::engine::hash::mix2;
use crate::engine::model::{Agent, Model, Props, Stepped};

/// A state in the tree of first arrivals.
#[derive(Clone, Copy)]
struct Node<Mv> {
    parent: u32,
    /// Preemptions used on the way, if they are bounded.
    used: u32,
    mv: Mv,
}

/// Walks one model over the tree.
struct Walker<M: Model> {
    model: M,
    /// Nodes from the root (exclusive) to where the model stands.
    path: Vec<(u32, Stepped)>,
    scratch: Vec<u32>,
}

impl<M: Model> Walker<M> {
    /// Moves the model to node `to` (0 is the root), which is `depth` moves from it.
    fn go(&mut self, nodes: &[Node<M::Move>], to: u32, depth: usize) {
        while self.path.len() > depth {
            self.back();
        }
        // Up from the target until the two lines of ancestors meet.
        let (mut at, mut level) = (to, depth);
        self.scratch.clear();
        loop {
            if level > self.path.len() {
                self.scratch.push(at);
                at = nodes[at as usize].parent;
                level -= 1;
            } else if level > 0 && self.path[level - 1].0 != at {
                self.scratch.push(at);
                at = nodes[at as usize].parent;
                level -= 1;
                self.back();
            } else {
                break;
            }
        }
        while let Some(node) = self.scratch.pop() {
            let stepped = self.model.apply(nodes[node as usize].mv);
            self.path.push((node, stepped));
        }
    }

    fn back(&mut self) {
        if let Some((_, stepped)) = self.path.pop() {
            self.model.undo(stepped);
        }
    }

    fn run(&self, nodes: &[Node<M::Move>], last: Option<M::Move>) -> Vec<M::Move> {
        self.path.iter().map(|&(n, _)| nodes[n as usize].mv).chain(last).collect()
    }
}

/// A witness for each property that `tally` knows to be broken, ascending: a shortest one if the
/// search for it stays within the limit on states, else the shortest that was seen.
pub fn shortest<M: Model>(
    start: &M,
    options: &Options,
    tally: &Tally<M::Move>,
    control: &impl Control<M>,
) -> Vec<Witness<M::Move>> {
    let longest = tally.seen.iter().flatten().map(Vec::len).max().unwrap_or(0);
    // Who interrupted the search or set it a time does not want to wait for another one.
    let hurry = |b: &Bound| matches!(b, Bound::Time | Bound::Interruption);
    let hurried = tally.bounds().iter().any(hurry);
    let limits = Limits {
        longest: options.depth.map_or(longest, |depth| longest.min(depth)),
        states: if hurried { 0 } else { options.witness_states },
        preemptions: options.preemptions,
    };
    let found = search(start, tally.broken, limits, control);
    let pick = |property: usize| {
        let seen = tally.seen[property].clone().unwrap_or_default();
        match found.iter().find(|w| w.property == property) {
            Some(w) => w.clone(),
            None => Witness { property, moves: seen, shortest: false },
        }
    };
    tally.broken.iter().map(pick).collect()
}

/// States between two looks at the outside world.
const POLL_EVERY: usize = 1 << 12;

/// Where the search for witnesses ends.
#[derive(Clone, Copy)]
struct Limits {
    /// Moves of a run.
    longest: usize,
    /// States looked at.
    states: usize,
    /// Preemptions of a run.
    preemptions: Option<u32>,
}

impl Limits {
    /// The preemptions used after a move of `agent`; `None` if they are too many. `switched`: it
    /// keeps another one from going on.
    fn used(&self, before: u32, switched: bool) -> Option<u32> {
        let used = before + u32::from(switched);
        self.preemptions.is_none_or(|most| used <= most).then_some(used)
    }

    /// What a state is known by.
    fn key(&self, fingerprint: u64, last: Agent, used: u32) -> u64 {
        match self.preemptions {
            None => fingerprint,
            Some(_) => mix2(fingerprint, u64::from(last) << 32 | u64::from(used)),
        }
    }
}

/// Whether the outside world wants the search to end.
fn stopped<M: Model>(control: &impl Control<M>, nodes: usize, bytes: usize) -> bool {
    let progress = Progress { states: nodes as u64, bytes, ..Progress::default() };
    matches!(control.poll(&progress), Poll::Stop(_))
}

/// Breadth-first search for the properties `wanted`, within limits and unless it is stopped.
fn search<M: Model>(
    start: &M,
    wanted: Props,
    limits: Limits,
    control: &impl Control<M>,
) -> Vec<Witness<M::Move>> {
    let mut found: Vec<Witness<M::Move>> = Vec::new();
    if wanted.is_empty() || limits.states == 0 {
        return found;
    }
    let mut left = wanted;
    let mut visited = Visited::default();
    visited.claim(start.fingerprint(), |_| ());
    let mut walker = Walker { model: start.clone(), path: Vec::new(), scratch: Vec::new() };
    let mut nodes: Vec<Node<M::Move>> = Vec::new();
    let mut moves = Vec::new();
    // The root has no move; node 0 is a stand-in that no path holds.
    let mut layer = 0..1;
    for depth in 0..=limits.longest {
        for number in layer.clone() {
            walker.go(&nodes, number as u32, depth);
            walker.model.moves(&mut moves);
            if let (0, Some(&mv)) = (nodes.len(), moves.first()) {
                nodes.push(Node { parent: 0, used: 0, mv });
            }
            let mut note = |broken: Props, walker: &Walker<M>, nodes: &[_], last| {
                for property in broken.iter().filter(|&p| left.has(p)) {
                    let moves = walker.run(nodes, last);
                    found.push(Witness { property, moves, shortest: true });
                }
                left = Props(left.0 & !broken.0);
            };
            if moves.is_empty() {
                note(walker.model.judge_end().0, &walker, &nodes, None);
            }
            let (used, last) = match depth {
                0 => (0, None),
                _ => (nodes[number].used, Some(walker.model.agent(nodes[number].mv))),
            };
            let able = moves.iter().any(|&m| Some(walker.model.agent(m)) == last);
            for &mv in moves.iter().filter(|_| depth < limits.longest) {
                let agent = walker.model.agent(mv);
                let Some(used) = limits.used(used, able && Some(agent) != last) else { continue };
                let stepped = walker.model.apply(mv);
                let key = limits.key(walker.model.fingerprint(), agent, used);
                let new = visited.claim(key, |_| ());
                walker.model.undo(stepped);
                note(stepped.broken, &walker, &nodes, Some(mv));
                if new {
                    nodes.push(Node { parent: number as u32, used, mv });
                }
            }
            let due = number % POLL_EVERY == 0;
            if left.is_empty()
                || nodes.len() > limits.states
                || due && stopped(control, nodes.len(), visited.bytes())
            {
                return found;
            }
        }
        layer = layer.end..nodes.len();
    }
    found
}
