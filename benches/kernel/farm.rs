//! Machines of any size: groups of eight agents work on the files of a machine, by stores, pins,
//! RDMA, writeback and fsync, for ever.

use gupsim::engine::hash::mix;
use gupsim::kernel::sim::Sim;
use gupsim::kernel::strategy::Preset;
use gupsim::kernel::world::plan::*;
use gupsim::kernel::world::{Cpu, Device, Disk, Event, File, FilePage, Id, Mm, OpId, Region, Slot};
use gupsim::kernel::world::{VPage, Vma};

/// Pages of a file and of a mapping.
const FILE: u32 = 16;
/// Threads of a group.
const GROUP: u32 = 8;
/// Operations of all programs together, if there are not too many programs.
const OPS: u32 = 1 << 14;

/// A machine with about so many agents and file pages, under a kernel that has pins.
pub fn machine(agents: u32, pages: u32) -> Sim {
    let (groups, files) = (agents.div_ceil(GROUP), pages.div_ceil(FILE));
    let block = DiskKind::Block {
        checksum: true,
        stable_writes: false,
        volatile_cache: false,
        queue_depth: 4,
    };
    let vmas = groups.max(files);
    let mut plan = Plan {
        cpus: 8,
        spare_frames: 64,
        disks: vec![DiskPlan { name: "disk".into(), kind: block, spare_blocks: 16 }],
        files: (0..files).map(file).collect(),
        mms: (0..groups).map(|n| MmPlan { name: format!("P{n}"), child_of: None }).collect(),
        vmas: (0..vmas).map(|n| vma(n, n % files, n % groups)).collect(),
        devices: vec![DevicePlan::new("nic", DeviceKind::Nic)],
        workers: 1,
        ..Plan::default()
    };
    let work = Work { groups, files, vmas, rounds: (OPS / agents).max(8) };
    (0..groups).for_each(|g| group(&mut plan, g, &work));
    let preset = Preset::ALL.iter().find(|p| p.name == "linux-6.18");
    Sim::new(plan, preset.unwrap_or(&Preset::ALL[0]).strategy)
}

fn file(n: u32) -> FilePlan {
    FilePlan {
        name: format!("data{n}"),
        fs: FsKind::Ext4,
        disk: Some(Disk(0)),
        size: u64::from(FILE) * u64::from(PAGE_SIZE),
        capacity: FILE,
        pages: vec![InitPage::Clean; FILE as usize],
        folio_order: 0,
    }
}

fn vma(n: u32, file: u32, mm: u32) -> VmaPlan {
    VmaPlan {
        name: format!("buf{n}"),
        mm: Mm(mm),
        pages: FILE,
        backing: Backing::File { file: File(file), first: 0 },
        shared: true,
        read: true,
        write: true,
        mapped: true,
        populate: Populate::Read,
        copy_of: None,
    }
}

/// What the programs have to choose from.
struct Work {
    groups: u32,
    files: u32,
    vmas: u32,
    rounds: u32,
}

impl Work {
    /// A page of one of a group's mappings, spread over all of them.
    fn page(&self, group: u32, n: u32) -> VPage {
        let own = (self.vmas - group).div_ceil(self.groups);
        let vma = Vma(group + self.groups * (mix(u64::from(n)) % u64::from(own)) as u32);
        VPage(vma.0 * FILE + mix(u64::from(n) + 7) as u32 % FILE)
    }

    fn file(&self, group: u32, n: u32) -> File {
        File(mix(u64::from(group) << 32 | u64::from(n)) as u32 % self.files)
    }
}

/// Three users that store, load, write and pin, one that registers memory and waits for its NIC,
/// two flushers, one that syncs.
fn group(plan: &mut Plan, g: u32, work: &Work) {
    let user = Role::User(Mm(g));
    let slot = |plan: &mut Plan, name: String| {
        plan.slots.push(SlotPlan { name, pages: 1 });
        Slot(plan.slots.len() as u32 - 1)
    };
    for t in 0..3 {
        let slot = slot(plan, format!("slot{g}.{t}"));
        let round = |n: u32| {
            let n = n * 4 + t;
            let (a, b) = (work.page(g, n), work.page(g, n + 1_000_000));
            let (first, write) = (b, true);
            let call = PinCall::PinFast;
            let at = FilePage(work.file(g, n).0 * FILE + n % FILE);
            let context = Context::Process;
            [
                Op::Store { at: a, part: WHOLE },
                Op::Pin { first, pages: 1, write, longterm: false, call, slot },
                Op::Load { at: a },
                Op::Unpin { slot, dirty: true, how: None, context },
                Op::Write { at, part: WHOLE },
                Op::Sleep { ns: 20_000 },
            ]
        };
        let program = (0..work.rounds).flat_map(round).collect();
        thread(plan, format!("app{g}.{t}"), user, program);
    }
    let slot = slot(plan, format!("mr{g}.pins"));
    plan.regions.push(RegionPlan { name: format!("mr{g}"), device: Device(0), pages: 1, slot });
    let region = Region(plan.regions.len() as u32 - 1);
    let (go, done) = (Event(2 * g), Event(2 * g + 1));
    plan.events.extend([format!("go{g}"), format!("done{g}")]);
    let round = |n: u32| {
        let first = work.page(g, n);
        let longterm = false;
        [
            Op::Register { region, first, pages: 1, write: true, longterm },
            Op::Post { event: go },
            Op::Wait { event: done },
            Op::Deregister { region, dirty: true, how: None },
        ]
    };
    let program = (0..work.rounds).flat_map(round).collect();
    thread(plan, format!("rdma{g}"), user, program);
    let transfers = vec![
        Op::Wait { event: go },
        Op::DmaWrite { region, page: 0 },
        Op::DmaWrite { region, page: 0 },
        Op::Post { event: done },
    ];
    thread(plan, format!("nic{g}"), Role::Device(Device(0)), transfers);
    for t in 0..2 {
        let mode = SyncMode::Cleaning;
        let round = |n: u32| {
            let file = work.file(g, n * 2 + t);
            [Op::Writeback { file, mode }, Op::Sleep { ns: 100_000 }]
        };
        let program = (0..work.rounds).flat_map(round).collect();
        thread(plan, format!("flusher{g}.{t}"), Role::Kernel, program);
    }
    let program =
        vec![Op::Fsync { file: work.file(g, 3), data_only: false }, Op::Sleep { ns: 500_000 }];
    thread(plan, format!("syncer{g}"), user, program);
}

/// A thread that begins again whenever it has finished.
fn thread(plan: &mut Plan, name: String, role: Role, mut program: Vec<Op>) {
    program.push(Op::Repeat { to: 0, times: 0 });
    let first_op = plan.threads.last().map_or(OpId(2), |t| t.first_op.plus(t.program.len() as u32));
    let cpu = Cpu((plan.threads.len() % 8) as u32);
    let labels = Vec::new();
    plan.threads.push(ThreadPlan { name, role, cpu, program, first_op, labels, background: false });
    debug_assert!(cpu.index() < 8);
}
