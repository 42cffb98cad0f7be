//! mlock and munlock: pages of a mapping are faulted in and kept (`do_mlock`,
//! `apply_vma_lock_flags`, `populate_vma_page_range`).
//!
//! The kernel splits the mapping where locked pages begin and end; here the mapping knows which of
//! its pages are locked ([`VmaState::locked`](crate::kernel::world::objects::VmaState)). PG_mlocked
//! follows the entries that map a page ([`World::set_pte`](crate::kernel::world::World::set_pte)).
//! what unmapping leaves behind goes when a processor empties its batches (`lru_add_drain`). Not
//! modelled: `mlockall`, limits.

use super::errno::{EAGAIN, EFAULT, ENOMEM};
use super::fault::{Fault, is_shared};
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Pte, VmaState};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Id, Lock, VPage, World};

/// `mlock` or `munlock` of pages of a mapping. Returns 0, or -ENOMEM if nothing is mapped there or
/// a page cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mlock {
    first: VPage,
    pages: u32,
    lock: bool,
    place: Place,
}

/// The place of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Waits for mmap_lock, for writing; then the pages are locked or unlocked, those that are
    /// mapped at once (`mlock_vma_pages_range`).
    Apply,
    /// mmap_write_unlock.
    Applied,
    /// Waits for mmap_lock, for reading, before page `n` (`__mm_populate`).
    Populate(u32),
    /// Looks at the entry of page `n`, or is in its fault (`faultin_page`).
    Page(u32),
    /// mmap_read_unlock, with this result.
    Unlock(Ret),
}

impl Mlock {
    /// Locks pages, or unlocks them.
    pub fn new(first: VPage, pages: u32, lock: bool) -> Mlock {
        Mlock { first, pages, lock, place: Place::Apply }
    }

    fn to(self, place: Place) -> Next {
        Mlock { place, ..self }.into()
    }

    fn mmap_lock(self, w: &World) -> Lock {
        w.map.mmap_lock(w.map.mm_of(self.first))
    }

    /// VM_LOCKED. Cuts that lock flags alone had made are merged again when the flags agree.
    fn flag(self, cx: &mut Step) {
        let vma = cx.map.vma_of(self.first);
        let first = self.first.0 - cx.map.vma_pages[vma.index()].start;
        cx.update::<VmaState>(vma, |v| v.with_locked_pages(first, self.pages, self.lock));
    }

    fn apply(self, cx: &mut Step) -> Next {
        let (me, lock) = (cx.me, self.mmap_lock(cx));
        let vma = cx.map.vma_of(self.first);
        if !cx.get::<VmaState>(vma).mapped() {
            return Next::Return(-ENOMEM);
        }
        cx.lock(me, lock, Mode::Exclusive);
        cx.lock_briefly(me, LockClass::Ptl);
        if !self.lock || cx.strategy.keeps(Guard::MlockFirst) {
            self.flag(cx);
        }
        for at in (0..self.pages).map(|n| self.first.plus(n)) {
            let pte = cx.get::<Pte>(at);
            if let Some(frame) = pte.frame().filter(|_| pte.present() && self.lock) {
                cx.mlock_folio(frame);
            }
        }
        cx.mlock_drain();
        self.to(Place::Applied)
    }

    /// Private writable memory is written to, so that its copies are made now; a shared mapping is
    /// read, so that nothing becomes dirty.
    fn page(self, cx: &mut Step, n: u32) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::Ptl);
        let at = self.first.plus(n);
        let pte = cx.get::<Pte>(at);
        let state = cx.get::<VmaState>(cx.map.vma_of(at));
        let write = state.write() && !is_shared(cx, at);
        if !pte.present() || (write && !pte.writable()) {
            return call(Fault::locked(at, write), Mlock { place: Place::Page(n), ..self });
        }
        let next = if n + 1 < self.pages { Place::Page(n + 1) } else { Place::Unlock(0) };
        self.to(next)
    }
}

impl Machine for Mlock {
    fn need(self, cx: &Scene) -> Need {
        match self.place {
            Place::Apply => Need::Lock(self.mmap_lock(cx.w), Mode::Exclusive),
            Place::Populate(_) => Need::Lock(self.mmap_lock(cx.w), Mode::Shared),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.place {
            Place::Apply => Label::new("", "apply_vma_lock_flags", Cost::Syscall),
            Place::Applied => Label::new("", "mmap_write_unlock", Cost::Lock),
            Place::Populate(_) => Label::new("", "mm_populate: mmap_read_lock", Cost::Lock),
            Place::Page(_) => Label::new("", "populate_vma_page_range", Cost::Walk),
            Place::Unlock(_) => Label::new("", "mmap_read_unlock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, lock) = (cx.me, self.mmap_lock(cx));
        match self.place {
            Place::Apply => self.apply(cx),
            Place::Applied => {
                cx.unlock(me, lock);
                if self.lock { self.to(Place::Populate(0)) } else { Next::Return(0) }
            }
            // __mm_populate: what has been unmapped meanwhile is left out, and is no error.
            Place::Populate(_) if !cx.get::<VmaState>(cx.map.vma_of(self.first)).mapped() => {
                Next::Return(0)
            }
            Place::Populate(n) => {
                cx.lock(me, lock, Mode::Shared);
                self.to(Place::Page(n))
            }
            Place::Page(n) => self.page(cx, n),
            Place::Unlock(ret) => {
                if !cx.strategy.keeps(Guard::MlockFirst) {
                    self.flag(cx);
                }
                cx.unlock(me, lock);
                Next::Return(ret)
            }
        }
    }

    /// `__mlock_posix_error_return`: what cannot be had is no memory.
    fn resume(self, _cx: &mut Step, ret: Ret) -> Next {
        match self.place {
            Place::Page(n) if ret == -EAGAIN => self.to(Place::Populate(n)),
            Place::Page(_) if ret < 0 => {
                let ret = if ret == -EFAULT { -ENOMEM } else { -EAGAIN };
                self.to(Place::Unlock(ret))
            }
            _ => self.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::kernel::world::plan::*;
    use crate::kernel::world::{Mm, Vma};

    #[test]
    fn what_is_unmapped_before_it_is_populated_is_left_out() {
        let mut kit = Kit::new();
        kit.map(Backing::Anon, false, 1);
        let op = kit.thread(Mm(0), &[Op::Mlock { first: VPage(0), pages: 1, lock: true }]);
        kit.thread(Mm(0), &[Op::Munmap { vma: Vma(0) }]);
        let mut sim = kit.sim("linux-6.18");
        run_until(&mut sim, 0, "mm_populate: mmap_read_lock");
        run_agent(&mut sim, 1, |_| false);
        finish(&mut sim);
        assert_eq!(ret(&sim, op), 0);
    }
}
