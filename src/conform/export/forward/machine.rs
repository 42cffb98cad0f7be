//! The machine of a sequence as the sections of a scenario.

use super::super::super::sequence::{Init, PAGE};
use super::super::names::FILES;
use super::{From, Writer};
use crate::kernel::strategy::Preset;
use crate::kernel::world::Id;
use crate::kernel::world::plan::{self, Backing};
use crate::scenario::op::{Do, Step};
use crate::scenario::types::*;
use std::collections::BTreeSet;

impl Writer<'_> {
    /// Everything but the threads.
    pub(super) fn machine(&self) -> Scenario {
        let From { sequence, rules, source, fs, preset, recorded, .. } = *self.from;
        let plan = &self.compiled.plan;
        let name = sequence.name.replace('_', " ");
        let used = used_files(&self.threads);
        let recorded = match recorded {
            Some(of) => format!("{}, recorded on Linux {}", of.name, of.kernel),
            None => format!("no recording on {fs} of {}: nothing is expected", preset.name),
        };
        let mut scenario = Scenario {
            title: format!("{name}, on {fs}"),
            look_for: rules.iter().map(|r| format!("{}: {}", r.name, r.text)).collect(),
            source: vec![format!("{source}, sequence {}", sequence.name), recorded],
            preset: (preset.name != Preset::DEFAULT).then(|| preset.name.to_string()),
            cpus: Some(1),
            fault_around: true,
            ..Scenario::default()
        };
        let block = plan.disks[0].kind != plan::DiskKind::Pmem;
        let plain = plan.files[0].disk.is_some() && block;
        let named = plain || used.len() > 1;
        for (n, disk) in DISKS.iter().enumerate().filter(|_| named) {
            let wanted = match n {
                0 => plain,
                1 => used.contains("source") || used.contains("target"),
                _ => used.contains("raw"),
            };
            if wanted {
                let (looped, queue_depth) = (n != 1, self.depth(&plan.disks[n].name));
                let made = Disk { looped, queue_depth, ..Disk::default() };
                scenario.disks.insert(disk.to_string(), made);
            }
        }
        for (n, file) in plan.files.iter().enumerate() {
            if used.contains(FILES[n]) {
                scenario.files.insert(FILES[n].to_string(), self.file(n, file, &scenario.disks));
            }
        }
        for (n, mm) in plan.mms.iter().enumerate().skip(1) {
            let child_of = mm.child_of.map(|_| "P".to_string());
            scenario.mms.insert(self.names.mms[n].clone(), Mm { child_of });
        }
        for (n, vma) in plan.vmas.iter().enumerate().filter(|(_, v)| v.copy_of.is_none()) {
            scenario.mappings.insert(self.names.vmas[n].clone(), mapping(vma, &plan.files[0]));
        }
        let works = |(who, _): &(String, _)| who.starts_with("kworker");
        scenario.workers = self.made.trace.iter().flatten().any(works).then_some(1);
        let failed = self.made.moves.iter().flatten().filter(|mv| mv.outcome > 0).count();
        scenario.faults.io_errors = failed as u32;
        scenario
    }

    /// Bios in flight at once at a disk; none: one.
    fn depth(&self, disk: &str) -> Option<u32> {
        let tags = self.made.trace.iter().flatten().filter_map(|(who, _)| {
            let (name, tag) = who.split_once('.')?;
            tag.parse::<u32>().ok().filter(|_| name == disk)
        });
        tags.max().filter(|&tag| tag > 0).map(|tag| tag + 1)
    }

    fn file(&self, n: usize, file: &plan::FilePlan, disks: &Named<Disk>) -> File {
        let fs = match file.fs {
            plan::FsKind::Ext4 => FsKind::Ext4,
            plan::FsKind::Xfs => FsKind::Xfs,
            plan::FsKind::Btrfs => FsKind::Btrfs,
            plan::FsKind::Tmpfs => FsKind::Tmpfs,
            plan::FsKind::Dax => FsKind::Dax,
        };
        let disk = match file.disk {
            Some(disk) if disks.len() > 1 => DISKS.get(disk.index()).map(|d| d.to_string()),
            _ => None,
        };
        let disk = disk.filter(|d| disks.contains_key(d));
        let whole = file.size.is_multiple_of(PAGE);
        let pages = (file.size / PAGE) as u32;
        let initial = match (n, self.initial, self.from.sequence.init) {
            (0, true, Init::Clean) => InitPage::Clean,
            (0, true, Init::Cold) if fs == FsKind::Tmpfs => InitPage::Clean,
            (0, true, Init::Dirty) if fs == FsKind::Tmpfs => InitPage::Clean,
            (0, true, Init::Cold) => InitPage::Cold,
            (0, ..) => InitPage::Hole,
            _ => InitPage::Cold,
        };
        let held = if whole { pages } else { pages + 1 };
        File {
            fs,
            disk,
            pages: (whole && pages != 1).then_some(pages),
            bytes: (!whole).then_some(file.size),
            capacity: (file.capacity > held).then_some(file.capacity),
            initial,
            ..File::default()
        }
    }
}

/// The disks of a sequence's machine: those under the file system and behind the raw device are
/// loop devices.
const DISKS: [&str; 3] = ["loop0", "sda", "loop1"];

fn mapping(vma: &plan::VmaPlan, own: &plan::FilePlan) -> Mapping {
    let anon = vma.backing == Backing::Anon;
    let first = match vma.backing {
        Backing::File { first, .. } => first,
        Backing::Anon => 0,
    };
    let usual = if anon { 1 } else { own.capacity - first };
    Mapping {
        file: (!anon).then(|| FILES[0].to_string()),
        first,
        pages: (vma.pages != usual).then_some(vma.pages),
        shared: (!anon && !vma.shared).then_some(false),
        write: (!vma.write).then_some(false),
        mapped: (!vma.mapped).then_some(false),
        populate: match vma.populate {
            plan::Populate::None => Populate::None,
            plan::Populate::Read => Populate::Read,
            plan::Populate::Write => Populate::Write,
        },
        ..Mapping::default()
    }
}

/// Whether anybody speaks of a mapping, or it is there from the start.
pub(super) fn is_used(name: &str, mapping: &Mapping, threads: &Named<Thread>) -> bool {
    let maps = |s: &Step| matches!(&s.op, Do::Mmap(n) if n == name);
    mapping.mapped.is_none() || threads.values().flat_map(|t| &t.program).any(maps)
}

/// The files that programs speak of, the sequence's own always.
fn used_files(threads: &Named<Thread>) -> BTreeSet<String> {
    let mut used = BTreeSet::from([FILES[0].to_string()]);
    for step in threads.values().flat_map(|t| &t.program) {
        if let Do::DioRead(io) = &step.op {
            used.extend(io.from.split('[').next().map(String::from));
        }
        if let Do::DioWrite(io) = &step.op {
            used.extend(io.to.split('[').next().map(String::from));
        }
    }
    used
}
