//! The report as one JSON object per line, for filters: the run, its steps, its findings, and
//! the end; each says what it is in `type`.

use super::data::{End, Finding, Report, Setting, Step, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Run {
        format: u32,
        run: &'a Setting,
        agents: &'a [String],
    },
    Step(&'a Step),
    Finding(&'a Finding),
    End {
        end: &'a End,
        verdicts: &'a [Verdict],
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        prices: BTreeMap<&'a str, u64>,
    },
}

/// The lines.
pub fn render(report: &Report) -> String {
    let Report { format, setting, agents, steps, findings, end, verdicts, prices, about: _ } =
        report;
    let prices = prices.iter().copied().collect();
    let head = Line::Run { format: *format, run: setting, agents };
    let lines = std::iter::once(head)
        .chain(steps.iter().map(Line::Step))
        .chain(findings.iter().map(Line::Finding))
        .chain(std::iter::once(Line::End { end, verdicts, prices }));
    // Strings, numbers and lists only: writing them out cannot fail.
    lines.map(|line| serde_json::to_string(&line).unwrap_or_default() + "\n").collect()
}
