//! The reverse map of a page-cache folio: walks every mapping that shows it and changes its
//! page table entries (`rmap_walk_file`; kernel-facts B7a, R5).
//!
//! Around the entries of each mapping MMU notifiers are told. A device that pinned the page, or
//! the kernel's direct map, is not found here: that is what the whole argument is about.

use super::notifier::{RangeEnd, RangeStart};
use super::routine::call;
use super::step::*;
use super::tlb::FlushTlb;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Pte, VmaState};
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Frame, Lock, VPage, Vma, World};

/// What a walk of the reverse map does with the entries that it finds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    /// `folio_mkclean`: shared mappings only; write-protects and cleans. Returns how many.
    Clean,
    /// `try_to_unmap`: clears; moves the dirty bit to the folio. Returns how many.
    Unmap,
    /// `try_to_migrate`: puts migration entries in their place. Returns how many.
    ToMigration,
    /// `unmap_folio`, before a folio is split: the same, whoever has locked the pages
    /// (TTU_IGNORE_MLOCK).
    Split,
    /// `remove_migration_ptes`: lets the migration entries point to a folio. Returns how many.
    FromMigration,
}

/// Where a walk is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Takes `i_mmap_rwsem` shared.
    Lock,
    /// Inside a mapping: looks at its entries from here on, one page-table-lock section each.
    Entry,
    /// An entry was changed and the TLBs are being flushed for it.
    Flushed,
    /// After the last entry of a mapping: `range_end` is being told.
    Ended,
    /// A notifier failed under page_mkclean (`--notifier abort`), which returns no error: waits for
    /// memory, then begins the mapping again.
    Again,
    /// Releases `i_mmap_rwsem`.
    Unlock,
}

/// A walk of the reverse map. The caller holds the folio's lock (of a DAX page: its entry's), so
/// that no fault can make an entry writable meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RmapWalk {
    purpose: Purpose,
    place: Place,
    /// First page of the folio in its file.
    at: FilePage,
    /// The folio's head, as the entries name it.
    folio: Frame,
    /// What migration entries are to name.
    to: Frame,
    pages: u16,
    /// Place of the mapping in the file's list.
    mapping: u16,
    /// Page within the folio.
    page: u16,
    done: u16,
}

impl RmapWalk {
    /// A walk over the mappings of a folio of `pages` pages that is the cache of `at`.
    pub fn new(purpose: Purpose, at: FilePage, folio: Frame, pages: u32) -> RmapWalk {
        let (place, pages) = (Place::Lock, pages as u16);
        RmapWalk { purpose, place, at, folio, to: folio, pages, mapping: 0, page: 0, done: 0 }
    }

    /// `remove_migration_ptes`: the entries that name `from` shall map `to`.
    pub fn restore(at: FilePage, from: Frame, to: Frame, pages: u32) -> RmapWalk {
        RmapWalk { to, ..RmapWalk::new(Purpose::FromMigration, at, from, pages) }
    }

    fn lock(self, w: &World) -> Lock {
        w.map.file_lock(LockClass::IMmapRwsem, w.map.file_of(self.at))
    }

    fn vma(self, w: &World) -> Option<Vma> {
        w.map.mappings(w.map.file_of(self.at)).get(usize::from(self.mapping)).copied()
    }

    /// The part of the mapping that shows the folio: its first virtual page and their number.
    fn window(self, w: &World, vma: Vma) -> Option<(VPage, u32)> {
        let shown = |n: u32| w.map.vpage_in(vma, self.at.plus(n));
        let first = (0..u32::from(self.pages)).find_map(shown)?;
        Some((first, (0..u32::from(self.pages)).filter(|&n| shown(n).is_some()).count() as u32))
    }

    /// Whether the walk looks into a mapping (`invalid_mkclean_vma`).
    fn wants(self, cx: &Step, vma: Vma) -> bool {
        let allowed = match self.purpose {
            Purpose::Clean => cx.map.vma(vma).shared,
            Purpose::Unmap if !cx.strategy.keeps(Guard::MlockUnderPtl) => {
                let window = self.window(cx, vma);
                window.is_some_and(|(first, pages)| !locked(cx, vma, first, pages))
            }
            _ => true,
        };
        cx.get::<VmaState>(vma).mapped() && allowed && self.window(cx, vma).is_some()
    }

    /// Whether `try_to_unmap_one` leaves an entry alone, under the page-table lock (VM_LOCKED).
    fn spares(self, cx: &Step, vma: Vma, at: VPage) -> bool {
        self.purpose == Purpose::Unmap
            && locked(cx, vma, at, 1)
            && cx.strategy.keeps(Guard::MlockKeeps)
            && cx.strategy.keeps(Guard::MlockUnderPtl)
    }

    fn notifies(self) -> bool {
        self.purpose != Purpose::FromMigration
    }

    /// On to the next mapping from here, or to the end.
    fn enter(mut self, cx: &Step) -> Next {
        while let Some(vma) = self.vma(cx) {
            if let (true, Some((first, pages))) = (self.wants(cx, vma), self.window(cx, vma)) {
                let inside = RmapWalk { place: Place::Entry, page: 0, ..self };
                if !self.notifies() {
                    return inside.into();
                }
                return call(RangeStart::new(first, pages, true), inside);
            }
            self.mapping += 1;
        }
        RmapWalk { place: Place::Unlock, ..self }.into()
    }

    /// On to the next entry of the mapping, or out of it.
    fn advance(mut self, cx: &Step) -> Next {
        if self.find(cx).is_some() {
            return RmapWalk { place: Place::Entry, ..self }.into();
        }
        let window = self.vma(cx).and_then(|vma| self.window(cx, vma));
        if let (true, Some((first, pages))) = (self.notifies(), window) {
            return call(RangeEnd::new(first, pages), RmapWalk { place: Place::Ended, ..self });
        }
        self.mapping += 1;
        self.enter(cx)
    }

    /// The next entry of the mapping that is to be changed, with the page that it shows.
    fn find(self, cx: &Step) -> Option<(u16, VPage, Pte)> {
        let vma = self.vma(cx)?;
        (self.page..self.pages).find_map(|n| {
            let at = cx.map.vpage_in(vma, self.at.plus(u32::from(n)))?;
            let pte = cx.get::<Pte>(at);
            let ours = pte.frame()?.0 == self.folio.0 + u32::from(n);
            let wanted = match self.purpose {
                Purpose::Clean => pte.present() && (pte.writable() || pte.dirty()),
                Purpose::Unmap | Purpose::Split | Purpose::ToMigration => pte.present(),
                Purpose::FromMigration => pte.migration(),
            };
            (ours && wanted && !self.spares(cx, vma, at)).then_some((n, at, pte))
        })
    }

    /// One section under the page-table lock.
    fn change(self, cx: &mut Step, at: VPage, pte: Pte) {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::Ptl);
        let Some(frame) = pte.frame() else { return };
        match self.purpose {
            Purpose::Clean => {
                let write = pte.writable() && !cx.strategy.keeps(Guard::CleanWriteProtect);
                cx.set_pte(at, pte.with_writable(write).with_dirty(false).with_stale(true));
            }
            Purpose::Unmap | Purpose::Split | Purpose::ToMigration => {
                let entry = match self.purpose {
                    Purpose::ToMigration => pte.with_present(false).with_migration(true),
                    _ => Pte::new(),
                };
                cx.set_pte(at, entry.with_stale(true));
                if pte.dirty() && cx.strategy.keeps(Guard::UnmapDirty) {
                    cx.mark_dirty(frame);
                }
                cx.map_page(frame, -1);
            }
            Purpose::FromMigration => {
                let to = Frame(self.to.0 + frame.0 - self.folio.0);
                let pte = pte.with_frame(to).with_present(true).with_migration(false);
                cx.set_pte(at, pte);
                cx.map_page(to, 1);
            }
        }
    }
}

impl Machine for RmapWalk {
    fn need(self, cx: &Scene) -> Need {
        match self.place {
            Place::Lock => Need::Lock(self.lock(cx.w), Mode::Shared),
            Place::Again => Need::FreeFrame,
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match (self.place, self.purpose) {
            (Place::Lock, Purpose::Clean) => Label::new("B7", "folio_mkclean", Cost::Lock),
            (Place::Lock, Purpose::Unmap) => Label::new("R5", "try_to_unmap", Cost::Lock),
            (Place::Lock, Purpose::Split) => Label::new("", "unmap_folio", Cost::Lock),
            (Place::Lock, Purpose::ToMigration) => Label::new("", "try_to_migrate", Cost::Lock),
            (Place::Lock, Purpose::FromMigration) => {
                Label::new("", "remove_migration_ptes", Cost::Lock)
            }
            (Place::Again, _) => Label::new("B7", "folio_mkclean: again", Cost::Wake),
            (Place::Unlock, _) => Label::new("", "i_mmap_unlock_read", Cost::Lock),
            (_, Purpose::Clean) => Label::new("B7", "page_vma_mkclean_one", Cost::Walk),
            (_, Purpose::Unmap) => Label::new("R5", "try_to_unmap_one", Cost::Walk),
            (_, Purpose::Split) => Label::new("", "try_to_unmap_one", Cost::Walk),
            (_, Purpose::ToMigration) => Label::new("", "try_to_migrate_one", Cost::Walk),
            (_, Purpose::FromMigration) => Label::new("", "remove_migration_pte", Cost::Walk),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, lock) = (cx.me, self.lock(cx));
        match self.place {
            Place::Lock => {
                cx.lock(me, lock, Mode::Shared);
                self.enter(cx)
            }
            Place::Entry | Place::Flushed | Place::Ended => match self.find(cx) {
                Some((n, at, pte)) => {
                    self.change(cx, at, pte);
                    let (page, done) = (n + 1, self.done + 1);
                    let then = RmapWalk { place: Place::Flushed, page, done, ..self };
                    if self.notifies() && cx.strategy.keeps(Guard::RmapFlush) {
                        call(FlushTlb::new(at, 1), then)
                    } else {
                        then.advance(cx)
                    }
                }
                None => self.advance(cx),
            },
            Place::Again => {
                cx.prices.add(Price::NotifierRetries, 1);
                self.enter(cx)
            }
            Place::Unlock => {
                cx.unlock(me, lock);
                Next::Return(i32::from(self.done))
            }
        }
    }

    fn resume(mut self, cx: &mut Step, ret: Ret) -> Next {
        match self.place {
            // range_start has failed: try_to_unmap and try_to_migrate give up, and their callers
            // find the folio still mapped.
            Place::Entry if ret < 0 && self.purpose == Purpose::Clean => {
                RmapWalk { place: Place::Again, ..self }.into()
            }
            Place::Entry if ret < 0 => RmapWalk { place: Place::Unlock, ..self }.into(),
            Place::Flushed => self.advance(cx),
            Place::Ended => {
                self.mapping += 1;
                self.enter(cx)
            }
            // range_start has returned.
            _ => self.advance(cx),
        }
    }
}

/// Whether any of these pages of a mapping is locked. Folios are base pages where anything is:
/// see `mlock`.
fn locked(w: &World, vma: Vma, first: VPage, pages: u32) -> bool {
    if !w.map.mlocks {
        return false;
    }
    let state = w.get::<VmaState>(vma);
    let start = w.map.vma_pages[vma.0 as usize].start;
    state.locked() != 0 && state.any_locked(first.0 - start, pages)
}

/// `folio_mapped`
pub fn mapped(w: &World, folio: Frame) -> bool {
    w.counts(folio).maps() > 0
}
