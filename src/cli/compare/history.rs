//! `gupsim compare --history`: one scenario over the kernels in order.

use super::{Args, Style, table};
use crate::cli::scenarios::Opened;
use crate::cli::{Exit, failure::Failure, out};
use crate::kernel::strategy::Preset;
use crate::report::comparison::{Comparison, Row};
use crate::report::paint::{BROKEN, HELD, STEP, WAIT, paint, wrap};

/// Kernels among the presets begin so.
const KERNEL: &str = "linux-";

/// Puts every kernel through the scenario, oldest first.
pub fn run(args: &Args, opened: &[Opened]) -> Result<Exit, Failure> {
    let kernels = Preset::ALL.iter().map(|p| p.name).filter(|name| name.starts_with(KERNEL));
    let designs = args.grid.over(kernels.map(String::from).collect()).designs()?;
    let crew = args.crew();
    let found = table::find(opened, designs, args.effort(), args.workers(), &crew);
    crew.finish();
    let table = found?.table();
    out::print(&match args.format {
        Style::Text => {
            let width = out::stdout_width();
            let mut text = table.text(width);
            text.push('\n');
            eras(&mut text, &table, width);
            text
        }
        Style::Markdown => table.markdown(),
        Style::Json => table.json(),
        Style::Csv => table.csv().map_err(|e| Failure::Internal(e.to_string()))?,
    })?;
    Ok(args.exit(&crew))
}

/// Since when nothing is broken; for each invariant the stretches of the history with one verdict.
fn eras(out: &mut String, table: &Comparison, width: usize) {
    let broken = |row: &Row| row.cells.iter().any(|cell| cell.verdict == "refuted");
    let last = table.rows.iter().rposition(broken);
    let when = match last.map(|n| table.rows.get(n + 1)) {
        None => "in every one of these kernels".to_string(),
        Some(Some(row)) => format!("since {}", row.design),
        Some(None) => "in none: the newest breaks a rule".to_string(),
    };
    wrap(out, width, "", "  ", &format!("{} {when}", paint(STEP, &format!("{:22}", "Safe"))));
    for (n, column) in table.columns.iter().enumerate() {
        let mut text = Vec::new();
        for part in table.rows.chunk_by(|a, b| a.cells[n].verdict == b.cells[n].verdict) {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let verdict = first.cells[n].verdict;
            let style = match verdict {
                "refuted" => BROKEN,
                "proved" => HELD,
                _ => WAIT,
            };
            let is_last = table.rows.last().is_some_and(|row| row.design == last.design);
            let when = match (first.design == last.design, is_last) {
                (_, true) if part.len() < table.rows.len() => format!("since {}", first.design),
                (true, _) => format!("in {}", first.design),
                (false, _) => format!("from {} to {}", first.design, last.design),
            };
            let word = if verdict == "vacuous" { "not at risk" } else { verdict };
            text.push(format!("{} {when}", paint(style, word)));
        }
        let name = paint(STEP, &format!("{:22}", column.invariant));
        wrap(out, width, "", "  ", &format!("{name} {}", text.join(", ")));
    }
}
