//! Larger machines with every operation: what the laws about the ends of runs are held against.

use super::{Dice, strategy};
use gupsim::kernel::sim::Sim;
use gupsim::kernel::world::plan::*;
use gupsim::kernel::world::*;

/// Pages of every file and mapping.
const PAGES: u32 = 2;
/// Files: in the page cache, on pmem, a second one in the page cache, a neighbour's.
const FILES: u32 = 3;
const NEIGHBOURS: u32 = 3;
/// Mappings of each address space: each file shared, the first private, anonymous memory; a second
/// one of the first file and of anonymous memory, for mremap.
const MAPS: u32 = 7;
/// Between which mappings of an address space pages move.
const MOVES: [(u32, u32); 2] = [(0, FILES + 2), (FILES + 1, FILES + 3)];
/// Address spaces: a parent, its child, its grandchild.
const MMS: u32 = 3;
/// Slots of each thread: two threads that fill one slot at once are a bug of the driver.
const SLOTS: u32 = 2;
const DEVICES: [DeviceKind; 4] =
    [DeviceKind::Nic, DeviceKind::OdpNic, DeviceKind::Gpu, DeviceKind::Capture];

/// How large a machine is at most.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Threads.
    pub threads: u32,
    /// Operations of each.
    pub ops: u32,
}

/// A machine made of one list of numbers.
pub fn sim(numbers: &[u16], size: Scale) -> Sim {
    let mut dice = Dice(numbers.iter());
    let strategy = strategy(&mut dice);
    Sim::new(plan(&mut dice, size), strategy)
}

/// A plan that a scenario could have been compiled to.
pub fn plan(dice: &mut Dice, size: Scale) -> Plan {
    let mut plan = machine(dice, size);
    for n in 0..1 + dice.below(size.threads) {
        let role = match dice.below(10) {
            0..4 => Role::User(Mm(0)),
            4 if dice.below(3) == 0 => Role::User(Mm(1 + dice.below(MMS - 1))),
            4..7 => Role::Kernel,
            7 => Role::Device(Device(dice.below(DEVICES.len() as u32))),
            8 => Role::Neighbour,
            _ => Role::Chance,
        };
        let (first_op, mut program) = (OpId(plan.ops()), Vec::new());
        for _ in 0..1 + dice.below(size.ops) {
            operation(dice, size, (n, role), first_op, &mut program);
        }
        // A child is forked once.
        let forks = |p: &[Op], op: &Op| matches!(op, Op::Fork { .. }) && p.contains(op);
        let elsewhere = |op: &Op| plan.threads.iter().any(|t| forks(&t.program, op));
        let mut known: Vec<Op> = Vec::new();
        for op in &mut program {
            if forks(&known, op) || elsewhere(op) {
                *op = Op::Sleep { ns: 1 };
            }
            known.push(*op);
        }
        plan.threads.push(ThreadPlan {
            name: format!("t{n}"),
            role,
            cpu: Cpu(dice.below(plan.cpus)),
            first_op,
            labels: Vec::new(),
            background: matches!(role, Role::Device(_)) && dice.below(4) == 0,
            program,
        });
    }
    plan
}

fn machine(dice: &mut Dice, size: Scale) -> Plan {
    let block = DiskKind::Block {
        checksum: dice.flag(),
        stable_writes: dice.flag(),
        volatile_cache: dice.flag(),
        queue_depth: 1 + dice.below(3),
    };
    let disk = |name: &str, kind, spare_blocks| DiskPlan { name: name.into(), kind, spare_blocks };
    let (spare, spare_pmem) = (1 + dice.below(4), 1 + dice.below(3));
    let mut files = Vec::new();
    for n in 0..FILES {
        let fs = match n {
            1 => FsKind::Dax,
            _ => dice.one_of(&[FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs, FsKind::Tmpfs]),
        };
        let on = (fs != FsKind::Tmpfs).then_some(Disk(u32::from(n == 1)));
        files.push(file(dice, &format!("file{n}"), fs, on));
    }
    files.push(FilePlan { pages: vec![], ..file(dice, "theirs", FsKind::Ext4, Some(Disk(0))) });
    let mm = |n: u32| MmPlan { name: format!("mm{n}"), child_of: n.checked_sub(1).map(Mm) };
    let devices = DEVICES.map(|kind| DevicePlan {
        revocable: kind != DeviceKind::Capture,
        ..DevicePlan::new(format!("{kind:?}"), kind)
    });
    let region = |n: u32| {
        let name = format!("mr{n}");
        let device = Device(n % DEVICES.len() as u32);
        RegionPlan { name, device, pages: PAGES, slot: Slot(n) }
    };
    let slot = |n: u32| SlotPlan { name: format!("slot{n}"), pages: PAGES };
    Plan {
        cpus: 1 + dice.below(3),
        spare_frames: 1 + dice.below(8),
        disks: vec![disk("disk", block, spare), disk("pmem", DiskKind::Pmem, spare_pmem)],
        vmas: mappings(dice),
        files,
        mms: (0..MMS).map(mm).collect(),
        devices: devices.to_vec(),
        regions: (0..size.threads).map(region).collect(),
        slots: (0..size.threads * (1 + SLOTS)).map(slot).collect(),
        events: vec!["a".into(), "b".into()],
        workers: 1 + dice.below(2),
        faults: Faults { io_errors: dice.below(3), enomem: dice.below(3), ..Faults::default() },
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
    let large = fs != FsKind::Dax && dice.below(3) == 0;
    let first = dice.one_of(kinds);
    let page = |n| if n == 0 { first } else { dice.one_of(kinds) };
    let mut pages: Vec<InitPage> = (0..PAGES).map(page).collect();
    let size = dice.one_of(&[PAGES * PAGE_SIZE, PAGES * PAGE_SIZE, PAGE_SIZE, 6000, 0]);
    // There is nothing beyond the end of a file.
    pages.truncate(size.div_ceil(PAGE_SIZE) as usize);
    FilePlan {
        name: name.into(),
        fs,
        disk,
        pages,
        size: u64::from(size),
        capacity: PAGES,
        folio_order: u32::from(large),
    }
}

fn mappings(dice: &mut Dice) -> Vec<VmaPlan> {
    let mut vmas: Vec<VmaPlan> = Vec::new();
    for n in 0..MMS * MAPS {
        if let Some(parent) = n.checked_sub(MAPS) {
            let copy = VmaPlan { mm: Mm(n / MAPS), mapped: false, ..vmas[parent as usize].clone() };
            let (name, copy_of) = (format!("vma{n}"), Some(Vma(parent)));
            vmas.push(VmaPlan { name, copy_of, populate: Populate::None, ..copy });
            continue;
        }
        let file = |n| Backing::File { file: File(n), first: 0 };
        let backing = match n {
            0..FILES => file(n),
            FILES => file(0),
            n if n == FILES + 2 => file(0),
            _ => Backing::Anon,
        };
        vmas.push(VmaPlan {
            name: format!("vma{n}"),
            mm: Mm(0),
            pages: PAGES,
            backing,
            shared: n < FILES || n == FILES + 2,
            read: true,
            write: true,
            mapped: dice.below(6) != 0,
            populate: match n {
                0..FILES => dice.one_of(&[Populate::None, Populate::Read, Populate::Write]),
                _ => Populate::None,
            },
            copy_of: None,
        });
    }
    vmas
}

/// What must not be repeated.
fn once(op: &Op) -> bool {
    matches!(op, Op::Repeat { .. } | Op::Fork { .. })
}

/// Adds an operation to a program, or a pair that belongs together.
fn operation(
    dice: &mut Dice,
    size: Scale,
    (n, role): (u32, Role),
    first_op: OpId,
    program: &mut Vec<Op>,
) {
    let page = dice.below(PAGES);
    match role {
        Role::User(mm) => user(dice, (size.threads, n, mm), program),
        Role::Kernel => kernel(dice, program),
        Role::Device(device) => {
            let all = 0..size.threads;
            let mine = |&n: &u32| n % DEVICES.len() as u32 == device.0;
            let mine: Vec<u32> = all.filter(mine).collect();
            let Some(region) = mine.first().map(|_| Region(dice.one_of(&mine))) else {
                return program.push(sync(dice));
            };
            program.push(match dice.below(8) {
                0..4 => Op::DmaWrite { region, page },
                4..6 => Op::DmaRead { region, page },
                _ => sync(dice),
            });
        }
        Role::Neighbour => {
            let (n, page) = (program.len() as u32, FilePage(NEIGHBOURS * PAGES + page));
            program.push(dice.one_of(&[Op::TakeFrame, Op::TakeBlock { page }]));
            program.push(Op::Verify { taken: first_op.plus(n) });
        }
        Role::Chance => {
            let (to, file) = (Actor(dice.below(2)), File(dice.below(2)));
            let signal = Op::Signal { to };
            program.push(dice.one_of(&[signal, Op::LeaseTimeout { file }, signal, Op::Crash]));
        }
    }
}

fn sync(dice: &mut Dice) -> Op {
    let event = Event(dice.below(2));
    let sleep = Op::Sleep { ns: 10 };
    dice.one_of(&[Op::Post { event }, Op::Post { event }, Op::Wait { event }, sleep, sleep])
}

fn kernel(dice: &mut Dice, program: &mut Vec<Op>) {
    let file = File(dice.below(FILES));
    let page = FilePage(dice.below(FILES * PAGES));
    let mode = dice.one_of(&[SyncMode::Cleaning, SyncMode::Integrity]);
    program.push(match dice.below(12) {
        0..4 => Op::Writeback { file, mode },
        4..6 => Op::Reclaim { page },
        6..8 => Op::DropCaches { file },
        8..10 => Op::Migrate { page },
        10 => Op::Unbind { disk: Disk(1) },
        _ => sync(dice),
    });
}

fn user(dice: &mut Dice, (threads, n, mm): (u32, u32, Mm), program: &mut Vec<Op>) {
    let vma = Vma(MAPS * mm.0 + dice.below(MAPS));
    let (page, file) = (dice.below(PAGES), File(dice.below(FILES)));
    let (first, at) = (VPage(vma.0 * PAGES), VPage(vma.0 * PAGES + page));
    let pages = if page == 0 { dice.one_of(&[PAGES, 1]) } else { 1 };
    let (from_first, into) = (if page == 0 { first } else { at }, at);
    let file_page = FilePage(file.0 * PAGES + page);
    let part = dice.one_of(&[WHOLE, (0, 2048), (2048, 4096), (100, 200)]);
    match dice.below(20) {
        0..3 => pin(dice, threads + n * SLOTS, (from_first, pages), program),
        3..5 => {
            // Two threads that register one region at once are a bug of theirs.
            let region = Region(n);
            let (write, longterm) = (dice.below(4) != 0, dice.flag());
            program.push(Op::Register { region, first: from_first, pages, write, longterm });
            if dice.below(4) != 0 {
                let (dirty, how) = (write, how(dice));
                program.push(Op::DmaWait { region });
                program.push(Op::Deregister { region, dirty, how });
            }
        }
        5 => program.push(sync(dice)),
        6 if !program.is_empty() && !program.iter().any(once) => {
            let to = dice.below(program.len() as u32) as u16;
            program.push(Op::Repeat { to, times: 1 + dice.below(3) });
        }
        7..9 => {
            let size = u64::from(dice.one_of(&[0, 100, PAGE_SIZE, 6000, PAGES * PAGE_SIZE]));
            program.push(
                dice.one_of(&[
                    Op::Truncate { file, size },
                    Op::Punch { first: file_page, pages: 1 },
                ]),
            );
        }
        9..11 => saves(dice, file, vma, program),
        11 => program.push(dice.one_of(&[
            Op::DioRead { from: file_page, into },
            Op::DioWrite { to: file_page, from: into },
        ])),
        12 => {
            let write = dice.flag();
            let moves = remap(dice, mm);
            program.push(dice.one_of(&[
                Op::Munmap { vma },
                Op::Mmap { vma },
                Op::Mprotect { vma, read: true, write },
                moves,
            ]));
        }
        13 | 14 => {
            use Advice::*;
            let advice = dice.one_of(&[DontNeed, PageOut, Free, PopulateRead, PopulateWrite]);
            program.push(Op::Madvise { first: from_first, pages, advice });
        }
        15 if mm.0 + 1 < MMS && !program.iter().any(once) => {
            program.push(Op::Fork { child: Mm(mm.0 + 1) })
        }
        _ => program.push(dice.one_of(&[
            Op::Store { at, part },
            Op::Load { at },
            Op::Write { at: file_page, part },
            Op::Read { at: file_page },
        ])),
    }
}

/// Pages move from one of a pair of mappings to the other.
fn remap(dice: &mut Dice, mm: Mm) -> Op {
    let (a, b) = dice.one_of(&MOVES);
    let (from, to) = if dice.flag() { (a, b) } else { (b, a) };
    let vma = |n| Vma(MAPS * mm.0 + n);
    Op::Mremap { from: vma(from), to: vma(to), keeps: dice.below(4) == 0 }
}

fn how(dice: &mut Dice) -> Option<Redirty> {
    use Redirty::*;
    dice.one_of(&[None, None, Some(Plain), Some(SetDirty), Some(SetDirtyLock)])
}

/// Pins, and mostly releases.
fn pin(dice: &mut Dice, slot: u32, (first, pages): (VPage, u32), program: &mut Vec<Op>) {
    use PinCall::*;
    let call = dice.one_of(&[PinFast, PinFast, PinSlow, GetFast, GetSlow]);
    let (write, longterm) = (dice.flag(), dice.flag() && call.is_pin());
    let slot = Slot(slot + dice.below(SLOTS));
    program.push(Op::Pin { first, pages, write, longterm, call, slot });
    for _ in 0..dice.one_of(&[1, 1, 1, 1, 0, 2]) {
        let context = dice.one_of(&[Context::Process, Context::Irq, Context::Worker]);
        program.push(Op::Unpin { slot, dirty: write, how: how(dice), context });
    }
}

/// What saves data, or promises to.
fn saves(dice: &mut Dice, file: File, vma: Vma, program: &mut Vec<Op>) {
    let flags = SfrFlags { wait_before: dice.flag(), write: dice.flag(), wait_after: dice.flag() };
    let other = FilePage((file.0 + 2) % 4 * PAGES);
    let (data_only, sync) = (dice.flag(), dice.flag());
    program.push(match dice.below(8) {
        0..3 => Op::Fsync { file, data_only },
        3 => Op::Msync { vma, sync },
        4 => Op::SyncFileRange { file, flags },
        5 => Op::Reflink { from: FilePage(file.0 * PAGES), to: other, pages: 1 },
        6 => Op::TakeLease { file },
        _ => Op::AnswerLease { file },
    });
}
