//! The report as one JSON document; fields always come in the same order.

use super::data::Report;

/// The document, with a newline at its end.
pub fn render(report: &Report) -> String {
    // Strings, numbers and lists only: writing them out cannot fail.
    let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
    text.push('\n');
    text
}
