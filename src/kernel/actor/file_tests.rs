//! What read, write, direct I/O, reclaim, migration and reflink have to do, each rule in a small
//! machine.

use super::errno::{EAGAIN, EIO, EOPNOTSUPP};
use super::testkit::*;
use crate::engine::model::{Ending, Model};
use crate::kernel::sim::Sim;
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

const FSYNC: Op = Op::Fsync { file: File(0), data_only: false };
const CLEAN: Op = Op::Writeback { file: File(0), mode: SyncMode::Cleaning };
const PAGE: FilePage = FilePage(0);
const BYTES: i32 = PAGE_SIZE as i32;
const WRITE: Op = Op::Write { at: PAGE, part: WHOLE };

fn one(fs: FsKind, page: InitPage, populate: Populate) -> Plan {
    machine(fs, plain_disk(), &[page], populate)
}

fn stable_disk() -> DiskKind {
    DiskKind::Block { checksum: true, stable_writes: true, volatile_cache: false, queue_depth: 2 }
}

/// A second file, `from` on, of one page; gives that page.
fn second_file(plan: &mut Plan, page: InitPage) -> FilePage {
    let mut file = plan.files[0].clone();
    let at = FilePage(plan.file_pages());
    file.name = "other".into();
    (file.pages, file.size, file.capacity) = (vec![page], u64::from(PAGE_SIZE), 1);
    plan.files.push(file);
    at
}

fn frame(sim: &Sim) -> Frame {
    sim.world.cached(PAGE).expect("the page is cached")
}

fn author(contents: Contents) -> Option<OpId> {
    contents.version().map(|v| v.author)
}

/// Nothing leaks: no lock, no reference, no tag.
fn at_rest(sim: &Sim) {
    let w = &sim.world;
    for frame in (1..w.map.ram).map(Frame) {
        let (holders, flags) = (w.get::<Holders>(frame), w.get::<Flags>(frame));
        assert_eq!((holders.refs(), holders.pins()), (0, 0), "{frame:?}");
        assert_eq!(w.get::<FolioLock>(frame).owner(), 0);
        assert!(!flags.writeback());
        let held = i32::from(holders.cache() + holders.ptes()) + i32::from(holders.private());
        assert!(flags.free() || w.get::<Counts>(frame).refs() == held, "{frame:?}");
    }
    assert!((0..w.map.locks()).all(|l| w.get::<LockState>(Lock(l)) == LockState::new()));
    assert!(
        w.map
            .plan
            .disks
            .iter()
            .enumerate()
            .all(|(d, _)| { w.get::<DiskState>(Disk(d as u32)).in_flight() == 0 })
    );
    assert!(
        w.map
            .plan
            .files
            .iter()
            .enumerate()
            .all(|(f, _)| { w.get::<FileState>(File(f as u32)).dio_count() == 0 })
    );
}

#[test]
fn a_write_goes_into_the_mapped_page_and_fsync_saves_it() {
    for fs in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
        let mut plan = one(fs, InitPage::Clean, Populate::Read);
        let write = thread(&mut plan, &[WRITE, FSYNC]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        let before = frame(&sim);
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!((result(&sim, write), result(&sim, write.plus(1))), (Some(BYTES), Some(0)));
        assert_eq!(frame(&sim), before, "kernel truth A30");
        assert_eq!(author(on_disk(&sim, 0)), Some(write));
        assert_eq!(sim.world.get::<Pte>(VPage(0)).frame(), Some(before));
        at_rest(&sim);
    }
}

#[test]
fn a_partial_write_of_an_uncached_page_reads_it_first_and_a_hole_becomes_delayed() {
    let mut plan = one(FsKind::Ext4, InitPage::Cold, Populate::None);
    let write = thread(&mut plan, &[Op::Write { at: PAGE, part: (0, 100) }]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let old = on_disk(&sim, 0);
    run(&mut sim);
    assert_eq!(result(&sim, write), Some(100));
    let cached = in_cache(&sim, 0).unwrap();
    assert_eq!(sim.world.patches.at(cached, 4000), old);
    assert_eq!(author(sim.world.patches.at(cached, 0)), Some(write));
    at_rest(&sim);

    let mut plan = one(FsKind::Ext4, InitPage::Hole, Populate::None);
    plan.files[0].size = 0;
    thread(&mut plan, &[Op::Write { at: PAGE, part: (0, 100) }, FSYNC]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    run_while(&mut sim, |s| s.world.get::<Extent>(PAGE).kind() == ExtentKind::Hole);
    assert_eq!(sim.world.get::<Extent>(PAGE).kind(), ExtentKind::Delalloc, "kernel truth A71");
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(sim.world.get::<Size>(File(0)).bytes(), 100);
    assert_eq!(Some(on_disk(&sim, 0)), in_cache(&sim, 0));
    at_rest(&sim);
}

#[test]
fn writers_and_a_flusher_never_lose_a_write_on_a_disk_that_wants_stable_pages() {
    for disk in [plain_disk(), stable_disk()] {
        let mut plan = machine(FsKind::Xfs, disk, &[InitPage::Dirty], Populate::None);
        let half = |n: u16| Op::Write { at: PAGE, part: (n * 2048, n * 2048 + 2048) };
        let a = thread(&mut plan, &[half(0), FSYNC]);
        let b = thread(&mut plan, &[half(1)]);
        thread(&mut plan, &[CLEAN]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        let mut ends = 0;
        explore(&mut sim, |s| {
            ends += 1;
            assert_eq!(s.ending(), Ending::Finished);
            assert_eq!(result(s, a.plus(1)), Some(0), "no checksum ever mismatches");
            assert_eq!((result(s, a), result(s, b)), (Some(2048), Some(2048)));
            let flags = s.world.flags(frame(s));
            assert!(flags.dirty() || Some(on_disk(s, 0)) == in_cache(s, 0));
            assert_eq!(Some(s.world.get::<Newest>(PAGE).0), in_cache(s, 0));
            let disk = on_disk(s, 0);
            assert_eq!(author(s.world.patches.at(disk, 0)), Some(a), "what fsync promised");
            at_rest(s);
        });
        assert!(ends > 0);
    }
}

#[test]
fn a_checksum_mismatch_needs_a_writer_that_does_not_wait() {
    let disk = DiskKind::Block {
        checksum: true,
        stable_writes: false,
        volatile_cache: false,
        queue_depth: 1,
    };
    let mut plan = machine(FsKind::Xfs, disk, &[InitPage::Dirty], Populate::None);
    let fsync = thread(&mut plan, &[FSYNC]);
    thread(&mut plan, &[WRITE]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let (mut refused, mut fine) = (0, 0);
    explore_past(&mut sim, &["unstable-io"], |s| match result(s, fsync) {
        Some(ret) if ret == -EIO => refused += 1,
        _ => fine += 1,
    });
    assert!(refused > 0 && fine > 0);
}

#[test]
fn a_cold_read_brings_the_page_in_and_two_readers_bring_it_in_once() {
    let mut plan = one(FsKind::Ext4, InitPage::Cold, Populate::None);
    let a = thread(&mut plan, &[Op::Read { at: PAGE }]);
    let b = thread(&mut plan, &[Op::Read { at: PAGE }]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let stored = on_disk(&sim, 0);
    explore(&mut sim, |s| {
        for op in [a, b] {
            assert_eq!(result(s, op), Some(BYTES));
            assert_eq!(s.world.get::<OpValue>(op).0, stored);
        }
        assert_eq!(s.world.get::<FreeList>(One(0)).count(), 3, "one frame is used");
        at_rest(s);
    });
}

#[test]
fn dax_reads_and_writes_go_to_the_media() {
    let mut plan = machine(FsKind::Dax, DiskKind::Pmem, &[InitPage::Hole], Populate::None);
    plan.files[0].size = 0;
    let write = thread(&mut plan, &[WRITE, Op::Read { at: PAGE }]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(result(&sim, write.plus(1)), Some(BYTES));
    assert_eq!(author(sim.world.get::<OpValue>(write.plus(1)).0), Some(write));
    assert_eq!(author(on_disk(&sim, 0)), Some(write));
    assert_eq!(sim.world.get::<Size>(File(0)).bytes(), u64::from(PAGE_SIZE));
}

/// Direct read of another file into the mapped page.
fn direct_read(fs: FsKind, ops: &[Op]) -> (Plan, OpId) {
    let mut plan = one(fs, InitPage::Dirty, Populate::Write);
    let from = second_file(&mut plan, InitPage::Cold);
    let op = thread(&mut plan, &[Op::DioRead { from, into: VPage(0) }]);
    if !ops.is_empty() {
        thread(&mut plan, ops);
    }
    (plan, op)
}

#[test]
fn a_direct_read_that_meets_writeback_dirties_the_page_again() {
    for name in ["linux-4.19", "linux-6.18"] {
        let (mut plan, op) = direct_read(FsKind::Xfs, &[CLEAN]);
        thread(&mut plan, &[]);
        let mut sim = Sim::new(plan, preset(name));
        let (mut cleaned_during, mut ends) = (0, 0);
        // Writeback reads what the disk is about to write: until the page is written once more,
        // the block holds a mixture.
        explore_past(&mut sim, &["torn-snapshot", "clean-but-newer"], |s| {
            ends += 1;
            assert_eq!(result(s, op), Some(BYTES));
            assert_eq!(in_cache(s, 0).and_then(author), Some(op));
            let dirty = s.world.flags(frame(s)).dirty();
            assert!(dirty || Some(on_disk(s, 0)) == in_cache(s, 0), "kernel truth G52");
            cleaned_during += usize::from(dirty && s.world.get::<Pte>(VPage(0)).frame().is_some());
            at_rest(s);
        });
        assert!(ends > 0 && cleaned_during > 0);
    }
}

#[test]
fn a_direct_write_replaces_block_and_cache() {
    for fs in [FsKind::Ext4, FsKind::Xfs] {
        let mut plan = one(fs, InitPage::Dirty, Populate::Write);
        let to = second_file(&mut plan, InitPage::Dirty);
        let op = thread(&mut plan, &[Op::DioWrite { to, from: VPage(0) }]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(result(&sim, op), Some(BYTES));
        assert_eq!(Some(sim.world.disk_contents(to)), in_cache(&sim, 0));
        assert_eq!(sim.world.cached(to), None, "the cache must not show the old contents");
        at_rest(&sim);
    }
}

#[test]
fn a_reader_beside_a_direct_write_sees_the_old_or_the_new_and_nothing_strange() {
    for page in [InitPage::Clean, InitPage::Hole] {
        let mut plan = one(FsKind::Ext4, InitPage::Dirty, Populate::Write);
        let to = second_file(&mut plan, page);
        thread(&mut plan, &[Op::DioWrite { to, from: VPage(0) }]);
        let read = thread(&mut plan, &[Op::Read { at: to }]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        let (old, new) = (sim.world.disk_contents(to), in_cache(&sim, 0));
        let mut seen = [false; 2];
        explore(&mut sim, |s| {
            let got = s.world.get::<OpValue>(read).0;
            // Reading takes more than one access: half of it may be of before.
            let halves = [0, 4095].map(|byte| s.world.patches.at(got, byte));
            assert!(halves.iter().all(|&half| half == old || Some(half) == new));
            seen[usize::from(got != old)] = true;
            assert_eq!(Some(s.world.get::<Newest>(to).0), new);
        });
        assert_eq!(seen, [true, true]);
    }
}

#[test]
fn the_lock_of_a_folio_that_is_read_in_belongs_to_the_disk() {
    let mut plan = one(FsKind::Ext4, InitPage::Cold, Populate::None);
    thread(&mut plan, &[Op::Load { at: VPage(0) }]);
    thread(&mut plan, &[Op::Read { at: PAGE }]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let tag = sim.world.map.tag_actor(Tag(0));
    run_while(&mut sim, |s| s.world.get::<Bio>(Tag(0)).step() == BioStep::Idle);
    assert_eq!(sim.world.folio_locked_by(frame(&sim)), Some(tag));
    assert_eq!(sim.world.get::<Held>(tag).folios(), 1);
    assert_eq!(run(&mut sim), Ending::Finished);
    at_rest(&sim);
}

#[test]
fn reclaim_evicts_a_clean_page_and_keeps_one_that_is_dirty_or_held() {
    let evicts = |page, prepare: &dyn Fn(&mut Sim)| {
        let mut plan = one(FsKind::Ext4, page, Populate::Read);
        let op = thread(&mut plan, &[Op::Reclaim { page: PAGE }]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        prepare(&mut sim);
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(sim.world.get::<Pte>(VPage(0)).frame(), None, "kernel truth D12, E30");
        let cached = sim.world.cached(PAGE).is_some();
        assert_eq!(result(&sim, op), Some(i32::from(!cached)));
        !cached
    };
    assert!(evicts(InitPage::Clean, &|_| {}), "kernel truth D10");
    assert!(!evicts(InitPage::Dirty, &|_| {}), "kernel truth D12");
    assert!(!evicts(InitPage::Clean, &|s| s.world.take_ref(frame(s))));
    assert!(!evicts(InitPage::Clean, &|s| s.world.add_refs(frame(s), 1024)), "kernel truth E30");
}

#[test]
fn buffers_of_a_page_that_direct_io_holds_are_stripped_unless_reclaim_asks() {
    for (name, stripped) in [("linux-4.19", true), ("linux-6.18", false)] {
        let (mut plan, op) = direct_read(FsKind::Ext4, &[CLEAN, Op::Reclaim { page: PAGE }]);
        let last = thread(&mut plan, &[]);
        let mut sim = Sim::new(plan, preset(name));
        let mut seen = false;
        let broken = ["torn-snapshot", "clean-but-newer", "dirty-without-mkwrite", "lost-write"];
        explore_past(&mut sim, &broken[..if stripped { 4 } else { 2 }], |s| {
            assert_eq!(result(s, op).is_some(), s.ending() == Ending::Finished);
            let cached = s.world.cached(PAGE).map(|f| s.world.flags(f));
            seen |= cached.is_some_and(|f| f.dirty() && !f.buffers());
        });
        assert_eq!(seen, stripped, "{name}: race A of January 2018 ({last:?})");
    }
}

#[test]
fn drop_caches_leaves_a_page_that_left_its_file_before_it_was_locked() {
    let mut plan = one(FsKind::Xfs, InitPage::Clean, Populate::None);
    thread(&mut plan, &[Op::DropCaches { file: File(0) }]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let orphan = frame(&sim);
    run_until(&mut sim, 0, "folio_trylock");
    // Truncated meanwhile, while somebody else holds a reference: as many as a cached page has.
    sim.poke(|w| {
        w.take_ref(orphan);
        w.cache_remove(orphan);
        w.put_refs(orphan, 1);
    });
    finish(&mut sim);
    assert!(!sim.world.flags(orphan).free());
    assert_eq!(sim.world.counts(orphan).refs(), 1);
}

#[test]
fn drop_caches_leaves_mapped_dirty_and_referenced_pages() {
    let survives = |page, populate, hold: bool| {
        let mut plan = one(FsKind::Ext4, page, populate);
        thread(&mut plan, &[Op::DropCaches { file: File(0) }]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        if hold {
            sim.world.take_ref(frame(&sim));
        }
        assert_eq!(run(&mut sim), Ending::Finished);
        let cached = sim.world.cached(PAGE).map(|f| sim.world.flags(f));
        assert!(cached.is_none_or(|f| f.buffers()), "a page that stays keeps its buffers");
        cached.is_some()
    };
    assert!(!survives(InitPage::Clean, Populate::None, false), "kernel truth D02");
    assert!(survives(InitPage::Clean, Populate::Read, false), "kernel truth D01");
    assert!(survives(InitPage::Dirty, Populate::None, false));
    assert!(survives(InitPage::Clean, Populate::None, true));
}

#[test]
fn pageout_evicts_a_clean_mapped_page_and_refuses_a_locked_mapping() {
    let op = Op::Madvise { first: VPage(0), pages: 1, advice: Advice::PageOut };
    let mut plan = one(FsKind::Ext4, InitPage::Clean, Populate::Read);
    let id = thread(&mut plan, &[op]);
    let mut sim = Sim::new(plan.clone(), preset("linux-6.18"));
    run(&mut sim);
    assert_eq!((result(&sim, id), sim.world.cached(PAGE)), (Some(0), None));
    at_rest(&sim);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    sim.world.update::<VmaState>(Vma(0), |v| v.with_locked(1));
    run(&mut sim);
    assert_eq!(result(&sim, id), Some(-super::errno::EINVAL), "kernel truth D31");
}

#[test]
fn migration_moves_contents_dirt_and_mappings_and_fails_on_a_pinned_page() {
    for pinned in [false, true] {
        let mut plan = one(FsKind::Ext4, InitPage::Dirty, Populate::Write);
        let op = thread(&mut plan, &[Op::Migrate { page: PAGE }]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        let (old, data) = (frame(&sim), in_cache(&sim, 0));
        if pinned {
            sim.world.add_refs(old, 1024);
        }
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(result(&sim, op), Some(if pinned { -EAGAIN } else { 0 }));
        let new = frame(&sim);
        assert_eq!(new == old, pinned);
        assert_eq!(in_cache(&sim, 0), data);
        let (pte, flags) = (sim.world.get::<Pte>(VPage(0)), sim.world.flags(new));
        assert!(pte.present() && !pte.migration() && pte.frame() == Some(new));
        assert!(flags.dirty() && flags.buffers() && flags.lru());
        assert!(sim.world.get::<CacheSlot>(PAGE).tag_dirty());
        if !pinned {
            assert!(sim.world.get::<Flags>(old).free());
            at_rest(&sim);
        }
    }
}

#[test]
fn migration_and_writeback_and_reclaim_do_not_lose_the_page() {
    let mut plan = one(FsKind::Ext4, InitPage::Dirty, Populate::Write);
    thread(&mut plan, &[Op::Migrate { page: PAGE }]);
    let fsync = thread(&mut plan, &[FSYNC]);
    thread(&mut plan, &[Op::Reclaim { page: PAGE }]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    let data = in_cache(&sim, 0).unwrap();
    explore(&mut sim, |s| {
        assert_eq!(s.ending(), Ending::Finished);
        assert_eq!(result(s, fsync), Some(0));
        assert_eq!(on_disk(s, 0), data);
        at_rest(s);
    });
}

#[test]
fn reflinked_pages_share_a_block_until_one_is_written() {
    for fs in [FsKind::Xfs, FsKind::Btrfs] {
        let mut plan = one(fs, InitPage::Dirty, Populate::None);
        let to = second_file(&mut plan, InitPage::Clean);
        let reflink = Op::Reflink { from: PAGE, to, pages: 1 };
        let first = thread(&mut plan, &[reflink, WRITE, FSYNC]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        run_while(&mut sim, |s| result(s, first).is_none());
        let block = |s: &Sim, at| s.world.get::<Extent>(at).block().unwrap();
        let shared = block(&sim, PAGE);
        assert_eq!(block(&sim, to), shared);
        let state = sim.world.get::<BlockState>(shared);
        assert_eq!((state.state(), state.owners()), (BlockUse::Shared, 2));
        let kept = on_disk(&sim, 0);
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_ne!(block(&sim, PAGE), shared);
        assert_eq!(sim.world.disk_contents(to), kept);
        assert_eq!(author(on_disk(&sim, 0)), Some(first.plus(1)));
        assert_eq!(sim.world.block_owner(shared), Some(to), "the heir owns it alone");
        at_rest(&sim);
    }
    let mut plan = one(FsKind::Ext4, InitPage::Clean, Populate::None);
    let to = second_file(&mut plan, InitPage::Clean);
    let op = thread(&mut plan, &[Op::Reflink { from: PAGE, to, pages: 1 }]);
    let mut sim = Sim::new(plan, preset("linux-6.18"));
    run(&mut sim);
    assert_eq!(result(&sim, op), Some(-EOPNOTSUPP));
}

/// The second finds the block of the first in the CoW fork: with one free block there is room for
/// both, and neither takes it from the other when it fails.
#[test]
fn two_direct_writes_to_a_shared_block_break_the_sharing_once() {
    for io_errors in [0, 1] {
        let mut plan = one(FsKind::Xfs, InitPage::Dirty, Populate::Write);
        let to = second_file(&mut plan, InitPage::Clean);
        let copy = second_file(&mut plan, InitPage::Hole);
        plan.disks[0].spare_blocks = 1;
        plan.faults.io_errors = io_errors;
        let write = Op::DioWrite { to, from: VPage(0) };
        let first = thread(&mut plan, &[Op::Reflink { from: to, to: copy, pages: 1 }, write]);
        let second = thread(&mut plan, &[write]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        let (old, new) = (sim.world.disk_contents(to), in_cache(&sim, 0).unwrap());
        let mut failed = 0;
        explore(&mut sim, |s| {
            let results = [first.plus(1), second].map(|op| result(s, op));
            failed += results.iter().filter(|&&r| r == Some(-EIO)).count();
            assert!(results.iter().all(|&r| r == Some(BYTES) || r == Some(-EIO)), "{results:?}");
            assert!(results.contains(&Some(BYTES)));
            assert_eq!(s.world.disk_contents(to), new);
            let snapshot = s.world.disk_contents(copy);
            assert!(snapshot == old || snapshot == new);
            at_rest(s);
        });
        assert_eq!(failed > 0, io_errors > 0);
    }
}

#[test]
fn a_read_that_found_its_folio_before_a_hole_was_punched_comes_before_the_hole() {
    for fs in [FsKind::Tmpfs, FsKind::Ext4] {
        let mut plan = one(fs, InitPage::Clean, Populate::None);
        thread(&mut plan, &[Op::Punch { first: PAGE, pages: 1 }]);
        let read = thread(&mut plan, &[Op::Read { at: PAGE }]);
        let mut sim = Sim::new(plan, preset("linux-6.18"));
        let old = in_cache(&sim, 0).unwrap();
        let mut seen = [false; 2];
        let mut look = |s: &Sim, _| {
            if result(s, read).is_some() {
                let got = s.world.get::<OpValue>(read).0;
                assert!(got == old || got == Contents::ZERO);
                seen[usize::from(got == old)] = true;
            }
            assert_eq!(s.verdict().0, 0, "{:?}", s.findings());
        };
        explore_moves(&mut sim, &mut look);
        assert_eq!(seen, [true; 2]);
    }
}
