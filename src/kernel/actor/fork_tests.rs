//! fork: who has which page afterwards, pinned or not.

use super::errno::ENOMEM;
use super::testkit::*;
use crate::engine::model::Model;
use crate::kernel::sim::Sim;
use crate::kernel::world::machine::LockState;
use crate::kernel::world::plan::*;
use crate::kernel::world::{Event, Frame, Mm, OpId, Slot, VPage};
use std::collections::BTreeSet;

const STORE: Op = Op::Store { at: VPage(0), part: WHOLE };
const CHILD: VPage = VPage(1);

/// Anonymous memory of a parent, a slot, and a child with a program of its own.
fn family(parent: &[Op], child: &[Op]) -> (Kit, OpId, OpId) {
    let mut kit = Kit::new();
    kit.map(Backing::Anon, false, 1);
    let mm = kit.child();
    kit.slot(1);
    let first = kit.thread(Mm(0), parent);
    let other = kit.thread(mm, child);
    (kit, first, other)
}

fn frames(sim: &Sim) -> (Option<Frame>, Option<Frame>) {
    (pte(sim, VPage(0)).frame(), pte(sim, CHILD).frame())
}

const FORK: Op = Op::Fork { child: Mm(1) };
const PIN: Op = Op::Pin {
    first: VPage(0),
    pages: 1,
    write: true,
    longterm: false,
    call: PinCall::PinFast,
    slot: Slot(0),
};

#[test]
fn fork_shares_an_unpinned_page_read_only() {
    let (kit, _, load) = family(&[STORE, FORK], &[Op::Load { at: CHILD }]);
    let mut sim = kit.sim("linux-6.18");
    finish(&mut sim);
    let (parent, child) = frames(&sim);
    assert_eq!(parent, child);
    let frame = parent.unwrap();
    assert!(!sim.world.flags(frame).exclusive() && !pte(&sim, VPage(0)).writable());
    assert_eq!((sim.world.counts(frame).maps(), author_read(&sim, load)), (2, Some(OpId(2))));
}

#[test]
fn the_writer_gets_the_copy_and_the_last_owner_reuses_the_page() {
    for preset in ["linux-4.19", "linux-6.18"] {
        let (kit, first, load) = family(&[STORE, FORK, STORE], &[Op::Load { at: CHILD }]);
        let mut sim = kit.sim(preset);
        explore_to_rest(&mut sim, |sim| {
            let (parent, child) = frames(sim);
            assert_ne!(parent, child);
            assert_eq!(author_read(sim, load), Some(first));
        });
        let store = Op::Store { at: CHILD, part: WHOLE };
        let (kit, _, _) = family(&[STORE, FORK, STORE], &[store]);
        let mut sim = kit.sim(preset);
        finish(&mut sim); // the parent first, then the child, who is alone by then
        assert!(pte(&sim, CHILD).writable());
        assert_eq!(sim.world.counts(frames(&sim).1.unwrap()).refs(), 1);
    }
}

#[test]
fn a_pinned_page_stays_with_the_parent_and_the_child_gets_a_copy() {
    let (kit, first, load) = family(&[STORE, PIN, FORK, STORE], &[Op::Load { at: CHILD }]);
    let mut sim = kit.sim("linux-6.18");
    explore_to_rest(&mut sim, |sim| {
        let (parent, child) = frames(sim);
        assert_eq!(kept(sim, Slot(0), 0), parent);
        assert_ne!(parent, child);
        assert!(pte(sim, VPage(0)).writable());
        assert_eq!(author(sim, parent.unwrap()), Some(first.plus(3)));
        assert_eq!(author_read(sim, load), Some(first));
    });
}

#[test]
fn before_5_9_the_parents_store_leaves_the_pin_on_the_childs_page() {
    let (kit, first, _) = family(&[STORE, PIN, FORK, STORE], &[Op::Load { at: CHILD }]);
    let mut sim = kit.sim("linux-4.19");
    finish(&mut sim);
    let (parent, child) = frames(&sim);
    assert_eq!(kept(&sim, Slot(0), 0), child);
    assert_ne!(parent, child);
    assert_eq!(author(&sim, child.unwrap()), Some(first));
}

#[test]
fn gup_fast_and_fork_never_leave_the_pin_on_a_shared_page() {
    let mut kit = Kit::new();
    kit.map(Backing::Anon, false, 1);
    let mm = kit.child();
    let slot = kit.slot(1);
    kit.thread(Mm(0), &[STORE, Op::Post { event: Event(0) }, FORK]);
    kit.thread(Mm(0), &[Op::Wait { event: Event(0) }, PIN, STORE]);
    kit.thread(mm, &[]);
    kit.plan.events.push("ready".into());
    let mut sim = kit.sim("linux-6.18");
    let mut ends = BTreeSet::new();
    explore_to_rest(&mut sim, |sim| {
        let (parent, child) = frames(sim);
        assert_eq!(kept(sim, slot, 0), parent);
        assert_ne!(parent, child);
        ends.insert(author(sim, child.unwrap()));
    });
    // The child has what was there at the fork: the page before or after the second store.
    assert_eq!(ends.len(), 2, "{ends:?}");
}

#[test]
fn fork_without_memory_undoes_the_child() {
    let (mut kit, first, _) = family(&[STORE, PIN, FORK, FORK], &[]);
    kit.plan.faults.enomem = 1;
    kit.plan.threads.pop();
    let mut sim = kit.sim("linux-6.18");
    run_until(&mut sim, 0, "copy_present_ptes: allocate for a pinned page");
    sim.apply(crate::kernel::sim::Move { agent: 0, outcome: 1 });
    finish(&mut sim);
    assert_eq!((ret(&sim, first.plus(2)), ret(&sim, first.plus(3))), (-ENOMEM, 0));
    assert!(frames(&sim).1.is_some());
}

#[test]
fn a_fork_that_failed_lets_the_parent_go_on_before_the_child_is_gone() {
    let (mut kit, first, _) = family(&[STORE, PIN, FORK], &[]);
    kit.plan.faults.enomem = 1;
    kit.plan.threads.pop();
    let other = kit.thread(Mm(0), &[Op::Load { at: VPage(0) }]);
    let mut sim = kit.sim("linux-6.18");
    run_until(&mut sim, 0, "copy_present_ptes: allocate for a pinned page");
    sim.apply(crate::kernel::sim::Move { agent: 0, outcome: 1 });
    run_until(&mut sim, 0, "exit_mmap of the child");
    let lock = sim.world.map.mmap_lock(Mm(0));
    assert_eq!(sim.world.get::<LockState>(lock).writer(), 0, "dup_mmap has returned");
    finish(&mut sim);
    assert_eq!((ret(&sim, first.plus(2)), ret(&sim, other)), (-ENOMEM, 0));
}

#[test]
fn random_runs_with_two_pinners_and_a_fork_keep_every_count() {
    for seed in 0..200 {
        let mut kit = Kit::new();
        kit.plan.spare_frames = 12;
        let at = kit.map(Backing::Anon, false, 2);
        let mm = kit.child();
        let slots = [kit.slot(2), kit.slot(2)];
        let store = |n| Op::Store { at: at.plus(n), part: WHOLE };
        kit.thread(Mm(0), &[store(0), FORK, store(1)]);
        for (slot, call) in slots.into_iter().zip([PinCall::PinFast, PinCall::GetSlow]) {
            let program = [pin(at, 2, slot, true, call), store(1), unpin(slot, true)];
            kit.thread(Mm(0), &program);
        }
        kit.plan.cpus += 1;
        kit.thread(mm, &[Op::Store { at: VPage(2), part: WHOLE }]);
        let mut sim = kit.sim("linux-6.18");
        finish_random(&mut sim, seed);
    }
}
