//! The machine as searches and runs judge it: with conditions on its end states, and with what no
//! single step can tell.

use crate::engine::explore::Report;
use crate::engine::model::{Agent, Ending, Footprint, Model, Props, Stepped, Timed};
use crate::kernel::invariant::lock::Seen;
use crate::kernel::invariant::{LOCK_ORDER, LockGraph, TABLE};
use crate::kernel::sim::{Move, Sim};
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::plan::ThreadPlan;
use crate::kernel::world::{Actor, OpId};
use crate::report::run::broken_by;
use crate::scenario::condition::Condition;
use std::sync::{Arc, Mutex, PoisonError};

/// Conditions that one search can hold against the end states: what is left of the 32 properties
/// of a model.
pub const MOST_CONDITIONS: usize = 32 - TABLE.len();

/// A machine whose end states are held against conditions: condition `i` is property
/// `TABLE.len() + i`, "broken" where it is met.
///
/// Three things that no single step of [`Sim`] can answer are answered here: whether agents wait
/// for ever without a step that led there, the order of locks (over all transitions of a search,
/// whichever of its threads made them), and who owes something.
#[derive(Clone, Debug)]
pub struct Judged {
    sim: Sim,
    conditions: Arc<Vec<Condition>>,
    /// The lock orders of all clones together.
    orders: Arc<Mutex<LockGraph>>,
    /// Orders of this clone that `orders` has.
    known: usize,
    /// By agent: whether it has a program that ends.
    ends: Arc<Vec<bool>>,
}

impl Judged {
    /// A machine with conditions, [`MOST_CONDITIONS`] at most.
    pub fn new(sim: Sim, conditions: Vec<Condition>) -> Judged {
        let ends = |t: &ThreadPlan| !t.background && !t.is_endless();
        let ends = sim.world.map.plan.threads.iter().map(ends).collect();
        let (conditions, ends) = (Arc::new(conditions), Arc::new(ends));
        Judged { sim, conditions, orders: Default::default(), known: 0, ends }
    }

    /// The machine.
    pub fn sim(&self) -> &Sim {
        &self.sim
    }

    /// Forgets how the present state was reached: it cannot be undone any more. For long runs.
    pub fn forget(&mut self) {
        self.sim.forget();
    }

    /// A cycle in the order in which all clones have taken locks: each class was taken under the
    /// one before, the first under the last. Which one does not depend on who saw what first.
    pub fn lock_cycle(&self) -> Option<Vec<LockClass>> {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = |s: &Seen| (s.held.into_bits(), s.taken.into_bits());
        let mut seen: Vec<Seen> = orders.orders().to_vec();
        seen.sort_unstable_by_key(pair);
        let mut sorted = LockGraph::default();
        for s in seen {
            sorted.note(s.taken, 1 << s.held.into_bits(), || (s.by, s.op, s.step));
        }
        let mut cycle: Vec<LockClass> = sorted.cycle()?.into_iter().map(|s| s.held).collect();
        let least = (0..cycle.len()).min_by_key(|&i| cycle[i].into_bits())?;
        cycle.rotate_left(least);
        Some(cycle)
    }

    /// Adds to a report what only the search as a whole has found.
    pub fn complete(&self, mut report: Report<Move>) -> Report<Move> {
        if self.lock_cycle().is_some() {
            report.broken = report.broken.union(Props::one(LOCK_ORDER));
        }
        report
    }

    fn share_orders(&mut self) {
        let own = self.sim.lock_orders();
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.merge(own);
        self.known = own.orders().len();
    }
}

impl Model for Judged {
    type Move = Move;

    fn agents(&self) -> usize {
        self.sim.agents()
    }
    fn moves(&self, out: &mut Vec<Move>) {
        self.sim.moves(out);
    }
    fn ready(&self) -> usize {
        self.sim.ready()
    }
    fn nth_ready(&self, k: usize) -> Agent {
        self.sim.nth_ready(k)
    }
    fn outcomes(&self, agent: Agent) -> usize {
        self.sim.outcomes(agent)
    }
    fn move_of(&self, agent: Agent, outcome: usize) -> Move {
        self.sim.move_of(agent, outcome)
    }
    fn agent(&self, mv: Move) -> Agent {
        self.sim.agent(mv)
    }
    fn undo(&mut self, stepped: Stepped) {
        self.sim.undo(stepped);
    }
    fn undo_all(&mut self, trail: &[Stepped]) {
        self.sim.undo_all(trail);
    }
    fn fingerprint(&self) -> u64 {
        self.sim.fingerprint()
    }
    fn state(&self, out: &mut Vec<u8>) {
        self.sim.state(out);
    }
    fn record_footprints(&mut self, on: bool) {
        self.sim.record_footprints(on);
    }
    fn footprint(&self, out: &mut Footprint) {
        self.sim.footprint(out);
    }
    fn ending(&self) -> Ending {
        self.sim.ending()
    }
    fn broken(&self) -> Props {
        self.sim.broken()
    }
    fn canonical(&self) -> u64 {
        self.sim.canonical()
    }
    fn place(&self, agent: Agent) -> u32 {
        self.sim.place(agent)
    }
    fn key(&self, agent: Agent) -> u64 {
        self.sim.key(agent)
    }
    fn waits_on(&self, agent: Agent, out: &mut Vec<u32>) -> bool {
        self.sim.waits_on(agent, out)
    }

    /// The orders of locks.
    fn gathered(&self, out: &mut Vec<u64>) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let word = |s: &Seen| {
            let classes = u64::from(s.held.into_bits()) << 8 | u64::from(s.taken.into_bits());
            [classes, u64::from(s.by.0), u64::from(s.op.0)]
        };
        out.extend(orders.orders().iter().flat_map(word));
    }
    fn gather(&self, words: &[u64]) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        for word in words.chunks_exact(3) {
            let class = |bits: u64| LockClass::ALL.get((bits & 0xff) as usize);
            if let (Some(&taken), Some(held)) = (class(word[0]), class(word[0] >> 8)) {
                let at = (Actor(word[1] as u32), OpId(word[2] as u32), "");
                orders.note(taken, 1 << held.into_bits(), || at);
            }
        }
    }

    #[inline]
    fn apply(&mut self, mv: Move) -> Stepped {
        let mut stepped = self.sim.apply(mv);
        if self.sim.lock_orders().orders().len() > self.known {
            self.share_orders();
        }
        // What this clone has seen of the order of locks is not all that has been seen.
        stepped.broken.0 &= !Props::one(LOCK_ORDER).0;
        stepped
    }

    /// A thread whose program ends owes that end.
    fn owes(&self, agent: Agent) -> bool {
        self.ends.get(agent as usize) == Some(&true) && self.sim.top(agent).is_some()
    }

    fn judge_end(&self) -> (Props, Props) {
        // A run that was cut has no final state.
        if self.sim.ending() == Ending::Cut {
            return (Props::NONE, Props::NONE);
        }
        let mut met = broken_by(self.sim.ending());
        for (i, condition) in self.conditions.iter().enumerate() {
            if condition.met(&self.sim.world) {
                met = met.union(Props::one(TABLE.len() + i));
            }
        }
        (met, met)
    }
}

impl Timed for Judged {
    fn delay_ns(&self, agent: Agent) -> u64 {
        self.sim.delay_ns(agent)
    }
    fn changed(&self) -> &[Agent] {
        self.sim.changed()
    }
    fn is_ready(&self, agent: Agent) -> bool {
        self.sim.is_ready(agent)
    }
    fn timed_outcome(&self, agent: Agent, random: u64) -> usize {
        self.sim.timed_outcome(agent, random)
    }
}
