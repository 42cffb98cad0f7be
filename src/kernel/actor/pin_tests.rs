//! Every way to count pins, in every call and context.

use super::errno::{EBUSY, ENOMEM};
use super::testkit::*;
use crate::kernel::sim::Sim;
use crate::kernel::strategy::{Pin, Strategy};
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::*;
use crate::kernel::world::price::Price;
use crate::kernel::world::{FilePage, Frame, Mm, OpId, VPage};

fn design(pin: Pin) -> Strategy {
    Strategy { pin, ..preset("linux-4.19") }
}

/// A thread that pins two pages of a file and releases them.
fn pinner(fs: FsKind, call: PinCall, context: Context, pin_as: Pin) -> (Sim, OpId) {
    let mut kit = Kit::new();
    let init = if fs == FsKind::Dax { InitPage::Cold } else { InitPage::Clean };
    let data = kit.file(fs, &[init; 2]);
    kit.map(file(data), true, 2);
    let slot = kit.slot(2);
    let load = |n| Op::Load { at: VPage(n) };
    let program = [
        load(0),
        load(1),
        pin(VPage(0), 2, slot, false, call),
        Op::Unpin { slot, dirty: false, how: None, context },
    ];
    let op = kit.thread(Mm(0), &program);
    (kit.sim_with(design(pin_as)), op.plus(2))
}

const CONTEXTS: [Context; 3] = [Context::Process, Context::Irq, Context::Worker];
const CALLS: [PinCall; 2] = [PinCall::PinFast, PinCall::PinSlow];

#[test]
fn whatever_counts_a_pin_counts_nothing_when_it_is_gone() {
    for &pin in Pin::ALL {
        for call in CALLS {
            for fs in [FsKind::Ext4, FsKind::Xfs, FsKind::Tmpfs] {
                for context in CONTEXTS {
                    let (mut sim, op) = pinner(fs, call, context, pin);
                    while result(&sim, op).is_none() {
                        assert!(step(&mut sim, 0));
                        assert_balanced(&sim.world);
                    }
                    assert_eq!(ret(&sim, op), 2, "{pin:?} {call:?} {fs:?}");
                    for n in 0..2 {
                        let frame = sim.world.cached(FilePage(n)).unwrap();
                        let said = sim.world.counts_say_pinned(frame);
                        let own = !matches!(pin, Pin::None | Pin::MappingCounter);
                        assert_eq!(said, own, "{pin:?} {call:?} {fs:?}");
                    }
                    finish(&mut sim);
                    assert_at_rest(&sim);
                    for n in 0..2 {
                        let frame = sim.world.cached(FilePage(n)).unwrap();
                        let flags = sim.world.flags(frame);
                        assert!(!sim.world.counts_say_pinned(frame), "{pin:?}");
                        assert!(flags.lru() && !flags.pin_private(), "{pin:?} {flags:?}");
                        assert_eq!(flags.buffers(), fs == FsKind::Ext4);
                    }
                }
            }
        }
    }
}

#[test]
fn pins_of_a_dax_file_are_given_back_under_every_design() {
    for &pin in Pin::ALL {
        for call in CALLS {
            let (mut sim, op) = pinner(FsKind::Dax, call, Context::Process, pin);
            finish(&mut sim);
            assert_eq!(ret(&sim, op), 2, "{pin:?} {call:?}");
            assert_at_rest(&sim);
        }
    }
}

#[test]
fn designs_without_gup_fast_send_every_page_through_the_slow_path() {
    for &pin in Pin::ALL {
        let (mut sim, _) = pinner(FsKind::Ext4, PinCall::PinFast, Context::Process, pin);
        finish(&mut sim);
        let price = |p| sim.world.prices.get(p);
        let fast = if pin.fast() { (2, 0) } else { (0, 2) };
        assert_eq!((price(Price::FastHits), price(Price::FastMisses)), fast, "{pin:?}");
        assert_eq!((price(Price::Pins), price(Price::Unpins)), (2, 2), "{pin:?}");
        assert!(price(Price::PinAtomics) >= 4, "{pin:?}");
    }
}

#[test]
fn each_design_pays_its_own_price() {
    use Price::*;
    for (pin, price, expected) in [
        (Pin::None, PinAtomics, 4),
        (Pin::PageCounter, PinAtomics, 8),
        (Pin::Mapcount, PinAtomics, 8),
        (Pin::SideTable, PinLocks, 4),
        (Pin::SideTable, AtomicAllocs, 2),
        (Pin::PagePrivate, AtomicAllocs, 2),
        (Pin::PagePrivate, PinBytes, 64),
        (Pin::OffLru, LruMoves, 4),
        (Pin::OffLru, Allocs, 0),
        (Pin::FakeVma, Allocs, 2),
        (Pin::FakeVma, AtomicAllocs, 0),
        (Pin::FakeVma, PinLocks, 4),
        (Pin::RefcountBias, RefsPeak, 1024 + 3),
        (Pin::SqueezeHmm, SideLookups, 0),
    ] {
        let (mut sim, _) = pinner(FsKind::Ext4, PinCall::PinFast, Context::Process, pin);
        finish(&mut sim);
        assert_eq!(sim.world.prices.get(price), expected, "{pin:?} {price:?}");
    }
}

#[test]
fn only_pages_of_devices_need_a_lookup_where_hmm_data_was_moved() {
    let (mut sim, _) = pinner(FsKind::Dax, PinCall::PinFast, Context::Process, Pin::SqueezeHmm);
    finish(&mut sim);
    assert_eq!(sim.world.prices.get(Price::SideLookups), 4, "two pins, two unpins");
    assert_eq!(sim.world.prices.get(Price::PgmapLookups), 1, "one for the call");
}

/// A program over one mapped page of a file.
fn program(fs: FsKind, ops: &[Op], slots: u32, pin: Pin) -> (Sim, OpId) {
    let mut kit = Kit::new();
    let data = kit.file(fs, &[InitPage::Clean]);
    kit.map(file(data), true, 1);
    for _ in 0..slots {
        kit.slot(1);
    }
    let op = kit.thread(Mm(0), ops);
    (kit.sim_with(design(pin)), op)
}

fn page(sim: &Sim) -> Frame {
    sim.world.cached(FilePage(0)).unwrap()
}

#[test]
fn a_page_pinned_twice_goes_back_to_its_list_at_the_last_unpin() {
    use crate::kernel::world::Slot;
    let fast = PinCall::PinFast;
    let ops = [
        pin(VPage(0), 1, Slot(0), false, fast),
        pin(VPage(0), 1, Slot(1), false, fast),
        unpin(Slot(0), false),
        unpin(Slot(1), false),
    ];
    let (mut sim, op) = program(FsKind::Ext4, &ops, 2, Pin::OffLru);
    let off = |sim: &Sim| {
        let flags = sim.world.flags(page(sim));
        (flags.lru(), flags.dma_pinned())
    };
    while result(&sim, op.plus(2)).is_none() {
        step(&mut sim, 0);
    }
    assert_eq!(off(&sim), (false, true));
    finish(&mut sim);
    assert_eq!(off(&sim), (true, false));
    assert_eq!(sim.world.prices.get(Price::LruMoves), 2);
}

#[test]
fn a_page_that_somebody_has_isolated_cannot_be_taken_off_its_list() {
    use crate::kernel::world::Slot;
    let ops = [pin(VPage(0), 1, Slot(0), false, PinCall::PinFast)];
    let (mut sim, op) = program(FsKind::Ext4, &ops, 1, Pin::OffLru);
    run_until(&mut sim, 0, "gup: isolate_lru_page");
    let frame = page(&sim);
    sim.world.change_flags(frame, |f| f.with_lru(false));
    finish(&mut sim);
    assert_eq!(ret(&sim, op), -EBUSY);
    assert_balanced(&sim.world);
}

#[test]
fn buffers_come_back_from_behind_page_private() {
    use crate::kernel::world::Slot;
    let ops = [pin(VPage(0), 1, Slot(0), false, PinCall::PinFast), unpin(Slot(0), false)];
    let (mut sim, op) = program(FsKind::Ext4, &ops, 1, Pin::PagePrivate);
    while result(&sim, op).is_none() {
        step(&mut sim, 0);
    }
    let flags = sim.world.flags(page(&sim));
    assert!(flags.pin_private() && flags.hidden_buffers() && !flags.buffers());
    finish(&mut sim);
    let flags = sim.world.flags(page(&sim));
    assert!(!flags.pin_private() && !flags.hidden_buffers() && flags.buffers());
}

#[test]
fn an_unpin_after_truncate_leaves_the_mappings_counter_up() {
    use crate::kernel::world::{File, Slot};
    let ops = [
        pin(VPage(0), 1, Slot(0), false, PinCall::PinFast),
        Op::Truncate { file: File(0), size: 0 },
        unpin(Slot(0), false),
    ];
    let (mut sim, op) = program(FsKind::Xfs, &ops, 1, Pin::MappingCounter);
    finish(&mut sim);
    assert_eq!(ret(&sim, op.plus(2)), 0);
    assert_eq!(sim.world.get::<MappingPins>(File(0)).pins(), 1);
}

#[test]
fn two_to_the_twenty_one_pins_are_the_last_that_a_bias_has_room_for() {
    let hoard = |count, pin| Op::Hoard { at: VPage(0), count, pin };
    let ops = [
        Op::Load { at: VPage(0) },
        hoard((1 << 21) - 1, true),
        hoard(1, true),
        hoard(1, true),
        hoard(1, false),
    ];
    for pin in [Pin::RefcountBias, Pin::FolioPincount] {
        let (mut sim, op) = program(FsKind::Ext4, &ops, 0, pin);
        sim.set_judging(false);
        finish(&mut sim);
        let rets: Vec<i32> = (1..5).map(|n| ret(&sim, op.plus(n))).collect();
        assert_eq!(rets, [0, 0, -ENOMEM, -ENOMEM]);
        assert!(sim.world.counts(page(&sim)).refs() < 0);
        assert!(sim.world.counts_say_pinned(page(&sim)), "the sign bit counts as a pin");
    }
}

#[test]
fn a_thousand_references_look_like_a_pin_to_a_bias_only() {
    let ops = [Op::Load { at: VPage(0) }, Op::Hoard { at: VPage(0), count: 1100, pin: false }];
    for &pin in Pin::ALL {
        let (mut sim, _) = program(FsKind::Ext4, &ops, 0, pin);
        finish(&mut sim);
        let fuzzy = matches!(pin, Pin::RefcountBias | Pin::FolioPincount);
        assert_eq!(sim.world.counts_say_pinned(page(&sim)), fuzzy, "{pin:?}");
    }
}

/// The weakness of the bit (claim 78): the counter is read before the bit is cleared.
#[test]
fn one_who_saw_no_pins_clears_the_bit_of_a_pin_that_came_meanwhile() {
    use crate::kernel::strategy::Truncate;
    use crate::kernel::world::Slot;
    let fast = PinCall::PinFast;
    let mut kit = Kit::new();
    let data = kit.file(FsKind::Xfs, &[InitPage::Clean]);
    kit.map(file(data), true, 1);
    kit.slot(1);
    let ops = [
        pin(VPage(0), 1, Slot(0), false, fast),
        unpin(Slot(0), false),
        pin(VPage(0), 1, Slot(0), false, fast),
        unpin(Slot(0), false),
    ];
    let op = kit.thread(Mm(0), &ops);
    kit.thread(Mm(0), &[Op::Punch { first: FilePage(0), pages: 1 }]);
    let truncate = Truncate::WaitUnlocked;
    let mut sim = kit.sim_with(Strategy { truncate, ..design(Pin::MappingCounter) });
    run_agent(&mut sim, 0, |sim| result(sim, op.plus(1)).is_some());
    let frame = page(&sim);
    assert!(sim.world.flags(frame).dma_pinned(), "an unpin cannot clear it");
    run_until(&mut sim, 1, "ClearPageDmaPinned");
    run_agent(&mut sim, 0, |sim| result(sim, op.plus(2)).is_some());
    assert_eq!(sim.world.get::<MappingPins>(data).pins(), 1);
    run_agent(&mut sim, 1, |sim| !sim.world.flags(frame).dma_pinned());
    assert_eq!(sim.world.get::<Holders>(frame).pins(), 1, "pinned, and nobody can tell");
}
