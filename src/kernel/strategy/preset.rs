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
    without: None,
};

/// Linux 5.7: pins are counted; removal of a DAX device waits for pages (5.3).
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

impl Preset {
    /// Every preset, oldest kernel first, then the proposals that are no kernel's.
    pub const ALL: &[Preset] = &[
        Preset {
            name: "linux-4.4",
            doc: "Linux 4.4 (January 2016), as released: Dirty COW is open (closed in 4.9). \
                  GUP-fast knows no dev_pagemap (4.5): what removal of a DAX device then meets is \
                  shown by unguarded, though this kernel maps DAX files with pte_special entries \
                  only, so that no GUP call gets a page of one. DAX truncate waits for nobody. \
                  MADV_FREE does not exist yet (4.5).",
            strategy: Strategy {
                truncate_dax: Truncate::Ignore,
                longterm: Longterm::Allow,
                unbind: Unbind::Unguarded,
                cow_retry: CowRetry::DropWrite,
                ..LINUX_4_19
            },
        },
        Preset {
            name: "linux-4.14",
            doc: "Linux 4.14 (November 2017), what the mail of October 2017 argues about: \
                  long-term pins of DAX mappings are allowed (the ban came in 4.15), DAX \
                  truncate does not wait for anybody (layout breaks came in 4.18 and 4.19); a \
                  forced write looks its copy up by FOLL_COW (4.9); a lazily freed page is \
                  discarded unless it is dirty (4.12).",
            strategy: Strategy {
                truncate_dax: Truncate::Ignore,
                longterm: Longterm::Allow,
                ..LINUX_4_19
            },
        },
        Preset {
            name: "linux-4.19",
            doc: "Linux 4.19 (October 2018), the \"today\" of the mails of December 2018: DAX \
                  truncate waits with the fault lock dropped, long-term pins of DAX are refused; \
                  GUP-fast holds a live reference on dev_pagemap (4.5), for which the removal of \
                  the device does not wait (it does from 5.3 on); for the page cache nothing is \
                  done: pins are plain references, nobody asks.",
            strategy: LINUX_4_19,
        },
        Preset {
            name: "linux-5.7",
            doc: "Linux 5.7 (May 2020): FOLL_PIN is counted, +1024 on the refcount of a base page \
                  and exactly on larger ones (5.7), and nobody but the slow-path fork of 5.9 will \
                  ask; removal of a DAX device waits for live references and for pages (5.3); the \
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
    ];

    /// The preset that runs where neither scenario nor command line names one.
    pub const DEFAULT: &'static str = "linux-6.18";

    /// The preset of this name.
    pub fn find(name: &str) -> Option<&'static Preset> {
        Preset::ALL.iter().find(|p| p.name == name)
    }
}
