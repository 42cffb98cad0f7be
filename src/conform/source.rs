//! Where observations come from.
//!
//! A [`Source`] runs sequences, or has seen them run, and says what could be observed after each
//! operation. A recording is one, the simulator another; a kernel that runs is one more. The
//! comparison takes two of them and knows neither.

use super::compare::{Remark, View};
use super::observation::Run;
use super::record::Recording;
use super::sequence::{Sequence, Suite};
use super::sim;
use crate::kernel::strategy::Strategy;
use std::borrow::Cow;

/// A run of a sequence that a source offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The sequence.
    pub seq: String,
    /// The file system.
    pub fs: String,
    /// Which one, if there are several runs of the same sequence on the same file system.
    pub nth: usize,
}

/// What a source saw of one run.
#[derive(Clone, Debug, Default)]
pub struct Observed<'a> {
    /// What could be observed after each operation, and in the end.
    pub run: Cow<'a, Run>,
    /// For each step what the source itself says about how far it can be compared; nothing is
    /// said of steps that are not there.
    pub remarks: Vec<Remark>,
    /// What it did for each step, and by whom; empty if it cannot tell.
    pub trace: Vec<Vec<(String, &'static str)>>,
}

/// Why a source has no observations of a sequence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lacks {
    /// The step of the sequence that it cannot make; 0 before the first.
    pub step: usize,
    /// What is missing.
    pub what: String,
}

/// Something whose behaviour can be observed operation by operation.
pub trait Source {
    /// Version of the kernel that is observed, or imitated: its first two numbers. None if it is
    /// not of any one kernel.
    fn kernel(&self) -> Option<(i64, i64)>;

    /// The runs of a suite's sequences that it can show, in its own order.
    fn offers(&self, suite: &Suite) -> Vec<Offer>;

    /// Runs a sequence, or looks up what happened when it ran.
    ///
    /// # Errors
    /// If it has no such run, or cannot make it.
    fn observe(&self, sequence: &Sequence, offer: &Offer) -> Result<Observed<'_>, Lacks>;

    /// What can be seen on one of its file systems.
    fn view<'a>(&self, fs: &'a str) -> View<'a> {
        View { fs, kernel: self.kernel().unwrap_or((i64::MAX, 0)) }
    }
}

impl Source for Recording {
    fn kernel(&self) -> Option<(i64, i64)> {
        Some(self.version())
    }

    fn offers(&self, suite: &Suite) -> Vec<Offer> {
        let mut found: Vec<Offer> = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            if suite.sequence(&run.seq).is_none() {
                continue;
            }
            let before = found.iter().filter(|o| o.seq == run.seq && o.fs == run.fs);
            let nth = before.count();
            found.push(Offer { seq: run.seq.clone(), fs: run.fs.clone(), nth });
        }
        found
    }

    fn observe(&self, sequence: &Sequence, offer: &Offer) -> Result<Observed<'_>, Lacks> {
        let mut of = self.runs.iter().filter(|r| r.seq == sequence.name && r.fs == offer.fs);
        let run = of.nth(offer.nth).ok_or_else(|| Lacks {
            step: 0,
            what: format!("no recorded run of {} on {}", sequence.name, offer.fs),
        })?;
        Ok(Observed { run: Cow::Borrowed(run), ..Observed::default() })
    }
}

/// The simulator under a design.
#[derive(Clone, Copy, Debug)]
pub struct Simulator {
    /// The design.
    pub strategy: Strategy,
}

impl Source for Simulator {
    fn kernel(&self) -> Option<(i64, i64)> {
        None
    }

    fn offers(&self, suite: &Suite) -> Vec<Offer> {
        let of = |s: &Sequence| {
            let on = sim::FILE_SYSTEMS.iter().filter(|fs| s.runs_on(fs));
            let seq = s.name.clone();
            on.map(move |fs| Offer { seq: seq.clone(), fs: fs.to_string(), nth: 0 })
                .collect::<Vec<_>>()
        };
        suite.sequences.iter().flat_map(of).collect()
    }

    fn observe(&self, sequence: &Sequence, offer: &Offer) -> Result<Observed<'_>, Lacks> {
        let made = sim::simulate(sequence, &offer.fs, self.strategy)?;
        let (remarks, trace) = (made.remarks, made.trace);
        Ok(Observed { run: Cow::Owned(made.run), remarks, trace })
    }
}
