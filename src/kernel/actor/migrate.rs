//! Migration of a page of a file to another frame (`migrate_folio_unmap`, `migrate_folio_move`),
//! as compaction does it. A page with a reference too many stays: a pin is one, counted or not.

use super::errno::{EAGAIN, EBUSY, ENOMEM};
use super::folio::LetGo;
use super::rmap::{self, Purpose, RmapWalk};
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Toucher;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::{FilePage, Frame, World};

/// Moves a page of a file to another frame. Returns 0, -EAGAIN if somebody holds the page,
/// -EBUSY if it cannot be isolated (a larger folio is left alone too), or -ENOMEM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Migrate {
    at: FilePage,
    src: Frame,
    dst: Frame,
    place: Place,
}

/// The place of a migration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Takes the folio off its LRU list, with a reference (`isolate_migratepages_block`).
    Isolate,
    /// `alloc_migration_target`
    Alloc,
    /// `folio_lock`
    Lock,
    /// `folio_wait_writeback`
    Wait,
    /// `try_to_migrate`: migration entries take the place of page table entries.
    Unmapping,
    /// `__migrate_folio`: unless somebody else holds the folio, its contents are copied.
    Copy,
    /// `__folio_migrate_mapping`: freezes the refcount; the new folio takes the old one's place.
    Move,
    /// `remove_migration_ptes`: the entries map a frame again.
    Restoring { moved: bool },
    /// Unlocks the old folio.
    UnlockOld { ret: Ret },
    /// Puts the new folio, which was not needed.
    PutNew { ret: Ret },
    /// Puts the old folio: freed if it was moved, else back on its LRU list.
    PutOld { ret: Ret },
}

impl Migrate {
    /// A migration of the folio that caches a page of a file.
    pub fn new(at: FilePage) -> Migrate {
        Migrate { at, src: Frame(0), dst: Frame(0), place: Place::Isolate }
    }

    fn to(self, place: Place) -> Next {
        Migrate { place, ..self }.into()
    }

    fn isolate(self, cx: &mut Step) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::LruLock);
        cx.lru_add_drain();
        let frame = cx.cached(self.at).filter(|_| cx.map.fs_of(self.at) != FsKind::Dax);
        let movable = |f: &Frame| cx.flags(*f).lru() && cx.flags(*f).order() == 0;
        let Some(src) = frame.filter(movable) else { return Next::Return(-EBUSY) };
        cx.change_flags(src, |f| f.with_lru(false));
        cx.take_ref(src);
        Migrate { src, ..self }.to(Place::Alloc)
    }

    /// Under the folio lock, with writeback over.
    fn unmap(self, cx: &Step) -> Next {
        if cx.get::<Owner>(self.src).file_page() != Some(self.at) {
            return self.to(Place::UnlockOld { ret: -EAGAIN });
        }
        if !rmap::mapped(cx, self.src) {
            return self.to(Place::Copy);
        }
        let walk = RmapWalk::new(Purpose::ToMigration, self.at, self.src, 1);
        call(walk, Migrate { place: Place::Unmapping, ..self })
    }

    fn restore(self, moved: bool) -> Next {
        let to = if moved { self.dst } else { self.src };
        let walk = RmapWalk::restore(self.at, self.src, to, 1);
        call(walk, Migrate { place: Place::Restoring { moved }, ..self })
    }

    /// The references that a folio has if nobody but the cache, its buffers and this migration
    /// holds it (`folio_expected_ref_count`).
    fn expected(self, w: &World) -> bool {
        let buffers = i32::from(w.flags(self.src).buffers());
        w.counts(self.src).refs() == 2 + buffers
    }

    fn copy(self, cx: &mut Step) -> Next {
        if !self.expected(cx) && cx.strategy.keeps(Guard::MigrateFreeze) {
            return self.restore(false);
        }
        let (from, to) = (cx.page(self.src), cx.page(self.dst));
        cx.touch(from, false, Toucher::Kernel);
        cx.touch(to, true, Toucher::Kernel);
        let data = cx.data(self.src);
        cx.set(self.dst, Data(data));
        self.to(Place::Move)
    }

    fn swap(self, cx: &mut Step) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::IPages);
        if !self.expected(cx) && cx.strategy.keeps(Guard::MigrateFreeze) {
            return self.restore(false);
        }
        let (old, slot) = (cx.flags(self.src), cx.get::<CacheSlot>(self.at));
        if old.buffers() {
            cx.strip_buffers(self.src);
        }
        cx.cache_remove(self.src);
        cx.put_refs(self.src, 1);
        cx.set(self.src, Owner::new());
        cx.lock_folio(me, self.dst);
        cx.cache_insert(self.at, self.dst);
        let bits = Frame::pack(Some(self.dst));
        cx.set(self.at, slot.with_frame_bits(bits));
        let generation = cx.get::<Flags>(self.dst).generation();
        let flags = old.with_generation(generation).with_buffers(false).with_lru(true);
        cx.set(self.dst, flags);
        if old.buffers() {
            cx.attach_buffers(self.dst);
        }
        cx.change_flags(self.src, |f| f.with_dirty(false).with_prepared(false));
        self.restore(true)
    }
}

impl Machine for Migrate {
    fn need(self, _cx: &Scene) -> Need {
        match self.place {
            Place::Lock => Need::FolioLock(self.src),
            Place::Wait => Need::WritebackEnd(self.src),
            _ => Need::Nothing,
        }
    }

    fn outcomes(self, cx: &Scene) -> u8 {
        if self.place == Place::Alloc && Step::may_fail(cx.w) { 2 } else { 1 }
    }

    fn label(self) -> Label {
        match self.place {
            Place::Isolate => Label::new("", "isolate_migratepages_block", Cost::Lock),
            Place::Alloc => Label::new("", "alloc_migration_target", Cost::Alloc),
            Place::Lock => Label::new("", "folio_lock", Cost::Lock),
            Place::Wait => Label::new("", "folio_wait_writeback", Cost::Wake),
            Place::Copy => Label::new("", "folio_mc_copy", Cost::Copy),
            Place::Unmapping | Place::Move => Label::new("", "__folio_migrate_mapping", Cost::Lock),
            Place::UnlockOld { .. } | Place::Restoring { .. } => {
                Label::new("", "folio_unlock", Cost::Lock)
            }
            Place::PutNew { .. } => Label::new("", "folio_put", Cost::Atomic),
            Place::PutOld { .. } => Label::new("", "migrate_folio_done", Cost::Atomic),
        }
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
        let me = cx.me;
        match self.place {
            Place::Isolate => self.isolate(cx),
            Place::Alloc => {
                cx.might_sleep();
                if outcome == 1 {
                    cx.fail_allocation();
                    return self.to(Place::PutOld { ret: -ENOMEM });
                }
                match cx.alloc_frame() {
                    Some(dst) => Migrate { dst, ..self }.to(Place::Lock),
                    None => self.to(Place::PutOld { ret: -ENOMEM }),
                }
            }
            Place::Lock => {
                cx.might_sleep();
                cx.lock_folio(me, self.src);
                if cx.flags(self.src).writeback() && cx.strategy.keeps(Guard::MigrateWriteback) {
                    return self.to(Place::Wait);
                }
                self.unmap(cx)
            }
            Place::Wait => self.unmap(cx),
            Place::Copy | Place::Unmapping => self.copy(cx),
            Place::Move => self.swap(cx),
            // In the hands of another machine; see `resume`.
            Place::Restoring { .. } => Next::Return(0),
            Place::UnlockOld { ret } => {
                cx.unlock_folio(self.src);
                self.to(if ret == 0 { Place::PutOld { ret } } else { Place::PutNew { ret } })
            }
            Place::PutNew { ret } => {
                cx.drop_ref(self.dst);
                self.to(Place::PutOld { ret })
            }
            Place::PutOld { ret } => {
                if ret != 0 {
                    cx.change_flags(self.src, |f| f.with_lru(true));
                }
                cx.drop_ref(self.src);
                Next::Return(ret)
            }
        }
    }

    fn resume(self, cx: &mut Step, _ret: Ret) -> Next {
        match self.place {
            // A notifier failed: some mapping still shows the page (try_to_migrate's caller looks).
            Place::Unmapping if rmap::mapped(cx, self.src) => self.restore(false),
            Place::Unmapping => self.to(Place::Copy),
            Place::Restoring { moved: true } => {
                let then = Migrate { place: Place::UnlockOld { ret: 0 }, ..self };
                call(LetGo::Unlock(self.dst), then)
            }
            Place::Restoring { moved: false } => self.to(Place::UnlockOld { ret: -EAGAIN }),
            _ => self.into(),
        }
    }
}
