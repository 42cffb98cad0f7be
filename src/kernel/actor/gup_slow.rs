//! The slow path of GUP: `__get_user_pages_locked`, `__get_user_pages`, `faultin_page`,
//! `follow_page_pte` in mm/gup.c.
//!
//! Pages that are pinned already stay pinned while the next one is faulted in, also when that
//! fault gives up mmap_lock and waits. The `*_fast` calls take mmap_lock themselves and let
//! faults drop it (FOLL_UNLOCKABLE); `pin_user_pages` and `get_user_pages` run under the caller's
//! mmap_lock, taken and released here for it, and never drop it.

use super::errno::*;
use super::fault::{Access, Fault, Retry, account_fault, is_shared};
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
        GupSlow { request, taken, pgmap: 0, tried: false, state: State::Lock }
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
        // FOLL_FORCE breaks COW of what may not be written, and nothing else.
        let forced = flags.call == PinCall::GetForce && !(flags.write && is_shared(cx, at));
        let allowed = if flags.write { state.write() } else { state.read() };
        if allowed || forced { 0 } else { -EFAULT }
    }

    /// `follow_page_pte`: under the page-table lock the entry cannot change, so that it is read
    /// once.
    fn follow(&mut self, cx: &mut Step, at: VPage) -> Found {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        let flags = self.request.flags;
        let pte = cx.get::<Pte>(at);
        let wanted = flags.access();
        let Some(frame) = pte.frame().filter(|_| pte.present()) else {
            return Found::Missing(wanted);
        };
        if flags.write && !pte.writable() && !self.request.forces(cx, at, frame) {
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
            if flags.write && !pte.dirty() && !folio.dirty() {
                touch_dirty(cx, frame);
            }
            cx.change_flags(frame, |f| f.with_referenced(true));
        }
        Found::Page(frame)
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
                let next = GupSlow { taken: self.taken + 1, tried: false, ..self };
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
        account_fault(cx, ret);
        match ret {
            0 => self.go(State::Follow),
            // VM_FAULT_RETRY, VM_FAULT_COMPLETED: mmap_lock is gone, the page is redone.
            n if n == -EAGAIN => {
                let again = GupSlow { tried: true, ..self };
                let put = State::PutLive(false, 0);
                again.go(if self.pgmap == 0 { State::Lock } else { put })
            }
            error => self.out(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::kernel::sim::Sim;
    use crate::kernel::strategy::{Longterm, Preset};
    use crate::kernel::world::facts::Fact;
    use crate::kernel::world::page::ZERO_PAGE;
    use crate::kernel::world::plan::*;
    use crate::kernel::world::{FilePage, Mm, OpId, Slot};

    const CALLS: [PinCall; 4] =
        [PinCall::PinFast, PinCall::PinSlow, PinCall::GetFast, PinCall::GetSlow];

    /// One thread that pins the pages of a mapping of a file, and perhaps releases them.
    fn pins(fs: FsKind, pages: &[InitPage], shared: bool, ops: &[Op]) -> (Kit, OpId, Slot) {
        let mut kit = Kit::new();
        let data = kit.file(fs, pages);
        kit.map(file(data), shared, pages.len() as u32);
        let slot = kit.slot(pages.len() as u32);
        let op = kit.thread(Mm(0), ops);
        (kit, op, slot)
    }

    fn page(sim: &Sim, n: u32) -> Frame {
        sim.world.cached(FilePage(n)).unwrap()
    }

    #[test]
    fn a_write_pin_of_a_clean_page_dirties_it() {
        for call in CALLS {
            let ops = [pin(VPage(0), 1, Slot(0), true, call)];
            let (kit, op, slot) = pins(FsKind::Ext4, &[InitPage::Clean], true, &ops);
            let mut sim = kit.sim("linux-6.18");
            finish(&mut sim);
            assert_eq!(ret(&sim, op), 1, "{call:?}");
            let frame = page(&sim, 0);
            assert_eq!(kept(&sim, slot, 0), Some(frame));
            assert!(sim.world.flags(frame).dirty());
            // Cache, buffers, PTE, and what the call took.
            let taken = if call.is_pin() { 1024 } else { 1 };
            assert_eq!(sim.world.counts(frame).refs(), 3 + taken);
        }
    }

    #[test]
    fn a_read_pin_leaves_the_page_clean_and_release_gives_all_back() {
        for call in CALLS {
            let ops = [pin(VPage(0), 2, Slot(0), false, call), unpin(Slot(0), false)];
            let (kit, op, slot) = pins(FsKind::Ext4, &[InitPage::Clean; 2], true, &ops);
            let mut sim = kit.sim("linux-6.18");
            finish(&mut sim);
            assert_eq!((ret(&sim, op), ret(&sim, op.plus(1))), (2, 0), "{call:?}");
            for n in 0..2 {
                assert!(!sim.world.flags(page(&sim, n)).dirty());
                assert_eq!(sim.world.counts(page(&sim, n)).refs(), 3);
                assert_eq!(kept(&sim, slot, n), None);
            }
        }
    }

    #[test]
    fn a_write_pin_of_a_private_file_page_pins_the_copy() {
        let ops = [pin(VPage(0), 1, Slot(0), true, PinCall::PinFast)];
        let (kit, _, slot) = pins(FsKind::Ext4, &[InitPage::Clean], false, &ops);
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        let copy = kept(&sim, slot, 0).unwrap();
        assert_ne!(copy, page(&sim, 0));
        assert!(sim.world.flags(copy).exclusive() && sim.world.maybe_pinned_now(&sim, copy));
    }

    trait Ask {
        fn maybe_pinned_now(&self, sim: &Sim, frame: Frame) -> bool;
    }
    impl Ask for World {
        fn maybe_pinned_now(&self, sim: &Sim, frame: Frame) -> bool {
            sim.strategy.pin.maybe_pinned(self.counts(frame), self.flags(frame).order())
        }
    }

    #[test]
    fn the_zero_page_is_never_really_pinned() {
        let mut kit = Kit::new();
        let at = kit.map(Backing::Anon, false, 1);
        let slot = kit.slot(1);
        let program = [pin(at, 1, slot, false, PinCall::PinFast), unpin(slot, false)];
        let op = kit.thread(Mm(0), &program);
        let mut sim = kit.sim("linux-6.18");
        let before = sim.world.counts(ZERO_PAGE);
        finish(&mut sim);
        assert_eq!((ret(&sim, op), ret(&sim, op.plus(1))), (1, 0));
        assert_eq!(sim.world.counts(ZERO_PAGE), before);
    }

    /// What a long-term pin returns: by design, filesystem, sharing, writing.
    fn longterm(rule: Longterm, fs: FsKind, shared: bool, write: bool) -> i32 {
        let call = PinCall::PinFast;
        let op = Op::Pin { first: VPage(0), pages: 1, write, longterm: true, call, slot: Slot(0) };
        let init = if fs == FsKind::Dax { InitPage::Cold } else { InitPage::Clean };
        // A store first, so that GUP-fast finds a PTE that it could take.
        let store = Op::Store { at: VPage(0), part: WHOLE };
        let (kit, first, _) = pins(fs, &[init], shared, &[store, op]);
        let mut strategy = Preset::find("linux-6.18").unwrap().strategy;
        strategy.longterm = rule;
        let mut sim = kit.sim_with(strategy);
        finish(&mut sim);
        ret(&sim, first.plus(1))
    }

    #[test]
    fn long_term_pins_are_refused_with_the_kernels_errors() {
        use Longterm::*;
        for (rule, fs, shared, write, expected) in [
            (Allow, FsKind::Dax, true, true, 1),
            (Allow, FsKind::Ext4, true, true, 1),
            (RefuseDax, FsKind::Ext4, true, true, 1),
            (RefuseFile, FsKind::Ext4, true, true, -EFAULT),
            (RefuseFile, FsKind::Ext4, true, false, 1),
            (RefuseFile, FsKind::Ext4, false, true, 1),
            (RefuseFile, FsKind::Tmpfs, true, true, 1),
        ] {
            assert_eq!(longterm(rule, fs, shared, write), expected, "{rule:?} {fs:?} {shared}");
        }
    }

    #[test]
    fn a_long_term_pin_of_dax_is_refused_where_the_pte_says_devmap_or_is_missing() {
        let call = PinCall::PinSlow;
        for preset in ["linux-4.19", "linux-6.18"] {
            let op = Op::Pin {
                first: VPage(0),
                pages: 1,
                write: false,
                longterm: true,
                call,
                slot: Slot(0),
            };
            let (kit, first, _) = pins(FsKind::Dax, &[InitPage::Cold], true, &[op]);
            let mut sim = kit.sim(preset);
            finish(&mut sim);
            assert_eq!(ret(&sim, first), -EOPNOTSUPP, "{preset}");
        }
    }

    #[test]
    fn a_long_term_pin_of_dax_is_refused_where_gup_fast_finds_an_ordinary_entry() {
        // The store before the pin leaves an entry that GUP-fast could take.
        for (rule, expected) in [(Longterm::RefuseFile, -EOPNOTSUPP), (Longterm::Allow, 1)] {
            for write in [false, true] {
                assert_eq!(longterm(rule, FsKind::Dax, true, write), expected, "{rule:?} {write}");
            }
        }
    }

    #[test]
    fn an_error_after_some_pages_is_lost() {
        for call in CALLS {
            let ops = [pin(VPage(0), 2, Slot(0), false, call)];
            let (mut kit, op, _) = pins(FsKind::Ext4, &[InitPage::Clean; 2], true, &ops);
            kit.plan.files[0].size = u64::from(PAGE_SIZE);
            let mut sim = kit.sim("linux-6.18");
            finish(&mut sim);
            assert_eq!(ret(&sim, op), 1, "{call:?}");
        }
        let ops = [pin(VPage(0), 2, Slot(0), false, PinCall::PinFast)];
        let (mut kit, op, _) = pins(FsKind::Ext4, &[InitPage::Clean; 2], true, &ops);
        kit.plan.files[0].size = 0;
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        assert_eq!(ret(&sim, op), -EFAULT);
    }

    #[test]
    fn pages_stay_pinned_while_the_next_one_is_read_in_without_mmap_lock() {
        let ops = [pin(VPage(0), 2, Slot(0), false, PinCall::PinFast)];
        let (kit, op, slot) = pins(FsKind::Ext4, &[InitPage::Clean, InitPage::Cold], true, &ops);
        let mut sim = kit.sim("linux-6.18");
        run_until(&mut sim, 0, "folio_wait_locked");
        assert_eq!(kept(&sim, slot, 0), Some(page(&sim, 0)));
        let lock = sim.world.map.mmap_lock(Mm(0));
        assert!(sim.world.can_lock(lock, Mode::Exclusive), "mmap_lock was dropped");
        finish(&mut sim);
        assert_eq!(ret(&sim, op), 2);
    }

    #[test]
    fn pin_user_pages_keeps_mmap_lock_while_it_waits() {
        let ops = [pin(VPage(0), 1, Slot(0), false, PinCall::PinSlow)];
        let (kit, op, _) = pins(FsKind::Ext4, &[InitPage::Cold], true, &ops);
        let mut sim = kit.sim("linux-6.18");
        run_until(&mut sim, 0, "folio_wait_locked");
        let lock = sim.world.map.mmap_lock(Mm(0));
        assert!(!sim.world.can_lock(lock, Mode::Exclusive));
        finish(&mut sim);
        assert_eq!(ret(&sim, op), 1);
    }

    #[test]
    fn the_slow_path_on_a_dying_device_is_refused() {
        use crate::kernel::world::machine::{DiskState, PgmapState};
        let store = Op::Store { at: VPage(0), part: WHOLE };
        let ops = [store, pin(VPage(0), 1, Slot(0), true, PinCall::PinFast)];
        let (kit, op, _) = pins(FsKind::Dax, &[InitPage::Cold], true, &ops);
        let mut sim = kit.sim("linux-4.19");
        run_until(&mut sim, 0, "gup_fast: get_dev_pagemap");
        sim.world.update::<DiskState>(Disk(1), |d| d.with_pgmap(PgmapState::Killed));
        finish(&mut sim);
        assert_eq!(ret(&sim, op.plus(1)), -EFAULT);
        assert_eq!(sim.world.get::<DiskState>(Disk(1)).pgmap_refs(), 0);
    }

    #[test]
    fn a_write_pin_through_pin_user_pages_does_not_touch_a_clean_page_with_a_writable_pte() {
        for (call, dirty) in [(PinCall::PinSlow, false), (PinCall::GetSlow, true)] {
            let ops = [Op::Load { at: VPage(0) }, pin(VPage(0), 1, Slot(0), true, call)];
            let (kit, _, _) = pins(FsKind::Tmpfs, &[InitPage::Hole], true, &ops);
            let mut sim = kit.sim("linux-6.18");
            finish(&mut sim);
            assert_eq!(sim.world.flags(page(&sim, 0)).dirty(), dirty, "{call:?}");
        }
    }

    #[test]
    fn gup_states_that_a_struct_page_was_used() {
        let ops = [pin(VPage(0), 1, Slot(0), false, PinCall::PinSlow)];
        let (kit, _, _) = pins(FsKind::Ext4, &[InitPage::Clean], true, &ops);
        let mut sim = kit.sim("linux-6.18");
        let mut used = false;
        while step(&mut sim, 0) {
            let of_page = |f: &Fact| matches!(*f, Fact::StructPageUsed { frame } if frame.0 == 1);
            used |= sim.world.facts.iter().any(of_page);
        }
        assert!(used);
    }
}
