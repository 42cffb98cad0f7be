//! A comparison of many designs: a line for each with what it does to whom, then rules and prices in
//! lines, with designs in columns by number.

use super::comparison::{Comparison, Row};
use super::comparison_words::{Style, colour, facts, is_nothing, price};
use super::paint::{BROKEN, DIM, STEP, paint, wrap};

/// Columns of a design in which a verdict and its number fit.
const ROOM: usize = 9;

/// A line of the matrix: its name, and its text for each design.
type Line = (String, Vec<String>);

impl Comparison {
    /// Designs in lines, then designs in columns. Says how verdicts are written.
    pub(super) fn in_rows(&self, out: &mut String, width: usize) -> Style {
        self.overview(out, width);
        let names = self.columns.iter().map(|c| c.invariant.len());
        let names = names.chain(self.prices.iter().map(|p| p.price.len()));
        let first = names.chain([16]).max().unwrap_or(16);
        let room = width.saturating_sub(first);
        let style = if room / self.rows.len() >= ROOM { Style::Short } else { Style::Signs };
        let mut rules = Vec::new();
        let mut agreed = Vec::new();
        for (n, column) in self.columns.iter().enumerate() {
            match self.rows.iter().all(|row| row.cells[n].verdict == "proved") {
                true => agreed.push(column.invariant),
                false => rules.push((
                    column.invariant.to_string(),
                    self.rows.iter().map(|row| row.cells[n].text(style)).collect(),
                )),
            }
        }
        matrix(out, width, first, "Rules", &rules, true);
        if !agreed.is_empty() {
            wrap(out, width, "", "  ", &format!("Proved for all: {}.", agreed.join(", ")));
        }
        out.push('\n');
        let (prices, same) = self.bills();
        matrix(out, width, first, "Prices", &prices, false);
        if !same.is_empty() {
            wrap(out, width, "", "  ", &format!("The same for all: {}.", same.join(", ")));
        }
        style
    }

    /// A line for each design: number, name, what it does to whom.
    fn overview(&self, out: &mut String, width: usize) {
        let harms = ["refused-pins", "blocked-ns"];
        let harms: Vec<usize> = harms
            .into_iter()
            .filter_map(|name| self.prices.iter().position(|p| p.price == name))
            .collect();
        let corner = self.common.trim_end().to_string();
        let mut head: Vec<String> = vec!["#".into(), corner];
        head.extend(["filesystem", "RDMA user", "system"].map(String::from));
        head.extend(harms.iter().map(|&n| self.prices[n].price.to_string()));
        let mut lines = vec![head];
        for (n, row) in self.rows.iter().enumerate() {
            let mut line = vec![format!("{}", n + 1), row.design.clone()];
            line.extend(row.groups.iter().map(|g| g.text(Style::Short)));
            line.extend(harms.iter().map(|&n| price(row.prices[n], Style::Signs)));
            lines.push(line);
        }
        let columns = lines[0].len();
        let wide = |c: usize| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..columns).map(wide).collect();
        // The name gives way to the rest; what does not fit is cut, and whole in the other formats.
        let rest: usize = widths.iter().sum::<usize>() - widths[1] + 2 * (columns - 1);
        widths[1] = widths[1].min(width.saturating_sub(rest).max(8));
        for (n, line) in lines.iter().enumerate() {
            let mut text = String::new();
            for (cell, &wide) in line.iter().zip(&widths) {
                let cell = super::paint::fit(cell, wide);
                let pad = " ".repeat(wide.saturating_sub(cell.chars().count()) + 2);
                let cell = if n == 0 { paint(STEP, &cell) } else { colour(&cell) };
                text.push_str(&format!("{cell}{pad}"));
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out.push('\n');
    }

    /// Prices that differ between designs, and the others with what they come to.
    fn bills(&self) -> (Vec<Line>, Vec<String>) {
        let of = |texts: &dyn Fn(&Row) -> String| self.rows.iter().map(texts).collect::<Vec<_>>();
        let mut all: Vec<Line> = Vec::new();
        let names = self.rows.first().map(|row| facts(&row.standing).map(|fact| fact.0));
        for (n, name) in names.into_iter().flatten().enumerate() {
            let texts = of(&|row| facts(&row.standing)[n].1.clone());
            if !texts.iter().all(|text| is_nothing(text)) {
                all.push((name.to_string(), texts));
            }
        }
        for (n, column) in self.prices.iter().enumerate() {
            all.push((column.price.to_string(), of(&|row| price(row.prices[n], Style::Signs))));
        }
        let differs = |(_, texts): &Line| texts.iter().any(|text| *text != texts[0]);
        let (lines, same): (Vec<Line>, Vec<Line>) = all.into_iter().partition(differs);
        (lines, same.into_iter().map(|(name, texts)| format!("{name} {}", texts[0])).collect())
    }
}

/// Lines with designs in columns by number, in as many tables as it takes.
fn matrix(
    out: &mut String,
    width: usize,
    first: usize,
    title: &str,
    lines: &[Line],
    verdicts: bool,
) {
    let Some(designs) = lines.first().map(|(_, texts)| texts.len()) else { return };
    let texts = lines.iter().flat_map(|(_, texts)| texts);
    let cell = texts.map(|t| t.chars().count()).chain([designs.to_string().len()]).max();
    let cell = cell.unwrap_or(1) + 1;
    let fit = (width.saturating_sub(first) / cell).clamp(1, designs);
    let each = designs.div_ceil(designs.div_ceil(fit));
    let columns: Vec<usize> = (0..designs).collect();
    for (t, part) in columns.chunks(each).enumerate() {
        if t > 0 {
            out.push('\n');
        }
        let heads = part.iter().map(|n| format!("{:>cell$}", n + 1));
        let text = format!("{title:first$}{}", heads.collect::<String>());
        out.push_str(&paint(STEP, &text));
        out.push('\n');
        for (name, texts) in lines {
            out.push_str(&format!("{name:first$}"));
            for &n in part {
                let text = &texts[n];
                let pad = " ".repeat(cell.saturating_sub(text.chars().count()));
                let is_number = text.starts_with(|c: char| c.is_ascii_digit());
                let shown = match (verdicts, is_number, text.as_str()) {
                    (true, true, _) => paint(BROKEN, text),
                    (_, _, "." | "-" | "0") => paint(DIM, text),
                    (true, ..) => colour(text),
                    _ => text.clone(),
                };
                out.push_str(&format!("{pad}{shown}"));
            }
            out.push('\n');
        }
    }
}
