//! Where a pin is counted.

use super::axis::axis;
use crate::kernel::world::pins::PinCount;
use crate::kernel::world::plan::PinCall;

axis! {
    /// Where a pin is counted.
    Pin {
        /// Nowhere: a pin is a plain reference (get_page). Asked whether a page is pinned, the
        /// kernel answers no. The kernel of 2018.
        None = "none",
        /// A counter of its own in struct page (claim 76; the atomic_t of the patches of December
        /// 2018): exact, one more atomic operation per pin and unpin, and four bytes for every page
        /// of the machine, in a structure that must not grow beyond a cache line.
        PageCounter = "page-counter",
        /// The count overlays page->lru (claims 14-20; pin_page_for_dma in the patches of July to
        /// November 2018): the first pin takes the page off its LRU list under the LRU lock, the
        /// last unpin puts it back. A page that is on no list at that moment, because it still sits
        /// in a per-CPU batch or somebody else has isolated it, cannot be pinned (EBUSY, after
        /// lru_add_drain_all has been tried). There is no GUP-fast, and device pages, whose lru
        /// field holds the pgmap, cannot be counted.
        OffLru = "off-lru",
        /// In a structure of 32 bytes reached through page->private (claim 82; struct page_aux of
        /// December 2018), allocated at the first pin, inside the walk that has interrupts off: the
        /// allocation must not sleep and may fail. What the filesystem had in page->private is kept
        /// in the structure until the last unpin; meanwhile the filesystem finds no buffers, and if
        /// it attaches new ones, the structure and with it the count are gone.
        PagePrivate = "page-private",
        /// A counter in struct page, where room was made by moving hmm_data out of it (claims 22,
        /// 75): for pages of devices one more lookup, in the structure at the side.
        SqueezeHmm = "squeeze-hmm",
        /// In a table at the side, keyed by frame (claim 22 turned round): each pin and unpin takes
        /// the table's lock and looks the page up; the first pin allocates the entry, in GUP-fast
        /// without sleeping.
        SideTable = "side-table",
        /// One counter in the address_space, and a bit PageDmaPinned in the page (claims 77-81).
        /// GUP-fast reads page->mapping while truncate may be clearing it, so that a pin may find
        /// no counter and an unpin not the one that the pin was added to. The counter cannot say
        /// which page is pinned: a page counts as pinned while its bit is set and its mapping's
        /// counter is not zero, and whoever finds zero clears the bit. Anonymous pages have no
        /// address_space and are not counted.
        MappingCounter = "mapping-counter",
        /// In the mapcount of file pages (claims 83-85): pinned is what has a mapcount above the
        /// number of page table entries that a walk of the reverse map finds. The walk sees one
        /// mapping after the other and the mapcount is read when it has ended: a munmap in between
        /// lowers the one and not the other. Anonymous pages are not counted.
        Mapcount = "mapcount",
        /// A pin is one more mapping of the page, a fake VMA in the interval tree (claim 74): it is
        /// allocated, and inserted under i_mmap_rwsem, for each page of each GUP call, which
        /// therefore cannot be GUP-fast; to remove it needs the same lock and so a context that can
        /// sleep.
        FakeVma = "fake-vma",
        /// refcount += 1024 for folios of every size (the first version of 5.7): "maybe pinned" is
        /// refcount >= 1024, which 1024 plain references look like, too. One folio can be pinned
        /// 2^21 times; then its refcount is negative and nobody gets a reference any more
        /// (try_get_page).
        RefcountBias = "refcount-bias",
        /// refcount += 1024 for a base page, an exact pincount beside the reference for a larger
        /// folio (try_grab_folio; merged in 5.7, exact for all large folios since 5.18). "Maybe
        /// pinned" is refcount >= 1024 or pincount > 0.
        FolioPincount = "folio-pincount",
    }
}

axis! {
    /// Which reference direct I/O takes on its buffer.
    DioRef {
        /// A plain reference (iov_iter_get_pages; the page cache's direct I/O until 6.4).
        Get = "get",
        /// FOLL_PIN (iov_iter_extract_pages, 6.5).
        Pin = "pin",
    }
}

impl DioRef {
    /// The GUP call with which direct I/O takes its buffer.
    pub fn call(self) -> PinCall {
        match self {
            DioRef::Get => PinCall::GetFast,
            DioRef::Pin => PinCall::PinFast,
        }
    }
}

/// `GUP_PIN_COUNTING_BIAS`
pub const BIAS: i32 = 1024;

/// How the question "is this page pinned?" is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// With one look at the folio's counts.
    Counts,
    /// With the bit of the page and the counter of its mapping, one after the other.
    Mapping,
    /// By a walk of the reverse map that counts page table entries, and the mapcount.
    Walk,
    /// By a search of the interval tree, under `i_mmap_rwsem`.
    Tree,
}

impl Pin {
    /// What a pin of one page of a folio of this order adds (and an unpin takes away).
    pub fn adds(self, order: u8) -> PinCount {
        let plain = PinCount { refs: 1, pins: 0, maps: 0 };
        match (self, order) {
            (Pin::None | Pin::MappingCounter, _) => plain,
            (Pin::RefcountBias, _) | (Pin::FolioPincount, 0) => PinCount { refs: BIAS, ..plain },
            (Pin::Mapcount, _) => PinCount { maps: 1, ..plain },
            (
                Pin::PageCounter
                | Pin::OffLru
                | Pin::PagePrivate
                | Pin::SqueezeHmm
                | Pin::SideTable
                | Pin::FakeVma
                | Pin::FolioPincount,
                _,
            ) => PinCount { pins: 1, ..plain },
        }
    }

    /// Whether pins can be taken by GUP-fast, with interrupts off; else every page of every call
    /// goes through the slow path.
    pub fn fast(self) -> bool {
        !matches!(self, Pin::OffLru | Pin::FakeVma)
    }

    /// Whether GUP-fast counts a pin in more than one step.
    pub fn in_steps(self) -> bool {
        matches!(self, Pin::PagePrivate | Pin::SqueezeHmm | Pin::SideTable | Pin::MappingCounter)
    }

    /// How the question is answered.
    pub fn look(self) -> Look {
        match self {
            Pin::MappingCounter => Look::Mapping,
            Pin::Mapcount => Look::Walk,
            Pin::FakeVma => Look::Tree,
            _ => Look::Counts,
        }
    }

    /// Whether anonymous pages are counted.
    pub fn counts_anon(self) -> bool {
        !matches!(self, Pin::None | Pin::MappingCounter | Pin::Mapcount)
    }

    /// What the design costs before anybody pins anything.
    pub fn standing(self) -> Standing {
        let free = Standing { page_bytes: 0, pinned_bytes: 0, names_holder: false, hooks: &[] };
        match self {
            Pin::None | Pin::OffLru | Pin::Mapcount | Pin::RefcountBias | Pin::FolioPincount => {
                free
            }
            Pin::PageCounter => Standing { page_bytes: 4, ..free },
            Pin::PagePrivate => Standing {
                pinned_bytes: PRIVATE_BYTES,
                hooks: &["every user of page->private goes through the structure"],
                ..free
            },
            Pin::SqueezeHmm => free,
            Pin::SideTable => Standing { pinned_bytes: ENTRY_BYTES, ..free },
            Pin::MappingCounter => Standing {
                hooks: &["truncate and migration tell the counter when page->mapping changes"],
                ..free
            },
            Pin::FakeVma => Standing { pinned_bytes: VMA_BYTES, names_holder: true, ..free },
        }
    }
}

/// `struct page_aux`: pgmap, hmm_data, private, count (kernel-facts 2.2, P-AUX).
pub const PRIVATE_BYTES: u32 = 32;

/// An entry of the side table: frame, count, link.
pub const ENTRY_BYTES: u32 = 24;

/// `sizeof(struct vm_area_struct)` on x86-64, Linux 4.19.
pub const VMA_BYTES: u32 = 200;

/// What a design costs that no run can count, because it is there before the run begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Bytes that it adds to every `struct page` of the machine.
    pub page_bytes: u32,
    /// Bytes that it keeps for each pinned page while that is pinned (of `fake-vma`: for each pin).
    pub pinned_bytes: u32,
    /// Whether somebody who waits for the last pin can be told who holds it: the fake VMA belongs
    /// to someone, a count to nobody (claim 66 asks for it).
    pub names_holder: bool,
    /// What filesystems (or those who clear `page->mapping`) have to be taught for it.
    pub hooks: &'static [&'static str],
}
