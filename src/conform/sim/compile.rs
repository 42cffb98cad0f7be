//! From the operations of a sequence to programs of threads.
//!
//! What the recorder itself decides (a slot that is in use, a child that does not exist) is decided
//! here, in the same way; what the kernel decides is left to the model. Each line becomes some
//! operations of one thread, which the driver runs when it is that line's turn.

mod lines;

use super::super::sequence::{At, Bytes, Gate, Init, PAGE, SLOTS, Sequence};
use super::super::source::Lacks;
use super::machine::{self, *};
use super::values::{self, Values};
use crate::kernel::strategy::Strategy;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

/// Operations of a thread's program: from, how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// The thread.
    pub thread: usize,
    /// The first operation.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// How the result of a line follows from the results of its operations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// It is that of the first one.
    Plain,
    /// 0 if the first one succeeded.
    Zero,
    /// A load or store: x is what was read.
    Touch { at: VPage, store: bool },
    /// A read: x is what was read.
    Read,
    /// The pages that were to be pinned, all or none. Where io_uring refuses what it has got: how
    /// it gives it back.
    Register { pages: u32, refused: Option<Part> },
    /// Nothing to release: ENXIO.
    Unregister { slot: Slot },
    /// A device wrote to a registered page: as many bytes as a page has, if there is one.
    Dma,
    /// Pin, copy, release: as many bytes as a page has, if pinning succeeded.
    Copied,
    /// The same of /proc/self/mem, which fails with EIO.
    Mem,
    /// x is what arrived at the other file.
    Arrived,
    /// A page in the pipe.
    Spliced { slot: Slot },
    /// The pipe is read empty: slot and copy of each page that may be in it.
    Drained { pages: Vec<(Slot, u32)> },
}

/// What a line does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Doing {
    /// Nothing: the recorder fails it with this errno (empty: it succeeds).
    Known(&'static str),
    /// It runs these operations.
    Run(Part, Meaning),
    /// It begins a call that stalls when it has pinned.
    Pin { part: Part, write: bool, slot: Slot },
    /// It ends it.
    PinEnd { value: Option<u32> },
    /// The gate.
    Gate(Gate),
    /// Something in a thread of its own.
    Background { second: bool, part: Part, meaning: Meaning },
    /// Waits for that.
    Wait { second: bool },
    /// Sends it a signal, then waits for it.
    Signal { second: bool, part: Part },
}

/// What happens when the last line has been carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finale {
    /// The child exits, if there is one.
    pub child: Option<Part>,
    /// Everything is released and unmapped.
    pub release: Part,
    /// The pages are read.
    pub content: Part,
    /// fsync.
    pub fsync: Part,
    /// Eviction.
    pub evict: Part,
    /// The pages are read again.
    pub after: Part,
}

/// A mapping in a slot, as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The mapping.
    pub vma: Vma,
    /// Its first page.
    pub first: VPage,
    /// Its pages.
    pub pages: u32,
}

/// The slots of a process.
pub type Slots = [Option<Shown>; SLOTS];

/// A line with what can be seen after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stage {
    /// What it does.
    pub doing: Doing,
    /// The slots of the process after it.
    pub slots: Slots,
    /// Those of the child, if there is one.
    pub child: Option<Slots>,
    /// What the pipe holds after it, at most.
    pub pipe: Vec<(Slot, bool)>,
}

/// A sequence as programs.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The machine.
    pub plan: Plan,
    /// What is written by whom.
    pub values: Values,
    /// The initial state of the file.
    pub init: Part,
    /// The lines.
    pub stages: Vec<Stage>,
    /// The end.
    pub finale: Finale,
    /// The slot of the registered buffer.
    pub buffer: Slot,
}

struct Child {
    thread: usize,
    slots: Slots,
}

struct Compiler<'a> {
    sequence: &'a Sequence,
    fs: FsKind,
    strategy: Strategy,
    plan: Plan,
    values: Values,
    /// Values by thread and operation, until operations have numbers.
    written: Vec<((usize, u32), u32)>,
    slots: Slots,
    child: Option<Child>,
    pipe: Vec<(Slot, bool)>,
    ureg: Slot,
    /// The threads that ran in the background last.
    background: [Option<usize>; 2],
}

/// Compiles a sequence for a file system.
pub fn compile(sequence: &Sequence, fs: FsKind, strategy: Strategy) -> Result<Compiled, Lacks> {
    let (plan, sources) = machine::plan(sequence, fs);
    let mut c = Compiler {
        sequence,
        fs,
        strategy,
        plan,
        values: Values { sources, ..Values::default() },
        written: Vec::new(),
        slots: [None; SLOTS],
        child: None,
        pipe: Vec::new(),
        ureg: Slot(0),
        background: [None; 2],
    };
    c.thread("main", PROCESS);
    c.ureg = c.slot("ureg", super::super::sequence::PAGES);
    let init = c.init();
    let mut stages = Vec::with_capacity(sequence.lines.len());
    for (n, line) in sequence.lines.iter().enumerate() {
        let doing = c.line(&line.op).map_err(|what| Lacks { step: n + 1, what })?;
        let child = c.child.as_ref().map(|child| child.slots);
        stages.push(Stage { doing, slots: c.slots, child, pipe: c.pipe.clone() });
    }
    let finale = c.finale();
    let mut first = 2;
    for thread in &mut c.plan.threads {
        thread.first_op = OpId(first);
        first += thread.program.len() as u32;
    }
    for ((thread, at), value) in std::mem::take(&mut c.written) {
        let op = c.plan.threads[thread].first_op.plus(at);
        c.values.written.insert(op.0, value);
    }
    Ok(Compiled { plan: c.plan, values: c.values, init, stages, finale, buffer: c.ureg })
}

type Compile = Result<Doing, String>;

/// What is not in the model.
fn missing(what: &str) -> Compile {
    Err(what.to_string())
}

impl Compiler<'_> {
    // --- tables -------------------------------------------------------------------------------

    fn thread(&mut self, name: &str, mm: Mm) -> usize {
        self.plan.threads.push(ThreadPlan {
            name: name.to_string(),
            role: Role::User(mm),
            cpu: Cpu(0),
            program: Vec::new(),
            first_op: OpId(0),
            labels: Vec::new(),
            background: false,
        });
        self.plan.threads.len() - 1
    }

    fn slot(&mut self, name: &str, pages: u32) -> Slot {
        self.plan.slots.push(SlotPlan { name: name.to_string(), pages });
        Slot(self.plan.slots.len() as u32 - 1)
    }

    fn map(&mut self, vma: VmaPlan) -> Shown {
        let first = VPage(self.plan.vpages());
        let shown = Shown { vma: Vma(self.plan.vmas.len() as u32), first, pages: vma.pages };
        self.plan.vmas.push(vma);
        shown
    }

    /// Appends operations to a thread's program.
    fn ops(&mut self, thread: usize, ops: &[Op]) -> Part {
        let program = &mut self.plan.threads[thread].program;
        let first = program.len() as u32;
        program.extend_from_slice(ops);
        Part { thread, first, count: ops.len() as u32 }
    }

    /// The same; operation `nth` of them writes a value.
    fn writes(&mut self, thread: usize, ops: &[Op], nth: u32, value: u32) -> Part {
        let part = self.ops(thread, ops);
        self.written.push(((thread, part.first + nth), value));
        part
    }

    fn page(&self, file: File, index: u32) -> FilePage {
        let before = &self.plan.files[..file.index()];
        FilePage(before.iter().map(|f| f.capacity).sum::<u32>() + index)
    }

    /// A page of a slot; none: nothing is mapped there.
    fn at(&self, at: At) -> Result<Option<VPage>, String> {
        match self.slots[at.slot] {
            Some(shown) if at.page < shown.pages => Ok(Some(shown.first.plus(at.page))),
            Some(_) => Err("an access beyond the end of a mapping".to_string()),
            None => Ok(None),
        }
    }

    /// A private buffer of a thread, as `dpread` and `dpwrite` have one.
    fn buffer(&mut self) -> VPage {
        let plan = vma("buffer".to_string(), Backing::Anon, false, true, 1);
        self.map(VmaPlan { mapped: true, populate: Populate::Write, ..plan }).first
    }

    // --- the beginning and the end ------------------------------------------------------------

    /// The initial state of the file, as the recorder makes it.
    fn init(&mut self) -> Part {
        let sequence = self.sequence;
        let first = self.plan.threads[MAIN].program.len() as u32;
        if sequence.init != Init::Hole {
            for page in 0..sequence.pages {
                let end = sequence.size.saturating_sub(u64::from(page) * PAGE).min(PAGE);
                if end > 0 {
                    let op = Op::Write { at: self.page(FILE, page), part: (0, end as u16) };
                    self.writes(MAIN, &[op], 0, values::FIRST + page);
                }
            }
        }
        if matches!(sequence.init, Init::Clean | Init::Cold) {
            self.ops(MAIN, &[Op::Fsync { file: FILE, data_only: false }]);
        }
        if sequence.init == Init::Cold {
            self.ops(MAIN, &[Op::DropCaches { file: FILE }]);
        }
        let count = self.plan.threads[MAIN].program.len() as u32 - first;
        Part { thread: MAIN, first, count }
    }

    fn finale(&mut self) -> Finale {
        let child = self.child.take().map(|child| self.exit(&child));
        let mut release = vec![unpin(self.ureg, false)];
        release.extend(self.pipe.iter().map(|&(slot, _)| unpin(slot, false)));
        release.extend(self.slots.iter().flatten().map(|s| Op::Munmap { vma: s.vma }));
        let reads: Vec<Op> =
            (0..self.sequence.pages).map(|p| Op::Read { at: self.page(FILE, p) }).collect();
        Finale {
            child,
            release: self.ops(MAIN, &release),
            content: self.ops(MAIN, &reads),
            fsync: self.ops(MAIN, &[Op::Fsync { file: FILE, data_only: false }]),
            evict: self.ops(MAIN, &[Op::DropCaches { file: FILE }]),
            after: self.ops(MAIN, &reads),
        }
    }

    /// The child's address space goes, mapping by mapping (`exit_mmap`).
    fn exit(&mut self, child: &Child) -> Part {
        let unmaps: Vec<Op> =
            child.slots.iter().flatten().map(|s| Op::Munmap { vma: s.vma }).collect();
        self.ops(child.thread, &unmaps)
    }
}

fn unpin(slot: Slot, dirty: bool) -> Op {
    // Whoever wrote says so as the design has it.
    let how = (!dirty).then_some(Redirty::Plain);
    Op::Unpin { slot, dirty, how, context: Context::Process }
}

/// The page and the bytes of it; none if there is more than one page.
fn part_of(bytes: Bytes) -> Option<(u32, (u16, u16))> {
    let (page, from) = (bytes.at / PAGE, bytes.at % PAGE);
    let to = from + bytes.len;
    (to <= PAGE && bytes.len > 0).then_some((page as u32, (from as u16, to as u16)))
}
