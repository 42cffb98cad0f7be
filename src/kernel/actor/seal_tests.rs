//! What the seals of a memfd refuse, and when a seal is refused.

use super::errno::{EACCES, EBUSY, EEXIST, EINVAL, EOPNOTSUPP, EPERM};
use super::testkit::*;
use crate::kernel::world::op::Seal;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

const BYTES: i32 = PAGE_SIZE as i32;

fn seal(seal: Seal) -> Op {
    Op::AddSeal { file: File(0), seal }
}

/// What the operations of one thread return, on a file of one page that is mapped shared.
fn returns(fs: FsKind, ops: &[Op]) -> Vec<i32> {
    let mut kit = Kit::new();
    let file = kit.file(fs, &[InitPage::Clean]);
    kit.map(Backing::File { file, first: 0 }, true, 1);
    let slot = kit.slot(1);
    assert_eq!(slot, Slot(0));
    let first = kit.thread(Mm(0), ops);
    let mut sim = kit.sim("linux-6.18");
    finish(&mut sim);
    assert_at_rest(&sim);
    (0..ops.len() as u32).map(|n| ret(&sim, first.plus(n))).collect()
}

const UNMAP: Op = Op::Munmap { vma: Vma(0) };
const MAP: Op = Op::Mmap { vma: Vma(0) };
const WRITE: Op = Op::Write { at: FilePage(0), part: WHOLE };
const PUNCH: Op = Op::Punch { first: FilePage(0), pages: 1 };

fn truncate(size: u64) -> Op {
    Op::Truncate { file: File(0), size }
}

#[test]
fn a_page_that_is_held_keeps_the_file_from_being_sealed() {
    for (call, write) in [(PinCall::PinFast, true), (PinCall::GetFast, false)] {
        let take = pin(VPage(0), 1, Slot(0), write, call);
        let ops = [seal(Seal::Write), take, UNMAP, seal(Seal::Write), unpin(Slot(0), false)];
        let found = returns(FsKind::Tmpfs, &[&ops[..], &[seal(Seal::Write)]].concat());
        let at = |n: usize| found[n];
        assert_eq!((at(0), at(3), at(5)), (-EBUSY, -EBUSY, 0), "kernel truth F50 to F52");
    }
}

#[test]
fn a_file_sealed_against_writing_is_written_by_nobody() {
    let ops = [UNMAP, seal(Seal::Write), WRITE, PUNCH, truncate(0), MAP];
    assert_eq!(returns(FsKind::Tmpfs, &ops), [0, 0, -EPERM, -EPERM, 0, -EPERM]);
}

#[test]
fn tmpfs_can_be_punched_and_knows_no_other_range() {
    let zero = Op::ZeroRange { first: FilePage(0), pages: 1 };
    let collapse = Op::CollapseRange { first: FilePage(0), pages: 1 };
    let found = returns(FsKind::Tmpfs, &[zero, collapse, PUNCH]);
    assert_eq!(found, [-EOPNOTSUPP, -EOPNOTSUPP, 0], "shmem_fallocate()");
}

#[test]
fn a_seal_against_future_writes_asks_nobody_and_leaves_those_who_may_write() {
    let store = Op::Store { at: VPage(0), part: WHOLE };
    let ops = [seal(Seal::FutureWrite), store, WRITE, MAP];
    assert_eq!(returns(FsKind::Tmpfs, &ops)[..1], [0]);
    assert_eq!(returns(FsKind::Tmpfs, &ops)[2..], [-EPERM, -EEXIST]);
}

#[test]
fn seals_against_shrinking_and_growing_are_about_the_size() {
    let ops = [seal(Seal::Shrink), truncate(0), WRITE, PUNCH];
    assert_eq!(returns(FsKind::Tmpfs, &ops), [0, -EPERM, BYTES, 0]);
    let ops = [truncate(0), seal(Seal::Grow), WRITE, truncate(4096)];
    assert_eq!(returns(FsKind::Tmpfs, &ops), [0, 0, -EPERM, -EPERM]);
}

#[test]
fn a_mapping_made_under_the_seal_can_never_become_writable() {
    let protect = |write| Op::Mprotect { vma: Vma(0), read: true, write };
    let mut kit = Kit::new();
    let file = kit.file(FsKind::Tmpfs, &[InitPage::Clean]);
    kit.map(Backing::File { file, first: 0 }, true, 1);
    kit.plan.vmas[0].write = false;
    // Until then it counts: PROT_WRITE could be asked for (VM_MAYWRITE).
    let ops = [seal(Seal::Write), UNMAP, seal(Seal::Write), MAP, protect(true), protect(false)];
    let first = kit.thread(Mm(0), &ops);
    let mut sim = kit.sim("linux-6.18");
    finish(&mut sim);
    let found: Vec<i32> = (0..6).map(|n| ret(&sim, first.plus(n))).collect();
    assert_eq!(found, [-EBUSY, 0, 0, 0, -EACCES, 0]);
}

#[test]
fn only_a_memfd_has_seals() {
    assert_eq!(returns(FsKind::Ext4, &[seal(Seal::Write), WRITE]), [-EINVAL, BYTES]);
}
