//! The world: every object of the machine as plain data behind one write path.
//!
//! [`ids`] number the objects, [`cell`] says what a cell of state is, [`objects`] and its
//! siblings define one cell type per *facet* of an object (a page's counts and its flags are
//! separate cells, so that a refcount bump commutes with a dirty bit), [`door`] holds the cells
//! and is the only door for writes, [`plan`] is the immutable description of a machine and its
//! programs, [`page`] and [`storage`] are the primitive operations that actors are made of.

pub mod cell;
pub mod contents;
pub mod costs;
pub mod device;
pub mod disk;
pub mod door;
pub mod facts;
pub mod file;
pub mod ids;
pub mod layout;
pub mod machine;
mod names;
pub mod need;
mod numbering;
pub mod objects;
pub mod op;
pub mod page;
pub mod pins;
pub mod plan;
pub mod price;
pub mod setup;
pub mod storage;
pub mod view;
mod vma;
mod words;

pub use cell::{Facet, Kind};
pub use contents::{Contents, Version};
pub use door::World;
pub use ids::*;
