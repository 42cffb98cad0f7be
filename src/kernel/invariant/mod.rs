//! The invariants: data, one table; a check looks at the world, never at an actor.
//!
//! After every step each invariant is shown what the step wrote of the facets that it watches,
//! and what the step stated of the facts that it listens to. It answers whether its premise arose
//! and whether it is broken. Invariants judge a state, or a state against what has happened; none
//! predicts the future.

pub mod bio;
pub mod blocks;
pub mod content;
pub mod count;
pub mod dma;
pub mod frames;
pub mod judge;
pub mod lock;
mod look;
#[cfg(test)]
mod tests;
pub mod tlb;
pub mod wait;

use super::world::facts::{Fact, FactKind};
use super::world::need::Need;
use super::world::{Actor, Kind, World};
pub use lock::LockGraph;

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

/// How the premise of an invariant can arise, other than by its check saying so.
///
/// The situation is a page that is unmapped or leaves its file under somebody who may use it
/// without asking the page table: that somebody's pin, or the translation of a device with a
/// notifier. What the design does about it does not matter, so that a design that prevents the
/// harm is not reported as vacuous.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Premise {
    /// In no other way.
    Checked,
    /// In this situation.
    TakenAway,
    /// In this situation, with a pinned page.
    PinTakenAway,
    /// In this situation, with a page of a file that is mapped shared.
    TakenFromFile,
}

/// Who waits for what: derived from the agents' control state.
pub trait Waits {
    /// What an agent needs before its next step.
    fn need(&self, actor: Actor) -> Need;
    /// Whether it is waiting for it.
    fn blocked(&self, actor: Actor) -> bool;
    /// Number of agents.
    fn actors(&self) -> u32;
    /// Whether it is a thread that the run waits for.
    fn main(&self, actor: Actor) -> bool;
    /// Whether all threads that the run waits for have finished, and what serves them is idle.
    fn finished(&self) -> bool;
    /// The lock orders seen so far, over everything that has been explored.
    fn orders(&self) -> &LockGraph;
}

/// Who is hurt first when an invariant breaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Hurt {
    /// Whoever relies on what a file holds, on disk and after a crash.
    Filesystem,
    /// Whoever registered memory with a device and relies on what it transfers.
    Rdma,
    /// The rest of the machine: other owners of memory, the kernel's own order, whoever waits.
    System,
}

impl Hurt {
    /// Everybody, in the order of tables.
    pub const ALL: [Hurt; 3] = [Hurt::Filesystem, Hurt::Rdma, Hurt::System];

    /// A word for them.
    pub fn name(self) -> &'static str {
        match self {
            Hurt::Filesystem => "filesystem",
            Hurt::Rdma => "rdma",
            Hurt::System => "system",
        }
    }
}

/// A rule that every state has to obey.
#[derive(Clone, Copy)]
pub struct Invariant {
    /// The name, in kebab case.
    pub name: &'static str,
    /// Who is hurt first.
    pub hurts: Hurt,
    /// The manual entry: what breaks it.
    pub doc: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// The situation in which it can be broken.
    pub premise: &'static str,
    /// Whether that situation is one that the judge recognises for several invariants at once.
    pub arises: Premise,
    /// Facets whose writes it is shown.
    pub watches: &'static [Kind],
    /// Kinds of facts that it is shown.
    pub hears: &'static [FactKind],
    /// The check. `mover` is the agent that made the step.
    pub check: fn(w: &World, waits: &dyn Waits, subject: Subject, mover: Actor) -> Judgement,
    /// Whether the run is cut when it breaks, because the state means nothing afterwards.
    pub fatal: bool,
}

/// Every invariant. The order is that of the bits of [`Props`](crate::engine::model::Props).
pub const TABLE: &[Invariant] = &[
    frames::USE_AFTER_FREE,
    dma::FOREIGN_DMA,
    count::FREED_WHILE_PINNED,
    count::COUNT_BALANCE,
    count::PIN_MISSED,
    content::LOST_WRITE,
    content::CLEAN_BUT_NEWER,
    bio::UNSTABLE_IO,
    bio::TORN_SNAPSHOT,
    blocks::DIRTY_WITHOUT_MKWRITE,
    dma::SILENT_ORPHAN_DMA,
    dma::CORRUPT_REMOTE_READ,
    dma::STALE_DEVICE_MAPPING,
    tlb::STALE_TLB,
    frames::MISSING_STRUCT_PAGE,
    blocks::DOUBLE_OWNED_BLOCK,
    blocks::SPACE_LEAK,
    blocks::EXPOSED_BEYOND_EOF,
    lock::SLEEP_IN_ATOMIC,
    lock::LOCK_ORDER,
    wait::DEADLOCK,
    wait::STALL,
];

/// The place of lock-order in the table. It is judged by all transitions explored, not by one
/// run, so that its verdict is no part of the state ([`LockGraph`]).
pub const LOCK_ORDER: usize = 19;
const _: () = assert!(TABLE[LOCK_ORDER].hears[0] as u8 == FactKind::Locked as u8);

/// The invariant of this name, with its bit.
pub fn find(name: &str) -> Option<(usize, &'static Invariant)> {
    TABLE.iter().enumerate().find(|(_, i)| i.name == name)
}
