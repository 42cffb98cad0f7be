//! Made-up scenarios: machines, programs, faults and designs by proptest's strategies.
//!
//! Scenario `number` of a seed is the same on every machine and whatever was made before it: its
//! randomness is a stream of its own. First it is decided which features it may
//! have ([`options`]), then what is made of them ([`machine`], [`program`]); or else a random
//! sequence of the language that kernels are recorded in ([`sequence`]).

pub mod hunt;
pub mod machine;
pub mod options;
pub mod program;
pub mod sequence;

use self::machine::Machine;
use self::options::{Feature, Options};
use crate::scenario::op::{Do, Step};
use crate::scenario::types::{Named, Scenario, Thread};
use crate::schedule::stream::{Purpose, Stream};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// One feature in so many is on: few for some scenarios, more for others, so that there are
/// both simple and crowded ones.
const ODDS: [usize; 4] = [6, 4, 3, 2];

/// One scenario in so many is a sequence.
const SEQUENCES: usize = 5;

/// The features of a scenario; `apart`: what decides whether it is a sequence, of which the
/// others know nothing.
fn draw(random: &mut Stream, apart: &mut Stream) -> Options {
    let mut options = Options::default();
    let odds = ODDS[random.below(ODDS.len())];
    let machines = |f: &&Feature| !matches!(f, Feature::Sequence | Feature::Pair);
    for &feature in Feature::ALL.iter().filter(machines) {
        options.set(feature, random.below(odds) == 0);
    }
    if apart.below(SEQUENCES) == 0 {
        options.set(Feature::Sequence, true);
        options.set(Feature::Pair, apart.below(2) == 0);
        options = options.only(sequence::FEATURES);
    }
    options
}

/// Scenario `number` of a seed, under no particular design.
pub fn scenario(seed: u64, number: u64) -> Scenario {
    let mut random = Stream::new(seed, number, Purpose::Scenario);
    let options = draw(&mut random, &mut Stream::new(seed, number, Purpose::Sequence));
    let mut key = [0; 32];
    key.chunks_mut(8).for_each(|word| word.copy_from_slice(&random.bits().to_le_bytes()));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &key);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let made = scenarios(options).new_tree(&mut runner).map(|tree| tree.current());
    Scenario {
        title: format!("made up, seed {seed}, number {number}: {options}"),
        ..made.unwrap_or_default()
    }
}

/// Scenarios with some features, without title and design.
pub fn scenarios(mut options: Options) -> BoxedStrategy<Scenario> {
    if options.has(Feature::Sequence) {
        return sequence::scenarios(options).boxed();
    }
    // A file on pmem is what some of the others are about.
    if [Feature::Unbind, Feature::Lease].iter().any(|&f| options.has(f)) {
        options.0 |= 1 << Feature::Dax as u8;
    }
    machine::machines(options)
        .prop_flat_map(move |machine| {
            let threads = program::threads(options, &machine);
            threads.prop_map(move |threads| assemble(&machine, threads))
        })
        .boxed()
}

/// Puts machine and programs together, and adds what one thread's program needs of another's.
fn assemble(machine: &Machine, threads: Vec<(String, Thread)>) -> Scenario {
    let mut threads: Named<Thread> = threads.into_iter().collect();
    let count = |threads: &Named<Thread>, wanted: fn(&Do) -> bool| {
        let ops = threads.values().flat_map(|t| &t.program).map(|s| &s.op);
        ops.filter(|op| wanted(op)).count()
    };
    let mut missing = Vec::new();
    let forks = count(&threads, |op| matches!(op, Do::Fork(_)));
    if machine.scenario.mms.contains_key("C") && forks == 0 {
        missing.push(Do::Fork("C".into()));
    }
    let posts = count(&threads, |op| matches!(op, Do::Post(_)));
    let waits = count(&threads, |op| matches!(op, Do::Wait(_)));
    missing.extend((posts..waits).map(|_| Do::Post("e".into())));
    let one = threads.entry("one".into()).or_default();
    one.program.extend(missing.into_iter().map(|op| Step { label: String::new(), op }));
    if one.program.is_empty() {
        // Others send it signals, and somebody has to do something.
        one.program.push(Step { label: String::new(), op: Do::Load("mem[0]".into()) });
    }
    threads.retain(|_, t| !t.program.is_empty());
    Scenario { threads, ..machine.scenario.clone() }
}
