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
    without: None,
};

impl Preset {
    /// Every preset, oldest kernel first.
    pub const ALL: &[Preset] = &[
        Preset {
            name: "linux-4.14",
            doc: "Linux 4.14 (November 2017), what the mail of October 2017 argues about: \
                  long-term pins of DAX mappings are allowed (the ban came in 4.15), DAX \
                  truncate does not wait for anybody (layout breaks came in 4.18 and 4.19).",
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
            name: "linux-6.18",
            doc: "Linux 6.18 (November 2025): FOLL_PIN counted (5.7), fork copies pinned pages \
                  (5.9), PageAnonExclusive (5.19), missing buffers only warn (5.18), reclaim \
                  skips pinned pages (6.4), direct I/O pins, writing long-term pins of \
                  dirty-tracked files are refused (6.5), mapped DAX pages hold real references \
                  (6.15), devmap PTEs are gone (6.17).",
            strategy: Strategy {
                pin: Pin::FolioPincount,
                longterm: Longterm::RefuseFile,
                unbind: Unbind::MappingRef,
                dio_ref: DioRef::Pin,
                reclaim: Reclaim::SkipPinned,
                fork: Fork::CopyPinned,
                cow_reuse: CowReuse::Exclusive,
                dax_idle: DaxIdle::MappedRef,
                dax_orphan: DaxOrphan::Wait,
                no_buffers: NoBuffers::Warn,
                eof_tail: EofTail::Zero,
                ..LINUX_4_19
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
