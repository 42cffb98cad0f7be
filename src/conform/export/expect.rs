//! What a recording says, as what an exported scenario expects.
//!
//! Of each operation what it returned and read, and of the file what was seen after the last one,
//! as far as conditions can say it. None of it comes from the simulator, which says only from
//! where on the outcome depends on timing. What conditions have no word for is left out: pages of
//! private memory, page tables, faults, and what a device or a page was like on the way.

mod said;

use self::said::Scene;
use super::super::compare::{self, View};
use super::super::observation::{Mapped, Observation, Run};
use super::super::sequence::{Fadvice, Gate, Op, PAGE};
use super::super::sim::Simulated;
use super::super::sim::compile::{Compiled, Doing, Meaning, Part, Stage};
use super::forward::{From, Written};
use crate::kernel::actor::errno;
use crate::scenario::limits::CONDITION_BYTES;
use crate::scenario::types::Expect;

/// What a kernel did when a sequence ran on it.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// The recording.
    pub name: &'a str,
    /// The release of the kernel.
    pub kernel: &'a str,
    /// What was seen.
    pub run: &'a Run,
}

/// An operation of the compiled sequence: its thread, and its number there.
pub type At = (usize, u32);

/// What a recording says of an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    /// How it ended: 0 or the name of an errno.
    Errno(&'static str),
    /// It failed, in words that are the recorder's.
    Fails,
    /// What it returned.
    Returned(i64),
    /// It did not return as much as this.
    Less(i64),
    /// What it read.
    Saw(String),
    /// What it wrote, which nobody told it.
    Wrote(String),
}

#[derive(Clone, Debug)]
struct Of {
    line: usize,
    op: At,
    word: String,
    what: What,
}

/// What a recording says of a sequence.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    of: Vec<Of>,
    /// What was seen after the last line, if that does not depend on timing.
    after: Option<Observation>,
    /// A failing write may leave a page dirty or not.
    fails: bool,
    /// On which kernel.
    on: String,
    /// Lines before this one do the same in every interleaving; none: all do.
    settled: Option<usize>,
}

impl Asked {
    /// What the recording of a sequence says, if there is one. `free`: the line from which on the
    /// program alone does not say in which order things happen.
    pub fn of(from: &From, compiled: &Compiled, made: &Simulated, free: Option<usize>) -> Asked {
        let Some(Recorded { name, kernel, run }) = from.recorded else { return Asked::default() };
        let sequence = from.sequence;
        let stop = compare::stops_at(sequence, View::of(from.fs), run, &made.remarks);
        let last = stop.unwrap_or(run.steps.len().saturating_sub(1));
        let mut reader = Reader::default();
        for (n, stage) in compiled.stages.iter().enumerate().take(last) {
            let Some((_, seen)) = run.steps.get(n + 1) else { break };
            reader.line(n, &sequence.lines[n].op, stage, seen);
        }
        let whole = stop.is_none() && last == sequence.lines.len() && run.broken.is_none();
        let pending = reader.pending.iter().any(Option::is_some);
        let failed = made.moves.iter().flatten().any(|mv| mv.outcome > 0);
        let raced = made.other.is_some();
        let after = run.steps.last().filter(|_| whole && !pending);
        Asked {
            of: reader.of,
            after: after.map(|(_, seen)| seen.clone()),
            fails: sequence.lines.iter().any(|l| l.op == Op::Gate(Gate::Eio)),
            on: format!("Linux {kernel}, {} ({name})", from.fs),
            // Another transfer may fail as well, before the one that did; a worker may be faster.
            settled: free.filter(|_| !failed && !raced).or((failed || raced).then_some(0)),
        }
    }

    /// What an operation is called, if anything is asked of it.
    pub fn word(&self, op: At) -> Option<&str> {
        self.of.iter().find(|of| of.op == op).map(|of| of.word.as_str())
    }

    /// What a scenario is expected to do.
    pub fn expectations(&self, written: &Written) -> Vec<Expect> {
        let scene = Scene::of(written, &self.of);
        let tests = self.of.iter().filter_map(|of| Some((of.line, said::test(of, &scene)?)));
        let (settled, free): (Vec<_>, Vec<_>) =
            tests.partition(|(line, _)| self.settled.is_none_or(|n| *line < n));
        let texts = |tests: Vec<(usize, String)>| tests.into_iter().map(|t| t.1).collect();
        let (settled, mut free): (Vec<String>, Vec<String>) = (texts(settled), texts(free));
        let after = self.after.as_ref();
        let mut after = after.map_or_else(Vec::new, |seen| said::after(seen, self.fails, &scene));
        let on = &self.on;
        let mut list = forall(&settled, &format!("what operations returned and read on {on}"));
        if self.settled.is_none() {
            list.extend(forall(&after, &format!("what was seen after the last one on {on}")));
        } else {
            free.append(&mut after);
            let because = format!(
                "so it went on {on}; what runs in the background, or is held or fails there, may \
                 do so at another time"
            );
            list.extend(conjunctions(&free).into_iter().map(|c| Expect {
                exists: Some(c),
                because: because.clone(),
                ..Expect::default()
            }));
        }
        list
    }
}

fn forall(tests: &[String], because: &str) -> Vec<Expect> {
    let expect = |c| Expect { forall: Some(c), because: because.into(), ..Expect::default() };
    conjunctions(tests).into_iter().map(expect).collect()
}

/// All of some tests, in as few conditions as have room for them.
fn conjunctions(tests: &[String]) -> Vec<String> {
    const AND: &str = " && ";
    let mut all: Vec<String> = Vec::new();
    for test in tests {
        match all.last_mut() {
            Some(last) if last.len() + AND.len() + test.len() <= CONDITION_BYTES => {
                *last += AND;
                *last += test;
            }
            _ => all.push(test.clone()),
        }
    }
    all
}

/// What runs in the background, and of which a later row gives the result.
#[derive(Clone, Debug)]
struct Pending {
    op: Op,
    part: Part,
    meaning: Meaning,
}

/// Reads a recording line by line.
#[derive(Default)]
struct Reader {
    of: Vec<Of>,
    pending: [Option<Pending>; 2],
    /// process_vm_readv and process_vm_writev that have pinned.
    stalled: [Option<Part>; 2],
}

impl Reader {
    fn line(&mut self, line: usize, op: &Op, stage: &Stage, seen: &Observation) {
        match &stage.doing {
            Doing::Known(_) | Doing::Gate(_) => {}
            Doing::Run(part, meaning) => self.result(line, op, *part, meaning, seen),
            // The recorder has one of each kind, and says so itself.
            Doing::Pin { .. } | Doing::Background { .. } if seen.err == "EBUSY" => {}
            Doing::Pin { part, write, .. } => {
                self.result(line, op, *part, &Meaning::Plain, seen);
                if seen.err.is_empty() {
                    self.stalled[usize::from(*write)] = Some(*part);
                }
            }
            Doing::PinEnd { value } => {
                let stalled = self.stalled[usize::from(value.is_some())].take();
                if let Some(part) = stalled.filter(|_| value.is_none() && seen.err.is_empty()) {
                    let at = (part.thread, part.first + 1);
                    self.push(line, at, op, What::Saw(seen.x.clone()));
                }
            }
            Doing::Background { second, part, meaning } => {
                let op = match op {
                    Op::Background { op, .. } => op,
                    op => op,
                };
                let pending = Pending { op: op.clone(), part: *part, meaning: meaning.clone() };
                self.pending[usize::from(*second)] = Some(pending);
                self.wait(line, *second, seen);
            }
            Doing::Wait { second } | Doing::Signal { second, .. } => {
                self.wait(line, *second, seen);
            }
        }
    }

    /// The result of what ran in the background, if it has ended.
    fn wait(&mut self, line: usize, second: bool, seen: &Observation) {
        let ended = seen.x != "blocked";
        let of = &mut self.pending[usize::from(second)];
        if let Some(Pending { op, part, meaning }) = of.take_if(|_| ended) {
            self.result(line, &op, part, &meaning, seen);
        }
    }

    fn push(&mut self, line: usize, at: At, op: &Op, what: What) {
        let text = op.to_string();
        let word = match text.split(' ').next().unwrap_or_default() {
            // This is what contents are called.
            "zero" => "zero_range",
            word => word,
        };
        self.of.push(Of { line, op: at, word: word.to_string(), what });
    }

    /// What a row says of the operations of its line: what their results mean to the caller, read
    /// backwards.
    fn result(&mut self, line: usize, op: &Op, part: Part, meaning: &Meaning, seen: &Observation) {
        if part.count == 0 {
            return;
        }
        let first = (part.thread, part.first);
        let errno = errno_of(&seen.err);
        let ended = errno.map_or(What::Fails, What::Errno);
        let what = match meaning {
            // The recorder says that there is nothing to release; and how the child exits is
            // nobody's result.
            Meaning::Unregister { .. } if !seen.err.is_empty() => return,
            Meaning::Zero if !matches!(op, Op::Fadvise { advice: Fadvice::DontNeed, .. }) => return,
            // All of them or none.
            Meaning::Register { pages, .. } if *pages > 1 => match seen.err.is_empty() {
                true => What::Returned(i64::from(*pages)),
                false => What::Less(i64::from(*pages)),
            },
            Meaning::Dma | Meaning::Mem if !seen.err.is_empty() => What::Fails,
            Meaning::Read if seen.err.is_empty() => What::Returned(seen.ret),
            _ => ended,
        };
        if !matches!(meaning, Meaning::Drained { .. }) {
            self.push(line, first, op, what);
        }
        if !seen.err.is_empty() {
            return;
        }
        match meaning {
            Meaning::Touch { store: false, .. } => {
                let val = shown(op, seen).and_then(|page| page.val.clone());
                val.into_iter().for_each(|val| self.push(line, first, op, What::Saw(val)));
            }
            Meaning::Read if seen.ret == PAGE as i64 => {
                self.push(line, first, op, What::Saw(seen.x.clone()));
            }
            Meaning::Plain if matches!(op, Op::DirectSelf { .. }) => {
                let val = shown(op, seen).and_then(|page| page.val.clone());
                val.into_iter().for_each(|val| self.push(line, first, op, What::Wrote(val)));
            }
            Meaning::Drained { pages } if seen.x.split(',').count() == pages.len() => {
                for ((_, at), text) in pages.iter().zip(seen.x.split(',')) {
                    self.push(line, (part.thread, *at), op, What::Saw(text.to_string()));
                }
            }
            _ => {}
        }
    }
}

/// The page that a load has read, or a direct read filled, as it is seen afterwards.
fn shown<'a>(op: &Op, seen: &'a Observation) -> Option<&'a Mapped> {
    let (at, pages) = match op {
        Op::Load { at, child: true } => (at, &seen.child),
        Op::Load { at, .. } | Op::DirectSelf { at, .. } => (at, &seen.maps),
        _ => return None,
    };
    pages.iter().find(|page| (page.s as usize, page.p) == (at.slot, at.page))
}

/// The errno of a scenario's operation; none if it has another name there.
fn errno_of(err: &str) -> Option<&'static str> {
    match err {
        "" => Some("0"),
        "SIGBUS" | "SIGSEGV" => Some("EFAULT"),
        name => errno::NAMES.iter().copied().find(|known| *known == name),
    }
}
