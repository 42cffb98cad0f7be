//! Blocks of files: where a page is written to, extents removed from a file's map, blocks given
//! back.

use super::busy;
use super::step::Step;
use crate::kernel::strategy::Truncate;
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::Holder;
use crate::kernel::world::plan::{FsKind, Part};
use crate::kernel::world::{Actor, AskedPage, Block, Contents, Disk, FilePage, Frame, Id, World};

/// Removes pages of a file from its extent map (`ext4_ext_remove_space`, `xfs_bunmapi`) and frees
/// their blocks, which anybody may be given at once, unless the design keeps busy ones back.
/// Reserved space goes as well.
pub fn remove(cx: &mut Step, first: FilePage, pages: u32) {
    for at in (0..pages).map(|n| first.plus(n)) {
        let extent = cx.get::<Extent>(at);
        if extent != Extent::new() {
            cx.set(at, Extent::new());
        }
        if let Some(block) = extent.block() {
            release(cx, block, at);
        }
        // The page cache of tmpfs is the file: what has been faulted in since stays.
        if cx.map.fs_of(at) != FsKind::Tmpfs || cx.cached(at).is_none() {
            forget(cx, at, (0, 4096));
        }
    }
}

/// Makes pages of a file read as zeroes and gives each a block that nothing has been written to
/// (`ext4_zero_range`: extents are converted to unwritten ones, holes are allocated).
pub fn unwrite(w: &mut World, first: FilePage, pages: u32) {
    for at in (0..pages).map(|n| first.plus(n)) {
        let disk = w.map.file(w.map.file_of(at)).disk;
        let block = w.get::<Extent>(at).block();
        let block = block.or_else(|| disk.and_then(|disk| w.alloc_block(disk, at)));
        if let Some(block) = block {
            w.set(at, Extent::at(ExtentKind::Unwritten, block));
        }
        forget(w, at, (0, 4096));
    }
}

/// Removes pages from a file, so that what follows takes their place (`ext4_ext_shift_extents`). No
/// page of the file from the first on is cached.
pub fn collapse(cx: &mut Step, first: FilePage, pages: u32) {
    remove(cx, first, pages);
    let end = cx.map.file_pages[cx.map.file_of(first).index()].end;
    for to in (first.0..end).map(FilePage) {
        let from = to.plus(pages);
        let (extent, newest, promised, excused): (Extent, Newest, Promised, Excused) =
            match from.0 < end {
                true => (cx.get(from), cx.get(from), cx.get(from), cx.get(from)),
                false => Default::default(),
            };
        cx.set(to, extent);
        cx.set(to, newest);
        cx.set(to, promised);
        cx.set(to, excused);
        for page in asked_pages(cx, to) {
            let asked = if from.0 < end { cx.get(page.plus(pages)) } else { Asked::default() };
            cx.set(page, asked);
        }
        if let Some(block) = extent.block() {
            cx.update::<BlockState>(block, |b| b.with_link(to.0 + 1));
        }
    }
}

/// The block that a page is written to. btrfs never overwrites; xfs breaks the sharing of a
/// reflinked block if it was told of the write (`cow`), else it overwrites in place. But what
/// another I/O to the page has put into the CoW fork is used first, by direct writes
/// (`xfs_find_trim_cow_extent`) and by writeback (`xfs_map_blocks`). None: the disk is full.
pub fn target(cx: &mut Step, disk: Disk, at: FilePage, cow: bool) -> Option<Block> {
    if let Some(block) = cx.join_cow_block(disk, at) {
        return Some(block);
    }
    let old = cx.get::<Extent>(at).block();
    let shared = old.is_some_and(|b| cx.get::<BlockState>(b).state() == BlockUse::Shared);
    if cx.map.fs_of(at) == FsKind::Btrfs || (shared && cow) {
        return cx.alloc_block(disk, at);
    }
    old
}

/// One owner of a block less; the last one frees it.
fn release(cx: &mut Step, block: Block, at: FilePage) {
    if cx.get::<BlockState>(block).owners() <= 1
        && let Some(frame) = cx.map.pmem_frame(block)
    {
        let keeps = cx.strategy.truncate_dax == Truncate::BusyExtents;
        if keeps && cx.strategy.dax_idle.busy(cx.get(frame)) {
            return busy::detach(cx, block, frame, at);
        }
        cx.set(frame, Owner::new());
    }
    cx.put_block(block, at);
}

/// Ghost: bytes of a page of a file are zero from now on.
pub fn forget(w: &mut World, at: FilePage, part: Part) {
    let newest = w.get::<Newest>(at).0;
    let zeroed = w.patches.overlay(newest, part, Contents::ZERO);
    if zeroed != newest {
        w.set(at, Newest(zeroed));
    }
    unpromise(w, at, part);
}

/// Ghost: something has taken the place of bytes of a page of a file. What fsync had promised about
/// them is void, and what a call under way would promise: only the next call to begin says
/// something about what is there now.
pub fn unpromise(w: &mut World, at: FilePage, part: Part) {
    let promised = w.get::<Promised>(at).0;
    let void = w.patches.overlay(promised, part, Contents::ZERO);
    if void != promised {
        w.set(at, Promised(void));
    }
    for page in asked_pages(w, at) {
        let asked = w.get::<Asked>(page).0;
        let void = w.patches.overlay(asked, part, Contents::ZERO);
        if void != asked {
            w.set(page, Asked(void));
        }
    }
}

/// A page of a file as each thread's sync call keeps it in mind.
fn asked_pages(w: &World, at: FilePage) -> Vec<AskedPage> {
    let threads = (0..w.map.plan.threads.len() as u32).map(Actor);
    threads.filter_map(|thread| w.map.asked_page(thread, at)).collect()
}

/// `folio_invalidate` of a whole folio and `folio_cancel_dirty`, under the folio lock: private
/// data, dirtiness and whatever the filesystem had prepared are gone.
pub fn invalidate_folio(w: &mut World, frame: Frame) {
    w.strip_buffers(frame);
    w.change_flags(frame, |f| f.with_dirty(false).with_prepared(false));
}

/// `dax_delete_mapping_entry` of an unlocked entry: the page leaves the tree and loses its
/// `page->mapping` (`dax_disassociate_entry`).
pub fn delete_dax_entry(w: &mut World, at: FilePage) {
    if let Some(frame) = w.cached(at) {
        w.set(at, CacheSlot::new());
        w.set(frame, Owner::of(OwnerKind::Detached, at.0 + 1));
    }
}

/// Whether a locked folio can be split, as far as a look can tell: its filesystem gives up its
/// private data (`filemap_release_folio`), and only the page cache, page tables and the caller
/// refer to it (`can_split_folio`). A dirty folio keeps its data: ext4's buffers are busy, and
/// iomap has for each block of a larger folio whether it is dirty (`iomap_release_folio`: "If the
/// folio is dirty, we refuse to release our metadata"; `btrfs_release_folio`).
pub fn may_split(w: &mut World, head: Frame) -> bool {
    let flags = w.flags(head);
    let fs = w.get::<Owner>(head).file_page().map(|at| w.map.fs_of(at));
    let private = match fs {
        Some(FsKind::Xfs | FsKind::Btrfs) => true,
        _ => flags.buffers(),
    };
    if private && (flags.dirty() || flags.writeback()) {
        return false;
    }
    w.strip_buffers(head);
    let (pages, counts) = (w.folio_pages(head), w.counts(head));
    counts.refs() - i32::from(counts.maps()) == pages as i32 + 1
}

/// Splits a larger folio into base pages (`split_folio`): fails, like `folio_ref_freeze`, if page
/// tables or anybody else beyond the page cache and the caller refer to it.
pub fn split_folio(w: &mut World, head: Frame) -> bool {
    if !may_split(w, head) || w.counts(head).maps() != 0 {
        return false;
    }
    let pages = w.folio_pages(head);
    let tags = w.get::<Owner>(head).file_page().map(|at| w.get::<CacheSlot>(at));
    let flags = w.flags(head).with_order(0);
    for frame in (1..pages).map(|n| head.plus(n)) {
        let generation = w.get::<Flags>(frame).generation();
        w.set(frame, flags.with_generation(generation));
        w.set(frame, Counts::new().with_refs(1));
        w.set(frame, Holders::new().with_cache(1));
        if let (Some(tags), Some(at)) = (tags, w.get::<Owner>(frame).file_page()) {
            w.set(at, tags.with_frame_bits(Frame::pack(Some(frame))));
        }
    }
    w.set(head, flags);
    w.set(head, Counts::new().with_refs(2));
    w.set(head, Holders::new().with_cache(1));
    w.hold(head, Holder::Ref, 1);
    true
}
