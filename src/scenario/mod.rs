//! Scenarios: the JSON format, its diagnostics, and its compilation to a plan.
//!
//! A text passes four stages: [`outline`] (is it JSON, within limits, without duplicate keys, and
//! where does each value stand), serde ([`typed`], [`types`], [`op`]), [`mod@compile`] (names,
//! defaults, templates, sense), and [`expect`]. Every stage reports with file, line, column, JSON
//! path, excerpt and cure ([`problem`]); nothing in here panics on any input or exceeds [`limits`].

pub mod bundled;
pub mod compile;
pub mod condition;
pub mod expect;
pub mod limits;
pub mod load;
pub mod op;
pub mod outcome;
pub mod outline;
pub mod path;
pub mod problem;
pub mod schedule;
pub mod schema;
pub mod strategy;
pub mod suggest;
pub mod typed;
pub mod types;
pub mod write;

pub use bundled::{bundled, is_readable, open};
pub use load::Loaded;
pub use problem::Problems;
pub use schema::schema;
