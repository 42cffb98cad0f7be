//! Schedulers: one file each, and the table of their names.

pub mod keyed;
pub mod pct;
pub mod pos;
pub mod random;
pub mod replay;
pub mod stream;
pub mod timed;
pub mod uniform;

use self::keyed::Keyed;
use self::pct::Pct;
use self::pos::Pos;
use self::random::RandomWalk;
use self::timed::{EventQueue, Pace};
use self::uniform::Uniform;
use crate::engine::model::Timed;
use crate::engine::run::Scheduler;

/// A scheduler that can be asked for by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// See [`RandomWalk`].
    Random,
    /// See [`Pct`].
    Pct,
    /// See [`Pos`].
    Pos,
    /// See [`Uniform`].
    Uniform,
    /// See [`Keyed`].
    Keyed,
    /// See [`EventQueue`] at its exact pace.
    Timed,
    /// See [`EventQueue`] at a random pace.
    TimedRandom,
}

/// What schedulers are made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// The seed of everything random.
    pub seed: u64,
    /// Depth of the bugs that PCT aims at.
    pub depth: usize,
    /// Length of runs for PCT; measured if not given.
    pub steps: Option<usize>,
}

impl Params {
    /// The usual parameters with a seed.
    pub fn seeded(seed: u64) -> Params {
        Params { seed, depth: 3, steps: None }
    }
}

/// Every scheduler: its kind, its name, and what it does in a sentence.
pub const TABLE: [(Kind, &str, &str); 7] = [
    (Kind::Random, "random", "a random walk: every agent that can move is equally likely to"),
    (
        Kind::Pct,
        "pct",
        "random priorities with d-1 random changes: a lower bound on the chance to hit a bug of \
         depth d (Burckhardt et al. 2010)",
    ),
    (
        Kind::Pos,
        "pos",
        "a random priority for every move, drawn anew after a race (Yuan et al. 2018)",
    ),
    (
        Kind::Uniform,
        "uniform",
        "all interleavings equally likely: agents weighted by the moves they have left",
    ),
    (
        Kind::Keyed,
        "keyed",
        "a random priority for every step by its name, so that designs that share steps share \
         schedules",
    ),
    (Kind::Timed, "timed", "the event queue: every move when it is due on a virtual clock"),
    (
        Kind::TimedRandom,
        "timed-random",
        "the event queue with a random speed and rank for every agent in each run",
    ),
];

impl Kind {
    /// The scheduler of that name.
    pub fn by_name(name: &str) -> Option<Kind> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// Makes the scheduler.
    pub fn build<M: Timed + 'static>(self, params: Params) -> Box<dyn Scheduler<M>> {
        let seed = params.seed;
        match self {
            Kind::Random => Box::new(RandomWalk::new(seed)),
            Kind::Pct => Box::new(Pct::new(seed, params.depth, params.steps)),
            Kind::Pos => Box::new(Pos::new(seed)),
            Kind::Uniform => Box::new(Uniform::new(seed)),
            Kind::Keyed => Box::new(Keyed::new(seed)),
            Kind::Timed => Box::new(EventQueue::new(seed, Pace::Exact)),
            Kind::TimedRandom => Box::new(EventQueue::new(seed, Pace::Random)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheduler_is_found_by_its_name() {
        for (kind, name, _) in TABLE {
            assert_eq!(Kind::by_name(name), Some(kind));
            assert_eq!(kind.name(), name);
        }
    }
}
