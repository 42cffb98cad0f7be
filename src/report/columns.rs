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
/// Longest name where names stand before the text.
const NAME: usize = 18;

/// The layout of a trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Columns {
    width: usize,
    number: usize,
    time: usize,
    agents: Vec<String>,
    /// Columns from one agent to the next; none if the agents' names stand before the text.
    apart: Option<usize>,
}

impl Columns {
    /// Fits the trace of a report into lines of `width` columns.
    pub fn new(report: &Report, width: usize) -> Columns {
        let last = report.steps.last();
        let (number, time_ns) = (last.map_or(0, |s| s.n), last.and_then(|s| s.time_ns));
        Columns::of(report.agents.clone(), number, time_ns, width)
    }

    /// Columns for these agents, up to the step of this number and time.
    pub fn of(agents: Vec<String>, last: usize, time_ns: Option<u64>, width: usize) -> Columns {
        let number = last.to_string().len().max(4);
        let time = match time_ns {
            Some(ns) => micros(ns).len().max(8) + 2,
            None => 0,
        };
        let room = width.saturating_sub(number + 2 + time + LAST);
        let apart = match agents.len() {
            0 | 1 => Some(0),
            n => Some((room / (n - 1)).min(APART.1)).filter(|&a| a >= APART.0),
        };
        Columns { width, number, time, agents, apart }
    }

    /// Columns of a line.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The heading: the names of the agents.
    pub fn heading(&self) -> String {
        let mut line = format!("{:>1$}  ", "step", self.number);
        if self.time > 0 {
            line.push_str(&format!("{:>1$}  ", "us", self.time - 2));
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

    /// What stands before a step: its number and time, and the way to its agent's column.
    pub fn before_step(&self, agent: &str, number: usize, time_ns: Option<u64>) -> String {
        let time = time_ns.map(micros).unwrap_or_default();
        self.before(agent, &number.to_string(), &time, true)
    }

    /// What stands before a line that begins anew in an agent's column, without a number.
    pub fn before_call(&self, agent: &str) -> String {
        self.before(agent, "", "", true)
    }

    /// What stands before a line that goes on in an agent's column.
    pub fn before_rest(&self, agent: &str) -> String {
        self.before(agent, "", "", false)
    }

    fn before(&self, agent: &str, number: &str, time: &str, named: bool) -> String {
        let mut out = paint(DIM, &format!("{number:>0$}  ", self.number));
        if self.time > 0 {
            out.push_str(&paint(DIM, &format!("{time:>0$}  ", self.time - 2)));
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

/// Nanoseconds as microseconds.
pub fn micros(ns: u64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}
