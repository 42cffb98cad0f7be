//! The outside world of a search: the clock, Ctrl-C, the progress line, the checkpoint file.

use super::failure::Failure;
use crate::engine::explore::checkpoint::Snapshot;
use crate::engine::explore::{Bound, Control, Options, Poll, Progress};
use crate::judged::Judged;
use crate::report::verdicts::grouped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Whether the user has asked for an end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C asks for an end; a second one ends the process at once.
///
/// # Errors
/// If the system does not let signals be handled.
pub fn interrupts() -> Result<(), Failure> {
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::AcqRel) {
            std::process::exit(i32::from(super::Exit::Interrupted.code()));
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|e| Failure::usage(format!("cannot listen for Ctrl-C: {e}"), ""))
}

/// Whether the user has asked for an end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Acquire)
}

/// A progress line on stderr; invisible if that is no terminal.
pub fn line() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// How many in a second, for talk.
pub fn rate(count: u64, elapsed: Duration) -> String {
    grouped((count as f64 / elapsed.as_secs_f64().max(1e-3)) as u64)
}

/// Where a search is laid down and how often.
#[derive(Debug)]
pub struct Checkpoints {
    /// The file.
    pub path: PathBuf,
    /// Time between two.
    pub every: Duration,
    /// Where the search that it belongs to starts.
    pub start: Mutex<Judged>,
    /// The options of that search.
    pub options: Options,
    /// What tells it from others with the same start.
    pub caller: u64,
}

/// The outside world of one search.
#[derive(Debug)]
pub struct Watch {
    began: Instant,
    until: Option<Duration>,
    bar: ProgressBar,
    /// Milliseconds after the beginning at which the next checkpoint is due.
    due_ms: AtomicU64,
    checkpoints: Option<Checkpoints>,
    failed: Mutex<Option<io::Error>>,
}

impl Watch {
    /// Begins now; ends after `until`.
    pub fn new(until: Option<Duration>, checkpoints: Option<Checkpoints>) -> Watch {
        let due_ms = AtomicU64::new(checkpoints.as_ref().map_or(u64::MAX, |c| millis(c.every)));
        let (began, bar) = (Instant::now(), line());
        Watch { began, until, bar, due_ms, checkpoints, failed: Mutex::default() }
    }

    /// Removes the progress line; says if a checkpoint could not be written.
    pub fn finish(self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let failed = self.failed.into_inner().unwrap_or_else(|e| e.into_inner());
        match (failed, self.checkpoints) {
            (Some(error), Some(c)) => Err(Failure::File(c.path, error)),
            _ => Ok(()),
        }
    }

    fn show(&self, now: &Progress, elapsed: Duration) {
        if self.bar.is_hidden() {
            return;
        }
        let left = match now.done {
            done if done > 0.0 => {
                let left = elapsed.as_secs_f64() * (1.0 - done) / done;
                format!(", some {:.0}% done, {left:.0} s left", done * 100.0)
            }
            _ => String::new(),
        };
        self.bar.set_message(format!(
            "{} states, {}/s, depth {}, frontier {}, {} MB{left}",
            grouped(now.states),
            rate(now.states, elapsed),
            now.depth,
            grouped(now.frontier as u64),
            now.bytes >> 20,
        ));
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

impl Control<Judged> for Watch {
    fn poll(&self, progress: &Progress) -> Poll {
        if interrupted() {
            return Poll::Stop(Bound::Interruption);
        }
        let elapsed = self.began.elapsed();
        if self.until.is_some_and(|until| elapsed >= until) {
            return Poll::Stop(Bound::Time);
        }
        self.show(progress, elapsed);
        let (now, due) = (millis(elapsed), self.due_ms.load(Ordering::Acquire));
        if now < due {
            return Poll::Continue;
        }
        // One thread asks for the checkpoint; the next is due an interval later.
        let every = self.checkpoints.as_ref().map_or(u64::MAX, |c| millis(c.every));
        let next = now.saturating_add(every.max(1));
        let won = self.due_ms.compare_exchange(due, next, Ordering::AcqRel, Ordering::Acquire);
        if won.is_ok() { Poll::Checkpoint } else { Poll::Continue }
    }

    fn save(&self, snapshot: &Snapshot<Judged>) {
        let Some(c) = &self.checkpoints else { return };
        let start = c.start.lock().unwrap_or_else(|e| e.into_inner());
        if let Err(error) = snapshot.save(&start, &c.options, c.caller, &c.path) {
            *self.failed.lock().unwrap_or_else(|e| e.into_inner()) = Some(error);
        }
    }
}

/// The outside world of many searches at a time.
#[derive(Debug)]
pub struct Crew {
    began: Instant,
    until: Option<Duration>,
    bar: ProgressBar,
    tasks: AtomicUsize,
    done: AtomicUsize,
    at: Mutex<Vec<String>>,
}

impl Crew {
    /// Begins now with so many tasks; ends after `until`.
    pub fn new(until: Option<Duration>, tasks: usize) -> Crew {
        let (began, bar) = (Instant::now(), line());
        let (tasks, done) = (AtomicUsize::new(tasks), AtomicUsize::new(0));
        Crew { began, until, bar, tasks, done, at: Mutex::default() }
    }

    /// So many more tasks are to be done.
    pub fn expect(&self, tasks: usize) {
        self.tasks.fetch_add(tasks, Ordering::AcqRel);
    }

    /// Whether no further search shall begin.
    pub fn is_over(&self) -> bool {
        interrupted() || self.until.is_some_and(|until| self.began.elapsed() >= until)
    }

    /// Does one of the tasks, under a name that the progress line shows.
    pub fn work<R>(&self, name: &str, work: impl FnOnce() -> R) -> R {
        self.show(|at| at.push(name.to_string()));
        let result = work();
        self.done.fetch_add(1, Ordering::AcqRel);
        self.show(|at| {
            if let Some(n) = at.iter().position(|a| a == name) {
                at.remove(n);
            }
        });
        result
    }

    /// Prints while the progress line is away.
    pub fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }

    /// Removes the progress line.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&self, change: impl FnOnce(&mut Vec<String>)) {
        let mut at = self.at.lock().unwrap_or_else(|e| e.into_inner());
        change(&mut at);
        if !self.bar.is_hidden() {
            let count = |n: &AtomicUsize| n.load(Ordering::Acquire);
            let (done, tasks) = (count(&self.done), count(&self.tasks));
            self.bar.set_message(format!("{done} of {tasks} done; {}", at.join(", ")));
        }
    }
}

impl Control<Judged> for Crew {
    fn poll(&self, _progress: &Progress) -> Poll {
        if interrupted() {
            return Poll::Stop(Bound::Interruption);
        }
        match self.until {
            Some(until) if self.began.elapsed() >= until => Poll::Stop(Bound::Time),
            _ => Poll::Continue,
        }
    }
}
