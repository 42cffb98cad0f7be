//! Made-up scenarios that are random sequences: what user space does to one file, in the mix that
//! real kernels were recorded with, by one thread after the other, or two such sequences at a time.

use super::machine::Machine;
use super::options::{Feature, Options};
use super::program;
use crate::conform::export::forward::{self, From};
use crate::conform::random::{self, Profile};
use crate::kernel::strategy::Preset;
use crate::scenario::types::{FsKind, Scenario, Thread};
use proptest::prelude::*;
use proptest::sample::select;

/// What may be switched on beside a sequence: all of it happens without the process.
pub const FEATURES: &[Feature] = &[
    Feature::Sequence,
    Feature::Pair,
    Feature::Flusher,
    Feature::Reclaim,
    Feature::DropCaches,
    Feature::Migrate,
    Feature::Crash,
    Feature::IoErrors,
    Feature::Enomem,
];

/// File systems, by their names in recordings.
const ON: &[&str] = &["ext4", "xfs", "btrfs", "tmpfs", "dax4"];

/// What happens to pages of the page cache, and to none of a file on pmem.
const TO_CACHE: &[Feature] = &[Feature::Reclaim, Feature::Migrate];

/// Random sequences that are tried until one can be said as a scenario: one in twenty cannot.
const TRIES: u64 = 16;

/// Scenarios of one random sequence, or two.
pub fn scenarios(options: Options) -> impl Strategy<Value = Scenario> {
    (any::<[u64; 2]>(), select(ON)).prop_flat_map(move |(seeds, fs)| {
        let mut scenario = one(seeds[0], fs, "");
        if options.has(Feature::Pair) {
            join(&mut scenario, one(seeds[1], fs, "b-"));
        }
        scenario.faults.io_errors = u32::from(options.has(Feature::IoErrors));
        scenario.faults.enomem = u32::from(options.has(Feature::Enomem));
        let pages = scenario.files.get("data").and_then(|f| f.pages).unwrap_or(1);
        let on_pmem = scenario.files.get("data").is_some_and(|f| f.fs == FsKind::Dax);
        let machine = Machine { scenario, pages };
        // None of what is left has a thread of the process in it.
        let mut beside = options.only(FEATURES);
        if on_pmem {
            TO_CACHE.iter().for_each(|&feature| beside.set(feature, false));
        }
        let others = program::threads(beside, &machine);
        others.prop_map(move |others| with(&machine, others))
    })
}

fn with(machine: &Machine, others: Vec<(String, Thread)>) -> Scenario {
    let mut scenario = machine.scenario.clone();
    scenario.threads.extend(others.into_iter().filter(|(_, t)| !t.program.is_empty()));
    scenario
}

/// A random sequence as a scenario, without the run that it was made from.
fn one(seed: u64, fs: &str, prefix: &str) -> Scenario {
    let Some(preset) = Preset::find(Preset::DEFAULT) else { return Scenario::default() };
    let tried = (0..TRIES).find_map(|number| {
        let sequence = &random::sequence(seed, number, Profile::of(fs));
        let from = From { sequence, rules: &[], source: "", fs, preset, prefix, recorded: None };
        forward::scenario(&from).ok()
    });
    let mut made = tried.unwrap_or_default();
    (made.title, made.source, made.schedule) = Default::default();
    // Two threads of a process run where they like.
    made.cpus = None;
    let capacity = made.files.get("data").map(|f| f.capacity.or(f.pages).unwrap_or(1));
    for mapping in made.mappings.values_mut().filter(|m| m.file.is_some()) {
        mapping.pages = mapping.pages.or(capacity.map(|c| c - mapping.first));
    }
    made
}

/// Two sequences at a time: of one process, on one file.
fn join(first: &mut Scenario, second: Scenario) {
    for (name, disk) in second.disks {
        let mine = first.disks.entry(name).or_insert_with(|| disk.clone());
        mine.queue_depth = mine.queue_depth.max(disk.queue_depth);
    }
    for (name, file) in second.files {
        let mine = first.files.entry(name).or_insert_with(|| file.clone());
        mine.disk = mine.disk.take().or_else(|| file.disk.clone());
        let most = |f: &crate::scenario::types::File| f.capacity.or(f.pages).unwrap_or(1);
        mine.capacity = Some(most(mine).max(most(&file))).filter(|&c| c > mine.pages.unwrap_or(1));
    }
    first.mms.extend(second.mms);
    first.mappings.extend(second.mappings);
    first.threads.extend(second.threads);
    first.workers = first.workers.max(second.workers);
    first.spare_frames = first.spare_frames.max(second.spare_frames);
}
