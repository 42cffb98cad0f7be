//! Made-up machines: disks, files, mappings, devices, faults.

use super::options::{Feature, Options};
use crate::scenario::types::*;
use proptest::prelude::*;
use proptest::sample::select;

/// A machine, and what of it programs can name.
#[derive(Clone, Debug)]
pub struct Machine {
    /// A scenario without threads.
    pub scenario: Scenario,
    /// Pages of each file and mapping.
    pub pages: u32,
}

impl Machine {
    /// The files that programs name.
    pub fn files(&self) -> Vec<String> {
        self.scenario.files.keys().filter(|name| *name != "theirs").cloned().collect()
    }

    /// The mappings of files that are shared.
    pub fn shared(&self) -> Vec<String> {
        let of_file =
            |m: &Mapping| m.file.is_some() && m.shared != Some(false) && m.mapped.is_none();
        let maps = self.scenario.mappings.iter().filter(|(_, m)| of_file(m));
        maps.map(|(name, _)| name.clone()).collect()
    }

    /// All mappings that are there from the start.
    pub fn mappings(&self) -> Vec<String> {
        let there = self.scenario.mappings.iter().filter(|(_, m)| m.mapped.is_none());
        there.map(|(name, _)| name.clone()).collect()
    }

    /// Mappings that can be moved, each with where to.
    pub fn moves(&self) -> Vec<(String, String)> {
        let mappings = &self.scenario.mappings;
        let to = |name: &String| (name.clone(), format!("{name}{MOVED}"));
        mappings.keys().map(to).filter(|(_, to)| mappings.contains_key(to)).collect()
    }
}

/// How the mapping is called that another can move to.
const MOVED: &str = "2";

/// How pages of files begin, the clean ones twice as often.
const INITIAL: &[InitPage] = &[InitPage::Clean, InitPage::Clean, InitPage::Dirty, InitPage::Cold];
/// How page tables begin.
const POPULATE: &[Populate] = &[Populate::None, Populate::Read, Populate::Write];

/// Machines with some features.
pub fn machines(options: Options) -> impl Strategy<Value = Machine> {
    let has = move |f| options.has(f);
    let large = has(Feature::Large);
    let fs: &[FsKind] = match (large, has(Feature::Reflink)) {
        (true, _) => &[FsKind::Xfs],
        (_, true) => &[FsKind::Xfs, FsKind::Btrfs],
        _ => &[FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs, FsKind::Tmpfs],
    };
    let pages = if large { 2..=2u32 } else { 1..=2u32 };
    (
        (select(fs), pages, select(INITIAL), any::<bool>()),
        (select(POPULATE), select(POPULATE), select(POPULATE)),
        (any::<[bool; 3]>(), 1..=2u32, 1..=2u32),
    )
        .prop_map(move |((fs, pages, initial, partial), populate, disk)| {
            let mut s = Scenario::default();
            let initial = match (fs, initial) {
                (FsKind::Tmpfs, InitPage::Dirty) => InitPage::Clean,
                (FsKind::Tmpfs, InitPage::Cold) => InitPage::Hole,
                (_, initial) => initial,
            };
            let partial = partial && !large;
            let data = File {
                fs,
                initial,
                bytes: partial.then_some(u64::from(pages) * 4096 - 2000),
                pages: (!partial).then_some(pages),
                capacity: Some(pages),
                folio_order: u32::from(large),
                ..File::default()
            };
            s.files.insert("data".into(), data.clone());
            map(&mut s, "map", Some("data"), true, populate.0);
            disks(&mut s, options, disk.0);
            if has(Feature::Private) {
                map(&mut s, "private", Some("data"), false, Populate::None);
            }
            if has(Feature::Dax) {
                let initial =
                    if initial == InitPage::Hole { InitPage::Hole } else { InitPage::Cold };
                let dax = File { fs: FsKind::Dax, initial, pages: Some(pages), ..File::default() };
                s.files.insert("dax".into(), dax);
                map(&mut s, "dmap", Some("dax"), true, populate.1);
            }
            if has(Feature::Reflink) {
                let initial = if large { InitPage::Clean } else { InitPage::Hole };
                let pages = Some(pages);
                let (bytes, capacity) = (None, None);
                s.files.insert("copy".into(), File { initial, pages, bytes, capacity, ..data });
            }
            map(&mut s, "mem", None, false, populate.2);
            s.mappings["mem"].pages = Some(pages);
            if has(Feature::Maps) {
                targets(&mut s);
            }
            others(&mut s, options, disk.1, disk.2);
            Machine { scenario: s, pages }
        })
}

fn map(s: &mut Scenario, name: &str, file: Option<&str>, shared: bool, populate: Populate) {
    let file = file.map(String::from);
    let mapping = Mapping { file, shared: Some(shared), populate, ..Mapping::default() };
    s.mappings.insert(name.into(), mapping);
}

/// Where the file's mapping and private memory can move to.
fn targets(s: &mut Scenario) {
    for name in ["map", "mem"] {
        let there = s.mappings[name].clone();
        let twin = Mapping { mapped: Some(false), populate: Populate::None, ..there };
        s.mappings.insert(format!("{name}{MOVED}"), twin);
    }
}

fn disks(s: &mut Scenario, options: Options, [checksum, stable_writes, volatile]: [bool; 3]) {
    if options.has(Feature::Disk) {
        // Who takes checksums asks for stable pages (blk_integrity: BLK_FEAT_STABLE_WRITES).
        let (stable_writes, volatile_cache) = (stable_writes || checksum, volatile);
        let disk = Disk { checksum, stable_writes, volatile_cache, ..Disk::default() };
        s.disks.insert("disk0".into(), disk);
    }
    if options.has(Feature::Dax) {
        let pmem = Disk { kind: DiskKind::Pmem, ..Disk::default() };
        s.disks.insert("pmem0".into(), pmem);
    }
}

fn others(s: &mut Scenario, options: Options, errors: u32, spare: u32) {
    let has = |f| options.has(f);
    if has(Feature::Fork) {
        s.mms.insert("P".into(), Mm::default());
        s.mms.insert("C".into(), Mm { child_of: Some("P".into()) });
    }
    if has(Feature::Rdma) {
        s.devices.insert("nic".into(), Device { kind: DeviceKind::Nic, ..Device::default() });
    }
    if has(Feature::Odp) {
        let kind = if errors == 1 { DeviceKind::OdpNic } else { DeviceKind::Gpu };
        s.devices.insert("odp".into(), Device { kind, ..Device::default() });
    }
    if has(Feature::Neighbour) {
        let theirs = File { initial: InitPage::Hole, pages: Some(1), ..File::default() };
        s.files.insert("theirs".into(), theirs);
    }
    if has(Feature::IoErrors) {
        s.faults.io_errors = errors;
    }
    if has(Feature::Enomem) {
        s.faults.enomem = spare;
    }
}
