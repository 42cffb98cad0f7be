//! Locks, their order, deadlocks and stalls.

use super::*;
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::{CacheSlot, CpuState, FileState};
use crate::kernel::world::plan::{Context, SlotPlan};
use crate::kernel::world::storage::Mode;

impl Bench {
    fn rwsem(&self, file: u32) -> Lock {
        self.w.map.file_lock(LockClass::IRwsem, File(file))
    }
}

#[test]
fn sleeping_in_an_interrupt_or_with_interrupts_off_is_found() {
    let name = "sleep-in-atomic";
    let mut b = Bench::new();
    b.silent(name, |w| w.may_sleep(USER));
    b.holds(name, |w| {
        w.update::<ActorState>(USER, |s| s.with_in_irq(true));
    });
    b.breaks(name, |w| w.may_sleep(USER));
    let mut b = Bench::new();
    let lock = b.rwsem(0);
    b.holds(name, |w| w.set(Cpu(0), CpuState::new().with_irq_off(Actor::pack(Some(USER)))));
    b.silent(name, |w| w.may_sleep(DEVICE));
    b.breaks(name, |w| w.lock(USER, lock, Mode::Shared));
}

#[test]
fn two_locks_taken_in_both_orders_make_a_cycle_without_any_deadlock() {
    let mut b = Bench::new();
    let (rwsem, mmap) = (b.rwsem(0), b.w.map.mmap_lock(Mm(0)));
    b.silent("lock-order", |w| w.lock(USER, rwsem, Mode::Exclusive));
    b.holds("lock-order", |w| w.lock(USER, mmap, Mode::Shared));
    b.step(|w| {
        w.unlock(USER, mmap);
        w.unlock(USER, rwsem);
    });
    assert_eq!(b.orders.cycle(), None);
    b.silent("lock-order", |w| w.lock(DEVICE, mmap, Mode::Shared));
    b.breaks("lock-order", |w| w.lock(DEVICE, rwsem, Mode::Shared));
    let cycle = b.orders.cycle().unwrap();
    let [first, second] = cycle.as_slice() else { panic!("{cycle:?}") };
    assert_eq!((first.taken, second.taken), (second.held, first.held));
    assert_eq!((first.by, second.by), (USER, DEVICE));
}

#[test]
fn a_folio_lock_counts_as_held_until_it_is_dropped() {
    let mut b = Bench::new();
    let frame = b.cached(DATA);
    let rwsem = b.rwsem(0);
    b.step(|w| w.lock_folio(USER, frame));
    b.holds("lock-order", |w| w.lock_briefly(USER, LockClass::IPages));
    b.step(|w| w.unlock_folio(frame));
    b.silent("lock-order", |w| w.lock(USER, rwsem, Mode::Shared));
    b.holds("lock-order", |w| w.lock_folio(USER, frame));
    assert_eq!(b.orders.orders().len(), 2);
}

#[test]
fn graphs_of_several_workers_add_up() {
    let order = |held: LockClass, taken: LockClass| {
        let mut graph = LockGraph::default();
        graph.note(taken, 1 << held.into_bits(), || (USER, STORE, "step"));
        graph
    };
    use LockClass::*;
    let mut graph = order(IRwsem, MmapLock);
    graph.merge(&order(MmapLock, InvalidateLock));
    assert_eq!(graph.cycle(), None);
    graph.merge(&order(InvalidateLock, IRwsem));
    let cycle = graph.cycle().unwrap();
    assert_eq!(cycle.len(), 3);
    for (i, seen) in cycle.iter().enumerate() {
        assert_eq!(seen.taken, cycle[(i + 1) % 3].held);
    }
}

/// Each of two agents holds one lock and, perhaps, waits for the other's.
fn crossed() -> (Bench, Lock, Lock) {
    let mut b = Bench::new();
    let (one, two) = (b.rwsem(0), b.rwsem(1));
    b.step(|w| {
        w.lock(USER, one, Mode::Exclusive);
        w.lock(DEVICE, two, Mode::Exclusive);
    });
    (b, one, two)
}

fn blocked(actor: Actor) -> impl Fn(&mut World) {
    move |w| w.facts.push(Fact::Blocked { actor })
}

#[test]
fn a_cycle_of_waits_is_a_deadlock_and_no_stall() {
    let (mut b, one, two) = crossed();
    b.finished = false;
    b.needs[USER.index()] = Need::Lock(two, Mode::Shared);
    b.needs[DEVICE.index()] = Need::Nothing;
    b.holds("deadlock", blocked(USER));
    b.needs[DEVICE.index()] = Need::Lock(one, Mode::Exclusive);
    b.breaks("deadlock", blocked(DEVICE));
    b.holds("stall", |w| w.facts.push(Fact::Ended));
}

#[test]
fn a_wait_for_what_nobody_will_do_is_a_stall() {
    let (mut b, _, two) = crossed();
    b.finished = false;
    b.needs[USER.index()] = Need::Lock(two, Mode::Shared);
    b.holds("stall", blocked(USER));
    b.holds("deadlock", blocked(USER));
    b.breaks("stall", |w| w.facts.push(Fact::Ended));
    b.needs[USER.index()] = Need::Never;
    b.finished = true;
    b.silent("stall", |w| w.facts.push(Fact::Ended));
}

#[test]
fn a_post_that_one_of_several_can_make_is_no_deadlock() {
    let mut plan = plan();
    let event = Event(0);
    plan.events.push("go".into());
    for _ in 0..2 {
        plan.threads.push(thread(Role::Kernel, OpId(6), vec![Op::Post { event }]));
    }
    let mut b = Bench::of(plan);
    let lock = b.rwsem(0);
    b.step(|w| w.lock(USER, lock, Mode::Exclusive));
    b.needs[USER.index()] = Need::Posted(event);
    b.needs[2] = Need::Lock(lock, Mode::Shared);
    b.needs[3] = Need::Nothing;
    b.holds("deadlock", blocked(Actor(2)));
    b.needs[3] = Need::Never;
    b.breaks("deadlock", blocked(Actor(2)));
}

#[test]
fn a_pin_that_somebody_else_can_release_is_no_deadlock() {
    let mut plan = plan();
    let slot = Slot(plan.slots.len() as u32);
    plan.slots.push(SlotPlan { name: "passed on".into(), pages: 1 });
    let unpin = Op::Unpin { slot, dirty: false, how: None, context: Context::Process };
    for _ in 0..2 {
        plan.threads.push(thread(Role::Kernel, OpId(6), vec![unpin]));
    }
    let mut b = Bench::of(plan);
    let (frame, lock) = (b.cached(DATA), b.rwsem(0));
    let at = b.w.map.slot_page(slot, 0);
    b.step(|w| {
        w.lock(USER, lock, Mode::Exclusive);
        w.set(at, Pinned::new().with_kind(RefType::Pin).with_frame_bits(Frame::pack(Some(frame))));
        w.add_refs(frame, 1024);
    });
    b.needs[USER.index()] = Need::Unpinned(frame);
    b.needs[2] = Need::Lock(lock, Mode::Shared);
    b.needs[3] = Need::Nothing;
    b.holds("deadlock", blocked(Actor(2)));
    // The other one waits, too, but for somebody who can go on.
    let free = b.rwsem(1);
    b.step(|w| w.lock(DEVICE, free, Mode::Exclusive));
    b.needs[DEVICE.index()] = Need::Nothing;
    b.needs[3] = Need::Lock(free, Mode::Shared);
    b.holds("deadlock", blocked(Actor(2)));
    b.needs[3] = Need::Lock(lock, Mode::Shared);
    b.breaks("deadlock", blocked(Actor(2)));
    b.needs[3] = Need::Never;
    b.breaks("deadlock", blocked(Actor(2)));
}

/// The folio is counted as a whole, the slot keeps the page of it that was asked for.
#[test]
fn the_pin_of_a_tail_page_keeps_the_whole_folio_waiting() {
    let mut plan = plan();
    plan.files[0].folio_order = 1;
    let slot = Slot(plan.slots.len() as u32);
    plan.slots.push(SlotPlan { name: "own".into(), pages: 1 });
    let unpin = Op::Unpin { slot, dirty: false, how: None, context: Context::Process };
    plan.threads.push(thread(Role::Kernel, OpId(6), vec![unpin]));
    let mut b = Bench::of(plan);
    let (head, tail) = (b.cached(DATA), b.cached(FilePage(DATA.0 + 1)));
    assert_eq!((b.w.head(tail), tail == head), (head, false));
    let at = b.w.map.slot_page(slot, 0);
    b.needs[2] = Need::Unpinned(head);
    b.step(|w| w.add_refs(head, 1024));
    assert_eq!(b.needs[2].holders(&b.w), []);
    b.holds("deadlock", blocked(Actor(2)));
    let kept = Pinned::new().with_kind(RefType::Pin).with_frame_bits(Frame::pack(Some(tail)));
    b.step(|w| w.set(at, kept));
    assert!(b.needs[2].holders(&b.w).contains(&Actor(2)));
    b.breaks("deadlock", blocked(Actor(2)));
}

/// A thread holds i_rwsem and waits for something that another one has, who waits for i_rwsem.
#[test]
fn a_cycle_through_what_is_only_counted_is_a_deadlock() {
    let file = File(0);
    for (need, has) in [
        (Need::NoDio(file), Engaged::new().with_dio(1)),
        (Need::PgmapDrained(Disk(1)), Engaged::new().with_pgmap(2)),
        (Need::SeqPassed(Mm(0), 0), Engaged::new().with_range(1)),
        (Need::RegionQuiet(Region(0)), Engaged::new().with_region(1)),
    ] {
        let mut b = Bench::new();
        let lock = b.rwsem(0);
        b.step(|w| {
            w.lock(USER, lock, Mode::Exclusive);
            w.set(file, FileState::new().with_dio_count(1));
            w.update::<DiskState>(Disk(1), |d| d.with_pgmap_refs(1));
            w.update::<RegionState>(Region(0), |r| r.with_in_flight(1));
        });
        b.needs[USER.index()] = need;
        b.needs[DEVICE.index()] = Need::Lock(lock, Mode::Shared);
        b.holds("deadlock", blocked(DEVICE));
        b.step(|w| w.set(DEVICE, has));
        b.breaks("deadlock", blocked(DEVICE));
    }
}

#[test]
fn a_dax_entry_knows_who_locked_it() {
    let mut b = Bench::new();
    let lock = b.rwsem(0);
    let entry = FilePage(0);
    b.step(|w| {
        w.lock(USER, lock, Mode::Exclusive);
        let owner = Actor::pack(Some(DEVICE));
        w.update::<CacheSlot>(entry, |s| s.with_dax_locked(true).with_dax_owner(owner));
    });
    b.needs[USER.index()] = Need::DaxEntry(entry);
    b.needs[DEVICE.index()] = Need::Lock(lock, Mode::Shared);
    b.breaks("deadlock", blocked(USER));
}
