//! Invariants about what a bio puts on the disk.

use super::look::{anywhere, bytes_in_file};
use super::{Hurt, Invariant, Judgement, Premise, Subject, Waits};
use crate::kernel::world::facts::{Fact, FactKind};
use crate::kernel::world::machine::Bio;
use crate::kernel::world::objects::{BioData, BioSum, Data, Holders, Newest};
use crate::kernel::world::plan::{DiskKind, FsKind, WHOLE};
use crate::kernel::world::{Actor, Block, Contents, FilePage, Frame, Tag, Version, World};

/// See its `doc`.
///
/// Judged as the device has got all data, before it accepts them: a device that checks the sum
/// (DIF) refuses what does not match, and the write fails with an error; one that only stores it
/// lets a later read fail.
pub const UNSTABLE_IO: Invariant = Invariant {
    name: "unstable-io",
    hurts: Hurt::Filesystem,
    doc: "The contents changed between checksum and transfer (DIF/DIX, RAID parity, the checksum \
          of a COW filesystem): the transfer fails, or a later read does.",
    source: "kernel-facts 3.2 (stable pages); claims 1-13",
    premise: "a bio over whose page a checksum was taken transfers it",
    arises: Premise::Checked,
    watches: &[],
    hears: &[FactKind::Transferred],
    check: unstable_io,
    fatal: false,
};

fn unstable_io(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let Subject::Fact(Fact::Transferred { tag, block }) = subject else {
        return Judgement::NotAsked;
    };
    if !summed(w, tag, block) {
        return Judgement::NotAsked;
    }
    if w.get::<BioSum>(tag).0 != w.get::<BioData>(tag).0 {
        return Judgement::Broken(evidence(w, tag));
    }
    Judgement::Holds
}

/// Whether a checksum was taken: by the device, or by the filesystem of the file.
fn summed(w: &World, tag: Tag, block: Block) -> bool {
    let disk = w.map.disk_of_tag(tag);
    let device =
        matches!(w.map.plan.disks[disk.0 as usize].kind, DiskKind::Block { checksum: true, .. });
    device || w.block_owner(block).is_some_and(|at| w.map.fs_of(at) == FsKind::Btrfs)
}

/// The page that the bio was made of, and what was transferred.
fn evidence(w: &World, tag: Tag) -> [u32; 2] {
    let data = w.cell::<BioData>(tag);
    let frame = Frame::unpack(w.get::<Bio>(tag).frame_bits());
    [frame.map_or(data, |f| w.cell::<Data>(f)), data]
}

/// See its `doc`.
///
/// A write of a part of a page leaves older bytes beside it, rightly; a write of the *whole* page
/// does not. So a block is torn if it holds a run of a version that was written whole, and
/// somewhere else a run that is older than it, of the same logical page. A run of zeroes is older
/// if that version has reached neither the end of its writing nor these bytes (it was still being
/// written, over a hole), or has been completed over them; zeroes that truncate or punch have put
/// there since are what the file should hold. Bytes beyond i_size are not judged.
pub const TORN_SNAPSHOT: Invariant = Invariant {
    name: "torn-snapshot",
    hurts: Hurt::Filesystem,
    doc: "A completed write put a mixture of two versions of a page on the disk: of a version \
          that was written as a whole page, and of what was there before it.",
    source: "claims 1-4, 9-13; kernel-facts 3.1 (B10)",
    premise: "a page that is pinned, or changes while a bio transfers it, is written; or the \
              strategy is asked about a pinned page",
    arises: Premise::Checked,
    watches: &[],
    hears: &[FactKind::BlockWritten, FactKind::PinAsked],
    check: torn_snapshot,
    fatal: false,
};

fn torn_snapshot(w: &World, _: &dyn Waits, subject: Subject, _: Actor) -> Judgement {
    let pinned = |f: Frame| w.get::<Holders>(w.head(f)).pins() > 0;
    let (tag, block) = match subject {
        Subject::Fact(Fact::BlockWritten { tag, block }) => (tag, block),
        Subject::Fact(Fact::PinAsked { frame, .. }) if pinned(frame) => return Judgement::Holds,
        _ => return Judgement::NotAsked,
    };
    let written = w.get::<BioData>(tag).0;
    if written.is_patched() && torn(w, w.block_owner(block), written) {
        return Judgement::Broken(evidence(w, tag));
    }
    let frame = Frame::unpack(w.get::<Bio>(tag).frame_bits());
    let could = frame.is_some_and(|f| pinned(f) || w.data(f) != written);
    if could { Judgement::Holds } else { Judgement::NotAsked }
}

/// Whether some contents mix a version that was written whole with something older.
fn torn(w: &World, at: Option<FilePage>, written: Contents) -> bool {
    let newest = at.map_or(Contents::ZERO, |at| w.get::<Newest>(at).0);
    let bytes = at.map_or(WHOLE.1, |at| bytes_in_file(w, at));
    let mut from = 0;
    for run in w.patches.runs(written) {
        let first = std::mem::replace(&mut from, run.end);
        let Some(whole) = run.holds.version().filter(|v| v.whole && first < bytes) else {
            continue;
        };
        let complete = reaches(w.patches.at(newest, first), whole);
        let mixed =
            anywhere(w, [written, newest], (0, bytes), |[found, newest]| match found.version() {
                Some(v) => v.origin == whole.origin && v.seq < whole.seq,
                None if complete => newest == run.holds,
                None => !reaches(newest, whole),
            });
        if mixed {
            return true;
        }
    }
    false
}

/// Whether completed contents hold this version or a newer one.
fn reaches(newest: Contents, version: Version) -> bool {
    newest.version().is_some_and(|n| n.origin == version.origin && n.seq >= version.seq)
}
