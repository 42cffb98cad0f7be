//! The engine against exact counts that it did not make.

use gupsim::litmus::program::{BUNDLED, load};
use gupsim::litmus::selftest::{Row, selftest};

#[test]
fn every_golden_number_is_met() {
    let rows = selftest(&load(BUNDLED).unwrap(), || false);
    assert!(rows.len() > 450, "{} rows", rows.len());
    let wrong: Vec<&Row> = rows.iter().filter(|row| !row.ok).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), rows.len());
}

#[test]
fn the_bundled_copy_is_the_golden_file() {
    assert_eq!(BUNDLED, include_str!("data/programs.json"));
}

#[test]
fn a_wrong_number_in_the_file_is_found() {
    let text = BUNDLED.replacen("\"traces\": 3", "\"traces\": 4", 1);
    let programs = load(&text).unwrap();
    let rows = gupsim::litmus::selftest::of_program(&programs[0], &|| false);
    let wrong: Vec<&str> = rows.iter().filter(|r| !r.ok).map(|r| &*r.quantity).collect();
    assert_eq!(wrong, ["traces"]);
}
