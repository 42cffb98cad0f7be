//! gupsim: the 2017-2021 argument about `get_user_pages()` pins, writeback, truncate, MMU
//! notifiers and DAX unbind, made executable.

pub mod check;
pub mod cli;
pub mod compare;
pub mod conform;
pub mod engine;
pub mod fuzz;
pub mod generate;
pub mod jobs;
pub mod judged;
pub mod kernel;
pub mod litmus;
pub mod measure;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod simplify;
pub mod starve;
