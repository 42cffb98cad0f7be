//! Failing runs made simple: schedule and scenario together, as long as the same failure follows.
//!
//! Every step of it is a try: the candidate is compiled and run, and kept only if its run shows
//! the same invariant broken between the same two steps.

use crate::engine::model::Props;
use crate::engine::run::{Limits, Runner};
use crate::engine::shrink;
use crate::judged::Judged;
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::{Preset, Strategy};
use crate::report::run::{lenient, schedule};
use crate::report::signature::{Signature, failures};
use crate::scenario::op::{Do, Step};
use crate::scenario::schedule::Schedule;
use crate::scenario::types::{Expect, Faults, Named, Scenario, Thread, Verdict};
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

/// Random runs that a candidate gets if the old schedule no longer fails on it.
pub const TRIES: u64 = 64;

/// Most steps of such a run.
const STEPS: usize = 2000;

/// A scenario and a run of it that fails.
#[derive(Debug)]
pub struct Failing {
    /// The scenario, compiled.
    pub loaded: Loaded,
    /// Where runs start.
    pub start: Judged,
    /// The run, up to the step that breaks the invariant.
    pub moves: Vec<Move>,
}

impl Failing {
    /// A candidate, if it can be compiled and fails in the same way: by the schedule, leaving out
    /// what cannot be done any more, or else in one of a few random runs.
    pub fn of(candidate: &Scenario, hint: &Schedule, signature: Signature) -> Option<Failing> {
        let bare = Scenario { schedule: Vec::new(), ..candidate.clone() };
        let loaded = load::text("candidate", &write::text(&bare)).ok()?;
        let start = Judged::new(Sim::new(loaded.plan.clone(), loaded.strategy), Vec::new());
        let sim = start.sim();
        let by_hint = lenient(sim, hint, Props::one(signature.invariant));
        let moves = match shows(sim, &by_hint, signature) {
            true => by_hint,
            false => search(&start, signature, 0, TRIES)?,
        };
        let moves = simpler(&start, &moves, signature);
        Some(Failing { loaded, start, moves })
    }
}

/// The first of some random runs that shows a failure, up to the step that does.
pub fn search(start: &Judged, signature: Signature, seed: u64, runs: u64) -> Option<Vec<Move>> {
    let mut runner = Runner::new(start.clone());
    let mut walk = RandomWalk::new(seed);
    let limits = Limits { steps: STEPS, stop_at: Props::NONE };
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
        let candidates = candidates(&best.loaded.scenario);
        let n = candidates.len();
        let order = (0..n).map(|i| (from + i) % n.max(1));
        let better = order.take_while(|_| told(&best)).find_map(|i| {
            let failing = Failing::of(&candidates[i], &hint, signature)?;
            same(&failing.loaded).then_some((i, failing))
        });
        let Some((at, failing)) = better else { return best };
        (best, from) = (failing, at);
    }
}

/// How large a scenario is: threads, operations, pages of files, faults that may happen.
pub fn size(scenario: &Scenario) -> [u64; 4] {
    fn operations(steps: &[Step]) -> u64 {
        let one = |s: &Step| match &s.op {
            Do::Repeat(repeat) => 1 + operations(&repeat.body),
            _ => 1,
        };
        steps.iter().map(one).sum()
    }
    let ops = scenario.threads.values().map(|t| operations(&t.program)).sum();
    let pages = scenario.files.values().map(|f| u64::from(f.capacity.or(f.pages).unwrap_or(1)));
    let faults = scenario.faults.io_errors + scenario.faults.enomem;
    [scenario.threads.len() as u64, ops, pages.sum(), u64::from(faults)]
}

/// Scenarios that are simpler by one thing, those that are simpler by most first.
fn candidates(scenario: &Scenario) -> Vec<Scenario> {
    let mut out = Vec::new();
    let mut with = |change: &Change| {
        let mut changed = scenario.clone();
        change(&mut changed);
        if changed != *scenario {
            out.push(changed);
        }
    };
    with(&|s| s.generate.clear());
    for name in scenario.threads.keys() {
        with(&|s| {
            s.threads.shift_remove(name);
        });
    }
    for (name, thread) in &scenario.threads {
        for program in shorter(&thread.program) {
            with(&|s| s.threads[name].program = program.clone());
        }
        with(&|s| s.threads[name] = plain(thread));
    }
    with(&|s| s.threads.values_mut().for_each(|t| t.program = unlabelled(&t.program)));
    with(&|s| s.faults = Faults::default());
    with(&|s| s.faults.io_errors = s.faults.io_errors.saturating_sub(1));
    with(&|s| s.faults.enomem = s.faults.enomem.saturating_sub(1));
    machines(scenario, &mut with);
    out
}

/// A change of a scenario.
type Change<'a> = dyn Fn(&mut Scenario) + 'a;

/// Takes changes that may make a scenario simpler.
type With<'a> = dyn FnMut(&Change) + 'a;

/// Simpler machines: what is declared left out, sizes smaller, settings at their defaults.
fn machines(scenario: &Scenario, with: &mut With) {
    fn each<T>(of: &Named<T>, with: &mut With, remove: fn(&mut Scenario, &str)) {
        of.keys().for_each(|name| with(&|s| remove(s, name)));
    }
    each(&scenario.devices, with, |s, n| {
        s.devices.shift_remove(n);
    });
    each(&scenario.mappings, with, |s, n| {
        s.mappings.shift_remove(n);
    });
    each(&scenario.files, with, |s, n| {
        s.files.shift_remove(n);
    });
    each(&scenario.mms, with, |s, n| {
        s.mms.shift_remove(n);
    });
    each(&scenario.disks, with, |s, n| {
        s.disks.shift_remove(n);
    });
    each(&scenario.disks, with, |s, n| {
        s.disks[n] = crate::scenario::types::Disk { kind: s.disks[n].kind, ..Default::default() };
    });
    each(&scenario.costs, with, |s, n| {
        s.costs.shift_remove(n);
    });
    let fewer = |n: Option<u32>| n.filter(|&n| n > 2).map(|n| n - 1);
    for name in scenario.files.keys() {
        with(&|s| s.files[name].capacity = fewer(s.files[name].capacity));
        with(&|s| s.files[name].pages = fewer(s.files[name].pages));
        with(&|s| s.files[name].folio_order = s.files[name].folio_order.saturating_sub(1));
        with(&|s| s.files[name].except.clear());
    }
    for name in scenario.mappings.keys() {
        with(&|s| s.mappings[name].pages = fewer(s.mappings[name].pages));
        with(&|s| s.mappings[name].populate = Default::default());
    }
    with(&|s| s.cpus = None);
    with(&|s| s.spare_frames = None);
    with(&|s| s.workers = None);
    with(&|s| s.limits = Default::default());
    with(&|s| (s.look_for, s.source) = (Vec::new(), Vec::new()));
}

/// A thread that is like others but for its program.
fn plain(thread: &Thread) -> Thread {
    Thread { cpu: None, background: false, ..thread.clone() }
}

/// A program without the names by which conditions spoke of its operations.
fn unlabelled(program: &[Step]) -> Vec<Step> {
    let plain = |s: &Step| Step { label: String::new(), op: s.op.clone() };
    program.iter().map(plain).collect()
}

/// Programs that are shorter by one thing: an operation, a repetition, a round of one.
fn shorter(program: &[Step]) -> Vec<Vec<Step>> {
    let mut out = Vec::new();
    for (i, step) in program.iter().enumerate() {
        let mut with = |steps: Vec<Step>| {
            let mut changed = program.to_vec();
            changed.splice(i..=i, steps);
            out.push(changed);
        };
        with(Vec::new());
        let Do::Repeat(repeat) = &step.op else { continue };
        with(repeat.body.clone());
        let again = |times, body| {
            let op = Do::Repeat(crate::scenario::op::Repeat { times, body });
            vec![Step { label: step.label.clone(), op }]
        };
        if let Some(times) = repeat.times.filter(|&t| t > 1) {
            with(again(Some(times - 1), repeat.body.clone()));
        }
        shorter(&repeat.body).into_iter().for_each(|body| with(again(repeat.times, body)));
    }
    out
}
