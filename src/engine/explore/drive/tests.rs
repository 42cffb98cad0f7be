//! Searches come to the same on any number of threads, laid down and taken up at any moment.

use super::*;
use crate::engine::explore::{Bound, Report, explore, resume};
use crate::litmus::guarded::{Choice, Command, Guarded, Program, Thread};
use proptest::prelude::*;

const VARS: usize = 4;

fn condition(most: usize) -> impl Strategy<Value = Vec<(usize, u8)>> {
    let map = proptest::collection::btree_map(0..VARS, 0u8..2, 0..=most);
    map.prop_map(|m| m.into_iter().collect())
}

/// A command that goes on by so many places, or back.
fn command(loops: bool) -> impl Strategy<Value = (Command, isize)> {
    let jump = if loops { -2isize..3 } else { 1..3 };
    (condition(1), condition(2), jump, proptest::bool::weighted(0.02))
        .prop_map(|(guard, set, jump, cut)| (Command { guard, set, next: 0, cut }, jump))
}

fn program(loops: bool) -> impl Strategy<Value = Program> {
    let places = proptest::collection::vec(proptest::collection::vec(command(loops), 1..3), 2..6);
    let thread = places.prop_map(|places| {
        let land = |at: usize, (command, jump): (Command, isize)| Command {
            next: at.saturating_add_signed(jump),
            ..command
        };
        let place = |(at, all): (usize, Vec<_>)| all.into_iter().map(|c| land(at, c)).collect();
        Thread { places: places.into_iter().enumerate().map(place).collect(), owes: vec![] }
    });
    let never = proptest::collection::vec(condition(2), 2);
    (proptest::collection::vec(thread, 3..5), never).prop_map(|(threads, never)| Program {
        vars: VARS,
        threads,
        never,
    })
}

fn result(report: Report<Choice>) -> Report<Choice> {
    Report { deepest: 0, bytes: 0, ..report }
}

/// Lays every search down at each poll, in memory.
struct Often(Mutex<Vec<Snapshot<Guarded>>>);

impl Control<Guarded> for Often {
    fn poll(&self, _progress: &Progress) -> Poll {
        Poll::Checkpoint
    }

    fn save(&self, snapshot: &Snapshot<Guarded>) {
        self.0.lock().unwrap().push(snapshot.clone());
    }
}

fn agree(program: Program) -> Result<(), TestCaseError> {
    let start = Guarded::new(program);
    let full = explore(&start, &Options::default(), &());
    let reduced = Options { reduction: true, ..Options::default() };
    let one = same_on_any_number_of_threads(&start, reduced)?;
    prop_assert_eq!((full.broken, full.reached), (one.broken, one.reached));
    prop_assert_eq!((full.ends, full.violating_ends), (one.ends, one.violating_ends));
    prop_assert!(one.states <= full.states && one.transitions <= full.transitions);
    Ok(())
}

/// The result, whether or not the search is laid down, and taken up again.
fn same_on_any_number_of_threads(
    start: &Guarded,
    how: Options,
) -> Result<Report<Choice>, TestCaseError> {
    let options = |jobs| Options { jobs, ..how.clone() };
    let one = result(explore(start, &options(1), &()));
    let often = Often(Mutex::default());
    for jobs in [1, 2, 4] {
        prop_assert_eq!(&result(explore(start, &options(jobs), &())), &one);
        prop_assert_eq!(&result(explore(start, &options(jobs), &often)), &one);
    }
    let snapshots = often.0.into_inner().unwrap();
    let every = snapshots.len().div_ceil(5).max(1);
    for snapshot in snapshots.into_iter().step_by(every) {
        prop_assert_eq!(&result(resume(start, &options(2), &(), snapshot)), &one);
    }
    Ok(one)
}

/// Whether a search is cut by a number of states, on each number of threads.
fn cut(start: &Guarded, how: &Options, states: u64) -> [bool; 3] {
    let options = |jobs| Options { max_states: Some(states), jobs, ..how.clone() };
    [1, 2, 4].map(|jobs| explore(start, &options(jobs), &()).bounds.contains(&Bound::States))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn a_reduced_search_is_the_same_on_any_number_of_threads(p in program(false)) {
        agree(p)?;
    }

    #[test]
    fn a_search_is_cut_if_and_only_if_there_are_more_states_than_allowed(p in program(true)) {
        let start = Guarded::new(p);
        let plain = Options::default();
        let how = [
            Options { reduction: true, ..plain.clone() },
            Options { exact: true, ..plain.clone() },
            Options { depth: Some(9), ..plain.clone() },
            plain,
        ];
        for how in how {
            let states = explore(&start, &how, &()).states;
            // A round of a reduced search may see more than the last one, never less.
            if !how.reduction {
                prop_assert_eq!(cut(&start, &how, states), [false; 3]);
            }
            // One state alone is looked at whatever the limit.
            if states > 1 {
                prop_assert_eq!(cut(&start, &how, states - 1), [true; 3]);
            }
            let [one, two, four] = cut(&start, &how, states);
            prop_assert!(one == two && two == four);
        }
    }

    #[test]
    fn a_reduced_search_round_circles_is_the_same_on_any_number_of_threads(p in program(true)) {
        agree(p)?;
    }
}

proptest! {
    // Whole states are heavy to lay down at every few steps.
    #![proptest_config(ProptestConfig {
        cases: 20, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn exact_and_bounded_searches_are_the_same_on_any_number_of_threads(p in program(true)) {
        let start = Guarded::new(p);
        let exact = Options { exact: true, ..Options::default() };
        let bounded = Options { preemptions: Some(2), depth: Some(9), ..Options::default() };
        let both = Options { exact: true, ..bounded.clone() };
        for how in [exact, bounded, both] {
            same_on_any_number_of_threads(&start, how)?;
        }
    }
}

/// Its last move is the last of a young round, and a moment for a checkpoint.
fn done_when_no_longer_young() -> Program {
    let command = |guard: &[(usize, u8)], set: &[(usize, u8)], next| {
        vec![Command { guard: guard.to_vec(), set: set.to_vec(), next, cut: false }]
    };
    let thread = |places: Vec<Vec<Command>>| Thread { places, owes: vec![] };
    let first = [command(&[(3, 0)], &[(3, 1)], 1), command(&[(3, 0)], &[(1, 1)], 2)];
    let second = [command(&[], &[(1, 1), (3, 1)], 2), command(&[], &[], 2)];
    let third = [
        [command(&[], &[(3, 1)], 2), command(&[], &[(3, 0)], 2)].concat(),
        command(&[], &[], 2),
        [command(&[(3, 0)], &[], 3), command(&[(3, 0)], &[(3, 0)], 4)].concat(),
        command(&[(2, 1)], &[], 4),
        command(&[], &[(1, 0)], 5),
    ];
    let threads = vec![thread(first.to_vec()), thread(second.to_vec()), thread(third.to_vec())];
    Program { vars: VARS, threads, never: vec![vec![], vec![]] }
}

#[test]
fn a_search_that_is_complete_when_its_round_is_no_longer_young_is_complete() {
    agree(done_when_no_longer_young()).unwrap();
}

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
        halt: Mutex::new(None),
        transitions: AtomicU64::new(0),
    };
    pool.stop(Halt::Checkpoint);
    pool.stop(Halt::Stop(Bound::Time));
    pool.stop(Halt::Checkpoint);
    assert_eq!(*pool.halt.lock().unwrap(), Some(Halt::Stop(Bound::Time)));
}
