//! Invariants about the life of frames: use after free, and struct pages that are gone.

use super::{Hurt, Invariant, Judgement, Premise, Subject, Waits};
use crate::kernel::world::facts::{Fact, FactKind};
use crate::kernel::world::machine::{DiskState, PgmapState};
use crate::kernel::world::objects::{Flags, Holders, Owner, OwnerKind, Pte};
use crate::kernel::world::{Actor, Disk, Kind, VPage, World};

/// See its `doc`.
///
/// Pmem frames have no generation that changes: their struct page and their memory outlive the
/// file, and what goes wrong with them is foreign-dma, freed-while-pinned or missing-struct-page.
pub const USE_AFTER_FREE: Invariant = Invariant {
    name: "use-after-free",
    hurts: Hurt::System,
    doc: "A CPU, the kernel or a device touches a frame whose generation differs from the one \
          it was given: the frame was freed, and perhaps given to somebody else, in between.",
    source: "the page allocator owns what it has been given back; claim 97",
    premise: "a page is unmapped or leaves its file while it is pinned or a device may use it, \
              or a frame is touched that lives by references alone",
    arises: Premise::TakenAway,
    watches: &[],
    hears: &[FactKind::Touch],
    check: use_after_free,
    fatal: true,
};

fn use_after_free(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Fact(Fact::Touch { page, freed, .. }) = subject else {
        return Judgement::NotAsked;
    };
    if freed {
        return Judgement::Broken([w.cell::<Flags>(page.frame), w.cell::<Owner>(page.frame)]);
    }
    // A new frame that is being filled lives by a reference alone, too; it has not left anything.
    let alone = match w.get::<Owner>(page.frame).kind() {
        OwnerKind::Detached => true,
        OwnerKind::Anon => w.get::<Holders>(w.head(page.frame)).ptes() == 0,
        _ => false,
    };
    if alone { Judgement::Holds } else { Judgement::NotAsked }
}

/// See its `doc`.
pub const MISSING_STRUCT_PAGE: Invariant = Invariant {
    name: "missing-struct-page",
    hurts: Hurt::System,
    doc: "A reference is taken on a struct page that was removed together with its device, or \
          dropped there.",
    source: "memunmap_pages, arch_remove_memory; kernel-facts U4; claims 90-99",
    premise: "a pmem device is unbound while page tables map it, or a reference to one of its \
              pages is tried or dropped after that",
    arises: Premise::Checked,
    watches: &[Kind::DiskState],
    hears: &[FactKind::StructPageUsed],
    check: missing_struct_page,
    fatal: true,
};

fn missing_struct_page(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let frame = match subject {
        Subject::Fact(Fact::StructPageUsed { frame }) => frame,
        Subject::Wrote { object, old, .. } => return unbound(w, Disk(object), old),
        Subject::Fact(_) => return Judgement::NotAsked,
    };
    let Some(block) = w.map.pmem_block(frame) else { return Judgement::NotAsked };
    if w.get::<Flags>(frame).removed() {
        let disk = w.map.disk_of(block);
        return Judgement::Broken([w.cell::<Flags>(frame), w.cell::<DiskState>(disk)]);
    }
    match w.pgmap_of(frame) {
        PgmapState::Live => Judgement::NotAsked,
        _ => Judgement::Holds,
    }
}

/// Whether a device was killed in this step while page tables map pages of it.
fn unbound(w: &World, disk: Disk, old: u64) -> Judgement {
    let (before, now) = (DiskState::from_bits(old).pgmap(), w.get::<DiskState>(disk).pgmap());
    if before == now || before != PgmapState::Live {
        return Judgement::NotAsked;
    }
    let of_disk = |frame| w.map.pmem_block(frame).is_some_and(|b| w.map.disk_of(b) == disk);
    let mapped = (0..w.map.plan.vpages()).map(|n| w.get::<Pte>(VPage(n)));
    match mapped.filter(|p| p.present()).filter_map(Pte::frame).any(of_disk) {
        true => Judgement::Holds,
        false => Judgement::NotAsked,
    }
}
