//! `splice()` of a page of a file into a pipe, which refers to it whatever becomes of the file.

use super::file_io::bytes_inside;
use super::folio::{GrabFolio, LetGo};
use super::pin::put;
use super::pinned_io::held;
use super::routine::call;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{Pinned, RefType};
use crate::kernel::world::need::Need;
use crate::kernel::world::{FilePage, Frame, Slot};

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
