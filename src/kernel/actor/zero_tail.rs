//! Zeroing of the bytes between the end of a file and the end of its last page.

use super::extents::forget;
use super::step::*;
use super::truncate_pages::zero_part;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{Extent, ExtentKind, LockClass};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Owner;
use crate::kernel::world::plan::{FsKind, Part};
use crate::kernel::world::{FilePage, Frame};

/// `ext4_block_truncate_page()` (`xfs_truncate_page`, `dax_truncate_page`): zeroes the rest of a
/// page from a byte on and, in the page cache, dirties it, so that the zeroes reach the disk.
/// Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ZeroTail {
    at: FilePage,
    from: u16,
    state: State,
}

/// How far a [`ZeroTail`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Looks the page up; a page that is not cached but has a block is read in first.
    Look,
    /// Waits for the lock of the cached folio.
    Lock(Frame),
}

impl ZeroTail {
    /// Zeroes page `at` from byte `from` on.
    pub fn new(at: FilePage, from: u16) -> ZeroTail {
        ZeroTail { at, from, state: State::Look }
    }

    fn part(self) -> Part {
        (self.from, 4096)
    }

    /// With the folio lock, in one section: zeroes, and dirties as a write(2) would, prepared by
    /// the filesystem.
    fn zero(self, cx: &mut Step, frame: Frame) {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::FolioLock);
        zero_part(cx, frame, self.at, self.part());
        if cx.map.fs_of(self.at) == FsKind::Ext4 {
            cx.attach_buffers(frame);
        }
        cx.change_flags(frame, |f| f.with_prepared(true));
        cx.mark_dirty(frame);
    }

    /// A page that is not cached: DAX zeroes the block itself (dax_zero_range); otherwise the
    /// block is read into a new folio (the read is not cut into the disk's steps: the folio is
    /// new and locked, nobody sees it before it is complete).
    fn uncached(self, cx: &mut Step) {
        let extent = cx.get::<Extent>(self.at);
        let Some(block) = extent.block().filter(|_| extent.kind() == ExtentKind::Written) else {
            return forget(cx, self.at, self.part());
        };
        if let Some(frame) = cx.map.pmem_frame(block) {
            return zero_part(cx, frame, self.at, self.part());
        }
        let Some(frame) = cx.alloc_frame() else { return };
        let contents = cx.block_contents(block);
        cx.fill(frame, (0, 4096), contents);
        cx.change_flags(frame, |f| f.with_uptodate(true));
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
            Some(frame) => self.zero(cx, frame),
        }
        Next::Return(0)
    }
}

impl Machine for ZeroTail {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Lock(frame) => Need::FolioLock(cx.w.head(frame)),
            State::Look => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        Label::new("", "block_truncate_page", Cost::Copy)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let State::Lock(frame) = self.state else { return self.look(cx) };
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
