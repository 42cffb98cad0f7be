//! Block devices: submission of bios, and the hardware tag that serves one.
//!
//! The device reads (or writes) the page by itself, in two halves, whatever the kernel does
//! meanwhile: this is where a page that is not stable is torn, or no longer matches its checksum
//! (kernel-facts B10, 3.2). The second half carries the device's verdict; completion (B11) is a
//! step of its own, in the interrupt.

use super::bounce;
use super::errno::{EIO, ENOSPC};
use super::extents::unpromise;
use super::file_io::bytes_inside;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::contents::Contents;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::{Fact, Page, Toucher};
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{DiskKind, FsKind, PAGE_SIZE, Part, WHOLE};
use crate::kernel::world::{Actor, Block, Disk, FilePage, Frame, Id, One, Tag, World};

/// The halves in which a page is transferred, and copied.
pub const HALVES: [Part; 2] = [(0, 2048), (2048, PAGE_SIZE as u16)];

/// `submit_bio`: fills a free tag ([`Need::FreeTag`] is met), whose agent then serves it.
///
/// A writeback or a read into the page cache ends there; for the other kinds the tag stays done
/// until the submitter, who waits with [`Need::BioDone`], has collected it with [`reap`].
///
/// A device that wants a checksum with the data gets one that is taken here, by the submitter
/// (`blk_mq_submit_bio` calls `bio_integrity_prep`); it reads the page again for the transfer.
/// The lock of a folio that is read in passes to the tag: the completion unlocks it.
pub fn submit(
    cx: &mut Step,
    disk: Disk,
    kind: BioKind,
    frame: Option<Frame>,
    block: Option<Block>,
) -> Tag {
    let tag = take_tag(cx, disk, kind, frame, block);
    if writes(kind) && has_checksum(cx, tag) {
        take_checksum(cx, tag);
    }
    if writes(kind) && cx.map.plan.loops.contains(&disk) {
        bounce::at_once(cx, tag);
    }
    if let (BioKind::ReadIn, Some(folio)) = (kind, frame) {
        let service = cx.map.tag_actor(tag);
        cx.hand_over_folio(folio, service);
    }
    tag
}

/// `blk_mq_get_request`: fills a free tag.
pub fn take_tag(
    cx: &mut Step,
    disk: Disk,
    kind: BioKind,
    frame: Option<Frame>,
    block: Option<Block>,
) -> Tag {
    let tags = cx.map.tags[disk.index()].clone();
    let free = tags.clone().map(Tag).find(|&t| cx.get::<Bio>(t).step() == BioStep::Idle);
    let tag = free.unwrap_or(Tag(tags.start));
    let generation = frame.map_or(0, |f| cx.page(f).generation);
    let bio = Bio::new().with_step(BioStep::Submitted).with_kind(kind);
    cx.set(tag, bio.with_frame_bits(Frame::pack(frame)).with_generation(generation));
    let submitter = Actor::pack(Some(cx.me));
    let end = BioEnd::new().with_block_bits(Block::pack(block)).with_submitter(submitter);
    cx.set(tag, end);
    cx.update::<DiskState>(disk, |d| d.with_in_flight(d.in_flight() + 1));
    tag
}

/// `btrfs_csum_one_bio`: the filesystem takes its checksum of the page before it submits the bio.
pub fn sum_by_filesystem(cx: &mut Step, tag: Tag) {
    take_checksum(cx, tag);
}

/// Collects a bio that is done, and frees its tag.
pub fn reap(cx: &mut Step, tag: Tag) -> Bio {
    let bio = cx.get::<Bio>(tag);
    release(cx.w, tag);
    bio
}

fn release(w: &mut World, tag: Tag) {
    let disk = w.map.disk_of_tag(tag);
    w.set(tag, Bio::new());
    w.set(tag, BioEnd::new());
    w.set(tag, BioData(Contents::ZERO));
    w.set(tag, BioSum(Contents::ZERO));
    w.update::<DiskState>(disk, |d| d.with_in_flight(d.in_flight() - 1));
}

/// `folio_end_writeback` for one page of a folio: its bytes are no longer pending; with the last
/// ones PG_writeback goes (iomap's `write_bytes_pending`, ext4's `buffer_async_write`; here each
/// page's own tag).
pub fn end_page_writeback(w: &mut World, frame: Frame) {
    let Some(at) = w.get::<Owner>(frame).file_page() else { return };
    w.update::<CacheSlot>(at, |s| s.with_tag_writeback(false));
    let head = w.head(frame);
    let first = at.0 - (frame.0 - head.0);
    let mut pages = (0..w.folio_pages(head)).map(|n| FilePage(first + n));
    if !pages.any(|p| w.get::<CacheSlot>(p).tag_writeback()) {
        w.change_flags(head, |f| f.with_writeback(false).with_reclaim(false));
    }
}

/// `mapping_set_error`: the next fsync reports it, once.
/// Ghost: what was to be written is excused, now that the error is on record. What excuses the
/// newest contents already goes on doing so, if older ones, read again, fail to be written later.
pub fn set_error(w: &mut World, at: FilePage, errno: i32, unwritten: Contents) {
    let file = w.map.file_of(at);
    w.update::<FileState>(file, |s| {
        s.with_wb_err(s.wb_err().wrapping_add(1)).with_wb_nospc(errno == ENOSPC)
    });
    let excused = w.get::<Excused>(at).0;
    if excused == Contents::ZERO {
        return w.set(at, Excused(unwritten)); // the first error: nothing to weigh against
    }
    let newest = w.get::<Newest>(at).0;
    let all = w.patches.merge([excused, unwritten, newest], |[excused, unwritten, newest]| {
        let still = newest == excused || newest.older_than(excused);
        let keeps = still || unwritten.older_than(excused);
        if excused != Contents::ZERO && keeps { excused } else { unwritten }
    });
    w.set(at, Excused(all));
}

/// The service of a tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DiskTag {
    /// Waits for a bio. B10: the first half of the transfer; or a cache flush begins.
    Begin(Tag),
    /// B10: the second half, and the device's verdict: it may fail, or find that the data does
    /// not match the checksum (DIF).
    Finish(Tag),
    /// B11: the completion interrupt (`bio_endio`).
    Complete(Tag),
}

impl DiskTag {
    /// The machine at the bottom of a tag's stack, if the agent is one.
    pub fn service(map: &Layout, actor: Actor) -> Option<DiskTag> {
        let n = actor.0.checked_sub(map.plan.threads.len() as u32)?;
        (n < map.tag_count()).then_some(DiskTag::Begin(Tag(n)))
    }
}

impl Machine for DiskTag {
    fn need(self, _cx: &Scene) -> Need {
        match self {
            DiskTag::Begin(tag) => Need::BioSubmitted(tag),
            _ => Need::Nothing,
        }
    }

    fn outcomes(self, cx: &Scene) -> u8 {
        let DiskTag::Finish(tag) = self else { return 1 };
        let may_fail = cx.w.get::<Budget>(One(0)).io_errors() > 0;
        if may_fail && writes(cx.w.get::<Bio>(tag).kind()) { 2 } else { 1 }
    }

    fn label(self) -> Label {
        match self {
            DiskTag::Begin(_) => Label::new("B10", "device begins the transfer", Cost::DiskHalf),
            DiskTag::Finish(_) => Label::new("B10", "device ends the transfer", Cost::DiskHalf),
            DiskTag::Complete(_) => Label::new("B11", "bio_endio", Cost::Step),
        }
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
        match self {
            DiskTag::Begin(tag) => begin(cx, tag),
            DiskTag::Finish(tag) => {
                transfer(cx, tag, HALVES[1]);
                advance(cx, tag, BioStep::Transferred);
                if writes(cx.get::<Bio>(tag).kind()) {
                    verdict(cx, tag, outcome == 1);
                }
                DiskTag::Complete(tag).into()
            }
            DiskTag::Complete(tag) => {
                complete(cx, tag);
                DiskTag::Begin(tag).into()
            }
        }
    }
}

fn writes(kind: BioKind) -> bool {
    matches!(kind, BioKind::Writeback | BioKind::DioWrite)
}

fn advance(cx: &mut Step, tag: Tag, step: BioStep) {
    cx.update::<Bio>(tag, |b| b.with_step(step));
}

fn page_of(bio: Bio) -> Option<Page> {
    Some(Page { frame: Frame::unpack(bio.frame_bits())?, generation: bio.generation() })
}

fn block_of(w: &World, tag: Tag) -> Option<Block> {
    Block::unpack(w.get::<BioEnd>(tag).block_bits())
}

/// Whether the device of a tag gets a checksum with the data.
pub fn has_checksum(w: &World, tag: Tag) -> bool {
    let disk = w.map.disk_of_tag(tag);
    matches!(w.map.plan.disks[disk.index()].kind, DiskKind::Block { checksum: true, .. })
}

fn begin(cx: &mut Step, tag: Tag) -> Next {
    let bio = cx.get::<Bio>(tag);
    if bio.kind() == BioKind::Flush {
        // What is in the volatile cache when the flush begins is what it makes durable.
        let disk = cx.map.disk_of_tag(tag);
        cx.flush_disk(disk);
        advance(cx, tag, BioStep::Transferred);
        return DiskTag::Complete(tag).into();
    }
    transfer(cx, tag, HALVES[0]);
    advance(cx, tag, BioStep::Half);
    DiskTag::Finish(tag).into()
}

fn take_checksum(cx: &mut Step, tag: Tag) {
    let Some(page) = page_of(cx.get::<Bio>(tag)) else { return };
    cx.touch(page, false, Toucher::Kernel);
    let data = cx.data(page.frame);
    cx.set(tag, BioSum(data));
    advance(cx, tag, BioStep::Summed);
}

/// The device transfers a half of the page.
fn transfer(cx: &mut Step, tag: Tag, half: Part) {
    let bio = cx.get::<Bio>(tag);
    let Some(page) = page_of(bio) else { return };
    match bio.kind() {
        BioKind::Flush => {}
        // The copy is all there from the start.
        _ if bio.bounced() => {}
        BioKind::Writeback | BioKind::DioWrite => {
            cx.touch(page, false, Toucher::Device);
            let (so_far, data) = (cx.get::<BioData>(tag).0, cx.data(page.frame));
            let so_far = cx.patches.overlay(so_far, half, data);
            cx.set(tag, BioData(so_far));
        }
        BioKind::DioRead => {
            if half.0 == 0 {
                renumber(cx, tag, page.frame);
            }
            cx.touch(page, true, Toucher::Device);
            let arrives = cx.get::<BioData>(tag).0;
            cx.fill(page.frame, half, arrives);
        }
        BioKind::ReadIn => read_in(cx, page, half),
    }
}

/// A direct read writes a new version of the page it reads into, in the name of the operation
/// that submitted it ([`BioData`] says which, from submission on). It is younger than whatever is
/// there when it arrives.
fn renumber(cx: &mut Step, tag: Tag, frame: Frame) {
    if let Some(version) = cx.get::<BioData>(tag).0.version() {
        let fresh = cx.fresh(frame, version.author, WHOLE, version.origin);
        cx.set(tag, BioData(fresh));
    }
}

/// Fills half of every page of a locked folio from the disk; holes read as zeroes.
fn read_in(cx: &mut Step, page: Page, half: Part) {
    for n in 0..cx.folio_pages(page.frame) {
        let frame = page.frame.plus(n);
        let at = cx.get::<Owner>(frame).file_page();
        let contents = at.map_or(Contents::ZERO, |at| cx.disk_contents(at));
        cx.touch(Page { frame, ..page }, true, Toucher::Device);
        cx.fill(frame, half, contents);
    }
}

/// The device accepts what it was sent, or fails the request.
fn verdict(cx: &mut Step, tag: Tag, fails: bool) {
    // Read in any case: whether the failure was possible depends on the budget.
    let budget = cx.get::<Budget>(One(0));
    if fails {
        cx.set(One(0), budget.with_io_errors(budget.io_errors() - 1));
    }
    let data = cx.get::<BioData>(tag).0;
    let mismatch = has_checksum(cx, tag) && cx.get::<BioSum>(tag).0 != data;
    let Some(block) = block_of(cx, tag) else { return };
    cx.facts.push(Fact::Transferred { tag, block });
    if fails || mismatch {
        cx.update::<Bio>(tag, |b| b.with_error(true));
        return;
    }
    cx.write_block(block, data);
    cx.facts.push(Fact::BlockWritten { tag, block });
    if cx.get::<Bio>(tag).kind() == BioKind::DioWrite
        && let Some(at) = cx.block_owner(block).filter(|&at| leads_to(cx, at, block))
    {
        landed(cx.w, at);
    }
}

/// Whether the extent map leads readers of a page to a block.
fn leads_to(w: &World, at: FilePage, block: Block) -> bool {
    let extent = w.get::<Extent>(at);
    extent.kind() == ExtentKind::Written && extent.block() == Some(block)
}

/// Ghost: what a direct write has brought is what a page has, as soon as a block is there that
/// the extent map leads to: by the transfer if it does already, else by the completion.
fn landed(w: &mut World, at: FilePage) {
    // What was promised is gone. (What programs store elsewhere is counted elsewhere: which of two
    // is the older one could not be told.)
    unpromise(w, at, WHOLE);
    if !overtaken(w, at) {
        let now = w.disk_contents(at);
        w.set(at, Newest(now));
    }
}

/// Whether the page cache has contents that are still to be written over what the device has just
/// got for a page: a store that ran beside the direct write counts as the later of the two.
fn overtaken(w: &World, at: FilePage) -> bool {
    let slot = w.get::<CacheSlot>(at);
    let Some(frame) = slot.frame() else { return false };
    let head = w.get::<CacheSlot>(FilePage(at.0 - (frame.0 - w.head(frame).0)));
    let disk = w.map.file(w.map.file_of(at)).disk;
    let tags = disk.map_or(0..0, |disk| w.map.tags[disk.index()].clone());
    let landed = tags.map(|t| w.get::<Bio>(Tag(t))).any(|bio| {
        let ours = Frame::unpack(bio.frame_bits()) == Some(frame);
        ours && bio.kind() == BioKind::Writeback && bio.step() == BioStep::Transferred
    });
    head.tag_dirty() || (slot.tag_writeback() && !landed)
}

fn complete(cx: &mut Step, tag: Tag) {
    let bio = cx.get::<Bio>(tag);
    let frame = Frame::unpack(bio.frame_bits());
    match (bio.kind(), frame) {
        (BioKind::Writeback, Some(frame)) => {
            let error = bio.error();
            let reported = error && cx.strategy.keeps(Guard::WritebackError);
            end_writeback(cx.w, tag, frame, error, reported);
            release(cx.w, tag);
        }
        (BioKind::ReadIn, Some(frame)) => {
            zero_beyond_eof(cx, frame);
            cx.change_flags(frame, |f| f.with_uptodate(true));
            cx.unlock_folio(frame);
            release(cx.w, tag);
        }
        (BioKind::DioRead, Some(frame)) => {
            let data = cx.get::<BioData>(tag).0;
            cx.completed(frame, WHOLE, |shown| shown == data);
            advance(cx, tag, BioStep::Done);
        }
        (BioKind::DioWrite, _) => {
            let block = block_of(cx, tag);
            if let Some((block, at)) = block.and_then(|b| Some((b, cx.block_owner(b)?))) {
                end_direct_write(cx.w, at, block, bio.error());
            }
            advance(cx, tag, BioStep::Done);
        }
        _ => advance(cx, tag, BioStep::Done),
    }
}

/// btrfs leaves what lies beyond the end of a file as it is on the disk, and zeroes it whenever it
/// has read it (`end_bbio_data_read`). The others have zeroed it there.
fn zero_beyond_eof(cx: &mut Step, folio: Frame) {
    for frame in (0..cx.folio_pages(folio)).map(|n| folio.plus(n)) {
        let at = cx.get::<Owner>(frame).file_page();
        let Some(at) = at.filter(|&at| cx.map.fs_of(at) == FsKind::Btrfs) else { return };
        let (inside, end) = (bytes_inside(cx, at), PAGE_SIZE as u16);
        if inside > 0 && inside < end {
            cx.fill(frame, (inside, end), Contents::ZERO);
        }
    }
}

/// B11: `ext4_end_bio`, `iomap_finish_ioend`, `btrfs_finish_one_ordered`.
fn end_writeback(w: &mut World, tag: Tag, frame: Frame, error: bool, reported: bool) {
    let owner = w.get::<Owner>(frame).file_page();
    if let (Some(at), Some(block)) = (owner, block_of(w, tag)) {
        if !error {
            end_io(w, at, block);
        } else {
            if reported {
                let unwritten = w.get::<BioData>(tag).0;
                set_error(w, at, EIO, unwritten);
            }
            w.cancel_cow_block(block, at);
            end_failed_delalloc(w, at, frame);
        }
    }
    end_page_writeback(w, frame);
}

/// On btrfs what delayed allocation promised to the page has become an ordered extent, which fails
/// as a whole (`btrfs_finish_one_ordered`, BTRFS_ORDERED_IOERR): there is a hole again, unless the
/// page has been prepared anew meanwhile.
fn end_failed_delalloc(w: &mut World, at: FilePage, frame: Frame) {
    let delayed = w.get::<Extent>(at).kind() == ExtentKind::Delalloc;
    if delayed && w.map.fs_of(at) == FsKind::Btrfs && !w.flags(frame).prepared() {
        w.set(at, Extent::new());
    }
}

/// `iomap_dio_bio_end_io` of a write: the file has the new contents, or keeps the old.
fn end_direct_write(w: &mut World, at: FilePage, block: Block, error: bool) {
    if error {
        w.cancel_cow_block(block, at);
    } else if !leads_to(w, at, block) {
        end_io(w, at, block);
        landed(w, at);
    }
}

/// The extent map learns where the data is now: an unwritten extent becomes written; a block
/// that copy-on-write allocated takes the place of the old one, which is given up. Who else was
/// writing to that block finds nothing left to do (`xfs_reflink_end_cow_extent`: "no COW extents
/// might be left by the time I/O completes for the loser of the race").
///
/// On the media the extent map follows with the journal, whose commit first flushes the disk's
/// cache: until then a power loss brings back what the page had before, not what the new block
/// had.
pub fn end_io(w: &mut World, at: FilePage, block: Block) {
    if leads_to(w, at, block) {
        return;
    }
    let extent = w.get::<Extent>(at);
    let before = match (extent.kind(), extent.block()) {
        (ExtentKind::Written, Some(old)) => w.durable_contents(old),
        _ => Contents::ZERO,
    };
    w.set(block, BlockDurable(before));
    if let Some(old) = extent.block().filter(|&old| old != block) {
        w.put_block(old, at);
        if w.get::<BlockState>(block).owners() > 1 {
            w.update::<BlockState>(block, |s| s.with_owners(1));
        }
    }
    w.set(at, Extent::at(ExtentKind::Written, block));
}

/// What a direct read will write, before it arrives: the name of the operation and the page.
pub fn provisional(cx: &mut Step, tag: Tag, frame: Frame, private: u32) {
    let op = cx.op;
    let version = cx.fresh(frame, op, WHOLE, private);
    cx.set(tag, BioData(version));
}
