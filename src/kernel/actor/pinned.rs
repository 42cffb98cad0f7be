//! "Is this page pinned?" (`folio_maybe_dma_pinned`), for every design.
//!
//! [`ask`] is the only way in. Where the design answers with one look, the answer is there at once
//! and belongs to the step of the actor that asks. Where it takes several (a walk of the reverse
//! map, a search of the interval tree, a bit and then a counter), control goes into [`AskPinned`]
//! and the actor is resumed with 1 or 0; it must not hold a spinlock then.

use super::routine::{Routine, call};
use super::step::*;
use crate::kernel::strategy::pin::Look;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{File, Frame, Kind, Lock, VPage, World};

/// Asks whether a folio may be pinned. `Ok`: the answer. `Err`: where control goes; `then` will be
/// resumed with 1 (it may be) or 0.
pub fn ask(cx: &mut Step, frame: Frame, then: impl Into<Routine>) -> Result<bool, Next> {
    let folio = cx.head(frame);
    match cx.strategy.pin.look() {
        Look::Counts => {
            let pinned = cx.counts_say_pinned(folio);
            let then = held(cx, folio);
            Ok(answer(cx, folio, pinned, then))
        }
        Look::Mapping | Look::Walk | Look::Tree => Err(call(AskPinned::new(cx, folio), then)),
    }
}

/// The same for anonymous memory, where every design answers at once: it is not counted at all, or
/// counted in the page. (The lock of an anon_vma is not modelled.)
pub fn ask_anon(cx: &mut Step, frame: Frame) -> bool {
    let folio = cx.head(frame);
    let (pinned, then) = (cx.counts_say_pinned(folio), held(cx, folio));
    answer(cx, folio, pinned, then)
}

/// Ghost: whether a folio is pinned, for the fact that is stated and for counting false answers;
/// no design can know it.
fn held(w: &World, folio: Frame) -> bool {
    Holders::from_bits(w.word_of(Kind::Holders, folio.0)).pins() > 0
}

/// States question and answer.
fn answer(cx: &mut Step, folio: Frame, answer: bool, then: bool) -> bool {
    let wrong = answer && !held(cx, folio);
    cx.prices.add(Price::FalsePinned, u64::from(wrong));
    cx.facts.push(Fact::PinAsked { frame: folio, answer, then });
    answer
}

/// The question, where the answer takes several steps. Returns 1 or 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AskPinned {
    folio: Frame,
    /// The file of the folio when the question was put.
    file: Option<File>,
    /// Ghost: it was pinned then.
    then: bool,
    place: Place,
}

/// Where the question is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// mapping-counter: reads PageDmaPinned.
    Bit,
    /// mapping-counter: reads the counter of the mapping.
    Counter,
    /// mapping-counter: clears the bit, for the counter was zero.
    Clear,
    /// mapcount: waits for the folio lock, which the walk needs (`page_mkclean`).
    FolioLock,
    /// mapcount, fake-vma: takes i_mmap_rwsem shared. Flag: the folio lock is to be released.
    Lock(bool),
    /// mapcount: looks at entries from this mapping on; so many have been found.
    Entry {
        /// Place of the mapping in the file's list.
        mapping: u16,
        /// Entries found.
        found: u16,
        /// The folio lock is to be released.
        unlock: bool,
    },
    /// mapcount: reads the mapcount, with so many entries found.
    Compare(u16, bool),
    /// fake-vma: looks for a mapping that is a pin.
    Search,
    /// Releases i_mmap_rwsem; this is the answer.
    Unlock(bool, bool),
    /// Releases the folio lock; this is the answer.
    FolioUnlock(bool),
    /// Nothing to look through: the answer is no.
    No,
}

impl AskPinned {
    fn new(cx: &Step, folio: Frame) -> AskPinned {
        let file = cx.mapping_of(folio);
        let place = match (cx.strategy.pin.look(), file) {
            (Look::Mapping, Some(_)) => Place::Bit,
            (Look::Walk, Some(_)) if cx.folio_locked_by(folio) == Some(cx.me) => Place::Lock(false),
            (Look::Walk, Some(_)) => Place::FolioLock,
            (Look::Tree, _) if cx.home_of(folio).is_some() => Place::Lock(false),
            (Look::Tree, _) => Place::Search,
            (_, None) | (Look::Counts, _) => Place::No,
        };
        let file = file.or_else(|| cx.home_of(folio));
        AskPinned { folio, file, then: held(cx, folio), place }
    }

    fn to(self, place: Place) -> Next {
        AskPinned { place, ..self }.into()
    }

    fn lock(self, w: &World) -> Option<Lock> {
        self.file.map(|f| w.map.file_lock(LockClass::IMmapRwsem, f))
    }

    fn say(self, cx: &mut Step, pinned: bool) -> Ret {
        Ret::from(answer(cx, self.folio, pinned, self.then))
    }

    fn counter(self, cx: &mut Step) -> Next {
        let pins = self.file.map_or(0, |f| cx.get::<MappingPins>(f).pins());
        if pins == 0 {
            return self.to(Place::Clear);
        }
        Next::Return(self.say(cx, true))
    }

    /// The entries of one mapping that show the folio, in one section under the page-table lock.
    fn entries(self, cx: &mut Step, mapping: u16) -> Option<u16> {
        let file = self.file?;
        let vma = *cx.map.mappings(file).get(usize::from(mapping))?;
        let at = cx.get::<Owner>(self.folio).file_page()?;
        let me = cx.me;
        cx.lock_briefly(me, LockClass::Ptl);
        let shows = |n: u32| -> Option<VPage> { cx.map.vpage_in(vma, at.plus(n)) };
        let pages: Vec<VPage> = (0..cx.folio_pages(self.folio)).filter_map(shows).collect();
        cx.prices.add(Price::RmapPtes, pages.len() as u64);
        let maps = |&page: &VPage| {
            let pte = cx.get::<Pte>(page);
            pte.present() && pte.frame().is_some_and(|f| cx.head(f) == self.folio)
        };
        Some(pages.iter().filter(|p| maps(p)).count() as u16)
    }

    fn walk(self, cx: &mut Step, mapping: u16, found: u16, unlock: bool) -> Next {
        let found = found + self.entries(cx, mapping).unwrap_or(0);
        let mappings = self.file.map_or(0, |f| cx.map.mappings(f).len());
        match usize::from(mapping) + 1 < mappings {
            true => self.to(Place::Entry { mapping: mapping + 1, found, unlock }),
            false => self.to(Place::Compare(found, unlock)),
        }
    }

    /// "page_mapcount(page) > count" of the sketch of December 2018: after the walk.
    fn compare(self, cx: &mut Step, found: u16, unlock: bool) -> Next {
        let pinned = i32::from(cx.counts(self.folio).maps()) > i32::from(found);
        self.say(cx, pinned);
        self.to(Place::Unlock(pinned, unlock))
    }
}

impl Machine for AskPinned {
    fn need(self, cx: &Scene) -> Need {
        match (self.place, self.lock(cx.w)) {
            (Place::FolioLock, _) => Need::FolioLock(self.folio),
            (Place::Lock(_), Some(lock)) => Need::Lock(lock, Mode::Shared),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        let (name, cost) = match self.place {
            Place::Bit => ("PageDmaPinned", Cost::Step),
            Place::Counter => ("read the mapping's count of pins", Cost::Step),
            Place::Clear => ("ClearPageDmaPinned", Cost::Atomic),
            Place::FolioLock => ("is it pinned: folio_lock", Cost::Lock),
            Place::Lock(_) => ("is it pinned: i_mmap_lock_read", Cost::Lock),
            Place::Entry { .. } => ("is it pinned: count entries", Cost::Walk),
            Place::Compare(..) => ("is it pinned: page_mapcount", Cost::Step),
            Place::Search => ("is it pinned: vma_interval_tree_foreach", Cost::Walk),
            Place::Unlock(..) => ("is it pinned: i_mmap_unlock_read", Cost::Lock),
            Place::FolioUnlock(_) => ("is it pinned: folio_unlock", Cost::Atomic),
            Place::No => ("is it pinned: no mapping", Cost::Step),
        };
        Label::new("", name, cost)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, lock) = (cx.me, self.lock(cx));
        match self.place {
            Place::Bit if cx.flags(self.folio).dma_pinned() => self.to(Place::Counter),
            Place::Bit | Place::No => Next::Return(self.say(cx, false)),
            Place::Counter => self.counter(cx),
            Place::Clear => {
                cx.change_flags(self.folio, |f| f.with_dma_pinned(false));
                Next::Return(self.say(cx, false))
            }
            Place::FolioLock => {
                cx.might_sleep();
                cx.lock_folio(me, self.folio);
                self.to(Place::Lock(true))
            }
            Place::Lock(unlock) => {
                if let Some(lock) = lock {
                    cx.lock(me, lock, Mode::Shared);
                }
                match cx.strategy.pin.look() {
                    Look::Tree => self.to(Place::Search),
                    _ => self.to(Place::Entry { mapping: 0, found: 0, unlock }),
                }
            }
            Place::Entry { mapping, found, unlock } => self.walk(cx, mapping, found, unlock),
            Place::Compare(found, unlock) => self.compare(cx, found, unlock),
            Place::Search => {
                cx.prices.add(Price::SideLookups, 1);
                let pinned = cx.counts_say_pinned(self.folio);
                let ret = self.say(cx, pinned);
                match lock {
                    Some(_) => self.to(Place::Unlock(pinned, false)),
                    None => Next::Return(ret),
                }
            }
            Place::Unlock(pinned, unlock) => {
                if let Some(lock) = lock {
                    cx.unlock(me, lock);
                }
                match unlock {
                    true => self.to(Place::FolioUnlock(pinned)),
                    false => Next::Return(Ret::from(pinned)),
                }
            }
            Place::FolioUnlock(pinned) => {
                cx.unlock_folio(self.folio);
                Next::Return(Ret::from(pinned))
            }
        }
    }
}
