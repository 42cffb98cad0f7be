//! Which agents a reduced search tries in a state, and what it learns on the way.
//!
//! What is tried depends on the state and on the tables as they were when the round began, and on
//! nothing else: not on the way to the state, nor on what was searched before. That is why a round
//! comes to the same on any number of threads.

use std::sync::Arc;

use super::futures::{Agents, Futures, Settled};
use crate::engine::model::{Agent, Ending, Footprint, Model};

/// What a reduced search knows between two moments of work.
#[derive(Clone, Debug)]
pub(crate) struct Lessons {
    /// What the round began with.
    pub(super) table: Futures,
    /// The same, ready for use.
    pub(super) settled: Arc<Settled>,
    /// And with what was learned since.
    pub(super) learned: Futures,
    /// Whether that is more.
    pub(crate) grown: bool,
    /// Whether the round is young: on one thread, and begun again if it learns.
    pub(crate) young: bool,
    /// The moves after which it first learned something, if that was while it was young.
    pub(crate) grown_at: Option<u64>,
    /// Rounds before this one.
    pub(crate) rounds: u32,
    /// Moves made in them, and in random runs before the first.
    pub(crate) executed: u64,
    /// Moves that there were in the states that the round has looked at, tried or not.
    pub(super) open: u64,
    /// Whether the reduction saved too little: the search goes on without.
    pub(crate) given_up: bool,
}

impl Lessons {
    /// What a few random runs teach.
    pub(crate) fn new<M: Model>(start: &M) -> Lessons {
        let (learned, executed) = super::warm_up(start);
        Lessons::begin(learned, 0, executed)
    }

    /// A round that begins with what has been learned.
    pub(super) fn begin(learned: Futures, rounds: u32, executed: u64) -> Lessons {
        let mut learned = learned;
        learned.grown = false;
        let (table, settled) = (learned.clone(), Arc::new(learned.settle()));
        let (grown, young, grown_at, open, given_up) = (false, true, None, 0, false);
        Lessons {
            table,
            settled,
            learned,
            grown,
            young,
            grown_at,
            rounds,
            executed,
            open,
            given_up,
        }
    }

    /// What a round has come to that is no longer young, after so many moves: it goes on, or, if
    /// it has left out too few of the moves that there were, the search begins again without it.
    pub(crate) fn mature(self, moves: u64, insist: bool) -> Lessons {
        let given_up = !insist && moves * 3 > self.open * 2;
        let executed = self.executed + if given_up { moves } else { 0 };
        Lessons { young: false, given_up, executed, ..self }
    }

    /// A guide through the round, unless the search goes on without.
    pub(crate) fn guide(&self) -> Option<Guide> {
        (!self.given_up).then(|| Guide::new(self))
    }

    /// The next round, after one of so many moves.
    pub(crate) fn next(self, moves: u64) -> Lessons {
        Lessons::begin(self.learned, self.rounds + 1, self.executed + moves)
    }

    /// Adds what a thread has learned.
    pub(crate) fn merge(&mut self, guide: Guide) {
        self.open += guide.open;
        if guide.own.grown {
            self.grown = true;
            self.learned.merge(&guide.own);
        }
    }

    /// Whether sleep sets are in use in this round.
    pub(crate) fn sleeps(&self) -> bool {
        self.settled.sleeps && !self.given_up
    }

    /// How many pairs of agent and place are told apart.
    pub(crate) fn spots(&self) -> usize {
        self.learned.len()
    }
}

/// One thread's guide through a round.
#[derive(Clone, Debug)]
pub(crate) struct Guide {
    settled: Arc<Settled>,
    own: Futures,
    /// Moves in the states that it was asked about for the first time.
    pub(crate) open: u64,
    /// Where the agents are in the state that is being looked at.
    pub(super) spots: Vec<u32>,
    pub(super) footprint: Footprint,
}

impl Guide {
    pub(super) fn new(lessons: &Lessons) -> Guide {
        let mut own = lessons.learned.clone();
        own.grown = false;
        let settled = lessons.settled.clone();
        Guide { settled, own, open: 0, spots: Vec::new(), footprint: Footprint::default() }
    }

    /// One that only learns, from all that it is shown.
    pub(super) fn learning(own: Futures) -> Guide {
        let settled = Arc::new(Settled::default());
        Guide { settled, own, open: 0, spots: Vec::new(), footprint: Footprint::default() }
    }

    /// What was learned counts as known from now on.
    pub(super) fn forget_learning(&mut self) {
        self.own.grown = false;
    }

    /// All that this thread knows.
    pub(super) fn into_futures(self) -> Futures {
        self.own
    }

    /// Whether this thread has learned anything.
    pub(crate) fn has_learned(&self) -> bool {
        self.own.grown
    }

    /// Looks at a state, given the agents that have a move: learns who waits, and says whose
    /// moves to try.
    #[inline]
    pub(crate) fn look<M: Model>(&mut self, model: &M, enabled: Agents) -> Agents {
        self.spots.clear();
        for agent in 0..model.agents() as Agent {
            let spot = self.own.spot(model, agent);
            self.spots.push(spot);
            if enabled >> agent & 1 == 0 {
                self.own.waited(model, agent, spot);
            }
        }
        self.settled.persistent(&self.spots, enabled)
    }

    /// Whether sleep sets are in use: wherever agents may go round circles they are not.
    #[inline]
    pub(crate) fn sleeps(&self) -> bool {
        self.settled.sleeps
    }

    /// Those of `sleepers` that a move of `mover` does not wake.
    #[inline]
    pub(crate) fn undisturbed(&self, mover: Agent, sleepers: Agents) -> Agents {
        self.settled.undisturbed(&self.spots, mover, sleepers)
    }

    /// Learns from the move that was just made by `mover` in the state last looked at. Says
    /// whether an agent went back to where it may have been before: there all have to be tried.
    #[inline]
    pub(crate) fn made<M: Model>(&mut self, model: &M, mover: Agent) -> bool {
        let cut = model.ready() == 0 && model.ending() == Ending::Cut;
        model.footprint(&mut self.footprint);
        self.own.moved(self.spots[mover as usize], &self.footprint, cut);
        let mut back = false;
        for agent in 0..self.spots.len() as Agent {
            let (from, to) = (self.spots[agent as usize], self.own.spot(model, agent));
            if agent == mover || from != to {
                self.own.followed(from, to);
                back |= self.settled.goes_back(from, to);
            }
        }
        back
    }
}
