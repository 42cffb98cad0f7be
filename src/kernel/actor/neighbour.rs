//! Somebody else, who takes what was freed: the innocent victim of a device or a stale TLB entry
//! that still writes to it.

use super::disk::end_io;
use super::errno::{EEXIST, EIO, ENOENT, ENOMEM, ENOSPC};
use super::step::*;
use crate::kernel::world::contents::Version;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::{Page, Toucher};
use crate::kernel::world::machine::{Extent, ExtentKind, OpResult};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Newest, Owner, OwnerKind, Size};
use crate::kernel::world::plan::{Op, PAGE_SIZE, WHOLE};
use crate::kernel::world::{Block, Contents, FilePage, Frame, OpId, World};

/// What a neighbour does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Neighbour {
    /// `alloc_page`: takes a free frame. The operation returns the frame's number, -ENOMEM if
    /// there is none.
    TakeFrame,
    /// Fills the frame.
    FillFrame(Page),
    /// Takes a free block for a page of a file of its own. -ENOSPC if there is none, -EEXIST if
    /// the page has a block.
    TakeBlock(FilePage),
    /// Writes the page, past any cache (direct I/O, or `dax_iomap_rw`), and extends the file.
    FillBlock {
        /// The page.
        page: FilePage,
        /// Its block.
        block: Block,
    },
    /// Reads back what an operation took. -EIO if it is not what the operation wrote, -ENOENT if
    /// the operation took nothing.
    Verify(OpId),
}

impl Machine for Neighbour {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self {
            Neighbour::TakeFrame => Label::new("", "alloc_page", Cost::Alloc),
            Neighbour::FillFrame(_) => Label::new("", "fill page", Cost::Copy),
            Neighbour::TakeBlock(_) => Label::new("", "allocate block", Cost::Journal),
            Neighbour::FillBlock { .. } => Label::new("", "write block", Cost::Copy),
            Neighbour::Verify(_) => Label::new("", "read back", Cost::Copy),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self {
            Neighbour::TakeFrame => take_frame(cx),
            Neighbour::FillFrame(page) => {
                let contents = own_frame(cx, page.frame);
                cx.touch(page, true, Toucher::Kernel);
                cx.fill(page.frame, WHOLE, contents);
                Next::Return(page.frame.0 as Ret)
            }
            Neighbour::TakeBlock(page) => take_block(cx, page),
            Neighbour::FillBlock { page, block } => fill_block(cx, page, block),
            Neighbour::Verify(taken) => verify(cx, taken),
        }
    }
}

fn take_frame(cx: &mut Step) -> Next {
    cx.might_sleep();
    let Some(frame) = cx.alloc_frame() else { return Next::Return(-ENOMEM) };
    let owner = Owner::of(OwnerKind::Neighbour, cx.me.0 + 1);
    cx.set(frame, owner);
    let page = cx.page(frame);
    Neighbour::FillFrame(page).into()
}

/// What the current operation writes to a frame of its own: a logical page like no other.
fn own_frame(cx: &mut Step, frame: Frame) -> Contents {
    let last = cx.patches.max_seq(cx.data(frame));
    let seq = cx.next_version(last);
    let origin = cx.map.origin_of_neighbour(cx.op);
    Contents::of(Version { origin, seq, author: cx.op, whole: true })
}

fn take_block(cx: &mut Step, page: FilePage) -> Next {
    cx.might_sleep();
    if cx.get::<Extent>(page).block().is_some() {
        return Next::Return(-EEXIST);
    }
    let disk = cx.map.file(cx.map.file_of(page)).disk;
    match disk.and_then(|disk| cx.alloc_block(disk, page)) {
        Some(block) => {
            // Unwritten until the data is there: a crash in between shows zeroes, not what the
            // block held before.
            cx.set(page, Extent::at(ExtentKind::Unwritten, block));
            Neighbour::FillBlock { page, block }.into()
        }
        None => Next::Return(-ENOSPC),
    }
}

fn fill_block(cx: &mut Step, page: FilePage, block: Block) -> Next {
    let last = cx.patches.max_seq(cx.get::<Newest>(page).0);
    let seq = cx.next_version(last);
    let origin = cx.map.origin_of_file(page);
    let contents = Contents::of(Version { origin, seq, author: cx.op, whole: true });
    match cx.map.pmem_frame(block) {
        Some(frame) => {
            let at = cx.page(frame);
            cx.touch(at, true, Toucher::Kernel);
            cx.fill(frame, WHOLE, contents);
            cx.set(page, Extent::at(ExtentKind::Written, block));
        }
        None => {
            cx.write_block(block, contents);
            end_io(cx, page, block);
        }
    }
    cx.set(page, Newest(contents));
    let end = u64::from(cx.map.index_in_file(page) + 1) * u64::from(PAGE_SIZE);
    let file = cx.map.file_of(page);
    cx.update::<Size>(file, |s| s.with_bytes(s.bytes().max(end)));
    Next::Return(0)
}

/// Where an operation of a neighbour put its data.
enum Place {
    Frame(Frame),
    Block(Block),
}

fn place(w: &World, taken: OpId) -> Option<Place> {
    let result = w.get::<OpResult>(taken);
    if !result.done() || result.ret() < 0 {
        return None;
    }
    match w.map.op(taken)? {
        Op::TakeFrame => Some(Place::Frame(Frame(result.ret() as u32))),
        Op::TakeBlock { page } => w.get::<Extent>(page).block().map(Place::Block),
        _ => None,
    }
}

fn verify(cx: &mut Step, taken: OpId) -> Next {
    let contents = match place(cx, taken) {
        None => return Next::Return(-ENOENT),
        Some(Place::Frame(frame)) => {
            let page = cx.page(frame);
            cx.touch(page, false, Toucher::Kernel);
            cx.data(frame)
        }
        Some(Place::Block(block)) => cx.block_contents(block),
    };
    cx.read_result(contents);
    let intact = contents.version().is_some_and(|v| v.author == taken && v.whole);
    Next::Return(if intact { 0 } else { -EIO })
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::kernel::sim::Sim;
    use crate::kernel::world::objects::Pte;
    use crate::kernel::world::plan::{DeviceKind, Role};
    use crate::kernel::world::{File, VPage};

    #[test]
    fn a_neighbour_gets_the_frame_that_was_freed_and_sees_who_scribbles_on_it() {
        let mut plan = device_machine(DeviceKind::Nic, 1);
        plan.spare_frames = 0;
        let taken = OpId(plan.ops());
        let ops = vec![Op::TakeFrame, Op::Verify { taken }];
        let first = thread_of(&mut plan, "other", Role::Neighbour, &ops);
        let mut sim = Sim::new(plan.clone(), strategy());
        run_agent(&mut sim, 0, |_| false);
        assert_eq!(result(&sim, first), Some(-ENOMEM));
        assert_eq!(result(&sim, first.plus(1)), Some(-ENOENT));

        let mut sim = Sim::new(plan, strategy());
        let w = &mut sim.world;
        w.set_pte(VPage(0), Pte::new());
        w.map_page(Frame(1), -1);
        w.cache_remove(Frame(1));
        assert!(w.put_refs(Frame(1), 1), "the last reference frees");
        run_agent(&mut sim, 0, |sim| result(sim, first).is_some());
        assert_eq!(result(&sim, first), Some(1));
        let mine = sim.world.data(Frame(1));
        assert_eq!(mine.version().map(|v| v.author), Some(first));
        let mut hit = sim.clone();
        run_agent(&mut sim, 0, |_| false);
        assert_eq!(result(&sim, first.plus(1)), Some(0));
        hit.world.fill(Frame(1), (0, 1), Contents::ZERO);
        run_agent(&mut hit, 0, |_| false);
        assert_eq!(result(&hit, first.plus(1)), Some(-EIO));
    }

    #[test]
    fn a_neighbour_fills_a_hole_of_its_file_with_a_free_block() {
        let mut plan = device_machine(DeviceKind::Nic, 1);
        plan.files[0].capacity = 2;
        let taken = OpId(plan.ops());
        let ops = vec![
            Op::TakeBlock { page: FilePage(1) },
            Op::Verify { taken },
            Op::TakeBlock { page: FilePage(1) },
        ];
        let first = thread_of(&mut plan, "other", Role::Neighbour, &ops);
        let mut sim = Sim::new(plan, strategy());
        run_agent(&mut sim, 0, |_| false);
        let results = [0, 1, 2].map(|n| result(&sim, first.plus(n)));
        assert_eq!(results, [Some(0), Some(0), Some(-EEXIST)]);
        assert_eq!(sim.world.get::<Size>(File(0)).bytes(), 8192);
    }
}
