//! `split_folio()`: a larger folio of the page cache becomes base pages (`__folio_split`).
//!
//! The entries that map it go before, locked mappings or not, and are not put back: a fault finds
//! the pages (`unmap_folio` with TTU_IGNORE_MLOCK; `remap_page` restores anonymous memory only).

use super::errno::{EAGAIN, EBUSY};
use super::extents::{may_split, split_folio};
use super::fault::beyond_eof;
use super::folio::LetGo;
use super::rmap::{self, Purpose, RmapWalk};
use super::routine::call;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Owner;
use crate::kernel::world::{FilePage, Frame};

/// Splits a folio that the caller has locked and referenced; lock and reference are given up in
/// the end. Returns 0; -EBUSY if the filesystem does not give up its private data or somebody
/// else refers to the folio, -EAGAIN if somebody came to do so while it was being unmapped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SplitFolio {
    folio: Frame,
    state: State,
}

/// How far a split is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Before `filemap_release_folio` and the first look at the references (`can_split_folio`).
    Check,
    /// In `unmap_folio`.
    Unmapping,
    /// Before `folio_ref_freeze`.
    Freeze,
    /// It is being unlocked and put, with this result.
    LettingGo(Ret),
}

impl SplitFolio {
    /// A split of a locked folio, named by its head.
    pub fn new(folio: Frame) -> SplitFolio {
        SplitFolio { folio, state: State::Check }
    }

    fn let_go(self, ret: Ret) -> Next {
        call(LetGo::Unlock(self.folio), SplitFolio { state: State::LettingGo(ret), ..self })
    }

    fn check(self, cx: &mut Step) -> Next {
        cx.might_sleep();
        if !may_split(cx, self.folio) {
            return self.let_go(-EBUSY);
        }
        match cx.get::<Owner>(self.folio).file_page().filter(|_| rmap::mapped(cx, self.folio)) {
            Some(at) => {
                let pages = cx.folio_pages(self.folio);
                let walk = RmapWalk::new(Purpose::Split, at, self.folio, pages);
                call(walk, SplitFolio { state: State::Unmapping, ..self })
            }
            None => SplitFolio { state: State::Freeze, ..self }.into(),
        }
    }

    /// What lies beyond the end of the file leaves the page cache (`__folio_split`: "Some pages can
    /// be beyond EOF: drop them from cache").
    fn freeze(self, cx: &mut Step) -> Next {
        let (pages, first) = (cx.folio_pages(self.folio), cx.get::<Owner>(self.folio).file_page());
        if !split_folio(cx, self.folio) {
            return self.let_go(-EAGAIN);
        }
        let range = first.map_or(0..0, |at| at.0 + 1..at.0 + pages);
        let beyond = range.map(FilePage).filter(|&at| beyond_eof(cx, at));
        for frame in beyond.filter_map(|at| cx.cached(at)).collect::<Vec<_>>() {
            cx.cache_remove(frame);
            cx.put_refs(frame, 1);
        }
        self.let_go(0)
    }
}

impl Machine for SplitFolio {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self.state {
            State::Check => Label::new("", "split_folio: can_split_folio", Cost::Step),
            State::Freeze => Label::new("", "split_folio: folio_ref_freeze", Cost::Lock),
            State::Unmapping | State::LettingGo(_) => Label::new("", "split_folio", Cost::Step),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.state {
            State::Check => self.check(cx),
            State::Freeze => self.freeze(cx),
            // In the hands of another machine; see `resume`.
            State::Unmapping | State::LettingGo(_) => Next::Return(0),
        }
    }

    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        match self.state {
            State::LettingGo(ret) => Next::Return(ret),
            _ => SplitFolio { state: State::Freeze, ..self }.into(),
        }
    }
}
