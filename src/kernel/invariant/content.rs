//! Invariants about the contents of files: writes that are lost, or about to be.

use super::look::{anywhere, being_written_directly, bytes_in_file, file_pages};
use super::{Hurt, Invariant, Judgement, Premise, Subject, Waits};
use crate::kernel::world::facts::{Fact, FactKind};
use crate::kernel::world::machine::{
    ActorState, BlockState, BlockUse, DiskState, Extent, ExtentKind, Life,
};
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{DiskKind, FsKind};
use crate::kernel::world::{
    Actor, Block, Contents, File, FilePage, Frame, Id, Kind, OpId, Version, World,
};

/// See its `doc`.
///
/// At the end of a run in which every program has finished, a final sync is imagined: a dirty
/// page, or one under writeback, gets to the disk as it is (except what writeback skips: a page of
/// ext4 without buffers, and one of btrfs that it has not prepared, where no worker does so);
/// everything else stays what the disk has. A byte is lost if
/// the newest completed write to it is not there, unless something newer is (a write that has
/// not completed yet); a page that is in the middle of a direct write is nobody's before its end.
/// After a power loss the same is asked of what survives and of what fsync
/// had promised; what was truncated or punched since may be there or not.
///
/// Excused: tmpfs; bytes beyond i_size; bytes that a failed write carried, and whatever is older
/// than those (the error is on record, [`Excused`]); after a crash, a btrfs page whose new block
/// is still in the volatile cache: the tree on the disk points to its old block, which is not
/// simulated.
pub const LOST_WRITE: Invariant = Invariant {
    name: "lost-write",
    hurts: Hurt::Filesystem,
    doc: "After a final sync at the end of the run (or after a crash, of what fsync had \
          acknowledged) the disk lacks a completed write that was neither overwritten, truncated, \
          nor reported as an error. A DMA write is completed when its completion has reached the \
          driver.",
    source: "claims 1-21; fsync(2); kernel-facts 3.1, 3.4",
    premise: "something was written to a file that has a disk (before a crash: and synced) and \
              the run has finished, or power is lost",
    arises: Premise::Checked,
    watches: &[],
    hears: &[FactKind::Ended, FactKind::Crashed],
    check: lost_write,
    fatal: false,
};

fn lost_write(w: &World, waits: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let crashed = match subject {
        Subject::Fact(Fact::Crashed) => true,
        Subject::Fact(Fact::Ended) if waits.finished() => false,
        _ => return Judgement::NotAsked,
    };
    let mut judgement = Judgement::NotAsked;
    for at in file_pages(w) {
        let file = w.map.file_of(at);
        if w.map.file(file).fs == FsKind::Tmpfs {
            continue;
        }
        let wanted = if crashed { w.get::<Promised>(at).0 } else { w.get::<Newest>(at).0 };
        let written = |c: Contents| c.version().is_some_and(|v| v.author != Version::INITIAL);
        if judgement == Judgement::NotAsked && w.patches.runs(wanted).any(|r| written(r.holds)) {
            judgement = Judgement::Holds;
        }
        let lost = if crashed { lost_in_crash(w, at, wanted) } else { never_synced(w, at, wanted) };
        if lost {
            return Judgement::Broken(where_it_is(w, at));
        }
    }
    judgement
}

/// Whether a byte was lost with an error on record: a failed write carried it, or something newer
/// that was to take its place.
fn excused(lost: Contents, carried: Contents) -> bool {
    lost == carried || lost.older_than(carried)
}

/// Whether a page of a file would lack something of its newest contents after a final sync.
fn never_synced(w: &World, at: FilePage, newest: Contents) -> bool {
    let synced = match w.cached(at).filter(|&f| will_be_written(w, at, f)) {
        Some(frame) => w.data(frame),
        None => w.disk_contents(at),
    };
    if synced == newest {
        return false;
    }
    // A page that is locked is in the hands of somebody for whom the run did not wait (a program
    // that goes round for ever): write(2) is about to dirty it, writeback about to write it. Who
    // died with the lock held (BUG) will not.
    let alive = |a: Actor| w.get::<ActorState>(a).life() != Life::Killed;
    let locked =
        |f: &Frame| Actor::unpack(w.get::<FolioLock>(w.head(*f)).owner()).is_some_and(alive);
    let in_hand = w.cached(at).filter(locked).map_or(synced, |frame| w.data(frame));
    let all = [synced, in_hand, newest, w.get::<Excused>(at).0];
    let lost = |[found, in_hand, newest, carried]: [Contents; 4]| {
        let lacks = |found| found != newest && !newest.older_than(found);
        let lost = newest != Contents::ZERO && lacks(found) && lacks(in_hand);
        lost && !excused(newest, carried)
    };
    anywhere(w, all, (0, bytes_in_file(w, at)), lost) && !being_written_directly(w, at)
}

/// Whether writeback would find the cached page and write it.
fn will_be_written(w: &World, at: FilePage, frame: Frame) -> bool {
    let flags = w.flags(frame);
    let fs = w.map.fs_of(at);
    if fs == FsKind::Dax || flags.writeback() {
        return fs != FsKind::Dax;
    }
    // A dirty entry of a page table makes the page dirty when it is unmapped.
    let through = |v| {
        let pte = w.get::<Pte>(v);
        super::look::maps(pte, frame) && pte.dirty()
    };
    let dirty = flags.dirty() || w.map.rmap(at).any(through);
    dirty
        && match fs {
            FsKind::Ext4 => flags.buffers() && !w.get::<CacheSlot>(at).unmapped(),
            FsKind::Btrfs => flags.prepared() || w.map.plan.workers > 0,
            _ => true,
        }
}

/// Whether a power loss now takes something away that fsync had promised to survive it.
fn lost_in_crash(w: &World, at: FilePage, promised: Contents) -> bool {
    let extent = w.get::<Extent>(at);
    let durable = match (extent.kind(), extent.block()) {
        (ExtentKind::Written, Some(block)) => {
            let disk = w.map.disk_of(block);
            let kind = w.map.plan.disks[disk.index()].kind;
            let volatile = matches!(kind, DiskKind::Block { volatile_cache: true, .. });
            let epoch = w.get::<DiskState>(disk).epoch();
            let cached = volatile && w.get::<BlockState>(block).epoch() == epoch;
            if cached && w.map.fs_of(at) == FsKind::Btrfs {
                return false;
            }
            w.durable_contents(block)
        }
        _ => Contents::ZERO,
    };
    if durable == promised {
        return false;
    }
    let all = [durable, promised, w.get::<Newest>(at).0, w.get::<Excused>(at).0];
    anywhere(w, all, (0, bytes_in_file(w, at)), |[found, promised, now, carried]| {
        let superseded = now == Contents::ZERO || found == now;
        let lost = promised != Contents::ZERO && found != promised && !promised.older_than(found);
        lost && !superseded && !excused(promised, carried)
    })
}

/// The cells that say where the contents of a page of a file are.
fn where_it_is(w: &World, at: FilePage) -> [u32; 2] {
    let newest = w.cell::<Newest>(at);
    match (w.cached(at), w.get::<Extent>(at).block()) {
        (Some(frame), _) => [w.cell::<Flags>(w.head(frame)), newest],
        (None, Some(block)) if w.map.pmem_frame(block).is_none() => {
            [w.cell::<BlockData>(block), newest]
        }
        _ => [w.cell::<Extent>(at), newest],
    }
}

/// See its `doc`.
///
/// Judged where nobody is about to put it right: the folio is uptodate, unlocked (write(2),
/// page_mkwrite and truncate change a page and mark it dirty under its lock). Bytes that a failed
/// write carried are excused, as in [`LOST_WRITE`]: the page is clean, and the error is on record
/// (kernel truth G40). Bytes beyond i_size never get to the disk. A clean page that is *older*
/// than the disk (a direct write went past the page cache) is stale, not newer; neither is a zero
/// that a direct write has filled. DAX and tmpfs have no second copy.
pub const CLEAN_BUT_NEWER: Invariant = Invariant {
    name: "clean-but-newer",
    hurts: Hurt::Filesystem,
    doc: "A page in a file is clean and not under writeback, and its contents are newer than the \
          disk's: nothing will write them. How long it lasts is a measure; for ever is \
          lost-write.",
    source: "kernel-facts 3.1 (after B11), 3.4 race B; claims 1-8",
    premise: "a cached page of a file with a disk is clean, and has been written in this run",
    arises: Premise::Checked,
    watches: &[
        Kind::Data,
        Kind::Flags,
        Kind::FolioLock,
        Kind::CacheSlot,
        Kind::Extent,
        Kind::BlockData,
        Kind::Newest,
        Kind::Size,
    ],
    hears: &[],
    check: clean_but_newer,
    fatal: false,
};

fn clean_but_newer(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Wrote { kind, object, .. } = subject else { return Judgement::NotAsked };
    match kind {
        Kind::Data => of_frame(w, Frame(object)),
        Kind::Flags | Kind::FolioLock => {
            let head = Frame(object);
            let flags = w.get::<Flags>(head);
            if flags.pmem() || flags.tail() || !settled(w, head, flags) {
                return Judgement::NotAsked;
            }
            worst((0..1u32 << flags.order()).map(|n| of_frame(w, head.plus(n))))
        }
        Kind::BlockData => {
            let block = Block(object);
            match w.block_owner(block) {
                Some(_) if w.get::<BlockState>(block).state() == BlockUse::Shared => {
                    let owns = |at: &FilePage| w.get::<Extent>(*at).block() == Some(block);
                    worst(file_pages(w).filter(owns).map(|at| of_page(w, at)))
                }
                Some(at) => of_page(w, at),
                None => Judgement::NotAsked,
            }
        }
        Kind::Size => worst(w.map.pages_of(File(object)).map(|at| of_page(w, at))),
        _ => of_page(w, FilePage(object)),
    }
}

/// Broken if one is, asked if one is.
fn worst(all: impl Iterator<Item = Judgement>) -> Judgement {
    let mut worst = Judgement::NotAsked;
    for judgement in all {
        match judgement {
            Judgement::Broken(_) => return judgement,
            Judgement::Holds => worst = judgement,
            Judgement::NotAsked => {}
        }
    }
    worst
}

/// Whether a folio is clean, and nobody is about to change it or to write it.
fn settled(w: &World, head: Frame, flags: Flags) -> bool {
    let clean = flags.uptodate() && !flags.dirty() && !flags.writeback();
    clean && w.get::<FolioLock>(head).owner() == 0
}

fn of_frame(w: &World, frame: Frame) -> Judgement {
    match w.get::<Owner>(frame).file_page() {
        Some(at) if w.map.pmem_block(frame).is_none() => of_page(w, at),
        _ => Judgement::NotAsked,
    }
}

fn of_page(w: &World, at: FilePage) -> Judgement {
    let fs = w.map.fs_of(at);
    let Some(frame) = w.cached(at) else { return Judgement::NotAsked };
    if fs == FsKind::Tmpfs || fs == FsKind::Dax {
        return Judgement::NotAsked;
    }
    let head = w.head(frame);
    if !settled(w, head, w.get(head)) {
        return Judgement::NotAsked;
    }
    let (data, disk) = (w.data(frame), w.disk_contents(at));
    let all = [data, disk, w.get::<Newest>(at).0, w.get::<Excused>(at).0];
    let newer = |[cached, disk, newest, carried]: [Contents; 4]| {
        let newer = cached != disk && cached != Contents::ZERO && !cached.older_than(disk);
        // What a direct write has put on the disk may be the contents of another file.
        let stale = newest == disk && !newest.older_than(cached);
        newer && !stale && !excused(cached, carried)
    };
    if data != disk && anywhere(w, all, (0, bytes_in_file(w, at)), newer) {
        return Judgement::Broken([w.cell::<Data>(frame), w.cell::<Flags>(head)]);
    }
    let initial = data.version().map_or(!data.is_patched(), |v| v.author == OpId(0));
    if initial { Judgement::NotAsked } else { Judgement::Holds }
}
