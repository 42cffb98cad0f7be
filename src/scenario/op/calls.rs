//! Arguments of calls that take one of several words: madvise, fcntl(F_ADD_SEALS).

use super::{Name, Place};
use schemars::JsonSchema;

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

/// A seal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Seal {
    /// F_SEAL_SHRINK: the file cannot become smaller.
    Shrink,
    /// F_SEAL_GROW: the file cannot become larger.
    Grow,
    /// F_SEAL_WRITE: nobody can change the contents.
    Write,
    /// F_SEAL_FUTURE_WRITE: nobody new can change the contents.
    FutureWrite,
}

/// `fcntl(F_ADD_SEALS)`.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddSeal {
    /// The file.
    pub file: Name,
    /// The seal.
    pub seal: Seal,
}
