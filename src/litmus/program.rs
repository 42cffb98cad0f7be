//! Multi-threaded micro-programs over shared integers under sequential consistency, and the
//! golden file of what any correct engine must count for them.
//!
//! The state is the memory and the history (all results so far) of every thread.

use std::fmt;

use serde::Deserialize;

use crate::engine::hash::mix2;
use crate::engine::model::{Agent, Ending, Footprint, Model, Props, Stepped};

/// The programs and counts that come with gupsim.
pub const BUNDLED: &str = include_str!("programs.json");

/// One atomic operation. Its result is appended to the history of its thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Reads `var`; the result is its value.
    Read {
        /// Which variable.
        var: usize,
    },
    /// Writes `value`; the result is 0.
    Write {
        /// Which variable.
        var: usize,
        /// What is written.
        value: i64,
    },
    /// Writes the thread's most recently read value plus `value`; the result is 0.
    WriteLastReadPlus {
        /// Which variable.
        var: usize,
        /// What is added.
        value: i64,
    },
    /// Adds `value` in one step; the result is the old value.
    FetchAdd {
        /// Which variable.
        var: usize,
        /// What is added.
        value: i64,
    },
    /// Writes `new` if the variable equals `expect`; the result is the old value. One that fails
    /// only reads.
    Cas {
        /// Which variable.
        var: usize,
        /// The value it must have.
        expect: i64,
        /// The value it gets.
        new: i64,
    },
    /// Enabled only while the variable is 0; makes it 1; the result is 0.
    Lock {
        /// Which variable.
        var: usize,
    },
    /// Makes the variable 0; the result is 0.
    Unlock {
        /// Which variable.
        var: usize,
    },
    /// Touches nothing; the result is 0.
    Local,
}

impl Op {
    /// The variable it touches.
    fn var(self) -> Option<usize> {
        match self {
            Op::Read { var }
            | Op::Write { var, .. }
            | Op::WriteLastReadPlus { var, .. }
            | Op::FetchAdd { var, .. }
            | Op::Cas { var, .. }
            | Op::Lock { var }
            | Op::Unlock { var } => Some(var),
            Op::Local => None,
        }
    }
}

/// What a correct engine counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Complete executions of a search without reduction, deadlocked ones included.
    pub interleavings: u64,
    /// Mazurkiewicz traces: the executions that an optimal reduction needs.
    pub traces: u64,
    /// Distinct pairs of memory and histories.
    pub states: u64,
    /// Traces that end with a thread waiting for ever.
    pub deadlock_traces: u64,
}

/// A program and what is known about it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// What it is called in the literature.
    pub name: String,
    /// Number of variables, all 0 at the start.
    pub vars: usize,
    /// The operations of each thread.
    pub threads: Vec<Vec<Op>>,
    /// The exact counts.
    pub expect: Expect,
}

/// Why a file of programs cannot be used.
#[derive(Debug)]
pub enum LoadError {
    /// Not the expected form; says where.
    Form(serde_path_to_error::Error<serde_json::Error>),
    /// Well-formed, but a program makes no sense.
    Program {
        /// The program.
        name: String,
        /// What is wrong and what would be right.
        why: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Form(e) => write!(f, "at `{}`: {}", e.path(), e.inner()),
            LoadError::Program { name, why } => write!(f, "program `{name}`: {why}"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads a file of programs.
///
/// # Errors
///
/// [`LoadError`] if the text is not such a file or a program in it makes no sense.
pub fn load(text: &str) -> Result<Vec<Program>, LoadError> {
    let json = &mut serde_json::Deserializer::from_str(text);
    let programs: Vec<Program> = serde_path_to_error::deserialize(json).map_err(LoadError::Form)?;
    for program in &programs {
        check(program).map_err(|why| LoadError::Program { name: program.name.clone(), why })?;
    }
    Ok(programs)
}

/// Variables of a program at most: these are small programs.
const MOST_VARS: usize = 1024;

/// Limits and cross-references that the form alone does not give.
fn check(program: &Program) -> Result<(), String> {
    if program.threads.is_empty() || program.threads.len() > 32 {
        return Err(format!("has {} threads; give 1 to 32", program.threads.len()));
    }
    if program.vars > MOST_VARS {
        return Err(format!("has {} variables; give at most {MOST_VARS}", program.vars));
    }
    for (t, ops) in program.threads.iter().enumerate() {
        for (i, op) in ops.iter().enumerate() {
            if let Some(var) = op.var().filter(|&v| v >= program.vars) {
                return Err(format!(
                    "thread {t}, operation {i}: variable {var} of {}; raise `vars` or use a \
                     smaller one",
                    program.vars
                ));
            }
        }
    }
    Ok(())
}

/// A thread in motion.
#[derive(Clone, Debug)]
struct Thread {
    pc: usize,
    last_read: i64,
    history: Vec<i64>,
    /// Hash of the history, part of the fingerprint.
    hash: u64,
}

/// What one step overwrote.
#[derive(Clone, Copy, Debug)]
struct Saved {
    thread: usize,
    memory: Option<(usize, i64)>,
    last_read: i64,
    hash: u64,
    fingerprint: u64,
}

/// A [`Program`] in motion. Moves are thread numbers; cells are variables.
#[derive(Clone, Debug)]
pub struct Litmus {
    program: Program,
    memory: Vec<i64>,
    threads: Vec<Thread>,
    fingerprint: u64,
    log: Vec<Saved>,
    recording: bool,
    footprint: Footprint,
}

impl Litmus {
    /// At the start, all variables 0. The program must come from [`load`] or obey its limits.
    pub fn new(program: &Program) -> Litmus {
        let threads: Vec<Thread> = (0..program.threads.len())
            .map(|t| Thread { pc: 0, last_read: 0, history: Vec::new(), hash: mix2(1, t as u64) })
            .collect();
        let memory = vec![0; program.vars];
        let cells = memory.iter().enumerate().map(|(v, &x)| cell_hash(v, x));
        let fingerprint = threads.iter().map(|t| t.hash).chain(cells).fold(0, |a, h| a ^ h);
        Litmus {
            program: program.clone(),
            memory,
            threads,
            fingerprint,
            log: Vec::new(),
            recording: false,
            footprint: Footprint::default(),
        }
    }

    /// The values of the variables.
    pub fn memory(&self) -> &[i64] {
        &self.memory
    }

    /// The results of a thread so far.
    pub fn history(&self, thread: usize) -> &[i64] {
        &self.threads[thread].history
    }

    fn op(&self, thread: usize) -> Option<Op> {
        self.program.threads[thread].get(self.threads[thread].pc).copied()
    }

    fn enabled(&self, thread: usize) -> bool {
        match self.op(thread) {
            None => false,
            Some(Op::Lock { var }) => self.memory[var] == 0,
            Some(_) => true,
        }
    }

    /// What the operation writes and returns: (new value of its variable, result).
    fn effect(&self, op: Op, last_read: i64) -> (Option<i64>, i64) {
        let old = op.var().map_or(0, |v| self.memory[v]);
        match op {
            Op::Read { .. } => (None, old),
            Op::Write { value, .. } => (Some(value), 0),
            Op::WriteLastReadPlus { value, .. } => (Some(last_read.wrapping_add(value)), 0),
            Op::FetchAdd { value, .. } => (Some(old.wrapping_add(value)), old),
            Op::Cas { expect, new, .. } => ((old == expect).then_some(new), old),
            Op::Lock { .. } => (Some(1), 0),
            Op::Unlock { .. } => (Some(0), 0),
            Op::Local => (None, 0),
        }
    }
}

/// The share of one variable in the fingerprint.
fn cell_hash(var: usize, value: i64) -> u64 {
    mix2(mix2(2, var as u64), value as u64)
}

impl Model for Litmus {
    type Move = Agent;

    fn agents(&self) -> usize {
        self.threads.len()
    }

    fn moves(&self, out: &mut Vec<Agent>) {
        out.clear();
        out.extend((0..self.threads.len()).filter(|&t| self.enabled(t)).map(|t| t as Agent));
    }

    fn ready(&self) -> usize {
        (0..self.threads.len()).filter(|&t| self.enabled(t)).count()
    }

    fn nth_ready(&self, k: usize) -> Agent {
        let mut ready = (0..self.threads.len()).filter(|&t| self.enabled(t));
        ready.nth(k).map_or(Agent::MAX, |t| t as Agent)
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
        let t = mv as usize;
        let Some(op) = self.op(t) else {
            return Stepped { broken: Props::NONE, reached: Props::NONE, mark };
        };
        let (write, result) = self.effect(op, self.threads[t].last_read);
        let memory = write.and(op.var()).map(|var| (var, self.memory[var]));
        let thread = &mut self.threads[t];
        let (last_read, hash) = (thread.last_read, thread.hash);
        self.log.push(Saved { thread: t, memory, last_read, hash, fingerprint: self.fingerprint });
        thread.pc += 1;
        thread.history.push(result);
        thread.hash = mix2(hash, result as u64);
        if let Op::Read { .. } = op {
            thread.last_read = result;
        }
        self.fingerprint ^= hash ^ thread.hash;
        if let (Some(value), Some((var, old))) = (write, memory) {
            self.fingerprint ^= cell_hash(var, old) ^ cell_hash(var, value);
            self.memory[var] = value;
        }
        if self.recording {
            self.footprint.clear();
            let side = if write.is_some() {
                &mut self.footprint.writes
            } else {
                &mut self.footprint.reads
            };
            side.extend(op.var().map(|v| v as u32));
        }
        Stepped { broken: Props::NONE, reached: Props::NONE, mark }
    }

    fn undo(&mut self, stepped: Stepped) {
        while self.log.len() > stepped.mark {
            let Some(saved) = self.log.pop() else { return };
            let thread = &mut self.threads[saved.thread];
            thread.pc -= 1;
            thread.history.pop();
            thread.last_read = saved.last_read;
            thread.hash = saved.hash;
            if let Some((var, value)) = saved.memory {
                self.memory[var] = value;
            }
            self.fingerprint = saved.fingerprint;
        }
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn state(&self, out: &mut Vec<u8>) {
        for value in &self.memory {
            out.extend_from_slice(&value.to_le_bytes());
        }
        for thread in &self.threads {
            out.extend_from_slice(&(thread.history.len() as u32).to_le_bytes());
            for value in &thread.history {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    fn record_footprints(&mut self, on: bool) {
        self.recording = on;
    }

    fn footprint(&self, out: &mut Footprint) {
        out.clone_from(&self.footprint);
    }

    fn ending(&self) -> Ending {
        let done = (0..self.threads.len()).all(|t| self.op(t).is_none());
        if done { Ending::Finished } else { Ending::Deadlock }
    }

    fn place(&self, agent: Agent) -> u32 {
        self.threads[agent as usize].pc as u32
    }

    fn waits_on(&self, agent: Agent, out: &mut Vec<u32>) -> bool {
        out.extend(self.op(agent as usize).and_then(Op::var).map(|v| v as u32));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_programs_load() {
        let programs = load(BUNDLED).unwrap();
        assert_eq!(programs.len(), 57);
        assert_eq!(programs[0].name, "SB");
    }

    #[test]
    fn a_variable_out_of_range_is_named() {
        let text = BUNDLED.replacen("\"vars\": 2", "\"vars\": 1", 1);
        let err = load(&text).unwrap_err().to_string();
        assert!(err.contains("program `SB`: thread 0, operation 1: variable 1 of 1"), "{err}");
    }

    #[test]
    fn an_unknown_operation_says_where() {
        let text = BUNDLED.replacen("\"op\": \"write\"", "\"op\": \"wrote\"", 1);
        let err = load(&text).unwrap_err().to_string();
        assert!(err.contains("[0].threads[0][0]") && err.contains("wrote"), "{err}");
    }
}
