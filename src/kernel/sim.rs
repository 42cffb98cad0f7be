//! World + actors + strategy + invariants = a [`Model`].

use super::actor::Routine;
use super::actor::program::Program;
use super::actor::step::{Label, Next, Scene, Step};
use super::invariant::judge::{Broken, Verdicts, judge, judge_all};
use super::invariant::{LOCK_ORDER, LockGraph, TABLE};
use super::ready::{ReadySet, Waiters};
use super::strategy::{DaxIdle, Strategy, Unbind};
use super::world::door::{Rules, mix};
use super::world::facts::Fact;
use super::world::layout::Layout;
use super::world::machine::*;
use super::world::need::Need;
use super::world::plan::{Plan, Role};
use super::world::setup;
use super::world::{Actor, Id, One, OpId, World};
use crate::engine::model::{Agent, Ending, Footprint, Model, Props, Stepped, Timed};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Deepest stack of machines: program, system call, and what it calls.
pub const DEPTH: usize = 8;

/// A move: which agent steps, and which outcome the step has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Move {
    /// The agent.
    pub agent: Agent,
    /// The outcome: 0 unless an outside party decided otherwise.
    pub outcome: u8,
}

/// Where the logs stood before a move.
#[derive(Clone, Copy, Debug)]
struct Mark {
    cells: usize,
    stacks: usize,
    agent: Agent,
}

/// How an agent's life bears on the end of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// A thread that the run waits for.
    Main,
    /// A device or thread that may go on for ever.
    Background,
    /// Disks and workers: the run waits until they are idle.
    Service,
    /// Something that may happen, or not.
    Chance,
}

/// A machine in motion: the model that everything explores.
#[derive(Clone, Debug)]
pub struct Sim {
    /// The world.
    pub world: World,
    /// The design in force.
    pub strategy: Strategy,
    stacks: Vec<Option<Routine>>,
    stack_hash: u64,
    stack_log: Vec<(u32, Option<Routine>)>,
    marks: Vec<Mark>,
    class: Vec<Class>,
    needs: Vec<Need>,
    waiters: Waiters,
    ready: ReadySet,
    /// Ready agents of each class.
    ready_of: [usize; 4],
    /// Main agents that have not finished.
    unfinished: usize,
    changed: Vec<Agent>,
    broken: Vec<Broken>,
    /// Lock orders seen in all transitions made; not undone.
    orders: LockGraph,
    judging: bool,
    /// Whether every object is judged before and after each step.
    thorough: bool,
    /// What was broken before the step, by the slow way.
    before: Vec<Broken>,
    /// What the slow way found in the last step and the quick way did not.
    overlooked: Vec<Broken>,
    recording: bool,
}

/// Hashes the derived `Hash` of a routine the same way on every machine.
struct Digest(u64);

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(23) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }
}

fn weight(slot: u32, routine: Option<Routine>) -> u64 {
    let Some(routine) = routine else { return 0 };
    let mut digest = Digest(0x51ed_270b_27b4_5c3f);
    routine.hash(&mut digest);
    mix(u64::from(slot) + 1, digest.finish())
}

impl Sim {
    /// The machine of a plan under a strategy, before the first step.
    pub fn new(plan: Plan, strategy: Strategy) -> Sim {
        Sim::with_layout(Arc::new(Layout::new(plan)), strategy)
    }

    /// The same, for a plan that has been laid out already.
    pub fn with_layout(map: Arc<Layout>, strategy: Strategy) -> Sim {
        let (small, large) = (strategy.pin.grab(0), strategy.pin.grab(9));
        let rules = Rules {
            mapped_refs: strategy.dax_idle == DaxIdle::MappedRef,
            devmap: strategy.unbind != Unbind::MappingRef,
            pin_refs: small.refs,
            pin_large: (large.refs, large.pins),
        };
        let agents = map.actors() as usize;
        let class = classes(&map);
        let mut sim = Sim {
            world: setup::world(map, rules),
            strategy,
            stacks: vec![None; agents * DEPTH],
            stack_hash: 0,
            stack_log: Vec::with_capacity(1024),
            marks: Vec::with_capacity(1024),
            needs: vec![Need::Never; agents],
            waiters: Waiters::new(agents),
            ready: ReadySet::new(agents),
            ready_of: [0; 4],
            unfinished: class.iter().filter(|&&c| c == Class::Main).count(),
            class,
            changed: Vec::new(),
            broken: Vec::new(),
            orders: LockGraph::default(),
            judging: true,
            thorough: false,
            before: Vec::new(),
            overlooked: Vec::new(),
            recording: false,
        };
        sim.boot();
        sim
    }

    /// Puts every agent's first machine on its stack.
    fn boot(&mut self) {
        let map = self.world.map.clone();
        for n in 0..map.actors() {
            let actor = Actor(n);
            let booted = if (n as usize) < map.plan.threads.len() {
                Program::boot(&self.world, actor).map(|(p, op)| [Some(p.into()), Some(op)])
            } else {
                Some([Routine::service(&map, actor), None])
            };
            match booted {
                Some(machines) => {
                    let depth = machines.iter().flatten().count();
                    for (level, machine) in machines.into_iter().enumerate() {
                        self.write_stack(actor, level, machine);
                    }
                    self.set_depth(actor, 0, depth);
                }
                None => self.finish(actor),
            }
        }
        self.world.forget();
        self.world.facts.clear();
        self.stack_log.clear();
        for n in 0..map.actors() {
            self.refresh(n);
        }
    }

    // --- stacks -------------------------------------------------------------------------------

    fn depth(&self, actor: Actor) -> usize {
        self.world.get::<ActorState>(actor).depth() as usize
    }

    /// The machine that an agent is in; none if it has finished.
    pub fn top(&self, agent: Agent) -> Option<Routine> {
        let depth = self.depth(Actor(agent));
        depth.checked_sub(1).and_then(|d| self.stacks[agent as usize * DEPTH + d])
    }

    /// The machines on an agent's stack, outermost first.
    pub fn stack(&self, agent: Agent) -> impl Iterator<Item = Routine> + '_ {
        let at = agent as usize * DEPTH;
        self.stacks[at..at + self.depth(Actor(agent))].iter().copied().flatten()
    }

    fn write_stack(&mut self, actor: Actor, level: usize, routine: Option<Routine>) {
        let slot = actor.0 * DEPTH as u32 + level as u32;
        let old = self.stacks[slot as usize];
        if old != routine {
            self.stacks[slot as usize] = routine;
            self.stack_hash ^= weight(slot, old) ^ weight(slot, routine);
            self.stack_log.push((slot, old));
        }
    }

    /// Ends a change of an agent's stack: levels that were left are emptied.
    fn set_depth(&mut self, actor: Actor, from: usize, to: usize) {
        for level in to..from {
            self.write_stack(actor, level, None);
        }
        if from != to {
            self.world.update::<ActorState>(actor, |s| s.with_depth(to as u8));
        }
    }

    fn finish(&mut self, actor: Actor) {
        self.set_depth(actor, self.depth(actor), 0);
        self.world.update::<ActorState>(actor, |s| {
            let killed = s.life() == Life::Killed;
            s.with_life(if killed { Life::Killed } else { Life::Done })
        });
        if self.class[actor.index()] == Class::Main {
            self.unfinished -= 1;
        }
    }

    /// The operation that an agent's program is in.
    pub fn op(&self, agent: Agent) -> OpId {
        match (self.stacks[agent as usize * DEPTH], self.world.map.plan.threads.get(agent as usize))
        {
            (Some(Routine::Program(p)), Some(thread)) => p.op(thread.first_op),
            _ => OpId(0),
        }
    }

    // --- stepping -----------------------------------------------------------------------------

    /// Carries out where control goes, through calls and returns, until a machine is reached
    /// that has a step to make.
    fn follow(&mut self, actor: Actor, mut next: Next) {
        let before = self.depth(actor);
        let mut depth = before;
        loop {
            match next {
                Next::Go(routine) => {
                    self.write_stack(actor, depth - 1, Some(routine));
                    break;
                }
                Next::Call { callee, then } => {
                    assert!(depth < DEPTH, "{callee:?} nests deeper than {DEPTH}");
                    self.write_stack(actor, depth - 1, Some(then));
                    self.write_stack(actor, depth, Some(callee));
                    depth += 1;
                    break;
                }
                Next::Exit => return self.finish(actor),
                Next::Return(ret) => {
                    depth -= 1;
                    let Some(level) = depth.checked_sub(1) else { return self.finish(actor) };
                    let Some(caller) = self.stacks[actor.index() * DEPTH + level] else {
                        return self.finish(actor);
                    };
                    let op = self.op(actor.0);
                    let (w, strategy) = (&mut self.world, &self.strategy);
                    next = caller.resume(&mut Step { w, strategy, me: actor, op }, ret);
                }
            }
        }
        self.set_depth(actor, before, depth);
    }

    /// Looks again at what an agent needs and whether it is met.
    fn refresh(&mut self, agent: Agent) {
        let was = self.needs[agent as usize];
        let need = match self.top(agent) {
            Some(routine) => routine.need(&self.scene(agent)),
            None => Need::Never,
        };
        if need != was {
            self.needs[agent as usize] = need;
            self.waiters.set(agent, need.cell(&self.world));
        }
        self.set_ready(agent, need);
    }

    fn set_ready(&mut self, agent: Agent, need: Need) {
        let mut ready = need.met(&self.world);
        if !ready && need != Need::Never && self.world.get::<ActorState>(Actor(agent)).signal() {
            ready = self.top(agent).is_some_and(Routine::interruptible);
        }
        if ready != self.ready.has(agent) {
            self.ready.set(agent, ready);
            let class = self.class[agent as usize] as usize;
            self.ready_of[class] =
                if ready { self.ready_of[class] + 1 } else { self.ready_of[class] - 1 };
        }
    }

    /// Looks again at everybody who waits for a cell that was written since a mark.
    fn wake(&mut self, mark: usize, mover: Agent) {
        self.changed.clear();
        self.changed.push(mover);
        for change in self.world.since(mark) {
            self.changed.extend(self.waiters.of(change.cell));
            // A signal is written to its target's own state.
            if change.kind == super::world::Kind::ActorState {
                self.changed.push(change.object);
            }
        }
        for i in 0..self.changed.len() {
            let agent = self.changed[i];
            if agent == mover {
                self.refresh(agent);
            } else {
                self.set_ready(agent, self.needs[agent as usize]);
            }
        }
    }

    /// Changes the world behind the agents' backs, as some other part of the kernel would; it
    /// cannot be undone.
    #[cfg(test)]
    pub fn poke(&mut self, write: impl FnOnce(&mut World)) {
        write(&mut self.world);
        for agent in 0..self.needs.len() as u32 {
            self.refresh(agent);
        }
    }

    fn scene(&self, agent: Agent) -> Scene<'_> {
        Scene { w: &self.world, strategy: &self.strategy, me: Actor(agent) }
    }

    /// Whether power has been lost: nothing happens after that.
    fn crashed(&self) -> bool {
        self.world.get::<Power>(One(0)).crashed()
    }

    /// Whether the run is over: all main agents have finished and the services are idle, or
    /// nobody can go on, or power is lost, or the state means nothing any more.
    fn over(&self) -> bool {
        let idle = self.unfinished == 0 && self.ready_of[Class::Service as usize] == 0;
        self.crashed() || self.ready.is_empty() || idle || self.world.get::<Verdict>(One(0)).cut()
    }

    /// Whether nothing happens any more unless by chance.
    fn quiet(&self) -> bool {
        self.over() || self.ready.len() == self.ready_of[Class::Chance as usize]
    }

    /// States how the step ended, and lets the invariants judge it.
    fn judge(&mut self, mark: usize, mover: Actor, at: (OpId, Option<Routine>)) -> Verdicts {
        if !self.judging {
            return Verdicts::default();
        }
        if !self.ready.has(mover.0) && self.needs[mover.index()] != Need::Never {
            self.world.facts.push(Fact::Blocked { actor: mover });
        }
        // A crash is no end: memory is gone, only what fsync promised can be asked for.
        if !self.crashed() && self.quiet() {
            self.world.facts.push(Fact::Ended);
        }
        for fact in &self.world.facts {
            if let Fact::Locked { class, under, .. } = *fact {
                let step = || at.1.map_or("", |routine| routine.label().name);
                self.orders.note(class, under, || (mover, at.0, step()));
            }
        }
        let mut broken = std::mem::take(&mut self.broken);
        broken.clear();
        let changes = self.world.since(mark);
        let verdicts = judge(&self.world, &self.waits(), changes, mover, |b| broken.push(b));
        self.broken = broken;
        if self.thorough {
            let mut after = self.standing(mover);
            let known = |b: &Broken| {
                [&self.before, &self.broken].iter().any(|l| l.iter().any(|o| o.same(b)))
            };
            after.retain(|b| !known(b));
            self.overlooked = after;
        }
        let new = verdicts.broken.0 & !(1 << LOCK_ORDER);
        if new != 0 {
            let fatal = verdicts.broken.iter().any(|i| TABLE[i].fatal);
            self.world.update::<Verdict>(One(0), |v| {
                v.with_broken(v.broken() | new).with_cut(v.cut() || fatal)
            });
        }
        verdicts
    }

    fn waits(&self) -> Waits<'_> {
        Waits {
            needs: &self.needs,
            ready: &self.ready,
            class: &self.class,
            orders: &self.orders,
            finished: self.unfinished == 0 && self.ready_of[Class::Service as usize] == 0,
        }
    }

    /// What is broken in this state, by the slow way.
    fn standing(&self, mover: Actor) -> Vec<Broken> {
        let mut standing = Vec::new();
        judge_all(&self.world, &self.waits(), mover, |b| standing.push(b));
        standing
    }

    // --- for reports --------------------------------------------------------------------------

    /// The label of a ready agent's next step.
    pub fn label(&self, agent: Agent) -> Option<Label> {
        self.top(agent).map(Routine::label)
    }

    /// What an agent needs before its next step.
    pub fn need(&self, agent: Agent) -> Need {
        self.needs[agent as usize]
    }

    /// What the last step broke, with evidence.
    pub fn findings(&self) -> &[Broken] {
        &self.broken
    }

    /// Which invariants have been broken in this run so far.
    pub fn verdict(&self) -> Props {
        Props(self.world.get::<Verdict>(One(0)).broken())
    }

    /// The log mark before the last applied move: `world.since(mark)` is what it wrote.
    pub fn last_mark(&self) -> usize {
        self.marks.last().map_or(0, |m| m.cells)
    }

    /// Forgets how the present state was reached: it cannot be undone any more. For long runs.
    pub fn forget(&mut self) {
        self.world.forget();
        self.stack_log.clear();
        self.marks.clear();
    }

    /// The lock orders seen in all transitions made so far, undone ones included.
    pub fn lock_orders(&self) -> &LockGraph {
        &self.orders
    }

    /// Switches the slow judging of every object before and after each step on or off; what it
    /// finds is in [`Sim::overlooked`].
    pub fn set_thorough(&mut self, on: bool) {
        self.thorough = on;
    }

    /// What the last step broke and only the slow judging of every object found: nothing, if the
    /// invariants watch all that they look at.
    pub fn overlooked(&self) -> &[Broken] {
        &self.overlooked
    }

    /// Switches the invariants off (for measuring what they cost) or on.
    pub fn set_judging(&mut self, on: bool) {
        self.judging = on;
    }

    /// The fingerprint computed from scratch; a law says that it equals the incremental one.
    pub fn full_fingerprint(&self) -> u64 {
        let stacks = self.stacks.iter().enumerate();
        stacks.fold(self.world.full_fingerprint(), |h, (i, &r)| h ^ weight(i as u32, r))
    }
}

/// Who waits for what, for the invariants that look for cycles of waits.
#[derive(Clone, Copy)]
pub struct Waits<'a> {
    needs: &'a [Need],
    ready: &'a ReadySet,
    class: &'a [Class],
    orders: &'a LockGraph,
    finished: bool,
}

impl super::invariant::Waits for Waits<'_> {
    fn need(&self, actor: Actor) -> Need {
        self.needs[actor.index()]
    }
    fn blocked(&self, actor: Actor) -> bool {
        !self.ready.has(actor.0) && self.needs[actor.index()] != Need::Never
    }
    fn actors(&self) -> u32 {
        self.needs.len() as u32
    }
    fn main(&self, actor: Actor) -> bool {
        self.class[actor.index()] == Class::Main
    }
    fn finished(&self) -> bool {
        self.finished
    }
    fn orders(&self) -> &LockGraph {
        self.orders
    }
}

fn classes(map: &Layout) -> Vec<Class> {
    let threads = map.plan.threads.iter().map(|t| match t.role {
        Role::Chance => Class::Chance,
        _ if t.background => Class::Background,
        _ => Class::Main,
    });
    let services = map.actors() as usize - map.plan.threads.len();
    threads.chain(std::iter::repeat_n(Class::Service, services)).collect()
}

impl Model for Sim {
    type Move = Move;

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

    fn ready(&self) -> usize {
        if self.over() { 0 } else { self.ready.len() }
    }

    fn nth_ready(&self, k: usize) -> Agent {
        self.ready.nth(k)
    }

    fn outcomes(&self, agent: Agent) -> usize {
        let routine = self.top(agent);
        routine.map_or(1, |r| usize::from(r.outcomes(&self.scene(agent))))
    }

    fn move_of(&self, agent: Agent, outcome: usize) -> Move {
        Move { agent, outcome: outcome as u8 }
    }

    fn agent(&self, mv: Move) -> Agent {
        mv.agent
    }

    fn apply(&mut self, mv: Move) -> Stepped {
        let actor = Actor(mv.agent);
        let mark = self.marks.len();
        let cells = self.world.mark();
        self.marks.push(Mark { cells, stacks: self.stack_log.len(), agent: mv.agent });
        self.world.facts.clear();
        if self.recording {
            self.world.clear_reads();
            self.needs[actor.index()].met(&self.world);
        }
        if self.thorough {
            self.before = self.standing(actor);
        }
        let (op, top) = (self.op(mv.agent), self.top(mv.agent));
        if let Some(routine) = top {
            let (w, strategy) = (&mut self.world, &self.strategy);
            let next = routine.step(&mut Step { w, strategy, me: actor, op }, mv.outcome);
            self.follow(actor, next);
        }
        self.wake(cells, mv.agent);
        let verdicts = self.judge(cells, actor, (op, top));
        Stepped { broken: verdicts.broken, reached: verdicts.reached, mark }
    }

    fn undo(&mut self, stepped: Stepped) {
        let Some(mark) = self.marks.get(stepped.mark).copied() else { return };
        self.marks.truncate(stepped.mark);
        let agent = Actor(mark.agent);
        let finished = self.top(mark.agent).is_none();
        while self.stack_log.len() > mark.stacks {
            if let Some((slot, old)) = self.stack_log.pop() {
                let now = std::mem::replace(&mut self.stacks[slot as usize], old);
                self.stack_hash ^= weight(slot, now) ^ weight(slot, old);
            }
        }
        self.changed.clear();
        for change in self.world.since(mark.cells) {
            self.changed.extend(self.waiters.of(change.cell));
            if change.kind == super::world::Kind::ActorState {
                self.changed.push(change.object);
            }
        }
        self.world.rewind(mark.cells);
        if finished && self.class[agent.index()] == Class::Main {
            self.unfinished += 1;
        }
        for i in 0..self.changed.len() {
            let other = self.changed[i];
            if other != mark.agent {
                self.set_ready(other, self.needs[other as usize]);
            }
        }
        self.refresh(mark.agent);
    }

    fn fingerprint(&self) -> u64 {
        self.world.fingerprint() ^ self.stack_hash
    }

    fn state(&self, out: &mut Vec<u8>) {
        self.world.state(out);
        for routine in &self.stacks {
            out.extend(weight(1, *routine).to_le_bytes());
        }
    }

    fn record_footprints(&mut self, on: bool) {
        self.recording = on;
        self.world.record(on);
    }

    fn footprint(&self, out: &mut Footprint) {
        out.clear();
        self.world.reads(&mut out.reads);
        out.writes.extend(self.world.since(self.last_mark()).iter().map(|c| c.cell));
        out.seal();
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
        if super::invariant::wait::cycle(&self.world, &self.waits()).is_some() {
            Ending::Deadlock
        } else {
            Ending::Stall
        }
    }
}

impl Timed for Sim {
    fn delay_ns(&self, agent: Agent) -> u64 {
        use super::world::costs::Cost;
        let Some(routine) = self.top(agent) else { return 0 };
        let cost = routine.label().cost;
        if cost == Cost::Think {
            let thread = self.world.map.plan.threads.get(agent as usize);
            let op = thread.and_then(|t| t.program.get((self.op(agent).0 - t.first_op.0) as usize));
            if let Some(super::world::plan::Op::Sleep { ns }) = op {
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
