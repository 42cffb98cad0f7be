//! In which order a scenario's operations begin and end, seen from outside: as lines of a
//! sequence, between which nothing is in motion but what is held or blocked.

use super::Unsaid;
use crate::engine::model::{Agent, Model, Timed};
use crate::kernel::sim::{Move, Sim};
use crate::kernel::world::machine::{Bio, BioKind, OpResult};
use crate::kernel::world::plan::{DiskKind, Role};
use crate::kernel::world::{Disk, Id, OpId, Tag};
use crate::report::agents;
use crate::report::run::{Choose, record};
use crate::scenario::Loaded;

/// Steps after which a run is taken for endless.
const LONGEST: usize = 100_000;

/// What happens, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// An operation of a thread begins: its number in the program; `background`: others begin
    /// before it ends; `failed`: it returns an error.
    Begins { thread: usize, at: u32, background: bool, failed: bool },
    /// One that ran in the background has ended.
    Ends { thread: usize },
    /// From here on transfers of a kind are held.
    Closes(Held),
    /// They go on.
    Opens(Held),
    /// From here on writes fail.
    Fails,
    /// They succeed again.
    Works,
}

/// Transfers that can be held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// Writes of the file system.
    Writes,
    /// Its reads.
    Reads,
    /// Everything on the raw device.
    Raw,
}

/// A tag of a disk.
#[derive(Clone, Copy, Debug, Default)]
struct Transfer {
    /// How many events there were when it was filled.
    since: usize,
    /// It has made a step.
    moved: bool,
    /// It is under way.
    busy: bool,
}

struct Watch<'a> {
    loaded: &'a Loaded,
    disks: Disks,
    sim: Sim,
    events: Vec<Event>,
    /// For each thread the operation that has begun and not ended, with its event.
    begun: Vec<Option<(OpId, usize)>>,
    transfers: Vec<Transfer>,
    /// For each kind, whether it is held, and the number of events when it last was released.
    closed: [bool; 3],
    opened: [usize; 3],
    fails: bool,
}

/// The disks of which transfers can be held: that under the file, and the raw device.
#[derive(Clone, Copy, Debug)]
pub struct Disks {
    /// Under the file.
    pub file: Option<Disk>,
    /// The raw device.
    pub raw: Option<Disk>,
}

/// The events of a scenario: by its schedule, if it has one; else its operations must have an
/// order by themselves.
///
/// # Errors
/// If a sequence has no such order.
pub fn events(loaded: &Loaded, disks: Disks) -> Result<Vec<Event>, Unsaid> {
    let mut sim = Sim::new(loaded.plan.clone(), loaded.strategy);
    let tags = sim.world.map.tag_count() as usize;
    let moves = match &loaded.schedule {
        None => Vec::new(),
        Some(schedule) => {
            let steps = schedule.0.len();
            let (run, diverged) =
                record(&sim, &Choose { schedule: Some(schedule), steps, ..Choose::default() });
            if let Some(diverged) = diverged {
                return Err(Unsaid::new("the schedule", diverged.to_string()));
            }
            run.moves
        }
    };
    sim.set_judging(false);
    let mut watch = Watch {
        loaded,
        disks,
        sim,
        events: Vec::new(),
        begun: vec![None; loaded.plan.threads.len()],
        transfers: vec![Transfer::default(); tags],
        closed: [false; 3],
        opened: [0; 3],
        fails: false,
    };
    for &mv in &moves {
        watch.make(mv)?;
    }
    watch.finish(loaded.schedule.is_none())?;
    Ok(watch.events)
}

impl Watch<'_> {
    fn threads(&self) -> u32 {
        self.loaded.plan.threads.len() as u32
    }

    fn name(&self, agent: Agent) -> String {
        agents::name(&self.sim, agent)
    }

    /// Whether an agent's next step only orders threads.
    fn orders(&self, agent: Agent) -> bool {
        let label = self.sim.label(agent).map_or("", |l| l.name);
        matches!(label, "wait" | "post" | "sleep" | "schedule_tail (new child)")
    }

    /// Goes on until everything that has begun has ended, or for ever waits; `more`: and with
    /// whatever comes next.
    fn finish(&mut self, more: bool) -> Result<(), Unsaid> {
        for _ in 0..LONGEST {
            let Some(agent) = self.next(more)? else { return Ok(()) };
            self.make(Move { agent, outcome: 0 })?;
        }
        Err(Unsaid::new("the scenario", "it does not come to an end"))
    }

    fn next(&self, more: bool) -> Result<Option<Agent>, Unsaid> {
        let threads = self.threads();
        let ready = |a: &Agent| self.sim.is_ready(*a);
        let running = (0..threads).filter(|&a| self.begun[a as usize].is_some());
        // Who began last goes first, as whoever has the turn does.
        let running = running.filter(ready).max_by_key(|&a| self.begun[a as usize].map(|b| b.1));
        let service = || (threads..self.sim.agents() as u32).find(ready);
        if let Some(agent) = running.or_else(service) {
            return Ok(Some(agent));
        }
        let waiting = |a: &Agent| {
            let chance = self.loaded.plan.threads[*a as usize].role == Role::Chance;
            ready(a) && more && !chance
        };
        let mut waiting = (0..threads).filter(waiting);
        if let Some(agent) = waiting.clone().find(|&a| self.orders(a)) {
            return Ok(Some(agent));
        }
        match (waiting.next(), waiting.next()) {
            (Some(a), Some(b)) => Err(Unsaid::new(
                format!("threads {} and {}", self.name(a), self.name(b)),
                "nothing says which of them comes first; give the scenario a schedule (gupsim \
                 replay --as-schedule, explore --out)",
            )),
            (first, _) => Ok(first),
        }
    }

    /// Makes a move, and notes what begins and ends.
    fn make(&mut self, mv: Move) -> Result<(), Unsaid> {
        let thread = mv.agent as usize;
        if thread >= self.begun.len() {
            self.serve(mv)?;
        } else if self.begun[thread].is_none() && !self.orders(mv.agent) {
            self.rest()?;
            let op = self.sim.op(mv.agent);
            let at = op.0 - self.loaded.plan.threads[thread].first_op.0;
            self.begun[thread] = Some((op, self.events.len()));
            self.events.push(Event::Begins { thread, at, background: false, failed: false });
        } else if mv.outcome > 0 {
            let what = format!("thread {}", self.name(mv.agent));
            return Err(Unsaid::new(what, "memory cannot be made to be used up"));
        }
        self.sim.apply(mv);
        self.sim.forget();
        self.ended();
        self.submitted();
        Ok(())
    }

    fn ended(&mut self) {
        for thread in 0..self.begun.len() {
            let Some((op, event)) = self.begun[thread] else { continue };
            let result = self.sim.world.get::<OpResult>(op);
            if !result.done() {
                continue;
            }
            self.begun[thread] = None;
            if let Event::Begins { failed, .. } = &mut self.events[event] {
                *failed = result.ret() < 0;
            }
            if matches!(self.events[event], Event::Begins { background: true, .. }) {
                self.events.push(Event::Ends { thread });
            }
        }
    }

    fn tag_agent(&self, tag: usize) -> Agent {
        self.threads() + tag as u32
    }

    fn submitted(&mut self) {
        for tag in 0..self.transfers.len() {
            let busy = self.sim.is_ready(self.tag_agent(tag));
            if busy && !self.transfers[tag].busy {
                self.transfers[tag].since = self.events.len();
                self.transfers[tag].moved = false;
            }
            self.transfers[tag].busy = busy;
        }
    }

    /// What a tag's transfer is to those who hold some.
    fn kind(&self, tag: usize) -> Option<Held> {
        let (w, tag) = (&self.sim.world, Tag(tag as u32));
        let disk = Some(w.map.disk_of_tag(tag));
        let writes = matches!(w.get::<Bio>(tag).kind(), BioKind::Writeback | BioKind::DioWrite);
        match (disk == self.disks.file, disk == self.disks.raw) {
            (true, _) if writes => Some(Held::Writes),
            (true, _) => Some(Held::Reads),
            (_, true) => Some(Held::Raw),
            _ => None,
        }
    }

    /// A step of a disk or a worker.
    fn serve(&mut self, mv: Move) -> Result<(), Unsaid> {
        let tag = (mv.agent - self.threads()) as usize;
        if tag >= self.transfers.len() {
            return Ok(());
        }
        let kind = self.kind(tag);
        if let Some(held) = kind
            && self.closed[held as usize]
            && !self.transfers[tag].moved
        {
            self.blocked()?;
            self.events.push(Event::Opens(held));
            self.closed[held as usize] = false;
            self.opened[held as usize] = self.events.len();
        }
        self.transfers[tag].moved = true;
        let (fails, writes) = (mv.outcome > 0, kind == Some(Held::Writes));
        let choice = self.sim.outcomes(mv.agent) > 1;
        if choice && writes && fails != self.fails {
            let line = self.events.iter().rposition(|e| matches!(e, Event::Begins { .. }));
            self.events.insert(line.unwrap_or(0), if fails { Event::Fails } else { Event::Works });
            self.shift(line.unwrap_or(0));
            self.fails = fails;
        } else if fails && !writes {
            return Err(Unsaid::new(self.name(mv.agent), "only writes can be made to fail"));
        }
        Ok(())
    }

    /// An event has been inserted before others.
    fn shift(&mut self, at: usize) {
        for (_, event) in self.begun.iter_mut().flatten() {
            *event += usize::from(*event >= at);
        }
        for transfer in &mut self.transfers {
            transfer.since += usize::from(transfer.since > at);
        }
        for opened in &mut self.opened {
            *opened += usize::from(*opened > at);
        }
    }

    /// Everybody who has begun something and not ended it is blocked: it runs in the background.
    fn blocked(&mut self) -> Result<(), Unsaid> {
        for thread in 0..self.begun.len() {
            let Some((_, event)) = self.begun[thread] else { continue };
            if self.sim.is_ready(thread as Agent) {
                return Err(self.stopped(thread as Agent));
            }
            if let Event::Begins { background, .. } = &mut self.events[event] {
                *background = true;
            }
        }
        Ok(())
    }

    fn stopped(&self, agent: Agent) -> Unsaid {
        let label = self.sim.label(agent).map_or("", |l| l.name);
        let what = format!("{} before '{label}'", self.name(agent));
        Unsaid::new(what, "others go on while it could, and a sequence cannot stop it there")
    }

    /// Before an operation begins, whatever can go on has gone on, but for what is held.
    fn rest(&mut self) -> Result<(), Unsaid> {
        self.blocked()?;
        let threads = self.threads();
        for agent in threads..self.sim.agents() as u32 {
            if !self.sim.is_ready(agent) {
                continue;
            }
            let tag = (agent - threads) as usize;
            let waits = self.transfers.get(tag).filter(|t| !t.moved).map(|t| t.since);
            let (Some(since), Some(held)) = (waits, self.kind(tag)) else {
                return Err(self.stopped(agent));
            };
            if !self.closed[held as usize] {
                self.close(held, since, agent)?;
            }
        }
        Ok(())
    }

    /// The gate was closed before the line that submitted a transfer.
    fn close(&mut self, held: Held, since: usize, agent: Agent) -> Result<(), Unsaid> {
        let opened = self.opened[held as usize];
        if opened > 0 && since <= opened {
            return Err(self.stopped(agent));
        }
        let before = &self.events[..since];
        let line = before.iter().rposition(|e| matches!(e, Event::Begins { .. })).unwrap_or(0);
        self.events.insert(line, Event::Closes(held));
        self.shift(line);
        self.closed[held as usize] = true;
        Ok(())
    }
}

/// The disk under a file, if its transfers can be held.
pub fn held(loaded: &Loaded, file: usize) -> Option<Disk> {
    let disk = loaded.plan.files[file].disk?;
    let block = matches!(loaded.plan.disks[disk.index()].kind, DiskKind::Block { .. });
    block.then_some(disk)
}
