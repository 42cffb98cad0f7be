//! `gupsim list`: what there is, by name, with one line each.

use super::catalog::{self, Entry, Topic};
use super::{Exit, failure::Failure, out};
use crate::report::paint::{STEP, paint, wrap};
use clap::ValueEnum;
use serde::Serialize;

/// List what there is: scenarios, strategies, invariants, actors, presets
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gupsim list scenarios\n  gupsim list strategies --format json"
)]
pub struct Args {
    /// What to list
    what: What,
    /// How it is written
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    format: ListFormat,
}

/// What can be listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum What {
    /// The bundled scenarios
    Scenarios,
    /// The strategy axes with their values
    Strategies,
    /// The invariants that every step is checked against
    Invariants,
    /// The machines that agents are made of
    Actors,
    /// Whole designs by name
    Presets,
}

/// How a list is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum ListFormat {
    /// A line or two for each
    Text,
    /// A JSON array
    Json,
}

/// An entry as JSON.
#[derive(Serialize)]
struct Item<'a> {
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    axis: Option<&'static str>,
    text: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    sources: &'a [String],
}

/// Lists.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let entries = match args.what {
        What::Scenarios => catalog::of_scenarios(&catalog::scenarios()),
        What::Strategies => catalog::of_strategies(),
        What::Invariants => catalog::of_invariants(),
        What::Actors => catalog::of_machines(),
        What::Presets => catalog::of_presets(),
    };
    let text = match args.format {
        ListFormat::Text => text(&entries, out::stdout_width()),
        ListFormat::Json => json(&entries),
    };
    out::print(&text)?;
    Ok(Exit::Clean)
}

fn json(entries: &[Entry]) -> String {
    let item = |e| {
        let Entry { topic, name, axis, text, sources, .. }: &Entry = e;
        Item { kind: topic.label(), name, axis: *axis, text, sources }
    };
    let items: Vec<Item> = entries.iter().map(item).collect();
    crate::report::json::document(&items)
}

/// Widest column of names; longer names get a line of their own.
const NAME: usize = 30;

fn text(entries: &[Entry], width: usize) -> String {
    let mut out = String::new();
    let indent = |e: &Entry| if e.topic == Topic::Value { 4 } else { 0 };
    let longest = entries.iter().map(|e| e.name.len() + indent(e)).max().unwrap_or(0).min(NAME);
    let rest = " ".repeat(longest + 2);
    for entry in entries {
        let before = indent(entry);
        if entry.topic == Topic::Axis && !out.is_empty() {
            out.push('\n');
        }
        let dashes = if entry.topic == Topic::Axis { "--" } else { "" };
        let name = format!("{dashes}{}", entry.name);
        let first = format!("{}{}", " ".repeat(before), paint(STEP, &name));
        let used = before + name.len();
        if used > longest {
            out.push_str(&first);
            out.push('\n');
            wrap(&mut out, width, &rest, &rest, entry.summary());
        } else {
            let first = format!("{first}{}", " ".repeat(longest + 2 - used));
            wrap(&mut out, width, &first, &rest, entry.summary());
        }
    }
    out
}
