//! What a search of all interleavings says, as data and as text: a verdict for each invariant,
//! how far it reaches, and the run that shows the worst.

use super::data::{Report, Setting};
use super::paint::{BROKEN, DIM, HELD, STEP, WAIT, command, paint, wrap};
use super::{brief, shell, text};
use indexmap::IndexMap;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Version of the shape of the JSON document; a field that changes its meaning bumps it.
pub const FORMAT: u32 = 1;

/// So many names are said in brief; of more, their number.
const FEW: usize = 4;

/// What a search says.
#[derive(Clone, Debug, Serialize)]
pub struct Verdicts {
    /// [`FORMAT`].
    pub format: u32,
    /// What was searched.
    #[serde(rename = "search", serialize_with = "searched")]
    pub setting: Setting,
    /// How, in words.
    pub method: String,
    /// What cut it; empty: it is complete.
    pub bounds: Vec<&'static str>,
    /// Distinct states.
    pub states: u64,
    /// Moves made from them.
    pub transitions: u64,
    /// End states by how they ended.
    pub ends: Ends,
    /// The probability that equal fingerprints of different states hid something.
    pub collision: f64,
    /// Where whole states were compared: the pairs that fingerprints would have taken for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collisions: Option<u64>,
    /// Of each invariant that was asked for, what the search says.
    pub invariants: Vec<Verdict>,
    /// What the scenario expects under this strategy, and how that fared.
    pub expectations: Vec<Expectation>,
    /// Who can be put off for ever; absent if nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starvation: Option<Starvation>,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// The run that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<Report>,
}

/// A setting without what only single runs have.
pub(super) fn searched<S: Serializer>(setting: &Setting, to: S) -> Result<S::Ok, S::Error> {
    let strategy: IndexMap<&str, &str> = setting.strategy.iter().copied().collect();
    let mut map = to.serialize_map(Some(6))?;
    map.serialize_entry("scenario", &setting.scenario)?;
    map.serialize_entry("title", &setting.title)?;
    map.serialize_entry("preset", &setting.preset)?;
    map.serialize_entry("strategy", &strategy)?;
    map.serialize_entry("differs", &setting.differs)?;
    map.serialize_entry("repeat", &setting.repeat)?;
    map.end()
}

/// End states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// Every thread that has to finish has finished.
    pub finished: u64,
    /// Agents wait for each other in a cycle.
    pub deadlock: u64,
    /// An agent waits for what nobody left will do.
    pub stall: u64,
    /// The state meant nothing any more.
    pub cut: u64,
}

/// What a search says of one invariant.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The invariant.
    pub invariant: &'static str,
    /// `proved`, `refuted`, `bounded` or `vacuous`.
    pub verdict: &'static str,
    /// For `bounded`: by what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'static str>,
    /// End states in which it had been broken.
    pub violating_ends: u64,
    /// Its witness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// For `lock-order`: the classes of locks, each taken under the one before, the first under
    /// the last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cycle: Vec<&'static str>,
}

/// A run that breaks an invariant.
#[derive(Clone, Debug, Serialize)]
pub struct Witness {
    /// Number of steps up to the one that breaks it.
    pub steps: usize,
    /// Whether none is shorter.
    pub shortest: bool,
    /// The command that replays it, word by word.
    pub replay: Vec<String>,
}

/// An expectation of the scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Expectation {
    /// It as it is written.
    pub text: String,
    /// `met`, `failed`, `bounded` or `vacuous`.
    pub fate: &'static str,
    /// End states that show it.
    pub with: u64,
    /// All other end states.
    pub without: u64,
}

/// Who can be put off for ever.
#[derive(Clone, Debug, Serialize)]
pub struct Starvation {
    /// States looked at.
    pub states: u64,
    /// What cut it; absent: it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<&'static str>,
    /// Threads that have to come to an end: those that were put to the test.
    pub tested: Vec<String>,
    /// Those of them that can be starved.
    pub starved: Vec<Lasso>,
}

/// A run into a fair cycle.
#[derive(Clone, Debug, Serialize)]
pub struct Lasso {
    /// Who never comes to an end.
    pub agent: String,
    /// Steps before the cycle.
    pub stem: usize,
    /// Steps once round.
    pub cycle: usize,
    /// Once round: who takes which steps in a row.
    pub round: Vec<Stretch>,
    /// The command that replays it up to the end of the first round, word by word.
    pub replay: Vec<String>,
}

/// Steps that one agent takes in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// Who.
    pub who: String,
    /// The steps, as schedules name them.
    pub steps: Vec<String>,
}

impl Expectation {
    /// Whether it is one of this invariant, rather than of an end state.
    fn is_of(&self, invariant: &str) -> bool {
        self.text.split_once(' ').is_some_and(|(name, _)| name == invariant)
    }
}

impl Verdicts {
    /// The invariants with a verdict, in order.
    pub fn of(&self, verdict: &str) -> Vec<&Verdict> {
        self.invariants.iter().filter(|v| v.verdict == verdict).collect()
    }

    /// Whether anything was refuted: an invariant, an expectation, or that everybody finishes.
    pub fn refuted(&self) -> bool {
        !self.of("refuted").is_empty()
            || self.expectations.iter().any(|e| e.fate == "failed")
            || self.starvation.as_ref().is_some_and(|s| !s.starved.is_empty())
    }

    /// As one JSON document.
    pub fn json(&self) -> String {
        super::json::document(self)
    }

    /// As text in lines of at most `width` columns.
    pub fn text(&self, width: usize) -> String {
        let width = width.max(40);
        let mut out = String::new();
        text::title(&mut out, width, &self.setting, &format!("; {}", self.method));
        out.push('\n');
        self.counts(&mut out, width);
        self.verdicts(&mut out, width);
        self.expected(&mut out, width);
        self.starved(&mut out, width, true);
        for note in &self.notes {
            line(&mut out, width, "note", note);
        }
        if let Some(report) = &self.shown {
            out.push('\n');
            text::trace(&mut out, report, width);
            text::summary(&mut out, report, width);
            if let Some(finding) = report.findings.first() {
                out.push_str(&format!("rule     gupsim explain {}\n", finding.invariant));
            }
        }
        out
    }

    /// In a few lines of 80 columns at most, with a diagram of the run that is shown.
    pub fn brief(&self, width: usize) -> String {
        let width = brief::within(width);
        let mut out = String::new();
        text::title(&mut out, width, &self.setting, "");
        let states = format!("{}; {}", grouped(self.states), self.reach());
        line(&mut out, width, "states", &states);
        for v in self.of("refuted") {
            line(&mut out, width, "refuted", &self.refutation(v));
        }
        let vacuous = self.of("vacuous").len();
        for (verdict, style) in [("proved", HELD), ("bounded", WAIT)] {
            let names: Vec<&str> = self.of(verdict).iter().map(|v| v.invariant).collect();
            let text = match names.len() {
                0 => continue,
                1..=FEW => names.join(", "),
                n => format!("{n} invariants"),
            };
            line(&mut out, width, verdict, &paint(style, &text));
        }
        if vacuous > 0 {
            let text = format!("{vacuous} of {} invariants", self.invariants.len());
            line(&mut out, width, "vacuous", &text);
        }
        // What is expected of an invariant, and met, its verdict has said.
        let judged = |e: &&Expectation| self.invariants.iter().any(|v| e.is_of(v.invariant));
        let mut told: Vec<&Expectation> = Vec::new();
        for e in self.expectations.iter().filter(|e| e.fate != "met" || !judged(e)) {
            if !told.iter().any(|t| t.text == e.text) {
                self.expectation(&mut out, width, e);
            }
            told.push(e);
        }
        self.starved(&mut out, width, false);
        for note in &self.notes {
            line(&mut out, width, "note", note);
        }
        if let Some(report) = &self.shown {
            out.push('\n');
            brief::diagram(&mut out, report, width);
        }
        out
    }

    /// How far the search went.
    fn reach(&self) -> String {
        match self.bounds.is_empty() {
            true => paint(HELD, "complete"),
            false => paint(WAIT, &format!("cut by {}", self.bounds.join(" and "))),
        }
    }

    fn counts(&self, out: &mut String, width: usize) {
        let (states, transitions) = (grouped(self.states), grouped(self.transitions));
        let states = format!("{states}, {transitions} transitions; {}", self.reach());
        line(out, width, "states", &states);
        let Ends { finished, deadlock, stall, cut } = self.ends;
        let kinds = [
            (finished, "finished"),
            (deadlock, "in a deadlock"),
            (stall, "in a stall"),
            (cut, "cut because the state means nothing any more"),
        ];
        let some = kinds.iter().filter(|k| k.0 > 0);
        let some: Vec<String> = some.map(|(n, what)| format!("{} {what}", grouped(*n))).collect();
        let ends = if some.is_empty() { "none was reached".into() } else { some.join(", ") };
        line(out, width, "ends", &ends);
        let mistake = match self.collisions {
            None => format!("{:.1e} at most: two states with one fingerprint", self.collision),
            Some(0) => "none: whole states were compared, and no two have one fingerprint".into(),
            Some(n) => format!(
                "none: whole states were compared; fingerprints would have merged {} pairs",
                grouped(n)
            ),
        };
        line(out, width, "mistake", &mistake);
        out.push('\n');
    }

    /// What was refuted, and how much it takes to see it.
    fn refutation(&self, v: &Verdict) -> String {
        let mut text = paint(BROKEN, v.invariant);
        if !v.cycle.is_empty() {
            text.push_str(&format!(": taken in a circle: {}", v.cycle.join(" > ")));
        }
        if let Some(witness) = &v.witness {
            let shortest = if witness.shortest { "shortest run" } else { "shortest run seen" };
            text.push_str(&format!(", {shortest}: {}", steps(witness.steps)));
            let (with, all) = (v.violating_ends, self.ends.all());
            text.push_str(&format!("; in {} of {} end states", grouped(with), grouped(all)));
        }
        text
    }

    fn verdicts(&self, out: &mut String, width: usize) {
        for v in self.of("refuted") {
            line(out, width, "refuted", &self.refutation(v));
            if let Some(witness) = &v.witness {
                command(out, "         ", DIM, &shell::join(&witness.replay));
            }
        }
        let proved: Vec<&str> = self.of("proved").iter().map(|v| v.invariant).collect();
        if !proved.is_empty() {
            line(out, width, "proved", &paint(HELD, &proved.join(", ")));
        }
        let bounded = self.of("bounded");
        let mut by: Vec<&str> = bounded.iter().filter_map(|v| v.by).collect();
        by.dedup();
        for by in by {
            let names = bounded.iter().filter(|v| v.by == Some(by)).map(|v| v.invariant);
            let names = names.collect::<Vec<_>>().join(", ");
            line(out, width, "bounded", &paint(WAIT, &format!("by {by}: {names}")));
        }
        let vacuous: Vec<&str> = self.of("vacuous").iter().map(|v| v.invariant).collect();
        if !vacuous.is_empty() {
            let names = vacuous.join(", ");
            let text = format!("{names}: the premise arises in no interleaving");
            line(out, width, "vacuous", &text);
        }
    }

    fn expected(&self, out: &mut String, width: usize) {
        if !self.expectations.is_empty() {
            out.push('\n');
        }
        for e in &self.expectations {
            self.expectation(out, width, e);
        }
    }

    fn expectation(&self, out: &mut String, width: usize, e: &Expectation) {
        let style = match e.fate {
            "met" => HELD,
            "failed" => BROKEN,
            _ => WAIT,
        };
        let of = grouped(e.with + e.without);
        let fate = paint(style, e.fate);
        let text = format!("{}: {fate} ({} of {of} end states)", e.text, grouped(e.with));
        line(out, width, "expects", &text);
    }

    /// Who starves, and with which steps of the others; the command that shows it, if wanted.
    fn starved(&self, out: &mut String, width: usize, commands: bool) {
        let Some(starvation) = &self.starvation else { return };
        out.push('\n');
        for lasso in &starvation.starved {
            let Lasso { agent, stem, cycle, round, replay } = lasso;
            let text = format!(
                "{}: after {} the others can go round a fair cycle of {} for ever",
                paint(BROKEN, agent),
                steps(*stem),
                steps(*cycle)
            );
            line(out, width, "starved", &text);
            for stretch in round {
                let indent = " ".repeat(11);
                let text = format!("{}: {}", paint(STEP, &stretch.who), stretch.steps.join(", "));
                wrap(out, width, "         ", &indent, &text);
            }
            if commands {
                command(out, "         ", DIM, &shell::join(replay));
            }
        }
        let safe = |name: &&String| !starvation.starved.iter().any(|l| l.agent == **name);
        let safe: Vec<&str> = starvation.tested.iter().filter(safe).map(String::as_str).collect();
        if !safe.is_empty() {
            let text = match starvation.bound {
                None => format!("{} in every fair run", paint(HELD, &safe.join(", "))),
                Some(by) => format!("{} as far as the search went (cut by {by})", safe.join(", ")),
            };
            line(out, width, "finishes", &text);
        }
    }
}

impl Ends {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.finished + self.deadlock + self.stall + self.cut
    }
}

/// A line with its key in the first column.
pub fn line(out: &mut String, width: usize, key: &str, text: &str) {
    wrap(out, width, &format!("{key:<9}"), "         ", text);
}

/// A number of steps in words.
pub fn steps(n: usize) -> String {
    if n == 1 { "1 step".into() } else { format!("{n} steps") }
}

/// A number with its thousands apart.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let of = [0, 7, 999, 1000, 12_345, 1_234_567].map(grouped);
        assert_eq!(of, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
    }
}
