//! Agents, steps and outcomes by name, as schedules and traces have them.

use crate::engine::model::{Agent, Model};
use crate::kernel::actor::Label;
use crate::kernel::sim::{Move, Sim};
use crate::kernel::world::Actor;
use crate::scenario::schedule::Choice;

/// What an agent is called.
pub fn name(sim: &Sim, agent: Agent) -> String {
    sim.world.map.actor_name(Actor(agent))
}

/// The agent of a name.
pub fn find(sim: &Sim, who: &str) -> Option<Agent> {
    let threads = &sim.world.map.plan.threads;
    let thread = threads.iter().position(|t| t.name == who).map(|n| n as Agent);
    thread.or_else(|| {
        let services = threads.len()..sim.agents();
        services.map(|n| n as Agent).find(|&n| name(sim, n) == who)
    })
}

/// The short name of a step: its number where it has one, else the kernel's words.
pub fn step_name(label: Label) -> &'static str {
    if label.id.is_empty() { label.name } else { label.id }
}

/// Whether a schedule means this step: by its number, by the kernel's words, or by the first of
/// them (the function).
pub fn is_step(label: Label, step: &str) -> bool {
    let function = label.name.split([' ', '(', ':']).next();
    step == label.id || step == label.name || function == Some(step)
}

/// The name of an outcome; none for the ordinary one.
pub fn outcome(sim: &Sim, agent: Agent, outcome: usize) -> Option<String> {
    match outcome {
        0 => None,
        1 if sim.top(agent).is_some_and(|r| r.is_device()) => Some("eio".into()),
        1 => Some("enomem".into()),
        n => Some(n.to_string()),
    }
}

/// A move as a choice of a schedule, in the state before it.
pub fn choice(sim: &Sim, mv: Move) -> Choice {
    Choice {
        who: name(sim, mv.agent),
        step: sim.label(mv.agent).map(|label| step_name(label).to_string()),
        outcome: outcome(sim, mv.agent, usize::from(mv.outcome)),
    }
}

/// A step in words: its number and the kernel's words.
pub fn step_words(label: Label) -> String {
    if label.id.is_empty() {
        label.name.to_string()
    } else {
        format!("{} {}", label.id, label.name)
    }
}
