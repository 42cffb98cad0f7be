//! The set of states seen: eight bytes a state, or whole states when exactness is asked for.
//!
//! Open addressing with linear probing. A key's home is its rank among all keys scaled to the
//! capacity, so growing is a pass in order; the set is cut into shards by the top bits, so that
//! growing never needs twice the memory, and threads do not stand in each other's way.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::hash;

const SHARD_BITS: u32 = 6;
const FIRST_CAPACITY: usize = 64;

/// A set of 64-bit keys.
#[derive(Clone, Debug)]
pub struct Table {
    slots: Vec<u64>,
    len: usize,
}

impl Default for Table {
    fn default() -> Table {
        Table { slots: vec![0; FIRST_CAPACITY], len: 0 }
    }
}

impl Table {
    #[inline]
    fn home(slots: usize, key: u64) -> usize {
        // The shard has used the top bits; the rest, as a fraction, times the capacity.
        ((u128::from(key << SHARD_BITS) * slots as u128) >> 64) as usize
    }

    #[inline]
    fn touch(&self, key: u64) -> u64 {
        self.slots[Self::home(self.slots.len(), key)]
    }

    /// Whether it has to grow before the next key.
    #[inline]
    fn is_full(&self) -> bool {
        self.len * 4 >= self.slots.len() * 3
    }

    /// Adds `key` (not 0) to a table that is not full; whether it was new.
    #[inline]
    fn insert(&mut self, key: u64) -> bool {
        let mut i = Self::home(self.slots.len(), key);
        loop {
            let slot = self.slots[i];
            if slot == key {
                return false;
            }
            if slot == 0 {
                self.slots[i] = key;
                self.len += 1;
                return true;
            }
            i += 1;
            if i == self.slots.len() {
                i = 0;
            }
        }
    }

    /// Doubles; gives the bytes that took.
    #[cold]
    fn grow(&mut self) -> usize {
        let old = std::mem::take(&mut self.slots);
        let more = old.len() * 8;
        self.slots = vec![0; old.len() * 2];
        let n = self.slots.len();
        for key in old.into_iter().filter(|&k| k != 0) {
            let mut i = Self::home(n, key);
            while self.slots[i] != 0 {
                i = if i + 1 == n { 0 } else { i + 1 };
            }
            self.slots[i] = key;
        }
        more
    }

    fn bytes(&self) -> usize {
        self.slots.len() * 8
    }
}

/// The keys that states are known by are never 0, which marks an empty slot; and a multiplication
/// makes sure that the top bits, which choose shard and home, are good even if a model's
/// fingerprints are good only at the bottom.
#[inline]
fn key_of(fingerprint: u64) -> u64 {
    fingerprint.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1)
}

#[inline]
fn shard_of(key: u64) -> usize {
    (key >> (64 - SHARD_BITS)) as usize
}

/// What a search needs of a set of states seen.
pub trait Seen {
    /// Brings the neighbourhood of the key into the cache; the result means nothing.
    fn touch(&self, fingerprint: u64) -> u64;

    /// Adds the state; whether it was new. `state` writes the whole state out, if it is needed.
    fn claim(&mut self, fingerprint: u64, state: impl FnOnce(&mut Vec<u8>)) -> bool;

    /// Memory in use, in bytes.
    fn bytes(&self) -> usize;

    /// States in the set.
    fn len(&self) -> usize;

    /// Whether nothing has been added.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The set of one thread.
#[derive(Clone, Debug)]
pub struct Visited {
    shards: Vec<Table>,
    bytes: usize,
}

impl Default for Visited {
    fn default() -> Visited {
        let shards = vec![Table::default(); 1 << SHARD_BITS];
        let bytes = shards.iter().map(Table::bytes).sum();
        Visited { shards, bytes }
    }
}

impl Visited {
    /// The keys, in no order that means anything, for a checkpoint.
    pub fn keys(&self) -> impl Iterator<Item = u64> {
        self.shards.iter().flat_map(|t| t.slots.iter().copied()).filter(|&k| k != 0)
    }

    #[inline]
    fn insert(&mut self, key: u64) -> bool {
        let shard = &mut self.shards[shard_of(key)];
        if shard.is_full() {
            self.bytes += shard.grow();
        }
        shard.insert(key)
    }

    /// Puts a key of [`keys`](Self::keys) back.
    pub fn restore(&mut self, key: u64) {
        if key != 0 {
            self.insert(key);
        }
    }
}

impl Seen for Visited {
    #[inline]
    fn touch(&self, fingerprint: u64) -> u64 {
        let key = key_of(fingerprint);
        self.shards[shard_of(key)].touch(key)
    }

    #[inline]
    fn claim(&mut self, fingerprint: u64, _state: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.insert(key_of(fingerprint))
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|t| t.len).sum()
    }
}

/// The set that threads share: a lock for each shard.
#[derive(Debug, Default)]
pub struct Shared {
    shards: Vec<Mutex<Table>>,
    len: AtomicUsize,
    bytes: AtomicUsize,
}

impl From<Visited> for Shared {
    fn from(visited: Visited) -> Shared {
        let (len, bytes) = (visited.len(), visited.bytes());
        let shards = visited.shards.into_iter().map(Mutex::new).collect();
        Shared { shards, len: len.into(), bytes: bytes.into() }
    }
}

impl From<Shared> for Visited {
    fn from(shared: Shared) -> Visited {
        let open = |m: Mutex<Table>| m.into_inner().unwrap_or_else(|e| e.into_inner());
        let shards: Vec<Table> = shared.shards.into_iter().map(open).collect();
        let bytes = shards.iter().map(Table::bytes).sum();
        Visited { shards, bytes }
    }
}

impl Seen for &Shared {
    #[inline]
    fn touch(&self, _fingerprint: u64) -> u64 {
        0
    }

    #[inline]
    fn claim(&mut self, fingerprint: u64, _state: impl FnOnce(&mut Vec<u8>)) -> bool {
        let key = key_of(fingerprint);
        let shard = &self.shards[shard_of(key)];
        let mut table = shard.lock().unwrap_or_else(|e| e.into_inner());
        if table.is_full() {
            self.bytes.fetch_add(table.grow(), Ordering::Relaxed);
        }
        let new = table.insert(key);
        drop(table);
        if new {
            self.len.fetch_add(1, Ordering::Relaxed);
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

/// The probability that at least two of `states` different states had the same 64-bit
/// fingerprint (birthday bound): what a verdict without `--exact` has to admit.
pub fn collision_probability(states: u64) -> f64 {
    let n = states as f64;
    let pairs = n * (n - 1.0) / 2.0;
    -f64::exp_m1(-pairs / 2f64.powi(64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_new_once() {
        let mut set = Visited::default();
        for round in 0..2 {
            for i in 0..100_000u64 {
                assert_eq!(set.claim(hash::mix(i), |_| ()), round == 0, "{i}");
            }
        }
        assert_eq!(set.len(), 100_000);
        assert!(set.bytes() <= 24 * 100_000, "{}", set.bytes());
    }

    #[test]
    fn a_restored_set_knows_the_same_keys() {
        let mut set = Visited::default();
        (0..1000).for_each(|i| assert!(set.claim(hash::mix(i), |_| ())));
        let mut copy = Visited::default();
        set.keys().for_each(|k| copy.restore(k));
        assert!((0..1000).all(|i| !copy.claim(hash::mix(i), |_| ())));
    }

    #[test]
    fn exact_sets_tell_states_with_one_fingerprint_apart() {
        let mut set = Exact::default();
        assert!(set.claim(7, |s| s.push(1)));
        assert!(set.claim(7, |s| s.push(2)));
        assert!(!set.claim(7, |s| s.push(1)));
        assert_eq!((set.len(), set.collisions()), (2, 1));
    }

    #[test]
    fn the_birthday_bound_has_the_right_size() {
        let p = collision_probability(1 << 32);
        assert!((p - (1.0 - (-0.5f64).exp())).abs() < 1e-6, "{p}");
        assert_eq!(collision_probability(1), 0.0);
    }
}
