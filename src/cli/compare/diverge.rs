//! `gupsim compare --diverge`: one schedule under two designs, side by side.

use super::{Args, Style, report};
use crate::cli::scenarios::Opened;
use crate::cli::{Exit, failure::Failure, out};
use crate::compare::{self, Pair, Parting};
use crate::kernel::invariant::TABLE;
use crate::report::data::{Report, Step};
use crate::report::paint::{BROKEN, DIM, STEP, WAIT, fit, paint, wrap};
use crate::report::trace::step_words;
use crate::scenario::strategy as words;
use serde_json::json;

/// Steps that are shown before the first difference, and after the last that matters.
const BEFORE: usize = 3;
const AFTER: usize = 6;
/// Schedules among which one is looked for that tells the designs apart.
const LOOKED_AT: u64 = 200;

/// Makes the runs and shows them.
pub fn run(args: &Args, designs: &[String], opened: &Opened) -> Result<Exit, Failure> {
    let own = opened.loaded.strategy;
    let strategies = [words::describe(&designs[0], own)?, words::describe(&designs[1], own)?];
    let number = args.schedule.unwrap_or_else(|| {
        let differs = |&run: &u64| {
            let pair = compare::pair(&opened.loaded, strategies, run);
            pair.broken[0] != pair.broken[1]
        };
        (0..LOOKED_AT).find(differs).unwrap_or(0)
    });
    let pair = compare::pair(&opened.loaded, strategies, number);
    let parting = compare::parting(&pair);
    let described =
        [0, 1].map(|n| report(opened, &designs[n], pair.starts[n].sim(), &pair.moves[n]));
    let shown = Shown { designs, number, pair: &pair, parting, described: &described };
    out::print(&match args.format {
        Style::Json => shown.json(opened),
        _ => shown.text(opened, out::stdout_width()),
    })?;
    Ok(args.exit())
}

struct Shown<'a> {
    designs: &'a [String],
    number: u64,
    pair: &'a Pair,
    parting: Parting,
    described: &'a [Report; 2],
}

impl Shown<'_> {
    fn broken(&self, n: usize) -> Vec<&'static str> {
        self.pair.broken[n].iter().filter_map(|i| Some(TABLE.get(i)?.name)).collect()
    }

    fn json(&self, opened: &Opened) -> String {
        let runs: Vec<_> = (0..2)
            .map(|n| {
                json!({
                    "design": self.designs[n],
                    "broken": self.broken(n),
                    "repeat": self.described[n].setting.repeat,
                    "steps": self.described[n].steps,
                })
            })
            .collect();
        let document = json!({
            "format": 1,
            "scenario": opened.loaded.name,
            "schedule": self.number,
            "differs": self.parting.differs.map(|n| n + 1),
            "parts": self.parting.parts.map(|n| n + 1),
            "runs": runs,
        });
        // Strings, numbers and lists only: writing them out cannot fail.
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
    }

    fn text(&self, opened: &Opened, width: usize) -> String {
        let width = width.max(60);
        let mut out = String::new();
        let title = format!(
            "{}: schedule {} under two designs",
            paint(STEP, &opened.loaded.name),
            self.number
        );
        wrap(&mut out, width, "", "  ", &title);
        out.push('\n');
        let Parting { differs, parts } = self.parting;
        let Some(first) = differs.into_iter().chain(parts).min() else {
            out.push_str("Both make the same steps with the same changes.\n");
            return out;
        };
        let half = (width - 9) / 2;
        let heads = [0, 1].map(|n| fit(&self.designs[n], half));
        out.push_str(&paint(STEP, format!("step  {} | {}", heads[0], heads[1]).trim_end()));
        out.push('\n');
        let from = first.saturating_sub(BEFORE);
        let last = parts.unwrap_or(first) + AFTER;
        // Between the first difference and the parting of ways only what differs is shown.
        let mut skipped = from > 0;
        for n in from..last {
            let steps = [0, 1].map(|d| self.described[d].steps.get(n));
            if steps.iter().all(Option::is_none) {
                break;
            }
            let same = differs_not(steps);
            let near = n < first + BEFORE || parts.is_some_and(|p| n + BEFORE >= p);
            if same && !near {
                skipped = true;
                continue;
            }
            if std::mem::take(&mut skipped) {
                out.push_str(&paint(DIM, "  ..."));
                out.push('\n');
            }
            if differs == Some(n) && parts != Some(n) {
                self.mark(&mut out, "the first step that changes the machine in another way");
            }
            if parts == Some(n) {
                self.mark(&mut out, "here they part: what follows are different steps");
            }
            self.lines(&mut out, n, steps, half, same);
        }
        self.ends(&mut out, width);
        out
    }

    fn mark(&self, out: &mut String, text: &str) {
        out.push_str(&paint(WAIT, &format!("----- {text}")));
        out.push('\n');
    }

    /// One step of each, with what it changed where they differ.
    fn lines(
        &self,
        out: &mut String,
        n: usize,
        steps: [Option<&Step>; 2],
        half: usize,
        same: bool,
    ) {
        let mut cells: [Vec<String>; 2] = Default::default();
        for (cell, step) in cells.iter_mut().zip(steps) {
            let Some(step) = step else {
                cell.push("(the run has ended)".into());
                continue;
            };
            let mut text = format!("{}: {}", step.agent, step_words(step));
            if let Some(outcome) = &step.outcome {
                text.push_str(&format!(" ({outcome})"));
            }
            let mut wrapped = String::new();
            wrap(&mut wrapped, half, "", "  ", &text);
            if !same {
                for change in step.changes.iter().filter(|c| !c.ghost) {
                    let text = format!("{} {}", change.object, change.words);
                    wrap(&mut wrapped, half, "  ", "    ", &text);
                }
            }
            cell.extend(wrapped.lines().map(String::from));
            for name in &step.breaks {
                cell.push(format!("  breaks {name}"));
            }
        }
        let height = cells[0].len().max(cells[1].len());
        for line in 0..height {
            let part = |d: usize| {
                let text = fit(cells[d].get(line).map_or("", String::as_str), half);
                match text.trim_start().starts_with("breaks ") {
                    true => paint(BROKEN, &text),
                    false if line > 0 => paint(DIM, &text),
                    false => text,
                }
            };
            let number = if line == 0 { (n + 1).to_string() } else { String::new() };
            let bar = if same { '|' } else { '#' };
            out.push_str(format!("{number:>4}  {} {bar} {}", part(0), part(1)).trim_end());
            out.push('\n');
        }
    }

    /// What came of them.
    fn ends(&self, out: &mut String, width: usize) {
        out.push('\n');
        for n in 0..2 {
            let broken = self.broken(n);
            let what = match broken.is_empty() {
                true => "breaks nothing".to_string(),
                false => format!("breaks {}", paint(BROKEN, &broken.join(", "))),
            };
            let (design, steps) = (&self.designs[n], self.pair.moves[n].len());
            wrap(out, width, "", "  ", &format!("{}: {steps} steps, {what}", paint(STEP, design)));
            let command = paint(DIM, &self.described[n].command());
            wrap(out, width.max(72), "  ", "  ", &command);
        }
    }
}

/// Whether two steps are the same: of the same agent, called the same, with the same changes.
fn differs_not(steps: [Option<&Step>; 2]) -> bool {
    let [Some(a), Some(b)] = steps else { return false };
    let changes = |step: &Step| -> Vec<String> {
        step.changes.iter().map(|c| format!("{} {}", c.object, c.words)).collect()
    };
    (&a.agent, a.step, &a.outcome, &a.breaks) == (&b.agent, b.step, &b.outcome, &b.breaks)
        && changes(a) == changes(b)
}
