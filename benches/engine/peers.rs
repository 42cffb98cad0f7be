//! The pin protocol in other people's checkers.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use gupsim::engine::model::{Model as _, Timed as _};
use gupsim::litmus::pin_protocol::{PinProtocol, Size};
use stateright::{Checker, Model, Property};

use crate::{Found, packed};

/// Packed states in Stateright.
struct Packed(Size);

impl Model for Packed {
    type State = u128;
    type Action = u128;

    fn init_states(&self) -> Vec<u128> {
        vec![0]
    }

    fn actions(&self, state: &u128, actions: &mut Vec<u128>) {
        packed::successors(self.0, *state, |next| actions.push(next));
    }

    fn next_state(&self, _state: &u128, action: u128) -> Option<u128> {
        Some(action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("writeback on a cached page", |m: &Packed, s| packed::holds(m.0, *s))]
    }
}

/// Explores depth first on one thread, states packed by hand.
pub fn stateright_packed(size: Size) -> Found {
    let checker = Packed(size).checker().threads(1).spawn_dfs().join();
    Found { states: checker.unique_state_count() as u64, transitions: None }
}

/// One page as a Stateright user would write it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Page {
    refcount: u8,
    pincount: u8,
    content: u8,
    snapshot: u8,
    disk: u8,
    locked: u8,
    pte_writable: bool,
    pte_dirty: bool,
    dirty: bool,
    writeback: bool,
    in_cache: bool,
}

/// The whole state, as plain structs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    pages: Vec<Page>,
    pins: Vec<u16>,
    writeback: u16,
    truncate: u16,
    truncated: bool,
}

struct Plain(Size);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Pin(usize),
    Writeback,
    Truncate,
}

impl Plain {
    fn page(&self, s: &State) -> usize {
        (s.writeback / 6) as usize % self.0.pages
    }

    fn pin(&self, s: &mut State, i: usize) {
        let page = &mut s.pages[i];
        match s.pins[i] {
            0 if !page.pte_writable => {
                (page.pte_writable, page.pte_dirty, page.dirty) = (true, true, true);
            }
            0 => {}
            1 => {
                page.refcount += 1;
                page.pincount += 1;
            }
            n if n < self.0.writes + 2 => page.content += 1,
            _ => {
                page.dirty |= self.0.fix;
                page.pincount -= 1;
                page.refcount -= 1;
            }
        }
        s.pins[i] += 1;
    }

    fn writeback(&self, s: &mut State) {
        let i = self.page(s);
        let page = &mut s.pages[i];
        match s.writeback % 6 {
            0 => page.locked = 1,
            1 if !page.dirty || !page.in_cache => {
                page.locked = 0;
                s.writeback += 4;
            }
            1 => (page.dirty, page.pte_writable, page.pte_dirty) = (false, false, false),
            2 => page.writeback = true,
            3 => page.locked = 0,
            4 => page.snapshot = page.content,
            _ => {
                page.disk = page.snapshot;
                page.writeback = false;
            }
        }
        s.writeback += 1;
    }

    fn truncate(&self, s: &mut State) {
        let page = &mut s.pages[self.0.pages - 1];
        match s.truncate {
            0 => page.locked = 2,
            1 => {}
            2 => (page.pte_writable, page.pte_dirty) = (false, false),
            3 => {
                page.in_cache = false;
                s.truncated = true;
            }
            4 => page.dirty = false,
            5 => page.refcount -= 1,
            _ => page.locked = 0,
        }
        s.truncate += 1;
    }
}

impl Model for Plain {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let page = Page {
            refcount: 1,
            pincount: 0,
            content: 0,
            snapshot: 0,
            disk: 0,
            locked: 0,
            pte_writable: false,
            pte_dirty: false,
            dirty: false,
            writeback: false,
            in_cache: true,
        };
        let pages = vec![page; self.0.pages];
        let pins = vec![0; self.0.pages];
        vec![State { pages, pins, writeback: 0, truncate: 0, truncated: false }]
    }

    fn actions(&self, s: &State, actions: &mut Vec<Action>) {
        let pins = s.pins.iter().enumerate().filter(|(_, pc)| **pc < self.0.writes + 3);
        actions.extend(pins.map(|(i, _)| Action::Pin(i)));
        let last = &s.pages[self.0.pages - 1];
        let lock_free = s.pages[self.page(s)].locked == 0;
        let rounds = self.0.rounds * self.0.pages as u16 * 6;
        if s.writeback < rounds && (!s.writeback.is_multiple_of(6) || lock_free) {
            actions.push(Action::Writeback);
        }
        let open = match s.truncate {
            0 => last.locked == 0,
            1 => !last.writeback,
            n => n < 7,
        };
        if open {
            actions.push(Action::Truncate);
        }
    }

    fn next_state(&self, s: &State, action: Action) -> Option<State> {
        let mut next = s.clone();
        match action {
            Action::Pin(i) => self.pin(&mut next, i),
            Action::Writeback => self.writeback(&mut next),
            Action::Truncate => self.truncate(&mut next),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("counts in order", |_, s: &State| {
                s.pages.iter().all(|p| p.refcount >= p.pincount)
            }),
            Property::always("writeback on a cached page", |_, s: &State| {
                s.pages.iter().all(|p| !p.writeback || p.in_cache || s.truncated)
            }),
        ]
    }
}

/// Explores depth first on one thread, states as plain structs.
pub fn stateright_plain(size: Size) -> Found {
    let checker = Plain(size).checker().threads(1).spawn_dfs().join();
    Found { states: checker.unique_state_count() as u64, transitions: None }
}

/// What random runs, or the first runs of a systematic search, came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Runs.
    pub runs: usize,
    /// Steps of agents, tries to step included.
    pub steps: usize,
    /// Fingerprints of their end states.
    pub ends: BTreeSet<u64>,
}

impl Runs {
    fn add(&mut self, model: &PinProtocol, steps: usize) {
        self.runs += 1;
        self.steps += steps;
        self.ends.insert(model.fingerprint());
    }
}

/// Random walks of the smallest size under Shuttle, an agent a thread, a step a scheduling
/// point.
pub fn shuttle_walks(runs: usize) -> Runs {
    let all = Arc::new(Mutex::new(Runs::default()));
    let collect = Arc::clone(&all);
    let run = move || {
        let model = Arc::new(Mutex::new((crate::model(crate::SMALLEST), 0)));
        let agents = model.lock().map_or(0, |m| m.0.agents());
        let threads: Vec<_> = (0..agents as u8)
            .map(|agent| {
                let model = Arc::clone(&model);
                shuttle::thread::spawn(move || {
                    while step(&model, agent) != Step::Last {
                        shuttle::thread::yield_now();
                    }
                })
            })
            .collect();
        for thread in threads {
            let _ = thread.join();
        }
        if let (Ok(model), Ok(mut all)) = (model.lock(), collect.lock()) {
            all.add(&model.0, model.1);
        }
    };
    shuttle::check_random(run, runs);
    all.lock().map(|all| all.clone()).unwrap_or_default()
}

/// The first executions of the smallest size under Loom, an agent a thread. Loom switches threads
/// where they touch what it knows of: each step begins with an access to one common atomic. Whoever
/// has to wait yields.
pub fn loom_runs(runs: usize) -> Runs {
    let all = Arc::new(Mutex::new(Runs::default()));
    let collect = Arc::clone(&all);
    let run = move || {
        let model = Arc::new(Mutex::new((crate::model(crate::SMALLEST), 0)));
        let turn = loom::sync::Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let agents = model.lock().map_or(0, |m| m.0.agents());
        let threads: Vec<_> = (0..agents as u8)
            .map(|agent| {
                let (model, turn) = (Arc::clone(&model), loom::sync::Arc::clone(&turn));
                loom::thread::spawn(move || {
                    loop {
                        turn.fetch_add(1, Ordering::SeqCst);
                        match step(&model, agent) {
                            Step::Last => break,
                            Step::Made => {}
                            Step::Waits => loom::thread::yield_now(),
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            let _ = thread.join();
        }
        if let (Ok(model), Ok(mut all)) = (model.lock(), collect.lock()) {
            all.add(&model.0, model.1);
        }
    };
    let mut builder = loom::model::Builder::new();
    // It looks at the limit only when it would write a checkpoint.
    (builder.max_permutations, builder.checkpoint_interval) = (Some(runs), runs);
    builder.check(run);
    all.lock().map(|all| all.clone()).unwrap_or_default()
}

/// How a thread's try to step ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// It made a step and has more to make.
    Made,
    /// It could not.
    Waits,
    /// It has none left.
    Last,
}

/// One step of an agent, if it can make one; counts it. Between two steps no other thread runs, so
/// the mutex is never contended.
fn step(model: &Mutex<(PinProtocol, usize)>, agent: u8) -> Step {
    let Ok(mut model) = model.lock() else { return Step::Last };
    let (model, steps) = &mut *model;
    let able = model.is_ready(u32::from(agent));
    if able {
        model.apply(agent);
    }
    *steps += 1;
    let mut waits = Vec::new();
    model.waits_on(u32::from(agent), &mut waits);
    match (waits.is_empty(), able) {
        (true, _) => Step::Last,
        (false, true) => Step::Made,
        (false, false) => Step::Waits,
    }
}
