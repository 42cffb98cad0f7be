//! What happens in a scenario, line by line in the language of sequences.

mod held;

use super::super::sequence::{At, Bytes, Fadvice, Gate, Madvice, Msync, Op, PAGE, Prot, SLOTS};
use super::Unsaid;
use super::backward::{Machine, is_child, sharing};
use super::order::{Event, Held};
use crate::kernel::world::plan::{self, Backing, Op as Do, PinCall, Plan, WHOLE};
use crate::kernel::world::{FilePage, Id, Slot, VPage};
use crate::scenario::Loaded;
use std::collections::BTreeSet;

/// An operation of a scenario: who makes it, and its number in his program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Made {
    thread: usize,
    at: u32,
    op: Do,
    background: bool,
    failed: bool,
}

/// Who holds a slot's pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holder {
    /// io_uring.
    Registered,
    /// A pipe.
    Pipe,
    /// A call that has stalled after it pinned, to write or to read.
    Stalled(bool),
}

pub struct Writer<'a> {
    loaded: &'a Loaded,
    machine: &'a Machine,
    lines: Vec<Op>,
    /// The mapping in each slot.
    slots: [Option<usize>; SLOTS],
    /// What was in them when the child came to be.
    child: [Option<usize>; SLOTS],
    /// Slots of the model that hold something, in the order in which they were filled.
    held: Vec<(Slot, Holder)>,
    /// Which threads run in the background.
    background: [Option<usize>; 2],
    values: BTreeSet<u32>,
    next: u32,
}

type Said = Result<Op, String>;

fn no<T>(why: &str) -> Result<T, String> {
    Err(why.to_string())
}

impl<'a> Writer<'a> {
    pub fn new(loaded: &'a Loaded, machine: &'a Machine) -> Writer<'a> {
        let mut writer = Writer {
            loaded,
            machine,
            lines: Vec::new(),
            slots: [None; SLOTS],
            child: [None; SLOTS],
            held: Vec::new(),
            background: [None; 2],
            values: BTreeSet::new(),
            next: 1,
        };
        if machine.newer {
            let pages = loaded.plan.files[machine.file].size.div_ceil(PAGE) as u32;
            for page in 0..pages {
                let value = writer.fresh();
                writer.push(Op::Write { page, value, direct: false });
            }
        }
        writer
    }

    fn plan(&self) -> &'a Plan {
        &self.loaded.plan
    }

    pub fn push(&mut self, op: Op) {
        self.lines.push(op);
    }

    /// The slot in which a mapping is; a child's copy is where its parent's was.
    pub fn slot(&self, vma: usize) -> Option<usize> {
        match self.plan().vmas[vma].copy_of {
            Some(of) => self.child.iter().position(|v| *v == Some(of.index())),
            None => self.slots.iter().position(|v| *v == Some(vma)),
        }
    }

    /// Whether a mapping is memory of the recorder's own: direct I/O goes through it and nothing
    /// else but a store that fills it.
    pub fn is_buffer(&self, vma: usize) -> bool {
        let plan = &self.plan().vmas[vma];
        plan.backing == Backing::Anon && plan.pages == 1 && plan.name.starts_with("buffer")
    }

    /// Maps a mapping into a slot: that of its name, if it is called after one.
    pub fn maps(&mut self, vma: usize) -> Result<(), Unsaid> {
        let plan = &self.plan().vmas[vma];
        let free = |slot: &usize| self.slots.get(*slot).is_some_and(Option::is_none);
        let named = plan.name.strip_prefix("map").or_else(|| plan.name.strip_prefix("mem"));
        let named = named.and_then(|rest| rest.split('-').next()?.parse().ok()).filter(free);
        let Some(slot) = named.or_else(|| (0..SLOTS).find(free)) else {
            let what = format!("mapping {}", plan.name);
            return Err(Unsaid::new(what, "a sequence has four mappings at once"));
        };
        self.slots[slot] = Some(vma);
        let (pages, write) = (plan.pages, plan.write);
        self.push(match plan.backing {
            Backing::Anon => Op::Anon { slot, pages, shared: plan.shared },
            Backing::File { first, .. } => {
                Op::Mmap { slot, how: sharing(plan), write, first, pages }
            }
        });
        Ok(())
    }

    /// All lines.
    ///
    /// # Errors
    /// The first operation that the language cannot say.
    pub fn all(mut self, events: &[Event]) -> Result<Vec<Op>, Unsaid> {
        let mut rest = events;
        while let Some((first, more)) = rest.split_first() {
            rest = match *first {
                Event::Begins { .. } => {
                    let made = self.together(rest);
                    let taken = self.line(&made).map_err(|why| self.unsaid(made[0], why))?;
                    &rest[taken..]
                }
                Event::Ends { thread } => {
                    self.waits(thread);
                    more
                }
                Event::Closes(Held::Writes) => self.gate(Gate::Close, more),
                Event::Opens(Held::Writes) => self.gate(Gate::Open, more),
                Event::Closes(Held::Reads) => self.gate(Gate::ReadClose, more),
                Event::Opens(Held::Reads) => self.gate(Gate::ReadOpen, more),
                Event::Closes(Held::Raw) => self.gate(Gate::RawClose, more),
                Event::Opens(Held::Raw) => self.gate(Gate::RawOpen, more),
                Event::Fails => self.gate(Gate::Eio, more),
                Event::Works => self.gate(Gate::Ok, more),
            };
        }
        Ok(self.lines)
    }

    fn gate<'e>(&mut self, gate: Gate, more: &'e [Event]) -> &'e [Event] {
        self.push(Op::Gate(gate));
        more
    }

    fn waits(&mut self, thread: usize) {
        for second in [false, true] {
            if self.background[usize::from(second)] == Some(thread) {
                self.background[usize::from(second)] = None;
                self.push(Op::BackgroundWait { second });
            }
        }
    }

    /// The operations that a thread makes one after the other, with nothing between them.
    fn together(&self, events: &[Event]) -> Vec<Made> {
        let made = |event: &Event| match *event {
            Event::Begins { thread, at, background, failed } => {
                let op = self.plan().threads[thread].program[at as usize];
                Some(Made { thread, at, op, background, failed })
            }
            _ => None,
        };
        let all: Vec<Made> = events.iter().map_while(made).collect();
        let first = all.first().map_or(0, |m| m.thread);
        all.into_iter().take_while(|m| m.thread == first).collect()
    }

    fn unsaid(&self, made: Made, why: String) -> Unsaid {
        let thread = &self.plan().threads[made.thread];
        let written = self.loaded.scenario.threads.get(&thread.name);
        let step = written.and_then(|t| t.program.get(made.at as usize));
        let step = step.and_then(|s| serde_json::to_string(s).ok()).unwrap_or_default();
        Unsaid::new(format!("thread {}, operation {} ({step})", thread.name, made.at + 1), why)
    }

    /// A line, of one operation or of several that belong together; gives their number.
    fn line(&mut self, made: &[Made]) -> Result<usize, String> {
        let (first, child) = (made[0], is_child(self.loaded, made[0].thread));
        let (taken, op) = match self.several(made, child)? {
            Some(several) => several,
            None => (1, self.one(first, child)?),
        };
        let Some(op) = op_or_nothing(op) else { return Ok(taken) };
        if !first.background {
            self.push(op);
            return Ok(taken);
        }
        let Some(free) = self.background.iter().position(Option::is_none) else {
            return no("a sequence runs two operations in the background at most");
        };
        if taken > 1 || child || matches!(op, Op::Fork | Op::Pin { .. } | Op::PinEnd { .. }) {
            return no("it goes on in the background, and the recorder cannot run it there");
        }
        self.background[free] = Some(first.thread);
        self.push(Op::Background { second: free == 1, op: Box::new(op) });
        Ok(taken)
    }

    /// Operations that one line stands for.
    fn several(&mut self, made: &[Made], child: bool) -> Result<Option<(usize, Op)>, String> {
        let ops: Vec<Do> = made.iter().map(|m| m.op).collect();
        let pages = u64::from(self.machine.pages);
        Ok(match ops[..] {
            [Do::Writeback { .. }, Do::DropCaches { .. }, ..] => {
                let bytes = Bytes { at: 0, len: pages * PAGE };
                Some((2, Op::Fadvise { bytes, advice: Fadvice::DontNeed }))
            }
            [Do::Store { at, part: WHOLE }, Do::DioWrite { to, from }, ..]
                if at == from && self.is_buffer(self.mapping(at).0) =>
            {
                let value = self.value(made[1]);
                let page = self.own(to)?;
                Some((2, Op::Write { page, value, direct: true }))
            }
            [
                Do::Pin { first, pages: 1, write: true, longterm: false, call, slot },
                Do::WritePinned { slot: into, page: 0 },
                Do::Unpin { slot: of, dirty: true, .. },
                ..,
            ] if slot == into && slot == of && !child => {
                let (at, value) = (self.at(first)?, self.value(made[1]));
                match call {
                    PinCall::PinRemote => Some((3, Op::WriteVm { at, value })),
                    PinCall::GetForce => Some((3, Op::WriteMem { at, value })),
                    _ => None,
                }
            }
            [Do::WritePinned { slot, page: 0 }, Do::Unpin { slot: of, dirty: true, .. }, ..]
                if slot == of && self.holds(slot) == Some(Holder::Stalled(true)) =>
            {
                self.released(slot);
                Some((2, Op::PinEnd { value: Some(self.value(made[0])) }))
            }
            [Do::ReadPinned { slot, page: 0 }, Do::Unpin { slot: of, dirty: false, .. }, ..]
                if slot == of && self.holds(slot) == Some(Holder::Stalled(false)) =>
            {
                self.released(slot);
                Some((2, Op::PinEnd { value: None }))
            }
            [Do::ReadPinned { slot, .. }, ..] if self.holds(slot) == Some(Holder::Pipe) => {
                Some((self.drained(&ops)?, Op::Drain))
            }
            [Do::Munmap { .. }, ..] if child && self.label(made[0]) == "exit" => {
                let all = ops.iter().take_while(|op| matches!(op, Do::Munmap { .. }));
                Some((all.count(), Op::ChildExit))
            }
            _ => None,
        })
    }

    // --- one operation ------------------------------------------------------------------------

    fn one(&mut self, made: Made, child: bool) -> Said {
        if child {
            return match made.op {
                Do::Load { at } => Ok(Op::Load { at: self.at(at)?, child }),
                Do::Store { at, part: WHOLE } => {
                    Ok(Op::Store { at: self.at(at)?, value: self.value(made), child })
                }
                Do::Munmap { vma } => match self.slot(vma.index()) {
                    Some(slot) => Ok(Op::ChildUnmap { slot }),
                    None => no("it had not been mapped when the child came to be"),
                },
                _ => no("a sequence's child reads, stores, unmaps and exits"),
            };
        }
        match made.op {
            Do::Load { at } => Ok(Op::Load { at: self.at(at)?, child }),
            Do::Store { at, part: WHOLE } => {
                Ok(Op::Store { at: self.at(at)?, value: self.value(made), child })
            }
            Do::Store { at, part: (from, to) } => {
                let At { slot, page } = self.at(at)?;
                let at = u64::from(page) * PAGE + u64::from(from);
                let bytes = Bytes { at, len: u64::from(to - from) };
                Ok(Op::StoreBytes { slot, bytes, value: self.value(made) })
            }
            Do::Mmap { vma } => self.mmap(vma.index()),
            Do::Munmap { vma } => {
                let slot = self.mapped(vma.index())?;
                self.slots[slot] = None;
                Ok(Op::Munmap { slot })
            }
            Do::Mprotect { vma, read, write } => {
                let slot = self.mapped(vma.index())?;
                match (read, write) {
                    (true, true) => Ok(Op::Mprotect { slot, prot: Prot::Rw }),
                    (true, false) => Ok(Op::Mprotect { slot, prot: Prot::Ro }),
                    (false, false) => Ok(Op::Mprotect { slot, prot: Prot::None }),
                    (false, true) => no("a sequence has no mapping that can only be written"),
                }
            }
            Do::Msync { vma, sync } => {
                let how = if sync { Msync::Sync } else { Msync::Async };
                Ok(Op::Msync { slot: self.mapped(vma.index())?, how })
            }
            Do::MsyncInvalidate { vma } => {
                Ok(Op::Msync { slot: self.mapped(vma.index())?, how: Msync::Invalidate })
            }
            Do::Mlock { first, pages, lock } => Ok(Op::Mlock { at: self.at(first)?, pages, lock }),
            Do::Madvise { first, pages, advice } => {
                Ok(Op::Madvise { at: self.at(first)?, pages, advice: advised(advice) })
            }
            Do::Fork { .. } => {
                self.child = self.slots;
                Ok(Op::Fork)
            }
            _ => self.on_file(made),
        }
    }

    fn mmap(&mut self, vma: usize) -> Said {
        let before = self.lines.len();
        self.maps(vma).map_err(|unsaid| unsaid.why)?;
        let op = self.lines.get(before).cloned();
        self.lines.truncate(before);
        op.ok_or_else(|| "a sequence cannot map it".to_string())
    }

    // --- names --------------------------------------------------------------------------------

    fn label(&self, made: Made) -> &'a str {
        let labels = &self.plan().threads[made.thread].labels;
        labels.get(made.at as usize).map_or("", String::as_str)
    }

    /// The value that an operation writes: that of its label, if it is called after one.
    fn value(&mut self, made: Made) -> u32 {
        let named = self.label(made).strip_prefix('v').and_then(|rest| rest.split('-').next());
        match named.and_then(|digits| digits.parse().ok()).filter(|&v: &u32| v < 100_000) {
            Some(value) => {
                self.values.insert(value);
                value
            }
            None => self.fresh(),
        }
    }

    fn fresh(&mut self) -> u32 {
        while !self.values.insert(self.next) {
            self.next += 1;
        }
        self.next
    }

    /// The mapping of a page, and the page in it.
    fn mapping(&self, page: VPage) -> (usize, u32) {
        let first = &self.loaded.tables.vpages;
        let vma = first.partition_point(|&f| f <= page.0).saturating_sub(1);
        (vma, page.0 - first.get(vma).copied().unwrap_or(0))
    }

    fn mapped(&self, vma: usize) -> Result<usize, String> {
        let unmapped = || "nothing is mapped there, and the recorder does not ask".to_string();
        self.slot(vma).ok_or_else(unmapped)
    }

    fn at(&self, page: VPage) -> Result<At, String> {
        let (vma, page) = self.mapping(page);
        if self.is_buffer(vma) {
            return no("the buffer of `dpread` and `dpwrite` serves nothing else; rename it");
        }
        Ok(At { slot: self.mapped(vma)?, page })
    }

    /// The file of a page, and the page in it.
    fn file(&self, page: FilePage) -> (usize, u32) {
        let first = &self.loaded.tables.file_pages;
        let file = first.partition_point(|&f| f <= page.0).saturating_sub(1);
        (file, page.0 - first.get(file).copied().unwrap_or(0))
    }

    fn own(&self, page: FilePage) -> Result<u32, String> {
        match self.file(page) {
            (file, page) if file == self.machine.file => Ok(page),
            _ => no("a sequence has one file"),
        }
    }

    fn is_raw(&self, file: usize) -> bool {
        self.plan().files[file].name == "raw"
    }
}

/// Stands for an operation of which nothing comes.
const NOTHING: Op = Op::Sleep { ms: 0 };

fn op_or_nothing(op: Op) -> Option<Op> {
    (op != NOTHING).then_some(op)
}

fn advised(advice: plan::Advice) -> Madvice {
    match advice {
        plan::Advice::DontNeed => Madvice::DontNeed,
        plan::Advice::PageOut => Madvice::PageOut,
        plan::Advice::Free => Madvice::Free,
        plan::Advice::Cold => Madvice::Cold,
        plan::Advice::Remove => Madvice::Remove,
        plan::Advice::PopulateRead => Madvice::PopulateRead,
        plan::Advice::PopulateWrite => Madvice::PopulateWrite,
    }
}
