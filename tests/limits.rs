//! What a machine of many pages costs in memory.

use gupsim::kernel::sim::Sim;
use gupsim::kernel::strategy::Preset;
use gupsim::kernel::world::plan::*;
use gupsim::kernel::world::*;

/// Bytes of cells for each page of a file, with its frame, its block, and its place in a mapping.
const BYTES_PER_PAGE: usize = 128;

#[test]
fn a_page_takes_less_than_128_bytes() {
    let pages = 1 << 16;
    let block = DiskKind::Block {
        checksum: false,
        stable_writes: false,
        volatile_cache: true,
        queue_depth: 1,
    };
    let plan = Plan {
        cpus: 1,
        disks: vec![DiskPlan { name: "disk".into(), kind: block, spare_blocks: 0 }],
        files: vec![FilePlan {
            name: "data".into(),
            fs: FsKind::Ext4,
            disk: Some(Disk(0)),
            size: u64::from(pages) * u64::from(PAGE_SIZE),
            capacity: pages,
            pages: vec![InitPage::Dirty; pages as usize],
            folio_order: 0,
        }],
        mms: vec![MmPlan { name: "P".into(), child_of: None }],
        vmas: vec![VmaPlan {
            name: "buf".into(),
            mm: Mm(0),
            pages,
            backing: Backing::File { file: File(0), first: 0 },
            shared: true,
            read: true,
            write: true,
            mapped: true,
            populate: Populate::Write,
            copy_of: None,
        }],
        ..Plan::default()
    };
    let sim = Sim::new(plan, Preset::ALL[0].strategy);
    let bytes = sim.world.bytes();
    assert!(bytes < BYTES_PER_PAGE * pages as usize, "{} bytes a page", bytes / pages as usize);
}
