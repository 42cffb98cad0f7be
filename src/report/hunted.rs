//! What came of a hunt for broken claims, as data and as text.

use super::paint::{BROKEN, DIM, HELD, command, paint, wrap};
use super::shell;
use super::verdicts::{grouped, line};
use serde::Serialize;

/// Version of the shape of the JSON document.
pub const FORMAT: u32 = 1;

/// What came of a hunt.
#[derive(Clone, Debug, Serialize)]
pub struct Hunted {
    /// [`FORMAT`].
    pub format: u32,
    /// The seed of the scenarios.
    pub seed: u64,
    /// Who chose the moves.
    pub scheduler: &'static str,
    /// The designs, taken in turn.
    pub designs: Vec<String>,
    /// Scenarios that were made up.
    pub scenarios: u64,
    /// Runs of all of them.
    pub runs: u64,
    /// Steps of all runs.
    pub steps: u64,
    /// Each invariant.
    pub claims: Vec<Claimed>,
    /// Claims that do not hold.
    pub broken: Vec<Failed>,
}

/// How often an invariant was put to the test.
#[derive(Clone, Debug, Serialize)]
pub struct Claimed {
    /// The invariant.
    pub invariant: &'static str,
    /// Scenarios whose design claimed to keep it, and in which it could have been broken.
    pub tested: u64,
    /// Scenarios in which it was broken and no claim was made.
    pub unclaimed: u64,
}

/// A claim that does not hold.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// The invariant.
    pub invariant: &'static str,
    /// The two steps that conflict.
    pub between: String,
    /// The design.
    pub design: String,
    /// Scenarios in which it was broken.
    pub scenarios: u64,
    /// The first of them.
    pub number: u64,
    /// The command that prints it.
    pub repeat: String,
    /// The file that it was written to, made simple.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Hunted {
    /// As text in lines of at most `width` columns.
    pub fn text(&self, width: usize) -> String {
        let width = width.max(40);
        let mut out = String::new();
        let designs = self.designs.join(", ");
        let how = format!(
            "scenarios made up from seed {}; scheduler {}; designs in turn: {designs}",
            self.seed, self.scheduler
        );
        wrap(&mut out, width, "", "  ", &how);
        out.push('\n');
        let (scenarios, runs) = (grouped(self.scenarios), grouped(self.runs));
        let text = format!("{scenarios} scenarios, {runs} runs, {} steps", grouped(self.steps));
        line(&mut out, width, "ran", &text);
        let broken = |c: &&Claimed| self.broken.iter().any(|b| b.invariant == c.invariant);
        let kept = self.claims.iter().filter(|c| c.tested > 0 && !broken(c));
        let kept: Vec<String> =
            kept.map(|c| format!("{} ({})", c.invariant, grouped(c.tested))).collect();
        if !kept.is_empty() {
            line(&mut out, width, "kept", &paint(HELD, &kept.join(", ")));
        }
        let open = self.claims.iter().filter(|c| c.unclaimed > 0);
        let open: Vec<String> =
            open.map(|c| format!("{} ({})", c.invariant, grouped(c.unclaimed))).collect();
        if !open.is_empty() {
            let text = format!("broken where no design claims to keep it: {}", open.join(", "));
            line(&mut out, width, "open", &text);
        }
        let mut kinds: Vec<&Failed> = self.broken.iter().collect();
        kinds.sort_by_key(|b| (b.invariant, &b.design, b.number));
        for of_one in kinds.chunk_by(|a, b| (a.invariant, &a.design) == (b.invariant, &b.design)) {
            claim(&mut out, width, of_one);
        }
        out
    }
}

/// What broke a claim of one design: in how many ways, and the first of them.
fn claim(out: &mut String, width: usize, kinds: &[&Failed]) {
    let Some(first) = kinds.first() else { return };
    let ways = if kinds.len() == 1 { "way" } else { "ways" };
    let text = format!(
        "{}: claimed by {}, broken in {} {ways}; first: {}",
        paint(BROKEN, first.invariant),
        first.design,
        grouped(kinds.len() as u64),
        first.between
    );
    line(out, width, "broken", &text);
    command(out, "         ", DIM, &first.repeat);
    for file in kinds.iter().filter_map(|b| b.file.as_ref()) {
        let words = ["gupsim".into(), "replay".into(), file.clone()];
        command(out, "         ", DIM, &shell::join(&words));
    }
}
