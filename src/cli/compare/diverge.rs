//! `gupsim compare --diverge`: one schedule under two designs, side by side.

use super::{Args, Style, report};
use crate::cli::scenarios::Opened;
use crate::cli::{Exit, failure::Failure, out};
use crate::compare::{self, Pair, Parting};
use crate::kernel::invariant::TABLE;
use crate::report::data::{Report, Step};
use crate::report::json;
use crate::report::paint::{BROKEN, DIM, STEP, WAIT, command, fit, paint, wrap};
use crate::report::trace::step_words;
use crate::scenario::strategy as words;
use serde_json::json;

/// Steps that both make that are shown on each side of a difference.
const AROUND: usize = 2;
/// Lines that are shown from the first difference on.
const AFTER: usize = 24;
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
    Ok(Exit::Clean)
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
        json::document(&document)
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
        let pairs = align(&self.described[0].steps, &self.described[1].steps);
        let same: Vec<bool> = pairs.iter().map(|&pair| is_same(self.steps(pair))).collect();
        let near = |n: usize| {
            let around = n.saturating_sub(AROUND)..(n + AROUND + 1).min(same.len());
            same[around].contains(&false)
        };
        let (mut left, mut skipped, mut together) = (AFTER, false, true);
        for (n, &pair) in pairs.iter().enumerate() {
            if !near(n) {
                skipped = true;
                continue;
            }
            if left == 0 {
                out.push_str(&paint(DIM, "  ... and so on (--format json has every step)"));
                out.push('\n');
                break;
            }
            if std::mem::take(&mut skipped) {
                out.push_str(&paint(DIM, "  ..."));
                out.push('\n');
            }
            let number = pair.0.or(pair.1).unwrap_or(0);
            if parts == Some(number) && std::mem::take(&mut together) {
                let text = "----- here they part: one makes a step that the other does not";
                out.push_str(&paint(WAIT, text));
                out.push('\n');
            }
            left -= usize::from(number >= first);
            self.lines(&mut out, number, self.steps(pair), half, same[n]);
        }
        self.ends(&mut out, width);
        out
    }

    fn steps(&self, pair: (Option<usize>, Option<usize>)) -> [Option<&Step>; 2] {
        let step = |d: usize, n: Option<usize>| self.described[d].steps.get(n?);
        [step(0, pair.0), step(1, pair.1)]
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
            let Some(step) = step else { continue };
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
            command(out, "  ", DIM, &self.described[n].command());
        }
    }
}

/// Whether two steps are the same: of the same agent, called the same, with the same changes.
fn is_same(steps: [Option<&Step>; 2]) -> bool {
    let [Some(a), Some(b)] = steps else { return false };
    let changes = |step: &Step| -> Vec<String> {
        let real = step.changes.iter().filter(|c| !c.ghost);
        real.map(|c| format!("{} {}", c.object, c.words)).collect()
    };
    is_like(a, b) && a.breaks == b.breaks && changes(a) == changes(b)
}

/// Whether two steps have the same name.
fn is_like(a: &Step, b: &Step) -> bool {
    (&a.agent, a.id, a.step, &a.outcome) == (&b.agent, b.id, b.step, &b.outcome)
}

/// Steps that the table of alignments has at most; beyond that runs are compared step by step.
const ALIGNED: usize = 4_000_000;

/// The steps of two runs side by side, by their numbers: as many as possible that have the same
/// name stand together (a longest common subsequence).
fn align(a: &[Step], b: &[Step]) -> Vec<(Option<usize>, Option<usize>)> {
    let (n, m) = (a.len(), b.len());
    if n.saturating_mul(m) > ALIGNED {
        let longest = 0..n.max(m);
        return longest.map(|i| ((i < n).then_some(i), (i < m).then_some(i))).collect();
    }
    // What is common from (i, j) on.
    let mut common = vec![vec![0u32; m + 1]; n + 1];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            common[i][j] = match is_like(&a[i], &b[j]) {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < n || j < m {
        if i < n && j < m && is_like(&a[i], &b[j]) {
            pairs.push((Some(i), Some(j)));
            (i, j) = (i + 1, j + 1);
        } else if j == m || i < n && common[i + 1][j] >= common[i][j + 1] {
            pairs.push((Some(i), None));
            i += 1;
        } else {
            pairs.push((None, Some(j)));
            j += 1;
        }
    }
    pairs
}
