//! The actors: what threads, devices and the kernel do, cut into atomic steps.
//!
//! Each agent has a small stack of machines. A [`machine`](step::Machine) is a state machine for
//! one function (or family) of the kernel; a variant of its state holds exactly the data alive
//! there. One step is one lock-protected section or one atomic access. Machines act; what a design
//! does differently they ask the [`Strategy`](crate::kernel::strategy::Strategy).

pub mod disk;
pub mod errno;
pub mod fault;
pub mod fault_cow;
pub mod fault_dax;
pub mod fault_file;
pub mod fault_mkwrite;
pub mod fork;
pub mod gup_fast;
pub mod gup_slow;
pub mod memory;
pub mod notifier;
pub mod pin;
pub mod program;
pub mod release;
pub mod routine;
pub mod step;
pub mod sync;
#[cfg(test)]
mod testkit;
pub mod tlb;
pub mod worker;
pub mod zap;

pub use routine::Routine;
pub use step::{Label, Machine, Next, Ret, Step};
