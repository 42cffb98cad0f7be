//! Programs: from the operations as written to the operations of the plan.

use super::access::{self, Cached, Mapped};
use super::ledger::{Ledger, Spot};
use super::report::Report;
use super::threads::only_device;
use super::{Tables, template};
use crate::kernel::world::ids::{Device, File, Mm, OpId, Region, Vma};
use crate::kernel::world::plan::{
    Advice, Context, Op, PAGE_SIZE, PinCall, Plan, Redirty, Role, SfrFlags, SyncMode,
};
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
    place: Where,
    first_op: OpId,
    plan: &'c mut Plan,
    tables: &'c mut Tables,
    ledger: &'c mut Ledger,
    report: &'c mut Report<'r>,
    ops: Vec<Op>,
    labels: Vec<String>,
    /// How often the operation under construction runs; 0 if for ever.
    rounds: u64,
    nesting: usize,
    background: bool,
}

/// The slot and region that are meant where none is named.
const DEFAULT_SLOT: &str = "pin";
const DEFAULT_REGION: &str = "mr";

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

    /// A thread's whole program. A thread of a forked address space first waits for the fork.
    pub fn whole(&mut self, thread: &types::Thread, at: &At) {
        self.background = thread.background || thread.kind == types::ThreadKind::Chance;
        if let Role::User(mm) = self.place.role
            && self.ledger.children.contains_key(&mm)
        {
            let born = self.born(mm);
            if let Some(event) = self.report.ok(at, born) {
                let spot = self.spot(at);
                self.ledger.wait(event, 1, spot);
                self.push(Op::Wait { event }, String::new());
            }
        }
        self.steps(&thread.program, at);
        if self.ops.len() > limits::OPS_PER_PROGRAM {
            let most = limits::OPS_PER_PROGRAM;
            let problem = Problem::general(format!("{} operations are too many", self.ops.len()));
            self.report
                .value(at, problem.help(format!("at most {most} in one program; use repeat")));
        }
    }

    /// The event that the threads of a forked address space wait for.
    fn born(&mut self, mm: Mm) -> Result<crate::kernel::world::ids::Event, Problem> {
        let name = format!("fork-of-{}", self.plan.mms[mm.0 as usize].name);
        self.ledger.event(&name, None, self.plan, self.tables)
    }

    fn push(&mut self, op: Op, label: String) {
        self.ops.push(op);
        self.labels.push(label);
    }

    fn spot(&self, at: &At) -> Spot {
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
        if let Do::Fork(child) = &step.op {
            self.announce(child, &here);
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

    /// Tells the threads of a forked address space that it is there.
    fn announce(&mut self, child: &str, at: &At) {
        let Ok(child) = self.tables.mms.find(child, self.place.i) else { return };
        let waiting = self.ledger.children.get(&child).copied().unwrap_or(0);
        if waiting == 0 {
            return;
        }
        let born = self.born(child);
        let Some(event) = self.report.ok(at, born) else { return };
        self.ledger.post(event, u64::from(waiting));
        for _ in 0..waiting {
            self.push(Op::Post { event }, String::new());
        }
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
            Do::Mprotect(_) | Do::Madvise(_) | Do::Fork(_) => self.space(op, at),
            Do::Pin(_) | Do::Unpin(_) => self.pinning(op, at),
            Do::Register(_) | Do::Deregister(_) => self.registration(op, at),
            Do::DmaWrite(_) | Do::DmaRead(_) | Do::DmaWait(_) => self.transfer(op, at),
            Do::TakeFrame(_) | Do::TakeBlock(_) | Do::Verify(_) => self.neighbour(op, at),
            Do::Crash(_) | Do::Signal(_) | Do::LeaseTimeout(_) => self.outside(op, at),
            Do::Post(_) | Do::Wait(_) | Do::Sleep(_) => self.order(op, at),
            Do::Write(_) | Do::Read(_) | Do::Truncate(_) | Do::Punch(_) | Do::Reflink(_) => {
                self.contents(op, at)
            }
            _ => self.file(op, at),
        }
    }

    fn mm(&self) -> Mm {
        match self.place.role {
            Role::User(mm) => mm,
            // The roles' table lets only user threads come here.
            _ => super::mappings::first_mm(self.plan),
        }
    }

    fn mapped(&mut self, text: &str, at: &At) -> Option<Mapped> {
        let found = access::mapped(text, self.place.i, self.mm(), self.plan, self.tables);
        let mapped = self.report.ok(at, found)?;
        self.touch(mapped.vma, at);
        Some(mapped)
    }

    fn touch(&mut self, vma: Vma, at: &At) {
        let spot = || Spot { thread: self.place.thread, op: self.ops.len(), path: at.path() };
        self.ledger.touches(vma, spot);
    }

    /// One mapped page, of which a part may be meant.
    fn mapped_page(&mut self, text: &str, at: &At) -> Option<Mapped> {
        let mapped = self.mapped(text, at)?;
        self.report.ok(at, access::single(mapped.pages))?;
        Some(mapped)
    }

    fn cached(&mut self, text: &str, at: &At) -> Option<Cached> {
        let found = access::cached(text, self.place.i, self.plan, self.tables);
        self.report.ok(at, found)
    }

    fn cached_page(&mut self, text: &str, at: &At) -> Option<Cached> {
        let cached = self.cached(text, at)?;
        self.report.ok(at, access::single(cached.pages))?;
        Some(cached)
    }

    fn whole_page(&mut self, text: &str, at: &At) -> Option<Cached> {
        let cached = self.cached_page(text, at)?;
        self.report.ok(at, access::whole(cached.part))?;
        Some(cached)
    }

    fn access(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Load(place) => {
                let mapped = self.mapped_page(place, at)?;
                self.report.ok(at, access::whole(mapped.part))?;
                Some(Op::Load { at: mapped.first })
            }
            Do::Store(place) => {
                let mapped = self.mapped_page(place, at)?;
                Some(Op::Store { at: mapped.first, part: mapped.part })
            }
            Do::DioRead(dio) => {
                let from = self.whole_page(&dio.from, &at.key("from"))?.first;
                let into = self.mapped_page(&dio.into, &at.key("into"))?;
                self.report.ok(&at.key("into"), access::whole(into.part))?;
                Some(Op::DioRead { from, into: into.first })
            }
            Do::DioWrite(dio) => {
                let to = self.whole_page(&dio.to, &at.key("to"))?.first;
                let from = self.mapped_page(&dio.from, &at.key("from"))?;
                self.report.ok(&at.key("from"), access::whole(from.part))?;
                Some(Op::DioWrite { to, from: from.first })
            }
            _ => None,
        }
    }

    fn vma(&mut self, name: &str, at: &At) -> Option<Vma> {
        let found = access::mapping(name, self.place.i, self.mm(), self.plan, self.tables);
        self.report.ok(at, found)
    }

    fn mapping(&mut self, op: &Do, at: &At) -> Option<Op> {
        let (Do::Msync(name) | Do::MsyncAsync(name) | Do::Mmap(name) | Do::Munmap(name)) = op
        else {
            return None;
        };
        let vma = self.vma(name, at)?;
        if !matches!(op, Do::Mmap(_)) {
            self.touch(vma, at);
        }
        match op {
            Do::Msync(_) => Some(Op::Msync { vma, sync: true }),
            Do::MsyncAsync(_) => Some(Op::Msync { vma, sync: false }),
            Do::Munmap(_) => Some(Op::Munmap { vma }),
            _ => {
                self.ledger.maps(vma);
                Some(Op::Mmap { vma })
            }
        }
    }

    fn space(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Mprotect(protect) => {
                let at = at.key("mapping");
                let vma = self.vma(&protect.mapping, &at)?;
                self.touch(vma, &at);
                Some(Op::Mprotect { vma, read: protect.read, write: protect.write })
            }
            Do::Madvise(advise) => {
                let at = at.key("at");
                let mapped = self.mapped(&advise.at, &at)?;
                self.report.ok(&at, access::whole(mapped.part))?;
                let (first, pages) = (mapped.first, mapped.pages);
                let advice = match advise.advice {
                    op::Advice::Dontneed => Advice::DontNeed,
                    op::Advice::Pageout => Advice::PageOut,
                    op::Advice::Free => Advice::Free,
                    op::Advice::PopulateRead => Advice::PopulateRead,
                    op::Advice::PopulateWrite => Advice::PopulateWrite,
                };
                Some(Op::Madvise { first, pages, advice })
            }
            Do::Fork(child) => self.fork(child, at),
            _ => None,
        }
    }

    fn fork(&mut self, child: &str, at: &At) -> Option<Op> {
        let found = self.tables.mms.find(child, self.place.i).map_err(|problem| {
            let parent = &self.plan.mms[self.mm().0 as usize].name;
            let form = format!("\"mms\": {{\"{child}\": {{\"child_of\": \"{parent}\"}}}}");
            problem.help(format!("declare the child's address space: {form}"))
        });
        let child = self.report.ok(at, found)?;
        let name = self.plan.mms[child.0 as usize].name.clone();
        let problem = if self.plan.mms[child.0 as usize].child_of != Some(self.mm()) {
            let parent = &self.plan.mms[self.mm().0 as usize].name;
            Problem::general(format!("address space `{name}` is no child of `{parent}`"))
                .help(format!("declare \"{name}\": {{\"child_of\": \"{parent}\"}} in `mms`"))
        } else if self.nesting > 0 || !self.ledger.forks(child, self.spot(at)) {
            Problem::general(format!("address space `{name}` is forked more than once"))
                .help("declare an address space for each fork")
        } else {
            return Some(Op::Fork { child });
        };
        self.report.value(at, problem);
        None
    }

    fn pinning(&mut self, op: &Do, at: &At) -> Option<Op> {
        let (Do::Pin(op::Pin { slot, .. }) | Do::Unpin(op::Unpin { slot, .. })) = op else {
            return None;
        };
        let slot = slot.as_deref().unwrap_or(DEFAULT_SLOT);
        let slot = self.ledger.slot(slot, self.place.i, self.plan, self.tables);
        let slot = self.report.ok(&at.key("slot"), slot)?;
        match op {
            Do::Pin(pin) => {
                let (first, pages) = self.pinned(&pin.at, &at.key("at"))?;
                let spot = self.spot(at);
                self.ledger.fill_slot(slot, pages, &spot, self.plan);
                let call = match pin.call {
                    op::PinCall::PinFast => PinCall::PinFast,
                    op::PinCall::PinSlow => PinCall::PinSlow,
                    op::PinCall::GetFast => PinCall::GetFast,
                    op::PinCall::GetSlow => PinCall::GetSlow,
                };
                let (write, longterm) = (pin.write, pin.longterm);
                Some(Op::Pin { first, pages, write, longterm, call, slot })
            }
            Do::Unpin(unpin) => {
                let spot = self.spot(at);
                self.ledger.use_slot(slot, spot);
                let context = match unpin.context {
                    op::Context::Process => Context::Process,
                    op::Context::Irq => Context::Irq,
                    op::Context::Worker => Context::Worker,
                };
                Some(Op::Unpin { slot, dirty: unpin.dirty, how: redirty(unpin.how), context })
            }
            _ => None,
        }
    }

    /// The pages of a pin or registration.
    fn pinned(&mut self, text: &str, at: &At) -> Option<(crate::kernel::world::ids::VPage, u32)> {
        let mapped = self.mapped(text, at)?;
        self.report.ok(at, access::whole(mapped.part))?;
        Some((mapped.first, mapped.pages))
    }

    fn region(&mut self, name: &str, device: Option<Device>, at: &At) -> Option<Region> {
        let found = self.ledger.region(name, self.place.i, device, self.plan, self.tables);
        self.report.ok(at, found)
    }

    fn registration(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Register(register) => {
                let name = register.region.as_deref().unwrap_or(DEFAULT_REGION);
                let expanded = template::expand(name, self.place.i);
                let expanded = self.report.ok(&at.key("region"), expanded)?;
                let device = match &register.device {
                    Some(device) => self.tables.devices.find(device, self.place.i),
                    None => match self.ledger.device_of(&expanded, self.tables) {
                        Some(device) => Ok(device),
                        None => only_device(self.plan),
                    },
                };
                let device = self.report.ok(&at.key("device"), device)?;
                let region = self.region(name, Some(device), &at.key("region"))?;
                let (first, pages) = self.pinned(&register.at, &at.key("at"))?;
                let spot = self.spot(at);
                self.ledger.fill_region(region, pages, &spot, self.plan);
                let (write, longterm) =
                    (register.write.unwrap_or(true), register.longterm.unwrap_or(true));
                Some(Op::Register { region, first, pages, write, longterm })
            }
            Do::Deregister(deregister) => {
                let name = deregister.region.as_deref().unwrap_or(DEFAULT_REGION);
                let region = self.region(name, None, &at.key("region"))?;
                let spot = self.spot(at);
                self.ledger.use_region(region, 0, spot);
                let how = redirty(deregister.how);
                Some(Op::Deregister { region, dirty: deregister.dirty, how })
            }
            _ => None,
        }
    }

    fn transfer(&mut self, op: &Do, at: &At) -> Option<Op> {
        let (Do::DmaWrite(place) | Do::DmaRead(place) | Do::DmaWait(place)) = op else {
            return None;
        };
        let (name, page) = self.report.ok(at, access::region_page(place, self.place.i))?;
        let device = match self.place.role {
            Role::Device(device) => Some(device),
            _ => None,
        };
        // The placeholders of the name have been replaced already.
        let found = self.ledger.region(&name, None, device, self.plan, self.tables);
        let region = self.report.ok(at, found)?;
        let spot = self.spot(at);
        self.ledger.use_region(region, page, spot);
        match op {
            Do::DmaWrite(_) => Some(Op::DmaWrite { region, page }),
            Do::DmaRead(_) => Some(Op::DmaRead { region, page }),
            _ => Some(Op::DmaWait { region }),
        }
    }

    fn neighbour(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::TakeBlock(place) => {
                let cached = self.whole_page(place, at)?;
                if self.plan.files[cached.file.0 as usize].disk.is_none() {
                    let problem = Problem::general("a block for a file without a disk");
                    self.report.value(at, problem.help("tmpfs files have no blocks"));
                }
                Some(Op::TakeBlock { page: cached.first })
            }
            Do::Verify(label) => {
                let label = template::expand(label, self.place.i);
                let label = self.report.ok(at, label)?.into_owned();
                let spot = self.spot(at);
                self.ledger.verifies(spot, label);
                // The label may be further on; the ledger puts the right number here.
                Some(Op::Verify { taken: OpId(0) })
            }
            _ => Some(Op::TakeFrame),
        }
    }

    fn outside(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Signal(thread) => {
                let found = self.tables.threads.find(thread, self.place.i);
                Some(Op::Signal { to: self.report.ok(at, found)? })
            }
            Do::LeaseTimeout(file) => Some(Op::LeaseTimeout { file: self.file_named(file, at)? }),
            _ => Some(Op::Crash),
        }
    }

    fn order(&mut self, op: &Do, at: &At) -> Option<Op> {
        let (Do::Post(name) | Do::Wait(name)) = op else {
            return match op {
                Do::Sleep(ns) if *ns > limits::NANOSECONDS => {
                    let problem = Problem::general(format!("{ns} nanoseconds are too many"));
                    let help = format!("at most {} are allowed", limits::NANOSECONDS);
                    self.report.value(at, problem.help(help));
                    None
                }
                Do::Sleep(ns) => Some(Op::Sleep { ns: *ns }),
                _ => None,
            };
        };
        let event = self.ledger.event(name, self.place.i, self.plan, self.tables);
        let event = self.report.ok(at, event)?;
        if matches!(op, Do::Post(_)) {
            self.ledger.post(event, if self.rounds == 0 { u64::MAX } else { self.rounds });
            return Some(Op::Post { event });
        }
        let spot = self.spot(at);
        self.ledger.wait(event, if self.background { 0 } else { self.rounds }, spot);
        Some(Op::Wait { event })
    }

    fn contents(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Write(place) => {
                let cached = self.cached_page(place, at)?;
                Some(Op::Write { at: cached.first, part: cached.part })
            }
            Do::Read(place) => Some(Op::Read { at: self.whole_page(place, at)?.first }),
            Do::Truncate(truncate) => self.truncate(truncate, at),
            Do::Punch(place) => {
                let cached = self.cached(place, at)?;
                self.report.ok(at, access::whole(cached.part))?;
                Some(Op::Punch { first: cached.first, pages: cached.pages })
            }
            Do::Reflink(reflink) => self.reflink(reflink, at),
            _ => None,
        }
    }

    fn truncate(&mut self, truncate: &op::Truncate, at: &At) -> Option<Op> {
        let file = self.file_named(&truncate.file, &at.key("file"))?;
        let page = u64::from(PAGE_SIZE);
        let size = match (truncate.pages, truncate.bytes) {
            (Some(pages), None) => Ok(u64::from(pages) * page),
            (None, Some(bytes)) => Ok(bytes),
            (Some(_), Some(_)) => Err("both `pages` and `bytes`"),
            (None, None) => Err("the new size is missing"),
        };
        let size = size.map_err(|why| {
            Problem::general(why).help("give the new size once, as `pages` or as `bytes`")
        });
        let size = self.report.ok(at, size)?;
        let planned = &self.plan.files[file.0 as usize];
        if size.div_ceil(page) > u64::from(planned.capacity) {
            let key = if truncate.pages.is_some() { "pages" } else { "bytes" };
            let problem = Problem::general(format!(
                "beyond file `{}`, which has room for {} pages",
                planned.name, planned.capacity
            ));
            self.report.value(&at.key(key), problem.help("raise the file's `capacity`"));
            return None;
        }
        Some(Op::Truncate { file, size })
    }

    fn reflink(&mut self, reflink: &op::Reflink, at: &At) -> Option<Op> {
        let from = self.cached(&reflink.from, &at.key("from"))?;
        let to = self.cached(&reflink.to, &at.key("to"))?;
        self.report.ok(&at.key("from"), access::whole(from.part))?;
        self.report.ok(&at.key("to"), access::whole(to.part))?;
        let target = &self.plan.files[to.file.0 as usize];
        let room = self.tables.file_pages[to.file.0 as usize] + target.capacity - to.first.0;
        let disks = self.plan.files[from.file.0 as usize].disk == target.disk;
        let problem = if !disks || target.disk.is_none() {
            Problem::general("a reflink between two disks").help("both files lie on one disk")
        } else if from.pages > room {
            let what = format!("{} pages do not fit into `{}` there", from.pages, target.name);
            Problem::general(what).help("raise the file's `capacity`")
        } else {
            return Some(Op::Reflink { from: from.first, to: to.first, pages: from.pages });
        };
        self.report.value(&at.key("to"), problem);
        None
    }

    fn file_named(&mut self, name: &str, at: &At) -> Option<File> {
        let found = self.tables.files.find(name, self.place.i).map_err(|problem| {
            match self.tables.mappings.contains_key(name) {
                true => problem.help(format!("`{name}` is a mapping; this needs a file")),
                false => problem,
            }
        });
        self.report.ok(at, found)
    }

    fn file(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Reclaim(place) => Some(Op::Reclaim { page: self.whole_page(place, at)?.first }),
            Do::Migrate(place) => {
                let cached = self.whole_page(place, at)?;
                if matches!(self.plan.files[cached.file.0 as usize].disk, Some(disk)
                    if self.is_pmem(disk))
                {
                    let problem = Problem::general("migration of a page of persistent memory");
                    self.report.value(at, problem.help("a DAX page is where its block is"));
                }
                Some(Op::Migrate { page: cached.first })
            }
            Do::Unbind(disk) => {
                let disk = self.tables.disks.find(disk, self.place.i);
                let disk = self.report.ok(at, disk)?;
                if !self.is_pmem(disk) {
                    let problem = Problem::general("unbind of a block disk");
                    self.report
                        .value(at, problem.help("only pmem disks have struct pages to lose"));
                }
                Some(Op::Unbind { disk })
            }
            Do::SyncFileRange(sync) => {
                let file = self.file_named(&sync.file, &at.key("file"))?;
                let flags = SfrFlags {
                    wait_before: sync.wait_before,
                    write: sync.write,
                    wait_after: sync.wait_after,
                };
                Some(Op::SyncFileRange { file, flags })
            }
            Do::Fsync(name)
            | Do::Fdatasync(name)
            | Do::Writeback(name)
            | Do::WritebackIntegrity(name)
            | Do::DropCaches(name)
            | Do::TakeLease(name)
            | Do::AnswerLease(name) => {
                let file = self.file_named(name, at)?;
                Some(match op {
                    Do::Fsync(_) => Op::Fsync { file, data_only: false },
                    Do::Fdatasync(_) => Op::Fsync { file, data_only: true },
                    Do::Writeback(_) => Op::Writeback { file, mode: SyncMode::Cleaning },
                    Do::WritebackIntegrity(_) => Op::Writeback { file, mode: SyncMode::Integrity },
                    Do::DropCaches(_) => Op::DropCaches { file },
                    Do::TakeLease(_) => Op::TakeLease { file },
                    _ => Op::AnswerLease { file },
                })
            }
            _ => None,
        }
    }

    fn is_pmem(&self, disk: crate::kernel::world::ids::Disk) -> bool {
        self.plan.disks[disk.0 as usize].kind == crate::kernel::world::plan::DiskKind::Pmem
    }
}

fn redirty(how: Option<op::Redirty>) -> Option<Redirty> {
    how.map(|how| match how {
        op::Redirty::Plain => Redirty::Plain,
        op::Redirty::SetDirty => Redirty::SetDirty,
        op::Redirty::SetDirtyLock => Redirty::SetDirtyLock,
    })
}
