//! The names that a sequence's machine has in a scenario: its mappings by their slots, what is
//! written by its value.

use super::super::sim::compile::Compiled;
use super::Unsaid;
use crate::kernel::world::plan::{Backing, Op, PAGE_SIZE, Part, Plan, WHOLE};
use crate::kernel::world::{File, FilePage, Id, Slot, VPage, Vma};
use crate::scenario::op::{self, Do, Place};
use std::collections::{BTreeMap, BTreeSet};

/// The files of a sequence's machine, in its order.
pub const FILES: [&str; 4] = ["data", "source", "raw", "target"];

/// Names of everything that a program may speak of.
#[derive(Debug)]
pub struct Names<'a> {
    plan: &'a Plan,
    /// Names of mappings; a child's copies have those of what they are copies of.
    pub vmas: Vec<String>,
    /// Names of slots that hold pages.
    pub slots: Vec<String>,
    /// Names of address spaces.
    pub mms: Vec<String>,
    /// Names of threads.
    pub threads: Vec<String>,
    labels: BTreeSet<String>,
    prefix: String,
}

/// A name of its own for each: the second of a kind ends with `-2`.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    names
        .map(|name| {
            let nth = seen.entry(name).or_default();
            *nth += 1;
            if *nth == 1 { name.to_string() } else { format!("{name}-{nth}") }
        })
        .collect()
}

impl<'a> Names<'a> {
    /// Those of a compiled sequence, each beginning with `prefix`.
    pub fn of(compiled: &'a Compiled, prefix: &str) -> Names<'a> {
        let plan = &compiled.plan;
        // A mapping is called after the slot of the sequence in which it is.
        let mut bases: Vec<String> = plan.vmas.iter().map(|_| format!("{prefix}buffer")).collect();
        for stage in &compiled.stages {
            for (slot, shown) in stage.slots.iter().enumerate() {
                let Some(vma) = shown.map(|s| s.vma) else { continue };
                let anon = plan.vmas[vma.index()].backing == Backing::Anon;
                let kind = if anon { "mem" } else { "map" };
                bases[vma.index()] = format!("{prefix}{kind}{slot}");
            }
        }
        let own = plan.vmas.iter().zip(&bases).filter(|(v, _)| v.copy_of.is_none());
        let mut own = distinct(own.map(|(_, base)| base.as_str())).into_iter();
        let mut vmas: Vec<String> = Vec::with_capacity(plan.vmas.len());
        for vma in &plan.vmas {
            // Originals come before their copies.
            let name = vma.copy_of.and_then(|of| vmas.get(of.index()).cloned());
            vmas.push(name.or_else(|| own.next()).unwrap_or_default());
        }
        let of_threads = plan.threads.iter().map(|t| match t.name.as_str() {
            "bg" | "bg2" => "background",
            "pinw" => "writev",
            "pinr" => "readv",
            name => name,
        });
        let of_slots = plan.slots.iter().map(|s| match s.name.as_str() {
            "ureg" => "buffer",
            "remote" => "iov",
            name => name,
        });
        let of_mms = plan.mms.iter().map(|mm| if mm.child_of.is_some() { "child" } else { "P" });
        let prefixed = |names: Vec<String>| -> Vec<String> {
            names.into_iter().map(|name| format!("{prefix}{name}")).collect()
        };
        let mut mms = prefixed(distinct(of_mms));
        // The process itself is the only one that is there from the start.
        mms[0] = "P".to_string();
        Names {
            plan,
            vmas,
            slots: prefixed(distinct(of_slots)),
            mms,
            threads: prefixed(distinct(of_threads)),
            labels: BTreeSet::new(),
            prefix: prefix.to_string(),
        }
    }

    /// A label for whoever writes a value: the second one ends with `-2`.
    pub fn label(&mut self, value: u32) -> String {
        self.word(&format!("v{value}"))
    }

    /// A label that begins with a word.
    pub fn word(&mut self, word: &str) -> String {
        let first = format!("{}{word}", self.prefix);
        let nth = |n: u32| if n == 1 { first.clone() } else { format!("{first}-{n}") };
        let free = (1..).map(nth).find(|name| !self.labels.contains(name)).unwrap_or_default();
        self.labels.insert(free.clone());
        free
    }

    /// The mapping of a page, and the page in it.
    fn mapped(&self, page: VPage) -> (Vma, u32) {
        let mut first = 0;
        for (n, vma) in self.plan.vmas.iter().enumerate() {
            if page.0 < first + vma.pages {
                return (Vma(n as u32), page.0 - first);
            }
            first += vma.pages;
        }
        (Vma(0), 0)
    }

    /// Pages of a mapping.
    fn at(&self, first: VPage, pages: u32, part: Part) -> Place {
        let (vma, page) = self.mapped(first);
        let whole = self.plan.vmas[vma.index()].pages;
        range(&self.vmas[vma.index()], page, pages, part, whole)
    }

    /// Pages of a file.
    fn cached(&self, first: FilePage, pages: u32, part: Part) -> Place {
        let mut before = 0;
        for (n, file) in self.plan.files.iter().enumerate() {
            if first.0 < before + file.capacity {
                return range(FILES[n], first.0 - before, pages, part, u32::MAX);
            }
            before += file.capacity;
        }
        Place::new()
    }

    fn slot(&self, slot: Slot) -> Option<String> {
        Some(self.slots[slot.index()].clone())
    }

    fn file(&self, file: File) -> String {
        FILES[file.index()].to_string()
    }

    /// An operation in the words of a scenario.
    ///
    /// # Errors
    /// If a scenario cannot say it.
    pub fn op(&self, op: Op) -> Result<Do, Unsaid> {
        let one = |at| self.at(at, 1, WHOLE);
        let page = |at| self.cached(at, 1, WHOLE);
        let vma = |vma: Vma| self.vmas[vma.index()].clone();
        Ok(match op {
            Op::Load { at } => Do::Load(one(at)),
            Op::Store { at, part } => Do::Store(self.at(at, 1, part)),
            Op::Read { at } => Do::Read(page(at)),
            Op::Write { at, part } => Do::Write(self.cached(at, 1, part)),
            Op::DioRead { from, into } => {
                Do::DioRead(op::DioRead { from: page(from), into: one(into) })
            }
            Op::DioWrite { to, from } => {
                Do::DioWrite(op::DioWrite { from: one(from), to: page(to) })
            }
            Op::Mmap { vma: v } => Do::Mmap(vma(v)),
            Op::Munmap { vma: v } => Do::Munmap(vma(v)),
            Op::Msync { vma: v, sync: true } => Do::Msync(vma(v)),
            Op::Msync { vma: v, sync: false } => Do::MsyncAsync(vma(v)),
            Op::MsyncInvalidate { vma: v } => Do::MsyncInvalidate(vma(v)),
            Op::Mprotect { vma: v, read, write } => {
                Do::Mprotect(op::Mprotect { mapping: vma(v), read, write })
            }
            Op::Mlock { first, pages, lock } => {
                let at = self.at(first, pages, WHOLE);
                if lock { Do::Mlock(at) } else { Do::Munlock(at) }
            }
            Op::Madvise { first, pages, advice } => {
                let at = self.at(first, pages, WHOLE);
                Do::Madvise(op::Madvise { at, advice: words::advice(advice) })
            }
            Op::Pin { first, pages, write, longterm, call, slot } => Do::Pin(op::Pin {
                at: self.at(first, pages, WHOLE),
                slot: self.slot(slot),
                write,
                longterm,
                call: words::call(call),
            }),
            Op::Unpin { slot, dirty, how, context } => Do::Unpin(op::Unpin {
                slot: self.slot(slot),
                dirty,
                how: how.filter(|_| dirty).map(words::redirty),
                context: words::context(context),
            }),
            Op::WritePinned { slot, page } => Do::WritePinned(self.held(slot, page)),
            Op::ReadPinned { slot, page } => Do::ReadPinned(self.held(slot, page)),
            Op::Splice { from, slot } => {
                Do::Splice(op::Splice { from: page(from), slot: self.slot(slot) })
            }
            Op::Fork { child } => Do::Fork(self.mms[child.index()].clone()),
            Op::Signal { to } => Do::Signal(self.threads[to.index()].clone()),
            op => return self.on_file(op),
        })
    }

    fn held(&self, slot: Slot, page: u32) -> Place {
        let name = &self.slots[slot.index()];
        if page == 0 { name.clone() } else { format!("{name}[{page}]") }
    }

    /// System calls on a file.
    fn on_file(&self, op: Op) -> Result<Do, Unsaid> {
        let file = |file: File| self.file(file);
        Ok(match op {
            Op::Fsync { file: f, data_only: false } => Do::Fsync(file(f)),
            Op::Fsync { file: f, data_only: true } => Do::Fdatasync(file(f)),
            Op::Writeback { file: f, .. } => Do::Writeback(file(f)),
            Op::DropCaches { file: f } => Do::DropCaches(file(f)),
            Op::SyncFileRange { file: f, flags } => Do::SyncFileRange(op::SyncFileRange {
                file: file(f),
                wait_before: flags.wait_before,
                write: flags.write,
                wait_after: flags.wait_after,
            }),
            Op::Truncate { file: f, size } => {
                let whole = size % u64::from(PAGE_SIZE) == 0;
                let pages = whole.then_some((size / u64::from(PAGE_SIZE)) as u32);
                Do::Truncate(op::Truncate { file: file(f), pages, bytes: (!whole).then_some(size) })
            }
            Op::PunchPart { first, pages, from, to } => match (from, to) {
                WHOLE => Do::Punch(self.cached(first, pages, WHOLE)),
                part if pages == 1 => Do::Punch(self.cached(first, 1, part)),
                _ => {
                    return Err(Unsaid::new(
                        "punch",
                        "a scenario punches whole pages, or a part of one",
                    ));
                }
            },
            Op::ZeroRange { first, pages } => Do::ZeroRange(self.cached(first, pages, WHOLE)),
            Op::CollapseRange { first, pages } => {
                Do::CollapseRange(self.cached(first, pages, WHOLE))
            }
            Op::AddSeal { file: f, seal } => {
                Do::AddSeal(op::AddSeal { file: file(f), seal: words::seal(seal) })
            }
            op => return Err(Unsaid::new(format!("{op:?}"), "a scenario has no word for it")),
        })
    }
}

/// Pages of something, or a part of one.
fn range(name: &str, first: u32, pages: u32, part: Part, all: u32) -> Place {
    let end = first + pages;
    match (pages, part) {
        (1, WHOLE) => format!("{name}[{first}]"),
        (1, (0, 2048)) => format!("{name}[{first}].first-half"),
        (1, (2048, to)) if u32::from(to) == PAGE_SIZE => format!("{name}[{first}].second-half"),
        (1, (from, to)) => format!("{name}[{first}].{from}-{to}"),
        _ if pages == all => name.to_string(),
        _ => format!("{name}[{first}..{end}]"),
    }
}

/// The plan's enumerations in the words of the format.
mod words {
    use crate::kernel::world::plan;
    use crate::scenario::op::{Advice, Context, PinCall, Redirty, Seal};

    pub fn advice(advice: plan::Advice) -> Advice {
        match advice {
            plan::Advice::DontNeed => Advice::Dontneed,
            plan::Advice::PageOut => Advice::Pageout,
            plan::Advice::Free => Advice::Free,
            plan::Advice::Cold => Advice::Cold,
            plan::Advice::Remove => Advice::Remove,
            plan::Advice::PopulateRead => Advice::PopulateRead,
            plan::Advice::PopulateWrite => Advice::PopulateWrite,
        }
    }

    pub fn call(call: plan::PinCall) -> PinCall {
        match call {
            plan::PinCall::PinFast => PinCall::PinFast,
            plan::PinCall::PinSlow => PinCall::PinSlow,
            plan::PinCall::GetFast => PinCall::GetFast,
            plan::PinCall::GetSlow => PinCall::GetSlow,
            plan::PinCall::PinRemote => PinCall::PinRemote,
            plan::PinCall::GetForce => PinCall::GetForce,
        }
    }

    pub fn redirty(how: plan::Redirty) -> Redirty {
        match how {
            plan::Redirty::Plain => Redirty::Plain,
            plan::Redirty::SetDirty => Redirty::SetDirty,
            plan::Redirty::SetDirtyLock => Redirty::SetDirtyLock,
            plan::Redirty::Mkwrite => Redirty::Mkwrite,
        }
    }

    pub fn seal(seal: plan::Seal) -> Seal {
        match seal {
            plan::Seal::Shrink => Seal::Shrink,
            plan::Seal::Grow => Seal::Grow,
            plan::Seal::Write => Seal::Write,
            plan::Seal::FutureWrite => Seal::FutureWrite,
        }
    }

    pub fn context(context: plan::Context) -> Context {
        match context {
            plan::Context::Process => Context::Process,
            plan::Context::Irq => Context::Irq,
            plan::Context::Worker => Context::Worker,
        }
    }
}
