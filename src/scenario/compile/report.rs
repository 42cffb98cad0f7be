//! Collects what is wrong with the meaning of a scenario, with the places in its text.

use crate::scenario::limits;
use crate::scenario::outline::Outline;
use crate::scenario::path::{self, At, Seg};
use crate::scenario::problem::Problem;
use std::collections::BTreeSet;

/// The problems found so far.
#[derive(Debug)]
pub struct Report<'a> {
    text: &'a str,
    outline: &'a Outline,
    problems: Vec<Problem>,
    /// Spans that have a problem already: a template's would come once per instance.
    seen: BTreeSet<(usize, usize)>,
}

impl<'a> Report<'a> {
    /// Nothing is wrong yet.
    pub fn new(text: &'a str, outline: &'a Outline) -> Report<'a> {
        Report { text, outline, problems: Vec::new(), seen: BTreeSet::new() }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether to go on: not after enough problems, and in a template's further instances not
    /// after any (they would only repeat them).
    pub fn stops(&self, i: Option<u32>) -> bool {
        self.problems.len() >= limits::PROBLEMS
            || i.is_some_and(|i| i > 0) && !self.problems.is_empty()
    }

    /// What is wrong.
    pub fn finish(self) -> Vec<Problem> {
        self.problems
    }

    /// Something is wrong with the value here.
    pub fn value(&mut self, at: &At, problem: Problem) {
        self.value_at(&at.path(), problem);
    }

    /// Something is wrong with the value at this path.
    pub fn value_at(&mut self, path: &[Seg], problem: Problem) {
        // To find a place takes time; with enough problems there is nothing to find it for.
        if self.stops(None) {
            return;
        }
        let span = self.outline.value(self.text, path);
        self.push(path, span, problem);
    }

    /// Something is wrong with the name (the key) of the value here.
    pub fn name(&mut self, at: &At, problem: Problem) {
        if self.stops(None) {
            return;
        }
        let path = at.path();
        let span = self.outline.key(self.text, &path);
        self.push(&path, span, problem);
    }

    /// The value of a result; reports its error at the value here.
    pub fn ok<T>(&mut self, at: &At, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.value(at, problem)).ok()
    }

    fn push(&mut self, path: &[Seg], span: std::ops::Range<usize>, mut problem: Problem) {
        if problem.is_consequence() || !self.seen.insert((span.start, span.end)) {
            return;
        }
        // A problem inside of a string value narrows its span itself, relative to the value.
        problem.span = Some(match problem.span.take() {
            Some(inner) => span.start + inner.start..span.start + inner.end,
            None => span,
        });
        problem.path = path::show(path);
        self.problems.push(problem);
    }
}
