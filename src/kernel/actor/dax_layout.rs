//! Layout breaks: truncate and punch wait for pages that somebody still refers to.

use super::errno::EINTR;
use super::extents::delete_dax_entry;
use super::pinned::ask;
use super::routine::call;
use super::step::*;
use super::zap::Zap;
use crate::kernel::strategy::{DaxIdle, DaxOrphan, Truncate};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{File, FilePage, Frame, Id, Lock, World};

/// `dax_break_layout()` (`ext4_break_layouts`, `xfs_break_dax_layouts`), and the same for the page
/// cache under designs that make truncate wait there.
///
/// The caller holds i_rwsem and invalidate_lock for writing (D1) and has them when this returns:
/// 0 when no page of the range is busy, -EINTR when a signal ended the wait (-ERESTARTSYS inside
/// the kernel); the file has not been touched then.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BreakLayouts {
    first: FilePage,
    pages: u32,
    state: State,
}

/// How far a layout break is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// dax_layout_busy_page_range: is the file mapped at all?
    Begin,
    /// D2, D3: unmapping has been done; scans for the first busy page.
    Scan,
    /// D3: the scan waits for this entry to be unlocked (wait_entry_unlocked_exclusive).
    Entry(FilePage),
    /// D3, page cache: asks whether page `n` of the range is pinned.
    Ask(u32),
    /// D3, page cache: it is; its frame.
    Pinned(Frame),
    /// D5: before the wait, the callback drops invalidate_lock.
    Unlock(Frame),
    /// D5: waits for the page.
    Wait(Frame),
    /// D5: the callback retakes invalidate_lock, also if a signal has ended the wait.
    Relock { interrupted: bool },
}

impl BreakLayouts {
    /// A layout break for truncating or punching pages of a file, if the design has one. DAX
    /// filesystems break the layouts of the whole file (seen on 6.1 to 6.18).
    pub fn of(cx: &Step, first: FilePage, pages: u32) -> Option<BreakLayouts> {
        let file = cx.map.file_of(first);
        if policy(cx, first) == Truncate::Ignore {
            return None;
        }
        let (first, pages) = match cx.map.fs_of(first) {
            FsKind::Dax => whole(&cx.map, file),
            _ => (first, pages),
        };
        (pages > 0).then_some(BreakLayouts { first, pages, state: State::Begin })
    }

    fn at(self, state: State) -> BreakLayouts {
        BreakLayouts { state, ..self }
    }

    fn lock(self, map: &Layout) -> Lock {
        map.file_lock(LockClass::InvalidateLock, map.file_of(self.first))
    }

    fn dax(self, map: &Layout) -> bool {
        map.fs_of(self.first) == FsKind::Dax
    }

    /// D2: unmaps the range, private copies excepted. Whoever comes through GUP-fast now has
    /// either raised the count already or finds the PTE changed.
    fn unmap(self) -> Next {
        call(Zap::file(self.first, self.pages, false), self.at(State::Scan))
    }

    fn range(self) -> impl Iterator<Item = FilePage> {
        (self.first.0..self.first.0 + self.pages).map(FilePage)
    }

    /// D3: the first busy page (dax_layout_busy_page_range, under the i_pages lock). A hole that
    /// has been read shows the zero page, for which nobody waits (`dax_is_zero_entry`).
    fn busy(self, cx: &Step) -> Option<Frame> {
        self.range().find_map(|at| {
            let frame = cx.cached(at).filter(|&frame| frame != ZERO_PAGE)?;
            cx.strategy.dax_idle.busy(cx.get(frame)).then(|| cx.head(frame))
        })
    }

    /// D3 in the page cache: asks of one page after the other, from page `n` of the range on,
    /// whether it is pinned.
    fn pinned(self, cx: &mut Step, n: u32) -> Next {
        for n in n..self.pages {
            let Some(frame) = cx.cached(self.first.plus(n)) else { continue };
            match ask(cx, frame, self.at(State::Ask(n))) {
                Ok(true) => return self.wait(cx, frame),
                Ok(false) => {}
                Err(next) => return next,
            }
        }
        Next::Return(0)
    }

    /// A busy page has been found.
    fn wait(self, cx: &Step, frame: Frame) -> Next {
        let frame = cx.head(frame);
        match policy(cx, self.first).drops_lock() {
            true => self.at(State::Unlock(frame)).into(),
            false => self.at(State::Wait(frame)).into(),
        }
    }

    fn scan(self, cx: &mut Step) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::IPages);
        if let Some(at) = self.range().find(|&at| cx.get::<CacheSlot>(at).dax_locked()) {
            return self.at(State::Entry(at)).into();
        }
        if !self.dax(&cx.map) {
            return self.pinned(cx, 0);
        }
        if let Some(frame) = self.busy(cx) {
            return self.wait(cx, frame);
        }
        // D4: where mappings hold references, the entries are deleted at once
        // (dax_delete_mapping_range, 6.15). The file is unmapped and faults are locked out:
        // nothing can come between this and the scan.
        if cx.strategy.dax_idle == DaxIdle::MappedRef {
            self.range().for_each(|at| delete_dax_entry(cx, at));
        }
        Next::Return(0)
    }

    /// What is waited for.
    fn idle(self, w: &World, frame: Frame, idle: DaxIdle) -> Need {
        match self.dax(&w.map) {
            true => Need::DaxIdle { frame, refs: idle.idle_refs() },
            false => Need::unpinned(w, frame, self.first),
        }
    }
}

/// All pages of a file.
fn whole(map: &Layout, file: File) -> (FilePage, u32) {
    let pages = &map.file_pages[file.index()];
    (FilePage(pages.start), pages.len() as u32)
}

/// What the design does about a file's busy pages.
fn policy(cx: &Step, at: FilePage) -> Truncate {
    match cx.map.fs_of(at) {
        FsKind::Dax => cx.strategy.truncate_dax,
        _ => cx.strategy.truncate,
    }
}

impl Machine for BreakLayouts {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Entry(at) => Need::DaxEntry(at),
            State::Wait(frame) => self.idle(cx.w, frame, cx.strategy.dax_idle),
            State::Relock { .. } => Need::Lock(self.lock(&cx.w.map), Mode::Exclusive),
            _ => Need::Nothing,
        }
    }

    fn interruptible(self) -> bool {
        matches!(self.state, State::Wait(_))
    }

    fn label(self) -> Label {
        match self.state {
            State::Begin => Label::new("D2", "dax_break_layout", Cost::Step),
            State::Scan => Label::new("D3", "dax_layout_busy_page_range", Cost::Walk),
            State::Entry(_) => Label::new("D3", "wait_entry_unlocked_exclusive", Cost::Wake),
            State::Ask(_) => Label::new("D3", "is the next page pinned?", Cost::Step),
            State::Pinned(_) => Label::new("D3", "a pinned page", Cost::Step),
            State::Unlock(_) => Label::new("D5", "wait_dax_page: unlock", Cost::Lock),
            State::Wait(_) => Label::new("D5", "wait_page_idle", Cost::Wake),
            State::Relock { .. } => Label::new("D5", "wait_dax_page: lock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, lock) = (cx.me, self.lock(&cx.map));
        match self.state {
            State::Begin => {
                let file = cx.map.file_of(self.first);
                let mut mappings = cx.map.mappings(file).iter();
                let mapped = mappings.any(|&vma| cx.get::<VmaState>(vma).mapped());
                let looks = mapped || cx.strategy.dax_orphan == DaxOrphan::Wait;
                match looks || !self.dax(&cx.map) {
                    true => self.unmap(),
                    false => Next::Return(0),
                }
            }
            State::Scan | State::Entry(_) => self.scan(cx),
            State::Ask(n) => self.pinned(cx, n),
            State::Pinned(frame) => self.wait(cx, frame),
            State::Unlock(frame) => {
                cx.unlock(me, lock);
                self.at(State::Wait(frame)).into()
            }
            State::Wait(frame) => {
                cx.might_sleep();
                let idle = self.idle(cx.w, frame, cx.strategy.dax_idle);
                let interrupted = !idle.met(cx.w);
                match policy(cx, self.first).drops_lock() {
                    true => self.at(State::Relock { interrupted }).into(),
                    false if interrupted => Next::Return(-EINTR),
                    // D6: faults may have mapped it again.
                    false => self.unmap(),
                }
            }
            State::Relock { interrupted } => {
                cx.lock(me, lock, Mode::Exclusive);
                match interrupted {
                    true => Next::Return(-EINTR),
                    false => self.unmap(),
                }
            }
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.state {
            // The answer of a design that takes several steps.
            State::Ask(n) => match cx.cached(self.first.plus(n)).filter(|_| ret > 0) {
                Some(frame) => self.at(State::Pinned(frame)).into(),
                None => self.at(State::Ask(n + 1)).into(),
            },
            _ => self.into(),
        }
    }
}
