//! The invariants: data, one table; a check looks at the world, never at an actor.
//!
//! After every step each invariant is shown what the step wrote of the facets that it watches,
//! and what the step stated of the facts that it listens to. It answers whether its premise arose
//! and whether it is broken. Invariants judge a state, or a state against what has happened; none
//! predicts the future.

pub mod count;
pub mod judge;
pub mod wait;

use super::world::facts::Fact;
use super::world::need::Need;
use super::world::{Actor, Kind, World};

/// What an invariant is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A cell of a facet that it watches was written: the object's number, the word before.
    Wrote {
        /// The facet.
        kind: Kind,
        /// The object.
        object: u32,
        /// The word before the step's first write to the cell (in a full check: the present one).
        old: u64,
    },
    /// A fact was stated.
    Fact(Fact),
}

/// The answer of an invariant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// Its premise did not arise.
    NotAsked,
    /// It could have been broken, and is not.
    Holds,
    /// It is broken; the cells are the evidence: the last step of another agent that wrote one of
    /// them is the other half of the race.
    Broken([u32; 2]),
}

/// Who waits for what: derived from the agents' control state.
pub trait Waits {
    /// What an agent needs before its next step.
    fn need(&self, actor: Actor) -> Need;
    /// Whether it is waiting for it.
    fn blocked(&self, actor: Actor) -> bool;
    /// Number of agents.
    fn actors(&self) -> u32;
}

/// A rule that every state has to obey.
#[derive(Clone, Copy)]
pub struct Invariant {
    /// The name, in kebab case.
    pub name: &'static str,
    /// The manual entry: what breaks it.
    pub doc: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// The situation in which it can be broken.
    pub premise: &'static str,
    /// Facets whose writes it is shown.
    pub watches: &'static [Kind],
    /// Whether it is shown this kind of fact.
    pub hears: fn(&Fact) -> bool,
    /// The check. `mover` is the agent that made the step.
    pub check: fn(w: &World, waits: &dyn Waits, subject: Subject, mover: Actor) -> Judgement,
    /// Whether the run is cut when it breaks, because the state means nothing afterwards.
    pub fatal: bool,
}

/// An invariant that listens to no facts.
pub fn deaf(_: &Fact) -> bool {
    false
}

/// Every invariant. The order is that of the bits of [`Props`](crate::engine::model::Props).
pub const TABLE: &[Invariant] = &[count::COUNT_BALANCE, wait::DEADLOCK];

/// The invariant of this name, with its bit.
pub fn find(name: &str) -> Option<(usize, &'static Invariant)> {
    TABLE.iter().enumerate().find(|(_, i)| i.name == name)
}
