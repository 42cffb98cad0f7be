//! An explicit schedule: a plain value that carries the operation beside each choice.
//!
//! After a change of the model a recorded schedule can thus say at which step it no longer
//! fits, and what it expected there. On the command line it is one line:
//! `flusher:folio_lock,disk0:bio_endio=eio`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One choice: who takes the next step, which step that is, and how the outside world decides.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The thread or agent, by name.
    pub who: String,
    /// The kernel name of the step; not compared if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The outcome, where an outside party decides (`eio`, `enomem`); the ordinary one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// A schedule: choices in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Schedule(pub Vec<Choice>);

/// Why a one-line schedule cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadSchedule {
    /// Number of the choice, from 1.
    pub choice: usize,
    /// Byte of the text at which that choice begins.
    pub at: usize,
    /// What is wrong, and the cure.
    pub why: String,
}

impl fmt::Display for BadSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "choice {} of the schedule (byte {}): {}", self.choice, self.at, self.why)
    }
}

impl std::error::Error for BadSchedule {}

/// Characters that separate the parts of a schedule, the one that escapes them, and those that
/// would tear it apart on a command line.
fn is_special(c: char) -> bool {
    matches!(c, ',' | ':' | '=' | '%') || c.is_whitespace() || c.is_control()
}

/// Writes a part with special characters as `%XX`, like a URL does.
fn escape(part: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for c in part.chars() {
        if !is_special(c) {
            write!(f, "{c}")?;
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

/// The reverse of [`escape`].
fn unescape(part: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digit = |i: usize| rest.get(i).and_then(|&b| (b as char).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(
                "'%' must be followed by two hexadecimal digits; write %25 for itself".into()
            );
        };
        bytes.push((high * 16 + low) as u8);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| "escapes do not make valid UTF-8".into())
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(&self.who, f)?;
        if let Some(step) = &self.step {
            f.write_str(":")?;
            escape(step, f)?;
        }
        if let Some(outcome) = &self.outcome {
            f.write_str("=")?;
            escape(outcome, f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, choice) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            choice.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        let (rest, outcome) = match text.split_once('=') {
            Some((rest, outcome)) => (rest, Some(unescape(outcome)?)),
            None => (text, None),
        };
        let (who, step) = match rest.split_once(':') {
            Some((who, step)) => (unescape(who)?, Some(unescape(step)?)),
            None => (unescape(rest)?, None),
        };
        if who.is_empty() {
            return Err("names nobody; write WHO, WHO:STEP or WHO:STEP=OUTCOME".into());
        }
        Ok(Choice { who, step, outcome })
    }
}

impl FromStr for Schedule {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Schedule, BadSchedule> {
        let mut choices = Vec::new();
        let mut at = 0;
        if text.trim().is_empty() {
            return Ok(Schedule(choices));
        }
        for part in text.split(',') {
            let choice = part.trim().parse().map_err(|why| BadSchedule {
                choice: choices.len() + 1,
                at,
                why,
            })?;
            choices.push(choice);
            at += part.len() + 1;
        }
        Ok(Schedule(choices))
    }
}
