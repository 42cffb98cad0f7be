//! The same scenario, strategy and seed give the same bytes: twice in a row, and the bytes whose
//! hashes are stored in `tests/data/hashes.json`, which debug and release, today's machine and
//! tomorrow's have to agree on.
//!
//! A change of the model changes runs, and with them the hashes. `GUPSIM_BLESS=1 cargo test --test
//! determinism` stores the new ones; the diff of that file then says which scenarios a change
//! reached, and belongs into the same commit.

use gupsim::kernel::sim::Sim;
use gupsim::kernel::strategy::{Preset, Strategy};
use gupsim::report::data::Setting;
use gupsim::report::format::Format;
use gupsim::report::run::{Choose, record};
use gupsim::report::trace::{self, Show};
use gupsim::scenario::{Loaded, bundled, open};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Seeds of the untimed runs of each scenario and preset.
const SEEDS: [u64; 2] = [0, 0x5eed];
/// Longest run that is hashed; a run that is cut here is as good as any.
const STEPS: usize = 4_000;
/// Machines with more agents than this are hashed under the default preset alone.
const LARGE: usize = 500;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/hashes.json")
}

/// FNV-1a: a hash that no library can change.
fn fnv(bytes: &[u8]) -> u64 {
    let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The JSON document of one run, as `gupsim replay --format json` prints it.
fn document(loaded: &Loaded, preset: &Preset, seed: u64, timed: bool) -> String {
    let start = Sim::new(loaded.plan.clone(), preset.strategy);
    let choose = Choose { seed, timed, steps: STEPS, ..Choose::default() };
    let (run, _) = record(&start, &choose);
    let axes = Strategy::AXES.iter().map(|a| a.flag);
    let setting = Setting {
        scenario: loaded.name.clone(),
        title: loaded.scenario.title.clone(),
        preset: preset.name.to_string(),
        strategy: axes.map(|a| (a, preset.strategy.get(a).unwrap_or_default())).collect(),
        differs: Vec::new(),
        seed,
        scheduled: 0,
        timed,
        repeat: Vec::new(),
    };
    let report =
        trace::report(&start, &run, setting, Show { steps: true, ghosts: true, trail: false });
    Format::Json.render(&report, 100)
}

/// Runs of a scenario: by their names, with their hashes.
fn runs(name: &str) -> Vec<(String, u64)> {
    let loaded = open(name).expect("a bundled scenario loads");
    let mut out = Vec::new();
    for preset in Preset::ALL {
        let large = Sim::new(loaded.plan.clone(), preset.strategy).stack(0).count() > 0
            && loaded.plan.threads.len() > LARGE;
        if large && preset.name != Preset::DEFAULT {
            continue;
        }
        let untimed = SEEDS.map(|seed| (seed, false));
        for (seed, timed) in untimed.into_iter().chain([(1, true)]) {
            if large && !timed {
                continue;
            }
            let hash = fnv(document(&loaded, preset, seed, timed).as_bytes());
            let again = fnv(document(&loaded, preset, seed, timed).as_bytes());
            assert_eq!(hash, again, "{name}: not the same twice");
            let time = if timed { "timed" } else { "untimed" };
            out.push((format!("{} seed {seed} {time}", preset.name), hash));
        }
    }
    out
}

/// One hash of all runs of a scenario, and the lines that tell machines apart if it is another one.
fn hash(name: &str) -> (String, String) {
    let runs = runs(name);
    let bytes: Vec<u8> = runs.iter().flat_map(|(_, hash)| hash.to_le_bytes()).collect();
    let lines = runs.iter().map(|(run, hash)| format!("    {hash:016x} {run}\n")).collect();
    (format!("{:016x}", fnv(&bytes)), lines)
}

#[test]
fn every_bundled_scenario_gives_the_bytes_whose_hashes_are_stored() {
    let now: BTreeMap<&str, (String, String)> =
        bundled().iter().map(|(name, _)| (*name, hash(name))).collect();
    if std::env::var_os("GUPSIM_BLESS").is_some() {
        let hashes: BTreeMap<&str, &String> = now.iter().map(|(n, (h, _))| (*n, h)).collect();
        let text = serde_json::to_string_pretty(&hashes).unwrap();
        std::fs::create_dir_all(file().parent().unwrap()).unwrap();
        std::fs::write(file(), text + "\n").unwrap();
        return;
    }
    let cure = "if the model, a scenario or the JSON format was meant to change, store the new \
                hashes with `GUPSIM_BLESS=1 cargo test --test determinism` and commit them with \
                the change; if not, something below the command line is not deterministic";
    let stored = std::fs::read_to_string(file()).unwrap_or_default();
    let stored: BTreeMap<String, String> = serde_json::from_str(&stored).unwrap_or_default();
    let mut differ = Vec::new();
    for (name, (hash, lines)) in &now {
        let old = stored.get(*name);
        if old != Some(hash) {
            let old = old.map_or("nothing", String::as_str);
            differ.push(format!("  {name}: {hash}, stored is {old}; its runs here:\n{lines}"));
        }
    }
    let gone = stored.keys().filter(|name| !now.contains_key(name.as_str()));
    differ.extend(gone.map(|name| format!("  {name}: stored, but there is no such scenario")));
    assert!(differ.is_empty(), "{} differ:\n{}\n{cure}", differ.len(), differ.join("\n"));
}

#[test]
fn a_hash_tells_seeds_and_clocks_apart() {
    let loaded = open("truncate/orphan-rdma").unwrap();
    let preset = Preset::find(Preset::DEFAULT).unwrap();
    let of = |seed, timed| fnv(document(&loaded, preset, seed, timed).as_bytes());
    assert_ne!(of(0, false), of(1, false));
    assert_ne!(of(0, false), of(0, true));
}
