//! Invariants about devices: where their transfers land, and what they send.

use super::look::{
    anywhere, bytes_in_file, file_page_of, frame_of, freed, is_private, left_file, maps, vpage_of,
    watchers,
};
use super::{Hurt, Invariant, Judgement, Premise, Subject, Waits};
use crate::kernel::world::facts::{Fact, FactKind, Page};
use crate::kernel::world::machine::{BlockState, RegionState, RegionUse, Xlat};
use crate::kernel::world::objects::{Flags, Owner, Pte, Size};
use crate::kernel::world::plan::PAGE_SIZE;
use crate::kernel::world::{Actor, FilePage, Kind, RegionPage, VPage, World};

/// See its `doc`.
///
/// Page cache and anonymous memory: the frame was freed (its generation differs). Anonymous
/// memory after a fork: the frame is mapped by the other side of the fork and no longer by the
/// process that gave it to the device. Pmem: the block belongs to another page of a file; a free
/// block belongs to nobody yet, and that it is free is for freed-while-pinned to say.
pub const FOREIGN_DMA: Invariant = Invariant {
    name: "foreign-dma",
    hurts: Hurt::System,
    doc: "A device writes a frame or a block that now belongs to somebody else.",
    source: "claims 24-36, 55; kernel-facts 4.4, 7 (fork and pins)",
    premise: "a page that a device may write is unmapped or leaves its file, or a device writes \
              it after that",
    arises: Premise::TakenAway,
    watches: &[],
    hears: &[FactKind::Dma],
    check: foreign_dma,
    fatal: false,
};

fn foreign_dma(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Fact(Fact::Dma { at, page, write: true, .. }) = subject else {
        return Judgement::NotAsked;
    };
    let frame = page.frame;
    if freed(w, page) {
        return Judgement::Broken([w.cell::<Flags>(frame), w.cell::<Owner>(frame)]);
    }
    let Some(shown) = vpage_of(w, at) else { return Judgement::NotAsked };
    if let (Some(block), Some(mine)) = (w.map.pmem_block(frame), file_page_of(w, at)) {
        return match w.block_owner(block) {
            _ if !left_file(w, page, mine) => Judgement::NotAsked,
            Some(owner) if owner != mine => {
                Judgement::Broken([w.cell::<BlockState>(block), w.cell::<Owner>(frame)])
            }
            _ => Judgement::Holds,
        };
    }
    if is_private(w, shown) && !maps(w.get(shown), frame) {
        let mut mapped = w.map.kin(shown).filter(|&v| maps(w.get(v), frame)).peekable();
        let first = mapped.peek().copied();
        // What mremap has moved is the program's own under another address.
        let own = |v: VPage| w.map.mm_of(v) == w.map.mm_of(shown);
        return match first {
            Some(other) if !mapped.any(own) => {
                Judgement::Broken([w.cell::<Pte>(other), w.cell::<Pte>(shown)])
            }
            _ => Judgement::Holds,
        };
    }
    match file_page_of(w, at) {
        Some(mine) if left_file(w, page, mine) => Judgement::Holds,
        _ => Judgement::NotAsked,
    }
}

/// See its `doc`.
///
/// "Told" is the driver's note in the translation (`Xlat.told`: a lease was broken, the entry
/// was redirected) or a terminated region. Nobody is orphaned by a transfer that fails.
pub const SILENT_ORPHAN_DMA: Invariant = Invariant {
    name: "silent-orphan-dma",
    hurts: Hurt::Rdma,
    doc: "A device goes on transferring to or from a page that left its file, and neither it nor \
          its program was told.",
    source: "claims 24-36, 41; kernel-facts 4.4",
    premise: "a page of a file that a device may use is unmapped or leaves the file, or a device \
              transfers to or from it after that",
    arises: Premise::TakenFromFile,
    watches: &[],
    hears: &[FactKind::Dma],
    check: silent_orphan_dma,
    fatal: false,
};

fn silent_orphan_dma(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Fact(Fact::Dma { at, page, .. }) = subject else {
        return Judgement::NotAsked;
    };
    let Some(file_page) = file_page_of(w, at) else { return Judgement::NotAsked };
    if !left_file(w, page, file_page) {
        return Judgement::NotAsked;
    }
    let (xlat, region) = (w.get::<Xlat>(at), w.get::<RegionState>(w.map.region_of(at)));
    if xlat.told() || xlat.crappy() || region.state() == RegionUse::Terminated {
        return Judgement::Holds;
    }
    Judgement::Broken(whose(w, page, file_page))
}

/// The cells that say where a frame of a file has gone.
fn whose(w: &World, page: Page, at: FilePage) -> [u32; 2] {
    use crate::kernel::world::machine::Extent;
    match w.map.pmem_block(page.frame) {
        Some(block) => [w.cell::<Extent>(at), w.cell::<BlockState>(block)],
        None => [w.cell::<Owner>(page.frame), w.cell::<Flags>(page.frame)],
    }
}

/// See its `doc`.
///
/// Each part of a page is read in one step, so that the file's contents "at any instant of the
/// transfer" of that part are its contents now. Bytes beyond i_size are no contents of the file:
/// a page that lies beyond it as a whole differs whatever it holds; in the last page, whose tail
/// a mapping may use as it likes, only the bytes within i_size are compared. Who was told, or
/// what the design put in the page's place, does not matter to the peer.
pub const CORRUPT_REMOTE_READ: Invariant = Invariant {
    name: "corrupt-remote-read",
    hurts: Hurt::Rdma,
    doc: "A remote peer received bytes that were not the file's contents at that offset at any \
          instant of the transfer. Only shared mappings of files are judged.",
    source: "claims 25-30 (the crappy page), 44-45",
    premise: "a page of a file that a device may read is unmapped or leaves the file, or a peer \
              reads through a translation that the file has moved away from",
    arises: Premise::TakenFromFile,
    watches: &[],
    hears: &[FactKind::RemoteGot],
    check: corrupt_remote_read,
    fatal: false,
};

fn corrupt_remote_read(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Fact(Fact::RemoteGot { at, part, got }) = subject else {
        return Judgement::NotAsked;
    };
    let Some(page) = file_page_of(w, at) else { return Judgement::NotAsked };
    let xlat = w.get::<Xlat>(at);
    let frame = frame_of(w, page);
    let file = w.map.file_of(page);
    let bytes = bytes_in_file(w, page);
    if bytes == 0 {
        return Judgement::Broken([w.cell::<Size>(file), w.cell::<Xlat>(at)]);
    }
    let inside = (part.0.min(bytes), part.1.min(bytes));
    let now = w.file_contents(page);
    if anywhere(w, [got, now], inside, |[got, now]| got != now) {
        let moved = frame.map_or(w.cell::<Xlat>(at), |f| w.cell::<Owner>(f));
        return Judgement::Broken([moved, w.cell::<Xlat>(at)]);
    }
    let strayed = xlat.frame_bits() != crate::kernel::world::Frame::pack(frame);
    if strayed || u32::from(bytes) < PAGE_SIZE { Judgement::Holds } else { Judgement::NotAsked }
}

/// See its `doc`.
///
/// A notifier device may translate only to what the page table maps: `invalidate_range_start`
/// returns before the page table entry changes, and a device page fault installs what it found
/// only if no invalidation has begun since (mmu_interval_read_retry), so that in a correct design
/// there is no state between two steps in which an entry of the device outlives one of the page
/// table, or allows more.
pub const STALE_DEVICE_MAPPING: Invariant = Invariant {
    name: "stale-device-mapping",
    hurts: Hurt::Rdma,
    doc: "range_start has returned for a page and a subscribed device can still translate to it; \
          or a device's translation outlives the page table entry that it was copied from, or \
          allows writing where that no longer does.",
    source: "Documentation/mm/mmu_notifier.rst; mmu_interval_read_retry; claims 44-54",
    premise: "an invalidation names a page that a device with a notifier has registered",
    arises: Premise::Checked,
    watches: &[Kind::Xlat, Kind::Pte],
    hears: &[FactKind::RangeStarted],
    check: stale_device_mapping,
    fatal: false,
};

fn stale_device_mapping(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    match subject {
        Subject::Fact(Fact::RangeStarted { at }) => {
            let mut asked = Judgement::NotAsked;
            for entry in watchers(w, at) {
                if w.get::<Xlat>(entry).valid() {
                    return Judgement::Broken([w.cell::<Xlat>(entry), w.cell::<Pte>(at)]);
                }
                asked = Judgement::Holds;
            }
            asked
        }
        Subject::Wrote { kind: Kind::Pte, object, .. } => {
            let page = VPage(object);
            match watchers(w, page).find(|&entry| outlives(w, entry, page)) {
                Some(entry) => Judgement::Broken([w.cell::<Xlat>(entry), w.cell::<Pte>(page)]),
                None => Judgement::NotAsked,
            }
        }
        Subject::Wrote { object, .. } => {
            let entry = RegionPage(object);
            let Some(page) = vpage_of(w, entry) else { return Judgement::NotAsked };
            let watches = watchers(w, page).any(|e| e == entry);
            if watches && outlives(w, entry, page) {
                return Judgement::Broken([w.cell::<Xlat>(entry), w.cell::<Pte>(page)]);
            }
            Judgement::NotAsked
        }
        Subject::Fact(_) => Judgement::NotAsked,
    }
}

/// Whether an entry of a device translates to what the page table no longer maps, or does not
/// map for writing.
fn outlives(w: &World, entry: RegionPage, page: VPage) -> bool {
    let (xlat, pte) = (w.get::<Xlat>(entry), w.get::<Pte>(page));
    let same = pte.present() && pte.frame_bits() == xlat.frame_bits();
    xlat.valid() && (!same || (xlat.write() && !pte.writable()))
}
