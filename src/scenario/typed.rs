//! From a JSON text to a type, or to where a value has the wrong one, in the words of JSON.

use super::outline::Outline;
use super::path::{self, Seg};
use super::problem::Problem;
use super::suggest;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

/// Reads a text of which the outline is known.
///
/// # Errors
/// The first value that has the wrong type: where it stands, and what is expected there.
pub fn read<T: DeserializeOwned>(text: &str, outline: &Outline) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let mut segs: Vec<Seg> = Vec::new();
        for seg in error.path() {
            match seg {
                Segment::Seq { index } => segs.push(Seg::Index(*index)),
                Segment::Map { key } => segs.push(Seg::Key(key.clone())),
                // A variant's name is a value here, never a key; an unknown segment is inside
                // of what is known already.
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        mistyped(text, outline, segs, &error.into_inner().to_string())
    })
}

/// A serde error as a problem: its text is taken apart only to say it in the words of JSON and to
/// add the nearest name.
fn mistyped(text: &str, outline: &Outline, mut segs: Vec<Seg>, message: &str) -> Problem {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let name = quoted.first().copied().unwrap_or_default();
    let known = quoted.iter().skip(1).copied();
    let at = outline.value(text, &segs);
    let (at, problem) = match message.split_once(", expected ") {
        Some((what, expected)) if what.starts_with("unknown field") => {
            if segs.last() != Some(&Seg::Key(name.to_string())) {
                segs.push(Seg::Key(name.to_string()));
            }
            let help = suggest::cure(name, known, "it has no members");
            let kind = if expected.contains("`dio_write`") { "operation" } else { "field" };
            let problem = Problem::general(format!("unknown {kind} `{name}`"));
            (outline.key(text, &segs), problem.help(help))
        }
        Some((what, _)) if what.starts_with("unknown variant") => {
            let problem = Problem::general(format!("unknown value `{name}`"));
            (at, problem.help(suggest::cure(name, known, "")))
        }
        Some((what, expected)) => {
            let problem = wrong(what, &text[at.clone()]);
            (at, problem.label(format!("expected {}", in_words(expected.trim()))))
        }
        // What serde says of an object, a number and so on in the place of a name that it knows.
        None if message == "expected value" => {
            let problem = wrong("invalid type", &text[at.clone()]).label("expected a string");
            (at, problem.help("`gupsim schema` says which there are"))
        }
        None => {
            let (what, help) = match message.strip_prefix("missing field ") {
                Some(field) => {
                    (message, format!("add {field}; `gupsim schema` says what it can be"))
                }
                // Errors of our own have their cure with them.
                None => {
                    let (what, help) = message.split_once("; ").unwrap_or((message, ""));
                    (what, help.to_string())
                }
            };
            (at, Problem::general(what).help(help))
        }
    };
    Problem { span: Some(at), path: path::show(&segs), ..problem }
}

/// That a value is of the wrong type, or of the right one and cannot be meant.
fn wrong(what: &str, value: &str) -> Problem {
    let whole = value.strip_prefix('-').unwrap_or(value).bytes().all(|b| b.is_ascii_digit());
    Problem::general(match value.as_bytes().first() {
        Some(b'{') => "wrong type: an object".to_string(),
        Some(b'[') => "wrong type: a list".to_string(),
        // serde makes a fraction of a whole number that is too large for it.
        Some(b'-' | b'0'..=b'9') if whole => format!("wrong value: integer `{value}`"),
        Some(b'-' | b'0'..=b'9') => format!("wrong type: number `{value}`"),
        _ => what.replacen("invalid", "wrong", 1),
    })
}

/// What serde expects, in the words of JSON rather than of Rust.
fn in_words(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, not negative",
        "i64" => "a whole number",
        "f64" => "a number",
        "a map" => "an object",
        "a sequence" => "a list",
        _ if expected.starts_with("struct ") => "an object",
        _ => expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::op::Advice;
    use std::collections::BTreeMap;

    fn problem(text: &str) -> Problem {
        let outline = Outline::of(text).unwrap();
        read::<BTreeMap<String, Vec<u8>>>(text, &outline).unwrap_err()
    }

    #[test]
    fn a_wrong_type_is_told_in_the_words_of_json() {
        for (text, message, label) in [
            (r#"{"a": {}}"#, "wrong type: an object", "expected a list"),
            (r#"{"a": 3}"#, "wrong value: integer `3`", "expected a list"),
            (r#"{"a": [1.5]}"#, "wrong type: number `1.5`", "expected a whole number from 0"),
            (r#"{"a": [256]}"#, "wrong value: integer `256`", "expected a whole number from 0"),
            (r#"{"a": [[]]}"#, "wrong type: a list", "expected a whole number from 0"),
            (r#"{"a": null}"#, "wrong type: null", "expected a list"),
            ("[]", "wrong type: a list", "expected an object"),
        ] {
            let problem = problem(text);
            assert_eq!(problem.message, message, "{text}");
            assert!(problem.label.starts_with(label), "{text}: {}", problem.label);
        }
        assert_eq!(problem(r#"{"a": [1, true]}"#).path, "a[1]");
        let name = read::<Advice>("{}", &Outline::of("{}").unwrap()).unwrap_err();
        assert_eq!((&*name.message, &*name.label), ("wrong type: an object", "expected a string"));
    }
}
