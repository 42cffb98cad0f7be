//! How far a search is: the share that it has seen of the states on some random runs.
//!
//! The runs keep to what the search keeps to, its bounds and its reduction, so that all their
//! states are among those that it will see. States that random runs come to more often count for
//! more; the share still grows all the time and ends at one, which cannot be said of guesses from
//! where a depth-first search stands.

use super::Options;
use super::search::preemptions;
use crate::engine::hash::mix2;
use crate::engine::model::Model;
use crate::engine::reduce::guide::Guide;

/// Runs, most moves of each, and states picked from each.
const RUNS: u64 = 256;
const MOVES: usize = 2_000;
const PICKS: u64 = 4;

/// Most moves that are looked at in all of them together: a state of a large machine has thousands.
const WORK: usize = 1 << 18;

/// What some of the states are known by that a search will see. The model is at the start, and in
/// the end it is there again.
pub(super) fn sample<M: Model>(
    model: &mut M,
    options: &Options,
    guide: Option<&Guide>,
) -> Vec<u64> {
    let mut guide = guide.cloned();
    let (mut sample, mut work) = (Vec::new(), WORK);
    for run in 0..RUNS {
        let states = walk(model, options, guide.as_mut(), run, &mut work);
        let pick = |n| states.get((mix2(!run, n) % (states.len() as u64).max(1)) as usize);
        sample.extend((0..PICKS).filter_map(pick));
    }
    sample
}

/// The states of one run, which is taken back in the end.
fn walk<M: Model>(
    model: &mut M,
    options: &Options,
    mut guide: Option<&mut Guide>,
    run: u64,
    work: &mut usize,
) -> Vec<u64> {
    let (mut last, mut used) = (None, 0);
    let (mut moves, mut trail, mut states) = (Vec::new(), Vec::new(), Vec::new());
    while states.len() < options.depth.unwrap_or(MOVES).min(MOVES) {
        model.moves(&mut moves);
        *work = work.saturating_sub(moves.len().max(model.agents()));
        let preempts = preemptions(model, &moves, last);
        if let Some(guide) = &mut guide {
            let enabled = moves.iter().fold(0, |all, &m| all | 1 << model.agent(m));
            let set = guide.look(model, enabled);
            moves.retain(|&m| set >> model.agent(m) & 1 == 1);
        }
        if let Some(most) = options.preemptions {
            moves.retain(|&m| used + preempts(model.agent(m)) <= most);
        }
        if moves.is_empty() || *work == 0 {
            break;
        }
        let mv = moves[(mix2(run, states.len() as u64) % moves.len() as u64) as usize];
        let agent = model.agent(mv);
        used += preempts(agent);
        last = Some(agent);
        trail.push(model.apply(mv));
        states.push(options.key(model, last, used, states.len() + 1));
    }
    model.undo_all(&trail);
    states
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::explore::{Control, Poll, Progress, explore};
    use crate::litmus::pin_protocol::{PinProtocol, Size};
    use std::sync::Mutex;

    /// Notes each guess.
    struct Guesses(Mutex<Vec<f64>>);

    impl Control<PinProtocol> for Guesses {
        fn poll(&self, progress: &Progress) -> Poll {
            self.0.lock().unwrap().push(progress.done);
            Poll::Continue
        }
    }

    #[test]
    fn what_is_done_grows_from_nothing_to_all() {
        let plain = Options::default();
        let (small, large) = (Size::new(3, 1, 1, true), Size::new(4, 2, 2, true));
        let how = [
            (large, Options { reduction: true, ..plain.clone() }),
            (small, Options { exact: true, ..plain.clone() }),
            (small, Options { preemptions: Some(3), ..plain.clone() }),
            (small, Options { depth: Some(20), ..plain.clone() }),
            (small, plain),
        ];
        for (size, options) in how {
            let guesses = Guesses(Mutex::default());
            explore(&PinProtocol::new(size).unwrap(), &options, &guesses);
            let guesses = guesses.0.into_inner().unwrap();
            // The rounds of a reduced search begin at nothing each.
            assert!(guesses.is_sorted() || options.reduction, "{options:?}: {guesses:?}");
            let (first, last) = (guesses.iter().find(|g| **g > 0.0), guesses.last());
            assert!(*first.unwrap() < 0.5 && *last.unwrap() > 0.9, "{options:?}: {guesses:?}");
            assert!(guesses.iter().all(|g| *g <= 1.0));
        }
    }
}
