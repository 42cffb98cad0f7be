//! The prices of a timed run that a world without a clock cannot count: how long things lasted,
//! and who was kept waiting.

use super::Sim;
use crate::engine::model::{Agent, Timed};
use crate::kernel::actor::Routine;
use crate::kernel::actor::errno::EINTR;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::machine::{BlockState, BlockUse};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::CacheSlot;
use crate::kernel::world::plan::Op;
use crate::kernel::world::price::{Price, Prices};
use crate::kernel::world::{Block, FilePage, Kind};

/// When something began, by number; none: it is not going on.
#[derive(Clone, Debug)]
struct Since(Vec<Option<u64>>);

impl Since {
    fn new(n: u32) -> Since {
        Since(vec![None; n as usize])
    }

    /// Notes whether it goes on now; gives how long it lasted if it has just ended.
    fn note(&mut self, n: u32, on: bool, now: u64) -> Option<u64> {
        let since = self.0.get_mut(n as usize)?;
        match on {
            true => {
                since.get_or_insert(now);
                None
            }
            false => Some(now - since.take()?),
        }
    }
}

/// What is known of an agent's waits.
#[derive(Clone, Copy, Debug, Default)]
struct Wait {
    /// When the call that it is in began.
    began: u64,
    /// Since when it cannot go on, and whether that is in a notifier's callback.
    since: Option<(u64, bool)>,
    /// How long a design has kept it waiting in this call, in nanoseconds.
    blocked_ns: u64,
    /// When the last such wait ended, in whichever call.
    last_ended: Option<u64>,
}

/// Watches a timed run from its first state on: is told of every move after it was made.
#[derive(Clone, Debug)]
pub struct Meter {
    prices: Prices,
    waits: Vec<Wait>,
    busy_blocks: Since,
    dirty: Since,
}

impl Meter {
    /// A meter of a run that starts in this state at time 0.
    pub fn new(start: &Sim) -> Meter {
        let (w, map) = (&start.world, &start.world.map);
        let mut meter = Meter {
            prices: Prices::default(),
            waits: vec![Wait::default(); map.actors() as usize],
            busy_blocks: Since::new(map.blocks()),
            dirty: Since::new(map.file_page_count()),
        };
        for page in 0..map.file_page_count() {
            meter.dirty.note(page, w.get::<CacheSlot>(FilePage(page)).tag_dirty(), 0);
        }
        (0..map.actors()).for_each(|agent| meter.look(start, agent, agent, 0));
        meter
    }

    /// After a move of `mover`, made at a time.
    pub fn after(&mut self, sim: &Sim, mover: Agent, now_ns: u64) {
        self.objects(sim, now_ns);
        for fact in &sim.world.facts {
            if let Fact::Returned { actor, op, ret } = *fact {
                self.prices.add(Price::Interrupted, u64::from(ret == -EINTR));
                self.close(actor.0, sim.world.map.op(op), now_ns);
            }
        }
        for &agent in sim.changed() {
            self.look(sim, agent, mover, now_ns);
        }
    }

    /// What the run cost, all in all, if it ends in this state at this time.
    pub fn finish(mut self, sim: &Sim, now_ns: u64) -> Prices {
        for agent in 0..self.waits.len() as Agent {
            if sim.top(agent).is_some() {
                self.end_wait(agent, for_design(sim, agent, &mut Vec::new()), now_ns);
                self.close(agent, sim.world.map.op(sim.op(agent)), now_ns);
            }
        }
        let lasting = [(&self.busy_blocks, Price::BusyBlockNs), (&self.dirty, Price::DirtyAgeNs)];
        for (since, price) in lasting {
            let first = since.0.iter().flatten().min();
            self.prices.peak(price, first.map_or(0, |first| now_ns - first));
        }
        let mut all = sim.world.prices.clone();
        all.merge(&self.prices);
        all
    }

    /// Blocks and pages of files whose cells the last move has written.
    fn objects(&mut self, sim: &Sim, now: u64) {
        let w = &sim.world;
        for change in w.since(sim.last_mark()) {
            let (since, on, price) = match change.kind {
                Kind::BlockState => {
                    let busy = w.get::<BlockState>(Block(change.object)).state() == BlockUse::Busy;
                    (&mut self.busy_blocks, busy, Price::BusyBlockNs)
                }
                Kind::CacheSlot => {
                    let dirty = w.get::<CacheSlot>(FilePage(change.object)).tag_dirty();
                    (&mut self.dirty, dirty, Price::DirtyAgeNs)
                }
                _ => continue,
            };
            if let Some(lasted) = since.note(change.object, on, now) {
                self.prices.peak(price, lasted);
            }
        }
    }

    /// An agent may have begun to wait, or ended a wait because `mover` has moved.
    fn look(&mut self, sim: &Sim, agent: Agent, mover: Agent, now: u64) {
        let need = sim.need(agent);
        let waits = !sim.is_ready(agent) && need != Need::Never;
        match (self.waits[agent as usize].since, waits) {
            (None, true) => {
                let notifier = sim.stack(agent).any(|r| matches!(r, Routine::RangeStart(_)));
                self.waits[agent as usize].since = Some((now, notifier));
            }
            (Some((since, _)), false) => {
                // Whoever let go had waited for a pin itself, with this one behind it.
                let held_up = self.waits[mover as usize].last_ended.is_some_and(|t| t > since);
                self.end_wait(agent, need.by_design() || held_up, now);
            }
            _ => {}
        }
    }

    fn end_wait(&mut self, agent: Agent, by_design: bool, now: u64) {
        let wait = &mut self.waits[agent as usize];
        let Some((since, notifier)) = wait.since.take() else { return };
        if notifier {
            self.prices.add(Price::NotifierNs, now - since);
        }
        if by_design {
            wait.blocked_ns += now - since;
            wait.last_ended = Some(now);
        }
    }

    /// A call of an agent has ended, or the run within it.
    fn close(&mut self, agent: Agent, op: Option<Op>, now: u64) {
        let wait = &mut self.waits[agent as usize];
        let (blocked, lasted) = (std::mem::take(&mut wait.blocked_ns), now - wait.began);
        wait.began = now;
        let Some(op) = op else { return };
        if matches!(op, Op::Truncate { .. } | Op::Punch { .. } | Op::PunchPart { .. }) {
            self.prices.peak(Price::TruncateNs, lasted);
        }
        if blocked > 0 && is_call(op) {
            self.prices.add(Price::BlockedCalls, 1);
            self.prices.peak(Price::BlockedNs, blocked);
        }
    }
}

/// Whether an operation is something that a program asks the kernel for (a load that faults is).
fn is_call(op: Op) -> bool {
    !matches!(
        op,
        Op::DmaWrite { .. }
            | Op::DmaRead { .. }
            | Op::DmaWait { .. }
            | Op::Writeback { .. }
            | Op::Reclaim { .. }
            | Op::Migrate { .. }
            | Op::TakeFrame
            | Op::TakeBlock { .. }
            | Op::Verify { .. }
            | Op::Crash
            | Op::Signal { .. }
            | Op::LeaseTimeout { .. }
            | Op::Post { .. }
            | Op::Wait { .. }
            | Op::Sleep { .. }
            | Op::Repeat { .. }
    )
}

/// Whether an agent that waits for ever waits for a design, or for somebody who does.
fn for_design(sim: &Sim, agent: Agent, seen: &mut Vec<Agent>) -> bool {
    let need = sim.need(agent);
    if seen.contains(&agent) || sim.is_ready(agent) {
        return false;
    }
    seen.push(agent);
    need.by_design()
        || need.holders(&sim.world).into_iter().any(|holder| for_design(sim, holder.0, seen))
}
