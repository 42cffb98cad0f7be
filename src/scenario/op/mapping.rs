//! Arguments of operations on mappings.

use super::{Name, Place};
use crate::scenario::types::section;
use schemars::JsonSchema;

section! {
    /// `mremap` of a whole mapping to the place of another, which shows the same pages
    /// (MREMAP_MAYMOVE, MREMAP_FIXED). What is mapped there goes.
    Mremap {
        /// The mapping.
        from: Name,
        /// The one whose place it takes; usually declared with `"mapped": false`.
        to: Name,
        /// MREMAP_DONTUNMAP: the old mapping stays, empty.
        dontunmap: bool,
    }
}

section! {
    /// `mprotect`.
    Mprotect {
        /// The mapping.
        mapping: Name,
        /// PROT_READ
        read: bool,
        /// PROT_WRITE
        write: bool,
    }
}

/// `madvise` advice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// MADV_DONTNEED: zaps the range.
    Dontneed,
    /// MADV_PAGEOUT: reclaims the range now.
    Pageout,
    /// MADV_FREE: lazily frees anonymous pages.
    Free,
    /// MADV_COLD: makes the range the next to be reclaimed.
    Cold,
    /// MADV_REMOVE: punches a hole into the file that is mapped there.
    Remove,
    /// MADV_POPULATE_READ: faults in for reading.
    PopulateRead,
    /// MADV_POPULATE_WRITE: faults in for writing.
    PopulateWrite,
}

/// `madvise`.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Madvise {
    /// Mapped pages.
    pub at: Place,
    /// The advice.
    pub advice: Advice,
}
