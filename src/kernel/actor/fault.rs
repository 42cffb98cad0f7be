//! Page faults: what `handle_mm_fault` finds, anonymous memory, and who goes on.
//!
//! The caller holds mmap_lock shared. Its siblings carry on: [`FileFault`] (page cache),
//! [`Mkwrite`] (a shared page becomes writable), [`Cow`] (copy on write), [`DaxFault`].
//! Not modelled: huge pages; swap.

use super::errno::{EAGAIN, EFAULT, ENOMEM};
use super::fault_cow::Cow;
use super::fault_dax::DaxFault;
use super::fault_file::{FileFault, Want};
use super::fault_mkwrite::Mkwrite;
use super::step::*;
use crate::kernel::strategy::{Guard, Truncate};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Toucher;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::price::Price;
use crate::kernel::world::{Contents, FilePage, Frame, VPage, World};

/// What a fault is for (FAULT_FLAG_WRITE, FAULT_FLAG_UNSHARE).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// A load, or a GUP call that reads.
    Read,
    /// A store, or a GUP call that writes.
    Write,
    /// A GUP call that writes, whatever the mapping allows (FOLL_FORCE on a private mapping).
    Force,
    /// A read pin of a page that is not exclusively the mapping's own (5.19).
    Unshare,
}

impl Access {
    /// FAULT_FLAG_WRITE.
    pub fn writes(self) -> bool {
        matches!(self, Access::Write | Access::Force)
    }
}

/// VM_FAULT_WRITE (until 6.0): `do_wp_page` has broken the sharing of a private page, though the
/// entry may still be read-only where the mapping is.
pub const FAULT_WRITE: Ret = 1;

/// Whether a fault may give up mmap_lock while it waits (FAULT_FLAG_ALLOW_RETRY, _TRIED).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Retry {
    /// It must not: the caller relies on the lock.
    Never,
    /// It may.
    First,
    /// It did so before: not again (`fault_flag_allow_retry_first`).
    Tried,
}

/// `handle_mm_fault`. Returns 0 or [`FAULT_WRITE`]: handled, look again; -EAGAIN: mmap_lock was
/// dropped (VM_FAULT_RETRY, VM_FAULT_COMPLETED); -EFAULT: SIGBUS or SIGSEGV; -ENOMEM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fault {
    at: VPage,
    access: Access,
    retry: Retry,
    state: State,
}

/// Where a fault is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// `handle_pte_fault`: the VMA and the page table entry.
    Enter,
    /// `migration_entry_wait`: waits until the page that is being moved is unlocked.
    Migration(Frame),
    /// `do_anonymous_page`: before the allocation of a zeroed page.
    Alloc,
    /// `do_anonymous_page`: with the page, before it is mapped.
    Map(Frame),
}

impl Fault {
    /// `handle_mm_fault` with mmap_lock held shared by the caller, who lets it be dropped.
    pub fn locked(at: VPage, write: bool) -> Fault {
        Fault::new(at, if write { Access::Write } else { Access::Read }, Retry::First)
    }

    /// The same, saying what for and whether mmap_lock may be dropped.
    pub fn new(at: VPage, access: Access, retry: Retry) -> Fault {
        Fault { at, access, retry, state: State::Enter }
    }

    fn go(self, state: State) -> Next {
        Fault { state, ..self }.into()
    }

    fn enter(self, cx: &mut Step) -> Next {
        let vma = cx.get::<VmaState>(cx.map.vma_of(self.at));
        let allowed = match self.access {
            Access::Read => vma.read() || vma.write(),
            Access::Write => vma.write(),
            Access::Force | Access::Unshare => true,
        };
        if !vma.mapped() || !allowed {
            return Next::Return(-EFAULT);
        }
        let pte = cx.get::<Pte>(self.at);
        let shared = is_shared(cx, self.at);
        // FAULT_FLAG_UNSHARE is ignored outside of copy-on-write mappings (sanitize_fault_flags).
        let wants = match self.access {
            Access::Read => false,
            Access::Write | Access::Force => true,
            Access::Unshare => !shared,
        };
        match pte.frame() {
            Some(frame) if pte.migration() => self.go(State::Migration(frame)),
            Some(frame) if pte.present() && wants && !pte.writable() => {
                self.write_protected(cx, pte, frame, shared)
            }
            Some(_) if pte.present() => self.spurious(cx, pte),
            _ => self.missing(cx, shared),
        }
    }

    /// Somebody else handled it: only the accessed and dirty bits are set
    /// (end of `handle_pte_fault`).
    fn spurious(self, cx: &mut Step, pte: Pte) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        let write = self.access.writes();
        cx.set_pte(self.at, pte.with_young(true).with_dirty(pte.dirty() || write));
        Next::Return(0)
    }

    /// `do_pte_missing`.
    fn missing(self, cx: &mut Step, shared: bool) -> Next {
        let write = self.access.writes();
        let Some(page) = cx.map.backing(self.at) else {
            if cx.map.is_anon(self.at) {
                return if write { self.go(State::Alloc) } else { self.map_zero_page(cx) };
            }
            return Next::Return(-EFAULT);
        };
        let want = match (write, shared) {
            (false, _) => Want::Read,
            (true, false) => Want::Cow,
            (true, true) => Want::Share,
        };
        if cx.map.fs_of(page) == FsKind::Dax {
            DaxFault::new(self.at, want).into()
        } else if cx.map.plan.around && want == Want::Read {
            FileFault::around(self.at, self.retry).into()
        } else {
            FileFault::new(self.at, want, self.retry).into()
        }
    }

    /// `do_anonymous_page` for reading: the zero page, pte_special.
    fn map_zero_page(self, cx: &mut Step) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        let stale = cx.get::<Pte>(self.at).stale();
        let pte = Pte::new().with_present(true).with_young(true).with_special(true);
        cx.set_pte(self.at, pte.with_stale(stale).with_frame(ZERO_PAGE));
        Next::Return(0)
    }

    /// `do_wp_page`, under the page-table lock: a store (or an un-sharing) meets a read-only entry.
    fn write_protected(self, cx: &mut Step, pte: Pte, frame: Frame, shared: bool) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        let flags = cx.flags(frame);
        if shared {
            // wp_pfn_shared: fs-DAX has no page_mkwrite.
            if flags.pmem() || flags.zero_page() {
                return DaxFault::new(self.at, Want::Share).into();
            }
            cx.take_ref(frame);
            if !cx.map.backing(self.at).is_some_and(|p| cx.map.fs_of(p).tracks_dirty()) {
                cx.set_pte(self.at, pte.with_writable(true).with_dirty(true).with_young(true));
            }
            return Mkwrite::mapped(cx, self.at, frame, self.retry);
        }
        let anon = cx.get::<Owner>(cx.head(frame)).kind() == OwnerKind::Anon;
        let locked = cx.folio_locked_by(frame).is_some();
        if anon && cx.strategy.cow_reuse.reuses(flags.exclusive(), cx.counts(frame), locked) {
            cx.change_flags(frame, |f| f.with_exclusive(true));
            if !self.access.writes() {
                return Next::Return(0);
            }
            // wp_page_reuse: maybe_mkwrite(pte_mkdirty()).
            let allowed = cx.get::<VmaState>(cx.map.vma_of(self.at)).write();
            cx.set_pte(self.at, pte.with_writable(allowed).with_dirty(true).with_young(true));
            return Next::Return(FAULT_WRITE);
        }
        // vm_normal_page() knows neither the zero page nor, while devmap existed, pmem.
        let normal = frame != ZERO_PAGE && !(flags.pmem() && cx.rules.devmap);
        if normal {
            cx.take_ref(frame);
        }
        Cow::new(self.at, frame, normal, self.access == Access::Unshare).into()
    }
}

impl Machine for Fault {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Migration(frame) => Need::FolioLock(cx.w.head(frame)),
            _ => Need::Nothing,
        }
    }

    fn outcomes(self, cx: &Scene) -> u8 {
        1 + u8::from(self.state == State::Alloc && Step::may_fail(cx.w))
    }

    fn label(self) -> Label {
        match self.state {
            State::Enter => Label::new("", "handle_mm_fault", Cost::Walk),
            State::Migration(_) => Label::new("", "migration_entry_wait", Cost::Wake),
            State::Alloc => Label::new("", "do_anonymous_page: allocate", Cost::Alloc),
            State::Map(_) => Label::new("", "do_anonymous_page: set_pte", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
        match self.state {
            State::Enter => self.enter(cx),
            State::Migration(_) => Next::Return(0),
            State::Alloc => match alloc_page(cx, outcome) {
                Some(frame) => {
                    cx.set(frame, Data(Contents::ZERO));
                    self.go(State::Map(frame))
                }
                None => Next::Return(-ENOMEM),
            },
            State::Map(frame) => {
                cx.w.lock_briefly(cx.me, LockClass::Ptl);
                let none = cx.get::<Pte>(self.at).frame().is_none();
                if none || !cx.strategy.keeps(Guard::AnonPteNone) {
                    map_anon(cx, self.at, frame, true);
                } else {
                    cx.drop_ref(frame);
                }
                Next::Return(0)
            }
        }
    }
}

/// VM_SHARED.
pub fn is_shared(w: &World, at: VPage) -> bool {
    w.map.vma(w.map.vma_of(at)).shared
}

/// Whether a page of a file lies beyond `i_size`, rounded up to pages.
pub fn beyond_eof(w: &World, page: FilePage) -> bool {
    use crate::kernel::world::plan::PAGE_SIZE;
    let size = w.get::<Size>(w.map.file_of(page)).bytes();
    u64::from(w.map.index_in_file(page)) * u64::from(PAGE_SIZE) >= size
}

/// `vmf_anon_prepare`: a private mapping of a file is about to get a page of its own, and keeps the
/// sign of it (`vma->anon_vma`) even if it does not. Anonymous memory needs none here.
pub fn anon_prepare(cx: &mut Step, at: VPage) {
    let vma = cx.map.vma_of(at);
    if cx.map.backing(at).is_some() && !cx.get::<VmaState>(vma).anon_vma() {
        cx.update::<VmaState>(vma, |v| v.with_anon_vma(true));
    }
}

/// Whether truncate, which waits for a page, keeps it from being faulted in again
/// (`--truncate block-refault`, claims 70, 71): SIGBUS, which beyond the new end of a file is right
/// and in a hole is not.
pub fn barred(cx: &mut Step, page: FilePage) -> bool {
    if cx.strategy.truncate_of(cx.map.fs_of(page)) != Truncate::BlockRefault
        || !cx.get::<CacheSlot>(page).barred()
    {
        return false;
    }
    cx.w.prices.add(Price::FailedCalls, 1);
    true
}

/// Allocates a page (GFP_KERNEL), whose one reference is in the hands of the caller. None: out
/// of memory, or outcome 1 says that it fails.
pub fn alloc_page(cx: &mut Step, outcome: u8) -> Option<Frame> {
    cx.might_sleep();
    if outcome == 1 {
        cx.fail_allocation();
        return None;
    }
    let frame = cx.alloc_frame()?;
    let page = cx.page(frame);
    cx.touch(page, true, Toucher::Kernel);
    Some(frame)
}

/// Maps a page that the caller allocated as anonymous memory: `folio_add_new_anon_rmap`
/// (exclusive), LRU, page table entry. The reference passes from the caller to the entry.
pub fn map_anon(cx: &mut Step, at: VPage, frame: Frame, write: bool) {
    let vma = cx.get::<VmaState>(cx.map.vma_of(at));
    cx.change_flags(frame, |f| f.with_uptodate(true).with_swapbacked(true).with_exclusive(true));
    cx.lru_add(frame);
    cx.set(frame, Owner::of(OwnerKind::Anon, at.0 + 1));
    let stale = cx.get::<Pte>(at).stale();
    let pte = Pte::new().with_present(true).with_young(true).with_dirty(write);
    let pte = pte.with_writable(write && vma.write()).with_stale(stale);
    cx.set_pte(at, pte.with_frame(frame));
    cx.map_page(frame, 1);
    cx.drop_ref(frame);
}

/// Copies a page (`copy_user_highpage`): one pass, during which nobody else is looked at.
pub fn copy_page(cx: &mut Step, from: Frame, to: Frame) {
    let (source, target) = (cx.page(from), cx.page(to));
    cx.touch(source, false, Toucher::Kernel);
    cx.touch(target, true, Toucher::Kernel);
    let contents = cx.data(from);
    cx.set(to, Data(contents));
}

/// Drops mmap_lock inside of a fault if it may be dropped and has not been
/// (`maybe_unlock_mmap_for_io`). Gives whether it is dropped now.
pub fn maybe_unlock_mmap(cx: &mut Step, at: VPage, retry: Retry, dropped: bool) -> bool {
    if dropped || retry != Retry::First {
        return dropped;
    }
    let lock = cx.map.mmap_lock(cx.map.mm_of(at));
    let me = cx.me;
    cx.unlock(me, lock);
    true
}

/// `mm_account_fault` of a fault that has returned. One that dropped mmap_lock and was complete
/// (VM_FAULT_COMPLETED) has been counted where it did so; one that was retried is counted when it
/// is handled, and is a major one only if its page was not there (a retry under the lock of the
/// mapping alone does not set FAULT_FLAG_TRIED).
pub fn account_fault(cx: &mut Step, ret: Ret) {
    cx.w.prices.add(Price::Faults, u64::from(ret >= 0));
}

/// What a fault returns that may have dropped mmap_lock.
pub fn fault_return(ret: Ret, dropped: bool) -> Ret {
    if dropped { -EAGAIN } else { ret }
}
