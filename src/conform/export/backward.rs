//! A scenario as a sequence, if the language can say it.
//!
//! The language knows one process with one file, threads that it runs one at a time or in the
//! background, a gate that holds writes, and what its recorder can do from user space. A kernel
//! can then be asked what it does.

use super::super::sequence::{At, Bytes, Init, Line, Madvice, Op, PAGE, PAGES, Sequence, Sharing};
use super::super::sim::values::FIRST;
use super::names::FILES;
use super::{Unsaid, lines, order};
use crate::kernel::world::Id;
use crate::kernel::world::plan::{self, Backing, DiskKind, FsKind, InitPage, Op as Do, Role};
use crate::scenario::Loaded;

/// A scenario as a sequence of this name.
///
/// # Errors
/// Which operation or part of the machine the language cannot say, and why.
pub fn sequence(name: &str, loaded: &Loaded) -> Result<Sequence, Unsaid> {
    let machine = Machine::of(loaded)?;
    let raw = loaded.plan.files.iter().position(|f| f.name == FILES[2]);
    let raw = raw.filter(|&n| n != machine.file).and_then(|n| order::held(loaded, n));
    let disks = order::Disks { file: order::held(loaded, machine.file), raw };
    let events = order::events(loaded, disks)?;
    let mut writer = lines::Writer::new(loaded, &machine);
    for slot in 0..loaded.plan.vmas.len() {
        begin(&mut writer, loaded, slot)?;
    }
    let mut lines = writer.all(&events)?;
    let plan = &loaded.plan.files[machine.file];
    let filled = begins_dirty(&lines, plan.size);
    let init = match (machine.init, filled) {
        (Init::Hole, 1..) => {
            lines.drain(..filled);
            Init::Dirty
        }
        (init, _) => init,
    };
    let gated = lines.iter().any(|op| matches!(op, Op::Gate(_)));
    let sealed = lines.iter().any(|op| matches!(op, Op::Seal(_)));
    let fs = match (plan.fs, gated) {
        (FsKind::Ext4, false) => "ext4",
        (FsKind::Ext4, true) => "gate",
        (FsKind::Xfs, false) => "xfs",
        (FsKind::Xfs, true) => "gatex",
        (FsKind::Btrfs, _) => "gateb",
        (FsKind::Tmpfs, _) if sealed => "memfd",
        (FsKind::Tmpfs, _) => "tmpfs",
        (FsKind::Dax, _) => "dax4",
    };
    Ok(Sequence {
        name: name.to_string(),
        on: vec![fs.to_string()],
        pages: machine.pages,
        size: plan.size,
        init,
        lines: lines.into_iter().map(Line::of).collect(),
        assertions: Vec::new(),
    })
}

/// How many lines at the beginning do what `init=dirty` stands for; 0 if they do something else.
fn begins_dirty(lines: &[Op], size: u64) -> usize {
    let pages = size.div_ceil(PAGE) as u32;
    let fills = |page: u32| {
        let (at, value) = (u64::from(page) * PAGE, FIRST + page);
        let len = (size - at).min(PAGE);
        match len {
            PAGE => Op::Write { page, value, direct: false },
            _ => Op::WriteBytes { bytes: Bytes { at, len }, value },
        }
    };
    let all = lines.len() >= pages as usize
        && (0..pages).map(fills).eq(lines.iter().take(pages as usize).cloned());
    if all { pages as usize } else { 0 }
}

/// What a sequence takes for granted, found in a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The file of which it speaks.
    pub file: usize,
    /// Its pages.
    pub pages: u32,
    /// How it begins.
    pub init: Init,
    /// Whether its pages are newer than the disk's at the start.
    pub newer: bool,
}

impl Machine {
    fn of(loaded: &Loaded) -> Result<Machine, Unsaid> {
        let scenario = &loaded.scenario;
        let no = |what: &str, why: &str| Err(Unsaid::new(what, why));
        if !scenario.generate.is_empty() {
            return no("generate", "a sequence has one process; write the threads out");
        }
        if scenario.faults.enomem > 0 {
            return no("faults.enomem", "memory cannot be made to be used up");
        }
        let plan = &loaded.plan;
        if plan.mms.iter().filter(|mm| mm.child_of.is_none()).count() > 1 {
            return no("mms", "a sequence has one process and its child");
        }
        for thread in &plan.threads {
            if thread.program.iter().any(|op| matches!(op, Do::Repeat { .. })) {
                let what = format!("thread {}, `repeat`", thread.name);
                return no(&what, "a sequence does everything once; write the rounds out");
            }
        }
        let file = own_file(plan)?;
        let of = &plan.files[file];
        let named = |what: &str| format!("file {}: {what}", of.name);
        if of.folio_order > 0 {
            return no(&named("folio_order"), "nobody can say how large folios shall be");
        }
        if of.capacity > PAGES {
            return no(&named("capacity"), "only 8 pages of a file can be observed");
        }
        if let Some(disk) = of.disk.map(|d| &plan.disks[d.index()])
            && let DiskKind::Block { checksum, stable_writes, volatile_cache, .. } = disk.kind
            && (checksum || stable_writes || volatile_cache)
        {
            let what = format!("disk {}", disk.name);
            return no(&what, "the recordings' device has no checksum, cache, or stable pages");
        }
        let whole = of.size.div_ceil(PAGE) as usize;
        let first = of.pages.first().copied().unwrap_or(InitPage::Hole);
        if of.pages.iter().take(whole).any(|p| *p != first) {
            return no(&named("except"), "all pages of a sequence's file begin alike");
        }
        let (init, newer) = match first {
            InitPage::Hole => (Init::Hole, false),
            InitPage::Cold => (Init::Cold, false),
            InitPage::Clean => (Init::Clean, false),
            InitPage::Dirty => (Init::Clean, true),
        };
        Ok(Machine { file, pages: of.capacity.max(1), init, newer })
    }
}

/// The file that a sequence is about: the one that is mapped, or synced; others are only read and
/// written by direct I/O.
fn own_file(plan: &plan::Plan) -> Result<usize, Unsaid> {
    let mut own = vec![false; plan.files.len()];
    for vma in &plan.vmas {
        if let Backing::File { file, .. } = vma.backing {
            own[file.index()] = true;
        }
    }
    let first: Vec<u32> = plan
        .files
        .iter()
        .scan(0, |sum, f| {
            let first = *sum;
            *sum += f.capacity;
            Some(first)
        })
        .collect();
    let of = |page: u32| first.partition_point(|&f| f <= page) - 1;
    for op in plan.threads.iter().flat_map(|t| &t.program) {
        match *op {
            Do::Read { at } | Do::Write { at, .. } => own[of(at.0)] = true,
            Do::Splice { from, .. } => own[of(from.0)] = true,
            Do::Punch { first, .. }
            | Do::PunchPart { first, .. }
            | Do::ZeroRange { first, .. }
            | Do::CollapseRange { first, .. } => own[of(first.0)] = true,
            Do::Fsync { file, .. }
            | Do::Truncate { file, .. }
            | Do::SyncFileRange { file, .. }
            | Do::AddSeal { file, .. }
            | Do::Writeback { file, .. }
            | Do::DropCaches { file } => own[file.index()] = true,
            _ => {}
        }
    }
    let mut found = own.iter().enumerate().filter(|(_, own)| **own).map(|(n, _)| n);
    match (found.next(), found.next()) {
        (Some(a), Some(b)) => {
            let (a, b) = (&plan.files[a].name, &plan.files[b].name);
            Err(Unsaid::new(format!("files {a} and {b}"), "a sequence has one file"))
        }
        (Some(only), None) => Ok(only),
        (None, _) if plan.files.is_empty() => {
            Err(Unsaid::new("files", "a sequence has a file; declare one"))
        }
        (None, _) => Ok(0),
    }
}

/// A mapping that is there from the start.
fn begin(writer: &mut lines::Writer, loaded: &Loaded, n: usize) -> Result<(), Unsaid> {
    let vma = &loaded.plan.vmas[n];
    if vma.copy_of.is_some() || !vma.mapped || writer.is_buffer(n) {
        return Ok(());
    }
    writer.maps(n)?;
    let Some(slot) = writer.slot(n) else { return Ok(()) };
    let shared = matches!(vma.backing, Backing::File { .. }) && vma.shared;
    let advice = match vma.populate {
        plan::Populate::None => return Ok(()),
        plan::Populate::Read => Madvice::PopulateRead,
        plan::Populate::Write if !shared => Madvice::PopulateWrite,
        plan::Populate::Write => {
            let what = format!("mapping {}, `populate`", vma.name);
            let why = "a clean page has no dirty entry in a sequence; store to it instead";
            return Err(Unsaid::new(what, why));
        }
    };
    writer.push(Op::Madvise { at: At { slot, page: 0 }, pages: vma.pages, advice });
    Ok(())
}

/// How a mapping of a file is shared.
pub fn sharing(vma: &plan::VmaPlan) -> Sharing {
    if vma.shared { Sharing::Shared } else { Sharing::Private }
}

/// Whether a thread belongs to a child.
pub fn is_child(loaded: &Loaded, thread: usize) -> bool {
    match loaded.plan.threads[thread].role {
        Role::User(mm) => loaded.plan.mms[mm.index()].child_of.is_some(),
        _ => false,
    }
}
