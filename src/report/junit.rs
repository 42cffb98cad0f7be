//! Checked expectations as JUnit XML, for continuous integration.
//!
//! A scenario is a test suite, an expectation under a strategy a test case. What failed and what
//! says nothing is a *failure*; what a limit left undecided is an *error*.

use super::checks::{Checked, Checks};
use super::shell;
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

/// The document. It has no times, so that it is the same each time.
///
/// # Errors
/// If it cannot be written as XML.
pub fn render(checks: &Checks) -> Result<String, SerializeError> {
    let mut report = Report::new("gupsim check");
    for part in checks.expectations.chunk_by(|a, b| a.scenario == b.scenario) {
        let mut suite = TestSuite::new(part[0].scenario.clone());
        suite.add_test_cases(part.iter().map(case));
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn case(checked: &Checked) -> TestCase {
    let kind =
        if checked.fate == "bounded" { NonSuccessKind::Error } else { NonSuccessKind::Failure };
    let status = match checked.passes() {
        true => TestCaseStatus::success(),
        false => {
            let mut status = TestCaseStatus::non_success(kind);
            let place = format!("{}:{}:{}", checked.file, checked.line, checked.column);
            status
                .set_type(checked.fate)
                .set_message(checked.complaint())
                .set_description(format!("{place}\n{}", shell::join(&checked.repeat)));
            status
        }
    };
    let mut case = TestCase::new(format!("{} / {}", checked.strategy, checked.expected), status);
    case.set_classname(checked.scenario.clone());
    case
}
