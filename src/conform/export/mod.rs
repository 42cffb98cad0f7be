//! Sequences as scenarios, and scenarios as sequences.
//!
//! [`forward`] writes a sequence as a scenario that anybody could have written, with the run that
//! was held against the kernel as its schedule where the program alone does not say it; `shadow`
//! plays that run, and looks after each line whether the same is seen; `names` finds the words, and
//! `expect` says what a recording saw as what is expected.
//! [`backward`] writes what a scenario does as a sequence, if the language can say it: `order`
//! finds out what comes first and what is blocked or held, `lines` finds the words. A kernel can
//! then be asked.

pub mod backward;
pub mod expect;
pub mod forward;
mod lines;
mod names;
mod order;
mod shadow;

/// Why something cannot be said in the other language.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsaid {
    /// What: an operation with its place.
    pub what: String,
    /// Why not.
    pub why: String,
}

impl Unsaid {
    fn new(what: impl Into<String>, why: impl Into<String>) -> Unsaid {
        Unsaid { what: what.into(), why: why.into() }
    }
}

impl std::fmt::Display for Unsaid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}
