//! What the engine and the schedulers ask of the machine.

use super::stack::weight;
use super::{Class, Mark, Move, Sim};
use crate::engine::model::{Agent, Ending, Footprint, Model, Props, Stepped, Timed};
use crate::kernel::actor::Routine;
use crate::kernel::actor::step::{Label, Step};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::door::mix;
use crate::kernel::world::machine::{ActorState, Power, Verdict};
use crate::kernel::world::plan::Op;
use crate::kernel::world::{Actor, Id, One};

impl Model for Sim {
    type Move = Move;

    #[inline]
    fn agents(&self) -> usize {
        self.needs.len()
    }

    fn moves(&self, out: &mut Vec<Move>) {
        out.clear();
        if self.over() {
            return;
        }
        for agent in self.ready.iter() {
            let outcomes = self.outcomes(agent) as u8;
            out.extend((0..outcomes).map(|outcome| Move { agent, outcome }));
        }
    }

    #[inline]
    fn ready(&self) -> usize {
        if self.over() { 0 } else { self.ready.len() }
    }

    #[inline]
    fn nth_ready(&self, k: usize) -> Agent {
        self.ready.nth(k)
    }

    #[inline]
    fn outcomes(&self, agent: Agent) -> usize {
        let routine = self.top(agent);
        routine.map_or(1, |r| usize::from(r.outcomes(&self.scene(agent))))
    }

    #[inline]
    fn move_of(&self, agent: Agent, outcome: usize) -> Move {
        Move { agent, outcome: outcome as u8 }
    }

    #[inline]
    fn agent(&self, mv: Move) -> Agent {
        mv.agent
    }

    fn apply(&mut self, mv: Move) -> Stepped {
        let actor = Actor(mv.agent);
        let mark = self.marks.len();
        let cells = self.world.mark();
        let need = self.needs[actor.index()];
        self.marks.push(Mark {
            cells,
            stacks: self.stack_log.len(),
            fingerprint: self.world.fingerprint(),
            stack_hash: self.stack_hash,
            agent: mv.agent,
            unfinished: self.unfinished as u32,
            need,
        });
        self.world.facts.clear();
        if self.recording {
            self.world.record();
            self.read_guards(mv.agent);
        }
        if self.thorough {
            self.before = self.standing(actor);
        }
        let (op, top) = (self.op(mv.agent), self.top(mv.agent).copied());
        if let Some(routine) = top {
            let (w, strategy) = (&mut self.world, &self.strategy);
            let next = routine.step(&mut Step { w, strategy, me: actor, op }, mv.outcome);
            self.follow(actor, next);
        }
        self.wake(cells, mv.agent);
        let verdicts = self.judge(cells, actor, (op, top));
        self.world.pause();
        Stepped { broken: verdicts.broken, reached: verdicts.reached, mark }
    }

    fn undo(&mut self, stepped: Stepped) {
        let Some(mark) = self.marks.get(stepped.mark).copied() else { return };
        self.marks.truncate(stepped.mark);
        self.rewind_stacks(mark.stacks, mark.stack_hash);
        self.find_changed(mark.cells, mark.agent);
        self.world.rewind(mark.cells, mark.fingerprint);
        self.unfinished = mark.unfinished as usize;
        self.look_at_changed();
        self.set_need(mark.agent, mark.need);
    }

    /// All at once if the run was long and the agents are few: each is looked at once instead of
    /// once for each move.
    fn undo_all(&mut self, trail: &[Stepped]) {
        let Some(mark) = trail.first().and_then(|s| self.marks.get(s.mark)).copied() else {
            return;
        };
        if trail.len() < self.needs.len() {
            trail.iter().rev().for_each(|&stepped| self.undo(stepped));
            return;
        }
        let from = trail[0].mark;
        for i in (from..self.marks.len()).rev() {
            let Mark { agent, need, .. } = self.marks[i];
            self.needs[agent as usize] = need;
        }
        self.marks.truncate(from);
        self.rewind_stacks(mark.stacks, mark.stack_hash);
        self.world.rewind(mark.cells, mark.fingerprint);
        self.unfinished = mark.unfinished as usize;
        for agent in 0..self.needs.len() as Agent {
            let need = self.needs[agent as usize];
            self.waiters.set(agent, need.cell(&self.world));
            self.set_ready(agent, need);
        }
    }

    #[inline]
    fn fingerprint(&self) -> u64 {
        match self.ranks() {
            None => self.world.fingerprint() ^ self.stack_hash,
            Some(ranks) => self.seen_by_rank(&ranks),
        }
    }

    fn canonical(&self) -> u64 {
        let ranks = self.ranks();
        let own = || match &ranks {
            None => self.fingerprint(),
            Some(ranks) => self.seen_by_rank(ranks),
        };
        let others = self.symmetry.names().iter().map(|names| self.seen(names, ranks.as_ref()));
        others.min().map_or_else(own, |least| least.min(own()))
    }

    fn state(&self, out: &mut Vec<u8>) {
        if self.world.rules.endless {
            return self.state_seen(out);
        }
        self.world.state(out);
        for routine in &self.stacks {
            out.extend(weight(1, routine, false).to_le_bytes());
        }
    }

    fn record_footprints(&mut self, on: bool) {
        self.recording = on;
    }

    fn footprint(&self, out: &mut Footprint) {
        out.clear();
        let Some(mark) = self.marks.last() else { return };
        // Which invariants have been broken so far is a union over all steps, in any order; that a
        // run is cut is for the engine to see.
        let verdict = self.world.cell::<Verdict>(One(0));
        self.world.reads(&mut out.reads);
        out.reads.retain(|&cell| cell != verdict);
        let written = self.world.since(mark.cells).iter().map(|change| change.cell);
        out.writes.extend(written.filter(|&cell| cell != verdict));
        // The agent's own control state stands for its stack.
        out.writes.push(self.world.cell::<ActorState>(Actor(mark.agent)));
        // Whoever the run does not wait for can go on only while others do: everybody reads the
        // cell that says whether the power is on.
        if matches!(self.class[mark.agent as usize], Class::Background | Class::Chance) {
            out.writes.push(self.world.cell::<Power>(One(0)));
        }
        out.seal();
    }

    fn place(&self, agent: Agent) -> u32 {
        let digest = self.stack_digest(agent);
        (digest ^ digest >> 32) as u32
    }

    /// The operation and the kernel's name of the step: a strategy changes which steps there are,
    /// and not what they are called.
    fn key(&self, agent: Agent) -> u64 {
        let label = self.label(agent);
        let name = |label: Label| label.id.bytes().chain([0]).chain(label.name.bytes());
        let op = u64::from(self.op(agent).0);
        label.map_or(0, |label| name(label).fold(mix(op, 1), |h, byte| mix(h, u64::from(byte))))
    }

    fn waits_on(&self, agent: Agent, out: &mut Vec<u32>) -> bool {
        if !self.over() && !self.ready.has(agent) {
            out.extend(self.needs[agent as usize].cell(&self.world));
            if self.top(agent).is_some_and(Routine::interruptible) {
                out.push(self.world.cell::<ActorState>(Actor(agent)));
            }
        }
        true
    }

    fn broken(&self) -> Props {
        self.verdict()
    }

    fn ending(&self) -> Ending {
        if self.world.get::<Verdict>(One(0)).cut() {
            return Ending::Cut;
        }
        if self.unfinished == 0 || self.crashed() {
            return Ending::Finished;
        }
        if crate::kernel::invariant::wait::cycle(&self.world, &self.waits()).is_some() {
            Ending::Deadlock
        } else {
            Ending::Stall
        }
    }
}

impl Sim {
    /// Reads what decided that an agent has moves, and how many.
    fn read_guards(&self, agent: Agent) {
        self.needs[agent as usize].met(&self.world);
        self.world.read::<ActorState>(Actor(agent));
        self.world.read::<Power>(One(0));
        self.outcomes(agent);
    }
}

impl Timed for Sim {
    fn delay_ns(&self, agent: Agent) -> u64 {
        let Some(routine) = self.top(agent) else { return 0 };
        let cost = routine.label().cost;
        if cost == Cost::Think {
            let thread = self.world.map.plan.threads.get(agent as usize);
            let op = thread.and_then(|t| t.program.get((self.op(agent).0 - t.first_op.0) as usize));
            if let Some(Op::Sleep { ns }) = op {
                return *ns;
            }
        }
        self.world.map.plan.costs.ns(cost)
    }

    fn changed(&self) -> &[Agent] {
        &self.changed
    }

    fn is_ready(&self, agent: Agent) -> bool {
        self.ready.has(agent)
    }

    fn timed_outcome(&self, agent: Agent, random: u64) -> usize {
        let outcomes = self.outcomes(agent);
        if outcomes < 2 {
            return 0;
        }
        let faults = &self.world.map.plan.faults;
        let rate = match self.top(agent) {
            Some(r) if r.is_device() => faults.io_error_rate,
            _ => faults.enomem_rate,
        };
        usize::from((random & 0xffff) < u64::from(rate))
    }
}
