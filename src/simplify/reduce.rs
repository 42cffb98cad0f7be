//! What a scenario may do without: one list of reductions, each from a scenario to candidates.
//!
//! They work on the scenario as it is written, so that what the format gains tomorrow can be left
//! out, too. Whether a candidate makes sense is for its compilation to say, and whether it fails in
//! the same way, for a run.

use super::pages;
use crate::scenario::op::{Do, Step};
use crate::scenario::types::{File, Generate, Mapping, Named, Scenario, Thread};
use crate::scenario::write::Node;
use indexmap::IndexMap;
use std::ops::Range;

/// A way to make a scenario simpler by one thing.
#[derive(Debug)]
pub struct Reduction {
    /// What it does.
    pub what: &'static str,
    /// All ways to do it.
    of: fn(&Node) -> Vec<Node>,
}

/// Every reduction.
pub const REDUCTIONS: &[Reduction] = &[
    Reduction { what: "leave out a thread, an operation, a declaration, a setting", of: without },
    Reduction { what: "do once what is repeated", of: once },
    Reduction { what: "make a number smaller", of: smaller },
    Reduction { what: "operate on fewer pages", of: pages::narrowed },
    Reduction { what: "leave out a page of a file or of anonymous memory", of: pages::fewer },
];

/// Nodes of the largest scenario that all of them are tried on: its candidates together are as
/// large as the square of that.
const LARGE: usize = 600;

/// What is tried on a larger one.
const COARSE: &[Reduction] =
    &[Reduction { what: "leave out a stretch of what is there, a 64th of the whole", of: much }];

/// Scenarios that are simpler by one thing, the simplest first. A large scenario is first to become
/// smaller in large steps.
pub fn candidates(scenario: &Scenario) -> Vec<Scenario> {
    let bare = Scenario { schedule: Vec::new(), ..scenario.clone() };
    let (node, now) = (Node::of(&bare), weight(&bare));
    let all = if nodes(&node) > LARGE { COARSE } else { REDUCTIONS };
    let changed = all.iter().flat_map(|r| (r.of)(&node));
    let read = changed.filter_map(|n| n.scenario()).map(|s| (weight(&s), s));
    let mut simpler: Vec<(Weight, Scenario)> = read.filter(|(w, _)| *w < now).collect();
    simpler.sort_by_key(|(weight, _)| *weight);
    simpler.dedup();
    simpler.into_iter().map(|(_, scenario)| scenario).collect()
}

/// How large a scenario is: threads, operations, pages of files and anonymous memory, faults that
/// may happen.
pub fn size(scenario: &Scenario) -> [u64; 4] {
    fn operations(steps: &[Step]) -> u64 {
        let one = |s: &Step| match &s.op {
            Do::Repeat(repeat) => 1 + operations(&repeat.body),
            _ => 1,
        };
        steps.iter().map(one).sum()
    }
    fn section(
        times: u64,
        threads: &Named<Thread>,
        files: &Named<File>,
        mappings: &Named<Mapping>,
    ) -> [u64; 3] {
        let anonymous = mappings.values().filter(|m| m.file.is_none());
        let anonymous = anonymous.map(|m| u64::from(m.pages.unwrap_or(1)));
        let pages: u64 = files.values().map(pages::of_file).chain(anonymous).sum();
        let ops: u64 = threads.values().map(|t| operations(&t.program)).sum();
        [threads.len() as u64, ops, pages].map(|n| n.saturating_mul(times))
    }
    let own = section(1, &scenario.threads, &scenario.files, &scenario.mappings);
    let made = |g: &Generate| section(g.count.into(), &g.threads, &g.files, &g.mappings);
    let [threads, ops, pages] = scenario.generate.iter().map(made).fold(own, |a, b| {
        [a[0].saturating_add(b[0]), a[1].saturating_add(b[1]), a[2].saturating_add(b[2])]
    });
    let faults = u64::from(scenario.faults.io_errors) + u64::from(scenario.faults.enomem);
    [threads, ops, pages, faults]
}

/// What of two scenarios is the simpler one: its size, the pages that its operations are about,
/// the sum of its numbers, the length of its text.
type Weight = ([u64; 4], u64, u64, usize);

/// Each accepted reduction makes it less, so that they come to an end.
fn weight(scenario: &Scenario) -> Weight {
    let node = Node::of(scenario);
    (size(scenario), pages::spoken_of(scenario, &node), sum(&node), node.flat().len())
}

fn sum(node: &Node) -> u64 {
    let of = |nodes: &mut dyn Iterator<Item = &Node>| {
        nodes.fold(0u64, |total, n| total.saturating_add(sum(n)))
    };
    match node {
        Node::Number(n) => n.as_u64().unwrap_or(1),
        Node::List(list) => of(&mut list.iter()),
        Node::Object(map) => of(&mut map.values()),
        Node::Null(()) | Node::Flag(_) | Node::Text(_) => 0,
    }
}

/// What a scenario is about, rather than how it shows it: the design, what is expected of it, and
/// what its objects are.
const KEPT: [&str; 9] =
    ["title", "preset", "strategy", "schedule", "expect", "kind", "fs", "file", "call"];

/// How many nodes a tree has.
fn nodes(node: &Node) -> usize {
    match node {
        Node::List(list) => list.iter().map(nodes).sum::<usize>() + 1,
        Node::Object(map) => map.values().map(nodes).sum::<usize>() + 1,
        Node::Null(()) | Node::Flag(_) | Node::Number(_) | Node::Text(_) => 1,
    }
}

/// Every tree in which `here` has changed one node.
fn anywhere(node: &Node, here: &dyn Fn(&Node) -> Vec<Node>) -> Vec<Node> {
    within(node, &|_| true, here)
}

/// The same without nodes that are not `worth` looking into.
fn within(
    node: &Node,
    worth: &dyn Fn(&Node) -> bool,
    here: &dyn Fn(&Node) -> Vec<Node>,
) -> Vec<Node> {
    let mut out = here(node);
    match node {
        Node::List(list) => {
            for (i, inner) in list.iter().enumerate().filter(|(_, inner)| worth(inner)) {
                out.extend(within(inner, worth, here).into_iter().map(|changed| {
                    let mut list = list.clone();
                    list[i] = changed;
                    Node::List(list)
                }));
            }
        }
        Node::Object(map) => {
            let loose = map.iter().filter(|(key, _)| !KEPT.contains(&key.as_str()));
            for (key, inner) in loose.filter(|(_, inner)| worth(inner)) {
                let changed = within(inner, worth, here).into_iter();
                out.extend(changed.map(|changed| with(map, key, changed)));
            }
        }
        Node::Null(()) | Node::Flag(_) | Node::Number(_) | Node::Text(_) => {}
    }
    out
}

/// An object with another value of a member.
fn with(map: &IndexMap<String, Node>, key: &str, value: Node) -> Node {
    let mut map = map.clone();
    map.insert(key.to_string(), value);
    Node::Object(map)
}

/// Without one member or element.
fn without(root: &Node) -> Vec<Node> {
    left_out(root, 1, &|len| (0..len).map(|i| i..i + 1).collect())
}

/// Without a half, a quarter ... of a list or of an object's members, if that is much of the whole.
fn much(root: &Node) -> Vec<Node> {
    left_out(root, nodes(root) / 64, &|len| {
        let sizes = (0..5).map(|n| len >> n).take_while(|&size| size > 0);
        let stretch = |size: usize| (0..len).step_by(size).map(move |at| at..(at + size).min(len));
        sizes.flat_map(stretch).collect()
    })
}

/// Without one of the stretches of a list, or of an object's members, that have at least so many
/// nodes. What loses the number of its rounds would go round for ever.
fn left_out(
    root: &Node,
    least: usize,
    stretches: &dyn Fn(usize) -> Vec<Range<usize>>,
) -> Vec<Node> {
    within(root, &|inner| nodes(inner) >= least, &|node| match node {
        Node::List(list) => {
            let large =
                |r: &Range<usize>| list[r.clone()].iter().map(nodes).sum::<usize>() >= least;
            let rest = |r: Range<usize>| Node::List([&list[..r.start], &list[r.end..]].concat());
            stretches(list.len()).into_iter().filter(large).map(rest).collect()
        }
        Node::Object(map) => {
            let loose = |key: &str| !KEPT.contains(&key) && key != "times";
            let goes = |r: &Range<usize>, (i, key): (usize, &str)| r.contains(&i) && loose(key);
            let members = || map.iter().enumerate();
            let large = |r: &Range<usize>| {
                let gone = members().filter(|(i, (key, _))| goes(r, (*i, key)));
                gone.map(|(_, (_, inner))| nodes(inner)).sum::<usize>() >= least
            };
            let rest = |r: Range<usize>| {
                let kept = members().filter(|(i, (key, _))| !goes(&r, (*i, key)));
                Node::Object(kept.map(|(_, (k, inner))| (k.clone(), inner.clone())).collect())
            };
            stretches(map.len()).into_iter().filter(large).map(rest).collect()
        }
        Node::Null(()) | Node::Flag(_) | Node::Number(_) | Node::Text(_) => Vec::new(),
    })
}

/// With the operations of a repetition in its place.
fn once(root: &Node) -> Vec<Node> {
    let body = |step: &Node| match step {
        Node::Object(map) => match map.get("repeat") {
            Some(Node::Object(repeat)) => match repeat.get("do") {
                Some(Node::List(body)) => Some(body.clone()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    anywhere(root, &|node| {
        let Node::List(list) = node else { return Vec::new() };
        let bodies = list.iter().enumerate().filter_map(|(i, step)| Some((i, body(step)?)));
        let unrolled = bodies.map(|(i, body)| {
            let mut list = list.clone();
            list.splice(i..=i, body);
            Node::List(list)
        });
        unrolled.collect()
    })
}

/// Numbers of which less is not simpler: sizes within a page, and durations.
const NO_AMOUNTS: [&str; 2] = ["bytes", "sleep"];

/// With one number smaller: by all of it, by half, by a quarter ... and by one.
fn smaller(root: &Node) -> Vec<Node> {
    anywhere(root, &|node| {
        let Node::Object(map) = node else { return Vec::new() };
        let amounts = map.iter().filter(|(key, _)| !NO_AMOUNTS.contains(&key.as_str()));
        let numbers = amounts.filter_map(|(key, n)| match n {
            Node::Number(n) => Some((key, n.as_u64()?)),
            _ => None,
        });
        let less = numbers.flat_map(|(key, n)| {
            let by = std::iter::successors(Some(n), |by| Some(by / 2)).take_while(|&by| by > 0);
            by.map(move |by| with(map, key, Node::Number((n - by).into())))
        });
        less.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{bundled, load};

    #[test]
    fn every_reduction_finds_something_in_some_bundled_scenario_and_makes_it_simpler() {
        let read = |&(name, text): &(&str, &str)| load::text(name, text).unwrap().scenario;
        let all: Vec<Scenario> = bundled().iter().map(read).collect();
        for reduction in REDUCTIONS {
            let simpler = |s: &Scenario| {
                let changed = (reduction.of)(&Node::of(s)).into_iter();
                changed.filter_map(|n| n.scenario()).any(|c| weight(&c) < weight(s))
            };
            assert!(all.iter().any(simpler), "{}", reduction.what);
        }
    }

    #[test]
    fn a_large_scenario_becomes_smaller_in_few_large_steps() {
        let mut large = load::text("truncate/orphan-rdma", bundled_text()).unwrap().scenario;
        let program = &mut large.threads.get_mut("app").unwrap().program;
        let step = program[0].clone();
        program.extend(std::iter::repeat_n(step, 5_000));
        let all = candidates(&large);
        assert!(all.len() < 200, "{}", all.len());
        assert!(size(&all[0])[1] * 2 < size(&large)[1]);
    }

    fn bundled_text() -> &'static str {
        bundled().iter().find(|(name, _)| *name == "truncate/orphan-rdma").unwrap().1
    }

    #[test]
    fn the_design_and_what_things_are_stay_as_they_are() {
        for (name, text) in bundled().iter().filter(|(name, _)| !name.starts_with("scale/")) {
            let scenario = load::text(name, text).unwrap().scenario;
            for candidate in candidates(&scenario) {
                assert_eq!(candidate.preset, scenario.preset, "{name}");
                assert_eq!(candidate.strategy, scenario.strategy, "{name}");
                assert_eq!(candidate.expect, scenario.expect, "{name}");
                for (file, f) in &candidate.files {
                    assert_eq!(f.fs, scenario.files[file].fs, "{name}");
                }
                for (mapping, m) in &candidate.mappings {
                    assert_eq!(m.file, scenario.mappings[mapping].file, "{name}");
                }
            }
        }
    }
}
