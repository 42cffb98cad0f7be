//! Counting a pin and taking it off its count, where a design needs more than one step for it.
//!
//! [`CountPin`] turns the plain reference of its caller into a pin: in GUP-fast, with interrupts
//! off, before the PTE is read again (F11); or in the slow path, after the page-table lock has been
//! dropped, for designs that have to sleep or to take the LRU lock. On failure the caller still has
//! its reference. [`UncountPin`] is `put_user_page` of those designs.

use super::errno::{EBUSY, ENOMEM};
use super::pin::*;
use super::routine::{Routine, call};
use super::step::*;
use crate::kernel::strategy::pin::VMA_BYTES;
use crate::kernel::strategy::{Guard, Pin};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{LockClass, Pinned, RefType};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::page::{Holder, ZERO_PAGE};
use crate::kernel::world::price::Price;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{File, Frame, Lock, SlotPage, World};

/// Counts a pin. Returns 0, or -errno.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CountPin {
    frame: Frame,
    /// The file of the page when counting began (fake-vma: in whose tree the pin goes).
    file: Option<File>,
    place: Count,
}

/// Where the counting is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Count {
    /// squeeze-hmm, a page of a device: looks hmm_data up in the structure at the side.
    Side,
    /// Counts in one step: what is needed is there.
    Now,
    /// page-private, side-table: allocates the structure or the entry, without sleeping.
    Alloc,
    /// page-private, side-table: puts it in its place, or finds another one there.
    Install,
    /// mapping-counter: reads page->mapping.
    Mapping,
    /// mapping-counter: adds to the counter of this mapping.
    Add,
    /// mapping-counter: sets PageDmaPinned.
    SetBit,
    /// off-lru: takes the page off its LRU list, under the LRU lock.
    Isolate,
    /// off-lru: it is on no list: empties this processor's batch.
    Drain,
    /// off-lru: tries once more.
    IsolateAgain,
    /// fake-vma: allocates the mapping.
    Vma,
    /// fake-vma: inserts it, with i_mmap_rwsem taken exclusive.
    Insert,
    /// fake-vma: releases i_mmap_rwsem.
    Unlock,
}

impl CountPin {
    /// Counting of a page on which the caller has a plain reference.
    pub fn new(cx: &Step, frame: Frame) -> CountPin {
        let place = match cx.strategy.pin {
            Pin::SqueezeHmm if cx.flags(frame).pmem() => Count::Side,
            Pin::PagePrivate | Pin::SideTable if lacks_structure(cx, cx.strategy.pin, frame) => {
                Count::Alloc
            }
            Pin::MappingCounter => Count::Mapping,
            Pin::OffLru => Count::Isolate,
            Pin::FakeVma => Count::Vma,
            _ => Count::Now,
        };
        CountPin { frame, file: cx.home_of(frame), place }
    }

    fn to(self, place: Count) -> Next {
        CountPin { place, ..self }.into()
    }

    fn tree(self, w: &World) -> Option<Lock> {
        self.file.map(|f| w.map.file_lock(LockClass::IMmapRwsem, f))
    }

    /// The structure that was there when counting began may be gone by now.
    fn now(self, cx: &mut Step) -> Next {
        let lacks = lacks_structure(cx, cx.strategy.pin, self.frame);
        if lacks && cx.strategy.keeps(Guard::PinStructureAgain) {
            return self.to(Count::Alloc);
        }
        count_pin(cx, self.frame);
        Next::Return(0)
    }

    fn alloc(self, cx: &mut Step, outcome: u8) -> Next {
        if outcome > 0 {
            cx.fail_allocation();
            return Next::Return(-ENOMEM);
        }
        self.to(Count::Install)
    }

    /// `pin_page_for_dma`, under zone_gup_lock and, to isolate, the LRU lock. The count lies where
    /// the links of the list were.
    fn isolate(self, cx: &mut Step) -> Next {
        let (me, flags) = (cx.me, cx.flags(self.frame));
        cx.prices.add(Price::PinLocks, 1);
        if !flags.pmem() && !flags.dma_pinned() {
            cx.lock_briefly(me, LockClass::LruLock);
            cx.prices.add(Price::PinLocks, 1);
            if !flags.lru() {
                let again = self.place == Count::IsolateAgain;
                return if again { Next::Return(-EBUSY) } else { self.to(Count::Drain) };
            }
            cx.change_flags(self.frame, |f| f.with_lru(false).with_dma_pinned(true));
            cx.prices.add(Price::LruMoves, 1);
        }
        count_pin(cx, self.frame);
        Next::Return(0)
    }

    fn insert(self, cx: &mut Step) -> Next {
        let me = cx.me;
        count_pin(cx, self.frame);
        cx.prices.add(Price::PinLocks, 1);
        match self.tree(cx) {
            Some(lock) => {
                cx.lock(me, lock, Mode::Exclusive);
                self.to(Count::Unlock)
            }
            None => Next::Return(0),
        }
    }

    /// The counter of the mapping that was read, which may not be the page's any more.
    fn add(self, cx: &mut Step) -> Next {
        cx.prices.add(Price::PinAtomics, 1);
        if let Some(file) = self.file {
            cx.update::<MappingPins>(file, |m| {
                m.with_pins(m.pins() + 1).with_adding(m.adding() + 1)
            });
        }
        self.to(Count::SetBit)
    }

    fn set_bit(self, cx: &mut Step) -> Next {
        cx.change_flags(self.frame, |f| f.with_dma_pinned(true));
        if let Some(file) = self.file {
            cx.update::<MappingPins>(file, |m| m.with_adding(m.adding().saturating_sub(1)));
        }
        cx.prices.add(Price::PinAtomics, 1);
        hold_pin(cx, self.frame);
        Next::Return(0)
    }
}

impl Machine for CountPin {
    fn need(self, cx: &Scene) -> Need {
        match (self.place, self.tree(cx.w)) {
            (Count::Insert, Some(lock)) => Need::Lock(lock, Mode::Exclusive),
            _ => Need::Nothing,
        }
    }

    fn outcomes(self, cx: &Scene) -> u8 {
        let allocates = matches!(self.place, Count::Alloc | Count::Vma);
        1 + u8::from(allocates && Step::may_fail(cx.w))
    }

    fn label(self) -> Label {
        let (name, cost) = match self.place {
            Count::Side => ("gup: look hmm_data up", Cost::Walk),
            Count::Now => ("gup: account the pin", Cost::Atomic),
            Count::Alloc => ("gup: kmalloc(GFP_ATOMIC)", Cost::Alloc),
            Count::Install => ("gup: account the pin", Cost::Atomic),
            Count::Mapping => ("gup: read page->mapping", Cost::Step),
            Count::Add => ("gup: add to the mapping's count", Cost::Atomic),
            Count::SetBit => ("gup: SetPageDmaPinned", Cost::Atomic),
            Count::Isolate | Count::IsolateAgain => ("gup: isolate_lru_page", Cost::Lock),
            Count::Drain => ("gup: lru_add_drain", Cost::Lock),
            Count::Vma => ("gup: vm_area_alloc", Cost::Alloc),
            Count::Insert => ("gup: vma_interval_tree_insert", Cost::Lock),
            Count::Unlock => ("gup: i_mmap_unlock_write", Cost::Lock),
        };
        Label::new("F11", name, cost)
    }

    fn step(self, cx: &mut Step, outcome: u8) -> Next {
        match self.place {
            Count::Side => {
                cx.prices.add(Price::SideLookups, 1);
                self.to(Count::Now)
            }
            Count::Now => self.now(cx),
            Count::Alloc => self.alloc(cx, outcome),
            Count::Install => {
                install(cx, self.frame);
                count_pin(cx, self.frame);
                Next::Return(0)
            }
            Count::Mapping => {
                let file = cx.mapping_of(self.frame);
                CountPin { file, place: Count::Add, ..self }.into()
            }
            Count::Add => self.add(cx),
            Count::SetBit => self.set_bit(cx),
            Count::Isolate | Count::IsolateAgain => self.isolate(cx),
            Count::Drain => {
                cx.lru_add_drain();
                self.to(Count::IsolateAgain)
            }
            Count::Vma if outcome > 0 => {
                cx.fail_allocation();
                Next::Return(-ENOMEM)
            }
            Count::Vma => {
                cx.might_sleep();
                cx.prices.add(Price::Allocs, 1);
                cx.prices.add(Price::PinBytes, u64::from(VMA_BYTES));
                self.to(Count::Insert)
            }
            Count::Insert => self.insert(cx),
            Count::Unlock => {
                let me = cx.me;
                if let Some(lock) = self.tree(cx) {
                    cx.unlock(me, lock);
                }
                Next::Return(0)
            }
        }
    }
}

/// Drops what a slot keeps of a page: at once (none), or in the several steps that the design needs
/// for it, after which `then` is resumed.
pub fn release_kept(cx: &mut Step, at: SlotPage, then: impl Into<Routine>) -> Option<Next> {
    let kept = cx.get::<Pinned>(at);
    let slow = kept.kind() == RefType::Pin && !cx.strategy.pin.fast();
    match Frame::unpack(kept.frame_bits()).filter(|&f| slow && f != ZERO_PAGE) {
        Some(frame) => {
            cx.set(at, Pinned::new());
            Some(call(UncountPin::new(cx, frame), then))
        }
        None => {
            put_kept(cx, at);
            None
        }
    }
}

/// Takes a pin off its count and drops its reference. Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UncountPin {
    frame: Frame,
    file: Option<File>,
    place: Uncount,
}

/// Where it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Uncount {
    /// off-lru: one less; the last one goes on to the list.
    Less,
    /// off-lru: back onto the LRU list, if nobody has pinned the page meanwhile.
    PutBack,
    /// fake-vma: takes i_mmap_rwsem exclusive and removes the mapping.
    Remove,
    /// fake-vma: releases i_mmap_rwsem.
    Unlock,
    /// Drops the reference.
    Put,
}

impl UncountPin {
    /// Release of a pin on a page.
    pub fn new(cx: &Step, frame: Frame) -> UncountPin {
        let place = match cx.strategy.pin {
            Pin::OffLru => Uncount::Less,
            _ => Uncount::Remove,
        };
        UncountPin { frame, file: cx.home_of(frame), place }
    }

    fn to(self, place: Uncount) -> Next {
        UncountPin { place, ..self }.into()
    }

    fn tree(self, w: &World) -> Option<Lock> {
        self.file.map(|f| w.map.file_lock(LockClass::IMmapRwsem, f))
    }

    /// One pin less on the count; its reference is a plain one until it is dropped.
    fn less(self, cx: &mut Step) {
        let head = cx.head(self.frame);
        let pins = cx.pin_adds(head).pins;
        if pins > 0 {
            cx.update::<Counts>(head, |c| c.with_pins(c.pins().wrapping_sub(pins)));
        }
        cx.prices.add(Price::Unpins, 1);
        cx.prices.add(Price::PinAtomics, 1);
        cx.hold(head, Holder::Pin, -1);
        cx.hold(head, Holder::Ref, 1);
    }

    /// `putback_lru_page`, after a second look at the count under the lock: "pin_page_for_dma() may
    /// have snuck in".
    fn put_back(self, cx: &mut Step) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::LruLock);
        cx.prices.add(Price::PinLocks, 2);
        let again = cx.strategy.keeps(Guard::OffLruRecheck);
        let idle = cx.counts(self.frame).pins() == 0 || !again;
        if idle && cx.flags(self.frame).dma_pinned() {
            cx.change_flags(self.frame, |f| f.with_lru(true).with_dma_pinned(false));
            cx.prices.add(Price::LruMoves, 1);
        }
        self.to(Uncount::Put)
    }
}

impl Machine for UncountPin {
    fn need(self, cx: &Scene) -> Need {
        match (self.place, self.tree(cx.w)) {
            (Uncount::Remove, Some(lock)) => Need::Lock(lock, Mode::Exclusive),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        let (name, cost) = match self.place {
            Uncount::Less => ("unpin: dma_pinned_count", Cost::Atomic),
            Uncount::PutBack => ("unpin: putback_lru_page", Cost::Lock),
            Uncount::Remove => ("unpin: vma_interval_tree_remove", Cost::Lock),
            Uncount::Unlock => ("unpin: i_mmap_unlock_write", Cost::Lock),
            Uncount::Put => ("unpin: put_page", Cost::Atomic),
        };
        Label::new("", name, cost)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, tree) = (cx.me, self.tree(cx));
        match self.place {
            Uncount::Less => {
                self.less(cx);
                let last = cx.flags(self.frame).dma_pinned() && cx.counts(self.frame).pins() == 0;
                self.to(if last { Uncount::PutBack } else { Uncount::Put })
            }
            Uncount::PutBack => self.put_back(cx),
            Uncount::Remove => {
                cx.prices.add(Price::PinLocks, 1);
                let Some(lock) = tree else {
                    self.less(cx);
                    return self.to(Uncount::Put);
                };
                cx.lock(me, lock, Mode::Exclusive);
                self.less(cx);
                self.to(Uncount::Unlock)
            }
            Uncount::Unlock => {
                if let Some(lock) = tree {
                    cx.unlock(me, lock);
                }
                self.to(Uncount::Put)
            }
            Uncount::Put => {
                cx.prices.add(Price::PinAtomics, 1);
                put(cx, self.frame, false);
                Next::Return(0)
            }
        }
    }
}
