//! The output formats: one table, one line each.

use super::data::Report;
use super::{json, jsonl, mail, text};

macro_rules! formats {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal: $render:expr,)+) => {
        /// How a report is written.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub enum Format { #[default] $($(#[doc = $doc])+ $name,)+ }

        impl Format {
            /// Every format with its name and what it is.
            pub const TABLE: &[(Format, &str, &str)] =
                &[$((Format::$name, $label, concat!($($doc,)+)),)+];

            /// Writes a report; `width` is that of the terminal.
            pub fn render(self, report: &Report, width: usize) -> String {
                let render: fn(&Report, usize) -> String = match self {
                    $(Format::$name => $render,)+
                };
                render(report, width)
            }
        }
    };
}

formats! {
    /// columns for a terminal
    Text = "text": text::render,
    /// one JSON document
    Json = "json": |report, _| json::document(report),
    /// one JSON object per line
    Jsonl = "jsonl": |report, _| jsonl::render(report),
    /// plain text of at most 72 columns, for a reply on a mailing list
    Mail = "mail": |report, _| mail::render(report),
}
