//! What many random runs say, as data and as text.

use super::data::Setting;
use super::paint::{BROKEN, DIM, HELD, command, paint, wrap};
use super::verdicts::{grouped, line, searched, steps};
use super::{shell, text};
use crate::kernel::invariant::{self, TABLE};
use serde::Serialize;

/// The name of the invariant that is judged over all runs together.
const LOCK_ORDER: &str = TABLE[invariant::LOCK_ORDER].name;

/// Version of the shape of the JSON document; a field that changes its meaning bumps it.
pub const FORMAT: u32 = 1;

/// What many runs of one scenario say.
#[derive(Clone, Debug, Serialize)]
pub struct Runs {
    /// [`FORMAT`].
    pub format: u32,
    /// What was run.
    #[serde(rename = "fuzz", serialize_with = "searched")]
    pub setting: Setting,
    /// Who chose the moves.
    pub scheduler: &'static str,
    /// The seed.
    pub seed: u64,
    /// What the scheduler promises, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<String>,
    /// Runs.
    pub runs: u64,
    /// Steps of all runs.
    pub steps: u64,
    /// Distinct states.
    pub states: u64,
    /// Whether there were more states than memory to count them.
    pub more_states: bool,
    /// Runs that were made again and compared step by step.
    pub checked: u64,
    /// Runs by how they ended: finished, deadlock, stall, cut, limit on steps.
    pub ends: [u64; 5],
    /// What was broken, and how often.
    pub broken: Vec<Broken>,
    /// Invariants that held although their premise arose, with the number of runs in which it
    /// did.
    pub held: Vec<Held>,
    /// Invariants whose premise never arose.
    pub vacuous: Vec<&'static str>,
    /// Locks that were taken in a circle, over all runs together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub circle: Vec<&'static str>,
}

/// A broken invariant.
#[derive(Clone, Debug, Serialize)]
pub struct Broken {
    /// The invariant.
    pub invariant: &'static str,
    /// Runs in which it was broken.
    pub runs: u64,
    /// The 95% interval of the probability that a run breaks it.
    pub interval: (f64, f64),
    /// The run that breaks it after the fewest steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quickest: Option<Quickest>,
    /// What is left of that run when it is made as simple as it gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simple: Option<Simple>,
    /// The kinds of failure: between which two steps.
    pub kinds: Vec<Kind>,
}

/// A run that breaks an invariant early.
#[derive(Clone, Debug, Serialize)]
pub struct Quickest {
    /// Its number.
    pub run: u64,
    /// After how many steps.
    pub steps: usize,
    /// The command that shows it, word by word.
    pub repeat: Vec<String>,
}

/// A failing run made simple.
#[derive(Clone, Debug, Serialize)]
pub struct Simple {
    /// Its steps.
    pub steps: usize,
    /// Its switches away from an agent that could have gone on.
    pub preemptions: usize,
    /// The command that shows it, word by word.
    pub replay: Vec<String>,
}

/// A kind of failure.
#[derive(Clone, Debug, Serialize)]
pub struct Kind {
    /// The two steps that conflict.
    pub between: String,
    /// The first run in which it was seen.
    pub run: u64,
    /// The file that it was written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// An invariant that held.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// The invariant.
    pub invariant: &'static str,
    /// Runs in which its premise arose.
    pub reached: u64,
}

/// What was counted beside runs: steps, distinct states (and whether there were more than memory to
/// count them), runs that were made again.
pub(super) fn counts(steps: u64, (states, more): (u64, bool), checked: u64) -> String {
    let more = if more { "at least " } else { "" };
    let again = match checked {
        0 => String::new(),
        n => format!("; {} made again, step by step the same", grouped(n)),
    };
    format!("{} steps, {more}{} distinct states{again}", grouped(steps), grouped(states))
}

/// So many of all, and what that says of those that were not made.
pub(super) fn share(some: u64, all: u64, of: &str, (low, high): (f64, f64)) -> String {
    let (some, all, low, high) = (grouped(some), grouped(all), low * 100.0, high * 100.0);
    format!("{some} of {all} {of}, {low:.3}% to {high:.3}% of all (95%)")
}

impl Runs {
    /// Whether anything was broken: in a run, or over all of them.
    pub fn violated(&self) -> bool {
        !self.broken.is_empty() || !self.circle.is_empty()
    }

    /// As text in lines of at most `width` columns.
    pub fn text(&self, width: usize) -> String {
        let width = width.max(40);
        let mut out = String::new();
        let how = format!("; scheduler {}, seed {}", self.scheduler, self.seed);
        text::title(&mut out, width, &self.setting, &how);
        out.push('\n');
        self.counts(&mut out, width);
        for broken in &self.broken {
            self.failure(&mut out, width, broken);
        }
        if !self.circle.is_empty() {
            let name = paint(BROKEN, LOCK_ORDER);
            let circle = self.circle.join(" > ");
            let text = format!("{name}: over all runs together, taken in a circle: {circle}");
            line(&mut out, width, "broken", &text);
        }
        if !self.held.is_empty() {
            let held = |h: &Held| format!("{} (at risk in {})", h.invariant, grouped(h.reached));
            let names = self.held.iter().map(held).collect::<Vec<_>>().join(", ");
            line(&mut out, width, "held", &paint(HELD, &names));
        }
        if !self.vacuous.is_empty() {
            let names = self.vacuous.join(", ");
            line(&mut out, width, "vacuous", &format!("{names}: the premise never arose"));
        }
        out
    }

    fn counts(&self, out: &mut String, width: usize) {
        let counts = counts(self.steps, (self.states, self.more_states), self.checked);
        let text = format!("{}, {counts}", grouped(self.runs));
        line(out, width, "runs", &text);
        let kinds = ["finished", "in a deadlock", "in a stall", "cut", "at the limit of steps"];
        let some = self.ends.iter().zip(kinds).filter(|(n, _)| **n > 0);
        let some: Vec<String> = some.map(|(n, kind)| format!("{} {kind}", grouped(*n))).collect();
        line(out, width, "ends", &some.join(", "));
        if let Some(guarantee) = &self.guarantee {
            line(out, width, "promise", guarantee);
        }
        out.push('\n');
    }

    fn failure(&self, out: &mut String, width: usize, broken: &Broken) {
        let share = share(broken.runs, self.runs, "runs", broken.interval);
        let mut text = format!("{}: in {share}", paint(BROKEN, broken.invariant));
        if let Some(quickest) = &broken.quickest {
            let after = steps(quickest.steps);
            text.push_str(&format!("; quickest: run {}, after {after}", quickest.run));
        }
        line(out, width, "broken", &text);
        if let Some(quickest) = &broken.quickest {
            command(out, "         ", DIM, &shell::join(&quickest.repeat));
        }
        if let Some(simple) = &broken.simple {
            let preemptions = match simple.preemptions {
                1 => "1 preemption".into(),
                n => format!("{n} preemptions"),
            };
            let text = format!("made simple: {}, {preemptions}", steps(simple.steps));
            wrap(out, width, "         ", "         ", &text);
            command(out, "         ", DIM, &shell::join(&simple.replay));
        }
        for kind in &broken.kinds {
            let file = kind.file.as_ref().map(|f| format!(": {f}")).unwrap_or_default();
            let text = format!("{} (run {}){file}", kind.between, kind.run);
            wrap(out, width, "         - ", "           ", &text);
        }
    }
}
