//! The speed of the kernel model with every invariant on: random walks and explorations of the
//! bundled scenarios, and timed runs of generated machines from 16 to a million pages and from 8
//! to ten thousand agents.
//!
//! `cargo bench --bench kernel [FILTER]`, where a filter is a group (`memory`, `walk`, `explore`,
//! `timed`), or a group and the beginning of a scenario's name (`walk/dax`). Every line has a hash
//! of the work done: faster by doing something else shows.

mod farm;

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use gupsim::engine::explore::{Options, explore};
use gupsim::engine::hash::mix2;
use gupsim::engine::model::Model;
use gupsim::engine::run::{Limits, Runner, Scheduler};
use gupsim::kernel::sim::Sim;
use gupsim::scenario::{bundled, load};
use gupsim::schedule::random::RandomWalk;
use gupsim::schedule::timed::{EventQueue, Pace};

/// What was done, and in how many units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Work {
    units: u64,
    hash: u64,
}

/// Processor time of this thread: what the work took, whoever else the machine works for. Elsewhere
/// than on Linux, the time of day.
fn now() -> Duration {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = text.and_then(|t| t.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| BEGIN.elapsed(), Duration::from_nanos)
}

/// Does the work once and prints how fast; then lets criterion measure it. `setup` is not part of
/// the work.
fn measure<T>(
    c: &mut Criterion,
    (group, name, unit): (&str, &str, &str),
    setup: impl Fn() -> T,
    mut work: impl FnMut(T) -> Work,
) -> Figures {
    let mut timed = || {
        let input = setup();
        let begin = now();
        let done = work(input);
        (done, now() - begin)
    };
    let (Work { units, hash }, time) = timed();
    let rate = units as f64 / time.as_secs_f64() / 1e6;
    println!("{group}, {name}: {units} {unit}, {rate:.2} M/s, work {hash:016x}");
    let mut group = c.benchmark_group(group);
    group.sample_size(10).throughput(Throughput::Elements(units));
    group.bench_function(name, |b| {
        b.iter_custom(|times| (0..times).map(|_| timed().1).sum());
    });
    group.finish();
    Figures { units, time }
}

/// What a measurement came to.
#[derive(Clone, Copy, Debug)]
struct Figures {
    units: u64,
    time: Duration,
}

/// What is wanted: the first argument, if it is one.
fn filter() -> Option<String> {
    std::env::args().nth(1).filter(|a| !a.starts_with('-'))
}

/// The bundled scenarios that can be exhausted, by name, as far as they are wanted.
fn small() -> Vec<(&'static str, Sim)> {
    let only = filter().and_then(|f| f.split_once('/').map(|(_, name)| name.to_string()));
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.starts_with(only));
    let names = bundled::bundled().iter().filter(|(name, _)| !name.starts_with("scale/"));
    names
        .filter(|(name, _)| wanted(name))
        .map(|&(name, text)| {
            let loaded = gupsim::scenario::load::text(name, text);
            let loaded = loaded.unwrap_or_else(|_| panic!("{name} does not load"));
            (name, Sim::new(loaded.plan, loaded.strategy))
        })
        .collect()
}

/// Runs of each scenario.
const RUNS: u64 = 2_000;

/// Many random runs, each taken back by undoing its moves. (A function of its own in the binary:
/// `valgrind --tool=callgrind --toggle-collect=kernel::walks` counts its instructions.)
#[inline(never)]
fn walks(start: Sim) -> Work {
    let mut runner = Runner::new(start);
    let mut scheduler = RandomWalk::new(1);
    let (mut hash, mut units) = (0, 0);
    for run in 0..RUNS {
        let outcome = runner.run(&mut scheduler, run, Limits::default(), |_, _, _| ());
        let outcome = outcome.unwrap_or_default();
        units += outcome.steps as u64;
        hash = mix2(hash, runner.model().fingerprint() ^ u64::from(outcome.broken.0));
    }
    Work { units, hash }
}

fn random_walks(c: &mut Criterion) {
    let (mut steps, mut time, mut runs) = (0, Duration::ZERO, 0);
    for (name, start) in &small() {
        let figures = measure(c, ("walk", name, "steps"), || start.clone(), walks);
        (steps, time, runs) = (steps + figures.units, time + figures.time, runs + RUNS);
    }
    let rate = |n: u64| n as f64 / time.as_secs_f64();
    println!("walk, all: {:.2} M steps/s, {:.0} k runs/s", rate(steps) / 1e6, rate(runs) / 1e3);
}

/// States of an exploration that can be timed; smaller ones are repeated.
const AT_LEAST: u64 = 100_000;

/// Complete searches, every state looked at once.
fn exploration(c: &mut Criterion) {
    let options = Options { witness_states: 0, max_states: Some(2_000_000), ..Options::default() };
    for (name, start) in &small() {
        measure(
            c,
            ("explore", name, "states"),
            || start.clone(),
            |start| {
                let report = explore(&start, &options, &());
                let times = AT_LEAST.div_ceil(report.states);
                (1..times).for_each(|_| drop(black_box(explore(&start, &options, &()))));
                let hash = mix2(report.transitions, report.end_states());
                Work { units: times * report.states, hash: mix2(hash, u64::from(report.broken.0)) }
            },
        );
    }
}

/// Steps of a timed run.
const STEPS: u64 = 500_000;

/// A timed run of so many steps that forgets how it came about, as long runs do.
fn timed(mut sim: Sim) -> Work {
    let mut queue = EventQueue::new(1, Pace::Exact);
    queue.begin(&sim, 0);
    let (mut hash, mut made) = (0, 0);
    while made < STEPS {
        let Some(mv) = queue.pick(&sim) else { break };
        let stepped = sim.apply(mv);
        hash = mix2(hash, u64::from(stepped.broken.0));
        made += 1;
        if made % 1024 == 0 {
            sim.forget();
        }
    }
    Work { units: made, hash: mix2(hash, sim.fingerprint()) }
}

fn scale(c: &mut Criterion) {
    for (name, agents, pages) in [
        ("8 agents, 16 pages", 8, 16),
        ("8 agents, 1k pages", 8, 1_000),
        ("8 agents, 1M pages", 8, 1_000_000),
        ("8 agents, 10k pages", 8, 10_000),
        ("1k agents, 10k pages", 1_000, 10_000),
        ("10k agents, 10k pages", 10_000, 10_000),
    ] {
        let begin = now();
        let start = farm::machine(agents, pages);
        println!(
            "timed, {name}: set up in {:.0} ms, {:.1} bytes of cells per page",
            (now() - begin).as_secs_f64() * 1e3,
            start.world.bytes() as f64 / f64::from(pages)
        );
        measure(c, ("timed", name, "steps"), || start.clone(), timed);
    }
    let name = "scale/rdma-farm";
    let loaded = bundled::open(name).unwrap_or_else(|_| panic!("{name} does not load"));
    let start = Sim::new(loaded.plan, loaded.strategy);
    measure(c, ("timed", name, "steps"), || start.clone(), timed);
}

/// Bytes of the resident set at its largest since the last call, on Linux.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let peak = line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb * 1024);
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    peak
}

/// The memory of whole unreduced searches, all told: at most 24 bytes a state. Somebody who pins is
/// added to a bundled scenario, which gives 35 states for one.
fn memory() {
    let name = "reclaim/three-pinners";
    let (_, text) = bundled::find(name).unwrap_or_else(|| panic!("no scenario {name}"));
    let fourth = r#""threads": { "d": { "cpu": 0, "do": [
        { "pin": { "at": "buf[0]", "slot": "d" } }, { "unpin": { "slot": "d" } }] },"#;
    let text = text.replacen(r#""threads": {"#, fourth, 1);
    let loaded = load::text(name, &text).unwrap_or_else(|_| panic!("{name} with a fourth"));
    let start = Sim::new(loaded.plan, loaded.strategy);
    let options = Options { witness_states: 0, ..Options::default() };
    let _ = (peak(), explore(&start, &Options { max_states: Some(1), ..options.clone() }, &()));
    let Some(before) = peak().and_then(|_| peak()) else { return };
    let report = explore(&start, &options, &());
    let Some(after) = peak() else { return };
    assert!(report.bounds.is_empty(), "the search is cut off");
    let each = after.saturating_sub(before) as f64 / report.states as f64;
    let set = report.bytes as f64 / report.states as f64;
    println!(
        "memory, {name} and a fourth: {each:.1} bytes of the process for each of {} states, \
         {set:.1} of them in the set",
        report.states
    );
    assert!(each <= 24.0, "{each} bytes for each state");
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let only = filter();
    let wanted = |group: &str| only.as_deref().is_none_or(|f| f.starts_with(group));
    if wanted("memory") {
        memory();
    }
    if wanted("walk") {
        random_walks(&mut criterion);
    }
    if wanted("explore") {
        exploration(&mut criterion);
    }
    if wanted("timed") {
        scale(&mut criterion);
    }
    criterion.final_summary();
}
