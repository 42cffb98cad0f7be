//! Where the text of each agent begins on a line.
//!
//! Only one agent acts on a line, so its text may run on over the columns to its right; what
//! matters is that each agent's lines begin in the same place.

use super::data::Report;
use super::paint::{DIM, fit, paint};

/// Columns that the last agent's text has at least.
const LAST: usize = 36;
/// Columns from one agent to the next, at least and at most.
const APART: (usize, usize) = (9, 28);
/// Columns of a probability.
const ODDS: usize = 7;
/// Longest name where names stand before the text.
const NAME: usize = 18;

/// The layout of a trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Columns {
    width: usize,
    number: usize,
    /// Between the number of a step and its text: a heading, and columns.
    margin: Option<(&'static str, usize)>,
    agents: Vec<String>,
    /// Columns from one agent to the next; none if the agents' names stand before the text.
    apart: Option<usize>,
}

impl Columns {
    /// Fits the trace of a report into lines of `width` columns.
    pub fn new(report: &Report, width: usize) -> Columns {
        let last = report.steps.last();
        let time_ns = last.and_then(|s| s.time_ns);
        let odds = || report.steps.iter().any(|s| s.odds.is_some()).then_some(("odds", ODDS));
        let margin = time(time_ns).or_else(odds);
        Columns::with(report.agents.clone(), last.map_or(0, |s| s.n), margin, width)
    }

    /// Columns for these agents, up to the step of this number and time.
    pub fn of(agents: Vec<String>, last: usize, time_ns: Option<u64>, width: usize) -> Columns {
        Columns::with(agents, last, time(time_ns), width)
    }

    fn with(
        agents: Vec<String>,
        last: usize,
        margin: Option<(&'static str, usize)>,
        width: usize,
    ) -> Columns {
        let number = last.to_string().len().max(4);
        let taken = margin.map_or(0, |(_, columns)| columns + 2);
        let room = width.saturating_sub(number + 2 + taken + LAST);
        let apart = match agents.len() {
            0 | 1 => Some(0),
            n => Some((room / (n - 1)).min(APART.1)).filter(|&a| a >= APART.0),
        };
        Columns { width, number, margin, agents, apart }
    }

    /// Columns of a line.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The heading: the names of the agents.
    pub fn heading(&self) -> String {
        let mut line = format!("{:>1$}  ", "step", self.number);
        if let Some((heading, columns)) = self.margin {
            line.push_str(&format!("{heading:>columns$}  "));
        }
        match self.apart {
            Some(apart) => {
                for name in &self.agents {
                    let room = if self.agents.len() > 1 { apart - 1 } else { name.len() };
                    line.push_str(&fit(name, room));
                    line.push(' ');
                }
            }
            None => line.push_str(&format!("{:1$}  does", "agent", self.name_width())),
        }
        paint(DIM, line.trim_end())
    }

    fn name_width(&self) -> usize {
        self.agents.iter().map(|n| n.chars().count()).max().unwrap_or(0).clamp(5, NAME)
    }

    /// What stands before a step: its number, its time or what else is in the margin, and the way
    /// to its agent's column.
    pub fn before_step(&self, agent: &str, number: usize, margin: &str) -> String {
        self.before(agent, &number.to_string(), margin, true)
    }

    /// What stands before a line that begins anew in an agent's column, without a number.
    pub fn before_call(&self, agent: &str) -> String {
        self.before(agent, "", "", true)
    }

    /// What stands before a line that goes on in an agent's column.
    pub fn before_rest(&self, agent: &str) -> String {
        self.before(agent, "", "", false)
    }

    fn before(&self, agent: &str, number: &str, margin: &str, named: bool) -> String {
        let mut out = paint(DIM, &format!("{number:>0$}  ", self.number));
        if let Some((_, columns)) = self.margin {
            out.push_str(&paint(DIM, &format!("{margin:>columns$}  ")));
        }
        let name = if named { agent } else { "" };
        let blanks = match self.apart {
            Some(apart) => apart * self.agents.iter().position(|a| a == agent).unwrap_or(0),
            None => {
                out.push_str(&fit(name, self.name_width()));
                2
            }
        };
        out.extend(std::iter::repeat_n(' ', blanks));
        out
    }
}

/// The margin with times up to this one.
fn time(last_ns: Option<u64>) -> Option<(&'static str, usize)> {
    last_ns.map(|ns| ("us", micros(ns).len().max(8)))
}

/// Nanoseconds as microseconds.
pub fn micros(ns: u64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

/// A probability in at most seven columns; only what is certain is 100%, or 0%.
pub fn percent(p: f64) -> String {
    match p {
        p if p <= 0.0 => "0%".into(),
        p if is_certain(p) => "100%".into(),
        p if p < 0.000_1 => "<0.01%".into(),
        p if p > 0.999_9 => ">99.99%".into(),
        p => format!("{:.2}%", p * 100.0),
    }
}

/// Whether what has this probability cannot be avoided.
pub fn is_certain(p: f64) -> bool {
    p > 1.0 - 1e-9
}
