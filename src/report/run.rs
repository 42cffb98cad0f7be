//! A recorded run: the moves that were made, and when.

use super::agents;
use crate::engine::model::{Ending, Model, Props};
use crate::engine::run::Scheduler;
use crate::kernel::invariant;
use crate::kernel::sim::{Move, Sim};
use crate::scenario::schedule::{Choice, Schedule};
use crate::schedule::random::RandomWalk;
use crate::schedule::timed::{EventQueue, Pace};

/// A run as a plain value: from the same start the same moves give the same states.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The moves, in order.
    pub moves: Vec<Move>,
    /// When each move was made, in simulated nanoseconds; empty if the run was untimed.
    pub times_ns: Vec<u64>,
    /// Invariants broken on the way.
    pub broken: Props,
    /// Invariants whose premise arose.
    pub reached: Props,
    /// How it ended; none if a limit cut it short.
    pub ending: Option<Ending>,
}

/// How the moves of a run are chosen.
#[derive(Clone, Debug, Default)]
pub struct Choose<'a> {
    /// The first moves, if they are given.
    pub schedule: Option<&'a Schedule>,
    /// The seed of all further moves.
    pub seed: u64,
    /// Whether moves happen when they are due on a virtual clock, rather than in any order.
    pub timed: bool,
    /// Most moves.
    pub steps: usize,
    /// Whether the user has had enough; the run then ends where it is.
    pub over: Option<fn() -> bool>,
}

/// Where a schedule stops fitting the model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// Number of the step, from 1.
    pub step: usize,
    /// The choice that cannot be made there.
    pub expected: Choice,
    /// Why it cannot be made.
    pub why: String,
    /// The choices that can.
    pub enabled: Vec<Choice>,
}

/// Most enabled choices that a divergence names.
const NAMED: usize = 8;

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Divergence { step, expected, why, enabled } = self;
        write!(f, "the schedule no longer fits at step {step}: it says '{expected}', but {why}")?;
        if enabled.is_empty() {
            return write!(f, "; the run has ended there");
        }
        let named: Vec<String> = enabled.iter().take(NAMED).map(Choice::to_string).collect();
        write!(f, "; possible there: {}", named.join(", "))?;
        if enabled.len() > NAMED {
            write!(f, " and {} more", enabled.len() - NAMED)?;
        }
        Ok(())
    }
}

impl std::error::Error for Divergence {}

/// Makes a run from a start state. The second part says where the schedule stopped fitting; the
/// run then ends before that step.
pub fn record(start: &Sim, choose: &Choose) -> (Run, Option<Divergence>) {
    let mut sim = start.clone();
    let mut run = Run::default();
    let choices = choose.schedule.map_or(&[][..], |s| s.0.as_slice());
    let goes_on =
        |run: &Run| run.moves.len() < choose.steps && !choose.over.is_some_and(|over| over());
    for choice in choices.iter().take(choose.steps) {
        match find_move(&sim, choice) {
            Ok(mv) => make(&mut sim, mv, &mut run),
            Err(why) => {
                let expected = choice.clone();
                let (step, enabled) = (run.moves.len() + 1, enabled(&sim));
                return (run, Some(Divergence { step, expected, why, enabled }));
            }
        }
    }
    if choose.timed {
        let mut clock = EventQueue::new(choose.seed, Pace::Exact);
        clock.begin(&sim, 0);
        while goes_on(&run) {
            let Some(mv) = clock.pick(&sim) else { break };
            // Moves of the schedule happened before the clock was started.
            run.times_ns.resize(run.moves.len(), 0);
            run.times_ns.push(clock.now_ns());
            make(&mut sim, mv, &mut run);
        }
        run.times_ns.resize(run.moves.len(), 0);
    } else {
        let mut walk = RandomWalk::new(choose.seed);
        walk.begin(&sim, 0);
        while goes_on(&run) {
            let Some(mv) = walk.pick(&sim) else { break };
            make(&mut sim, mv, &mut run);
        }
    }
    finish(&sim, &mut run);
    (run, None)
}

/// The run of these moves, which were made from this start before, and no others.
pub fn again(start: &Sim, moves: &[Move]) -> Run {
    let (mut sim, mut run) = (start.clone(), Run::default());
    moves.iter().for_each(|&mv| make(&mut sim, mv, &mut run));
    finish(&sim, &mut run);
    run
}

/// If nothing more can happen: how the run has ended, and what the end breaks.
fn finish(sim: &Sim, run: &mut Run) {
    if sim.ready() == 0 {
        run.ending = Some(sim.ending());
        let (broken, reached) = sim.judge_end();
        run.broken = run.broken.union(broken).union(broken_by(sim.ending()));
        run.reached = run.reached.union(reached).union(run.broken);
    }
}

/// The invariant that an ending breaks by itself, whether or not a step did: agents that wait
/// from the start on have made no step that could be judged.
pub fn broken_by(ending: Ending) -> Props {
    let name = match ending {
        Ending::Deadlock => "deadlock",
        Ending::Stall => "stall",
        Ending::Finished | Ending::Cut => return Props::NONE,
    };
    invariant::find(name).map_or(Props::NONE, |(i, _)| Props::one(i))
}

fn make(sim: &mut Sim, mv: Move, run: &mut Run) {
    let stepped = sim.apply(mv);
    run.broken = run.broken.union(stepped.broken);
    run.reached = run.reached.union(stepped.reached);
    run.moves.push(mv);
}

/// Every choice that can be made in a state.
fn enabled(sim: &Sim) -> Vec<Choice> {
    let mut moves = Vec::new();
    sim.moves(&mut moves);
    moves.into_iter().map(|mv| agents::choice(sim, mv)).collect()
}

/// The move that a choice means; why there is none.
fn find_move(sim: &Sim, choice: &Choice) -> Result<Move, String> {
    let who = &choice.who;
    let Some(agent) = agents::find(sim, who) else {
        return Err(format!("there is no agent '{who}'"));
    };
    let Some(label) = sim.label(agent) else {
        return Err(format!("{who} has finished"));
    };
    if !(0..sim.ready()).any(|k| sim.nth_ready(k) == agent) {
        let need = sim.need(agent).describe(&sim.world);
        return Err(format!("{who} waits for {need} before '{}'", label.name));
    }
    if let Some(step) = &choice.step
        && !agents::is_step(label, step)
    {
        let step = agents::step_name(label);
        return Err(format!("the next step of {who} is '{step}' ({})", label.name));
    }
    let outcomes = sim.outcomes(agent);
    let wanted = choice.outcome.as_deref();
    let outcome = (0..outcomes).find(|&n| agents::outcome(sim, agent, n).as_deref() == wanted);
    match outcome {
        Some(outcome) => Ok(sim.move_of(agent, outcome)),
        None => {
            let known: Vec<String> =
                (1..outcomes).filter_map(|n| agents::outcome(sim, agent, n)).collect();
            Err(match known.is_empty() {
                true => format!("that step of {who} has the ordinary outcome only"),
                false => format!("its other outcomes are: {}", known.join(", ")),
            })
        }
    }
}

/// Plays a schedule leniently: a fault that cannot happen does not, an agent goes up to `ahead`
/// steps on its own to where it can do what is wanted of it, choices that cannot be made even then
/// are left out, and it ends with the first move that breaks some of `wanted`. For machines that
/// have changed since.
pub fn lenient(start: &Sim, schedule: &Schedule, wanted: Props, ahead: usize) -> Vec<Move> {
    let mut sim = start.clone();
    let mut moves = Vec::new();
    for choice in &schedule.0 {
        for mv in catch_up(&mut sim, choice, ahead) {
            let stepped = sim.apply(mv);
            moves.push(mv);
            if stepped.broken.0 & wanted.0 != 0 || sim.ready() == 0 {
                return moves;
            }
        }
    }
    moves
}

/// The moves of an agent up to the one that a choice means; none if it does not come to that.
fn catch_up(sim: &mut Sim, choice: &Choice, ahead: usize) -> Vec<Move> {
    let ordinary = Choice { outcome: None, ..choice.clone() };
    let meant = |sim: &Sim| find_move(sim, choice).or_else(|_| find_move(sim, &ordinary));
    if let Ok(mv) = meant(sim) {
        return vec![mv];
    }
    let any = Choice { who: choice.who.clone(), step: None, outcome: None };
    let (mut moves, mut trail, mut there) = (Vec::new(), Vec::new(), None);
    while there.is_none() && moves.len() < ahead {
        let Ok(mv) = find_move(sim, &any) else { break };
        trail.push(sim.apply(mv));
        moves.push(mv);
        there = meant(sim).ok();
    }
    sim.undo_all(&trail);
    let Some(mv) = there else { return Vec::new() };
    moves.push(mv);
    moves
}

/// A run as a schedule, which carries the operation beside each choice.
pub fn schedule(start: &Sim, moves: &[Move]) -> Schedule {
    let mut sim = start.clone();
    let choices = moves.iter().map(|&mv| {
        let choice = agents::choice(&sim, mv);
        sim.apply(mv);
        choice
    });
    Schedule(choices.collect())
}
