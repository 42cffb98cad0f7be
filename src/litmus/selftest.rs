//! The engine under trial by numbers that it did not make.
//!
//! Everything here goes through the same search, reduction and schedulers as the kernel model.

use serde::Serialize;

use super::increment::Increment;
use super::pin_protocol::{PinProtocol, Size};
use super::program::{Expect, Litmus, Op, Program};
use super::stats::{binomial_z, uniform_z};
use crate::engine::explore::enumerate::enumerate;
use crate::engine::explore::{Bound, Control, Options, Poll, Progress, Report, explore};
use crate::engine::model::{Agent, Ending, Model};
use crate::engine::reduce;
use crate::engine::run::{Limits, Runner, Scheduler};
use crate::schedule::pct::Pct;
use crate::schedule::random::RandomWalk;
use crate::schedule::uniform::Uniform;

/// Seed of everything random here.
const SEED: u64 = 20_170_922;

/// Runs of each sampled probability.
const RUNS: u64 = 60_000;

/// Most standard deviations that a sample may be off: 1 in 16,000 for a correct sampler, and
/// since the seed is fixed, never again once it passed.
const TOLERANCE: f64 = 4.0;

/// One number that was expected and one that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The program or model.
    pub name: String,
    /// What was counted.
    pub quantity: String,
    /// What any correct engine counts.
    pub expected: String,
    /// What this one did.
    pub found: String,
    /// Whether they agree.
    pub ok: bool,
}

impl Row {
    fn exact(name: &str, quantity: &str, expected: u64, found: u64) -> Row {
        Row {
            name: name.to_owned(),
            quantity: quantity.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
            ok: expected == found,
        }
    }

    fn sampled(name: &str, quantity: &str, expected: String, found: String, z: f64) -> Row {
        Row {
            name: name.to_owned(),
            quantity: quantity.to_owned(),
            expected,
            found: format!("{found} ({z:+.1} sigma)"),
            ok: z.abs() <= TOLERANCE,
        }
    }
}

/// Whether to end the trial early.
pub type Over<'a> = &'a (dyn Fn() -> bool + Sync);

/// The outside world of a search that is part of the trial.
struct Outside<'a>(Over<'a>);

impl<M: Model> Control<M> for Outside<'_> {
    fn poll(&self, _progress: &Progress) -> Poll {
        if (self.0)() { Poll::Stop(Bound::Interruption) } else { Poll::Continue }
    }
}

/// A search, unless it is over.
fn search<M: Model>(start: &M, options: Options, over: Over) -> Report<M::Move> {
    explore(start, &options, &Outside(over))
}

fn reduced() -> Options {
    Options { reduction: true, ..Options::default() }
}

/// The whole trial: the programs given, and everything that is not about programs. Once `over`
/// says so it ends, and gives the numbers of what was brought to its end.
pub fn selftest(programs: &[Program], over: impl Fn() -> bool + Sync) -> Vec<Row> {
    let mut rows = Vec::new();
    let parts: [fn(Over) -> Vec<Row>; 5] =
        [of_preemptions, of_increment, of_pin_protocol, of_pct, of_walks];
    let programs = programs.iter().map(|program| of_program(program, &over));
    for part in programs.chain(parts.iter().map(|part| part(&over))) {
        // What was cut off counted less than there is.
        if over() {
            break;
        }
        rows.extend(part);
    }
    rows
}

/// The counts of one program.
pub fn of_program(program: &Program, over: Over) -> Vec<Row> {
    let start = Litmus::new(program);
    let Expect { interleavings, traces, states, deadlock_traces } = program.expect;
    let all = enumerate(&start, None, |_, _| !over());
    let full = search(&start, Options::default(), over);
    let exact = search(&start, Options { exact: true, ..Options::default() }, over);
    let reduced = search(&start, reduced(), over);
    let found = reduce::traces(&start, over);
    let row = |quantity, expected, found| Row::exact(&program.name, quantity, expected, found);
    vec![
        row("interleavings", interleavings, all.complete),
        row("states", states, full.states),
        row("states, compared whole", states, exact.states),
        row("traces", traces, found.complete),
        row("deadlock traces", deadlock_traces, found.ends[Ending::Deadlock as usize]),
        row("end states under reduction", full.end_states(), reduced.end_states()),
        row(
            "deadlocks under reduction",
            full.ends(Ending::Deadlock),
            reduced.ends(Ending::Deadlock),
        ),
    ]
}

/// A program of threads that do nothing to each other, of the given lengths.
fn independent(lengths: &[usize]) -> Litmus {
    let expect = Expect { interleavings: 0, traces: 1, states: 0, deadlock_traces: 0 };
    Litmus::new(&Program {
        name: format!("{lengths:?}"),
        vars: 0,
        threads: lengths.iter().map(|&n| vec![Op::Local; n]).collect(),
        expect,
    })
}

/// Schedules with at most c preemptions.
fn of_preemptions(over: Over) -> Vec<Row> {
    const TABLE: [(&[usize], &[u64]); 5] = [
        (&[2, 2], &[2, 4, 6]),
        (&[3, 3], &[2, 6, 14, 18, 20]),
        (&[5, 5], &[2, 10, 42, 90, 162, 210, 242, 250, 252]),
        (&[2, 2, 2], &[6, 24, 60, 90]),
        (&[3, 3, 3], &[6, 42, 192, 552, 1062, 1506, 1680]),
    ];
    let mut rows = Vec::new();
    for (lengths, counts) in TABLE {
        let start = independent(lengths);
        for (c, &expected) in counts.iter().enumerate() {
            let found = enumerate(&start, Some(c as u32), |_, _| !over()).complete;
            let name = format!("lengths {lengths:?}");
            rows.push(Row::exact(
                &name,
                &format!("schedules, preemptions <= {c}"),
                expected,
                found,
            ));
        }
    }
    rows
}

/// States and orbits of the non-atomic increment.
fn of_increment(over: Over) -> Vec<Row> {
    const STATES: [u64; 5] = [3, 13, 84, 755, 8638];
    const ORBITS: [u64; 5] = [3, 8, 22, 63, 184];
    let mut rows = Vec::new();
    for n in 1..=5 {
        let name = format!("increment by {n}");
        let start = Increment::new(n);
        let full = search(&start, Options::default(), over);
        rows.push(Row::exact(&name, "states", STATES[n - 1], full.states));
        let symmetric = search(&start, Options { symmetry: true, ..Options::default() }, over);
        rows.push(Row::exact(&name, "orbits", ORBITS[n - 1], symmetric.states));
    }
    rows
}

/// Counts of the pin protocol: (size, states, transitions, end states, lost-write states).
pub const PIN_COUNTS: [(Size, [u64; 4]); 13] = [
    (Size::new(1, 1, 1, true), [245, 414, 6, 0]),
    (Size::new(1, 1, 1, false), [226, 395, 4, 0]),
    (Size::new(1, 1, 2, true), [431, 744, 6, 0]),
    (Size::new(1, 2, 1, false), [303, 539, 5, 0]),
    (Size::new(2, 1, 1, true), [5_340, 14_647, 24, 0]),
    (Size::new(2, 1, 1, false), [4_502, 12_901, 12, 4]),
    (Size::new(2, 1, 2, true), [13_422, 38_288, 24, 0]),
    (Size::new(2, 2, 1, false), [8_104, 23_396, 20, 10]),
    (Size::new(2, 2, 2, true), [25_459, 74_093, 40, 0]),
    (Size::new(3, 1, 1, true), [76_080, 266_679, 96, 0]),
    (Size::new(3, 2, 2, true), [654_344, 2_428_429, 200, 0]),
    (Size::new(4, 1, 1, true), [972_960, 4_097_763, 384, 0]),
    (Size::new(4, 2, 2, true), [14_643_799, 65_293_290, 1_000, 0]),
];

/// The rows of [`PIN_COUNTS`] that take a second and not a minute.
const QUICK: u64 = 1_000_000;

/// Number of the lost-write property of the pin protocol.
const LOST_WRITE: usize = 3;

fn of_pin_protocol(over: Over) -> Vec<Row> {
    let mut rows = Vec::new();
    for (size, counts) in PIN_COUNTS.into_iter().filter(|r| r.1[0] < QUICK) {
        let Some(start) = PinProtocol::new(size) else { continue };
        let Size { pages, writes, rounds, fix } = size;
        let name =
            format!("pin protocol {pages} {writes} {rounds} {}", if fix { "on" } else { "off" });
        let full = search(&start, Options::default(), over);
        let [states, transitions, ends, lost] = counts;
        rows.push(Row::exact(&name, "states", states, full.states));
        rows.push(Row::exact(&name, "transitions", transitions, full.transitions));
        rows.push(Row::exact(&name, "end states", ends, full.end_states()));
        rows.push(Row::exact(&name, "lost writes", lost, full.violating_ends[LOST_WRITE]));
        let reduced = search(&start, reduced(), over);
        rows.push(Row::exact(&name, "end states under reduction", ends, reduced.end_states()));
        let found = reduced.violating_ends[LOST_WRITE];
        rows.push(Row::exact(&name, "lost writes under reduction", lost, found));
    }
    rows
}

/// In how many of [`RUNS`] runs the schedule is as `wanted`.
fn sample<S: Scheduler<Litmus>>(
    start: &Litmus,
    mut scheduler: S,
    over: Over,
    mut wanted: impl FnMut(&[Agent]) -> bool,
) -> u64 {
    let mut runner = Runner::new(start.clone());
    let mut hits = 0;
    for run in (0..RUNS).take_while(|_| !over()) {
        runner.run(&mut scheduler, run, Limits::default(), |_, _, _| ());
        hits += u64::from(wanted(runner.schedule()));
    }
    hits
}

/// Where the `n`-th move (from 1) of an agent stands in a schedule.
fn position(schedule: &[Agent], agent: Agent, n: usize) -> usize {
    let mut own = schedule.iter().enumerate().filter(|(_, a)| **a == agent);
    own.nth(n - 1).map_or(usize::MAX, |(at, _)| at)
}

/// Exact probabilities of PCT.
fn of_pct(over: Over) -> Vec<Row> {
    type Event = fn(&[Agent]) -> bool;
    let before: Event = |s| {
        s.iter().take_while(|a| **a == 0).count() == position(s, 1, 1)
            && position(s, 0, 3) < position(s, 1, 1)
    };
    let between: Event = |s| {
        let b = position(s, 1, 2);
        position(s, 0, 1) < b && b < position(s, 0, 2)
    };
    let zigzag: Event = |s| {
        let at = [position(s, 0, 1), position(s, 1, 1), position(s, 0, 2), position(s, 1, 2)];
        at.is_sorted()
    };
    let table: [(usize, &[usize], &str, Event, u64); 7] = [
        (1, &[3, 3], "all of A before B", before, 2),
        (2, &[3, 3], "B2 between A1 and A2", between, 12),
        (2, &[5, 5], "B2 between A1 and A2", between, 20),
        (2, &[2, 7], "B2 between A1 and A2", between, 18),
        (2, &[3, 3, 3], "B2 between A1 and A2", between, 18),
        (3, &[3, 3], "A1 < B1 < A2 < B2", zigzag, 60),
        (3, &[4, 4], "A1 < B1 < A2 < B2", zigzag, 112),
    ];
    let mut rows = Vec::new();
    for (depth, lengths, what, event, one_in) in table {
        let steps = lengths.iter().sum();
        let start = independent(lengths);
        let hits = sample(&start, Pct::new(SEED, depth, Some(steps)), over, event);
        let z = binomial_z(hits, RUNS, 1.0 / one_in as f64);
        let found = format!("1/{:.2}", RUNS as f64 / hits as f64);
        let name = format!("pct d={depth} {lengths:?}");
        rows.push(Row::sampled(&name, what, format!("1/{one_in}"), found, z));
    }
    rows
}

/// Exact probabilities of the random walk and the uniform sampler.
fn of_walks(over: Over) -> Vec<Row> {
    let mut rows = Vec::new();
    for a in 1..=4 {
        let start = independent(&[a, 4]);
        let first = |s: &[Agent]| s[..a].iter().all(|&agent| agent == 0);
        let hits = sample(&start, RandomWalk::new(SEED), over, first);
        let z = binomial_z(hits, RUNS, 0.5f64.powi(a as i32));
        let found = format!("1/{:.2}", RUNS as f64 / hits as f64);
        let name = format!("random walk [{a}, 4]");
        rows.push(Row::sampled(&name, "all of A first", format!("1/{}", 1 << a), found, z));
    }
    for lengths in [[2, 3], [3, 3], [4, 2]] {
        let start = independent(&lengths);
        let mut all: Vec<Vec<Agent>> = Vec::new();
        enumerate(&start, None, |_, run| {
            all.push(run.to_vec());
            !over()
        });
        let mut counts = vec![0; all.len()];
        sample(&start, Uniform::new(SEED), over, |s| {
            let found = all.iter().position(|x| x == s);
            found.into_iter().for_each(|i| counts[i] += 1);
            found.is_some()
        });
        let z = uniform_z(&counts);
        let (least, most) = (counts.iter().min(), counts.iter().max());
        let found = format!("{} to {}", least.unwrap_or(&0), most.unwrap_or(&0));
        let expected = format!("{} of each {}", RUNS / all.len() as u64, all.len());
        let name = format!("uniform {lengths:?}");
        rows.push(Row::sampled(&name, "each interleaving", expected, found, z));
    }
    rows
}
