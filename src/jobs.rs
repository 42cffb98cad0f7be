//! Work on many threads whose results come in the order of the work.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Does something with each item, on so many threads. `done` is told of the results on this
/// thread, in the order of the items, each as soon as those before it are there.
pub fn each<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(usize, R),
) {
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            let (send, next, work) = (send.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((n, item)) = take(items, next) {
                    // Nobody listens any more only if this scope unwinds.
                    let _ = send.send((n, work(item)));
                }
            });
        }
        drop(send);
        let (mut waiting, mut first) = (BTreeMap::new(), 0);
        for (n, result) in receive {
            waiting.insert(n, result);
            while let Some(result) = waiting.remove(&first) {
                done(first, result);
                first += 1;
            }
        }
    });
}

fn take<'a, T>(items: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let n = next.fetch_add(1, Ordering::AcqRel);
    items.get(n).map(|item| (n, item))
}

/// The results of [`each`], all together.
pub fn map<T: Sync, R: Send>(items: &[T], jobs: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let mut results = Vec::with_capacity(items.len());
    each(items, jobs, work, |_, result| results.push(result));
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work_on_any_number_of_threads() {
        let items: Vec<u64> = (0..100).collect();
        let work = |&n: &u64| {
            // The first of each ten takes longest.
            let spun = (0..(10 - n % 10) * 1000).fold(n, |a, b| std::hint::black_box(a ^ b ^ b));
            spun * 2
        };
        for jobs in [1, 2, 7] {
            assert_eq!(map(&items, jobs, work), (0..100).map(|n| n * 2).collect::<Vec<u64>>());
        }
        assert_eq!(map(&[], 3, work), Vec::<u64>::new());
    }
}
