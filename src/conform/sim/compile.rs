//! From the operations of a sequence to programs of threads.
//!
//! What the recorder itself decides (a slot that is in use, a child that does not exist) is decided
//! here, in the same way; what the kernel decides is left to the model. Each line becomes some
//! operations of one thread, which the driver runs when it is that line's turn.

use super::super::sequence::{
    At, Bytes, Fadvice, Falloc, Gate, Init, Madvice, Msync, Op as Line, PAGE, Prot, SLOTS,
    Sequence, Sharing,
};
use super::Unsupported;
use super::machine::{self, *};
use super::values::Values;
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
    /// The pages that were to be pinned, all or none.
    Register { pages: u32 },
    /// Nothing to release: ENXIO.
    Unregister { slot: Slot },
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
pub fn compile(sequence: &Sequence, fs: FsKind) -> Result<Compiled, Unsupported> {
    let (plan, sources) = machine::plan(sequence, fs);
    let mut c = Compiler {
        sequence,
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
        let doing = c.line(&line.op).map_err(|what| Unsupported { step: n + 1, what })?;
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
                    self.writes(MAIN, &[op], 0, 90 + page);
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

    // --- lines --------------------------------------------------------------------------------

    /// A line of the sequence.
    fn line(&mut self, op: &Line) -> Compile {
        match op {
            Line::Background { second, op } => {
                let name = if *second { "bg2" } else { "bg" };
                let thread = self.thread(name, PROCESS);
                self.background[usize::from(*second)] = Some(thread);
                match self.operation(op, thread)? {
                    Doing::Run(part, meaning) => {
                        Ok(Doing::Background { second: *second, part, meaning })
                    }
                    known @ Doing::Known(_) => Ok(known),
                    _ => missing("this in the background"),
                }
            }
            Line::BackgroundWait { second } => Ok(Doing::Wait { second: *second }),
            Line::BackgroundSignal { second } => {
                let Some(to) = self.background[usize::from(*second)] else {
                    return Ok(Doing::Known("ENXIO"));
                };
                let thread = self.thread("signal", PROCESS);
                self.plan.threads[thread].role = Role::Chance;
                let part = self.ops(thread, &[Op::Signal { to: Actor(to as u32) }]);
                Ok(Doing::Signal { second: *second, part })
            }
            Line::Gate(Gate::Wait | Gate::RawWait) => missing("gate wait"),
            Line::Gate(gate) => {
                if *gate == Gate::Eio {
                    self.plan.faults.io_errors = 1 << 20;
                }
                Ok(Doing::Gate(*gate))
            }
            Line::Sleep { .. } => Ok(Doing::Known("")),
            Line::Pin { at, write } => self.pin(*at, *write),
            Line::PinEnd { value } => Ok(Doing::PinEnd { value: *value }),
            Line::Fork => Ok(self.fork()),
            Line::Load { at, child: true } => self.child_touch(*at, None),
            Line::Store { at, value, child: true } => self.child_touch(*at, Some(*value)),
            Line::ChildUnmap { slot } => {
                let Some(child) = &mut self.child else { return Ok(Doing::Known("ESRCH")) };
                let thread = child.thread;
                match child.slots[*slot].take() {
                    Some(shown) => {
                        let part = self.ops(thread, &[Op::Munmap { vma: shown.vma }]);
                        Ok(Doing::Run(part, Meaning::Plain))
                    }
                    None => missing("cmunmap of nothing"),
                }
            }
            Line::ChildExit => match self.child.take() {
                Some(child) => Ok(Doing::Run(self.exit(&child), Meaning::Zero)),
                None => Ok(Doing::Known("ESRCH")),
            },
            op => self.operation(op, MAIN),
        }
    }

    /// An operation that any thread of the process may carry out.
    fn operation(&mut self, op: &Line, thread: usize) -> Compile {
        match op {
            Line::Mmap { .. } | Line::Anon { .. } | Line::Munmap { .. } | Line::Mprotect { .. } => {
                self.mapping(op, thread)
            }
            Line::Load { at, .. } => match self.at(*at)? {
                Some(at) => {
                    let part = self.ops(thread, &[Op::Load { at }]);
                    Ok(Doing::Run(part, Meaning::Touch { at, store: false }))
                }
                None => Ok(Doing::Known("ENXIO")),
            },
            Line::Store { at, value, .. } => self.store(thread, *at, WHOLE, *value),
            Line::StoreBytes { slot, bytes, value } => match part_of(*bytes) {
                Some((page, part)) => self.store(thread, At { slot: *slot, page }, part, *value),
                None => missing("wrb over more than one page"),
            },
            Line::Madvise { at, pages, advice } => self.madvise(thread, *at, *pages, *advice),
            Line::Mlock { at, pages, lock } => {
                let Some(first) = self.at(*at)? else { return Ok(Doing::Known("ENXIO")) };
                let (pages, lock) = (*pages, *lock);
                Ok(self.plain(thread, Op::Mlock { first, pages, lock }))
            }
            Line::Msync { slot, how } => match (self.slots[*slot], how) {
                (None, _) => Ok(Doing::Known("ENXIO")),
                (Some(shown), Msync::Invalidate) => {
                    Ok(self.plain(thread, Op::MsyncInvalidate { vma: shown.vma }))
                }
                (Some(shown), how) => {
                    let sync = *how == Msync::Sync;
                    Ok(self.plain(thread, Op::Msync { vma: shown.vma, sync }))
                }
            },
            Line::DirectIn { .. }
            | Line::DirectOut { .. }
            | Line::DirectSelf { .. }
            | Line::ReadRaw
            | Line::Register { .. }
            | Line::Dma { .. }
            | Line::Unregister
            | Line::WriteVm { .. }
            | Line::WriteMem { .. }
            | Line::Vmsplice { .. }
            | Line::Splice { .. }
            | Line::Drain => self.holder(op, thread),
            op => self.file(op, thread),
        }
    }

    fn plain(&mut self, thread: usize, op: Op) -> Doing {
        Doing::Run(self.ops(thread, &[op]), Meaning::Plain)
    }

    fn store(&mut self, thread: usize, at: At, part: (u16, u16), value: u32) -> Compile {
        let Some(at) = self.at(at)? else { return Ok(Doing::Known("ENXIO")) };
        let part = self.writes(thread, &[Op::Store { at, part }], 0, value);
        Ok(Doing::Run(part, Meaning::Touch { at, store: true }))
    }

    /// mmap, munmap, mprotect.
    fn mapping(&mut self, op: &Line, thread: usize) -> Compile {
        match *op {
            Line::Mmap { slot, .. } | Line::Anon { slot, .. } if self.slots[slot].is_some() => {
                Ok(Doing::Known("EBUSY"))
            }
            Line::Mmap { how: Sharing::Sync, .. } => match self.plan.files[FILE.index()].fs {
                // virtio-pmem cannot promise what MAP_SYNC promises.
                FsKind::Dax => Ok(Doing::Known("EOPNOTSUPP")),
                _ => missing("MAP_SYNC of a file that is not on pmem"),
            },
            Line::Mmap { slot, how, write, first, pages } => {
                let backing = Backing::File { file: FILE, first };
                let name = format!("map{}", self.plan.vmas.len());
                let shown = self.map(vma(name, backing, how == Sharing::Shared, write, pages));
                self.slots[slot] = Some(shown);
                Ok(self.plain(thread, Op::Mmap { vma: shown.vma }))
            }
            Line::Anon { shared: true, .. } => missing("anon shared"),
            Line::Anon { slot, pages, .. } => {
                let name = format!("anon{}", self.plan.vmas.len());
                let shown = self.map(vma(name, Backing::Anon, false, true, pages));
                self.slots[slot] = Some(shown);
                Ok(self.plain(thread, Op::Mmap { vma: shown.vma }))
            }
            Line::Munmap { slot } => match self.slots[slot].take() {
                Some(shown) => Ok(self.plain(thread, Op::Munmap { vma: shown.vma })),
                None => Ok(Doing::Known("ENXIO")),
            },
            Line::Mprotect { slot, prot } => match self.slots[slot] {
                Some(shown) => {
                    let (read, write) = (prot != Prot::None, prot == Prot::Rw);
                    Ok(self.plain(thread, Op::Mprotect { vma: shown.vma, read, write }))
                }
                None => Ok(Doing::Known("ENXIO")),
            },
            _ => missing("mapping"),
        }
    }

    fn madvise(&mut self, thread: usize, at: At, pages: u32, advice: Madvice) -> Compile {
        let Some(first) = self.at(at)? else { return Ok(Doing::Known("ENXIO")) };
        if self.slots[at.slot].is_some_and(|s| at.page + pages > s.pages) {
            return missing("madv beyond the end of a mapping");
        }
        let advice = match advice {
            Madvice::DontNeed => Advice::DontNeed,
            Madvice::PageOut => Advice::PageOut,
            Madvice::Free => Advice::Free,
            Madvice::PopulateRead => Advice::PopulateRead,
            Madvice::PopulateWrite => Advice::PopulateWrite,
            Madvice::Cold => Advice::Cold,
            Madvice::Remove => Advice::Remove,
            Madvice::Other(name) => return missing(&format!("madv {name}")),
        };
        Ok(self.plain(thread, Op::Madvise { first, pages, advice }))
    }

    /// System calls on the file.
    fn file(&mut self, op: &Line, thread: usize) -> Compile {
        let op = match *op {
            Line::Read { page, direct: false } => {
                let part = self.ops(thread, &[Op::Read { at: self.page(FILE, page) }]);
                return Ok(Doing::Run(part, Meaning::Read));
            }
            Line::Read { page, direct: true } => {
                let (from, into) = (self.page(FILE, page), self.buffer());
                let part = self.ops(thread, &[Op::DioRead { from, into }]);
                return Ok(Doing::Run(part, Meaning::Read));
            }
            Line::Write { page, value, direct: false } => {
                let op = Op::Write { at: self.page(FILE, page), part: WHOLE };
                return Ok(Doing::Run(self.writes(thread, &[op], 0, value), Meaning::Plain));
            }
            Line::Write { page, value, direct: true } => {
                let (to, from) = (self.page(FILE, page), self.buffer());
                // The buffer is filled, and the write itself gives the result.
                self.writes(thread, &[Op::Store { at: from, part: WHOLE }], 0, value);
                let part = self.writes(thread, &[Op::DioWrite { to, from }], 0, value);
                return Ok(Doing::Run(part, Meaning::Plain));
            }
            Line::WriteBytes { bytes, value } => {
                let Some((page, part)) = part_of(bytes) else {
                    return missing("pwriteb over more than one page");
                };
                let op = Op::Write { at: self.page(FILE, page), part };
                return Ok(Doing::Run(self.writes(thread, &[op], 0, value), Meaning::Plain));
            }
            Line::Truncate { size } => Op::Truncate { file: FILE, size },
            Line::Fallocate { mode: Falloc::Punch, bytes } => {
                Op::PunchBytes { file: FILE, at: bytes.at, len: bytes.len }
            }
            Line::Fallocate { mode: Falloc::Zero, bytes } => {
                if bytes.at % PAGE != 0 || bytes.len % PAGE != 0 {
                    return missing("zero of parts of pages");
                }
                let first = self.page(FILE, (bytes.at / PAGE) as u32);
                Op::ZeroRange { first, pages: (bytes.len / PAGE) as u32 }
            }
            Line::Fallocate { mode: Falloc::Plain, .. } => return missing("falloc"),
            Line::Fallocate { mode: Falloc::Collapse, .. } => return missing("collapse"),
            Line::Fsync { data_only } => Op::Fsync { file: FILE, data_only },
            Line::Sfr { before, write, after } => {
                let flags = SfrFlags { wait_before: before, write, wait_after: after };
                Op::SyncFileRange { file: FILE, flags }
            }
            Line::Fadvise { bytes, advice: Fadvice::DontNeed } => {
                let whole = bytes.at == 0 && bytes.len >= u64::from(self.sequence.pages) * PAGE;
                if !whole {
                    return missing("fadv of a part of the file");
                }
                let clean = Op::Writeback { file: FILE, mode: SyncMode::Cleaning };
                let part = self.ops(thread, &[clean, Op::DropCaches { file: FILE }]);
                return Ok(Doing::Run(part, Meaning::Zero));
            }
            Line::Fadvise { .. } => return missing("fadv WILLNEED or RANDOM"),
            Line::Seal(_) => return missing("seal"),
            _ => return missing("this operation"),
        };
        Ok(self.plain(thread, op))
    }

    // --- those who hold pages -----------------------------------------------------------------

    fn holder(&mut self, op: &Line, thread: usize) -> Compile {
        let enxio = Ok(Doing::Known("ENXIO"));
        match *op {
            Line::DirectIn { at, value, raw } => {
                let Some(into) = self.at(at)? else { return enxio };
                let (file, table) = match raw {
                    true => (RAW, &self.values.sources.raw),
                    false => (SOURCE, &self.values.sources.file),
                };
                let index = table.iter().position(|&v| v == value).unwrap_or(0) as u32;
                let from = self.page(file, index);
                let part = self.writes(thread, &[Op::DioRead { from, into }], 0, value);
                Ok(Doing::Run(part, Meaning::Plain))
            }
            Line::DirectOut { at, raw } => {
                let Some(from) = self.at(at)? else { return enxio };
                let to = match raw {
                    true => self.page(RAW, self.values.sources.raw.len() as u32),
                    false => self.page(TARGET, 0),
                };
                let part = self.ops(thread, &[Op::DioWrite { to, from }]);
                let meaning = if raw { Meaning::Plain } else { Meaning::Arrived };
                Ok(Doing::Run(part, meaning))
            }
            Line::DirectSelf { at, page } => {
                let Some(into) = self.at(at)? else { return enxio };
                Ok(self.plain(thread, Op::DioRead { from: self.page(FILE, page), into }))
            }
            Line::ReadRaw => missing("gdst"),
            Line::Register { at, pages } => {
                let Some(first) = self.at(at)? else { return enxio };
                let (call, slot) = (PinCall::PinFast, self.ureg);
                let op = Op::Pin { first, pages, write: true, longterm: true, call, slot };
                Ok(Doing::Run(self.ops(thread, &[op]), Meaning::Register { pages }))
            }
            Line::Dma { page, value } => {
                let op = Op::CopyIn { slot: self.ureg, page };
                Ok(Doing::Run(self.writes(thread, &[op], 0, value), Meaning::Plain))
            }
            Line::Unregister => {
                let slot = self.ureg;
                let part = self.ops(thread, &[unpin(slot, false)]);
                Ok(Doing::Run(part, Meaning::Unregister { slot }))
            }
            Line::WriteVm { at, value } => {
                let Some(first) = self.at(at)? else { return enxio };
                let ops = self.copy_through(first, PinCall::PinRemote, true);
                Ok(Doing::Run(self.writes(thread, &ops, 1, value), Meaning::Copied))
            }
            Line::WriteMem { at, value } => {
                let Some(first) = self.at(at)? else { return enxio };
                let ops = self.copy_through(first, PinCall::GetForce, true);
                Ok(Doing::Run(self.writes(thread, &ops, 1, value), Meaning::Mem))
            }
            Line::Vmsplice { at } => {
                let Some(first) = self.at(at)? else { return enxio };
                let slot = self.slot("pipe", 1);
                let call = PinCall::GetFast;
                let op = Op::Pin { first, pages: 1, write: false, longterm: false, call, slot };
                self.pipe.push((slot, false));
                Ok(Doing::Run(self.ops(thread, &[op]), Meaning::Spliced { slot }))
            }
            Line::Splice { page } => {
                let slot = self.slot("pipe", 1);
                self.pipe.push((slot, true));
                let op = Op::Splice { from: self.page(FILE, page), slot };
                Ok(self.plain(thread, op))
            }
            Line::Drain => Ok(self.drain(thread)),
            _ => missing("this operation"),
        }
    }

    /// Reads the pipe empty: page by page, each is copied and let go.
    fn drain(&mut self, thread: usize) -> Doing {
        let (mut pages, mut ops) = (Vec::new(), Vec::new());
        let first = self.plan.threads[thread].program.len() as u32;
        for (slot, _) in std::mem::take(&mut self.pipe) {
            pages.push((slot, first + ops.len() as u32));
            ops.extend([Op::CopyOut { slot, page: 0 }, unpin(slot, false)]);
        }
        if ops.is_empty() {
            return Doing::Known("ENXIO");
        }
        Doing::Run(self.ops(thread, &ops), Meaning::Drained { pages })
    }

    /// Pin, copy, release, as process_vm_readv and process_vm_writev do.
    fn copy_through(&mut self, first: VPage, call: PinCall, write: bool) -> [Op; 3] {
        let slot = self.slot("remote", 1);
        let copy = match write {
            true => Op::CopyIn { slot, page: 0 },
            false => Op::CopyOut { slot, page: 0 },
        };
        [Op::Pin { first, pages: 1, write, longterm: false, call, slot }, copy, unpin(slot, write)]
    }

    fn pin(&mut self, at: At, write: bool) -> Compile {
        let Some(first) = self.at(at)? else { return Ok(Doing::Known("ENXIO")) };
        let thread = self.thread(if write { "pinw" } else { "pinr" }, PROCESS);
        let ops = self.copy_through(first, PinCall::PinRemote, write);
        let part = self.ops(thread, &ops);
        let slot = Slot(self.plan.slots.len() as u32 - 1);
        Ok(Doing::Pin { part, write, slot })
    }

    // --- the child ----------------------------------------------------------------------------

    fn fork(&mut self) -> Doing {
        if self.child.is_some() {
            return Doing::Known("EBUSY");
        }
        let mm = Mm(self.plan.mms.len() as u32);
        self.plan.mms.push(MmPlan { name: "child".into(), child_of: Some(PROCESS) });
        let thread = self.thread("child", mm);
        let mut slots = [None; SLOTS];
        for (slot, shown) in self.slots.into_iter().enumerate() {
            let Some(shown) = shown else { continue };
            let parent = self.plan.vmas[shown.vma.index()].clone();
            let name = format!("child:{}", parent.name);
            let copy = VmaPlan { name, mm, copy_of: Some(shown.vma), mapped: false, ..parent };
            slots[slot] = Some(self.map(copy));
        }
        self.child = Some(Child { thread, slots });
        self.plain(MAIN, Op::Fork { child: mm })
    }

    fn child_touch(&mut self, at: At, value: Option<u32>) -> Compile {
        let Some(child) = &self.child else { return Ok(Doing::Known("ESRCH")) };
        let thread = child.thread;
        let Some(shown) = child.slots[at.slot] else { return Ok(Doing::Known("SIGSEGV")) };
        if at.page >= shown.pages {
            return missing("an access beyond the end of a mapping");
        }
        let at = shown.first.plus(at.page);
        let part = match value {
            Some(value) => self.writes(thread, &[Op::Store { at, part: WHOLE }], 0, value),
            None => self.ops(thread, &[Op::Load { at }]),
        };
        Ok(Doing::Run(part, Meaning::Touch { at, store: value.is_some() }))
    }
}

fn unpin(slot: Slot, dirty: bool) -> Op {
    let how = if dirty { Redirty::SetDirtyLock } else { Redirty::Plain };
    Op::Unpin { slot, dirty, how: Some(how), context: Context::Process }
}

/// The page and the bytes of it; none if there is more than one page.
fn part_of(bytes: Bytes) -> Option<(u32, (u16, u16))> {
    let (page, from) = (bytes.at / PAGE, bytes.at % PAGE);
    let to = from + bytes.len;
    (to <= PAGE && bytes.len > 0).then_some((page as u32, (from as u16, to as u16)))
}
