//! Disks, files and devices.

use super::report::Report;
use super::{Section, Tables};
use crate::kernel::world::ids::{Device, Disk, File};
use crate::kernel::world::plan::{
    DeviceKind, DevicePlan, DiskKind, DiskPlan, FilePlan, FsKind, InitPage, PAGE_SIZE, Plan,
};
use crate::scenario::limits;
use crate::scenario::path::At;
use crate::scenario::problem::Problem;
use crate::scenario::types::{self, Scenario};

/// The disk that files lie on if none is declared.
const DEFAULT_BLOCK: &str = "disk0";
/// The disk that DAX files lie on if none is declared.
const DEFAULT_PMEM: &str = "pmem0";

/// The scenario's disks.
pub fn disks(scenario: &Scenario, plan: &mut Plan, tables: &mut Tables, report: &mut Report) {
    let section = At::ROOT.key("disks");
    for (raw, disk) in &scenario.disks {
        let at = section.key(raw);
        let id = Disk(plan.disks.len() as u32);
        let name = match tables.disks.declare(raw, None, id) {
            Ok(name) => name,
            Err(problem) => return report.name(&at, problem),
        };
        if plan.disks.len() >= limits::DISKS {
            let problem = Problem::general(format!("more than {} disks", limits::DISKS));
            return report.name(&at, problem);
        }
        let kind = disk_kind(disk, &at, report);
        plan.loops.extend(disk.looped.then_some(id));
        if u64::from(disk.spare_blocks.unwrap_or(0)) > limits::PAGES {
            let problem = Problem::general(format!("more than {} free blocks", limits::PAGES));
            report.value(&at.key("spare_blocks"), problem);
        }
        plan.disks.push(DiskPlan { name, kind, spare_blocks: 0 });
    }
}

fn disk_kind(disk: &types::Disk, at: &At, report: &mut Report) -> DiskKind {
    if disk.kind == types::DiskKind::Block {
        let queue_depth = disk.queue_depth.unwrap_or(1);
        if !(1..=limits::QUEUE_DEPTH).contains(&queue_depth) {
            let problem = Problem::general(format!("queue depth {queue_depth}"));
            let help = format!("a disk has 1 to {} bios in flight", limits::QUEUE_DEPTH);
            report.value(&at.key("queue_depth"), problem.help(help));
        }
        return DiskKind::Block {
            checksum: disk.checksum,
            stable_writes: disk.stable_writes,
            volatile_cache: disk.volatile_cache,
            queue_depth,
        };
    }
    let block_only = [
        ("checksum", disk.checksum),
        ("stable_writes", disk.stable_writes),
        ("volatile_cache", disk.volatile_cache),
        ("loop", disk.looped),
        ("queue_depth", disk.queue_depth.is_some()),
    ];
    for (key, given) in block_only {
        if given {
            let problem = Problem::general(format!("`{key}` of a pmem disk"))
                .label("only a block disk has this")
                .help("remove it; persistent memory has no bios");
            report.value(&at.key(key), problem);
        }
    }
    DiskKind::Pmem
}

fn is_pmem(disk: &DiskPlan) -> bool {
    disk.kind == DiskKind::Pmem
}

/// The files of a section.
pub fn files(section: &Section, plan: &mut Plan, tables: &mut Tables, report: &mut Report) {
    let files = section.at.key("files");
    for (raw, file) in section.files {
        if report.stops(section.i) {
            return;
        }
        let at = files.key(raw);
        let id = File(plan.files.len() as u32);
        let name = match tables.files.declare(raw, section.i, id) {
            Ok(name) => name,
            Err(problem) => {
                report.name(&at, problem);
                continue;
            }
        };
        let disk = disk_of(file, section.i, &at, plan, tables, report);
        let used = match (tables.file_pages.last(), plan.files.last()) {
            (Some(first), Some(last)) => first + last.capacity,
            _ => 0,
        };
        let sizes = sizes(file, used, &at, report).unwrap_or_else(|| {
            tables.mistaken.insert(name.clone());
            Sizes { bytes: 0, pages: 0, capacity: 0 }
        });
        tables.file_pages.push(used);
        plan.files.push(FilePlan {
            name,
            fs: fs_kind(file.fs),
            disk,
            size: sizes.bytes,
            capacity: sizes.capacity,
            pages: initial_pages(file, sizes.pages, &at, report),
            folio_order: file.folio_order.min(limits::FOLIO_ORDER),
        });
    }
}

fn fs_kind(fs: types::FsKind) -> FsKind {
    match fs {
        types::FsKind::Ext4 => FsKind::Ext4,
        types::FsKind::Xfs => FsKind::Xfs,
        types::FsKind::Btrfs => FsKind::Btrfs,
        types::FsKind::Tmpfs => FsKind::Tmpfs,
        types::FsKind::Dax => FsKind::Dax,
    }
}

/// The disk that a file lies on, made if it is a default one.
fn disk_of(
    file: &types::File,
    i: Option<u32>,
    at: &At,
    plan: &mut Plan,
    tables: &mut Tables,
    report: &mut Report,
) -> Option<Disk> {
    let pmem = file.fs == types::FsKind::Dax;
    if file.fs == types::FsKind::Tmpfs {
        if file.disk.is_some() {
            let problem = Problem::general("a tmpfs file on a disk")
                .help("tmpfs lives in the page cache alone; remove `disk` or choose another `fs`");
            report.value(&at.key("disk"), problem);
        }
        return None;
    }
    if let Some(name) = &file.disk {
        let found = tables.disks.find(name, i);
        let disk = report.ok(&at.key("disk"), found)?;
        if is_pmem(&plan.disks[disk.0 as usize]) != pmem {
            let problem = match pmem {
                true => Problem::general("a DAX file on a block disk")
                    .help("DAX needs persistent memory: {\"kind\": \"pmem\"}"),
                false => Problem::general("a file with a page cache on a pmem disk")
                    .help("say \"fs\": \"dax\", or put it on a block disk"),
            };
            report.value(&at.key("disk"), problem);
        }
        return Some(disk);
    }
    let mut fitting = (0..plan.disks.len()).filter(|&d| is_pmem(&plan.disks[d]) == pmem);
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Some(Disk(only as u32)),
        (None, _) => Some(default_disk(pmem, plan, tables)),
        (Some(_), Some(_)) => {
            let problem = Problem::general("the file does not say on which disk it lies")
                .help("there are several; give `disk`");
            report.value(at, problem);
            None
        }
    }
}

fn default_disk(pmem: bool, plan: &mut Plan, tables: &mut Tables) -> Disk {
    let name = if pmem { DEFAULT_PMEM } else { DEFAULT_BLOCK };
    let kind = match pmem {
        true => DiskKind::Pmem,
        false => DiskKind::Block {
            checksum: false,
            stable_writes: false,
            volatile_cache: false,
            queue_depth: 1,
        },
    };
    let disk = Disk(plan.disks.len() as u32);
    // Fails only if the scenario gives this name to a disk of the other kind; then the default
    // one goes without a name in the table, and nothing can refer to it.
    let _ = tables.disks.declare(name, None, disk);
    plan.disks.push(DiskPlan { name: name.to_string(), kind, spare_blocks: 0 });
    disk
}

struct Sizes {
    bytes: u64,
    pages: u32,
    capacity: u32,
}

/// Size and capacity of a file; none if they make no sense.
fn sizes(file: &types::File, used: u32, at: &At, report: &mut Report) -> Option<Sizes> {
    if file.pages.is_some() && file.bytes.is_some() {
        let problem = Problem::general("both `pages` and `bytes`");
        report.value(&at.key("bytes"), problem.help("give the size once"));
    }
    let key = if file.bytes.is_some() { "bytes" } else { "pages" };
    let page = u64::from(PAGE_SIZE);
    let bytes = file.bytes.unwrap_or(u64::from(file.pages.unwrap_or(1)) * page);
    let pages = bytes.div_ceil(page);
    let room = limits::PAGES - u64::from(used);
    let capacity = file.capacity.map_or(pages, u64::from);
    if pages > room || capacity > room {
        let key = if pages > room { key } else { "capacity" };
        let problem = Problem::general(format!("more than {} pages in all files", limits::PAGES));
        report.value(&at.key(key), problem.help("make the scenario smaller"));
        return None;
    }
    if capacity < pages {
        let problem =
            Problem::general(format!("capacity {capacity} is less than the size of {pages} pages"));
        report.value(&at.key("capacity"), problem.help("raise `capacity`, or leave it out"));
        return None;
    }
    if file.folio_order > limits::FOLIO_ORDER {
        let problem = Problem::general(format!("folio order {}", file.folio_order));
        let help = format!("at most {} is allowed (2 MiB)", limits::FOLIO_ORDER);
        report.value(&at.key("folio_order"), problem.help(help));
    } else if !capacity.is_multiple_of(1 << file.folio_order) {
        let folio = 1 << file.folio_order;
        let problem = Problem::general(format!(
            "capacity {capacity} is no multiple of a folio of {folio} pages"
        ));
        report.value(&at.key("folio_order"), problem.help("set `capacity` to a multiple of it"));
    }
    Some(Sizes { bytes, pages: pages as u32, capacity: capacity as u32 })
}

fn initial_pages(file: &types::File, pages: u32, at: &At, report: &mut Report) -> Vec<InitPage> {
    let state = |p: types::InitPage| match p {
        types::InitPage::Clean => InitPage::Clean,
        types::InitPage::Cold => InitPage::Cold,
        types::InitPage::Dirty => InitPage::Dirty,
        types::InitPage::Hole => InitPage::Hole,
    };
    let mut list = vec![state(file.initial); pages as usize];
    let at = at.key("except");
    for (&page, &initial) in &file.except {
        let number = page.to_string();
        match list.get_mut(page as usize) {
            Some(slot) => *slot = state(initial),
            None => {
                let problem = Problem::general(format!("page {page} of a file of {pages} pages"))
                    .help("pages are numbered from 0; pages beyond the size have no state yet");
                report.name(&at.key(&number), problem);
            }
        }
    }
    if file.fs == types::FsKind::Dax && list.contains(&InitPage::Dirty) {
        let problem = Problem::general("a dirty page of a DAX file at the start")
            .help("DAX has no page cache; say \"clean\", and let a thread store");
        report.value(&at, problem);
    }
    list
}

/// The devices of a section.
pub fn devices(section: &Section, plan: &mut Plan, tables: &mut Tables, report: &mut Report) {
    let devices = section.at.key("devices");
    for (raw, device) in section.devices {
        if report.stops(section.i) {
            return;
        }
        let id = Device(plan.devices.len() as u32);
        let name = match tables.devices.declare(raw, section.i, id) {
            Ok(name) => name,
            Err(problem) => {
                report.name(&devices.key(raw), problem);
                continue;
            }
        };
        let kind = match device.kind {
            types::DeviceKind::Nic => DeviceKind::Nic,
            types::DeviceKind::OdpNic => DeviceKind::OdpNic,
            types::DeviceKind::Gpu => DeviceKind::Gpu,
            types::DeviceKind::Capture => DeviceKind::Capture,
        };
        let able = |said: Option<bool>| said.unwrap_or(true);
        plan.devices.push(DevicePlan {
            revocable: able(device.revocable),
            redirects: able(device.redirects),
            terminates: able(device.terminates),
            survives_faults: able(device.survives_faults),
            ..DevicePlan::new(name, kind)
        });
    }
}
