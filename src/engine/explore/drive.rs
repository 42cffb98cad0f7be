//! Running the loop of [`search`](super::search) on one thread or many, and through checkpoints.
//!
//! The work of a search is a list of runs, each leading to a state that is claimed but not yet
//! looked at. Threads take runs from a common queue and, while others have nothing to do, give
//! back the oldest work they hold. Every state is claimed once and looked at once by somebody, so
//! all sums are the same at any number of threads. A checkpoint is a moment at which every thread
//! has put all its work back into the queue.
//!
//! A reduced search comes in rounds, each with what the ones before have learned. The beginning of
//! a round is made on one thread, and if something is learned there the round is begun again soon;
//! the rest is made to its end by all threads. Where the beginning ends is a matter of the moves
//! made in it, so that what is known in which round is the same at any number of threads.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use super::checkpoint::{Snapshot, Whole};
use super::search::Worker;
use super::tally::Tally;
use super::visited::{Seen, Shared, Visited};
use super::work::{Halt, Hub, Work};
use super::{Control, Options, Poll, Progress};
use crate::engine::model::Model;
use crate::engine::reduce::guide::{Guide, Lessons};

/// Moves for which a round of a reduced search is young: it runs on one thread and is begun again
/// if it learns. (Short under test, so that small models are searched on several threads.)
const YOUNG: u64 = if cfg!(test) { 1 << 6 } else { 1 << 14 };

/// Moves that a young round goes on after it learned something for the first time, at least.
const PATIENCE: u64 = 1 << 10;

/// The outside world as one thread alone sees it.
struct Alone<'a, C> {
    control: &'a C,
    /// Moves made before.
    made: u64,
    /// Whether something was learned before.
    learned: bool,
    /// In a young round: the moves after which it first learned something.
    young: Option<Cell<Option<u64>>>,
}

impl<M: Model, C: Control<M>> Hub<M> for Alone<'_, C> {
    fn poll(&self, progress: &Progress, _fresh: u64) -> Poll {
        let transitions = self.made + progress.transitions;
        self.control.poll(&Progress { transitions, ..*progress })
    }

    fn enough(&self, transitions: u64, learned: bool) -> bool {
        let Some(grown_at) = &self.young else { return false };
        let now = self.made + transitions;
        if (learned || self.learned) && grown_at.get().is_none() {
            grown_at.set(Some(now));
        }
        // Long enough ago that the round is not worth going on with; or no longer young.
        grown_at.get().is_some_and(|then| now >= 2 * then + PATIENCE) || now >= YOUNG
    }
}

/// Searches what a snapshot has left to do, on as many threads as `options` say, to the end or
/// to a stop. What comes back has either no frontier or a bound.
pub(super) fn many<M: Model>(
    start: &M,
    options: &Options,
    control: &impl Control<M>,
    mut snapshot: Snapshot<M>,
) -> Snapshot<M> {
    loop {
        let young = snapshot.lessons.as_ref().is_some_and(|l| l.young);
        let halt = if snapshot.whole.is_some() {
            phase_exact(start, options, control, &mut snapshot)
        } else if options.jobs > 1 && !young {
            phase_many(start, options, control, &mut snapshot)
        } else {
            phase_one(start, options, control, &mut snapshot, young)
        };
        match halt {
            Some(Halt::Stop(bound)) => {
                control.save(&snapshot);
                snapshot.tally.cut_by(bound);
                return snapshot;
            }
            Some(Halt::Checkpoint) => control.save(&snapshot),
            // A round that learned is over, whatever is left of it.
            None | Some(Halt::Enough) => match snapshot.lessons.take_if(|l| l.grown) {
                Some(lessons) => {
                    let lessons = lessons.next(snapshot.tally.transitions);
                    snapshot = Snapshot::round(start, options, Some(lessons));
                }
                // Enough, and yet all that there was: it is complete, whoever was asked first.
                None if halt.is_none() || snapshot.frontier.is_empty() => return snapshot,
                None => snapshot = snapshot.mature(start, options),
            },
        }
    }
}

/// On this thread, until something happens.
fn phase_one<M: Model>(
    start: &M,
    options: &Options,
    control: &impl Control<M>,
    snapshot: &mut Snapshot<M>,
    young: bool,
) -> Option<Halt> {
    let Snapshot { visited, frontier, tally, distinct, lessons, .. } = snapshot;
    let guide = lessons.as_ref().and_then(Lessons::guide);
    let mut worker = Worker::new(start, options, visited, distinct.as_mut(), guide);
    let grown_at = lessons.as_ref().and_then(|l| l.grown_at);
    let young = young.then(|| Cell::new(grown_at));
    let learned = lessons.as_ref().is_some_and(|l| l.grown);
    let hub = Alone { control, made: tally.transitions, learned, young };
    let mut halt = None;
    while halt.is_none() {
        let Some(work) = frontier.pop() else { break };
        halt = worker.work(&work, &hub, frontier);
    }
    tally.merge(worker.tally);
    learn(lessons, worker.guide);
    if let (Some(lessons), Some(young)) = (lessons, hub.young) {
        lessons.grown_at = young.get();
    }
    halt
}

/// Adds what a thread has learned.
fn learn(lessons: &mut Option<Lessons>, guide: Option<Box<Guide>>) {
    if let (Some(lessons), Some(guide)) = (lessons, guide) {
        lessons.merge(*guide);
    }
}

/// What the threads of a search share.
struct Pool<'a, M: Model, C> {
    control: &'a C,
    jobs: usize,
    queue: Mutex<Vec<Work<M::Move>>>,
    wake: Condvar,
    idle: AtomicUsize,
    queued: AtomicUsize,
    /// Set once nobody shall take work any more.
    over: AtomicBool,
    halt: Mutex<Option<Halt>>,
    transitions: AtomicU64,
}

impl<M: Model, C: Control<M>> Pool<'_, M, C> {
    fn queue(&self) -> MutexGuard<'_, Vec<Work<M::Move>>> {
        self.queue.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Takes work, waiting for it; `None` when the phase is over.
    fn take(&self) -> Option<Work<M::Move>> {
        let mut queue = self.queue();
        loop {
            if self.over.load(Ordering::Acquire) {
                return None;
            }
            if let Some(work) = queue.pop() {
                self.queued.store(queue.len(), Ordering::Relaxed);
                return Some(work);
            }
            if self.idle.fetch_add(1, Ordering::AcqRel) + 1 == self.jobs {
                self.finish();
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(|e| e.into_inner());
            self.idle.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn finish(&self) {
        self.over.store(true, Ordering::Release);
        self.wake.notify_all();
    }

    /// Ends the phase for everybody; the first reason counts, except that a stop beats a
    /// checkpoint.
    fn stop(&self, why: Halt) {
        let mut halt = self.halt.lock().unwrap_or_else(|e| e.into_inner());
        if !matches!(*halt, Some(Halt::Stop(_))) {
            *halt = Some(why);
        }
        drop(halt);
        let queue = self.queue();
        self.finish();
        drop(queue);
    }
}

impl<M: Model, C: Control<M>> Hub<M> for Pool<'_, M, C> {
    fn hungry(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > self.queued.load(Ordering::Relaxed)
    }

    fn give(&self, work: Work<M::Move>) {
        let mut queue = self.queue();
        queue.push(work);
        self.queued.store(queue.len(), Ordering::Relaxed);
        self.wake.notify_one();
    }

    fn poll(&self, progress: &Progress, fresh: u64) -> Poll {
        let transitions = self.transitions.fetch_add(fresh, Ordering::Relaxed) + fresh;
        if self.over.load(Ordering::Acquire) {
            return Poll::Checkpoint;
        }
        self.control.poll(&Progress { transitions, ..*progress })
    }
}

/// On several threads, until something happens.
fn phase_many<M: Model>(
    start: &M,
    options: &Options,
    control: &impl Control<M>,
    snapshot: &mut Snapshot<M>,
) -> Option<Halt> {
    let shared = Shared::from(std::mem::take(&mut snapshot.visited));
    let distinct = snapshot.distinct.take().map(Shared::from);
    let guide = || snapshot.lessons.as_ref().and_then(Lessons::guide);
    let worker = || Worker::new(start, options, &shared, distinct.as_ref(), guide());
    let workers = (0..options.jobs).map(|_| worker()).collect();
    let made = snapshot.tally.transitions;
    let (halt, parts) = together(workers, &mut snapshot.frontier, control, made);
    for part in parts {
        snapshot.tally.merge(part.tally);
        learn(&mut snapshot.lessons, part.guide);
    }
    snapshot.visited = Visited::from(shared);
    snapshot.distinct = distinct.map(Visited::from);
    debug_assert!(halt.is_some() || snapshot.frontier.is_empty());
    halt
}

/// With whole states, on as many threads as `options` say, until something happens.
fn phase_exact<M: Model>(
    start: &M,
    options: &Options,
    control: &impl Control<M>,
    snapshot: &mut Snapshot<M>,
) -> Option<Halt> {
    let Snapshot { frontier, tally, whole, .. } = snapshot;
    let Whole { seen, distinct } = whole.as_ref()?;
    let worker = || Worker::new(start, options, seen, distinct.as_ref(), None);
    let workers = (0..options.jobs.max(1)).map(|_| worker()).collect();
    let (halt, parts) = together(workers, frontier, control, tally.transitions);
    parts.into_iter().for_each(|part| tally.merge(part.tally));
    halt
}

/// What a thread leaves.
struct Part<Mv> {
    tally: Tally<Mv>,
    guide: Option<Box<Guide>>,
}

/// Lets workers do the work there is, each on a thread, until something happens to one of them;
/// `made` moves were made before. What is still to do comes back in `work`.
fn together<M: Model, S: Seen + Send>(
    workers: Vec<Worker<'_, M, S>>,
    work: &mut Vec<Work<M::Move>>,
    control: &impl Control<M>,
    made: u64,
) -> (Option<Halt>, Vec<Part<M::Move>>) {
    let pool: Pool<'_, M, _> = Pool {
        control,
        jobs: workers.len(),
        queue: Mutex::new(std::mem::take(work)),
        wake: Condvar::new(),
        idle: AtomicUsize::new(0),
        queued: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        halt: Mutex::new(None),
        transitions: AtomicU64::new(made),
    };
    let mut parts = Vec::new();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for mut worker in workers {
            let pool = &pool;
            threads.push(scope.spawn(move || {
                let mut rest = Vec::new();
                while let Some(work) = pool.take() {
                    if let Some(why) = worker.work(&work, pool, &mut rest) {
                        pool.stop(why);
                    }
                }
                (Part { tally: worker.tally, guide: worker.guide }, rest)
            }));
        }
        for thread in threads {
            match thread.join() {
                Ok((part, rest)) => {
                    parts.push(part);
                    work.extend(rest);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    work.append(&mut pool.queue());
    let halt = *pool.halt.lock().unwrap_or_else(|e| e.into_inner());
    (halt, parts)
}

#[cfg(test)]
mod tests;
