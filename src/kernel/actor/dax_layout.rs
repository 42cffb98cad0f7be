//! What truncate and punch do, before they touch a file, about pages that somebody still refers to:
//! layout breaks, and what else has been proposed.

use super::errno::{EBUSY, EINTR};
use super::extents::delete_dax_entry;
use super::pinned::ask;
use super::recall::{RecallPage, pinned_by, registering, tell};
use super::routine::call;
use super::step::*;
use super::zap::Zap;
use crate::kernel::strategy::truncate::{OnBusy, Recall};
use crate::kernel::strategy::{DaxIdle, DaxOrphan, Guard, Truncate};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::{DiskState, LockClass};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{File, FilePage, Frame, Id, Lock, Region, World};

/// `dax_break_layout()` (`ext4_break_layouts`, `xfs_break_dax_layouts`), and what stands in its
/// place under other designs and for the page cache.
///
/// The caller holds i_rwsem and invalidate_lock for writing (D1) and has them when this returns:
/// 0 when no page of the range is busy, or nothing more can be done about it; -EINTR when a signal
/// ended the wait (-ERESTARTSYS inside the kernel), -EBUSY when the design does not wait; the file
/// has not been touched then.
///
/// In DAX the lock keeps faults out until the pages are gone. In the page cache it does not: a
/// fault on a cached page never takes it (`filemap_fault`), so that a page can be mapped and pinned
/// again between this and its removal, unless the design bars it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BreakLayouts {
    file: File,
    first: FilePage,
    pages: u32,
    /// The dev_pagemap has been closed to new references.
    closed: bool,
    /// The holder of the lease has been asked.
    asked: bool,
    state: State,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum For {
    /// The last reference (DAX) or pin (page cache) of a page.
    Page(Frame),
    /// The end of a registration that has pinned a page: then there is a driver to ask.
    Registered(Region),
    /// The answer of the holder of the lease, or the timeout.
    Answer,
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
    /// D3, page cache: page `n` of the range is.
    Pinned(u32),
    /// D5: before the wait, the callback drops invalidate_lock.
    Unlock(For),
    /// D5: waits for the page.
    Wait(For),
    /// D5: the callback retakes invalidate_lock, also if a signal has ended the wait.
    Relock { interrupted: bool },
}

impl BreakLayouts {
    /// What comes before truncating or punching pages of a file, if the design looks at them at
    /// all. DAX filesystems break the layouts of the whole file (seen on 6.1 to 6.18); what was
    /// only proposed looks at the pages that go.
    pub fn of(cx: &Step, file: File, first: FilePage, pages: u32) -> Option<BreakLayouts> {
        let fs = cx.map.file(file).fs;
        let design = cx.strategy.truncate_of(fs);
        design.on_busy()?;
        let (first, pages) = match fs {
            FsKind::Dax if design.is_layout_break() => whole(&cx.map, file),
            _ => (first, pages),
        };
        let state = State::Begin;
        let begin = BreakLayouts { file, first, pages, closed: false, asked: false, state };
        (pages > 0).then_some(begin)
    }

    fn at(self, state: State) -> BreakLayouts {
        BreakLayouts { state, ..self }
    }

    fn lock(self, map: &Layout) -> Lock {
        map.file_lock(LockClass::InvalidateLock, self.file)
    }

    fn dax(self, map: &Layout) -> bool {
        map.file(self.file).fs == FsKind::Dax
    }

    fn design(self, cx: &Step) -> Truncate {
        cx.strategy.truncate_of(cx.map.file(self.file).fs)
    }

    /// D2: unmaps the range, private copies excepted. Whoever comes through GUP-fast now has
    /// either raised the count already or finds the PTE changed. A design that lets nobody fault
    /// the pages in again says so first.
    fn unmap(self, cx: &mut Step) -> Next {
        if self.design(cx) == Truncate::BlockRefault {
            for at in self.range() {
                cx.update::<CacheSlot>(at, |s| s.with_barred(true));
            }
        }
        if !cx.strategy.keeps(Guard::LayoutUnmapFirst) {
            return self.scan(cx);
        }
        call(Zap::file(self.first, self.pages, false), self.at(State::Scan))
    }

    fn range(self) -> impl Iterator<Item = FilePage> {
        (self.first.0..self.first.0 + self.pages).map(FilePage)
    }

    /// D3: the first busy page (dax_layout_busy_page_range, under the i_pages lock). A hole that
    /// has been read shows the zero page, for which nobody waits (`dax_is_zero_entry`).
    fn busy(self, cx: &Step) -> Option<(FilePage, Frame)> {
        self.range().find_map(|at| {
            let frame = cx.cached(at).filter(|&frame| frame != ZERO_PAGE)?;
            cx.strategy.dax_idle.busy(cx.get(frame)).then(|| (at, cx.head(frame)))
        })
    }

    /// D3 in the page cache: asks of one page after the other, from page `n` of the range on,
    /// whether it is pinned.
    fn pinned(self, cx: &mut Step, n: u32) -> Next {
        for n in n..self.pages {
            let Some(frame) = cx.cached(self.first.plus(n)) else { continue };
            match ask(cx, frame, self.at(State::Ask(n))) {
                Ok(true) => return self.meet(cx, self.first.plus(n), cx.head(frame)),
                Ok(false) => {}
                Err(next) => return next,
            }
        }
        self.leave(cx, 0)
    }

    fn scan(self, cx: &mut Step) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::IPages);
        let locked = self.range().find(|&at| cx.get::<CacheSlot>(at).dax_locked());
        if let Some(at) = locked.filter(|_| cx.strategy.keeps(Guard::LayoutEntryWait)) {
            return self.at(State::Entry(at)).into();
        }
        if !self.dax(&cx.map) {
            return self.pinned(cx, 0);
        }
        if let Some((at, frame)) = self.busy(cx) {
            return self.meet(cx, at, frame);
        }
        // D4: where mappings hold references, the entries are deleted at once
        // (dax_delete_mapping_range, 6.15). The file is unmapped and faults are locked out:
        // nothing can come between this and the scan.
        if cx.strategy.dax_idle == DaxIdle::MappedRef {
            self.range().for_each(|at| delete_dax_entry(cx, at));
        }
        self.leave(cx, 0)
    }

    /// A page is busy.
    fn meet(self, cx: &mut Step, at: FilePage, frame: Frame) -> Next {
        match self.design(cx).on_busy() {
            None | Some(OnBusy::Wait) => self.keep_out(cx, at).wait(cx, For::Page(frame)),
            Some(OnBusy::Fail) => {
                cx.w.prices.add(Price::FailedCalls, 1);
                self.leave(cx, -EBUSY)
            }
            Some(OnBusy::Recall(how)) => self.recall(cx, frame, how),
            Some(OnBusy::Ask) => self.ask(cx, frame),
        }
    }

    /// Takes the page back from the devices that have pinned it. A pin that belongs to no device
    /// (direct I/O), or to none yet, can only be waited for.
    fn recall(self, cx: &mut Step, frame: Frame, how: Recall) -> Next {
        if pinned_by(cx, frame).is_some() {
            return call(RecallPage::new(frame, how), self.at(State::Scan));
        }
        let region = registering(cx, frame);
        self.wait(cx, region.map_or(For::Page(frame), For::Registered))
    }

    /// Asks the holder of the lease, once. Who has none cannot be asked.
    fn ask(self, cx: &mut Step, frame: Frame) -> Next {
        let lease = cx.get::<Lease>(self.file);
        if self.asked || lease.state() != LeaseState::Held {
            return self.recall(cx, frame, Recall::Redirect);
        }
        cx.set(self.file, lease.with_state(LeaseState::Breaking));
        tell(cx, frame);
        let asked = BreakLayouts { asked: true, ..self };
        match cx.strategy.keeps(Guard::LeaseAwaitAnswer) {
            true => asked.wait(cx, For::Answer),
            false => asked.recall(cx, frame, Recall::Redirect),
        }
    }

    /// What keeps new references from the page while it is waited for.
    fn keep_out(self, cx: &mut Step, at: FilePage) -> BreakLayouts {
        match self.design(cx) {
            Truncate::WaitFlag => {
                cx.update::<CacheSlot>(at, |s| s.with_barred(true));
                self
            }
            Truncate::WaitPgmap if !self.closed => {
                self.close(cx, true);
                BreakLayouts { closed: true, ..self }
            }
            _ => self,
        }
    }

    /// Closes the device's dev_pagemap to new references, or opens it again.
    fn close(self, cx: &mut Step, closed: bool) {
        let Some(disk) = cx.map.file(self.file).disk else { return };
        cx.update::<DiskState>(disk, |d| match closed {
            true => d.with_closed(d.closed() + 1),
            false => d.with_closed(d.closed().saturating_sub(1)),
        });
    }

    fn wait(self, cx: &Step, what: For) -> Next {
        match self.design(cx).drops_lock() {
            true => self.at(State::Unlock(what)).into(),
            false => self.at(State::Wait(what)).into(),
        }
    }

    /// What a wait needs.
    fn need_of(self, what: For, w: &World, idle: DaxIdle) -> Need {
        match what {
            For::Page(frame) if self.dax(&w.map) => Need::DaxIdle { frame, refs: idle.idle_refs() },
            For::Page(frame) => Need::unpinned(w, frame, self.first),
            For::Registered(region) => Need::RegionReady(region),
            For::Answer => Need::LeaseAnswered(self.file),
        }
    }

    /// After a wait, with the lock: looks again, for faults may have mapped pages.
    fn again(self, cx: &mut Step, interrupted: bool) -> Next {
        match interrupted {
            true => self.leave(cx, -EINTR),
            false if cx.strategy.keeps(Guard::LayoutLookAgain) => self.unmap(cx),
            false => self.leave(cx, 0),
        }
    }

    /// Returns. With the lock held nothing can fault a page of a DAX file in any more: the
    /// dev_pagemap is opened again.
    fn leave(self, cx: &mut Step, ret: Ret) -> Next {
        if self.closed {
            self.close(cx, false);
        }
        Next::Return(ret)
    }
}

/// All pages of a file.
fn whole(map: &Layout, file: File) -> (FilePage, u32) {
    let pages = &map.file_pages[file.index()];
    (FilePage(pages.start), pages.len() as u32)
}

impl Machine for BreakLayouts {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Entry(at) => Need::DaxEntry(at),
            State::Wait(what) => self.need_of(what, cx.w, cx.strategy.dax_idle),
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
            State::Wait(For::Page(_)) => Label::new("D5", "wait_page_idle", Cost::Wake),
            State::Wait(For::Registered(_)) => Label::new("D5", "wait for reg_mr", Cost::Wake),
            State::Wait(For::Answer) => Label::new("D5", "break_lease", Cost::Wake),
            State::Relock { .. } => Label::new("D5", "wait_dax_page: lock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, lock) = (cx.me, self.lock(&cx.map));
        match self.state {
            State::Begin => self.begin(cx),
            State::Scan | State::Entry(_) => self.scan(cx),
            State::Ask(n) => self.pinned(cx, n),
            State::Pinned(n) => match cx.cached(self.first.plus(n)) {
                Some(frame) => self.meet(cx, self.first.plus(n), cx.head(frame)),
                None => self.pinned(cx, n + 1),
            },
            State::Unlock(what) => {
                cx.unlock(me, lock);
                self.at(State::Wait(what)).into()
            }
            State::Wait(what) => {
                cx.might_sleep();
                let interrupted = !self.need_of(what, cx.w, cx.strategy.dax_idle).met(cx.w);
                let design = self.design(cx);
                if matches!(what, For::Page(_)) && !interrupted && design != Truncate::WaitFlag {
                    cx.w.prices.add(Price::Wakes, 1);
                }
                match design.drops_lock() {
                    true => self.at(State::Relock { interrupted }).into(),
                    false => self.again(cx, interrupted),
                }
            }
            State::Relock { interrupted } => {
                cx.lock(me, lock, Mode::Exclusive);
                self.again(cx, interrupted)
            }
        }
    }

    fn resume(self, _cx: &mut Step, ret: Ret) -> Next {
        match self.state {
            // The answer of a design that takes several steps.
            State::Ask(n) if ret > 0 => self.at(State::Pinned(n)).into(),
            State::Ask(n) => self.at(State::Ask(n + 1)).into(),
            _ => self.into(),
        }
    }
}

impl BreakLayouts {
    fn begin(self, cx: &mut Step) -> Next {
        let design = self.design(cx);
        // What was merged looks only at files that something maps (until 6.14).
        let mut mappings = cx.map.mappings(self.file).iter();
        let mapped = mappings.any(|&vma| cx.get::<VmaState>(vma).mapped());
        let orphans = !design.is_layout_break() || cx.strategy.dax_orphan == DaxOrphan::Wait;
        match mapped || orphans || !self.dax(&cx.map) {
            true => self.unmap(cx),
            false => self.leave(cx, 0),
        }
    }
}
