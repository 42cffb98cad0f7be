//! The actors: what threads, devices and the kernel do, cut into atomic steps.
//!
//! Each agent has a small stack of machines. A [`machine`](step::Machine) is a state machine for
//! one function (or family) of the kernel; a variant of its state holds exactly the data alive
//! there. One step is one lock-protected section or one atomic access. Machines act; what a design
//! does differently they ask the [`Strategy`](crate::kernel::strategy::Strategy).

pub mod bounce;
pub mod busy;
pub mod chance;
pub mod cut;
pub mod dax_io;
pub mod dax_layout;
pub mod dax_writeback;
pub mod dio;
pub mod disk;
pub mod dma;
pub mod drop_caches;
pub mod errno;
pub mod extents;
pub mod fault;
pub mod fault_cow;
pub mod fault_dax;
pub mod fault_file;
pub mod fault_mkwrite;
pub mod file_io;
pub mod fixup;
pub mod folio;
pub mod fork;
pub mod gup_fast;
pub mod gup_slow;
pub mod hoard;
pub mod invalidate;
pub mod invalidate_pages;
pub mod lazyfree;
pub mod lease;
pub mod mapping;
pub mod memory;
pub mod migrate;
pub mod mlock;
pub mod neighbour;
pub mod notifier;
pub mod odp;
pub mod page_mkwrite;
pub mod pageout;
pub mod pin;
pub mod pin_count;
pub mod pinned;
pub mod pinned_io;
pub mod program;
pub mod punch;
pub mod recall;
pub mod reclaim;
pub mod reflink;
pub mod region;
pub mod release;
pub mod remap;
pub mod rmap;
pub mod routine;
pub mod seal;
pub mod splice;
pub mod split;
pub mod step;
pub mod sync;
pub mod sync_calls;
pub mod tlb;
pub mod truncate;
pub mod truncate_pages;
pub mod unbind;
pub mod worker;
pub mod writeback;
pub mod writeback_pinned;
pub mod writeback_wait;
pub mod zap;
pub mod zero_tail;

#[cfg(test)]
mod cut_tests;
#[cfg(test)]
mod dax_tests;
#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod folio_tests;
#[cfg(test)]
mod fork_tests;
#[cfg(test)]
mod gup_fast_tests;
#[cfg(test)]
mod gup_slow_tests;
#[cfg(test)]
mod pin_tests;
#[cfg(test)]
mod pinned_tests;
#[cfg(test)]
mod remap_tests;
#[cfg(test)]
mod seal_tests;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod truncate_tests;
#[cfg(test)]
mod unmap_tests;
#[cfg(test)]
mod writeback_tests;

pub use routine::Routine;
pub use step::{Label, Machine, Next, Ret, Step};
