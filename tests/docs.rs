//! The manual is true: its tables say what the code says, its commands run, its output is real.
//!
//! `GUPSIM_BLESS=1 cargo test --test docs` writes generated tables and output into the pages.

#[path = "docs/caught.rs"]
mod caught;
#[path = "docs/commands.rs"]
mod commands;
#[path = "mutants/table.rs"]
mod mutants;
#[path = "docs/page.rs"]
mod page;
#[path = "docs/source.rs"]
mod source;
#[path = "docs/tables.rs"]
mod tables;

use gupsim::kernel::actor::Routine;
use gupsim::kernel::invariant;
use gupsim::kernel::strategy::{Preset, Strategy};
use gupsim::kernel::world::Kind;
use std::fs;

const MODEL: &str = "docs/model.md";

/// Fails with every complaint at once.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_tables_of_the_model_are_what_the_code_says() {
    let old = page::read(MODEL);
    let put = |text: String, (name, part): &tables::Part| page::with_part(&text, name, &part());
    let new = tables::PARTS.iter().fold(old.clone(), put);
    page::settle(MODEL, &old, &new);
}

#[test]
fn the_table_of_rules_is_what_conform_prints() {
    let page = "docs/fidelity.md";
    let old = page::read(page);
    let table = gupsim::conform::table::of_rules().unwrap();
    let new = page::with_part(&old, "rules", &table);
    let row = |(name, why): &(&str, &str)| format!("| `{name}` | {why} |\n");
    let fields: String = gupsim::conform::record::NOT_COMPARED.iter().map(row).collect();
    let fields = format!("| field | why it is not compared |\n|---|---|\n{fields}");
    page::settle(page, &old, &page::with_part(&new, "fields", &fields));
}

/// The recordings of 6.18 catch what is left out of the model or wrong in it: guards, and values
/// of other designs.
#[test]
fn the_table_of_mutants_is_what_the_recordings_catch() {
    let page = "docs/fidelity.md";
    let old = page::read(page);
    page::settle(page, &old, &page::with_part(&old, "mutants", &caught::table()));
}

/// What has a name in the code, found without the reader that makes the tables.
fn named_in_code() -> Vec<String> {
    let machines = Routine::TABLE.iter().map(|(name, _)| format!("**{name}**"));
    let axes = Strategy::AXES.iter().map(|a| format!("`--{}`", a.flag));
    let values = Strategy::AXES.iter().flat_map(|a| a.values).map(|v| format!("| `{}` |", v.name));
    let presets = Preset::ALL.iter().map(|p| format!("| `{}` |", p.name));
    let invariants = invariant::TABLE.iter().map(|i| format!("| `{}` |", i.name));
    let facets = Kind::ALL.iter().map(|k| format!("| `{k:?}` | {} |", k.label()));
    let all = machines.chain(axes).chain(values).chain(presets).chain(invariants).chain(facets);
    all.collect()
}

/// The strings of every `fn label` in src/kernel/actor: ids and names of steps.
fn labels() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(page::root("src/kernel/actor")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for body in text.split("fn label(self) -> Label {").skip(1) {
            let body = body.split("\n    }\n").next().unwrap();
            let strings = body.split('"').skip(1).step_by(2).filter(|s| !s.is_empty());
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            found.push((file, strings.map(str::to_string).collect()));
        }
    }
    found
}

/// Whether a string of a label is the number of a step, such as `F9`.
fn is_id(text: &str) -> bool {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_uppercase());
    digits.len() + 1 == text.len() && digits.parse::<u32>().is_ok()
}

#[test]
fn the_model_page_leaves_nothing_out() {
    let page = page::read(MODEL);
    let missing = |what: &str| (!page.contains(what)).then(|| format!("{MODEL} lacks {what}"));
    let mut complaints: Vec<String> = named_in_code().iter().filter_map(|w| missing(w)).collect();
    let ghosts = page.split("### Ghost state").nth(1).and_then(|t| t.split("## ").next());
    let ghosts = ghosts.expect("the section on ghost state");
    for (name, _) in tables::facets().iter().filter(|(_, doc)| doc.starts_with("Ghost")) {
        if !ghosts.contains(&format!("`{name}`")) {
            complaints.push(format!("{MODEL} does not say what the ghost {name} keeps"));
        }
    }
    let labels = labels();
    assert!(labels.len() > 40, "only {} machines have labels", labels.len());
    for (file, strings) in labels {
        for text in strings {
            let row = if is_id(&text) { format!("| {text} |") } else { format!("`{text}`") };
            complaints.extend(missing(&row).map(|c| format!("{c} ({file})")));
        }
    }
    none(complaints);
}

#[test]
fn references_to_the_notes_can_be_looked_up() {
    let page = page::read(MODEL);
    let sources = page.split("## Where rules come from").nth(1).expect("the section on sources");
    let mut complaints = Vec::new();
    for path in page::sources() {
        let text = page::read(&path);
        for (mark, what) in [("kernel-facts ", "kernel-facts "), ("kernel truth ", "")] {
            for rest in text.split(mark).skip(1) {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '.'));
                let cited = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
                let known = sources.contains(&format!("| {cited} |")) || cited.is_empty();
                if !known && !sources.contains(&format!("`{cited}`")) {
                    complaints.push(format!("{path} cites {what}{cited}, which {MODEL} lacks"));
                }
            }
        }
    }
    complaints.sort();
    complaints.dedup();
    none(complaints);
}

/// The commands of a page run in its order and in one folder: a later one reads what an earlier
/// one has written.
#[test]
fn every_command_that_is_shown_runs_and_prints_and_exits_as_is_shown() {
    let mut complaints = Vec::new();
    let (mut run, mut held) = (0, 0);
    for path in page::pages() {
        let old = page::read(&path);
        let blocks = page::blocks(&old);
        let desk = commands::Desk::new(&path, &old, &blocks);
        let mut printed = Vec::new();
        for block in &blocks {
            let shown = commands::shown(block, &old[block.at.clone()]);
            let mut text = String::new();
            for command in &shown {
                text.push_str(&format!("$ {}\n", command.line));
                let Some(words) = commands::gupsim(&command.line) else {
                    if !commands::known(&command.line) {
                        complaints.push(format!("{path}: nobody can run '{}'", command.line));
                    }
                    text.push_str(&command.output);
                    continue;
                };
                run += 1;
                held += usize::from(command.exit.is_some());
                // An example of a search finds what it looks for.
                let finds = words.iter().any(|w| w.starts_with("--find"));
                match desk.run(&words, command.exit.or(finds.then_some(1))) {
                    Ok(_) if command.output.is_empty() => {}
                    Ok(output) => text.push_str(&output),
                    Err(why) => complaints.push(format!("{path}: {}: {why}", command.line)),
                }
            }
            if shown.iter().any(|c| !c.output.is_empty()) {
                printed.push((block.at.clone(), text));
            }
        }
        if complaints.is_empty() {
            let mut new = old.clone();
            for (at, text) in printed.into_iter().rev() {
                new.replace_range(at, &text);
            }
            page::settle(&path, &old, &new);
        }
    }
    none(complaints);
    assert!(run >= 15 && held >= 25, "only {run} commands were found, {held} with an exit code");
}

/// A value of either truncate axis has one section for both.
#[test]
fn every_value_of_a_strategy_has_a_section_that_prints_its_witness() {
    let path = "docs/strategies.md";
    let text = page::read(path);
    let mut complaints = Vec::new();
    for axis in Strategy::AXES {
        let flag = if axis.flag.starts_with("truncate-") { "truncate" } else { axis.flag };
        for value in axis.values {
            let heading = format!("\n### {flag}={}\n", value.name);
            let Some((_, section)) = text.split_once(&heading) else {
                complaints.push(format!("{path} has no section{heading}"));
                continue;
            };
            let section = section.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
            let blocks = page::blocks(section);
            let prints = |b: &page::Block| {
                let shown = commands::shown(b, &section[b.at.clone()]);
                b.info == "console" && shown.iter().any(|c| !c.output.trim().is_empty())
            };
            if !blocks.iter().any(prints) {
                complaints.push(format!("{path}: {flag}={} shows no witness", value.name));
            }
        }
    }
    none(complaints);
}

#[test]
fn the_first_screen_says_who_protects_whom_and_shows_how_one_fails() {
    let page = page::read("README.md");
    let facts = [
        format!("{} rules", invariant::TABLE.len()),
        format!("Rust {}", env!("CARGO_PKG_RUST_VERSION")),
    ];
    for fact in facts {
        assert!(page.contains(&fact), "README.md does not say {fact:?}");
    }
    let mut console = page::blocks(&page).into_iter().filter(|b| b.info == "console");
    for parts in [["Protects ", "Refuses ", "Hurts "], ["(2)", "is broken:", "waits for "]] {
        let text = &page[console.next().unwrap().at];
        for part in parts {
            assert!(text.contains(part), "no {part:?} in an output of README.md:\n{text}");
        }
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut complaints = Vec::new();
    for path in page::pages() {
        let text = page::read(&path);
        let folder = page::root(&path).parent().unwrap().to_path_buf();
        for target in text.split("](").skip(1).filter_map(|t| t.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let outside = file.is_empty() || file.contains("://") || file.contains(' ');
            if !outside && !folder.join(file).exists() {
                complaints.push(format!("{path} links to {target}, which does not exist"));
            }
        }
    }
    none(complaints);
}

#[test]
fn paths_that_pages_name_exist() {
    let mut complaints = Vec::new();
    for path in page::pages() {
        let text = page::read(&path);
        let code = text.split('`').filter(|c| !c.contains(['<', '*', ' ', '\n', ':']));
        for named in code.filter(|c| ["src/", "tests/", "docs/"].iter().any(|p| c.starts_with(p))) {
            if !page::root(named).exists() {
                complaints.push(format!("{path} names {named}, which does not exist"));
            }
        }
    }
    none(complaints);
}
