//! What a recording says in the words of conditions.

use super::super::super::observation::{FilePage, Observation};
use super::super::super::sequence::PAGE;
use super::super::super::sim::values::FIRST;
use super::super::forward::Written;
use super::super::names::FILES;
use super::{Of, What};
use crate::scenario::types::FsKind;

/// A scenario, and whose contents are which value: of the labels that write one, and of direct
/// reads, of which the recording says what they have read.
pub struct Scene<'a> {
    written: &'a Written<'a>,
    values: Vec<(&'a str, u32)>,
}

impl<'a> Scene<'a> {
    /// A scenario with what was recorded of its operations.
    pub fn of(written: &'a Written<'a>, of: &[Of]) -> Scene<'a> {
        let mut values: Vec<(&str, u32)> =
            written.values.iter().map(|(label, value)| (label.as_str(), *value)).collect();
        values.extend(of.iter().filter_map(|of| match &of.what {
            What::Wrote(text) => Some((written.labels.get(&of.op)?.as_str(), text.parse().ok()?)),
            _ => None,
        }));
        Scene { written, values }
    }

    fn is_dax(&self) -> bool {
        self.written.scenario.files.get(FILES[0]).is_some_and(|f| f.fs == FsKind::Dax)
    }
}

/// What is said of an operation; none if the scenario has no such operation, or conditions have no
/// word for it.
pub fn test(of: &Of, scene: &Scene) -> Option<String> {
    let label = scene.written.labels.get(&of.op)?;
    match &of.what {
        What::Errno(errno) => Some(format!("errno {label} = {errno}")),
        What::Fails => Some(format!("errno {label} != 0")),
        What::Returned(n) => Some(format!("result {label} = {n}")),
        What::Less(n) => Some(format!("result {label} < {n}")),
        What::Saw(text) => saw(&format!("read {label}"), &runs(text)?, scene),
        What::Wrote(_) => None,
    }
}

/// A value on some bytes of a page.
type Run<'a> = (&'a str, (u64, u64));

/// What a page is printed as: `V`, or `V@from-to ...`; none if it is anything else, or cut short.
fn runs(text: &str) -> Option<Vec<Run<'_>>> {
    let number = |v: &str| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit());
    let run = |run| -> Option<Run> {
        let Some((value, bytes)) = str::split_once(run, '@') else { return Some((run, (0, PAGE))) };
        let (from, to) = bytes.split_once('-')?;
        Some((value, (from.parse().ok()?, to.parse().ok()?)))
    };
    let all: Option<Vec<Run>> = text.split(' ').map(run).collect();
    all.filter(|all| all.iter().all(|(value, _)| number(value)))
}

/// What somebody has read: a whole page of one value, or one of several.
fn saw(what: &str, runs: &[Run], scene: &Scene) -> Option<String> {
    match runs {
        [(value, (0, PAGE))] => is(what, value, None, scene),
        [(first, _), rest @ ..] if rest.iter().any(|(value, _)| value != first) => {
            Some(format!("{what} = mixed"))
        }
        _ => None,
    }
}

/// That contents are a value: whoever of several may have written it. `page`: of the file; none if
/// it may be any.
fn is(what: &str, value: &str, page: Option<u32>, scene: &Scene) -> Option<String> {
    let number: u32 = value.parse().ok()?;
    let (written, all) = (scene.written, scene.values.iter().filter(|(_, v)| *v == number));
    let mut all: Vec<&str> = all.map(|(label, _)| *label).collect();
    let index = number.checked_sub(FIRST);
    if written.initial && index.is_some_and(|n| page.map_or(n < written.pages, |p| p == n)) {
        all.push("initial");
    }
    if number == 0 {
        all.push("zero");
        // A hole has no page of the device.
        all.extend((page.is_some() && scene.is_dax()).then_some("none"));
    }
    let tests: Vec<String> = all.into_iter().map(|word| format!("{what} = {word}")).collect();
    match tests.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        _ => Some(format!("({})", tests.join(" || "))),
    }
}

/// Contents of a page of the file, run by run.
fn contents(what: &str, page: u32, text: &str, scene: &Scene) -> Vec<String> {
    let at = format!("{what} {}[{page}]", FILES[0]);
    let test = |(value, (from, to)): Run| match (from, to) {
        (0, PAGE) => is(&at, value, Some(page), scene),
        _ => is(&format!("{at}.{from}-{to}"), value, Some(page), scene),
    };
    runs(text).unwrap_or_default().into_iter().filter_map(test).collect()
}

/// What was seen of the file after the last line. `fails`: whether writes have failed.
pub fn after(seen: &Observation, fails: bool, scene: &Scene) -> Vec<String> {
    let mut tests = Vec::new();
    if !seen.lacks("size") {
        tests.push(format!("size {} = {}", FILES[0], seen.size));
    }
    for (n, page) in (0..).zip(&seen.pages) {
        let lacks = |field: &str| seen.lacks(&format!("pages[{n}].{field}"));
        // A transfer that is held comes to an end in the scenario.
        if has(page, "WRITEBACK") {
            continue;
        }
        let cached = if lacks("cs") || lacks("in") { None } else { is_cached(page) };
        if !scene.is_dax() {
            let not = |cached| if cached { "" } else { "!" };
            tests.extend(cached.map(|cached| format!("{}cached {}[{n}]", not(cached), FILES[0])));
            if !page.id.is_empty() && !lacks("id") {
                tests.extend(counted(n, page, seen, fails, lacks));
            }
        }
        // read() of a hole of tmpfs brings no page.
        if (scene.is_dax() || cached == Some(true)) && !lacks("pread") {
            tests.extend(contents("page", n, page.pread.as_deref().unwrap_or_default(), scene));
        }
        match page.disk.as_deref().filter(|_| !lacks("disk")).unwrap_or_default() {
            "hole" | "delalloc" => tests.push(format!("disk {}[{n}] = none", FILES[0])),
            "unwritten" => tests.push(format!("disk {}[{n}] = zero", FILES[0])),
            text => tests.extend(contents("disk", n, text, scene)),
        }
    }
    tests
}

fn has(page: &FilePage, flag: &str) -> bool {
    page.fl.split('|').any(|f| f == flag)
}

/// Whether a page is cached, if that is known: mincore tells those alone that are uptodate.
fn is_cached(page: &FilePage) -> Option<bool> {
    match page.cs.as_bytes().first() {
        Some(b'0') => Some(false),
        Some(b'1') => Some(true),
        _ => (page.cached == 1).then_some(true),
    }
}

/// Flags and counts of a cached page.
fn counted(
    n: u32,
    page: &FilePage,
    seen: &Observation,
    fails: bool,
    lacks: impl Fn(&str) -> bool,
) -> Vec<String> {
    let at = format!("{}[{n}]", FILES[0]);
    let mut tests = Vec::new();
    if !fails && !lacks("fl") {
        let not = if has(page, "DIRTY") { "" } else { "!" };
        tests.push(format!("{not}dirty {at}"));
    }
    if page.mc >= 0 && !lacks("mc") {
        tests.push(format!("mapcount {at} = {}", page.mc));
    }
    // What is in the pipe is a reference, and no pin.
    let pins = seen.pins.iter().filter(|pin| pin.k != "vms" && pin.id == page.id).count();
    if pins > 0 && !seen.lacks("pins") {
        tests.push(format!("pins {at} = {pins}"));
    }
    tests
}
