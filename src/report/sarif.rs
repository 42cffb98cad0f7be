//! Checked expectations as SARIF 2.1.0 (OASIS), so that a code host shows them at the scenario's
//! line. Expectations that passed are left out.
//!
//! Written with serde alone: the crate for SARIF generates its types with a dozen build
//! dependencies, and this is one object.

use super::checks::{Checked, Checks};
use super::shell;
use serde_json::{Value, json};

/// How an expectation can fail, with what that means.
const RULES: [(&str, &str, &str); 3] = [
    ("failed", "error", "an expectation of a scenario is not met"),
    ("vacuous", "error", "an expectation of a scenario says nothing: its premise never arises"),
    ("bounded", "warning", "a limit was hit before an expectation was decided"),
];

/// The document.
pub fn render(checks: &Checks) -> String {
    let rules = RULES.map(|(id, level, text)| {
        json!({
            "id": id,
            "shortDescription": { "text": text },
            "defaultConfiguration": { "level": level },
        })
    });
    let results: Vec<Value> = checks.expectations.iter().filter_map(result).collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "gupsim",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    super::json::document(&document)
}

fn result(checked: &Checked) -> Option<Value> {
    let number = RULES.iter().position(|rule| rule.0 == checked.fate)?;
    let (id, level, _) = RULES[number];
    let because = match checked.because.as_str() {
        "" => String::new(),
        why => format!(" (because {why})"),
    };
    let repeat = shell::join(&checked.repeat);
    let text = format!("{}: {}{because}. {repeat}", checked.label(), checked.complaint());
    Some(json!({
        "ruleId": id,
        "ruleIndex": number,
        "level": level,
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(&checked.file) },
            "region": { "startLine": checked.line, "startColumn": checked.column },
        } }],
        "partialFingerprints": { "expectation/v1": checked.label() },
    }))
}

/// A path as a relative reference: what has a meaning of its own in one is written as `%XX`.
fn uri(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    let byte = |b: u8| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") };
    path.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_is_a_reference() {
        assert_eq!(super::uri("my files/a%b.json"), "my%20files/a%25b.json");
    }
}
