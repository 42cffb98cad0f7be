//! The slow path of GUP: `__get_user_pages_locked`, `__get_user_pages`, `faultin_page`,
//! `follow_page_pte` in mm/gup.c.
//!
//! Pages that are pinned already stay pinned while the next one is faulted in, also when that
//! fault gives up mmap_lock and waits. The `*_fast` calls take mmap_lock themselves and let
//! faults drop it (FOLL_UNLOCKABLE); `pin_user_pages` and `get_user_pages` run under the caller's
//! mmap_lock, taken and released here for it, and never drop it.

use super::errno::*;
use super::fault::{Access, FAULT_WRITE, Fault, Retry, account_fault, is_shared};
use super::gup_fast::{live_ref, put_live_ref};
use super::pin::*;
use super::pin_count::CountPin;
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::ZERO_PAGE;
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
    /// FOLL_WRITE is dropped for it, or FOLL_COW set
    /// ([`CowRetry`](crate::kernel::strategy::CowRetry)).
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
    /// In [`CountPin`], under a design that counts when the page-table lock has been dropped.
    Counted(Frame),
    /// The pin has been counted: before the page is stored.
    Keep(Frame),
    /// It could not be: before the reference is dropped, to return this error.
    Put(Frame, Ret),
    /// Before the live reference is dropped; then mmap_lock is released (flag) or taken again.
    PutLive(bool, Ret),
    /// Before mmap_lock is released, to return this if nothing was taken.
    Unlock(Ret),
}

/// What `follow_page_pte` found.
enum Found {
    /// The page; it is taken.
    Page(Frame),
    /// The page; a reference is held that is to be counted as a pin.
    Uncounted(Frame),
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
        let call = self.request.flags.call;
        call.is_fast() || call == PinCall::PinRemote
    }

    /// FOLL_TOUCH: set by every call but plain pin_user_pages().
    fn touches(self) -> bool {
        self.request.flags.call != PinCall::PinSlow
    }

    /// `check_vma_flags`; kernel-facts 1.5.
    fn check_vma(self, cx: &mut Step, at: VPage) -> Ret {
        let state = cx.get::<VmaState>(cx.map.vma_of(at));
        if !state.mapped() {
            return -EFAULT;
        }
        let flags = self.request.flags;
        let fs = cx.map.backing(at).map(|p| cx.map.fs_of(p));
        if flags.longterm {
            let tracked = fs.is_some_and(FsKind::tracks_dirty) && is_shared(cx, at);
            let writes = flags.write && flags.call.is_pin() && state.write();
            let refused = longterm_refused(cx, fs == Some(FsKind::Dax), tracked, writes);
            if refused != 0 && cx.strategy.keeps(Guard::CheckVmaLongterm) {
                return refused;
            }
        }
        let allowed = if flags.write { state.write() } else { state.read() };
        // FOLL_FORCE writes where a copy can be made (is_cow_mapping).
        let forced = flags.call.forces() && (!flags.write || !is_shared(cx, at));
        if allowed || forced { 0 } else { -EFAULT }
    }

    /// `follow_page_pte`: under the page-table lock the entry cannot change, so that it is read
    /// once.
    fn follow(&mut self, cx: &mut Step, at: VPage, outcome: u8) -> Found {
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
        let read_only = write && !pte.writable() && cx.strategy.keeps(Guard::PinWriteFault);
        if read_only && !self.may_write_read_only(cx, at, pte) {
            return Found::Missing(wanted);
        }
        let takes = cx.strategy.unbind.takes_live_ref() && cx.strategy.keeps(Guard::FollowLiveRef);
        if pte.devmap() && takes && self.pgmap == 0 {
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
        let shared = !pte.writable() && self.request.must_unshare(cx, anon, folio.exclusive(), cow);
        if shared && cx.strategy.keeps(Guard::FollowUnshare) {
            return Found::Missing(Access::Unshare); // -EMLINK
        }
        let pin = flags.call.is_pin();
        let later = pin && !cx.strategy.pin.fast() && frame != ZERO_PAGE;
        if refused(cx, frame, pin) {
            return Found::Error(-EBUSY);
        }
        if !grab(cx, frame, pin && !later, outcome) {
            return Found::Error(-ENOMEM);
        }
        if self.touches() {
            let clean = !pte.dirty() && !folio.dirty();
            if write && clean && cx.strategy.keeps(Guard::GupTouchDirty) {
                touch_dirty(cx, frame);
            }
            cx.change_flags(frame, |f| f.with_referenced(true));
        }
        if later { Found::Uncounted(frame) } else { Found::Page(frame) }
    }

    /// Whether the next look takes an allocation to count a pin, under the page-table lock.
    fn allocates(self, cx: &Scene) -> bool {
        let page = self.request.page(cx.w, self.taken).filter(|_| self.state == State::Follow);
        let frame = page.and_then(|at| cx.w.get::<Pte>(at).frame());
        let lacks = |f: Frame| lacks_structure(cx.w, cx.strategy.pin, f);
        self.request.flags.call.is_pin() && frame.is_some_and(lacks)
    }

    /// The page is the call's: on to the next one.
    fn keep(self, cx: &mut Step, frame: Frame) -> Next {
        self.request.keep(cx, self.taken, frame);
        let taken = self.taken + 1;
        let next = GupSlow { taken, tried: false, copied: false, ..self };
        if next.taken == next.request.pages { next.out(0) } else { next.go(State::Follow) }
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
    fn round(mut self, cx: &mut Step, outcome: u8) -> Next {
        if cx.signalled() {
            return self.out(-EINTR);
        }
        let Some(at) = self.request.page(cx, self.taken) else { return self.out(-EFAULT) };
        let refused = self.check_vma(cx, at);
        if refused < 0 {
            return self.out(refused);
        }
        match self.follow(cx, at, outcome) {
            Found::Page(frame) => self.keep(cx, frame),
            Found::Uncounted(frame) => {
                let then = GupSlow { state: State::Counted(frame), ..self };
                call(CountPin::new(cx, frame), then)
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
    if cx.flags(frame).pmem() {
        cx.change_flags(frame, |f| f.with_dirty(true));
        cx.facts.push(crate::kernel::world::facts::Fact::Dirtied { frame });
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
            State::Counted(_) | State::Keep(_) => Label::new("", "gup slow: store", Cost::Step),
            State::Put(..) => Label::new("", "gup slow: put_page", Cost::Atomic),
            State::PutLive(..) => Label::new("", "gup slow: put_dev_pagemap", Cost::Atomic),
            State::Unlock(_) => Label::new("", "gup slow: mmap_read_unlock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
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
            State::Follow | State::Fault => self.round(cx, outcome),
            State::Counted(frame) | State::Keep(frame) => self.keep(cx, frame),
            State::Put(frame, ret) => {
                put(cx, frame, false);
                self.out(ret)
            }

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

    /// An allocation under the page-table lock, to count a pin.
    fn outcomes(self, cx: &Scene) -> u8 {
        1 + u8::from(self.state == State::Follow && Step::may_fail(cx.w) && self.allocates(cx))
    }

    /// `faultin_page` returned; or the pin has been counted, or not.
    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        if let State::Counted(frame) = self.state {
            return self.go(if ret < 0 { State::Put(frame, ret) } else { State::Keep(frame) });
        }
        account_fault(cx, ret);
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
