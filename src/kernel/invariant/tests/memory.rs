//! Frames, counts, pins, devices, TLBs.

use super::*;
use crate::kernel::world::facts::{Page, Toucher};
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;

fn dma(at: RegionPage, page: Page, write: bool) -> Fact {
    Fact::Dma { at, page, write, part: WHOLE }
}

/// A frame of anonymous memory, mapped by the parent.
fn anonymous(bench: &mut Bench) -> Frame {
    let mut frame = None;
    bench.step(|w| {
        frame = w.alloc_frame();
        w.set(frame.unwrap(), Owner::of(OwnerKind::Anon, ANON.0 + 1));
    });
    let frame = frame.unwrap();
    bench.map(ANON, frame);
    bench.step(|w| {
        w.drop_ref(frame);
    });
    frame
}

/// The DAX file's page 0 is cut off and its block freed.
fn free_dax_block(w: &mut World) -> Block {
    let block = w.get::<Extent>(DAX).block().unwrap();
    w.set(DAX, Extent::new());
    w.free_block(block);
    block
}

#[test]
fn touching_a_freed_frame_is_use_after_free() {
    let mut b = Bench::new();
    let frame = anonymous(&mut b);
    let page = b.w.page(frame);
    b.silent("use-after-free", |w| w.touch(page, true, Toucher::Cpu));
    b.step(|w| {
        w.set_pte(ANON, Pte::new());
        w.map_page(frame, -1);
    });
    b.breaks("use-after-free", |w| w.touch(page, false, Toucher::Device));
}

#[test]
fn a_touch_before_the_last_reference_is_dropped_is_no_crime() {
    let mut b = Bench::new();
    let frame = b.w.alloc_frame().unwrap();
    let page = b.w.page(frame);
    b.silent("use-after-free", |w| {
        w.touch(page, true, Toucher::Kernel);
        w.drop_ref(frame);
    });
}

#[test]
fn a_pinned_page_that_left_its_file_may_be_touched() {
    let mut b = Bench::new();
    let frame = b.cached(DATA);
    b.pin(frame);
    let page = b.w.page(frame);
    b.holds("use-after-free", |w| {
        w.cache_remove(frame);
        w.put_refs(frame, 1);
    });
    b.holds("use-after-free", |w| w.touch(page, true, Toucher::Device));
}

#[test]
fn a_reference_to_a_removed_struct_page_is_found() {
    let mut b = Bench::new();
    let frame = b.w.map.pmem_frame(b.w.get::<Extent>(DAX).block().unwrap()).unwrap();
    let pmem = Disk(1);
    b.silent("missing-struct-page", |w| {
        w.try_get(frame);
        w.put_refs(frame, 1);
    });
    b.map(MAP_DAX, frame);
    b.holds("missing-struct-page", |w| {
        w.update::<DiskState>(pmem, |d| d.with_pgmap(PgmapState::Killed));
    });
    b.holds("missing-struct-page", |w| {
        w.try_get(frame);
        w.put_refs(frame, 1);
    });
    b.breaks("missing-struct-page", |w| {
        w.change_flags(frame, |f| f.with_removed(true));
        w.try_get(frame);
    });
}

#[test]
fn a_count_without_a_holder_is_out_of_balance() {
    let data = |b: &Bench| b.cached(DATA);
    let mut b = Bench::new();
    let frame = data(&b);
    b.holds("count-balance", |w| w.take_ref(frame));
    b.holds("count-balance", |w| w.strip_buffers(frame));
    b.pin(frame);
    b.breaks("count-balance", |w| w.add_refs(frame, 1));
    b.holds("count-balance", |w| w.add_refs(frame, -1));
    b.breaks("count-balance", |w| w.add_rmap(frame, 1));
    let mut b = Bench::new();
    b.breaks("count-balance", |w| w.hold(frame, Holder::Ref, 1));
    b.breaks("count-balance", |w| w.add_refs(frame, -5));
}

#[test]
fn mappings_of_pmem_count_where_the_design_says_so() {
    for mapped_refs in [false, true] {
        let mut b = Bench::new();
        b.w.rules.mapped_refs = mapped_refs;
        let frame = b.w.map.pmem_frame(b.w.get::<Extent>(DAX).block().unwrap()).unwrap();
        b.w.set(frame, Counts::new().with_refs(i32::from(!mapped_refs)));
        b.holds("count-balance", |w| {
            w.set_pte(MAP_DAX, Pte::new().with_present(true).with_frame(frame));
            w.map_page(frame, 1);
        });
        b.breaks("count-balance", |w| w.add_rmap(frame, if mapped_refs { -1 } else { 1 }));
    }
}

#[test]
fn pins_of_a_larger_folio_are_counted_beside_the_reference() {
    let mut b = Bench::new();
    let frame = b.w.alloc_frame().unwrap();
    b.w.change_flags(frame, |f| f.with_order(1));
    b.holds("count-balance", |w| {
        w.hold(frame, Holder::Pin, 2);
        w.update::<Counts>(frame, |c| c.with_refs(c.refs() + 2).with_pins(2));
    });
    b.breaks("count-balance", |w| {
        w.update::<Counts>(frame, |c| c.with_pins(1));
    });
}

#[test]
fn freeing_a_pinned_dax_block_is_found_and_a_busy_one_is_not_free() {
    let mut b = Bench::new();
    let frame = b.w.map.pmem_frame(b.w.get::<Extent>(DAX).block().unwrap()).unwrap();
    b.map(MAP_DAX, frame);
    b.keep(SlotPage(0), frame);
    b.holds("freed-while-pinned", |w| {
        w.set_pte(MAP_DAX, Pte::new());
        w.map_page(frame, -1);
    });
    b.silent("freed-while-pinned", |w| {
        let block = w.map.pmem_block(frame).unwrap();
        w.set(DAX, Extent::new());
        w.update::<BlockState>(block, |s| s.with_state(BlockUse::Busy));
    });
    b.breaks("freed-while-pinned", |w| {
        let block = w.map.pmem_block(frame).unwrap();
        w.free_block(block);
    });
}

#[test]
fn a_reference_taken_after_the_free_frees_nothing_under_a_pin() {
    let mut b = Bench::new();
    let mut block = Block(0);
    b.silent("freed-while-pinned", |w| block = free_dax_block(w));
    let frame = b.w.map.pmem_frame(block).unwrap();
    b.silent("freed-while-pinned", |w| {
        w.add_refs(frame, 1024);
        w.hold(frame, Holder::Pin, 1);
    });
}

#[test]
fn a_block_freed_under_a_passing_pin_is_found_once_a_slot_keeps_it() {
    let mut b = Bench::new();
    let frame = b.w.map.pmem_frame(b.w.get::<Extent>(DAX).block().unwrap()).unwrap();
    b.pin(frame);
    b.silent("freed-while-pinned", |w| {
        free_dax_block(w);
    });
    b.breaks("freed-while-pinned", |w| w.set(SlotPage(0), kept(frame)));
    b.silent("freed-while-pinned", |w| w.set(SlotPage(0), Pinned::new()));
}

#[test]
fn freeing_a_frame_of_which_there_are_very_many_pins_is_found_without_a_slot() {
    let mut b = Bench::new();
    let frame = b.w.alloc_frame().unwrap();
    b.step(|w| w.hold(frame, Holder::Pin, 1000));
    b.breaks("freed-while-pinned", |w| {
        w.drop_ref(frame);
    });
}

#[test]
fn freeing_a_frame_whose_pin_is_not_counted_is_found() {
    let mut b = Bench::new();
    let frame = b.w.alloc_frame().unwrap();
    b.step(|w| w.hold(frame, Holder::Pin, 1));
    b.step(|w| w.set(SlotPage(0), kept(frame)));
    b.breaks("freed-while-pinned", |w| {
        w.drop_ref(frame);
    });
}

#[test]
fn only_a_wrong_no_misses_a_pin() {
    let mut b = Bench::new();
    let frame = b.cached(DATA);
    let asked = |answer| Fact::PinAsked { frame, answer, then: true };
    b.silent("pin-missed", |w| w.facts.push(asked(true)));
    b.pin(frame);
    b.holds("pin-missed", |w| w.facts.push(asked(true)));
    b.breaks("pin-missed", |w| w.facts.push(asked(false)));
}

#[test]
fn dma_into_a_frame_that_was_handed_on_is_foreign() {
    let mut b = Bench::new();
    let frame = anonymous(&mut b);
    let page = b.w.page(frame);
    b.silent("foreign-dma", |w| w.facts.push(dma(NIC_ANON, page, true)));
    b.step(|w| {
        w.set_pte(ANON, Pte::new());
        w.map_page(frame, -1);
        w.alloc_frame();
    });
    b.breaks("foreign-dma", |w| w.facts.push(dma(NIC_ANON, page, true)));
    b.silent("foreign-dma", |w| w.facts.push(dma(NIC_ANON, page, false)));
}

#[test]
fn dma_into_a_page_that_fork_left_to_the_other_side_is_foreign() {
    let mut b = Bench::new();
    let frame = anonymous(&mut b);
    b.pin(frame);
    b.map(CHILD, frame);
    let page = b.w.page(frame);
    b.silent("foreign-dma", |w| w.facts.push(dma(NIC_ANON, page, true)));
    b.holds("foreign-dma", |w| {
        w.set_pte(ANON, Pte::new());
        w.map_page(frame, -1);
    });
    b.breaks("foreign-dma", |w| w.facts.push(dma(NIC_ANON, page, true)));
    b.step(|w| {
        w.set_pte(CHILD, Pte::new());
        w.map_page(frame, -1);
    });
    b.holds("foreign-dma", |w| w.facts.push(dma(NIC_ANON, page, true)));
}

#[test]
fn dma_into_a_dax_block_of_another_file_is_foreign() {
    let mut b = Bench::new();
    let frame = b.w.map.pmem_frame(b.w.get::<Extent>(DAX).block().unwrap()).unwrap();
    let page = b.w.page(frame);
    b.silent("foreign-dma", |w| w.facts.push(dma(NIC_DAX, page, true)));
    b.step(|w| {
        free_dax_block(w);
    });
    b.holds("foreign-dma", |w| w.facts.push(dma(NIC_DAX, page, true)));
    b.breaks("foreign-dma", |w| {
        let block = w.alloc_block(Disk(1), DAX.plus(1)).unwrap();
        assert_eq!(w.map.pmem_frame(block), Some(frame));
        w.facts.push(dma(NIC_DAX, page, true));
    });
}

#[test]
fn dma_to_a_truncated_page_is_silent_until_somebody_is_told() {
    let mut b = Bench::new();
    let frame = b.cached(DATA);
    b.pin(frame);
    let page = b.w.page(frame);
    b.silent("silent-orphan-dma", |w| w.facts.push(dma(NIC, page, true)));
    b.holds("silent-orphan-dma", |w| {
        w.cache_remove(frame);
        w.put_refs(frame, 1);
    });
    b.breaks("silent-orphan-dma", |w| w.facts.push(dma(NIC, page, false)));
    b.step(|w| w.set(NIC, Xlat::new().with_valid(true).with_told(true)));
    b.holds("silent-orphan-dma", |w| w.facts.push(dma(NIC, page, false)));
}

#[test]
fn a_dax_page_whose_block_left_the_file_is_an_orphan() {
    let mut b = Bench::new();
    let frame = b.w.map.pmem_frame(b.w.get::<Extent>(DAX).block().unwrap()).unwrap();
    let page = b.w.page(frame);
    b.silent("silent-orphan-dma", |w| w.facts.push(dma(NIC_DAX, page, true)));
    b.breaks("silent-orphan-dma", |w| {
        free_dax_block(w);
        w.facts.push(dma(NIC_DAX, page, true));
    });
    b.holds("silent-orphan-dma", |w| {
        w.update::<RegionState>(Region(1), |r| r.with_state(RegionUse::Terminated));
        w.facts.push(dma(NIC_DAX, page, true));
    });
}

#[test]
fn a_peer_must_get_what_the_file_holds() {
    let mut b = Bench::new();
    let frame = b.cached(DATA);
    let now = b.w.file_contents(DATA);
    let xlat = Xlat::new().with_valid(true).with_frame_bits(Frame::pack(Some(frame)));
    b.step(|w| w.set(NIC, xlat));
    let got = |got, part| Fact::RemoteGot { at: NIC, part, got };
    b.silent("corrupt-remote-read", |w| w.facts.push(got(now, WHOLE)));
    b.pin(frame);
    b.holds("corrupt-remote-read", |w| {
        w.cache_remove(frame);
        w.put_refs(frame, 1);
    });
    b.holds("corrupt-remote-read", |w| w.facts.push(got(now, (0, 2048))));
    let other = version(DATA, 9, STORE);
    b.breaks("corrupt-remote-read", |w| w.facts.push(got(other, (0, 2048))));
    b.step(|w| w.set(File(0), Size::new().with_bytes(100)));
    let half = b.w.patches.overlay(now, (2048, 4096), other);
    b.holds("corrupt-remote-read", |w| w.facts.push(got(half, WHOLE)));
    b.step(|w| w.set(File(0), Size::new()));
    b.breaks("corrupt-remote-read", |w| w.facts.push(got(now, WHOLE)));
}

#[test]
fn a_device_must_not_translate_after_range_start() {
    let mut b = Bench::new();
    let frame = b.cached(DATA);
    b.map(MAP, frame);
    let xlat = Xlat::new().with_valid(true).with_write(true);
    let xlat = xlat.with_frame_bits(Frame::pack(Some(frame)));
    b.silent("stale-device-mapping", |w| w.set(ODP, xlat));
    b.breaks("stale-device-mapping", |w| w.facts.push(Fact::RangeStarted { at: MAP }));
    b.breaks("stale-device-mapping", |w| {
        let pte = w.get::<Pte>(MAP);
        w.set_pte(MAP, pte.with_writable(false));
    });
    b.holds("stale-device-mapping", |w| {
        w.set(ODP, xlat.with_valid(false));
        w.facts.push(Fact::RangeStarted { at: MAP });
    });
    b.breaks("stale-device-mapping", |w| w.set(ODP, xlat));
    b.silent("stale-device-mapping", |w| {
        w.update::<RegionState>(Region(2), |r| r.with_state(RegionUse::None));
        w.facts.push(Fact::RangeStarted { at: MAP });
    });
}

#[test]
fn a_store_through_a_flushed_translation_is_found() {
    let mut b = Bench::new();
    let frame = b.cached(DATA);
    b.map(MAP, frame);
    let stored = Fact::Stored { at: MAP, frame, through_tlb: true };
    b.step(|w| {
        let pte = w.get::<Pte>(MAP);
        w.tlb_fill(Cpu(1), MAP, pte);
    });
    b.silent("stale-tlb", |w| w.facts.push(stored));
    b.holds("stale-tlb", |w| {
        let pte = w.get::<Pte>(MAP);
        w.set_pte(MAP, pte.with_writable(false).with_stale(true));
    });
    b.holds("stale-tlb", |w| w.facts.push(stored));
    b.step(|w| {
        let pte = w.get::<Pte>(MAP);
        w.set_pte(MAP, pte.with_stale(false));
    });
    b.breaks("stale-tlb", |w| w.facts.push(stored));
    b.silent("stale-tlb", |w| {
        w.facts.push(Fact::Stored { at: MAP, frame, through_tlb: false });
    });
}
