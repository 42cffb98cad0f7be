//! No input makes the loader panic, hang or misplace a span.

use gupsim::kernel::sim::Sim;
use gupsim::scenario::{bundled, limits, load, schedule::Schedule};
use proptest::prelude::*;

/// Loads and builds the machine, or draws the report: nothing of that may panic.
fn survive(bytes: &[u8]) {
    let loaded = load::bytes("any", bytes);
    if let Ok(loaded) = &loaded {
        // Enormous machines are sound as well, but take their time and memory.
        let plan = &loaded.plan;
        if plan.file_pages() + plan.vpages() + plan.spare_frames < 100_000 {
            Sim::new(plan.clone(), loaded.strategy);
        }
    }
    if let Err(problems) = loaded {
        assert!(!problems.list.is_empty() && problems.list.len() <= limits::PROBLEMS);
        for problem in &problems.list {
            if let Some(span) = &problem.span {
                assert!(problems.source.text.get(span.clone()).is_some(), "{problem:?}");
            }
        }
        assert!(!problems.plain(80).is_empty());
    }
}

/// The text of one of the small bundled scenarios.
fn text() -> impl Strategy<Value = &'static str> {
    let small: Vec<&str> = bundled().iter().map(|b| b.1).filter(|t| t.len() < 8_000).collect();
    prop::sample::select(small)
}

/// Pieces that break scenarios in interesting places.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "0",
    "-1",
    "4294967295",
    "18446744073709551616",
    "1e400",
    "null",
    "true",
    "NaN",
    "{i}",
    "\\u0000",
    "\u{feff}",
    "é",
    "\"buf[0]\"",
    "\"mr[9]\"",
    "\"\"",
    "[0..2]",
    "\"do\": []",
    "\"data\"",
    " ",
    "\n",
    "\"mm\": \"Q\",",
    "\"pages\": 4000000,",
    "\"child_of\": \"P\"",
    "{\"fork\": \"C\"},",
    "{\"repeat\": {\"times\": 3, \"do\": []}},",
    "{\"unpin\": {}},",
    "{\"wait\": \"x\"},",
    "&&",
    "!",
    "(",
];

/// A value that stands in for another one.
fn leaf() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u32>().prop_map(Into::into),
        any::<f64>().prop_map(|x| serde_json::json!(x)),
        prop::sample::select(PIECES).prop_map(Into::into),
        "[a-z]{1,4}(\\[[0-9]{1,3}(\\.\\.[0-9]{1,3})?\\])?".prop_map(Into::into),
        Just(serde_json::json!([])),
        Just(serde_json::json!({})),
        Just(serde_json::json!([[], {}])),
    ]
}

/// All places of a value, depth first.
fn places(value: &serde_json::Value, pointer: String, all: &mut Vec<String>) {
    all.push(pointer.clone());
    match value {
        serde_json::Value::Object(members) => {
            members.iter().for_each(|(k, v)| {
                places(v, format!("{pointer}/{}", k.replace('~', "~0").replace('/', "~1")), all)
            });
        }
        serde_json::Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, v)| places(v, format!("{pointer}/{i}"), all));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        survive(&bytes);
    }

    #[test]
    fn arbitrary_json_like_text_never_panics(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60),
    ) {
        survive(pieces.concat().as_bytes());
    }

    #[test]
    fn a_scenario_with_pieces_cut_and_put_in_never_panics(
        text in text(),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), 0usize..40, prop::sample::select(PIECES)),
            1..4,
        ),
    ) {
        let mut bytes = text.as_bytes().to_vec();
        for (at, cut, piece) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece.bytes());
        }
        survive(&bytes);
    }

    #[test]
    fn a_scenario_with_values_exchanged_never_panics(
        text in text(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), leaf()), 1..4),
    ) {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        for (at, new) in edits {
            let mut all = Vec::new();
            places(&value, String::new(), &mut all);
            if let Some(old) = value.pointer_mut(&all[at.index(all.len())]) {
                *old = new;
            }
        }
        survive(value.to_string().as_bytes());
    }

    #[test]
    fn a_scenario_with_members_moved_elsewhere_never_panics(
        text in text(),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
            1..4,
        ),
    ) {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        for (from, to) in edits {
            let mut all = Vec::new();
            places(&value, String::new(), &mut all);
            let copy = value.pointer(&all[from.index(all.len())]).cloned().unwrap_or_default();
            if let Some(old) = value.pointer_mut(&all[to.index(all.len())]) {
                *old = copy;
            }
        }
        survive(value.to_string().as_bytes());
    }

    #[test]
    fn any_one_line_schedule_is_read_or_refused(text in ".{0,80}") {
        if let Ok(schedule) = text.parse::<Schedule>() {
            prop_assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
        }
    }

    #[test]
    fn a_schedule_survives_its_one_line_form(
        choices in prop::collection::vec(
            (".{1,12}", prop::option::of(".{0,12}"), prop::option::of(".{0,12}")),
            0..8,
        ),
    ) {
        let schedule = Schedule(
            choices
                .into_iter()
                .map(|(who, step, outcome)| gupsim::scenario::schedule::Choice {
                    who,
                    step,
                    outcome,
                })
                .collect(),
        );
        let line = schedule.to_string();
        prop_assert!(!line.contains(char::is_whitespace), "one word on a command line: {}", line);
        prop_assert_eq!(line.parse::<Schedule>().unwrap(), schedule);
    }
}

/// Worlds that are wrong everywhere, as large as a file may be: a loader that searches all names
/// for each mistake would take hours.
#[test]
fn huge_worlds_full_of_mistakes_are_refused_soon() {
    let many =
        |n: usize, of: &dyn Fn(usize) -> String| (0..n).map(of).collect::<Vec<_>>().join(",");
    let threads = r#""threads": {"A": {"do": []}}"#;
    let texts = [
        format!(
            r#"{{"title": "t", "files": {{{}}}, {threads}}}"#,
            many(90_000, &|i| { format!(r#""f{i}": {{"disk": "d{i}"}}"#) })
        ),
        format!(
            r#"{{"title": "t", "mms": {{{}}}, {threads}}}"#,
            many(90_000, &|i| { format!(r#""m{i}": {{"child_of": "n{i}"}}"#) })
        ),
        format!(
            r#"{{"title": "t", "mms": {{{}}}, {threads}}}"#,
            many(90_000, &|i| { format!(r#""m{i}": {{"child_of": "m{}"}}"#, i.saturating_sub(1)) })
        ),
        format!(
            r#"{{"title": "t", "mappings": {{{}}}, {threads}}}"#,
            many(90_000, &|i| { format!(r#""m{i}": {{"mm": "n{i}"}}"#) })
        ),
        format!(
            r#"{{"title": "t", "threads": {{{}}}}}"#,
            many(19_000, &|i| {
                format!(
                    r#""t{i}": {{"do": [
                        {{"fsync": "f{i}"}}, {{"wait": "e{i}"}}, {{"unpin": {{"slot": "s{i}"}}}}
                    ]}}"#
                )
            })
        ),
        format!(
            r#"{{"title": "t", {threads}, "schedule": [{}]}}"#,
            many(200_000, &|i| { format!(r#"{{"who": "t{i}"}}"#) })
        ),
        format!(
            r#"{{"title": "t", {threads}, "expect": [{}]}}"#,
            many(100_000, &|i| { format!(r#"{{"exists": "done x{i}"}}"#) })
        ),
        format!(
            r#"{{"title": "t", {threads}, "costs": {{{}}}}}"#,
            many(100_000, &|i| { format!(r#""c{i}": 1"#) })
        ),
        format!(r#"{{"title": "t", {threads}, {}}}"#, many(100_000, &|_| r#""files": {}"#.into())),
        format!(
            r#"{{"title": "t", "mms": {{{}}}, "mappings": {{{}}}, {threads}}}"#,
            many(20_000, &|i| format!(r#""c{i}": {{"child_of": "P"}}"#)),
            many(20_000, &|i| format!(r#""m{i}": {{}}"#)),
        ),
    ];
    for text in texts {
        let start = std::time::Instant::now();
        survive(text.as_bytes());
        assert!(load::text("huge", &text).is_err(), "{:.80}", text);
        let took = start.elapsed();
        assert!(took < std::time::Duration::from_secs(10), "{:.80} took {took:?}", text);
        eprintln!("{took:?} {:.60}", text);
    }
}
