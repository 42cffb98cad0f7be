//! Invariants about locks: their order, and sleeping where one must not.

use super::{Hurt, Invariant, Judgement, Premise, Subject, Waits};
use crate::kernel::world::facts::{Fact, FactKind};
use crate::kernel::world::machine::{ActorState, Held, LockClass};
use crate::kernel::world::objects::CpuState;
use crate::kernel::world::{Actor, Cpu, Kind, OpId, World};

/// See its `doc`.
pub const SLEEP_IN_ATOMIC: Invariant = Invariant {
    name: "sleep-in-atomic",
    hurts: Hurt::System,
    doc: "An operation that may sleep runs with interrupts off or in an interrupt.",
    source: "might_sleep(); claim 86 (page_mkwrite at unpin)",
    premise: "an agent runs in an interrupt or with interrupts off",
    arises: Premise::Checked,
    watches: &[Kind::ActorState, Kind::CpuState],
    hears: &[FactKind::MaySleep],
    check: sleep_in_atomic,
    fatal: false,
};

fn sleep_in_atomic(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let atomic = match subject {
        Subject::Fact(Fact::MaySleep { actor, atomic: true }) => {
            let cell = w.cell::<ActorState>(actor);
            let cpu = w.map.plan.threads.get(actor.0 as usize).map(|t| t.cpu);
            return Judgement::Broken([cell, cpu.map_or(cell, |c| w.cell::<CpuState>(c))]);
        }
        Subject::Wrote { kind: Kind::CpuState, object, .. } => {
            w.get::<CpuState>(Cpu(object)).irq_off() != 0
        }
        Subject::Wrote { object, .. } => w.get::<ActorState>(Actor(object)).in_irq(),
        Subject::Fact(_) => false,
    };
    if atomic { Judgement::Holds } else { Judgement::NotAsked }
}

/// See its `doc`.
///
/// As lockdep does, the order is taken of classes, not of locks, and over everything that has
/// been explored: two halves of a cycle need not come up in one run. Two locks of one class have
/// no order here. Locks that are taken and released within one step are never held while another
/// is taken, so that they can close no cycle.
pub const LOCK_ORDER: Invariant = Invariant {
    name: "lock-order",
    hurts: Hurt::System,
    doc: "The lock-order graph has a cycle: somewhere lock A is taken under B, and elsewhere B, \
          directly or by way of others, under A. It is found even if no run deadlocks.",
    source: "lockdep; the order at the head of mm/filemap.c",
    premise: "a lock is taken while another is held",
    arises: Premise::Checked,
    watches: &[],
    hears: &[FactKind::Locked],
    check: lock_order,
    fatal: false,
};

fn lock_order(w: &World, waits: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Fact(Fact::Locked { actor, class, under }) = subject else {
        return Judgement::NotAsked;
    };
    let under = under & !bit(class);
    if under == 0 {
        return Judgement::NotAsked;
    }
    let orders = waits.orders();
    if orders.cyclic && orders.after(class) & under != 0 {
        let cell = w.cell::<Held>(actor);
        return Judgement::Broken([cell, cell]);
    }
    Judgement::Holds
}

fn bit(class: LockClass) -> u16 {
    1 << class.into_bits()
}

const CLASSES: usize = LockClass::ALL.len();

/// Where a lock was taken under another one for the first time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The class that was held.
    pub held: LockClass,
    /// The class that was taken under it.
    pub taken: LockClass,
    /// Who took it.
    pub by: Actor,
    /// In which operation of its program.
    pub op: OpId,
    /// In which step, in the kernel's words.
    pub step: &'static str,
}

/// Which classes of locks have been taken under which, over all transitions made: it only grows,
/// and is no part of the state.
#[derive(Clone, Debug, Default)]
pub struct LockGraph {
    /// For each class, those that were held when it was taken.
    above: [u16; CLASSES],
    seen: Vec<Seen>,
    cyclic: bool,
}

impl LockGraph {
    /// Adds that a lock was taken while others were held; `first` says where, and is asked only
    /// for an order that was not known.
    #[inline]
    pub fn note(
        &mut self,
        class: LockClass,
        under: u16,
        first: impl Fn() -> (Actor, OpId, &'static str),
    ) {
        let new = under & !bit(class) & !self.above[class.into_bits() as usize];
        if new != 0 {
            let (by, op, step) = first();
            for &held in LockClass::ALL.iter().filter(|&&held| new & bit(held) != 0) {
                self.add(Seen { held, taken: class, by, op, step });
            }
        }
    }

    fn add(&mut self, seen: Seen) {
        let above = &mut self.above[seen.taken.into_bits() as usize];
        if *above & bit(seen.held) == 0 {
            *above |= bit(seen.held);
            self.seen.push(seen);
            self.cyclic = self.cyclic || self.after(seen.taken) & bit(seen.held) != 0;
        }
    }

    /// Adds what another graph (of another worker) has seen.
    pub fn merge(&mut self, other: &LockGraph) {
        for &seen in &other.seen {
            self.add(seen);
        }
    }

    /// The orders seen, each where it was seen first.
    pub fn orders(&self) -> &[Seen] {
        &self.seen
    }

    /// The classes that are taken under a class, directly or by way of others.
    fn after(&self, class: LockClass) -> u16 {
        let mut reached = 0;
        let mut todo = bit(class);
        while todo != 0 {
            let from = todo;
            todo = 0;
            for (to, above) in self.above.iter().enumerate() {
                if above & from != 0 && reached & (1 << to) == 0 {
                    reached |= 1 << to;
                    todo |= 1 << to;
                }
            }
        }
        reached
    }

    /// A shortest cycle, if there is one: each order begins with the class with which the one
    /// before ends.
    pub fn cycle(&self) -> Option<Vec<Seen>> {
        let closing = *self.seen.iter().find(|s| self.after(s.taken) & bit(s.held) != 0)?;
        // Breadth first from the class taken to the class held: how each class was reached.
        let mut how: [Option<Seen>; CLASSES] = [None; CLASSES];
        let mut queue = vec![closing.taken];
        let mut next = 0;
        while how[closing.held.into_bits() as usize].is_none() {
            let from = *queue.get(next)?;
            next += 1;
            for &seen in self.seen.iter().filter(|s| s.held == from) {
                let reached = &mut how[seen.taken.into_bits() as usize];
                if reached.is_none() {
                    *reached = Some(seen);
                    queue.push(seen.taken);
                }
            }
        }
        let mut path = vec![];
        let mut at = closing.held;
        while at != closing.taken {
            let seen = how[at.into_bits() as usize]?;
            path.push(seen);
            at = seen.held;
        }
        path.push(closing);
        path.reverse();
        Some(path)
    }
}
