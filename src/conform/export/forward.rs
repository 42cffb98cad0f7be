//! A sequence as a scenario.
//!
//! What one thread does after the other stays in this order by events; what runs in the background
//! is free to come at any time. Whatever the recorder itself refused (a slot in use, a child that
//! does not exist) happens to no kernel and is left out.

mod machine;

use super::super::compare::View;
use super::super::sequence::{PAGE, Rule, Sequence};
use super::super::sim::compile::{self, Compiled, Doing, Meaning, Part, Stage};
use super::super::sim::{self, Simulated};
use super::expect::{Asked, Recorded};
use super::names::Names;
use super::{Unsaid, shadow};
use crate::kernel::sim::Move;
use crate::kernel::strategy::Preset;
use crate::kernel::world::Id;
use crate::kernel::world::plan::{self, Op};
use crate::scenario::op::{Do, Step};
use crate::scenario::types::*;
use std::collections::{BTreeMap, BTreeSet};

/// What is exported, and as what.
#[derive(Clone, Copy, Debug)]
pub struct From<'a> {
    /// The sequence.
    pub sequence: &'a Sequence,
    /// Rules that it shows.
    pub rules: &'a [&'a Rule],
    /// Where it stands.
    pub source: &'a str,
    /// The file system on which it runs.
    pub fs: &'a str,
    /// The design.
    pub preset: &'a Preset,
    /// What all names begin with, but those of files and disks.
    pub prefix: &'a str,
    /// What a kernel did, of which the scenario expects that it is so; none if nobody recorded it.
    pub recorded: Option<Recorded<'a>>,
}

/// A sequence as a scenario that does the same as the sequence does, line by line.
///
/// # Errors
/// If the model lacks an operation, or a scenario cannot say it.
pub fn scenario(from: &From) -> Result<Scenario, Unsaid> {
    let (sequence, strategy) = (from.sequence, from.preset.strategy);
    let lacks = |lacks: super::super::source::Lacks| {
        Unsaid::new(step_words(sequence, lacks.step), format!("not in the model: {}", lacks.what))
    };
    let kind = sim::kind(from.fs)
        .ok_or_else(|| Unsaid::new(from.fs, "this is no file system of the recordings"))?;
    let compiled = compile::compile(sequence, kind, strategy).map_err(lacks)?;
    let made = sim::simulate(sequence, View::of(from.fs), strategy).map_err(lacks)?;
    let free = concurrent(&compiled, &made);
    let asked = Asked::of(from, &compiled, &made, free);
    let mut last = None;
    // The plainest that does the same: initial states instead of what makes them, and as few free
    // frames as a scenario has if it does not say how many.
    let plain = sequence.size == u64::from(sequence.pages) * PAGE;
    let tries = [(plain, None), (plain, Some(FRAMES)), (false, Some(FRAMES))];
    for (initial, frames) in tries {
        let writer = Writer::new(from, &compiled, &made, &asked, initial);
        let mut written = writer.write()?;
        written.scenario.spare_frames = frames;
        match shadow::play(&written, &compiled, &made) {
            Ok(schedule) => {
                if free.is_some() {
                    written.scenario.schedule = schedule.0;
                }
                written.scenario.expect = asked.expectations(&written);
                return Ok(written.scenario);
            }
            Err(unsaid) => last = Some(unsaid),
        }
    }
    let buffer = |v: &plan::VmaPlan| v.populate == plan::Populate::Write;
    if compiled.plan.mms.len() > 1 && compiled.plan.vmas.iter().any(buffer) {
        let why = "a scenario's child inherits the buffers of `dpread` and `dpwrite`";
        return Err(Unsaid::new(&*sequence.name, why));
    }
    Err(last.unwrap_or_else(|| Unsaid::new(&*sequence.name, "it does something else")))
}

/// Free frames where those that a scenario has by itself are too few.
const FRAMES: u32 = 96;

/// A step of a sequence in words.
pub fn step_words(sequence: &Sequence, step: usize) -> String {
    match step.checked_sub(1).and_then(|n| sequence.lines.get(n)) {
        Some(line) => format!("{}, line {step} (`{}`)", sequence.name, line.text),
        None => sequence.name.clone(),
    }
}

/// The first line from which on the program alone does not say in which order things happen: where
/// something is held, runs in the background, fails, or goes on after the line that began it.
fn concurrent(compiled: &Compiled, made: &Simulated) -> Option<usize> {
    let threads = compiled.plan.threads.len() as u32;
    let mut staged = compiled.stages.iter().zip(made.moves.iter().zip(&made.trace).skip(1));
    staged.position(|(stage, (moves, trace))| {
        let free = matches!(
            stage.doing,
            Doing::Gate(_) | Doing::Background { .. } | Doing::Wait { .. } | Doing::Signal { .. }
        );
        free || moves.last().is_some_and(|mv| mv.agent >= threads)
            || moves.iter().any(|mv| mv.outcome > 0)
            || reads_ahead(moves, trace, threads)
    })
}

/// Whether a fault reads beside its own page, for which it waits, others that it does not wait for.
fn reads_ahead(moves: &[Move], trace: &[(String, &str)], threads: u32) -> bool {
    let ahead = trace.iter().any(|(_, step)| *step == "page_cache_ra_unbounded");
    let disks: BTreeSet<u32> =
        moves.iter().map(|mv| mv.agent).filter(|&agent| agent >= threads).collect();
    ahead && disks.len() > 1
}

/// A scenario with what is known of where it comes from.
#[derive(Debug)]
pub struct Written<'a> {
    /// The scenario, without a schedule.
    pub scenario: Scenario,
    /// Its names.
    pub names: Names<'a>,
    /// Whether the file begins as the sequence's does, rather than becoming so.
    pub initial: bool,
    /// The values that labels stand for.
    pub values: Vec<(String, u32)>,
    /// Pages of the sequence's file.
    pub pages: u32,
    /// The labels of operations, by thread and number.
    pub labels: BTreeMap<(usize, u32), String>,
}

struct Writer<'a> {
    from: &'a From<'a>,
    compiled: &'a Compiled,
    made: &'a Simulated,
    names: Names<'a>,
    threads: Named<Thread>,
    /// How much of each thread's program has been written.
    done: Vec<u32>,
    /// Whose turn it is.
    turn: usize,
    /// Times that it has come to each thread.
    turns: Vec<u32>,
    values: Vec<(String, u32)>,
    labels: BTreeMap<(usize, u32), String>,
    /// What is asked of operations, which need labels for it.
    asked: &'a Asked,
    /// Slots that something may have been put into.
    filled: BTreeSet<u32>,
    initial: bool,
}

type Done = Result<(), Unsaid>;

impl<'a> Writer<'a> {
    fn new(
        from: &'a From<'a>,
        compiled: &'a Compiled,
        made: &'a Simulated,
        asked: &'a Asked,
        initial: bool,
    ) -> Writer<'a> {
        let threads = compiled.plan.threads.len();
        Writer {
            from,
            compiled,
            made,
            names: Names::of(compiled, from.prefix),
            threads: Named::new(),
            done: vec![0; threads],
            turn: 0,
            turns: vec![0; threads],
            values: Vec::new(),
            labels: BTreeMap::new(),
            asked,
            filled: BTreeSet::new(),
            initial,
        }
    }

    fn write(mut self) -> Result<Written<'a>, Unsaid> {
        let sequence = self.from.sequence;
        self.thread(0);
        match self.initial {
            true => self.done[0] = self.compiled.init.first + self.compiled.init.count,
            false => self.part(self.compiled.init)?,
        }
        for (n, stage) in self.compiled.stages.iter().enumerate() {
            let at = |unsaid: Unsaid| Unsaid { what: step_words(sequence, n + 1), ..unsaid };
            self.stage(n, stage).map_err(at)?;
        }
        let mut scenario = self.machine();
        scenario.threads = std::mem::take(&mut self.threads);
        scenario.threads.retain(|_, t| !t.program.is_empty());
        scenario.mappings.retain(|name, m| machine::is_used(name, m, &scenario.threads));
        let pages = sequence.pages;
        let Writer { names, initial, values, labels, .. } = self;
        Ok(Written { scenario, names, initial, values, pages, labels })
    }

    // --- programs -----------------------------------------------------------------------------

    fn thread(&mut self, t: usize) -> &mut Thread {
        let plan = &self.compiled.plan.threads[t];
        let (kind, mm) = match plan.role {
            plan::Role::User(mm) if mm.index() > 0 => {
                (ThreadKind::User, Some(self.names.mms[mm.index()].clone()))
            }
            plan::Role::Chance => (ThreadKind::Chance, None),
            _ => (ThreadKind::User, None),
        };
        let name = self.names.threads[t].clone();
        self.threads.entry(name).or_insert(Thread { kind, mm, ..Thread::default() })
    }

    fn push(&mut self, t: usize, label: String, op: Do) {
        self.thread(t).program.push(Step { label, op });
    }

    /// What a line does, if it does anything.
    fn stage(&mut self, n: usize, stage: &Stage) -> Done {
        let Some((_, seen)) = self.made.run.steps.get(n + 1) else {
            // It blocks for ever: the last thing that happens.
            return match &stage.doing {
                Doing::Run(part, _) if n + 1 == self.made.run.steps.len() => self.run(*part),
                _ => Ok(()),
            };
        };
        match &stage.doing {
            Doing::Known(_) | Doing::Gate(_) => Ok(()),
            // There is nothing to release, or to write to.
            Doing::Run(part, Meaning::Unregister { .. } | Meaning::Dma)
                if !self.filled.contains(&self.compiled.buffer.0) =>
            {
                self.done[part.thread] = part.first + part.count;
                Ok(())
            }
            Doing::Run(part, meaning) => {
                if let Meaning::Register { refused: Some(_), .. } = meaning {
                    let why = "io_uring refuses what it has been given, and lets it go";
                    return Err(Unsaid::new("ureg", why));
                }
                self.run(*part)
            }
            Doing::Pin { .. } if seen.err == "EBUSY" => Ok(()),
            Doing::Pin { part, .. } => self.run(Part { count: 1, ..*part }),
            Doing::PinEnd { .. } if seen.err == "ENXIO" => Ok(()),
            Doing::PinEnd { value } => self.pin_end(n, *value),
            Doing::Background { .. } if seen.err == "EBUSY" => Ok(()),
            Doing::Background { part, .. } => {
                let name = self.names.threads[part.thread].clone();
                self.push(self.turn, String::new(), Do::Post(name.clone()));
                self.push(part.thread, String::new(), Do::Wait(name));
                self.part(*part)
            }
            Doing::Wait { second } if seen.x != "blocked" && seen.err != "ENXIO" => {
                self.waited(n, *second)
            }
            Doing::Wait { .. } => Ok(()),
            Doing::Signal { second, part } => {
                self.run(*part)?;
                if seen.x == "blocked" { Ok(()) } else { self.waited(n, *second) }
            }
        }
    }

    /// The stalled call goes on: the last one that pinned in this direction.
    fn pin_end(&mut self, n: usize, value: Option<u32>) -> Done {
        let steps = &self.made.run.steps;
        let pinned = self.compiled.stages[..n].iter().zip(&steps[1..]).rev();
        let mut pinned = pinned.filter_map(|(stage, (_, seen))| match stage.doing {
            Doing::Pin { part, write, .. } if seen.err.is_empty() => Some((part, write)),
            _ => None,
        });
        let Some((part, _)) = pinned.find(|(_, write)| *write == value.is_some()) else {
            return Ok(());
        };
        self.take_turn(part.thread);
        let rest = Part { first: part.first + 1, count: part.count - 1, ..part };
        self.part_with(rest, value)
    }

    /// The operation in the background has ended, and somebody has waited for it.
    fn waited(&mut self, n: usize, second: bool) -> Done {
        let before = self.compiled.stages[..n].iter().rev();
        let mut begun = before.filter_map(|stage| match stage.doing {
            Doing::Background { second, part, .. } => Some((second, part)),
            _ => None,
        });
        let Some((_, part)) = begun.find(|(which, _)| *which == second) else { return Ok(()) };
        let event = format!("{}-done", self.names.threads[part.thread]);
        self.push(part.thread, String::new(), Do::Post(event.clone()));
        self.push(self.turn, String::new(), Do::Wait(event));
        Ok(())
    }

    /// A thread carries a part out when it is its turn.
    fn run(&mut self, part: Part) -> Done {
        if part.count == 0 {
            return Ok(());
        }
        self.take_turn(part.thread);
        self.part(part)
    }

    /// Passes the turn to a thread.
    fn take_turn(&mut self, to: usize) {
        if self.turn == to {
            return;
        }
        self.turns[to] += 1;
        let event = format!("{}-{}", self.names.threads[to], self.turns[to]);
        self.push(self.turn, String::new(), Do::Post(event.clone()));
        self.push(to, String::new(), Do::Wait(event));
        self.turn = to;
    }

    fn part(&mut self, part: Part) -> Done {
        self.part_with(part, None)
    }

    /// Writes a thread's operations up to the end of a part; `value`: what those write that do not
    /// know it themselves.
    fn part_with(&mut self, part: Part, value: Option<u32>) -> Done {
        let thread = &self.compiled.plan.threads[part.thread];
        // What prepares a part (the buffer of dpwrite is filled) stands before it.
        let first = self.done[part.thread].min(part.first);
        for at in first..part.first + part.count {
            let op = thread.program[at as usize];
            let id = thread.first_op.plus(at);
            let written = self.compiled.values.written.get(&id.0).copied();
            let writes = matches!(op, Op::WritePinned { .. });
            let label = match written.or(value.filter(|_| writes)) {
                Some(value) => {
                    let label = self.names.label(value);
                    self.values.push((label.clone(), value));
                    label
                }
                None if self.exits(part, at) => self.exit(),
                None => {
                    let word = self.asked.word((part.thread, at));
                    word.map_or_else(String::new, |word| self.names.word(word))
                }
            };
            if !label.is_empty() {
                self.labels.insert((part.thread, at), label.clone());
            }
            if let Op::Pin { slot, .. } | Op::Splice { slot, .. } = op {
                self.filled.insert(slot.0);
            }
            let op = self.names.op(op)?;
            self.push(part.thread, label, op);
        }
        self.done[part.thread] = part.first + part.count;
        Ok(())
    }

    /// Whether an operation is the first of those by which the child exits.
    fn exits(&self, part: Part, at: u32) -> bool {
        let child = self.compiled.plan.threads[part.thread].name == "child";
        let whole = |s: &Stage| {
            matches!(s.doing, Doing::Run(p, Meaning::Zero) if p == part) && s.child.is_none()
        };
        let exits = child && at == part.first && self.compiled.stages.iter().any(whole);
        let exit = self.exit();
        exits && !self.threads.values().flat_map(|t| &t.program).any(|s| s.label == exit)
    }

    /// The label of the operation by which the child exits.
    fn exit(&self) -> String {
        format!("{}exit", self.from.prefix)
    }
}
