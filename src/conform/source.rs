//! Where observations come from.
//!
//! A [`Source`] runs sequences, or has seen them run, and says what could be observed after each
//! operation. A recording is one, the simulator another; a kernel that runs is one more. The
//! comparison takes two of them and knows neither.

use super::compare::{Remark, View};
use super::observation::Run;
use super::record::Recording;
use super::sequence::{FILE_SYSTEMS, Sequence, Suite};
use super::sim::{self, Simulated};
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

/// The steps that were made for each operation: by whom, and what.
pub type Trace = Vec<Vec<(String, &'static str)>>;

/// What a source saw of one run.
#[derive(Clone, Debug, Default)]
pub struct Observed<'a> {
    /// What could be observed after each operation, and in the end.
    pub run: Cow<'a, Run>,
    /// For each step what the source itself says about how far it can be compared; nothing is
    /// said of steps that are not there.
    pub remarks: Vec<Remark>,
    /// What it did for each step, and by whom; empty if it cannot tell.
    pub trace: Trace,
    /// A race could have ended otherwise: what would have been seen then.
    pub other: Option<Box<Observed<'a>>>,
}

impl<'a> Observed<'a> {
    /// All that may be seen: this, and how else a race could end.
    pub fn possible(&self) -> impl Iterator<Item = &Observed<'a>> {
        std::iter::successors(Some(self), |seen| seen.other.as_deref())
    }
}

impl From<Simulated> for Observed<'static> {
    fn from(made: Simulated) -> Observed<'static> {
        let Simulated { run, remarks, trace, other, .. } = made;
        let other = other.map(|other| Box::new(Observed::from(*other)));
        Observed { run: Cow::Owned(run), remarks, trace, other }
    }
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
    /// The runs of a suite's sequences that it can show, in its own order.
    fn offers(&self, suite: &Suite) -> Vec<Offer>;

    /// Runs a sequence, or looks up what happened when it ran. Who runs it arranges for what
    /// `view` says of the machine that it is held against.
    ///
    /// # Errors
    /// If it has no such run, or cannot make it.
    fn observe(
        &self,
        sequence: &Sequence,
        offer: &Offer,
        view: View,
    ) -> Result<Observed<'_>, Lacks>;

    /// What can be seen of a run that it offers.
    fn view<'a>(&self, offer: &'a Offer) -> View<'a>;
}

impl Source for Recording {
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

    fn observe(&self, sequence: &Sequence, offer: &Offer, _: View) -> Result<Observed<'_>, Lacks> {
        let mut of = self.runs.iter().filter(|r| r.seq == sequence.name && r.fs == offer.fs);
        let run = of.nth(offer.nth).ok_or_else(|| Lacks {
            step: 0,
            what: format!("no recorded run of {} on {}", sequence.name, offer.fs),
        })?;
        Ok(Observed { run: Cow::Borrowed(run), ..Observed::default() })
    }

    /// The runs of a file system were made one after the other on the same device. Which blocks a
    /// new file gets is the allocator's business, which is not simulated; what can be seen of it
    /// is PG_dirty of a pmem page (x03, x15): xfs gives out again what has been freed, ext4 does
    /// not.
    fn view<'a>(&self, offer: &'a Offer) -> View<'a> {
        let first = self.runs.iter().find(|run| run.fs == offer.fs);
        let begins = offer.nth == 0 && first.is_none_or(|first| first.seq == offer.seq);
        let used = offer.fs == "daxx" && !begins;
        View { kernel: self.version(), used, ..View::of(&offer.fs) }
    }
}

/// The simulator under a design.
#[derive(Clone, Copy, Debug)]
pub struct Simulator {
    /// The design.
    pub strategy: Strategy,
}

impl Source for Simulator {
    fn offers(&self, suite: &Suite) -> Vec<Offer> {
        let of = |s: &Sequence| {
            let on = FILE_SYSTEMS.iter().filter(|fs| s.runs_on(fs));
            let seq = s.name.clone();
            on.map(move |fs| Offer { seq: seq.clone(), fs: fs.to_string(), nth: 0 })
                .collect::<Vec<_>>()
        };
        suite.sequences.iter().flat_map(of).collect()
    }

    fn observe(&self, sequence: &Sequence, _: &Offer, view: View) -> Result<Observed<'_>, Lacks> {
        Ok(sim::simulate(sequence, view, self.strategy)?.into())
    }

    fn view<'a>(&self, offer: &'a Offer) -> View<'a> {
        View::of(&offer.fs)
    }
}
