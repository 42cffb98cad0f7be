//! A bounce page: a copy of a page that is written in its place (block/bounce.c).
//!
//! The copy is made by the submitter in two halves, because a page is not copied at once: a
//! transfer of a device (claim 1), or whatever else may write to the page then (claim 3), may fall
//! between them, and the copy is of no version that ever was. From the second half on nothing that
//! happens to the page reaches the bio any more: checksum, parity and transfer all see the copy
//! (claim 11).
//!
//! The bounce page comes from a mempool and is always there; the bio's tag holds it.

use super::disk::{self, HALVES};
use super::step::*;
use crate::kernel::strategy::writeback::Bounce;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::{Page, Toucher};
use crate::kernel::world::machine::{Bio, BioKind, BioStep};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{BioData, BioSum, Owner};
use crate::kernel::world::plan::{FsKind, PAGE_SIZE};
use crate::kernel::world::price::Price;
use crate::kernel::world::{Block, Disk, Frame, Tag};

/// `__blk_queue_bounce`: the copy is made, then the bio goes to the device. Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CopyPage {
    tag: Tag,
    /// A filesystem has taken its checksum of the page.
    summed: bool,
    second: bool,
}

/// Takes a free tag for a bio that will write a copy of a page ([`Need::FreeTag`] is met). Gives
/// the machine that makes the copy and submits it.
///
/// A filesystem that takes checksums has taken its own by the time that the block layer copies
/// (`btrfs_csum_one_bio`): it is of the page, not of the copy.
pub fn start(cx: &mut Step, how: Bounce, disk: Disk, frame: Frame, block: Block) -> CopyPage {
    let tag = disk::take_tag(cx, disk, BioKind::Writeback, Some(frame), Some(block));
    cx.update::<Bio>(tag, |b| b.with_step(BioStep::Bouncing).with_bounced(true));
    let summed = !how.locked && has_filesystem_sum(cx, frame);
    if summed {
        let page = cx.page(frame);
        cx.touch(page, false, Toucher::Kernel);
        let data = cx.data(frame);
        cx.set(tag, BioSum(data));
    }
    CopyPage { tag, summed, second: false }
}

/// A loop device: its own write of the backing file has a copy before the submission returns
/// (`lo_rw_aio`; kernel truth: later stores do not reach what is held there). Nobody can tell when
/// the halves were copied: it is one step.
pub fn at_once(cx: &mut Step, tag: Tag) {
    let Some(frame) = Frame::unpack(cx.get::<Bio>(tag).frame_bits()) else { return };
    let data = cx.data(frame);
    cx.set(tag, BioData(data));
    cx.update::<Bio>(tag, |b| b.with_bounced(true));
}

fn has_filesystem_sum(cx: &Step, frame: Frame) -> bool {
    let at = cx.get::<Owner>(frame).file_page();
    at.is_some_and(|at| cx.map.fs_of(at) == FsKind::Btrfs)
}

impl CopyPage {
    fn copy_half(self, cx: &mut Step) {
        let bio = cx.get::<Bio>(self.tag);
        let Some(frame) = Frame::unpack(bio.frame_bits()) else { return };
        cx.touch(Page { frame, generation: bio.generation() }, false, Toucher::Kernel);
        let (so_far, data) = (cx.get::<BioData>(self.tag).0, cx.data(frame));
        let copied = cx.patches.overlay(so_far, HALVES[usize::from(self.second)], data);
        cx.set(self.tag, BioData(copied));
    }

    /// The copy is whole: what wants a checksum takes it of the copy, unless it has one.
    fn submit(self, cx: &mut Step) -> Next {
        cx.w.prices.add(Price::BouncePages, 1);
        cx.w.prices.add(Price::BounceBytes, u64::from(PAGE_SIZE));
        let frame = Frame::unpack(cx.get::<Bio>(self.tag).frame_bits());
        let wanted =
            disk::has_checksum(cx, self.tag) || frame.is_some_and(|f| has_filesystem_sum(cx, f));
        if wanted && !self.summed {
            let copy = cx.get::<BioData>(self.tag).0;
            cx.set(self.tag, BioSum(copy));
        }
        let step = if wanted { BioStep::Summed } else { BioStep::Submitted };
        cx.update::<Bio>(self.tag, |b| b.with_step(step));
        Next::Return(0)
    }
}

impl Machine for CopyPage {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    /// The time that a copy takes is the time between its halves.
    fn label(self) -> Label {
        match self.second {
            false => Label::new("B10", "bounce: copy the first half", Cost::Step),
            true => Label::new("B10", "bounce: copy the second half", Cost::Copy),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        self.copy_half(cx);
        match self.second {
            false => CopyPage { second: true, ..self }.into(),
            true => self.submit(cx),
        }
    }
}
