//! Conditions over a final state, and their little language:
//! `disk data[0] = dma && !(errno trunc = EBUSY)`.
//!
//! `||` binds weaker than `&&`, `&&` weaker than `!`. What can be asked stands in the tables
//! [`CONTENTS_OF_PAGE`], [`CONTENTS_OF_OP`], [`CONTENTS`], [`FACTS_OF_PAGE`], [`NUMBERS_OF_PAGE`]
//! and [`OTHERS`].

use super::compile::{Tables, access};
use super::problem::Problem;
use super::{limits, suggest};
use crate::kernel::actor::errno;
use crate::kernel::world::ids::{Actor, File, FilePage, OpId};
use crate::kernel::world::plan::{Part, Plan, WHOLE};
use std::cmp::Ordering;
use std::ops::Range;

/// A condition with all names resolved.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Condition {
    /// All of them hold.
    And(Vec<Condition>),
    /// One of them holds.
    Or(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// A single test.
    Test(Test),
}

/// A single test of a final state.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Test {
    /// Whether (or, if not `equal`, that not) some contents are these.
    Contents {
        /// Whose contents.
        of: Of,
        /// Which bytes of the page.
        part: Part,
        /// `=` (else `!=`).
        equal: bool,
        /// What they are compared with.
        with: Contents,
    },
    /// How an operation ended: `equal` to this errno, or not; 0 is success.
    Errno {
        /// The operation.
        op: OpId,
        /// `=` (else `!=`).
        equal: bool,
        /// The errno, positive.
        errno: i32,
    },
    /// A number compared with another.
    Number {
        /// Which number.
        of: Quantity,
        /// How it is compared.
        compare: Compare,
        /// What it is compared with.
        with: i64,
    },
    /// Something that holds or not.
    Fact(Fact),
}

/// Whose contents are meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Of {
    /// A page of a file in the page cache (DAX: on the pmem device).
    Page(FilePage),
    /// The block of a page of a file, as after power loss now.
    Disk(FilePage),
    /// What the remote peer received by this `dma_read` (last, if it ran several times).
    Remote(OpId),
    /// What this `load`, `read` or `verify` saw last.
    Read(OpId),
}

/// Contents of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Contents {
    /// There is no page, no block, or the operation has not run.
    Absent,
    /// What the page of the file had on disk at the start (in a read: of the page it read).
    Initial,
    /// What the page of the file had in the cache at the start, being dirty.
    Newer,
    /// Zeroes.
    Zero,
    /// What this operation wrote, in any of its rounds.
    By(OpId),
    /// More than one of the others, in different bytes.
    Mixed,
    /// Anything else: what belongs to another page of a file, or nobody wrote.
    Foreign,
}

/// A number of a final state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Quantity {
    /// `folio_ref_count` of a cached page.
    Refcount(FilePage),
    /// `folio_mapcount` of a cached page.
    Mapcount(FilePage),
    /// Pins that are held on a cached page, whatever the strategy's counters say.
    Pins(FilePage),
    /// `i_size` in bytes.
    Size(File),
    /// What an operation returned (pages pinned, for a pin).
    Result(OpId),
}

/// A comparison of numbers.
#[allow(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    /// The comparison that a word means.
    pub fn parse(word: &str) -> Option<Compare> {
        Some(match word {
            "=" | "==" => Compare::Equal,
            "!=" => Compare::NotEqual,
            "<" => Compare::Less,
            "<=" => Compare::LessOrEqual,
            ">" => Compare::Greater,
            ">=" => Compare::GreaterOrEqual,
            _ => return None,
        })
    }

    /// Whether it holds of two numbers that are in this order.
    pub fn holds(self, ordering: Ordering) -> bool {
        match self {
            Compare::Equal => ordering.is_eq(),
            Compare::NotEqual => ordering.is_ne(),
            Compare::Less => ordering.is_lt(),
            Compare::LessOrEqual => ordering.is_le(),
            Compare::Greater => ordering.is_gt(),
            Compare::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// Something that holds in a final state or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fact {
    /// The page is in the page cache.
    Cached(FilePage),
    /// The page is cached and dirty.
    Dirty(FilePage),
    /// The page is cached and under writeback.
    Writeback(FilePage),
    /// The page is cached and somebody holds a pin on it.
    Pinned(FilePage),
    /// The operation has ended.
    Done(OpId),
    /// The thread has ended.
    Finished(Actor),
    /// Power was lost.
    Crashed,
}

/// What conditions ask of a final state. The model answers.
pub trait FinalState {
    /// The contents of these bytes.
    fn contents(&self, of: Of, part: Part) -> Contents;
    /// How an operation ended: a positive errno, 0 for success; none if it has not ended.
    fn errno(&self, op: OpId) -> Option<i32>;
    /// A number; none if there is no such page, or the operation has not ended.
    fn number(&self, of: Quantity) -> Option<i64>;
    /// Whether something holds.
    fn holds(&self, fact: Fact) -> bool;
}

impl Condition {
    /// Whether a final state meets the condition. What is not there is equal to nothing and
    /// unequal to everything, so `errno x = 0` is false of an operation that never ended.
    pub fn met(&self, state: &impl FinalState) -> bool {
        match self {
            Condition::And(all) => all.iter().all(|c| c.met(state)),
            Condition::Or(any) => any.iter().any(|c| c.met(state)),
            Condition::Not(not) => !not.met(state),
            Condition::Test(test) => test.met(state),
        }
    }
}

impl Test {
    fn met(&self, state: &impl FinalState) -> bool {
        match *self {
            Test::Contents { of, part, equal, with } => (state.contents(of, part) == with) == equal,
            Test::Errno { op, equal, errno } => (state.errno(op) == Some(errno)) == equal,
            Test::Fact(fact) => state.holds(fact),
            Test::Number { of, compare, with } => {
                let ordering = state.number(of).map(|n| n.cmp(&with));
                ordering.map_or(compare == Compare::NotEqual, |o| compare.holds(o))
            }
        }
    }
}

type OfPage = fn(FilePage) -> Of;
type OfOp = fn(OpId) -> Of;
type FactOfPage = fn(FilePage) -> Fact;
type NumberOfPage = fn(FilePage) -> Quantity;

/// Words that ask for contents of a page of a file.
pub const CONTENTS_OF_PAGE: &[(&str, OfPage)] = &[("page", Of::Page), ("disk", Of::Disk)];
/// Words that ask for contents that a labelled operation saw.
pub const CONTENTS_OF_OP: &[(&str, OfOp)] = &[("remote", Of::Remote), ("read", Of::Read)];
/// Words for contents that no operation wrote.
pub const CONTENTS: &[(&str, Contents)] = &[
    ("none", Contents::Absent),
    ("initial", Contents::Initial),
    ("newer", Contents::Newer),
    ("zero", Contents::Zero),
    ("mixed", Contents::Mixed),
    ("foreign", Contents::Foreign),
];
/// Facts of a page of a file.
pub const FACTS_OF_PAGE: &[(&str, FactOfPage)] = &[
    ("cached", Fact::Cached),
    ("dirty", Fact::Dirty),
    ("writeback", Fact::Writeback),
    ("pinned", Fact::Pinned),
];
/// Numbers of a page of a file.
pub const NUMBERS_OF_PAGE: &[(&str, NumberOfPage)] =
    &[("refcount", Quantity::Refcount), ("mapcount", Quantity::Mapcount), ("pins", Quantity::Pins)];
/// The other words with which a test begins.
pub const OTHERS: &[&str] = &["errno", "result", "size", "done", "finished", "crashed"];

/// Reads a condition.
///
/// # Errors
/// If it is none; the span is relative to the text.
pub fn parse(text: &str, plan: &Plan, tables: &Tables) -> Result<Condition, Problem> {
    if text.len() > limits::CONDITION_BYTES {
        let most = limits::CONDITION_BYTES;
        return Err(Problem::general(format!("a condition of more than {most} characters")));
    }
    let mut parser = Parser { text, at: 0, depth: 0, plan, tables };
    let condition = parser.or()?;
    match parser.next() {
        (span, "") => {
            debug_assert_eq!(span.start, text.len());
            Ok(condition)
        }
        (span, word) => Err(Problem::at(span, format!("unexpected `{word}`"))
            .label("the condition has ended before this")
            .help("join tests with && or ||")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    plan: &'a Plan,
    tables: &'a Tables,
}

/// Symbols, longest first.
const SYMBOLS: &[&str] = &["&&", "||", "!=", "<=", ">=", "==", "=", "<", ">", "!", "(", ")"];

impl<'a> Parser<'a> {
    /// The next word or symbol and where it is; empty at the end.
    fn peek(&self) -> (Range<usize>, &'a str) {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        let start = self.at + rest.len() - trimmed.len();
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '[' | ']' | '.');
        let len = match SYMBOLS.iter().find(|s| trimmed.starts_with(**s)) {
            Some(symbol) => symbol.len(),
            None => match trimmed.find(|c| !word(c)).unwrap_or(trimmed.len()) {
                0 => trimmed.chars().next().map_or(0, char::len_utf8),
                n => n,
            },
        };
        (start..start + len, &self.text[start..start + len])
    }

    fn next(&mut self) -> (Range<usize>, &'a str) {
        let (span, word) = self.peek();
        self.at = span.end;
        (span, word)
    }

    fn or(&mut self) -> Result<Condition, Problem> {
        let mut any = vec![self.and()?];
        while self.peek().1 == "||" {
            self.next();
            any.push(self.and()?);
        }
        Ok(if any.len() == 1 { any.swap_remove(0) } else { Condition::Or(any) })
    }

    fn and(&mut self) -> Result<Condition, Problem> {
        let mut all = vec![self.not()?];
        while self.peek().1 == "&&" {
            self.next();
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Condition::And(all) })
    }

    fn not(&mut self) -> Result<Condition, Problem> {
        let (span, word) = self.peek();
        if !matches!(word, "!" | "(") {
            return self.test().map(Condition::Test);
        }
        self.next();
        self.depth += 1;
        if self.depth > limits::CONDITION_DEPTH {
            let most = limits::CONDITION_DEPTH;
            return Err(Problem::at(span, format!("nested more than {most} deep")));
        }
        let condition = if word == "!" {
            Condition::Not(Box::new(self.not()?))
        } else {
            let inner = self.or()?;
            match self.next() {
                (_, ")") => inner,
                (at, _) => {
                    return Err(Problem::at(at, "expected `)`")
                        .help("close the parenthesis, or join tests with && or ||"));
                }
            }
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn test(&mut self) -> Result<Test, Problem> {
        let (span, word) = self.next();
        if let Some((_, of)) = CONTENTS_OF_PAGE.iter().find(|(w, _)| *w == word) {
            let (page, part) = self.page(true)?;
            return self.contents(of(page), part);
        }
        if let Some((_, of)) = CONTENTS_OF_OP.iter().find(|(w, _)| *w == word) {
            let op = self.label()?;
            return self.contents(of(op), WHOLE);
        }
        if let Some((_, fact)) = FACTS_OF_PAGE.iter().find(|(w, _)| *w == word) {
            return Ok(Test::Fact(fact(self.page(false)?.0)));
        }
        if let Some((_, of)) = NUMBERS_OF_PAGE.iter().find(|(w, _)| *w == word) {
            let of = of(self.page(false)?.0);
            return self.number(of);
        }
        match word {
            "errno" => self.errno(),
            "result" => {
                let op = self.label()?;
                self.number(Quantity::Result(op))
            }
            "size" => {
                let (span, name) = self.next();
                let file = self.tables.files.get(name);
                let file = file.ok_or_else(|| at(span, self.tables.files.unknown(name)))?;
                self.number(Quantity::Size(file))
            }
            "done" => Ok(Test::Fact(Fact::Done(self.label()?))),
            "finished" => {
                let (span, name) = self.next();
                let thread = self.tables.threads.get(name);
                let thread = thread.ok_or_else(|| at(span, self.tables.threads.unknown(name)))?;
                Ok(Test::Fact(Fact::Finished(thread)))
            }
            "crashed" => Ok(Test::Fact(Fact::Crashed)),
            _ => Err(self.no_test(span, word)),
        }
    }

    fn no_test(&self, span: Range<usize>, word: &str) -> Problem {
        let words = CONTENTS_OF_PAGE.iter().map(|(w, _)| *w);
        let words = words.chain(CONTENTS_OF_OP.iter().map(|(w, _)| *w));
        let words = words.chain(FACTS_OF_PAGE.iter().map(|(w, _)| *w));
        let words = words.chain(NUMBERS_OF_PAGE.iter().map(|(w, _)| *w));
        let words = words.chain(OTHERS.iter().copied());
        let what = match word {
            "" => "the condition ends where a test must follow".to_string(),
            _ => format!("`{word}` begins no test"),
        };
        Problem::at(span, what).help(suggest::cure(word, words, ""))
    }

    fn page(&mut self, parts: bool) -> Result<(FilePage, Part), Problem> {
        let (span, word) = self.next();
        let cached = access::cached(word, None, self.plan, self.tables);
        let cached = cached.map_err(|problem| at(span.clone(), problem))?;
        access::single(cached.pages).map_err(|problem| at(span.clone(), problem))?;
        if !parts {
            access::whole(cached.part).map_err(|problem| at(span, problem))?;
        }
        Ok((cached.first, cached.part))
    }

    fn label(&mut self) -> Result<OpId, Problem> {
        let (span, name) = self.next();
        self.tables.labels.get(name).ok_or_else(|| at(span, self.tables.labels.unknown(name)))
    }

    fn compare(&mut self) -> Result<Compare, Problem> {
        let (span, word) = self.next();
        Compare::parse(word)
            .ok_or_else(|| Problem::at(span, "a comparison must follow").help("write = or !="))
    }

    /// `=` or `!=`.
    fn equal(&mut self) -> Result<bool, Problem> {
        let span = self.peek().0;
        match self.compare()? {
            Compare::Equal => Ok(true),
            Compare::NotEqual => Ok(false),
            _ => Err(Problem::at(span, "only numbers have an order").help("write = or !=")),
        }
    }

    fn contents(&mut self, of: Of, part: Part) -> Result<Test, Problem> {
        let equal = self.equal()?;
        let (span, word) = self.next();
        let known = CONTENTS.iter().find(|(w, _)| *w == word).map(|(_, c)| *c);
        let with = match known.or_else(|| self.tables.labels.get(word).map(Contents::By)) {
            Some(with) => with,
            None => {
                let names = CONTENTS.iter().map(|(w, _)| *w).chain(self.tables.labels.names());
                return Err(Problem::at(span, format!("unknown contents `{word}`"))
                    .label("neither a label nor one of the known words")
                    .help(suggest::cure(word, names, "")));
            }
        };
        Ok(Test::Contents { of, part, equal, with })
    }

    fn errno(&mut self) -> Result<Test, Problem> {
        let op = self.label()?;
        let equal = self.equal()?;
        let (span, word) = self.next();
        let known = if word == "0" { Some(0) } else { errno::parse(word) };
        match known {
            Some(errno) => Ok(Test::Errno { op, equal, errno }),
            None => Err(Problem::at(span, format!("unknown errno `{word}`")).help(suggest::cure(
                word,
                errno::NAMES.iter().copied(),
                "",
            ))),
        }
    }

    fn number(&mut self, of: Quantity) -> Result<Test, Problem> {
        let compare = self.compare()?;
        let (span, word) = self.next();
        let with = word
            .parse()
            .map_err(|_| Problem::at(span, format!("expected a number, found `{word}`")))?;
        Ok(Test::Number { of, compare, with })
    }
}

/// A problem of a part of the condition.
fn at(span: Range<usize>, problem: Problem) -> Problem {
    Problem { span: Some(span), ..problem }
}
