//! The agents' stacks of machines, with their hash and the log that takes changes back.

use super::{Class, DEPTH, Sim};
use crate::engine::model::Agent;
use crate::kernel::actor::Routine;
use crate::kernel::world::door::mix;
use crate::kernel::world::machine::{ActorState, Life};
use crate::kernel::world::view::Mention;
use crate::kernel::world::{Actor, Id, OpId};
use std::hash::{Hash, Hasher};

/// One change of a slot of the stacks: what was there, and what it added to the hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct StackChange {
    slot: u32,
    old: Option<Routine>,
    weight: u64,
}

/// Hashes the derived `Hash` of a routine the same way on every machine.
pub(super) struct Digest(u64);

impl Default for Digest {
    fn default() -> Digest {
        Digest(0x51ed_270b_27b4_5c3f)
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(23) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    /// A [`Mention`]: its value.
    #[inline]
    fn write_u128(&mut self, n: u128) {
        self.write_u64(n as u64);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }
}

/// Is told by the derived `Hash` of a routine whether it keeps a number that only grows.
#[derive(Default)]
struct Grows(bool);

impl Hasher for Grows {
    fn finish(&self) -> u64 {
        u64::from(self.0)
    }
    fn write(&mut self, _bytes: &[u8]) {}
    fn write_u128(&mut self, n: u128) {
        self.0 |= Mention::grows(n);
    }
}

impl Grows {
    fn of(routine: &Routine) -> bool {
        let mut grows = Grows::default();
        routine.hash(&mut grows);
        grows.0
    }
}

/// What a slot of the stacks adds to the hash of all of them. Where programs go round for ever
/// (`endless`), a machine that keeps a number that only grows adds nothing: what it counts for
/// depends on everything else ([`Sim::ranks`]).
pub(super) fn weight(slot: u32, routine: &Option<Routine>, endless: bool) -> u64 {
    let Some(routine) = routine else { return 0 };
    if endless && Grows::of(routine) {
        return 0;
    }
    let mut digest = Digest::default();
    routine.hash(&mut digest);
    mix(u64::from(slot) + 1, digest.finish())
}

impl Sim {
    #[inline]
    pub(super) fn depth(&self, actor: Actor) -> usize {
        self.world.get::<ActorState>(actor).depth() as usize
    }

    /// The machine that an agent is in; none if it has finished.
    #[inline]
    pub fn top(&self, agent: Agent) -> Option<&Routine> {
        let level = self.depth(Actor(agent)).checked_sub(1)?;
        self.stacks[agent as usize * DEPTH + level].as_ref()
    }

    /// The machines on an agent's stack, outermost first.
    pub fn stack(&self, agent: Agent) -> impl Iterator<Item = Routine> + '_ {
        let at = agent as usize * DEPTH;
        self.stacks[at..at + self.depth(Actor(agent))].iter().copied().flatten()
    }

    pub(super) fn write_stack(&mut self, actor: Actor, level: usize, routine: Option<Routine>) {
        let slot = actor.0 * DEPTH as u32 + level as u32;
        let weight = weight(slot, &routine, self.world.rules.endless);
        let old_weight = std::mem::replace(&mut self.weights[slot as usize], weight);
        let old = std::mem::replace(&mut self.stacks[slot as usize], routine);
        self.stack_hash ^= old_weight ^ weight;
        self.stack_log.push(StackChange { slot, old, weight: old_weight });
    }

    /// Ends a change of an agent's stack: levels that were left are emptied.
    #[inline]
    pub(super) fn set_depth(&mut self, actor: Actor, from: usize, to: usize) {
        if from != to {
            for level in to..from {
                self.write_stack(actor, level, None);
            }
            self.world.update::<ActorState>(actor, |s| s.with_depth(to as u8));
        }
    }

    pub(super) fn finish(&mut self, actor: Actor) {
        self.set_depth(actor, self.depth(actor), 0);
        self.world.update::<ActorState>(actor, |s| {
            let killed = s.life() == Life::Killed;
            s.with_life(if killed { Life::Killed } else { Life::Done })
        });
        if self.class[actor.index()] == Class::Main {
            self.unfinished -= 1;
        }
    }

    /// The operation that an agent's program is in.
    pub fn op(&self, agent: Agent) -> OpId {
        let thread = self.world.map.plan.threads.get(agent as usize);
        match (&self.stacks[agent as usize * DEPTH], thread) {
            (Some(Routine::Program(p)), Some(thread)) => p.op(thread.first_op),
            _ => OpId(0),
        }
    }

    /// Takes back every change of the stacks since a mark, at which their hash was `hash`.
    pub(super) fn rewind_stacks(&mut self, mark: usize, hash: u64) {
        for change in self.stack_log[mark..].iter().rev() {
            self.stacks[change.slot as usize] = change.old;
            self.weights[change.slot as usize] = change.weight;
        }
        self.stack_log.truncate(mark);
        self.stack_hash = hash;
    }

    /// A hash of an agent's stack alone.
    pub(super) fn stack_digest(&self, agent: Agent) -> u64 {
        if self.world.rules.endless {
            return self.stack_unranked(agent);
        }
        let at = agent as usize * DEPTH;
        self.weights[at..at + DEPTH].iter().fold(0, |h, w| h ^ w)
    }
}
