//! For each invariant, a world in which it breaks and one in which its premise arises and it
//! holds. A world is built by hand, with the same primitives that actors use.

mod files;
mod memory;
mod waits;

use super::judge::{Broken, Verdicts, judge, judge_all};
use super::lock::LockGraph;
use super::{TABLE, Waits, find};
use crate::kernel::world::door::Rules;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::{Pinned, RefType, RegionState, RegionUse};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Pte;
use crate::kernel::world::page::Holder;
use crate::kernel::world::pins::{PinCount, PinRules};
use crate::kernel::world::plan::*;
use crate::kernel::world::*;
use std::sync::Arc;

/// Pages of `data` (ext4), `cow` (btrfs), `plain` (xfs) and `dax`.
const DATA: FilePage = FilePage(0);
const COW: FilePage = FilePage(4);
const PLAIN: FilePage = FilePage(6);
const DAX: FilePage = FilePage(8);
/// Shared mappings of `data` and `dax`, an anonymous mapping and its copy in a child.
const MAP: VPage = VPage(0);
const MAP_DAX: VPage = VPage(2);
const ANON: VPage = VPage(4);
const CHILD: VPage = VPage(6);
/// Regions over those mappings: of a NIC, and of a NIC with a notifier.
const NIC: RegionPage = RegionPage(0);
const NIC_DAX: RegionPage = RegionPage(2);
const ODP: RegionPage = RegionPage(4);
const NIC_ANON: RegionPage = RegionPage(6);
/// Operations of the plan.
const STORE: OpId = OpId(2);
const DMA_WRITE: OpId = OpId(5);
/// Threads, and the disk's tag.
const USER: Actor = Actor(0);
const DEVICE: Actor = Actor(1);
const TAG: Tag = Tag(0);

fn file(name: &str, fs: FsKind, disk: u32, (capacity, pages): (u32, &[InitPage])) -> FilePlan {
    FilePlan {
        name: name.into(),
        fs,
        disk: Some(Disk(disk)),
        size: u64::from(PAGE_SIZE) * pages.len() as u64,
        capacity,
        pages: pages.to_vec(),
        folio_order: 0,
    }
}

fn vma(mm: u32, backing: Backing) -> VmaPlan {
    VmaPlan {
        name: format!("vma{mm}"),
        mm: Mm(mm),
        pages: 2,
        backing,
        shared: backing != Backing::Anon,
        read: true,
        write: true,
        mapped: true,
        populate: Populate::None,
        copy_of: None,
    }
}

fn thread(role: Role, first_op: OpId, program: Vec<Op>) -> ThreadPlan {
    ThreadPlan {
        name: format!("{role:?}"),
        role,
        cpu: Cpu(0),
        labels: vec![String::new(); program.len()],
        program,
        first_op,
        background: false,
    }
}

fn plan() -> Plan {
    use InitPage::*;
    let disk = DiskKind::Block {
        checksum: false,
        stable_writes: false,
        volatile_cache: true,
        queue_depth: 1,
    };
    let disks = [("disk", disk), ("pmem", DiskKind::Pmem)];
    let shows = |file| Backing::File { file: File(file), first: 0 };
    let region = |n: u32, device| RegionPlan {
        name: format!("mr{n}"),
        device: Device(device),
        pages: 2,
        slot: Slot(n),
    };
    let register =
        Op::Register { region: Region(2), first: MAP, pages: 2, write: true, longterm: true };
    let user =
        vec![Op::Store { at: MAP, part: WHOLE }, Op::Write { at: DATA, part: WHOLE }, register];
    let child = VmaPlan { copy_of: Some(Vma(2)), ..vma(1, Backing::Anon) };
    Plan {
        cpus: 2,
        spare_frames: 6,
        disks: disks
            .map(|(name, kind)| DiskPlan { name: name.into(), kind, spare_blocks: 3 })
            .to_vec(),
        files: vec![
            file("data", FsKind::Ext4, 0, (4, &[Clean, Clean])),
            file("cow", FsKind::Btrfs, 0, (2, &[Clean])),
            file("plain", FsKind::Xfs, 0, (2, &[Clean, Hole])),
            file("dax", FsKind::Dax, 1, (2, &[Cold, Cold])),
        ],
        mms: ["parent", "other"].map(|name| MmPlan { name: name.into(), child_of: None }).to_vec(),
        vmas: vec![vma(0, shows(0)), vma(0, shows(3)), vma(0, Backing::Anon), child],
        devices: [DeviceKind::Nic, DeviceKind::OdpNic]
            .map(|kind| DevicePlan::new(format!("{kind:?}"), kind))
            .to_vec(),
        regions: vec![region(0, 0), region(1, 0), region(2, 1), region(3, 0)],
        slots: (0..4).map(|n| SlotPlan { name: format!("mr{n}"), pages: 2 }).collect(),
        threads: vec![
            thread(Role::User(Mm(0)), STORE, user),
            thread(
                Role::Device(Device(0)),
                DMA_WRITE,
                vec![Op::DmaWrite { region: Region(0), page: 0 }],
            ),
        ],
        ..Plan::default()
    }
}

/// A world with what invariants may ask about agents, set by hand.
struct Bench {
    w: World,
    needs: Vec<Need>,
    finished: bool,
    orders: LockGraph,
    findings: Vec<Broken>,
}

impl Waits for Bench {
    fn need(&self, actor: Actor) -> Need {
        self.needs[actor.index()]
    }
    fn blocked(&self, actor: Actor) -> bool {
        let need = self.need(actor);
        need != Need::Never && !need.met(&self.w)
    }
    fn actors(&self) -> u32 {
        self.needs.len() as u32
    }
    fn main(&self, actor: Actor) -> bool {
        actor.index() < self.w.map.plan.threads.len()
    }
    fn finished(&self) -> bool {
        self.finished
    }
    fn orders(&self) -> &LockGraph {
        &self.orders
    }
}

impl Bench {
    fn new() -> Bench {
        Bench::of(plan())
    }

    fn of(plan: Plan) -> Bench {
        let small = PinCount { refs: 1024, pins: 0, maps: 0 };
        let large = PinCount { refs: 1, pins: 1, maps: 0 };
        let pin = PinRules { small, large, ..PinRules::default() };
        let rules = Rules { mapped_refs: false, devmap: true, pin, endless: false };
        let map = Arc::new(Layout::new(plan));
        let needs = vec![Need::Never; map.actors() as usize];
        let mut w = setup::world(map, rules);
        for (region, first) in [(0, MAP), (1, MAP_DAX), (2, MAP), (3, ANON)] {
            let state = RegionState::new().with_state(RegionUse::Registered).with_write(true);
            let pages = w.map.region_pages[region as usize].len() as u32;
            let state = state.with_first_bits(VPage::pack(Some(first))).with_pages(pages);
            w.set(Region(region), state);
        }
        Bench { w, needs, finished: true, orders: LockGraph::default(), findings: Vec::new() }
    }

    /// Makes a step and has it judged, the slow way too.
    fn step(&mut self, step: impl FnOnce(&mut World)) -> Verdicts {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        judge_all(&self.w, &*self, USER, |b| before.push(b));
        self.w.facts.clear();
        let mark = self.w.mark();
        step(&mut self.w);
        for fact in self.w.facts.clone() {
            if let Fact::Locked { actor, class, under } = fact {
                self.orders.note(class, under, || (actor, OpId(0), "step"));
            }
        }
        let mut findings = Vec::new();
        let changes = self.w.since(mark);
        let verdicts = judge(&self.w, &*self, changes, USER, |b| findings.push(b));
        judge_all(&self.w, &*self, USER, |b| after.push(b));
        after.retain(|b| !before.iter().chain(&findings).any(|known| known.same(b)));
        assert!(after.is_empty(), "overlooked: {after:?}");
        self.findings = findings;
        verdicts
    }

    /// Asserts that a step breaks an invariant.
    fn breaks(&mut self, name: &str, step: impl FnOnce(&mut World)) {
        let verdicts = self.step(step);
        let (i, _) = find(name).unwrap();
        assert!(verdicts.broken.has(i), "{name} is not broken");
    }

    /// Asserts that a step is one in which an invariant could be broken, and is not.
    fn holds(&mut self, name: &str, step: impl FnOnce(&mut World)) {
        let verdicts = self.step(step);
        let (i, _) = find(name).unwrap();
        assert!(!verdicts.broken.has(i), "{name} is broken: {:?}", self.findings);
        assert!(verdicts.reached.has(i), "{name} was not asked");
    }

    /// Asserts that the premise of an invariant does not arise in a step.
    fn silent(&mut self, name: &str, step: impl FnOnce(&mut World)) {
        let verdicts = self.step(step);
        let (i, _) = find(name).unwrap();
        assert!(!verdicts.reached.has(i), "{name} was asked: {:?}", self.findings);
    }

    /// Maps a frame for writing.
    fn map(&mut self, at: VPage, frame: Frame) {
        let pte = Pte::new().with_present(true).with_writable(true).with_dirty(true);
        self.step(|w| {
            w.set_pte(at, pte.with_frame(frame));
            w.map_page(frame, 1);
        });
    }

    /// Pins a frame, as the strategy of the bench counts pins.
    fn pin(&mut self, frame: Frame) {
        self.step(|w| {
            w.add_refs(frame, 1024);
            w.hold(frame, Holder::Pin, 1);
        });
    }

    /// Pins a frame and keeps it in a page of a slot.
    fn keep(&mut self, at: SlotPage, frame: Frame) {
        self.pin(frame);
        self.step(|w| w.set(at, kept(frame)));
    }

    fn cached(&self, at: FilePage) -> Frame {
        self.w.cached(at).unwrap()
    }
}

/// What a slot keeps of a pinned frame.
fn kept(frame: Frame) -> Pinned {
    Pinned::new().with_kind(RefType::Pin).with_frame_bits(Frame::pack(Some(frame)))
}

/// A version of a page of a file that was written as a whole.
fn version(at: FilePage, seq: u32, author: OpId) -> Contents {
    Contents::of(Version { origin: 1 + at.0, seq, author, whole: true })
}

#[test]
fn the_world_at_the_start_breaks_nothing() {
    let bench = Bench::new();
    let mut findings = Vec::new();
    judge_all(&bench.w, &bench, USER, |b| findings.push(b));
    assert_eq!(findings, []);
}

#[test]
fn every_invariant_is_named_once_and_documented() {
    assert_eq!(TABLE.len(), 22);
    for (i, invariant) in TABLE.iter().enumerate() {
        assert_eq!(find(invariant.name).map(|(at, _)| at), Some(i));
        assert!(!invariant.doc.is_empty() && !invariant.premise.is_empty());
        assert!(!invariant.source.is_empty(), "{} has no source", invariant.name);
        assert!(!(invariant.watches.is_empty() && invariant.hears.is_empty()));
    }
    assert_eq!(TABLE[super::LOCK_ORDER].name, "lock-order");
}
