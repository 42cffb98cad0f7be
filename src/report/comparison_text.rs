//! A comparison as a table that fits: for a terminal, or in Markdown.
//!
//! Designs stand in columns, because there are more rules and prices than designs, and because a
//! terminal is longer than wide; where they do not fit beside each other the table is cut into
//! several. Many designs are listed first, and stand in columns by number.

use super::comparison::{Comparison, Row};
use super::comparison_words::{Style, colour, facts, is_nothing, price};
use super::paint::{DIM, STEP, WAIT, command, paint, wrap};
use super::verdicts::grouped;

/// A line of the table: what it is called, and its text for each design. None: a heading.
struct Line {
    name: String,
    texts: Option<Vec<String>>,
}

/// Columns of a design at least, so that short words fit.
const NARROW: usize = 9;
/// Columns of a design in which whole words fit.
const WIDE: usize = 15;
/// Designs from which on they are rows.
const MANY: usize = 13;

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
        let style = match self.rows.len() >= MANY {
            true => self.in_rows(&mut out, width),
            false => self.in_columns(&mut out, width),
        };
        self.summary(&mut out, width);
        self.demands(&mut out, width);
        self.legend(&mut out, width, style);
        out
    }

    /// Only who protects whom, and who pays how, in lines of at most `width` columns.
    pub fn brief(&self, width: usize) -> String {
        let width = width.max(40);
        let mut out = String::new();
        self.overview(&mut out, width);
        self.summary(&mut out, width);
        let words = "HURT n/m: of m rules that were at risk, n are broken; safe: all are proved; \
                     open: none is broken, not all are proved; -: none was at risk. Without \
                     --brief: which rules, and every price.";
        out.push('\n');
        wrap(&mut out, width, "", "  ", &paint(DIM, words));
        for note in &self.notes {
            wrap(&mut out, width, "note     ", "         ", note);
        }
        out
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut out = format!("{}\n\n", self.scenarios.join(", "));
        let lines = self.lines(Style::Words, &self.rows.iter().collect::<Vec<_>>());
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
        self.legend(&mut out, usize::MAX, Style::Words);
        super::paint::plain(&out)
    }

    /// The lines of a table with these designs as columns.
    fn lines(&self, style: Style, rows: &[&Row]) -> Vec<Line> {
        let mut lines = Vec::new();
        let heading = |name: &str| Line { name: name.to_string(), texts: None };
        let mut push = |name: &str, of: &dyn Fn(&Row) -> String| {
            let texts = Some(rows.iter().map(|row| of(row)).collect());
            lines.push(Line { name: name.to_string(), texts });
        };
        let who = ["the filesystem", "the RDMA user", "the system"];
        for (n, name) in who.iter().enumerate() {
            push(name, &|row| row.groups[n].text(style));
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
            let texts = Some(rows.iter().map(|row| row.cells[n].text(style)).collect());
            all.push(Line { name: column.invariant.to_string(), texts });
        }
        for (harm, name) in [(true, "Harm by refusing and waiting"), (false, "Cost")] {
            let mut first = true;
            for (n, column) in self.prices.iter().enumerate().filter(|(_, c)| c.harm == harm) {
                if std::mem::take(&mut first) {
                    all.push(heading(name));
                }
                let texts = rows.iter().map(|row| price(row.prices[n], style)).collect();
                all.push(Line { name: column.price.to_string(), texts: Some(texts) });
            }
        }
        let names = self.rows.first().map(|row| facts(&row.standing).map(|fact| fact.0));
        for (n, name) in names.into_iter().flatten().enumerate() {
            let text = |row: &Row| facts(&row.standing)[n].1.clone();
            if !self.rows.iter().all(|row| is_nothing(&text(row))) {
                let texts = rows.iter().map(|row| text(row)).collect();
                all.push(Line { name: name.to_string(), texts: Some(texts) });
            }
        }
        all
    }

    /// Designs beside each other, in as many tables as it takes. Says how verdicts are written.
    fn in_columns(&self, out: &mut String, width: usize) -> Style {
        let names = self.columns.iter().map(|c| c.invariant.len());
        let names = names.chain(self.prices.iter().map(|p| p.price.len()));
        let first = names.chain([16]).max().unwrap_or(16);
        let room = width.saturating_sub(first + 2).max(NARROW + 2);
        let n = self.rows.len().max(1);
        let wide = room / n >= WIDE + 2;
        let style = if wide { Style::Words } else { Style::Short };
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
            self.table(out, first, column, &self.lines(style, &rows), &rows);
        }
        style
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

    /// What the words mean, and what is not in the table.
    fn legend(&self, out: &mut String, width: usize, style: Style) {
        let [proved, refuted, bounded] = match style {
            Style::Words => ["proved", "refuted", "bounded"],
            Style::Short => ["ok", "NO", "?"],
            Style::Signs => [".", "a number", "?"],
        };
        let states = if style == Style::Signs { "" } else { " (so many states)" };
        let words = format!(
            "{proved}: proved, holds in every interleaving{states}; {refuted}: broken (steps of \
             the shortest run that breaks it); {bounded}: not broken as far as the search went (a \
             run breaks it less often than this, with 95% confidence); -: never at risk under \
             this design. HURT: so many of the rules that were at risk are broken; safe: all are \
             proved; open: none is broken, not all are proved."
        );
        let words = match style {
            Style::Words => words.replacen("proved: proved, ", "proved: ", 1),
            Style::Short => words,
            Style::Signs => {
                words.replace(" (a run breaks it less often than this, with 95% confidence)", "")
            }
        };
        out.push('\n');
        wrap(out, width, "", "  ", &paint(DIM, &words));
        if self.runs > 0 {
            let runs = grouped(self.runs);
            let what = match style {
                Style::Words => "Prices are least..median..greatest",
                Style::Short | Style::Signs => "Prices are the median",
            };
            let text = format!(
                "{what} of {runs} timed runs of each scenario, all scenarios together; ns are \
                 simulated. Bytes and what is asked for are there before any run."
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
            let more = format!("--witness '{design}' {invariant}");
            command(out, &paint(DIM, "To see one: the same with "), DIM, &more);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_design_is_broken_between_its_words() {
        let lines = fold("6.18 pin=page-counter writeback=bounce", 14);
        assert_eq!(lines, ["6.18 pin=", "page-counter", "writeback=", "bounce"]);
    }
}
