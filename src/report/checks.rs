//! How a scenario's expectations fared, as data and as text: a line each, in the manner of
//! herd7's `Observation NAME Sometimes POSITIVE NEGATIVE`.

use super::paint::{BROKEN, DIM, HELD, STEP, WAIT, command, paint, wrap};
use super::shell;
use super::verdicts::grouped;
use serde::Serialize;

/// Version of the shape of the JSON document; a field that changes its meaning bumps it.
pub const FORMAT: u32 = 1;

/// All that was checked.
#[derive(Clone, Debug, Serialize)]
pub struct Checks {
    /// [`FORMAT`].
    pub format: u32,
    /// How many fared how.
    pub summary: Summary,
    /// Each expectation under each strategy that it names.
    pub expectations: Vec<Checked>,
}

/// How many fared how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Summary {
    /// Scenarios.
    pub scenarios: usize,
    /// Met in every interleaving.
    pub met: usize,
    /// Met as far as a bound that the scenario itself states.
    pub within: usize,
    /// Not met.
    pub failed: usize,
    /// Met so far, but something cut the search.
    pub bounded: usize,
    /// Met by saying nothing.
    pub vacuous: usize,
}

/// An expectation under one strategy.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// The scenario.
    pub scenario: String,
    /// Its file; for a bundled one, where it lies in the sources.
    pub file: String,
    /// Line of the expectation in it, from 1.
    pub line: usize,
    /// Column of the expectation in it, from 1.
    pub column: usize,
    /// The strategy, as it is described.
    pub strategy: String,
    /// What is spoken of: an invariant, a condition, a price.
    pub subject: String,
    /// The expectation in words.
    pub expected: String,
    /// `met`, `within`, `failed`, `bounded` or `vacuous`.
    pub fate: &'static str,
    /// The bound, for `within` and `bounded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'static str>,
    /// What was seen; absent if there was no time to look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// Why it is expected; empty if the scenario does not say.
    pub because: String,
    /// The command that shows what is wrong, word by word; empty if nothing is.
    pub repeat: Vec<String>,
}

/// What was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observed {
    /// End states.
    Ends {
        /// In which the invariant had been broken, or that meet the condition.
        with: u64,
        /// All others.
        without: u64,
        /// Distinct states that were visited.
        states: u64,
    },
    /// What the timed run cost.
    Price(u64),
}

impl Observed {
    /// How often it was seen, in herd7's words.
    pub fn how_often(self) -> &'static str {
        match self {
            Observed::Ends { with: 0, .. } => "Never",
            Observed::Ends { without: 0, .. } => "Always",
            Observed::Ends { .. } => "Sometimes",
            Observed::Price(_) => "Is",
        }
    }

    /// The counts beside it.
    fn counts(self) -> String {
        match self {
            Observed::Ends { with, without, .. } => format!("{with} {without}"),
            Observed::Price(value) => value.to_string(),
        }
    }
}

/// What a line is about.
pub fn label(scenario: &str, strategy: &str, subject: &str) -> String {
    format!("{scenario} / {strategy} / {subject}")
}

/// Columns that the end of a line takes: how often, counts, fate.
const RESULT: usize = 34;

impl Checked {
    /// What the line is about: `scenario / strategy / subject`.
    pub fn label(&self) -> String {
        label(&self.scenario, &self.strategy, &self.subject)
    }

    /// Whether it is as the scenario expects.
    pub fn passes(&self) -> bool {
        matches!(self.fate, "met" | "within")
    }

    /// Its fate in words.
    pub fn fate_in_words(&self) -> String {
        match (self.fate, self.by) {
            ("met", _) => "ok".into(),
            ("within", Some(by)) => format!("ok within its {by}"),
            ("bounded", Some(by)) => format!("bounded by {by}"),
            (fate, _) => fate.into(),
        }
    }

    /// What is wrong, in a sentence; empty if nothing is.
    pub fn complaint(&self) -> String {
        match self.fate {
            "failed" => format!("expected {}", self.expected),
            "vacuous" => format!(
                "expected {}, but what that speaks of never arises: it says nothing",
                self.expected
            ),
            "bounded" => format!("expected {}, which is not decided", self.expected),
            _ => String::new(),
        }
    }

    /// As text in lines of `width` columns, with the results from column `indent` on.
    pub fn text(&self, width: usize, indent: usize) -> String {
        let mut out = String::new();
        let style = match self.fate {
            "met" | "within" => HELD,
            "bounded" => WAIT,
            _ => BROKEN,
        };
        let fate = paint(style, &self.fate_in_words());
        let seen = self
            .observed
            .map_or(String::new(), |o| format!("{:<9}  {:<14}", o.how_often(), o.counts()));
        let label = format!("Observation {}", self.label());
        if label.chars().count() <= indent {
            out.push_str(&format!("{label:<indent$}  {seen:<25}  {fate}\n"));
        } else {
            wrap(&mut out, width, "", "    ", &label);
            out.push_str(&format!("{:indent$}  {seen:<25}  {fate}\n", ""));
        }
        if !self.passes() {
            wrap(&mut out, width, "    ", "    ", &paint(style, &self.complaint()));
            if !self.because.is_empty() {
                wrap(&mut out, width, "    ", "    ", &format!("because {}", self.because));
            }
            let place = format!("{}:{}:{}", self.file, self.line, self.column);
            wrap(&mut out, width, "    ", "    ", &paint(DIM, &place));
            command(&mut out, "    ", DIM, &shell::join(&self.repeat));
        }
        out
    }
}

/// The column from which results stand, for labels of these lengths.
pub fn indent(labels: impl Iterator<Item = usize>, width: usize) -> usize {
    let longest = labels.map(|n| n + "Observation ".len()).max().unwrap_or(0);
    longest.min(width.saturating_sub(RESULT).max(16))
}

impl Summary {
    /// Counts one more.
    pub fn add(&mut self, fate: &str) {
        match fate {
            "met" => self.met += 1,
            "within" => self.within += 1,
            "bounded" => self.bounded += 1,
            "vacuous" => self.vacuous += 1,
            _ => self.failed += 1,
        }
    }

    /// In words.
    pub fn text(&self) -> String {
        let mut parts = vec![format!("{} met", grouped(self.met as u64))];
        let more = [
            (self.within, "within a bound that the scenario states", HELD),
            (self.failed, "failed", BROKEN),
            (self.vacuous, "vacuous", BROKEN),
            (self.bounded, "bounded", WAIT),
        ];
        for (n, what, style) in more {
            if n > 0 {
                parts.push(paint(style, &format!("{n} {what}")));
            }
        }
        let all = self.met + self.within + self.failed + self.vacuous + self.bounded;
        let (scenarios, all) = (count(self.scenarios, "scenario"), count(all, "expectation"));
        format!("{}: {}\n", paint(STEP, &format!("{scenarios}, {all}")), parts.join(", "))
    }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

impl Checks {
    /// As one JSON document.
    pub fn json(&self) -> String {
        super::json::document(self)
    }
}
