//! Running the loop of [`search`](super::search) on one thread or many, and through checkpoints.
//!
//! The work of a search is a list of runs, each leading to a state that is claimed but not yet
//! looked at. Threads take runs from a common queue and, while others have nothing to do, give
//! back the oldest work they hold. Every state is claimed once and looked at once by somebody, so
//! all sums are the same at any number of threads. A checkpoint is a moment at which every thread
//! has put all its work back into the queue.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use super::checkpoint::Snapshot;
use super::search::{Hub, Worker};
use super::tally::Tally;
use super::visited::{Seen, Shared, Visited};
use super::{Control, Options, Poll, Progress};
use crate::engine::model::Model;

/// The outside world as one thread alone sees it.
struct Alone<'a, C>(&'a C);

impl<M: Model, C: Control<M>> Hub<M> for Alone<'_, C> {
    fn poll(&self, progress: &Progress, _fresh: u64) -> Poll {
        self.0.poll(progress)
    }
}

/// A whole search on one thread over any set of states, without checkpoints.
pub(super) fn one<M: Model, S: Seen>(
    start: &M,
    options: &Options,
    control: &impl Control<M>,
    seen: &mut S,
) -> Tally<M::Move> {
    let mut worker = Worker::new(start, options, Borrowed(seen));
    worker.claim_start();
    let mut queue = vec![Vec::new()];
    while let Some(run) = queue.pop() {
        if let Some(Poll::Stop(bound)) = worker.work(&run, &Alone(control), &mut queue) {
            worker.tally.cut_by(bound);
            break;
        }
    }
    worker.tally
}

/// A set of states that belongs to the caller.
struct Borrowed<'a, S>(&'a mut S);

impl<S: Seen> Seen for Borrowed<'_, S> {
    #[inline]
    fn touch(&self, fingerprint: u64) -> u64 {
        self.0.touch(fingerprint)
    }

    #[inline]
    fn claim(&mut self, fingerprint: u64, state: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.0.claim(fingerprint, state)
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn len(&self) -> usize {
        self.0.len()
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
        // A search cut by its shape counts distinct states in a set of its own: one thread.
        let stopped = if options.jobs > 1 && !options.is_bounded() {
            phase_many(start, options, control, &mut snapshot)
        } else {
            phase_one(start, options, control, &mut snapshot)
        };
        match stopped {
            None => return snapshot,
            Some(Poll::Stop(bound)) => {
                control.save(&snapshot);
                snapshot.tally.cut_by(bound);
                return snapshot;
            }
            Some(_) => control.save(&snapshot),
        }
    }
}

/// On this thread, until something happens.
fn phase_one<M: Model>(
    start: &M,
    options: &Options,
    control: &impl Control<M>,
    snapshot: &mut Snapshot<M>,
) -> Option<Poll> {
    let Snapshot { visited, frontier, tally, distinct } = snapshot;
    let mut worker = Worker::new(start, options, Borrowed(visited));
    worker.distinct = distinct.take();
    let mut stopped = None;
    while stopped.is_none() {
        let Some(run) = frontier.pop() else { break };
        stopped = worker.work(&run, &Alone(control), frontier);
    }
    *distinct = worker.distinct;
    tally.merge(worker.tally);
    stopped
}

/// What the threads of a search share.
struct Pool<'a, M: Model, C> {
    control: &'a C,
    jobs: usize,
    queue: Mutex<Vec<Vec<M::Move>>>,
    wake: Condvar,
    idle: AtomicUsize,
    queued: AtomicUsize,
    /// Set once nobody shall take work any more.
    over: AtomicBool,
    stopped: Mutex<Option<Poll>>,
    transitions: AtomicU64,
}

impl<M: Model, C: Control<M>> Pool<'_, M, C> {
    fn queue(&self) -> MutexGuard<'_, Vec<Vec<M::Move>>> {
        self.queue.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Takes a run to work on, waiting for one; `None` when the phase is over.
    fn take(&self) -> Option<Vec<M::Move>> {
        let mut queue = self.queue();
        loop {
            if self.over.load(Ordering::Acquire) {
                return None;
            }
            if let Some(run) = queue.pop() {
                self.queued.store(queue.len(), Ordering::Relaxed);
                return Some(run);
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
    fn stop(&self, why: Poll) {
        let mut stopped = self.stopped.lock().unwrap_or_else(|e| e.into_inner());
        if !matches!(*stopped, Some(Poll::Stop(_))) {
            *stopped = Some(why);
        }
        drop(stopped);
        let queue = self.queue();
        self.finish();
        drop(queue);
    }
}

impl<M: Model, C: Control<M>> Hub<M> for Pool<'_, M, C> {
    fn hungry(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > self.queued.load(Ordering::Relaxed)
    }

    fn give(&self, run: Vec<M::Move>) {
        let mut queue = self.queue();
        queue.push(run);
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

/// On several threads, until something happens to one of them.
fn phase_many<M: Model>(
    start: &M,
    options: &Options,
    control: &impl Control<M>,
    snapshot: &mut Snapshot<M>,
) -> Option<Poll> {
    let shared = Shared::from(std::mem::take(&mut snapshot.visited));
    let pool: Pool<'_, M, _> = Pool {
        control,
        jobs: options.jobs,
        queue: Mutex::new(std::mem::take(&mut snapshot.frontier)),
        wake: Condvar::new(),
        idle: AtomicUsize::new(0),
        queued: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        stopped: Mutex::new(None),
        transitions: AtomicU64::new(snapshot.tally.transitions),
    };
    let workers: Vec<_> = (0..options.jobs).map(|_| Worker::new(start, options, &shared)).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|mut worker| {
                let pool = &pool;
                scope.spawn(move || {
                    let mut rest = Vec::new();
                    while let Some(run) = pool.take() {
                        if let Some(why) = worker.work(&run, pool, &mut rest) {
                            pool.stop(why);
                        }
                    }
                    (worker.tally, rest)
                })
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Ok((tally, rest)) => {
                    snapshot.tally.merge(tally);
                    snapshot.frontier.extend(rest);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    snapshot.frontier.append(&mut pool.queue());
    let stopped = *pool.stopped.lock().unwrap_or_else(|e| e.into_inner());
    snapshot.visited = Visited::from(shared);
    debug_assert!(stopped.is_some() || snapshot.frontier.is_empty());
    stopped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::explore::Bound;

    #[test]
    fn a_stop_beats_a_checkpoint() {
        use crate::litmus::increment::Increment;
        let pool: Pool<'_, Increment, ()> = Pool {
            control: &(),
            jobs: 1,
            queue: Mutex::new(Vec::new()),
            wake: Condvar::new(),
            idle: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            stopped: Mutex::new(None),
            transitions: AtomicU64::new(0),
        };
        pool.stop(Poll::Checkpoint);
        pool.stop(Poll::Stop(Bound::Time));
        pool.stop(Poll::Checkpoint);
        assert_eq!(*pool.stopped.lock().unwrap(), Some(Poll::Stop(Bound::Time)));
    }
}
