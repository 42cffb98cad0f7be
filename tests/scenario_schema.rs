//! The JSON Schema in docs/ is the one that the types give. `GUPSIM_BLESS=1` rewrites it.

use gupsim::scenario;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scenario.schema.json");

#[test]
fn the_schema_in_docs_is_the_one_of_the_types() {
    let schema = scenario::schema();
    if std::env::var_os("GUPSIM_BLESS").is_some() {
        fs::write(PATH, &schema).unwrap();
    }
    let stored = fs::read_to_string(PATH).unwrap_or_default();
    assert!(stored == schema, "docs/scenario.schema.json is old; GUPSIM_BLESS=1 cargo test");
}

/// Calls `see` with every schema and the name of the property that it describes.
fn walk(value: &Value, name: &str, see: &mut impl FnMut(&str, &Value)) {
    see(name, value);
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match (key.as_str(), member) {
                    ("properties", Value::Object(properties)) => {
                        properties.iter().for_each(|(name, schema)| walk(schema, name, see));
                    }
                    _ => walk(member, "", see),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|member| walk(member, "", see)),
        _ => {}
    }
}

#[test]
fn every_property_of_the_schema_has_a_description() {
    let schema: Value = serde_json::from_str(&scenario::schema()).unwrap();
    let mut bare = BTreeSet::new();
    walk(&schema, "", &mut |name, schema| {
        if !name.is_empty() && schema.get("description").is_none() {
            bare.insert(name.to_string());
        }
    });
    assert!(bare.is_empty(), "without description: {bare:?}");
}

#[test]
fn the_loader_knows_every_list_of_the_format() {
    let schema: Value = serde_json::from_str(&scenario::schema()).unwrap();
    let mut lists = BTreeSet::new();
    walk(&schema, "", &mut |name, schema| {
        if !name.is_empty() && schema.get("type") == Some(&Value::from("array")) {
            lists.insert(name.to_string());
        }
    });
    let known: BTreeSet<String> =
        scenario::load::LISTS.iter().map(|name| name.to_string()).collect();
    assert_eq!(lists, known);
}

#[test]
fn every_operation_stands_in_the_schema() {
    let schema = scenario::schema();
    for key in scenario::op::Do::KEYS {
        assert!(schema.contains(&format!("\"{key}\": {{")), "{key}");
    }
}
