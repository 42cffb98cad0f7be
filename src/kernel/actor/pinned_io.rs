//! The kernel itself reads or writes a page that a GUP call has returned: `access_remote_vm` after
//! its get_user_pages_remote (ptrace, /proc/PID/mem), a pipe that vmsplice has filled.
//!
//! The page is reached through the kernel's own mapping; page tables, TLBs and the user's
//! protection are not asked. access_remote_vm keeps mmap_lock (for reading) until it has written;
//! here the lock is gone with the GUP call.

use super::errno::EBADF;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::{Page, Toucher};
use crate::kernel::world::machine::Pinned;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Owner, OwnerKind};
use crate::kernel::world::plan::WHOLE;
use crate::kernel::world::{Frame, Slot};

/// One access to the first page of a slot. Returns 0, or -EBADF if the slot holds none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PinnedIo {
    slot: Slot,
    write: bool,
}

impl PinnedIo {
    /// `copy_to_user_page` into the page.
    pub fn write(slot: Slot) -> PinnedIo {
        PinnedIo { slot, write: true }
    }

    /// `copy_page_to_iter` from the page.
    pub fn read(slot: Slot) -> PinnedIo {
        PinnedIo { slot, write: false }
    }
}

impl Machine for PinnedIo {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self.write {
            true => Label::new("", "copy_to_user_page", Cost::Copy),
            false => Label::new("", "copy_page_to_iter", Cost::Copy),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let kept = cx.get::<Pinned>(cx.map.slot_page(self.slot, 0));
        let Some(frame) = Frame::unpack(kept.frame_bits()) else { return Next::Return(-EBADF) };
        let page = Page { frame, generation: kept.generation() };
        if self.write {
            let owner = cx.get::<Owner>(frame);
            // Anonymous memory: the virtual page for which the frame was allocated.
            let private = match owner.kind() {
                OwnerKind::Anon => {
                    cx.map.origin_of_vpage(crate::kernel::world::VPage(owner.link() - 1))
                }
                _ => 0,
            };
            cx.write_frame(page, WHOLE, private, Toucher::Kernel);
            return Next::Return(0);
        }
        cx.touch(page, false, Toucher::Kernel);
        let contents = cx.data(frame);
        cx.read_result(contents);
        Next::Return(0)
    }
}
