//! The visited set of a reduced search: for each state the agents that were asleep when it was
//! last looked at, and whether it is on the present run. Sixteen bytes a state.

use super::futures::Agents;

/// Marks a state that is on the present run; agents therefore have 63 bits.
const ON_RUN: u64 = 1 << 63;

/// Fingerprints with their sleepers.
#[derive(Debug)]
pub struct Sleepers {
    slots: Vec<(u64, u64)>,
    len: usize,
}

impl Default for Sleepers {
    fn default() -> Sleepers {
        Sleepers { slots: vec![(0, 0); 1 << 10], len: 0 }
    }
}

impl Sleepers {
    fn slot(&self, key: u64) -> usize {
        let n = self.slots.len();
        let mut i = ((u128::from(key) * n as u128) >> 64) as usize;
        while self.slots[i].0 != key && self.slots[i].0 != 0 {
            i = if i + 1 == n { 0 } else { i + 1 };
        }
        i
    }

    fn key(fingerprint: u64) -> u64 {
        fingerprint.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1)
    }

    /// The sleepers of a state if it is known, after making them `asleep` and no more than they
    /// were.
    pub fn meet(&mut self, fingerprint: u64, asleep: Agents) -> Option<Agents> {
        if self.len * 5 >= self.slots.len() * 4 {
            self.grow();
        }
        let i = self.slot(Self::key(fingerprint));
        let slot = &mut self.slots[i];
        if slot.0 == 0 {
            *slot = (Self::key(fingerprint), asleep);
            self.len += 1;
            return None;
        }
        let known = slot.1 & !ON_RUN;
        slot.1 = slot.1 & ON_RUN | known & asleep;
        Some(known)
    }

    /// Whether the state is on the present run.
    pub fn on_run(&self, fingerprint: u64) -> bool {
        self.slots[self.slot(Self::key(fingerprint))].1 & ON_RUN != 0
    }

    /// Says whether the state is on the present run.
    pub fn set_on_run(&mut self, fingerprint: u64, on: bool) {
        let i = self.slot(Self::key(fingerprint));
        let slot = &mut self.slots[i].1;
        *slot = if on { *slot | ON_RUN } else { *slot & !ON_RUN };
    }

    fn grow(&mut self) {
        // By half: the set stays under 24 bytes a state except for its smallest sizes.
        let bigger = vec![(0, 0); self.slots.len() * 3 / 2];
        let old = std::mem::replace(&mut self.slots, bigger);
        for (key, value) in old.into_iter().filter(|s| s.0 != 0) {
            let i = self.slot(key);
            self.slots[i] = (key, value);
        }
    }

    /// Memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.slots.len() * size_of::<(u64, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleepers_only_ever_shrink() {
        let mut set = Sleepers::default();
        assert_eq!(set.meet(7, 0b111), None);
        assert_eq!(set.meet(7, 0b110), Some(0b111));
        set.set_on_run(7, true);
        assert_eq!(set.meet(7, 0b011), Some(0b110));
        assert!(set.on_run(7));
        set.set_on_run(7, false);
        assert_eq!(set.meet(7, 0b111), Some(0b010));
        for i in 0..10_000u64 {
            set.meet(crate::engine::hash::mix(i + 100), i);
        }
        assert_eq!((set.meet(7, 0), set.len), (Some(0b010), 10_001));
    }
}
