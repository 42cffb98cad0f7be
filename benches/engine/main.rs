//! Exploration speed on the pin protocol: the generic engine, an explorer written by hand for this
//! one protocol, and other checkers, side by side in one run and agreeing on what they found.
//!
//! `cargo bench --bench engine` takes the small sizes; with `GUPSIM_BENCH=large` the large ones,
//! too, which takes minutes and gigabytes. The explorers take turns, several rounds of them, and
//! the best of each counts: what else the machine does, unless it does so in all rounds, falls
//! out. Every row has a work hash: faster by doing something else shows. SPIN takes part if `spin`
//! and `cc` can be called.

mod packed;
mod peers;
mod spin;

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use gupsim::engine::explore::graph::Graph;
use gupsim::engine::explore::{Options, Verdict, explore};
use gupsim::engine::hash::mix2;
use gupsim::engine::model::Model;
use gupsim::engine::run::{Limits, Runner};
use gupsim::litmus::pin_protocol::{PROPERTIES, PinProtocol, Size};
use gupsim::schedule::random::RandomWalk;

use self::peers::Runs;
use self::spin::Verifier;

const SMALLEST: Size = Size::new(1, 1, 1, true);

/// Sizes with their states, those that take long last.
const SIZES: [(Size, u64); 5] = [
    (SMALLEST, 245),
    (Size::new(2, 1, 1, true), 5_340),
    (Size::new(3, 1, 1, true), 76_080),
    (Size::new(4, 1, 1, true), 972_960),
    (Size::new(4, 2, 2, true), 14_643_799),
];

/// Sizes that do not take long.
const SMALL: usize = 3;

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
    Found { states: report.states, transitions: Some(report.transitions) }
}

fn model(size: Size) -> PinProtocol {
    PinProtocol::new(size).unwrap_or_else(|| panic!("{size:?} is out of limits"))
}

fn name(size: Size) -> String {
    format!("{} {} {}", size.pages, size.writes, size.rounds)
}

/// The explorers, by name.
const EXPLORERS: [(&str, Explorer); 4] = [
    ("gupsim", generic),
    ("packed by hand", packed::explore),
    ("stateright, packed", peers::stateright_packed),
    ("stateright, plain structs", peers::stateright_plain),
];

/// Whether the large sizes are wanted, too.
fn large() -> bool {
    std::env::var_os("GUPSIM_BENCH").is_some_and(|v| v == "large")
}

/// Uses a result, as far as the compiler can tell.
fn spend<T>(result: T) {
    black_box(result);
}

/// Processor time of this process and of those that it has waited for, whoever else the machine
/// works for, to the hundredth of a second. Elsewhere than on Linux, the time of day.
fn now() -> Duration {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let text = std::fs::read_to_string("/proc/self/stat").ok();
    let ticks = text.and_then(|text| {
        // The name of the program, in parentheses, may have blanks.
        let fields = text.rsplit(") ").next()?.split(' ').skip(11).take(4);
        fields.map(|f| f.parse::<u64>().ok()).sum::<Option<u64>>()
    });
    ticks.map_or_else(|| BEGIN.elapsed(), |ticks| Duration::from_millis(ticks * 10))
}

/// Somebody's work: so many units of it.
struct Job<'a> {
    name: &'static str,
    units: u64,
    work: Box<dyn FnMut() + 'a>,
}

/// Seconds that a unit takes each of several, which take turns in `rounds` rounds, at best.
fn best(rounds: usize, all: &mut [Job<'_>]) -> Vec<(&'static str, f64)> {
    let mut best = vec![f64::MAX; all.len()];
    for _ in 0..rounds {
        for (job, best) in all.iter_mut().zip(&mut best) {
            let begin = now();
            (job.work)();
            let time = (now() - begin).max(Duration::from_millis(5));
            *best = best.min(time.as_secs_f64() / job.units as f64);
        }
    }
    all.iter().map(|job| job.name).zip(best).collect()
}

/// Prints rates and how many times as fast as each the first one is.
fn ratios(what: &str, unit: &str, times: &[(&str, f64)]) {
    let own = times.first().map_or(1.0, |t| t.1);
    for (name, time) in times {
        let (rate, ratio) = (1e-6 / time, time / own);
        println!("{what}, {name}: {rate:.3} M {unit}/s; gupsim is {ratio:.2} times as fast");
    }
}

/// All explorers on all sizes.
fn side_by_side() {
    for (size, states) in SIZES.into_iter().take(if large() { SIZES.len() } else { SMALL }) {
        // Small sizes are repeated so that there is something to measure.
        let times = 2_000_000_u64.div_ceil(states);
        let mut all: Vec<Job<'_>> = Vec::new();
        let mut hashes = BTreeSet::new();
        for (name, explorer) in EXPLORERS {
            let found = explorer(size);
            assert_eq!(found.states, states, "{name}");
            hashes.extend(found.transitions.map(|t| mix2(states, t)));
            let work = Box::new(move || (0..times).for_each(|_| spend(explorer(size))));
            all.push(Job { name, units: times * states, work });
        }
        match Verifier::new(size, false) {
            Some(spin) => {
                let found = spin.run();
                assert_eq!(found.map(|f| f.states), Some(states), "spin");
                hashes.extend(found.and_then(|f| f.transitions).map(|t| mix2(states, t)));
                let times = times.min(50);
                let work = Box::new(move || (0..times).for_each(|_| spend(spin.run())));
                all.push(Job { name: "spin", units: times * states, work });
            }
            None => println!("spin is left out: no `spin` or no `cc`"),
        }
        assert_eq!(hashes.len(), 1, "not all did the same work: {hashes:016x?}");
        let rounds = if states > 1_000_000 { 3 } else { 5 };
        let best = best(rounds, &mut all);
        let hash = hashes.first().copied().unwrap_or_default();
        println!("explore {}: {states} states, work {hash:016x}", name(size));
        ratios(&format!("explore {}", name(size)), "states", &best);
    }
}

/// Bytes of the resident set at its largest since the process began or since `reset`, on Linux.
fn peak(reset: bool) -> Option<u64> {
    if reset {
        std::fs::write("/proc/self/clear_refs", "5").ok()?;
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb * 1024)
}

/// The memory of a search of a large size, all told: at most 24 bytes a state.
fn memory() {
    let (size, states) = if large() { SIZES[4] } else { SIZES[3] };
    let Some(before) = peak(true) else { return };
    let report = explore(&model(size), &Options::default(), &());
    let Some(after) = peak(false) else { return };
    let each = (after - before) as f64 / states as f64;
    println!(
        "memory {}: {each:.1} bytes of the process for each state, {:.1} of them in the set",
        name(size),
        report.bytes as f64 / states as f64
    );
    assert!(each <= 24.0, "{each} bytes for each state");
}

/// What reduction leaves of the protocol, for one to four pages, and how long a verdict takes
/// against SPIN with its own reduction.
fn reduction() {
    let all = SIZES.into_iter().take(if large() { SIZES.len() } else { SIZES.len() - 1 });
    for (size, states) in all {
        let model = model(size);
        let full = explore(&model, &Options::default(), &());
        let options = Options { reduction: true, ..Options::default() };
        let reduced = explore(&model, &options, &());
        let verdicts = |r: &gupsim::engine::explore::Report<u8>| -> Vec<Verdict> {
            (0..PROPERTIES.len()).map(|i| r.verdict(i)).collect()
        };
        assert_eq!(verdicts(&full), verdicts(&reduced));
        assert_eq!((full.states, full.ends), (states, reduced.ends));
        let executed = reduced.reduction.map_or(0, |r| r.executed);
        let hash = mix2(reduced.states, reduced.end_states());
        println!(
            "reduction {}: {} of {states} states, {} of {} transitions ({:.4}), {executed} with \
             learning, {} end states, work {hash:016x}",
            name(size),
            reduced.states,
            reduced.transitions,
            full.transitions,
            reduced.transitions as f64 / full.transitions as f64,
            reduced.end_states()
        );
        let times = 200_000_u64.div_ceil(reduced.states);
        let work = || (0..times).for_each(|_| spend(explore(&model, &options, &())));
        let mut all = vec![Job { name: "gupsim", units: times, work: Box::new(work) }];
        if let Some(spin) = Verifier::new(size, true) {
            let found = spin.run();
            let left = found.and_then(|f| f.transitions).unwrap_or_default();
            println!("reduction {}, spin: {left} of {} transitions", name(size), full.transitions);
            let times = 1_000_000_u64.div_ceil(states).min(50);
            let work = Box::new(move || (0..times).for_each(|_| spend(spin.run())));
            all.push(Job { name: "spin", units: times, work });
        }
        let best = best(3, &mut all);
        for (who, time) in &best {
            let ratio = time / best[0].1;
            let name = name(size);
            println!("verdict {name}, {who}: {time:.6} s; gupsim is {ratio:.1} times as fast");
        }
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
        hash = mix2(hash, runner.model().fingerprint());
    }
    (hash, steps)
}

/// Runs of the smallest size: gupsim's and Shuttle's at random, Loom's in its order.
fn runs() {
    const RUNS: u64 = 10_000;
    let (hash, steps) = walks(RUNS);
    println!("runs 1 1 1: {steps} steps in {RUNS} runs, work {hash:016x}");
    let graph = Graph::build(&model(SMALLEST), usize::MAX, &());
    let ends = graph.states.iter().filter(|s| s.edges.is_empty()).count();
    for (name, found) in [
        ("shuttle", peers::shuttle_walks(RUNS as usize)),
        ("loom", peers::loom_runs(RUNS as usize)),
    ] {
        let Runs { runs, steps, ends: reached } = found;
        println!("runs 1 1 1, {name}: {steps} steps in {runs} runs, {} end states", reached.len());
        assert!(reached.len() <= ends && (name != "shuttle" || reached.len() == ends), "{name}");
    }
    let job = |name, units, work: Box<dyn FnMut()>| Job { name, units, work };
    let mut all = [
        job("gupsim", 50 * RUNS, Box::new(|| spend(walks(50 * RUNS)))),
        job("shuttle", RUNS, Box::new(|| spend(peers::shuttle_walks(RUNS as usize)))),
        job("loom", RUNS, Box::new(|| spend(peers::loom_runs(RUNS as usize)))),
    ];
    let best = best(3, &mut all);
    ratios("runs 1 1 1", "runs", &best);
}

/// The generic engine alone, for comparison with earlier runs of this program.
fn history(c: &mut Criterion) {
    let (size, states) = SIZES[2];
    let mut group = c.benchmark_group("gupsim");
    group.sample_size(10).throughput(Throughput::Elements(states));
    group.bench_function("explore 3 1 1", |b| b.iter(|| black_box(generic(size))));
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("runs 1 1 1", |b| b.iter(|| black_box(walks(1_000))));
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let only = std::env::args().nth(1).filter(|a| !a.starts_with('-'));
    let wanted = |group: &str| only.as_deref().is_none_or(|f| f.starts_with(group));
    let parts: [(&str, fn()); 4] =
        [("memory", memory), ("explore", side_by_side), ("runs", runs), ("reduction", reduction)];
    parts.iter().filter(|p| wanted(p.0)).for_each(|p| p.1());
    if wanted("gupsim") {
        history(&mut criterion);
    }
    criterion.final_summary();
}
