//! The slow path of GUP: `__get_user_pages_locked`, `__get_user_pages`, `faultin_page`,
//! `follow_page_pte` in mm/gup.c.
//!
//! Pages that are pinned already stay pinned while the next one is faulted in, also when that
//! fault gives up mmap_lock and waits. The `*_fast` calls take mmap_lock themselves and let
//! faults drop it (FOLL_UNLOCKABLE); `pin_user_pages` and `get_user_pages` run under the caller's
//! mmap_lock, taken and released here for it, and never drop it.

use super::errno::*;
use super::fault::{Access, FAULT_WRITE, Fault, Retry, is_shared};
use super::gup_fast::{live_ref, put_live_ref};
use super::pin::*;
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::longterm::Refused;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{FsKind, PinCall};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Disk, Frame, Lock, VPage, World};

/// The slow part of a GUP call; returns as [`PinPages`] does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GupSlow {
    request: Request,
    /// Pages taken so far, by the fast walk too.
    taken: u32,
    /// The device on whose dev_pagemap a live reference is held, packed.
    pgmap: u16,
    /// A fault dropped mmap_lock: this page is tried again without doing so (FOLL_TRIED).
    tried: bool,
    /// FOLL_FORCE: a fault has made the private copy of this page, though its entry is read-only.
    /// FOLL_WRITE is dropped for it, or FOLL_COW set ([`CowRetry`]).
    copied: bool,
    state: State,
}

/// Where the call is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Waits for mmap_lock, killable.
    Lock,
    /// Before the next page is looked up, under the page-table lock.
    Follow,
    /// In the fault; `handle_mm_fault`.
    Fault,
    /// Before the live reference is dropped; then mmap_lock is released (flag) or taken again.
    PutLive(bool, Ret),
    /// Before mmap_lock is released, to return this if nothing was taken.
    Unlock(Ret),
}

/// What `follow_page_pte` found.
enum Found {
    /// The page; it is taken.
    Page(Frame),
    /// Nothing that could be taken: a fault is needed.
    Missing(Access),
    /// An error.
    Error(Ret),
}

impl GupSlow {
    /// The slow path for the pages after the first `taken`.
    pub fn new(request: Request, taken: u32) -> GupSlow {
        let state = State::Lock;
        GupSlow { request, taken, pgmap: 0, tried: false, copied: false, state }
    }

    fn go(self, state: State) -> Next {
        GupSlow { state, ..self }.into()
    }

    fn mmap_lock(self, w: &World) -> Lock {
        w.map.mmap_lock(w.map.mm_of(self.request.first))
    }

    /// F21: the count of pages, else the error. An error after some pages is lost.
    fn result(self, ret: Ret) -> Ret {
        if self.taken > 0 { self.taken as Ret } else { ret }
    }

    /// The end of `__get_user_pages`, with mmap_lock held.
    fn out(self, ret: Ret) -> Next {
        let unlock = State::Unlock(ret);
        self.go(if self.pgmap == 0 { unlock } else { State::PutLive(true, ret) })
    }

    /// FOLL_UNLOCKABLE.
    fn unlockable(self) -> bool {
        self.request.flags.call.is_fast()
    }

    /// FOLL_TOUCH: set by every call but plain pin_user_pages().
    fn touches(self) -> bool {
        self.request.flags.call != PinCall::PinSlow
    }

    /// `check_vma_flags`; kernel-facts 1.5.
    fn check_vma(self, cx: &Step, at: VPage) -> Ret {
        let state = cx.get::<VmaState>(cx.map.vma_of(at));
        if !state.mapped() {
            return -EFAULT;
        }
        let flags = self.request.flags;
        let fs = cx.map.backing(at).map(|p| cx.map.fs_of(p));
        if flags.longterm {
            let tracked = fs.is_some_and(FsKind::tracks_dirty) && is_shared(cx, at);
            let writes = flags.write && flags.call.is_pin() && state.write();
            match cx.strategy.longterm.refuses(fs == Some(FsKind::Dax), tracked && writes) {
                Some(Refused::Dax) => return -EOPNOTSUPP,
                Some(Refused::DirtyTracked) => return -EFAULT,
                None => {}
            }
        }
        let allowed = if flags.write { state.write() } else { state.read() };
        // FOLL_FORCE writes where a copy can be made (is_cow_mapping).
        let forced = flags.call.forces() && (!flags.write || !is_shared(cx, at));
        if allowed || forced { 0 } else { -EFAULT }
    }

    /// `follow_page_pte`: under the page-table lock the entry cannot change, so that it is read
    /// once.
    fn follow(&mut self, cx: &mut Step, at: VPage) -> Found {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        let flags = self.request.flags;
        let pte = cx.get::<Pte>(at);
        // What a fault is asked for; without FOLL_WRITE the page is taken as for reading.
        let write = flags.write && !(self.copied && cx.strategy.cow_retry.drops_write());
        let wanted = match (write, flags.call.forces()) {
            (false, _) => Access::Read,
            (true, false) => Access::Write,
            (true, true) => Access::Force,
        };
        let Some(frame) = pte.frame().filter(|_| pte.present()) else {
            return Found::Missing(wanted);
        };
        if write && !pte.writable() && !self.may_write_read_only(cx, at, pte) {
            return Found::Missing(wanted);
        }
        if pte.devmap() && cx.strategy.unbind.takes_live_ref() && self.pgmap == 0 {
            // A dying device has no pages. The kernel faults again and finds the same entry, so it
            // spins until somebody clears it or a signal comes; here it is refused at once, as
            // follow_huge_pud() does.
            match live_ref(cx, frame) {
                Some(disk) => self.pgmap = Disk::pack(Some(disk)) as u16,
                None => return Found::Error(-EFAULT),
            }
        }
        let anon = cx.get::<Owner>(cx.head(frame)).kind() == OwnerKind::Anon;
        let (folio, cow) = (cx.flags(frame), !is_shared(cx, at));
        if !pte.writable() && self.request.must_unshare(cx, anon, folio.exclusive(), cow) {
            return Found::Missing(Access::Unshare); // -EMLINK
        }
        if !grab(cx, frame, flags.call.is_pin()) {
            return Found::Error(-ENOMEM);
        }
        if self.touches() {
            if write && !pte.dirty() && !folio.dirty() {
                touch_dirty(cx, frame);
            }
            cx.change_flags(frame, |f| f.with_referenced(true));
        }
        Found::Page(frame)
    }

    /// `can_follow_write_pte`: whether a write may take the page of a read-only entry, because it
    /// is the copy that FOLL_FORCE has had made. From 4.9 on FOLL_COW and the dirty bit said so
    /// (19be0eaffa3a), from 6.0 on PageAnonExclusive does (5535be309971).
    fn may_write_read_only(self, cx: &Step, at: VPage, pte: Pte) -> bool {
        let vma = cx.get::<VmaState>(cx.map.vma_of(at));
        if !self.request.flags.call.forces() || vma.write() || is_shared(cx, at) {
            return false;
        }
        if !cx.strategy.cow_reuse.unshares() {
            return self.copied && pte.dirty();
        }
        let anon = |f: &Frame| cx.get::<Owner>(cx.head(*f)).kind() == OwnerKind::Anon;
        pte.frame().filter(anon).is_some_and(|f| cx.flags(f).exclusive())
    }

    /// One round of the loop over pages.
    fn round(mut self, cx: &mut Step) -> Next {
        if cx.signalled() {
            return self.out(-EINTR);
        }
        let Some(at) = self.request.page(cx, self.taken) else { return self.out(-EFAULT) };
        let refused = self.check_vma(cx, at);
        if refused < 0 {
            return self.out(refused);
        }
        match self.follow(cx, at) {
            Found::Page(frame) => {
                self.request.keep(cx, self.taken, frame);
                let taken = self.taken + 1;
                let next = GupSlow { taken, tried: false, copied: false, ..self };
                if next.taken == next.request.pages { next.out(0) } else { next.go(State::Follow) }
            }
            Found::Missing(access) => {
                let retry = match (self.unlockable(), self.tried) {
                    (false, _) => Retry::Never,
                    (true, false) => Retry::First,
                    (true, true) => Retry::Tried,
                };
                let fault = Fault::new(at, access, retry);
                call(fault, GupSlow { state: State::Fault, ..self })
            }
            Found::Error(ret) => self.out(ret),
        }
    }
}

/// `set_page_dirty` as GUP and drivers call it. DAX has no dirty tag to set for it
/// (noop_dirty_folio).
pub fn touch_dirty(cx: &mut Step, frame: Frame) {
    use crate::kernel::world::facts::Fact;
    if cx.flags(frame).pmem() {
        cx.change_flags(frame, |f| f.with_dirty(true));
        cx.facts.push(Fact::Dirtied { frame });
    } else {
        cx.mark_dirty(frame);
    }
}

impl Machine for GupSlow {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Lock => Need::Lock(self.mmap_lock(cx.w), Mode::Shared),
            _ => Need::Nothing,
        }
    }

    /// mmap_read_lock_killable.
    fn interruptible(self) -> bool {
        self.state == State::Lock
    }

    fn label(self) -> Label {
        match self.state {
            State::Lock => Label::new("", "gup slow: mmap_read_lock_killable", Cost::Lock),
            State::Follow => Label::new("", "follow_page_pte", Cost::Walk),
            State::Fault => Label::new("", "faultin_page", Cost::Fault),
            State::PutLive(..) => Label::new("", "gup slow: put_dev_pagemap", Cost::Atomic),
            State::Unlock(_) => Label::new("", "gup slow: mmap_read_unlock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, lock) = (cx.me, self.mmap_lock(cx));
        match self.state {
            State::Lock => {
                // In the retry loop a signal is looked for first; else only a wait is killed.
                if cx.signalled() && (self.tried || !cx.can_lock(lock, Mode::Shared)) {
                    let ret = if self.tried { -EINTR } else { -EAGAIN };
                    return Next::Return(self.result(ret));
                }
                cx.lock(me, lock, Mode::Shared);
                self.go(State::Follow)
            }
            State::Follow | State::Fault => self.round(cx),
            State::PutLive(locked, ret) => {
                put_live_ref(cx, self.pgmap);
                let next = GupSlow { pgmap: 0, ..self };
                next.go(if locked { State::Unlock(ret) } else { State::Lock })
            }
            State::Unlock(ret) => {
                cx.unlock(me, lock);
                Next::Return(self.result(ret))
            }
        }
    }

    /// `faultin_page` returned.
    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match ret {
            0 => self.go(State::Follow),
            FAULT_WRITE => {
                // do_wp_page has broken the sharing, but a mapping without VM_WRITE gets no
                // writable entry: asking for one again would never end (faultin_page).
                let mapping = self.request.page(cx, self.taken).map(|at| cx.map.vma_of(at));
                let writable = mapping.is_none_or(|vma| cx.get::<VmaState>(vma).write());
                GupSlow { copied: !writable, ..self }.go(State::Follow)
            }
            // VM_FAULT_RETRY, VM_FAULT_COMPLETED: mmap_lock is gone, the page is redone.
            n if n == -EAGAIN => {
                let again = GupSlow { tried: true, copied: false, ..self };
                let put = State::PutLive(false, 0);
                again.go(if self.pgmap == 0 { State::Lock } else { put })
            }
            error => self.out(error),
        }
    }
}
