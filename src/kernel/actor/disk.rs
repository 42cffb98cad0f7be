//! Disks that read.

use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Data;
use crate::kernel::world::{Actor, Block, Disk, Frame, Tag};

/// Fills a free tag of a disk.
pub fn submit(
    cx: &mut Step,
    disk: Disk,
    kind: BioKind,
    frame: Option<Frame>,
    block: Option<Block>,
) -> Tag {
    let tags = cx.map.tags[disk.0 as usize].clone();
    let idle = |&t: &u32| cx.get::<Bio>(Tag(t)).step() == BioStep::Idle;
    let tag = Tag(tags.clone().find(idle).unwrap_or(tags.start));
    let generation = frame.map_or(0, |f| cx.page(f).generation);
    let me = Actor::pack(Some(cx.me));
    cx.set(
        tag,
        Bio::new()
            .with_step(BioStep::Submitted)
            .with_kind(kind)
            .with_frame_bits(Frame::pack(frame))
            .with_generation(generation),
    );
    cx.set(tag, BioEnd::new().with_block_bits(Block::pack(block)).with_submitter(me));
    cx.update::<DiskState>(disk, |d| d.with_in_flight(d.in_flight() + 1));
    tag
}

/// The agent of a tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Serve(pub Tag);

impl Machine for Serve {
    fn need(self, _cx: &Scene) -> Need {
        Need::BioSubmitted(self.0)
    }
    fn label(self) -> Label {
        Label::new("", "read", Cost::DiskHalf)
    }
    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (bio, end) = (cx.get::<Bio>(self.0), cx.get::<BioEnd>(self.0));
        if let (Some(f), Some(b)) =
            (Frame::unpack(bio.frame_bits()), Block::unpack(end.block_bits()))
        {
            let contents = cx.block_contents(b);
            cx.set(f, Data(contents));
            cx.change_flags(f, |x| x.with_uptodate(true));
            cx.unlock_folio(f);
        }
        cx.set(self.0, Bio::new());
        let disk = cx.map.disk_of_tag(self.0);
        cx.update::<DiskState>(disk, |d| d.with_in_flight(d.in_flight() - 1));
        Next::Go(self.into())
    }
}
