//! Programs: from the operations as written to the operations of the plan.

use super::Tables;
use super::access::{self, Cached, Mapped};
use super::ledger::{Ledger, Spot};
use super::report::Report;
use crate::kernel::world::ids::{File, Mm, OpId, Vma};
use crate::kernel::world::plan::{Op, Plan, Role};
use crate::scenario::limits;
use crate::scenario::op::{self, Do, Step};
use crate::scenario::path::At;
use crate::scenario::problem::Problem;
use crate::scenario::types;

/// Whose program it is.
#[derive(Clone, Copy, Debug)]
pub struct Where {
    /// Number of the thread.
    pub thread: u32,
    /// What the thread is.
    pub role: Role,
    /// Number of the template's instance.
    pub i: Option<u32>,
}

/// A program under construction.
pub struct Program<'c, 'r> {
    pub(super) place: Where,
    pub(super) first_op: OpId,
    pub(super) plan: &'c mut Plan,
    pub(super) tables: &'c mut Tables,
    pub(super) ledger: &'c mut Ledger,
    pub(super) report: &'c mut Report<'r>,
    pub(super) ops: Vec<Op>,
    pub(super) labels: Vec<String>,
    /// How often the operation under construction runs; 0 if for ever.
    pub(super) rounds: u64,
    pub(super) nesting: usize,
    pub(super) background: bool,
}

impl<'c, 'r> Program<'c, 'r> {
    /// An empty program.
    pub fn new(
        place: Where,
        first_op: OpId,
        plan: &'c mut Plan,
        tables: &'c mut Tables,
        ledger: &'c mut Ledger,
        report: &'c mut Report<'r>,
    ) -> Program<'c, 'r> {
        Program {
            place,
            first_op,
            plan,
            tables,
            ledger,
            report,
            ops: Vec::new(),
            labels: Vec::new(),
            rounds: 1,
            nesting: 0,
            background: false,
        }
    }

    /// The operations and their labels.
    pub fn finish(self) -> (Vec<Op>, Vec<String>) {
        (self.ops, self.labels)
    }

    /// A thread's whole program. (A thread of a forked address space begins with the fork; the
    /// model sees to that.)
    pub fn whole(&mut self, thread: &types::Thread, at: &At) {
        self.background = thread.background || thread.kind == types::ThreadKind::Chance;
        self.steps(&thread.program, at);
        if self.ops.len() > limits::OPS_PER_PROGRAM {
            let most = limits::OPS_PER_PROGRAM;
            let problem = Problem::general(format!("{} operations are too many", self.ops.len()));
            self.report
                .value(at, problem.help(format!("at most {most} in one program; use repeat")));
        }
    }

    fn push(&mut self, op: Op, label: String) {
        self.ops.push(op);
        self.labels.push(label);
    }

    pub(super) fn spot(&self, at: &At) -> Spot {
        Spot { thread: self.place.thread, op: self.ops.len(), path: at.path() }
    }

    fn steps(&mut self, steps: &[Step], at: &At) {
        for (n, step) in steps.iter().enumerate() {
            if self.report.stops(None) || self.ops.len() > limits::OPS_PER_PROGRAM {
                return;
            }
            self.step(step, &at.index(n));
        }
    }

    fn step(&mut self, step: &Step, at: &At) {
        let label = self.label(step, at);
        let here = at.key(step.op.key());
        if let Err(problem) = super::roles::may(&step.op, self.place.role) {
            return self.report.name(&here, problem);
        }
        if let Do::Repeat(repeat) = &step.op {
            return self.repeat(repeat, &here);
        }
        if let Some(op) = self.op(&step.op, &here) {
            self.push(op, label);
        }
    }

    /// Declares the label of a step.
    fn label(&mut self, step: &Step, at: &At) -> String {
        if step.label.is_empty() {
            return String::new();
        }
        let op = OpId(self.first_op.0 + self.ops.len() as u32);
        let at = at.key("label");
        if matches!(step.op, Do::Repeat(_)) {
            let problem = Problem::general("a label beside a repeat");
            self.report.value(&at, problem.help("put it beside an operation inside"));
        }
        let declared = self.tables.labels.declare(&step.label, self.place.i, op);
        self.report.ok(&at, declared).unwrap_or_default()
    }

    fn repeat(&mut self, repeat: &op::Repeat, at: &At) {
        let times = repeat.times.unwrap_or(0);
        let wrong = if self.nesting >= limits::REPEAT_NESTING {
            Some(("repeats nested too deep", "at most 2 may be nested; write operations out"))
        } else if repeat.body.is_empty() {
            Some(("a repeat of nothing", "give it operations: \"do\": [...]"))
        } else if repeat.times == Some(0) || times > limits::REPEAT_TIMES {
            Some(("so many rounds are not possible", "1 to 1000000, or none for ever"))
        } else if times == 0 && !self.background {
            Some((
                "this thread never ends, so no run would",
                "give `times`, or say \"background\": true of the thread",
            ))
        } else {
            None
        };
        if let Some((what, help)) = wrong {
            return self.report.value(at, Problem::general(what).help(help));
        }
        let to = self.ops.len();
        let outer = self.rounds;
        self.rounds = outer.saturating_mul(u64::from(times));
        self.nesting += 1;
        self.steps(&repeat.body, &at.key("do"));
        self.nesting -= 1;
        self.rounds = outer;
        // More operations than fit are reported where the program ends.
        if let Ok(to) = u16::try_from(to) {
            self.push(Op::Repeat { to, times }, String::new());
        }
    }

    fn op(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Load(_) | Do::Store(_) | Do::DioRead(_) | Do::DioWrite(_) => self.access(op, at),
            Do::Msync(_) | Do::MsyncAsync(_) | Do::Mmap(_) | Do::Munmap(_) => self.mapping(op, at),
            Do::MsyncInvalidate(_) => self.mapping(op, at),
            Do::Mlock(_) | Do::Munlock(_) => self.locking(op, at),
            Do::Splice(_) => self.holding(op, at),
            Do::Mremap(_) | Do::Mprotect(_) | Do::Madvise(_) | Do::Fork(_) => self.space(op, at),
            Do::Pin(_) | Do::Unpin(_) => self.pinning(op, at),
            Do::Hoard(hoard) => self.hoard(hoard, at),
            Do::WritePinned(slot) | Do::ReadPinned(slot) => self.pinned_page(op, slot, at),
            Do::Register(_) | Do::Deregister(_) => self.registration(op, at),
            Do::DmaWrite(_) | Do::DmaRead(_) | Do::DmaWait(_) => self.transfer(op, at),
            Do::TakeFrame(_) | Do::TakeBlock(_) | Do::Verify(_) => self.neighbour(op, at),
            Do::Crash(_) | Do::Signal(_) | Do::LeaseTimeout(_) => self.outside(op, at),
            Do::Post(_) | Do::Wait(_) | Do::Sleep(_) => self.order(op, at),
            Do::Write(_) | Do::Read(_) | Do::Truncate(_) | Do::Punch(_) | Do::Reflink(_) => {
                self.contents(op, at)
            }
            Do::ZeroRange(_) | Do::CollapseRange(_) | Do::AddSeal(_) => self.contents(op, at),
            _ => self.file(op, at),
        }
    }

    pub(super) fn mm(&self) -> Mm {
        match self.place.role {
            Role::User(mm) => mm,
            // The roles' table lets only user threads come here.
            _ => super::mappings::first_mm(self.plan),
        }
    }

    pub(super) fn mapped(&mut self, text: &str, at: &At) -> Option<Mapped> {
        let found = access::mapped(text, self.place.i, self.mm(), self.plan, self.tables);
        let mapped = self.report.ok(at, found)?;
        self.touch(mapped.vma, at);
        Some(mapped)
    }

    pub(super) fn touch(&mut self, vma: Vma, at: &At) {
        let spot = || Spot { thread: self.place.thread, op: self.ops.len(), path: at.path() };
        self.ledger.touches(vma, spot);
    }

    /// One mapped page, of which a part may be meant.
    pub(super) fn mapped_page(&mut self, text: &str, at: &At) -> Option<Mapped> {
        let mapped = self.mapped(text, at)?;
        self.report.ok(at, access::single(mapped.pages))?;
        Some(mapped)
    }

    pub(super) fn cached(&mut self, text: &str, at: &At) -> Option<Cached> {
        let found = access::cached(text, self.place.i, self.plan, self.tables);
        self.report.ok(at, found)
    }

    pub(super) fn cached_page(&mut self, text: &str, at: &At) -> Option<Cached> {
        let cached = self.cached(text, at)?;
        self.report.ok(at, access::single(cached.pages))?;
        Some(cached)
    }

    pub(super) fn whole_page(&mut self, text: &str, at: &At) -> Option<Cached> {
        let cached = self.cached_page(text, at)?;
        self.report.ok(at, access::whole(cached.part))?;
        Some(cached)
    }

    pub(super) fn file_named(&mut self, name: &str, at: &At) -> Option<File> {
        let found = self.tables.files.find(name, self.place.i).map_err(|problem| {
            match self.tables.mappings.contains_key(name) {
                true => problem.help(format!("`{name}` is a mapping; this needs a file")),
                false => problem,
            }
        });
        self.report.ok(at, found)
    }
}
