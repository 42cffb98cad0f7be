//! A broken invariant: what was seen, and which cells and frames it is about.

use super::names;
use crate::kernel::invariant::Subject;
use crate::kernel::invariant::judge::Broken;
use crate::kernel::world::facts::{Fact, Page, Toucher};
use crate::kernel::world::machine::{Pinned, Xlat};
use crate::kernel::world::objects::{Flags, Pte};
use crate::kernel::world::*;

/// What an invariant was shown, in words.
pub fn seen(w: &World, subject: Subject) -> String {
    match subject {
        Subject::Wrote { kind, object, .. } => {
            format!("the {} of {}", kind.label(), names::object(w, kind, object))
        }
        Subject::Fact(fact) => stated(w, fact),
    }
}

/// A frame, and whether it is still the one that its user was given.
fn given(w: &World, page: Page) -> String {
    let now = w.get::<Flags>(page.frame).generation();
    let name = names::folio(w, page.frame);
    if now == page.generation { name } else { format!("{name}, freed since it was given out") }
}

fn stated(w: &World, fact: Fact) -> String {
    let map = &w.map;
    let verb = |write: bool| if write { "writes" } else { "reads" };
    let text = |c: Contents| names::contents(w, c);
    match fact {
        Fact::Touch { page, write, by, .. } => {
            let who = match by {
                Toucher::Cpu => "a CPU",
                Toucher::Kernel => "the kernel",
                Toucher::Device => "a device",
            };
            format!("{who} {} {}", verb(write), given(w, page))
        }
        Fact::Dma { at, page, write, .. } => {
            let entry = names::region_page(w, at);
            format!("the device {} {} through {entry}", verb(write), given(w, page))
        }
        Fact::DmaDone { at, page, wrote } => {
            let (entry, page) = (names::region_page(w, at), given(w, page));
            format!("the transfer of {} into {page} through {entry} has completed", text(wrote))
        }
        Fact::RemoteGot { at, got, .. } => {
            format!("the remote peer got {} from {}", text(got), names::region_page(w, at))
        }
        Fact::Transferred { tag, block } => {
            let disk = map.actor_name(map.tag_actor(tag));
            format!("{disk} has got the data for block {}", map.block_name(block))
        }
        Fact::BlockWritten { tag, block } => {
            let disk = map.actor_name(map.tag_actor(tag));
            format!("{disk} has written block {}", map.block_name(block))
        }
        Fact::PinAsked { frame, answer, .. } => {
            let answer = if answer { "maybe pinned" } else { "not pinned" };
            format!("asked about {}, the strategy answers: {answer}", names::folio(w, frame))
        }
        Fact::Stored { at, frame, through_tlb } => {
            let how = if through_tlb { "a TLB entry" } else { "the page table" };
            format!("a store to {} reaches {} by {how}", map.vpage_name(at), names::folio(w, frame))
        }
        Fact::StructPageUsed { frame } => {
            format!("the reference count in the struct page of {} is used", names::folio(w, frame))
        }
        Fact::Shown { at, contents, .. } => {
            format!("{} shows {}", map.file_page_name(at), text(contents))
        }
        Fact::MaySleep { actor, .. } => format!("{} calls what may sleep", map.actor_name(actor)),
        Fact::Locked { actor, class, .. } => {
            format!("{} takes {}", map.actor_name(actor), class.label())
        }
        Fact::RangeStarted { at } => {
            format!("invalidate_range_start has returned for {}", map.vpage_name(at))
        }
        Fact::Dirtied { frame } => format!("{} becomes dirty", names::folio(w, frame)),
        Fact::Crashed => "power is lost".into(),
        Fact::Blocked { actor } => format!("{} has to wait", map.actor_name(actor)),
        Fact::Ended => "nothing more can happen".into(),
        #[allow(unreachable_patterns, reason = "facts may be added")]
        other => format!("{other:?}"),
    }
}

/// Whether a finding is about waits rather than about a page.
pub fn is_about_waits(broken: &Broken) -> bool {
    matches!(broken.subject, Subject::Fact(Fact::Blocked { .. }))
        || matches!(
            crate::kernel::invariant::TABLE[broken.invariant].name,
            "deadlock" | "stall" | "starvation"
        )
}

/// The cells that prove a finding, each once.
pub fn evidence(broken: &Broken) -> Vec<u32> {
    let mut cells = broken.evidence.to_vec();
    cells.dedup();
    cells
}

/// The frames that a finding is about, ascending.
pub fn frames(w: &World, broken: &Broken) -> Vec<Frame> {
    let mut found: Vec<Frame> = evidence(broken).iter().filter_map(|&c| frame_of(w, c)).collect();
    if let Subject::Fact(
        Fact::Touch { page, .. } | Fact::Dma { page, .. } | Fact::DmaDone { page, .. },
    ) = broken.subject
    {
        found.push(page.frame);
    }
    if let Subject::Fact(
        Fact::PinAsked { frame, .. }
        | Fact::Stored { frame, .. }
        | Fact::StructPageUsed { frame }
        | Fact::Dirtied { frame },
    ) = broken.subject
    {
        found.push(frame);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The frame that a cell belongs to or points to.
fn frame_of(w: &World, cell: u32) -> Option<Frame> {
    let (kind, n) = w.locate(cell)?;
    match kind {
        Kind::Counts | Kind::Flags | Kind::Owner | Kind::FolioLock | Kind::Data | Kind::Holders => {
            Some(Frame(n))
        }
        Kind::Pte => w.get::<Pte>(VPage(n)).frame(),
        Kind::Xlat => Frame::unpack(w.get::<Xlat>(RegionPage(n)).frame_bits()),
        Kind::Pinned => Frame::unpack(w.get::<Pinned>(SlotPage(n)).frame_bits()),
        Kind::CacheSlot => w.cached(FilePage(n)),
        Kind::BlockState => w.map.pmem_frame(Block(n)),
        _ => None,
    }
}
