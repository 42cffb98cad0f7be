//! World + actors + strategy + invariants = a [`Model`](crate::engine::model::Model).

mod judge;
mod meter;
mod model;
mod stack;
pub mod symmetry;
mod view;

pub use self::meter::Meter;
use self::stack::{StackChange, weight};
use self::symmetry::Symmetry;
use super::actor::Routine;
use super::actor::program::Program;
use super::actor::step::{Label, Next, Scene, Step};
use super::invariant::LockGraph;
use super::invariant::judge::Broken;
use super::ready::{ReadySet, Waiters};
use super::strategy::{DaxIdle, Pin, Strategy, Unbind};
use super::world::door::Rules;
use super::world::layout::Layout;
use super::world::machine::{ActorState, Verdict};
use super::world::need::Need;
use super::world::pins::PinRules;
use super::world::plan::{Plan, Role, ThreadPlan};
use super::world::setup;
use super::world::view::Names;
use super::world::{Actor, Id, Kind, One, World};
use crate::engine::model::{Agent, Props};
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
    /// The hashes of the cells and of the stacks before the move.
    fingerprint: u64,
    stack_hash: u64,
    agent: Agent,
    /// Main agents that had not finished before the move.
    unfinished: u32,
    /// What the agent needed before the move.
    need: Need,
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
    /// What each slot of the stacks adds to their hash.
    weights: Vec<u64>,
    stack_log: Vec<StackChange>,
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
    /// Other names under which states are the same, for searches with symmetry.
    symmetry: Arc<Symmetry>,
}

impl Sim {
    /// The machine of a plan under a strategy, before the first step.
    pub fn new(plan: Plan, strategy: Strategy) -> Sim {
        Sim::with_layout(Arc::new(Layout::new(plan)), strategy)
    }

    /// The same, for a plan that has been laid out already.
    pub fn with_layout(map: Arc<Layout>, strategy: Strategy) -> Sim {
        let rules = Rules {
            mapped_refs: strategy.dax_idle == DaxIdle::MappedRef,
            devmap: strategy.unbind != Unbind::MappingRef,
            pin: PinRules {
                small: strategy.pin.adds(0),
                large: strategy.pin.adds(9),
                of_mapping: strategy.pin == Pin::MappingCounter,
                off_lru: strategy.pin == Pin::OffLru,
            },
            endless: map.plan.threads.iter().any(ThreadPlan::is_endless),
        };
        let agents = map.actors() as usize;
        let class = classes(&map);
        let mut sim = Sim {
            world: setup::world(map, rules),
            strategy,
            stacks: vec![None; agents * DEPTH],
            stack_hash: 0,
            weights: vec![0; agents * DEPTH],
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
            symmetry: Arc::default(),
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
                    let op = self.op(actor.0);
                    let Some(caller) = &self.stacks[actor.index() * DEPTH + level] else {
                        return self.finish(actor);
                    };
                    let (w, strategy) = (&mut self.world, &self.strategy);
                    next = caller.resume(&mut Step { w, strategy, me: actor, op }, ret);
                }
            }
        }
        self.set_depth(actor, before, depth);
    }

    /// Looks again at what an agent needs and whether it is met.
    fn refresh(&mut self, agent: Agent) {
        let need = match self.top(agent) {
            Some(routine) => routine.need(&self.scene(agent)),
            None => Need::Never,
        };
        self.set_need(agent, need);
    }

    fn set_need(&mut self, agent: Agent, need: Need) {
        // Most steps lead to a need like the one before, and a comparison waits for no write.
        if need != self.needs[agent as usize] {
            self.needs[agent as usize] = need;
            self.waiters.set(agent, need.cell(&self.world));
        }
        self.set_ready(agent, need);
    }

    fn set_ready(&mut self, agent: Agent, need: Need) {
        let mut ready = need.met(&self.world);
        if !ready
            && !matches!(need, Need::Never)
            && self.world.get::<ActorState>(Actor(agent)).signal()
        {
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
        self.find_changed(mark, mover);
        self.refresh(mover);
        self.look_at_changed();
    }

    /// Puts the mover into `changed`, and after it everybody else who waits for a cell that was
    /// written since a mark.
    #[inline]
    fn find_changed(&mut self, mark: usize, mover: Agent) {
        self.changed.clear();
        self.changed.push(mover);
        for change in self.world.since(mark) {
            for agent in self.waiters.of(change.cell) {
                if agent != mover {
                    self.changed.push(agent);
                }
            }
            // A signal is written to its target's own state.
            if change.kind == Kind::ActorState && change.object != mover {
                self.changed.push(change.object);
            }
        }
    }

    /// Looks again whether what others than the mover need is met.
    #[inline]
    fn look_at_changed(&mut self) {
        for i in 1..self.changed.len() {
            let agent = self.changed[i];
            self.set_ready(agent, self.needs[agent as usize]);
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
        if self.world.rules.endless {
            return self.seen(&Names::default(), self.ranks().as_ref());
        }
        let stacks = self.stacks.iter().enumerate();
        stacks.fold(self.world.full_fingerprint(), |h, (i, r)| h ^ weight(i as u32, r, false))
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
