//! The engine: everything that walks a [`Model`](model::Model) and knows nothing of pages.

pub mod blame;
pub mod explore;
pub mod hash;
pub mod model;
pub mod reduce;
pub mod run;
pub mod shrink;
