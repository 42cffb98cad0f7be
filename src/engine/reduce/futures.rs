//! What each agent may still touch, learned from what agents were seen to touch.
//!
//! A *spot* is an agent at a place of its program. For each spot: the cells that its next move
//! read and wrote wherever it was seen, the cells that decided that it had to wait, and the spots
//! that came next. What a spot may touch in future is the closure over what comes next. The
//! tables only ever grow; a search that made them grow is run again (see the module above).

use std::collections::BTreeMap;
use std::num::NonZeroU32;

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

/// A growing set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bits(Vec<u64>);

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
}

/// Cells read and cells written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Access {
    reads: Bits,
    writes: Bits,
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
#[derive(Clone, Debug, Default)]
struct Spot {
    place: u32,
    next: Access,
    /// Cells of which one has to be written before the agent can go on, where it was seen waiting.
    wake: Bits,
    follows: Vec<u32>,
    future: Access,
}

/// The tables.
#[derive(Clone, Debug, Default)]
pub struct Futures {
    numbers: BTreeMap<(Agent, u32), u32>,
    spots: Vec<Spot>,
    cells: BTreeMap<u32, u32>,
    /// The same for small cell numbers, faster.
    near: Vec<Option<NonZeroU32>>,
    /// Whether something was learned since this was last reset.
    pub grown: bool,
    /// Whether `future` and `conflicts` are out of date.
    stale: bool,
    /// For each pair: whether the next move of the first conflicts with a future one of the
    /// second, and whether the second may wake the first.
    conflicts: Vec<(bool, bool)>,
    scratch: Vec<u32>,
}

impl Futures {
    /// The number of the spot where an agent is.
    pub fn spot<M: Model>(&mut self, model: &M, agent: Agent) -> u32 {
        let fresh = self.spots.len() as u32;
        let number = *self.numbers.entry((agent, model.place(agent))).or_insert(fresh);
        if number == fresh {
            // Even a move that has never been seen needs the run to go on. Without this, one that
            // always comes too late would never be seen to.
            let mut spot = Spot { place: model.place(agent), ..Spot::default() };
            spot.next.reads.add(RUN);
            self.spots.push(spot);
            self.grown = true;
            self.stale = true;
        }
        number
    }

    /// The spot where an agent is, given the one where it was before a move.
    #[inline]
    pub fn spot_after<M: Model>(&mut self, model: &M, agent: Agent, before: u32) -> u32 {
        if self.spots[before as usize].place == model.place(agent) {
            before
        } else {
            self.spot(model, agent)
        }
    }

    /// How many spots are known.
    pub fn len(&self) -> usize {
        self.spots.len()
    }

    fn cell(&mut self, cell: u32) -> u32 {
        if let Some(&Some(known)) = self.near.get(cell as usize) {
            return known.get();
        }
        let fresh = self.cells.len() as u32 + FIRST_CELL;
        let number = *self.cells.entry(cell).or_insert(fresh);
        if (cell as usize) < NEAR {
            let end = self.near.len().max(cell as usize + 1);
            self.near.resize(end, None);
            self.near[cell as usize] = NonZeroU32::new(number);
        }
        number
    }

    /// The next move at `spot` was seen to have this footprint; `cut` if it ended the run for
    /// everybody, which is a write of all there is.
    pub fn moved(&mut self, spot: u32, footprint: &Footprint, cut: bool) {
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
        self.learned(new);
    }

    /// An agent was seen to go from one spot to another.
    pub fn followed(&mut self, from: u32, to: u32) {
        let follows = &mut self.spots[from as usize].follows;
        let new = from != to && !follows.contains(&to);
        if new {
            follows.push(to);
        }
        self.learned(new);
    }

    /// An agent at `spot` was seen without a move.
    pub fn waited<M: Model>(&mut self, model: &M, agent: Agent, spot: u32) {
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
        self.learned(new);
    }

    fn learned(&mut self, new: bool) {
        self.grown |= new;
        self.stale |= new;
    }

    /// Brings futures and conflicts up to date.
    fn settle(&mut self) {
        for spot in &mut self.spots {
            spot.future = spot.next.clone();
        }
        loop {
            let mut changed = false;
            for i in (0..self.spots.len()).rev() {
                let mut future = std::mem::take(&mut self.spots[i].future);
                for &f in &self.spots[i].follows {
                    changed |= future.add_all(&self.spots[f as usize].future);
                }
                self.spots[i].future = future;
            }
            if !changed {
                break;
            }
        }
        self.conflicts.clear();
        for a in &self.spots {
            for b in &self.spots {
                let wakes = a.wake.meets(&b.future.writes)
                    || a.wake.has(ANY) && !b.future.writes.is_empty();
                self.conflicts.push((a.next.conflicts(&b.future), wakes));
            }
        }
        self.stale = false;
    }

    /// A persistent set of the state: agents of which all enabled moves have to be tried, and
    /// none other. `spots` are those of all agents, `enabled` those with a move.
    ///
    /// Closed under: whoever may ever conflict with the next move of a member that has one, and
    /// whoever may wake a member that waits. The smallest such set grown from a single agent, of
    /// equal ones the first (Godefroid's conflicting transitions, with futures instead of types).
    pub fn persistent(&mut self, spots: &[u32], enabled: Agents) -> Agents {
        if self.stale {
            self.settle();
        }
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
        let n = self.spots.len();
        let mut set: Agents = 1 << first;
        let mut open = set;
        while open != 0 {
            let member = open.trailing_zeros() as usize;
            open &= open - 1;
            let row = &self.conflicts[spots[member] as usize * n..][..n];
            for (other, &spot) in spots.iter().enumerate() {
                let (conflicts, wakes) = row[spot as usize];
                let needed = if enabled >> member & 1 == 1 { conflicts } else { wakes };
                if needed && set >> other & 1 == 0 {
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
