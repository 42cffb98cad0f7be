//! The actors: what threads, devices and the kernel do, cut into atomic steps.
//!
//! Each agent has a small stack of machines. A [`machine`](step::Machine) is a state machine for
//! one function (or family) of the kernel; a variant of its state holds exactly the data alive
//! there. One step is one lock-protected section or one atomic access. Machines act; what a design
//! does differently they ask the [`Strategy`](crate::kernel::strategy::Strategy).

pub mod dax_io;
pub mod dax_writeback;
pub mod dio;
pub mod disk;
pub mod drop_caches;
pub mod errno;
pub mod file_io;
#[cfg(test)]
mod file_tests;
pub mod folio;
pub mod invalidate_pages;
pub mod migrate;
pub mod notifier;
pub mod pageout;
pub mod pin;
pub mod program;
pub mod reclaim;
pub mod reflink;
pub mod release;
pub mod rmap;
pub mod routine;
pub mod step;
pub mod sync;
pub mod sync_calls;
#[cfg(test)]
pub mod testkit;
pub mod tlb;
pub mod writeback;
#[cfg(test)]
mod writeback_tests;
pub mod zap;

pub use routine::Routine;
pub use step::{Label, Machine, Next, Ret, Step};
