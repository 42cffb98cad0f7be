//! The whole state as somebody sees it: the world and the agents' stacks.

use super::stack::Digest;
use super::{DEPTH, Sim};
use crate::engine::model::Agent;
use crate::kernel::actor::Routine;
use crate::kernel::world::door::mix;
use crate::kernel::world::view::{ByRank, Collector, Eyes, Mention, Names, Ranks, View};
use crate::kernel::world::{Actor, Id};
use std::hash::{Hash, Hasher};

/// Hashes a routine as somebody sees what it mentions.
struct Looking<'a, E> {
    digest: Digest,
    eyes: &'a mut E,
}

impl<E: Eyes> Hasher for Looking<'_, E> {
    fn finish(&self) -> u64 {
        self.digest.finish()
    }
    fn write(&mut self, bytes: &[u8]) {
        self.digest.write(bytes);
    }
    fn write_u8(&mut self, n: u8) {
        self.digest.write_u8(n);
    }
    fn write_u16(&mut self, n: u16) {
        self.digest.write_u16(n);
    }
    fn write_u32(&mut self, n: u32) {
        self.digest.write_u32(n);
    }
    fn write_u64(&mut self, n: u64) {
        self.digest.write_u64(n);
    }
    fn write_u128(&mut self, n: u128) {
        let seen = self.eyes.see(Mention::read(n));
        self.digest.write_u64(seen);
    }
    fn write_usize(&mut self, n: usize) {
        self.digest.write_usize(n);
    }
    fn write_isize(&mut self, n: isize) {
        self.digest.write_isize(n);
    }
}

impl Sim {
    /// The fingerprint of the state by other names and, where programs go round for ever, with
    /// ranks for the numbers that only grow. By its own names it is [`Sim::fingerprint`], also
    /// where they do not.
    ///
    /// [`Sim::fingerprint`]: crate::engine::model::Model::fingerprint
    pub fn seen(&self, names: &Names, ranks: Option<&Ranks>) -> u64 {
        let mut eyes = View { world: &self.world, names, ranks };
        self.world.seen(&mut eyes, names) ^ self.stacks_seen(&mut eyes, names)
    }

    /// The state as bytes, with ranks for the numbers that only grow.
    pub(super) fn state_seen(&self, out: &mut Vec<u8>) {
        let (names, ranks) = (Names::default(), self.ranks());
        let mut eyes = View { world: &self.world, names: &names, ranks: ranks.as_ref() };
        self.world.state_seen(&mut eyes, out);
        for routine in &self.stacks {
            let mut looking = Looking { digest: Digest::default(), eyes: &mut eyes };
            routine.hash(&mut looking);
            out.extend(looking.finish().to_le_bytes());
        }
    }

    /// The numbers that only grow as they are now, if programs go round for ever.
    pub fn ranks(&self) -> Option<Ranks> {
        self.world.rules.endless.then(|| {
            let mut collector = Collector::new(&self.world);
            for (_, routine) in self.growing() {
                routine.hash(&mut Looking { digest: Digest::default(), eyes: &mut collector });
            }
            collector.ranks()
        })
    }

    /// The slots of the stacks whose machines keep a number that only grows: by itself such a slot
    /// adds nothing to the hash of the stacks.
    fn growing(&self) -> impl Iterator<Item = (u64, &Routine)> {
        let slots = self.stacks.iter().zip(&self.weights).enumerate();
        slots.filter_map(|(slot, (routine, weight))| match (routine, weight) {
            (Some(routine), 0) => Some((slot as u64, routine)),
            _ => None,
        })
    }

    /// The fingerprint where programs go round for ever, from what is kept of it: only what counts
    /// by rank is looked at.
    pub(super) fn seen_by_rank(&self, ranks: &Ranks) -> u64 {
        let mut eyes = ByRank { world: &self.world, ranks };
        self.growing().fold(
            self.world.seen_by_rank(ranks) ^ self.stack_hash,
            |hash, (slot, routine)| {
                let mut looking = Looking { digest: Digest::default(), eyes: &mut eyes };
                routine.hash(&mut looking);
                hash ^ mix(slot + 1, looking.finish())
            },
        )
    }

    fn stacks_seen(&self, eyes: &mut impl Eyes, names: &Names) -> u64 {
        let mut hash = 0;
        for (slot, routine) in self.stacks.iter().enumerate() {
            let Some(routine) = routine else { continue };
            let mut looking = Looking { digest: Digest::default(), eyes };
            routine.hash(&mut looking);
            let agent = names.of(Actor((slot / DEPTH) as u32));
            let slot = agent.index() * DEPTH + slot % DEPTH;
            hash ^= mix(slot as u64 + 1, looking.finish());
        }
        hash
    }

    /// A hash of an agent's stack alone without any number that only grows: of finitely many
    /// places of a program that goes round for ever.
    pub(super) fn stack_unranked(&self, agent: Agent) -> u64 {
        let (names, none) = (Names::default(), Ranks::default());
        let mut eyes = View { world: &self.world, names: &names, ranks: Some(&none) };
        let stack = self.stack(agent).enumerate();
        stack.fold(0, |hash, (level, routine)| {
            let mut looking = Looking { digest: Digest::default(), eyes: &mut eyes };
            routine.hash(&mut looking);
            hash ^ mix(level as u64 + 1, looking.finish())
        })
    }
}
