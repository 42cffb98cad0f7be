//! `gupsim selftest`: the engine under trial by numbers that it did not make.

use super::{Exit, failure::Failure, out, watch};
use crate::litmus::program::{BUNDLED, load};
use crate::litmus::selftest::{Row, selftest};
use crate::report::paint::{BROKEN, DIM, HELD, paint};
use crate::report::verdicts::grouped;
use std::path::PathBuf;

/// Hold the engine against numbers that it did not make
///
/// Small programs with known counts of interleavings, states, traces and deadlocks, schedules
/// with bounded preemptions, orbits under symmetry, the pin protocol, and the exact probabilities
/// of the schedulers go through the same search, reduction and schedulers as the kernel model.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gupsim selftest\n\nExits with 1 if any number is not the \
                        expected one, and with 5 if it was interrupted (the numbers until then \
                        are printed).")]
pub struct Args {
    /// Programs with their counts, in place of those that come with gupsim
    #[arg(long, value_name = "FILE")]
    programs: Option<PathBuf>,
    /// Print only the numbers that are not as expected
    #[arg(long)]
    quiet: bool,
}

/// Runs the trial and prints the table.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let text = match &args.programs {
        None => BUNDLED.to_string(),
        Some(path) => std::fs::read_to_string(path).map_err(|e| {
            let help = "give a file of programs, or leave --programs out: some come with gupsim";
            Failure::usage(format!("cannot read {}: {e}", path.display()), help)
        })?,
    };
    let file = || args.programs.as_ref().map_or("programs".into(), |p| p.display().to_string());
    let programs = load(&text).map_err(|e| {
        Failure::usage(format!("{}: {e}", file()), "docs/exploration.md has the form of the file")
    })?;
    if programs.is_empty() {
        // The other numbers would be as expected, and nothing that was asked for would be held.
        let help = "write one, as docs/exploration.md has it, or leave --programs out";
        return Err(Failure::usage(format!("{}: there is no program in it", file()), help));
    }
    watch::interrupts()?;
    let rows = selftest(&programs, watch::interrupted);
    let wrong = rows.iter().filter(|r| !r.ok).count();
    let shown: Vec<&Row> = rows.iter().filter(|r| !args.quiet || !r.ok).collect();
    let mut text = table(&shown);
    let all = grouped(rows.len() as u64);
    text.push_str(&match wrong {
        0 if watch::interrupted() => {
            format!("interrupted; the first {all} numbers are as expected")
        }
        0 => paint(HELD, &format!("all {all} numbers are as expected")),
        n => paint(BROKEN, &format!("{n} of {all} numbers are not as expected")),
    });
    text.push('\n');
    out::print(&text)?;
    Ok(match wrong {
        0 if watch::interrupted() => Exit::Interrupted,
        0 => Exit::Clean,
        _ => Exit::Violated,
    })
}

/// The rows in columns.
fn table(rows: &[&Row]) -> String {
    let title = ["program", "number", "expected", "found"].map(String::from);
    let cells = |r: &&Row| [&r.name, &r.quantity, &r.expected, &r.found].map(String::clone);
    let lines: Vec<[String; 4]> = std::iter::once(title).chain(rows.iter().map(cells)).collect();
    let width = |c: usize| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..4).map(width).collect();
    let mut out = String::new();
    for (n, line) in lines.iter().enumerate() {
        let [name, quantity, expected, found] = line;
        let text = format!(
            "{name:<0$}  {quantity:<1$}  {expected:>2$}  {found:>3$}",
            widths[0], widths[1], widths[2], widths[3]
        );
        let style = if n == 0 { DIM } else { anstyle::Style::new() };
        out.push_str(&paint(style, &text));
        match n.checked_sub(1).and_then(|i| rows.get(i)) {
            Some(row) if !row.ok => out.push_str(&format!("  {}", paint(BROKEN, "wrong"))),
            _ => {}
        }
        out.push('\n');
    }
    if rows.is_empty() { String::new() } else { out + "\n" }
}
