//! The actors: what threads, devices and the kernel do, cut into atomic steps.
//!
//! Each agent has a small stack of machines. A [`machine`](step::Machine) is a state machine for
//! one function (or family) of the kernel; a variant of its state holds exactly the data alive
//! there. One step is one lock-protected section or one atomic access. Machines act; what a design
//! does differently they ask the [`Strategy`](crate::kernel::strategy::Strategy).

pub mod dax_layout;
pub mod errno;
pub mod extents;
pub mod fault;
pub mod invalidate;
pub mod mapping;
pub mod notifier;
pub mod program;
pub mod punch;
pub mod routine;
pub mod step;
pub mod sync;
pub mod tlb;
pub mod truncate;
pub mod truncate_pages;
pub mod unbind;
pub mod writeback;
pub mod zap;
pub mod zero_tail;

#[cfg(test)]
mod dax_tests;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod truncate_tests;
#[cfg(test)]
mod unmap_tests;

pub use routine::Routine;
pub use step::{Label, Machine, Next, Ret, Step};
