//! Pages left out of what a scenario speaks of: operations on fewer, files and mappings with fewer,
//! and the numbers of those behind them moved up.

use crate::scenario::compile::place::parse;
use crate::scenario::types::{File, Scenario};
use crate::scenario::write::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Bytes of a page.
const PAGE: u64 = crate::kernel::world::plan::PAGE_SIZE as u64;

/// Pages that a file may ever have.
pub fn of_file(file: &File) -> u64 {
    let bytes = || file.bytes.map(|b| b.div_ceil(PAGE));
    let pages = |n: Option<u32>| n.map(u64::from);
    pages(file.capacity).or_else(|| pages(file.pages)).or_else(bytes).unwrap_or(1)
}

/// The pages that go, by the name of the mapping, region or slot whose pages they are.
type Gone = BTreeMap<String, BTreeSet<u32>>;

/// Calls `f` with each operation of a program: its name and its arguments.
fn operations(node: &mut Node, f: &mut dyn FnMut(&str, &mut Node)) {
    match node {
        Node::List(list) => list.iter_mut().for_each(|n| operations(n, f)),
        Node::Object(map) => {
            for (key, inner) in map.iter_mut() {
                f(key, inner);
                operations(inner, f);
            }
        }
        Node::Null(()) | Node::Flag(_) | Node::Number(_) | Node::Text(_) => {}
    }
}

/// Calls `f` with each text of a tree.
fn texts(node: &mut Node, f: &mut dyn FnMut(&mut String)) {
    match node {
        Node::Text(text) => f(text),
        Node::List(list) => list.iter_mut().for_each(|n| texts(n, f)),
        Node::Object(map) => map.values_mut().for_each(|n| texts(n, f)),
        Node::Null(()) | Node::Flag(_) | Node::Number(_) => {}
    }
}

/// The programs of a scenario.
fn programs(root: &mut Node) -> Option<&mut Node> {
    match root {
        Node::Object(map) => map.get_mut("threads"),
        _ => None,
    }
}

/// Lengths of the mappings of a scenario.
fn lengths(scenario: &Scenario) -> BTreeMap<&str, u32> {
    let length = |m: &crate::scenario::types::Mapping| {
        let file = m.file.as_ref().and_then(|f| scenario.files.get(f));
        let rest = file.map_or(1, |f| of_file(f).saturating_sub(m.first.into()));
        m.pages.unwrap_or(u32::try_from(rest).unwrap_or(u32::MAX))
    };
    scenario.mappings.iter().map(|(name, m)| (name.as_str(), length(m))).collect()
}

/// The pages of an address: all of a mapping if it names none.
fn range(text: &str, lengths: &BTreeMap<&str, u32>) -> Option<(String, Range<u32>)> {
    let place = parse(text).ok()?;
    let (from, to) = match place.pages {
        Some(pages) => pages,
        None => (0, *lengths.get(place.name)?),
    };
    Some((place.name.to_string(), from..to))
}

/// How many pages the operations of a scenario, which is written so, speak of.
pub fn spoken_of(scenario: &Scenario, root: &Node) -> u64 {
    let (mut root, mut total) = (root.clone(), 0u64);
    let lengths = lengths(scenario);
    let mut count = |text: &mut String| {
        let pages = range(text, &lengths).map_or(0, |(_, pages)| pages.len() as u64);
        total = total.saturating_add(pages);
    };
    if let Some(programs) = programs(&mut root) {
        texts(programs, &mut count);
    }
    total
}

/// An address of pages.
fn written(name: &str, pages: &Range<u32>) -> String {
    match pages.len() {
        1 => format!("{name}[{}]", pages.start),
        _ => format!("{name}[{}..{}]", pages.start, pages.end),
    }
}

/// Parts of a range: halves, without its ends, and each page alone.
fn parts(whole: &Range<u32>) -> Vec<Range<u32>> {
    let Range { start, end } = *whole;
    if end - start < 2 || end - start > MANY {
        return Vec::new();
    }
    let half = start + (end - start) / 2;
    let pages = (start..end).map(|page| page..page + 1);
    pages.chain([start..half, half..end, start + 1..end, start..end - 1]).collect()
}

/// Most pages of a range or file that are left out one by one.
const MANY: u32 = 64;

/// With one operation on fewer pages. What a pin or a registration keeps is numbered from its first
/// page on.
pub fn narrowed(root: &Node) -> Vec<Node> {
    let Some(scenario) = root.scenario() else { return Vec::new() };
    let lengths = lengths(&scenario);
    let mut found = Vec::new();
    let mut each = |text: &mut String| found.push(range(text, &lengths));
    if let Some(programs) = programs(&mut root.clone()) {
        texts(programs, &mut each);
    }
    let places = found.into_iter().enumerate().filter_map(|(i, place)| Some((i, place?)));
    let all = places.flat_map(|(i, (name, whole))| {
        let parts = parts(&whole).into_iter();
        parts.filter_map(move |part| narrower(root, i, &name, &whole, &part))
    });
    all.collect()
}

/// With the `at`th text of the programs about a part of its pages.
fn narrower(
    root: &Node,
    at: usize,
    name: &str,
    whole: &Range<u32>,
    part: &Range<u32>,
) -> Option<Node> {
    let mut root = root.clone();
    let programs = programs(&mut root)?;
    let mut i = 0;
    let mark = "\0";
    texts(programs, &mut |text| {
        if i == at {
            *text = mark.to_string();
        }
        i += 1;
    });
    let mut gone = Gone::new();
    operations(programs, &mut |op, args| {
        if let Some((place, slot)) = held(op, args)
            && place == mark
        {
            let outside = whole.clone().filter(|page| !part.contains(page));
            gone.insert(slot, outside.map(|page| page - whole.start).collect());
        }
    });
    let mut fits = true;
    texts(programs, &mut |text| {
        if text == mark {
            *text = written(name, part);
        } else {
            fits &= renumber(text, &gone).is_some();
        }
    });
    fits.then_some(root)
}

/// The pages that an operation keeps, and by which name.
fn held(op: &str, args: &Node) -> Option<(String, String)> {
    let (key, default) = match op {
        "pin" => ("slot", "pin"),
        "register" => ("region", "mr"),
        _ => return None,
    };
    let Node::Object(args) = args else { return None };
    let text = |key: &str| match args.get(key) {
        Some(Node::Text(text)) => Some(text.clone()),
        _ => None,
    };
    Some((text("at")?, text(key).unwrap_or(default.to_string())))
}

/// An address after some pages have gone; none if all of its pages have.
fn renumber(text: &mut String, gone: &Gone) -> Option<()> {
    let Ok(place) = parse(text) else { return Some(()) };
    let (Some((from, to)), Some(gone)) = (place.pages, gone.get(place.name)) else {
        return Some(());
    };
    let moved = |page: u32| page - gone.range(..page).count() as u32;
    let pages = moved(from)..moved(to);
    let part = text.split_once("].").map(|(_, part)| format!(".{part}"));
    *text = (!pages.is_empty()).then(|| written(place.name, &pages))? + &part.unwrap_or_default();
    Some(())
}

/// With a file, or a piece of anonymous memory, without one of its pages.
pub fn fewer(root: &Node) -> Vec<Node> {
    let Some(scenario) = root.scenario() else { return Vec::new() };
    let (scenario, pages) = (&scenario, |n: u64| 0..u32::try_from(n).unwrap_or(u32::MAX).min(MANY));
    let files = scenario.files.iter().flat_map(|(name, file)| {
        let n = of_file(file);
        pages(n).filter(move |_| n > 1).filter_map(move |page| without_page(scenario, name, page))
    });
    let anonymous = scenario.mappings.iter().filter(|(_, m)| m.file.is_none());
    let anonymous = anonymous.flat_map(|(name, m)| {
        let n = u64::from(m.pages.unwrap_or(1));
        pages(n).filter(move |_| n > 1).filter_map(move |page| {
            let mut fewer = scenario.clone();
            fewer.mappings[name].pages = m.pages.map(|n| n - 1);
            let gone = Gone::from([(name.clone(), BTreeSet::from([page]))]);
            moved_up(&fewer, gone, None)
        })
    });
    files.chain(anonymous).collect()
}

/// With a file without one of its pages.
fn without_page(scenario: &Scenario, name: &str, page: u32) -> Option<Node> {
    let mut fewer = scenario.clone();
    let file = &mut fewer.files[name];
    let up = |n: u32| if n > page { n - 1 } else { n };
    file.capacity = file.capacity.map(up);
    file.pages = file.pages.map(up);
    file.bytes = match file.bytes {
        Some(bytes) => Some(bytes_up(bytes, page)?),
        None => None,
    };
    let except = file.except.iter().filter(|(n, _)| **n != page);
    file.except = except.map(|(n, state)| (up(*n), *state)).collect();
    let mut gone = Gone::from([(name.to_string(), BTreeSet::from([page]))]);
    let lengths = lengths(scenario);
    for (mapping, m) in fewer.mappings.iter_mut().filter(|(_, m)| m.file.as_deref() == Some(name)) {
        let length = lengths.get(mapping.as_str()).copied().unwrap_or(0);
        if page < m.first {
            m.first -= 1;
        } else if page - m.first < length {
            // A mapping of nothing, or one name for a file and a mapping of it, is none.
            let inside = BTreeSet::from([page - m.first]);
            if length == 1 || gone.insert(mapping.clone(), inside).is_some() {
                return None;
            }
            m.pages = m.pages.map(|n| n - 1);
        }
    }
    moved_up(&fewer, gone, Some((name, page)))
}

/// A size in bytes without a page; none if it ends within that page.
fn bytes_up(bytes: u64, page: u32) -> Option<u64> {
    let (start, end) = (u64::from(page) * PAGE, (u64::from(page) + 1) * PAGE);
    match bytes {
        _ if bytes <= start => Some(bytes),
        _ if bytes >= end => Some(bytes - PAGE),
        _ => None,
    }
}

/// With the programs speaking of what is left: without the pages of mappings and files that have
/// gone, and, of a truncated file, one page shorter.
fn moved_up(scenario: &Scenario, mut gone: Gone, file: Option<(&str, u32)>) -> Option<Node> {
    let mut root = Node::of(scenario);
    let programs = programs(&mut root)?;
    let (mut fits, mut slots) = (true, Gone::new());
    operations(programs, &mut |op, args| {
        if let Some((place, slot)) = held(op, args)
            && let Ok(place) = parse(&place)
            && let Some(pages) = gone.get(place.name)
        {
            let (from, to) = place.pages.unwrap_or((0, u32::MAX));
            let inside = pages.range(from..to).map(|page| page - from).collect();
            fits &= slots.insert(slot, inside).is_none();
        }
        if let ("truncate", Some(file)) = (op, file) {
            fits &= shorter(args, file).is_some();
        }
    });
    for (slot, pages) in slots {
        fits &= gone.insert(slot, pages).is_none();
    }
    texts(programs, &mut |text| fits &= renumber(text, &gone).is_some());
    fits.then_some(root)
}

/// The new size of a truncated file that has lost a page.
fn shorter(args: &mut Node, (file, page): (&str, u32)) -> Option<()> {
    let Node::Object(args) = args else { return Some(()) };
    if args.get("file") != Some(&Node::Text(file.to_string())) {
        return Some(());
    }
    for (key, size) in args.iter_mut() {
        let Node::Number(number) = size else { continue };
        let now = number.as_u64()?;
        let less = match key.as_str() {
            "pages" if now > page.into() => now - 1,
            "bytes" => bytes_up(now, page)?,
            _ => now,
        };
        *number = less.into();
    }
    Some(())
}
