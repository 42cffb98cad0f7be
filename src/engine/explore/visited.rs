//! The set of states seen: eight bytes a state, twelve with the agents that sleep there.
//!
//! Open addressing with linear probing. A key's home is its rank among all keys scaled to the
//! capacity, so growing is a pass in order; the set is cut into shards by the top bits, so that
//! growing never needs twice the memory, and threads do not stand in each other's way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

pub(super) const SHARD_BITS: u32 = 6;
const FIRST_CAPACITY: usize = 64;
pub(super) const SHARDS: usize = 1 << SHARD_BITS;

/// Among the agents for which a state has to be looked at: that it was not known. No agent's bit.
pub const NEW: u64 = 1 << 63;

/// All agents, for a state that was not known.
pub const EVERYBODY: u64 = u64::MAX;

/// Slots that are looked at at once.
const WINDOW: usize = 4;

/// A set of 64-bit keys.
#[derive(Clone, Debug)]
pub struct Table {
    slots: Vec<u64>,
    /// The agents that sleep in the state of each slot, if that is kept; those with a number
    /// above 31 never do.
    asleep: Vec<u32>,
    /// Homes, the first of the slots.
    homes: usize,
    /// Keys that still fit before it has to grow.
    room: usize,
}

impl Table {
    fn new(homes: usize, sleepers: bool) -> Table {
        // The last home has a whole window, too.
        let slots = homes + WINDOW - 1;
        let asleep = if sleepers { vec![0; slots] } else { Vec::new() };
        Table { slots: vec![0; slots], asleep, homes, room: Table::most(homes) }
    }

    /// The keys that a table of so many homes may hold.
    fn most(homes: usize) -> usize {
        homes / 4 * 3
    }

    fn len(&self) -> usize {
        Table::most(self.homes) - self.room
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        // The shard has used the top bits; the rest, as a fraction, times the capacity.
        ((u128::from(key << SHARD_BITS) * self.homes as u128) >> 64) as usize
    }

    #[inline]
    fn touch(&self, key: u64) -> u64 {
        self.slots[self.home(key)]
    }

    /// The slot of `key` (not 0): its own, or the empty one where it belongs.
    #[inline]
    fn slot(&self, key: u64) -> usize {
        let mut from = self.home(key);
        loop {
            let window = self.slots.get(from..).and_then(<[u64]>::first_chunk);
            let Some(&[a, b, c, d]): Option<&[u64; WINDOW]> = window else {
                from = 0;
                continue;
            };
            // All at once and without a branch: nobody can foretell how far it is.
            let other = |slot: u64| (slot != key) & (slot != 0);
            let two = other(a) & other(b);
            let three = two & other(c);
            if !(three & other(d)) {
                let past = usize::from(other(a)) + usize::from(two) + usize::from(three);
                return from + past;
            }
            from += WINDOW;
        }
    }

    /// The same in a table that makes room for the key if it has to, and adds the bytes that this
    /// takes to `bytes`.
    #[inline(always)]
    fn place(&mut self, key: u64, bytes: &mut usize) -> usize {
        let slot = self.slot(key);
        if self.room > 0 { slot } else { self.make_room(key, slot, bytes) }
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, key: u64, slot: usize, bytes: &mut usize) -> usize {
        if self.slots[slot] != 0 {
            return slot;
        }
        *bytes += self.grow();
        self.slot(key)
    }

    /// Adds `key` (not 0); whether it was new.
    #[inline(always)]
    fn insert(&mut self, key: u64, bytes: &mut usize) -> bool {
        let slot = self.place(key, bytes);
        let new = self.slots[slot] == 0;
        self.slots[slot] = key;
        self.room -= usize::from(new);
        new
    }

    /// The same where some agents are asleep; gives those that woke up.
    #[inline]
    fn meet(&mut self, key: u64, asleep: u64, bytes: &mut usize) -> u64 {
        let i = self.place(key, bytes);
        let asleep = asleep & u64::from(u32::MAX);
        if self.slots[i] == 0 {
            self.slots[i] = key;
            self.room -= 1;
            if let Some(known) = self.asleep.get_mut(i) {
                *known = asleep as u32;
            }
            return EVERYBODY & !asleep;
        }
        let Some(known) = self.asleep.get_mut(i) else { return 0 };
        let woken = *known & !(asleep as u32);
        *known &= asleep as u32;
        u64::from(woken)
    }

    fn has(&self, key: u64) -> bool {
        self.slots[self.slot(key)] != 0
    }

    fn asleep(&self, key: u64) -> u64 {
        self.asleep.get(self.slot(key)).map_or(0, |&asleep| u64::from(asleep))
    }

    /// Makes room; gives the bytes that took. With sleepers it does so by half, which keeps the
    /// table under 24 bytes a state.
    fn grow(&mut self) -> usize {
        let sleepers = !self.asleep.is_empty();
        let homes = if sleepers { self.homes * 3 / 2 } else { self.homes * 2 };
        let mut bigger = Table::new(homes, sleepers);
        for (key, asleep) in self.entries() {
            let slot = bigger.slot(key);
            bigger.slots[slot] = key;
            bigger.room -= 1;
            if let Some(known) = bigger.asleep.get_mut(slot) {
                *known = asleep;
            }
        }
        let before = std::mem::replace(self, bigger).bytes();
        self.bytes() - before
    }

    fn bytes(&self) -> usize {
        self.slots.len() * 8 + self.asleep.len() * 4
    }

    /// The keys with their sleepers, in no order that means anything.
    fn entries(&self) -> impl Iterator<Item = (u64, u32)> {
        let asleep = |i| self.asleep.get(i).copied().unwrap_or(0);
        let all = self.slots.iter().enumerate().map(move |(i, &key)| (key, asleep(i)));
        all.filter(|e| e.0 != 0)
    }
}

/// The keys that states are known by are never 0, which marks an empty slot; and a multiplication
/// makes sure that the top bits, which choose shard and home, are good even if a model's
/// fingerprints are good only at the bottom.
#[inline]
pub(super) fn key_of(fingerprint: u64) -> u64 {
    fingerprint.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1)
}

#[inline]
pub(super) fn shard_of(key: u64) -> usize {
    (key >> (64 - SHARD_BITS)) as usize
}

/// What a search needs of a set of states seen.
pub trait Seen {
    /// Brings the neighbourhood of the key into the cache; the result means nothing.
    fn touch(&self, fingerprint: u64) -> u64;

    /// Whether the state has been added.
    fn has(&self, fingerprint: u64) -> bool;

    /// Adds the state; whether it was new. `state` writes the whole state out, if it is needed.
    fn claim(&mut self, fingerprint: u64, state: impl FnOnce(&mut Vec<u8>)) -> bool;

    /// Adds a state in which some agents are asleep. Gives the agents for which it has to be
    /// looked at now: all others if it was new, else those that slept there till now and are awake
    /// this time.
    fn meet(&mut self, fingerprint: u64, _asleep: u64) -> u64 {
        if self.claim(fingerprint, |_| ()) { EVERYBODY } else { 0 }
    }

    /// Who sleeps in a state that is known: whoever has slept there each time.
    fn asleep(&self, _fingerprint: u64) -> u64 {
        0
    }

    /// Memory in use, in bytes.
    fn bytes(&self) -> usize;

    /// States in the set.
    fn len(&self) -> usize;

    /// Whether nothing has been added.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<S: Seen> Seen for &mut S {
    #[inline]
    fn touch(&self, fingerprint: u64) -> u64 {
        (**self).touch(fingerprint)
    }

    fn has(&self, fingerprint: u64) -> bool {
        (**self).has(fingerprint)
    }

    #[inline]
    fn claim(&mut self, fingerprint: u64, state: impl FnOnce(&mut Vec<u8>)) -> bool {
        (**self).claim(fingerprint, state)
    }

    #[inline]
    fn meet(&mut self, fingerprint: u64, asleep: u64) -> u64 {
        (**self).meet(fingerprint, asleep)
    }

    #[inline]
    fn asleep(&self, fingerprint: u64) -> u64 {
        (**self).asleep(fingerprint)
    }

    #[inline]
    fn bytes(&self) -> usize {
        (**self).bytes()
    }

    fn len(&self) -> usize {
        (**self).len()
    }
}

/// The set of one thread.
#[derive(Clone, Debug)]
pub struct Visited {
    shards: Box<[Table; SHARDS]>,
    len: usize,
    bytes: usize,
}

impl Default for Visited {
    fn default() -> Visited {
        Visited::new(false)
    }
}

impl Visited {
    /// An empty set, which remembers who sleeps if that is wanted.
    pub fn new(sleepers: bool) -> Visited {
        let shards = Box::new(std::array::from_fn(|_| Table::new(FIRST_CAPACITY, sleepers)));
        let bytes = shards.iter().map(Table::bytes).sum();
        Visited { shards, len: 0, bytes }
    }

    /// For a checkpoint: each part's keys with their sleepers, and how many they are.
    pub fn parts(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = (u64, u32)>)> {
        self.shards.iter().map(|shard| (shard.len(), shard.entries()))
    }

    /// Makes a part as large as it would be if so many keys had been added. Without, keys that come
    /// in the order in which [`parts`](Self::parts) gives them would lie side by side in a small
    /// table, each looked for past all before.
    pub fn reserve(&mut self, part: usize, keys: usize) {
        let shard = &mut self.shards[part];
        while Table::most(shard.homes) < keys {
            self.bytes += shard.grow();
        }
    }

    /// Adds all that another set has.
    pub fn merge(&mut self, other: &Visited) {
        for (part, (keys, entries)) in other.parts().enumerate() {
            self.reserve(part, keys);
            entries.for_each(|entry| self.restore(entry));
        }
    }

    /// Puts a key with its sleepers back.
    pub fn restore(&mut self, (key, asleep): (u64, u32)) {
        if key != 0 {
            let table = &mut self.shards[shard_of(key)];
            let awake = table.meet(key, u64::from(asleep), &mut self.bytes);
            self.len += usize::from(awake & NEW != 0);
        }
    }
}

impl Seen for Visited {
    #[inline]
    fn touch(&self, fingerprint: u64) -> u64 {
        let key = key_of(fingerprint);
        self.shards[shard_of(key)].touch(key)
    }

    fn has(&self, fingerprint: u64) -> bool {
        let key = key_of(fingerprint);
        self.shards[shard_of(key)].has(key)
    }

    #[inline]
    fn claim(&mut self, fingerprint: u64, _state: impl FnOnce(&mut Vec<u8>)) -> bool {
        let key = key_of(fingerprint);
        let new = self.shards[shard_of(key)].insert(key, &mut self.bytes);
        self.len += usize::from(new);
        new
    }

    fn meet(&mut self, fingerprint: u64, asleep: u64) -> u64 {
        let key = key_of(fingerprint);
        let awake = self.shards[shard_of(key)].meet(key, asleep, &mut self.bytes);
        self.len += usize::from(awake & NEW != 0);
        awake
    }

    fn asleep(&self, fingerprint: u64) -> u64 {
        let key = key_of(fingerprint);
        self.shards[shard_of(key)].asleep(key)
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn len(&self) -> usize {
        self.len
    }
}

/// The set that threads share: a lock for each shard.
#[derive(Debug)]
pub struct Shared {
    shards: Box<[Mutex<Table>; SHARDS]>,
    len: AtomicUsize,
    bytes: AtomicUsize,
}

impl From<Visited> for Shared {
    fn from(visited: Visited) -> Shared {
        let (len, bytes) = (visited.len(), visited.bytes());
        let shards = Box::new(visited.shards.map(Mutex::new));
        Shared { shards, len: len.into(), bytes: bytes.into() }
    }
}

impl From<Shared> for Visited {
    fn from(shared: Shared) -> Visited {
        let open = |m: Mutex<Table>| m.into_inner().unwrap_or_else(|e| e.into_inner());
        let shards = Box::new(shared.shards.map(open));
        let bytes = shards.iter().map(Table::bytes).sum();
        let len = shards.iter().map(Table::len).sum();
        Visited { shards, len, bytes }
    }
}

impl Seen for &Shared {
    #[inline]
    fn touch(&self, _fingerprint: u64) -> u64 {
        0
    }

    fn has(&self, fingerprint: u64) -> bool {
        let key = key_of(fingerprint);
        self.shard(key).has(key)
    }

    #[inline]
    fn claim(&mut self, fingerprint: u64, _state: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.meet(fingerprint, 0) == EVERYBODY
    }

    #[inline]
    fn meet(&mut self, fingerprint: u64, asleep: u64) -> u64 {
        let key = key_of(fingerprint);
        let mut table = self.shard(key);
        let mut bytes = 0;
        let awake = table.meet(key, asleep, &mut bytes);
        drop(table);
        if bytes > 0 {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        if awake & NEW != 0 {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        awake
    }

    fn asleep(&self, fingerprint: u64) -> u64 {
        let key = key_of(fingerprint);
        self.shard(key).asleep(key)
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
}

impl Shared {
    #[inline]
    fn shard(&self, key: u64) -> MutexGuard<'_, Table> {
        self.shards[shard_of(key)].lock().unwrap_or_else(|e| e.into_inner())
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
    use crate::engine::hash;

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
    fn a_copied_set_knows_the_same_keys_in_the_same_room() {
        let mut set = Visited::default();
        (0..1000).for_each(|i| assert!(set.claim(hash::mix(i), |_| ())));
        let mut copy = Visited::default();
        copy.merge(&set);
        assert_eq!((copy.len(), copy.bytes()), (set.len(), set.bytes()));
        assert!((0..1000).all(|i| !copy.claim(hash::mix(i), |_| ())));
    }

    #[test]
    fn a_state_is_looked_at_for_each_agent_once() {
        let mut set = Visited::new(true);
        assert_eq!(set.meet(7, 0b111), EVERYBODY & !0b111);
        assert_eq!(set.meet(7, 0b110), 0b001);
        for i in 0..100_000u64 {
            assert_eq!(set.meet(hash::mix(i + 100), i), EVERYBODY & !i);
        }
        assert_eq!(set.meet(7, 0b011), 0b100);
        assert_eq!((set.meet(7, 0b111), set.asleep(7)), (0, 0b010));
        assert!(set.bytes() <= 24 * 100_000, "{}", set.bytes());
        let mut copy = Visited::new(true);
        copy.merge(&set);
        assert!((0..100_000).all(|i| copy.asleep(hash::mix(i + 100)) == i));
        assert_eq!((copy.len(), copy.asleep(7)), (100_001, 0b010));
    }

    #[test]
    fn the_birthday_bound_has_the_right_size() {
        let p = collision_probability(1 << 32);
        assert!((p - (1.0 - (-0.5f64).exp())).abs() < 1e-6, "{p}");
        assert_eq!(collision_probability(1), 0.0);
    }
}
