//! MMU notifiers: the sections in which secondary page tables may not be filled.

use super::invalidate::Invalidate;
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::{Engaged, RegionState, RegionUse};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::MmState;
use crate::kernel::world::{Id, Mm, Region, VPage, World};

/// Whether any device of the plan can ever subscribe to the address space of a page: else
/// `mm_has_notifiers()` is false for ever and callers skip the whole protocol.
pub fn watched(map: &Layout, first: VPage) -> bool {
    !map.notified(map.mm_of(first)).is_empty()
}

/// Whether a registered region overlaps pages of a mapping (the interval tree's test).
fn overlaps(w: &World, region: Region, first: VPage, pages: u32) -> bool {
    let state = w.get::<RegionState>(region);
    let length = w.map.region_pages[region.index()].len() as u32;
    state.state() == RegionUse::Registered
        && VPage::unpack(state.first_bits())
            .is_some_and(|at| at.0 < first.0 + pages && first.0 < at.0 + length)
}

/// `mmu_notifier_invalidate_range_start()` of pages of one mapping.
///
/// When it returns 0, every subscribed device has been told and the range is being invalidated
/// until [`RangeEnd`]. A non-blockable call may return -EAGAIN; then the range is not being
/// invalidated and there must be no end (93065ac753e4, 4.19). Under `--notifier abort` a blockable
/// call may fail likewise, with -ENOMEM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RangeStart {
    first: VPage,
    pages: u32,
    blockable: bool,
    state: Start,
}

/// How far a [`RangeStart`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Start {
    /// mn_itree_inv_start_range: under the subscriptions' spinlock, counts the invalidation and,
    /// if it meets an interval, makes the sequence odd.
    Enter,
    /// The callback of this one of the address space's regions runs (`ops->invalidate`).
    Calling(u16),
    /// A callback failed, or would have had to sleep: mn_itree_inv_end before that is passed up.
    Undo(Ret),
}

impl RangeStart {
    /// The start of an invalidation of `pages` pages from `first` on.
    pub fn new(first: VPage, pages: u32, blockable: bool) -> RangeStart {
        RangeStart { first, pages, blockable, state: Start::Enter }
    }

    /// Calls the next region's callback, from the `from`-th region on, or returns.
    fn next(self, cx: &mut Step, from: usize) -> Next {
        let map = cx.map.clone();
        let regions = map.notified(map.mm_of(self.first));
        let hit = |&i: &usize| overlaps(cx, regions[i], self.first, self.pages);
        if let Some(i) = (from..regions.len()).find(hit) {
            let then = RangeStart { state: Start::Calling(i as u16), ..self };
            return call(Invalidate::new(regions[i], self.first, self.pages, self.blockable), then);
        }
        for n in 0..self.pages {
            cx.facts.push(Fact::RangeStarted { at: self.first.plus(n) });
        }
        Next::Return(0)
    }
}

/// mn_itree_inv_end: the last invalidation to end makes an odd sequence even and wakes readers.
fn leave(cx: &mut Step, mm: Mm) {
    let me = cx.me;
    cx.update::<Engaged>(me, |e| e.with_range(0));
    let keeps = cx.strategy.keeps(Guard::RangeSeqEven);
    cx.update::<MmState>(mm, |s| {
        let active = s.invalidating().saturating_sub(1);
        let odd = s.invalidate_seq() % 2 == 1;
        let ends = active == 0 && odd && keeps;
        let seq = s.invalidate_seq().wrapping_add(u32::from(ends));
        s.with_invalidating(active).with_invalidate_seq(seq)
    });
}

impl Machine for RangeStart {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self.state {
            Start::Undo(_) => Label::new("", "mn_itree_inv_end (failed)", Cost::Lock),
            _ => Label::new("", "mmu_notifier_invalidate_range_start", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let map = cx.map.clone();
        let mm = map.mm_of(self.first);
        if let Start::Undo(ret) = self.state {
            leave(cx, mm);
            return Next::Return(ret);
        }
        if self.blockable {
            // might_sleep() in mmu_notifier_invalidate_range_start.
            cx.might_sleep();
        }
        let hit = map.notified(mm).iter().any(|&r| overlaps(cx, r, self.first, self.pages))
            && cx.strategy.keeps(Guard::RangeSeqOdd);
        cx.update::<MmState>(mm, |s| {
            let seq = s.invalidate_seq() | u32::from(hit);
            s.with_invalidating(s.invalidating() + 1).with_invalidate_seq(seq)
        });
        let me = cx.me;
        cx.update::<Engaged>(me, |e| e.with_range(Mm::pack(Some(mm))));
        self.next(cx, 0)
    }

    /// A blockable callback must not fail: there is nobody who could act on it, and
    /// `mn_itree_invalidate` only warns (kernel-facts 5). With `--notifier abort` it may, and the
    /// caller has to see to it.
    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        let Start::Calling(i) = self.state else { return Next::Return(ret) };
        if ret < 0 && (!self.blockable || cx.strategy.notifier.passes_up()) {
            return RangeStart { state: Start::Undo(ret), ..self }.into();
        }
        self.next(cx, i as usize + 1)
    }
}

/// `mmu_notifier_invalidate_range_end()` of pages of one mapping: devices may fault again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RangeEnd {
    first: VPage,
}

impl RangeEnd {
    /// The end of the invalidation that [`RangeStart`] began. The section is counted per address
    /// space, so that of the range only the address space matters.
    pub fn new(first: VPage, _pages: u32) -> RangeEnd {
        RangeEnd { first }
    }
}

impl Machine for RangeEnd {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "mmu_notifier_invalidate_range_end", Cost::Lock)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let mm = cx.map.mm_of(self.first);
        leave(cx, mm);
        Next::Return(0)
    }
}
