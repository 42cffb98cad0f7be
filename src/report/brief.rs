//! A run in brief: a small diagram with a lane for each agent, to be taken in at a glance.
//!
//! A call is one line if nothing that is shown happens in between, else one where it begins and
//! one where it returns. Of the steps only those are shown that matter to what was found: both
//! halves of the race, what its second party had done just before, the last changes of the
//! evidence, and for waits who took what is waited for. Numbers say how much is left out.

use super::columns::{Columns, micros};
use super::data::*;
use super::paint::*;
use super::text;
use super::trace::{in_words, step_words};
use super::verdicts::{grouped, steps};
use crate::kernel::world::Kind;

/// Columns of a line, at most: it fits into a mail or a page beside its text.
const WIDTH: usize = 80;

/// Lines of a diagram, at most, unless more of them must be seen.
const MOST: usize = 16;

/// What a step has changed takes so many columns, at most.
const CHANGED: usize = 90;

/// How much a line matters; where there are too many, those that matter least go first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Weight {
    /// A wait that has come to its end.
    Aside,
    /// A change of the evidence.
    Trail,
    /// A call.
    Call,
    /// What leads to the finding.
    Leads,
    /// Both halves of the race, a wait without an end, a fault.
    Must,
}

/// What a line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What<'a> {
    /// A call that begins.
    Begins,
    /// A step of it.
    Does,
    /// A step of it that its end says as well.
    Took,
    /// The end of the call of this name; the text is the result.
    Ends(&'a str),
    /// All of it.
    Whole,
    /// A wait.
    Waits,
}

/// A line of the diagram; `times` of them, if the same was done over and over.
#[derive(Clone, Debug)]
struct Line<'a> {
    step: usize,
    time_ns: Option<u64>,
    agent: &'a str,
    what: What<'a>,
    weight: Weight,
    text: String,
    times: usize,
}

/// The whole report in brief.
pub fn render(report: &Report, width: usize) -> String {
    let width = within(width);
    let mut out = String::new();
    text::heading(&mut out, report, width);
    diagram(&mut out, report, width);
    if !report.prices.is_empty() {
        let price = |(name, n): &(&str, u64)| format!("{name} {}", grouped(*n));
        let prices: Vec<String> = report.prices.iter().map(price).collect();
        wrap(&mut out, width, "prices   ", "         ", &prices.join(", "));
    }
    out
}

/// The width that a text in brief has on a terminal of this width.
pub fn within(width: usize) -> usize {
    width.clamp(40, WIDTH)
}

/// The diagram, and what was found, in a line each.
pub fn diagram(out: &mut String, report: &Report, width: usize) {
    let mut all = all_lines(report);
    let (mut lines, mut drawn) = fitted(report, &all, width);
    for least in [Weight::Aside, Weight::Trail, Weight::Call, Weight::Leads] {
        // Of lines that matter as much, those go first that are farthest from the end.
        while drawn.lines().count() > MOST {
            let Some(at) = all.iter().position(|l| l.weight == least) else { break };
            all.remove(at);
            (lines, drawn) = fitted(report, &all, width);
        }
    }
    if !lines.is_empty() {
        out.push_str(&drawn);
    }
    let follows = report.about.as_ref().is_none_or(|a| !a.now.is_empty());
    if !lines.is_empty() && follows {
        out.push('\n');
    }
    for finding in &report.findings {
        let name = paint(BROKEN, &format!("** {} is broken:", finding.invariant));
        wrap(out, width, "", "   ", &format!("{name} {}", said(finding)));
    }
    if let Some(about) = report.about.as_ref().filter(|a| !a.now.is_empty()) {
        let text = format!("now {}", about.now.join("; now "));
        wrap(out, width, "", "   ", &paint(HELD, &text));
    } else if report.findings.is_empty() && report.about.is_none() {
        let first = if report.end.how == "limit" { "the first " } else { "" };
        let text = format!("nothing is broken in {first}{}", steps(report.end.steps));
        wrap(out, width, "", "   ", &paint(HELD, &text));
    }
}

/// As few lines as say it, and how they look.
fn fitted<'a>(report: &Report, all: &[Line<'a>], width: usize) -> (Vec<Line<'a>>, String) {
    let lines = repeated(merged(all.to_vec()));
    let drawn = drawn(report, &lines, width);
    (lines, drawn)
}

/// Lines in their lanes.
fn drawn(report: &Report, lines: &[Line], width: usize) -> String {
    let shown = |name: &&String| lines.iter().any(|l| l.agent == name.as_str());
    let agents: Vec<String> = report.agents.iter().filter(shown).cloned().collect();
    let last = lines.iter().map(|l| l.step).max().unwrap_or(0);
    let last_ns = lines.iter().filter_map(|l| l.time_ns).max();
    let columns = Columns::of(agents, last, last_ns, width);
    let mut out = String::new();
    wrap(&mut out, width, "", "      ", &columns.heading());
    for line in lines {
        let time = line.time_ns.map(micros).unwrap_or_default();
        let first = columns.before_step(line.agent, line.step, &time);
        let hang = format!("{}  ", columns.before_rest(line.agent));
        let mut text = line.text.clone();
        if line.times > 1 {
            text.push_str(&format!(" ({} times)", line.times));
        }
        wrap(&mut out, width, &first, &hang, &text);
    }
    out
}

/// What was seen; of waits, who waits for whom.
fn said(finding: &Finding) -> String {
    if finding.waits.is_empty() {
        let proof = finding.evidence.iter().map(|state| format!("; now {state}"));
        return format!("{}{}", finding.seen, proof.collect::<String>());
    }
    let wait = |wait: &Wait| {
        let mut who: Vec<&str> = wait.holders.iter().map(|h| h.agent.as_str()).collect();
        who.dedup();
        let whom = if who.is_empty() { wait.waits_for.clone() } else { who.join(" and ") };
        format!("{} waits for {whom}", wait.agent)
    };
    waits(finding).map(wait).collect::<Vec<_>>().join(", ")
}

/// The waits that a finding is about: the kernel's; the scenario's own if there are no others.
fn waits(finding: &Finding) -> impl Iterator<Item = &Wait> {
    let all_staged = finding.waits.iter().all(|w| w.staged);
    finding.waits.iter().filter(move |w| all_staged || !w.staged)
}

/// Every line that the diagram may have.
fn all_lines(report: &Report) -> Vec<Line<'_>> {
    let last = report.findings.iter().map(|f| f.second.step).max();
    let mut lines = Vec::new();
    let mut calls: Vec<(&str, &str)> = Vec::new();
    // After the last finding a run only comes to its end.
    for step in report.steps.iter().take_while(|s| last.is_none_or(|last| s.n <= last)) {
        of_step(report, step, &mut calls, &mut lines);
    }
    lines
}

/// What one step has to say. `calls` has who is in which call.
fn of_step<'a>(
    report: &'a Report,
    step: &'a Step,
    calls: &mut Vec<(&'a str, &'a str)>,
    lines: &mut Vec<Line<'a>>,
) {
    let line = |agent: &'a str, what: What<'a>, weight: Weight, text: String| Line {
        step: step.n,
        time_ns: step.time_ns,
        agent,
        what,
        weight,
        text,
        times: 1,
    };
    if let Some(call) = &step.begins {
        calls.retain(|(agent, _)| *agent != step.agent);
        calls.push((&step.agent, call));
        lines.push(line(&step.agent, What::Begins, Weight::Call, call.clone()));
    }
    if let Some((what, weight, text)) = matters(report, step) {
        lines.push(line(&step.agent, what, weight, text));
    }
    for wait in &step.blocks {
        let Some(agent) = report.agents.iter().find(|a| **a == wait.agent) else { continue };
        let same = |w: &Wait| w.agent == wait.agent && w.since == step.n;
        let found = report.findings.iter().flat_map(waits).any(same);
        if wait.staged && !found {
            continue;
        }
        let for_ever = found || report.end.waits.iter().any(same);
        let weight = match for_ever {
            true => Weight::Must,
            // Where nothing is broken, waiting may be all that there is to see.
            false if report.findings.is_empty() => Weight::Call,
            false => Weight::Aside,
        };
        let text = paint(WAIT, &format!("waits for {}", wait.waits_for));
        lines.push(line(agent, What::Waits, weight, text));
    }
    if let Some(returned) = &step.returns {
        let call = calls.iter().find(|(agent, _)| *agent == step.agent).map_or("", |c| c.1);
        let failed = returned.value < 0;
        let mut text = match failed || returned.told {
            true => paint(CALL, &format!(" [returns {}]", returned.word)),
            false => String::new(),
        };
        if !returned.seen.is_empty() {
            text.push_str(&format!(": {}", returned.seen));
        }
        let weight = if failed { Weight::Leads } else { Weight::Call };
        // Where it stands alone it has to say of what it is the end.
        let name = call.split(['(', ',']).next().unwrap_or(call);
        lines.push(line(&step.agent, What::Ends(name), weight, text));
    }
}

/// Whether a step matters, and what is said of it.
fn matters<'a>(report: &Report, step: &Step) -> Option<(What<'a>, Weight, String)> {
    let mut why: Vec<(What, Weight, String)> = Vec::new();
    let mut marks = String::new();
    let several = report.findings.len() > 1;
    for finding in &report.findings {
        if let Some(first) = finding.first.as_ref().filter(|h| h.step == step.n) {
            why.push((What::Does, Weight::Must, first.changed.clone()));
            let name = if several { format!(" {}", finding.invariant) } else { String::new() };
            marks.push_str(&format!(" <- (1){name}"));
        }
        if finding.second.step == step.n {
            why.push((What::Does, Weight::Must, finding.second.changed.clone()));
            marks.push_str(&format!(" <- (2) {}", finding.invariant));
        }
        if step.begins.is_none() && just_before(report, finding) == Some(step.n) {
            why.push((What::Does, Weight::Leads, String::new()));
        }
        let waits = finding.waits.iter().flat_map(|w| &w.holders);
        for holder in waits.chain(&finding.holders).filter(|h| h.since == Some(step.n)) {
            // Who has a lock is said nowhere else; who has a page, by the call that got it.
            why.push(match holder.holds {
                None => (What::Does, Weight::Leads, taken(step)),
                Some(_) => (What::Took, Weight::Trail, taken(step)),
            });
        }
    }
    let of_end = report.about.iter().map(|a| &a.trail);
    let trails = report.findings.iter().map(|f| &f.trail).chain(of_end).flatten();
    for (_, changed) in trails.filter(|t| t.0 == step.n) {
        why.push((What::Does, Weight::Trail, changed.clone()));
    }
    if step.outcome.is_some() {
        why.push((What::Does, Weight::Must, String::new()));
    }
    let weight = why.iter().map(|w| w.1).max()?;
    let took = why.iter().all(|w| w.0 == What::Took);
    let mut text = paint(STEP, &step_words(step));
    if let Some(outcome) = &step.outcome {
        text.push_str(&paint(WAIT, &format!(" [{outcome}]")));
    }
    if let Some((.., changed)) = why.iter().find(|w| !w.2.is_empty()) {
        text.push_str(&format!(": {}", cut(changed)));
    }
    text.push_str(&paint(HALF, &marks));
    Some((if took { What::Took } else { What::Does }, weight, text))
}

/// What a step took: a lock, a page for a slot, a device or a bio.
fn taken(step: &Step) -> String {
    use Kind::*;
    let kinds = [Pinned, Xlat, Bio, Pipe, FolioLock, LockState, CpuState];
    let some = step.changes.iter().filter(|c| kinds.iter().any(|k| k.label() == c.facet));
    in_words(&some.collect::<Vec<_>>())
}

/// A list that is not longer than it takes to see what it is about.
fn cut(list: &str) -> String {
    if list.chars().count() <= CHANGED {
        return list.to_string();
    }
    let fits: String = list.chars().take(CHANGED).collect();
    let end = fits.rfind([',', ';']).unwrap_or(fits.len());
    format!("{} ...", &fits[..end])
}

/// The last step that the agent of (2) made before (1), if it was in the same call by then: what
/// it had done when it was outrun.
fn just_before(report: &Report, finding: &Finding) -> Option<usize> {
    let (first, second) = (finding.first.as_ref()?, &finding.second);
    let own = |s: &&Step| s.agent == second.agent && s.n <= second.step;
    let begun = report.steps.iter().rfind(|s| own(s) && s.begins.is_some());
    let earlier = |s: &&Step| own(s) && s.n < first.step && begun.is_none_or(|b| s.n >= b.n);
    report.steps.iter().rfind(earlier).map(|s| s.n)
}

/// Calls on one line, where nothing else stands between their beginning and their end.
fn merged(lines: Vec<Line<'_>>) -> Vec<Line<'_>> {
    let mut out: Vec<Line> = Vec::new();
    for mut line in lines {
        if let What::Ends(name) = line.what {
            let own = |l: &&Line| l.agent == line.agent;
            let took = out.iter().rev().take_while(|l| own(l) && l.what == What::Took).count();
            let begin = out.len() - took;
            let whole = out[..begin].last().filter(own).is_some_and(|l| l.what == What::Begins);
            if whole {
                out.truncate(begin);
                if let Some(begun) = out.pop() {
                    line.text = format!("{}{}", paint(CALL, &begun.text), line.text);
                    line.what = What::Whole;
                }
            } else if line.text.is_empty() {
                continue;
            } else {
                line.text = format!("{}{}", paint(CALL, name), line.text);
            }
        }
        out.push(line);
    }
    for line in out.iter_mut().filter(|l| l.what == What::Begins) {
        line.text = paint(CALL, &format!("> {}", line.text));
    }
    out
}

/// What one agent does over and over, once.
fn repeated(lines: Vec<Line<'_>>) -> Vec<Line<'_>> {
    let mut out: Vec<Line> = Vec::new();
    for line in lines {
        let same =
            |l: &&mut Line| (l.agent, &l.what, &l.text) == (line.agent, &line.what, &line.text);
        match out.last_mut().filter(same) {
            Some(last) if line.what == What::Whole => {
                (last.step, last.time_ns) = (line.step, line.time_ns);
                last.times += 1;
            }
            _ => out.push(line),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(step: usize, agent: &'a str, what: What<'a>, text: &str) -> Line<'a> {
        let (time_ns, weight, text) = (None, Weight::Call, text.to_string());
        Line { step, time_ns, agent, what, weight, text, times: 1 }
    }

    /// The lines with their step, times and text, without styles.
    fn told(lines: Vec<Line>) -> Vec<(usize, usize, String)> {
        lines.iter().map(|l| (l.step, l.times, plain(&l.text))).collect()
    }

    #[test]
    fn a_call_is_one_line_if_nothing_else_happens_in_it() {
        let lines = vec![
            line(1, "app", What::Begins, "pin(buf) = a"),
            line(5, "app", What::Took, "F17: slot a[0]: empty -> pin"),
            line(7, "app", What::Ends("pin"), " [returns 1]"),
        ];
        assert_eq!(told(merged(lines)), [(7, 1, "pin(buf) = a [returns 1]".to_string())]);
    }

    #[test]
    fn a_call_in_which_another_acts_begins_and_ends() {
        let lines = vec![
            line(1, "app", What::Begins, "pin(buf) = a"),
            line(2, "nic", What::Begins, "dma write mr[0]"),
            line(3, "nic", What::Ends("dma write mr[0]"), ""),
            line(7, "app", What::Ends("pin"), " [returns 1]"),
        ];
        let expected =
            [(1, 1, "> pin(buf) = a"), (3, 1, "dma write mr[0]"), (7, 1, "pin [returns 1]")];
        assert_eq!(
            told(merged(lines)),
            expected.map(|(n, times, text)| (n, times, text.to_string()))
        );
    }

    #[test]
    fn an_end_that_says_nothing_is_left_out() {
        let lines = vec![
            line(1, "nic", What::Begins, "dma write mr[0]"),
            line(2, "nic", What::Does, "DMA: write first half"),
            line(3, "nic", What::Ends("dma write mr[0]"), ""),
        ];
        let expected = ["> dma write mr[0]", "DMA: write first half"];
        let told: Vec<String> = told(merged(lines)).into_iter().map(|l| l.2).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_done_over_and_over_is_one_line() {
        let lines = vec![
            line(3, "nic", What::Whole, "dma write mr[0]"),
            line(6, "nic", What::Whole, "dma write mr[0]"),
            line(9, "app", What::Whole, "dma write mr[0]"),
        ];
        let text = "dma write mr[0]".to_string();
        assert_eq!(told(repeated(lines)), [(6, 2, text.clone()), (9, 1, text)]);
    }

    #[test]
    fn a_long_list_of_changes_is_cut_between_two() {
        let list = "region mr: state registered -> gone, !write, !stopping, first buf[0] -> none, \
                    pages 1 -> 0, in_flight 0";
        assert_eq!(cut("!dirty, !prepared"), "!dirty, !prepared");
        assert!(cut(list).ends_with("none ..."), "{}", cut(list));
    }
}
