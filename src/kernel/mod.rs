//! The kernel model: the world, the strategies that decide, the actors that act, the invariants.
//!
//! Arrows run down only: `world` imports nothing of the others; `strategy` and `invariant`
//! import `world`; `actor` imports `world` and `strategy`; `sim` puts them together into a
//! [`Model`](crate::engine::model::Model).

pub mod actor;
pub mod invariant;
pub mod ready;
pub mod sim;
pub mod strategy;
pub mod world;
