//! write(2) and read(2) of a DAX file: directly on the media (`dax_iomap_rw`).

use super::errno::{ENOSPC, ENXIO};
use super::file_io::{bytes_inside, file_lock, grow, grown, show};
use super::routine::call;
use super::step::*;
use super::writeback::disk_of;
use super::zap::Zap;
use crate::kernel::world::contents::Contents;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Toucher;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Data;
use crate::kernel::world::plan::{Part, WHOLE};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Frame, World};

/// A write or read of a part of a page of a DAX file. Returns the bytes, -ENOSPC, or -ENXIO if
/// the device is going away.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DaxIo {
    at: FilePage,
    part: Part,
    write: bool,
    place: Place,
}

/// The place of a DAX I/O.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Takes `i_rwsem`, exclusive to write.
    Lock,
    /// `iomap_begin`: allocates and zeroes a block for a hole.
    Allocate,
    /// `invalidate_inode_pages2_range`: the zero page that showed the hole is being unmapped.
    Unmapping,
    /// `dax_copy_from_iter` / `dax_copy_to_iter`.
    Copy,
    /// `i_size_write`.
    Grow,
    /// Releases `i_rwsem`.
    Unlock(Ret),
}

impl DaxIo {
    /// A write of a new version to a part of a page.
    pub fn write(at: FilePage, part: Part) -> DaxIo {
        DaxIo { at, part, write: true, place: Place::Lock }
    }

    /// A read of a page.
    pub fn read(at: FilePage) -> DaxIo {
        DaxIo { at, part: WHOLE, write: false, place: Place::Lock }
    }

    fn to(self, place: Place) -> Next {
        DaxIo { place, ..self }.into()
    }

    fn mode(self) -> Mode {
        if self.write { Mode::Exclusive } else { Mode::Shared }
    }

    fn media(self, w: &World) -> Option<Frame> {
        let extent = w.get::<Extent>(self.at);
        extent.block().and_then(|b| w.map.pmem_frame(b))
    }

    fn allocate(self, cx: &mut Step) -> Next {
        cx.might_sleep();
        // A fault may have been quicker: what is looked up and what is allocated is one section
        // (`ext4_map_blocks` under i_data_sem).
        if cx.get::<Extent>(self.at).kind() != ExtentKind::Hole {
            return self.to(Place::Copy);
        }
        let disk = disk_of(cx, self.at);
        let block = disk.and_then(|disk| cx.alloc_block(disk, self.at));
        let Some(block) = block else { return self.to(Place::Unlock(-ENOSPC)) };
        if let Some(frame) = cx.map.pmem_frame(block) {
            let page = cx.page(frame);
            cx.touch(page, true, Toucher::Kernel);
            cx.set(frame, Data(Contents::ZERO));
        }
        cx.set(self.at, Extent::at(ExtentKind::Written, block));
        call(Zap::file(self.at, 1, false), DaxIo { place: Place::Unmapping, ..self })
    }

    fn copy(self, cx: &mut Step) -> Next {
        let Some(frame) = self.media(cx) else {
            let ret = show(cx, self.at, Contents::ZERO);
            return self.to(Place::Unlock(ret));
        };
        if cx.pgmap_of(frame) != PgmapState::Live {
            // dax_direct_access() of a device that kill_dax() has been called for.
            return self.to(Place::Unlock(-ENXIO));
        }
        let page = cx.page(frame);
        if !self.write {
            cx.touch(page, false, Toucher::Kernel);
            let data = cx.data(frame);
            let ret = show(cx, self.at, data);
            return self.to(Place::Unlock(ret));
        }
        cx.write_frame(page, self.part, 0, Toucher::Kernel);
        let bytes = Ret::from(self.part.1) - Ret::from(self.part.0);
        match grown(cx, self.at, self.part) {
            Some(_) => self.to(Place::Grow),
            None => self.to(Place::Unlock(bytes)),
        }
    }
}

impl Machine for DaxIo {
    fn need(self, cx: &Scene) -> Need {
        match self.place {
            Place::Lock => Need::Lock(file_lock(cx.w, LockClass::IRwsem, self.at), self.mode()),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match (self.place, self.write) {
            (Place::Lock, _) => Label::new("", "dax_iomap_rw: inode_lock", Cost::Syscall),
            (Place::Allocate | Place::Unmapping, _) => {
                Label::new("", "iomap_begin: allocate and zero", Cost::Journal)
            }
            (Place::Copy, true) => Label::new("", "dax_copy_from_iter", Cost::Copy),
            (Place::Copy, false) => Label::new("", "dax_copy_to_iter", Cost::Copy),
            (Place::Grow, _) => Label::new("", "i_size_write", Cost::Step),
            (Place::Unlock(_), _) => Label::new("", "inode_unlock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, lock) = (cx.me, file_lock(cx, LockClass::IRwsem, self.at));
        match self.place {
            Place::Lock => {
                cx.lock(me, lock, self.mode());
                let hole = cx.get::<Extent>(self.at).kind() == ExtentKind::Hole;
                if !self.write && bytes_inside(cx, self.at) == 0 {
                    self.to(Place::Unlock(0))
                } else if hole && self.write {
                    self.to(Place::Allocate)
                } else {
                    self.to(Place::Copy)
                }
            }
            Place::Allocate => self.allocate(cx),
            Place::Copy | Place::Unmapping => self.copy(cx),
            Place::Grow => {
                grow(cx, self.at, self.part);
                self.to(Place::Unlock(Ret::from(self.part.1) - Ret::from(self.part.0)))
            }
            Place::Unlock(ret) => {
                cx.unlock(me, lock);
                Next::Return(ret)
            }
        }
    }

    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        self.to(Place::Copy)
    }
}
