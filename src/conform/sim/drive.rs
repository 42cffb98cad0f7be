//! Runs a compiled sequence: one line at a time, and after each a look at the world.
//!
//! The thread whose turn it is makes its steps; when it cannot go on, the disks do, and those that
//! run in the background. When nobody can go on, a background thread is blocked, as it is in the
//! recorder after 300 ms. What the gate holds is a transfer whose tag is not scheduled.

mod results;

use super::super::compare::{Remark, View};
use super::super::observation::{Observation, Run};
use super::super::sequence::{Gate, PAGE, Sequence};
use super::super::source::Lacks;
use super::compile::{self, Compiled, Doing, Meaning, Part, Stage};
use super::look::{self, Letters};
use super::machine::{self, DISK, FILE, RAW_DISK};
use super::values;
use crate::engine::model::{Agent, Model, Timed};
use crate::kernel::actor::errno;
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::Strategy;
use crate::kernel::world::machine::{Bio, BioKind, Extent, ExtentKind};
use crate::kernel::world::objects::CacheSlot;
use crate::kernel::world::price::Price;
use crate::kernel::world::*;

/// Steps after which an operation is taken for endless.
const LONGEST: usize = 100_000;

/// A run in the simulator, with what only it can know.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    /// What was seen.
    pub run: Run,
    /// For each step what is said in advance about how far it can be compared.
    pub remarks: Vec<Remark>,
    /// The steps that were made for each line: by whom, and what.
    pub trace: Vec<Vec<(String, &'static str)>>,
    /// The same as moves of the machine.
    pub moves: Vec<Vec<Move>>,
    /// A kernel worker raced with the calls, and lost: what is seen if it wins. A recording may
    /// show either.
    pub other: Option<Box<Simulated>>,
}

/// Simulates a sequence on a file system under a design.
///
/// # Errors
/// If the model lacks an operation, or the file system.
pub fn simulate(sequence: &Sequence, view: View, strategy: Strategy) -> Result<Simulated, Lacks> {
    let kind = machine::kind(view.fs)
        .ok_or_else(|| Lacks { step: 0, what: format!("file system {}", view.fs) })?;
    let compiled = compile::compile(sequence, kind, strategy)?;
    let run = |compiled, prompt| {
        Driver::new(compiled, strategy, sequence, view, prompt).sequence(sequence, view.fs)
    };
    let found = run(compiled.clone(), false)?;
    let raced = found.trace.iter().flatten().any(|(_, step)| *step == FIXUP);
    let other = if raced { Some(Box::new(run(compiled, true)?)) } else { None };
    Ok(Simulated { other, ..found })
}

/// The first step of a worker that prepares pages for the next pass of writeback, while fsync is
/// about to make that pass.
const FIXUP: &str = "fixup: btrfs_delalloc_reserve_space";

/// What the gates hold.
#[derive(Clone, Copy, Debug, Default)]
struct Gates {
    writes: bool,
    reads: bool,
    raw: bool,
    eio: bool,
}

/// Something that runs in the background.
#[derive(Clone, Debug)]
struct Pending {
    part: Part,
    meaning: Meaning,
    /// What had been counted when it began.
    since: Counts,
}

/// A call that has stalled after it pinned.
#[derive(Clone, Copy, Debug)]
struct Stalled {
    part: Part,
    slot: Slot,
}

struct Driver {
    sim: Sim,
    compiled: Compiled,
    gates: Gates,
    letters: Letters,
    last: Vec<Option<Frame>>,
    background: [Option<Pending>; 2],
    /// process_vm_readv, process_vm_writev.
    stalled: [Option<Stalled>; 2],
    trace: Vec<(Move, &'static str)>,
    pages: u32,
    /// See [`View::no_io`].
    no_io: bool,
    /// Workers go first, else last.
    prompt: bool,
}

/// What a line returned.
#[derive(Clone, Debug, Default)]
struct Outcome {
    ret: i64,
    err: String,
    x: String,
}

impl Outcome {
    fn of(ret: i32) -> Outcome {
        match ret {
            0.. => Outcome { ret: i64::from(ret), ..Outcome::default() },
            _ => Outcome::error(errno::name(ret)),
        }
    }

    fn error(name: &str) -> Outcome {
        match name {
            "" => Outcome::default(),
            _ => Outcome { ret: -1, err: name.to_string(), x: String::new() },
        }
    }

    fn blocked() -> Outcome {
        Outcome { x: "blocked".to_string(), ..Outcome::error("EAGAIN") }
    }
}

/// What is counted, before and after a line.
#[derive(Clone, Copy, Debug)]
struct Counts {
    faults: u64,
    major: u64,
    acquired: u64,
    released: u64,
}

impl Counts {
    fn now(w: &World) -> Counts {
        let get = |price| w.prices.get(price);
        Counts {
            faults: get(Price::Faults),
            major: get(Price::MajorFaults),
            acquired: get(Price::Pins),
            released: get(Price::Unpins),
        }
    }
}

impl Driver {
    fn new(
        compiled: Compiled,
        strategy: Strategy,
        sequence: &Sequence,
        view: View,
        prompt: bool,
    ) -> Driver {
        let mut sim = Sim::new(compiled.plan.clone(), strategy);
        sim.set_judging(false);
        if view.used {
            // A store through a mapping has made the page dirty when it was unmapped
            // (zap_present_folio_ptes), and nobody ever cleans a page of a pmem device.
            let blocks = (0..sim.world.map.blocks()).map(Block);
            let frames: Vec<Frame> = blocks.filter_map(|b| sim.world.map.pmem_frame(b)).collect();
            for frame in frames {
                sim.world.change_flags(frame, |f| f.with_dirty(true));
            }
        }
        Driver {
            sim,
            compiled,
            gates: Gates::default(),
            letters: Letters::default(),
            last: Vec::new(),
            background: [None, None],
            stalled: [None, None],
            trace: Vec::new(),
            pages: sequence.pages,
            no_io: view.no_io(),
            prompt,
        }
    }

    fn sequence(mut self, sequence: &Sequence, fs: &str) -> Result<Simulated, Lacks> {
        let mut found = Simulated::default();
        found.run.seq.clone_from(&sequence.name);
        found.run.fs = fs.to_string();
        let init = self.compiled.init;
        if !self.finish(init) {
            return Err(Lacks { step: 0, what: "the initial state".to_string() });
        }
        let stages = std::mem::take(&mut self.compiled.stages);
        let empty = Stage {
            doing: Doing::Known(""),
            slots: Default::default(),
            child: None,
            pipe: Vec::new(),
        };
        let before = Counts::now(&self.sim.world);
        let seen = self.look(&empty, &Outcome::default(), before, None);
        self.row(&mut found, "init", seen, Remark::default());
        for (stage, line) in stages.iter().zip(&sequence.lines) {
            let before = Counts::now(&self.sim.world);
            let races = self.races(&stage.doing);
            let touch = self.touched(&stage.doing, before);
            let Some(outcome) = self.carry_out(&stage.doing) else {
                found.run.broken = Some("TIMEOUT".to_string());
                self.traced(&mut found);
                return Ok(found);
            };
            let finishing = self.background.iter().flatten().any(|p| self.done(p.part));
            let seen = self.look(stage, &outcome, before, touch);
            let remark = Remark { races, finishing };
            self.row(&mut found, &line.text, seen, remark);
        }
        found.run.ended = Some(self.end());
        self.traced(&mut found);
        Ok(found)
    }

    fn row(&mut self, found: &mut Simulated, op: &str, seen: Observation, remark: Remark) {
        found.run.steps.push((op.to_string(), seen));
        found.remarks.push(remark);
        self.traced(found);
        self.sim.forget();
    }

    /// Adds the steps since the last row, with the names of those who made them.
    fn traced(&mut self, found: &mut Simulated) {
        let map = self.sim.world.map.clone();
        let steps = std::mem::take(&mut self.trace);
        found.moves.push(steps.iter().map(|(mv, _)| *mv).collect());
        let named = steps.iter().map(|(mv, step)| (map.actor_name(Actor(mv.agent)), *step));
        found.trace.push(named.collect());
    }

    // --- scheduling ---------------------------------------------------------------------------

    fn step(&mut self, agent: Agent) {
        let outcome = u8::from(self.fails(agent));
        let mv = Move { agent, outcome };
        self.trace.extend(self.sim.label(agent).map(|label| (mv, label.name)));
        self.sim.apply(mv);
    }

    /// The transfer that a disk's tag serves: the disk, and whether it writes.
    fn transfer(&self, agent: Agent) -> Option<(Disk, bool)> {
        let tag = Tag(agent.checked_sub(self.compiled.plan.threads.len() as u32)?);
        let map = &self.sim.world.map;
        if tag.0 >= map.tag_count() {
            return None;
        }
        let kind = self.sim.world.get::<Bio>(tag).kind();
        Some((map.disk_of_tag(tag), matches!(kind, BioKind::Writeback | BioKind::DioWrite)))
    }

    fn held(&self, agent: Agent) -> bool {
        match self.transfer(agent) {
            Some((DISK, true)) => self.gates.writes,
            Some((DISK, false)) => self.gates.reads,
            Some((RAW_DISK, _)) => self.gates.raw,
            _ => false,
        }
    }

    fn fails(&self, agent: Agent) -> bool {
        let writes = matches!(self.transfer(agent), Some((DISK, true)));
        writes && self.gates.eio && self.sim.outcomes(agent) > 1
    }

    /// A step of a disk, a worker or somebody in the background; false: none can go on.
    fn others(&mut self, but: Option<usize>) -> bool {
        let services = self.compiled.plan.threads.len() as u32..self.sim.agents() as u32;
        let service = services.into_iter().find(|&a| self.sim.is_ready(a) && !self.held(a));
        let pending = self.background.iter().flatten().find(|p| {
            let thread = p.part.thread;
            Some(thread) != but && !self.done(p.part) && self.sim.is_ready(thread as Agent)
        });
        match service.or(pending.map(|p| p.part.thread as Agent)) {
            Some(agent) => {
                self.step(agent);
                true
            }
            None => false,
        }
    }

    /// A kernel worker that can go on.
    fn worker(&self) -> Option<Agent> {
        let map = &self.sim.world.map;
        let workers = (0..map.plan.workers).map(|k| map.worker_actor(Worker(k)).0 as Agent);
        workers.into_iter().find(|&agent| self.sim.is_ready(agent))
    }

    fn op(&self, thread: usize, at: u32) -> OpId {
        self.sim.world.map.plan.threads[thread].first_op.plus(at)
    }

    fn ret(&self, part: Part, nth: u32) -> Option<i32> {
        values::ret(&self.sim.world, self.op(part.thread, part.first + nth))
    }

    fn done(&self, part: Part) -> bool {
        part.count == 0 || self.ret(part, part.count - 1).is_some()
    }

    /// Runs a part to its end, and everything that it set in motion; false: it is blocked.
    fn finish(&mut self, part: Part) -> bool {
        for _ in 0..LONGEST {
            if self.done(part) {
                break;
            }
            let thread = part.thread as Agent;
            let worker = self.worker().filter(|_| self.prompt);
            if let Some(agent) = worker.or(self.sim.is_ready(thread).then_some(thread)) {
                self.step(agent);
            } else if !self.others(Some(part.thread)) {
                return false;
            }
        }
        self.settle();
        self.done(part)
    }

    /// Lets everybody else go on until nobody can.
    fn settle(&mut self) {
        for _ in 0..LONGEST {
            if !self.others(None) {
                break;
            }
        }
    }

    // --- lines --------------------------------------------------------------------------------

    /// From where faults of this line are counted, if they are: what runs in the background began
    /// in an earlier line.
    fn touched(&self, doing: &Doing, now: Counts) -> Option<Counts> {
        let touches = |m: &Meaning| matches!(m, Meaning::Touch { .. });
        match doing {
            Doing::Run(_, m) | Doing::Background { meaning: m, .. } => touches(m).then_some(now),
            Doing::Wait { second } => {
                let pending = self.background[usize::from(*second)].as_ref();
                pending.filter(|p| touches(&p.meaning)).map(|p| p.since)
            }
            _ => None,
        }
    }

    /// A fault on an uncached hole while another uncached page has a block.
    fn races(&self, doing: &Doing) -> bool {
        let at = match doing {
            Doing::Run(_, Meaning::Touch { at, .. }) => Some(*at),
            Doing::Run(part, Meaning::Register { .. } | Meaning::Copied) => self.pinned_at(*part),
            Doing::Pin { part, .. } => self.pinned_at(*part),
            _ => None,
        };
        let w = &self.sim.world;
        let Some(page) = at.and_then(|at| w.map.backing(at)) else { return false };
        let uncached = |p: FilePage| w.get::<CacheSlot>(p).frame().is_none();
        let has_block = |p: FilePage| w.get::<Extent>(p).kind() == ExtentKind::Written;
        let tracked = w.map.fs_of(page).tracks_dirty();
        let others = w.map.pages_of(FILE).filter(|&p| p != page);
        tracked
            && uncached(page)
            && !has_block(page)
            && others.into_iter().any(|p| uncached(p) && has_block(p))
    }

    fn pinned_at(&self, part: Part) -> Option<VPage> {
        use crate::kernel::world::plan::Op;
        match self.compiled.plan.threads[part.thread].program.get(part.first as usize)? {
            Op::Pin { first, .. } => Some(*first),
            _ => None,
        }
    }

    /// Carries a line out; none: it blocks for ever.
    fn carry_out(&mut self, doing: &Doing) -> Option<Outcome> {
        Some(match doing {
            Doing::Known(name) => Outcome::error(name),
            Doing::Run(part, meaning) => {
                let empty = matches!(meaning, Meaning::Unregister { slot }
                    if look::frames(&self.sim.world, *slot).next().is_none());
                if !self.finish(*part) {
                    return None;
                }
                match meaning {
                    _ if empty => Outcome::error("ENXIO"),
                    Meaning::Register { pages, refused: Some(unpin) }
                        if self.ret(*part, 0) == Some(*pages as i32) =>
                    {
                        self.finish(*unpin);
                        Outcome::error("EOPNOTSUPP")
                    }
                    meaning => self.outcome(*part, meaning),
                }
            }
            Doing::Pin { part, write, slot } => self.pin(*part, *write, *slot)?,
            Doing::PinEnd { value } => match self.stalled[usize::from(value.is_some())].take() {
                Some(stalled) => self.pin_end(stalled, *value)?,
                None => Outcome::error("ENXIO"),
            },
            Doing::Gate(gate) => {
                self.gate(*gate);
                Outcome::default()
            }
            Doing::Background { second, part, meaning } => {
                let since = Counts::now(&self.sim.world);
                let pending = Pending { part: *part, meaning: meaning.clone(), since };
                let slot = usize::from(*second);
                if self.background[slot].is_some() {
                    return Some(Outcome::error("EBUSY"));
                }
                self.background[slot] = Some(pending);
                self.settle();
                self.wait(slot)
            }
            Doing::Wait { second } => {
                self.settle();
                self.wait(usize::from(*second))
            }
            Doing::Signal { second, part } => {
                if !self.finish(*part) {
                    return None;
                }
                self.wait(usize::from(*second))
            }
        })
    }

    /// The result of what runs in the background, or that it is blocked.
    fn wait(&mut self, slot: usize) -> Outcome {
        let Some(pending) = self.background[slot].clone() else { return Outcome::error("ENXIO") };
        if !self.done(pending.part) {
            return Outcome::blocked();
        }
        self.background[slot] = None;
        self.outcome(pending.part, &pending.meaning)
    }

    fn pin(&mut self, part: Part, write: bool, slot: Slot) -> Option<Outcome> {
        if self.stalled[usize::from(write)].is_some() {
            return Some(Outcome::error("EBUSY"));
        }
        let pin = Part { count: 1, ..part };
        if !self.finish(pin) {
            return None;
        }
        let ret = self.ret(part, 0)?;
        if ret < 0 {
            return Some(Outcome::of(ret));
        }
        self.stalled[usize::from(write)] = Some(Stalled { part, slot });
        Some(Outcome::default())
    }

    fn pin_end(&mut self, stalled: Stalled, value: Option<u32>) -> Option<Outcome> {
        let copy = self.op(stalled.part.thread, stalled.part.first + 1);
        if let Some(value) = value {
            self.compiled.values.written.insert(copy.0, value);
        }
        if !self.finish(stalled.part) {
            return None;
        }
        let mut outcome = Outcome::of(PAGE as i32);
        if value.is_none() {
            let read = values::read(&self.sim.world, copy);
            outcome.x = self.compiled.values.page(&self.sim.world, read, PAGE);
        }
        Some(outcome)
    }

    fn gate(&mut self, gate: Gate) {
        match gate {
            Gate::Close => self.gates.writes = true,
            Gate::Open => self.gates.writes = false,
            Gate::Eio => self.gates.eio = true,
            Gate::Ok => self.gates.eio = false,
            Gate::RawClose => self.gates.raw = true,
            Gate::RawOpen => self.gates.raw = false,
            Gate::ReadClose => self.gates.reads = true,
            Gate::ReadOpen => self.gates.reads = false,
            Gate::Wait | Gate::RawWait => {}
        }
        self.settle();
    }
}
