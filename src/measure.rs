//! What a timed run costs: the prices of a design, measured on the virtual clock.

use crate::engine::model::{Ending, Model};
use crate::engine::run::Scheduler;
use crate::kernel::sim::{Meter, Sim};
use crate::kernel::world::price::Prices;
use crate::schedule::timed::{EventQueue, Pace};

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
    /// How it ended; none if it was cut after [`MOST_STEPS`].
    pub ending: Option<Ending>,
}

/// The run in which every move happens when it is due, with seed 0: that of
/// `gupsim replay --timed`.
pub fn exact(start: &Sim) -> Measured {
    measure(start, 0, 0, Pace::Exact)
}

/// One timed run from a start state.
pub fn measure(start: &Sim, seed: u64, run: u64, pace: Pace) -> Measured {
    let mut sim = start.clone();
    let mut meter = Meter::new(&sim);
    let mut clock = EventQueue::new(seed, pace);
    clock.begin(&sim, run);
    let mut steps = 0;
    while steps < MOST_STEPS && sim.ready() > 0 {
        let Some(mv) = clock.pick(&sim) else { break };
        sim.apply(mv);
        meter.after(&sim, mv.agent, clock.now_ns());
        // The run goes forward only.
        sim.forget();
        steps += 1;
    }
    let time_ns = clock.now_ns();
    let ending = (sim.ready() == 0).then(|| sim.ending());
    Measured { prices: meter.finish(&sim, time_ns), steps, time_ns, ending }
}
