//! Pages of btrfs that were dirtied behind its back: writeback finds them without a reservation,
//! leaves them dirty, and has them prepared by a worker (`btrfs_writepage_cow_fixup`,
//! `btrfs_writepage_fixup_worker`). btrfs has had that worker since it was merged (2.6.29); newer
//! kernels built with CONFIG_BTRFS_EXPERIMENTAL give EUCLEAN instead.
//!
//! "There are a few paths in the higher layers of the kernel that directly set the folio dirty bit
//! without asking the filesystem": the release of a pin is one. The pass that comes upon such a
//! page does not write it, and its caller is not told: fsync returns 0 (kernel truth E13). What is
//! written is what the *next* pass finds prepared. `btrfs_sync_file` makes two, so that it is a
//! race: if the worker is faster than the second, the page is written after all (g12).

use super::page_mkwrite::reserve;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::Work;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Flags, Owner};
use crate::kernel::world::{Frame, Worker, World};

/// `btrfs_writepage_cow_fixup`, under the folio lock: queues the work, with a reference to the
/// folio, unless that has been done already. Without workers the work cannot be queued, as if
/// there were no memory for it, and the next pass tries again.
pub fn queue(cx: &mut Step, folio: Frame) {
    if cx.flags(folio).checked() || cx.map.plan.workers == 0 {
        return;
    }
    cx.change_flags(folio, |f| f.with_checked(true));
    cx.take_ref(folio);
    cx.update::<Work>(Worker(0), |work| work.with_fixups(true));
}

/// `btrfs_writepage_fixup_worker` for every folio that has been queued. Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FixUp(State);

/// Where it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Before it takes up the next folio and reserves space for it.
    Reserve,
    /// Waits for the folio lock.
    Lock(Frame),
    /// Under the lock, before `btrfs_set_extent_delalloc`.
    Prepare(Frame),
    /// Before the mark and the lock are given up.
    Unlock(Frame),
    /// Before its reference is dropped.
    Put(Frame),
}

impl FixUp {
    /// Begins with the queue.
    pub fn begin() -> FixUp {
        FixUp(State::Reserve)
    }

    /// Truncated, written or cleaned since: there is nothing to be prepared. What is under
    /// writeback has an ordered extent (`folio_test_ordered`), and is left to the next pass.
    fn look(cx: &Step, folio: Frame) -> State {
        let flags = cx.flags(folio);
        let ours = cx.get::<Owner>(folio).file_page().is_some();
        match ours && flags.dirty() && !flags.writeback() {
            true => State::Prepare(folio),
            false => State::Unlock(folio),
        }
    }
}

/// The first folio that waits for the worker.
fn queued(w: &World) -> Option<Frame> {
    (0..w.map.frames()).map(Frame).find(|&f| w.get::<Flags>(f).checked())
}

impl Machine for FixUp {
    fn need(self, _cx: &Scene) -> Need {
        match self.0 {
            State::Lock(folio) => Need::FolioLock(folio),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        let (name, cost) = match self.0 {
            State::Reserve => ("fixup: btrfs_delalloc_reserve_space", Cost::Journal),
            State::Lock(_) => ("fixup: folio_lock", Cost::Lock),
            State::Prepare(_) => ("fixup: btrfs_set_extent_delalloc", Cost::Step),
            State::Unlock(_) => ("fixup: folio_unlock", Cost::Atomic),
            State::Put(_) => ("fixup: folio_put", Cost::Atomic),
        };
        Label::new("", name, cost)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let me = cx.me;
        FixUp(match self.0 {
            State::Reserve => {
                cx.might_sleep();
                match queued(cx) {
                    Some(folio) => State::Lock(folio),
                    None => return Next::Return(0),
                }
            }
            State::Lock(folio) => {
                cx.might_sleep();
                cx.lock_folio(me, folio);
                FixUp::look(cx, folio)
            }
            State::Prepare(folio) => {
                if let Some(at) = cx.get::<Owner>(folio).file_page() {
                    reserve(cx, folio, at);
                }
                State::Unlock(folio)
            }
            State::Unlock(folio) => {
                cx.change_flags(folio, |f| f.with_checked(false));
                cx.unlock_folio(folio);
                State::Put(folio)
            }
            State::Put(folio) => {
                cx.drop_ref(folio);
                State::Reserve
            }
        })
        .into()
    }
}
