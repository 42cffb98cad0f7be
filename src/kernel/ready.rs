//! Who can go on: a set of ready agents, and for each cell the agents that wait for it.
//!
//! An agent's readiness is looked at again only when it moved or when the cell that it waits for
//! was written, so that a step's cost does not grow with the number of agents. All of this is
//! derived from the state: it is no part of the fingerprint.

/// Agents per block of the two-level count.
const BLOCK: usize = 512;

/// A set of agents with fast selection of the k-th.
#[derive(Clone, Debug, Default)]
pub struct ReadySet {
    words: Vec<u64>,
    /// Members in each block of 512.
    blocks: Vec<u32>,
    len: usize,
}

impl ReadySet {
    /// An empty set for so many agents.
    pub fn new(agents: usize) -> ReadySet {
        let (words, blocks) = (agents.div_ceil(64).max(1), agents.div_ceil(BLOCK).max(1));
        ReadySet { words: vec![0; words], blocks: vec![0; blocks], len: 0 }
    }

    /// Puts an agent in or out.
    #[inline]
    pub fn set(&mut self, agent: u32, ready: bool) {
        let (word, bit) = (agent as usize / 64, 1u64 << (agent % 64));
        if (self.words[word] & bit != 0) != ready {
            self.words[word] ^= bit;
            let block = &mut self.blocks[agent as usize / BLOCK];
            if ready {
                *block += 1;
                self.len += 1;
            } else {
                *block -= 1;
                self.len -= 1;
            }
        }
    }

    /// Whether an agent is in.
    #[inline]
    pub fn has(&self, agent: u32) -> bool {
        self.words[agent as usize / 64] >> (agent % 64) & 1 == 1
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `k`-th member, ascending; `k` must be below [`ReadySet::len`].
    #[inline]
    pub fn nth(&self, k: usize) -> u32 {
        // Most machines have no more than 64 agents.
        if k < self.words[0].count_ones() as usize {
            return select(self.words[0], k);
        }
        self.nth_far(k)
    }

    fn nth_far(&self, mut k: usize) -> u32 {
        let mut block = 0;
        while k >= self.blocks[block] as usize {
            k -= self.blocks[block] as usize;
            block += 1;
        }
        let mut word = block * BLOCK / 64;
        while k >= self.words[word].count_ones() as usize {
            k -= self.words[word].count_ones() as usize;
            word += 1;
        }
        (word * 64) as u32 + select(self.words[word], k)
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(i, &word)| {
            let mut bits = word;
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Some((i * 64) as u32 + bit)
            })
        })
    }
}

/// The place of the `k`-th bit that is set.
#[inline]
fn select(mut bits: u64, k: usize) -> u32 {
    for _ in 0..k {
        bits &= bits - 1;
    }
    bits.trailing_zeros()
}

/// No agent.
const NONE: u32 = u32::MAX;
/// Lists of waiters; cells share lists modulo this number.
const LISTS: usize = 1024;

/// For each cell, the agents that wait for it to be written.
#[derive(Clone, Debug)]
pub struct Waiters {
    heads: Box<[u32; LISTS]>,
    next: Vec<u32>,
    prev: Vec<u32>,
    /// The cell that each agent waits for.
    cell: Vec<u32>,
}

impl Waiters {
    /// Nobody of so many agents waits.
    pub fn new(agents: usize) -> Waiters {
        Waiters {
            heads: Box::new([NONE; LISTS]),
            next: vec![NONE; agents],
            prev: vec![NONE; agents],
            cell: vec![NONE; agents],
        }
    }

    #[inline]
    fn list(cell: u32) -> usize {
        cell.wrapping_mul(0x9e37_79b1) as usize >> 22 & (LISTS - 1)
    }

    /// Lets an agent wait for a cell, or for none.
    pub fn set(&mut self, agent: u32, cell: Option<u32>) {
        let (a, new) = (agent as usize, cell.unwrap_or(NONE));
        if self.cell[a] == new {
            return;
        }
        if self.cell[a] != NONE {
            let (prev, next) = (self.prev[a], self.next[a]);
            match prev {
                NONE => self.heads[Waiters::list(self.cell[a])] = next,
                p => self.next[p as usize] = next,
            }
            if next != NONE {
                self.prev[next as usize] = prev;
            }
        }
        self.cell[a] = new;
        if new != NONE {
            let head = &mut self.heads[Waiters::list(new)];
            self.next[a] = *head;
            self.prev[a] = NONE;
            if *head != NONE {
                self.prev[*head as usize] = agent;
            }
            *head = agent;
        }
    }

    /// The agents that wait for a cell.
    #[inline]
    pub fn of(&self, cell: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.heads[Waiters::list(cell)];
        std::iter::from_fn(move || {
            while at != NONE {
                let agent = at;
                at = self.next[agent as usize];
                if self.cell[agent as usize] == cell {
                    return Some(agent);
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_ready_set_is_a_set(ops in prop::collection::vec((0u32..2000, any::<bool>()), 1..300)) {
            let (mut set, mut model) = (ReadySet::new(2000), BTreeSet::new());
            for (agent, ready) in ops {
                set.set(agent, ready);
                if ready { model.insert(agent); } else { model.remove(&agent); }
            }
            prop_assert_eq!(set.len(), model.len());
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert!((0..set.len()).map(|k| set.nth(k)).eq(model.iter().copied()));
        }

        #[test]
        fn waiters_are_found_by_their_cell(
            ops in prop::collection::vec((0u32..20, prop::option::of(0u32..9)), 1..200),
        ) {
            let (mut waiters, mut model) = (Waiters::new(20), vec![None; 20]);
            for (agent, cell) in ops {
                waiters.set(agent, cell);
                model[agent as usize] = cell;
            }
            for cell in 0..9 {
                let found: BTreeSet<u32> = waiters.of(cell).collect();
                let expected: BTreeSet<u32> =
                    (0..20).filter(|&a| model[a as usize] == Some(cell)).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
