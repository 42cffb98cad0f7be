//! The simulator's side: a sequence becomes a plan, is executed operation by operation, and after
//! each one the world is looked at as the recorder of the recordings looked at a kernel.
//!
//! `machine` says what the recorder's machine was like, `compile` makes operations of a
//! sequence into programs of its threads, `drive` runs them one at a time (threads that block
//! stay where they are; the gate decides which transfers go on), `look` is what user space sees,
//! `values` says what a page holds in the words of the language.

pub(super) mod compile;
mod drive;
pub(super) mod look;
mod machine;
pub(super) mod values;

pub use drive::{Simulated, simulate};
pub use machine::kind;
