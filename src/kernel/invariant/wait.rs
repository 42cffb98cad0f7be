//! Invariants about waits: deadlock.

use super::{Invariant, Judgement, Subject, Waits};
use crate::kernel::world::facts::Fact;
use crate::kernel::world::objects::Flags;
use crate::kernel::world::{Actor, Frame, World};

/// See its `doc`.
pub const DEADLOCK: Invariant = Invariant {
    name: "deadlock",
    doc: "Agents wait for each other in a cycle.",
    source: "claim 68; lockdep's circular dependency report",
    premise: "an agent has to wait",
    watches: &[],
    hears: |fact| matches!(fact, Fact::Blocked { .. }),
    check: deadlock,
    fatal: false,
};

fn deadlock(w: &World, waits: &dyn Waits, subject: Subject, _mover: Actor) -> Judgement {
    let Subject::Fact(Fact::Blocked { actor }) = subject else { return Judgement::NotAsked };
    match cycle_from(w, waits, actor) {
        Some(cycle) => {
            let cell = |a: Actor| waits.need(a).cell(w).unwrap_or(w.cell::<Flags>(Frame(0)));
            Judgement::Broken([cell(cycle[0]), cell(cycle[cycle.len() - 1])])
        }
        None => Judgement::Holds,
    }
}

/// A cycle of agents each of which waits for the next, through this agent.
pub fn cycle_from(w: &World, waits: &dyn Waits, start: Actor) -> Option<Vec<Actor>> {
    let mut path = vec![start];
    let mut tried = vec![start];
    search(w, waits, start, &mut path, &mut tried).then_some(path)
}

fn search(
    w: &World,
    waits: &dyn Waits,
    goal: Actor,
    path: &mut Vec<Actor>,
    tried: &mut Vec<Actor>,
) -> bool {
    let Some(&at) = path.last() else { return false };
    for holder in waits.need(at).holders(w) {
        if holder == goal {
            return true;
        }
        if waits.blocked(holder) && !tried.contains(&holder) {
            tried.push(holder);
            path.push(holder);
            if search(w, waits, goal, path, tried) {
                return true;
            }
            path.pop();
        }
    }
    false
}

/// Any cycle of waits.
pub fn cycle(w: &World, waits: &dyn Waits) -> Option<Vec<Actor>> {
    let blocked = (0..waits.actors()).map(Actor).filter(|&a| waits.blocked(a));
    blocked.into_iter().find_map(|a| cycle_from(w, waits, a))
}
