//! Small machines for the tests of actors, and two ways to run them.

use crate::engine::model::{Ending, Model};
use crate::kernel::invariant;
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::{Preset, Strategy};
use crate::kernel::world::machine::OpResult;
use crate::kernel::world::plan::*;
use crate::kernel::world::{Contents, Cpu, Disk, File, FilePage, Mm, OpId};
use std::collections::BTreeSet;

/// The strategy of a preset.
pub fn preset(name: &str) -> Strategy {
    Preset::find(name).unwrap().strategy
}

/// A disk without demands.
pub fn plain_disk() -> DiskKind {
    DiskKind::Block { checksum: false, stable_writes: false, volatile_cache: false, queue_depth: 2 }
}

/// A machine with one file on one disk, mapped shared and writable by one address space.
pub fn machine(fs: FsKind, disk: DiskKind, pages: &[InitPage], populate: Populate) -> Plan {
    let count = pages.len() as u32;
    Plan {
        cpus: 2,
        spare_frames: 4,
        disks: vec![DiskPlan { name: "disk".into(), kind: disk, spare_blocks: 4 }],
        files: vec![FilePlan {
            name: "data".into(),
            fs,
            disk: (fs != FsKind::Tmpfs).then_some(Disk(0)),
            size: u64::from(count * PAGE_SIZE),
            capacity: count,
            pages: pages.to_vec(),
            folio_order: 0,
        }],
        mms: vec![MmPlan { name: "mm".into(), child_of: None }],
        vmas: vec![VmaPlan {
            name: "map".into(),
            mm: Mm(0),
            pages: count,
            backing: Backing::File { file: File(0), first: 0 },
            shared: true,
            read: true,
            write: true,
            mapped: true,
            populate,
            copy_of: None,
        }],
        ..Plan::default()
    }
}

/// Adds a user thread with a program; gives the number of its first operation.
pub fn thread(plan: &mut Plan, program: &[Op]) -> OpId {
    let first_op = OpId(plan.ops());
    plan.threads.push(ThreadPlan {
        name: format!("t{}", plan.threads.len()),
        role: Role::User(Mm(0)),
        cpu: Cpu(plan.threads.len() as u32 % plan.cpus),
        program: program.to_vec(),
        first_op,
        labels: Vec::new(),
        background: false,
    });
    first_op
}

/// Runs to the end, always the first enabled move that is no failure.
pub fn run(sim: &mut Sim) -> Ending {
    run_while(sim, |_| true)
}

/// The same, as long as a condition holds.
pub fn run_while(sim: &mut Sim, go_on: impl Fn(&Sim) -> bool) -> Ending {
    let mut moves = Vec::new();
    for _ in 0..10_000 {
        sim.moves(&mut moves);
        let Some(&first) = moves.first() else { break };
        if !go_on(sim) {
            break;
        }
        sim.apply(first);
    }
    sim.ending()
}

/// Visits every state that can be reached, and calls `end` in every final one. No invariant may
/// be broken. Gives the number of states.
pub fn explore(sim: &mut Sim, end: impl FnMut(&Sim)) -> usize {
    explore_past(sim, &[], end)
}

/// The same, but some invariants may be broken.
pub fn explore_past(sim: &mut Sim, expected: &[&str], mut end: impl FnMut(&Sim)) -> usize {
    fn visit(sim: &mut Sim, allowed: u32, seen: &mut BTreeSet<u64>, end: &mut dyn FnMut(&Sim)) {
        if !seen.insert(sim.fingerprint()) {
            return;
        }
        assert_eq!(sim.verdict().0 & !allowed, 0, "{:?}", sim.findings());
        let mut moves: Vec<Move> = Vec::new();
        sim.moves(&mut moves);
        if moves.is_empty() {
            end(sim);
        }
        for mv in moves {
            let stepped = sim.apply(mv);
            visit(sim, allowed, seen, end);
            sim.undo(stepped);
        }
    }
    let mut seen = BTreeSet::new();
    let bit = |name: &&str| 1 << invariant::find(name).expect("an invariant").0;
    let allowed = expected.iter().map(bit).sum();
    visit(sim, allowed, &mut seen, &mut end);
    seen.len()
}

/// What an operation returned.
pub fn result(sim: &Sim, op: OpId) -> Option<i32> {
    let result = sim.world.get::<OpResult>(op);
    result.done().then_some(result.ret())
}

/// What the disk has of page `n` of the file.
pub fn on_disk(sim: &Sim, n: u32) -> Contents {
    sim.world.disk_contents(FilePage(n))
}

/// What the cache has of page `n` of the file.
pub fn in_cache(sim: &Sim, n: u32) -> Option<Contents> {
    sim.world.cached(FilePage(n)).map(|f| sim.world.data(f))
}
