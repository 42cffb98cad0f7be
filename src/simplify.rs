//! Failing runs made simple: schedule and scenario together, as long as the same failure follows.
//!
//! Every step of it is a try: the candidate is compiled and run, and kept only if its run shows
//! the same invariant broken between the same two steps. What is tried of the scenario is one list,
//! [`reduce::REDUCTIONS`].

mod pages;
pub mod reduce;

use crate::engine::model::Props;
use crate::engine::run::{Limits, Runner};
use crate::engine::shrink;
use crate::judged::Judged;
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::{Preset, Strategy};
use crate::report::run::{Choose, lenient, record, schedule};
use crate::report::signature::{Signature, failures};
use crate::scenario::schedule::Schedule;
use crate::scenario::types::{Expect, Scenario, Verdict};
use crate::scenario::{Loaded, load, write};
use crate::schedule::random::RandomWalk;

/// Longest run that is made shorter move by move: each try plays it again.
pub const SHRINKABLE: usize = 1000;

/// Whether a run shows a failure.
pub fn shows(start: &Sim, moves: &[Move], signature: Signature) -> bool {
    failures(start, moves).iter().any(|f| f.signature == signature)
}

/// The simplest run found that shows the same failure.
pub fn simpler(start: &Judged, moves: &[Move], signature: Signature) -> Vec<Move> {
    if moves.len() > SHRINKABLE {
        return moves.to_vec();
    }
    let wanted = Props::one(signature.invariant);
    shrink::shrink(start, moves, wanted, |run| shows(start.sim(), run, signature))
}

/// A scenario that is a failing run: under its strategy, with its schedule, and with nothing
/// else expected.
pub fn scenario(
    scenario: &Scenario,
    start: &Sim,
    moves: &[Move],
    signature: Signature,
) -> Scenario {
    let name = scenario.preset.as_deref().unwrap_or(Preset::DEFAULT);
    let base = Preset::find(name).map_or(start.strategy, |p| p.strategy);
    let differs = Strategy::AXES.iter().filter_map(|axis| {
        let value = start.strategy.get(axis.flag)?;
        (base.get(axis.flag) != Some(value)).then(|| (axis.flag.to_string(), value.to_string()))
    });
    Scenario {
        // The path of the schema was relative to where the scenario stood.
        schema: String::new(),
        claims: Vec::new(),
        strategy: differs.collect(),
        schedule: schedule(start, moves).0,
        expect: vec![Expect {
            invariant: Some(signature.invariant().to_string()),
            verdict: Some(Verdict::Sometimes),
            because: signature.steps(),
            ..Expect::default()
        }],
        ..scenario.clone()
    }
}

/// Steps that an agent of a candidate may need more to where the old schedule has it go on.
const AHEAD: usize = 8;

/// Random runs that a candidate gets if the old schedule no longer fails on it.
pub const TRIES: u64 = 256;

/// Most steps of such a run.
const STEPS: usize = 2000;

/// The same for each step of a schedule that is there already.
const STEPS_EACH: usize = 8;

/// A scenario and a run of it that fails.
#[derive(Debug)]
pub struct Failing {
    /// The scenario, compiled.
    pub loaded: Loaded,
    /// Where runs start.
    pub start: Judged,
    /// The run, up to the step that breaks the invariant.
    pub moves: Vec<Move>,
    /// Whether it is the timed run, and too long for anything but the timed run of a candidate.
    pub timed: bool,
}

impl Failing {
    /// A candidate, if it can be compiled and fails in the same way: by the schedule, leaving out
    /// what cannot be done any more and doing what has become necessary, or else in one of a few
    /// random runs.
    pub fn of(candidate: &Scenario, hint: &Schedule, signature: Signature) -> Option<Failing> {
        let (loaded, start) = ready(candidate)?;
        let sim = start.sim();
        let wanted = Props::one(signature.invariant);
        let by_hint =
            |ahead| Some(lenient(sim, hint, wanted, ahead)).filter(|m| shows(sim, m, signature));
        let steps = STEPS.min(STEPS_EACH * (hint.0.len() + STEPS_EACH));
        let by_luck = || search_within(&start, signature, TRIES, steps);
        let moves = by_hint(0).or_else(|| by_hint(AHEAD)).or_else(by_luck)?;
        let moves = simpler(&start, &moves, signature);
        Some(Failing { loaded, start, moves, timed: false })
    }

    /// A candidate, if it can be compiled and its timed run fails in the same way within so many
    /// steps.
    pub fn on_the_clock(
        candidate: &Scenario,
        steps: usize,
        signature: Signature,
    ) -> Option<Failing> {
        let (loaded, start) = ready(candidate)?;
        let choose = Choose { timed: true, steps, ..Choose::default() };
        let mut moves = record(start.sim(), &choose).0.moves;
        let found = failures(start.sim(), &moves);
        moves.truncate(found.iter().find(|f| f.signature == signature)?.steps);
        let timed = moves.len() > SHRINKABLE;
        let moves = simpler(&start, &moves, signature);
        Some(Failing { loaded, start, moves, timed })
    }
}

/// A candidate without its schedule, if it can be compiled.
fn ready(candidate: &Scenario) -> Option<(Loaded, Judged)> {
    let bare = Scenario { schedule: Vec::new(), ..candidate.clone() };
    let loaded = load::text("candidate", &write::text(&bare)).ok()?;
    let start = Judged::new(Sim::new(loaded.plan.clone(), loaded.strategy), Vec::new());
    Some((loaded, start))
}

/// The first of some random runs that shows a failure, up to the step that does.
pub fn search(start: &Judged, signature: Signature, runs: u64) -> Option<Vec<Move>> {
    search_within(start, signature, runs, STEPS)
}

/// The same for runs of at most so many steps.
fn search_within(
    start: &Judged,
    signature: Signature,
    runs: u64,
    steps: usize,
) -> Option<Vec<Move>> {
    let mut runner = Runner::new(start.clone());
    let mut walk = RandomWalk::new(0);
    let limits = Limits { steps, stop_at: Props::NONE };
    (0..runs).find_map(|run| {
        let outcome = runner.run(&mut walk, run, limits, |_, _, _| ())?;
        if !outcome.broken.has(signature.invariant) {
            return None;
        }
        let found = failures(start.sim(), runner.schedule());
        let same = found.iter().find(|f| f.signature == signature)?;
        Some(runner.schedule()[..same.steps].to_vec())
    })
}

/// The simplest scenario found, with its simplest run, that fails in the same way. Before each try
/// `told` hears of the simplest so far, and says whether to go on.
pub fn simplify(
    first: Failing,
    signature: Signature,
    told: impl FnMut(&Failing) -> bool,
) -> Failing {
    simplify_while(first, signature, |_| true, told)
}

/// The same among scenarios of a kind.
pub fn simplify_while(
    first: Failing,
    signature: Signature,
    same: impl Fn(&Loaded) -> bool,
    mut told: impl FnMut(&Failing) -> bool,
) -> Failing {
    let mut best = first;
    best.moves = simpler(&best.start, &best.moves, signature);
    let mut from = 0;
    loop {
        // What was tried in vain is tried again only after everything else: most of it will
        // fail again.
        let hint = schedule(best.start.sim(), &best.moves);
        let candidates = reduce::candidates(&best.loaded.scenario);
        let n = candidates.len();
        let order = (0..n).map(|i| (from + i) % n.max(1));
        let better = order.take_while(|_| told(&best)).find_map(|i| {
            let failing = match best.timed {
                true => Failing::on_the_clock(&candidates[i], hint.0.len(), signature)?,
                false => Failing::of(&candidates[i], &hint, signature)?,
            };
            same(&failing.loaded).then_some((i, failing))
        });
        let Some((at, failing)) = better else { return best };
        (best, from) = (failing, at);
    }
}
