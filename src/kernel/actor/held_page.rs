//! What the holder of a page does with it: the kernel copies into or out of a page that a GUP call
//! returned, through its own mapping; and a page of a file goes into a pipe by reference.
//!
//! No page table entry is looked at, none becomes dirty, nothing tells the filesystem: whoever
//! wrote has to say so when he lets go ([`Release`](super::release::Release)). Not modelled: copies
//! of parts of a page.

use super::errno::ENXIO;
use super::folio::{GrabFolio, LetGo};
use super::pin::put;
use super::routine::call;
use super::step::*;
use super::writeback::bytes_inside;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::{Page, Toucher};
use crate::kernel::world::machine::{Pinned, RefType};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Owner, OwnerKind};
use crate::kernel::world::plan::{PAGE_SIZE, WHOLE};
use crate::kernel::world::{FilePage, Frame, Id, Slot, VPage, World};

/// `copy_page_from_iter` or `copy_page_to_iter` with a held page (`process_vm_rw_pages`, io_uring's
/// fixed buffers, `pipe_read`). Returns the bytes, or -ENXIO if the slot holds none. Reading
/// records the contents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CopyHeld {
    /// The slot.
    pub slot: Slot,
    /// The page of it.
    pub page: u32,
    /// Into the page.
    pub write: bool,
}

/// The page that a slot holds, as it was when it was taken.
fn held(w: &World, slot: Slot, page: u32) -> Option<Page> {
    let pages = w.map.slot_pages[slot.index()].len() as u32;
    let pinned = w.get::<Pinned>((page < pages).then(|| w.map.slot_page(slot, page))?);
    let frame = Frame::unpack(pinned.frame_bits())?;
    (pinned.kind() != RefType::None).then_some(Page { frame, generation: pinned.generation() })
}

/// The logical page that a frame shows which is no page of a file (any more).
fn origin(w: &World, frame: Frame) -> u32 {
    let owner = w.get::<Owner>(w.head(frame));
    let n = owner.link().wrapping_sub(1);
    match owner.kind() {
        OwnerKind::Anon => w.map.origin_of_vpage(VPage(n)),
        OwnerKind::Detached => w.map.origin_of_file(FilePage(n)),
        _ => 0,
    }
}

impl Machine for CopyHeld {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        let name = if self.write { "copy_page_from_iter" } else { "copy_page_to_iter" };
        Label::new("", name, Cost::Copy)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let Some(page) = held(cx, self.slot, self.page) else { return Next::Return(-ENXIO) };
        if self.write {
            let private = origin(cx, page.frame);
            cx.write_frame(page, WHOLE, private, Toucher::Kernel);
        } else {
            cx.touch(page, false, Toucher::Kernel);
            let contents = cx.data(page.frame);
            cx.read_result(contents);
        }
        Next::Return(PAGE_SIZE as Ret)
    }
}

/// `filemap_splice_read` of one page: the pipe's buffer refers to the page of the file, whatever
/// becomes of it there. Returns the bytes, 0 beyond the end of the file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SpliceRead {
    at: FilePage,
    slot: Slot,
    place: Place,
}

/// The place of a splice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// `filemap_get_pages`: the folio is being looked up, created, read.
    Grabbing,
    /// `splice_folio_into_pipe`: the folio, locked and referenced, gets a reference of the pipe's.
    Store,
    /// It is being unlocked and put.
    LettingGo(Ret),
}

impl SpliceRead {
    /// Splices a page of a file into a slot.
    pub fn new(at: FilePage, slot: Slot) -> SpliceRead {
        SpliceRead { at, slot, place: Place::Grabbing }
    }
}

impl Machine for SpliceRead {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self.place {
            Place::Grabbing => Label::new("", "filemap_splice_read", Cost::Syscall),
            _ => Label::new("", "splice_folio_into_pipe", Cost::Atomic),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.place {
            Place::Grabbing if bytes_inside(cx, self.at) == 0 => Next::Return(0),
            Place::Grabbing => call(GrabFolio::new(self.at, true), self),
            Place::Store => {
                let Some(frame) = cx.cached(self.at) else { return Next::Return(0) };
                cx.take_ref(frame);
                let kept = Pinned::new()
                    .with_kind(RefType::Get)
                    .with_frame_bits(Frame::pack(Some(frame)))
                    .with_generation(cx.page(frame).generation);
                let at = cx.map.slot_page(self.slot, 0);
                // A slot that is full is emptied first: nobody else will.
                if let Some(old) = held(cx, self.slot, 0) {
                    put(cx, old.frame, false);
                }
                cx.set(at, kept);
                let bytes = Ret::from(bytes_inside(cx, self.at));
                let then = SpliceRead { place: Place::LettingGo(bytes), ..self };
                let folio = cx.head(frame);
                call(LetGo::Unlock(folio), then)
            }
            Place::LettingGo(ret) => Next::Return(ret),
        }
    }

    fn resume(self, _cx: &mut Step, ret: Ret) -> Next {
        match self.place {
            Place::Grabbing if ret == 0 => SpliceRead { place: Place::Store, ..self }.into(),
            Place::LettingGo(bytes) => Next::Return(bytes),
            _ => Next::Return(ret),
        }
    }
}
