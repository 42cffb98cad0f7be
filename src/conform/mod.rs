//! Held against real kernels: sequences of operations, what a kernel did after each of them, and
//! what the simulator does.
//!
//! `tests/data/kernel-truth/README.md` is the specification of both formats. [`read`] reads the
//! language of sequences, [`expr`] its rules, [`record`] the recordings; [`belongs`] says whether
//! one is of the other, [`gaps`] which of them have no counterpart. What can be observed comes from
//! a [`source`]: a recording, the simulator ([`sim`]), and one day a kernel that runs; [`compare`]
//! says what of two observations has to agree, whoever made them. None of the three knows the
//! others.

pub mod belongs;
pub mod bundled;
pub mod compare;
pub mod env;
pub mod export;
pub mod expr;
pub mod gaps;
pub mod observation;
pub mod random;
pub mod read;
pub mod record;
pub mod report;
pub mod rules;
pub mod sequence;
pub mod sim;
pub mod source;
pub mod table;
mod words;
pub mod write;
