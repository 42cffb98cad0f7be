//! Primitive operations on frames, folios, the page cache, page tables and TLBs.
//!
//! Each is a part of one atomic step; none decides anything about pins or filesystems. Ghost
//! state (holders, newest contents) is kept where holders come and go, so that the counts can be
//! judged against it.

use super::contents::{Contents, Version};
use super::door::World;
use super::facts::{Fact, Page, Toucher};
use super::ids::*;
use super::machine::{DiskState, FreeList, PgmapState, Pinned, RefType};
use super::objects::*;
use super::plan::{FsKind, Part, WHOLE};
use std::ops::Range;

/// The zero page.
pub const ZERO_PAGE: Frame = Frame(0);

/// The free list of frames.
const FRAMES: One = One(0);

/// A kind of holder of a folio, for the ghost count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// A plain reference in the hands of an agent, a bio, a pipe.
    Ref,
    /// A pin.
    Pin,
    /// Buffers.
    Private,
}

impl World {
    /// The head frame of the folio that a frame belongs to.
    #[inline]
    pub fn head(&self, frame: Frame) -> Frame {
        let flags = self.get::<Flags>(frame);
        if flags.tail() { Frame(frame.0 - u32::from(flags.head_offset())) } else { frame }
    }

    /// The flags of the folio that a frame belongs to.
    #[inline]
    pub fn flags(&self, frame: Frame) -> Flags {
        let flags = self.get::<Flags>(frame);
        if flags.tail() { self.get(Frame(frame.0 - u32::from(flags.head_offset()))) } else { flags }
    }

    /// Changes the flags of the folio that a frame belongs to; gives those before.
    #[inline]
    pub fn change_flags(&mut self, frame: Frame, change: impl FnOnce(Flags) -> Flags) -> Flags {
        let head = self.head(frame);
        self.update(head, change)
    }

    /// The counts of the folio that a frame belongs to.
    #[inline]
    pub fn counts(&self, frame: Frame) -> Counts {
        self.get(self.head(frame))
    }

    /// Pages of the folio that a frame belongs to.
    #[inline]
    pub fn folio_pages(&self, frame: Frame) -> u32 {
        1 << self.flags(frame).order()
    }

    /// A frame with its present generation, to be kept by a user.
    #[inline]
    pub fn page(&self, frame: Frame) -> Page {
        Page { frame, generation: self.get::<Flags>(frame).generation() }
    }

    /// Whether a slot holds a page of a folio, named by its head: a slot keeps the page that was
    /// asked for, and references and pins are the folio's.
    pub fn keeps(&self, at: SlotPage, folio: Frame) -> bool {
        let kept = self.get::<Pinned>(at);
        let frame = Frame::unpack(kept.frame_bits());
        kept.kind() != RefType::None && frame.is_some_and(|f| self.head(f) == folio)
    }

    /// States that somebody reads or writes a frame. Whether it has been freed is noted now: the
    /// same step may go on to drop the last reference, which would be no crime.
    #[inline]
    pub fn touch(&mut self, page: Page, write: bool, by: Toucher) {
        let freed = self.get::<Flags>(page.frame).generation() != page.generation;
        self.facts.push(Fact::Touch { page, write, by, freed });
    }

    // --- references ---------------------------------------------------------------------------

    /// `folio_ref_add`: adds references that the caller knows may be added.
    #[inline]
    pub fn add_refs(&mut self, frame: Frame, n: i32) {
        let head = self.head(frame);
        self.update::<Counts>(head, |c| c.with_refs(c.refs().wrapping_add(n)));
    }

    /// `folio_try_get`: adds a reference unless the count is zero (or negative: overflown).
    pub fn try_get(&mut self, frame: Frame) -> bool {
        self.facts.push(Fact::StructPageUsed { frame });
        let head = self.head(frame);
        let counts = self.get::<Counts>(head);
        if counts.refs() <= 0 {
            return false;
        }
        self.set(head, counts.with_refs(counts.refs() + 1));
        true
    }

    /// `folio_put_refs`: drops references; frees the folio when the count reaches zero. Gives
    /// whether it did.
    pub fn put_refs(&mut self, frame: Frame, n: i32) -> bool {
        let head = self.head(frame);
        let before = self.update::<Counts>(head, |c| c.with_refs(c.refs().wrapping_sub(n)));
        let freed = before.refs() == n && !self.get::<Flags>(head).free();
        if freed && !self.get::<Flags>(head).pmem() && head != ZERO_PAGE {
            self.free_folio(head);
        }
        freed
    }

    /// Ghost: one more (or less) holder of a folio.
    #[inline]
    pub fn hold(&mut self, frame: Frame, holder: Holder, n: i32) {
        let head = self.head(frame);
        let add = |count: u32, most: u32| count.wrapping_add(n as u32) & most;
        self.update::<Holders>(head, |h| match holder {
            Holder::Ref => h.with_refs(add(h.refs(), Holders::MOST_REFS)),
            Holder::Pin => h.with_pins(add(h.pins(), Holders::MOST_PINS)),
            Holder::Private => h.with_private(n > 0),
        });
    }

    /// Takes a plain reference into somebody's hands: the count and its holder.
    pub fn take_ref(&mut self, frame: Frame) {
        self.add_refs(frame, 1);
        self.hold(frame, Holder::Ref, 1);
    }

    /// Drops a plain reference from somebody's hands; gives whether the folio was freed.
    pub fn drop_ref(&mut self, frame: Frame) -> bool {
        self.hold(frame, Holder::Ref, -1);
        self.put_refs(frame, 1)
    }

    // --- allocator ----------------------------------------------------------------------------

    /// Takes a frame from the free list, last freed first (as the per-CPU lists do); its old
    /// contents are still there. The caller holds its one reference. None: out of memory.
    pub fn alloc_frame(&mut self) -> Option<Frame> {
        let list = self.get::<FreeList>(FRAMES);
        let frame = Frame::unpack(list.head())?;
        let next = self.get::<Owner>(frame).link();
        self.set(FRAMES, list.with_head(next).with_count(list.count() - 1));
        self.update::<Flags>(frame, |f| Flags::new().with_generation(f.generation()));
        self.set(frame, Owner::new());
        self.set(frame, Counts::new().with_refs(1));
        self.set(frame, Holders::new().with_refs(1));
        Some(frame)
    }

    /// Frees every frame of a folio: the generation is bumped, the contents stay.
    fn free_folio(&mut self, head: Frame) {
        let pages = self.folio_pages(head);
        for frame in (0..pages).rev().map(|n| head.plus(n)) {
            let list = self.get::<FreeList>(FRAMES);
            self.update::<Flags>(frame, |f| {
                Flags::new().with_free(true).with_generation(f.generation().wrapping_add(1))
            });
            self.set(frame, Owner::of(OwnerKind::Free, list.head()));
            let head = Frame::pack(Some(frame));
            self.set(FRAMES, list.with_head(head).with_count(list.count() + 1));
        }
    }

    // --- page cache ---------------------------------------------------------------------------

    /// `filemap_add_folio`: a locked folio becomes the cache of a page of a file (and of the
    /// following ones, if larger); one reference per page.
    pub fn cache_insert(&mut self, at: FilePage, head: Frame) {
        let pages = self.folio_pages(head);
        for n in 0..pages {
            let slot = CacheSlot::new().with_frame_bits(Frame::pack(Some(head.plus(n))));
            self.set(at.plus(n), slot);
            self.set(head.plus(n), Owner::of(OwnerKind::File, at.0 + n + 1));
        }
        self.add_refs(head, pages as i32);
        self.update::<Holders>(head, |h| h.with_cache(h.cache() + pages as u16));
    }

    /// `page_cache_delete`: the folio leaves the cache, `page->mapping` becomes NULL, the index
    /// is kept. The cache's references are the caller's to drop ([`World::put_refs`]).
    pub fn cache_remove(&mut self, frame: Frame) {
        let head = self.head(frame);
        let pages = self.folio_pages(head);
        for n in 0..pages {
            if let Some(at) = self.get::<Owner>(head.plus(n)).file_page() {
                self.set(at, CacheSlot::new());
                self.set(head.plus(n), Owner::of(OwnerKind::Detached, at.0 + 1));
            }
        }
        self.update::<Holders>(head, |h| h.with_cache(h.cache().saturating_sub(pages as u16)));
    }

    /// The frame that caches a page of a file.
    #[inline]
    pub fn cached(&self, at: FilePage) -> Option<Frame> {
        self.get::<CacheSlot>(at).frame()
    }

    /// The pages of a file that are cached in one folio with this one. The page cache has one entry
    /// for a folio and its tags are the folio's: who looks a page in the middle up, by a tag or
    /// not, is led to the first (`xas_find_marked` goes from a sibling entry back to the head).
    #[inline]
    pub fn folio_slots(&self, at: FilePage) -> Range<u32> {
        match self.map.large_folios {
            true => self.slots_of_large(at),
            false => at.0..at.0 + 1,
        }
    }

    fn slots_of_large(&self, at: FilePage) -> Range<u32> {
        let alone = at.0..at.0 + 1;
        if self.map.file(self.map.file_of(at)).folio_order == 0 {
            return alone;
        }
        let Some(frame) = self.cached(at) else { return alone };
        let head = self.head(frame);
        let first = at.0 - (frame.0 - head.0);
        first..first + self.folio_pages(head)
    }

    /// `folio_mark_dirty`: PG_dirty and, if it is a page of a file that has a disk, the tag;
    /// PG_reclaim goes.
    /// Of a larger folio, `frame` is the page that somebody wrote to; who dirties it as a whole
    /// names its head. Gives whether it was clean.
    pub fn mark_dirty(&mut self, frame: Frame) -> bool {
        let head = self.head(frame);
        let was = self.update::<Flags>(head, |f| f.with_dirty(true).with_reclaim(false)).dirty();
        if let Some(at) = self.get::<Owner>(head).file_page()
            && self.map.fs_of(at) != FsKind::Tmpfs
        {
            self.update::<CacheSlot>(at, |s| s.with_tag_dirty(true));
        }
        self.facts.push(Fact::Dirtied { frame });
        !was
    }

    /// Attaches buffers (`create_empty_buffers`), which hold a reference. A structure of pins that
    /// is in their place (`--pin page-private`) is lost, and with it the count.
    pub fn attach_buffers(&mut self, frame: Frame) {
        let flags = self.flags(frame);
        if !flags.buffers() {
            if flags.pin_private() {
                let head = self.head(frame);
                self.update::<Counts>(head, |c| c.with_pins(0));
            }
            self.change_flags(frame, |f| {
                f.with_buffers(true).with_pin_private(false).with_hidden_buffers(false)
            });
            self.add_refs(frame, 1);
            self.hold(frame, Holder::Private, 1);
        }
    }

    /// `ext4_get_block` for a page that is about to be written: its buffer is mapped.
    pub fn map_buffer(&mut self, at: FilePage) {
        let slot = self.get::<CacheSlot>(at);
        if slot.unmapped() {
            self.set(at, slot.with_unmapped(false));
        }
    }

    /// Strips buffers (`try_to_free_buffers`), dropping their reference.
    pub fn strip_buffers(&mut self, frame: Frame) {
        if self.flags(frame).buffers() {
            self.change_flags(frame, |f| f.with_buffers(false));
            self.hold(frame, Holder::Private, -1);
            self.put_refs(frame, 1);
        }
    }

    // --- page tables and TLBs -----------------------------------------------------------------

    /// Writes an entry of a page table. Counts are the caller's business; the ghost count of
    /// entries per folio follows by itself.
    pub fn set_pte(&mut self, at: VPage, pte: Pte) {
        let old = self.update(at, |_: Pte| pte);
        let mapped = |p: Pte| p.frame().filter(|&f| p.present() && f != ZERO_PAGE);
        let (from, to) = (mapped(old), mapped(pte));
        if from != to {
            if self.map.mlocks {
                self.mlock_moved(at, to);
            }
            for (frame, n) in [(from, -1i32), (to, 1)] {
                if let Some(frame) = frame {
                    let head = self.head(frame);
                    let add = |h: Holders| {
                        h.with_ptes(h.ptes().wrapping_add(n as u16) & Holders::MOST_PTES)
                    };
                    self.update::<Holders>(head, add);
                }
            }
        }
    }

    /// Whether a virtual page is locked (VM_LOCKED).
    fn is_locked(&self, at: VPage) -> bool {
        let vma = self.map.vma_of(at);
        let start = self.map.vma_pages[vma.index()].start;
        let state = self.get::<VmaState>(vma);
        state.mapped() && state.any_locked(at.0 - start, 1)
    }

    /// `mlock_vma_folio`: a locked page is mapped. That it is unmapped is put into a batch only
    /// (`munlock_vma_folio`): PG_mlocked stays until [`World::mlock_drain`].
    fn mlock_moved(&mut self, at: VPage, to: Option<Frame>) {
        if let Some(frame) = to.filter(|_| self.is_locked(at)) {
            self.mlock_folio(frame);
        }
    }

    /// `mlock_folio`: not of the zero page, nor of pmem.
    pub fn mlock_folio(&mut self, frame: Frame) {
        if frame != ZERO_PAGE && !self.flags(frame).pmem() && !self.flags(frame).mlocked() {
            self.change_flags(frame, |f| f.with_mlocked(true));
        }
    }

    /// `mlock_drain_local`: PG_mlocked goes where no locked mapping shows the folio any more
    /// (`mlock_count`).
    pub fn mlock_drain(&mut self) {
        if !self.map.mlocks {
            return;
        }
        for frame in (1..self.map.ram).map(Frame) {
            let shows = |at: VPage| {
                let pte = self.get::<Pte>(at);
                pte.present() && pte.frame() == Some(frame) && self.is_locked(at)
            };
            let stale = self.get::<Flags>(frame).mlocked()
                && !(0..self.map.plan.vpages()).map(VPage).any(shows);
            if stale {
                self.change_flags(frame, |f| f.with_mlocked(false));
            }
        }
    }

    /// `folio_add_rmap`: one more page table entry maps the folio.
    #[inline]
    pub fn add_rmap(&mut self, frame: Frame, n: i16) {
        if frame != ZERO_PAGE {
            let head = self.head(frame);
            self.update::<Counts>(head, |c| c.with_maps(c.maps() + n));
        }
    }

    /// Counts one more (or less) page table entry that maps a frame: a reference and the mapcount
    /// (`folio_get` + `folio_add_file_rmap_pte`). The zero page is not counted, and pmem only
    /// where the design counts its mappings. Dropping may free the folio.
    pub fn map_page(&mut self, frame: Frame, n: i16) {
        let pmem = self.get::<Flags>(frame).pmem();
        if frame == ZERO_PAGE || (pmem && !self.rules.mapped_refs) {
            return;
        }
        self.add_rmap(frame, n);
        if n > 0 {
            self.add_refs(frame, i32::from(n));
        } else {
            self.put_refs(frame, -i32::from(n));
        }
    }

    /// What a processor's TLB holds for a virtual page.
    #[inline]
    pub fn tlb(&self, cpu: Cpu, at: VPage) -> Option<Tlb> {
        let entry = self.get::<Tlb>(self.map.tlb_slot(cpu, at));
        (entry.vpage_bits() == at.0 + 1).then_some(entry)
    }

    /// Loads a translation into a processor's TLB.
    pub fn tlb_fill(&mut self, cpu: Cpu, at: VPage, pte: Pte) {
        let generation = pte.frame().map_or(0, |f| self.page(f).generation);
        let entry = Tlb::new()
            .with_generation(generation as u8 % 64)
            .with_vpage_bits(at.0 + 1)
            .with_frame_bits(pte.frame_bits())
            .with_writable(pte.writable())
            .with_dirty(pte.dirty());
        let slot = self.map.tlb_slot(cpu, at);
        self.set(slot, entry);
    }

    /// The frame that an entry of a TLB translates to, with the frame's generation when the entry
    /// was loaded: a stale entry may name a frame that has been freed since.
    pub fn tlb_page(&self, entry: Tlb) -> Option<Page> {
        let now = self.page(Frame::unpack(entry.frame_bits())?);
        let age = now.generation.wrapping_sub(u16::from(entry.generation())) % 64;
        Some(Page { generation: now.generation.wrapping_sub(age), ..now })
    }

    /// Drops a virtual page from a processor's TLB.
    pub fn tlb_drop(&mut self, cpu: Cpu, at: VPage) {
        if self.tlb(cpu, at).is_some() {
            let slot = self.map.tlb_slot(cpu, at);
            self.set(slot, Tlb::new());
        }
    }

    // --- contents -----------------------------------------------------------------------------

    /// What a frame holds.
    #[inline]
    pub fn data(&self, frame: Frame) -> Contents {
        self.get::<Data>(frame).0
    }

    /// A new version of the logical page that a frame holds, written by an operation.
    /// `private` is the logical page if the frame is not a page of a file.
    pub fn fresh(&mut self, frame: Frame, op: OpId, part: Part, private: u32) -> Contents {
        let mut seq = self.patches.max_seq(self.data(frame));
        let origin = match self.logical_page(frame) {
            Some(at) => {
                seq = seq.max(self.patches.max_seq(self.get::<Newest>(at).0));
                self.map.origin_of_file(at)
            }
            None => private,
        };
        let seq = self.next_version(seq);
        let version = Version { origin, seq, author: op, whole: part == WHOLE };
        Contents::of(version)
    }

    /// The page of a file whose contents a frame holds: its cache, or the file's own block.
    pub fn logical_page(&self, frame: Frame) -> Option<FilePage> {
        match self.map.pmem_block(frame) {
            Some(block) => self.block_owner(block),
            None => self.get::<Owner>(frame).file_page(),
        }
    }

    /// Overwrites a part of a frame.
    pub fn fill(&mut self, frame: Frame, part: Part, contents: Contents) {
        let old = self.data(frame);
        let new = self.patches.overlay(old, part, contents);
        self.set(frame, Data(new));
    }

    /// Ghost: a write to a frame has completed as far as its writer is concerned. Where the frame
    /// holds a page of a file and still shows `ours`, that is the file's newest contents.
    pub fn completed(&mut self, frame: Frame, part: Part, ours: impl Fn(Contents) -> bool) {
        let Some(at) = self.logical_page(frame) else { return };
        let (now, newest) = (self.data(frame), self.get::<Newest>(at).0);
        let mut from = part.0;
        let runs: Vec<_> = self.patches.runs(now).collect();
        let mut result = newest;
        for run in runs {
            let to = run.end.min(part.1);
            if to > from {
                if ours(run.holds) {
                    result = self.patches.overlay(result, (from, to), run.holds);
                }
                from = to;
            }
        }
        if result != newest {
            self.set(at, Newest(result));
        }
    }

    /// What `read(2)` gives for a page of a file: the cache if it has it, else the disk.
    pub fn file_contents(&self, at: FilePage) -> Contents {
        match self.cached(at) {
            Some(frame) if self.flags(frame).uptodate() => self.data(frame),
            _ => self.disk_contents(at),
        }
    }

    /// The life of the device that a pmem frame belongs to; live for RAM.
    pub fn pgmap_of(&self, frame: Frame) -> PgmapState {
        match self.map.pmem_block(frame) {
            Some(block) => self.get::<DiskState>(self.map.disk_of(block)).pgmap(),
            None => PgmapState::Live,
        }
    }
}
