//! `gupsim conform --export` and `--random`: sequences as scenarios, scenarios as sequences, and
//! sequences to be recorded.

use super::conform::{Args, Loaded, bundled_of};
use super::failure::Failure;
use super::{file, out};
use crate::conform::export::expect::Recorded;
use crate::conform::export::forward::{self, From};
use crate::conform::export::{Unsaid, backward};
use crate::conform::random::{self, Profile};
use crate::conform::read;
use crate::conform::record::Recording;
use crate::conform::sequence::{FILE_SYSTEMS, Sequence, Suite};
use crate::kernel::strategy::Preset;
use crate::scenario::{self, suggest, write};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Writes a sequence as a scenario, or a scenario as a sequence.
pub fn export(args: &Args, what: &str) -> Result<(), Failure> {
    let path = Path::new(what);
    let is = |ending: &str| path.extension().is_some_and(|e| e == ending);
    if is("seq") {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("cannot read {what}: {error}"), "give a file that can be read")
        })?;
        let suite = read::suite(what, &text)?;
        let which = only(args, &suite)?;
        let preset = args.preset.as_deref().unwrap_or(Preset::DEFAULT);
        return put(args, &forwards(args, preset, &suite, which, what, &[])?);
    }
    if is("json") || scenario::bundled().iter().any(|(name, _)| *name == what) {
        let loaded = scenario::open(what)?;
        let name: String = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let made = backward::sequence(&name, &loaded)
            .map_err(|unsaid| refused(&unsaid, "no sequence says this"))?;
        return put(args, &format!("# {}\n{made}", loaded.scenario.title));
    }
    let preset = args.preset.as_deref().unwrap_or(Preset::DEFAULT);
    let (_, loaded) = bundled_of(preset)?;
    for Loaded { suite, recordings } in &loaded {
        if let Some(which) = suite.sequences.iter().position(|s| s.name == what) {
            let source = format!("tests/data/kernel-truth/{}.seq", suite.name);
            return put(args, &forwards(args, preset, suite, which, &source, recordings)?);
        }
    }
    Err(unknown(what, &loaded, "; or give a scenario, or a file NAME.seq or NAME.json"))
}

/// Writes a sequence of files that were given as a scenario that expects what was recorded.
pub fn given(args: &Args, what: &str, preset: &str, loaded: &[Loaded]) -> Result<(), Failure> {
    for Loaded { suite, recordings } in loaded {
        if let Some(which) = suite.sequences.iter().position(|s| s.name == what) {
            return put(args, &forwards(args, preset, suite, which, &suite.name, recordings)?);
        }
    }
    Err(unknown(what, loaded, ""))
}

fn unknown(what: &str, loaded: &[Loaded], or: &str) -> Failure {
    let names = loaded.iter().flat_map(|of| &of.suite.sequences).map(|s| s.name.as_str());
    let names: BTreeSet<&str> = names.collect();
    let help = suggest::cure(what, names, "");
    Failure::usage(format!("there is no sequence '{what}'"), format!("{help}{or}"))
}

/// Which sequence of a file is meant.
fn only(args: &Args, suite: &Suite) -> Result<usize, Failure> {
    let wanted =
        |s: &Sequence| args.only.as_ref().is_none_or(|prefix| s.name.starts_with(prefix.as_str()));
    let mut found = (0..suite.sequences.len()).filter(|&n| wanted(&suite.sequences[n]));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (Some(a), Some(b)) => {
            let (a, b) = (&suite.sequences[a].name, &suite.sequences[b].name);
            let what = format!("the file has several such sequences, {a} and {b} among them");
            Err(Failure::usage(what, "say which with --only NAME"))
        }
        (None, _) => Err(Failure::usage("the file has no such sequence", "leave --only out")),
    }
}

fn forwards(
    args: &Args,
    preset: &str,
    suite: &Suite,
    which: usize,
    source: &str,
    recordings: &[(String, Recording)],
) -> Result<String, Failure> {
    let sequence = &suite.sequences[which];
    let preset = match Preset::find(preset) {
        Some(preset) => preset,
        None => {
            return Err(scenario::strategy::preset(preset)
                .err()
                .map_or_else(|| Failure::Internal(format!("preset {preset}")), Failure::from));
        }
    };
    let default = || FILE_SYSTEMS.iter().copied().find(|fs| sequence.runs_on(fs));
    let fs = args.fs.as_deref().or_else(default).unwrap_or("ext4");
    let of = suite.rules.iter().filter(|rule| rule.sequence == which);
    let rules: Vec<_> = of.collect();
    let recorded = recordings.iter().find_map(|(name, recording)| {
        let run = recording.runs.iter().find(|r| r.seq == sequence.name && r.fs == fs)?;
        Some(Recorded { name, kernel: &recording.kernel, run })
    });
    let from = From { sequence, rules: &rules, source, fs, preset, prefix: "", recorded };
    let made =
        forward::scenario(&from).map_err(|unsaid| refused(&unsaid, "no scenario says this"))?;
    Ok(write::text(&made))
}

fn refused(unsaid: &Unsaid, why: &str) -> Failure {
    Failure::usage(format!("{why}: {}", unsaid.what), unsaid.why.clone())
}

/// Writes random sequences.
pub fn random(args: &Args, count: u64) -> Result<(), Failure> {
    let profile = args.fs.as_deref().map_or(Profile::Plain, Profile::of);
    let mut text = format!("# random sequences, seed {}\n", args.seed);
    for number in 0..count {
        let mut made = random::sequence(args.seed, number, profile);
        made.on = args.fs.as_ref().map_or(made.on, |fs| vec![fs.clone()]);
        text.push_str(&made.to_string());
    }
    put(args, &text)
}

/// Writes to the file that was asked for, which must be new unless it is a device or a pipe, or to
/// stdout.
fn put(args: &Args, text: &str) -> Result<(), Failure> {
    let Some(path) = &args.out else { return out::print(text) };
    if file::is_stream(path) {
        return file::write(path, text);
    }
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    match made.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let what = format!("{} is there already", path.display());
            Err(Failure::usage(what, "remove it, or give --out another name"))
        }
        Err(error) => Err(Failure::File(path.clone(), error)),
    }
}
