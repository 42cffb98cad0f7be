//! Exploration speed on the pin protocol: the generic engine, an explorer written by hand for this
//! one protocol, and other checkers, side by side in one run and agreeing on what they found.
//!
//! `cargo bench --bench engine` takes the small size; with `GUPSIM_BENCH=large` the large one too.
//! Every row prints a work hash: faster by doing something else shows.

mod packed;
mod peers;

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput};
use gupsim::engine::explore::{Options, explore};
use gupsim::engine::hash::mix2;
use gupsim::engine::run::{Limits, Runner};
use gupsim::litmus::pin_protocol::{PinProtocol, Size};
use gupsim::schedule::random::RandomWalk;

const SMALLEST: Size = Size::new(1, 1, 1, true);
const SMALL: Size = Size::new(3, 1, 1, true);
const LARGE: Size = Size::new(4, 2, 2, true);

/// States of the two sizes.
const SMALL_STATES: u64 = 76_080;
const LARGE_STATES: u64 = 14_643_799;

/// What an explorer found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Found {
    states: u64,
    transitions: Option<u64>,
}

/// A way to explore the protocol.
type Explorer = fn(Size) -> Found;

fn generic(size: Size) -> Found {
    let report = explore(&model(size), &Options::default(), &());
    assert!(report.bytes as u64 <= 24 * report.states.max(4_096), "{} bytes", report.bytes);
    Found { states: report.states, transitions: Some(report.transitions) }
}

fn model(size: Size) -> PinProtocol {
    PinProtocol::new(size).unwrap_or_else(|| panic!("{size:?} is out of limits"))
}

/// The explorers, by name.
const EXPLORERS: [(&str, Explorer); 4] = [
    ("gupsim", generic),
    ("packed by hand", packed::explore),
    ("stateright, packed", peers::stateright_packed),
    ("stateright, plain structs", peers::stateright_plain),
];

fn exploration(c: &mut Criterion) {
    let mut group = c.benchmark_group("explore 3 1 1");
    group.sample_size(10).throughput(Throughput::Elements(SMALL_STATES));
    for (name, explorer) in EXPLORERS {
        assert_eq!(explorer(SMALL).states, SMALL_STATES, "{name}");
        group.bench_function(name, |b| b.iter(|| black_box(explorer(SMALL))));
    }
    group.finish();
}

/// The large size, once each: a run takes seconds and gigabytes.
fn large() {
    for (name, explorer) in EXPLORERS {
        let begin = Instant::now();
        let found = explorer(LARGE);
        let seconds = begin.elapsed().as_secs_f64();
        assert_eq!(found.states, LARGE_STATES, "{name}");
        let hash = mix2(found.states, found.transitions.unwrap_or(0));
        let rate = found.states as f64 / seconds / 1e6;
        println!("explore 4 2 2, {name}: {seconds:.2} s, {rate:.2} M states/s, work {hash:016x}");
    }
}

/// What reduction leaves of the protocol, for one to four pages.
fn reduction() {
    for (pages, writes, rounds) in [(1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 1, 1), (4, 2, 2)] {
        let model = model(Size::new(pages, writes, rounds, true));
        let begin = Instant::now();
        let report = explore(&model, &Options { reduction: true, ..Options::default() }, &());
        let seconds = begin.elapsed().as_secs_f64();
        let executed = report.reduction.map_or(0, |r| r.executed);
        let hash = mix2(report.states, report.end_states());
        println!(
            "reduction {pages} {writes} {rounds}: {} states, {} transitions, {executed} with \
             learning, {} end states, {seconds:.4} s, work {hash:016x}",
            report.states,
            report.transitions,
            report.end_states()
        );
    }
}

/// Many random runs of the smallest size; gives a work hash and the number of steps.
fn walks(runs: u64) -> (u64, u64) {
    let mut runner = Runner::new(model(SMALLEST));
    let mut scheduler = RandomWalk::new(1);
    let (mut hash, mut steps) = (0, 0);
    for run in 0..runs {
        let outcome = runner.run(&mut scheduler, run, Limits::default(), |_, _, _| ());
        steps += outcome.map_or(0, |o| o.steps as u64);
        hash = mix2(hash, gupsim::engine::model::Model::fingerprint(runner.model()));
    }
    (hash, steps)
}

fn random_walks(c: &mut Criterion) {
    const RUNS: u64 = 10_000;
    let (hash, steps) = walks(RUNS);
    println!("random walks 1 1 1: {steps} steps in {RUNS} runs, work {hash:016x}");
    println!("shuttle reached {} end states", peers::shuttle_walks(RUNS as usize));
    let mut group = c.benchmark_group("random walks 1 1 1");
    group.sample_size(10).throughput(Throughput::Elements(RUNS));
    group.bench_function("gupsim", |b| b.iter(|| black_box(walks(RUNS))));
    group.bench_function("shuttle", |b| {
        b.iter(|| black_box(peers::shuttle_walks(RUNS as usize)));
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    exploration(&mut criterion);
    random_walks(&mut criterion);
    reduction();
    if std::env::var_os("GUPSIM_BENCH").is_some_and(|v| v == "large") {
        large();
    }
    criterion.final_summary();
}
