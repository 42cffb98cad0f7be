//! What each agent may still touch, learned from what agents were seen to touch.
//!
//! A *spot* is an agent at a place of its program. For each spot: the cells that its next move
//! read and wrote wherever it was seen, the cells that decided that it had to wait, and the spots
//! that came next. What a spot may touch in future is the closure over what comes next. The
//! tables only ever grow; a search that made them grow is run again (see the module above).

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::engine::hash::mix2;
use crate::engine::model::{Agent, Footprint, Model};

/// A set of agents, one bit each.
pub type Agents = u64;

/// A cell that every move reads and that a move writes which ends the run for everybody.
const RUN: u32 = 0;

/// Stands for "some cell": read by a wait of which the model does not say what could end it.
const ANY: u32 = 1;

/// Numbers of cells begin here.
const FIRST_CELL: u32 = 2;

/// Cells below this are looked up directly.
const NEAR: usize = 1 << 16;

/// Spots that can be looked up directly; others that fall together with them take longer.
const DIRECT: usize = 1 << 10;

/// The spot of whoever is where nobody has been seen.
pub(super) const NOWHERE: u32 = 0;

/// A growing set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(pub(super) Vec<u64>);

impl Bits {
    /// Adds `bit`; whether it was new.
    fn add(&mut self, bit: u32) -> bool {
        let (word, mask) = (bit as usize / 64, 1 << (bit % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & mask == 0;
        self.0[word] |= mask;
        new
    }

    fn has(&self, bit: u32) -> bool {
        self.0.get(bit as usize / 64).is_some_and(|w| w >> (bit % 64) & 1 == 1)
    }

    /// Adds all of `other`; whether anything was new.
    fn add_all(&mut self, other: &Bits) -> bool {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        let mut new = false;
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            new |= *a | *b != *a;
            *a |= *b;
        }
        new
    }

    fn meets(&self, other: &Bits) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|&w| w == 0)
    }

    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let words = self.0.len() as u32;
        (0..words * 64).filter(|&bit| self.has(bit))
    }
}

/// Cells read and cells written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) reads: Bits,
    pub(super) writes: Bits,
}

impl Access {
    fn add_all(&mut self, other: &Access) -> bool {
        self.reads.add_all(&other.reads) | self.writes.add_all(&other.writes)
    }

    fn conflicts(&self, other: &Access) -> bool {
        self.writes.meets(&other.writes)
            || self.writes.meets(&other.reads)
            || self.reads.meets(&other.writes)
            || self.reads.has(ANY) && !other.writes.is_empty()
            || other.reads.has(ANY) && !self.writes.is_empty()
    }
}

/// All that is known of one agent at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) agent: Agent,
    pub(super) place: u32,
    pub(super) next: Access,
    /// Cells of which one has to be written before the agent can go on, where it was seen waiting.
    pub(super) wake: Bits,
    pub(super) follows: Vec<u32>,
}

impl Spot {
    fn new(agent: Agent, place: u32) -> Spot {
        // Even a move that has never been seen needs the run to go on. Without this, one that
        // always comes too late would never be seen to.
        let mut spot = Spot { agent, place, ..Spot::default() };
        spot.next.reads.add(RUN);
        spot
    }
}

/// The tables. Spots and cells are numbered as they come up; what the tables say does not depend
/// on these numbers.
#[derive(Clone, Debug)]
pub(crate) struct Futures {
    numbers: BTreeMap<(Agent, u32), u32>,
    pub(super) spots: Vec<Spot>,
    cells: BTreeMap<u32, u32>,
    /// The cell of each number from [`FIRST_CELL`] on.
    pub(super) cell_of: Vec<u32>,
    /// The number of each cell below [`NEAR`], faster.
    near: Vec<Option<NonZeroU32>>,
    /// Spots by a hash of agent and place, faster.
    direct: Vec<u32>,
    /// Whether something was learned since this was last reset.
    pub(super) grown: bool,
    scratch: Vec<u32>,
}

impl Futures {
    /// Nothing is known but where the agents of `start` are.
    pub(super) fn new<M: Model>(start: &M) -> Futures {
        let mut futures = Futures {
            numbers: BTreeMap::new(),
            // No agent has this number: it is found by nobody.
            spots: vec![Spot::new(Agent::MAX, 0)],
            cells: BTreeMap::new(),
            cell_of: Vec::new(),
            near: Vec::new(),
            direct: vec![NOWHERE; DIRECT],
            grown: false,
            scratch: Vec::new(),
        };
        for agent in 0..start.agents() as Agent {
            futures.spot(start, agent);
        }
        futures
    }

    /// The number of the spot where an agent is.
    #[inline]
    pub(super) fn spot<M: Model>(&mut self, model: &M, agent: Agent) -> u32 {
        let place = model.place(agent);
        let slot = mix2(u64::from(agent), u64::from(place)) as usize % DIRECT;
        let spot = &self.spots[self.direct[slot] as usize];
        if (spot.agent, spot.place) == (agent, place) {
            return self.direct[slot];
        }
        let number = self.spot_at(agent, place);
        self.direct[slot] = number;
        number
    }

    pub(super) fn spot_at(&mut self, agent: Agent, place: u32) -> u32 {
        let fresh = self.spots.len() as u32;
        let number = *self.numbers.entry((agent, place)).or_insert(fresh);
        if number == fresh {
            self.spots.push(Spot::new(agent, place));
            self.grown = true;
        }
        number
    }

    /// How many spots are known.
    pub(super) fn len(&self) -> usize {
        self.spots.len() - 1
    }

    #[inline]
    fn cell(&mut self, cell: u32) -> u32 {
        match self.near.get(cell as usize) {
            Some(&Some(known)) => known.get(),
            _ => self.far_cell(cell),
        }
    }

    /// Gives a cell the next number, if it has none.
    pub(super) fn add_cell(&mut self, cell: u32) {
        self.cell(cell);
    }

    /// Whether a set has no other cells than those that have numbers.
    pub(super) fn fits(&self, set: &Bits) -> bool {
        let end = FIRST_CELL as usize + self.cell_of.len();
        set.0.len() <= end.div_ceil(64) && set.iter().all(|bit| (bit as usize) < end)
    }

    fn far_cell(&mut self, cell: u32) -> u32 {
        let fresh = self.cells.len() as u32 + FIRST_CELL;
        let number = *self.cells.entry(cell).or_insert(fresh);
        if number == fresh {
            self.cell_of.push(cell);
        }
        if (cell as usize) < NEAR {
            let end = self.near.len().max(cell as usize + 1);
            self.near.resize(end, None);
            self.near[cell as usize] = NonZeroU32::new(number);
        }
        number
    }

    /// The next move at `spot` was seen to have this footprint; `cut` if it ended the run for
    /// everybody, which is a write of all there is.
    pub(super) fn moved(&mut self, spot: u32, footprint: &Footprint, cut: bool) {
        let mut new = false;
        for &cell in &footprint.reads {
            let cell = self.cell(cell);
            new |= self.spots[spot as usize].next.reads.add(cell);
        }
        for &cell in &footprint.writes {
            let cell = self.cell(cell);
            new |= self.spots[spot as usize].next.writes.add(cell);
        }
        if cut {
            new |= self.spots[spot as usize].next.writes.add(RUN);
        }
        self.grown |= new;
    }

    /// An agent was seen to go from one spot to another, or to make a move and stay.
    #[inline]
    pub(super) fn followed(&mut self, from: u32, to: u32) {
        let follows = &mut self.spots[from as usize].follows;
        if !follows.contains(&to) {
            follows.push(to);
            self.grown = true;
        }
    }

    /// An agent at `spot` was seen without a move.
    pub(super) fn waited<M: Model>(&mut self, model: &M, agent: Agent, spot: u32) {
        let mut guard = std::mem::take(&mut self.scratch);
        guard.clear();
        let known = model.waits_on(agent, &mut guard);
        let mut new = false;
        for &cell in &guard {
            let cell = self.cell(cell);
            let at = &mut self.spots[spot as usize];
            new |= at.wake.add(cell) | at.next.reads.add(cell);
        }
        if !known {
            let at = &mut self.spots[spot as usize];
            new |= at.wake.add(ANY) | at.next.reads.add(ANY);
        }
        self.scratch = guard;
        self.grown |= new;
    }

    /// Adds all that another table has learned.
    pub(super) fn merge(&mut self, other: &Futures) {
        let cells: Vec<u32> = other.cell_of.iter().map(|&cell| self.cell(cell)).collect();
        let number = |n: u32| n.checked_sub(FIRST_CELL).map_or(n, |i| cells[i as usize]);
        let mut new = false;
        for theirs in other.spots.iter().skip(1) {
            let own = self.spot_at(theirs.agent, theirs.place) as usize;
            let mut add = |to: fn(&mut Spot) -> &mut Bits, bits: &Bits| {
                for bit in bits.iter() {
                    new |= to(&mut self.spots[own]).add(number(bit));
                }
            };
            add(|s| &mut s.next.reads, &theirs.next.reads);
            add(|s| &mut s.next.writes, &theirs.next.writes);
            add(|s| &mut s.wake, &theirs.wake);
        }
        for theirs in other.spots.iter().skip(1) {
            let own = self.spot_at(theirs.agent, theirs.place);
            for &to in &theirs.follows {
                let to = &other.spots[to as usize];
                let to = self.spot_at(to.agent, to.place);
                self.followed(own, to);
            }
        }
        self.grown |= new;
    }

    /// What the tables say as they are.
    pub(super) fn settle(&self) -> Settled {
        let mut futures: Vec<Access> = self.spots.iter().map(|s| s.next.clone()).collect();
        loop {
            let mut changed = false;
            for i in (0..futures.len()).rev() {
                let mut future = std::mem::take(&mut futures[i]);
                for &f in &self.spots[i].follows {
                    changed |= future.add_all(&futures[f as usize]);
                }
                futures[i] = future;
            }
            if !changed {
                break;
            }
        }
        let mut pairs = Vec::with_capacity(futures.len() * futures.len());
        for a in &self.spots {
            for (spot, b) in self.spots.iter().zip(&futures) {
                let wakes = a.wake.meets(&b.writes) || a.wake.has(ANY) && !b.writes.is_empty();
                let conflicts = a.next.conflicts(b);
                let clashes = conflicts && a.next.conflicts(&spot.next);
                let bit = |on, bit| if on { bit } else { 0 };
                pairs.push(bit(conflicts, CONFLICTS) | bit(wakes, WAKES) | bit(clashes, CLASHES));
            }
        }
        let ranks = self.ranks();
        let rank = |spot: u32| ranks[spot as usize];
        let goes_on = |(i, s): (usize, &Spot)| s.follows.iter().all(|&to| rank(to) < ranks[i]);
        let sleeps = self.spots.iter().enumerate().all(goes_on);
        Settled { pairs, ranks, spots: futures.len(), sleeps }
    }

    /// A number for each spot that falls along what was seen to come next, except where an agent
    /// goes back to where it has been: the order in which a walk in depth leaves them.
    fn ranks(&self) -> Vec<u32> {
        let key = |&n: &u32| (self.spots[n as usize].agent, self.spots[n as usize].place);
        let sorted = |mut spots: Vec<u32>| {
            spots.sort_unstable_by_key(key);
            spots
        };
        // First from where the agents begin, which are the first that were numbered.
        let agents = self.spots.iter().map(|s| s.agent).filter(|&a| a != Agent::MAX).max();
        let first = agents.map_or(1, |a| a + 2);
        let rest = sorted((first..self.spots.len() as u32).collect());
        let mut ranks = vec![0; self.spots.len()];
        let mut met = vec![false; self.spots.len()];
        let mut next = 1;
        for root in (1..first).chain(rest) {
            let mut path = vec![(root, sorted(self.spots[root as usize].follows.clone()))];
            if std::mem::replace(&mut met[root as usize], true) {
                continue;
            }
            while let Some((spot, follows)) = path.last_mut() {
                match follows.pop() {
                    Some(to) if !std::mem::replace(&mut met[to as usize], true) => {
                        path.push((to, sorted(self.spots[to as usize].follows.clone())));
                    }
                    Some(_) => {}
                    None => {
                        ranks[*spot as usize] = next;
                        next += 1;
                        path.pop();
                    }
                }
            }
        }
        ranks
    }
}

/// The next move of the first conflicts with a future one of the second.
const CONFLICTS: u8 = 1;

/// The second may wake the first.
const WAKES: u8 = 2;

/// The next moves of both conflict.
const CLASHES: u8 = 4;

/// What tables said at one moment, for all pairs of spots.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pairs: Vec<u8>,
    ranks: Vec<u32>,
    spots: usize,
    /// Whether no agent was ever seen to go back.
    pub(super) sleeps: bool,
}

impl Default for Settled {
    /// Nothing is known.
    fn default() -> Settled {
        Settled { pairs: vec![0], ranks: vec![0], spots: 1, sleeps: false }
    }
}

impl Settled {
    /// The spot as it was known then.
    #[inline]
    fn known(&self, spot: u32) -> usize {
        if (spot as usize) < self.spots { spot as usize } else { NOWHERE as usize }
    }

    /// Whether a move led back: every circle of an agent has a move that does.
    #[inline]
    pub(super) fn goes_back(&self, from: u32, to: u32) -> bool {
        self.ranks[self.known(to)] >= self.ranks[self.known(from)]
    }

    /// Those of `sleepers` with whose next moves the next one of `mover` does not conflict.
    #[inline]
    pub(super) fn undisturbed(&self, spots: &[u32], mover: Agent, sleepers: Agents) -> Agents {
        let row = &self.pairs[self.known(spots[mover as usize]) * self.spots..][..self.spots];
        let (mut left, mut still) = (sleepers, 0);
        while left != 0 {
            let agent = left.trailing_zeros() as usize;
            left &= left - 1;
            still |= u64::from(row[self.known(spots[agent])] & CLASHES == 0) << agent;
        }
        still
    }

    /// A persistent set of the state: agents of which all enabled moves have to be tried, and
    /// none other. `spots` are those of all agents, `enabled` those with a move.
    ///
    /// Closed under: whoever may ever conflict with the next move of a member that has one, and
    /// whoever may wake a member that waits. The smallest such set grown from a single agent, of
    /// equal ones the first (Godefroid's conflicting transitions, with futures instead of types).
    pub(super) fn persistent(&self, spots: &[u32], enabled: Agents) -> Agents {
        let mut best = enabled;
        for first in (0..spots.len()).filter(|a| enabled >> a & 1 == 1) {
            let set = self.close(spots, enabled, first, best) & enabled;
            if set.count_ones() < best.count_ones() {
                best = set;
            }
            if best.count_ones() == 1 {
                break;
            }
        }
        best
    }

    /// The closure of one agent, or everything once it is no better than `best`.
    fn close(&self, spots: &[u32], enabled: Agents, first: usize, best: Agents) -> Agents {
        let mut set: Agents = 1 << first;
        let mut open = set;
        while open != 0 {
            let member = open.trailing_zeros() as usize;
            open &= open - 1;
            let row = &self.pairs[self.known(spots[member]) * self.spots..][..self.spots];
            let why = if enabled >> member & 1 == 1 { CONFLICTS } else { WAKES };
            for (other, &spot) in spots.iter().enumerate() {
                if row[self.known(spot)] & why != 0 && set >> other & 1 == 0 {
                    set |= 1 << other;
                    open |= 1 << other;
                }
            }
            if (set & enabled).count_ones() >= best.count_ones() {
                return enabled;
            }
        }
        set
    }
}
