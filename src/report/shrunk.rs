//! What is left of a failing run when it is made simple, and what explains it, as data and as text.

use super::columns::{is_certain, percent};
use super::data::{Report, Setting};
use super::paint::{BROKEN, HELD, STEP, WAIT, command, paint};
use super::signature::Signature;
use super::text;
use super::verdicts::{line, searched};
use crate::engine::blame::Blame;
use crate::engine::shrink::NearestPass;
use crate::kernel::sim::Move;
use serde::Serialize;

/// Version of the shape of the JSON document; a field that changes its meaning bumps it.
pub const FORMAT: u32 = 1;

/// What was made simple.
#[derive(Clone, Debug, Serialize)]
pub struct Shrunk {
    /// [`FORMAT`].
    pub format: u32,
    /// What is left; its scenario is the file that was written.
    #[serde(rename = "shrink", serialize_with = "searched")]
    pub setting: Setting,
    /// What was given.
    pub finding: String,
    /// What makes the failure the same.
    pub fingerprint: Fingerprint,
    /// How large what was given is.
    pub before: Measures,
    /// How large what is left is.
    pub after: Measures,
    /// The nearest run that passes; absent if none differs by one stretch of one agent, or if the
    /// search for it was interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_pass: Option<Passes>,
    /// Whether that search was interrupted.
    #[serde(skip)]
    pub interrupted: bool,
    /// How likely the violation was all the way; absent for what has too many states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blame: Option<Odds>,
    /// The run up to its failure.
    pub shown: Report,
}

/// What makes two failures the same.
#[derive(Clone, Debug, Serialize)]
pub struct Fingerprint {
    /// The invariant.
    pub invariant: &'static str,
    /// The last step of somebody else that wrote some of the evidence, in the kernel's words; empty
    /// if there is none.
    pub first: &'static str,
    /// The step that broke it; empty if only the end of the run did.
    pub second: &'static str,
}

/// How large a scenario and its failing run are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Measures {
    /// Threads.
    pub threads: u64,
    /// Operations, repetitions included.
    pub operations: u64,
    /// Pages of files and anonymous memory.
    pub pages: u64,
    /// Faults that may happen.
    pub faults: u64,
    /// Steps of the run, up to the one that fails.
    pub steps: u64,
    /// Switches away from an agent that could have gone on.
    pub preemptions: u64,
}

/// The nearest run that does not fail.
#[derive(Clone, Debug, Serialize)]
pub struct Passes {
    /// The stretch of the failing run that is moved in it, in words.
    pub words: String,
    /// The numbers of its first and last step in the failing run.
    pub moved: (usize, usize),
    /// The step of the failing run that it comes before; one past the last if it comes at the end.
    pub before: usize,
    /// Whether it comes even later: when nobody else can go on.
    pub waited: bool,
    /// Its steps, if they were asked for, and those of the failing run, carried on past its
    /// failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<Beside>,
}

/// Two runs that differ by little.
#[derive(Clone, Debug, Serialize)]
pub struct Beside {
    /// The one that passes.
    pub passes: Report,
    /// The one that fails.
    pub fails: Report,
}

/// The probability, under the random walk, that the violation comes.
#[derive(Clone, Debug, Serialize)]
pub struct Odds {
    /// After 0, 1, 2 ... steps.
    pub after_steps: Vec<f64>,
    /// The number of the step from which it is inevitable; 0: it was so from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inevitable_from: Option<usize>,
    /// That in words.
    pub words: String,
}

impl From<Signature> for Fingerprint {
    fn from(signature: Signature) -> Fingerprint {
        let Signature { first, second, .. } = signature;
        Fingerprint { invariant: signature.invariant(), first, second }
    }
}

impl Measures {
    /// The size of a scenario, and steps and preemptions of its run.
    pub fn new(
        [threads, operations, pages, faults]: [u64; 4],
        [steps, preemptions]: [u64; 2],
    ) -> Self {
        Measures { threads, operations, pages, faults, steps, preemptions }
    }

    /// Each with its name.
    pub fn named(self) -> [(&'static str, u64); 6] {
        let Measures { threads, operations, pages, faults, steps, preemptions } = self;
        [
            ("threads", threads),
            ("operations", operations),
            ("pages", pages),
            ("faults", faults),
            ("steps", steps),
            ("preemptions", preemptions),
        ]
    }
}

impl Passes {
    /// A nearest pass of a run whose steps are these.
    pub fn new(near: &NearestPass<Move>, words: &[String], shown: Option<Beside>) -> Passes {
        let moved = (near.moved.start + 1, near.moved.end);
        let (before, waited) = (near.before + 1, near.waited);
        Passes { words: moved_words(near, words), moved, before, waited, shown }
    }
}

impl Odds {
    /// Of a run whose steps are these.
    pub fn new(blame: Blame, steps: &[String]) -> Odds {
        let words = blamed(&blame, steps);
        let certain_at_first = blame.after.first().copied().is_some_and(is_certain);
        let from = blame.inevitable_from.map(|n| if certain_at_first { 0 } else { n + 1 });
        Odds { after_steps: blame.after, inevitable_from: from, words }
    }

    /// Puts it beside the steps of a report that change it.
    pub fn beside(&self, report: &mut Report) {
        for step in &mut report.steps {
            let at = |n: usize| self.after_steps.get(n).copied();
            let (Some(now), Some(before)) = (at(step.n), at(step.n - 1)) else { continue };
            // What two states have in common may differ in the last bits.
            step.odds = Some(now).filter(|_| (now - before).abs() > 1e-9);
        }
    }
}

/// Which stretch of a run was moved, in words.
fn moved_words(near: &NearestPass<Move>, words: &[String]) -> String {
    let (from, end) = (near.moved.start, near.moved.end);
    let stretch = match end - from {
        1 => format!("step {} ({})", from + 1, words[from]),
        _ => format!("steps {} to {end} ({} to {})", from + 1, words[from], words[end - 1]),
    };
    match near.before {
        _ if near.waited => format!("if {stretch} came only when nobody else could go on"),
        to if to < from => format!("if {stretch} came before step {} ({})", to + 1, words[to]),
        to => format!("if {stretch} came only after step {to} ({})", words[to - 1]),
    }
}

/// Where a failure was lost, in words.
fn blamed(blame: &Blame, words: &[String]) -> String {
    let percent = |p: f64| match p {
        p if p > 0.0 && p < 0.001 => format!("1 in {:.0}", 1.0 / p),
        p => percent(p),
    };
    let first = blame.after.first().copied().unwrap_or(0.0);
    if is_certain(first) {
        return "every run breaks it, in whatever order".into();
    }
    let mut text = format!("of random runs {} break it", percent(first));
    let rises = blame.after.windows(2).map(|w| w[1] - w[0]).enumerate();
    if let Some((most, _)) = rises.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))) {
        let (from, to) = (percent(blame.after[most]), percent(blame.after[most + 1]));
        let step = &words[most];
        text.push_str(&format!("; step {} ({step}) raises that from {from} to {to}", most + 1));
    }
    if let Some(n) = blame.inevitable_from {
        text.push_str(&format!("; after step {} it is inevitable", n + 1));
    }
    text
}

impl Shrunk {
    /// As one JSON document.
    pub fn json(&self) -> String {
        super::json::document(self)
    }

    /// As text in lines of at most `width` columns.
    pub fn text(&self, width: usize) -> String {
        let width = width.max(40);
        let mut out = String::new();
        text::title(&mut out, width, &self.setting, "");
        out.push('\n');
        let Fingerprint { invariant, first, second } = self.fingerprint;
        let between = super::signature::between(first, second);
        line(&mut out, width, "failure", &format!("{}: {between}", paint(BROKEN, invariant)));
        let pairs = self.before.named().into_iter().zip(self.after.named());
        let sizes = pairs.map(|((key, from), (_, to))| match from == to {
            true => format!("{key} {to}"),
            false => format!("{key} {from} -> {to}"),
        });
        line(&mut out, width, "size", &sizes.collect::<Vec<_>>().join(", "));
        match &self.nearest_pass {
            Some(near) => line(&mut out, width, "passes", &paint(HELD, &near.words)),
            None if self.interrupted => {}
            None => {
                line(&mut out, width, "passes", "no run that differs by one stretch of one agent");
            }
        }
        if let Some(odds) = &self.blame {
            line(&mut out, width, "blame", &paint(WAIT, &odds.words));
        }
        let beside = self.nearest_pass.as_ref().and_then(|n| n.shown.as_ref());
        let mut shown = &self.shown;
        if let Some(Beside { passes, fails }) = beside {
            out.push_str("\nThe nearest run that does not fail:\n\n");
            text::trace(&mut out, passes, width);
            let failed = shown.end.steps;
            let on = match fails.end.steps > failed {
                true => format!(", at step {failed}, carried on"),
                false => String::new(),
            };
            out.push_str(&format!("The run that does{on}:\n"));
            shown = fails;
        }
        out.push('\n');
        text::trace(&mut out, shown, width);
        text::summary(&mut out, &self.shown, width);
        command(&mut out, "repeat   ", STEP, &super::shell::join(&self.setting.repeat));
        out
    }
}
