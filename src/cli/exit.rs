//! Exit codes: one table, documented and stable.

macro_rules! exits {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// How a command ended.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Exit { $($(#[doc = $doc])+ $name = $code,)+ }

        impl Exit {
            /// Every code with what it means, ascending.
            pub const TABLE: &[(Exit, &str)] = &[$((Exit::$name, concat!($($doc, "\n",)+)),)+];
        }
    };
}

exits! {
    /// Nothing was violated (in what was looked at), or the command did what it was asked for.
    Clean = 0,
    /// An invariant was violated, an expectation failed, or a number is not the expected one.
    Violated = 1,
    /// Bad input or usage: nothing was run, or a schedule does not fit the model.
    Usage = 2,
    /// A limit was hit before everything had been looked at, and nothing was violated so far; or
    /// what `replay --find` was to find was in none of the seeds. A limit that a scenario states
    /// itself is part of what `check` holds it to, and does not count.
    Bounded = 3,
    /// Nothing was violated, but the premise of an invariant that was asked for, or that a scenario
    /// expects to hold, never arose.
    Vacuous = 4,
    /// Interrupted, and nothing was violated so far.
    Interrupted = 5,
    /// A bug in gupsim, or output that could not be written.
    Internal = 6,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_a_contract() {
        let codes: Vec<u8> = Exit::TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6]);
    }
}
