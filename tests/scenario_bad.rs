//! What is wrong with a scenario is said well: each `tests/bad/NAME.json` has its report beside
//! it in `NAME.txt`. `GUPSIM_BLESS=1` rewrites the reports.

use gupsim::scenario::{limits, load};
use std::fs;
use std::path::PathBuf;

fn bad() -> Vec<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut list: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    list.sort();
    list
}

#[test]
fn every_bad_scenario_gets_the_report_that_lies_beside_it() {
    let bless = std::env::var_os("GUPSIM_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in bad() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let report = match load::bytes(&name, &fs::read(&path).unwrap()) {
            Ok(_) => panic!("{name} is not bad"),
            Err(problems) => problems.plain(96),
        };
        let expected = path.with_extension("txt");
        if bless {
            fs::write(&expected, &report).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != report {
            wrong.push(format!("{name}:\n{report}"));
        }
    }
    assert!(wrong.is_empty(), "reports differ:\n{}", wrong.join("\n"));
}

#[test]
fn every_problem_of_a_text_has_a_place_inside_of_it() {
    for path in bad() {
        let problems = load::bytes("bad", &fs::read(&path).unwrap()).unwrap_err();
        assert!(!problems.list.is_empty() && problems.list.len() <= limits::PROBLEMS);
        for problem in &problems.list {
            let span = problem.span.clone().unwrap();
            assert!(span.end <= problems.source.text.len(), "{path:?}: {problem:?}");
            assert!(problems.source.text.is_char_boundary(span.start), "{path:?}: {problem:?}");
            assert!(problems.source.text.is_char_boundary(span.end), "{path:?}: {problem:?}");
        }
    }
}

#[test]
fn a_file_of_a_hundred_megabytes_is_refused_without_being_looked_at() {
    let huge = vec![b'['; 100 << 20];
    let problems = load::bytes("huge", &huge).unwrap_err();
    assert!(problems.plain(80).contains("larger than 16 MiB"));
}

#[test]
fn a_hundred_thousand_brackets_are_refused() {
    let deep = "[".repeat(100_000);
    let problems = load::text("deep", &deep).unwrap_err();
    assert!(problems.plain(80).contains("nested more than"));
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_and_no_panic() {
    for path in ["/nonexistent/x.json", "/"] {
        let report = load::file(std::path::Path::new(path)).unwrap_err().plain(200);
        assert!(report.contains("cannot read") && report.contains("help: "), "{report}");
    }
    let denied = || Err::<&[u8], _>(std::io::ErrorKind::PermissionDenied.into());
    let report = load::reader("secret.json", denied).unwrap_err().plain(200);
    assert!(report.contains("chmod"), "{report}");
}

#[test]
fn the_whole_report_is_one_miette_diagnostic() {
    let text = r#"{"title": "t", "threads": {"A": {"do": [{"fsync": "x"}, {"load": "y"}]}}}"#;
    let report = miette::Report::new(load::text("two.json", text).unwrap_err());
    let theme = miette::GraphicalTheme::unicode_nocolor();
    let mut drawn = String::new();
    miette::GraphicalReportHandler::new_themed(theme)
        .render_report(&mut drawn, report.as_ref())
        .unwrap();
    for part in ["2 problems in scenario two.json", "unknown file `x`", "no mapping `y`"] {
        assert!(drawn.contains(part), "{drawn}");
    }
}
