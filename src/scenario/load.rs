//! From the bytes of a file to a scenario that is ready to run, or to everything wrong with it.

use super::compile::report::Report;
use super::compile::{self, Tables};
use super::expect::{self, Expectation};
use super::outline::Outline;
use super::path::{self, At};
use super::problem::{Problem, Problems, Source};
use super::schedule::Schedule;
use super::types::{Limits, Scenario};
use super::{limits, strategy, suggest, typed};
use crate::kernel::strategy::Strategy;
use crate::kernel::world::plan::{DiskKind, Plan};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// A scenario that is ready to run.
#[derive(Debug)]
pub struct Loaded {
    /// Where it came from.
    pub name: String,
    /// As it is written.
    pub scenario: Scenario,
    /// The machine and its programs.
    pub plan: Plan,
    /// The names of everything, for conditions and schedules.
    pub tables: Tables,
    /// The scenario's own strategy.
    pub strategy: Strategy,
    /// What is expected.
    pub expectations: Vec<Expectation>,
    /// The interleaving that the scenario gives; none if it gives none.
    pub schedule: Option<Schedule>,
    /// What it was read from.
    pub source: Source,
}

impl Loaded {
    /// Limits of an exploration.
    pub fn limits(&self) -> &Limits {
        &self.scenario.limits
    }

    /// Whether it is a generated world: too large for any order to mean much, it is run on the
    /// clock.
    pub fn is_generated(&self) -> bool {
        !self.scenario.generate.is_empty()
    }

    /// Where an expectation stands in the text: line and column, both from 1.
    pub fn place_of(&self, expectation: usize) -> (usize, usize) {
        let text = &self.source.text;
        let section = At::ROOT.key("expect");
        let path = section.index(expectation).path();
        // A text that has been loaded has an outline.
        let at = Outline::of(text).map_or(0, |outline| outline.value(text, &path).start);
        self.source.line_column(at)
    }
}

/// Loads a scenario from a text.
///
/// # Errors
/// Everything that is wrong with it.
pub fn text(name: &str, text: &str) -> Result<Loaded, Problems> {
    let source = || Source { name: name.to_string(), text: text.to_string() };
    if text.len() > limits::FILE_BYTES {
        return Err(unreadable(name, too_large()));
    }
    if text.starts_with('\u{feff}') {
        let problem = Problem::at(0..3, "the file begins with a byte order mark")
            .help("save it as UTF-8 without BOM");
        return Err(Problems::new(source(), vec![problem]));
    }
    let outline = Outline::of(text).map_err(|list| Problems::new(source(), list))?;
    let scenario = lists_where_lists_are(text, &outline).and_then(|()| typed::read(text, &outline));
    let scenario = scenario.map_err(|p| Problems::new(source(), vec![p]))?;
    let mut report = Report::new(text, &outline);
    let strategy = strategy::of(&scenario, &mut report);
    let (plan, tables) = compile::compile(&scenario, &mut report);
    let context = expect::Context { plan: &plan, tables: &tables, strategy };
    let expectations = expect::compile(&scenario, &context, &mut report);
    let schedule = schedule(&scenario, &tables, &plan, &mut report);
    if !report.is_empty() {
        return Err(Problems::new(source(), report.finish()));
    }
    let name = name.to_string();
    let source = source();
    Ok(Loaded { name, scenario, plan, tables, strategy, expectations, schedule, source })
}

/// Loads a scenario from bytes.
///
/// # Errors
/// Everything that is wrong with it.
pub fn bytes(name: &str, bytes: &[u8]) -> Result<Loaded, Problems> {
    if bytes.len() > limits::FILE_BYTES {
        return Err(unreadable(name, too_large()));
    }
    match std::str::from_utf8(bytes) {
        Ok(valid) => text(name, valid),
        Err(error) => {
            // What comes before the bad byte is shown, so that it can be found.
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let end = valid.len();
            let bad = bytes.get(end).copied().unwrap_or_default();
            let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
            let problem = Problem::at(end..end, format!("byte {end} (0x{bad:02x}) is not UTF-8"))
                .help(match utf16 {
                    true => "the file is UTF-16; save it as UTF-8",
                    false => "save the file as UTF-8",
                });
            let source = Source { name: name.to_string(), text: valid };
            Err(Problems::new(source, vec![problem]))
        }
    }
}

/// Loads a scenario from a file or a pipe, of which never more than the limit is read.
///
/// # Errors
/// If the file cannot be read, or everything that is wrong with it.
pub fn file(path: &Path) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    reader(&name, || std::fs::File::open(path))
}

/// Loads a scenario from what can be opened, of which never more than the limit is read.
///
/// # Errors
/// If it cannot be read, or everything that is wrong with it.
pub fn reader<R: Read>(
    name: &str,
    open: impl FnOnce() -> std::io::Result<R>,
) -> Result<Loaded, Problems> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut content = Vec::new();
        open()?.take(limits::FILE_BYTES as u64 + 1).read_to_end(&mut content)?;
        Ok(content)
    };
    match read() {
        Ok(content) => bytes(name, &content),
        Err(error) => {
            let help = match error.kind() {
                ErrorKind::PermissionDenied => "let it be read (chmod +r), or give another file",
                ErrorKind::NotFound => "look at the path, and where it leads if it is a link",
                _ => "give a file that can be read",
            };
            let problem = Problem::general(format!("cannot read {name}: {error}")).help(help);
            Err(unreadable(name, problem))
        }
    }
}

fn too_large() -> Problem {
    Problem::general(format!("the file is larger than {} MiB", limits::FILE_BYTES >> 20))
        .help("describe large worlds with `generate`")
}

fn unreadable(name: &str, problem: Problem) -> Problems {
    Problems::new(Source { name: name.to_string(), text: String::new() }, vec![problem])
}

/// The members of the format whose values are lists. serde would take a list for any object
/// whose fields have an order; nobody who writes `[1, 2]` for a file means that.
pub const LISTS: &[&str] =
    &["claims", "do", "expect", "generate", "look_for", "schedule", "source", "under"];

/// Refuses lists where the format has none.
fn lists_where_lists_are(text: &str, outline: &Outline) -> Result<(), Problem> {
    match outline.list_not_in(text, LISTS) {
        None => Ok(()),
        Some(span) => Err(Problem::at(span, "a list where none can stand")
            .label("expected an object or a plain value")
            .help(format!("lists are the values of: {}", LISTS.join(", ")))),
    }
}

/// The schedule of a scenario, if it gives one.
fn schedule(
    scenario: &Scenario,
    tables: &Tables,
    plan: &Plan,
    report: &mut Report,
) -> Option<Schedule> {
    if scenario.schedule.is_empty() {
        return None;
    }
    let section = path::At::ROOT.key("schedule");
    for (n, choice) in scenario.schedule.iter().enumerate() {
        let who = choice.who.as_str();
        if tables.threads.get(who).is_some() || is_service(who, tables, plan) {
            continue;
        }
        if report.stops(None) {
            break;
        }
        let problem = Problem::general(format!("the schedule names no thread: '{who}'"));
        let known = tables.threads.names().chain(tables.disks.names());
        let help = suggest::cure(who, known, "there are no threads");
        report.value(&section.index(n).key("who"), problem.help(help));
    }
    Some(Schedule(scenario.schedule.clone()))
}

/// Whether a name is that of an agent that the machine brings: a tag of a disk (`disk0`, or
/// `disk0.1` where it has several) or a worker (`kworker/0`), as
/// [`Layout::actor_name`](crate::kernel::world::layout::Layout::actor_name) has them.
fn is_service(who: &str, tables: &Tables, plan: &Plan) -> bool {
    let below = |n: &str, end: u32| n.parse::<u32>().is_ok_and(|n| n < end);
    if let Some(n) = who.strip_prefix("kworker/") {
        return below(n, plan.workers);
    }
    let (disk, tag) = who.split_once('.').map_or((who, None), |(disk, tag)| (disk, Some(tag)));
    let Some(disk) = tables.disks.get(disk) else { return false };
    match (plan.disks[disk.0 as usize].kind, tag) {
        (DiskKind::Block { queue_depth, .. }, None) => queue_depth == 1,
        (DiskKind::Block { queue_depth, .. }, Some(tag)) => below(tag, queue_depth),
        (DiskKind::Pmem, _) => false,
    }
}
