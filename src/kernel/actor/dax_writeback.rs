//! Writeback of a DAX file (`dax_writeback_mapping_range`): there is nothing to write, but the
//! processors' caches have to be flushed and the mappings write-protected, so that the next store
//! is noticed (kernel truth X03).

use super::rmap::{Purpose, RmapWalk};
use super::routine::call;
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::CacheSlot;
use crate::kernel::world::{Actor, FilePage, World};

/// `dax_writeback_mapping_range`. For data integrity only: pmem has no periodic writeback.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DaxWriteback {
    next: FilePage,
    end: FilePage,
    place: Place,
}

/// The place of a pass.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Turns DIRTY tags into TOWRITE.
    Tag,
    /// Locks the entry of a page and clears its TOWRITE tag (`dax_writeback_one`).
    LockEntry,
    /// `pfn_mkclean_range` over every mapping.
    Clean,
    /// `dax_flush`, then the DIRTY tag goes and the entry is unlocked.
    Flush,
}

impl DaxWriteback {
    /// A pass over the pages before `end`. Returns 0.
    pub fn new(first: FilePage, end: FilePage) -> DaxWriteback {
        DaxWriteback { next: first, end, place: Place::Tag }
    }

    /// On to the next tagged page, or back.
    fn find(self, w: &World) -> Next {
        let mut pages = (self.next.0..self.end.0).map(FilePage);
        match pages.find(|&at| w.get::<CacheSlot>(at).tag_towrite()) {
            Some(next) => DaxWriteback { next, place: Place::LockEntry, ..self }.into(),
            None => Next::Return(0),
        }
    }
}

impl Machine for DaxWriteback {
    fn need(self, _cx: &Scene) -> Need {
        match self.place {
            Place::LockEntry => Need::DaxEntry(self.next),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.place {
            Place::Tag => Label::new("", "tag_pages_for_writeback", Cost::Step),
            Place::LockEntry => Label::new("", "dax_writeback_one", Cost::Lock),
            Place::Clean => Label::new("", "pfn_mkclean_range", Cost::Walk),
            Place::Flush => Label::new("", "dax_flush", Cost::Copy),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, at) = (cx.me, self.next);
        match self.place {
            Place::Tag => {
                cx.lock_briefly(me, LockClass::IPages);
                for page in (at.0..self.end.0).map(FilePage) {
                    let slot = cx.get::<CacheSlot>(page);
                    if slot.tag_dirty() {
                        cx.set(page, slot.with_tag_towrite(true));
                    }
                }
                self.find(cx)
            }
            Place::LockEntry => {
                cx.might_sleep();
                let slot = cx.get::<CacheSlot>(at);
                let Some(frame) = slot.frame().filter(|_| slot.tag_towrite()) else {
                    return DaxWriteback { next: at.plus(1), ..self }.find(cx);
                };
                cx.lock_briefly(me, LockClass::DaxEntry);
                let locked = slot.with_dax_locked(true).with_dax_owner(Actor::pack(Some(me)));
                cx.set(at, locked.with_tag_towrite(false));
                let then = DaxWriteback { place: Place::Clean, ..self };
                call(RmapWalk::new(Purpose::Clean, at, frame, 1), then)
            }
            Place::Clean | Place::Flush => {
                cx.update::<CacheSlot>(at, |s| {
                    s.with_tag_dirty(false).with_dax_locked(false).with_dax_owner(0)
                });
                DaxWriteback { next: at.plus(1), ..self }.find(cx)
            }
        }
    }

    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        DaxWriteback { place: Place::Flush, ..self }.into()
    }
}
