//! Made-up scenarios: machines, programs, faults and designs by proptest's strategies.
//!
//! Scenario `number` of a seed is the same on every machine and whatever was made before it: its
//! randomness is a stream of its own. First it is decided which features it may
//! have ([`options`]), then what is made of them ([`machine`], [`program`]).

pub mod hunt;
pub mod machine;
pub mod options;
pub mod program;

use self::machine::Machine;
use self::options::{Feature, Options};
use crate::scenario::types::{Scenario, Thread};
use crate::schedule::stream::{Purpose, Stream};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// One feature in three is on.
const ODDS: usize = 3;

/// The features of a scenario.
fn draw(random: &mut Stream) -> Options {
    let mut options = Options::default();
    for &feature in Feature::ALL {
        options.0 |= u64::from(random.below(ODDS) == 0) << feature as u8;
    }
    // A file on pmem is what some of the others are about.
    let about_dax = [Feature::Unbind, Feature::Lease];
    if about_dax.iter().any(|&f| options.has(f)) {
        options.0 |= 1 << Feature::Dax as u8;
    }
    options
}

/// Scenario `number` of a seed, under no particular design.
pub fn scenario(seed: u64, number: u64) -> Scenario {
    let mut random = Stream::new(seed, number, Purpose::Scenario);
    let options = draw(&mut random);
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
pub fn scenarios(options: Options) -> BoxedStrategy<Scenario> {
    machine::machines(options)
        .prop_flat_map(move |machine| {
            let threads = program::threads(options, &machine);
            threads.prop_map(move |threads| assemble(&machine, threads))
        })
        .boxed()
}

fn assemble(machine: &Machine, threads: Vec<(String, Thread)>) -> Scenario {
    let threads = threads.into_iter().filter(|(_, t)| !t.program.is_empty()).collect();
    Scenario { threads, ..machine.scenario.clone() }
}
