//! Busy extents (`--truncate-dax busy-extents`): blocks that have left their file and wait for the
//! last reference to their page, and what that last reference sets off.
//!
//! The mail (claims 55, 60-64): truncate puts the blocks on the filesystem's list of busy extents
//! and marks the pages "delayed free"; when a page's count drops to idle, the filesystem is called
//! to take the extent off the list. Where it is called is where the reference is dropped, be it an
//! interrupt; freeing an extent starts a transaction, which may sleep ("workqueues would solve
//! that", claim 64). In a machine with workers the call is queued to one; in one without it is made
//! on the spot. The lists of ext4 and XFS hold freed extents until a transaction commits, which is
//! not modelled.

use super::step::*;
use crate::kernel::strategy::{Guard, Strategy, Truncate};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{BlockState, BlockUse, Work};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{CacheSlot, FileState, Flags, Owner};
use crate::kernel::world::price::Price;
use crate::kernel::world::{Block, FilePage, Frame, Worker, World};

/// Wait queues of a dev_pagemap: "a few hashed waitqueues" (claim 58).
const QUEUES: u32 = 4;

impl Step<'_> {
    /// [`World::drop_ref`], and what the design does when the last reference goes.
    pub fn drop_ref(&mut self, frame: Frame) -> bool {
        let freed = self.w.drop_ref(frame);
        self.reference_dropped(frame);
        freed
    }

    /// [`World::put_refs`], and what the design does when the last reference goes.
    pub fn put_refs(&mut self, frame: Frame, n: i32) -> bool {
        let freed = self.w.put_refs(frame, n);
        self.reference_dropped(frame);
        freed
    }

    /// `put_zone_device_page`: the count has dropped. A page that is idle now wakes those who wait
    /// for it, or calls the filesystem.
    fn reference_dropped(&mut self, frame: Frame) {
        let design = self.strategy.truncate_dax;
        if !matches!(design, Truncate::BusyExtents | Truncate::WaitFlag)
            || !self.get::<Flags>(frame).pmem()
            || self.strategy.dax_idle.busy(self.get(frame))
        {
            return;
        }
        match design {
            Truncate::WaitFlag => wake(self, frame),
            // Whoever clears the mark makes the call, and nobody else.
            _ if self.get::<Flags>(frame).delayed_free() => {
                if self.strategy.keeps(Guard::BusyClearOnce) {
                    self.update::<Flags>(frame, |f| f.with_delayed_free(false));
                }
                extent_idle(self, frame);
            }
            _ => {}
        }
    }
}

/// Wakes everybody who waits in the queue to which the page hashes; whoever waits for another
/// page there has been woken for nothing.
fn wake(cx: &mut Step, frame: Frame) {
    let waited = |at: &FilePage| cx.get::<CacheSlot>(*at).barred();
    let barred = (0..cx.map.file_page_count()).map(FilePage).filter(waited);
    for other in barred.filter_map(|at| cx.cached(at)).collect::<Vec<_>>() {
        let mine = other == frame;
        if mine
            || (other.0 % QUEUES == frame.0 % QUEUES && cx.strategy.dax_idle.busy(cx.get(other)))
        {
            cx.w.prices.add(Price::Wakes, 1);
            cx.w.prices.add(Price::FalseWakes, u64::from(!mine));
        }
    }
}

/// The last reference to a page under a busy extent is gone: the filesystem is called.
fn extent_idle(cx: &mut Step, frame: Frame) {
    let me = cx.me;
    cx.w.prices.add(Price::AtomicCallbacks, u64::from(cx.in_atomic(me)));
    if cx.map.plan.workers > 0 {
        cx.update::<Work>(Worker(0), |work| work.with_extents(true));
        return;
    }
    cx.might_sleep(); // a transaction has to be started
    if let Some(block) = cx.map.pmem_block(frame) {
        free(cx, block);
    }
}

/// A file loses a block whose page is in use: on the list with it.
pub fn detach(w: &mut World, block: Block, frame: Frame, at: FilePage) {
    w.update::<BlockState>(block, |s| {
        s.with_state(BlockUse::Busy).with_link(at.0 + 1).with_owners(0)
    });
    w.update::<Flags>(frame, |f| f.with_delayed_free(true));
    let file = w.map.file_of(at);
    w.update::<FileState>(file, |s| s.with_busy(s.busy() + 1));
}

/// Takes a block off the list and frees it.
fn free(w: &mut World, block: Block) {
    let left = FilePage(w.get::<BlockState>(block).link().saturating_sub(1));
    let file = w.map.file_of(left);
    w.update::<FileState>(file, |s| s.with_busy(s.busy().saturating_sub(1)));
    if let Some(frame) = w.map.pmem_frame(block) {
        w.set(frame, Owner::new());
    }
    w.free_block(block);
}

/// The filesystem's work: frees the extents whose pages have become idle. Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FreeBusy;

/// A busy extent that nobody uses any more.
fn idle(w: &World, strategy: &Strategy) -> Option<Block> {
    let off = |b: &Block| {
        let frame = w.map.pmem_frame(*b);
        let marked = frame.is_some_and(|f| w.get::<Flags>(f).delayed_free());
        let waits = marked && strategy.keeps(Guard::BusyStillUsed);
        w.get::<BlockState>(*b).state() == BlockUse::Busy && !waits
    };
    (0..w.map.blocks()).map(Block).find(off)
}

impl Machine for FreeBusy {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "xfs_extent_busy_clear: free", Cost::Journal)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        cx.might_sleep();
        if let Some(block) = idle(cx, cx.strategy) {
            free(cx, block);
        }
        match idle(cx, cx.strategy) {
            Some(_) => self.into(),
            None => Next::Return(0),
        }
    }
}
