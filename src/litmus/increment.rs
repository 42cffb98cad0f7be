//! N identical threads that each read a shared counter and then write what they read plus one:
//! the smallest model with a symmetry, for the orbit counts.

use crate::engine::hash::mix2;
use crate::engine::model::{Agent, Ending, Footprint, Model, Props, Stepped};

/// Most threads that an [`Increment`] can have.
pub const MAX_THREADS: usize = 16;

/// One thread: its program counter (0 read, 1 write, 2 done) and its register.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
struct Thread {
    pc: u8,
    register: u8,
}

/// The non-atomic increment by N threads.
#[derive(Clone, Debug)]
pub struct Increment {
    counter: u8,
    threads: Vec<Thread>,
    log: Vec<(usize, Thread, u8)>,
    recording: bool,
    footprint: Footprint,
}

impl Increment {
    /// `threads` threads at their start, at most [`MAX_THREADS`].
    pub fn new(threads: usize) -> Increment {
        Increment {
            counter: 0,
            threads: vec![Thread::default(); threads.min(MAX_THREADS)],
            log: Vec::new(),
            recording: false,
            footprint: Footprint::default(),
        }
    }

    fn hash(&self, threads: impl Iterator<Item = Thread>) -> u64 {
        threads.fold(mix2(3, u64::from(self.counter)), |h, t| {
            mix2(h, u64::from(t.pc) << 8 | u64::from(t.register))
        })
    }
}

impl Model for Increment {
    type Move = Agent;

    fn agents(&self) -> usize {
        self.threads.len()
    }

    fn moves(&self, out: &mut Vec<Agent>) {
        out.clear();
        let ready = self.threads.iter().enumerate().filter(|(_, t)| t.pc < 2);
        out.extend(ready.map(|(i, _)| i as Agent));
    }

    fn ready(&self) -> usize {
        self.threads.iter().filter(|t| t.pc < 2).count()
    }

    fn nth_ready(&self, k: usize) -> Agent {
        let mut ready = self.threads.iter().enumerate().filter(|(_, t)| t.pc < 2);
        ready.nth(k).map_or(Agent::MAX, |(i, _)| i as Agent)
    }

    fn outcomes(&self, _agent: Agent) -> usize {
        1
    }

    fn move_of(&self, agent: Agent, _outcome: usize) -> Agent {
        agent
    }

    fn agent(&self, mv: Agent) -> Agent {
        mv
    }

    fn apply(&mut self, mv: Agent) -> Stepped {
        let mark = self.log.len();
        let thread = &mut self.threads[mv as usize];
        self.log.push((mv as usize, *thread, self.counter));
        self.footprint.clear();
        if thread.pc == 0 {
            thread.register = self.counter;
            self.footprint.reads.push(0);
        } else {
            self.counter = thread.register + 1;
            self.footprint.writes.push(0);
        }
        thread.pc += 1;
        Stepped { broken: Props::NONE, reached: Props::NONE, mark }
    }

    fn undo(&mut self, stepped: Stepped) {
        while self.log.len() > stepped.mark {
            let Some((i, thread, counter)) = self.log.pop() else { return };
            self.threads[i] = thread;
            self.counter = counter;
        }
    }

    fn fingerprint(&self) -> u64 {
        self.hash(self.threads.iter().copied())
    }

    fn state(&self, out: &mut Vec<u8>) {
        out.push(self.counter);
        out.extend(self.threads.iter().flat_map(|t| [t.pc, t.register]));
    }

    fn record_footprints(&mut self, on: bool) {
        self.recording = on;
    }

    fn footprint(&self, out: &mut Footprint) {
        out.clone_from(&self.footprint);
    }

    fn ending(&self) -> Ending {
        Ending::Finished
    }

    fn canonical(&self) -> u64 {
        let mut sorted = [Thread::default(); MAX_THREADS];
        let n = self.threads.len();
        sorted[..n].copy_from_slice(&self.threads);
        sorted[..n].sort_unstable();
        self.hash(sorted[..n].iter().copied())
    }

    fn place(&self, agent: Agent) -> u32 {
        u32::from(self.threads[agent as usize].pc)
    }

    fn waits_on(&self, _agent: Agent, _out: &mut Vec<u32>) -> bool {
        true
    }
}
