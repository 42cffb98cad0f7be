//! Small machines with a device, and an exhaustive search, for the unit tests of actors.

use crate::engine::model::{Ending, Model};
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::{Preset, Strategy};
use crate::kernel::world::machine::OpResult;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;
use std::collections::BTreeSet;

/// The present kernel's design.
pub fn strategy() -> Strategy {
    Preset::find("linux-6.18").expect("a preset").strategy
}

/// A file of `pages` dirty pages, cached, mapped shared and writable by one address space, and a
/// device with one region over it.
pub fn plan(kind: DeviceKind, pages: u32) -> Plan {
    let block = DiskKind::Block {
        checksum: false,
        stable_writes: false,
        volatile_cache: true,
        queue_depth: 1,
    };
    Plan {
        cpus: 1,
        spare_frames: 1,
        disks: vec![DiskPlan { name: "disk".into(), kind: block, spare_blocks: 1 }],
        files: vec![FilePlan {
            name: "data".into(),
            fs: FsKind::Xfs,
            disk: Some(Disk(0)),
            size: u64::from(pages * PAGE_SIZE),
            capacity: pages,
            pages: vec![InitPage::Dirty; pages as usize],
            folio_order: 0,
        }],
        mms: vec![MmPlan { name: "mm".into(), child_of: None }],
        vmas: vec![VmaPlan {
            name: "buf".into(),
            mm: Mm(0),
            pages,
            backing: Backing::File { file: File(0), first: 0 },
            shared: true,
            read: true,
            write: true,
            mapped: true,
            populate: Populate::Write,
            copy_of: None,
        }],
        devices: vec![DevicePlan { name: "nic".into(), kind }],
        regions: vec![RegionPlan { name: "mr".into(), device: Device(0), pages, slot: Slot(0) }],
        slots: vec![SlotPlan { name: "mr".into(), pages }],
        ..Plan::default()
    }
}

/// The only region.
pub const MR: Region = Region(0);

/// Registers the first `pages` pages of the mapping for writing.
pub fn register(pages: u32) -> Op {
    Op::Register { region: MR, first: VPage(0), pages, write: true, longterm: false }
}

/// Deregisters the region, which was written to.
pub fn deregister() -> Op {
    Op::Deregister { region: MR, dirty: true, how: None }
}

/// Adds a user thread.
pub fn user(plan: &mut Plan, program: Vec<Op>) -> OpId {
    thread(plan, "user", Role::User(Mm(0)), program)
}

/// Adds a queue of the device.
pub fn nic(plan: &mut Plan, program: Vec<Op>) -> OpId {
    thread(plan, "nic", Role::Device(Device(0)), program)
}

/// Adds a thread; gives the number of its first operation.
pub fn thread(plan: &mut Plan, name: &str, role: Role, program: Vec<Op>) -> OpId {
    let first_op = OpId(plan.ops());
    let (name, labels) = (name.into(), Vec::new());
    plan.threads.push(ThreadPlan {
        name,
        role,
        cpu: Cpu(0),
        program,
        first_op,
        labels,
        background: false,
    });
    first_op
}

/// What an operation returned; none if it has not completed.
pub fn result(sim: &Sim, op: OpId) -> Option<i32> {
    let result = sim.world.get::<OpResult>(op);
    result.done().then(|| result.ret())
}

/// Makes the steps of one agent until it cannot go on or `until` holds; gives how many.
pub fn run(sim: &mut Sim, agent: u32, until: impl Fn(&Sim) -> bool) -> u32 {
    let mut steps = 0;
    let mut moves = Vec::new();
    loop {
        sim.moves(&mut moves);
        let Some(&mv) = moves.iter().find(|m| m.agent == agent).filter(|_| !until(sim)) else {
            return steps;
        };
        sim.apply(mv);
        steps += 1;
        assert!(steps < 10_000, "agent {agent} goes on for ever");
    }
}

/// Every state that can be reached, each once; `visit` sees each with the move that led to it.
/// Gives the number of states and how the runs ended.
pub fn explore(
    sim: &mut Sim,
    visit: &mut dyn FnMut(&Sim, Option<Move>),
) -> (usize, BTreeSet<Ending>) {
    let (mut seen, mut endings) = (BTreeSet::new(), BTreeSet::new());
    descend(sim, None, visit, &mut seen, &mut endings);
    (seen.len(), endings)
}

fn descend(
    sim: &mut Sim,
    by: Option<Move>,
    visit: &mut dyn FnMut(&Sim, Option<Move>),
    seen: &mut BTreeSet<u64>,
    endings: &mut BTreeSet<Ending>,
) {
    visit(sim, by);
    assert_eq!(sim.fingerprint(), sim.full_fingerprint(), "after {by:?}");
    if !seen.insert(sim.fingerprint()) {
        return;
    }
    let mut moves = Vec::new();
    sim.moves(&mut moves);
    if moves.is_empty() {
        endings.insert(sim.ending());
    }
    let before = sim.fingerprint();
    for mv in moves {
        let stepped = sim.apply(mv);
        descend(sim, Some(mv), visit, seen, endings);
        sim.undo(stepped);
        assert_eq!(sim.fingerprint(), before, "undo of {mv:?} restores the state");
    }
}
