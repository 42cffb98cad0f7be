//! DAX device removal: `echo NAMESPACE > unbind`, `memunmap_pages()`.

use super::routine::call;
use super::step::*;
use super::zap::Zap;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::{DiskState, LockClass, PgmapState};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Flags;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Cpu, Disk, File, FilePage, Frame, Id};

/// The removal of a pmem device (kernel-facts 6). What it waits for is the design's:
/// [`Unbind::removal`](crate::kernel::strategy::Unbind::removal). Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnbindDevice {
    disk: Disk,
    state: State,
}

/// How far a removal is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// U1: kill_dax, percpu_ref_kill: no new live reference, no new mapping.
    Kill,
    /// The filesystem keeps faults out of this file: waits for its invalidate_lock.
    LockFile(File),
    /// MF_MEM_PRE_REMOVE: this file is being unmapped.
    Unmap(File),
    /// ... and lets them in again; they see a dying device.
    UnlockFile(File),
    /// A grace period of RCU (`percpu_ref_switch_to_atomic`, mem_hotplug_begin): this processor,
    /// and those after it, may still be in a section with interrupts off that began before.
    Grace(Cpu),
    /// U2, U3: put_page of this page, the last use of which drops pgmap->ref.
    Page(Frame),
    /// U3: wait_for_completion: the live references are gone.
    Drain,
    /// U4: arch_remove_memory: the struct pages vanish.
    Remove,
}

impl UnbindDevice {
    /// The removal of a device.
    pub fn new(disk: Disk) -> UnbindDevice {
        UnbindDevice { disk, state: State::Kill }
    }

    fn at(self, state: State) -> UnbindDevice {
        UnbindDevice { state, ..self }
    }

    /// The frames of the device.
    fn frames(self, map: &Layout) -> impl Iterator<Item = Frame> + use<> {
        let blocks = map.disk_blocks[self.disk.index()].clone();
        let first = map.ram + blocks.start.saturating_sub(map.data_blocks);
        (first..first + blocks.len() as u32).map(Frame)
    }

    /// Unmaps the next file of the device, from number `from` on; then drains.
    fn unmap(self, cx: &Step, from: u32) -> Next {
        let map = &cx.map;
        let mut files = (from..map.plan.files.len() as u32).map(File);
        let on_it = |f: &File| {
            map.file(*f).disk == Some(self.disk) && !map.file_pages[f.index()].is_empty()
        };
        match files.find(on_it).filter(|_| cx.strategy.unbind.removal().unmaps) {
            Some(file) if locks_faults(cx) => self.at(State::LockFile(file)).into(),
            Some(file) => self.zap(map, file),
            None => self.grace(cx),
        }
    }

    fn zap(self, map: &Layout, file: File) -> Next {
        let pages = &map.file_pages[file.index()];
        let zap = Zap::file(FilePage(pages.start), pages.len() as u32, false);
        call(zap, self.at(State::Unmap(file)))
    }

    /// The grace period of RCU, where the design has one.
    fn grace(self, cx: &Step) -> Next {
        let waits = cx.strategy.unbind.removal().waits_irqs;
        match waits && cx.strategy.keeps(Guard::UnbindGrace) {
            true => self.at(State::Grace(Cpu(0))).into(),
            false => self.drain(cx),
        }
    }

    /// What is waited for, if anything.
    fn drain(self, cx: &Step) -> Next {
        let removal = cx.strategy.unbind.removal();
        let waits = removal.waits_pages && cx.strategy.keeps(Guard::UnbindPages);
        match self.frames(&cx.map).next().filter(|_| waits) {
            Some(frame) => self.at(State::Page(frame)).into(),
            None if removal.waits_live => self.at(State::Drain).into(),
            None => self.at(State::Remove).into(),
        }
    }
}

/// Whether the filesystem keeps faults out while it unmaps a file.
fn locks_faults(cx: &Step) -> bool {
    cx.strategy.unbind.removal().locks_faults && cx.strategy.keeps(Guard::UnbindLock)
}

impl Machine for UnbindDevice {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::LockFile(file) => {
                let lock = cx.w.map.file_lock(LockClass::InvalidateLock, file);
                Need::Lock(lock, Mode::Exclusive)
            }
            State::Grace(cpu) => Need::IrqsOn(cpu),
            State::Page(frame) => Need::DaxIdle { frame, refs: cx.strategy.dax_idle.idle_refs() },
            State::Drain if cx.strategy.keeps(Guard::UnbindDrain) => Need::PgmapDrained(self.disk),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.state {
            State::Kill => Label::new("U1", "percpu_ref_kill", Cost::Atomic),
            State::LockFile(_) => Label::new("", "filemap_invalidate_lock", Cost::Lock),
            State::Unmap(_) => Label::new("", "mf_dax_kill_procs", Cost::Walk),
            State::UnlockFile(_) => Label::new("", "filemap_invalidate_unlock", Cost::Lock),
            State::Grace(_) => Label::new("U2", "synchronize_rcu", Cost::Wake),
            State::Page(_) => Label::new("U2", "put_page, wait_for_completion", Cost::Wake),
            State::Drain => Label::new("U3", "wait_for_completion", Cost::Wake),
            State::Remove => Label::new("U4", "arch_remove_memory", Cost::Step),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let disk = self.disk;
        let pgmap = |cx: &mut Step, state| {
            cx.update::<DiskState>(disk, |d| d.with_pgmap(state));
        };
        match self.state {
            State::Kill => {
                if cx.strategy.keeps(Guard::UnbindKill) {
                    pgmap(cx, PgmapState::Killed);
                }
                self.unmap(cx, 0)
            }
            State::LockFile(file) => {
                let (me, map) = (cx.me, cx.map.clone());
                cx.lock(me, map.file_lock(LockClass::InvalidateLock, file), Mode::Exclusive);
                self.zap(&map, file)
            }
            State::UnlockFile(file) => {
                let (me, lock) = (cx.me, cx.map.file_lock(LockClass::InvalidateLock, file));
                cx.unlock(me, lock);
                self.unmap(cx, file.0 + 1)
            }
            State::Grace(cpu) => {
                cx.might_sleep();
                let next = Cpu(cpu.0 + 1);
                let more = next.0 < cx.map.plan.cpus;
                if more { self.at(State::Grace(next)).into() } else { self.drain(cx) }
            }
            State::Page(frame) => {
                let next = self.frames(&cx.map).find(|f| *f > frame);
                match next {
                    Some(next) => self.at(State::Page(next)).into(),
                    None if cx.strategy.unbind.removal().waits_live => self.at(State::Drain).into(),
                    None => self.at(State::Remove).into(),
                }
            }
            State::Drain => {
                cx.might_sleep();
                pgmap(cx, PgmapState::Drained);
                self.at(State::Remove).into()
            }
            State::Unmap(_) | State::Remove => {
                let frames = self.frames(&cx.map);
                for frame in frames {
                    cx.update::<Flags>(frame, |f| f.with_removed(true));
                }
                pgmap(cx, PgmapState::Removed);
                Next::Return(0)
            }
        }
    }

    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.state {
            State::Unmap(file) if locks_faults(cx) => self.at(State::UnlockFile(file)).into(),
            State::Unmap(file) => self.unmap(cx, file.0 + 1),
            _ => Next::Return(ret),
        }
    }
}
