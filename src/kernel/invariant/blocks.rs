//! Invariants about blocks and what a filesystem keeps in order: ownership, preparation, the end
//! of a file.

use super::look::{anywhere, being_written_directly, bytes_in_file, file_pages, somebody};
use super::{Hurt, Invariant, Judgement, Premise, Subject, Waits};
use crate::kernel::world::facts::{Fact, FactKind};
use crate::kernel::world::machine::{
    ActorState, Bio, BioEnd, BioStep, BlockState, BlockUse, Extent, ExtentKind, Life, LockClass,
    LockState, Power,
};
use crate::kernel::world::objects::{CacheSlot, Flags, Newest, Owner, Size};
use crate::kernel::world::plan::{FsKind, InitPage, Op, PAGE_SIZE, WHOLE};
use crate::kernel::world::{
    Actor, Block, Contents, FilePage, Id, Kind, One, Tag, VPage, Version, World,
};

/// See its `doc`.
///
/// ext4 needs buffers, which punch may have taken from a page of a larger folio; btrfs a
/// reservation and a broken COW (`Flags.prepared`); xfs a block or a reservation (delalloc) for the
/// page, which of a larger folio is the one that was written to, and if the block is shared by
/// reflink a reservation in the CoW fork: without it writeback goes to the shared block
/// (`xfs_map_blocks`). A page that has left its file needs nothing.
pub const DIRTY_WITHOUT_MKWRITE: Invariant = Invariant {
    name: "dirty-without-mkwrite",
    hurts: Hurt::Filesystem,
    doc: "A page became dirty without the filesystem having prepared it: no buffers, no \
          reservation, COW not broken.",
    source: "kernel-facts 3.4; claims 5-8, 86; Documentation/filesystems/locking.rst \
             (page_mkwrite)",
    premise: "a page of a file on ext4, xfs or btrfs is marked dirty",
    arises: Premise::Checked,
    watches: &[],
    hears: &[FactKind::Dirtied],
    check: dirty_without_mkwrite,
    fatal: false,
};

fn dirty_without_mkwrite(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Fact(Fact::Dirtied { frame }) = subject else { return Judgement::NotAsked };
    let head = w.head(frame);
    let Some(at) = w.get::<Owner>(frame).file_page() else { return Judgement::NotAsked };
    let flags = w.get::<Flags>(head);
    let prepared = match w.map.fs_of(at) {
        FsKind::Ext4 => flags.buffers() && !w.get::<CacheSlot>(at).unmapped(),
        FsKind::Btrfs => flags.prepared(),
        FsKind::Xfs => {
            let kind = w.get::<Extent>(at).kind();
            // A write that is under way and was prepared leaves the page a block of its own.
            let own = flags.prepared() || flags.writeback() || !shares_block(w, at);
            kind != ExtentKind::Hole && own
        }
        FsKind::Tmpfs | FsKind::Dax => return Judgement::NotAsked,
    };
    if prepared {
        return Judgement::Holds;
    }
    Judgement::Broken([w.cell::<Flags>(head), w.cell::<Extent>(at)])
}

/// Whether a write to a page of a file on xfs would go to a block that is not its alone.
fn shares_block(w: &World, at: FilePage) -> bool {
    let Some(block) = w.get::<Extent>(at).block().filter(|_| w.map.reflinks) else { return false };
    let shared = w.get::<BlockState>(block).state() == BlockUse::Shared;
    shared && w.cow_block(w.map.disk_of(block), at).is_none()
}

/// See its `doc`.
///
/// A block that is allocated and not yet in the extent map (a COW write on its way) has one owner.
pub const DOUBLE_OWNED_BLOCK: Invariant = Invariant {
    name: "double-owned-block",
    hurts: Hurt::Filesystem,
    doc: "A block belongs to two owners that did not agree to share it by reflink: to pages of \
          two files, or to a page of a file and to the free (or busy) blocks.",
    source: "kernel-facts 4.4 (T8), 4.8; claims 55-64",
    premise: "a page of a file gets a block, or a block changes hands",
    arises: Premise::Checked,
    watches: &[Kind::Extent, Kind::BlockState],
    hears: &[],
    check: double_owned_block,
    fatal: false,
};

fn double_owned_block(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Wrote { kind, object, old } = subject else { return Judgement::NotAsked };
    if kind == Kind::Extent {
        let at = FilePage(object);
        return match w.get::<Extent>(at).block() {
            Some(block) => claimed(w, at, block),
            None => Judgement::NotAsked,
        };
    }
    let (block, before) = (Block(object), BlockState::from_bits(old));
    let now = w.get::<BlockState>(block);
    let whose = |s: BlockState| (s.state(), s.link(), s.owners());
    if whose(before) == whose(now) {
        return Judgement::NotAsked;
    }
    // Whoever had it may still believe that it does, and so may whoever has it now.
    let has = |at: &FilePage| w.get::<Extent>(*at).block() == Some(block);
    let claimant = if before.state() == BlockUse::Shared || now.state() == BlockUse::Shared {
        file_pages(w).find(has)
    } else {
        let had = (before.state() != BlockUse::Free).then(|| before.link().checked_sub(1));
        let known = |at: &FilePage| at.0 < w.map.file_page_count() && has(at);
        had.flatten().map(FilePage).filter(known).or(w.block_owner(block).filter(known))
    };
    claimant.map_or(Judgement::Holds, |at| claimed(w, at, block))
}

/// Judges the claim of a page of a file to its block.
fn claimed(w: &World, at: FilePage, block: Block) -> Judgement {
    let state = w.get::<BlockState>(block);
    let has = |other: &FilePage| w.get::<Extent>(*other).block() == Some(block);
    let twice = match state.state() {
        BlockUse::Free | BlockUse::Busy => true,
        BlockUse::Owned => {
            let owner = state.link().checked_sub(1).map(FilePage);
            owner.is_some_and(|owner| owner != at && has(&owner))
        }
        BlockUse::Shared => file_pages(w).filter(has).count() > usize::from(state.owners()),
    };
    if !twice {
        return Judgement::Holds;
    }
    // Of several claims the same one is named, whichever was looked at.
    let other = file_pages(w).find(has).unwrap_or(at);
    Judgement::Broken([w.cell::<BlockState>(block), w.cell::<Extent>(other)])
}

/// See its `doc`.
pub const SPACE_LEAK: Invariant = Invariant {
    name: "space-leak",
    hurts: Hurt::Filesystem,
    doc: "A block is neither free nor part of a file once every program has finished: no extent \
          names it, or it is still on the busy list; or space is reserved (delayed allocation) \
          for a page that is no longer there to use it.",
    source: "kernel-facts 4.8; claims 55-64 (busy extents)",
    premise: "the run has finished, and some file has lost or changed a block that it had at the \
              start",
    arises: Premise::Checked,
    watches: &[],
    hears: &[FactKind::Ended],
    check: space_leak,
    fatal: false,
};

fn space_leak(w: &World, waits: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    if subject != Subject::Fact(Fact::Ended) || !waits.finished() {
        return Judgement::NotAsked;
    }
    for block in (0..w.map.blocks()).map(Block) {
        let state = w.get::<BlockState>(block);
        let named = |at: FilePage| w.get::<Extent>(at).block() == Some(block);
        let leaked = match state.state() {
            BlockUse::Free => false,
            BlockUse::Busy => !may_be_released(w, block),
            BlockUse::Owned | BlockUse::Shared => {
                let owner = w.block_owner(block).filter(|at| at.0 < w.map.file_page_count());
                let coming =
                    || owner.is_some_and(|at| being_written_directly(w, at)) || is_target(w, block);
                !owner.is_some_and(named) && !file_pages(w).any(named) && !coming()
            }
        };
        if leaked {
            let cell = w.cell::<BlockState>(block);
            return Judgement::Broken([cell, cell]);
        }
    }
    // A thread that goes round for ever may be in the middle of a truncate.
    let settled = |at: FilePage| {
        let lock = w.map.file_lock(LockClass::IRwsem, w.map.file_of(at));
        w.get::<LockState>(lock).writer() == 0
    };
    let reserved =
        |at: &FilePage| w.get::<Extent>(*at).kind() == ExtentKind::Delalloc && settled(*at);
    if let Some(at) = file_pages(w).filter(reserved).find(|&at| w.cached(at).is_none()) {
        let cell = w.cell::<Extent>(at);
        return Judgement::Broken([cell, cell]);
    }
    if moved(w) { Judgement::Holds } else { Judgement::NotAsked }
}

/// Whether the page of a busy block is still used, and a program that goes round for ever may be
/// about to let go of it. One that never does so has lost the block to the filesystem.
fn may_be_released(w: &World, block: Block) -> bool {
    let used = w.map.pmem_frame(block).is_some_and(|f| w.get::<Flags>(f).delayed_free());
    let releases = |op: &Op| {
        matches!(op, Op::Unpin { .. } | Op::Deregister { .. })
            || matches!(op, Op::DioRead { .. } | Op::DioWrite { .. })
    };
    let running = |thread| w.get::<ActorState>(thread).life() == Life::Running;
    used && somebody(w, |thread, program| running(thread) && program.iter().any(releases))
}

/// Whether something is on its way to a block: a bio that a program that goes round for ever has
/// not sent off yet.
fn is_target(w: &World, block: Block) -> bool {
    let tags = w.map.tags[w.map.disk_of(block).index()].clone();
    tags.map(Tag).any(|tag| {
        let busy = w.get::<Bio>(tag).step() != BioStep::Idle;
        busy && w.get::<BioEnd>(tag).block_bits() == Block::pack(Some(block))
    })
}

/// Whether some page that had a block at the start has lost it, or has another one.
fn moved(w: &World) -> bool {
    let map = &w.map;
    let first = |disk: usize| map.disk_blocks[disk].start;
    let mut next: Vec<u32> = (0..map.disk_blocks.len()).map(first).collect();
    let mut moved = false;
    for at in file_pages(w) {
        let file = map.file(map.file_of(at));
        if let (Some(disk), true) = (file.disk, file.page(map.index_in_file(at)) != InitPage::Hole)
        {
            let next = &mut next[disk.index()];
            moved |= w.get::<Extent>(at).block() != Some(Block(*next));
            *next += 1;
        }
    }
    moved
}

/// See its `doc`.
///
/// What a byte of a page may show is what the file's own history put there. Another origin (a
/// stranger's old data in a block that was handed on) is right only where the file's newest
/// contents have that origin too, as after a reflink, or where a direct write brings it. Data that
/// the file's newest contents do not have because it was cut off or punched out is wrong to show,
/// be it within i_size (the file was extended again) or in the tail of the last page; what
/// somebody stored to that tail through a mapping since is there rightly. A write that is not
/// complete yet (a transfer) may show, and a page that truncate has not got to yet: between
/// i_size_write (T6) and the removal of the page (T7) a load through an entry that is still there
/// comes before the truncate, as it were. So does a read(2) that found the folio before: it holds a
/// reference and no lock while it copies (`filemap_read`; `shmem_file_read_iter`: "reads are called
/// without i_rwsem protection against truncate"), and shows what the file had when the two began.
/// Where programs write directly, zeroes may be what one of them has written, over which the page
/// cache's copy comes back: not if the page has no block, as after a cut of all of it. After a
/// power loss what was cut off may be back: only strangers' data is judged.
pub const EXPOSED_BEYOND_EOF: Invariant = Invariant {
    name: "exposed-beyond-eof",
    hurts: Hurt::Filesystem,
    doc: "Data beyond i_size, or a stranger's old data, becomes readable.",
    source: "ext4_block_zero_eof; kernel-facts 4.2 (T8), 4.3 (partial folios)",
    premise: "a page is shown that holds the end of the file or lies beyond it, or that was \
              extended, punched or newly allocated",
    arises: Premise::Checked,
    watches: &[],
    hears: &[FactKind::Shown],
    check: exposed_beyond_eof,
    fatal: false,
};

fn exposed_beyond_eof(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Fact(Fact::Shown { at, contents, left }) = subject else {
        return Judgement::NotAsked;
    };
    let newest = w.get::<Newest>(at).0;
    // What is shown is mostly the newest.
    if contents != newest && exposed(w, at, [contents, newest], left) {
        let size = w.cell::<Size>(w.map.file_of(at));
        return Judgement::Broken([w.cell::<Extent>(at), size]);
    }
    let asked = u32::from(bytes_in_file(w, at)) < PAGE_SIZE
        || w.patches.runs(newest).any(|r| r.holds == Contents::ZERO)
        || contents == Contents::ZERO;
    if asked { Judgement::Holds } else { Judgement::NotAsked }
}

/// Whether a byte is shown that is not the file's, or not any more; `left` as in [`Fact::Shown`].
fn exposed(w: &World, at: FilePage, [shown, newest]: [Contents; 2], left: bool) -> bool {
    let own = w.map.origin_of_file(at);
    let crashed = w.get::<Power>(One(0)).crashed();
    let zeroes_brought =
        || w.get::<Extent>(at).block().is_some() && direct_writes(w, at).next().is_some();
    anywhere(w, [shown, newest], WHOLE, |[shown, newest]| {
        let Some(version) = shown.version() else { return false };
        let same = newest.version().is_some_and(|n| n.origin == version.origin);
        if version.origin != own && !same && !brought(w, at, version.origin) {
            return true;
        }
        let cut = newest == Contents::ZERO && !left && !crashed;
        cut && complete(w, at, version) && !zeroes_brought()
    })
}

/// Whether some program writes contents of this origin directly to a page of a file. Until the
/// page cache's copy, if there is a newer one, has been written over it, the disk may show it.
fn brought(w: &World, at: FilePage, origin: u32) -> bool {
    direct_writes(w, at).any(|page| {
        let file = w.map.backing(page).map(|p| w.map.origin_of_file(p));
        // What a program stored before a fork or an mremap bears the address of that time.
        let stored = |at| w.map.origin_of_vpage(at) == origin;
        file == Some(origin) || w.map.kin(page).any(stored)
    })
}

/// The pages from which programs write directly to a page of a file.
fn direct_writes(w: &World, at: FilePage) -> impl Iterator<Item = VPage> + '_ {
    let programs = w.map.plan.threads.iter().flat_map(|t| &t.program);
    programs.filter_map(move |op| match *op {
        Op::DioWrite { to, from } if to == at => Some(from),
        _ => None,
    })
}

/// Whether a write is of a kind that is complete as soon as it shows: a store, or what was there at
/// the start; or write(2), which shows while its thread has the folio locked. A transfer shows
/// before it is complete.
fn complete(w: &World, at: FilePage, version: Version) -> bool {
    match w.map.op(version.author) {
        Some(Op::Store { .. }) => true,
        Some(Op::Write { .. }) => {
            let writer = w.map.thread_of(version.author).map(|t| t.first_op);
            let locked_by = w.cached(at).and_then(|f| w.folio_locked_by(f));
            let thread = locked_by.and_then(|a| w.map.plan.threads.get(a.index()));
            thread.is_none_or(|t| Some(t.first_op) != writer)
        }
        _ => version.author.0 <= 1,
    }
}
