//! Where every value of a JSON text stands, and whether the text is JSON at all.
//!
//! serde tells what is wrong with a value but not where it stands, keeps the last of two equal
//! keys, and calls `NaN` an unexpected token. So the text is walked once by hand first: limits,
//! syntax and duplicate keys are judged here, and every value's byte range is kept for the
//! diagnostics of later stages. The walk follows RFC 8259.

use super::limits;
use super::path::Seg;
use super::problem::Problem;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// Byte ranges of all values of a JSON text, as a tree in an arena.
#[derive(Debug, Default)]
pub struct Outline {
    nodes: Vec<Node>,
}

/// No node: the end of a list of siblings.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Node {
    /// The key before the value, quotes included; empty in arrays and at the root.
    key: Range<u32>,
    value: Range<u32>,
    first_child: u32,
    next: u32,
}

impl Outline {
    /// Walks a text. Duplicate keys do not stop the walk; a syntax error does.
    ///
    /// # Errors
    /// Everything that is wrong with it, at most [`limits::PROBLEMS`].
    pub fn of(text: &str) -> Result<Outline, Vec<Problem>> {
        let mut walk = Walk { text, at: 0, outline: Outline::default(), duplicates: Vec::new() };
        match walk.document() {
            Ok(()) if walk.duplicates.is_empty() => Ok(walk.outline),
            Ok(()) => Err(walk.duplicates),
            Err(problem) => {
                walk.duplicates.push(problem);
                Err(walk.duplicates)
            }
        }
    }

    /// The byte range of the value at a path, or of the nearest value around it that exists.
    pub fn value(&self, text: &str, path: &[Seg]) -> Range<usize> {
        self.find(text, path).map_or(0..0, |node| range(&node.value))
    }

    /// The byte range of the key of the value at a path; of the value if it has no key.
    pub fn key(&self, text: &str, path: &[Seg]) -> Range<usize> {
        self.find(text, path).map_or(0..0, |node| match node.key.is_empty() {
            true => range(&node.value),
            false => range(&node.key),
        })
    }

    /// The first list that is not the value of one of these keys.
    pub fn list_not_in(&self, text: &str, keys: &[&str]) -> Option<Range<usize>> {
        let misplaced = |node: &&Node| {
            let value = range(&node.value);
            let key = text.get(range(&node.key)).map(decoded).unwrap_or_default();
            text[value].starts_with('[') && !keys.contains(&&*key)
        };
        self.nodes.iter().find(misplaced).map(|node| range(&node.value))
    }

    fn find(&self, text: &str, path: &[Seg]) -> Option<&Node> {
        let mut node = self.nodes.first()?;
        for seg in path {
            match self.child(text, node, seg) {
                Some(child) => node = child,
                None => break,
            }
        }
        Some(node)
    }

    fn child(&self, text: &str, node: &Node, seg: &Seg) -> Option<&Node> {
        let mut children = std::iter::successors(self.nodes.get(node.first_child as usize), |n| {
            self.nodes.get(n.next as usize)
        });
        match seg {
            Seg::Index(index) => children.nth(*index).filter(|n| n.key.is_empty()),
            Seg::Key(name) => children
                .find(|n| text.get(range(&n.key)).is_some_and(|raw| decoded(raw) == name.as_str())),
        }
    }
}

fn range(of: &Range<u32>) -> Range<usize> {
    of.start as usize..of.end as usize
}

/// The text of a JSON string, given with its quotes; empty if it is none.
fn decoded(raw: &str) -> Cow<'_, str> {
    match raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        _ => Cow::Owned(serde_json::from_str(raw).unwrap_or_default()),
    }
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    outline: Outline,
    duplicates: Vec<Problem>,
}

impl<'a> Walk<'a> {
    fn document(&mut self) -> Result<(), Problem> {
        self.value(0..0, 0)?;
        self.space()?;
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self
                .problem("text after the end of the object")
                .label("the object has ended before this")
                .help("remove it, or look for a `}` too many further up")),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// A problem with the character or word that comes next.
    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::at(self.at..self.at + self.word().len(), message)
    }

    /// The word or character that comes next; empty at the end of the text.
    fn word(&self) -> &'a str {
        let rest = &self.text[self.at..];
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.');
        match rest.find(|c| !is_word(c)).unwrap_or(rest.len()) {
            0 => &rest[..rest.chars().next().map_or(0, char::len_utf8)],
            n => &rest[..n],
        }
    }

    fn space(&mut self) -> Result<(), Problem> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        match self.peek() {
            Some(b'/' | b'#') => Err(self
                .problem("JSON has no comments")
                .help("say it in `look_for`, or in `because` of an expectation")),
            _ => Ok(()),
        }
    }

    /// Reads a value and returns its node.
    fn value(&mut self, key: Range<usize>, depth: usize) -> Result<u32, Problem> {
        self.space()?;
        let node = self.outline.nodes.len();
        if node >= limits::VALUES {
            return Err(self
                .problem(format!("more than {} values", limits::VALUES))
                .help("describe large worlds with `generate`"));
        }
        if depth > limits::DEPTH {
            return Err(self
                .problem(format!("nested more than {} deep", limits::DEPTH))
                .help("no scenario needs that; look for an unclosed bracket"));
        }
        let start = self.at as u32;
        let key = key.start as u32..key.end as u32;
        let value = start..start;
        self.outline.nodes.push(Node { key, value, first_child: NONE, next: NONE });
        match self.peek() {
            Some(b'{') => self.object(node, depth)?,
            Some(b'[') => self.array(node, depth)?,
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.literal()?,
        }
        self.outline.nodes[node].value.end = self.at as u32;
        Ok(node as u32)
    }

    /// Links a child behind the last one.
    fn link(&mut self, parent: usize, last: &mut u32, child: u32) {
        match *last {
            NONE => self.outline.nodes[parent].first_child = child,
            last => self.outline.nodes[last as usize].next = child,
        }
        *last = child;
    }

    fn object(&mut self, node: usize, depth: usize) -> Result<(), Problem> {
        let open = self.at;
        self.at += 1;
        let mut last = NONE;
        let mut seen: BTreeMap<Cow<'a, str>, usize> = BTreeMap::new();
        loop {
            self.space()?;
            match self.peek() {
                Some(b'}') if last == NONE => break,
                Some(b'"') => {}
                _ => return Err(self.no_key(open, last != NONE)),
            }
            let key = self.at..self.string()?.end;
            self.duplicate(&key, &mut seen);
            self.space()?;
            if self.peek() != Some(b':') {
                return Err(self.problem("expected `:` after the key").label("expected `:` here"));
            }
            self.at += 1;
            let child = self.value(key, depth + 1)?;
            self.link(node, &mut last, child);
            if !self.another(open, b'}')? {
                break;
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Notes a key and complains if the object has it already.
    fn duplicate(&mut self, key: &Range<usize>, seen: &mut BTreeMap<Cow<'a, str>, usize>) {
        let name = decoded(&self.text[key.clone()]);
        if let Some(&first) = seen.get(&name) {
            if self.duplicates.len() < limits::PROBLEMS {
                let line = self.text[..first].matches('\n').count() + 1;
                self.duplicates.push(
                    Problem::at(key.clone(), format!("duplicate key `{name}`"))
                        .label(format!("already there in line {line}"))
                        .help("one object cannot have two members of one name; rename one"),
                );
            }
            return;
        }
        seen.insert(name, key.start);
    }

    fn array(&mut self, node: usize, depth: usize) -> Result<(), Problem> {
        let open = self.at;
        self.at += 1;
        let mut last = NONE;
        loop {
            self.space()?;
            if self.peek() == Some(b']') && last == NONE {
                break;
            }
            if self.peek() == Some(b']') {
                return Err(self.problem("trailing comma before `]`").help("remove the comma"));
            }
            let child = self.value(0..0, depth + 1)?;
            self.link(node, &mut last, child);
            if !self.another(open, b']')? {
                break;
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Whether a comma announces another member; stands on `close` if not.
    fn another(&mut self, open: usize, close: u8) -> Result<bool, Problem> {
        self.space()?;
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(c) if c == close => Ok(false),
            None => Err(self.unclosed(open)),
            _ => {
                let close = close as char;
                Err(self
                    .problem(format!("expected `,` or `{close}`"))
                    .label(format!("expected `,` or `{close}` before this")))
            }
        }
    }

    fn unclosed(&self, open: usize) -> Problem {
        let bracket = &self.text[open..open + 1];
        let closes = if bracket == "{" { "}" } else { "]" };
        Problem::at(open..open + 1, format!("`{bracket}` is never closed"))
            .label("opened here, and the file ends before it is closed")
            .help(format!("add `{closes}` where it ends; the file may have been cut off"))
    }

    /// Why there is no key where one must be.
    fn no_key(&self, open: usize, after_comma: bool) -> Problem {
        match self.peek() {
            None => self.unclosed(open),
            Some(b'}') if after_comma => {
                self.problem("trailing comma before `}`").help("remove the comma")
            }
            _ => self.problem("expected a key in double quotes").help("write \"name\": value"),
        }
    }

    /// Reads a string and returns where its text stands, quotes included.
    fn string(&mut self) -> Result<Range<usize>, Problem> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        let mut escaped = false;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(b'\n') | None => {
                    return Err(Problem::at(start..start + 1, "string is never closed")
                        .label("opened here, and the line ends before it is closed")
                        .help("close it with `\"`; a string stays on one line"));
                }
                Some(0..0x20) => {
                    return Err(Problem::at(at..at + 1, "control character in a string")
                        .help("write it as \\t or \\u00XX"));
                }
                Some(_) => at += 1,
            }
        }
        let span = start..at + 1;
        self.at = span.end;
        if escaped && serde_json::from_str::<String>(&self.text[span.clone()]).is_err() {
            return Err(Problem::at(span, "bad escape in a string")
                .help("JSON knows \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX"));
        }
        Ok(span)
    }

    fn number(&mut self) -> Result<(), Problem> {
        let word = self.word();
        // serde_json decides what a number is.
        if let Err(error) = serde_json::from_str::<serde_json::Number>(word) {
            if error.to_string().contains("out of range") {
                return Err(self
                    .problem(format!("`{word}` is larger than any number can be"))
                    .help("write what is meant: whole numbers end at 18446744073709551615"));
            }
            let infinite = word.contains("Inf") || word.contains("NaN");
            return Err(self.problem(format!("`{word}` is not a number")).help(match infinite {
                true => "JSON has no infinite numbers and no NaN",
                false => "JSON numbers are decimal, without leading zeros or units",
            }));
        }
        self.at += word.len();
        Ok(())
    }

    fn literal(&mut self) -> Result<(), Problem> {
        let word = self.word();
        let problem = match word {
            "true" | "false" | "null" => {
                self.at += word.len();
                return Ok(());
            }
            "" if self.text.trim().is_empty() => Problem::at(0..0, "the file is empty")
                .help("write a scenario: docs/scenarios.md begins with a small one"),
            "" => Problem::at(self.at..self.at, "the file ends where a value must follow")
                .help("write the value, or remove the key or comma before it"),
            "NaN" | "Infinity" => self
                .problem(format!("`{word}` is not a number"))
                .help("JSON has no infinite numbers and no NaN"),
            "'" => self.problem("expected a value").help("strings stand in double quotes"),
            "True" | "False" | "None" => self
                .problem(format!("`{word}` is no JSON value"))
                .help("write true, false or leave the member out"),
            _ => self
                .problem("expected a value")
                .label("not a value")
                .help("values are \"text\", numbers, true, false, [lists] and {objects}"),
        };
        Err(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, path: &[Seg]) -> String {
        text[Outline::of(text).unwrap().value(text, path)].to_string()
    }

    fn complaint(text: &str) -> String {
        Outline::of(text).unwrap_err()[0].message.clone()
    }

    #[test]
    fn every_value_is_found_by_its_path() {
        let text = r#" {"a": [1, {"b c": "x"}], "d\n": -1.5e3, "e": []} "#;
        let key = |k: &str| Seg::Key(k.to_string());
        assert_eq!(at(text, &[key("a"), Seg::Index(0)]), "1");
        assert_eq!(at(text, &[key("a"), Seg::Index(1), key("b c")]), "\"x\"");
        assert_eq!(at(text, &[key("d\n")]), "-1.5e3");
        assert_eq!(at(text, &[key("e")]), "[]");
        // What does not exist is shown by what is around it.
        assert_eq!(at(text, &[key("a"), Seg::Index(7)]), r#"[1, {"b c": "x"}]"#);
    }

    #[test]
    fn what_serde_json_refuses_is_refused_here_and_the_reverse() {
        let good = ["{}", "[]", " 1 ", "\"\\u00e9\"", "-0", "1e9", "null", "[[],[{}]]"];
        let bad = [
            "",
            " ",
            "{",
            "[",
            "{]",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "01",
            "1e999",
            "+1",
            "1.",
            ".5",
            "NaN",
            "-Infinity",
            "tru",
            "\"",
            "\"\\x\"",
            "\"a\nb\"",
            "1 2",
            "{} // c",
            "-",
            "\"\\",
            "[1 2]",
            "{\"a\" 1}",
            "{\"a\":}",
            "0x10",
            "\"\\ud800\"",
            "\u{feff}{}",
        ];
        for text in good {
            assert!(Outline::of(text).is_ok(), "{text}");
        }
        for text in bad {
            assert!(Outline::of(text).is_err(), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn equal_keys_of_one_object_are_refused_however_they_are_escaped() {
        assert_eq!(complaint(r#"{"a": 1, "\u0061": 2}"#), "duplicate key `a`");
        assert!(Outline::of(r#"{"a": {"a": 1}, "b": {"a": 1}}"#).is_ok());
    }

    #[test]
    fn deep_nesting_and_many_values_end_in_an_error() {
        assert!(complaint(&"[".repeat(1_000_000)).contains("nested more than"));
        let many = format!("[{}0]", "0,".repeat(limits::VALUES));
        assert!(complaint(&many).contains("more than 500000 values"));
    }
}
