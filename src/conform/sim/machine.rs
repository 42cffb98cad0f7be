//! The machine on which sequences run: disks, files, buffers, and the tables to which compilation
//! adds mappings, threads and slots.

use super::super::sequence::{Op, PAGE, Sequence};
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

/// The file of the sequence.
pub const FILE: File = File(0);
/// The file from which `dread` reads: each of its pages holds one of the values asked for.
pub const SOURCE: File = File(1);
/// The raw device: the same for `dreadg`, and as its last page what `dwriteg` writes.
pub const RAW: File = File(2);
/// The file to which `dwrite` writes.
pub const TARGET: File = File(3);

/// The disk under the file system of the file.
pub const DISK: Disk = Disk(0);
/// The disk of `SOURCE` and `TARGET`.
pub const OTHER: Disk = Disk(1);
/// The raw device.
pub const RAW_DISK: Disk = Disk(2);

/// The address space of the process.
pub const PROCESS: Mm = Mm(0);
/// The thread that carries the sequence out.
pub const MAIN: usize = 0;

/// Frames that nobody uses at the start: more than any sequence needs.
const FRAMES: u32 = 96;
/// Blocks of each disk that nobody uses at the start.
const BLOCKS: u32 = 64;
/// Bios in flight at once: more than any sequence needs, held ones included.
const TAGS: u32 = 8;

/// The kind of a file system of this name; none if there is none.
pub fn kind(fs: &str) -> Option<FsKind> {
    match fs {
        "ext4" | "gate" | "gatej" => Some(FsKind::Ext4),
        "xfs" | "gatex" => Some(FsKind::Xfs),
        "btrfs" | "gateb" => Some(FsKind::Btrfs),
        "tmpfs" | "memfd" => Some(FsKind::Tmpfs),
        "dax4" | "daxx" => Some(FsKind::Dax),
        _ => None,
    }
}

/// The values that pages of the other files hold.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Those of `SOURCE`, by page.
    pub file: Vec<u32>,
    /// Those of `RAW`, by page; one more page is written to.
    pub raw: Vec<u32>,
}

impl Sources {
    fn of(sequence: &Sequence) -> Sources {
        let mut found = Sources::default();
        for line in &sequence.lines {
            let op = match &line.op {
                Op::Background { op, .. } => op,
                op => op,
            };
            if let Op::DirectIn { value, raw, .. } = *op {
                let table = if raw { &mut found.raw } else { &mut found.file };
                if !table.contains(&value) {
                    table.push(value);
                }
            }
        }
        found
    }
}

/// Pages of so many bytes.
fn pages(bytes: u64) -> u32 {
    bytes.div_ceil(PAGE) as u32
}

/// Pages that a file has up to the last one that an operation names.
fn reach(op: &Op) -> u32 {
    match op {
        Op::Mmap { first, pages, .. } => first + pages,
        Op::Truncate { size } => pages(*size),
        Op::WriteBytes { bytes, .. } | Op::Fallocate { bytes, .. } => pages(bytes.at + bytes.len),
        Op::Read { page, .. }
        | Op::Write { page, .. }
        | Op::Splice { page }
        | Op::DirectSelf { page, .. } => page + 1,
        Op::Background { op, .. } => reach(op),
        _ => 0,
    }
}

/// Pages that the file may come to have.
fn capacity(sequence: &Sequence) -> u32 {
    let most = sequence.lines.iter().map(|line| reach(&line.op)).max().unwrap_or(0);
    most.max(sequence.pages).max(pages(sequence.size))
}

fn disk(name: &str, kind: DiskKind) -> DiskPlan {
    DiskPlan { name: name.into(), kind, spare_blocks: BLOCKS }
}

fn file(name: &str, fs: FsKind, disk: Option<Disk>, pages: u32, init: InitPage) -> FilePlan {
    FilePlan {
        name: name.into(),
        fs,
        disk,
        size: u64::from(pages) * PAGE,
        capacity: pages,
        pages: vec![init; pages as usize],
        folio_order: 0,
    }
}

/// The machine before anything is mapped: one processor, one process, its file.
pub fn plan(sequence: &Sequence, fs: FsKind) -> (Plan, Sources) {
    let sources = Sources::of(sequence);
    let block = DiskKind::Block {
        checksum: false,
        stable_writes: false,
        volatile_cache: false,
        queue_depth: TAGS,
    };
    let under = if fs == FsKind::Dax { DiskKind::Pmem } else { block };
    let on = (fs != FsKind::Tmpfs).then_some(DISK);
    let own = file("file", fs, on, capacity(sequence), InitPage::Hole);
    let (values, raws) = (sources.file.len() as u32, sources.raw.len() as u32);
    let mut raw = file("raw", FsKind::Xfs, Some(RAW_DISK), raws + 1, InitPage::Cold);
    raw.size = u64::from(raws + 1) * PAGE;
    let plan = Plan {
        cpus: 1,
        spare_frames: FRAMES,
        disks: vec![disk("disk", under), disk("other", block), disk("rawdisk", block)],
        files: vec![
            FilePlan { size: sequence.size, ..own },
            file("source", FsKind::Xfs, Some(OTHER), values.max(1), InitPage::Cold),
            raw,
            file("target", FsKind::Xfs, Some(OTHER), 1, InitPage::Cold),
        ],
        mms: vec![MmPlan { name: "process".into(), child_of: None }],
        workers: 1,
        around: true,
        loops: vec![DISK, RAW_DISK],
        ..Plan::default()
    };
    (plan, sources)
}

/// A mapping of the process.
pub fn vma(name: String, backing: Backing, shared: bool, write: bool, pages: u32) -> VmaPlan {
    VmaPlan {
        name,
        mm: PROCESS,
        pages,
        backing,
        shared,
        read: true,
        write,
        mapped: false,
        populate: Populate::None,
        copy_of: None,
    }
}
