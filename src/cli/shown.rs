//! The runs that a search shows.

use super::setting;
use super::strategy::StrategyFlags;
use crate::check::{Found, Line};
use crate::engine::explore::Witness;
use crate::engine::model::Props;
use crate::engine::shrink;
use crate::judged::Judged;
use crate::kernel::invariant::TABLE;
use crate::kernel::sim::{Move, Sim};
use crate::report::data::{Report, Setting};
use crate::report::run::again;
use crate::report::trace::{self, Show};
use crate::scenario::Loaded;
use crate::scenario::expect::Expected;
use crate::scenario::outcome::looked_at;
use crate::simplify;

/// How runs are shown.
#[derive(Clone, Copy, Debug)]
pub struct Showing<'a> {
    /// The scenario, as it was asked for.
    pub scenario: &'a str,
    /// The design, as it was asked for.
    pub strategy: &'a StrategyFlags,
    /// What was searched.
    pub setting: &'a Setting,
    /// What of a run is shown.
    pub what: Show,
}

impl Showing<'_> {
    /// A run described, with the command that repeats it.
    pub fn report(&self, start: &Sim, moves: &[Move]) -> Report {
        let setting = Setting {
            scheduled: moves.len(),
            repeat: setting::replay(self.scenario, self.strategy, start, moves),
            ..self.setting.clone()
        };
        trace::report(start, &again(start, moves), setting, self.what)
    }

    /// A run that ends as the scenario expects some run, or every run, to end; if it expects
    /// several things, one that speaks against a design.
    pub fn expected(&self, loaded: &Loaded, start: &Sim, lines: &[Line]) -> Option<Report> {
        let mut met = lines.iter().filter_map(|line| {
            let Found::Ends { property, witness: Some(moves), .. } = &line.found else {
                return None;
            };
            let expectation = loaded.expectations.get(line.number)?;
            let passes = *property >= TABLE.len() && line.fate.passes();
            passes.then_some((expectation, moves))
        });
        let first = met.clone().find(|(e, _)| e.objection.is_some());
        let (expectation, moves) = first.or_else(|| met.next())?;
        let (Expected::Exists(condition) | Expected::Forall(condition)) = &expectation.what else {
            return None;
        };
        let mut report = self.report(start, moves);
        report.about = Some(trace::about(start, &again(start, moves), |w| {
            let mut cells = Vec::new();
            looked_at(w, condition, &mut cells);
            cells
        }));
        Some(report)
    }
}

/// A witness to show: the shortest as it is; one that only happened to be seen, made shorter.
pub fn shorter(start: &Judged, witness: &Witness<Move>) -> Vec<Move> {
    let (moves, wanted) = (&witness.moves, Props::one(witness.property));
    match witness.shortest || moves.len() > simplify::SHRINKABLE {
        true => moves.clone(),
        false => shrink::shrink(start, moves, wanted, |_| true),
    }
}
