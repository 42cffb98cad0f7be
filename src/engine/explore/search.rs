//! The depth-first loop: one model, stepped forward and back.
//!
//! A state is looked at once: all its moves are tried and taken back, the new states among their
//! results are claimed in the visited set and kept as work. Claiming before going there lets
//! several threads share the work without two of them ever having the same state, and lets the
//! memory accesses of the siblings overlap, which is most of the time of a large search.

use super::estimate::sample;
use super::tally::Tally;
use super::visited::{EVERYBODY, Seen};
use super::work::{Halt, Hub, Work};
use super::{Bound, Options, Poll, Progress};
use crate::engine::model::{Agent, Model, Stepped};
use crate::engine::reduce::Agents;
use crate::engine::reduce::guide::Guide;

/// States between two looks at the outside world; few under test, where models are small.
const POLL_EVERY: u32 = if cfg!(test) { 1 << 3 } else { 1 << 12 };

/// Moves after which it is time for one even though the states were few.
const POLL_MOVES: u64 = 1 << 15;

/// Moves between two guesses at how much is done.
const GUESS_EVERY: u64 = if cfg!(test) { 1 << 12 } else { 1 << 20 };

/// A set of states of at most so many bytes answers from the nearest cache.
const IN_CACHE: usize = 1 << 21;

/// States between two looks at whether another thread has nothing to do.
const SHARE_EVERY: u32 = 1 << 6;
/// Moves after which it is time for one: a state of a large machine has thousands.
const SHARE_MOVES: u64 = 1 << 12;

/// A claimed state that has not been looked at: the move that leads there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Todo<Mv> {
    pub(super) mv: Mv,
    /// Preemptions used up on the way there.
    pub(super) used: u32,
    /// The agents to try there.
    pub(super) awake: Agents,
}

/// A move of the present run.
#[derive(Clone, Copy, Debug)]
struct Frame<Mv> {
    mv: Mv,
    stepped: Stepped,
    /// Where the work of the state after the move begins.
    base: usize,
    used: u32,
}

/// One thread's share of a search.
pub(super) struct Worker<'a, M: Model, S> {
    pub(super) model: M,
    options: &'a Options,
    pub(super) seen: S,
    pub(super) tally: Tally<M::Move>,
    frames: Vec<Frame<M::Move>>,
    pub(super) todo: Vec<Todo<M::Move>>,
    /// Work below this index has been given away.
    floor: usize,
    moves: Vec<M::Move>,
    keys: Vec<u64>,
    /// The model has made the move to the state that is looked at next: the last one claimed.
    ahead: Option<Stepped>,
    /// Distinct states, when keys say more than the state.
    distinct: Option<S>,
    /// Who is to be tried, under a reduction. (In a box: it is taken out and put back in every
    /// state.)
    pub(super) guide: Option<Box<Guide>>,
    ticks: u32,
    /// Transitions when it last looked around, and when it last reported.
    looked: u64,
    reported: u64,
    /// Some of the states to come; the transitions when it was last looked, and the share come.
    sample: Vec<u64>,
    guess: (u64, f64),
}

impl<'a, M: Model, S: Seen> Worker<'a, M, S> {
    /// `distinct` counts states where `seen` tells more apart than these.
    pub(super) fn new(
        start: &M,
        options: &'a Options,
        seen: S,
        distinct: Option<S>,
        guide: Option<Guide>,
    ) -> Self {
        let mut model = start.clone();
        model.record_footprints(guide.is_some());
        Worker {
            model,
            options,
            seen,
            tally: Tally::default(),
            frames: Vec::new(),
            todo: Vec::new(),
            floor: 0,
            moves: Vec::new(),
            keys: Vec::new(),
            ahead: None,
            distinct,
            guide: guide.map(Box::new),
            ticks: 0,
            looked: 0,
            reported: 0,
            sample: Vec::new(),
            guess: (0, 0.0),
        }
    }

    /// Claims the start state; call it once for a whole search.
    pub(super) fn claim_start(&mut self) {
        let key = self.options.key(&self.model, None, 0, 0);
        let model = &self.model;
        self.seen.claim(key, |out| model.state(out));
        self.tally.states += 1;
        if let Some(distinct) = &mut self.distinct {
            distinct.claim(model.fingerprint(), |out| model.state(out));
        }
    }

    /// Searches everything behind claimed states. Gives what stopped it, and what is left to do.
    pub(super) fn work(
        &mut self,
        work: &Work<M::Move>,
        hub: &impl Hub<M>,
        rest: &mut Vec<Work<M::Move>>,
    ) -> Option<Halt> {
        if self.enough(hub) {
            rest.push(work.clone());
            return Some(Halt::Enough);
        }
        self.todo.clear();
        self.floor = 0;
        let mut rest_of = work.rest.chunk_by(|a, b| a.0 == b.0).peekable();
        for depth in 0..=work.run.len() {
            for &(_, mv, awake) in rest_of.next_if(|r| r[0].0 == depth).unwrap_or_default() {
                let used = self.used(mv);
                self.todo.push(Todo { mv, used, awake });
            }
            if let Some(&mv) = work.run.get(depth) {
                let (used, base) = (self.used(mv), self.todo.len());
                let stepped = self.model.apply(mv);
                self.frames.push(Frame { mv, stepped, base, used });
            }
        }
        if work.rest.is_empty() {
            self.expand(EVERYBODY);
        }
        let stopped = loop {
            if self.enough(hub) {
                break Some(Halt::Enough);
            }
            if !self.step() {
                break None;
            }
            if let Some(bound) = self.limit() {
                break Some(Halt::Stop(bound));
            }
            self.ticks += 1;
            let mut due = self.ticks.is_multiple_of(POLL_EVERY);
            let moved = self.tally.transitions - self.looked;
            if self.ticks.is_multiple_of(SHARE_EVERY) || moved >= SHARE_MOVES {
                self.looked = self.tally.transitions;
                due |= self.tally.transitions - self.reported >= POLL_MOVES;
                if hub.hungry() {
                    self.share(hub);
                }
            }
            if due {
                match self.poll(hub) {
                    Poll::Continue => {}
                    Poll::Checkpoint => break Some(Halt::Checkpoint),
                    Poll::Stop(bound) => break Some(Halt::Stop(bound)),
                }
            }
        };
        if stopped.is_some() {
            self.leave(rest);
        }
        self.retreat();
        while let Some(frame) = self.frames.pop() {
            self.model.undo(frame.stepped);
        }
        stopped
    }

    /// Whether a search that learns has learned enough. To be asked after each state and not now
    /// and then: where a round is begun again must not depend on when it was laid down.
    #[inline]
    fn enough(&self, hub: &impl Hub<M>) -> bool {
        let guide = self.guide.as_ref();
        guide.is_some_and(|g| hub.enough(self.tally.transitions, g.has_learned()))
    }

    /// The preemptions used after a move from the present state.
    fn used(&mut self, mv: M::Move) -> u32 {
        if self.options.preemptions.is_none() {
            return 0;
        }
        let (last, used) = self.position();
        self.model.moves(&mut self.moves);
        used + preemptions(&self.model, &self.moves, last)(self.model.agent(mv))
    }

    /// Goes on to the next claimed state and looks at it; `false` when there is none.
    #[inline]
    fn step(&mut self) -> bool {
        loop {
            let base = self.frames.last().map_or(0, |f| f.base);
            if self.todo.len() > base.max(self.floor) {
                let Some(Todo { mv, used, awake }) = self.todo.pop() else { return false };
                let stepped = self.ahead.take().unwrap_or_else(|| self.model.apply(mv));
                let base = self.todo.len();
                self.frames.push(Frame { mv, stepped, base, used });
                self.expand(awake);
                return true;
            }
            self.todo.truncate(base);
            self.floor = self.floor.min(base);
            let Some(frame) = self.frames.pop() else { return false };
            self.model.undo(frame.stepped);
        }
    }

    /// The agent that moved last and the preemptions used so far.
    fn position(&self) -> (Option<Agent>, u32) {
        self.frames.last().map_or((None, 0), |f| (Some(self.model.agent(f.mv)), f.used))
    }

    /// What the present state is known by without `preemptions` and `depth`.
    #[inline]
    fn plain_key(&self) -> u64 {
        self.options.plain_key(&self.model)
    }

    /// Looks at the present state: counts it, tries its moves, claims what is new.
    #[inline]
    fn expand(&mut self, awake: Agents) {
        let depth = self.frames.len();
        self.tally.deepest = self.tally.deepest.max(depth);
        let mut moves = std::mem::take(&mut self.moves);
        self.model.moves(&mut moves);
        if let Some(mut guide) = self.guide.take() {
            self.expand_guided(&moves, awake, &mut guide);
            self.guide = Some(guide);
        } else if moves.is_empty() {
            self.end();
        } else if self.options.is_bounded() {
            self.expand_bounded(&moves);
        } else {
            let order = self.order(&moves);
            if self.options.exact || self.seen.bytes() <= IN_CACHE {
                self.expand_near(order);
            } else {
                self.expand_far(order);
            }
        }
        self.moves = moves;
    }

    /// Judges an end state.
    pub(super) fn end(&mut self) {
        let broken = self.tally.end(&self.model);
        if !broken.is_empty() {
            self.violation(broken, None);
        }
    }

    /// Moves, given in ascending order, in that in which they are tried: at last those of the agent
    /// that moved last and of the agents before it. What the others do here they have, as a rule,
    /// done before it moved as well, and those states are known; what is new is where it goes on.
    /// So the model is, more often than not, in the state that is looked at next.
    #[inline]
    pub(super) fn order<'m>(
        &self,
        moves: &'m [M::Move],
    ) -> impl Iterator<Item = M::Move> + Clone + use<'m, M, S> {
        let own = self.frames.last().map_or(Agent::MAX, |f| self.model.agent(f.mv));
        let upto = moves.iter().take_while(|&&mv| self.model.agent(mv) <= own).count();
        let (upto, others) = moves.split_at(upto);
        others.iter().chain(upto).copied()
    }

    /// Tries all moves; claims the new states among their results.
    #[inline]
    fn expand_near(&mut self, moves: impl Iterator<Item = M::Move>) {
        let mut new = false;
        for mv in moves {
            let stepped = self.attempt(mv);
            self.count(mv, stepped);
            let (key, model) = (self.plain_key(), &self.model);
            new = self.seen.claim(key, |out| model.state(out));
            self.found(mv, new);
        }
        if !new {
            self.retreat();
        }
    }

    /// The same where the set is far away: first all keys, then all accesses to memory at once,
    /// then the claims.
    #[inline]
    fn expand_far(&mut self, moves: impl Iterator<Item = M::Move> + Clone) {
        let (mut new, mut warm) = (false, 0);
        self.keys.clear();
        for mv in moves.clone() {
            let stepped = self.attempt(mv);
            self.count(mv, stepped);
            let key = self.plain_key();
            warm ^= self.seen.touch(key);
            self.keys.push(key);
        }
        std::hint::black_box(warm);
        for (i, mv) in moves.enumerate() {
            new = self.seen.claim(self.keys[i], |_| ());
            self.found(mv, new);
        }
        if !new {
            self.retreat();
        }
    }

    /// Makes a move and stays there till the next one is tried. If it led to a new state, that is
    /// where the search goes next.
    #[inline(always)]
    pub(super) fn attempt(&mut self, mv: M::Move) -> Stepped {
        self.retreat();
        let stepped = self.model.apply(mv);
        self.ahead = Some(stepped);
        stepped
    }

    /// Takes back the move that was tried last.
    #[inline(always)]
    pub(super) fn retreat(&mut self) {
        if let Some(stepped) = self.ahead.take() {
            self.model.undo(stepped);
        }
    }

    /// Notes a state that is to be looked at, if it is new: without a branch, as nobody can
    /// foretell whether it is.
    #[inline]
    fn found(&mut self, mv: M::Move, new: bool) {
        self.tally.states += u64::from(new);
        let kept = self.todo.len() + usize::from(new);
        self.todo.push(Todo { mv, used: 0, awake: EVERYBODY });
        self.todo.truncate(kept);
    }

    /// Like [`expand_near`](Self::expand_near), within `preemptions` and `depth`.
    fn expand_bounded(&mut self, moves: &[M::Move]) {
        let depth = self.frames.len();
        if self.options.depth.is_some_and(|d| depth >= d) {
            self.tally.cut_by(Bound::Depth);
            return;
        }
        let (last, used) = self.position();
        let preempts = preemptions(&self.model, moves, last);
        for mv in self.order(moves) {
            let used = used + preempts(self.model.agent(mv));
            if self.options.preemptions.is_some_and(|p| used > p) {
                self.tally.cut_by(Bound::Preemptions);
                continue;
            }
            let stepped = self.attempt(mv);
            self.count(mv, stepped);
            let last = Some(self.model.agent(mv));
            let key = self.options.key(&self.model, last, used, depth + 1);
            let model = &self.model;
            let whole = |out: &mut Vec<u8>| {
                model.state(out);
                out.extend_from_slice(&key.to_le_bytes());
            };
            if !self.seen.claim(key, whole) {
                self.retreat();
                continue;
            }
            self.todo.push(Todo { mv, used, awake: EVERYBODY });
            let distinct = self.distinct.as_mut();
            if distinct.is_none_or(|d| d.claim(model.fingerprint(), |out| model.state(out))) {
                self.tally.states += 1;
            }
        }
    }

    #[inline]
    pub(super) fn count(&mut self, mv: M::Move, stepped: Stepped) {
        self.tally.transitions += 1;
        self.tally.reached = self.tally.reached.union(stepped.reached);
        if !stepped.broken.is_empty() {
            self.violation(stepped.broken, Some(mv));
        }
    }

    #[cold]
    fn violation(&mut self, broken: crate::engine::model::Props, last: Option<M::Move>) {
        let frames = &self.frames;
        let len = frames.len() + usize::from(last.is_some());
        self.tally.violation(broken, len, || frames.iter().map(|f| f.mv).chain(last).collect());
    }

    /// Some of the work to do: the run to the last of it, and what else was found on the way.
    fn piece(&self, of: std::ops::Range<usize>) -> Work<M::Move> {
        let (mut depth, mut rest) = (0, Vec::with_capacity(of.len()));
        for index in of {
            // Frames begin at ascending bases; it was found behind the last that begins before it.
            let behind = self.frames[depth..].iter().take_while(|f| f.base <= index);
            depth += behind.count();
            rest.push((depth, self.todo[index].mv, self.todo[index].awake));
        }
        Work { run: self.frames[..depth].iter().map(|f| f.mv).collect(), rest }
    }

    /// Puts all work that is left into `rest`.
    fn leave(&self, rest: &mut Vec<Work<M::Move>>) {
        if self.floor < self.todo.len() {
            rest.push(self.piece(self.floor..self.todo.len()));
        }
    }

    /// Gives away the oldest piece of work: the one with most behind it, as a rule.
    fn share(&mut self, hub: &impl Hub<M>) {
        if self.todo.len() > self.floor + 1 {
            hub.give(self.piece(self.floor..self.floor + 1));
            self.floor += 1;
        }
    }

    /// A limit on states or memory that the search has gone beyond. Whoever claims the state that
    /// is too many comes here before anything else, so that a search is cut if and only if the
    /// whole of it goes beyond: on any number of threads.
    #[inline]
    fn limit(&self) -> Option<Bound> {
        let states = self.distinct.as_ref().map_or(self.seen.len(), Seen::len) as u64;
        if self.options.max_states.is_some_and(|m| states > m) {
            return Some(Bound::States);
        }
        self.options.max_bytes.is_some_and(|m| self.bytes() > m).then_some(Bound::Memory)
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.seen.bytes() + self.distinct.as_ref().map_or(0, Seen::bytes)
    }

    fn poll(&mut self, hub: &impl Hub<M>) -> Poll {
        let done = self.done();
        let progress = Progress {
            states: self.seen.len() as u64,
            transitions: self.tally.transitions,
            depth: self.frames.len(),
            frontier: self.todo.len() - self.floor,
            bytes: self.bytes(),
            done,
        };
        let fresh = self.tally.transitions - self.reported;
        self.reported = self.tally.transitions;
        hub.poll(&progress, fresh)
    }

    /// A guess at the share that is done, made anew now and then.
    fn done(&mut self) -> f64 {
        let now = self.tally.transitions;
        if now - self.guess.0 >= GUESS_EVERY {
            if self.sample.is_empty() {
                self.sample = self.sample();
            }
            let seen = self.sample.iter().filter(|&&key| self.seen.has(key)).count();
            self.guess = (now, seen as f64 / self.sample.len().max(1) as f64);
        }
        self.guess.1
    }

    /// Some of the states to come: the model goes back to the start for them, and returns.
    fn sample(&mut self) -> Vec<u64> {
        self.retreat();
        self.frames.iter().rev().for_each(|frame| self.model.undo(frame.stepped));
        let sample = sample(&mut self.model, self.options, self.guide.as_deref());
        for frame in &mut self.frames {
            frame.stepped = self.model.apply(frame.mv);
        }
        sample
    }
}

/// The preemptions that a move of an agent is, where these are the moves: one if the agent that
/// moved last could have gone on.
pub(super) fn preemptions<M: Model>(
    model: &M,
    moves: &[M::Move],
    last: Option<Agent>,
) -> impl Fn(Agent) -> u32 + use<M> {
    let able = moves.iter().any(|&mv| Some(model.agent(mv)) == last);
    move |agent| u32::from(able && Some(agent) != last)
}
