//! `gupsim conform`: the simulator held against what real kernels did.

use super::explore::Style;
use super::{Exit, conform_export, failure::Failure, out, watch};
use crate::conform::bundled;
use crate::conform::read;
use crate::conform::record::{self, Recording};
use crate::conform::report::{self, Filter, Report};
use crate::conform::sequence::Suite;
use crate::conform::source::Simulator;
use crate::conform::table;
use crate::kernel::strategy::Preset;
use crate::scenario::strategy as words;
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
    /// sequence, FILE.seq, a scenario's name, or FILE.json
    #[arg(long, value_name = "WHAT",
          conflicts_with_all = ["sequences", "table", "random", "format", "trace"])]
    export: Option<String>,
    /// Write so many random sequences instead, to be recorded; with --fs gate some that block
    #[arg(long, value_name = "N",
          conflicts_with_all = ["sequences", "table", "preset", "only", "format", "trace"])]
    random: Option<u64>,
    /// The seed of random sequences
    #[arg(long, value_name = "N", default_value_t = 0, requires = "random",
          conflicts_with_all = ["sequences", "table", "export"])]
    pub(super) seed: u64,
    /// With --export and --random: the file to write, which must not be there yet
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sequences", "table"])]
    pub(super) out: Option<PathBuf>,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Style::Text)]
    format: Style,
}

const EXAMPLES: &str = "\
Examples:
  gupsim conform
  gupsim conform --only e03 --fs ext4 --trace
  gupsim conform --preset linux-6.1
  gupsim conform my.seq my.jsonl
  gupsim conform --table
  gupsim conform --export e12_pin_redirty --out e12.json
  gupsim conform --export e12.json
  gupsim conform --random 100 --seed 7 --out random.seq

Exits with 0 if everything that can be simulated agrees, 1 if anything differs, 2 if the input
could not be read, 5 if it was interrupted (what was compared until then is reported).";

/// Compares and says what differs.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if let Some(what) = &args.export {
        return conform_export::export(args, what).map(|()| Exit::Clean);
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
    let loaded = load(args)?;
    let of_files = loaded.first().filter(|_| args.recording.is_some());
    let preset = match (&args.preset, of_files) {
        (Some(preset), _) => preset.clone(),
        (None, Some((_, _, recording))) => of_kernel(recording),
        (None, None) => Preset::DEFAULT.to_string(),
    };
    let simulator = Simulator { strategy: words::preset(&preset)? };
    watch::interrupts()?;
    let mut report = Report { preset: preset.clone(), ..Report::default() };
    for (name, suite, recording) in loaded {
        let runs = report::runs(&name, &suite, &recording, &simulator, &filter);
        report.add(&suite, &recording, runs);
    }
    if report.runs.is_empty() && !watch::interrupted() {
        let what = format!("there is no recorded run of this kind for {preset}");
        return Err(Failure::usage(what, "--only and --fs choose among what is recorded"));
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

/// The recordings that are meant: their names, sequences and rows.
fn load(args: &Args) -> Result<Vec<(String, Suite, Recording)>, Failure> {
    if let (Some(sequences), Some(recording)) = (&args.sequences, &args.recording) {
        let text = bytes(sequences)?;
        let text = record::unpack(&sequences.display().to_string(), &text)?;
        let suite = read::suite(&sequences.display().to_string(), &text)?;
        let name = recording.display().to_string();
        let text = record::unpack(&name, &bytes(recording)?)?;
        let rows = record::recording(&name, &text)?;
        return Ok(vec![(name, suite, rows)]);
    }
    let mut found = Vec::new();
    for bundled in bundled::ALL {
        let text = record::unpack(bundled.name, bundled.recording)?;
        let rows = record::recording(bundled.name, &text)?;
        if args.preset.as_deref().unwrap_or(Preset::DEFAULT) == of_kernel(&rows) {
            let suite = read::suite(bundled.suite, bundled.sequences)?;
            found.push((bundled.name.to_string(), suite, rows));
        }
    }
    Ok(found)
}

/// The preset of the kernel that a recording is of.
fn of_kernel(recording: &Recording) -> String {
    let (major, minor) = recording.version();
    format!("linux-{major}.{minor}")
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display()), ""))
}
