//! The page fault of a device: `ib_umem_odp_map_dma_and_lock`, `hmm_range_fault` and the update
//! of the device's translation table (kernel-facts 5, S1-S5).
//!
//! No reference is taken. What keeps the page from going away is the collision-retry scheme of
//! the interval notifier: the translation is written only if no invalidation of the interval has
//! begun since [`DeviceFault::ReadBegin`], and it is written under the lock that the
//! invalidation's callback takes. Not modelled: the time limit of the loop
//! (HMM_RANGE_DEFAULT_TIMEOUT), faults of several pages at once, prefetch.

use super::errno::{EAGAIN, EFAULT};
use super::fault::Fault;
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Page;
use crate::kernel::world::machine::{IntervalSub, RegionState, Xlat};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{MmState, Pte};
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::plan::DeviceKind;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::view::Sequence;
use crate::kernel::world::{Lock, Mm, Region, RegionPage, VPage, World};

/// What a fault is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    at: RegionPage,
    /// A translation for writing is asked for.
    write: bool,
}

impl Target {
    fn region(self, w: &World) -> Region {
        w.map.region_of(self.at)
    }

    /// The virtual page; none if the region has shrunk or gone meanwhile.
    fn vpage(self, w: &World) -> Option<VPage> {
        let region = self.region(w);
        w.get::<RegionState>(region).vpage(self.at.0 - w.map.region_page(region, 0).0)
    }

    /// The interval's sequence has moved on since it was read.
    fn collided(self, w: &World, seq: Sequence) -> bool {
        w.get::<IntervalSub>(self.region(w)).seq() != seq.value
    }

    fn umem_lock(self, w: &World) -> Lock {
        w.map.umem_lock(w.map.device_of(self.region(w)))
    }
}

/// The fault handler of a device with a notifier. Returns 0 (look again) or -EFAULT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DeviceFault {
    /// S1 `mmu_interval_read_begin`: reads the sequence under the subscriptions' spinlock.
    ReadBegin(Target),
    /// S1, the interval is being invalidated: sleeps until the invalidation has ended.
    AwaitEnd {
        /// What.
        target: Target,
        /// The address space.
        mm: Mm,
        /// The sequence that was read.
        seq: Sequence,
    },
    /// S2 `mmap_read_lock`.
    MmapLock {
        /// What.
        target: Target,
        /// The virtual page.
        vpage: VPage,
        /// The sequence that was read.
        seq: Sequence,
    },
    /// S2 `hmm_range_fault`: one round of its loop, which looks for a collision and then reads
    /// the PTE.
    Walk {
        /// What.
        target: Target,
        /// The virtual page.
        vpage: VPage,
        /// The sequence that was read.
        seq: Sequence,
    },
    /// `handle_mm_fault` has failed: unlocks and gives up.
    Fail(VPage),
    /// S3 `mutex_lock(umem_mutex)`, S4 `mmu_interval_read_retry`.
    UmemLock {
        /// What.
        target: Target,
        /// The page that the PTE mapped; nobody holds a reference.
        page: Page,
        /// The sequence that was read.
        seq: Sequence,
    },
    /// S5 writes the translation (`mlx5r_umr_update_xlt`), unlocks.
    Update {
        /// What.
        target: Target,
        /// The page that the PTE mapped.
        page: Page,
    },
}

impl DeviceFault {
    /// A fault on a page of a region. An RDMA NIC asks for what the region was registered for
    /// (`pagefault_real_mr`: `if (odp->umem.writable)`), a GPU for what the access needs.
    pub fn new(at: RegionPage, write: bool) -> DeviceFault {
        DeviceFault::ReadBegin(Target { at, write })
    }
}

impl Machine for DeviceFault {
    fn need(self, cx: &Scene) -> Need {
        match self {
            DeviceFault::AwaitEnd { mm, seq, .. } if cx.strategy.keeps(Guard::OdpAwaitEnd) => {
                Need::SeqPassed(mm, seq.value)
            }
            DeviceFault::MmapLock { vpage, .. } => Need::Lock(mmap_lock(cx.w, vpage), Mode::Shared),
            DeviceFault::UmemLock { target, .. } => {
                Need::Lock(target.umem_lock(cx.w), Mode::Exclusive)
            }
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self {
            DeviceFault::ReadBegin(_) => Label::new("S1", "mmu_interval_read_begin", Cost::Fault),
            DeviceFault::AwaitEnd { .. } => {
                Label::new("S1", "mmu_interval_read_begin: wait", Cost::Wake)
            }
            DeviceFault::MmapLock { .. } => Label::new("S2", "mmap_read_lock", Cost::Lock),
            DeviceFault::Walk { .. } => Label::new("S2", "hmm_range_fault", Cost::Walk),
            DeviceFault::Fail(_) => Label::new("S2", "mmap_read_unlock", Cost::Lock),
            DeviceFault::UmemLock { .. } => {
                Label::new("S3", "umem_mutex, mmu_interval_read_retry", Cost::Lock)
            }
            DeviceFault::Update { .. } => Label::new("S5", "mlx5r_umr_update_xlt", Cost::Command),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self {
            DeviceFault::ReadBegin(target) => read_begin(cx, target),
            // The sequence that was read is returned: it is the invalidation's, so that a second
            // invalidation is told from the first.
            DeviceFault::AwaitEnd { target, seq, .. } => enter(cx, target, seq),
            DeviceFault::MmapLock { target, vpage, seq } => {
                let (me, lock) = (cx.me, mmap_lock(cx, vpage));
                cx.lock(me, lock, Mode::Shared);
                DeviceFault::Walk { target, vpage, seq }.into()
            }
            DeviceFault::Walk { target, vpage, seq } => walk(cx, target, vpage, seq),
            DeviceFault::Fail(vpage) => {
                mmap_unlock(cx, vpage);
                Next::Return(-EFAULT)
            }
            DeviceFault::UmemLock { target, page, seq } => {
                let (me, lock) = (cx.me, target.umem_lock(cx));
                cx.lock(me, lock, Mode::Exclusive);
                if target.collided(cx, seq) && cx.strategy.keeps(Guard::OdpRetry) {
                    cx.unlock(me, lock);
                    return DeviceFault::ReadBegin(target).into();
                }
                DeviceFault::Update { target, page }.into()
            }
            DeviceFault::Update { target, page } => update(cx, target, page),
        }
    }

    /// `handle_mm_fault` has returned.
    fn resume(self, _cx: &mut Step, ret: Ret) -> Next {
        let DeviceFault::Walk { target, vpage, seq } = self else { return self.into() };
        match -ret {
            // VM_FAULT_RETRY: mmap_lock was dropped.
            EAGAIN => DeviceFault::MmapLock { target, vpage, seq }.into(),
            e if e > 0 => DeviceFault::Fail(vpage).into(),
            _ => self.into(),
        }
    }
}

fn mmap_lock(w: &World, vpage: VPage) -> Lock {
    w.map.mmap_lock(w.map.mm_of(vpage))
}

fn mmap_unlock(cx: &mut Step, vpage: VPage) {
    let (me, lock) = (cx.me, mmap_lock(cx, vpage));
    cx.unlock(me, lock);
}

fn read_begin(cx: &mut Step, mut target: Target) -> Next {
    let region = target.region(cx);
    let Some(vpage) = target.vpage(cx) else { return Next::Return(-EFAULT) };
    if cx.map.device_kind(region) == DeviceKind::OdpNic {
        target.write = cx.get::<RegionState>(region).write();
    }
    let mm = cx.map.mm_of(vpage);
    let value = cx.get::<IntervalSub>(region).seq();
    let seq = Sequence { mm, value };
    if value == cx.get::<MmState>(mm).invalidate_seq() {
        return DeviceFault::AwaitEnd { target, mm, seq }.into();
    }
    DeviceFault::MmapLock { target, vpage, seq }.into()
}

fn enter(cx: &Step, target: Target, seq: Sequence) -> Next {
    match target.vpage(cx) {
        Some(vpage) => DeviceFault::MmapLock { target, vpage, seq }.into(),
        None => Next::Return(-EFAULT),
    }
}

/// One round of `hmm_range_fault`: -EBUSY if an invalidation has come in between, else the PTE is
/// read; if it does not allow the access, the fault is handled and the walk done again. A
/// writable PTE has been through page_mkwrite, and is what makes the device's writes legal. The
/// zero page is a page like any other here (`hmm_vma_handle_pte`).
fn walk(cx: &mut Step, target: Target, vpage: VPage, seq: Sequence) -> Next {
    if target.collided(cx, seq) {
        mmap_unlock(cx, vpage);
        return DeviceFault::ReadBegin(target).into();
    }
    let pte = cx.get::<Pte>(vpage);
    let page = pte.frame().filter(|&f| pte.present() && (!pte.special() || f == ZERO_PAGE));
    match page {
        Some(frame) if pte.writable() || !target.write => {
            let page = cx.page(frame);
            mmap_unlock(cx, vpage);
            DeviceFault::UmemLock { target, page, seq }.into()
        }
        _ => call(Fault::locked(vpage, target.write), DeviceFault::Walk { target, vpage, seq }),
    }
}

/// Under umem_mutex, with the sequence unchanged: the callback of any invalidation that has begun
/// meanwhile waits for the mutex and will find the entry.
fn update(cx: &mut Step, target: Target, page: Page) -> Next {
    let (me, lock) = (cx.me, target.umem_lock(cx));
    let usable = cx.get::<RegionState>(target.region(cx)).usable();
    if usable {
        // Transfers that still hold the entry that this one replaces go on holding it.
        cx.update::<Xlat>(target.at, |x| Xlat::to(page, target.write).with_busy(x.busy()));
    }
    cx.unlock(me, lock);
    Next::Return(if usable { 0 } else { -EFAULT })
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::engine::model::{Ending, Model};
    use crate::kernel::sim::Sim;
    use crate::kernel::strategy::{Notifier, Strategy};
    use crate::kernel::world::facts::Fact;
    use crate::kernel::world::objects::OpValue;
    use crate::kernel::world::plan::{Advice, Backing, Op, Plan, Populate, Role};
    use crate::kernel::world::{Actor, Contents, Frame, OpId};

    const ENTRY: RegionPage = RegionPage(0);

    /// A user who registers, a device that writes, another user who zaps the page.
    fn contended(kind: DeviceKind) -> (Plan, OpId) {
        let mut plan = device_machine(kind, 1);
        thread(&mut plan, &[register(1)]);
        let write = nic(&mut plan, &[Op::DmaWrite { region: MR, page: 0 }]);
        let zap = Op::Madvise { first: VPage(0), pages: 1, advice: Advice::DontNeed };
        thread_of(&mut plan, "zapper", Role::User(Mm(0)), &[zap]);
        (plan, write)
    }

    fn with(notifier: Notifier) -> Strategy {
        Strategy { notifier, ..strategy() }
    }

    /// Whether the step stated that the range had been started while the device could still
    /// translate, or wrote through a translation that the page table no longer has.
    fn stale(sim: &Sim) -> bool {
        let started = |f: &Fact| matches!(f, Fact::RangeStarted { .. });
        let entry = sim.world.get::<Xlat>(ENTRY);
        sim.world.facts.iter().any(started) && (entry.valid() || entry.busy() > 0)
    }

    #[test]
    fn the_first_access_faults_the_page_in_and_keeps_no_reference() {
        let mut plan = device_machine(DeviceKind::OdpNic, 1);
        thread(&mut plan, &[register(1), deregister()]);
        let write = nic(&mut plan, &[Op::DmaWrite { region: MR, page: 0 }]);
        let mut sim = Sim::new(plan, strategy());
        sim.world.set_pte(VPage(0), Pte::new());
        sim.world.map_page(Frame(1), -1);
        let before = sim.world.counts(Frame(1));
        run_agent(&mut sim, 0, |sim| sim.world.get::<RegionState>(MR).usable());
        assert!(!sim.world.get::<Xlat>(ENTRY).valid(), "nothing is mapped by registering");
        run_agent(&mut sim, 1, |_| false);
        assert_eq!(result(&sim, write), Some(0));
        assert!(sim.world.get::<Xlat>(ENTRY).valid());
        let after = sim.world.counts(Frame(1));
        assert_eq!((after.refs(), after.maps()), (before.refs() + 1, before.maps() + 1));
        run_agent(&mut sim, 0, |_| false);
        assert_eq!(sim.world.get::<Xlat>(ENTRY), Xlat::new());
        assert_eq!(sim.ending(), Ending::Finished);
    }

    #[test]
    fn an_invalidation_in_between_makes_the_fault_start_again() {
        for kind in [DeviceKind::OdpNic, DeviceKind::Gpu] {
            let (plan, write) = contended(kind);
            let mut sim = Sim::new(plan, strategy());
            let (mut collided, mut waited) = (false, false);
            let (states, endings) = explore_moves(&mut sim, &mut |sim, _| {
                assert!(!stale(sim), "sync tears down before it returns");
                if let Some(super::super::Routine::DeviceFault(fault)) = sim.top(1) {
                    waited |= matches!(fault, DeviceFault::AwaitEnd { .. });
                    let DeviceFault::UmemLock { target, seq, .. } = fault else { return };
                    collided |= target.collided(&sim.world, *seq);
                }
                let entry = sim.world.get::<Xlat>(ENTRY);
                let pte = sim.world.get::<Pte>(VPage(0));
                let invalidating = sim.world.get::<MmState>(Mm(0)).invalidating() > 0;
                if entry.valid() && !invalidating {
                    assert_eq!(entry.page().map(|p| p.frame), pte.frame(), "mirrors the PTE");
                }
                if sim.ready() == 0 {
                    assert_eq!(result(sim, write), Some(0));
                }
            });
            assert!(collided && waited, "{states} states");
            assert_eq!(endings.into_iter().collect::<Vec<_>>(), [Ending::Finished]);
        }
    }

    #[test]
    fn a_late_teardown_leaves_the_device_translating_after_the_callback() {
        let (plan, _) = contended(DeviceKind::OdpNic);
        let mut sim = Sim::new(plan, with(Notifier::Late));
        let (mut seen, mut torn_down) = (false, false);
        let (_, endings) = explore_moves(&mut sim, &mut |sim, by| {
            seen |= stale(sim);
            let entry = sim.world.get::<Xlat>(ENTRY);
            let late =
                by.is_some_and(|mv| sim.world.map.teardown_region(Actor(mv.agent)).is_some());
            torn_down |= late && entry == Xlat::new();
            if sim.ready() == 0 {
                assert!(!entry.doomed(), "what was left to do is done at the end");
            }
        });
        assert!(seen && torn_down);
        assert_eq!(endings.into_iter().collect::<Vec<_>>(), [Ending::Finished]);
    }

    #[test]
    fn a_device_that_is_never_told_keeps_its_translation() {
        let (plan, _) = contended(DeviceKind::OdpNic);
        let mut sim = Sim::new(plan, with(Notifier::None));
        let mut seen = false;
        explore_moves(&mut sim, &mut |sim, _| seen |= stale(sim));
        assert!(seen);
    }

    #[test]
    fn a_zap_that_fails_for_want_of_memory_is_not_noticed() {
        for (enomem, expected) in [(0, false), (1, true)] {
            let (mut plan, _) = contended(DeviceKind::OdpNic);
            plan.faults.enomem = enomem;
            let mut sim = Sim::new(plan, with(Notifier::MayFail));
            let (mut seen, mut leaked) = (false, false);
            let (_, endings) = explore_moves(&mut sim, &mut |sim, _| {
                seen |= stale(sim);
                leaked |= sim.world.get::<Xlat>(ENTRY).leaked();
            });
            assert_eq!((seen, leaked), (expected, expected), "with {enomem} failures");
            assert_eq!(endings.into_iter().collect::<Vec<_>>(), [Ending::Finished]);
        }
    }

    #[test]
    fn deregistering_waits_for_transfers_and_fault_handlers() {
        let mut plan = device_machine(DeviceKind::OdpNic, 1);
        let reg = thread(&mut plan, &[register(1), deregister(), register(1)]);
        nic(&mut plan, &[Op::DmaWrite { region: MR, page: 0 }]);
        let zap = Op::Madvise { first: VPage(0), pages: 1, advice: Advice::DontNeed };
        thread_of(&mut plan, "zapper", Role::User(Mm(0)), &[zap]);
        let mut sim = Sim::new(plan, strategy());
        let (_, endings) = explore_moves(&mut sim, &mut |sim, _| {
            assert!(!stale(sim));
            if result(sim, reg.plus(1)).is_some() && result(sim, reg.plus(2)).is_none() {
                assert_eq!(sim.world.get::<RegionState>(MR).in_flight(), 0);
                assert_eq!(sim.world.get::<Xlat>(ENTRY), Xlat::new());
                let in_fault = |r| matches!(r, super::super::Routine::DeviceFault(_));
                assert!(!sim.stack(1).any(in_fault), "no handler is left behind");
            }
        });
        assert_eq!(endings.into_iter().collect::<Vec<_>>(), [Ending::Finished]);
    }

    #[test]
    fn a_device_reads_memory_that_has_never_been_written_as_zeroes() {
        for kind in [DeviceKind::OdpNic, DeviceKind::Gpu] {
            let mut plan = device_machine(kind, 1);
            plan.vmas[0].backing = Backing::Anon;
            (plan.vmas[0].shared, plan.vmas[0].populate) = (false, Populate::None);
            thread(&mut plan, &[register(1)]);
            let read = nic(&mut plan, &[Op::DmaRead { region: MR, page: 0 }]);
            let mut sim = Sim::new(plan, strategy());
            assert_eq!(run(&mut sim), Ending::Finished, "{kind:?}");
            assert_eq!(result(&sim, read), Some(0));
            assert_eq!(sim.world.get::<OpValue>(read).0, Contents::ZERO);
        }
    }

    #[test]
    fn two_queues_and_two_zaps_find_no_way_around_a_synchronous_teardown() {
        let mut plan = device_machine(DeviceKind::OdpNic, 1);
        thread(&mut plan, &[register(1)]);
        nic(&mut plan, &[Op::DmaWrite { region: MR, page: 0 }]);
        nic(&mut plan, &[Op::DmaRead { region: MR, page: 0 }]);
        let zap = Op::Madvise { first: VPage(0), pages: 1, advice: Advice::DontNeed };
        thread_of(&mut plan, "zapper", Role::User(Mm(0)), &[zap, zap]);
        let mut sim = Sim::new(plan, strategy());
        let mut both = false;
        let (states, endings) = explore_moves(&mut sim, &mut |sim, _| {
            assert!(!stale(sim));
            both |= sim.world.get::<Xlat>(ENTRY).busy() == 2;
        });
        assert!(both, "the queues hold the translation at once");
        assert_eq!(endings.into_iter().collect::<Vec<_>>(), [Ending::Finished], "{states}");
    }
}
