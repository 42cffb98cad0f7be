//! The shortest way to break each property, breadth first.
//!
//! States are looked at layer by layer in the order of their runs, moves in canonical order, so
//! the run found is the first in that order among the shortest. A state is kept as its parent and
//! its move, eight bytes; the model walks from one to the next over their last common ancestor.

use super::tally::Tally;
use super::visited::{Seen, Visited};
use super::{Bound, Options, Witness};
use crate::engine::model::{Model, Props, Stepped};

/// A state in the tree of first arrivals.
#[derive(Clone, Copy)]
struct Node<Mv> {
    parent: u32,
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
) -> Vec<Witness<M::Move>> {
    let longest = tally.seen.iter().flatten().map(Vec::len).max().unwrap_or(0);
    // Under bounds on the shape of runs the shortest of all might be out of bounds.
    // Who interrupted the search or set it a time does not want to wait for another one.
    let hurry = |b: &Bound| matches!(b, Bound::Time | Bound::Interruption);
    let hurried = tally.bounds().iter().any(hurry);
    let limit = if options.is_bounded() || hurried { 0 } else { options.witness_states };
    let found = search(start, tally.broken, longest, limit);
    let pick = |property: usize| {
        let seen = tally.seen[property].clone().unwrap_or_default();
        match found.iter().find(|w| w.property == property) {
            Some(w) => w.clone(),
            None => Witness { property, moves: seen, shortest: false },
        }
    };
    tally.broken.iter().map(pick).collect()
}

/// Breadth-first search for the properties `wanted`, at most `longest` moves deep and over at
/// most `limit` states.
fn search<M: Model>(
    start: &M,
    wanted: Props,
    longest: usize,
    limit: usize,
) -> Vec<Witness<M::Move>> {
    let mut found: Vec<Witness<M::Move>> = Vec::new();
    if wanted.is_empty() || limit == 0 {
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
    for depth in 0..=longest {
        for number in layer.clone() {
            walker.go(&nodes, number as u32, depth);
            walker.model.moves(&mut moves);
            if let (0, Some(&mv)) = (nodes.len(), moves.first()) {
                nodes.push(Node { parent: 0, mv });
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
            for &mv in &moves {
                let stepped = walker.model.apply(mv);
                let new = visited.claim(walker.model.fingerprint(), |_| ());
                walker.model.undo(stepped);
                note(stepped.broken, &walker, &nodes, Some(mv));
                if new {
                    nodes.push(Node { parent: number as u32, mv });
                }
            }
            if left.is_empty() || nodes.len() > limit {
                return found;
            }
        }
        layer = layer.end..nodes.len();
    }
    found
}
