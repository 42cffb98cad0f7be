//! Invariants about waits: deadlock and stall.

use super::{Hurt, Invariant, Judgement, Premise, Subject, Waits};
use crate::kernel::world::facts::{Fact, FactKind};
use crate::kernel::world::machine::ActorState;
use crate::kernel::world::need::Need;
use crate::kernel::world::{Actor, World};

/// See its `doc`.
pub const DEADLOCK: Invariant = Invariant {
    name: "deadlock",
    hurts: Hurt::System,
    doc: "Agents wait for each other in a cycle.",
    source: "claim 68; lockdep's circular dependency report",
    premise: "an agent has to wait",
    arises: Premise::Checked,
    watches: &[],
    hears: &[FactKind::Blocked],
    check: deadlock,
    fatal: false,
};

fn deadlock(w: &World, waits: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Fact(Fact::Blocked { actor }) = subject else { return Judgement::NotAsked };
    match cycle_from(w, waits, actor) {
        Some(cycle) => Judgement::Broken([
            waited(w, waits, cycle[0]),
            waited(w, waits, cycle[cycle.len() - 1]),
        ]),
        None => Judgement::Holds,
    }
}

/// The cell that an agent waits for.
fn waited(w: &World, waits: &dyn Waits, actor: Actor) -> u32 {
    waits.need(actor).cell(w).unwrap_or(w.cell::<ActorState>(actor))
}

/// See its `doc`.
///
/// It is judged when nothing happens any more, unless by chance: a chance event (a signal, a power
/// loss) need not come, so that whoever can only be helped by one is stalled. The exception is
/// the timeout of a lease break, which comes for sure. Starvation, a wait that others can prolong
/// for ever, is not seen in any state; it is a matter of cycles in the graph of states.
pub const STALL: Invariant = Invariant {
    name: "stall",
    hurts: Hurt::System,
    doc: "A program that the run waits for is blocked, nobody that is left will do what it waits \
          for, and there is no cycle of waits (that is a deadlock): a pin that is never released, \
          an event that nobody posts.",
    source: "claims 41, 56-58, 68-71 (waiting for pins)",
    premise: "an agent has to wait",
    arises: Premise::Checked,
    watches: &[],
    hears: &[FactKind::Blocked, FactKind::Ended],
    check: stall,
    fatal: false,
};

fn stall(w: &World, waits: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    match subject {
        Subject::Fact(Fact::Blocked { actor }) if waits.main(actor) => return Judgement::Holds,
        Subject::Fact(Fact::Ended) if !waits.finished() => {}
        _ => return Judgement::NotAsked,
    }
    let stuck = |&a: &Actor| waits.main(a) && waits.blocked(a) && !times_out(waits, a);
    match (0..waits.actors()).map(Actor).find(stuck) {
        Some(actor) if cycle(w, waits).is_none() => {
            Judgement::Broken([waited(w, waits, actor), w.cell::<ActorState>(actor)])
        }
        _ => Judgement::Holds,
    }
}

/// Whether an agent waits for the answer to a lease break whose timeout is still to come.
fn times_out(waits: &dyn Waits, actor: Actor) -> bool {
    let Need::LeaseAnswered(file) = waits.need(actor) else { return false };
    let timeout = |a| !waits.blocked(a) && waits.need(a) == Need::LeaseBreaking(file);
    (0..waits.actors()).map(Actor).any(timeout)
}

/// A cycle of agents each of which waits for the next, through this agent.
pub fn cycle_from(w: &World, waits: &dyn Waits, start: Actor) -> Option<Vec<Actor>> {
    // Most waits are for somebody who can go on: no cycle begins there.
    let stuck = |holder: Actor| holder == start || waits.blocked(holder);
    match waits.need(start).holder(w) {
        Some(holder) if !holder.is_some_and(stuck) => return None,
        _ => {}
    }
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
    for mut group in waits.need(at).awaits(w) {
        group.retain(|&a| acts(waits, a));
        // Whoever of them does it will do: while one of them can go on, nobody is stuck.
        if !group.iter().all(|&a| stuck(w, waits, a, &mut path.clone())) {
            continue;
        }
        for holder in group {
            if holder == goal {
                return true;
            }
            if !tried.contains(&holder) {
                tried.push(holder);
                path.push(holder);
                if search(w, waits, goal, path, tried) {
                    return true;
                }
                path.pop();
            }
        }
    }
    false
}

/// Whether an agent waits, directly or not, for nobody but agents of `with` and others that do.
fn stuck(w: &World, waits: &dyn Waits, agent: Actor, with: &mut Vec<Actor>) -> bool {
    if with.contains(&agent) {
        return true;
    }
    if !waits.blocked(agent) {
        return false;
    }
    with.push(agent);
    let found = waits.need(agent).awaits(w).into_iter().any(|mut group| {
        group.retain(|&a| acts(waits, a));
        !group.is_empty() && group.iter().all(|&a| stuck(w, waits, a, with))
    });
    if !found {
        with.pop();
    }
    found
}

/// Whether an agent has anything left to do: it has not finished, nor is it a service without
/// work.
fn acts(waits: &dyn Waits, agent: Actor) -> bool {
    !matches!(waits.need(agent), Need::Never | Need::WorkQueued(_) | Need::BioSubmitted(_))
}

/// Any cycle of waits.
pub fn cycle(w: &World, waits: &dyn Waits) -> Option<Vec<Actor>> {
    let blocked = (0..waits.actors()).map(Actor).filter(|&a| waits.blocked(a));
    blocked.into_iter().find_map(|a| cycle_from(w, waits, a))
}
