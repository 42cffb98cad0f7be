//! Random machines and programs for the laws: plans made of a list of numbers, so that a failing
//! one shrinks.
#![allow(dead_code, reason = "each test takes what it needs")]

pub mod wild;

use gupsim::kernel::strategy::{Preset, Strategy};
use gupsim::kernel::world::plan::*;
use gupsim::kernel::world::*;

/// Numbers that decide, one after the other; when they run out, everything is decided as 0.
pub struct Dice<'a>(pub std::slice::Iter<'a, u16>);

impl Dice<'_> {
    /// A number below `n`.
    pub fn below(&mut self, n: u32) -> u32 {
        u32::from(self.0.next().copied().unwrap_or(0)) % n
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u32) as usize]
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }
}

/// Pages of every file and mapping.
const PAGES: u32 = 2;
/// The files: in the page cache, on pmem, a neighbour's on the disk of the first.
const CACHED: File = File(0);
const DAX: File = File(1);

/// A design: a preset with some axes changed, unless that makes no sense.
pub fn strategy(dice: &mut Dice) -> Strategy {
    let preset = dice.one_of(Preset::ALL).strategy;
    let mut strategy = preset;
    for _ in 0..dice.below(4) {
        let axis = dice.one_of(Strategy::AXES);
        let value = dice.one_of(axis.values);
        strategy.set(axis.flag, value.name).expect("a value of the table");
    }
    if strategy.refused().is_some() { preset } else { strategy }
}

/// A machine with two files, four mappings, three devices, and a few threads.
pub fn plan(dice: &mut Dice) -> Plan {
    let mut plan = machine(dice);
    let roles = [Role::User(Mm(0)), Role::User(Mm(0)), Role::Kernel, Role::Device(Device(0))];
    let more = [Role::Neighbour, Role::Chance, Role::Device(Device(1)), Role::User(Mm(1))];
    let mut first_op = OpId(2);
    for n in 0..2 + dice.below(3) {
        let role = if n < 2 { roles[n as usize] } else { dice.one_of(&[roles, more].concat()) };
        let mut program = Vec::new();
        while program.len() < 1 + dice.below(4) as usize {
            operation(dice, role, &mut program);
        }
        let labels = vec![String::new(); program.len()];
        let (cpu, name) = (Cpu(dice.below(plan.cpus)), format!("t{n}"));
        let background = matches!(role, Role::Device(_)) && dice.flag();
        let next = first_op.plus(program.len() as u32);
        plan.threads.push(ThreadPlan { name, role, cpu, program, first_op, labels, background });
        first_op = next;
    }
    plan
}

fn machine(dice: &mut Dice) -> Plan {
    use DeviceKind::*;
    let block = DiskKind::Block {
        checksum: dice.flag(),
        stable_writes: dice.flag(),
        volatile_cache: dice.flag(),
        queue_depth: 1 + dice.below(2),
    };
    let disk = |name: &str, kind| DiskPlan { name: name.into(), kind, spare_blocks: 2 };
    let fs = dice.one_of(&[FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs, FsKind::Tmpfs]);
    let on = (fs != FsKind::Tmpfs).then_some(Disk(0));
    let files = vec![
        file(dice, "data", fs, on),
        file(dice, "dax", FsKind::Dax, Some(Disk(1))),
        FilePlan { pages: vec![], ..file(dice, "others", FsKind::Ext4, Some(Disk(0))) },
    ];
    let mut vmas = Vec::new();
    for (mm, copy_of) in [(0, None), (1, Some(()))] {
        for file in [Some(CACHED), Some(DAX), None] {
            let backing = file.map_or(Backing::Anon, |file| Backing::File { file, first: 0 });
            let populate = dice.one_of(&[Populate::None, Populate::Read, Populate::Write]);
            vmas.push(VmaPlan {
                name: format!("vma{}", vmas.len()),
                mm: Mm(mm),
                pages: PAGES,
                backing,
                shared: file.is_some(),
                read: true,
                write: true,
                mapped: mm == 0,
                populate: if mm == 0 { populate } else { Populate::None },
                copy_of: copy_of.map(|()| Vma(vmas.len() as u32 - 3)),
            });
        }
    }
    let region =
        |n| RegionPlan { name: format!("mr{n}"), device: Device(n), pages: PAGES, slot: Slot(n) };
    let slot = |n| SlotPlan { name: format!("slot{n}"), pages: PAGES };
    let mm = |name: &str, child_of| MmPlan { name: name.into(), child_of };
    let device = |kind| DevicePlan::new(format!("{kind:?}"), kind);
    Plan {
        cpus: 2,
        spare_frames: 2 + dice.below(5),
        disks: vec![disk("disk", block), disk("pmem", DiskKind::Pmem)],
        files,
        mms: vec![mm("parent", None), mm("child", Some(Mm(0)))],
        vmas,
        devices: [Nic, OdpNic].map(device).to_vec(),
        regions: (0..2).map(region).collect(),
        slots: (0..4).map(slot).collect(),
        events: vec!["a".into(), "b".into()],
        workers: 1,
        faults: Faults { io_errors: dice.below(2), enomem: dice.below(2), ..Faults::default() },
        ..Plan::default()
    }
}

fn file(dice: &mut Dice, name: &str, fs: FsKind, disk: Option<Disk>) -> FilePlan {
    use InitPage::*;
    let kinds: &[InitPage] = match fs {
        FsKind::Dax => &[Cold, Hole],
        FsKind::Tmpfs => &[Clean, Hole],
        _ => &[Clean, Dirty, Cold, Hole],
    };
    FilePlan {
        name: name.into(),
        fs,
        disk,
        size: u64::from(PAGES * PAGE_SIZE),
        capacity: PAGES,
        pages: (0..PAGES).map(|_| dice.one_of(kinds)).collect(),
        folio_order: 0,
    }
}

/// Adds an operation to a program, or a pair that belongs together.
fn operation(dice: &mut Dice, role: Role, program: &mut Vec<Op>) {
    let event = Event(dice.below(2));
    let sync = dice.one_of(&[Op::Post { event }, Op::Wait { event }, Op::Sleep { ns: 10 }]);
    let region = Region(dice.below(2));
    let page = dice.below(PAGES);
    match role {
        Role::User(mm) => user(dice, mm, program),
        Role::Kernel => kernel(dice, program),
        Role::Device(_) => program.push(dice.one_of(&[
            Op::DmaWrite { region, page },
            Op::DmaRead { region, page },
            Op::DmaWait { region },
            sync,
        ])),
        Role::Neighbour => {
            let page = FilePage(2 * PAGES + page);
            program.push(dice.one_of(&[Op::TakeFrame, Op::TakeBlock { page }, sync]));
        }
        Role::Chance => program.push(dice.one_of(&[Op::Crash, Op::Signal { to: Actor(0) }])),
    }
}

fn kernel(dice: &mut Dice, program: &mut Vec<Op>) {
    let file = CACHED;
    let page = FilePage(dice.below(PAGES));
    let mode = dice.one_of(&[SyncMode::Cleaning, SyncMode::Integrity]);
    program.push(dice.one_of(&[
        Op::Writeback { file, mode },
        Op::Reclaim { page },
        Op::DropCaches { file },
        Op::Migrate { page },
        Op::Unbind { disk: Disk(1) },
    ]));
}

fn user(dice: &mut Dice, mm: Mm, program: &mut Vec<Op>) {
    let vma = Vma(3 * mm.0 + dice.below(3));
    let (page, file) = (dice.below(PAGES), dice.one_of(&[CACHED, DAX]));
    let (first, at) = (VPage(vma.0 * PAGES), VPage(vma.0 * PAGES + page));
    let file_page = FilePage(file.0 * PAGES + page);
    let part = dice.one_of(&[WHOLE, (0, 2048), (2048, 4096)]);
    let event = Event(dice.below(2));
    let advice = dice.one_of(&[Advice::DontNeed, Advice::PageOut, Advice::PopulateWrite]);
    let call = dice.one_of(&[PinCall::PinFast, PinCall::PinSlow, PinCall::GetFast]);
    let (write, longterm) = (dice.flag(), dice.flag() && call.is_pin());
    let slot = Slot(2 + dice.below(2));
    let region = Region(dice.below(2));
    let pages = PAGES;
    let size = u64::from(dice.one_of(&[0, 100, PAGE_SIZE, PAGES * PAGE_SIZE]));
    match dice.below(9) {
        0 => {
            program.push(Op::Pin { first, pages, write, longterm, call, slot });
            let context = dice.one_of(&[Context::Process, Context::Irq, Context::Worker]);
            program.push(Op::Unpin { slot, dirty: write, how: None, context });
        }
        1 => {
            program.push(Op::Register { region, first, pages, write: true, longterm: true });
            program.push(Op::DmaWait { region });
            program.push(Op::Deregister { region, dirty: true, how: None });
        }
        2 => program.push(dice.one_of(&[
            Op::Post { event },
            Op::Wait { event },
            Op::Sleep { ns: 10 },
            Op::Repeat { to: 0, times: 2 },
        ])),
        3 => program.push(dice.one_of(&[
            Op::Truncate { file, size },
            Op::Punch { first: file_page, pages: 1 },
            Op::Fsync { file, data_only: false },
            Op::Msync { vma, sync: true },
        ])),
        4 => program.push(dice.one_of(&[
            Op::DioRead { from: FilePage(page), into: at },
            Op::DioWrite { to: FilePage(page), from: at },
        ])),
        5 => program.push(dice.one_of(&[
            Op::Munmap { vma },
            Op::Mprotect { vma, read: true, write: false },
            Op::Madvise { first, pages, advice },
        ])),
        6 if mm == Mm(0) && !program.iter().any(|op| matches!(op, Op::Repeat { .. })) => {
            program.push(Op::Fork { child: Mm(1) });
        }
        _ => program.push(dice.one_of(&[
            Op::Store { at, part },
            Op::Load { at },
            Op::Write { at: file_page, part },
            Op::Read { at: file_page },
        ])),
    }
}
