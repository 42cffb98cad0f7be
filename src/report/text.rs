//! The report for a terminal: a column per agent, a line per step, violations where they happen.

use super::columns::{Columns, is_certain, micros, percent};
use super::data::*;
use super::paint::*;
use super::trace::{in_words, step_words};
use super::verdicts::grouped;

/// Most waits that are listed in one place.
const WAITS: usize = 12;

/// The whole report, with styles, in lines of at most `width` columns.
pub fn render(report: &Report, width: usize) -> String {
    let width = width.max(40);
    let mut out = String::new();
    heading(&mut out, report, width);
    trace(&mut out, report, width);
    summary(&mut out, report, width);
    command(&mut out, "repeat   ", STEP, &report.command());
    if let Some(finding) = report.findings.first() {
        out.push_str(&format!("rule     gupsim explain {}\n", finding.invariant));
    }
    out
}

/// What was run.
pub fn heading(out: &mut String, report: &Report, width: usize) {
    let setting = &report.setting;
    let moves = match (setting.scheduled, setting.timed) {
        (0, false) => format!("; seed {}, moves in any order", setting.seed),
        (0, true) => format!("; seed {}, moves when they are due", setting.seed),
        (n, false) if n >= report.end.steps => "; moves as scheduled".into(),
        (n, _) => format!("; the first {n} moves as scheduled, then seed {}", setting.seed),
    };
    title(out, width, setting, &moves);
    out.push('\n');
}

/// The scenario, and the design with how it was put to the test.
pub fn title(out: &mut String, width: usize, setting: &Setting, how: &str) {
    let title = format!("{}: {}", paint(STEP, &setting.scenario), setting.title);
    wrap(out, width, "", "  ", &title);
    wrap(out, width, "", "  ", &(design(setting) + how));
}

/// The design: a preset, and the axes that differ from it.
pub fn design(setting: &Setting) -> String {
    let mut how = setting.preset.clone();
    for axis in &setting.differs {
        let value = setting.strategy.iter().find(|(flag, _)| flag == axis).map_or("", |v| v.1);
        how.push_str(&format!(", {axis}={value}"));
    }
    how
}

/// The steps in columns, with the violations where they happened.
pub fn trace(out: &mut String, report: &Report, width: usize) {
    let (shown, of) = (report.steps.len(), report.end.steps);
    if shown < of {
        let text = match shown {
            0 => format!("none of the {of} steps is shown (--trace shows all)"),
            _ => format!(
                "{shown} of {of} steps are shown: those that violations and waits speak of \
                 (--trace shows all)"
            ),
        };
        wrap(out, width, "", "", &paint(DIM, &text));
        out.push('\n');
    }
    if shown == 0 {
        return;
    }
    let columns = Columns::new(report, width);
    wrap(out, width, "", "      ", &columns.heading());
    let mut last = 0;
    for step in &report.steps {
        if step.n != last + 1 {
            out.push_str(&paint(DIM, "   ..."));
            out.push('\n');
        }
        last = step.n;
        step_lines(out, report, &columns, step);
    }
    if !out.ends_with("\n\n") {
        out.push('\n');
    }
}

fn step_lines(out: &mut String, report: &Report, columns: &Columns, step: &Step) {
    let (width, rest) = (columns.width(), columns.before_rest(&step.agent));
    let hang = format!("{rest}  ");
    if let Some(call) = &step.begins {
        let first = columns.before_call(&step.agent);
        wrap(out, width, &first, &hang, &paint(CALL, &format!("> {call}")));
    }
    let margin = step.time_ns.map(micros).or_else(|| step.odds.map(percent)).unwrap_or_default();
    let first = columns.before_step(&step.agent, step.n, &margin);
    wrap(out, width, &first, &hang, &does(report, step));
    for wait in &step.blocks {
        let who = if wait.agent == step.agent { String::new() } else { format!("{} ", wait.agent) };
        let text = paint(WAIT, &format!("{who}waits for {}", waits_for(wait)));
        wrap(out, width, &hang, &format!("{hang}  "), &text);
    }
    let mut broken = report.findings.iter().filter(|f| f.second.step == step.n).peekable();
    if broken.peek().is_some() {
        out.push('\n');
    }
    for finding in broken {
        violation(out, finding, width);
        out.push('\n');
    }
}

/// A step: its words, what it changed, what it returned, what it means for others.
fn does(report: &Report, step: &Step) -> String {
    let mut text = paint(STEP, &step_words(step));
    if let Some(outcome) = &step.outcome {
        text.push_str(&paint(WAIT, &format!(" [{outcome}]")));
    }
    if !step.changes.is_empty() {
        text.push_str(": ");
        text.push_str(&in_words(&step.changes.iter().collect::<Vec<_>>()));
    }
    if let Some(returned) = &step.returns {
        text.push_str(&paint(CALL, &format!(" [returns {}]", returned.word)));
    }
    if !step.wakes.is_empty() {
        text.push_str(&paint(WAIT, &format!(" [wakes {}]", step.wakes.join(", "))));
    }
    if step.odds.is_some_and(is_certain) {
        text.push_str(&paint(WAIT, " <- inevitable from here"));
    }
    for finding in &report.findings {
        let half = |n: u8| paint(HALF, &format!(" <- ({n}) {}", finding.invariant));
        if finding.first.as_ref().is_some_and(|h| h.step == step.n) {
            text.push_str(&half(1));
        }
        if finding.second.step == step.n {
            text.push_str(&half(2));
        } else if step.breaks.contains(&finding.invariant) {
            text.push_str(&paint(HALF, &format!(" <- {} again", finding.invariant)));
        }
    }
    text
}

/// What a wait is for and who stands in the way.
fn waits_for(wait: &Wait) -> String {
    let holders: Vec<String> = wait.holders.iter().map(holder).collect();
    match holders.is_empty() {
        true => wait.waits_for.clone(),
        false => format!("{}: {}", wait.waits_for, holders.join("; ")),
    }
}

fn holder(holder: &Holder) -> String {
    let mut text = match &holder.holds {
        Some(holds) => format!("{} has {holds}", holder.agent),
        None => format!("held by {}", holder.agent),
    };
    if let Some(since) = holder.since {
        text.push_str(&format!(" since step {since}"));
    }
    if let Some(by) = &holder.by {
        text.push_str(&format!(" ({by})"));
    }
    text
}

/// A violation: the rule, both halves of the race, the evidence, who holds the page.
pub fn violation(out: &mut String, finding: &Finding, width: usize) {
    let name = paint(BROKEN, &format!("** {} is broken:", finding.invariant));
    wrap(out, width, "  ", "     ", &format!("{name} {}", finding.rule));
    let mut item = |key: &str, text: &str| {
        let first = format!("     {}", paint(HALF, &fit(key, 7)));
        // `paint` leaves no style on blanks; the key keeps its width.
        wrap(out, width, &first, &" ".repeat(12), text);
    };
    let half = |half: &Half| {
        let stack = half.stack.iter().skip(1).copied().collect::<Vec<_>>().join(" > ");
        let stack = if stack.is_empty() { stack } else { format!(" [in {stack}]") };
        let changed = match half.changed.is_empty() {
            true => String::new(),
            false => format!(": {}", half.changed),
        };
        format!("step {}, {}, {}{changed}{stack}", half.step, half.agent, half.does)
    };
    if let Some(first) = &finding.first {
        item("(1)", &half(first));
    }
    item("(2)", &half(&finding.second));
    item("seen", &finding.seen);
    finding.evidence.iter().for_each(|state| item("now", state));
    finding.holders.iter().for_each(|h| item("held", &holder(h)));
    for wait in finding.waits.iter().take(WAITS) {
        item("waits", &wait_line(wait));
    }
    if finding.waits.len() > WAITS {
        item("waits", &format!("and {} more", finding.waits.len() - WAITS));
    }
    item("source", finding.source);
}

/// A wait as a sentence.
fn wait_line(wait: &Wait) -> String {
    let Wait { agent, since, before, .. } = wait;
    format!("{agent}, since step {since}, before {before}: waits for {}", waits_for(wait))
}

/// How the run ended, and the verdict of each invariant.
pub fn summary(out: &mut String, report: &Report, width: usize) {
    let end = &report.end;
    let time = end.time_ns.map(|ns| format!(", {} us simulated", micros(ns))).unwrap_or_default();
    let how = match end.how {
        "finished" => "finished",
        "deadlock" => "ended in a deadlock",
        "stall" => "ended in a stall",
        "cut" => "cut, because the state means nothing any more",
        _ => "stopped at the limit of steps",
    };
    let steps = if end.steps == 1 { "1 step".into() } else { format!("{} steps", end.steps) };
    wrap(out, width, "ended    ", "         ", &format!("{how} after {steps}{time}"));
    // A finding about waits has said it already.
    let said = report.findings.iter().any(|f| !f.waits.is_empty());
    for wait in end.waits.iter().filter(|_| !said).take(WAITS) {
        wrap(out, width, "         ", "           ", &paint(WAIT, &wait_line(wait)));
    }
    if !said && end.waits.len() > WAITS {
        let more = format!("         and {} more\n", end.waits.len() - WAITS);
        out.push_str(&more);
    }
    let of = |verdict: &str| -> Vec<&Verdict> {
        report.verdicts.iter().filter(|v| v.verdict == verdict).collect()
    };
    let broken: Vec<String> = of("broken").into_iter().map(|v| times(report, v)).collect();
    if !broken.is_empty() {
        let text = paint(BROKEN, &broken.join(", "));
        wrap(out, width, "broken   ", "         ", &text);
    }
    let held: Vec<&str> = of("held").into_iter().map(|v| v.invariant).collect();
    if !held.is_empty() {
        wrap(out, width, "held     ", "         ", &paint(HELD, &held.join(", ")));
    }
    let vacuous = of("vacuous").len();
    if vacuous > 0 {
        let text = match vacuous {
            1 => "1 invariant says nothing: its premise never arose in this run".to_string(),
            n => format!("{n} invariants say nothing: their premises never arose in this run"),
        };
        wrap(out, width, "vacuous  ", "         ", &text);
    }
    if !report.prices.is_empty() {
        let price = |(name, n): &(&str, u64)| format!("{name} {}", grouped(*n));
        let prices: Vec<String> = report.prices.iter().map(price).collect();
        wrap(out, width, "prices   ", "         ", &prices.join(", "));
    }
}

/// A broken invariant with the step that first broke it, and how often.
fn times(report: &Report, verdict: &Verdict) -> String {
    let finding = report.findings.iter().find(|f| f.invariant == verdict.invariant);
    let at = verdict.step.map_or("at the end".to_string(), |n| format!("step {n}"));
    match finding.map_or(1, |f| f.times) {
        0 | 1 => format!("{} ({at})", verdict.invariant),
        n => format!("{} ({at}, {n} times)", verdict.invariant),
    }
}
