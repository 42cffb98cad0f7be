//! The generated tables of `docs/model.md`, each from the table or doc comments of the code.

use super::mutants::{KILLED, SURVIVORS};
use super::source::*;
use gupsim::kernel::actor::Routine;
use gupsim::kernel::invariant::TABLE as INVARIANTS;
use gupsim::kernel::strategy::{Guard, Preset, Strategy};
use gupsim::kernel::world::Kind;
use gupsim::kernel::world::costs::Cost;
use gupsim::kernel::world::price::Price;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A generated part of the page: its name, and what makes it.
pub type Part = (&'static str, fn() -> String);

/// The generated parts of the page.
pub const PARTS: &[Part] = &[
    ("objects", objects),
    ("values", values),
    ("machines", machines),
    ("waits", waits),
    ("facts", facts),
    ("invariants", invariants),
    ("axes", axes),
    ("refusals", refusals),
    ("presets", presets),
    ("preset values", preset_values),
    ("guards", guards),
    ("costs", costs),
    ("prices", prices),
];

const WORLD: &[&str] = &["objects", "machine", "device"];

fn world(module: &str) -> Source {
    Source::read(&format!("src/kernel/world/{module}.rs"))
}

/// Every guard, with the scenario that misses it, or why none does.
fn guards() -> String {
    let (killed, all) = (KILLED.len(), Guard::ALL.len());
    let mut out = format!("{killed} of {all} guards are missed by a bundled scenario.\n\n");
    out.push_str(&table(&["guard", "what it is", "missed by"]));
    for guard in Guard::ALL {
        let name = format!("`{}`", guard.name());
        let by = KILLED.iter().find(|(g, _)| g == guard).map(|(_, by)| format!("`{by}`"));
        let not = SURVIVORS.iter().find(|(g, _)| g == guard);
        let why = not.map(|(_, why)| format!("nobody: {why}"));
        row(&mut out, &[&name, guard.doc(), &by.or(why).unwrap_or_default()]);
    }
    out
}

fn table(head: &[&str]) -> String {
    format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()))
}

fn row(out: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|c| cell(c)).collect();
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

/// Text that fits into a cell: on one line, without links into the code.
fn cell(text: &str) -> String {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let paragraphs: Vec<String> = plain(text).split("\n\n").map(words).collect();
    paragraphs.join("<br>").replace('|', "\\|")
}

/// A doc comment outside of rustdoc: its links to items become code.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("[`") {
        let Some(end) = rest[at..].find("`]").map(|n| at + n) else { break };
        out.push_str(&rest[..at]);
        let _ = write!(out, "`{}`", &rest[at + 2..end]);
        rest = &rest[end + 2..];
        if let Some(target) = rest.strip_prefix('(') {
            rest = target.split_once(')').map_or("", |(_, after)| after);
        }
    }
    out + rest
}

/// Every facet by name, with its doc comment.
pub fn facets() -> Vec<(String, String)> {
    let Values(kinds) = Source::read("src/kernel/world/cell.rs").rows("kinds").remove(0);
    kinds.into_iter().map(|(entry, _)| (entry.name, entry.doc)).collect()
}

/// Every facet with its object, its fields and what they mean.
fn objects() -> String {
    let sources: Vec<Source> = WORLD.iter().map(|m| world(m)).collect();
    let of: Vec<(Entry, String)> = sources
        .iter()
        .flat_map(|s| ["facet", "contents_facet"].map(|m| s.rows::<FacetsOf>(m)))
        .flatten()
        .flat_map(|f| f.0)
        .collect();
    let Values(kinds) = Source::read("src/kernel/world/cell.rs").rows("kinds").remove(0);
    let mut out = table(&["object", "facet", "as traces call it", "what it is", "fields"]);
    for (entry, label) in kinds {
        let object = of.iter().find(|(e, _)| e.name == entry.name).map(|(_, of)| of.as_str());
        let fields = sources.iter().find_map(|s| s.fields(&entry.name)).unwrap_or_default();
        let fields: Vec<String> =
            fields.iter().map(|f| format!("`{}` {}", f.name, lower(&f.doc))).collect();
        let (object, name) = (object.unwrap_or_default(), format!("`{}`", entry.name));
        let fields = if fields.is_empty() { "the contents".into() } else { fields.join("<br>") };
        row(&mut out, &[object, &name, &label, &entry.doc, &fields]);
    }
    out
}

/// A sentence that follows a name: without its full stop, and not capitalised unless it is a name.
fn lower(text: &str) -> String {
    let text = first(text).trim_end_matches('.');
    let word = text.split([' ', '_', '.']).next().unwrap_or_default();
    let name = word.chars().skip(1).any(|c| c.is_uppercase()) || word.starts_with('`');
    let mut chars = text.chars();
    match chars.next() {
        Some(c) if !name => c.to_lowercase().chain(chars).collect(),
        _ => text.to_string(),
    }
}

/// The small enumerations that fields hold.
fn values() -> String {
    let mut out = table(&["in fields of type", "value", "meaning"]);
    for small in WORLD.iter().flat_map(|m| world(m).rows::<Small>("small")) {
        for (entry, label) in small.values {
            let (name, label) = (format!("`{}`", small.name), format!("`{label}`"));
            row(&mut out, &[&name, &label, &entry.doc]);
        }
    }
    out
}

/// Every machine with its steps, by file.
fn machines() -> String {
    let rows = Source::read("src/kernel/actor/routine.rs").rows::<Machines>("routines");
    let rows: Vec<Machine> = rows.into_iter().flat_map(|m| m.0).collect();
    let names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, Routine::TABLE.iter().map(|(n, _)| *n).collect::<Vec<_>>());
    let mut out = String::new();
    let mut done: Vec<&str> = Vec::new();
    for machine in &rows {
        if done.contains(&machine.module.as_str()) {
            continue;
        }
        done.push(&machine.module);
        let path = format!("src/kernel/actor/{}.rs", machine.module);
        let source = Source::read(&path);
        let _ = writeln!(out, "### {}\n\n[{path}](../{path})\n", machine.module.replace('_', " "));
        let _ = writeln!(out, "{}\n", wrapped(&plain(&source.header())));
        for machine in rows.iter().filter(|m| m.module == machine.module) {
            steps(&mut out, &source, machine);
        }
    }
    out
}

fn steps(out: &mut String, source: &Source, machine: &Machine) {
    let short = Routine::TABLE.iter().find(|(n, _)| *n == machine.name).map_or("", |(_, d)| *d);
    let own = source.doc_of(&machine.ty);
    let text = format!("**{}**: {}", machine.name, first(&own_or(&own, short.trim())));
    let _ = writeln!(out, "{}\n", wrapped(&plain(&text)));
    out.push_str(&table(&[
        "step",
        "in the kernel's words",
        "the place before it, and what happens",
    ]));
    for step in source.steps(&machine.ty) {
        row(out, &[&step.id, &format!("`{}`", step.name), &step.doc]);
    }
    out.push('\n');
}

fn own_or(own: &str, short: &str) -> String {
    if own.is_empty() { short.to_string() } else { own.to_string() }
}

/// Paragraphs with lines of at most 100 columns.
fn wrapped(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|p| textwrap::fill(p.trim(), 100));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

fn entries(head: [&str; 2], entries: Vec<Entry>) -> String {
    let mut out = table(&head);
    for entry in entries {
        row(&mut out, &[&format!("`{}`", entry.name), &entry.doc]);
    }
    out
}

/// Everything that an agent can wait for.
fn waits() -> String {
    entries(["wait", "what is waited for"], world("need").variants("Need"))
}

/// Everything that a step can state.
fn facts() -> String {
    entries(["fact", "what happened"], world("facts").variants("Fact"))
}

fn invariants() -> String {
    let mut out = table(&["invariant", "broken when", "premise", "source", "watches", "hears"]);
    for i in INVARIANTS {
        let watches: Vec<String> = i.watches.iter().map(|k: &Kind| format!("{k:?}")).collect();
        let hears: Vec<String> = i.hears.iter().map(|k| format!("{k:?}")).collect();
        let mut doc = i.doc.to_string();
        if i.fatal {
            doc.push_str(" The run is cut there.");
        }
        let name = format!("`{}`", i.name);
        row(&mut out, &[&name, &doc, i.premise, i.source, &watches.join(", "), &hears.join(", ")]);
    }
    out
}

fn axes() -> String {
    let mut out = table(&["axis", "value", "what the kernel does then; since when"]);
    for axis in Strategy::AXES {
        row(&mut out, &[&format!("**`--{}`**", axis.flag), "", axis.doc.trim()]);
        for value in axis.values {
            row(&mut out, &["", &format!("`{}`", value.name), value.doc.trim()]);
        }
    }
    out
}

/// What is refused of all pairs of values, on top of every preset.
fn refusals() -> String {
    let values = || Strategy::AXES.iter().flat_map(|a| a.values.iter().map(|v| (a.flag, v.name)));
    let mut found = BTreeSet::new();
    for preset in Preset::ALL {
        for (a, b) in values().flat_map(|a| values().map(move |b| (a, b))) {
            let mut strategy = preset.strategy;
            for (flag, value) in [a, b] {
                strategy.set(flag, value).unwrap_or_else(|e| panic!("{e:?}"));
            }
            found.extend(strategy.refused());
        }
    }
    found.into_iter().map(|why| format!("- {}\n", cell(&why))).collect()
}

fn presets() -> String {
    let entry = |p: &Preset| Entry { name: p.name.into(), doc: p.doc.into() };
    entries(["preset", "what it is"], Preset::ALL.iter().map(entry).collect())
}

/// Axis by axis, the value that each preset has: presets with the same value share a cell.
fn preset_values() -> String {
    let mut out = table(&["axis", "value: presets"]);
    for axis in Strategy::AXES {
        let mut by_value: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for preset in Preset::ALL {
            let value = preset.strategy.get(axis.flag).unwrap_or_default();
            let place = axis.values.iter().position(|v| v.name == value).unwrap_or_default();
            by_value.entry(place).or_default().push(preset.name);
        }
        let line = |(place, names): (usize, Vec<&str>)| {
            let names =
                if names.len() == Preset::ALL.len() { "all".into() } else { names.join(", ") };
            format!("`{}`: {names}", axis.values[place].name)
        };
        let lines: Vec<String> = by_value.into_iter().map(line).collect();
        row(&mut out, &[&format!("`--{}`", axis.flag), &lines.join("<br>")]);
    }
    out
}

fn prices() -> String {
    let mut out = table(&["price", "what is counted"]);
    for price in Price::ALL {
        row(&mut out, &[&format!("`{}`", price.name()), price.doc().trim()]);
    }
    out
}

fn costs() -> String {
    let mut out = table(&["cost", "nanoseconds", "of what; where the size comes from"]);
    for cost in Cost::ALL {
        let ns = cost.default_ns().to_string();
        row(&mut out, &[&format!("`{}`", cost.name()), &ns, cost.doc().trim()]);
    }
    out
}
