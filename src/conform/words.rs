//! The words of a line, and what can be read from them.

use super::sequence::{At, Bytes, PAGE, PAGES, SLOTS};
use crate::scenario::problem::Problem;
use crate::scenario::suggest;
use std::ops::Range;

/// A line taken apart: its words with their places in the text.
pub struct Words<'a> {
    text: &'a str,
    /// The bytes of the line.
    pub span: Range<usize>,
    words: Vec<Range<usize>>,
}

/// Largest number that makes sense anywhere: sizes stay far below what a run could hold.
const MOST: u64 = 1 << 24;

impl<'a> Words<'a> {
    /// The words of `span` of a text.
    pub fn of(text: &'a str, span: Range<usize>) -> Words<'a> {
        let line = &text[span.clone()];
        let mut words = Vec::new();
        let mut from = None;
        for (i, c) in line.char_indices().chain([(line.len(), ' ')]) {
            match (c.is_whitespace(), from) {
                (false, None) => from = Some(i),
                (true, Some(start)) => {
                    words.push(span.start + start..span.start + i);
                    from = None;
                }
                _ => {}
            }
        }
        Words { text, span, words }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Word `n`; empty if there is none.
    pub fn get(&self, n: usize) -> &'a str {
        self.words.get(n).map_or("", |w| &self.text[w.clone()])
    }

    /// Where word `n` is; the end of the line if there is none.
    pub fn place(&self, n: usize) -> Range<usize> {
        self.words.get(n).cloned().unwrap_or(self.span.end..self.span.end)
    }

    /// The same without the first word.
    pub fn rest(&self) -> Words<'a> {
        let words = self.words[1.min(self.words.len())..].to_vec();
        let start = words.first().map_or(self.span.end, |w| w.start);
        Words { text: self.text, span: start..self.span.end, words }
    }

    /// Refuses a line that has other than `wanted` words after the first.
    pub fn exactly(&self, wanted: usize, usage: &str) -> Result<(), Problem> {
        match self.len() == wanted + 1 {
            true => Ok(()),
            false => {
                let found = self.len() - 1;
                let problem = Problem::at(self.span.clone(), "wrong number of arguments");
                Err(problem.label(format!("{found} instead of {wanted}")).help(usage.to_string()))
            }
        }
    }

    /// A number up to a greatest one.
    pub fn number(&self, n: usize, most: u64) -> Result<u64, Problem> {
        self.between(n, 0, most)
    }

    fn between(&self, n: usize, least: u64, most: u64) -> Result<u64, Problem> {
        let (word, most) = (self.get(n), most.min(MOST));
        let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        let what = match word.parse::<u64>() {
            Ok(value) if digits && (least..=most).contains(&value) => return Ok(value),
            Ok(value) if digits && value < least => format!("'{word}' is too small"),
            _ if digits => format!("'{word}' is too large"),
            _ if word.is_empty() => "a number is missing".to_string(),
            _ => format!("'{word}' is no number"),
        };
        let limits = format!("expected a whole number from {least} to {most}");
        Err(Problem::at(self.place(n), what).label(limits))
    }

    /// A value: what a page is filled with.
    pub fn value(&self, n: usize) -> Result<u32, Problem> {
        Ok(self.number(n, 99_999)? as u32)
    }

    /// A slot.
    pub fn slot(&self, n: usize) -> Result<usize, Problem> {
        Ok(self.number(n, SLOTS as u64 - 1)? as usize)
    }

    /// A page of the file or of a slot.
    pub fn page(&self, n: usize) -> Result<u32, Problem> {
        Ok(self.number(n, u64::from(PAGES) - 1)? as u32)
    }

    /// A number of pages.
    pub fn pages(&self, n: usize) -> Result<u32, Problem> {
        Ok(self.between(n, 1, u64::from(PAGES))? as u32)
    }

    /// Slot and page.
    pub fn at(&self, n: usize) -> Result<At, Problem> {
        Ok(At { slot: self.slot(n)?, page: self.page(n + 1)? })
    }

    /// Bytes: a number, or `Kp`, `Kp+N`, `Kp-N`.
    pub fn bytes(&self, n: usize) -> Result<u64, Problem> {
        let word = self.get(n);
        let what = match bytes(word) {
            Some(value) if value <= MOST => return Ok(value),
            Some(_) => format!("'{word}' is too large"),
            None if word.is_empty() => "a number of bytes is missing".to_string(),
            None => format!("'{word}' is no number of bytes"),
        };
        let problem = Problem::at(self.place(n), what);
        let limits = format!("expected a number of bytes from 0 to {MOST}");
        Err(problem.label(limits).help("such as 2048, 1p, 2p-1024 or 1p+512"))
    }

    /// Offset and length.
    pub fn range(&self, n: usize) -> Result<Bytes, Problem> {
        Ok(Bytes { at: self.bytes(n)?, len: self.bytes(n + 1)? })
    }

    /// One of these words.
    pub fn one_of<T: Copy>(&self, n: usize, table: &[(&str, T)]) -> Result<T, Problem> {
        let word = self.get(n);
        let found = table.iter().find(|(name, _)| *name == word);
        found.map(|&(_, value)| value).ok_or_else(|| {
            let what = match word {
                "" => "a word is missing".to_string(),
                word => format!("unknown word '{word}'"),
            };
            let cure = suggest::cure(word, table.iter().map(|(name, _)| *name), "");
            Problem::at(self.place(n), what).help(cure)
        })
    }
}

/// Reads `2048`, `1p`, `1p+512`, `2p-1024`.
pub fn bytes(word: &str) -> Option<u64> {
    let Some((pages, rest)) = word.split_once('p') else { return word.parse().ok() };
    let start = pages.parse::<u64>().ok()?.checked_mul(PAGE)?;
    match rest.split_at_checked(1) {
        _ if rest.is_empty() => Some(start),
        Some(("+", more)) => start.checked_add(more.parse().ok()?),
        Some(("-", less)) => start.checked_sub(less.parse().ok()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_are_numbers_or_pages_and_a_difference() {
        for (word, expected) in [
            ("0", Some(0)),
            ("2048", Some(2048)),
            ("0p", Some(0)),
            ("3p", Some(12288)),
            ("1p+1024", Some(5120)),
            ("2p-1024", Some(7168)),
            ("0p-1", None),
            ("p", None),
            ("1p*2", None),
            ("1p+", None),
            ("1pé", None),
            ("", None),
        ] {
            assert_eq!(bytes(word), expected, "{word}");
        }
    }
}
