//! The JSON Schema of the format, generated from its types.

use super::types::Scenario;

/// The schema as JSON text with a newline at its end, the same on every machine.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Scenario);
    // A schema is plain JSON; writing it out cannot fail.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
