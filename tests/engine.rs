//! What the engine promises, on models small enough to know the answers by other means.

use std::sync::atomic::{AtomicUsize, Ordering};

use gupsim::engine::blame::blame;
use gupsim::engine::explore::checkpoint::{CheckpointError, Snapshot};
use gupsim::engine::explore::liveness::{Fairness, starvation};
use gupsim::engine::explore::{
    Bound, Control, Options, Poll, Progress, Report, Verdict, explore, resume,
};
use gupsim::engine::model::{Model, Props};
use gupsim::engine::run::{Limits, Runner, first_divergence};
use gupsim::engine::shrink::{nearest_pass, preemptions, replay, shrink};
use gupsim::litmus::guarded::{Choice, Command, Guarded, Program, Thread};
use gupsim::litmus::increment::Increment;
use gupsim::litmus::pin_protocol::{PinProtocol, Size};
use gupsim::litmus::program::{BUNDLED, Litmus, load};
use gupsim::schedule::pct::Pct;
use gupsim::schedule::pos::Pos;
use gupsim::schedule::random::RandomWalk;
use gupsim::schedule::replay::Replay;
use gupsim::schedule::timed::{EventQueue, Pace};
use gupsim::schedule::uniform::Uniform;
use gupsim::schedule::{Params, TABLE};

const LOST_WRITE: usize = 3;

fn pin(size: Size) -> PinProtocol {
    PinProtocol::new(size).unwrap()
}

/// A thread that sets a variable at each place, one place after the other.
fn straight(sets: &[(usize, u8)]) -> Thread {
    let place = |(i, &set): (usize, &(usize, u8))| {
        vec![Command { guard: vec![], set: vec![set], next: i + 1, cut: false }]
    };
    Thread { places: sets.iter().enumerate().map(place).collect(), owes: Vec::new() }
}

/// Two threads that raise a flag of their own and lower it again; never shall both be up.
fn two_flags() -> Guarded {
    let flag = |v| straight(&[(v, 1), (v, 0)]);
    let never = vec![vec![(0, 1), (1, 1)], vec![(2, 1)]];
    Guarded::new(Program { vars: 3, threads: vec![flag(0), flag(1)], never })
}

fn step(thread: u8) -> Choice {
    Choice { thread, alternative: 0 }
}

/// The laws of the trait, on random walks.
fn obeys_the_laws<M: Model>(start: &M) {
    let mut runner = Runner::new(start.clone());
    let mut first = Vec::new();
    start.state(&mut first);
    for run in 0..20 {
        let mut model = start.clone();
        let mut trail = Vec::new();
        runner.run(&mut RandomWalk::new(3), run, Limits::default(), |_, _, _| ());
        for &mv in runner.schedule() {
            let (mut state, mut moves) = (Vec::new(), Vec::new());
            model.state(&mut state);
            model.moves(&mut moves);
            assert!(moves.is_sorted() && moves.binary_search(&mv).is_ok());
            let agents: Vec<u32> = (0..model.ready()).map(|k| model.nth_ready(k)).collect();
            let again = agents.iter().flat_map(|&a| {
                (0..model.outcomes(a)).map(|o| model.move_of(a, o)).collect::<Vec<_>>()
            });
            assert_eq!(again.collect::<Vec<_>>(), moves);
            let fingerprint = model.fingerprint();
            let stepped = model.apply(mv);
            trail.push((state, fingerprint, moves, stepped));
        }
        assert_eq!(model.ready(), 0);
        for (state, fingerprint, moves, stepped) in trail.into_iter().rev() {
            model.undo(stepped);
            let (mut back, mut enabled) = (Vec::new(), Vec::new());
            model.state(&mut back);
            model.moves(&mut enabled);
            assert_eq!((back, model.fingerprint(), enabled), (state, fingerprint, moves));
        }
    }
}

#[test]
fn the_litmus_models_obey_the_laws_of_a_model() {
    obeys_the_laws(&pin(Size::new(2, 2, 2, true)));
    obeys_the_laws(&Increment::new(4));
    obeys_the_laws(&two_flags());
    for program in load(BUNDLED).unwrap() {
        obeys_the_laws(&Litmus::new(&program));
    }
}

/// What does not depend on who searched what.
fn result<Mv>(report: Report<Mv>) -> Report<Mv> {
    Report { deepest: 0, bytes: 0, ..report }
}

#[test]
fn a_search_gives_the_same_at_any_number_of_jobs() {
    let plain = Options::default();
    let reduced = Options { reduction: true, ..plain.clone() };
    let exact = Options { exact: true, ..plain.clone() };
    let preemptions = Options { preemptions: Some(2), ..plain.clone() };
    let both = Options { depth: Some(20), exact: true, ..preemptions.clone() };
    for (size, ways) in [
        (Size::new(2, 1, 1, false), vec![&plain, &reduced, &exact, &preemptions, &both]),
        (Size::new(3, 1, 1, true), vec![&plain, &exact, &preemptions]),
        // Enough for several threads to have a share in a round.
        (Size::new(4, 2, 2, true), vec![&reduced]),
    ] {
        for options in ways {
            let find =
                |jobs| result(explore(&pin(size), &Options { jobs, ..options.clone() }, &()));
            let one = find(1);
            for jobs in [2, 3, 8] {
                assert_eq!(find(jobs), one, "{options:?}, {jobs} jobs");
            }
        }
    }
}

#[test]
fn a_bounded_search_counts_distinct_states_as_often_compared_whole_as_not() {
    for (preemptions, depth) in [(Some(2), None), (None, Some(20)), (Some(1), Some(25))] {
        let options = Options { preemptions, depth, ..Options::default() };
        let plain = explore(&pin(Size::new(2, 1, 1, true)), &options, &());
        let options = Options { exact: true, ..options };
        let exact = explore(&pin(Size::new(2, 1, 1, true)), &options, &());
        assert_eq!((plain.states, plain.transitions), (exact.states, exact.transitions));
        assert!(!plain.is_complete() && !exact.is_complete());
    }
}

#[test]
fn exact_comparison_counts_the_same_states_and_no_collision() {
    let r = explore(
        &pin(Size::new(2, 1, 1, true)),
        &Options { exact: true, ..Options::default() },
        &(),
    );
    assert_eq!((r.states, r.transitions, r.collisions, r.collision), (5_340, 14_647, Some(0), 0.0));
}

#[test]
fn reduction_of_the_pin_protocol_leaves_out_nine_tenths_and_more() {
    let table = [(1, 414), (2, 14_647), (3, 266_679), (4, 4_097_763)];
    for (pages, full) in table {
        let options = Options { reduction: true, ..Options::default() };
        let r = explore(&pin(Size::new(pages, 1, 1, true)), &options, &());
        let executed = r.reduction.unwrap().executed;
        assert!(r.is_complete());
        // One page alone is always truncated: none is left to be checked.
        let verdict = if pages == 1 { Verdict::Vacuous } else { Verdict::Proved };
        assert_eq!(r.verdict(LOST_WRITE), verdict);
        assert!(pages < 2 || r.transitions * 10 < full, "{pages}: {} of {full}", r.transitions);
        assert!(pages < 3 || executed * 20 < full, "{pages}: {executed} of {full}");
    }
}

#[test]
fn verdicts_are_proved_refuted_vacuous_or_bounded() {
    let r = explore(&two_flags(), &Options::default(), &());
    assert_eq!((r.verdict(0), r.verdict(1)), (Verdict::Refuted, Verdict::Vacuous));
    let proved = explore(&pin(Size::new(1, 1, 1, true)), &Options::default(), &());
    assert_eq!(proved.verdict(0), Verdict::Proved);
    let bounds: [(Options, Bound); 4] = [
        (Options { depth: Some(5), ..Options::default() }, Bound::Depth),
        (Options { preemptions: Some(0), ..Options::default() }, Bound::Preemptions),
        (Options { max_states: Some(100), ..Options::default() }, Bound::States),
        (Options { max_bytes: Some(1), ..Options::default() }, Bound::Memory),
    ];
    for (options, bound) in bounds {
        for reduction in [false, true] {
            let options = Options { reduction, ..options.clone() };
            let r = explore(&pin(Size::new(2, 1, 1, true)), &options, &());
            assert_eq!(r.verdict(0), Verdict::Bounded(bound), "{options:?}");
        }
    }
}

#[test]
fn a_bound_that_cuts_nothing_is_no_bound() {
    let size = Size::new(1, 1, 1, true);
    let plain = explore(&pin(size), &Options::default(), &());
    let wide = Options { depth: Some(1000), preemptions: Some(1000), ..Options::default() };
    let r = explore(&pin(size), &wide, &());
    assert!(r.is_complete());
    assert_eq!((r.states, r.broken), (plain.states, plain.broken));
    let first = explore(&pin(size), &Options { depth: Some(1), ..Options::default() }, &());
    assert_eq!((first.states, first.transitions), (4, 3));
}

#[test]
fn the_witness_is_the_first_of_the_shortest() {
    for options in [
        Options::default(),
        Options { reduction: true, ..Options::default() },
        Options { jobs: 3, ..Options::default() },
    ] {
        let r = explore(&two_flags(), &options, &());
        assert_eq!(r.witnesses.len(), 1);
        assert_eq!(r.witnesses[0].moves, [step(0), step(1)]);
        assert!(r.witnesses[0].shortest);
    }
    let short = Options { witness_states: 0, ..Options::default() };
    assert!(!explore(&two_flags(), &short, &()).witnesses[0].shortest);
    // Within bounds: without a preemption one flag is down before the other is up.
    let bounded = |preemptions, depth| Options { preemptions, depth, ..Options::default() };
    assert!(explore(&two_flags(), &bounded(Some(0), None), &()).witnesses.is_empty());
    assert!(explore(&two_flags(), &bounded(None, Some(1)), &()).witnesses.is_empty());
    for options in [bounded(Some(1), None), bounded(None, Some(2)), bounded(Some(1), Some(3))] {
        let r = explore(&two_flags(), &options, &());
        assert_eq!(
            (&*r.witnesses[0].moves, r.witnesses[0].shortest),
            (&[step(0), step(1)][..], true)
        );
    }
}

#[test]
fn a_witness_replays_to_its_violation() {
    let start = pin(Size::new(2, 1, 1, false));
    let r = explore(&start, &Options::default(), &());
    let witness = &r.witnesses[0];
    assert_eq!(witness.property, LOST_WRITE);
    let mut runner = Runner::new(start);
    let mut scheduler = Replay::new(witness.moves.clone());
    let outcome = runner.run(&mut scheduler, 0, Limits::default(), |_, _, _| ()).unwrap();
    assert_eq!(outcome.broken, Props::one(LOST_WRITE));
    assert_eq!(runner.schedule(), witness.moves);
    let broken = Replay::new(vec![2u8, 2, 2, 2, 2, 2, 2]);
    let mut diverging = broken;
    runner.run(&mut diverging, 0, Limits { steps: 0, ..Limits::default() }, |_, _, _| ());
    assert_eq!(diverging.diverged(), None);
}

/// Saves at the `save_at`-th poll and stops at the `stop_at`-th.
struct Interrupted<'a> {
    start: &'a PinProtocol,
    options: &'a Options,
    path: &'a std::path::Path,
    polls: AtomicUsize,
    save_at: usize,
    stop_at: usize,
}

impl Control<PinProtocol> for Interrupted<'_> {
    fn poll(&self, _progress: &Progress) -> Poll {
        match self.polls.fetch_add(1, Ordering::SeqCst) + 1 {
            n if n == self.stop_at => Poll::Stop(Bound::Interruption),
            n if n == self.save_at => Poll::Checkpoint,
            _ => Poll::Continue,
        }
    }

    fn save(&self, snapshot: &Snapshot<PinProtocol>) {
        // Like a kill right after the first save: later ones never happen.
        if self.polls.load(Ordering::SeqCst) <= self.save_at {
            snapshot.save(self.start, self.options, 7, self.path).unwrap();
        }
    }
}

#[test]
fn a_search_that_was_cut_off_goes_on_from_its_checkpoint_to_the_same_result() {
    let dir = std::env::temp_dir().join(format!("gupsim-checkpoint-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("search.ck");
    let plain = Options::default();
    let reduced = Options { reduction: true, ..plain.clone() };
    let preemptions = Options { preemptions: Some(2), ..plain.clone() };
    let small = pin(Size::new(3, 1, 1, false));
    for (start, options, save_at) in [
        (pin(Size::new(4, 2, 2, true)), &reduced, 9),
        (small.clone(), &preemptions, 4),
        (small.clone(), &plain, 4),
    ] {
        let whole = result(explore(&start, options, &()));
        for (jobs, jobs_after) in [(1, 1), (1, 3), (3, 1)] {
            let before = Options { jobs, ..options.clone() };
            let polls = AtomicUsize::new(0);
            let stop_at = save_at + 4;
            let (start, options, path) = (&start, &before, &*path);
            let control = Interrupted { start, options, path, polls, save_at, stop_at };
            let cut = explore(start, &before, &control);
            assert!(cut.bounds.contains(&Bound::Interruption), "{options:?}");
            assert!(cut.states < whole.states);
            let after = Options { jobs: jobs_after, ..options.clone() };
            let snapshot = Snapshot::load(start, &after, 7, path).unwrap();
            assert!(snapshot.states() > 4_000 && snapshot.states() < whole.states);
            assert_eq!(result(resume(start, &after, &(), snapshot)), whole, "{options:?}");
        }
        let other = Snapshot::load(&start, &Options { symmetry: true, ..plain.clone() }, 7, &path);
        assert!(matches!(other, Err(CheckpointError::Other)));
    }
    let start = small;
    let options = Options::default();
    let other = Snapshot::load(&start, &options, 8, &path);
    assert!(matches!(other, Err(CheckpointError::Other)));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 3);
    std::fs::write(&path, &bytes).unwrap();
    let damaged = Snapshot::load(&start, &options, 7, &path);
    assert!(matches!(damaged, Err(CheckpointError::Damaged)));
    std::fs::remove_dir_all(&dir).unwrap();
}

/// One thread takes and releases a lock for ever; the other has to take it once.
fn lock_against_loop() -> Guarded {
    let take = |next| Command { guard: vec![(0, 0)], set: vec![(0, 1)], next, cut: false };
    let release = |next| Command { guard: vec![], set: vec![(0, 0)], next, cut: false };
    let looping = Thread { places: vec![vec![take(1)], vec![release(0)]], owes: vec![] };
    let owing = Thread { places: vec![vec![take(1)], vec![release(2)]], owes: vec![0, 1] };
    Guarded::new(Program { vars: 1, threads: vec![looping, owing], never: vec![] })
}

/// One thread sets and clears a mark for ever; the other looks again as long as it sees it.
fn rescan_against_refault() -> Guarded {
    let set = |value, next| Command { guard: vec![], set: vec![(0, value)], next, cut: false };
    let see = |value, next| Command { guard: vec![(0, value)], set: vec![], next, cut: false };
    let refault = Thread { places: vec![vec![set(1, 1)], vec![set(0, 0)]], owes: vec![] };
    let rescan = Thread { places: vec![vec![see(1, 0), see(0, 1)]], owes: vec![0] };
    Guarded::new(Program { vars: 1, threads: vec![refault, rescan], never: vec![] })
}

#[test]
fn starvation_depends_on_what_fairness_is_granted() {
    let lassos = |m: &Guarded, f| starvation(m, f, 1000, &()).lassos;
    let weak = lassos(&lock_against_loop(), Fairness::Weak);
    assert_eq!(weak.len(), 1);
    assert_eq!((weak[0].agent, &*weak[0].cycle), (1, &[step(0), step(0)][..]));
    assert!(lassos(&lock_against_loop(), Fairness::Strong).is_empty());
}

#[test]
fn a_rescan_is_starved_even_under_strong_fairness_and_the_lasso_closes() {
    let start = rescan_against_refault();
    let found = starvation(&start, Fairness::Strong, 1000, &());
    assert_eq!((found.owing, found.bound), (vec![1], None));
    let lasso = &found.lassos[0];
    let mut model = start.clone();
    for &mv in &lasso.stem {
        model.apply(mv);
    }
    let before = model.fingerprint();
    for &mv in &lasso.cycle {
        assert!(model.owes(lasso.agent));
        model.apply(mv);
    }
    assert_eq!(model.fingerprint(), before);
    assert!(
        lasso.cycle.iter().any(|mv| mv.thread == 1) && lasso.cycle.iter().any(|mv| mv.thread == 0)
    );
}

#[test]
fn a_small_limit_on_the_graph_is_reported() {
    let found = starvation(&pin(Size::new(2, 1, 1, true)), Fairness::Weak, 100, &());
    assert_eq!(found.bound, Some(Bound::States));
}

#[test]
fn blame_is_the_exact_probability_after_each_step() {
    // The second to move raises its flag while the first one's is up with probability 1/2.
    let b = blame(&two_flags(), 0, &[step(0), step(1)], 1000, &()).unwrap();
    assert_eq!(b.after, [0.5, 0.5, 1.0]);
    assert_eq!(b.inevitable_from, Some(1));
    // With loops: the mark is seen up at some time with probability 1 or not at all.
    let start = rescan_against_refault();
    assert_eq!(blame(&start, 0, &[], 1000, &()).unwrap().after, [0.0]);
    assert!(blame(&pin(Size::new(2, 1, 1, true)), 0, &[], 10, &()).is_none());
}

#[test]
fn shrinking_keeps_the_failure_and_ends_at_a_fixpoint() {
    let start = pin(Size::new(2, 2, 1, false));
    let wanted = Props::one(LOST_WRITE);
    let mut runner = Runner::new(start.clone());
    let mut scheduler = RandomWalk::new(11);
    let failing = (0..100_000).find(|&run| {
        let outcome = runner.run(&mut scheduler, run, Limits::default(), |_, _, _| ());
        outcome.is_some_and(|o| o.broken == wanted)
    });
    assert!(failing.is_some());
    let run = runner.schedule().to_vec();
    let small = shrink(&start, &run, wanted, |_| true);
    assert_eq!(replay(&start, &small, wanted).broken, wanted);
    assert!(preemptions(&start, &small) < preemptions(&start, &run));
    assert!(preemptions(&start, &small) <= 2, "{small:?}");
    assert_eq!(shrink(&start, &small, wanted, |_| true), small);
    // Who says that it is another failure keeps the run as it is.
    assert_eq!(shrink(&start, &run, wanted, |_| false), run);
}

#[test]
fn the_nearest_pass_is_the_smallest_reordering_that_does_not_fail() {
    let nearest = |run: &[Choice], widest, over: bool| {
        nearest_pass(&two_flags(), run, Props::one(0), [widest, 100], || over)
    };
    let failing = [step(0), step(1)];
    // Neither order of the two raises is safe; but one can wait for all that the other does.
    let near = nearest(&failing, 2, false).unwrap();
    assert_eq!(near.moves, [step(0), step(0), step(1), step(1)]);
    assert_eq!((near.moved, near.before, near.waited), (1..2, 2, true));
    // Carried on to its end, either flag can be taken down before the other is raised.
    let near = nearest(&failing, 100, false).unwrap();
    assert_eq!(near.failing, [step(0), step(1), step(1), step(0)]);
    assert_eq!(near.moves, [step(0), step(0), step(1), step(1)]);
    assert_eq!((near.moved, near.before, near.waited), (3..4, 1, false));
    let whole = [step(0), step(1), step(0), step(1)];
    let near = nearest(&whole, 100, false).unwrap();
    assert_eq!(near.moves, [step(0), step(0), step(1), step(1)]);
    assert_eq!((near.moved, near.before), (2..3, 1));
    assert_eq!(nearest(&whole, 100, true), None);
}

#[test]
fn every_scheduler_repeats_itself_and_no_two_runs_are_tied() {
    let start = pin(Size::new(2, 2, 2, true));
    let limits = Limits::default();
    for run in 0..5 {
        assert_eq!(first_divergence(&start, &mut RandomWalk::new(1), run, limits), None);
        assert_eq!(first_divergence(&start, &mut Pct::new(1, 3, None), run, limits), None);
        assert_eq!(first_divergence(&start, &mut Pos::new(1), run, limits), None);
        assert_eq!(first_divergence(&start, &mut Uniform::new(1), run, limits), None);
    }
    // Run 7 is the same whether or not others were made before it.
    let mut alone = Runner::new(start.clone());
    alone.run(&mut RandomWalk::new(5), 7, limits, |_, _, _| ());
    let mut after = Runner::new(start);
    let mut walk = RandomWalk::new(5);
    for run in 0..=7 {
        after.run(&mut walk, run, limits, |_, _, _| ());
    }
    assert_eq!(alone.schedule(), after.schedule());
}

#[test]
fn every_scheduler_of_the_table_brings_every_run_to_its_end() {
    let start = pin(Size::new(2, 2, 2, true));
    let limits = Limits::default();
    for (kind, name, _) in TABLE {
        let mut runner = Runner::new(start.clone());
        let mut scheduler = kind.build::<PinProtocol>(Params::seeded(9));
        for run in 0..50 {
            let outcome = runner.run(&mut scheduler, run, limits, |_, _, _| ()).unwrap();
            assert!(outcome.ending.is_some() && outcome.broken.is_empty(), "{name}");
        }
        assert_eq!(first_divergence(&start, &mut scheduler, 3, limits), None, "{name}");
    }
}

#[test]
fn the_event_queue_makes_moves_when_they_are_due() {
    let start = pin(Size::new(1, 1, 1, true));
    let mut runner = Runner::new(start);
    let mut queue = EventQueue::new(1, Pace::Exact);
    runner.run(&mut queue, 0, Limits { steps: 6, ..Limits::default() }, |_, _, _| ());
    // Steps take 1, 2 and 3 us: pinner at 1, 2, 3, 4; writeback locks at 2, before the pinner,
    // whose second step was queued later; truncate, due at 3, then finds the lock held.
    assert_eq!(runner.schedule(), [0, 1, 0, 0, 1, 0]);
    assert_eq!(queue.now_ns(), 4_000);
}
