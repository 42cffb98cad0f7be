//! `gupsim conform`: the simulator held against what real kernels did.

use super::explore::Style;
use super::{Exit, conform_export, failure::Failure, out, watch};
use crate::conform::observation::short;
use crate::conform::record::{self, Recording};
use crate::conform::report::{self, Filter, Report};
use crate::conform::sequence::{FILE_SYSTEMS, Suite};
use crate::conform::source::Simulator;
use crate::conform::table;
use crate::conform::{belongs, bundled, read};
use crate::kernel::strategy::Preset;
use crate::scenario::problem::Problem;
use crate::scenario::strategy as words;
use crate::scenario::suggest;
use indexmap::IndexMap;
use indexmap::map::Entry;
use std::path::{Path, PathBuf};

/// Hold the simulator against recordings of real kernels
///
/// Each recorded sequence is run in the simulator, and everything that is deterministic is compared
/// after every operation: results, faults, pins, page identity, mapcounts, dirty and writeback
/// state, contents in memory and on disk. Without files, all recordings that come with gupsim and
/// are of the preset's kernel.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Sequences of operations
    #[arg(value_name = "FILE.seq", requires = "recording")]
    sequences: Option<PathBuf>,
    /// What a kernel did, packed (gzip) or not
    #[arg(value_name = "FILE.jsonl")]
    recording: Option<PathBuf>,
    /// The design to be held against them; of the recording's kernel if none is said, and without
    /// files the default preset
    #[arg(long, value_name = "NAME")]
    pub(super) preset: Option<String>,
    /// Only sequences whose names begin like this
    #[arg(long, value_name = "PREFIX")]
    pub(super) only: Option<String>,
    /// Only on this file system
    #[arg(long, value_name = "FS")]
    pub(super) fs: Option<String>,
    /// Runs that differ to be shown at most
    #[arg(long, value_name = "N", default_value_t = 10)]
    show: usize,
    /// Show every step of a run that differs, not only those of the operation in which it does
    #[arg(long)]
    trace: bool,
    /// Print the table of rules instead: where each holds, and whether it is predicted
    #[arg(long, conflicts_with_all = ["sequences", "preset", "only", "fs", "format", "trace"])]
    table: bool,
    /// Write a sequence as a scenario, or a scenario as a sequence, instead: the name of a recorded
    /// sequence (with files: of one of theirs), FILE.seq, a scenario's name, or FILE.json
    #[arg(long, value_name = "WHAT",
          conflicts_with_all = ["table", "random", "format", "trace"])]
    export: Option<String>,
    /// Write so many random sequences instead, to be recorded; with --fs gate or dax4 some that
    /// block
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_RANDOM),
          conflicts_with_all = ["sequences", "table", "preset", "only", "format", "trace"])]
    random: Option<u64>,
    /// The seed of random sequences
    #[arg(long, value_name = "N", default_value_t = 0, requires = "random",
          conflicts_with_all = ["sequences", "table", "export"])]
    pub(super) seed: u64,
    /// With --export and --random: the file to write, which must not be there yet
    #[arg(long, value_name = "FILE", conflicts_with_all = ["table"])]
    pub(super) out: Option<PathBuf>,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Style::Text)]
    format: Style,
}

/// Most random sequences that are written at a time: they are made in memory.
const MOST_RANDOM: u64 = 100_000;

const EXAMPLES: &str = "\
Examples:
  gupsim conform
  gupsim conform --only e03 --fs ext4 --trace
  gupsim conform --preset linux-6.1
  gupsim conform my.seq my.jsonl
  gupsim conform --table
  gupsim conform --export e12_pin_redirty --out e12.json
  gupsim conform --export e12.json
  gupsim conform my.seq my.jsonl --export my_sequence
  gupsim conform --random 100 --seed 7 --out random.seq

Exits with 0 if everything that can be simulated agrees, 1 if anything differs, 2 if the input
could not be read or the recording is not of these sequences, 5 if it was interrupted (what was
compared until then is reported).";

/// Compares and says what differs.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if let Some(fs) = args.fs.as_deref().filter(|fs| !FILE_SYSTEMS.contains(fs)) {
        let cure = suggest::cure(fs, FILE_SYSTEMS.iter().copied(), "");
        return Err(Failure::usage(format!("no file system '{fs}'"), cure));
    }
    if let Some(what) = &args.export {
        let done = match (&args.sequences, &args.recording) {
            (Some(sequences), Some(recording)) => {
                let (preset, loaded) = given(args, sequences, recording)?;
                conform_export::given(args, what, &preset, &loaded)
            }
            _ => conform_export::export(args, what),
        };
        return done.map(|()| Exit::Clean);
    }
    if let Some(count) = args.random {
        return conform_export::random(args, count).map(|()| Exit::Clean);
    }
    if args.out.is_some() {
        return Err(Failure::usage("--out has nothing to write", "add --export or --random"));
    }
    if args.table {
        out::print(&table::of_rules()?)?;
        return Ok(Exit::Clean);
    }
    let over = Some(watch::interrupted as fn() -> bool);
    let filter = Filter { seq: args.only.clone(), fs: args.fs.clone(), over };
    let (preset, loaded) = match (&args.sequences, &args.recording) {
        (Some(sequences), Some(recording)) => given(args, sequences, recording)?,
        _ => bundled_of(args.preset.as_deref().unwrap_or(Preset::DEFAULT))?,
    };
    let simulator = Simulator { strategy: words::preset(&preset)? };
    watch::interrupts()?;
    let mut report = Report { preset: preset.clone(), ..Report::default() };
    for Loaded { suite, recordings } in &loaded {
        for (name, recording) in recordings {
            let runs = report::runs(name, suite, recording, &simulator, &filter);
            report.add(suite, recording, runs);
        }
        let recordings: Vec<_> = recordings.iter().map(|(name, r)| (name.as_str(), r)).collect();
        report.gaps.add(suite, &recordings, &filter);
    }
    if report.runs.is_empty() && !watch::interrupted() {
        return Err(nothing(args, &preset, &loaded));
    }
    out::print(&match args.format {
        Style::Text => report.text(args.show, args.trace),
        Style::Json => report.json(),
    })?;
    Ok(match report.mismatched() {
        true => Exit::Violated,
        false if watch::interrupted() => Exit::Interrupted,
        false => Exit::Clean,
    })
}

/// A file of sequences with its recordings, each by its name.
pub(super) struct Loaded {
    pub(super) suite: Suite,
    pub(super) recordings: Vec<(String, Recording)>,
}

/// Why nothing could be compared.
fn nothing(args: &Args, preset: &str, loaded: &[Loaded]) -> Failure {
    let recordings = || loaded.iter().flat_map(|of| &of.recordings);
    if recordings().next().is_none() {
        let what = format!("no recordings of {preset} come with gupsim");
        let known = match recorded_kernels() {
            Ok(known) => known,
            Err(failure) => return failure,
        };
        let help = format!(
            "there are some of {known}; give others: \
             gupsim conform FILE.seq FILE.jsonl --preset {preset}"
        );
        return Failure::usage(what, help);
    }
    if args.only.is_some() || args.fs.is_some() {
        let what = format!("there is no recorded run of this kind for {preset}");
        return Failure::usage(what, "--only and --fs choose among what is recorded");
    }
    let (runs, names): (Vec<usize>, Vec<&str>) =
        recordings().map(|(name, recording)| (recording.runs.len(), name.as_str())).unzip();
    let name = names.join(", ");
    match runs.iter().sum::<usize>() {
        0 => Failure::usage(format!("{name} has no runs"), "record a sequence first"),
        n => {
            let sequences = loaded.first().map_or("", |of| of.suite.name.as_str());
            let what = format!("none of the {n} runs in {name} is of a sequence in {sequences}");
            Failure::usage(what, "give the sequences that were recorded")
        }
    }
}

/// The files that were given, and the design to be held against them.
fn given(
    args: &Args,
    sequences: &Path,
    recording: &Path,
) -> Result<(String, Vec<Loaded>), Failure> {
    let text = |path: &Path| -> Result<(String, String), Failure> {
        let name = path.display().to_string();
        let text = record::unpack(&name, &bytes(path)?)?;
        Ok((name, text))
    };
    let ((seq, sequences), (rec, recording)) = (text(sequences)?, text(recording)?);
    if record::looks_so(&sequences) && read::looks_so(&recording) {
        let what = format!("{seq} is the recording, and {rec} has the sequences");
        return Err(Failure::usage(what, format!("write `gupsim conform {rec} {seq}`")));
    }
    let suite = read::suite(&seq, &sequences)?;
    let rows = record::recording(&rec, &recording)?;
    belongs::check(&suite, &rows)?;
    let preset = match &args.preset {
        Some(preset) => preset.clone(),
        None => preset_of(&rows)?.to_string(),
    };
    Ok((preset, vec![Loaded { suite, recordings: vec![(rec, rows)] }]))
}

/// The preset of the kernel that was recorded.
fn preset_of(recording: &Recording) -> Result<&'static str, Failure> {
    let wanted = of_kernel(recording);
    let found = Preset::find(&wanted).map(|preset| preset.name);
    found.ok_or_else(|| {
        let what = format!("no preset is of the recorded kernel {}", short(&recording.kernel));
        let kernels = Preset::ALL.iter().map(|p| p.name).filter(|name| name.starts_with("linux-"));
        let known = kernels.collect::<Vec<_>>().join(", ");
        let help = format!("say with --preset NAME which to hold against it; there are: {known}");
        let problem = Problem::at(recording.kernel_at.clone(), what).help(help);
        recording.wrong(vec![problem]).into()
    })
}

/// All that comes with gupsim, with the recordings that are of a preset's kernel.
pub(super) fn bundled_of(preset: &str) -> Result<(String, Vec<Loaded>), Failure> {
    words::preset(preset)?;
    let mut found: IndexMap<&str, Loaded> = IndexMap::new();
    for bundled in bundled::ALL {
        let of = match found.entry(bundled.suite) {
            Entry::Occupied(of) => of.into_mut(),
            Entry::Vacant(of) => {
                let suite = read::suite(bundled.suite, bundled.sequences)?;
                of.insert(Loaded { suite, recordings: Vec::new() })
            }
        };
        let text = record::unpack(bundled.name, bundled.recording)?;
        let rows = record::recording(bundled.name, &text)?;
        if preset == of_kernel(&rows) {
            of.recordings.push((bundled.name.to_string(), rows));
        }
    }
    Ok((preset.to_string(), found.into_values().collect()))
}

/// The kernels of which recordings come with gupsim, as presets.
fn recorded_kernels() -> Result<String, Failure> {
    let mut recorded = Vec::new();
    for bundled in bundled::ALL {
        let text = record::unpack(bundled.name, bundled.recording)?;
        recorded.push(of_kernel(&record::recording(bundled.name, &text)?));
    }
    let names = Preset::ALL.iter().map(|preset| preset.name);
    let known: Vec<&str> = names.filter(|name| recorded.iter().any(|r| r == name)).collect();
    Ok(known.join(", "))
}

/// What the preset of the kernel that a recording is of would be called.
fn of_kernel(recording: &Recording) -> String {
    let (major, minor) = recording.version();
    format!("linux-{major}.{minor}")
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        let what = format!("cannot read {}: {error}", path.display());
        Failure::usage(what, "give a file that can be read")
    })
}
