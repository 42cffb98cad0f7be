//! What unmapping, TLB flushes, notifier sections and the mapping calls leave behind.

use super::testkit::*;
use crate::engine::model::{Ending, Model};
use crate::kernel::sim::Sim;
use crate::kernel::strategy::{Arch, Strategy};
use crate::kernel::world::contents::Contents;
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

const DATA: &[InitPage] = &[InitPage::Clean, InitPage::Clean];

fn latest() -> Strategy {
    preset("linux-6.18")
}

fn file(populate: Populate) -> Plan {
    machine(FsKind::Ext4, plain_disk(), DATA, populate)
}

fn pte(sim: &Sim, n: u32) -> Pte {
    sim.world.get(VPage(n))
}

#[test]
fn munmap_clears_ptes_makes_the_folio_dirty_and_flushes() {
    let mut plan = file(Populate::Write);
    let op = thread(&mut plan, &[Op::Munmap { vma: Vma(0) }]);
    let mut sim = Sim::new(plan, latest());
    let frame = pte(&sim, 0).frame().unwrap();
    sim.poke(|w| {
        let entry = w.get(VPage(0));
        w.change_flags(frame, |f| f.with_dirty(false));
        w.tlb_fill(Cpu(0), VPage(0), entry);
    });
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(result(&sim, op), Some(0));
    assert_eq!(pte(&sim, 0), Pte::new());
    assert_eq!(sim.world.tlb(Cpu(0), VPage(0)), None);
    assert!(sim.world.flags(frame).dirty());
    assert!(!sim.world.get::<VmaState>(Vma(0)).mapped());
    assert_eq!(sim.world.counts(frame).maps(), 0);
    assert_balanced(&sim.world);
}

#[test]
fn an_ipi_flush_waits_for_a_processor_with_interrupts_off_and_a_broadcast_does_not() {
    for (arch, waits) in [(Arch::IpiFlush, true), (Arch::BroadcastFlush, false)] {
        let mut plan = file(Populate::Read);
        thread(&mut plan, &[Op::Munmap { vma: Vma(0) }]);
        thread(&mut plan, &[Op::Wait { event: Event(0) }]);
        plan.events.push("never".into());
        plan.threads[1].background = true;
        let mut sim = Sim::new(plan, Strategy { arch, ..latest() });
        sim.poke(|w| {
            let entry = w.get(VPage(0));
            w.tlb_fill(Cpu(1), VPage(0), entry);
            w.set(Cpu(1), CpuState::new().with_irq_off(Actor::pack(Some(Actor(1)))));
        });
        let ending = run(&mut sim);
        assert_eq!(ending == Ending::Finished, !waits, "{arch:?}");
        assert_eq!(sim.world.tlb(Cpu(1), VPage(0)).is_some(), waits);
        assert_eq!(pte(&sim, 0).stale(), waits);
        // Nothing is freed before the flush is complete.
        assert_eq!(sim.world.cached(FilePage(0)).map(|f| sim.world.counts(f).maps()), Some(0));
        assert_eq!(sim.world.get::<Holders>(Frame(1)).refs(), u32::from(waits));
        sim.poke(|w| w.set(Cpu(1), CpuState::new()));
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(sim.world.tlb(Cpu(1), VPage(0)), None);
        assert!(!pte(&sim, 0).stale());
    }
}

#[test]
fn a_flush_asks_only_processors_that_run_the_address_space() {
    let mut plan = file(Populate::Read);
    thread(&mut plan, &[Op::Munmap { vma: Vma(0) }]);
    let mut sim = Sim::new(plan, latest());
    sim.poke(|w| w.set(Cpu(1), CpuState::new().with_irq_off(1)));
    assert_eq!(run(&mut sim), Ending::Finished);
}

#[test]
fn a_page_that_was_cached_again_while_a_flush_went_round_stays_stale() {
    let mut plan = file(Populate::Read);
    thread(&mut plan, &[Op::Madvise { first: VPage(0), pages: 1, advice: Advice::DontNeed }]);
    thread(&mut plan, &[Op::Wait { event: Event(0) }]);
    plan.events.push("never".into());
    plan.threads[1].background = true;
    let mut sim = Sim::new(plan, latest());
    let entry = pte(&sim, 0);
    let stale = |sim: &Sim| pte(sim, 0).stale();
    run_while(&mut sim, |s| !stale(s));
    let mut moves = Vec::new();
    sim.moves(&mut moves);
    sim.apply(moves[0]);
    // Processor 0 has answered; it maps the page and somebody clears it once more.
    sim.poke(|w| w.tlb_fill(Cpu(0), VPage(0), entry));
    assert_eq!(run(&mut sim), Ending::Finished);
    assert!(stale(&sim), "its second flush is still owed");
}

#[test]
fn mprotect_does_not_return_before_what_others_took_away_is_flushed() {
    // One page: another would be flushed on its own account, and this one with it.
    let mut plan = machine(FsKind::Ext4, plain_disk(), &DATA[..1], Populate::Write);
    let op = thread(&mut plan, &[Op::Mprotect { vma: Vma(0), read: true, write: false }]);
    let mut sim = Sim::new(plan, latest());
    sim.poke(|w| {
        // page_mkclean has write-protected the entry and is on its way to the flush.
        let entry = w.get::<Pte>(VPage(0));
        w.tlb_fill(Cpu(0), VPage(0), entry);
        w.set_pte(VPage(0), entry.with_writable(false).with_dirty(false).with_stale(true));
    });
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(result(&sim, op), Some(0));
    assert_eq!(sim.world.tlb(Cpu(0), VPage(0)), None, "no store gets through after the return");
}

#[test]
fn more_pages_than_a_bundle_are_zapped_in_several_sections() {
    let pages = [InitPage::Clean; 11];
    let mut plan = machine(FsKind::Xfs, plain_disk(), &pages, Populate::Write);
    thread(&mut plan, &[Op::Munmap { vma: Vma(0) }]);
    let mut sim = Sim::new(plan, latest());
    assert_eq!(run(&mut sim), Ending::Finished);
    assert!((0..11).all(|n| pte(&sim, n) == Pte::new()));
    assert_balanced(&sim.world);
}

#[test]
fn madvise_dontneed_drops_anonymous_memory() {
    let mut plan = file(Populate::None);
    plan.vmas[0].backing = Backing::Anon;
    plan.vmas[0].shared = false;
    let advice = Advice::DontNeed;
    let op = thread(&mut plan, &[Op::Madvise { first: VPage(0), pages: 2, advice }]);
    let mut sim = Sim::new(plan, latest());
    sim.poke(|w| anonymous(w, VPage(0)));
    let frame = pte(&sim, 0).frame().unwrap();
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!(result(&sim, op), Some(0));
    assert!(sim.world.get::<Flags>(frame).free());
    assert_balanced(&sim.world);
}

/// Maps a new anonymous page, dirty, as a store would have.
pub fn anonymous(w: &mut World, at: VPage) {
    let frame = w.alloc_frame().unwrap();
    w.set(frame, Owner::of(OwnerKind::Anon, at.0 + 1));
    w.fill(frame, WHOLE, Contents::from_bits(77 << 41));
    let pte = Pte::new().with_present(true).with_writable(true).with_dirty(true);
    w.set_pte(at, pte.with_frame(frame));
    w.map_page(frame, 1);
    w.drop_ref(frame);
}

#[test]
fn mprotect_neither_cleans_nor_unmaps_and_write_access_returns_only_to_dirty_entries() {
    let protect = |write| Op::Mprotect { vma: Vma(0), read: true, write };
    for (populate, returns) in [(Populate::Write, true), (Populate::Read, false)] {
        let mut plan = file(populate);
        thread(&mut plan, &[protect(false), protect(true)]);
        let mut sim = Sim::new(plan, latest());
        run_while(&mut sim, |s| result(s, OpId(2)).is_none());
        let frozen = pte(&sim, 0);
        assert!(frozen.present() && !frozen.writable() && !frozen.stale());
        assert_eq!(frozen.dirty(), returns);
        assert_eq!(run(&mut sim), Ending::Finished);
        assert_eq!(pte(&sim, 0).writable(), returns);
    }
}

#[test]
fn mmap_and_munmap_are_undone_by_each_other() {
    let mut plan = file(Populate::None);
    let (map, unmap) = (Op::Mmap { vma: Vma(0) }, Op::Munmap { vma: Vma(0) });
    let first = thread(&mut plan, &[map, unmap, unmap, map]);
    let mut sim = Sim::new(plan, latest());
    assert_eq!(run(&mut sim), Ending::Finished);
    let results: Vec<_> = (0..4).map(|n| result(&sim, first.plus(n)).unwrap()).collect();
    assert_eq!(results, [-super::errno::EEXIST, 0, 0, 0]);
    assert!(sim.world.get::<VmaState>(Vma(0)).mapped());
}

#[test]
fn a_watched_range_is_invalidated_from_start_to_end_and_the_sequence_ends_even() {
    let mut plan = file(Populate::Write);
    plan.devices = vec![DevicePlan::new("gpu", DeviceKind::Gpu)];
    plan.slots = vec![SlotPlan { name: "mr".into(), pages: 2 }];
    let (device, slot) = (Device(0), Slot(0));
    plan.regions = vec![RegionPlan { name: "mr".into(), device, pages: 2, slot }];
    thread(&mut plan, &[Op::Munmap { vma: Vma(0) }]);
    let (region, first) = (Region(0), VPage(0));
    // Declares that the address space can be watched; the thread itself never gets so far.
    let register = Op::Register { region, first, pages: 2, write: true, longterm: false };
    thread(&mut plan, &[Op::Wait { event: Event(0) }, register]);
    plan.events.push("never".into());
    plan.threads[1].background = true;
    let mut sim = Sim::new(plan, latest());
    sim.poke(|w| {
        let state = RegionState::new().with_state(RegionUse::Registered);
        w.set(Region(0), state.with_first_bits(1));
    });
    let mm = |s: &Sim| s.world.get::<MmState>(Mm(0));
    run_while(&mut sim, |s| pte(s, 0).present());
    assert_eq!((mm(&sim).invalidating(), mm(&sim).invalidate_seq() % 2), (1, 1));
    assert_eq!(run(&mut sim), Ending::Finished);
    assert_eq!((mm(&sim).invalidating(), mm(&sim).invalidate_seq()), (0, 2));
}
