//! Contents of files, bios, blocks, and what a filesystem keeps in order.

use super::*;
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;

/// A completed write to a cached page that nobody marks dirty.
fn write(w: &mut World, at: FilePage, contents: Contents) {
    let frame = w.cached(at).unwrap();
    w.fill(frame, WHOLE, contents);
    w.completed(frame, WHOLE, |shown| shown == contents);
}

/// A bio has put contents on a block.
fn written(w: &mut World, at: FilePage, contents: Contents) {
    let (block, frame) = (w.get::<Extent>(at).block().unwrap(), w.cached(at));
    w.set(TAG, Bio::new().with_frame_bits(Frame::pack(frame)).with_step(BioStep::Transferred));
    w.set(TAG, BioData(contents));
    w.facts.push(Fact::Transferred { tag: TAG, block });
    w.write_block(block, contents);
    w.facts.push(Fact::BlockWritten { tag: TAG, block });
}

fn ended(w: &mut World) {
    w.facts.push(Fact::Ended);
}

#[test]
fn a_clean_page_at_the_end_has_lost_its_write() {
    let mut b = Bench::new();
    b.silent("lost-write", ended);
    b.step(|w| write(w, DATA, version(DATA, 2, STORE)));
    b.finished = false;
    b.silent("lost-write", ended);
    b.finished = true;
    b.breaks("lost-write", ended);
    let frame = b.cached(DATA);
    b.holds("lost-write", |w| {
        w.mark_dirty(frame);
        ended(w);
    });
    b.breaks("lost-write", |w| {
        w.strip_buffers(frame);
        ended(w);
    });
}

#[test]
fn what_a_failed_write_carried_is_excused_and_what_came_after_it_is_not() {
    let (failed, later) = (version(DATA, 2, STORE), version(DATA, 3, DMA_WRITE));
    let mut b = Bench::new();
    b.step(|w| w.set(DATA, Excused(failed)));
    b.holds("clean-but-newer", |w| write(w, DATA, failed));
    b.holds("lost-write", ended);
    b.breaks("clean-but-newer", |w| write(w, DATA, later));
    b.breaks("lost-write", ended);
    // Of another page of the file nobody has said anything.
    let mut b = Bench::new();
    b.step(|w| w.set(DATA, Excused(failed)));
    b.breaks("clean-but-newer", |w| write(w, DATA.plus(1), version(DATA.plus(1), 2, STORE)));
    b.breaks("lost-write", ended);
}

#[test]
fn something_newer_on_the_disk_or_beyond_the_end_is_no_loss() {
    let mut b = Bench::new();
    b.step(|w| write(w, DATA, version(DATA, 2, STORE)));
    b.holds("lost-write", |w| {
        let block = w.get::<Extent>(DATA).block().unwrap();
        w.write_block(block, version(DATA, 3, DMA_WRITE));
        ended(w);
    });
    b.step(|w| write(w, DATA.plus(1), version(DATA.plus(1), 2, STORE)));
    b.breaks("lost-write", ended);
    b.holds("lost-write", |w| {
        w.set(File(0), Size::new().with_bytes(4096));
        ended(w);
    });
}

#[test]
fn a_crash_must_not_take_what_fsync_promised() {
    let crash = |w: &mut World| w.facts.push(Fact::Crashed);
    let mut b = Bench::new();
    b.silent("lost-write", crash);
    let (old, new) = (version(DATA, 2, STORE), version(DATA, 3, STORE));
    let block = b.w.get::<Extent>(DATA).block().unwrap();
    b.step(|w| {
        write(w, DATA, old);
        w.set(DATA, Promised(old));
        w.write_block(block, old);
    });
    b.breaks("lost-write", crash);
    b.holds("lost-write", |w| {
        w.flush_disk(Disk(0));
        crash(w);
    });
    b.holds("lost-write", |w| {
        write(w, DATA, new);
        w.write_block(block, new);
        crash(w);
    });
    b.holds("lost-write", |w| {
        w.set(DATA, Newest(Contents::ZERO));
        w.set(DATA, Extent::new());
        crash(w);
    });
}

#[test]
fn a_clean_page_must_not_be_newer_than_the_disk() {
    let mut b = Bench::new();
    let (frame, block) = (b.cached(DATA), b.w.get::<Extent>(DATA).block().unwrap());
    let (new, newer) = (version(DATA, 2, STORE), version(DATA, 3, STORE));
    b.silent("clean-but-newer", |w| w.lock_folio(USER, frame));
    b.silent("clean-but-newer", |w| write(w, DATA, new));
    b.breaks("clean-but-newer", |w| w.unlock_folio(frame));
    b.silent("clean-but-newer", |w| {
        w.mark_dirty(frame);
    });
    b.silent("clean-but-newer", |w| {
        w.change_flags(frame, |f| f.with_dirty(false).with_writeback(true));
    });
    b.breaks("clean-but-newer", |w| {
        w.change_flags(frame, |f| f.with_writeback(false));
    });
    b.holds("clean-but-newer", |w| w.write_block(block, new));
    b.holds("clean-but-newer", |w| w.write_block(block, newer));
}

#[test]
fn bytes_beyond_the_end_are_neither_newer_nor_lost() {
    let mut b = Bench::new();
    b.step(|w| w.set(File(0), Size::new().with_bytes(100)));
    let frame = b.cached(DATA);
    b.holds("clean-but-newer", |w| {
        let tail = version(DATA, 2, STORE);
        w.fill(frame, (100, 4096), tail);
        w.completed(frame, (100, 4096), |shown| shown == tail);
    });
    b.holds("lost-write", ended);
    b.breaks("clean-but-newer", |w| w.set(File(0), Size::new().with_bytes(4096)));
}

#[test]
fn a_page_that_changes_after_its_checksum_is_unstable() {
    let (sum, other) = (version(COW, 2, STORE), version(COW, 3, DMA_WRITE));
    let mut b = Bench::new();
    b.step(|w| w.set(TAG, BioSum(sum)));
    b.holds("unstable-io", |w| written(w, COW, sum));
    b.breaks("unstable-io", |w| written(w, COW, other));
    b.silent("unstable-io", |w| written(w, DATA, other));
    let mut checked = plan();
    if let DiskKind::Block { checksum, .. } = &mut checked.disks[0].kind {
        *checksum = true;
    }
    let mut b = Bench::of(checked);
    b.breaks("unstable-io", |w| written(w, DATA, other));
}

#[test]
fn a_block_that_mixes_two_whole_versions_is_torn() {
    let mut b = Bench::new();
    let (old, new) = (version(DATA, 2, STORE), version(DATA, 3, DMA_WRITE));
    let frame = b.cached(DATA);
    b.step(|w| write(w, DATA, old));
    b.silent("torn-snapshot", |w| written(w, DATA, old));
    b.pin(frame);
    b.holds("torn-snapshot", |w| written(w, DATA, old));
    let half = b.w.patches.overlay(old, (0, 2048), new);
    b.breaks("torn-snapshot", |w| written(w, DATA, half));
    let part = Version { whole: false, ..new.version().unwrap() };
    let rightly = b.w.patches.overlay(old, (0, 2048), Contents::of(part));
    b.holds("torn-snapshot", |w| written(w, DATA, rightly));
}

#[test]
fn zeroes_are_torn_only_where_the_file_does_not_hold_zeroes() {
    let mut b = Bench::new();
    let new = version(DATA, 2, DMA_WRITE);
    let half = b.w.patches.overlay(Contents::ZERO, (0, 2048), new);
    let frame = b.cached(DATA);
    b.pin(frame);
    // Punched after it had been completed.
    b.step(|w| w.set(DATA, Newest(half)));
    b.holds("torn-snapshot", |w| written(w, DATA, half));
    // Not completed yet: the zeroes were there before.
    b.step(|w| w.set(DATA, Newest(Contents::ZERO)));
    b.breaks("torn-snapshot", |w| written(w, DATA, half));
    // Completed all over: the zeroes are older.
    b.step(|w| w.set(DATA, Newest(new)));
    b.breaks("torn-snapshot", |w| written(w, DATA, half));
}

#[test]
fn a_page_needs_what_its_filesystem_prepares_before_it_is_dirty() {
    let mut b = Bench::new();
    let (data, cow, plain) = (b.cached(DATA), b.cached(COW), b.cached(PLAIN));
    let dirty = |frame: Frame| {
        move |w: &mut World| {
            w.mark_dirty(frame);
        }
    };
    let name = "dirty-without-mkwrite";
    b.holds(name, dirty(data));
    b.step(|w| w.strip_buffers(data));
    b.breaks(name, dirty(data));
    b.breaks(name, dirty(cow));
    b.step(|w| {
        w.change_flags(cow, |f| f.with_prepared(true));
    });
    b.holds(name, dirty(cow));
    b.holds(name, dirty(plain));
    b.step(|w| w.set(PLAIN, Extent::new()));
    b.breaks(name, dirty(plain));
    b.step(|w| w.cache_remove(data));
    b.silent(name, dirty(data));
}

#[test]
fn a_block_has_one_owner_unless_it_is_shared() {
    let name = "double-owned-block";
    let mut b = Bench::new();
    let extent = b.w.get::<Extent>(DATA);
    let block = extent.block().unwrap();
    b.breaks(name, |w| w.set(PLAIN.plus(1), extent));
    b.holds(name, |w| {
        w.update::<BlockState>(block, |s| s.with_state(BlockUse::Shared).with_owners(2));
    });
    b.breaks(name, |w| w.set(COW.plus(1), extent));
    b.breaks(name, |w| w.free_block(block));
    let mut b = Bench::new();
    b.breaks(name, |w| w.free_block(block));
    b.silent(name, |w| w.set(DATA, Extent::new()));
}

impl Bench {
    /// Takes a page's block out of the file, and gives it to another page.
    fn hand_on(&mut self, from: FilePage, to: FilePage) {
        self.step(|w| {
            let block = w.get::<Extent>(from).block().unwrap();
            w.set(from, Extent::new());
            w.free_block(block);
        });
        self.step(|w| {
            let block = w.alloc_block(Disk(0), to).unwrap();
            w.set(to, Extent::at(ExtentKind::Written, block));
        });
    }
}

#[test]
fn a_block_that_is_handed_on_has_one_owner_at_a_time() {
    let mut b = Bench::new();
    b.hand_on(DATA, PLAIN.plus(1));
    b.holds("double-owned-block", |w| {
        let extent = w.get::<Extent>(PLAIN.plus(1));
        w.set(PLAIN.plus(1), extent);
    });
}

#[test]
fn a_block_without_an_extent_has_leaked() {
    let mut b = Bench::new();
    b.silent("space-leak", ended);
    b.hand_on(DATA, PLAIN.plus(1));
    b.holds("space-leak", ended);
    let block = b.w.get::<Extent>(COW).block().unwrap();
    b.step(|w| w.set(COW, Extent::new()));
    b.finished = false;
    b.silent("space-leak", ended);
    b.finished = true;
    b.breaks("space-leak", ended);
    b.breaks("space-leak", |w| {
        w.update::<BlockState>(block, |s| s.with_state(BlockUse::Busy));
        ended(w);
    });
}

#[test]
fn the_block_of_a_direct_write_that_goes_on_is_not_lost_and_neither_is_what_it_meets() {
    let mut plan = plan();
    let write = vec![Op::DioWrite { to: PLAIN, from: ANON }];
    let writer = Actor(plan.threads.len() as u32);
    plan.threads.push(thread(Role::User(Mm(0)), DMA_WRITE.plus(1), write));
    let mut b = Bench::of(plan);
    let (file, mine) = (b.w.map.file_of(PLAIN), version(PLAIN, 2, STORE));
    b.step(|w| {
        w.alloc_block(Disk(0), PLAIN).unwrap();
        w.set(PLAIN, Newest(mine));
        w.set(writer, Engaged::new().with_dio(File::pack(Some(file))));
    });
    b.silent("space-leak", ended);
    b.holds("lost-write", ended);
    // A bio that is to be sent off holds its block as well.
    b.silent("space-leak", |w| {
        let block = w.alloc_block(Disk(0), COW).unwrap();
        w.set(TAG, Bio::new().with_step(BioStep::Bouncing));
        w.set(TAG, BioEnd::new().with_block_bits(Block::pack(Some(block))));
        ended(w);
    });
    b.step(|w| {
        w.set(TAG, Bio::new());
        let block = Block::unpack(w.get::<BioEnd>(TAG).block_bits()).unwrap();
        w.free_block(block);
    });
    // He has ended, or is dead: nobody will come back to it.
    b.breaks("space-leak", |w| {
        w.update::<ActorState>(writer, |s| s.with_life(Life::Killed));
        ended(w);
    });
    b.step(|w| w.set(writer, ActorState::new()));
    b.holds("lost-write", ended);
    b.breaks("lost-write", |w| {
        w.set(writer, Engaged::new());
        ended(w);
    });
}

#[test]
fn a_strangers_data_is_exposed_and_a_shared_page_is_not() {
    let name = "exposed-beyond-eof";
    let mut b = Bench::new();
    let strange = b.w.file_contents(COW);
    let shown = |contents| Fact::Shown { at: DATA, contents, left: false };
    let own = b.w.file_contents(DATA);
    b.silent(name, |w| w.facts.push(shown(own)));
    b.breaks(name, |w| w.facts.push(shown(strange)));
    b.step(|w| w.set(DATA, Newest(strange)));
    b.silent(name, |w| w.facts.push(shown(strange)));
}

#[test]
fn what_was_cut_off_must_not_come_back() {
    let name = "exposed-beyond-eof";
    let mut b = Bench::new();
    let own = b.w.file_contents(DATA);
    let cut = b.w.patches.overlay(own, (100, 4096), Contents::ZERO);
    b.step(|w| {
        w.set(File(0), Size::new().with_bytes(100));
        w.set(DATA, Newest(cut));
    });
    let shown = |contents| Fact::Shown { at: DATA, contents, left: false };
    b.holds(name, |w| w.facts.push(shown(cut)));
    b.breaks(name, |w| w.facts.push(shown(own)));
    // Extended again.
    b.step(|w| w.set(File(0), Size::new().with_bytes(4096)));
    b.holds(name, |w| w.facts.push(shown(cut)));
    b.breaks(name, |w| w.facts.push(shown(own)));
    // A transfer that has not completed may show.
    let part = b.w.patches.overlay(cut, (2048, 4096), version(DATA, 5, DMA_WRITE));
    b.holds(name, |w| w.facts.push(shown(part)));
    // Beyond the end as a whole: until truncate has come to the page, and after.
    b.step(|w| w.set(File(0), Size::new()));
    b.holds(name, |w| w.facts.push(shown(cut)));
    b.step(|w| w.set(DATA, Newest(Contents::ZERO)));
    b.breaks(name, |w| w.facts.push(shown(cut)));
    // Unless the reader had found the folio before that; what is a stranger's, he had not.
    let read = |contents| Fact::Shown { at: DATA, contents, left: true };
    b.holds(name, |w| w.facts.push(read(cut)));
    let strange = b.w.file_contents(COW);
    b.breaks(name, |w| w.facts.push(read(strange)));
}

#[test]
fn zeroes_of_a_direct_write_are_no_cut_but_a_hole_is() {
    let name = "exposed-beyond-eof";
    let mut plan = plan();
    let write = vec![Op::DioWrite { to: DATA, from: ANON }];
    plan.threads.push(thread(Role::User(Mm(0)), DMA_WRITE.plus(1), write));
    let mut b = Bench::of(plan);
    let own = b.w.file_contents(DATA);
    b.step(|w| w.set(DATA, Newest(Contents::ZERO)));
    let shown = Fact::Shown { at: DATA, contents: own, left: false };
    b.holds(name, |w| w.facts.push(shown));
    b.step(|w| w.set(DATA, Extent::new()));
    b.breaks(name, |w| w.facts.push(shown));
}

#[test]
fn what_is_stored_to_the_tail_of_the_last_page_may_be_seen_there() {
    let mut b = Bench::new();
    b.step(|w| w.set(File(0), Size::new().with_bytes(100)));
    let tail = version(DATA, 2, STORE);
    let frame = b.cached(DATA);
    b.step(|w| {
        w.fill(frame, (100, 4096), tail);
        w.completed(frame, (100, 4096), |shown| shown == tail);
    });
    b.holds("exposed-beyond-eof", |w| {
        let contents = w.data(frame);
        w.facts.push(Fact::Shown { at: DATA, contents, left: false });
    });
}
