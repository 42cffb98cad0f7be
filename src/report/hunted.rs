//! What came of a hunt for broken claims, as data and as text.

use super::paint::{BROKEN, DIM, HELD, command, paint, wrap};
use super::runs::{Quickest, counts, share};
use super::shell;
use super::verdicts::{grouped, line, steps};
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
    /// Distinct states, those of each scenario.
    pub states: u64,
    /// Whether there were more states than memory to count them.
    pub more_states: bool,
    /// Runs that were made again and compared step by step.
    pub checked: u64,
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
    /// Runs in which its premise arose, under whatever design.
    pub reached: u64,
    /// Scenarios whose design claimed to keep it, and in which its premise arose.
    pub tested: u64,
    /// Those of them in which it was broken.
    pub broken: u64,
    /// The 95% interval of the probability that such a scenario breaks it. Scenarios are drawn
    /// independently of each other; the runs of one are not.
    pub interval: (f64, f64),
    /// The run that breaks the claim after the fewest steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quickest: Option<Earliest>,
    /// Scenarios in which it was broken and no claim was made.
    pub unclaimed: u64,
}

/// A run of a made-up scenario that breaks a claim early.
#[derive(Clone, Debug, Serialize)]
pub struct Earliest {
    /// The number of the scenario.
    pub number: u64,
    /// The run.
    #[serde(flatten)]
    pub run: Quickest,
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
        let text = format!(
            "{} scenarios, {} runs, {}",
            grouped(self.scenarios),
            grouped(self.runs),
            counts(self.steps, (self.states, self.more_states), self.checked)
        );
        line(&mut out, width, "ran", &text);
        self.table(&mut out, width);
        let mut kinds: Vec<&Failed> = self.broken.iter().collect();
        kinds.sort_by_key(|b| (b.invariant, &b.design, b.number));
        for claim in self.claims.iter().filter(|c| c.broken > 0) {
            lost(&mut out, width, claim);
            let own: Vec<&Failed> =
                kinds.iter().filter(|b| b.invariant == claim.invariant).copied().collect();
            own.chunk_by(|a, b| a.design == b.design).for_each(|d| design(&mut out, width, d));
        }
        out
    }

    /// Each invariant: how often its premise arose, how its claims fared, and what else broke it.
    fn table(&self, out: &mut String, width: usize) {
        out.push('\n');
        let heading = format!(
            "{:22}{:>10}{:>10}{:>8}  {:21}{:>6}",
            "rule", "at risk", "claimed", "broken", "of all (95%)", "open"
        );
        out.push_str(&(paint(DIM, &heading) + "\n"));
        for c in &self.claims {
            let (low, high) = c.interval;
            let interval = match c.tested {
                0 => "-".into(),
                _ => format!("{:.3}% to {:.3}%", low * 100.0, high * 100.0),
            };
            let style = if c.broken > 0 { BROKEN } else { HELD };
            let of = |n: u64| if n == 0 { "-".to_string() } else { grouped(n) };
            let broken = if c.tested == 0 { "-".into() } else { grouped(c.broken) };
            let row = format!(
                "{:22}{:>10}{:>10}{}  {interval:21}{:>6}",
                c.invariant,
                of(c.reached),
                of(c.tested),
                paint(style, &format!("{broken:>8}")),
                of(c.unclaimed)
            );
            out.push_str(&(row + "\n"));
        }
        let legend = "at risk: runs in which its premise arose; claimed: scenarios whose design \
                      claims to keep it, at risk; broken: those of them in which it was, and the \
                      probability that such a scenario breaks it; open: scenarios in which it was \
                      broken and nobody claims to keep it";
        wrap(out, width, "", "  ", &paint(DIM, legend));
        if !self.broken.is_empty() {
            out.push('\n');
        }
    }
}

/// A claim that was broken: how often, and the quickest run that breaks it.
fn lost(out: &mut String, width: usize, claim: &Claimed) {
    let name = paint(BROKEN, claim.invariant);
    let all = "scenarios whose design claims it and in which it was at risk";
    let share = share(claim.broken, claim.tested, all, claim.interval);
    let text = format!("{name}: in {share}");
    let Some(Earliest { number, run }) = &claim.quickest else {
        return line(out, width, "broken", &text);
    };
    let after = steps(run.steps);
    let text = format!("{text}; quickest: run {} of scenario {number}, after {after}", run.run);
    line(out, width, "broken", &text);
    command(out, "         ", DIM, &shell::join(&run.repeat));
}

/// What broke a claim of one design: in how many ways, and the first of them.
fn design(out: &mut String, width: usize, kinds: &[&Failed]) {
    let Some(first) = kinds.first() else { return };
    let ways = if kinds.len() == 1 { "way" } else { "ways" };
    let text = format!(
        "claimed by {}, broken in {} {ways}; first: {}",
        first.design,
        grouped(kinds.len() as u64),
        first.between
    );
    wrap(out, width, "         - ", "           ", &text);
    command(out, "           ", DIM, &first.repeat);
    for file in kinds.iter().filter_map(|b| b.file.as_ref()) {
        let words = ["gupsim".into(), "replay".into(), file.clone()];
        command(out, "           ", DIM, &shell::join(&words));
    }
}
