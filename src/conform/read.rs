//! The reader of the language of sequences.

use super::expr::Expr;
use super::record;
use super::sequence::*;
use super::words::Words;
use crate::scenario::problem::{Problem, Problems, Source};
use crate::scenario::suggest;
use std::ops::Range;

/// Whether a text looks like a file of sequences.
pub fn looks_so(text: &str) -> bool {
    let code = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let first = text.lines().map(str::trim).find(code);
    first.is_some_and(|line| line.split_whitespace().next() == Some("seq"))
}

/// Reads a file of sequences.
///
/// # Errors
/// Everything that is wrong with it.
pub fn suite(name: &str, text: &str) -> Result<Suite, Problems> {
    let source = || Source { name: name.to_string(), text: text.to_string() };
    let wrong = |problems| Err(Problems::new(source(), problems).of("sequences"));
    if record::looks_so(text) {
        let start = text.len() - text.trim_start().len();
        let line = text[start..].lines().next().unwrap_or_default().trim_end();
        let what = "this is a recording, or a scenario, and no file of sequences";
        let problem = Problem::at(start..start + line.len(), what);
        return wrong(vec![problem.help("write `gupsim conform FILE.seq FILE.jsonl`")]);
    }
    let suite = Suite { name: name.to_string(), ..Suite::default() };
    let mut reader = Reader { text, suite, open: None, stray: false, problems: Vec::new() };
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        if let Err(problem) = reader.line(at..at + line.trim_end().len()) {
            reader.problems.push(problem);
        }
        at = end;
    }
    if let Some(open) = reader.open.take() {
        let message = format!("sequence '{}' has no end", open.sequence.name);
        reader.problems.push(Problem::at(open.span, message).help("close it with a line `end`"));
    }
    if reader.problems.is_empty() && reader.suite.sequences.is_empty() {
        let problem = Problem::general("the file has no sequences");
        reader.problems.push(problem.help("begin one with `seq NAME`"));
    }
    match reader.problems.is_empty() {
        true => Ok(reader.suite),
        false => wrong(reader.problems),
    }
}

struct Reader<'a> {
    text: &'a str,
    suite: Suite,
    open: Option<Open>,
    /// A line outside of a sequence has been complained about, and none has begun since.
    stray: bool,
    problems: Vec<Problem>,
}

/// A sequence that has begun.
struct Open {
    sequence: Sequence,
    rule: Option<usize>,
    span: Range<usize>,
    /// Its first line is wrong.
    wrong: bool,
}

impl Reader<'_> {
    fn line(&mut self, span: Range<usize>) -> Result<(), Problem> {
        let line = &self.text[span.clone()];
        let lead = line.len() - line.trim_start().len();
        let start = span.start + lead;
        // A rule's text and an expression may hold anything but a line's end.
        let expr = line[lead..].strip_prefix('!');
        if let (Some(expr), Some(_)) = (expr, &self.open) {
            return self.assertion(span.end - expr.len()..span.end);
        }
        let end = line.find('#').map_or(span.end, |i| span.start + i);
        let end = start + self.text[start.min(end)..end].trim_end().len();
        if end <= start {
            return Ok(());
        }
        let words = Words::of(self.text, start..end);
        match (words.get(0), &mut self.open) {
            ("seq", None) => self.begin(&words),
            (word, None) => match std::mem::replace(&mut self.stray, true) {
                true => Ok(()),
                false => Err(outside(word, words.span.clone())),
            },
            ("seq", Some(open)) => {
                let message = format!("sequence '{}' has not ended", open.sequence.name);
                Err(Problem::at(words.span.clone(), message).help("close it with a line `end`"))
            }
            ("rule", _) => self.rule(start..span.end),
            ("end", Some(_)) => {
                self.suite.sequences.extend(self.open.take().map(|open| open.sequence));
                Ok(())
            }
            (_, Some(open)) => {
                let op = operation(&words)?;
                let text = self.text[words.span.clone()].to_string();
                open.sequence.lines.push(Line { op, text, span: words.span.clone() });
                Ok(())
            }
        }
    }

    /// `seq NAME key=value...` What is wrong with it is no reason not to read what follows.
    fn begin(&mut self, words: &Words) -> Result<(), Problem> {
        let mut sequence = Sequence {
            name: words.get(1).to_string(),
            on: Vec::new(),
            pages: 2,
            size: 2 * PAGE,
            init: Init::Clean,
            lines: Vec::new(),
            assertions: Vec::new(),
        };
        let read = self.header(words, &mut sequence);
        let (span, wrong) = (words.span.clone(), read.is_err());
        self.open = Some(Open { sequence, rule: None, span, wrong });
        self.stray = false;
        read
    }

    fn header(&self, words: &Words, sequence: &mut Sequence) -> Result<(), Problem> {
        let name = &sequence.name;
        if name.is_empty() || name.contains('=') {
            let problem = Problem::at(words.span.clone(), "a sequence without a name");
            return Err(problem.help("write `seq NAME key=value...`"));
        }
        if self.suite.sequences.iter().any(|s| s.name == *name) {
            let problem = Problem::at(words.place(1), format!("a second sequence '{name}'"));
            return Err(problem.help("give each sequence a name of its own"));
        }
        let mut size = None;
        for n in 2..words.len() {
            let (word, place) = (words.get(n), words.place(n));
            let Some((key, _)) = word.split_once('=') else {
                let problem = Problem::at(place, format!("'{word}' is no key=value"));
                return Err(problem.help("the keys are fs, pages, size and init"));
            };
            let value = Words::of(self.text, place.start + key.len() + 1..place.end);
            match key {
                "fs" => sequence.on = file_systems(&value)?,
                "pages" => sequence.pages = value.pages(0)?,
                "size" => size = Some(value.bytes(0)?),
                "init" => sequence.init = value.one_of(0, INITS)?,
                _ => {
                    let known = ["fs", "pages", "size", "init"];
                    let problem = Problem::at(place, format!("unknown key '{key}'"));
                    return Err(problem.help(suggest::cure(key, known, "")));
                }
            }
        }
        sequence.size = size.unwrap_or(u64::from(sequence.pages) * PAGE);
        Ok(())
    }

    /// `rule NAME text`
    fn rule(&mut self, span: Range<usize>) -> Result<(), Problem> {
        let mut parts = self.text[span.clone()].splitn(3, ' ').skip(1);
        let (name, text) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let problem = |message: &str| Problem::at(span.clone(), message.to_string());
        let Some(open) = &mut self.open else { return Ok(()) };
        if name.is_empty() || text.is_empty() {
            return Err(problem("a rule without a name or without words")
                .help("write `rule NAME what it says`"));
        }
        let twice = self.suite.rules.iter().any(|r| r.name == name);
        // A sequence that is there twice has its rules twice.
        if twice && !open.wrong {
            return Err(problem(&format!("a second rule '{name}'"))
                .help("give each rule a name of its own"));
        }
        open.rule = Some(self.suite.rules.len());
        let sequence = self.suite.sequences.len();
        let (name, text) = (name.to_string(), text.to_string());
        self.suite.rules.push(Rule { name, text, sequence });
        Ok(())
    }

    /// `! EXPR`
    fn assertion(&mut self, span: Range<usize>) -> Result<(), Problem> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let text = self.text[span.clone()].trim();
        let start = span.end - self.text[span.clone()].trim_start().len();
        let expr = Expr::parse(text).map_err(|error| {
            let at = start + error.at.start..start + error.at.end;
            Problem::at(at, error.what).label(error.expected).help("an expression as Python has it")
        })?;
        let (step, rule) = (open.sequence.lines.len() as u32, open.rule);
        open.sequence.assertions.push(Assertion { step, rule, text: text.to_string(), expr });
        Ok(())
    }
}

/// A line that belongs to no sequence.
fn outside(word: &str, span: Range<usize>) -> Problem {
    let what = match word {
        "rule" => "a rule",
        word if word.starts_with('!') => "an assertion",
        _ => "an operation",
    };
    let problem = Problem::at(span, format!("{what} outside of a sequence"));
    problem.help("begin one with `seq NAME`")
}

/// `ext4,tmpfs`
fn file_systems(value: &Words) -> Result<Vec<String>, Problem> {
    let mut at = value.span.start;
    let mut on = Vec::new();
    for fs in value.get(0).split(',') {
        if !FILE_SYSTEMS.contains(&fs) {
            let what = match fs {
                "" => "the name of a file system is missing".to_string(),
                fs => format!("unknown file system '{fs}'"),
            };
            let problem = Problem::at(at..at + fs.len(), what);
            return Err(problem.help(suggest::cure(fs, FILE_SYSTEMS.iter().copied(), "")));
        }
        at += fs.len() + 1;
        on.push(fs.to_string());
    }
    Ok(on)
}

pub(super) const INITS: &[(&str, Init)] =
    &[("hole", Init::Hole), ("dirty", Init::Dirty), ("clean", Init::Clean), ("cold", Init::Cold)];

pub(super) const MADVICE: &[(&str, Madvice)] = &[
    ("DONTNEED", Madvice::DontNeed),
    ("FREE", Madvice::Free),
    ("REMOVE", Madvice::Remove),
    ("COLD", Madvice::Cold),
    ("PAGEOUT", Madvice::PageOut),
    ("POPULATE_READ", Madvice::PopulateRead),
    ("POPULATE_WRITE", Madvice::PopulateWrite),
    ("NORMAL", Madvice::Other("NORMAL")),
    ("RANDOM", Madvice::Other("RANDOM")),
    ("SEQUENTIAL", Madvice::Other("SEQUENTIAL")),
    ("WILLNEED", Madvice::Other("WILLNEED")),
    ("DONTFORK", Madvice::Other("DONTFORK")),
    ("DOFORK", Madvice::Other("DOFORK")),
    ("HUGEPAGE", Madvice::Other("HUGEPAGE")),
    ("WIPEONFORK", Madvice::Other("WIPEONFORK")),
    ("DONTNEED_LOCKED", Madvice::Other("DONTNEED_LOCKED")),
];

pub(super) const GATES: &[(&str, Gate)] = &[
    ("close", Gate::Close),
    ("open", Gate::Open),
    ("eio", Gate::Eio),
    ("ok", Gate::Ok),
    ("rclose", Gate::RawClose),
    ("ropen", Gate::RawOpen),
    ("fsrclose", Gate::ReadClose),
    ("fsropen", Gate::ReadOpen),
    ("wait", Gate::Wait),
    ("rwait", Gate::RawWait),
];

pub(super) const SHARING: &[(&str, Sharing)] =
    &[("shared", Sharing::Shared), ("private", Sharing::Private), ("sync", Sharing::Sync)];
pub(super) const PROTS: &[(&str, Prot)] =
    &[("ro", Prot::Ro), ("rw", Prot::Rw), ("none", Prot::None)];
pub(super) const WRITES: &[(&str, bool)] = &[("rw", true), ("ro", false)];
pub(super) const MSYNC: &[(&str, Msync)] =
    &[("sync", Msync::Sync), ("async", Msync::Async), ("inval", Msync::Invalidate)];
pub(super) const FADVICE: &[(&str, Fadvice)] = &[
    ("DONTNEED", Fadvice::DontNeed),
    ("WILLNEED", Fadvice::WillNeed),
    ("RANDOM", Fadvice::Random),
];
pub(super) const SEALS: &[(&str, Seal)] = &[
    ("write", Seal::Write),
    ("future", Seal::Future),
    ("shrink", Seal::Shrink),
    ("grow", Seal::Grow),
];

/// How to read the arguments of an operation.
type Read = fn(&Words) -> Result<Op, Problem>;

/// Every operation: its word, the words after it, and how they are read.
const OPERATIONS: &[(&str, &str, Read)] = &[
    ("mmap", "S shared|private|sync rw|ro OFFPAGE N", |w| {
        let (slot, how) = (w.slot(1)?, w.one_of(2, SHARING)?);
        let (write, first, pages) = (w.one_of(3, WRITES)?, w.page(4)?, w.pages(5)?);
        Ok(Op::Mmap { slot, how, write, first, pages })
    }),
    ("anon", "S N", |w| Ok(Op::Anon { slot: w.slot(1)?, pages: w.pages(2)?, shared: false })),
    ("munmap", "S", |w| Ok(Op::Munmap { slot: w.slot(1)? })),
    ("mprotect", "S rw|ro|none", |w| {
        Ok(Op::Mprotect { slot: w.slot(1)?, prot: w.one_of(2, PROTS)? })
    }),
    ("rd", "S P", |w| Ok(Op::Load { at: w.at(1)?, child: false })),
    ("wr", "S P V", |w| Ok(Op::Store { at: w.at(1)?, value: w.value(3)?, child: false })),
    ("wrb", "S BYTES LEN V", |w| {
        Ok(Op::StoreBytes { slot: w.slot(1)?, bytes: w.range(2)?, value: w.value(4)? })
    }),
    ("pread", "P", |w| Ok(Op::Read { page: w.page(1)?, direct: false })),
    ("pwrite", "P V", |w| Ok(Op::Write { page: w.page(1)?, value: w.value(2)?, direct: false })),
    ("pwriteb", "BYTES LEN V", |w| Ok(Op::WriteBytes { bytes: w.range(1)?, value: w.value(3)? })),
    ("dpread", "P", |w| Ok(Op::Read { page: w.page(1)?, direct: true })),
    ("dpwrite", "P V", |w| Ok(Op::Write { page: w.page(1)?, value: w.value(2)?, direct: true })),
    ("trunc", "BYTES", |w| Ok(Op::Truncate { size: w.bytes(1)? })),
    ("punch", "OFF LEN", |w| Ok(Op::Fallocate { mode: Falloc::Punch, bytes: w.range(1)? })),
    ("zero", "OFF LEN", |w| Ok(Op::Fallocate { mode: Falloc::Zero, bytes: w.range(1)? })),
    ("falloc", "OFF LEN", |w| Ok(Op::Fallocate { mode: Falloc::Plain, bytes: w.range(1)? })),
    ("collapse", "OFF LEN", |w| Ok(Op::Fallocate { mode: Falloc::Collapse, bytes: w.range(1)? })),
    ("fsync", "", |_| Ok(Op::Fsync { data_only: false })),
    ("fdatasync", "", |_| Ok(Op::Fsync { data_only: true })),
    ("sfr", "LETTERS", sync_file_range),
    ("msync", "S sync|async|inval", |w| {
        Ok(Op::Msync { slot: w.slot(1)?, how: w.one_of(2, MSYNC)? })
    }),
    ("mlock", "S P N", |w| Ok(Op::Mlock { at: w.at(1)?, pages: w.pages(3)?, lock: true })),
    ("munlock", "S P N", |w| Ok(Op::Mlock { at: w.at(1)?, pages: w.pages(3)?, lock: false })),
    ("madv", "S P N ADVICE", |w| {
        Ok(Op::Madvise { at: w.at(1)?, pages: w.pages(3)?, advice: w.one_of(4, MADVICE)? })
    }),
    ("fadv", "OFF LEN ADVICE", |w| {
        Ok(Op::Fadvise { bytes: w.range(1)?, advice: w.one_of(3, FADVICE)? })
    }),
    ("dread", "S P K", |w| Ok(Op::DirectIn { at: w.at(1)?, value: w.value(3)?, raw: false })),
    ("dreadg", "S P K", |w| Ok(Op::DirectIn { at: w.at(1)?, value: w.value(3)?, raw: true })),
    ("dwrite", "S P", |w| Ok(Op::DirectOut { at: w.at(1)?, raw: false })),
    ("dwriteg", "S P", |w| Ok(Op::DirectOut { at: w.at(1)?, raw: true })),
    ("gdst", "", |_| Ok(Op::ReadRaw)),
    ("dreads", "S P K", |w| Ok(Op::DirectSelf { at: w.at(1)?, page: w.page(3)? })),
    ("ureg", "S P N", |w| Ok(Op::Register { at: w.at(1)?, pages: w.pages(3)? })),
    ("udma", "I V", |w| Ok(Op::Dma { page: w.page(1)?, value: w.value(2)? })),
    ("uunreg", "", |_| Ok(Op::Unregister)),
    ("pinw", "S P", |w| Ok(Op::Pin { at: w.at(1)?, write: true })),
    ("pinw_end", "V", |w| Ok(Op::PinEnd { value: Some(w.value(1)?) })),
    ("pinr", "S P", |w| Ok(Op::Pin { at: w.at(1)?, write: false })),
    ("pinr_end", "", |_| Ok(Op::PinEnd { value: None })),
    ("pvw", "S P V", |w| Ok(Op::WriteVm { at: w.at(1)?, value: w.value(3)? })),
    ("pmemw", "S P V", |w| Ok(Op::WriteMem { at: w.at(1)?, value: w.value(3)? })),
    ("vms", "S P", |w| Ok(Op::Vmsplice { at: w.at(1)? })),
    ("spl", "P", |w| Ok(Op::Splice { page: w.page(1)? })),
    ("vdrain", "", |_| Ok(Op::Drain)),
    ("fork", "", |_| Ok(Op::Fork)),
    ("crd", "S P", |w| Ok(Op::Load { at: w.at(1)?, child: true })),
    ("cwr", "S P V", |w| Ok(Op::Store { at: w.at(1)?, value: w.value(3)?, child: true })),
    ("cmunmap", "S", |w| Ok(Op::ChildUnmap { slot: w.slot(1)? })),
    ("cexit", "", |_| Ok(Op::ChildExit)),
    ("seal", "write|future|shrink|grow", |w| Ok(Op::Seal(w.one_of(1, SEALS)?))),
    ("sleep", "MS", |w| Ok(Op::Sleep { ms: w.number(1, 60_000)? as u32 })),
    ("gate", "close|open|eio|ok|rclose|ropen|fsrclose|fsropen|wait|rwait", |w| {
        Ok(Op::Gate(w.one_of(1, GATES)?))
    }),
    ("bgwait", "MS", |w| w.number(1, 600_000).map(|_| Op::BackgroundWait { second: false })),
    ("bgwait2", "MS", |w| w.number(1, 600_000).map(|_| Op::BackgroundWait { second: true })),
    ("bgsig", "0", |w| w.number(1, 0).map(|_| Op::BackgroundSignal { second: false })),
    ("bgsig2", "0", |w| w.number(1, 0).map(|_| Op::BackgroundSignal { second: true })),
];

fn sync_file_range(w: &Words) -> Result<Op, Problem> {
    let letters = w.get(1);
    if letters.is_empty() || letters.chars().any(|c| !"bwa".contains(c)) {
        let problem = Problem::at(w.place(1), format!("'{letters}' are no letters of sfr"));
        return Err(problem.help("b is WAIT_BEFORE, w is WRITE, a is WAIT_AFTER"));
    }
    let has = |c| letters.contains(c);
    Ok(Op::Sfr { before: has('b'), write: has('w'), after: has('a') })
}

/// Reads one operation.
fn operation(words: &Words) -> Result<Op, Problem> {
    let word = words.get(0);
    if matches!(word, "bg" | "bg2") {
        let inner = words.rest();
        if inner.len() == 0 || matches!(inner.get(0), "bg" | "bg2") {
            let problem = Problem::at(words.span.clone(), "nothing to run in the background");
            return Err(problem.help(format!("write `{word} OP...`")));
        }
        let op = Box::new(operation(&inner)?);
        return Ok(Op::Background { second: word == "bg2", op });
    }
    if word == "anon" && words.get(3) == "shared" && words.len() == 4 {
        return Ok(Op::Anon { slot: words.slot(1)?, pages: words.pages(2)?, shared: true });
    }
    let Some(&(_, arguments, read)) = OPERATIONS.iter().find(|(name, ..)| *name == word) else {
        let known = OPERATIONS.iter().map(|(name, ..)| *name).chain(["bg", "bg2", "end"]);
        let problem = Problem::at(words.place(0), format!("unknown operation '{word}'"));
        return Err(problem.help(suggest::cure(word, known, "")));
    };
    let usage = format!("write `{word} {arguments}`");
    words.exactly(arguments.split_whitespace().count(), &usage)?;
    read(words)
}
