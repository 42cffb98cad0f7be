//! What objects, contents and operations are called in reports.

use crate::kernel::world::objects::*;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

/// What the object behind a cell is called.
pub fn object(w: &World, kind: Kind, n: u32) -> String {
    let map = &w.map;
    match kind {
        Kind::Counts | Kind::Flags | Kind::Owner | Kind::FolioLock | Kind::Data | Kind::Holders => {
            folio(w, Frame(n))
        }
        Kind::Pte => format!("pte {}", map.vpage_name(VPage(n))),
        Kind::CacheSlot if map.fs_of(FilePage(n)) == FsKind::Dax => {
            format!("dax entry {}", map.file_page_name(FilePage(n)))
        }
        Kind::CacheSlot => format!("cache {}", map.file_page_name(FilePage(n))),
        Kind::Extent => format!("extent {}", map.file_page_name(FilePage(n))),
        Kind::Newest | Kind::Promised | Kind::Excused => map.file_page_name(FilePage(n)),
        Kind::BlockState | Kind::BlockData | Kind::BlockDurable => {
            format!("block {}", map.block_name(Block(n)))
        }
        Kind::Tlb => format!("cpu {} tlb", n / layout::TLB_SLOTS),
        Kind::CpuState => format!("cpu {n}"),
        Kind::VmaState => format!("mapping {}", map.plan.vmas[n as usize].name),
        Kind::MmState => format!("mm {}", map.plan.mms[n as usize].name),
        Kind::Size | Kind::FileState | Kind::Lease | Kind::MappingPins => {
            map.plan.files[n as usize].name.clone()
        }
        Kind::LockState => map.lock_name(Lock(n)),
        Kind::Held | Kind::HeldMore | Kind::Engaged | Kind::ActorState => map.actor_name(Actor(n)),
        Kind::DiskState => map.plan.disks[n as usize].name.clone(),
        Kind::Bio | Kind::BioEnd | Kind::BioData | Kind::BioSum => {
            format!("bio {}", map.actor_name(map.tag_actor(Tag(n))))
        }
        Kind::RegionState => format!("region {}", map.plan.regions[n as usize].name),
        Kind::Xlat => format!("xlat {}", region_page(w, RegionPage(n))),
        Kind::Pinned => format!("slot {}", slot_page(w, SlotPage(n))),
        Kind::Pipe => format!("pipe buffer {n}"),
        Kind::Work => map.actor_name(map.worker_actor(Worker(n))),
        Kind::EventState => format!("event '{}'", map.plan.events[n as usize]),
        Kind::OpResult | Kind::OpValue => map.op_name(OpId(n)),
        Kind::Budget => "faults left".into(),
        Kind::CommandPool => "command pages".into(),
        Kind::Power => "power".into(),
        Kind::FreeList if n == 0 => "free frames".into(),
        Kind::FreeList => format!("free blocks of {}", map.plan.disks[n as usize - 1].name),
        Kind::Verdict => "verdict".into(),
        // A facet that this table does not know is still named, by its kind.
        #[allow(unreachable_patterns, reason = "facets may be added")]
        _ => format!("{} {n}", kind.label()),
    }
}

/// A page of a region: `mr[0]`.
pub fn region_page(w: &World, page: RegionPage) -> String {
    let region = w.map.region_of(page);
    let first = w.map.region_pages[region.index()].start;
    format!("{}[{}]", w.map.plan.regions[region.index()].name, page.0 - first)
}

/// A page of a slot: `pins[0]`.
pub fn slot_page(w: &World, page: SlotPage) -> String {
    let slot = slot_of(w, page);
    let first = w.map.slot_pages[slot.index()].start;
    format!("{}[{}]", w.map.plan.slots[slot.index()].name, page.0 - first)
}

/// The slot of a slot page.
pub fn slot_of(w: &World, page: SlotPage) -> Slot {
    Slot(w.map.slot_pages.partition_point(|r| r.end <= page.0) as u32)
}

/// The folio (or frame) by what it is to the people who look at it: the page of the file that it
/// caches, else its number and what it was.
pub fn folio(w: &World, frame: Frame) -> String {
    let owner = w.get::<Owner>(frame);
    let place = w.map.frame_name(frame);
    let page = || owner.link().checked_sub(1).map(FilePage);
    let in_file = |p: &FilePage| p.0 < w.map.plan.file_pages();
    if w.map.pmem_block(frame).is_some() {
        return place;
    }
    match owner.kind() {
        OwnerKind::File => match page().filter(in_file) {
            Some(at) => format!("{} folio", w.map.file_page_name(at)),
            None => place,
        },
        OwnerKind::Detached => match page().filter(in_file) {
            Some(at) => format!("{place} (was {})", w.map.file_page_name(at)),
            None => place,
        },
        OwnerKind::Anon => match owner.link().checked_sub(1).map(VPage) {
            Some(at) if at.0 < w.map.plan.vpages() => {
                format!("anon {}", w.map.vpage_name(at))
            }
            _ => place,
        },
        _ => place,
    }
}

/// Contents by their authors: `initial`, `nic.1`, `0-2047 nic.1, 2048-4095 initial`.
pub fn contents(w: &World, of: Contents) -> String {
    let runs: Vec<_> = w.patches.runs(of).collect();
    if let [one] = runs.as_slice() {
        return version(w, one.holds);
    }
    let mut from = 0;
    let parts = runs.iter().map(|run| {
        let part = format!("{from}-{} {}", run.end - 1, version(w, run.holds));
        from = run.end;
        part
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// One version: its author, the page it was written to if that cannot be guessed, and its number
/// if the author writes more than once.
fn version(w: &World, of: Contents) -> String {
    if of == Contents::JUNK {
        return "random content".into();
    }
    let Some(version) = of.version() else { return "zeroes".into() };
    let author = w.map.op_name(version.author);
    if version.author == Version::INITIAL || version.author == Version::EARLIER {
        return match w.map.file_page_of(version) {
            Some(at) => format!("{author} {}", w.map.file_page_name(at)),
            None => author,
        };
    }
    if repeats(w, version.author) { format!("{author}#{}", version.seq) } else { author }
}

/// Whether an operation may run more than once.
fn repeats(w: &World, op: OpId) -> bool {
    let threads = &w.map.plan.threads;
    let Some(thread) = threads.iter().rev().find(|t| t.first_op <= op) else { return false };
    let at = op.0 - thread.first_op.0;
    let inside = |n: usize, to: u16| u32::from(to) <= at && at < n as u32;
    let mut ops = thread.program.iter().enumerate();
    ops.any(|(n, op)| matches!(*op, Op::Repeat { to, .. } if inside(n, to)))
}

/// An operation as its caller would write it.
pub fn operation(map: &layout::Layout, op: Op) -> String {
    let file = |f: File| map.plan.files[f.index()].name.as_str();
    let vma = |v: Vma| map.plan.vmas[v.index()].name.as_str();
    let region = |r: Region| map.plan.regions[r.index()].name.as_str();
    let slot = |s: Slot| map.plan.slots[s.index()].name.as_str();
    let page = |p: FilePage| map.file_page_name(p);
    let at = |p: VPage| map.vpage_name(p);
    let flags = |list: &[(bool, &str)]| {
        let set: Vec<&str> = list.iter().filter(|f| f.0).map(|f| f.1).collect();
        if set.is_empty() { "0".to_string() } else { set.join("|") }
    };
    match op {
        Op::Load { at: p } => format!("load {}", at(p)),
        Op::Store { at: p, part } => format!("store {}{}", at(p), bytes(part)),
        Op::Write { at: p, part } => format!("write({}{})", page(p), bytes(part)),
        Op::Read { at: p } => format!("read({})", page(p)),
        Op::DioRead { from, into } => format!("read({}, O_DIRECT) into {}", page(from), at(into)),
        Op::DioWrite { to, from } => format!("write({}, O_DIRECT) from {}", page(to), at(from)),
        Op::Fsync { file: f, data_only: false } => format!("fsync({})", file(f)),
        Op::Fsync { file: f, data_only: true } => format!("fdatasync({})", file(f)),
        Op::Msync { vma: v, sync } => {
            format!("msync({}, {})", vma(v), if sync { "MS_SYNC" } else { "MS_ASYNC" })
        }
        Op::MsyncInvalidate { vma: v } => format!("msync({}, MS_INVALIDATE)", vma(v)),
        Op::SyncFileRange { file: f, flags: s } => {
            let set =
                [(s.wait_before, "WAIT_BEFORE"), (s.write, "WRITE"), (s.wait_after, "WAIT_AFTER")];
            format!("sync_file_range({}, {})", file(f), flags(&set))
        }
        Op::Truncate { file: f, size } => format!("ftruncate({}, {size})", file(f)),
        Op::Punch { first, pages } => {
            format!("fallocate(PUNCH_HOLE, {}{})", page(first), count(pages))
        }
        Op::AddSeal { file: f, seal } => format!("fcntl({}, F_ADD_SEALS, {seal:?})", file(f)),
        Op::Reflink { from, to, pages } => {
            format!("FICLONE({} -> {}{})", page(from), page(to), count(pages))
        }
        Op::Mmap { vma: v } => format!("mmap({})", vma(v)),
        Op::Munmap { vma: v } => format!("munmap({})", vma(v)),
        Op::Mremap { from, to, keeps } => {
            let flag = if keeps { ", MREMAP_DONTUNMAP" } else { "" };
            format!("mremap({} -> {}{flag})", vma(from), vma(to))
        }
        Op::Mprotect { vma: v, read, write } => {
            format!("mprotect({}, {})", vma(v), flags(&[(read, "READ"), (write, "WRITE")]))
        }
        Op::Hoard { at: page, count, pin } => {
            let what = if pin { "pins of" } else { "references to" };
            format!("take {count} {what} {}", at(page))
        }
        Op::Madvise { first, pages, advice } => {
            format!("madvise({}{}, {})", at(first), count(pages), advice_name(advice))
        }
        Op::Mlock { first, pages, lock } => {
            let call = if lock { "mlock" } else { "munlock" };
            format!("{call}({}{})", at(first), count(pages))
        }
        Op::PunchPart { first, pages, from, to } => {
            format!("fallocate(PUNCH_HOLE, {}{}, bytes {from} to {to})", page(first), count(pages))
        }
        Op::CollapseRange { first, pages } => {
            format!("fallocate(COLLAPSE_RANGE, {}{})", page(first), count(pages))
        }
        Op::ZeroRange { first, pages } => {
            format!("fallocate(ZERO_RANGE, {}{})", page(first), count(pages))
        }
        Op::Fork { child } => format!("fork({})", map.plan.mms[child.index()].name),
        Op::Pin { first, pages, write, longterm, call, slot: s } => {
            let set = [(write, "FOLL_WRITE"), (longterm, "FOLL_LONGTERM")];
            let (call, first, set) = (call_name(call), at(first), flags(&set));
            format!("{call}({first}{}, {set}) = {}", count(pages), slot(s))
        }
        Op::Unpin { slot: s, dirty: false, .. } => format!("unpin_user_pages({})", slot(s)),
        Op::Unpin { slot: s, dirty: true, .. } => {
            format!("unpin_user_pages_dirty_lock({})", slot(s))
        }
        Op::Splice { from, slot: s } => format!("splice({}) = {}", page(from), slot(s)),
        Op::WritePinned { slot: s, page } => format!("write to {}[{page}]", slot(s)),
        Op::ReadPinned { slot: s, page } => format!("copy from {}[{page}]", slot(s)),
        Op::Register { region: r, first, pages, write, longterm } => {
            let set = [(write, "WRITE"), (longterm, "LONGTERM")];
            format!("register {} over {}{}, {}", region(r), at(first), count(pages), flags(&set))
        }
        Op::Deregister { region: r, .. } => format!("deregister {}", region(r)),
        Op::DmaWrite { region: r, page } => format!("dma write {}[{page}]", region(r)),
        Op::DmaRead { region: r, page } => format!("dma read {}[{page}]", region(r)),
        Op::DmaWait { region: r } => format!("wait for the transfers of {}", region(r)),
        Op::Writeback { file: f, mode: SyncMode::Cleaning } => {
            format!("writeback({}, WB_SYNC_NONE)", file(f))
        }
        Op::Writeback { file: f, mode: SyncMode::Integrity } => {
            format!("writeback({}, WB_SYNC_ALL)", file(f))
        }
        Op::Reclaim { page: p } => format!("reclaim {}", page(p)),
        Op::DropCaches { file: f } => format!("drop caches of {}", file(f)),
        Op::Migrate { page: p } => format!("migrate {}", page(p)),
        Op::Unbind { disk } => format!("echo {} > unbind", map.plan.disks[disk.index()].name),
        Op::TakeFrame => "take a free frame".into(),
        Op::TakeBlock { page: p } => format!("append {}", page(p)),
        Op::Verify { taken } => format!("verify {}", map.op_name(taken)),
        Op::TakeLease { file: f } => format!("take the layout lease of {}", file(f)),
        Op::AwaitBreak { file: f } => format!("wait for a break of the lease of {}", file(f)),
        Op::AnswerLease { file: f } => format!("release the layout lease of {}", file(f)),
        Op::Crash => "power loss".into(),
        Op::Signal { to } => format!("SIGKILL to {}", map.actor_name(to)),
        Op::LeaseTimeout { file: f } => format!("lease break on {} times out", file(f)),
        Op::Post { event } => format!("post '{}'", map.plan.events[event.index()]),
        Op::Wait { event } => format!("wait '{}'", map.plan.events[event.index()]),
        Op::Sleep { ns } => format!("sleep {ns} ns"),
        Op::Repeat { .. } => "repeat".into(),
    }
}

/// Whether an operation has a caller who gets its result. Threads of the kernel, devices, and bare
/// loads and stores tell nobody that they have come to their end.
pub fn is_call(op: Op) -> bool {
    use Op::*;
    let untold = matches!(
        op,
        Load { .. }
            | Store { .. }
            | WritePinned { .. }
            | ReadPinned { .. }
            | DmaWrite { .. }
            | DmaRead { .. }
            | DmaWait { .. }
            | Writeback { .. }
            | Reclaim { .. }
            | Migrate { .. }
            | TakeFrame
            | TakeBlock { .. }
            | Verify { .. }
            | AwaitBreak { .. }
            | Crash
            | Signal { .. }
            | LeaseTimeout { .. }
    );
    !untold
}

/// Whether what an operation has read is its point.
pub fn reads(op: Op) -> bool {
    use Op::*;
    matches!(op, Load { .. } | Read { .. } | ReadPinned { .. } | DmaRead { .. })
}

fn bytes(part: Part) -> String {
    if part == WHOLE { String::new() } else { format!(" bytes {}-{}", part.0, part.1 - 1) }
}

fn count(pages: u32) -> String {
    if pages == 1 { String::new() } else { format!(", {pages} pages") }
}

fn advice_name(advice: Advice) -> &'static str {
    match advice {
        Advice::DontNeed => "MADV_DONTNEED",
        Advice::PageOut => "MADV_PAGEOUT",
        Advice::Free => "MADV_FREE",
        Advice::Cold => "MADV_COLD",
        Advice::Remove => "MADV_REMOVE",
        Advice::PopulateRead => "MADV_POPULATE_READ",
        Advice::PopulateWrite => "MADV_POPULATE_WRITE",
    }
}

fn call_name(call: PinCall) -> &'static str {
    match call {
        PinCall::PinFast => "pin_user_pages_fast",
        PinCall::PinSlow => "pin_user_pages",
        PinCall::GetFast => "get_user_pages_fast",
        PinCall::GetSlow => "get_user_pages",
        PinCall::PinRemote => "pin_user_pages_remote",
        PinCall::GetForce => "get_user_pages_remote(FOLL_FORCE)",
    }
}
