//! The kernel itself reads or writes a page that a GUP call has returned: `access_remote_vm` after
//! its get_user_pages_remote (ptrace, /proc/PID/mem), process_vm_writev, io_uring's fixed buffers,
//! a pipe that vmsplice has filled.
//!
//! The page is reached through the kernel's own mapping; page tables, TLBs and the user's
//! protection are not asked, no entry becomes dirty, the filesystem is not told: whoever wrote has
//! to say so when he lets go ([`Release`](super::release::Release)). Copies of parts of a page are
//! not modelled. access_remote_vm keeps mmap_lock (for reading) until it has written;
//! here the lock is gone with the GUP call.

use super::errno::EBADF;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::{Page, Toucher};
use crate::kernel::world::machine::Pinned;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Owner, OwnerKind};
use crate::kernel::world::plan::WHOLE;
use crate::kernel::world::{FilePage, Frame, Id, Slot, VPage, World};

/// One access to a page of a slot. Returns 0, or -EBADF if the slot holds none there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PinnedIo {
    slot: Slot,
    page: u32,
    write: bool,
}

impl PinnedIo {
    /// `copy_to_user_page`, `copy_page_from_iter` into the page.
    pub fn write(slot: Slot, page: u32) -> PinnedIo {
        PinnedIo { slot, page, write: true }
    }

    /// `copy_page_to_iter` from the page.
    pub fn read(slot: Slot, page: u32) -> PinnedIo {
        PinnedIo { slot, page, write: false }
    }
}

/// A page that a slot holds, as it was when it was taken.
pub fn held(w: &World, slot: Slot, page: u32) -> Option<Page> {
    let pages = w.map.slot_pages[slot.index()].len() as u32;
    let kept = w.get::<Pinned>((page < pages).then(|| w.map.slot_page(slot, page))?);
    Some(Page { frame: Frame::unpack(kept.frame_bits())?, generation: kept.generation() })
}

/// The logical page that a frame shows which is no page of a file, or not any more.
fn origin(w: &World, frame: Frame) -> u32 {
    let owner = w.get::<Owner>(w.head(frame));
    let n = owner.link().wrapping_sub(1);
    match owner.kind() {
        // The virtual page for which the frame was allocated.
        OwnerKind::Anon => w.map.origin_of_vpage(VPage(n)),
        OwnerKind::Detached => w.map.origin_of_file(FilePage(n)),
        _ => 0,
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
        let Some(page) = held(cx, self.slot, self.page) else { return Next::Return(-EBADF) };
        if self.write {
            let private = origin(cx, page.frame);
            cx.write_frame(page, WHOLE, private, Toucher::Kernel);
        } else {
            cx.touch(page, false, Toucher::Kernel);
            let contents = cx.data(page.frame);
            cx.read_result(contents);
        }
        Next::Return(0)
    }
}
