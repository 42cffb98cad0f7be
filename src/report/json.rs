//! Reports as JSON documents; fields always come in the same order.

use serde::Serialize;

/// The document, with a newline at its end.
pub fn document(of: &impl Serialize) -> String {
    // Strings, numbers and lists only: writing them out cannot fail.
    serde_json::to_string_pretty(of).unwrap_or_default() + "\n"
}
