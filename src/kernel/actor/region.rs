//! Registration of memory regions: pinned ones (RDMA, video buffers) and ones that follow the MMU
//! notifier (on-demand paging, GPUs).
//!
//! A pinned region is `ib_umem_get` + CREATE_MKEY (video buffers: `videobuf_dma_init_user` +
//! programming the scatter list): pins first, then one command after which the device may
//! transfer. A region with a notifier is `ib_umem_odp_get`: `mmu_interval_notifier_insert` and
//! nothing else; its translation table is empty.

use super::errno::{EBUSY, EFAULT, EINVAL};
use super::invalidate::dirty_written;
use super::pin::{GupFlags, PinPages};
use super::release::Release;
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Page;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{MmState, Owner, OwnerKind};
use crate::kernel::world::plan::{Context, DeviceKind, PinCall, Redirty};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::view::Sequence;
use crate::kernel::world::{Frame, Id, Lock, Region, RegionPage, Slot, VPage, World};

/// What is registered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Request {
    region: Region,
    first: VPage,
    pages: u32,
    write: bool,
    longterm: bool,
}

/// Registers a region. Returns 0 or a negative errno, with everything released.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Register {
    /// The call (`ib_uverbs_reg_mr`, `VIDIOC_QBUF`): checks, then pins or subscribes.
    Enter(Request),
    /// The pages are pinned: the device is told (CREATE_MKEY).
    Program(Request),
    /// `mmu_interval_notifier_insert`.
    Subscribe(Request),
    /// Fewer pages than asked for were pinned; what was has been released again.
    Fail {
        /// The region.
        region: Region,
        /// The error number.
        errno: i32,
    },
}

impl Register {
    /// The machine for an `Op::Register`.
    pub fn new(region: Region, first: VPage, pages: u32, write: bool, longterm: bool) -> Register {
        Register::Enter(Request { region, first, pages, write, longterm })
    }
}

impl Machine for Register {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self {
            Register::Enter(_) => Label::new("", "reg_mr", Cost::Syscall),
            Register::Program(_) => Label::new("", "CREATE_MKEY", Cost::Command),
            Register::Subscribe(_) => Label::new("", "mmu_interval_notifier_insert", Cost::Lock),
            Register::Fail { .. } => Label::new("", "reg_mr: fails", Cost::Step),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self {
            Register::Enter(r) => enter(cx, r),
            Register::Program(r) => program(cx, r),
            Register::Subscribe(r) => subscribe(cx, r),
            Register::Fail { region, errno } => {
                gone(cx, region);
                Next::Return(-errno)
            }
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self {
            // All pages or none: `ib_umem_get` and `videobuf_dma_init_user` release what they
            // got if it is less than they asked for.
            Register::Program(Request { region, pages, .. }) if ret != pages as Ret => {
                let errno = if ret < 0 { -ret } else { EFAULT };
                let failed = Register::Fail { region, errno };
                if ret <= 0 {
                    return failed.into();
                }
                let slot = slot_of(cx, region);
                call(Release::new(slot, false, Redirty::Plain, Context::Process), failed)
            }
            _ => self.into(),
        }
    }
}

fn slot_of(w: &World, region: Region) -> Slot {
    w.map.plan.regions[region.index()].slot
}

fn enter(cx: &mut Step, r: Request) -> Next {
    let state = cx.get::<RegionState>(r.region);
    if matches!(state.state(), RegionUse::Registered | RegionUse::Terminated) {
        return Next::Return(-EBUSY);
    }
    if r.pages == 0 || r.pages > cx.map.plan.regions[r.region.index()].pages {
        return Next::Return(-EINVAL);
    }
    cx.might_sleep();
    let call_of = match cx.map.device_kind(r.region) {
        DeviceKind::OdpNic | DeviceKind::Gpu => return Register::Subscribe(r).into(),
        DeviceKind::Nic => PinCall::PinFast,
        // videobuf_dma_init_user_locked has always used the slow call.
        DeviceKind::Capture => PinCall::PinSlow,
    };
    let longterm = r.longterm || cx.strategy.longterm.judges_drivers();
    let flags = GupFlags { write: r.write, longterm, call: call_of };
    let slot = slot_of(cx, r.region);
    call(PinPages::new(r.first, r.pages, slot, flags), Register::Program(r))
}

/// Whether, under a design that takes pages back from devices, a page has left its file since it
/// was pinned: there was no region yet from which to take it, so that the driver has to look.
fn recalled(cx: &Step, r: Request) -> bool {
    let Some(page) = cx.map.backing(r.first) else { return false };
    let watches = cx.strategy.truncate_of(cx.map.fs_of(page)).recall().is_some();
    if !watches || !cx.strategy.keeps(Guard::RegisterLookAgain) {
        return false;
    }
    let slot = slot_of(cx, r.region);
    let pinned = (0..r.pages).map(|n| cx.get::<Pinned>(cx.map.slot_page(slot, n)).frame_bits());
    pinned.filter_map(Frame::unpack).any(|f| cx.get::<Owner>(f).kind() == OwnerKind::Detached)
}

fn registered(r: Request) -> RegionState {
    let first = VPage::pack(Some(r.first));
    let state = RegionState::new().with_state(RegionUse::Registered).with_write(r.write);
    state.with_first_bits(first).with_pages(r.pages)
}

/// The whole translation table is handed over with one command, before whose completion nobody
/// has the key: "from that point on hardware can write to the page at _any_ time" (claim 6).
fn program(cx: &mut Step, r: Request) -> Next {
    let slot = slot_of(cx, r.region);
    if recalled(cx, r) {
        let failed = Register::Fail { region: r.region, errno: EFAULT };
        return call(Release::new(slot, false, Redirty::Plain, Context::Process), failed);
    }
    for n in 0..r.pages {
        let pinned = cx.get::<Pinned>(cx.map.slot_page(slot, n));
        let at = cx.map.region_page(r.region, n);
        let entry = match Frame::unpack(pinned.frame_bits()) {
            Some(frame) => Xlat::to(Page { frame, generation: pinned.generation() }, r.write),
            None => Xlat::new(),
        };
        cx.set(at, entry);
    }
    cx.set(r.region, registered(r));
    Next::Return(0)
}

/// Inserts the interval. Its sequence differs from the address space's unless an invalidation is
/// under way: then it is the same, and a fault waits for the end (the comment in
/// `__mmu_interval_notifier_insert` says why it must be odd).
fn subscribe(cx: &mut Step, r: Request) -> Next {
    cx.might_sleep();
    let mm = cx.map.mm_of(r.first);
    let mut state = cx.get::<MmState>(mm);
    let seq = if state.invalidating() > 0 {
        state = state.with_invalidate_seq(state.invalidate_seq() | 1);
        cx.set(mm, state);
        state.invalidate_seq()
    } else {
        state.invalidate_seq().wrapping_sub(1)
    };
    cx.set(r.region, IntervalSub::new().with_seq(seq));
    cx.set(r.region, registered(r));
    Next::Return(0)
}

/// Deregisters a region: the device is stopped before anything is given back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Deregister {
    /// DESTROY_MKEY is posted (`mlx5_revoke_mr`): no transfer begins any more.
    Stop {
        /// The region.
        region: Region,
        /// The pages were written to.
        dirty: bool,
        /// What the driver does about it; none: what `--unpin` says.
        how: Option<Redirty>,
    },
    /// The command completes when the transfers that had begun have ended, fault handlers
    /// included (`mlx5r_deref_wait_odp_mkey`).
    Stopped {
        /// The region.
        region: Region,
        /// The pages were written to.
        dirty: bool,
        /// What the driver does about it.
        how: Option<Redirty>,
    },
    /// `ib_umem_odp_release`: umem_mutex.
    UmemLock(Region),
    /// `ib_umem_odp_unmap_dma_pages` of a page; after the last one the mutex is released.
    Unmap(RegionPage),
    /// `mmu_interval_notifier_remove`: waits for an invalidation that may be in the callback.
    Unsubscribe {
        /// The region.
        region: Region,
        /// The invalidation that is under way: address space and sequence.
        during: Option<Sequence>,
    },
    /// The pins have been released.
    Released(Region),
}

impl Deregister {
    /// The machine for an `Op::Deregister`.
    pub fn new(region: Region, dirty: bool, how: Option<Redirty>) -> Deregister {
        Deregister::Stop { region, dirty, how }
    }
}

impl Machine for Deregister {
    fn need(self, cx: &Scene) -> Need {
        match self {
            Deregister::Stopped { region, .. } if cx.strategy.keeps(Guard::DeregisterStop) => {
                Need::RegionQuiet(region)
            }
            Deregister::UmemLock(region) => Need::Lock(umem_lock(cx.w, region), Mode::Exclusive),
            Deregister::Unsubscribe { during: Some(seq), .. }
                if cx.strategy.keeps(Guard::UnsubscribeWait) =>
            {
                Need::SeqPassed(seq.mm, seq.value)
            }
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self {
            Deregister::Stop { .. } => Label::new("", "DESTROY_MKEY", Cost::Command),
            Deregister::Stopped { .. } => Label::new("", "DESTROY_MKEY: completion", Cost::Wake),
            Deregister::UmemLock(_) => Label::new("", "umem_mutex", Cost::Lock),
            Deregister::Unmap(_) => Label::new("", "ib_umem_odp_unmap_dma_pages", Cost::Step),
            Deregister::Unsubscribe { .. } => {
                Label::new("", "mmu_interval_notifier_remove", Cost::Lock)
            }
            Deregister::Released(_) => Label::new("", "dereg_mr: done", Cost::Step),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self {
            Deregister::Stop { region, dirty, how } => {
                let state = cx.get::<RegionState>(region);
                if matches!(state.state(), RegionUse::None | RegionUse::Gone) || state.stopping() {
                    return Next::Return(-EINVAL);
                }
                cx.might_sleep();
                cx.set(region, state.with_stopping(true));
                Deregister::Stopped { region, dirty, how }.into()
            }
            Deregister::Stopped { region, dirty, how } => stopped(cx, region, dirty, how),
            Deregister::UmemLock(region) => {
                let (me, lock) = (cx.me, umem_lock(cx, region));
                cx.lock(me, lock, Mode::Exclusive);
                unmap_next(cx, region)
            }
            Deregister::Unmap(at) => {
                dirty_written(cx, at);
                cx.set(at, Xlat::new());
                unmap_next(cx, cx.map.region_of(at))
            }
            Deregister::Unsubscribe { region, during: None } => unsubscribe(cx, region),
            Deregister::Unsubscribe { region, .. } | Deregister::Released(region) => {
                gone(cx, region)
            }
        }
    }

    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        self.into()
    }
}

fn umem_lock(w: &World, region: Region) -> Lock {
    w.map.umem_lock(w.map.device_of(region))
}

/// The device has stopped: nobody translates any more. Pins are given back.
fn stopped(cx: &mut Step, region: Region, dirty: bool, how: Option<Redirty>) -> Next {
    if cx.map.device_kind(region).has_notifier() {
        return Deregister::UmemLock(region).into();
    }
    let write = cx.get::<RegionState>(region).write();
    for n in 0..cx.map.region_pages[region.index()].len() as u32 {
        let at = cx.map.region_page(region, n);
        cx.set(at, Xlat::new());
    }
    let how = how.unwrap_or(cx.strategy.unpin.redirty());
    let slot = slot_of(cx, region);
    // `__ib_umem_release`: make_dirty = umem->writable && dirty.
    call(Release::new(slot, dirty && write, how, Context::Process), Deregister::Released(region))
}

fn unmap_next(cx: &mut Step, region: Region) -> Next {
    let mut pages = cx.map.region_pages[region.index()].clone().map(RegionPage);
    match pages.find(|&at| cx.get::<Xlat>(at) != Xlat::new()) {
        Some(at) => Deregister::Unmap(at).into(),
        None => {
            let (me, lock) = (cx.me, umem_lock(cx, region));
            cx.unlock(me, lock);
            Deregister::Unsubscribe { region, during: None }.into()
        }
    }
}

/// Takes the interval out of the tree, or has it taken out at the end of the invalidation that is
/// under way (`mn_itree_is_invalidating`).
fn unsubscribe(cx: &mut Step, region: Region) -> Next {
    let mm = cx.get::<RegionState>(region).vpage(0).map(|first| cx.map.mm_of(first));
    let during = mm.map(|mm| Sequence { mm, value: cx.get::<MmState>(mm).invalidate_seq() });
    match during.filter(|seq| seq.value % 2 == 1) {
        None => gone(cx, region),
        during => Deregister::Unsubscribe { region, during }.into(),
    }
}

fn gone(cx: &mut Step, region: Region) -> Next {
    cx.set(region, RegionState::new().with_state(RegionUse::Gone));
    Next::Return(0)
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::kernel::sim::Sim;
    use crate::kernel::world::objects::Counts;
    use crate::kernel::world::plan::Op;

    fn refs(sim: &Sim, n: u32) -> i32 {
        sim.world.get::<Counts>(Frame(n)).refs()
    }

    #[test]
    fn a_pinned_region_is_registered_and_deregistered_without_a_trace() {
        let mut plan = device_machine(DeviceKind::Nic, 2);
        let op = thread(&mut plan, &[register(2), deregister()]);
        let mut sim = Sim::new(plan, strategy());
        let before = [refs(&sim, 1), refs(&sim, 2)];
        run_agent(&mut sim, 0, |sim| result(sim, op).is_some());
        assert_eq!(result(&sim, op), Some(0));
        assert_eq!([refs(&sim, 1), refs(&sim, 2)], [before[0] + 1024, before[1] + 1024]);
        let entry = sim.world.get::<Xlat>(RegionPage(1));
        assert_eq!((entry.valid(), entry.page()), (true, Some(sim.world.page(Frame(2)))));
        run_agent(&mut sim, 0, |_| false);
        assert_eq!(result(&sim, op.plus(1)), Some(0));
        assert_eq!([refs(&sim, 1), refs(&sim, 2)], before);
        assert_eq!(sim.world.get::<Xlat>(RegionPage(1)), Xlat::new());
        assert_eq!(sim.world.get::<RegionState>(MR).state(), RegionUse::Gone);
    }

    #[test]
    fn a_region_of_which_a_page_cannot_be_pinned_keeps_no_pin() {
        let mut plan = device_machine(DeviceKind::Nic, 2);
        // The second page of the mapping lies beyond the end of the file: SIGBUS.
        plan.files[0].size = 4096;
        plan.files[0].pages.truncate(1);
        let op = thread(&mut plan, &[register(2), deregister()]);
        let write = nic(&mut plan, &[Op::DmaWrite { region: MR, page: 0 }]);
        let mut sim = Sim::new(plan, strategy());
        let before = refs(&sim, 1);
        run_agent(&mut sim, 0, |_| false);
        assert_eq!(result(&sim, op), Some(-EFAULT));
        assert_eq!(result(&sim, op.plus(1)), Some(-EINVAL), "there is nothing to deregister");
        assert_eq!(refs(&sim, 1), before);
        run_agent(&mut sim, 1, |_| false);
        assert_eq!(result(&sim, write), Some(-EFAULT), "the key has never been given out");
    }
}
