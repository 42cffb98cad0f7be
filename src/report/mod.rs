//! Reports: what happened in a run, as data and as words.
//!
//! A run is a list of moves ([`run`]). Everything that is shown of it is derived again by playing
//! the moves on a fresh machine ([`trace`]), so that the runs themselves log nothing. The result
//! is a [`data::Report`]; each output format is one file that writes it.

pub mod agents;
pub mod brief;
pub mod checks;
pub mod columns;
pub mod comparison;
mod comparison_matrix;
pub mod comparison_text;
pub mod comparison_words;
pub mod data;
pub mod finding;
pub mod format;
pub mod history;
pub mod hunted;
pub mod json;
pub mod jsonl;
pub mod junit;
pub mod mail;
pub mod names;
pub mod paint;
pub mod player;
pub mod run;
pub mod runs;
pub mod sarif;
pub mod shell;
pub mod shrunk;
pub mod signature;
pub mod text;
pub mod trace;
pub mod verdicts;
pub mod words;

pub use format::Format;
