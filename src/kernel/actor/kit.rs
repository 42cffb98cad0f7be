//! Small machines for the unit tests of actors: a plan by hand, a run, an exhaustive search.

use crate::engine::model::Model;
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::{Preset, Strategy};
use crate::kernel::world::costs::Costs;
use crate::kernel::world::machine::{OpResult, Pinned};
use crate::kernel::world::objects::*;
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeSet;

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
        let disk = DiskPlan { name: "disk".into(), kind, spare_blocks: 4 };
        let pmem = DiskPlan { name: "pmem".into(), kind: DiskKind::Pmem, spare_blocks: 4 };
        let plan = Plan {
            cpus: 3,
            spare_frames: 6,
            disks: vec![disk, pmem],
            mms: vec![MmPlan { name: "mm".into(), child_of: None }],
            costs: Costs::default(),
            workers: 1,
            ..Plan::default()
        };
        Kit { plan }
    }

    /// A file with these pages; gives the file.
    pub fn file(&mut self, fs: FsKind, pages: &[InitPage]) -> File {
        let n = pages.len() as u32;
        self.plan.files.push(FilePlan {
            name: format!("file{}", self.plan.files.len()),
            fs,
            disk: match fs {
                FsKind::Tmpfs => None,
                FsKind::Dax => Some(Disk(1)),
                _ => Some(Disk(0)),
            },
            size: u64::from(n * PAGE_SIZE),
            capacity: n,
            pages: pages.to_vec(),
            folio_order: 0,
        });
        File(self.plan.files.len() as u32 - 1)
    }

    /// A mapping, mapped from the start and read-write; gives its first page.
    pub fn map(&mut self, backing: Backing, shared: bool, pages: u32) -> VPage {
        let first = VPage(self.plan.vpages());
        self.plan.vmas.push(VmaPlan {
            name: format!("vma{}", self.plan.vmas.len()),
            mm: Mm(0),
            pages,
            backing,
            shared,
            read: true,
            write: true,
            mapped: true,
            populate: Populate::None,
            copy_of: None,
        });
        first
    }

    /// A child address space with a copy of every mapping; gives it.
    pub fn child(&mut self) -> Mm {
        let mm = Mm(self.plan.mms.len() as u32);
        self.plan.mms.push(MmPlan { name: "child".into(), child_of: Some(Mm(0)) });
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

    /// A thread of an address space on a processor of its own; gives the number of its first
    /// operation.
    pub fn thread(&mut self, mm: Mm, program: &[Op]) -> OpId {
        let first_op = OpId(self.plan.ops());
        let n = self.plan.threads.len() as u32;
        self.plan.threads.push(ThreadPlan {
            name: format!("t{n}"),
            role: Role::User(mm),
            cpu: Cpu(n),
            program: program.to_vec(),
            first_op,
            labels: Vec::new(),
            background: false,
        });
        first_op
    }

    pub fn sim(self, preset: &str) -> Sim {
        self.sim_with(Preset::find(preset).unwrap().strategy)
    }

    pub fn sim_with(self, strategy: Strategy) -> Sim {
        Sim::new(self.plan, strategy)
    }
}

pub const fn file(file: File) -> Backing {
    Backing::File { file, first: 0 }
}

pub fn pin(first: VPage, pages: u32, slot: Slot, write: bool, call: PinCall) -> Op {
    Op::Pin { first, pages, write, longterm: false, call, slot }
}

pub fn unpin(slot: Slot, dirty: bool) -> Op {
    Op::Unpin { slot, dirty, how: None, context: Context::Process }
}

/// Runs to the end; the lowest agent that can go on goes on.
pub fn run(sim: &mut Sim) {
    let ended = (0..LONGEST).any(|_| !step(sim, 0));
    assert!(ended, "the run does not end");
    check(sim);
}

/// Steps after which a run of a small machine is taken for endless.
const LONGEST: usize = 10_000;

/// Runs to the end in a random order.
pub fn run_random(sim: &mut Sim, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let ended = (0..LONGEST).any(|_| !step(sim, random.next_u32() as usize));
    assert!(ended, "the run does not end");
    check(sim);
}

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

/// Makes moves of one thread until its next step has this label.
pub fn run_until(sim: &mut Sim, agent: u32, label: &str) {
    for _ in 0..LONGEST {
        if sim.label(agent).is_none_or(|l| l.name == label) {
            break;
        }
        sim.apply(Move { agent, outcome: 0 });
    }
    assert!(sim.label(agent).is_some_and(|l| l.name == label), "t{agent} never came to {label}");
}

/// Visits every end of every interleaving; gives the number of states. Counts are checked in each.
pub fn explore(sim: &mut Sim, mut at_end: impl FnMut(&Sim)) -> usize {
    explore_with(sim, &mut |sim| {
        if sim.ready() == 0 {
            at_end(sim);
        }
    })
}

/// Visits every state of every interleaving.
pub fn explore_with(sim: &mut Sim, look: &mut dyn FnMut(&Sim)) -> usize {
    fn visit(sim: &mut Sim, seen: &mut BTreeSet<u64>, look: &mut dyn FnMut(&Sim)) {
        if !seen.insert(sim.fingerprint()) {
            return;
        }
        check_counts(sim);
        let mut moves = Vec::new();
        sim.moves(&mut moves);
        if moves.is_empty() {
            check(sim);
        }
        look(sim);
        for mv in moves {
            let stepped = sim.apply(mv);
            visit(sim, seen, look);
            sim.undo(stepped);
        }
    }
    let mut seen = BTreeSet::new();
    visit(sim, &mut seen, look);
    seen.len()
}

/// Every thread has finished, nothing is locked, the counts agree.
pub fn check(sim: &Sim) {
    assert_eq!(sim.ending(), crate::engine::model::Ending::Finished, "{:?}", stuck(sim));
    let w = &sim.world;
    for lock in (0..w.map.locks()).map(Lock) {
        let state = w.get::<machine::LockState>(lock);
        assert_eq!((state.writer(), state.readers()), (0, 0), "{}", w.map.lock_name(lock));
    }
    for frame in (0..w.map.frames()).map(Frame) {
        assert_eq!(w.folio_locked_by(frame), None, "{frame:?}");
    }
    check_counts(sim);
}

fn stuck(sim: &Sim) -> Vec<String> {
    (0..sim.agents() as u32).map(|a| sim.need(a).describe(&sim.world)).collect()
}

/// Every count is the sum of the holders that exist.
fn check_counts(sim: &Sim) {
    let w = &sim.world;
    for frame in (0..w.map.frames()).map(Frame) {
        let (flags, counts) = (w.get::<Flags>(frame), w.get::<Counts>(frame));
        if flags.tail() || frame == ZERO_PAGE {
            continue;
        }
        let h = w.get::<Holders>(frame);
        let mapped = if flags.pmem() && !w.rules.mapped_refs { 0 } else { i32::from(h.ptes()) };
        let base = i32::from(flags.pmem() && !w.rules.mapped_refs);
        let pins = i32::from(h.pins()) * w.rules.pin_refs;
        let cache = if flags.pmem() { 0 } else { i32::from(h.cache()) };
        let held = cache + i32::from(h.private()) + mapped + i32::from(h.refs()) + pins + base;
        assert_eq!(counts.refs(), held, "{frame:?} {counts:?} {h:?}");
        assert_eq!(i32::from(counts.maps()), mapped, "{frame:?} {counts:?} {h:?}");
        assert_eq!(flags.free(), held == 0 && !flags.pmem(), "{frame:?} {flags:?}");
    }
}

/// What an operation returned.
pub fn ret(sim: &Sim, op: OpId) -> i32 {
    let result = sim.world.get::<OpResult>(op);
    assert!(result.done(), "{op:?} has not run");
    result.ret()
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
