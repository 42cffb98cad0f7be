//! Who wrote which cell when: what it takes to find the other half of a race.

use crate::engine::model::Agent;
use crate::kernel::world::World;
use std::collections::BTreeMap;

/// A change of a cell.
#[derive(Clone, Copy, Debug)]
struct Write {
    step: usize,
    agent: Agent,
    /// The word that was written.
    word: u64,
}

/// Every change of every cell of a run, by cell.
#[derive(Clone, Debug, Default)]
pub struct History {
    writes: BTreeMap<u32, Vec<Write>>,
}

impl History {
    /// Notes what a step (numbered from 1) has changed since `mark`; writes of the value that was
    /// there change nothing.
    pub fn note(&mut self, w: &World, mark: usize, step: usize, agent: Agent) {
        let mut changes: Vec<_> = w.since(mark).iter().map(|c| (c.cell, c.old)).collect();
        // Of the changes of one cell, the first says what was there before the step.
        changes.sort_by_key(|&(cell, _)| cell);
        changes.dedup_by_key(|&mut (cell, _)| cell);
        for (cell, old) in changes {
            let word = w.word(cell);
            if word != old {
                self.writes.entry(cell).or_default().push(Write { step, agent, word });
            }
        }
    }

    fn newest_first(&self, cell: u32) -> impl Iterator<Item = Write> + '_ {
        self.writes.get(&cell).into_iter().flatten().rev().copied()
    }

    /// The last step of an agent that changed a cell.
    pub fn last_by(&self, cell: u32, agent: Agent) -> Option<usize> {
        self.newest_first(cell).find(|w| w.agent == agent).map(|w| w.step)
    }

    /// The step since which a cell's word has been one that `holds`; none if no step has made it
    /// so.
    pub fn since(&self, cell: u32, holds: impl Fn(u64) -> bool) -> Option<usize> {
        self.newest_first(cell).take_while(|w| holds(w.word)).last().map(|w| w.step)
    }

    /// The steps that changed a cell before a step, the newest first.
    pub fn steps(&self, cell: u32, before: usize) -> impl Iterator<Item = usize> + '_ {
        self.newest_first(cell).map(|w| w.step).filter(move |&step| step < before)
    }

    /// The last step of anybody but one agent that changed a cell before a step.
    pub fn last_by_others(&self, cell: u32, agent: Agent, before: usize) -> Option<usize> {
        let other = |w: &Write| w.agent != agent && w.step < before;
        self.newest_first(cell).find(other).map(|w| w.step)
    }
}
