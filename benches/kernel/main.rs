//! The speed of the kernel model with every invariant on: random walks and explorations of the
//! bundled scenarios, and timed runs of generated machines from 16 to a million pages and from 8
//! to ten thousand agents.
//!
//! `cargo bench --bench kernel [FILTER]`. Every line has a hash of the work done: faster by doing
//! something else shows.

mod farm;

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput};
use gupsim::engine::explore::{Options, explore};
use gupsim::engine::hash::mix2;
use gupsim::engine::model::Model;
use gupsim::engine::run::{Limits, Runner, Scheduler};
use gupsim::kernel::sim::Sim;
use gupsim::scenario::bundled;
use gupsim::schedule::random::RandomWalk;
use gupsim::schedule::timed::{EventQueue, Pace};

/// What was done, and in how many units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Work {
    units: u64,
    hash: u64,
}

/// Does the work once and prints how fast; then lets criterion measure it.
fn measure(c: &mut Criterion, group: &str, name: &str, unit: &str, mut work: impl FnMut() -> Work) {
    let begin = Instant::now();
    let Work { units, hash } = work();
    let seconds = begin.elapsed().as_secs_f64();
    let rate = units as f64 / seconds / 1e6;
    println!("{group}, {name}: {units} {unit}, {rate:.2} M/s, work {hash:016x}");
    let mut group = c.benchmark_group(group);
    group.sample_size(10).throughput(Throughput::Elements(units));
    group.bench_function(name, |b| b.iter(|| black_box(work())));
    group.finish();
}

/// The bundled scenarios that can be exhausted, by name.
fn small() -> Vec<(&'static str, Sim)> {
    let names = bundled::bundled().iter().filter(|(name, _)| !name.starts_with("scale/"));
    names
        .map(|&(name, text)| {
            let loaded = gupsim::scenario::load::text(name, text);
            let loaded = loaded.unwrap_or_else(|_| panic!("{name} does not load"));
            (name, Sim::new(loaded.plan, loaded.strategy))
        })
        .collect()
}

/// Many random runs, each taken back by undoing its moves.
fn walks(start: &Sim, runs: u64) -> (Work, u64) {
    let mut runner = Runner::new(start.clone());
    let mut scheduler = RandomWalk::new(1);
    let (mut hash, mut steps) = (0, 0);
    for run in 0..runs {
        let outcome = runner.run(&mut scheduler, run, Limits::default(), |_, _, _| ());
        let outcome = outcome.unwrap_or_default();
        steps += outcome.steps as u64;
        hash = mix2(hash, runner.model().fingerprint() ^ u64::from(outcome.broken.0));
    }
    (Work { units: steps, hash }, runs)
}

fn random_walks(c: &mut Criterion) {
    let scenarios = small();
    for (name, start) in &scenarios {
        measure(c, "walk", name, "steps", || walks(start, 2_000).0);
    }
    let all = || {
        let begin = Instant::now();
        let (mut steps, mut runs) = (0, 0);
        for (_, start) in &scenarios {
            let (work, n) = walks(start, 2_000);
            (steps, runs) = (steps + work.units, runs + n);
        }
        let seconds = begin.elapsed().as_secs_f64();
        (steps as f64 / seconds / 1e6, runs as f64 / seconds / 1e3)
    };
    let (steps, runs) = all();
    println!("walk, all of them: {steps:.2} M steps/s, {runs:.0} k runs/s");
}

/// Random walks that must not be taken back: what undo and the log cost.
fn exploration(c: &mut Criterion) {
    let options = Options { witness_states: 0, max_states: Some(2_000_000), ..Options::default() };
    for (name, start) in &small() {
        measure(c, "explore", name, "states", || {
            let report = explore(start, &options, &());
            let hash = mix2(report.transitions, report.end_states());
            Work { units: report.states, hash: mix2(hash, u64::from(report.broken.0)) }
        });
    }
}

/// A timed run of so many steps that forgets how it came about, as long runs do.
fn timed(start: &Sim, steps: u64) -> Work {
    let mut sim = start.clone();
    let mut queue = EventQueue::new(1, Pace::Exact);
    queue.begin(&sim, 0);
    let (mut hash, mut made) = (0, 0);
    while made < steps {
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
    const STEPS: u64 = 500_000;
    for (name, agents, pages) in [
        ("8 agents, 16 pages", 8, 16),
        ("8 agents, 1k pages", 8, 1_000),
        ("8 agents, 1M pages", 8, 1_000_000),
        ("8 agents, 10k pages", 8, 10_000),
        ("1k agents, 10k pages", 1_000, 10_000),
        ("10k agents, 10k pages", 10_000, 10_000),
    ] {
        let begin = Instant::now();
        let start = farm::machine(agents, pages);
        println!(
            "timed, {name}: set up in {:.0} ms, {:.1} bytes of cells per page",
            begin.elapsed().as_secs_f64() * 1e3,
            start.world.bytes() as f64 / f64::from(pages)
        );
        measure(c, "timed", name, "steps", || timed(&start, STEPS));
    }
    let name = "scale/rdma-farm";
    let loaded = bundled::open(name).unwrap_or_else(|_| panic!("{name} does not load"));
    let start = Sim::new(loaded.plan, loaded.strategy);
    measure(c, "timed", name, "steps", || timed(&start, STEPS));
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let only = std::env::args().nth(1).filter(|a| !a.starts_with('-'));
    let wanted = |group: &str| only.as_deref().is_none_or(|f| f.starts_with(group));
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
