//! What scenarios mean: the plans that they compile to.

use gupsim::kernel::world::ids::*;
use gupsim::kernel::world::plan::*;
use gupsim::scenario::{Loaded, load};
use std::time::{Duration, Instant};

fn loaded(text: &str) -> Loaded {
    load::text("test", text).unwrap_or_else(|problems| panic!("{}", problems.plain(100)))
}

#[test]
fn the_smallest_scenario_has_a_machine_of_defaults() {
    let plan = loaded(
        r#"{
            "title": "t",
            "files": { "data": {} },
            "mappings": { "buf": { "file": "data" } },
            "threads": {
                "A": { "do": [{ "store": "buf[0]" }] },
                "B": { "kind": "kernel", "do": [{ "writeback": "data" }] }
            }
        }"#,
    )
    .plan;
    assert_eq!(plan.cpus, 2);
    assert_eq!((plan.threads[0].cpu, plan.threads[1].cpu), (Cpu(0), Cpu(1)));
    assert_eq!((plan.mms.len(), plan.mms[0].name.as_str()), (1, "P"));
    assert_eq!((plan.disks.len(), plan.disks[0].name.as_str()), (1, "disk0"));
    assert!(matches!(plan.disks[0].kind, DiskKind::Block { checksum: false, queue_depth: 1, .. }));
    let file = &plan.files[0];
    assert_eq!((file.fs, file.size, file.capacity), (FsKind::Ext4, 4096, 1));
    assert_eq!(file.pages, [InitPage::Clean]);
    let vma = &plan.vmas[0];
    assert!(vma.shared && vma.read && vma.write && vma.mapped);
    assert_eq!((vma.pages, vma.populate), (1, Populate::None));
    assert_eq!(plan.threads[0].program, [Op::Store { at: VPage(0), part: WHOLE }]);
    assert_eq!(plan.threads[0].first_op, OpId(2), "numbers 0 and 1 are reserved");
    assert_eq!(plan.threads[1].first_op, OpId(3));
    assert_eq!(plan.workers, 0);
}

#[test]
fn pages_of_files_and_mappings_are_numbered_through() {
    let plan = loaded(
        r#"{
            "title": "t",
            "files": { "a": { "pages": 3 }, "b": { "pages": 1, "capacity": 4 } },
            "mappings": { "x": { "file": "a", "first": 1 }, "y": { "pages": 5 } },
            "threads": { "A": { "do": [
                { "store": "x[1].first-half" },
                { "load": "y[4]" },
                { "write": "b[2].100-200" },
                { "punch": "a[1..3]" },
                { "punch": "b" }
            ] } }
        }"#,
    )
    .plan;
    assert_eq!(
        plan.threads[0].program,
        [
            Op::Store { at: VPage(1), part: (0, 2048) },
            Op::Load { at: VPage(6) },
            Op::Write { at: FilePage(5), part: (100, 200) },
            Op::Punch { first: FilePage(1), pages: 2 },
            Op::Punch { first: FilePage(3), pages: 4 },
        ]
    );
    assert_eq!(plan.file_pages(), 7);
    assert_eq!(plan.vpages(), 7);
}

#[test]
fn repeats_become_jumps_back() {
    let plan = loaded(
        r#"{
            "title": "t",
            "files": { "data": {} },
            "threads": { "A": { "do": [
                { "fsync": "data" },
                { "repeat": { "times": 3, "do": [
                    { "read": "data[0]" },
                    { "repeat": { "times": 2, "do": [{ "write": "data[0]" }] } }
                ] } },
                { "fdatasync": "data" }
            ] } }
        }"#,
    )
    .plan;
    let at = FilePage(0);
    assert_eq!(
        plan.threads[0].program,
        [
            Op::Fsync { file: File(0), data_only: false },
            Op::Read { at },
            Op::Write { at, part: WHOLE },
            Op::Repeat { to: 2, times: 2 },
            Op::Repeat { to: 1, times: 3 },
            Op::Fsync { file: File(0), data_only: true },
        ]
    );
}

#[test]
fn slots_and_regions_appear_by_use_with_the_most_pages_they_get() {
    let plan = loaded(
        r#"{
            "title": "t",
            "mappings": { "buf": { "pages": 4 } },
            "devices": { "nic0": {}, "nic1": {} },
            "threads": {
                "A": { "do": [
                    { "pin": { "at": "buf[0]" } }, { "unpin": {} },
                    { "pin": { "at": "buf[1..4]", "write": true, "call": "get-slow" } },
                    { "unpin": { "dirty": true, "context": "worker" } },
                    { "register": { "at": "buf[0..2]", "device": "nic1" } }
                ] },
                "N": { "kind": "device", "device": "nic1", "do": [{ "dma_read": "mr[1]" }] }
            }
        }"#,
    )
    .plan;
    assert_eq!((plan.slots[0].name.as_str(), plan.slots[0].pages), ("pin", 3));
    let region = &plan.regions[0];
    assert_eq!((region.name.as_str(), region.pages, region.device), ("mr", 2, Device(1)));
    assert_eq!(plan.slots[region.slot.0 as usize].pages, 2);
    assert_eq!(plan.workers, 1, "an unpin is handed to a worker");
}

#[test]
fn a_forked_address_space_has_copies_of_its_parents_mappings() {
    let loaded = loaded(
        r#"{
            "title": "t",
            "mms": { "C": { "child_of": "P" } },
            "mappings": { "buf": {} },
            "threads": {
                "parent": { "do": [{ "fork": "C" }, { "label": "after", "store": "buf[0]" }] },
                "child": { "mm": "C", "do": [{ "load": "buf[0]" }] },
                "other": { "mm": "C", "do": [{ "load": "C.buf[0]" }] }
            }
        }"#,
    );
    let Loaded { tables, plan, .. } = loaded;
    let (parent, child) = (tables.mms.get("P").unwrap(), tables.mms.get("C").unwrap());
    assert_eq!(plan.mms[child.0 as usize].child_of, Some(parent));
    let store = Op::Store { at: VPage(0), part: WHOLE };
    assert_eq!(plan.threads[0].program, [Op::Fork { child }, store]);
    assert_eq!(plan.threads[1].program, [Op::Load { at: VPage(1) }]);
    assert_eq!(plan.threads[2].program, [Op::Load { at: VPage(1) }]);
    assert_eq!(plan.threads[0].labels, ["", "after"]);
    assert_eq!(tables.labels.get("after"), Some(OpId(2 + 1)));
    let copy = &plan.vmas[1];
    assert_eq!((copy.name.as_str(), copy.mm, copy.copy_of), ("C.buf", child, Some(Vma(0))));
    assert!(!copy.mapped && copy.populate == Populate::None);
}

#[test]
fn free_memory_is_enough_unless_the_scenario_says_otherwise() {
    let text = |more: &str| {
        format!(
            r#"{{
                "title": "t", {more}
                "files": {{
                    "a": {{ "pages": 3, "initial": "cold", "except": {{ "1": "dirty" }} }},
                    "b": {{ "pages": 0, "capacity": 2 }}
                }},
                "mappings": {{ "anon": {{ "pages": 2 }} }},
                "threads": {{ "A": {{ "do": [{{ "store": "anon[0]" }}] }} }}
            }}"#
        )
    };
    let plan = loaded(&text("")).plan;
    // Two cold pages, two holes, two anonymous pages, and one to spare.
    assert_eq!((plan.spare_frames, plan.disks[0].spare_blocks), (7, 2));
    let plan = loaded(&text(r#""spare_frames": 1, "disks": { "d": { "spare_blocks": 0 } },"#)).plan;
    assert_eq!((plan.spare_frames, plan.disks[0].spare_blocks), (1, 0));
    assert_eq!(plan.files[0].pages, [InitPage::Cold, InitPage::Dirty, InitPage::Cold]);
}

#[test]
fn ten_thousand_actors_and_a_million_pages_compile_fast_and_always_alike() {
    let text = r#"{
        "title": "large",
        "generate": [
            { "count": 16, "devices": { "nic{i}": {} } },
            { "count": 1000, "files": { "f{i}": { "pages": 1000 } },
              "mappings": { "m{i}": { "file": "f{i}" } } },
            { "count": 4500, "threads": {
                "app{i}": { "do": [
                    { "label": "r{i}", "register": {
                        "region": "mr{i}", "device": "nic{i%16}",
                        "at": "m{i%1000}[{i/1000*200}]" } },
                    { "post": "go{i}" }, { "wait": "done{i}" },
                    { "deregister": { "region": "mr{i}", "dirty": true } }
                ] },
                "dma{i}": { "kind": "device", "device": "nic{i%16}", "do": [
                    { "wait": "go{i}" }, { "dma_write": "mr{i}" }, { "post": "done{i}" }
                ] }
            } },
            { "count": 1000, "threads": {
                "flusher{i}": { "kind": "kernel", "do": [{ "writeback": "f{i}" }] }
            } }
        ]
    }"#;
    let start = Instant::now();
    let first = loaded(text).plan;
    let took = start.elapsed();
    assert_eq!(first.threads.len(), 10_000);
    assert_eq!(first.file_pages(), 1_000_000);
    assert_eq!(first.regions.len(), 4500);
    assert_eq!(first.threads[1].name, "dma0");
    let register = |thread: usize| first.threads[thread].program[0];
    assert!(matches!(register(2 * 2345), Op::Register { first: VPage(345_400), pages: 1, .. }));
    // A quarter of a second or so on a slow machine; the bound only catches a quadratic loader.
    assert!(took < Duration::from_secs(3), "took {took:?}");
    assert_eq!(format!("{first:?}"), format!("{:?}", loaded(text).plan));
    eprintln!("compiled in {took:?}");
}
