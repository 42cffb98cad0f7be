//! The words of a comparison: verdicts, numbers, and the sentences that sum it up.

use super::comparison::{Cell, Comparison, Group, Row, Standing};
use super::paint::{BROKEN, HELD, WAIT, paint, wrap};

/// How much room a cell has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// `refuted 29`, `proved 16k`, least..median..greatest.
    Words,
    /// `NO 29`, `ok 16k`, the median.
    Short,
    /// `29` steps, or a sign.
    Signs,
}

/// Designs that a sentence names; more are given by their numbers.
const SOME: usize = 6;

/// A number in at most five characters.
pub fn short(n: u64) -> String {
    let (unit, name) = match n {
        0..10_000 => return n.to_string(),
        10_000..1_000_000 => (1_000, "k"),
        1_000_000..1_000_000_000 => (1_000_000, "M"),
        1_000_000_000..1_000_000_000_000 => (1_000_000_000, "G"),
        _ => (1_000_000_000_000, "T"),
    };
    let tenths = n / (unit / 10);
    match tenths {
        0..100 => format!("{}.{}{name}", tenths / 10, tenths % 10),
        _ => format!("{}{name}", n / unit),
    }
}

/// A part of one as per cent, in at most five characters, not rounded down to nothing.
fn percent(p: f64) -> String {
    match p * 100.0 {
        p if p >= 9.95 => format!("{p:.0}%"),
        p if p >= 0.1 => format!("{p:.1}%"),
        _ => ".1%".into(),
    }
}

impl Cell {
    /// The verdict with its number.
    pub fn text(&self, style: Style) -> String {
        if style == Style::Signs {
            return self.sign();
        }
        let word = |long, short| if style == Style::Words { long } else { short };
        let number = match self.verdict {
            "proved" => self.states.map(short),
            "refuted" => self.steps.filter(|&n| n > 0).map(|n| n.to_string()),
            "bounded" => self.interval.map(|i| format!("<{}", percent(i.1))),
            _ => None,
        };
        let verdict = match self.verdict {
            "proved" => word("proved", "ok"),
            "refuted" => word("refuted", "NO"),
            "bounded" => word("bounded", "?"),
            _ => "-",
        };
        match number {
            Some(number) => format!("{verdict} {number}"),
            None => verdict.into(),
        }
    }

    /// The verdict as a sign, a broken rule as the length of the run that breaks it.
    fn sign(&self) -> String {
        match (self.verdict, self.steps.filter(|&n| n > 0)) {
            ("refuted", Some(steps)) => short(steps as u64),
            ("refuted", None) => "NO".into(),
            ("proved", _) => ".".into(),
            ("bounded", _) => "?".into(),
            _ => "-".into(),
        }
    }
}

impl Group {
    /// What the rules of a group say together.
    pub fn text(self, style: Style) -> String {
        match (self.verdict, style == Style::Words) {
            ("hurt", true) => format!("HURT {} of {}", self.refuted, self.tried),
            ("hurt", false) => format!("HURT {}/{}", self.refuted, self.tried),
            ("safe", _) => "safe".into(),
            ("open", _) => "open".into(),
            _ => "-".into(),
        }
    }
}

/// Least, median and greatest, once if they are the same.
pub fn price(values: [u64; 3], style: Style) -> String {
    let [least, middle, greatest] = values;
    match (least == greatest, style) {
        (true, _) | (_, Style::Signs) => short(middle),
        (false, Style::Words) => {
            format!("{}..{}..{}", short(least), short(middle), short(greatest))
        }
        (false, Style::Short) => format!("~{}", short(middle)),
    }
}

/// The facts about a design that no run counts: name and text of each.
pub fn facts(standing: &Standing) -> [(&'static str, String); 5] {
    let yes = if standing.names_holder { "yes" } else { "no" };
    [
        ("page-bytes", standing.page_bytes.to_string()),
        ("pinned-bytes", standing.pinned_bytes.to_string()),
        ("names-holder", yes.to_string()),
        ("asks-filesystem", standing.filesystem.len().to_string()),
        ("asks-driver", standing.driver.len().to_string()),
    ]
}

/// Whether a fact says that there is nothing to say.
pub fn is_nothing(text: &str) -> bool {
    matches!(text, "0" | "no")
}

impl Comparison {
    /// The median of a price in a row; none if nobody pays it.
    fn median(&self, row: &Row, price: &str) -> Option<u64> {
        let n = self.prices.iter().position(|p| p.price == price)?;
        row.prices.get(n).map(|[_, median, _]| *median).filter(|&median| median > 0)
    }

    /// Some rows by name, many by number.
    fn who(&self, rows: &[usize]) -> String {
        match rows.len() {
            0 => "none".into(),
            n if n == self.rows.len() => "all".into(),
            n if n <= SOME => {
                let names = rows.iter().map(|&n| self.rows[n].design.as_str());
                names.collect::<Vec<_>>().join(", ")
            }
            _ => numbers(rows),
        }
    }

    fn which(&self, of: impl Fn(&Row) -> bool) -> Vec<usize> {
        (0..self.rows.len()).filter(|&n| of(&self.rows[n])).collect()
    }

    /// Which designs protect whom, which refuse or make wait, which hurt whom.
    pub fn summary(&self, out: &mut String, width: usize) {
        if self.rows.len() < 2 {
            return;
        }
        let safe = |groups: &[usize]| {
            let rows = self.which(|row| groups.iter().all(|&n| row.groups[n].verdict == "safe"));
            let style = if rows.is_empty() { BROKEN } else { HELD };
            paint(style, &self.who(&rows))
        };
        let hurt = |n: usize| {
            let rows = self.which(|row| row.groups[n].verdict == "hurt");
            let style = if rows.is_empty() { HELD } else { BROKEN };
            paint(style, &self.who(&rows))
        };
        out.push('\n');
        let text = format!(
            "Protects  the filesystem: {}; the RDMA user: {}; both: {}; everybody: {}.",
            safe(&[0]),
            safe(&[1]),
            safe(&[0, 1]),
            safe(&[0, 1, 2])
        );
        wrap(out, width, "", "          ", &text);
        for (verb, price, unit, note) in [
            ("Refuses", "refused-pins", "pins", "; who is safe there may have got nothing"),
            ("Blocks", "blocked-ns", "ns", ""),
        ] {
            let text = self.harm(price, unit);
            if !text.is_empty() {
                let text = format!("{verb:9} {}{note}.", paint(WAIT, &text));
                wrap(out, width, "", "          ", &text);
            }
        }
        let text = format!(
            "Hurts     the filesystem: {}; the RDMA user: {}; the system: {}.",
            hurt(0),
            hurt(1),
            hurt(2)
        );
        wrap(out, width, "", "          ", &text);
    }

    /// Who does how much of a harm in the median run, least first.
    fn harm(&self, price: &str, unit: &str) -> String {
        let mut amounts: Vec<u64> =
            self.rows.iter().filter_map(|row| self.median(row, price)).collect();
        amounts.sort_unstable();
        amounts.dedup();
        let text = |&amount: &u64| {
            let rows = self.which(|row| self.median(row, price) == Some(amount));
            format!("{} {unit}: {}", short(amount), self.who(&rows))
        };
        amounts.iter().map(text).collect::<Vec<_>>().join("; ")
    }

    /// What each design asks of others, and how a wait can be seen.
    pub fn demands(&self, out: &mut String, width: usize) {
        type Of = fn(&Standing) -> &[&'static str];
        let kinds: [(&str, Of); 3] = [
            ("Filesystems have to", |s| &s.filesystem),
            ("Drivers have to", |s| &s.driver),
            ("A wait is seen as", |s| &s.visible),
        ];
        for (who, of) in kinds {
            let mut all: Vec<&str> = Vec::new();
            for text in self.rows.iter().flat_map(|row| of(&row.standing)) {
                if !all.contains(text) {
                    all.push(text);
                }
            }
            for text in all {
                let rows = self.which(|row| of(&row.standing).contains(&text));
                wrap(out, width, "", "  ", &format!("{who}: {text} ({})", self.who(&rows)));
            }
        }
    }
}

/// Rows by number, a stretch of them as `#1-#5`.
fn numbers(rows: &[usize]) -> String {
    let stretches = rows.chunk_by(|a, b| a + 1 == *b);
    let text = stretches.map(|part| match part {
        [one] => format!("#{}", one + 1),
        [one, .., last] => format!("#{}-#{}", one + 1, last + 1),
        [] => String::new(),
    });
    text.collect::<Vec<_>>().join(", ")
}

/// A cell in the colour of its verdict.
pub fn colour(cell: &str) -> String {
    match cell.split(' ').next() {
        Some("ok" | "proved" | "safe") => paint(HELD, cell),
        Some("NO" | "refuted" | "HURT") => paint(BROKEN, cell),
        Some("?" | "bounded" | "open") => paint(WAIT, cell),
        _ => cell.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_have_five_characters_at_most() {
        let of = [0, 9_999, 10_000, 99_949, 123_456, 1_234_567, 45_000_000_000].map(short);
        assert_eq!(of, ["0", "9999", "10k", "99k", "123k", "1.2M", "45G"]);
    }

    #[test]
    fn stretches_of_rows_are_named_by_their_ends() {
        assert_eq!(numbers(&[0, 1, 2, 4, 6, 7]), "#1-#3, #5, #7-#8");
    }
}
