//! What writeback, the disk and the sync calls have to do, each rule in a small machine.

use super::disk::set_error;
use super::errno::{EIO, ENOSPC};
use super::routine::Routine;
use super::testkit::*;
use crate::engine::model::{Ending, Model, Timed};
use crate::kernel::sim::{Move, Sim};
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

const FSYNC: Op = Op::Fsync { file: File(0), data_only: false };
const PAGE: FilePage = FilePage(0);

fn dirty(fs: FsKind) -> Plan {
    machine(fs, plain_disk(), &[InitPage::Dirty], Populate::Write)
}

fn flusher(mode: SyncMode) -> Op {
    Op::Writeback { file: File(0), mode }
}

fn flags(sim: &Sim) -> Flags {
    sim.world.cached(PAGE).map(|f| sim.world.flags(f)).unwrap_or_default()
}

#[test]
fn a_machine_fits_into_40_bytes() {
    assert!(size_of::<Routine>() <= 40, "{}", size_of::<Routine>());
}

#[test]
fn fsync_makes_the_disk_equal_the_cache_and_cleans_page_and_ptes() {
    for fs in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
        let mut plan = machine(fs, plain_disk(), &[InitPage::Dirty; 2], Populate::Write);
        let fsync = thread(&mut plan, &[FSYNC]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        assert_ne!(Some(on_disk(&sim, 1)), in_cache(&sim, 1));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(result(&sim, fsync), Some(0));
        for n in 0..2 {
            let (page, pte) = (FilePage(n), sim.world.get::<Pte>(VPage(n)));
            assert_eq!(Some(on_disk(&sim, n)), in_cache(&sim, n));
            assert_eq!(sim.world.get::<Promised>(page).0, on_disk(&sim, n));
            let flags = sim.world.flags(sim.world.cached(page).unwrap());
            assert!(!flags.dirty() && !flags.writeback());
            assert!(pte.present() && !pte.writable() && !pte.dirty() && !pte.stale());
            let slot = sim.world.get::<CacheSlot>(page);
            assert!(!slot.tag_dirty() && !slot.tag_towrite() && !slot.tag_writeback());
        }
    }
}

#[test]
fn every_interleaving_of_two_fsyncs_and_a_flusher_ends_with_the_data_on_disk() {
    let mut plan = dirty(FsKind::Ext4);
    let a = thread(&mut plan, &[FSYNC]);
    let b = thread(&mut plan, &[FSYNC]);
    thread(&mut plan, &[flusher(SyncMode::Cleaning)]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let (start, mut ends) = (sim.fingerprint(), 0);
    let states = explore(&mut sim, |s| {
        ends += 1;
        assert_eq!(s.ending(), Ending::Finished);
        assert_eq!((result(s, a), result(s, b)), (Some(0), Some(0)));
        assert_eq!(Some(on_disk(s, 0)), in_cache(s, 0));
        let frame = s.world.cached(PAGE).unwrap();
        assert_eq!(s.world.get::<Holders>(frame).refs(), 0, "a reference leaks");
        assert_eq!(s.world.folio_locked_by(frame), None);
        assert_eq!(s.world.get::<DiskState>(Disk(0)).in_flight(), 0);
    });
    assert!(ends > 0 && states > 500, "{states} states");
    assert_eq!(sim.fingerprint(), start);
}

#[test]
fn cleaning_skips_a_page_under_writeback_and_integrity_waits_for_it() {
    for (mode, ending_left_dirty) in [(SyncMode::Cleaning, true), (SyncMode::Integrity, false)] {
        let mut plan = dirty(FsKind::Ext4);
        thread(&mut plan, &[flusher(SyncMode::Cleaning)]);
        let second = thread(&mut plan, &[flusher(mode)]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        // The first flusher alone, until it has set PG_writeback and let the folio go.
        let mut moves = Vec::new();
        while !(flags(&sim).writeback() && sim.world.get::<DiskState>(Disk(0)).in_flight() == 1) {
            sim.moves(&mut moves);
            sim.apply(moves[0]);
        }
        let frame = sim.world.cached(PAGE).unwrap();
        sim.world.mark_dirty(frame);
        // Now the second, as far as it goes without the disk.
        loop {
            sim.moves(&mut moves);
            match moves.iter().find(|m| m.agent == 1) {
                Some(&mv) => sim.apply(mv),
                None => break,
            };
        }
        assert!(flags(&sim).dirty());
        assert_eq!(result(&sim, second).is_some(), mode == SyncMode::Cleaning);
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(flags(&sim).dirty(), ending_left_dirty);
    }
}

#[test]
fn a_failed_write_is_reported_once_and_the_old_data_stays_on_disk() {
    let mut plan = dirty(FsKind::Ext4);
    plan.faults.io_errors = 1;
    let first = thread(&mut plan, &[FSYNC, FSYNC]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let old = on_disk(&sim, 0);
    let (mut failed, mut fine) = (0, 0);
    explore(&mut sim, |s| {
        assert_eq!(result(s, first.plus(1)), Some(0));
        assert!(!flags(s).dirty() && flags(s).uptodate(), "G40: clean, and still the new data");
        match result(s, first) {
            Some(0) => fine += usize::from(Some(on_disk(s, 0)) == in_cache(s, 0)),
            ret => {
                assert_eq!(ret, Some(-EIO));
                assert_eq!(on_disk(s, 0), old);
                failed += 1;
            }
        }
    });
    assert!(failed > 0 && fine > 0);
}

#[test]
fn delayed_allocation_on_a_full_disk_loses_the_page_and_fsync_says_so_once() {
    let mut plan = machine(FsKind::Ext4, plain_disk(), &[InitPage::Hole], Populate::None);
    plan.disks[0].spare_blocks = 0;
    let write = Op::Write { at: PAGE, part: WHOLE };
    let first = thread(&mut plan, &[write, FSYNC, FSYNC]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(result(&sim, first.plus(1)), Some(-ENOSPC));
    assert_eq!(result(&sim, first.plus(2)), Some(0));
    assert!(!flags(&sim).dirty());
    assert_eq!(sim.verdict().0, 0, "lost, and on record: {:?}", sim.findings());
}

#[test]
fn a_volatile_cache_is_durable_only_after_fsync_has_flushed_it() {
    let disk = match plain_disk() {
        DiskKind::Block { checksum, stable_writes, queue_depth, .. } => {
            DiskKind::Block { checksum, stable_writes, queue_depth, volatile_cache: true }
        }
        pmem => pmem,
    };
    let run_with = |op: Op| {
        let mut plan = machine(FsKind::Ext4, disk, &[InitPage::Dirty], Populate::None);
        thread(&mut plan, &[op]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        run(&mut sim);
        let block = sim.world.get::<Extent>(PAGE).block().unwrap();
        assert_eq!(Some(on_disk(&sim, 0)), in_cache(&sim, 0));
        (sim.world.durable_contents(block), sim.world.block_contents(block))
    };
    let flags = SfrFlags { wait_before: true, write: true, wait_after: true };
    let (durable, returned) = run_with(FSYNC);
    assert_eq!(durable, returned);
    let (durable, returned) = run_with(Op::SyncFileRange { file: File(0), flags });
    assert_ne!(durable, returned, "sync_file_range flushes no disk cache");
}

#[test]
fn btrfs_writes_to_a_new_block_and_frees_the_old_one() {
    let mut plan = dirty(FsKind::Btrfs);
    thread(&mut plan, &[FSYNC]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let old = sim.world.get::<Extent>(PAGE).block().unwrap();
    run(&mut sim);
    let new = sim.world.get::<Extent>(PAGE).block().unwrap();
    assert_ne!(old, new);
    assert_eq!(sim.world.get::<BlockState>(old).state(), BlockUse::Free);
    assert_eq!(sim.world.block_owner(new), Some(PAGE));
}

#[test]
fn btrfs_does_not_write_a_page_that_was_dirtied_behind_its_back() {
    let mut plan = dirty(FsKind::Btrfs);
    let fsync = thread(&mut plan, &[FSYNC]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let frame = sim.world.cached(PAGE).unwrap();
    sim.world.change_flags(frame, |f| f.with_prepared(false));
    run(&mut sim);
    assert_eq!(result(&sim, fsync), Some(0));
    assert!(flags(&sim).dirty(), "kernel truth E13 on btrfs");
    assert_ne!(Some(on_disk(&sim, 0)), in_cache(&sim, 0));
}

/// fsync of a page of btrfs that was dirtied behind its back, with a worker that makes its steps
/// at once, or when fsync has returned.
fn behind_its_back(prompt: bool) -> Sim {
    let mut plan = dirty(FsKind::Btrfs);
    plan.workers = 1;
    let fsync = thread(&mut plan, &[FSYNC]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let frame = sim.world.cached(PAGE).unwrap();
    sim.world.change_flags(frame, |f| f.with_prepared(false));
    let worker = sim.world.map.worker_actor(Worker(0)).0;
    while result(&sim, fsync).is_none() {
        let agent = if prompt && sim.is_ready(worker) { worker } else { 0 };
        let agent = if sim.is_ready(agent) { agent } else { 1 };
        sim.apply(Move { agent, outcome: 0 });
    }
    assert_eq!(result(&sim, fsync), Some(0));
    sim
}

#[test]
fn btrfs_writes_a_page_dirtied_behind_its_back_if_the_worker_is_faster_than_the_second_pass() {
    let late = behind_its_back(false);
    assert!(flags(&late).dirty() && flags(&late).checked(), "kernel truth E13 on btrfs");
    assert_ne!(Some(on_disk(&late, 0)), in_cache(&late, 0));
    let prompt = behind_its_back(true);
    assert!(!flags(&prompt).dirty() && !flags(&prompt).checked(), "kernel truth: g12 on btrfs");
    assert_eq!(Some(on_disk(&prompt, 0)), in_cache(&prompt, 0));
}

#[test]
fn ext4_without_buffers_stops_the_machine_or_loses_the_data() {
    for (name, killed) in [("linux-4.19", true), ("linux-6.18", false)] {
        let mut plan = dirty(FsKind::Ext4);
        thread(&mut plan, &[FSYNC]);
        let mut sim = Sim::new(plan, preset(name));
        let frame = sim.world.cached(PAGE).unwrap();
        sim.world.strip_buffers(frame);
        run(&mut sim);
        let life = sim.world.get::<ActorState>(Actor(0)).life();
        assert_eq!(life == Life::Killed, killed);
        assert_eq!(sim.world.folio_locked_by(frame), killed.then_some(Actor(0)));
        assert_eq!(flags(&sim).dirty(), killed);
        assert_ne!(Some(on_disk(&sim, 0)), in_cache(&sim, 0));
    }
}

#[test]
fn a_checksumming_disk_refuses_a_page_that_changed_after_the_checksum() {
    let disk = DiskKind::Block {
        checksum: true,
        stable_writes: true,
        volatile_cache: false,
        queue_depth: 1,
    };
    let mut plan = machine(FsKind::Xfs, disk, &[InitPage::Dirty], Populate::None);
    let fsync = thread(&mut plan, &[FSYNC]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    run_while(&mut sim, |s| s.world.get::<Bio>(Tag(0)).step() != BioStep::Summed);
    let frame = sim.world.cached(PAGE).unwrap();
    let scribble = sim.world.fresh(frame, OpId(1), WHOLE, 0);
    sim.world.fill(frame, WHOLE, scribble);
    run(&mut sim);
    assert_eq!(result(&sim, fsync), Some(-EIO));
    assert_ne!(on_disk(&sim, 0), scribble);
}

#[test]
fn a_failure_to_write_older_contents_does_not_unsay_that_newer_ones_were_lost() {
    let mut plan = machine(FsKind::Xfs, plain_disk(), &[InitPage::Dirty], Populate::None);
    thread(&mut plan, &[FSYNC]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let (newest, old) = (in_cache(&sim, 0).unwrap(), on_disk(&sim, 0));
    set_error(&mut sim.world, PAGE, EIO, newest);
    set_error(&mut sim.world, PAGE, EIO, old);
    assert_eq!(sim.world.get::<Excused>(PAGE).0, newest);
    let newer = sim.world.fresh(sim.world.cached(PAGE).unwrap(), OpId(0), WHOLE, 0);
    sim.world.set(PAGE, Newest(newer));
    set_error(&mut sim.world, PAGE, EIO, newer);
    assert_eq!(sim.world.get::<Excused>(PAGE).0, newer);
}

#[test]
fn a_larger_folio_is_written_page_by_page_and_ends_its_writeback_once() {
    let mut plan = machine(FsKind::Xfs, plain_disk(), &[InitPage::Dirty; 4], Populate::Write);
    plan.files[0].folio_order = 2;
    plan.files[0].size -= 5000;
    let fsync = thread(&mut plan, &[FSYNC]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let beyond = on_disk(&sim, 3);
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(result(&sim, fsync), Some(0));
    assert!(!flags(&sim).writeback() && !flags(&sim).dirty());
    for n in 0..3 {
        assert_eq!(Some(on_disk(&sim, n)), in_cache(&sim, n));
    }
    assert_eq!(on_disk(&sim, 3), beyond, "a page beyond the end of the file is not written");
    assert!(on_disk(&sim, 2).is_patched(), "the tail of the last page is zeroed");
}

#[test]
fn a_range_that_begins_in_the_middle_of_a_folio_is_written_and_waited_for_with_all_of_it() {
    // Its tags are those of the folio, wherever a lookup comes in (xas_find_marked).
    for op in [
        Op::Punch { first: FilePage(1), pages: 1 },
        Op::DioRead { from: FilePage(1), into: VPage(0) },
    ] {
        let mut plan = machine(FsKind::Xfs, plain_disk(), &[InitPage::Dirty; 2], Populate::None);
        plan.files[0].folio_order = 1;
        plan.vmas[0] = VmaPlan { backing: Backing::Anon, shared: false, ..plan.vmas[0].clone() };
        thread(&mut plan, &[op]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        let cached = in_cache(&sim, 0);
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(Some(on_disk(&sim, 0)), cached, "{op:?}");
    }
}

#[test]
fn delayed_allocation_takes_a_block_in_writeback() {
    for fs in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
        let mut plan = dirty(fs);
        thread(&mut plan, &[FSYNC]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        sim.world.set(PAGE, Extent::new().with_kind(ExtentKind::Delalloc));
        assert_eq!(on_disk(&sim, 0), Contents::ZERO);
        run(&mut sim);
        assert_eq!(sim.world.get::<Extent>(PAGE).kind(), ExtentKind::Written);
        assert_eq!(Some(on_disk(&sim, 0)), in_cache(&sim, 0));
    }
}

#[test]
fn msync_async_and_waiting_alone_start_nothing() {
    let wait = SfrFlags { wait_before: false, write: false, wait_after: true };
    let idle =
        [Op::Msync { vma: Vma(0), sync: false }, Op::SyncFileRange { file: File(0), flags: wait }];
    let mut plan = dirty(FsKind::Ext4);
    let first = thread(&mut plan, &idle);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!((result(&sim, first), result(&sim, first.plus(1))), (Some(0), Some(0)));
    assert!(flags(&sim).dirty());
    let mut plan = dirty(FsKind::Ext4);
    thread(&mut plan, &[Op::Msync { vma: Vma(0), sync: true }]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    run(&mut sim);
    assert!(!flags(&sim).dirty());
}

#[test]
fn tmpfs_is_never_written_and_dax_is_write_protected() {
    let mut plan = dirty(FsKind::Tmpfs);
    thread(&mut plan, &[FSYNC]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    assert_eq!(run(&mut sim), Ending::Finished);
    assert!(sim.world.get::<Pte>(VPage(0)).dirty(), "kernel truth A13");

    for name in ["linux-4.19", "linux-6.18"] {
        let mut plan = machine(FsKind::Dax, DiskKind::Pmem, &[InitPage::Cold], Populate::Write);
        let fsync = thread(&mut plan, &[FSYNC]);
        let mut sim = Sim::new(plan, preset(name));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(result(&sim, fsync), Some(0));
        let (pte, slot) = (sim.world.get::<Pte>(VPage(0)), sim.world.get::<CacheSlot>(PAGE));
        assert!(pte.present() && !pte.writable() && !pte.dirty(), "kernel truth X03");
        assert!(!slot.tag_dirty() && !slot.tag_towrite() && !slot.dax_locked());
    }
}
