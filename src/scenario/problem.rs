//! What is wrong with a scenario: file, line, column, JSON path, excerpt, what was expected, and
//! the cure. [`Problems`] is a [`miette::Diagnostic`]; every field is also there as data.

use super::limits;
use miette::{Diagnostic, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The text of a scenario and where it came from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// File name, or the name of a bundled scenario.
    pub name: String,
    /// The text; empty if it could not be read as text.
    pub text: String,
}

/// Bytes of a line that an excerpt shows at most on each side of what it points to.
const EXCERPT: usize = 160;

impl Source {
    /// Line and column (in characters) of a byte, both from 1.
    pub fn line_column(&self, byte: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(byte)];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The bytes that an excerpt around a span shows: its lines with one before and one after.
    /// A scenario may be one line of megabytes, so what is far away in a line is cut off.
    fn window(&self, span: &Range<usize>) -> Range<usize> {
        let text = &self.text;
        let start_of = |at: usize| text[..at].rfind('\n').map_or(0, |i| i + 1);
        let end_of = |at: usize| text[at..].find('\n').map_or(text.len(), |i| at + i);
        let at = text.floor_char_boundary(span.start);
        let mut start = start_of(at);
        if at - start > EXCERPT {
            start = text.ceil_char_boundary(at - EXCERPT);
        } else if start > 0 && start - start_of(start - 1) <= EXCERPT {
            start = start_of(start - 1);
        }
        let last = text.ceil_char_boundary(span.end);
        let mut end = end_of(last);
        if end - last > EXCERPT {
            end = text.floor_char_boundary(last + EXCERPT);
        } else if end < text.len() && end_of(end + 1) - end <= EXCERPT {
            end = end_of(end + 1);
        }
        start..end
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, MietteError> {
        let span = span.offset()..span.offset() + span.len();
        // Without context miette asks where the span itself begins, for the headline.
        let window = match lines_before + lines_after {
            0 => span,
            _ => self.window(&span),
        };
        let (line, column) = self.line_column(window.start);
        let data = &self.text[window.clone()];
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            data.as_bytes(),
            SourceSpan::from((window.start, window.len())),
            line - 1,
            column - 1,
            data.lines().count(),
        )))
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What is wrong, as a lowercase fragment.
    pub message: String,
    /// The JSON path of the value; empty where the text is not JSON.
    pub path: String,
    /// The bytes of the text that are meant; none if it is not about a place in the text.
    pub span: Option<Range<usize>>,
    /// What stands there or what was expected there.
    pub label: String,
    /// The cure; empty if it is obvious.
    pub help: String,
}

impl Problem {
    /// A problem at these bytes of the text.
    pub fn at(span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem { span: Some(span), ..Problem::general(message) }
    }

    /// A problem of the text as a whole.
    pub fn general(message: impl Into<String>) -> Problem {
        Problem {
            message: message.into(),
            path: String::new(),
            span: None,
            label: String::new(),
            help: String::new(),
        }
    }

    /// A problem that follows from another, which is said elsewhere: nothing is said of this one.
    pub fn consequence() -> Problem {
        Problem::general("")
    }

    /// Whether it follows from another.
    pub fn is_consequence(&self) -> bool {
        self.message.is_empty()
    }

    /// Says what stands there.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Problem {
        self.label = label.into();
        self
    }

    /// Says how to cure it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = help.into();
        self
    }
}

/// Everything that is wrong with a scenario; never empty.
#[derive(Debug)]
pub struct Problems {
    /// The scenario.
    pub source: Arc<Source>,
    /// What is wrong, in the order of the text; at most [`limits::PROBLEMS`].
    pub list: Vec<Problem>,
    shown: Vec<Shown>,
    kind: &'static str,
}

impl Problems {
    /// Puts problems in the order of the text.
    pub fn new(source: Source, mut list: Vec<Problem>) -> Problems {
        list.sort_by_key(|p| p.span.as_ref().map_or(0, |s| s.start));
        list.truncate(limits::PROBLEMS);
        let source = Arc::new(source);
        let shown = list.iter().map(|p| Shown { source: source.clone(), problem: p.clone() });
        let shown = shown.collect();
        Problems { source, list, shown, kind: "scenario" }
    }

    /// The text is of another kind than a scenario.
    #[must_use]
    pub fn of(self, kind: &'static str) -> Problems {
        Problems { kind, ..self }
    }

    /// The whole report as plain text of at most `width` columns, without colour.
    pub fn plain(&self, width: usize) -> String {
        let theme = miette::GraphicalTheme::unicode_nocolor();
        let handler = miette::GraphicalReportHandler::new_themed(theme).with_width(width);
        let mut text = String::new();
        for (i, shown) in self.shown.iter().enumerate() {
            if i > 0 {
                text.push('\n');
            }
            // Writing to a String cannot fail.
            let _ = handler.render_report(&mut text, shown);
        }
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = if self.list.len() == 1 { "problem" } else { "problems" };
        write!(f, "{} {many} in {} {}", self.list.len(), self.kind, self.source.name)
    }
}

impl std::error::Error for Problems {}

impl Diagnostic for Problems {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.shown.iter().map(|s| s as &dyn Diagnostic)))
    }
}

/// A problem with its text, which is what miette draws.
#[derive(Debug)]
struct Shown {
    source: Arc<Source>,
    problem: Problem,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown {}

impl Diagnostic for Shown {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self.problem.path.is_empty() {
            true => None,
            false => Some(Box::new(format!("at {}", self.problem.path))),
        }
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self.problem.help.is_empty() {
            true => None,
            false => Some(Box::new(&self.problem.help)),
        }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.problem.span.as_ref().map(|_| &*self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span.clone()?;
        // A value of many lines is shown by its first.
        let text = &self.source.text[span.clone()];
        let len = text.find('\n').unwrap_or(text.len()).min(EXCERPT);
        let label = Some(self.problem.label.clone()).filter(|l| !l.is_empty());
        Some(Box::new(std::iter::once(LabeledSpan::new(label, span.start, len))))
    }
}
