//! Zeroing of the bytes between the end of a file and the end of its last page.

use super::extents::forget;
use super::step::*;
use super::truncate_pages::zero_part;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{Extent, ExtentKind, LockClass};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Owner;
use crate::kernel::world::plan::{FsKind, Part};
use crate::kernel::world::{Contents, FilePage, Frame};

/// `ext4_block_truncate_page()` (`xfs_truncate_page`, `dax_truncate_page`): zeroes a part of a page
/// and, in the page cache, dirties it, so that the zeroes reach the disk; where nothing is
/// allocated there is nothing to reach (`__ext4_block_zero_page_range`). Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ZeroTail {
    at: FilePage,
    part: Part,
    /// Writeback is waited for first (`truncate_inode_partial_folio` comes before).
    stable: bool,
    state: State,
}

/// How far a [`ZeroTail`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Looks the page up; a page that is not cached but has a block is read in first.
    Look,
    /// Waits for the lock of the cached folio.
    Lock(Frame),
    /// Waits for the end of the writeback of the folio.
    Writeback(Frame),
}

impl ZeroTail {
    /// Zeroes page `at` from byte `from` on.
    pub fn new(at: FilePage, from: u16) -> ZeroTail {
        ZeroTail { at, part: (from, 4096), stable: false, state: State::Look }
    }

    /// Zeroes a part of page `at` that is being punched out.
    pub fn punch(at: FilePage, part: Part) -> ZeroTail {
        ZeroTail { part, stable: true, ..ZeroTail::new(at, 0) }
    }

    /// With the folio lock, in one section: zeroes, and dirties as a write(2) would, prepared by
    /// the filesystem.
    fn zero(self, cx: &mut Step, frame: Frame) {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::FolioLock);
        zero_part(cx, frame, self.at, self.part);
        let fs = cx.map.fs_of(self.at);
        if fs == FsKind::Ext4 {
            cx.attach_buffers(frame);
            cx.map_buffer(self.at);
        }
        if fs != FsKind::Tmpfs && cx.get::<Extent>(self.at).kind() == ExtentKind::Hole {
            return;
        }
        cx.change_flags(frame, |f| f.with_prepared(true));
        cx.mark_dirty(frame);
    }

    /// A page that is not cached: DAX zeroes the block itself (dax_zero_range); otherwise the
    /// block is read into a new folio (the read is not cut into the disk's steps: the folio is
    /// new and locked, nobody sees it before it is complete). ext4 makes a folio of a hole, too,
    /// and neither is uptodate afterwards: its buffers are (kernel truth: the page is cached and
    /// mincore says no). tmpfs has nothing to zero.
    fn uncached(self, cx: &mut Step) {
        let (extent, fs) = (cx.get::<Extent>(self.at), cx.map.fs_of(self.at));
        let written = extent.block().filter(|_| extent.kind() == ExtentKind::Written);
        if let Some(frame) = written.and_then(|block| cx.map.pmem_frame(block)) {
            return zero_part(cx, frame, self.at, self.part);
        }
        if written.is_none() && fs != FsKind::Ext4 {
            return forget(cx, self.at, self.part);
        }
        let Some(frame) = cx.alloc_frame() else { return };
        let contents = written.map_or(Contents::ZERO, |block| cx.block_contents(block));
        cx.fill(frame, (0, 4096), contents);
        cx.change_flags(frame, |f| f.with_uptodate(fs != FsKind::Ext4));
        cx.lru_add(frame);
        cx.cache_insert(self.at, frame);
        self.zero(cx, frame);
        cx.drop_ref(frame);
    }

    fn look(self, cx: &mut Step) -> Next {
        cx.might_sleep();
        let cached = match cx.map.fs_of(self.at) {
            FsKind::Dax => None,
            _ => cx.cached(self.at),
        };
        match cached {
            None => self.uncached(cx),
            Some(frame) if cx.folio_locked_by(frame).is_some() => {
                cx.take_ref(frame);
                return ZeroTail { state: State::Lock(frame), ..self }.into();
            }
            Some(frame) if self.stable && cx.flags(frame).writeback() => {
                cx.take_ref(frame);
                return ZeroTail { state: State::Writeback(frame), ..self }.into();
            }
            Some(frame) => self.zero(cx, frame),
        }
        Next::Return(0)
    }
}

impl Machine for ZeroTail {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Lock(frame) => Need::FolioLock(cx.w.head(frame)),
            State::Writeback(frame) => Need::WritebackEnd(cx.w.head(frame)),
            State::Look => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.state {
            State::Writeback(_) => Label::new("", "folio_wait_writeback", Cost::Wake),
            _ => Label::new("", "block_truncate_page", Cost::Copy),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let frame = match self.state {
            State::Look => return self.look(cx),
            State::Lock(frame) => frame,
            State::Writeback(frame) => {
                cx.drop_ref(frame);
                return ZeroTail { state: State::Look, ..self }.into();
            }
        };
        let ours = cx.get::<Owner>(frame).file_page() == Some(self.at);
        if ours {
            self.zero(cx, frame);
        }
        cx.drop_ref(frame);
        match ours {
            true => Next::Return(0),
            // Somebody took it out of the cache meanwhile: look again.
            false => ZeroTail { state: State::Look, ..self }.into(),
        }
    }
}
