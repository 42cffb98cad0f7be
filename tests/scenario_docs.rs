//! `docs/scenarios.md` is true: each of its JSON blocks loads, and it names every field and value
//! of the format.

use gupsim::kernel::world::costs::Cost;
use gupsim::scenario::{self, condition, limits, load};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../docs/scenarios.md");

/// JSON blocks with what stands after `json` on their fence, and their lines.
fn blocks() -> Vec<(usize, &'static str, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, &str, String)> = None;
    for (n, line) in PAGE.lines().enumerate() {
        match &mut open {
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, _, text)) => {
                text.push_str(line);
                text.push('\n');
            }
            None => {
                if let Some(member) = line.strip_prefix("```json") {
                    open = Some((n + 1, member.trim(), String::new()));
                }
            }
        }
    }
    assert!(open.is_none(), "a fence is never closed");
    blocks
}

/// A scenario in which every fragment of the page makes sense; it takes the fragment's place.
fn around(member: &str, fragment: Value) -> Value {
    let mut whole = json!({
        "title": "the machine around a fragment of the manual",
        "files": { "data": { "pages": 2 } },
        "mappings": { "buf": { "file": "data" } },
        "devices": { "nic": {}, "camera": {} },
        "threads": { "A": { "do": [{ "label": "sync", "fsync": "data" }] } },
    });
    match member {
        "do" => whole["threads"]["A"]["do"] = fragment,
        "mms" => {
            let fork = json!([{ "fork": "child" }]);
            whole["threads"]["A"]["do"] = fork;
            whole["mms"] = fragment;
        }
        "disks" => {
            whole["files"]["data"]["disk"] = json!("sda");
            whole["disks"] = fragment;
        }
        _ => whole[member] = fragment,
    }
    whole
}

#[test]
fn every_json_block_of_the_manual_loads() {
    let blocks = blocks();
    assert!(blocks.len() > 15);
    for (line, member, text) in blocks {
        let whole = match member {
            "" => text,
            _ => {
                let fragment: Value = serde_json::from_str(&text)
                    .unwrap_or_else(|e| panic!("line {line} of the manual: {e}"));
                serde_json::to_string_pretty(&around(member, fragment)).unwrap()
            }
        };
        if let Err(problems) = load::text("manual", &whole) {
            panic!("line {line} of the manual:\n{}", problems.plain(100));
        }
    }
}

/// Whether the page has this word in code.
fn named(word: &str) -> bool {
    PAGE.split('`').skip(1).step_by(2).any(|code| {
        code.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '$')))
            .any(|w| w == word)
    })
}

/// Names of properties and values of enumerations in a schema.
fn words(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                found.extend(properties.keys().cloned());
            }
            if let Some(Value::String(word)) = members.get("const") {
                found.push(word.clone());
            }
            members.values().for_each(|member| words(member, found));
        }
        Value::Array(list) => list.iter().for_each(|member| words(member, found)),
        _ => {}
    }
}

#[test]
fn the_manual_names_every_field_and_value_of_the_format() {
    let schema: Value = serde_json::from_str(&scenario::schema()).unwrap();
    let mut found = Vec::new();
    words(&schema, &mut found);
    found.extend(condition::OTHERS.iter().map(|w| w.to_string()));
    found.extend(condition::CONTENTS.iter().map(|w| w.0.to_string()));
    found.extend(condition::FACTS_OF_PAGE.iter().map(|w| w.0.to_string()));
    found.extend(condition::NUMBERS_OF_PAGE.iter().map(|w| w.0.to_string()));
    found.sort();
    found.dedup();
    let missing: Vec<_> = found.into_iter().filter(|word| !named(word)).collect();
    assert!(missing.is_empty(), "the manual does not name: {missing:?}");
}

#[test]
fn the_manual_has_the_cost_table_and_the_limits_of_the_code() {
    for cost in Cost::ALL {
        let row = format!("| `{}` | {} |", cost.name(), cost.default_ns());
        assert!(PAGE.contains(&row), "{row}");
    }
    let grouped = |n: usize| {
        let digits = n.to_string();
        let mut text = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    };
    let (_, table) = PAGE.split_once("| what | at most |").unwrap();
    for limit in [
        limits::VALUES,
        limits::THREADS,
        limits::MAPPERS,
        limits::OPS_PER_PROGRAM,
        limits::OPS,
        limits::PAGES as usize,
        limits::OBJECTS,
        limits::DISKS,
        limits::CPUS as usize,
        limits::REPEAT_TIMES as usize,
        limits::CONDITION_BYTES,
    ] {
        assert!(table.contains(&grouped(limit)), "{limit}");
    }
    assert!(table.contains(&format!("{} MiB", limits::FILE_BYTES >> 20)));
}

#[test]
fn every_link_inside_of_the_manual_leads_somewhere() {
    let anchors: Vec<String> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|title| title.replace(',', "").replace(' ', "-"))
        .collect();
    for link in PAGE.split("](#").skip(1) {
        let anchor = link.split(')').next().unwrap();
        assert!(anchors.iter().any(|a| a == anchor), "#{anchor}");
    }
}
