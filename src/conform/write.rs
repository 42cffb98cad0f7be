//! Sequences as text, in the words in which they are read.

use super::read::*;
use super::sequence::*;
use std::fmt::{self, Display, Formatter};

/// The word of a value in a table of words.
fn word<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    table.iter().find(|(_, v)| v == value).map_or("?", |(word, _)| word)
}

/// The word of an operation on a page, of the process or of its child.
fn touch(child: bool, own: &'static str, its: &'static str) -> &'static str {
    if child { its } else { own }
}

/// A number of bytes as it is best read: in pages where it is some.
struct Size(u64);

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.0 / PAGE, self.0 % PAGE) {
            (0, rest) => write!(f, "{rest}"),
            (pages, 0) => write!(f, "{pages}p"),
            (pages, rest) => write!(f, "{pages}p+{rest}"),
        }
    }
}

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Size(self.at), Size(self.len))
    }
}

impl Display for At {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.slot, self.page)
    }
}

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let second = |second: bool| if second { "2" } else { "" };
        match self {
            Op::Mmap { slot, how, write, first, pages } => {
                let (how, write) = (word(SHARING, how), word(WRITES, write));
                write!(f, "mmap {slot} {how} {write} {first} {pages}")
            }
            Op::Anon { slot, pages, shared } => {
                write!(f, "anon {slot} {pages}{}", if *shared { " shared" } else { "" })
            }
            Op::Munmap { slot } => write!(f, "munmap {slot}"),
            Op::Mprotect { slot, prot } => write!(f, "mprotect {slot} {}", word(PROTS, prot)),
            Op::Load { at, child } => write!(f, "{} {at}", touch(*child, "rd", "crd")),
            Op::Store { at, value, child } => {
                write!(f, "{} {at} {value}", touch(*child, "wr", "cwr"))
            }
            Op::StoreBytes { slot, bytes, value } => write!(f, "wrb {slot} {bytes} {value}"),
            Op::WriteBytes { bytes, value } => write!(f, "pwriteb {bytes} {value}"),
            Op::Truncate { size } => write!(f, "trunc {}", Size(*size)),
            Op::Fallocate { mode, bytes } => {
                let word = match mode {
                    Falloc::Punch => "punch",
                    Falloc::Zero => "zero",
                    Falloc::Plain => "falloc",
                    Falloc::Collapse => "collapse",
                };
                write!(f, "{word} {bytes}")
            }
            Op::Madvise { at, pages, advice } => {
                write!(f, "madv {at} {pages} {}", word(MADVICE, advice))
            }
            Op::Fadvise { bytes, advice } => write!(f, "fadv {bytes} {}", word(FADVICE, advice)),
            Op::Msync { slot, how } => write!(f, "msync {slot} {}", word(MSYNC, how)),
            Op::Mlock { at, pages, lock: true } => write!(f, "mlock {at} {pages}"),
            Op::Mlock { at, pages, lock: false } => write!(f, "munlock {at} {pages}"),
            Op::Seal(seal) => write!(f, "seal {}", word(SEALS, seal)),
            Op::Gate(gate) => write!(f, "gate {}", word(GATES, gate)),
            Op::Sleep { ms } => write!(f, "sleep {ms}"),
            Op::Background { second: two, op } => write!(f, "bg{} {op}", second(*two)),
            // As long as the recorder waits for anything.
            Op::BackgroundWait { second: two } => write!(f, "bgwait{} 3000", second(*two)),
            Op::BackgroundSignal { second: two } => write!(f, "bgsig{} 0", second(*two)),
            op => plainly(op, f),
        }
    }
}

/// Those whose words are their own.
fn plainly(op: &Op, f: &mut Formatter<'_>) -> fmt::Result {
    let raw = |raw: bool| if raw { "g" } else { "" };
    let direct = |direct: bool| if direct { "d" } else { "" };
    match op {
        Op::Read { page, direct: d } => write!(f, "{}pread {page}", direct(*d)),
        Op::Write { page, value, direct: d } => write!(f, "{}pwrite {page} {value}", direct(*d)),
        Op::Fsync { data_only: false } => f.write_str("fsync"),
        Op::Fsync { data_only: true } => f.write_str("fdatasync"),
        Op::Sfr { before, write, after } => {
            let letters = [(*before, "b"), (*write, "w"), (*after, "a")];
            let set: String = letters.iter().filter(|(on, _)| *on).map(|(_, l)| *l).collect();
            write!(f, "sfr {set}")
        }
        Op::DirectIn { at, value, raw: g } => write!(f, "dread{} {at} {value}", raw(*g)),
        Op::DirectOut { at, raw: g } => write!(f, "dwrite{} {at}", raw(*g)),
        Op::DirectSelf { at, page } => write!(f, "dreads {at} {page}"),
        Op::ReadRaw => f.write_str("gdst"),
        Op::Register { at, pages } => write!(f, "ureg {at} {pages}"),
        Op::Dma { page, value } => write!(f, "udma {page} {value}"),
        Op::Unregister => f.write_str("uunreg"),
        Op::Pin { at, write: true } => write!(f, "pinw {at}"),
        Op::Pin { at, write: false } => write!(f, "pinr {at}"),
        Op::PinEnd { value: Some(value) } => write!(f, "pinw_end {value}"),
        Op::PinEnd { value: None } => f.write_str("pinr_end"),
        Op::WriteVm { at, value } => write!(f, "pvw {at} {value}"),
        Op::WriteMem { at, value } => write!(f, "pmemw {at} {value}"),
        Op::Vmsplice { at } => write!(f, "vms {at}"),
        Op::Splice { page } => write!(f, "spl {page}"),
        Op::Drain => f.write_str("vdrain"),
        Op::Fork => f.write_str("fork"),
        Op::ChildUnmap { slot } => write!(f, "cmunmap {slot}"),
        Op::ChildExit => f.write_str("cexit"),
        // Every other one has been written above.
        _ => Err(fmt::Error),
    }
}

impl Display for Sequence {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "seq {}", self.name)?;
        if !self.on.is_empty() {
            write!(f, " fs={}", self.on.join(","))?;
        }
        write!(f, " pages={}", self.pages)?;
        if self.size != u64::from(self.pages) * PAGE {
            write!(f, " size={}", Size(self.size))?;
        }
        writeln!(f, " init={}", word(INITS, &self.init))?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{}", line.op))?;
        writeln!(f, "end")
    }
}

impl Line {
    /// An operation by itself, without a text that it was read from.
    pub fn of(op: Op) -> Line {
        let text = op.to_string();
        Line { op, text, span: 0..0 }
    }
}

#[cfg(test)]
mod tests {
    use crate::conform::{bundled, read};

    #[test]
    fn every_recorded_sequence_is_written_as_it_was_read() {
        for bundled in bundled::ALL {
            let suite = read::suite(bundled.suite, bundled.sequences).unwrap();
            for sequence in &suite.sequences {
                let text = sequence.to_string();
                let again = read::suite("again", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
                let again = &again.sequences[0];
                let ops = |s: &super::Sequence| -> Vec<super::Op> {
                    s.lines.iter().map(|l| l.op.clone()).collect()
                };
                assert_eq!(ops(again), ops(sequence), "{}", sequence.name);
                assert_eq!((again.size, again.init), (sequence.size, sequence.init));
                assert_eq!((&again.on, again.pages), (&sequence.on, sequence.pages));
            }
        }
    }
}
