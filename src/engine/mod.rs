//! The engine: everything that walks a [`Model`](model::Model) and knows nothing of pages.

pub mod model;
