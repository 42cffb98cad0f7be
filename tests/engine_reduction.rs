//! Reduction against plain search on random programs with choice, waiting, loops, properties over
//! several cells and runs that end for everybody.

use std::collections::BTreeSet;

use gupsim::engine::explore::graph::Graph;
use gupsim::engine::explore::{Options, explore};
use gupsim::engine::model::Model;
use gupsim::litmus::guarded::{Command, Guarded, Program, Thread};
use gupsim::litmus::pin_protocol::{PinProtocol, Size};
use gupsim::litmus::selftest::PIN_COUNTS;
use proptest::prelude::*;

const VARS: usize = 3;

fn condition(most: usize) -> impl Strategy<Value = Vec<(usize, u8)>> {
    proptest::collection::btree_map(0..VARS, 0u8..2, 0..=most).prop_map(|m| m.into_iter().collect())
}

fn command(loops: bool) -> impl Strategy<Value = Command> {
    (condition(1), condition(2), -2isize..3, proptest::bool::weighted(0.03)).prop_map(
        move |(guard, set, jump, cut)| {
            let next = if loops { jump } else { jump.abs().max(1) };
            Command { guard, set, next: (next + 8) as usize, cut }
        },
    )
}

fn thread(loops: bool) -> impl Strategy<Value = Thread> {
    let places = proptest::collection::vec(proptest::collection::vec(command(loops), 1..3), 1..5);
    places.prop_map(|mut places| {
        for (at, alternatives) in places.iter_mut().enumerate() {
            for c in alternatives {
                // Jumps are relative, with 8 added so that they are not negative.
                c.next = (c.next + at).saturating_sub(8);
            }
        }
        Thread { places, owes: Vec::new() }
    })
}

fn program(loops: bool) -> impl Strategy<Value = Program> {
    let never = proptest::collection::vec(condition(2), 2);
    (proptest::collection::vec(thread(loops), 2..5), never).prop_map(|(threads, never)| Program {
        vars: VARS,
        threads,
        never,
    })
}

/// The end states of a whole graph, as bytes.
fn end_states(start: &Guarded) -> BTreeSet<Vec<u8>> {
    let graph = Graph::build(start, usize::MAX, &());
    let ends = graph.states.iter().enumerate().filter(|(_, s)| s.edges.is_empty());
    let state = |(number, _): (usize, _)| {
        let mut model = start.clone();
        for mv in graph.run_to(number as u32) {
            model.apply(mv);
        }
        let mut bytes = Vec::new();
        model.state(&mut bytes);
        bytes
    };
    ends.map(state).collect()
}

fn agree(program: Program) -> Result<(u64, u64), TestCaseError> {
    let start = Guarded::new(program);
    let full = explore(&start, &Options::default(), &());
    let reduced = explore(&start, &Options { reduction: true, ..Options::default() }, &());
    prop_assert_eq!(full.broken, reduced.broken);
    prop_assert_eq!(full.reached, reduced.reached);
    prop_assert_eq!(full.ends, reduced.ends);
    prop_assert_eq!(full.violating_ends, reduced.violating_ends);
    prop_assert_eq!(&full.witnesses, &reduced.witnesses);
    prop_assert!(reduced.states <= full.states);
    prop_assert_eq!(end_states(&start).len() as u64, full.end_states());
    Ok((full.transitions, reduced.transitions))
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn reduction_of_programs_without_loops_keeps_ends_and_violations(p in program(false)) {
        agree(p)?;
    }

    #[test]
    fn reduction_of_programs_with_loops_keeps_ends_and_violations(p in program(true)) {
        agree(p)?;
    }
}

/// The table of the manual, line by line: what searches of the pin protocol count.
#[test]
fn the_manual_says_what_is_left_of_the_pin_protocol() {
    let manual = include_str!("../docs/exploration.md");
    let section = manual.split("\n##").find(|s| s.starts_with("# What it leaves of the pin"));
    let rows = section.unwrap().lines().filter_map(|line| line.strip_prefix("| "));
    let mut sizes = Vec::new();
    for row in rows.filter(|row| row.starts_with(char::is_numeric)) {
        let number = |text: &str| text.trim().replace(',', "").parse::<u64>().unwrap();
        let (size, counts) = row.split_once(" | ").unwrap();
        let size: Vec<u16> = size.split(' ').map(|n| number(n) as u16).collect();
        let counts: Vec<u64> = counts.trim_end_matches(" |").split('|').map(number).collect();
        let size = Size::new(size[0].into(), size[1], size[2], true);
        let start = PinProtocol::new(size).unwrap();
        let reduced = explore(&start, &Options { reduction: true, ..Options::default() }, &());
        let executed = reduced.reduction.unwrap().executed;
        assert_eq!([reduced.states, reduced.transitions, executed], counts[2..], "{row}");
        let full = PIN_COUNTS.iter().find(|(of, _)| *of == size).unwrap().1;
        assert_eq!(full[..2], counts[..2], "{row}");
        sizes.push(size.pages);
    }
    assert_eq!(sizes, [1, 2, 3, 4, 4]);
}
