//! The set of states seen when exactness is asked for: whole states.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::visited::{SHARD_BITS, Seen, Visited, key_of, shard_of};
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

    fn claim(&mut self, fingerprint: u64, state: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.ends.len() * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        state(&mut scratch);
        let i = self.slot(&scratch);
        let new = self.slots[i] == 0;
        if new {
            self.arena.extend_from_slice(&scratch);
            self.ends.push(self.arena.len());
            self.slots[i] = self.ends.len() as u32;
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
        let parts = (0..1 << SHARD_BITS).map(|_| Mutex::default()).collect();
        SharedExact { parts, len: 0.into(), bytes: 0.into() }
    }
}

impl SharedExact {
    /// Pairs of different states with one fingerprint.
    pub fn collisions(&self) -> usize {
        let count = |m: &Mutex<Exact>| m.lock().unwrap_or_else(|e| e.into_inner()).collisions();
        self.parts.iter().map(count).sum()
    }
}

impl Seen for &SharedExact {
    fn touch(&self, _fingerprint: u64) -> u64 {
        0
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
    }
}
