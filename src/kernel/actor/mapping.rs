//! System calls on mappings: mmap, munmap, mprotect, madvise.

use super::errno::{EACCES, EAGAIN, EEXIST, EINVAL, ENOMEM};
use super::fault::Fault;
use super::notifier::{RangeEnd, RangeStart, watched};
use super::routine::call;
use super::seal;
use super::step::*;
use super::tlb::FlushTlb;
use super::zap::Zap;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::plan::{Backing, VmaPlan};
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Id, Lock, VPage, Vma, World};

/// The lock of a mapping's address space.
pub fn mmap_lock(map: &Layout, vma: Vma) -> Lock {
    map.mmap_lock(map.vma(vma).mm)
}

/// The i_mmap_rwsem of the file that a mapping shows; none for anonymous memory.
pub fn i_mmap_lock(map: &Layout, vma: Vma) -> Option<Lock> {
    match map.vma(vma).backing {
        Backing::File { file, .. } => Some(map.file_lock(LockClass::IMmapRwsem, file)),
        Backing::Anon => None,
    }
}

/// Whether a new mapping can never become writable; -EPERM if it must not be made.
fn frozen(w: &World, vma: &VmaPlan) -> Result<bool, Ret> {
    match vma.backing {
        Backing::File { file, .. } if vma.shared => seal::may_map(w, file, vma.write),
        _ => Ok(false),
    }
}

/// `mmap()` and `munmap()` of a whole mapping, under mmap_lock for writing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MapCall {
    vma: Vma,
    state: Map,
}

/// How far an mmap or munmap is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Map {
    /// mmap: waits for mmap_lock.
    Lock,
    /// mmap: vma_link: the mapping enters the interval tree under i_mmap_rwsem.
    Link,
    /// munmap: waits for mmap_lock.
    UnmapLock,
    /// munmap: in unmap_vmas. The real one may downgrade mmap_lock for this; the mapping cannot
    /// be found any more either way.
    Zap,
    /// munmap: unlink_file_vma: the mapping leaves the interval tree, after its pages.
    Unlink,
    /// munmap: a notifier's callback failed (`--notifier abort`): mmap_write_unlock, with this
    /// result. The mapping and its pages stay.
    Abort(Ret),
}

impl MapCall {
    /// `mmap()` of a mapping that the scenario declared. Returns 0; -EEXIST if it is mapped, -EPERM
    /// if the file is sealed against it.
    pub fn map(vma: Vma) -> MapCall {
        MapCall { vma, state: Map::Lock }
    }

    /// `munmap()`. Returns 0, also if it is not mapped; -ENOMEM if a notifier failed.
    pub fn unmap(vma: Vma) -> MapCall {
        MapCall { vma, state: Map::UnmapLock }
    }

    fn at(self, state: Map) -> MapCall {
        MapCall { state, ..self }
    }
}

impl Machine for MapCall {
    fn need(self, cx: &Scene) -> Need {
        let map = &cx.w.map;
        match self.state {
            Map::Lock | Map::UnmapLock => Need::Lock(mmap_lock(map, self.vma), Mode::Exclusive),
            Map::Link | Map::Unlink => match i_mmap_lock(map, self.vma) {
                Some(lock) => Need::Lock(lock, Mode::Exclusive),
                None => Need::Nothing,
            },
            Map::Zap | Map::Abort(_) => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.state {
            Map::Lock | Map::UnmapLock => Label::new("", "mmap_write_lock", Cost::Lock),
            Map::Link => Label::new("", "vma_link", Cost::Syscall),
            Map::Zap => Label::new("", "unmap_vmas", Cost::Walk),
            Map::Unlink => Label::new("", "unlink_file_vma", Cost::Lock),
            Map::Abort(_) => Label::new("", "mmap_write_unlock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, map, vma) = (cx.me, cx.map.clone(), self.vma);
        let mapped = cx.get::<VmaState>(vma).mapped();
        match self.state {
            Map::Lock if mapped => Next::Return(-EEXIST),
            Map::UnmapLock if !mapped => Next::Return(0),
            Map::Lock => {
                cx.lock(me, mmap_lock(&map, vma), Mode::Exclusive);
                self.at(Map::Link).into()
            }
            Map::UnmapLock => {
                cx.lock(me, mmap_lock(&map, vma), Mode::Exclusive);
                let pages = map.vma_pages[vma.index()].clone();
                let zap = Zap::range(VPage(pages.start), pages.len() as u32);
                call(zap, self.at(Map::Zap))
            }
            Map::Abort(ret) => {
                cx.unlock(me, mmap_lock(&map, vma));
                cx.prices.add(Price::FailedCalls, 1);
                Next::Return(ret)
            }
            Map::Link | Map::Unlink | Map::Zap => {
                if i_mmap_lock(&map, vma).is_some() {
                    cx.might_sleep();
                    cx.lock_briefly(me, LockClass::IMmapRwsem);
                }
                let (plan, links) = (map.vma(vma), self.state == Map::Link);
                let now = VmaState::new().with_read(plan.read).with_write(plan.write);
                let frozen = if links { frozen(cx, plan) } else { Ok(false) };
                if let Ok(frozen) = frozen {
                    cx.set(vma, now.with_mapped(links).with_frozen(frozen));
                }
                cx.unlock(me, mmap_lock(&map, vma));
                Next::Return(frozen.err().unwrap_or(0))
            }
        }
    }

    fn resume(self, _cx: &mut Step, ret: Ret) -> Next {
        self.at(if ret < 0 { Map::Abort(ret) } else { Map::Unlink }).into()
    }
}

/// `mprotect()` of a whole mapping. A protection without reading is kept in the mapping only: its
/// page table entries stay, read-only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Protect {
    vma: Vma,
    read: bool,
    write: bool,
    /// The protection before, for the case that a notifier fails.
    was: (bool, bool),
    state: ProtectState,
}

/// How far an mprotect is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum ProtectState {
    /// Waits for mmap_lock, for writing; then the mapping's flags change.
    Lock,
    /// change_pte_range: under the PTL.
    Change,
    /// In mmu_notifier_invalidate_range_end.
    End { flush: bool },
    /// In the TLB flush.
    Flush,
    /// mmap_write_unlock; after a failure of a notifier the old protection is back.
    Unlock(Ret),
}

impl Protect {
    /// `mprotect()`. Returns 0; -ENOMEM if it is not mapped or a notifier failed, -EACCES if it can
    /// never become writable.
    pub fn new(vma: Vma, read: bool, write: bool) -> Protect {
        Protect { vma, read, write, was: (false, false), state: ProtectState::Lock }
    }

    fn at(self, state: ProtectState) -> Protect {
        Protect { state, ..self }
    }

    fn range(self, map: &Layout) -> (VPage, u32) {
        let pages = &map.vma_pages[self.vma.index()];
        (VPage(pages.start), pages.len() as u32)
    }

    /// The entry with the new protection. Write access comes back without a fault only where the
    /// filesystem has nothing to say: the entry is dirty, or the file tracks no dirtiness
    /// (`can_change_shared_pte_writable`); a private page waits for its fault.
    fn changed(self, map: &Layout, at: VPage, pte: Pte) -> Pte {
        let shared = map.vma(self.vma).shared;
        let tracked = map.backing(at).is_some_and(|page| map.fs_of(page).tracks_dirty());
        let regains = shared && pte.frame() != Some(ZERO_PAGE) && (pte.dirty() || !tracked);
        let writable = self.write && (pte.writable() || regains);
        pte.with_writable(writable).with_stale(pte.stale() || (pte.writable() && !writable))
    }

    /// change_pte_range. Gives whether a flush is owed: for access that is taken away here, and for
    /// what somebody else has taken away and not flushed yet. The real one never meets the latter:
    /// it waits for the PTL, under which `ptep_clear_flush` flushes, and flushes itself what
    /// `try_to_unmap` has put off (`flush_tlb_batched_pending`). Else a store could succeed after
    /// the return.
    fn change(self, cx: &mut Step) -> bool {
        let (me, map) = (cx.me, cx.map.clone());
        cx.lock_briefly(me, LockClass::Ptl);
        let (first, pages) = self.range(&map);
        let mut flush = false;
        for at in (0..pages).map(|n| first.plus(n)) {
            let pte = cx.get::<Pte>(at);
            flush |= pte.stale();
            if pte.present() {
                let changed = self.changed(&map, at, pte);
                if changed != pte {
                    cx.set_pte(at, changed);
                }
                flush |= pte.writable() && !changed.writable();
            }
        }
        flush
    }

    fn flush(self, map: &Layout, flush: bool) -> Next {
        let (first, pages) = self.range(map);
        match flush {
            true => call(FlushTlb::new(first, pages), self.at(ProtectState::Flush)),
            false => self.at(ProtectState::Unlock(0)).into(),
        }
    }
}

impl Machine for Protect {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            ProtectState::Lock => Need::Lock(mmap_lock(&cx.w.map, self.vma), Mode::Exclusive),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.state {
            ProtectState::Lock => Label::new("", "mprotect_fixup", Cost::Lock),
            ProtectState::Unlock(_) => Label::new("", "mmap_write_unlock", Cost::Lock),
            _ => Label::new("", "change_pte_range", Cost::Walk),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, map) = (cx.me, cx.map.clone());
        let (first, pages) = self.range(&map);
        match self.state {
            ProtectState::Lock => {
                let state = cx.get::<VmaState>(self.vma);
                if !state.mapped() {
                    return Next::Return(-ENOMEM);
                }
                if self.write && state.frozen() {
                    return Next::Return(-EACCES);
                }
                cx.lock(me, mmap_lock(&map, self.vma), Mode::Exclusive);
                cx.set(self.vma, state.with_read(self.read).with_write(self.write));
                let then = Protect { was: (state.read(), state.write()), ..self };
                let then = then.at(ProtectState::Change);
                match watched(&map, first) {
                    true => call(RangeStart::new(first, pages, true), then),
                    false => then.into(),
                }
            }
            ProtectState::Change => {
                let flush = self.change(cx);
                match watched(&map, first) {
                    true => {
                        let then = self.at(ProtectState::End { flush });
                        call(RangeEnd::new(first, pages), then)
                    }
                    false => self.flush(&map, flush),
                }
            }
            ProtectState::Unlock(ret) => {
                if ret < 0 {
                    let (read, write) = self.was;
                    cx.update::<VmaState>(self.vma, |v| v.with_read(read).with_write(write));
                    cx.prices.add(Price::FailedCalls, 1);
                }
                cx.unlock(me, mmap_lock(&map, self.vma));
                Next::Return(ret)
            }
            _ => self.into(),
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.state {
            ProtectState::Change if ret < 0 => self.at(ProtectState::Unlock(ret)).into(),
            ProtectState::Change => self.into(),
            ProtectState::End { flush } => self.flush(&cx.map.clone(), flush),
            _ => self.at(ProtectState::Unlock(0)).into(),
        }
    }
}

/// `madvise(MADV_DONTNEED)` and `madvise(MADV_POPULATE_READ, MADV_POPULATE_WRITE)`, under mmap_lock
/// for reading.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Advise {
    first: VPage,
    pages: u32,
    state: AdviseState,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum AdviseState {
    /// Waits for mmap_lock.
    Lock(What),
    /// In zap_page_range_single.
    Zap,
    /// faultin_page_range: looks at this page's PTE, or is in its fault.
    Page { done: u32, write: bool },
    /// A fault dropped mmap_lock: waits for it again.
    Relock { done: u32, write: bool },
    /// mmap_read_unlock, with this result.
    Unlock(Ret),
}

/// The advice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum What {
    DontNeed,
    Populate { write: bool },
}

impl Advise {
    /// MADV_DONTNEED. Returns 0, -ENOMEM if nothing is mapped or a notifier failed, -EINVAL if it
    /// is locked.
    pub fn dont_need(first: VPage, pages: u32) -> Advise {
        Advise { first, pages, state: AdviseState::Lock(What::DontNeed) }
    }

    /// MADV_POPULATE_READ or MADV_POPULATE_WRITE. Returns 0, -ENOMEM if nothing is mapped,
    /// -EINVAL without the permission, or the error of a fault.
    pub fn populate(first: VPage, pages: u32, write: bool) -> Advise {
        Advise { first, pages, state: AdviseState::Lock(What::Populate { write }) }
    }

    fn at(self, state: AdviseState) -> Advise {
        Advise { state, ..self }
    }

    fn begin(self, cx: &mut Step, what: What) -> Next {
        let (me, map) = (cx.me, cx.map.clone());
        let vma = map.vma_of(self.first);
        let state = cx.get::<VmaState>(vma);
        if !state.mapped() {
            return Next::Return(-ENOMEM);
        }
        let refused = match what {
            What::DontNeed => {
                let start = map.vma_pages[vma.index()].start;
                state.any_locked(self.first.0 - start, self.pages)
            }
            What::Populate { write } => !(if write { state.write() } else { state.read() }),
        };
        if refused {
            return Next::Return(-EINVAL);
        }
        cx.lock(me, mmap_lock(&map, vma), Mode::Shared);
        match what {
            What::DontNeed => call(Zap::range(self.first, self.pages), self.at(AdviseState::Zap)),
            What::Populate { write } => self.at(AdviseState::Page { done: 0, write }).into(),
        }
    }

    /// follow_page_mask of one page under the PTL; what is missing is faulted in.
    fn page(self, cx: &mut Step, done: u32, write: bool) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::Ptl);
        let at = self.first.plus(done);
        let pte = cx.get::<Pte>(at);
        if !pte.present() || (write && !pte.writable()) {
            return call(Fault::locked(at, write), self.at(AdviseState::Page { done, write }));
        }
        match done + 1 < self.pages {
            true => self.at(AdviseState::Page { done: done + 1, write }).into(),
            false => self.at(AdviseState::Unlock(0)).into(),
        }
    }
}

impl Machine for Advise {
    fn need(self, cx: &Scene) -> Need {
        let map = &cx.w.map;
        match self.state {
            AdviseState::Lock(_) | AdviseState::Relock { .. } => {
                Need::Lock(mmap_lock(map, map.vma_of(self.first)), Mode::Shared)
            }
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.state {
            AdviseState::Lock(_) | AdviseState::Relock { .. } => {
                Label::new("", "mmap_read_lock", Cost::Lock)
            }
            AdviseState::Zap => Label::new("", "zap_page_range_single", Cost::Walk),
            AdviseState::Page { .. } => Label::new("", "faultin_page_range", Cost::Walk),
            AdviseState::Unlock(_) => Label::new("", "mmap_read_unlock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, map) = (cx.me, cx.map.clone());
        let lock = mmap_lock(&map, map.vma_of(self.first));
        match self.state {
            AdviseState::Lock(what) => self.begin(cx, what),
            AdviseState::Relock { done, write } => {
                cx.lock(me, lock, Mode::Shared);
                self.at(AdviseState::Page { done, write }).into()
            }
            AdviseState::Page { done, write } => self.page(cx, done, write),
            AdviseState::Zap => self.at(AdviseState::Unlock(0)).into(),
            AdviseState::Unlock(ret) => {
                cx.unlock(me, lock);
                Next::Return(ret)
            }
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.state {
            AdviseState::Page { done, write } if ret == -EAGAIN => {
                self.at(AdviseState::Relock { done, write }).into()
            }
            AdviseState::Page { .. } if ret >= 0 => self.into(),
            AdviseState::Page { .. } => self.at(AdviseState::Unlock(ret)).into(),
            _ => {
                cx.prices.add(Price::FailedCalls, u64::from(ret < 0));
                self.at(AdviseState::Unlock(ret)).into()
            }
        }
    }
}
