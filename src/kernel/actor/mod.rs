//! The actors: what threads, devices and the kernel do, cut into atomic steps.
//!
//! Each agent has a small stack of machines. A [`machine`](step::Machine) is a state machine for
//! one function (or family) of the kernel; a variant of its state holds exactly the data alive
//! there. One step is one lock-protected section or one atomic access. Machines act; what a design
//! does differently they ask the [`Strategy`](crate::kernel::strategy::Strategy).

pub mod chance;
#[cfg(test)]
pub mod device_kit;
pub mod dma;
pub mod errno;
pub mod fault;
pub mod invalidate;
pub mod lease;
pub mod mapping;
pub mod neighbour;
pub mod notifier;
pub mod odp;
pub mod pin;
pub mod program;
pub mod region;
pub mod release;
pub mod routine;
pub mod step;
pub mod sync;

pub use routine::Routine;
pub use step::{Label, Machine, Next, Ret, Step};
