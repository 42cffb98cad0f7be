//! What the five mails say, answered: `docs/claims.json` has the verdict of each of the 100 claims
//! and the command that shows it; `docs/claims.md` is written from it. Every command runs, and
//! prints what its verdict stands on.
//!
//! `GUPSIM_BLESS=1 cargo test --test claims` writes the page.

#[path = "docs/commands.rs"]
#[allow(dead_code, reason = "the manual's test uses more of it")]
mod commands;
#[path = "docs/page.rs"]
#[allow(dead_code, reason = "the manual's test uses more of it")]
mod page;

use gupsim::jobs;
use gupsim::scenario::{Loaded, bundled, open};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

const TABLE: &str = "docs/claims.json";
const PAGE: &str = "docs/claims.md";
/// Columns of the page.
const WIDTH: usize = 100;

/// The mails: a name, and their claims.
const MAILS: [(&str, RangeInclusive<usize>); 5] = [
    ("December 2018: bounce pages", 1..=22),
    ("December 2018: truncate and notifiers", 23..=54),
    ("October 2017: DAX and truncate", 55..=73),
    ("December 2018: where to count", 74..=86),
    ("February 2021: unbind", 87..=100),
];

/// What is asked of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Class {
    /// Scenarios demonstrate it, or refute it.
    Show,
    /// A strategy does it, and shows its weakness.
    Design,
    /// A price answers it.
    Measure,
    /// Nothing to run.
    Context,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    number: usize,
    class: Class,
    /// Who says what.
    said: String,
    verdict: String,
    /// Why, and what else was found.
    because: String,
    /// What a reader types.
    #[serde(default)]
    command: Option<String>,
    /// Parts of its output, white space aside: what the verdict stands on.
    #[serde(default)]
    shows: Vec<String>,
}

impl Claim {
    /// The first word or words of the verdict.
    fn kind(&self) -> &'static str {
        let all = ["holds", "refuted", "depends on ", "not decidable here, because ", "context"];
        let kind = all.into_iter().find(|kind| match kind.ends_with(' ') {
            true => self.verdict.len() > kind.len() && self.verdict.starts_with(kind),
            false => self.verdict == *kind,
        });
        kind.unwrap_or_else(|| panic!("claim {}: verdict '{}'", self.number, self.verdict))
    }

    /// The bundled scenarios that the command names.
    fn scenarios(&self) -> Vec<&str> {
        let words = self.command.iter().flat_map(|c| c.split_whitespace());
        words.filter(|w| bundled().iter().any(|(name, _)| name == w)).collect()
    }
}

fn claims() -> Vec<Claim> {
    serde_json::from_str(&page::read(TABLE)).unwrap_or_else(|e| panic!("{TABLE}: {e}"))
}

fn scenarios() -> Vec<Loaded> {
    bundled()
        .iter()
        .map(|(name, _)| open(name).unwrap_or_else(|e| panic!("{name}: {e:?}")))
        .collect()
}

/// Fails with every complaint at once.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_claim_has_a_verdict_and_all_but_context_something_that_runs() {
    let claims = claims();
    let numbers: Vec<usize> = claims.iter().map(|c| c.number).collect();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    for claim in &claims {
        let n = claim.number;
        let context = claim.class == Class::Context;
        assert_eq!(claim.kind() == "context", context, "claim {n}: class and verdict");
        assert_eq!(claim.command.is_none(), context, "claim {n}: a command, unless it is context");
        assert_eq!(claim.shows.is_empty(), context, "claim {n}: what its command shows");
        assert!(!claim.said.is_empty() && !claim.because.is_empty(), "claim {n} says why");
        let ours = claim.command.as_deref().unwrap_or("gupsim ").starts_with("gupsim ");
        assert!(ours, "claim {n}: a command that can be pasted");
    }
}

#[test]
fn every_command_of_the_table_shows_what_its_verdict_stands_on() {
    let claims = claims();
    let mut by_command: BTreeMap<&str, Vec<&Claim>> = BTreeMap::new();
    for claim in &claims {
        if let Some(command) = &claim.command {
            by_command.entry(command).or_default().push(claim);
        }
    }
    let desk = commands::Desk::new(PAGE, "", &[]);
    let jobs: Vec<(&str, Vec<&Claim>)> = by_command.into_iter().collect();
    let complaints = jobs::map(&jobs, 2, |(command, claims)| {
        let words = commands::gupsim(command).unwrap_or_default();
        let output = match desk.run(&words, None) {
            Ok(output) => output.split_whitespace().collect::<Vec<_>>().join(" "),
            Err(why) => return vec![format!("{command}: {why}")],
        };
        let shows = claims.iter().flat_map(|c| c.shows.iter().map(|part| (c.number, part)));
        let lacks = shows.filter(|(_, part)| !output.contains(part.as_str()));
        lacks.map(|(n, part)| format!("claim {n}: {command} does not show '{part}'")).collect()
    });
    none(complaints.into_iter().flatten().collect());
}

#[test]
fn scenarios_and_claims_name_each_other() {
    let (claims, scenarios) = (claims(), scenarios());
    let mut complaints = Vec::new();
    for claim in &claims {
        for name in claim.scenarios() {
            let loaded = scenarios.iter().find(|l| l.name == name);
            let lists = loaded.is_some_and(|l| l.scenario.claims.contains(&(claim.number as u32)));
            if !lists {
                complaints
                    .push(format!("{name} does not say that it serves claim {}", claim.number));
            }
        }
    }
    // Its entry on the page names whoever lists the number; that there is such an entry is left.
    for loaded in &scenarios {
        let unknown = |n: &&u32| !claims.iter().any(|c| c.number == **n as usize);
        let unknown: Vec<&u32> = loaded.scenario.claims.iter().filter(unknown).collect();
        if !unknown.is_empty() {
            complaints.push(format!("{} serves {unknown:?}, which nobody claims", loaded.name));
        }
    }
    none(complaints);
}

#[test]
fn the_page_is_what_the_table_says() {
    let (claims, scenarios) = (claims(), scenarios());
    let old = page::read(PAGE);
    let mut new = page::with_part(&old, "verdicts", &glance(&claims));
    for (_, range) in &MAILS {
        let of = claims.iter().filter(|c| range.contains(&c.number));
        let text: String = of.map(|c| entry(c, &scenarios)).collect();
        new = page::with_part(&new, &format!("claims {}-{}", range.start(), range.end()), &text);
    }
    page::settle(PAGE, &old, &new);
}

/// The verdicts at a glance: a row for each mail.
fn glance(claims: &[Claim]) -> String {
    let kinds = ["holds", "refuted", "depends on ", "not decidable here, because ", "context"];
    let heads = "| mail | holds | refuted | depends | not decidable | context |\n";
    let mut out = format!("{heads}|---|---|---|---|---|---|\n");
    for (mail, range) in &MAILS {
        out.push_str(&format!("| {mail} |"));
        for kind in kinds {
            let of = claims.iter().filter(|c| range.contains(&c.number) && c.kind() == kind);
            let numbers: Vec<usize> = of.map(|c| c.number).collect();
            let cell = if numbers.is_empty() { "-".into() } else { ranges(&numbers) };
            out.push_str(&format!(" {cell} |"));
        }
        out.push('\n');
    }
    let count = |kind| claims.iter().filter(|c| c.kind() == kind).count().to_string();
    let counts: Vec<String> = kinds.into_iter().map(count).collect();
    out + &format!("| all | {} |\n", counts.join(" | "))
}

/// Numbers with neighbours drawn together: `1-3, 7`.
fn ranges(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &n in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => runs.push((n, n)),
        }
    }
    let show = |(first, last): &(usize, usize)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}-{last}"),
    };
    runs.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// An entry of the page.
fn entry(claim: &Claim, scenarios: &[Loaded]) -> String {
    let class = format!("{:?}", claim.class).to_lowercase();
    let head = format!("- **{}** ({class}) {}", claim.number, claim.said);
    let mut verdict = claim.verdict.clone();
    verdict[..1].make_ascii_uppercase();
    let mut out = wrapped(&head) + &wrapped(&format!("  **{verdict}.** {}", claim.because));
    if let Some(command) = &claim.command {
        out.push_str(&format!("\n  `{command}`\n\n"));
    }
    claim.shows.iter().for_each(|part| out.push_str(&format!("  - `{part}`\n")));
    let own = claim.scenarios();
    let also = scenarios.iter().filter(|l| l.scenario.claims.contains(&(claim.number as u32)));
    let also = also.map(|l| l.name.as_str()).filter(|name| !own.contains(name));
    let also: Vec<String> = also.map(|name| format!("`{name}`")).collect();
    if !also.is_empty() {
        out.push('\n');
        out.push_str(&wrapped(&format!("  Also: {}", also.join(", "))));
    }
    out + "\n"
}

/// A paragraph of a list's item.
fn wrapped(text: &str) -> String {
    let options = textwrap::Options::new(WIDTH).break_words(false).subsequent_indent("  ");
    let options = options.word_separator(textwrap::WordSeparator::AsciiSpace);
    let options = options.word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(text, options) + "\n"
}
