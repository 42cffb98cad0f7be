//! Guarded commands with jumps over shared variables: the smallest model that has everything the
//! engine must cope with at once, namely choice, waiting, loops, properties over several cells
//! and moves that end the run for everybody.

use crate::engine::hash::mix2;
use crate::engine::model::{Agent, Ending, Footprint, Model, Props, Stepped};

/// A set of equations over variables, all of which have to hold.
pub type Condition = Vec<(usize, u8)>;

/// One alternative at one place of a thread.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Command {
    /// What has to hold before.
    pub guard: Condition,
    /// What holds afterwards.
    pub set: Condition,
    /// Where the thread is afterwards; its length or more: it has finished.
    pub next: usize,
    /// Ends the run for everybody.
    pub cut: bool,
}

/// A thread: for each place, the alternatives there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Thread {
    /// The alternatives at each place.
    pub places: Vec<Vec<Command>>,
    /// Places at which the thread owes something.
    pub owes: Vec<usize>,
}

/// A program of guarded commands. All variables are 0 at the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    /// Number of variables.
    pub vars: usize,
    /// The threads, at most 16, of at most 256 places with at most 256 alternatives.
    pub threads: Vec<Thread>,
    /// Properties: each says that its condition never holds. At most 32.
    pub never: Vec<Condition>,
}

/// A move: a thread and the number of its alternative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Choice {
    /// The thread.
    pub thread: u8,
    /// The alternative.
    pub alternative: u8,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct State {
    vars: Vec<u8>,
    pcs: Vec<usize>,
    cut: bool,
    /// Properties broken so far. Part of the state, so that end states tell.
    broken: Props,
}

/// A [`Program`] in motion.
#[derive(Clone, Debug)]
pub struct Guarded {
    program: Program,
    state: State,
    log: Vec<State>,
    footprint: Footprint,
}

impl Guarded {
    /// At the start. The program must obey its limits.
    pub fn new(program: Program) -> Guarded {
        let state = State {
            vars: vec![0; program.vars],
            pcs: vec![0; program.threads.len()],
            cut: false,
            broken: Props::NONE,
        };
        Guarded { program, state, log: Vec::new(), footprint: Footprint::default() }
    }

    fn alternatives(&self, thread: usize) -> &[Command] {
        let places = &self.program.threads[thread].places;
        places.get(self.state.pcs[thread]).map_or(&[], Vec::as_slice)
    }

    fn holds(&self, condition: &Condition) -> bool {
        condition.iter().all(|&(var, value)| self.state.vars[var] == value)
    }

    /// Numbers of the enabled alternatives of a thread.
    fn enabled(&self, thread: usize) -> impl Iterator<Item = usize> {
        let open = self.alternatives(thread).iter().enumerate();
        open.filter(|(_, c)| !self.state.cut && self.holds(&c.guard)).map(|(i, _)| i)
    }

    fn finished(&self, thread: usize) -> bool {
        self.state.pcs[thread] >= self.program.threads[thread].places.len()
    }
}

impl Model for Guarded {
    type Move = Choice;

    fn agents(&self) -> usize {
        self.program.threads.len()
    }

    fn moves(&self, out: &mut Vec<Choice>) {
        out.clear();
        for thread in 0..self.agents() {
            let choice = |a| Choice { thread: thread as u8, alternative: a as u8 };
            out.extend(self.enabled(thread).map(choice));
        }
    }

    fn ready(&self) -> usize {
        (0..self.agents()).filter(|&t| self.enabled(t).next().is_some()).count()
    }

    fn nth_ready(&self, k: usize) -> Agent {
        let mut ready = (0..self.agents()).filter(|&t| self.enabled(t).next().is_some());
        ready.nth(k).map_or(Agent::MAX, |t| t as Agent)
    }

    fn outcomes(&self, agent: Agent) -> usize {
        self.enabled(agent as usize).count().max(1)
    }

    fn move_of(&self, agent: Agent, outcome: usize) -> Choice {
        let alternative = self.enabled(agent as usize).nth(outcome).unwrap_or_default();
        Choice { thread: agent as u8, alternative: alternative as u8 }
    }

    fn agent(&self, mv: Choice) -> Agent {
        Agent::from(mv.thread)
    }

    fn apply(&mut self, mv: Choice) -> Stepped {
        let mark = self.log.len();
        self.log.push(self.state.clone());
        let thread = usize::from(mv.thread);
        self.footprint.clear();
        // What decided which alternatives there are: all their guards.
        for command in self.program.threads[thread].places[self.state.pcs[thread]].iter() {
            self.footprint.reads.extend(command.guard.iter().map(|g| g.0 as u32));
        }
        let command = self.alternatives(thread)[usize::from(mv.alternative)].clone();
        self.footprint.writes.extend(command.set.iter().map(|s| s.0 as u32));
        for &(var, value) in &command.set {
            self.state.vars[var] = value;
        }
        self.state.pcs[thread] = command.next;
        self.state.cut = command.cut;
        let (mut broken, mut reached) = (Props::NONE, Props::NONE);
        for (i, condition) in self.program.never.iter().enumerate() {
            let touched = |c: &(usize, u8)| command.set.iter().any(|s| s.0 == c.0);
            if condition.iter().any(touched) {
                self.footprint.reads.extend(condition.iter().map(|c| c.0 as u32));
                reached = reached.union(Props::one(i));
                if self.holds(condition) {
                    broken = broken.union(Props::one(i));
                }
            }
        }
        self.state.broken = self.state.broken.union(broken);
        self.footprint.seal();
        Stepped { broken, reached, mark }
    }

    fn undo(&mut self, stepped: Stepped) {
        while self.log.len() > stepped.mark {
            let Some(state) = self.log.pop() else { return };
            self.state = state;
        }
    }

    fn fingerprint(&self) -> u64 {
        let vars = self.state.vars.iter().map(|&v| u64::from(v));
        let pcs = self.state.pcs.iter().map(|&p| p as u64);
        let rest = u64::from(self.state.broken.0) << 1 | u64::from(self.state.cut);
        vars.chain(pcs).fold(mix2(4, rest), mix2)
    }

    fn state(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.state.vars);
        out.extend(self.state.pcs.iter().map(|&p| p as u8));
        out.extend_from_slice(&self.state.broken.0.to_le_bytes());
        out.push(u8::from(self.state.cut));
    }

    fn record_footprints(&mut self, _on: bool) {}

    fn footprint(&self, out: &mut Footprint) {
        out.clone_from(&self.footprint);
    }

    fn ending(&self) -> Ending {
        match (self.state.cut, (0..self.agents()).all(|t| self.finished(t))) {
            (true, _) => Ending::Cut,
            (false, true) => Ending::Finished,
            (false, false) => Ending::Stall,
        }
    }

    fn broken(&self) -> Props {
        self.state.broken
    }

    fn place(&self, agent: Agent) -> u32 {
        self.state.pcs[agent as usize] as u32
    }

    fn waits_on(&self, agent: Agent, out: &mut Vec<u32>) -> bool {
        let guards = self.alternatives(agent as usize).iter().flat_map(|c| &c.guard);
        out.extend(guards.map(|g| g.0 as u32));
        true
    }

    fn owes(&self, agent: Agent) -> bool {
        self.program.threads[agent as usize].owes.contains(&self.state.pcs[agent as usize])
    }
}
