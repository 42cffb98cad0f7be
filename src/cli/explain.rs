//! `gupsim explain`: the manual entry of anything that has a name.

use super::catalog::{self, Entry};
use super::{Exit, failure::Failure, out};
use crate::report::paint::{HALF, STEP, paint, wrap};
use crate::scenario::suggest;

/// Explain anything that has a name
///
/// Scenarios, strategy axes (`truncate-dax`) and values (`wait-locked`, `pin=none`), invariants,
/// machines, presets, costs, steps as traces number them (`T7`), rules of recorded kernels (`E13`),
/// `exit-codes`: what it is, where it comes from, which scenarios show it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gupsim explain clean-but-newer\n  gupsim explain \
                        folio-pincount\n  gupsim explain T7\n  gupsim explain exit-codes")]
pub struct Args {
    /// The name
    name: String,
}

/// Explains.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let loaded = catalog::scenarios();
    let entries = catalog::all(&loaded);
    let found: Vec<&Entry> = entries.iter().filter(|e| means(&args.name, e)).collect();
    if found.is_empty() {
        let full: Vec<String> = entries.iter().map(Entry::full_name).collect();
        let known = entries.iter().map(|e| e.name.as_str());
        let known = known.chain(full.iter().map(String::as_str));
        let help = match suggest::nearest(&args.name, known) {
            Some(nearest) => format!("did you mean '{nearest}'?"),
            None => "`gupsim list` shows what there is".to_string(),
        };
        return Err(Failure::usage(format!("nothing is called '{}'", args.name), help));
    }
    let width = out::stdout_width();
    let mut text = String::new();
    for (n, entry) in found.iter().enumerate() {
        if n > 0 {
            text.push('\n');
        }
        write(&mut text, entry, &catalog::shown_by(entry, &loaded), width);
    }
    out::print(&text)?;
    Ok(Exit::Clean)
}

/// Whether a name as typed means an entry: exactly, or without its theme, its dashes or its axis.
fn means(typed: &str, entry: &Entry) -> bool {
    let bare = |s: &str| s.to_lowercase().replace(['-', '_'], "");
    let typed = bare(typed.strip_suffix(".json").unwrap_or(typed));
    let short = entry.name.rsplit('/').next().unwrap_or_default();
    typed == bare(&entry.name) || typed == bare(short) || typed == bare(&entry.full_name())
}

fn write(out: &mut String, entry: &Entry, shown_by: &[&str], width: usize) {
    out.push_str(&format!("{} ({})\n", paint(STEP, &entry.full_name()), entry.topic.label()));
    for paragraph in &entry.text {
        out.push('\n');
        wrap(out, width, "  ", "  ", paragraph);
    }
    if !entry.rows.is_empty() {
        out.push('\n');
    }
    let key = entry.rows.iter().map(|r| r.0.len()).max().unwrap_or(0);
    for (name, text) in &entry.rows {
        let first = format!("  {}{}", paint(HALF, name), " ".repeat(key + 2 - name.len()));
        wrap(out, width, &first, &" ".repeat(key + 4), text);
    }
    list(out, "sources", &entry.sources, width);
    list(out, "shown by", shown_by, width);
}

fn list<S: AsRef<str>>(out: &mut String, title: &str, lines: &[S], width: usize) {
    if !lines.is_empty() {
        out.push_str(&format!("\n  {}\n", paint(HALF, title)));
        lines.iter().for_each(|line| wrap(out, width, "    ", "      ", line.as_ref()));
    }
}
