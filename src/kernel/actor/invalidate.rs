//! What one device does when a range of virtual memory goes away: `mlx5_ib_invalidate_range` and
//! its like, called from `mmu_notifier_invalidate_range_start`.
//!
//! The order is mlx5's (kernel-facts 5): umem_mutex, `mmu_interval_set_seq`, the device's
//! translations zapped, then the DMA mappings removed and written pages dirtied.
//!
//! What "zapped" waits for: mlx5 posts a UMR work request and waits for its completion, and the
//! driver then says "We are now sure that the device will not access the memory". That is so only
//! if the completion comes after the last access through an old translation, so that the model
//! waits for the transfers that hold one of the zapped entries, page by page
//! ([`Need::XlatQuiet`]). It must not wait for the whole region to be quiet: a transfer that has
//! faulted is in flight too, and its fault handler waits (S1) for this very invalidation to end.

use super::errno::{EAGAIN, ENOMEM};
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::notifier::COMMAND_PAGES;
use crate::kernel::strategy::{Guard, Notifier};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Toucher;
use crate::kernel::world::machine::{CommandPool, Engaged, IntervalSub, RegionState, Xlat};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::MmState;
use crate::kernel::world::plan::DeviceKind;
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Id, Lock, One, Region, RegionPage, VPage, World};

/// The callback of one device for one region. Returns 0; -EAGAIN if it was told not to block and
/// would have had to; -ENOMEM if the command had no page and the design passes that up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Invalidate {
    /// `mutex_lock(umem_mutex)`, `mmu_interval_set_seq`. A callback that must not block
    /// (`!mmu_notifier_range_blockable`, the OOM reaper) tries the lock, or gives up at once.
    Enter {
        /// The region.
        region: Region,
        /// Where the range begins.
        first: VPage,
        /// Its pages.
        pages: u32,
        /// Whether it may block.
        blockable: bool,
    },
    /// A late teardown takes umem_mutex.
    EnterLate(Region),
    /// Takes one of the driver's own command pages (`--notifier prealloc`; in mlx5
    /// `mutex_lock(xlt_emergency_page_mutex)` in `mlx5r_umr_alloc_xlt`).
    TakePage(Region),
    /// The command that zaps the doomed entries (`mlx5r_umr_update_xlt(ZAP)`).
    Zap(Region),
    /// Waits for the transfers that hold this entry.
    Drain(RegionPage),
    /// `ib_umem_odp_unmap_dma_pages`: removes the DMA mapping of a page, dirties it.
    Unmap(RegionPage),
}

impl Invalidate {
    /// The callback of `region`'s device for a range of virtual pages of one mapping.
    pub fn new(region: Region, first: VPage, pages: u32, blockable: bool) -> Invalidate {
        Invalidate::Enter { region, first, pages, blockable }
    }
}

impl Machine for Invalidate {
    fn need(self, cx: &Scene) -> Need {
        match self {
            Invalidate::Enter { region, blockable: true, .. } | Invalidate::EnterLate(region) => {
                Need::Lock(umem_lock(cx.w, region), Mode::Exclusive)
            }
            Invalidate::TakePage(_) => Need::CommandPage(COMMAND_PAGES),
            Invalidate::Drain(at) => Need::XlatQuiet(at),
            _ => Need::Nothing,
        }
    }

    fn outcomes(self, cx: &Scene) -> u8 {
        let allocates = matches!(self, Invalidate::Zap(_)) && cx.strategy.notifier.allocates();
        if allocates && !starved(cx.w) && Step::may_fail(cx.w) { 2 } else { 1 }
    }

    fn label(self) -> Label {
        match self {
            Invalidate::Enter { .. } => {
                Label::new("", "umem_mutex, mmu_interval_set_seq", Cost::Lock)
            }
            Invalidate::EnterLate(_) => Label::new("", "late teardown: umem_mutex", Cost::Lock),
            Invalidate::TakePage(_) => Label::new("", "take a command page", Cost::Lock),
            Invalidate::Zap(_) => Label::new("", "mlx5r_umr_update_xlt(ZAP)", Cost::Command),
            Invalidate::Drain(_) => Label::new("", "UMR completion", Cost::Wake),
            Invalidate::Unmap(_) => Label::new("", "ib_umem_odp_unmap_dma_pages", Cost::Step),
        }
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
        match self {
            Invalidate::Enter { region, first, pages, blockable } => {
                enter(cx, region, first, pages, blockable)
            }
            Invalidate::EnterLate(region) => {
                let (me, lock) = (cx.me, umem_lock(cx, region));
                cx.lock(me, lock, Mode::Exclusive);
                cx.update::<RegionState>(region, |s| s.with_teardown_due(false));
                zap_or_leave(cx, region)
            }
            Invalidate::TakePage(region) => {
                let me = cx.me;
                cx.update::<CommandPool>(One(0), |p| p.with_used(p.used() + 1));
                cx.update::<Engaged>(me, |e| e.with_command(true));
                Invalidate::Zap(region).into()
            }
            Invalidate::Zap(region) => zap(cx, region, outcome == 1),
            Invalidate::Drain(at) => drain(cx, cx.map.region_of(at)),
            Invalidate::Unmap(at) => unmap(cx, at),
        }
    }
}

/// Carries out what callbacks that returned first have left to do (`--notifier late`): an agent
/// of each region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LateTeardown(pub Region);

impl Machine for LateTeardown {
    fn need(self, _cx: &Scene) -> Need {
        Need::TeardownDue(self.0)
    }

    fn label(self) -> Label {
        Label::new("", "late teardown begins", Cost::Wake)
    }

    fn step(self, _cx: &mut Step, _outcome: u8) -> Next {
        call(Invalidate::EnterLate(self.0), self)
    }

    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        self.into()
    }
}

fn umem_lock(w: &World, region: Region) -> Lock {
    w.map.umem_lock(w.map.device_of(region))
}

fn enter(cx: &mut Step, region: Region, first: VPage, pages: u32, blockable: bool) -> Next {
    if cx.strategy.notifier == Notifier::None {
        return Next::Return(0);
    }
    let (me, lock) = (cx.me, umem_lock(cx, region));
    // mlx5 returns false at once; nouveau_svm_range_invalidate tries the lock.
    let mlx5 = cx.map.device_kind(region) == DeviceKind::OdpNic;
    let sleeps = cx.strategy.notifier.pools() && pool_empty(cx);
    if !blockable && (mlx5 || sleeps || !cx.can_lock(lock, Mode::Exclusive)) {
        return Next::Return(-EAGAIN);
    }
    cx.lock(me, lock, Mode::Exclusive);
    let seq = cx.get::<MmState>(cx.map.mm_of(first)).invalidate_seq();
    if cx.strategy.keeps(Guard::OdpSetSeq) {
        cx.set(region, IntervalSub::new().with_seq(seq));
    }
    for n in cx.get::<RegionState>(region).overlap(first, pages) {
        let at = cx.map.region_page(region, n);
        let entry = cx.get::<Xlat>(at);
        if entry.page().is_some() && !entry.leaked() {
            cx.set(at, entry.with_doomed(true));
        }
    }
    if cx.strategy.notifier == Notifier::Late && !doomed(cx, region).is_empty() {
        cx.update::<RegionState>(region, |s| s.with_teardown_due(true));
        return leave(cx, region, 0);
    }
    zap_or_leave(cx, region)
}

/// Every command page of the driver is in use.
fn pool_empty(w: &World) -> bool {
    !Need::CommandPage(COMMAND_PAGES).met(w)
}

/// There is no memory for a command page. It is needed for the length of the command only, so
/// that none is taken off the free list here.
fn starved(w: &World) -> bool {
    !Need::FreeFrame.met(w)
}

fn zap_or_leave(cx: &mut Step, region: Region) -> Next {
    if doomed(cx, region).is_empty() {
        return leave(cx, region, 0);
    }
    if !cx.strategy.notifier.pools() {
        return Invalidate::Zap(region).into();
    }
    Invalidate::TakePage(region).into()
}

fn leave(cx: &mut Step, region: Region, ret: Ret) -> Next {
    let (me, lock) = (cx.me, umem_lock(cx, region));
    cx.unlock(me, lock);
    Next::Return(ret)
}

/// The entries that are to be torn down.
fn doomed(w: &World, region: Region) -> Vec<RegionPage> {
    let pages = w.map.region_pages[region.index()].clone().map(RegionPage);
    pages.filter(|&at| w.get::<Xlat>(at).doomed()).collect()
}

/// The command needs a page of memory for its work request, mapped for the device. If it cannot
/// be had the driver goes on as if the device had been told (the callback ignores what
/// mlx5r_umr_update_xlt returns), and the device goes on translating; or (`--notifier abort`) it
/// says so: nothing has been torn down then.
fn zap(cx: &mut Step, region: Region, chosen: bool) -> Next {
    if chosen {
        cx.fail_allocation();
    }
    let allocates = cx.strategy.notifier.allocates();
    if allocates {
        cx.prices.add(Price::Allocs, 1);
    }
    let failed = chosen || (allocates && starved(cx));
    if failed && cx.strategy.notifier.passes_up() {
        for at in doomed(cx, region) {
            cx.update::<Xlat>(at, |x| x.with_doomed(false));
        }
        return leave(cx, region, -ENOMEM);
    }
    if !failed {
        for at in doomed(cx, region) {
            cx.update::<Xlat>(at, |x| x.with_valid(false));
        }
    }
    drain(cx, region)
}

/// On to the next entry that a transfer holds, else to the first that is to be unmapped.
fn drain(cx: &mut Step, region: Region) -> Next {
    let doomed = doomed(cx, region);
    let held = |at: &&RegionPage| {
        let entry = cx.get::<Xlat>(**at);
        !entry.valid() && entry.busy() > 0 && cx.strategy.keeps(Guard::OdpDrain)
    };
    let waits = doomed.iter().find(held).copied();
    if waits.is_none() {
        give_page(cx);
    }
    match (waits, doomed.first()) {
        (Some(at), _) => Invalidate::Drain(at).into(),
        (None, Some(&at)) => Invalidate::Unmap(at).into(),
        (None, None) => leave(cx, region, 0),
    }
}

/// The command has completed: its page can be used again (`mlx5r_umr_unmap_free_xlt`).
fn give_page(cx: &mut Step) {
    let me = cx.me;
    if cx.get::<Engaged>(me).command() {
        cx.update::<Engaged>(me, |e| e.with_command(false));
        cx.update::<CommandPool>(One(0), |p| p.with_used(p.used() - 1));
    }
}

/// `set_page_dirty` is called without the folio lock: "MMU notifiers are called sometimes with
/// and sometimes without the lock"; the driver relies on umem_mutex.
fn unmap(cx: &mut Step, at: RegionPage) -> Next {
    dirty_written(cx, at);
    cx.update::<Xlat>(at, |x| match x.valid() {
        true => x.with_doomed(false).with_leaked(true),
        false => Xlat::new().with_busy(x.busy()),
    });
    drain(cx, cx.map.region_of(at))
}

/// What the device may have written through an entry is dirty. A page of a DAX file has no dirty
/// tag to set here (`noop_dirty_folio`).
pub fn dirty_written(cx: &mut Step, at: RegionPage) {
    let entry = cx.get::<Xlat>(at);
    let Some(page) = entry.page().filter(|_| entry.write() && !entry.leaked()) else { return };
    cx.touch(page, false, Toucher::Kernel);
    if !cx.strategy.keeps(Guard::OdpDirty) {
        return;
    }
    if cx.flags(page.frame).pmem() {
        cx.change_flags(page.frame, |f| f.with_dirty(true));
    } else {
        cx.mark_dirty(page.frame);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::kernel::sim::Sim;
    use crate::kernel::world::plan::Op;
    use crate::kernel::world::{Actor, OpId};

    /// What a callback that must not block does at its first step, with umem_mutex free or taken.
    fn non_blockable(kind: DeviceKind, taken: bool) -> (Next, bool) {
        let mut plan = device_machine(kind, 1);
        thread(&mut plan, &[register(1)]);
        let write = nic(&mut plan, &[Op::DmaWrite { region: MR, page: 0 }]);
        let mut sim = Sim::new(plan, strategy());
        run_agent(&mut sim, 0, |_| false);
        run_agent(&mut sim, 1, |sim| result(sim, write).is_some());
        let lock = umem_lock(&sim.world, MR);
        if taken {
            sim.world.lock(Actor(1), lock, Mode::Exclusive);
        }
        let strategy = strategy();
        let (w, me) = (&mut sim.world, Actor(0));
        let mut cx = Step { w, strategy: &strategy, me, op: OpId(2) };
        let callback = Invalidate::new(MR, VPage(0), 1, false);
        let next = callback.step(&mut cx, 0);
        (next, sim.world.get::<Xlat>(RegionPage(0)).doomed())
    }

    #[test]
    fn a_callback_that_must_not_block_tries_the_lock_or_gives_up() {
        let again = (Next::Return(-EAGAIN), false);
        assert_eq!(non_blockable(DeviceKind::OdpNic, false), again, "mlx5 never tries");
        assert_eq!(non_blockable(DeviceKind::Gpu, true), again);
        let zap = (Next::from(Invalidate::Zap(MR)), true);
        assert_eq!(non_blockable(DeviceKind::Gpu, false), zap);
    }
}
