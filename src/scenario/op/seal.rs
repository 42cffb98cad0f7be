//! Arguments of `fcntl(F_ADD_SEALS)`.

use super::Name;
use schemars::JsonSchema;

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
