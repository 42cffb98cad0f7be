//! Builds the world of a plan as it is before the first step.

use super::cell::Kind;
use super::contents::{Contents, Version};
use super::door::{Rules, World};
use super::ids::*;
use super::layout::{Layout, TLB_SLOTS};
use super::machine::*;
use super::objects::*;
use super::page::ZERO_PAGE;
use super::plan::*;
use std::sync::Arc;

/// Number of objects behind each facet.
fn size(map: &Layout, rules: Rules, kind: Kind) -> u32 {
    use Kind::*;
    let plan = &map.plan;
    let count = |n: usize| n as u32;
    match kind {
        Counts | Flags | Owner | FolioLock | Data | Holders => map.frames(),
        Pte => plan.vpages(),
        CacheSlot | Extent | Newest | Promised | Excused => plan.file_pages(),
        BlockState | BlockData | BlockDurable => map.blocks(),
        Asked => map.asked_pages(),
        Tlb => plan.cpus * TLB_SLOTS,
        CpuState => plan.cpus,
        VmaState => count(plan.vmas.len()),
        MmState => count(plan.mms.len()),
        Size | FileState | Lease => count(plan.files.len()),
        LockState => map.locks(),
        Held | HeldMore | Engaged | ActorState => map.actors(),
        DiskState => count(plan.disks.len()),
        Bio | BioEnd | BioData | BioSum => map.tag_count(),
        RegionState | IntervalSub => count(plan.regions.len()),
        Xlat => map.region_pages.last().map_or(0, |r| r.end),
        Pinned => map.slot_pages.last().map_or(0, |r| r.end),
        Pipe => plan.pipe_slots,
        Work => plan.workers,
        EventState => count(plan.events.len()),
        OpResult | OpValue => plan.ops(),
        FreeList => 1 + count(plan.disks.len()),
        Budget | CommandPool | Power | Verdict | Versions => 1,
        MappingPins => count(plan.files.len()) * u32::from(rules.pin.of_mapping),
    }
}

/// The world before the first step.
pub fn world(map: Arc<Layout>, rules: Rules) -> World {
    let mut w = World::new(map.clone(), rules, |kind| size(&map, rules, kind));
    let faults = map.plan.faults;
    w.set(One(0), Budget::new().with_io_errors(faults.io_errors).with_enomem(faults.enomem));
    struct_pages(&mut w, i32::from(!rules.mapped_refs));
    let next = files(&mut w);
    free_lists(&mut w, next);
    mappings(&mut w);
    forget(&mut w);
    w
}

/// The way to the first state is nobody's business; a large machine's would fill the memory.
fn forget(w: &mut World) {
    w.facts.clear();
    w.forget();
}

/// The struct pages of pmem devices.
fn struct_pages(w: &mut World, refs: i32) {
    for n in w.map.ram..w.map.frames() {
        w.set(Frame(n), Flags::new().with_pmem(true).with_uptodate(true));
        w.set(Frame(n), Counts::new().with_refs(refs));
    }
    w.set(ZERO_PAGE, Flags::new().with_zero_page(true).with_uptodate(true));
    w.set(ZERO_PAGE, Counts::new().with_refs(1));
}

/// Files with their blocks and cached pages. Gives the first unused frame and, for each disk,
/// the first unused block.
fn files(w: &mut World) -> (Frame, Vec<Block>) {
    let map = w.map.clone();
    let mut frame = Frame(1);
    let mut blocks: Vec<Block> = map.disk_blocks.iter().map(|r| Block(r.start)).collect();
    for (i, plan) in map.plan.files.iter().enumerate() {
        let file = File(i as u32);
        w.set(file, Size::new().with_bytes(plan.size));
        let mut folio = InitFolio::default();
        for at in map.pages_of(file) {
            let index = map.index_in_file(at);
            let init = plan.page(index);
            if !folio.pages.contains(&index) {
                folio = plan.folio(index);
            }
            if init == InitPage::Hole {
                continue;
            }
            if let Some(disk) = plan.disk {
                let block = blocks[disk.index()];
                blocks[disk.index()] = block.plus(1);
                block_of(w, at, block);
            }
            if plan.fs != FsKind::Dax && init != InitPage::Cold {
                cached_page(w, plan, at, frame, &folio);
                frame = frame.plus(1);
            }
        }
        forget(w);
    }
    (frame, blocks)
}

/// What a page of a file holds at the start; beyond the end of the file zeroes, with which
/// writeback has filled the last page (`ext4_bio_write_folio`, `iomap_writepage_handle_eof`).
fn initial(w: &mut World, at: FilePage, author: OpId, seq: u32) -> Contents {
    let origin = w.map.origin_of_file(at);
    let all = Contents::of(Version { origin, seq, author, whole: true });
    let start = u64::from(w.map.index_in_file(at)) * u64::from(PAGE_SIZE);
    let inside = w.map.file(w.map.file_of(at)).size.saturating_sub(start);
    match inside < u64::from(PAGE_SIZE) {
        true => w.patches.overlay(all, (inside as u16, PAGE_SIZE as u16), Contents::ZERO),
        false => all,
    }
}

/// A block with the initial contents of a page of a file.
fn block_of(w: &mut World, at: FilePage, block: Block) {
    let contents = initial(w, at, Version::INITIAL, 1);
    let state = BlockState::new().with_state(BlockUse::Owned).with_link(at.0 + 1).with_owners(1);
    w.set(block, state);
    w.set(at, Extent::at(ExtentKind::Written, block));
    w.set(at, Newest(contents));
    w.set(at, Promised(contents));
    match w.map.pmem_frame(block) {
        Some(frame) => w.set(frame, Data(contents)),
        None => {
            w.set(block, BlockData(contents));
            w.set(block, BlockDurable(contents));
        }
    }
    // What is on the disk at the start has been flushed.
    let disk = w.map.disk_of(block);
    w.set(disk, DiskState::new().with_epoch(1));
}

/// A cached page; pages of a larger folio come one after the other, its head first. What only one
/// of them makes of the folio, such as dirty, is said by the head.
fn cached_page(w: &mut World, plan: &FilePlan, at: FilePage, frame: Frame, folio: &InitFolio) {
    let index = w.map.index_in_file(at);
    let offset = if folio.large { index - folio.pages.start } else { 0 };
    let init = plan.page(index);
    let dirty = if folio.large { folio.dirty } else { init == InitPage::Dirty };
    let contents = match (plan.fs, init) {
        (FsKind::Tmpfs, _) => initial(w, at, Version::INITIAL, 1),
        (_, InitPage::Dirty) => initial(w, at, Version::EARLIER, 2),
        _ => initial(w, at, Version::INITIAL, 1),
    };
    w.set(frame, Data(contents));
    w.set(at, Newest(contents));
    if offset > 0 {
        w.set(frame, Flags::new().with_tail(true).with_head_offset(offset as u16));
    } else {
        w.set(
            frame,
            Flags::new()
                .with_uptodate(true)
                .with_lru(true)
                // What is in tmpfs has been written, and has nowhere else to be.
                .with_dirty(dirty || plan.fs == FsKind::Tmpfs)
                .with_prepared(dirty)
                .with_swapbacked(plan.fs == FsKind::Tmpfs)
                .with_order(if folio.large { plan.folio_order as u8 } else { 0 }),
        );
        // The rest of a larger folio is filled in by the pages that follow.
        w.set(frame, Counts::new());
    }
    let head = w.head(frame);
    w.set(frame, Owner::of(OwnerKind::File, at.0 + 1));
    let tag = dirty && plan.fs != FsKind::Tmpfs && offset == 0;
    w.set(at, CacheSlot::new().with_frame_bits(Frame::pack(Some(frame))).with_tag_dirty(tag));
    w.add_refs(head, 1);
    w.update::<Holders>(head, |h| h.with_cache(h.cache() + 1));
    if plan.fs == FsKind::Ext4 && offset == 0 {
        w.attach_buffers(head);
    }
}

/// Free frames and blocks, lowest number first to be taken.
fn free_lists(w: &mut World, (first, blocks): (Frame, Vec<Block>)) {
    let (mut head, mut count) = (0, 0);
    for n in (first.0..w.map.ram).rev() {
        w.set(Frame(n), Flags::new().with_free(true));
        w.set(Frame(n), Owner::of(OwnerKind::Free, head));
        head = n + 1;
        count += 1;
    }
    w.set(One(0), FreeList::new().with_head(head).with_count(count));
    for (d, first) in blocks.iter().enumerate() {
        let (mut head, mut count) = (0, 0);
        for n in (first.0..w.map.disk_blocks[d].end).rev() {
            w.set(Block(n), BlockState::new().with_link(head));
            head = n + 1;
            count += 1;
        }
        w.set(One(1 + d as u32), FreeList::new().with_head(head).with_count(count));
        w.update::<DiskState>(Disk(d as u32), |s| s.with_epoch(1));
    }
}

/// Address spaces, mappings and the page table entries that exist at the start.
fn mappings(w: &mut World) {
    let map = w.map.clone();
    for (i, mm) in map.plan.mms.iter().enumerate() {
        w.set(Mm(i as u32), MmState::new().with_live(mm.child_of.is_none()));
    }
    for (i, vma) in map.plan.vmas.iter().enumerate() {
        let state = VmaState::new().with_read(vma.read).with_write(vma.write);
        w.set(Vma(i as u32), state.with_mapped(vma.mapped));
        if vma.mapped && vma.populate != Populate::None {
            for page in map.vma_pages[i].clone().map(VPage) {
                populate(w, vma, page);
            }
        }
        forget(w);
    }
}

/// A page of private memory as a store left it, if there is a frame for it.
fn private(w: &mut World, page: VPage, contents: Contents) {
    let Some(frame) = w.alloc_frame() else { return };
    w.set(frame, Data(contents));
    w.change_flags(frame, |f| {
        f.with_uptodate(true).with_swapbacked(true).with_lru(true).with_exclusive(true)
    });
    w.set(frame, Owner::of(OwnerKind::Anon, page.0 + 1));
    let pte = Pte::new().with_present(true).with_young(true).with_writable(true).with_dirty(true);
    w.set_pte(page, pte.with_frame(frame));
    w.map_page(frame, 1);
    w.drop_ref(frame);
    if w.map.backing(page).is_some() {
        w.update::<VmaState>(w.map.vma_of(page), |v| v.with_anon_vma(true));
    }
}

/// A page table entry that exists at the start: of a page of a file that is cached (or DAX), or
/// of private memory that has been stored to.
fn populate(w: &mut World, vma: &VmaPlan, page: VPage) {
    let stored = vma.populate == Populate::Write && vma.write && !vma.shared;
    let Some(at) = w.map.backing(page) else {
        if stored && w.map.is_anon(page) {
            private(w, page, Contents::ZERO);
        }
        return;
    };
    let fs = w.map.fs_of(at);
    let frame = match fs {
        FsKind::Dax => w.get::<Extent>(at).block().and_then(|b| w.map.pmem_frame(b)),
        _ => w.cached(at),
    };
    let Some(frame) = frame else { return };
    if stored {
        let contents = w.data(frame);
        return private(w, page, contents);
    }
    let write = vma.populate == Populate::Write && vma.shared && vma.write;
    let pte = Pte::new().with_present(true).with_young(true).with_writable(write).with_dirty(write);
    let pte = pte.with_devmap(fs == FsKind::Dax && w.rules.devmap);
    w.set_pte(page, pte.with_frame(frame));
    if fs == FsKind::Dax {
        w.map_page(frame, 1);
        let slot = CacheSlot::new().with_frame_bits(Frame::pack(Some(frame))).with_tag_dirty(write);
        w.set(at, slot);
        w.set(frame, Owner::of(OwnerKind::File, at.0 + 1));
        return;
    }
    w.map_page(frame, 1);
    if write {
        let dirtied = w.change_flags(frame, |f| f.with_prepared(true)).dirty();
        if !dirtied && fs != FsKind::Tmpfs {
            w.mark_dirty(frame);
        }
    }
}
