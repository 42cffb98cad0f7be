//! Who wrote which cell when: what it takes to find the other half of a race.

use crate::engine::model::Agent;
use crate::kernel::world::World;
use std::collections::BTreeMap;

/// Every change of every cell of a run, by cell.
#[derive(Clone, Debug, Default)]
pub struct History {
    writes: BTreeMap<u32, Vec<(usize, Agent)>>,
}

impl History {
    /// Notes what a step (numbered from 1) has changed since `mark`; writes of the value that was
    /// there change nothing.
    pub fn note(&mut self, w: &World, mark: usize, step: usize, agent: Agent) {
        let changes = w.since(mark);
        for (n, change) in changes.iter().enumerate() {
            let first = !changes[..n].iter().any(|c| c.cell == change.cell);
            if first && w.word(change.cell) != change.old {
                self.writes.entry(change.cell).or_default().push((step, agent));
            }
        }
    }

    fn of(&self, cell: u32) -> impl DoubleEndedIterator<Item = (usize, Agent)> + '_ {
        self.writes.get(&cell).into_iter().flatten().copied()
    }

    /// The last step of an agent that changed a cell.
    pub fn last_by(&self, cell: u32, agent: Agent) -> Option<usize> {
        self.of(cell).rev().find(|&(_, a)| a == agent).map(|w| w.0)
    }

    /// The last step that changed a cell.
    pub fn last(&self, cell: u32) -> Option<(usize, Agent)> {
        self.of(cell).next_back()
    }

    /// The last step of anybody but one agent that changed a cell before a step.
    pub fn last_by_others(&self, cell: u32, agent: Agent, before: usize) -> Option<usize> {
        self.of(cell).rev().find(|&(n, a)| a != agent && n < before).map(|w| w.0)
    }
}
