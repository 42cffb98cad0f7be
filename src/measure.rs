//! What a timed run costs: the prices of a design, measured on the virtual clock.

use crate::engine::model::{Ending, Model, Props};
use crate::engine::run::Scheduler;
use crate::judged::Judged;
use crate::kernel::sim::{Meter, Sim};
use crate::kernel::world::price::Prices;
use crate::schedule::timed::{EventQueue, Pace};
use std::collections::BTreeMap;

/// Most moves of a measured run.
pub const MOST_STEPS: usize = 1_000_000;

/// A measured run.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What it cost.
    pub prices: Prices,
    /// Its length in moves.
    pub steps: usize,
    /// Its length in simulated nanoseconds.
    pub time_ns: u64,
    /// Properties broken on the way or at the end.
    pub broken: Props,
    /// Of each of them the number of moves after which it was first broken.
    pub broken_at: BTreeMap<usize, usize>,
    /// Properties whose premise arose.
    pub reached: Props,
    /// How it ended; none if it was cut after [`MOST_STEPS`].
    pub ending: Option<Ending>,
}

/// The run in which every move happens when it is due, with seed 0: that of
/// `gupsim replay --timed`.
pub fn exact(start: &Sim) -> Measured {
    measure(&Judged::new(start.clone(), Vec::new()), 0, 0, Pace::Exact)
}

/// One timed run from a start state.
pub fn measure(start: &Judged, seed: u64, run: u64, pace: Pace) -> Measured {
    let mut model = start.clone();
    let mut meter = Meter::new(model.sim());
    let mut clock = EventQueue::new(seed, pace);
    clock.begin(&model, run);
    let (mut steps, mut broken, mut reached) = (0, Props::NONE, Props::NONE);
    let mut broken_at = BTreeMap::new();
    while steps < MOST_STEPS {
        let Some(mv) = clock.pick(&model) else { break };
        let stepped = model.apply(mv);
        steps += 1;
        stepped.broken.iter().for_each(|i| {
            broken_at.entry(i).or_insert(steps);
        });
        broken = broken.union(stepped.broken);
        reached = reached.union(stepped.reached);
        meter.after(model.sim(), mv.agent, clock.now_ns());
        // The run goes forward only.
        model.forget();
    }
    let ending = (model.ready() == 0).then(|| model.ending());
    if ending.is_some() {
        let (at_end, asked) = model.judge_end();
        (broken, reached) = (broken.union(at_end), reached.union(asked));
        at_end.iter().for_each(|i| {
            broken_at.entry(i).or_insert(steps);
        });
    }
    let time_ns = clock.now_ns();
    let prices = meter.finish(model.sim(), time_ns);
    Measured { prices, steps, time_ns, broken, broken_at, reached, ending }
}
