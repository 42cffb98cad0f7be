//! What truncate and punch do about pages in use, beyond waiting.

use super::errno::{EBUSY, ECANCELED, EFAULT};
use super::testkit::*;
use crate::engine::model::{Ending, Props};
use crate::kernel::sim::Sim;
use crate::kernel::strategy::{Longterm, Strategy, Truncate};
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::*;
use crate::kernel::world::price::Price;
use crate::kernel::world::*;

const CUT: Op = Op::Truncate { file: File(0), size: 0 };
const WRITE: Op = Op::DmaWrite { region: MR, page: 0 };

/// The present design, with long-term pins allowed and another answer of truncate.
fn page_cache(truncate: Truncate) -> Strategy {
    Strategy { truncate, longterm: Longterm::Allow, ..strategy() }
}

fn dax(truncate_dax: Truncate) -> Strategy {
    Strategy { truncate_dax, ..preset("linux-4.14") }
}

/// A NIC writes to a region while its file is truncated; gives the write.
fn transfer_meets_cut(spoil: impl Fn(&mut DevicePlan)) -> (Plan, OpId) {
    let mut plan = device_machine(DeviceKind::Nic, 1);
    spoil(&mut plan.devices[0]);
    thread(&mut plan, &[CUT]);
    let write = nic(&mut plan, &[WRITE]);
    thread(&mut plan, &[register(1)]);
    (plan, write)
}

/// Registers, begins the transfer and writes the first half, cuts the file, goes on.
fn cut_amid_transfer(strategy: Strategy, spoil: impl Fn(&mut DevicePlan)) -> (Sim, OpId) {
    let (plan, write) = transfer_meets_cut(spoil);
    let mut sim = Sim::new(plan, strategy);
    run_agent(&mut sim, 2, |_| false);
    run_until(&mut sim, 1, "DMA: write second half");
    run_agent(&mut sim, 0, |_| false);
    run_agent(&mut sim, 1, |_| false);
    (sim, write)
}

fn region(sim: &Sim) -> RegionUse {
    sim.world.get::<RegionState>(MR).state()
}

#[test]
fn a_redirected_page_is_given_back_when_the_transfer_that_holds_it_has_ended() {
    let (mut sim, write) = cut_amid_transfer(page_cache(Truncate::CrappyPage), |_| {});
    assert_eq!(result(&sim, write), Some(0), "what had begun ends well");
    let entry = sim.world.get::<Xlat>(RegionPage(0));
    assert!(entry.valid() && entry.crappy() && entry.told());
    assert_eq!(sim.world.prices.get(Price::Redirected), 1);
    run_agent(&mut sim, 0, |_| false);
    assert_eq!(sim.world.get::<Size>(File(0)).bytes(), 0);
    assert!(sim.world.get::<Flags>(Frame(1)).free(), "no pin keeps the page");
}

#[test]
fn a_terminated_region_ends_the_transfer_under_way() {
    let (sim, write) = cut_amid_transfer(page_cache(Truncate::Terminate), |_| {});
    assert_eq!(result(&sim, write), Some(-ECANCELED));
    assert_eq!((region(&sim), sim.world.prices.get(Price::KilledTransfers)), {
        (RegionUse::Terminated, 1)
    });
}

#[test]
fn the_iommu_stops_a_transfer_at_once_and_the_device_survives_or_not() {
    for (survives, left) in [(true, RegionUse::Registered), (false, RegionUse::Terminated)] {
        let design = page_cache(Truncate::IommuFault);
        let (sim, write) = cut_amid_transfer(design, |d| d.survives_faults = survives);
        assert_eq!(result(&sim, write), Some(-EFAULT));
        assert_eq!(region(&sim), left);
        assert!(sim.world.get::<Flags>(Frame(1)).free(), "nobody is waited for");
    }
}

#[test]
fn a_device_that_cannot_do_what_is_asked_of_it_is_lost() {
    for (design, spoil) in [
        (Truncate::CrappyPage, (|d| d.redirects = false) as fn(&mut DevicePlan)),
        (Truncate::Terminate, |d| d.terminates = false),
    ] {
        let (sim, write) = cut_amid_transfer(page_cache(design), spoil);
        assert_eq!(result(&sim, write), Some(-ECANCELED), "{design:?}");
        assert_eq!(region(&sim), RegionUse::Terminated);
    }
}

#[test]
fn whatever_takes_pages_back_leaves_the_counts_right_in_every_interleaving() {
    for design in [Truncate::CrappyPage, Truncate::Terminate, Truncate::IommuFault, Truncate::Lease]
    {
        let mut plan = device_machine(DeviceKind::Nic, 1);
        let cut = thread(&mut plan, &[CUT]);
        nic(&mut plan, &[WRITE]);
        thread(&mut plan, &[register(1), deregister()]);
        let mut sim = Sim::new(plan, page_cache(design));
        let states = explore(&mut sim, |sim| {
            assert_eq!(result(sim, cut), Some(0), "{design:?}");
            assert_balanced(&sim.world);
        });
        assert!(states > 500, "{states}");
    }
}

#[test]
fn a_truncate_that_does_not_wait_fails_and_leaves_the_file_alone() {
    let (sim, _) = cut_amid_transfer(page_cache(Truncate::Fail), |_| {});
    assert_eq!(sim.world.get::<Size>(File(0)).bytes(), 4096);
    assert!(sim.world.cached(FilePage(0)).is_some());
    assert_eq!(sim.world.prices.get(Price::FailedCalls), 1);
    let failed = (1..sim.world.map.plan.ops()).map(OpId);
    assert!(failed.filter_map(|op| result(&sim, op)).any(|ret| ret == -EBUSY));
}

/// A page of a DAX file is pinned, the file is cut, and a release follows in this context.
fn busy_extent(context: Context, workers: u32) -> (Sim, Slot) {
    let mut kit = Kit::new();
    let data = kit.file(FsKind::Dax, &[InitPage::Clean]);
    kit.plan.workers = workers;
    kit.map(Backing::File { file: data, first: 0 }, true, 1);
    let slot = kit.slot(1);
    let release = Op::Unpin { slot, dirty: false, how: None, context };
    kit.thread(Mm(0), &[pin(VPage(0), 1, slot, true, PinCall::PinFast), CUT, release]);
    let mut sim = kit.sim_with(dax(Truncate::BusyExtents));
    run_until(
        &mut sim,
        0,
        match context {
            Context::Irq => "irq_enter: completion",
            Context::Worker => "queue_work: unpin",
            Context::Process => "unpin_user_pages",
        },
    );
    (sim, slot)
}

fn blocks(sim: &Sim, state: BlockUse) -> usize {
    let all = (0..sim.world.map.blocks()).map(Block);
    all.filter(|&b| sim.world.get::<BlockState>(b).state() == state).count()
}

#[test]
fn a_block_in_use_is_on_the_list_until_the_last_reference_is_gone() {
    for (context, workers) in [(Context::Process, 0), (Context::Irq, 0), (Context::Irq, 1)] {
        let (mut sim, _) = busy_extent(context, workers);
        let free = blocks(&sim, BlockUse::Free);
        assert_eq!(blocks(&sim, BlockUse::Busy), 1);
        assert_eq!(sim.world.get::<FileState>(File(0)).busy(), 1);
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!((blocks(&sim, BlockUse::Busy), blocks(&sim, BlockUse::Free)), (0, free + 1));
        assert_eq!(sim.world.get::<FileState>(File(0)).busy(), 0);
        let atomic = u64::from(context == Context::Irq);
        assert_eq!(sim.world.prices.get(Price::AtomicCallbacks), atomic, "{context:?} {workers}");
    }
}

#[test]
fn a_page_that_nobody_uses_leaves_no_busy_extent() {
    let mut plan = machine(FsKind::Dax, DiskKind::Pmem, &[InitPage::Clean], Populate::Write);
    thread(&mut plan, &[CUT]);
    let mut sim = Sim::new(plan, dax(Truncate::BusyExtents));
    run(&mut sim);
    assert_eq!(blocks(&sim, BlockUse::Busy), 0);
}

/// Two files whose pages hash to one wait queue, or not, are truncated while pinned; gives the
/// wakes, and the false ones.
fn wakes(pages_between: usize) -> (u64, u64) {
    let mut kit = Kit::new();
    let first = kit.file(FsKind::Dax, &[InitPage::Clean]);
    kit.file(FsKind::Dax, &vec![InitPage::Clean; pages_between]);
    let last = kit.file(FsKind::Dax, &[InitPage::Clean]);
    let mut slots = Vec::new();
    for file in [first, last] {
        let at = kit.map(Backing::File { file, first: 0 }, true, 1);
        let slot = kit.slot(1);
        slots.push(kit.plan.threads.len() as u32);
        kit.thread(Mm(0), &[pin(at, 1, slot, true, PinCall::PinFast), unpin(slot, false)]);
    }
    for file in [first, last] {
        kit.thread(Mm(0), &[Op::Truncate { file, size: 0 }]);
    }
    let mut sim = kit.sim_with(dax(Truncate::WaitFlag));
    for &agent in &slots {
        run_until(&mut sim, agent, "unpin_user_pages");
    }
    run_agent(&mut sim, 2, |_| false);
    run_agent(&mut sim, 3, |_| false);
    assert_eq!(run(&mut sim), Ending::Finished);
    (sim.world.prices.get(Price::Wakes), sim.world.prices.get(Price::FalseWakes))
}

#[test]
fn waiters_that_share_a_wait_queue_are_woken_for_each_other() {
    assert_eq!(wakes(1), (2, 0));
    assert_eq!(wakes(3), (3, 1), "four pages apart");
}

#[test]
fn a_device_closed_to_new_references_is_open_again_afterwards() {
    let mut kit = Kit::new();
    let data = kit.file(FsKind::Dax, &[InitPage::Clean]);
    let other = kit.file(FsKind::Dax, &[InitPage::Clean]);
    let at = kit.map(Backing::File { file: data, first: 0 }, true, 1);
    let theirs = kit.map(Backing::File { file: other, first: 0 }, true, 1);
    let (a, b) = (kit.slot(1), kit.slot(1));
    kit.thread(Mm(0), &[pin(at, 1, a, true, PinCall::PinFast), unpin(a, false)]);
    let second = pin(theirs, 1, b, true, PinCall::PinFast);
    let refused = kit.thread(Mm(0), &[second, second]);
    kit.thread(Mm(0), &[CUT]);
    let mut sim = kit.sim_with(dax(Truncate::WaitPgmap));
    run_until(&mut sim, 0, "unpin_user_pages");
    run_agent(&mut sim, 2, |_| false);
    run_agent(&mut sim, 1, |sim| result(sim, refused).is_some());
    assert_eq!(result(&sim, refused), Some(-EBUSY));
    assert_eq!(sim.world.prices.get(Price::RefusedPins), 1);
    assert!(sim.world.prices.get(Price::PgmapLookups) > 0);
    run_agent(&mut sim, 0, |_| false);
    run_agent(&mut sim, 2, |_| false);
    run_agent(&mut sim, 1, |_| false);
    assert_eq!(result(&sim, refused.plus(1)), Some(1));
    assert_eq!(sim.world.get::<DiskState>(Disk(0)).closed(), 0);
}

/// What follows is written, leaves the page cache, and is found again one page before.
#[test]
fn a_collapse_moves_what_follows_and_forgets_none_of_it() {
    for fs in [FsKind::Ext4, FsKind::Xfs] {
        let pages = [InitPage::Clean, InitPage::Dirty, InitPage::Clean];
        let mut plan = machine(fs, plain_disk(), &pages, Populate::Read);
        let collapse = Op::CollapseRange { first: FilePage(0), pages: 1 };
        thread(&mut plan, &[collapse, Op::Load { at: VPage(0) }, Op::Load { at: VPage(1) }]);
        let mut sim = Sim::new(plan, strategy());
        let second = in_cache(&sim, 1);
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(sim.verdict(), Props::NONE, "{fs:?}: {:?}", sim.findings());
        let newest = |n| Some(sim.world.get::<Newest>(FilePage(n)).0);
        assert_eq!((in_cache(&sim, 0), newest(0)), (second, second));
        assert_eq!((in_cache(&sim, 1), newest(2)), (newest(1), Some(Contents::ZERO)));
        assert_eq!(sim.world.get::<Size>(File(0)).bytes(), 2 * u64::from(PAGE_SIZE));
    }
}

/// `end_bbio_data_read`
#[test]
fn btrfs_zeroes_what_it_reads_beyond_the_end_of_a_file() {
    let mut plan = machine(FsKind::Btrfs, plain_disk(), &[InitPage::Cold], Populate::None);
    let size = 100;
    thread(&mut plan, &[Op::Truncate { file: File(0), size }, Op::Load { at: VPage(0) }]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    assert_eq!(run(&mut sim), Ending::Finished);
    let shown = in_cache(&sim, 0).unwrap();
    assert_eq!(sim.world.patches.at(shown, 100), Contents::ZERO);
    assert_ne!(sim.world.patches.at(shown, 99), Contents::ZERO);
    assert_eq!(sim.verdict(), Props::NONE);
}

/// `block_read_full_folio`: the buffer that was zeroed is uptodate, though its folio is not.
#[test]
fn what_was_zeroed_is_not_read_again_while_it_is_being_written() {
    let mut plan = machine(FsKind::Ext4, plain_disk(), &[InitPage::Cold], Populate::None);
    let punch = Op::PunchPart { first: FilePage(0), pages: 1, from: 100, to: 300 };
    thread(&mut plan, &[punch]);
    let mode = SyncMode::Cleaning;
    thread(&mut plan, &[Op::Writeback { file: File(0), mode }]);
    thread(&mut plan, &[Op::Load { at: VPage(0) }]);
    let mut sim = Sim::new(plan, strategy());
    run_agent(&mut sim, 0, |_| false);
    run_until(&mut sim, 1, "submit_bio");
    run_agent(&mut sim, 2, |_| false);
    assert_eq!(run(&mut sim), Ending::Finished);
    let shown = in_cache(&sim, 0).unwrap();
    assert_eq!(sim.world.patches.at(shown, 100), Contents::ZERO);
    assert_eq!((Some(on_disk(&sim, 0)), sim.verdict()), (Some(shown), Props::NONE));
}
