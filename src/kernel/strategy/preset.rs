//! Presets: whole designs by name.

use super::*;

/// A named design.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The name on the command line and in JSON.
    pub name: &'static str,
    /// What it stands for, and since when each value holds.
    pub doc: &'static str,
    /// The values.
    pub strategy: Strategy,
}

/// Linux 4.19, from which the other presets differ.
const LINUX_4_19: Strategy = Strategy {
    pin: Pin::None,
    writeback: Writeback::Ignore,
    unpin: Unpin::SetDirtyLock,
    truncate: Truncate::Ignore,
    truncate_dax: Truncate::WaitUnlocked,
    longterm: Longterm::RefuseDax,
    notifier: Notifier::Sync,
    unbind: Unbind::LiveRefNoWait,
    arch: Arch::IpiFlush,
    dio_ref: DioRef::Get,
    reclaim: Reclaim::Strip,
    fork: Fork::Share,
    cow_reuse: CowReuse::Mapcount,
    dax_idle: DaxIdle::RefcountOne,
    dax_orphan: DaxOrphan::Ignore,
    no_buffers: NoBuffers::Bug,
    eof_tail: EofTail::Keep,
    cow_retry: CowRetry::CheckCopy,
    lazyfree: Lazyfree::Dirty,
    remap_flush: RemapFlush::Always,
    without: None,
};

/// The same, with pins counted, and taken by direct I/O as well.
const COUNTED: Strategy = Strategy { pin: Pin::FolioPincount, dio_ref: DioRef::Pin, ..LINUX_4_19 };

/// The kernel of October 2017, which the first mail argues about.
const LINUX_4_14: Strategy = Strategy {
    truncate_dax: Truncate::Ignore,
    longterm: Longterm::Allow,
    remap_flush: RemapFlush::Dirty,
    ..LINUX_4_19
};

/// Linux 5.7: pins are counted; removal of a DAX device waits for pages (5.2).
const LINUX_5_7: Strategy =
    Strategy { pin: Pin::FolioPincount, unbind: Unbind::LiveRef, ..LINUX_4_19 };

/// Linux 6.1.
const LINUX_6_1: Strategy = Strategy {
    unbind: Unbind::LiveRefOnly,
    fork: Fork::CopyPinned,
    cow_reuse: CowReuse::Exclusive,
    no_buffers: NoBuffers::Warn,
    lazyfree: Lazyfree::DirtyOrReferenced,
    ..LINUX_5_7
};

/// Linux 6.12.
const LINUX_6_12: Strategy = Strategy {
    longterm: Longterm::RefuseFile,
    dio_ref: DioRef::Pin,
    reclaim: Reclaim::SkipPinned,
    ..LINUX_6_1
};

/// A proposal of 2018 about where to count: as before, and reclaim asks.
const fn counting(pin: Pin) -> Strategy {
    Strategy { pin, reclaim: Reclaim::SkipPinned, ..COUNTED }
}

impl Preset {
    /// Every preset: kernels, oldest first, then the proposals that are no kernel's.
    pub const ALL: &[Preset] = &[
        Preset {
            name: "linux-4.4",
            doc: "Linux 4.4 (January 2016), as released: Dirty COW is open (closed in 4.9). \
                  GUP-fast knows no dev_pagemap (4.5). This kernel maps DAX files with pte_special \
                  entries, of which GUP takes nothing; here GUP gets their pages all the same, so \
                  that what is said of pins of DAX files (--unbind unguarded, truncate) is what \
                  4.5 would have met without get_dev_pagemap, not what 4.4 met. DAX truncate \
                  waits for nobody. MADV_FREE does not exist yet (4.5). mremap flushes at its end \
                  (up to 4.8).",
            strategy: Strategy {
                truncate_dax: Truncate::Ignore,
                longterm: Longterm::Allow,
                unbind: Unbind::Unguarded,
                cow_retry: CowRetry::DropWrite,
                remap_flush: RemapFlush::Late,
                ..LINUX_4_19
            },
        },
        Preset {
            name: "linux-4.14",
            doc: "Linux 4.14 (November 2017), what the mail of October 2017 argues about: \
                  long-term pins of DAX mappings are allowed (the ban came in 4.15), DAX \
                  truncate does not wait for anybody (layout breaks came in 4.18 and 4.19); a \
                  forced write looks its copy up by FOLL_COW (4.9); a lazily freed page is \
                  discarded unless it is dirty (4.12); mremap flushes dirty entries in time (4.9), \
                  the others late (up to 4.18).",
            strategy: LINUX_4_14,
        },
        Preset {
            name: "linux-4.19",
            doc: "Linux 4.19 (October 2018), the \"today\" of the mails of December 2018: DAX \
                  truncate waits with the fault lock dropped, long-term pins of DAX are refused; \
                  GUP-fast holds a live reference on dev_pagemap (4.5), for which the removal of \
                  the device does not wait (it does from 5.2 on); for the page cache nothing is \
                  done: pins are plain references, nobody asks.",
            strategy: LINUX_4_19,
        },
        Preset {
            name: "linux-5.7",
            doc: "Linux 5.7 (May 2020): FOLL_PIN is counted, +1024 on the refcount of a base page \
                  and exactly on larger ones (5.7), and nobody but the slow-path fork of 5.9 will \
                  ask; removal of a DAX device waits for live references and for pages (5.2); the \
                  rest is that of 4.19. The forced copy for reading GUP calls came in 5.8 and went \
                  in 5.9.",
            strategy: LINUX_5_7,
        },
        Preset {
            name: "linux-6.1",
            doc: "Linux 6.1 (December 2022): fork copies pinned pages (5.9, under \
                  write_protect_seq since 5.11), PageAnonExclusive (5.19), missing buffers only \
                  warn (5.18), reclaim looks at references before it discards a lazily freed page \
                  (5.18), removal of a DAX device no longer waits for pages (5.18). Direct I/O \
                  still takes plain references, reclaim still strips pinned pages, long-term pins \
                  of files other than DAX are allowed.",
            strategy: LINUX_6_1,
        },
        Preset {
            name: "linux-6.12",
            doc: "Linux 6.12 (November 2024): beside 6.1, reclaim skips pinned pages (6.4), \
                  direct I/O pins, writing long-term pins of dirty-tracked files are refused \
                  (6.5). DAX is as before: an idle page has refcount 1, references to unmapped \
                  pages are not waited for, GUP-fast takes a live reference at devmap entries.",
            strategy: LINUX_6_12,
        },
        Preset {
            name: "linux-6.18",
            doc: "Linux 6.18 (November 2025): beside 6.12, mapped DAX pages hold real references \
                  and truncate waits for those of unmapped ones (6.15), devmap PTEs are gone \
                  (6.17), growing an ext4 file zeroes the old tail (6.13).",
            strategy: Strategy {
                unbind: Unbind::MappingRef,
                dax_idle: DaxIdle::MappedRef,
                dax_orphan: DaxOrphan::Wait,
                eof_tail: EofTail::Zero,
                ..LINUX_6_12
            },
        },
        Preset {
            name: "williams-unmap",
            doc: "Dan Williams, February 2021 (claim 99), on the kernel of that month, 5.11 (fork \
                  copies pinned pages, COW re-use goes by the refcount, both 5.9): the driver \
                  tells the filesystem to unmap all DAX files, GUP-fast takes no live reference.",
            strategy: Strategy {
                fork: Fork::CopyPinned,
                cow_reuse: CowReuse::Refcount,
                unbind: Unbind::UnmapRefault,
                ..LINUX_5_7
            },
        },
        Preset {
            name: "glisse-break-drivers",
            doc: "Choice C1 of Jerome Glisse (17 December 2018): Linux 4.19, with every driver \
                  broken that does not abide by page_mkclean and page_mkwrite (claim 8). Pins are \
                  not counted: nobody has to ask.",
            strategy: Strategy { longterm: Longterm::NotifierOnly, ..LINUX_4_19 },
        },
        Preset {
            name: "glisse-bounce",
            doc: "Choice C2 of the same mail: Linux 4.19, with pins counted, direct I/O's too, and \
                  writeback through a bounce page while a page is pinned; the page stays dirty \
                  (claims 9-13). The copy is made under the folio lock; \
                  with --writeback bounce-late by the block layer, as the mail has it.",
            strategy: Strategy { writeback: Writeback::Bounce, ..COUNTED },
        },
        Preset {
            name: "wilcox-off-lru",
            doc: "What Matthew Wilcox, John Hubbard and Dan Williams were looking at (17 December \
                  2018): Linux 4.19, with the first pin taking a page off the LRU and the last one \
                  bringing it back, and no page written while it is pinned (claims 14-20). \
                  Writeback finds pages by their tag and not on the LRU, so that it takes the \
                  rule to skip to keep it away (claim 15).",
            strategy: Strategy { pin: Pin::OffLru, writeback: Writeback::Skip, ..COUNTED },
        },
        Preset {
            name: "kara-skip-bounce",
            doc: "Jan Kara, 9 July 2018 and the patches of 9 February 2023: pins counted, cleaning \
                  skips a pinned page, fsync writes a copy of it, and reclaim leaves its private \
                  data alone (the part that was merged, in 6.4); otherwise Linux 4.19.",
            strategy: Strategy {
                writeback: Writeback::SkipBounce,
                reclaim: Reclaim::SkipPinned,
                ..COUNTED
            },
        },
        Preset {
            name: "hellwig-busy-extents",
            doc: "Christoph Hellwig, 20 October 2017, on linux-4.14: a DAX truncate that meets a \
                  page in use puts its block on the list of busy extents, and the last reference \
                  calls the filesystem to free it (claims 55, 60-64). Taken up again by Jan Kara \
                  (claim 72); not merged.",
            strategy: Strategy { truncate_dax: Truncate::BusyExtents, ..LINUX_4_14 },
        },
        Preset {
            name: "hellwig-wait",
            doc: "Christoph Hellwig, the same day, on linux-4.14: a DAX truncate that meets a page \
                  in use sets a flag that stops new pins and waits for the references to go \
                  (claims 56-58). What was merged a year later waits without a flag.",
            strategy: Strategy { truncate_dax: Truncate::WaitFlag, ..LINUX_4_14 },
        },
        Preset {
            name: "glisse-lease",
            doc: "Jerome Glisse, December 2018, on linux-4.19 (claim 41): long-term pins are \
                  allowed, truncate asks the program that holds the pages and waits; without an \
                  answer the device is pointed at a page of no meaning. That pins are counted is \
                  its premise.",
            strategy: Strategy {
                pin: Pin::FolioPincount,
                truncate: Truncate::Lease,
                truncate_dax: Truncate::Lease,
                longterm: Longterm::Allow,
                ..LINUX_4_19
            },
        },
        Preset {
            name: "hubbard-hybrid",
            doc: "John Hubbard's mail of December 2018 (an idea of Jerome Glisse): pins are \
                  counted in the address_space, with a bit in the page (claims 77-81). As Linux \
                  4.19, except that direct I/O pins and reclaim asks. The mail is about the count \
                  alone; what writeback does with the answer was to be a later step of the series \
                  (\"special handling (especially in writeback paths)\", ea996974589e): add \
                  --writeback skip-bounce or wait.",
            strategy: counting(Pin::MappingCounter),
        },
        Preset {
            name: "glisse-mapcount",
            doc: "Jerome Glisse, December 2018: GUP raises the mapcount, and a page is pinned if \
                  that is more than its page table entries (claims 83-85). As Linux 4.19, except \
                  that direct I/O pins and reclaim asks. The mail proposes a count; with what its \
                  author wanted writeback to do (claims 9-13) it is --writeback bounce.",
            strategy: counting(Pin::Mapcount),
        },
        Preset {
            name: "hubbard-page-private",
            doc: "John Hubbard, 14 December 2018: pins are counted in a structure behind \
                  page->private (claim 82). As Linux 4.19, except that direct I/O pins and reclaim \
                  asks.",
            strategy: counting(Pin::PagePrivate),
        },
    ];

    /// The preset that runs where neither scenario nor command line names one.
    pub const DEFAULT: &'static str = "linux-6.18";

    /// The preset of this name.
    pub fn find(name: &str) -> Option<&'static Preset> {
        Preset::ALL.iter().find(|p| p.name == name)
    }
}
