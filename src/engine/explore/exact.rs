//! The set of states seen when exactness is asked for: whole states.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::visited::{SHARDS, Seen, Visited, key_of, shard_of};
use crate::engine::hash;

/// Whole states, compared byte by byte: nothing can hide behind a collision.
#[derive(Clone, Debug, Default)]
pub struct Exact {
    arena: Vec<u8>,
    /// End of each state in the arena.
    ends: Vec<usize>,
    /// State number plus one at each slot.
    slots: Vec<u32>,
    scratch: Vec<u8>,
    fingerprints: Visited,
}

impl Exact {
    /// Pairs of different states with one fingerprint: what a search without `--exact` would
    /// have taken for one state.
    pub fn collisions(&self) -> usize {
        self.ends.len() - self.fingerprints.len()
    }

    /// The states, in the order in which they came.
    pub(super) fn states(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|number| self.state(number))
    }

    /// What fingerprints alone would have kept.
    pub(super) fn fingerprints(&self) -> &Visited {
        &self.fingerprints
    }

    /// Puts [`states`](Self::states) and [`fingerprints`](Self::fingerprints) back.
    pub(super) fn restore(states: impl Iterator<Item = Vec<u8>>, fingerprints: Visited) -> Exact {
        let mut exact = Exact { fingerprints, ..Exact::default() };
        for state in states {
            exact.add(&state);
        }
        exact
    }

    /// Adds a state; whether it was new.
    fn add(&mut self, state: &[u8]) -> bool {
        if self.ends.len() * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let i = self.slot(state);
        let new = self.slots[i] == 0;
        if new {
            self.arena.extend_from_slice(state);
            self.ends.push(self.arena.len());
            self.slots[i] = self.ends.len() as u32;
        }
        new
    }

    fn state(&self, number: usize) -> &[u8] {
        let begin = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.arena[begin..self.ends[number]]
    }

    fn slot(&self, state: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut i = hash::bytes(state) as usize & mask;
        while self.slots[i] != 0 && self.state(self.slots[i] as usize - 1) != state {
            i = (i + 1) & mask;
        }
        i
    }

    fn grow(&mut self) {
        self.slots = vec![0; (self.slots.len() * 2).max(1024)];
        for number in 0..self.ends.len() {
            let i = self.slot(self.state(number));
            self.slots[i] = number as u32 + 1;
        }
    }
}

impl Seen for Exact {
    fn touch(&self, _fingerprint: u64) -> u64 {
        0
    }

    fn has(&self, fingerprint: u64) -> bool {
        self.fingerprints.has(fingerprint)
    }

    fn claim(&mut self, fingerprint: u64, state: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        state(&mut scratch);
        let new = self.add(&scratch);
        if new {
            self.fingerprints.claim(fingerprint, |_| ());
        }
        self.scratch = scratch;
        new
    }

    fn bytes(&self) -> usize {
        self.arena.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.slots.len() * 4
            + self.fingerprints.bytes()
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

/// The whole states of several threads: a lock for each part, which a fingerprint chooses.
#[derive(Debug)]
pub struct SharedExact {
    parts: Vec<Mutex<Exact>>,
    len: AtomicUsize,
    bytes: AtomicUsize,
}

impl Default for SharedExact {
    fn default() -> SharedExact {
        SharedExact::from((0..SHARDS).map(|_| Exact::default()).collect::<Vec<_>>())
    }
}

impl From<Vec<Exact>> for SharedExact {
    /// From [`SHARDS`] parts.
    fn from(parts: Vec<Exact>) -> SharedExact {
        let len = parts.iter().map(Seen::len).sum::<usize>().into();
        let bytes = parts.iter().map(Seen::bytes).sum::<usize>().into();
        SharedExact { parts: parts.into_iter().map(Mutex::new).collect(), len, bytes }
    }
}

impl Clone for SharedExact {
    fn clone(&self) -> SharedExact {
        SharedExact::from(self.parts().map(|part| part.clone()).collect::<Vec<_>>())
    }
}

impl SharedExact {
    /// The parts, each under its lock.
    pub(super) fn parts(&self) -> impl Iterator<Item = MutexGuard<'_, Exact>> {
        self.parts.iter().map(|part| part.lock().unwrap_or_else(|e| e.into_inner()))
    }

    /// Pairs of different states with one fingerprint.
    pub fn collisions(&self) -> usize {
        self.parts().map(|part| part.collisions()).sum()
    }
}

impl Seen for &SharedExact {
    fn touch(&self, _fingerprint: u64) -> u64 {
        0
    }

    fn has(&self, fingerprint: u64) -> bool {
        let part = &self.parts[shard_of(key_of(fingerprint))];
        part.lock().unwrap_or_else(|e| e.into_inner()).has(fingerprint)
    }

    fn claim(&mut self, fingerprint: u64, state: impl FnOnce(&mut Vec<u8>)) -> bool {
        let part = &self.parts[shard_of(key_of(fingerprint))];
        let mut part = part.lock().unwrap_or_else(|e| e.into_inner());
        let before = part.bytes();
        let new = part.claim(fingerprint, state);
        if new {
            self.len.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(part.bytes() - before, Ordering::Relaxed);
        }
        new
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_sets_tell_states_with_one_fingerprint_apart() {
        let mut set = Exact::default();
        assert!(set.claim(7, |s| s.push(1)));
        assert!(set.claim(7, |s| s.push(2)));
        assert!(!set.claim(7, |s| s.push(1)));
        assert_eq!((set.len(), set.collisions()), (2, 1));
        let states: Vec<Vec<u8>> = set.states().map(<[u8]>::to_vec).collect();
        let mut copy = Exact::restore(states.into_iter(), set.fingerprints().clone());
        assert_eq!((copy.len(), copy.collisions()), (2, 1));
        assert!(!copy.claim(7, |s| s.push(2)) && copy.claim(7, |s| s.push(3)));
    }
}
