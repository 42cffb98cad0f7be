//! A comparison as a table that fits: for a terminal, or in Markdown.
//!
//! Designs stand in columns, because there are more rules and prices than designs, and because a
//! terminal is longer than wide; where they do not fit beside each other the table is cut into
//! several. Many designs are listed in rows instead, with rules and prices by number.

use super::comparison::{Cell, Comparison, Group, Row};
use super::paint::{BROKEN, DIM, HELD, STEP, WAIT, paint, wrap};
use super::verdicts::grouped;
use comfy_table::{ContentArrangement, Table, presets};

/// A line of the table: what it is called, and its text for each design. None: a heading.
struct Line {
    name: String,
    texts: Option<Vec<String>>,
}

/// Columns of a design at least, so that short words fit.
const NARROW: usize = 9;
/// Columns of a design in which whole words fit.
const WIDE: usize = 15;
/// Designs that a sentence names at most.
const SOME: usize = 6;
/// Designs from which on they are rows.
const MANY: usize = 13;

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
    fn text(&self, wide: bool) -> String {
        let word = |long: &'static str, short: &'static str| if wide { long } else { short };
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
}

impl Group {
    fn text(self, wide: bool) -> String {
        match (self.verdict, wide) {
            ("hurt", true) => format!("HURT {} of {}", self.refuted, self.tried),
            ("hurt", false) => format!("HURT {}/{}", self.refuted, self.tried),
            ("safe", _) => "safe".into(),
            ("open", _) => "open".into(),
            _ => "-".into(),
        }
    }
}

/// Least, median and greatest, once if they are the same.
fn price(values: [u64; 3], wide: bool) -> String {
    let [least, middle, greatest] = values;
    match (least == greatest, wide) {
        (true, _) => short(middle),
        (false, true) => format!("{}..{}..{}", short(least), short(middle), short(greatest)),
        (false, false) => format!("~{}", short(middle)),
    }
}

impl Comparison {
    /// As text in lines of at most `width` columns.
    pub fn text(&self, width: usize) -> String {
        let width = width.max(40);
        let mut out = String::new();
        let what = match self.scenarios.as_slice() {
            [one] => one.clone(),
            all => format!("{} scenarios: {}", all.len(), all.join(", ")),
        };
        wrap(&mut out, width, "", "  ", &paint(STEP, &what));
        out.push('\n');
        let wide = match self.rows.len() >= MANY {
            true => self.in_rows(&mut out, width),
            false => self.in_columns(&mut out, width),
        };
        self.protectors(&mut out, width);
        self.legend(&mut out, width, wide);
        out
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut out = format!("{}\n\n", self.scenarios.join(", "));
        let lines = self.lines(true, &self.rows.iter().collect::<Vec<_>>());
        let names: Vec<String> =
            self.rows.iter().map(|r| format!("{}{}", self.common, r.design)).collect();
        out.push_str(&format!(
            "| | {} |\n|---|{}\n",
            names.join(" | "),
            "---|".repeat(names.len())
        ));
        for line in lines {
            let texts = line.texts.unwrap_or_else(|| vec![String::new(); names.len()]);
            let name = if texts.iter().all(String::is_empty) {
                format!("**{}**", line.name)
            } else {
                line.name
            };
            out.push_str(&format!("| {name} | {} |\n", texts.join(" | ")));
        }
        out.push('\n');
        self.legend(&mut out, usize::MAX, true);
        super::paint::plain(&out)
    }

    /// The lines of a table with these designs as columns.
    fn lines(&self, wide: bool, rows: &[&Row]) -> Vec<Line> {
        let mut lines = Vec::new();
        let heading = |name: &str| Line { name: name.to_string(), texts: None };
        let mut push = |name: &str, of: &dyn Fn(&Row) -> String| {
            let texts = Some(rows.iter().map(|row| of(row)).collect());
            lines.push(Line { name: name.to_string(), texts });
        };
        let who = ["the filesystem", "the RDMA user", "the system"];
        for (n, name) in who.iter().enumerate() {
            push(name, &|row| row.groups[n].text(wide));
        }
        let mut last = "";
        let mut all: Vec<Line> = vec![heading("Is it safe?")];
        all.append(&mut lines);
        for (n, column) in self.columns.iter().enumerate() {
            if column.hurts != last {
                last = column.hurts;
                let who = match last {
                    "rdma" => "RDMA user",
                    other => other,
                };
                all.push(heading(&format!("Rules of the {who}")));
            }
            let texts = Some(rows.iter().map(|row| row.cells[n].text(wide)).collect());
            all.push(Line { name: column.invariant.to_string(), texts });
        }
        for (harm, name) in [(true, "Harm by refusing and waiting"), (false, "Cost")] {
            let mut first = true;
            for (n, column) in self.prices.iter().enumerate().filter(|(_, c)| c.harm == harm) {
                if std::mem::take(&mut first) {
                    all.push(heading(name));
                }
                let texts = rows.iter().map(|row| price(row.prices[n], wide)).collect();
                all.push(Line { name: column.price.to_string(), texts: Some(texts) });
            }
        }
        all
    }

    /// Designs beside each other, in as many tables as it takes. Says whether in whole words.
    fn in_columns(&self, out: &mut String, width: usize) -> bool {
        let names = self.columns.iter().map(|c| c.invariant.len());
        let names = names.chain(self.prices.iter().map(|p| p.price.len()));
        let first = names.chain([16]).max().unwrap_or(16);
        let room = width.saturating_sub(first + 2).max(NARROW + 2);
        let n = self.rows.len().max(1);
        let wide = room / n >= WIDE + 2;
        let words = self.rows.iter().flat_map(|r| r.design.split_inclusive([' ', '=']));
        let longest = words.map(|word| word.trim_end().len()).max().unwrap_or(0);
        let least = if wide { WIDE } else { longest.clamp(NARROW, WIDE) };
        // Columns of about the same number in each table.
        let fit = (room / (least + 2)).clamp(1, n);
        let tables = n.div_ceil(fit);
        let each = n.div_ceil(tables);
        let column = (room / each).saturating_sub(2).clamp(least, WIDE + 8);
        for (t, part) in self.rows.chunks(each).enumerate() {
            if t > 0 {
                out.push('\n');
            }
            let rows: Vec<&Row> = part.iter().collect();
            self.table(out, first, column, &self.lines(wide, &rows), &rows);
        }
        wide
    }

    fn table(&self, out: &mut String, first: usize, width: usize, lines: &[Line], rows: &[&Row]) {
        let heads: Vec<Vec<String>> = rows.iter().map(|r| fold(&r.design, width)).collect();
        let corners = fold(self.common.trim_end_matches(['-', ' ']), first);
        let height = heads.iter().chain([&corners]).map(Vec::len).max().unwrap_or(0);
        for h in 0..height {
            let corner = corners.get(h).map_or("", String::as_str);
            let mut text = format!("{corner:first$}");
            for head in &heads {
                let part = head.get(h).map_or("", String::as_str);
                text.push_str(&format!("  {part:<width$}"));
            }
            out.push_str(&paint(STEP, text.trim_end()));
            out.push('\n');
        }
        for line in lines {
            let Some(texts) = &line.texts else {
                out.push_str(&paint(DIM, &line.name));
                out.push('\n');
                continue;
            };
            let mut text = format!("{:first$}", line.name);
            for cell in texts {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                text.push_str(&format!("  {}{pad}", colour(cell)));
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
    }

    /// A row for each design; designs, rules and prices have numbers. Never in whole words.
    fn in_rows(&self, out: &mut String, width: usize) -> bool {
        let rules = self.columns.iter().map(|c| c.invariant);
        let heads: Vec<&str> = rules.chain(self.prices.iter().map(|p| p.price)).collect();
        let head = ["", self.common.trim_end(), "filesystem", "RDMA", "system"];
        grid(
            out,
            width,
            &head.map(String::from),
            self.rows.iter().enumerate().map(|(n, row)| {
                let groups = row.groups.iter().map(|g| g.text(false));
                [format!("#{}", n + 1), row.design.clone()].into_iter().chain(groups).collect()
            }),
        );
        let texts = |row: &Row| -> Vec<String> {
            let cells = row.cells.iter().map(|c| c.text(false));
            cells.chain(row.prices.iter().map(|&p| price(p, false))).collect()
        };
        let all: Vec<Vec<String>> = self.rows.iter().map(texts).collect();
        let fit = (width.saturating_sub(6) / NARROW).max(1);
        let numbers: Vec<usize> = (0..heads.len()).collect();
        for part in numbers.chunks(fit) {
            let head: Vec<String> =
                std::iter::once(String::new()).chain(part.iter().map(|n| letters(*n))).collect();
            grid(
                out,
                width,
                &head,
                all.iter().enumerate().map(|(n, texts)| {
                    let cells = part.iter().map(|&column| texts[column].clone());
                    std::iter::once(format!("#{}", n + 1)).chain(cells).collect()
                }),
            );
        }
        let names = heads.iter().enumerate().map(|(n, name)| format!("{} {name}", letters(n)));
        let names: Vec<String> = names.collect();
        wrap(out, width, "", "  ", &format!("Columns: {}.", names.join(", ")));
        false
    }

    /// Which designs protect whom.
    fn protectors(&self, out: &mut String, width: usize) {
        let safe = |groups: &[usize]| -> String {
            let all = |row: &&Row| groups.iter().all(|&n| row.groups[n].verdict == "safe");
            let names: Vec<&str> =
                self.rows.iter().filter(all).map(|row| row.design.as_str()).collect();
            match names.len() {
                0 => paint(BROKEN, "none"),
                n if n == self.rows.len() => paint(HELD, "all"),
                n if n > SOME => paint(HELD, &format!("{n} of {}", self.rows.len())),
                _ => paint(HELD, &names.join(", ")),
            }
        };
        if self.rows.len() > 1 {
            let who = [("the filesystem", safe(&[0])), ("the RDMA user", safe(&[1]))];
            let both = [("both", safe(&[0, 1])), ("everybody", safe(&[0, 1, 2]))];
            let says = who.into_iter().chain(both).map(|(who, names)| format!("{who}: {names}"));
            let text = says.collect::<Vec<_>>().join("; ");
            out.push('\n');
            wrap(out, width, "", "  ", &format!("Protects {text}."));
        }
    }

    /// What the words mean, and what is not in the table.
    fn legend(&self, out: &mut String, width: usize, wide: bool) {
        let [proved, refuted, bounded] = match wide {
            true => ["proved", "refuted", "bounded"],
            false => ["ok", "NO", "?"],
        };
        let words = format!(
            "{proved}: holds in every interleaving (so many states); {refuted}: broken (steps of \
             the shortest run that breaks it); {bounded}: not broken as far as the search went (a \
             run breaks it less often than this, with 95% confidence); -: never at risk under \
             this design. HURT: so many of the rules that were at risk are broken; safe: all are \
             proved; open: none is broken, not all are proved."
        );
        out.push('\n');
        wrap(out, width, "", "  ", &paint(DIM, &words));
        if self.runs > 0 {
            let runs = grouped(self.runs);
            let text = format!(
                "Prices are the median (least..median..greatest where there is room) of {runs} \
                 timed runs of each scenario, all scenarios together; ns are simulated."
            );
            wrap(out, width, "", "  ", &paint(DIM, &text));
        }
        if !self.free.is_empty() && self.runs > 0 {
            let text = format!("Zero for every design, and left out: {}.", self.free.join(", "));
            wrap(out, width, "", "  ", &paint(DIM, &text));
        }
        let broken = |row: &Row| {
            let cell = row.cells.iter().position(|c| c.replay.is_some())?;
            Some((row.design.clone(), self.columns[cell].invariant))
        };
        if let Some((design, invariant)) = self.rows.iter().find_map(broken) {
            let design = format!("{}{design}", self.common);
            let text = format!("To see one: the same with --witness '{design}' {invariant}");
            wrap(out, width, "", "  ", &paint(DIM, &text));
        }
        for refused in &self.refused {
            let text = format!("refused  {}: {}", paint(WAIT, &refused.design), refused.why);
            wrap(out, width, "", "         ", &text);
        }
        for note in &self.notes {
            wrap(out, width, "note     ", "         ", note);
        }
    }
}

/// A column by letters: A to Z, AA, AB and so on.
fn letters(n: usize) -> String {
    let letter = |n: usize| char::from(b'A' + (n % 26) as u8);
    match n / 26 {
        0 => letter(n).to_string(),
        more => format!("{}{}", letter(more - 1), letter(n)),
    }
}

/// Rows of cells under a heading, as wide as what they hold and no wider than `width`.
fn grid(out: &mut String, width: usize, head: &[String], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let width = u16::try_from(width).unwrap_or(u16::MAX);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(head);
    rows.for_each(|row| {
        table.add_row(row);
    });
    for (n, line) in table.trim_fmt().lines().enumerate() {
        let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
        out.push_str(&if n == 0 { paint(STEP, line) } else { colour_words(line) });
        out.push('\n');
    }
    out.push('\n');
}

/// A name in lines that fit, broken between words where there are some.
fn fold(name: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in name.split_inclusive([' ', '=']) {
        match lines.last_mut() {
            Some(last) if last.is_empty() || last.len() + word.trim_end().len() <= width => {
                last.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    let cut = |line: String| {
        let line = line.trim_end().to_string();
        let chars: Vec<char> = line.chars().collect();
        chars.chunks(width.max(1)).map(|c| c.iter().collect()).collect::<Vec<String>>()
    };
    lines.into_iter().flat_map(cut).collect()
}

/// A cell in the colour of its verdict.
fn colour(cell: &str) -> String {
    match cell.split(' ').next() {
        Some("ok" | "proved" | "safe") => paint(HELD, cell),
        Some("NO" | "refuted" | "HURT") => paint(BROKEN, cell),
        Some("?" | "bounded" | "open") => paint(WAIT, cell),
        _ => cell.to_string(),
    }
}

/// A line of a table with its verdicts in colour.
fn colour_words(line: &str) -> String {
    line.split(' ').map(colour).collect::<Vec<_>>().join(" ")
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
    fn a_design_is_broken_between_its_words() {
        let lines = fold("6.18 pin=page-counter writeback=bounce", 14);
        assert_eq!(lines, ["6.18 pin=", "page-counter", "writeback=", "bounce"]);
    }
}
