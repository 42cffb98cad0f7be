//! `truncate_inode_pages_range()`: pages leave the page cache, whoever still refers to them.
//!
//! Nothing here looks at a folio's references or pins (kernel-facts 4.3, 4.4): a pinned page is
//! detached and lives on without its file.

use super::extents::{delete_dax_entry, forget, invalidate_folio, split_folio};
use super::recall::{RecallPage, pinned_by};
use super::routine::call;
use super::step::*;
use super::zap::Zap;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Toucher;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{FsKind, Part, WHOLE};
use crate::kernel::world::{Contents, FilePage, Frame, World};

/// `truncate_inode_pages_range()` of whole pages of a file, and of the last bytes of the page
/// before them. Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TruncatePages {
    /// The first page that goes as a whole.
    first: FilePage,
    pages: u32,
    /// Bytes of the page before `first` that stay; 0: that page is not concerned.
    tail: u16,
    /// Only the page cache loses the pages: what they hold is on the disk and stays in the file.
    in_file: bool,
    state: State,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Pass 1 (find_lock_entries): takes the next folio from this page on that is neither locked
    /// nor under writeback.
    Sweep(FilePage),
    /// Waits for the lock of a folio that goes in part.
    PartialLock(Frame, Edge),
    /// truncate_inode_partial_folio, locked: waits for its writeback, then zeroes.
    PartialZero(Frame, Edge),
    /// truncate_inode_partial_folio: a larger folio is unmapped, then split or given up.
    Split(Frame, Edge),
    /// Pass 2 (find_get_entries): looks for what is left, from the start.
    Find,
    /// Pass 2: waits for a folio's lock.
    Lock(Frame),
    /// Pass 2, locked: waits for the folio's writeback.
    Writeback(Frame),
    /// truncate_cleanup_folio: private data and dirtiness go, under the folio lock.
    Cleanup(Frame, Then),
    /// The folio leaves the cache (delete_from_page_cache_batch, filemap_remove_folio): mapping
    /// becomes NULL under the i_pages lock; then folio_unlock, folio_put.
    Delete(Frame, Then),
    /// dax_delete_mapping_entry: waits until the entry is unlocked.
    Dax(FilePage),
}

/// Which end of the range cuts a folio.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Edge {
    Start,
    End,
}

/// Where to go on after a folio has left.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Then {
    /// Pass 1, from this page on.
    Sweep(FilePage),
    /// The other end of the range, then pass 2.
    After(Edge),
    /// Pass 2.
    Find,
}

/// Pages of the file that a folio holds: the first, and how many.
fn extent_of(w: &World, frame: Frame) -> Option<(FilePage, u32)> {
    let head = w.head(frame);
    Some((w.get::<Owner>(head).file_page()?, w.folio_pages(head)))
}

impl TruncatePages {
    /// Truncation of `pages` whole pages from `first` on and, if `tail` is not 0, of the bytes
    /// from `tail` on of the page before.
    pub fn new(first: FilePage, pages: u32, tail: u16) -> TruncatePages {
        TruncatePages { first, pages, tail, in_file: false, state: State::Sweep(first) }
    }

    /// The same of pages that have been written and move to another place of the file
    /// (COLLAPSE_RANGE), or get other contents by themselves (reflink).
    pub fn from_cache(first: FilePage, pages: u32) -> TruncatePages {
        TruncatePages { in_file: true, ..TruncatePages::new(first, pages, 0) }
    }

    fn at(self, state: State) -> Next {
        TruncatePages { state, ..self }.into()
    }

    fn end(self) -> u32 {
        self.first.0 + self.pages
    }

    /// The filesystem; if no page goes as a whole, the page before `first` belongs to the file.
    fn fs(self, w: &World) -> FsKind {
        let any = if self.pages > 0 { self.first.0 } else { self.first.0.saturating_sub(1) };
        w.map.fs_of(FilePage(any))
    }

    /// Whether a folio goes as a whole.
    fn covers(self, (at, pages): (FilePage, u32)) -> bool {
        at >= self.first && at.0 + pages <= self.end()
    }

    /// The cached folios that go as a whole, from a page on.
    fn whole<'a>(self, w: &'a World, from: FilePage) -> impl Iterator<Item = Frame> + 'a {
        (from.0..self.end())
            .filter_map(move |n| w.cached(FilePage(n)))
            .filter(move |&f| extent_of(w, f).is_some_and(|folio| self.covers(folio)))
    }

    fn sweep(self, cx: &mut Step, from: FilePage) -> Next {
        if self.fs(cx) == FsKind::Dax {
            return self.dax(cx);
        }
        let idle = |&f: &Frame| cx.folio_locked_by(f).is_none() && !cx.flags(f).writeback();
        let found = self.whole(cx, from).find(idle);
        let folio = found.and_then(|frame| Some((frame, extent_of(cx, frame)?)));
        let Some((frame, (at, pages))) = folio else { return self.partial(cx, Edge::Start) };
        let me = cx.me;
        cx.take_ref(frame);
        cx.lock_folio(me, frame);
        self.drop_folio(cx, frame, Then::Sweep(at.plus(pages)))
    }

    /// truncate_cleanup_folio of a locked folio: unmaps it first, if it is mapped.
    fn drop_folio(self, cx: &Step, frame: Frame, then: Then) -> Next {
        let next = TruncatePages { state: State::Cleanup(frame, then), ..self };
        let unmaps = cx.counts(frame).maps() > 0 && cx.strategy.keeps(Guard::TruncateUnmapFolio);
        match extent_of(cx, frame).filter(|_| unmaps) {
            Some((at, pages)) => call(Zap::file(at, pages, false), next),
            None => next.into(),
        }
    }

    /// The folio that an end of the range cuts: by bytes, or a larger one by pages.
    fn cut(self, w: &World, edge: Edge) -> Option<Frame> {
        let at = match edge {
            Edge::Start if self.tail > 0 => FilePage(self.first.0.checked_sub(1)?),
            Edge::Start if self.pages > 0 => self.first,
            Edge::End if self.pages > 0 => FilePage(self.end() - 1),
            _ => return None,
        };
        let frame = w.cached(at)?;
        (!self.covers(extent_of(w, frame)?)).then_some(w.head(frame))
    }

    /// Goes to the folio that an end of the range cuts, if there is one.
    fn partial(self, cx: &mut Step, edge: Edge) -> Next {
        if let Some(frame) = self.cut(cx, edge) {
            cx.take_ref(frame);
            return self.at(State::PartialLock(frame, edge));
        }
        if edge == Edge::Start && self.tail > 0 {
            // Not cached: there is nothing to zero here, but the bytes are gone.
            forget(cx, FilePage(self.first.0 - 1), (self.tail, 4096));
        }
        self.after(cx, edge)
    }

    /// truncate_inode_partial_folio of a locked folio without writeback: zeroes what goes.
    fn zero(self, cx: &mut Step, head: Frame) {
        let Some((at, pages)) = extent_of(cx, head) else { return };
        for n in 0..pages {
            let page = at.plus(n);
            let part = match page.0 + 1 == self.first.0 && self.tail > 0 {
                true => (self.tail, 4096),
                false if page >= self.first && page.0 < self.end() => (0, 4096),
                false => continue,
            };
            zero_frame(cx, head.plus(n), part);
            if !self.in_file {
                forget(cx, page, part);
            }
            // block_invalidate_folio(); iomap_invalidate_folio() leaves its blocks dirty.
            let whole = pages > 1 && part == WHOLE;
            if whole && cx.flags(head).buffers() {
                cx.update::<CacheSlot>(page, |s| s.with_unmapped(true));
            }
        }
    }

    /// After a folio that stays has been dealt with.
    fn unlock(self, cx: &mut Step, frame: Frame, edge: Edge) -> Next {
        cx.unlock_folio(frame);
        cx.drop_ref(frame);
        self.after(cx, edge)
    }

    fn after(self, cx: &mut Step, edge: Edge) -> Next {
        match edge {
            Edge::Start => self.partial(cx, Edge::End),
            Edge::End => self.find(cx),
        }
    }

    /// A larger folio that only goes in part is split, so that the rest of the pages can leave in
    /// pass 2. If it cannot be split (somebody else refers to it), a dirty one is kept whole and
    /// a clean one goes whole: what it held below the cut can be read again.
    fn split(self, cx: &mut Step, frame: Frame, edge: Edge) -> Next {
        if split_folio(cx, frame) {
            return self.unlock(cx, frame, edge);
        }
        if !cx.flags(frame).dirty() {
            return self.drop_folio(cx, frame, Then::After(edge));
        }
        let kept = extent_of(cx, frame);
        let rest = match (kept, edge) {
            (Some((at, pages)), Edge::Start) => {
                let first = at.plus(pages);
                let pages = self.end().saturating_sub(first.0);
                TruncatePages { first, pages, tail: 0, ..self }
            }
            (Some((at, _)), Edge::End) => {
                TruncatePages { pages: at.0.saturating_sub(self.first.0), ..self }
            }
            _ => self,
        };
        rest.unlock(cx, frame, edge)
    }

    /// Pass 2: what is left; when nothing is, done.
    fn find(self, cx: &mut Step) -> Next {
        let left = self.whole(cx, self.first).next();
        match left {
            Some(frame) => {
                cx.take_ref(frame);
                self.at(State::Lock(cx.head(frame)))
            }
            None => Next::Return(0),
        }
    }

    /// Pass 2, locked and without writeback: goes, unless it has been truncated by somebody else.
    fn dispatch(self, cx: &mut Step, frame: Frame) -> Next {
        if extent_of(cx, frame).is_none_or(|folio| !self.covers(folio)) {
            cx.unlock_folio(frame);
            cx.drop_ref(frame);
            return self.find(cx);
        }
        self.drop_folio(cx, frame, Then::Find)
    }

    /// The next entry of a DAX file's tree.
    fn dax(self, cx: &Step) -> Next {
        let mut range = (self.first.0..self.end()).map(FilePage);
        match range.find(|&at| cx.cached(at).is_some()) {
            Some(at) => self.at(State::Dax(at)),
            None => Next::Return(0),
        }
    }

    /// The last look, under the folio lock and unmapped: nobody can pin the page any more.
    fn delete(self, cx: &mut Step, frame: Frame, then: Then) -> Next {
        let me = cx.me;
        if let Some(how) = cx.strategy.truncate.recall()
            && pinned_by(cx, frame).is_some()
            && cx.strategy.keeps(Guard::RecallAtRemoval)
        {
            return call(RecallPage::new(frame, how), self);
        }
        cx.lock_briefly(me, LockClass::IPages);
        let head = cx.head(frame);
        let folio = extent_of(cx, head);
        cx.cache_remove(head);
        if let Some((at, pages)) = folio {
            cx.put_refs(head, pages as i32);
            // Pages below the cut, of a clean folio that could not be split, are read again.
            let gone = (at.0.max(self.first.0)..(at.0 + pages).min(self.end())).map(FilePage);
            gone.filter(|_| !self.in_file).for_each(|page| forget(cx, page, (0, 4096)));
        }
        cx.unlock_folio(head);
        cx.drop_ref(head);
        match then {
            Then::Sweep(at) => self.at(State::Sweep(at)),
            Then::After(edge) => self.after(cx, edge),
            Then::Find => self.at(State::Find),
        }
    }
}

/// The kernel zeroes bytes of a page of a file in memory.
pub fn zero_part(cx: &mut Step, frame: Frame, at: FilePage, part: Part) {
    zero_frame(cx, frame, part);
    forget(cx, at, part);
}

fn zero_frame(cx: &mut Step, frame: Frame, part: Part) {
    let page = cx.page(frame);
    cx.touch(page, true, Toucher::Kernel);
    cx.fill(frame, part, Contents::ZERO);
}

impl Machine for TruncatePages {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::PartialLock(frame, _) | State::Lock(frame) => Need::FolioLock(frame),
            State::PartialZero(frame, _) if cx.strategy.keeps(Guard::TruncatePartialWriteback) => {
                Need::WritebackEnd(frame)
            }
            State::Writeback(frame) => Need::WritebackEnd(frame),
            State::Dax(at) => Need::DaxEntry(at),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        let (name, cost) = match self.state {
            State::Sweep(_) => ("find_lock_entries", Cost::Walk),
            State::PartialLock(..) | State::Lock(_) => ("folio_lock", Cost::Lock),
            State::PartialZero(..) => ("truncate_inode_partial_folio", Cost::Copy),
            State::Split(..) => ("try_folio_split", Cost::Walk),
            State::Find => ("find_get_entries", Cost::Walk),
            State::Writeback(_) => ("folio_wait_writeback", Cost::Wake),
            State::Cleanup(..) => ("truncate_cleanup_folio", Cost::Atomic),
            State::Delete(..) => ("filemap_remove_folio", Cost::Lock),
            State::Dax(_) => ("dax_delete_mapping_entry", Cost::Lock),
        };
        Label::new("T7", name, cost)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let me = cx.me;
        match self.state {
            State::Sweep(from) => self.sweep(cx, from),
            State::PartialLock(frame, edge) => {
                cx.might_sleep();
                cx.lock_folio(me, frame);
                if extent_of(cx, frame).is_none() {
                    return self.unlock(cx, frame, edge);
                }
                self.at(State::PartialZero(frame, edge))
            }
            State::PartialZero(frame, edge) => {
                self.zero(cx, frame);
                let Some((at, pages)) = extent_of(cx, frame).filter(|&(_, pages)| pages > 1) else {
                    return self.unlock(cx, frame, edge);
                };
                let then = TruncatePages { state: State::Split(frame, edge), ..self };
                match cx.counts(frame).maps() > 0 {
                    true => call(Zap::file(at, pages, false), then),
                    false => then.into(),
                }
            }
            State::Split(frame, edge) => self.split(cx, frame, edge),
            State::Find => self.find(cx),
            State::Lock(frame) => {
                cx.might_sleep();
                cx.lock_folio(me, frame);
                if cx.flags(frame).writeback() && cx.strategy.keeps(Guard::TruncateWriteback) {
                    return self.at(State::Writeback(frame));
                }
                self.dispatch(cx, frame)
            }
            State::Writeback(frame) => self.dispatch(cx, frame),
            State::Cleanup(frame, then) => {
                invalidate_folio(cx, frame);
                self.at(State::Delete(frame, then))
            }
            State::Delete(frame, then) => self.delete(cx, frame, then),
            State::Dax(at) => {
                cx.lock_briefly(me, LockClass::IPages);
                delete_dax_entry(cx, at);
                self.dax(cx)
            }
        }
    }

    /// Only unmapping is called; the state says already what follows.
    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        self.into()
    }
}
