//! What is worked out once, when a plan is laid out.

use super::super::ids::*;
use super::super::plan::{
    Backing, DiskKind, FilePlan, Op, Plan, Populate, Role, SlotPlan, VmaPlan,
};
use super::Layout;
use std::ops::Range;

/// Adds a slot of one page for each thread that does direct I/O.
fn add_dio_slots(plan: &mut Plan) -> Vec<Option<Slot>> {
    let mut slots = Vec::with_capacity(plan.threads.len());
    for thread in &plan.threads {
        let dio = |op: &Op| matches!(op, Op::DioRead { .. } | Op::DioWrite { .. });
        slots.push(thread.program.iter().any(dio).then(|| {
            let name = format!("{}.dio", thread.name);
            plan.slots.push(SlotPlan { name, pages: 1 });
            Slot(plan.slots.len() as u32 - 1)
        }));
    }
    slots
}

impl Layout {
    /// Works out the numbers of a plan.
    pub fn new(mut plan: Plan) -> Layout {
        let dio_slots = add_dio_slots(&mut plan);
        let file_pages = Plan::ranges(plan.files.iter().map(|f| f.capacity));
        let vma_pages = Plan::ranges(plan.vmas.iter().map(|v| v.pages));
        let owners = |ranges: &[Range<u32>]| {
            let pairs = ranges.iter().enumerate();
            pairs.flat_map(|(i, r)| r.clone().map(move |_| i as u32)).collect()
        };
        let mut vmas_of_file = vec![Vec::new(); plan.files.len()];
        for (i, vma) in plan.vmas.iter().enumerate() {
            if let Backing::File { file, .. } = vma.backing {
                vmas_of_file[file.index()].push(Vma(i as u32));
            }
        }
        let tags = Plan::ranges(plan.disks.iter().map(|d| match d.kind {
            DiskKind::Block { queue_depth, .. } => queue_depth,
            DiskKind::Pmem => 0,
        }));
        let mut layout = Layout {
            file_of: owners(&file_pages),
            vma_of: owners(&vma_pages),
            region_pages: Plan::ranges(plan.regions.iter().map(|r| r.pages)),
            slot_pages: Plan::ranges(plan.slots.iter().map(|s| s.pages)),
            notified: vec![Vec::new(); plan.mms.len()],
            file_pages,
            vma_pages,
            vmas_of_file,
            tags,
            dio_slots,
            plan,
            ..Layout::default()
        };
        layout.find_families();
        layout.find_cpus();
        layout.number_blocks();
        layout.number_frames();
        layout.find_notified();
        layout.index_programs();
        layout.find_syncers();
        let programs = || layout.plan.threads.iter().flat_map(|t| &t.program);
        layout.large_folios = layout.plan.files.iter().any(|f| f.folio_order > 0);
        layout.reflinks = programs().any(|op| matches!(op, Op::Reflink { .. }));
        layout.seals = programs().any(|op| matches!(op, Op::AddSeal { .. }));
        layout.mlocks = programs().any(|op| matches!(op, Op::Mlock { .. }));
        layout
    }

    /// Who posts what, and who fills or releases what.
    fn index_programs(&mut self) {
        let plan = &self.plan;
        let mut posters = vec![Vec::new(); plan.events.len()];
        let mut users = vec![Vec::new(); plan.slots.len()];
        let mut releasers = users.clone();
        let mut registrars = vec![Vec::new(); plan.regions.len()];
        let mut forkers = vec![Vec::new(); plan.mms.len()];
        let note = |table: &mut Vec<Vec<Actor>>, i: usize, actor: Actor| {
            if table[i].last() != Some(&actor) {
                table[i].push(actor);
            }
        };
        for (t, thread) in plan.threads.iter().enumerate() {
            let actor = Actor(t as u32);
            for op in &thread.program {
                match *op {
                    Op::Post { event } => note(&mut posters, event.index(), actor),
                    Op::Fork { child } => note(&mut forkers, child.index(), actor),
                    Op::Pin { slot, .. } | Op::Splice { slot, .. } => {
                        note(&mut users, slot.index(), actor)
                    }
                    Op::Unpin { slot, .. } => {
                        note(&mut users, slot.index(), actor);
                        note(&mut releasers, slot.index(), actor);
                    }
                    Op::Register { region, .. } => {
                        note(&mut registrars, region.index(), actor);
                        note(&mut users, plan.regions[region.index()].slot.index(), actor);
                    }
                    Op::Deregister { region, .. } => {
                        let slot = plan.regions[region.index()].slot.index();
                        note(&mut users, slot, actor);
                        note(&mut releasers, slot, actor);
                    }
                    Op::DioRead { .. } | Op::DioWrite { .. } => {
                        if let Some(slot) = self.dio_slots[t] {
                            note(&mut users, slot.index(), actor);
                            note(&mut releasers, slot.index(), actor);
                        }
                    }
                    _ => {}
                }
            }
        }
        for (slot, filled) in releasers.iter_mut().zip(&users) {
            if slot.is_empty() {
                slot.clone_from(filled);
            }
        }
        self.posters = posters;
        self.slot_users = users;
        self.slot_releasers = releasers;
        self.registrars = registrars;
        self.forkers = forkers;
    }

    fn number_blocks(&mut self) {
        let plan = &self.plan;
        let used = |disk: usize| -> u32 {
            let on = plan.files.iter().filter(|f| f.disk == Some(Disk(disk as u32)));
            on.map(FilePlan::blocks).sum()
        };
        let is_pmem = |d: usize| plan.disks[d].kind == DiskKind::Pmem;
        let mut ranges = vec![0..0; plan.disks.len()];
        let mut at = 0;
        for pmem in [false, true] {
            for d in (0..plan.disks.len()).filter(|&d| is_pmem(d) == pmem) {
                let n = used(d) + plan.disks[d].spare_blocks;
                ranges[d] = at..at + n;
                at += n;
            }
            if !pmem {
                self.data_blocks = at;
            }
        }
        self.disk_blocks = ranges;
        let ranges = self.disk_blocks.iter().enumerate().filter(|(_, r)| !r.is_empty());
        self.first_blocks = ranges.map(|(d, r)| (r.start, Disk(d as u32))).collect();
        self.first_blocks.sort_unstable();
    }

    fn find_cpus(&mut self) {
        self.cpus_of = vec![Vec::new(); self.plan.mms.len()];
        for thread in &self.plan.threads {
            if let Role::User(mm) = thread.role {
                self.cpus_of[mm.index()].push(thread.cpu);
            }
        }
        for cpus in &mut self.cpus_of {
            cpus.sort_unstable();
            cpus.dedup();
        }
    }

    fn find_families(&mut self) {
        let vmas = &self.plan.vmas;
        // The representative of each mapping's family; those of a family point to lower ones.
        let mut of: Vec<u32> = (0..vmas.len() as u32).collect();
        let root = |of: &[u32], mut vma: u32| {
            while of[vma as usize] != vma {
                vma = of[vma as usize];
            }
            vma
        };
        let copied = vmas.iter().enumerate().filter_map(|(v, p)| Some((v as u32, p.copy_of?.0)));
        let programs = self.plan.threads.iter().flat_map(|t| &t.program);
        let moved = programs.filter_map(|op| match *op {
            Op::Mremap { from, to, .. } => Some((from.0, to.0)),
            _ => None,
        });
        for (a, b) in copied.chain(moved) {
            let (a, b) = (root(&of, a), root(&of, b));
            of[a.max(b) as usize] = a.min(b);
        }
        self.families = vec![Vec::new(); vmas.len()];
        self.family_of = (0..vmas.len() as u32).map(|v| root(&of, v)).collect();
        for (v, &family) in self.family_of.iter().enumerate() {
            self.families[family as usize].push(Vma(v as u32));
        }
    }

    fn number_frames(&mut self) {
        let cached: u32 = self.plan.files.iter().map(FilePlan::cached).sum();
        // Private pages that exist at the start have frames of their own.
        let stored =
            |v: &&VmaPlan| v.mapped && v.write && !v.shared && v.populate == Populate::Write;
        let private: u32 = self.plan.vmas.iter().filter(stored).map(|v| v.pages).sum();
        self.ram = 1 + cached + private + self.plan.spare_frames;
    }

    /// A region may be registered over any mapping of the address space of a thread that
    /// registers it.
    fn find_notified(&mut self) {
        let regions = (0..self.plan.regions.len() as u32).map(Region);
        self.notifier_regions = regions.filter(|&r| self.device_kind(r).has_notifier()).collect();
        for thread in &self.plan.threads {
            let Role::User(mm) = thread.role else { continue };
            for op in &thread.program {
                let Op::Register { region, .. } = *op else { continue };
                let device = self.plan.regions[region.index()].device;
                let known = &mut self.notified[mm.index()];
                if self.plan.devices[device.index()].kind.has_notifier() && !known.contains(&region)
                {
                    known.push(region);
                }
            }
        }
    }

    fn find_syncers(&mut self) {
        for thread in &self.plan.threads {
            let mut files: Vec<(File, u32)> = Vec::new();
            for op in &thread.program {
                let file = match *op {
                    Op::Fsync { file, .. } => Some(file),
                    Op::Msync { vma, .. } => match self.plan.vmas[vma.index()].backing {
                        Backing::File { file, .. } => Some(file),
                        Backing::Anon => None,
                    },
                    _ => None,
                };
                if let Some(file) = file.filter(|f| !files.iter().any(|(known, _)| known == f)) {
                    files.push((file, self.asked));
                    self.asked += self.plan.files[file.index()].capacity;
                }
            }
            self.synced.push(files);
        }
    }
}
