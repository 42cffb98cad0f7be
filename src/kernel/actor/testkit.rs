//! What the tests of actors share: plans by hand, single runs, exhaustive searches, and what has to
//! hold when a run has ended.

use crate::engine::model::{Ending, Model};
use crate::kernel::invariant;
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::{Preset, Strategy};
use crate::kernel::world::costs::Costs;
use crate::kernel::world::machine::{LockState, OpResult, Pinned};
use crate::kernel::world::objects::*;
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeSet;

/// The strategy of a preset.
pub fn preset(name: &str) -> Strategy {
    Preset::find(name).unwrap().strategy
}

/// The present kernel's design.
pub fn strategy() -> Strategy {
    preset("linux-6.18")
}

// ---- Plans ----

/// A disk without demands.
pub fn plain_disk() -> DiskKind {
    DiskKind::Block { checksum: false, stable_writes: false, volatile_cache: false, queue_depth: 2 }
}

/// The mapping of pages of a file from its start.
pub const fn file(file: File) -> Backing {
    Backing::File { file, first: 0 }
}

fn disk(name: &str, kind: DiskKind, spare_blocks: u32) -> DiskPlan {
    DiskPlan { name: name.into(), kind, spare_blocks }
}

fn file_plan(name: &str, fs: FsKind, disk: Option<Disk>, pages: &[InitPage]) -> FilePlan {
    let count = pages.len() as u32;
    FilePlan {
        name: name.into(),
        fs,
        disk,
        size: u64::from(count * PAGE_SIZE),
        capacity: count,
        pages: pages.to_vec(),
        folio_order: 0,
    }
}

/// A mapping of the first address space, there from the start and read-write.
fn vma_plan(name: String, backing: Backing, shared: bool, pages: u32) -> VmaPlan {
    VmaPlan {
        name,
        mm: Mm(0),
        pages,
        backing,
        shared,
        read: true,
        write: true,
        mapped: true,
        populate: Populate::None,
        copy_of: None,
    }
}

fn address_space(name: &str, child_of: Option<Mm>) -> MmPlan {
    MmPlan { name: name.into(), child_of }
}

/// A machine with one file on one disk, mapped shared and writable by one address space.
pub fn machine(fs: FsKind, kind: DiskKind, pages: &[InitPage], populate: Populate) -> Plan {
    let data = file_plan("data", fs, (fs != FsKind::Tmpfs).then_some(Disk(0)), pages);
    let map = vma_plan("map".into(), file(File(0)), true, pages.len() as u32);
    Plan {
        cpus: 2,
        spare_frames: 4,
        disks: vec![disk("disk", kind, 4)],
        files: vec![data],
        mms: vec![address_space("mm", None)],
        vmas: vec![VmaPlan { populate, ..map }],
        ..Plan::default()
    }
}

/// A machine as small as can be with a file of `pages` dirty pages, cached, mapped shared and
/// writable by one address space, and a device with one region over it.
pub fn device_machine(kind: DeviceKind, pages: u32) -> Plan {
    let block = DiskKind::Block {
        checksum: false,
        stable_writes: false,
        volatile_cache: true,
        queue_depth: 1,
    };
    let dirty = vec![InitPage::Dirty; pages as usize];
    Plan {
        cpus: 1,
        spare_frames: 1,
        disks: vec![disk("disk", block, 1)],
        devices: vec![DevicePlan::new("nic", kind)],
        regions: vec![RegionPlan { name: "mr".into(), device: Device(0), pages, slot: Slot(0) }],
        slots: vec![SlotPlan { name: "mr".into(), pages }],
        ..machine(FsKind::Xfs, block, &dirty, Populate::Write)
    }
}

/// Adds a user thread with a program; gives the number of its first operation.
pub fn thread(plan: &mut Plan, program: &[Op]) -> OpId {
    user(plan, Mm(0), program)
}

/// The same, of any address space.
pub fn user(plan: &mut Plan, mm: Mm, program: &[Op]) -> OpId {
    let name = format!("t{}", plan.threads.len());
    thread_of(plan, &name, Role::User(mm), program)
}

/// Adds a queue of the device.
pub fn nic(plan: &mut Plan, program: &[Op]) -> OpId {
    thread_of(plan, "nic", Role::Device(Device(0)), program)
}

/// Adds a thread of any kind, on the next processor; gives the number of its first operation.
pub fn thread_of(plan: &mut Plan, name: &str, role: Role, program: &[Op]) -> OpId {
    let first_op = OpId(plan.ops());
    plan.threads.push(ThreadPlan {
        name: name.into(),
        role,
        cpu: Cpu(plan.threads.len() as u32 % plan.cpus),
        program: program.to_vec(),
        first_op,
        labels: Vec::new(),
        background: false,
    });
    first_op
}

/// A machine under construction: one address space, a block disk, a pmem disk.
pub struct Kit {
    pub plan: Plan,
}

impl Kit {
    pub fn new() -> Kit {
        let kind = DiskKind::Block {
            checksum: false,
            stable_writes: false,
            volatile_cache: false,
            queue_depth: 1,
        };
        let plan = Plan {
            cpus: 3,
            spare_frames: 6,
            disks: vec![disk("disk", kind, 4), disk("pmem", DiskKind::Pmem, 4)],
            mms: vec![address_space("mm", None)],
            costs: Costs::default(),
            workers: 1,
            ..Plan::default()
        };
        Kit { plan }
    }

    /// A file with these pages; gives the file.
    pub fn file(&mut self, fs: FsKind, pages: &[InitPage]) -> File {
        let name = format!("file{}", self.plan.files.len());
        let disk = match fs {
            FsKind::Tmpfs => None,
            FsKind::Dax => Some(Disk(1)),
            _ => Some(Disk(0)),
        };
        self.plan.files.push(file_plan(&name, fs, disk, pages));
        File(self.plan.files.len() as u32 - 1)
    }

    /// A mapping, mapped from the start and read-write; gives its first page.
    pub fn map(&mut self, backing: Backing, shared: bool, pages: u32) -> VPage {
        let first = VPage(self.plan.vpages());
        let name = format!("vma{}", self.plan.vmas.len());
        self.plan.vmas.push(vma_plan(name, backing, shared, pages));
        first
    }

    /// A child address space with a copy of every mapping; gives it.
    pub fn child(&mut self) -> Mm {
        let mm = Mm(self.plan.mms.len() as u32);
        self.plan.mms.push(address_space("child", Some(Mm(0))));
        for n in 0..self.plan.vmas.len() {
            let vma = self.plan.vmas[n].clone();
            let copy = VmaPlan { mm, mapped: false, copy_of: Some(Vma(n as u32)), ..vma };
            self.plan.vmas.push(VmaPlan { populate: Populate::None, ..copy });
        }
        mm
    }

    pub fn slot(&mut self, pages: u32) -> Slot {
        self.plan.slots.push(SlotPlan { name: "slot".into(), pages });
        Slot(self.plan.slots.len() as u32 - 1)
    }

    /// A thread of an address space; gives the number of its first operation.
    pub fn thread(&mut self, mm: Mm, program: &[Op]) -> OpId {
        user(&mut self.plan, mm, program)
    }

    pub fn sim(self, name: &str) -> Sim {
        self.sim_with(preset(name))
    }

    pub fn sim_with(self, strategy: Strategy) -> Sim {
        Sim::new(self.plan, strategy)
    }
}

// ---- Operations ----

pub fn pin(first: VPage, pages: u32, slot: Slot, write: bool, call: PinCall) -> Op {
    Op::Pin { first, pages, write, longterm: false, call, slot }
}

pub fn unpin(slot: Slot, dirty: bool) -> Op {
    Op::Unpin { slot, dirty, how: None, context: Context::Process }
}

/// The only region of a machine with a device.
pub const MR: Region = Region(0);

/// Registers the first `pages` pages of the mapping for writing.
pub fn register(pages: u32) -> Op {
    Op::Register { region: MR, first: VPage(0), pages, write: true, longterm: false }
}

/// Deregisters the region, which was written to.
pub fn deregister() -> Op {
    Op::Deregister { region: MR, dirty: true, how: None }
}

// ---- Single runs ----

/// Steps after which a run of a small machine is taken for endless.
const LONGEST: usize = 10_000;

/// Makes the `choice`-th enabled move; false: there is none.
pub fn step(sim: &mut Sim, choice: usize) -> bool {
    let mut moves = Vec::new();
    sim.moves(&mut moves);
    if moves.is_empty() {
        return false;
    }
    sim.apply(moves[choice % moves.len()]);
    true
}

/// Runs to the end, always the first enabled move: the lowest agent that can go on, and nothing
/// that fails.
pub fn run(sim: &mut Sim) -> Ending {
    run_while(sim, |_| true)
}

/// The same, as long as a condition holds.
pub fn run_while(sim: &mut Sim, go_on: impl Fn(&Sim) -> bool) -> Ending {
    let ended = (0..LONGEST).any(|_| !go_on(sim) || !step(sim, 0));
    assert!(ended, "the run does not end");
    sim.ending()
}

/// Runs to the end, which leaves nothing behind.
pub fn finish(sim: &mut Sim) {
    run(sim);
    assert_at_rest(sim);
}

/// The same in a random order.
pub fn finish_random(sim: &mut Sim, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let ended = (0..LONGEST).any(|_| !step(sim, random.next_u32() as usize));
    assert!(ended, "the run does not end");
    assert_at_rest(sim);
}

/// Makes moves of one agent until its next step has this label.
pub fn run_until(sim: &mut Sim, agent: u32, label: &str) {
    let there = |sim: &Sim| sim.label(agent).is_some_and(|l| l.name == label);
    for _ in 0..LONGEST {
        if there(sim) || sim.label(agent).is_none() {
            break;
        }
        sim.apply(Move { agent, outcome: 0 });
    }
    assert!(there(sim), "t{agent} never came to {label}");
}

/// Makes the steps of one agent until it cannot go on or `until` holds; gives how many.
pub fn run_agent(sim: &mut Sim, agent: u32, until: impl Fn(&Sim) -> bool) -> u32 {
    let mut steps = 0;
    let mut moves = Vec::new();
    loop {
        sim.moves(&mut moves);
        let Some(&mv) = moves.iter().find(|m| m.agent == agent).filter(|_| !until(sim)) else {
            return steps;
        };
        sim.apply(mv);
        steps += 1;
        assert!((steps as usize) < LONGEST, "agent {agent} goes on for ever");
    }
}

// ---- Every run ----

/// What is called with a state, the move that led to it, and whether it is new.
type Look<'a> = &'a mut dyn FnMut(&Sim, Option<Move>, bool);

/// Visits every state that can be reached by every move that leads to it, and holds undo and the
/// fingerprint against it. Gives the number of states.
fn visit(sim: &mut Sim, look: Look) -> usize {
    let mut seen = BTreeSet::new();
    descend(sim, None, look, &mut seen);
    seen.len()
}

fn descend(sim: &mut Sim, by: Option<Move>, look: Look, seen: &mut BTreeSet<u64>) {
    let before = sim.fingerprint();
    let new = seen.insert(before);
    look(sim, by, new);
    if !new {
        return;
    }
    assert_eq!(before, sim.full_fingerprint(), "after {by:?}");
    let mut moves = Vec::new();
    sim.moves(&mut moves);
    for mv in moves {
        let stepped = sim.apply(mv);
        descend(sim, Some(mv), look, seen);
        sim.undo(stepped);
        assert_eq!(sim.fingerprint(), before, "undo of {mv:?} restores the state");
    }
}

/// Every move of every run: `look` sees each state with the move that led to it. Gives the number
/// of states and how the runs ended.
pub fn explore_moves(
    sim: &mut Sim,
    look: &mut dyn FnMut(&Sim, Option<Move>),
) -> (usize, BTreeSet<Ending>) {
    let mut endings = BTreeSet::new();
    let states = visit(sim, &mut |sim, by, _| {
        look(sim, by);
        if sim.ready() == 0 {
            endings.insert(sim.ending());
        }
    });
    (states, endings)
}

/// No state of any run breaks an invariant; `end` sees every final one. Gives the number of states.
pub fn explore(sim: &mut Sim, end: impl FnMut(&Sim)) -> usize {
    explore_past(sim, &[], end)
}

/// The same, but some invariants may be broken.
pub fn explore_past(sim: &mut Sim, expected: &[&str], mut end: impl FnMut(&Sim)) -> usize {
    let bit = |name: &&str| 1u32 << invariant::find(name).expect("an invariant").0;
    let allowed: u32 = expected.iter().map(bit).sum();
    visit(sim, &mut |sim, _, new| {
        assert_eq!(sim.verdict().0 & !allowed, 0, "{:?}", sim.findings());
        if new && sim.ready() == 0 {
            end(sim);
        }
    })
}

/// Every run ends with nothing left behind, and the counts agree in every state; `end` sees every
/// final one. Gives the number of states.
pub fn explore_to_rest(sim: &mut Sim, mut end: impl FnMut(&Sim)) -> usize {
    explore_states(sim, |sim| {
        if sim.ready() == 0 {
            end(sim);
        }
    })
}

/// The same; `look` sees every state.
pub fn explore_states(sim: &mut Sim, mut look: impl FnMut(&Sim)) -> usize {
    visit(sim, &mut |sim, _, new| {
        if new {
            assert_balanced(&sim.world);
            if sim.ready() == 0 {
                assert_at_rest(sim);
            }
            look(sim);
        }
    })
}

// ---- What holds, and what came out ----

/// Every thread has finished, nothing is locked, the counts agree.
pub fn assert_at_rest(sim: &Sim) {
    let needs = || (0..sim.agents() as u32).map(|a| sim.need(a).describe(&sim.world));
    assert_eq!(sim.ending(), Ending::Finished, "{:?}", needs().collect::<Vec<_>>());
    let w = &sim.world;
    for lock in (0..w.map.locks()).map(Lock) {
        let state = w.get::<LockState>(lock);
        assert_eq!((state.writer(), state.readers()), (0, 0), "{}", w.map.lock_name(lock));
    }
    for frame in (0..w.map.frames()).map(Frame) {
        assert_eq!(w.folio_locked_by(frame), None, "{frame:?}");
    }
    assert_balanced(w);
}

/// Every count is the sum of the holders that exist.
pub fn assert_balanced(w: &World) {
    for frame in (0..w.map.frames()).map(Frame) {
        let (flags, counts) = (w.get::<Flags>(frame), w.get::<Counts>(frame));
        if flags.tail() || frame == ZERO_PAGE {
            continue;
        }
        let h = w.get::<Holders>(frame);
        let mapped = if flags.pmem() && !w.rules.mapped_refs { 0 } else { i32::from(h.ptes()) };
        let base = i32::from(flags.pmem() && !w.rules.mapped_refs);
        let adds = w.pin_adds(frame);
        let pins = (h.pins() as i32).wrapping_mul(adds.refs);
        let pinned = h.pins() as i32 * i32::from(adds.maps);
        let cache = if flags.pmem() { 0 } else { i32::from(h.cache()) };
        let held = cache + i32::from(h.private()) + mapped + h.refs() as i32 + pins + base;
        assert_eq!(counts.refs(), held, "{frame:?} {counts:?} {h:?}");
        assert_eq!(i32::from(counts.maps()), mapped + pinned, "{frame:?} {counts:?} {h:?}");
        assert_eq!(flags.free(), held == 0 && !flags.pmem(), "{frame:?} {flags:?}");
    }
}

/// What an operation returned; none if it has not completed.
pub fn result(sim: &Sim, op: OpId) -> Option<i32> {
    let result = sim.world.get::<OpResult>(op);
    result.done().then(|| result.ret())
}

/// What an operation that has completed returned.
pub fn ret(sim: &Sim, op: OpId) -> i32 {
    result(sim, op).unwrap_or_else(|| panic!("{op:?} has not run"))
}

pub fn pte(sim: &Sim, at: VPage) -> Pte {
    sim.world.get(at)
}

/// The frame of page `n` of a slot.
pub fn kept(sim: &Sim, slot: Slot, n: u32) -> Option<Frame> {
    Frame::unpack(sim.world.get::<Pinned>(sim.world.map.slot_page(slot, n)).frame_bits())
}

/// Who wrote what an operation read last; none: zeroes, or several.
pub fn author_read(sim: &Sim, op: OpId) -> Option<OpId> {
    sim.world.get::<OpValue>(op).0.version().map(|v| v.author)
}

/// Who wrote what a frame holds.
pub fn author(sim: &Sim, frame: Frame) -> Option<OpId> {
    sim.world.data(frame).version().map(|v| v.author)
}

/// What the disk has of page `n` of the first file.
pub fn on_disk(sim: &Sim, n: u32) -> Contents {
    sim.world.disk_contents(FilePage(n))
}

/// What the cache has of page `n` of the first file.
pub fn in_cache(sim: &Sim, n: u32) -> Option<Contents> {
    sim.world.cached(FilePage(n)).map(|f| sim.world.data(f))
}
