//! The report as plain text to paste into a reply on a mailing list: at most 72 columns, no
//! colour, nothing that a quote mark in front would break.

use super::data::Report;
use super::{paint, shell, text};

/// Columns of a line.
pub const WIDTH: usize = 72;

/// The text.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    text::heading(&mut out, report, WIDTH);
    text::trace(&mut out, report, WIDTH);
    text::summary(&mut out, report, WIDTH);
    out.push_str("\nTo see it again:\n\n");
    for line in shell::fold(&report.setting.repeat, WIDTH) {
        out.push_str(&line);
        out.push('\n');
    }
    paint::plain(&out)
}
