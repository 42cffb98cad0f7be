//! What several invariants look at: pages of files through regions, and bytes within i_size.

use crate::kernel::world::door::Change;
use crate::kernel::world::facts::Page;
use crate::kernel::world::machine::{ActorState, Engaged, Extent, Life, RegionState, RegionUse};
use crate::kernel::world::objects::{CacheSlot, Flags, Holders, Owner, OwnerKind, Pte, Size};
use crate::kernel::world::plan::{Backing, Op, PAGE_SIZE, Part};
use crate::kernel::world::{
    Actor, Contents, File, FilePage, Frame, Id, Kind, RegionPage, VPage, World,
};

/// How many bytes of a page of a file lie within i_size.
#[inline]
pub fn bytes_in_file(w: &World, at: FilePage) -> u16 {
    let start = u64::from(w.map.index_in_file(at)) * u64::from(PAGE_SIZE);
    let size = w.get::<Size>(w.map.file_of(at)).bytes();
    size.saturating_sub(start).min(u64::from(PAGE_SIZE)) as u16
}

/// Whether, somewhere in the bytes `part`, some contents stand in a relation; it is shown what
/// they hold in each stretch in which all of them are uniform.
pub fn anywhere<const N: usize>(
    w: &World,
    all: [Contents; N],
    part: Part,
    mut related: impl FnMut([Contents; N]) -> bool,
) -> bool {
    let piece = |of: Contents, at: u16| {
        let run = w.patches.runs(of).find(|r| at < r.end);
        run.map_or((PAGE_SIZE as u16, Contents::ZERO), |r| (r.end, r.holds))
    };
    let mut at = part.0;
    while at < part.1 {
        let pieces = all.map(|of| piece(of, at));
        if related(pieces.map(|(_, holds)| holds)) {
            return true;
        }
        at = pieces.iter().map(|(end, _)| *end).min().unwrap_or(part.1);
    }
    false
}

/// The virtual page over which a page of a region was registered.
#[inline]
pub fn vpage_of(w: &World, at: RegionPage) -> Option<VPage> {
    let region = w.map.region_of(at);
    w.get::<RegionState>(region).vpage(at.0 - w.map.region_pages[region.index()].start)
}

/// The page of a file that a page of a region shows, if it was registered over a shared mapping
/// (a private one may show a copy, which has no file to leave).
#[inline]
pub fn file_page_of(w: &World, at: RegionPage) -> Option<FilePage> {
    let page = vpage_of(w, at)?;
    w.map.vma(w.map.vma_of(page)).shared.then(|| w.map.backing(page))?
}

/// Whether a frame has left the page of a file that it was given out for: a page-cache frame was
/// freed or taken out of the cache (its `page->mapping` is NULL), a pmem frame is no longer the
/// block of that page.
#[inline]
pub fn left_file(w: &World, page: Page, at: FilePage) -> bool {
    match w.map.pmem_block(page.frame) {
        Some(block) => w.get::<Extent>(at).block() != Some(block),
        None => freed(w, page) || w.get::<Owner>(page.frame).kind() == OwnerKind::Detached,
    }
}

/// Whether somebody is in the middle of a direct write to a page of a file (between
/// `inode_dio_begin` and `inode_dio_end`). At the end of a run that can only be a program that goes
/// round for ever: it has not been told yet that anything was written, the block that it has
/// allocated is its own until the end of the I/O, and what came into the page cache meanwhile is
/// about to be invalidated, or the failure of that put on record.
pub fn being_written_directly(w: &World, at: FilePage) -> bool {
    let file = File::pack(Some(w.map.file_of(at)));
    let writes = |op: &Op| matches!(op, Op::DioWrite { to, .. } if *to == at);
    somebody(w, |thread, program| {
        program.iter().any(writes)
            && w.get::<Engaged>(thread).dio() == file
            && w.get::<ActorState>(thread).life() != Life::Killed
    })
}

/// Whether there is such a thread, with such a program.
pub fn somebody(w: &World, is: impl Fn(Actor, &[Op]) -> bool) -> bool {
    let mut threads = w.map.plan.threads.iter().enumerate();
    threads.any(|(n, thread)| is(Actor(n as u32), &thread.program))
}

/// Whether a frame has been freed since its user got it.
#[inline]
pub fn freed(w: &World, page: Page) -> bool {
    w.get::<Flags>(page.frame).generation() != page.generation
}

/// Whether the page table maps this frame here.
#[inline]
pub fn maps(pte: Pte, frame: Frame) -> bool {
    pte.present() && pte.frame() == Some(frame)
}

/// A page that was taken away from under somebody who may use it: see
/// [`Premise`](super::Premise).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// It is pinned.
    pub pinned: bool,
    /// It is (or was) a page of a file.
    pub of_file: bool,
}

/// Whether a write to a page table entry or to a frame's owner took a page away from under
/// somebody who may use it.
#[inline]
pub fn taken_away(w: &World, change: Change) -> Option<Taken> {
    let pinned = |frame| w.get::<Holders>(w.head(frame)).pins() > 0;
    if change.kind == Kind::Owner {
        let frame = Frame(change.object);
        let was_file = Owner::from_bits(change.old).kind() == OwnerKind::File;
        let detached = w.get::<Owner>(frame).kind() == OwnerKind::Detached;
        let taken = was_file && detached && pinned(frame);
        return taken.then_some(Taken { pinned: true, of_file: true });
    }
    let before = Pte::from_bits(change.old);
    let frame = before.frame().filter(|_| before.present())?;
    let page = VPage(change.object);
    if maps(w.get(page), frame) {
        return None;
    }
    let (pinned, of_file) = (pinned(frame), !is_private(w, page));
    (pinned || watchers(w, page).next().is_some()).then_some(Taken { pinned, of_file })
}

/// The pages of registered regions of devices with notifiers that show a virtual page.
pub fn watchers(w: &World, page: VPage) -> impl Iterator<Item = RegionPage> + '_ {
    w.map.notified(w.map.mm_of(page)).iter().filter_map(move |&region| {
        let state = w.get::<RegionState>(region);
        let first = VPage::unpack(state.first_bits())?;
        let at = page.0.checked_sub(first.0)?;
        let pages = &w.map.region_pages[region.index()];
        let registered = state.state() == RegionUse::Registered;
        (registered && at < pages.len() as u32).then(|| RegionPage(pages.start + at))
    })
}

/// The frame that a page of a file is in now, be it page cache or pmem.
pub fn frame_of(w: &World, at: FilePage) -> Option<Frame> {
    match w.get::<Extent>(at).block().and_then(|b| w.map.pmem_frame(b)) {
        Some(frame) => Some(frame),
        None => w.get::<CacheSlot>(at).frame(),
    }
}

/// The pages of all files.
pub fn file_pages(w: &World) -> impl Iterator<Item = FilePage> + use<> {
    (0..w.map.file_page_count()).map(FilePage)
}

/// Whether a mapping is private memory: anonymous, or a private mapping of a file.
pub fn is_private(w: &World, page: VPage) -> bool {
    let vma = w.map.vma(w.map.vma_of(page));
    !vma.shared || vma.backing == Backing::Anon
}
