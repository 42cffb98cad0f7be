//! madvise(MADV_DONTNEED): a stand-in that zaps one page after the other.

use super::notifier::{RangeEnd, RangeStart};
use super::routine::call;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Pte;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Lock, VPage, World};

/// madvise(MADV_DONTNEED) of one page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DontNeed {
    /// mmap_lock, shared.
    Enter(VPage),
    /// The PTE is cleared.
    Clear(VPage),
    /// mmap_lock is released.
    Leave(VPage),
}

fn lock(w: &World, at: VPage) -> Lock {
    w.map.mmap_lock(w.map.mm_of(at))
}

impl Machine for DontNeed {
    fn need(self, cx: &Scene) -> Need {
        match self {
            DontNeed::Enter(at) => Need::Lock(lock(cx.w, at), Mode::Shared),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        Label::new("", "zap_page_range", Cost::Step)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let me = cx.me;
        match self {
            DontNeed::Enter(at) => {
                let lock = lock(cx, at);
                cx.lock(me, lock, Mode::Shared);
                call(RangeStart::new(at, 1, true), DontNeed::Clear(at))
            }
            DontNeed::Clear(at) => {
                let pte = cx.get::<Pte>(at);
                if let Some(frame) = pte.frame().filter(|_| pte.present()) {
                    cx.set_pte(at, Pte::new());
                    cx.map_page(frame, -1);
                }
                call(RangeEnd::new(at, 1), DontNeed::Leave(at))
            }
            DontNeed::Leave(at) => {
                let lock = lock(cx, at);
                cx.unlock(me, lock);
                Next::Return(0)
            }
        }
    }

    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        self.into()
    }
}
