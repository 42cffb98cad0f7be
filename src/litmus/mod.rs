//! Small systems whose exact counts are known, as ordinary [`Model`](crate::engine::model::Model)s:
//! what the engine is held against before anybody believes what it says about the kernel.

pub mod guarded;
pub mod increment;
pub mod pin_protocol;
pub mod program;
pub mod selftest;
pub mod stats;
