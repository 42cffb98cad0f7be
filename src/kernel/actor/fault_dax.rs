//! Faults on mappings of DAX files: `dax_iomap_pte_fault`, for missing entries and, since the
//! filesystems route `pfn_mkwrite` there, for stores to read-only ones.
//!
//! The filesystem holds invalidate_lock shared around it (ext4_dax_huge_fault,
//! xfs_filemap_fault). Not modelled: MAP_SYNC; copy-on-write of shared blocks.

use super::errno::{EFAULT, ENOMEM};
use super::fault::*;
use super::fault_file::Want;
use super::routine::call;
use super::step::*;
use super::zap::Zap;
use crate::kernel::strategy::{Guard, Strategy};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Toucher;
use crate::kernel::world::machine::*;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Actor, Contents, FilePage, Frame, Lock, VPage, World};

/// A fault on a page of a DAX file. Returns 0, -EFAULT (beyond the end, no space, device gone)
/// or -ENOMEM; never drops mmap_lock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DaxFault {
    at: VPage,
    want: Want,
    /// The page that will be the private copy.
    copy: Option<Frame>,
    state: State,
}

/// Where the fault is. A frame is the media page, or the zero page for a hole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// `do_cow_fault`: before the copy is allocated.
    Prealloc,
    /// Waits for invalidate_lock, shared.
    Invalidate,
    /// `grab_mapping_entry`: waits for the entry's lock.
    Entry,
    /// `iomap_begin`: before the block is looked up, or allocated and zeroed.
    Iomap,
    /// `dax_direct_access`: before the device is asked whether it is alive.
    Access(Frame),
    /// `dax_insert_entry`: in the unmapping of the zero page that stood for the hole.
    Unmap(Frame),
    /// `dax_insert_entry`: before the entry is stored.
    Insert(Frame),
    /// `vmf_insert_page_mkwrite`: before the page table entry is set.
    Map(Frame),
    /// `dax_fault_cow_page`: before the contents are copied.
    Copy(Frame),
    /// `finish_fault`: before the copy is mapped.
    Finish,
    /// Before the entry is unlocked.
    Unlock(Ret),
    /// Before the next thing held is let go: invalidate_lock (flag), then the copy.
    Leave(bool, Ret),
}

impl DaxFault {
    /// A fault at `at`; `Want::Share` also for a store to a read-only entry.
    pub fn new(at: VPage, want: Want) -> DaxFault {
        let state = if want == Want::Cow { State::Prealloc } else { State::Invalidate };
        DaxFault { at, want, copy: None, state }
    }

    fn go(self, state: State) -> Next {
        DaxFault { state, ..self }.into()
    }

    fn invalidate_lock(self, w: &World, strategy: &Strategy) -> Option<Lock> {
        if !strategy.keeps(Guard::DaxFaultInvalidateLock) {
            return None;
        }
        let file = w.map.file_of(w.map.backing(self.at)?);
        Some(w.map.file_lock(LockClass::InvalidateLock, file))
    }

    fn lock_entry(self, cx: &mut Step, at: FilePage) -> Next {
        if beyond_eof(cx, at) || barred(cx, at) {
            return self.go(State::Leave(true, -EFAULT));
        }
        cx.w.lock_briefly(cx.me, LockClass::DaxEntry);
        let me = Actor::pack(Some(cx.me));
        if cx.strategy.keeps(Guard::DaxEntryLock) {
            cx.update::<CacheSlot>(at, |s| s.with_dax_locked(true).with_dax_owner(me));
        }
        self.go(State::Iomap)
    }

    /// `ext4_iomap_begin`: blocks for a shared store are allocated and zeroed at once
    /// (EXT4_GET_BLOCKS_CREATE_ZERO).
    fn iomap(self, cx: &mut Step, at: FilePage) -> Next {
        cx.might_sleep();
        let extent = cx.get::<Extent>(at);
        let written = extent.kind() == ExtentKind::Written;
        let block = match extent.block() {
            Some(block) if written || self.want == Want::Share => Some(block),
            None if self.want == Want::Share => {
                let disk = cx.map.file(cx.map.file_of(at)).disk;
                let Some(block) = disk.and_then(|d| cx.alloc_block(d, at)) else {
                    return self.go(State::Unlock(-EFAULT)); // ENOSPC is SIGBUS
                };
                Some(block)
            }
            _ => None,
        };
        let Some(block) = block else {
            let copy = self.want == Want::Cow;
            return self.go(if copy { State::Copy(ZERO_PAGE) } else { State::Insert(ZERO_PAGE) });
        };
        let Some(frame) = cx.map.pmem_frame(block) else { return self.go(State::Unlock(-EFAULT)) };
        if !written {
            let page = cx.page(frame);
            cx.touch(page, true, Toucher::Kernel);
            cx.set(frame, Data(Contents::ZERO));
            cx.set(at, Extent::at(ExtentKind::Written, block));
            // IOMAP_F_NEW: VM_FAULT_MAJOR
            cx.w.prices.add(Price::MajorFaults, 1);
        }
        self.go(State::Access(frame))
    }

    /// A device whose removal has begun gives no pages out (`dax_alive`).
    fn direct_access(self, cx: &mut Step, at: FilePage, frame: Frame) -> Next {
        if cx.pgmap_of(frame) != PgmapState::Live && cx.strategy.keeps(Guard::DaxAlive) {
            return self.go(State::Unlock(-EFAULT));
        }
        if self.want == Want::Cow {
            return self.go(State::Copy(frame));
        }
        if cx.cached(at) == Some(ZERO_PAGE) {
            return self.unmap(at, frame);
        }
        self.go(State::Insert(frame))
    }

    fn unmap(self, at: FilePage, frame: Frame) -> Next {
        call(Zap::file(at, 1, false), DaxFault { state: State::Unmap(frame), ..self })
    }

    /// `dax_insert_entry`, `dax_associate_entry`.
    fn insert(self, cx: &mut Step, at: FilePage, frame: Frame) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::IPages);
        let write = self.want == Want::Share;
        cx.update::<CacheSlot>(at, |s| {
            s.with_frame_bits(Frame::pack(Some(frame))).with_tag_dirty(s.tag_dirty() || write)
        });
        if frame != ZERO_PAGE {
            cx.set(frame, Owner::of(OwnerKind::File, at.0 + 1));
        }
        self.go(State::Map(frame))
    }

    /// `insert_pfn`, `insert_page_into_pte_locked`, under the page-table lock.
    fn map(self, cx: &mut Step, frame: Frame) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        let pte = cx.get::<Pte>(self.at);
        let write = self.want == Want::Share;
        if pte.frame().is_none() || !cx.strategy.keeps(Guard::DaxPteNone) {
            let new = Pte::new()
                .with_present(true)
                .with_young(true)
                .with_writable(write)
                .with_dirty(write)
                .with_special(frame == ZERO_PAGE)
                .with_devmap(frame != ZERO_PAGE && cx.rules.devmap)
                .with_stale(pte.stale());
            cx.set_pte(self.at, new.with_frame(frame));
            cx.map_page(frame, 1);
        } else if write && pte.frame() == Some(frame) {
            cx.set_pte(self.at, pte.with_writable(true).with_dirty(true).with_young(true));
        }
        self.go(State::Unlock(0))
    }

    fn finish(mut self, cx: &mut Step) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        let none = cx.get::<Pte>(self.at).frame().is_none();
        if let Some(copy) = self.copy.filter(|_| none) {
            map_anon(cx, self.at, copy, true);
            self.copy = None;
        }
        self.go(State::Unlock(0))
    }
}

impl Machine for DaxFault {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Invalidate => match self.invalidate_lock(cx.w, cx.strategy) {
                Some(lock) => Need::Lock(lock, Mode::Shared),
                None => Need::Nothing,
            },
            State::Entry => cx.w.map.backing(self.at).map_or(Need::Nothing, Need::DaxEntry),
            _ => Need::Nothing,
        }
    }

    fn outcomes(self, cx: &Scene) -> u8 {
        1 + u8::from(self.state == State::Prealloc && Step::may_fail(cx.w))
    }

    fn label(self) -> Label {
        let (name, cost) = match self.state {
            State::Prealloc => ("do_cow_fault: allocate", Cost::Alloc),
            State::Invalidate => ("dax fault: filemap_invalidate_lock_shared", Cost::Lock),
            State::Entry => ("grab_mapping_entry", Cost::Lock),
            State::Iomap => ("iomap_begin", Cost::Journal),
            State::Access(_) => ("dax_direct_access", Cost::Step),
            State::Unmap(_) => ("dax_insert_entry: unmap the zero page", Cost::Step),
            State::Insert(_) => ("dax_insert_entry", Cost::Lock),
            State::Map(_) => ("vmf_insert_page_mkwrite: set_pte", Cost::Lock),
            State::Copy(_) => ("dax_fault_cow_page: copy", Cost::Copy),
            State::Finish => ("finish_fault: set_pte", Cost::Lock),
            State::Unlock(_) => ("dax_unlock_entry", Cost::Lock),
            State::Leave(true, _) => ("dax fault: filemap_invalidate_unlock_shared", Cost::Lock),
            State::Leave(false, _) => ("dax fault: folio_put", Cost::Atomic),
        };
        Label::new("", name, cost)
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
        let Some(at) = cx.map.backing(self.at) else { return Next::Return(-EFAULT) };
        let me = cx.me;
        match self.state {
            State::Prealloc => {
                anon_prepare(cx, self.at);
                match alloc_page(cx, outcome) {
                    Some(copy) => DaxFault { copy: Some(copy), ..self }.go(State::Invalidate),
                    None => Next::Return(-ENOMEM),
                }
            }
            State::Invalidate => {
                if let Some(lock) = self.invalidate_lock(cx, cx.strategy) {
                    cx.lock(me, lock, Mode::Shared);
                }
                self.go(State::Entry)
            }
            State::Entry => self.lock_entry(cx, at),
            State::Iomap => self.iomap(cx, at),
            State::Access(frame) => self.direct_access(cx, at, frame),
            State::Unmap(frame) => self.unmap(at, frame),
            State::Insert(frame) => self.insert(cx, at, frame),
            State::Map(frame) => self.map(cx, frame),
            State::Copy(frame) => {
                if let Some(copy) = self.copy {
                    copy_page(cx, frame, copy);
                }
                self.go(State::Finish)
            }
            State::Finish => self.finish(cx),
            State::Unlock(ret) => {
                if cx.strategy.keeps(Guard::DaxEntryLock) {
                    cx.update::<CacheSlot>(at, |s| s.with_dax_locked(false).with_dax_owner(0));
                }
                self.go(State::Leave(true, ret))
            }
            State::Leave(true, ret) => {
                if let Some(lock) = self.invalidate_lock(cx, cx.strategy) {
                    cx.unlock(me, lock);
                }
                if self.copy.is_none() {
                    Next::Return(ret)
                } else {
                    self.go(State::Leave(false, ret))
                }
            }
            State::Leave(false, ret) => {
                if let Some(copy) = self.copy {
                    cx.drop_ref(copy);
                }
                Next::Return(ret)
            }
        }
    }

    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        match self.state {
            State::Unmap(frame) => self.go(State::Insert(frame)),
            _ => self.go(State::Unlock(0)),
        }
    }
}
