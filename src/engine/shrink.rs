//! Making a failing run short and simple, and showing how little would have saved it.

use super::model::{Agent, Model, Props};
use std::cmp::Reverse;

/// A run that was made, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed<Mv> {
    /// The moves that could be made, up to the first that broke what was asked for.
    pub moves: Vec<Mv>,
    /// Everything they broke.
    pub broken: Props,
}

/// Plays a schedule leniently: moves that are not enabled are left out. Ends where `wanted` is
/// first broken, and past the schedule does not go.
pub fn replay<M: Model>(start: &M, schedule: &[M::Move], wanted: Props) -> Replayed<M::Move> {
    let mut model = start.clone();
    let mut enabled = Vec::new();
    let mut done = Replayed { moves: Vec::new(), broken: Props::NONE };
    for &mv in schedule {
        model.moves(&mut enabled);
        if enabled.binary_search(&mv).is_err() {
            continue;
        }
        let stepped = model.apply(mv);
        done.moves.push(mv);
        done.broken = done.broken.union(stepped.broken);
        if stepped.broken.0 & wanted.0 != 0 {
            return done;
        }
    }
    if model.ready() == 0 {
        done.broken = done.broken.union(model.judge_end().0);
    }
    done
}

/// Switches away from an agent that could have gone on; what makes a run hard to follow.
pub fn preemptions<M: Model>(start: &M, run: &[M::Move]) -> usize {
    let mut model = start.clone();
    let mut enabled = Vec::new();
    let mut last: Option<Agent> = None;
    let mut count = 0;
    for &mv in run {
        model.moves(&mut enabled);
        let agent = model.agent(mv);
        let could = enabled.iter().any(|&m| Some(model.agent(m)) == last);
        count += usize::from(could && Some(agent) != last);
        last = Some(agent);
        model.apply(mv);
    }
    count
}

/// Switches from one agent to another, forced ones included.
fn switches<M: Model>(start: &M, run: &[M::Move]) -> usize {
    run.windows(2).filter(|w| start.agent(w[0]) != start.agent(w[1])).count()
}

/// A run's moves for which the outside world could have decided in the ordinary way (which is an
/// agent's first move), with that move.
fn unusual<M: Model>(start: &M, run: &[M::Move]) -> Vec<(usize, M::Move)> {
    let mut model = start.clone();
    let mut enabled = Vec::new();
    let mut found = Vec::new();
    for (i, &mv) in run.iter().enumerate() {
        model.moves(&mut enabled);
        let first = enabled.iter().find(|m| model.agent(**m) == model.agent(mv));
        found.extend(first.filter(|m| **m != mv).map(|&m| (i, m)));
        model.apply(mv);
    }
    found
}

/// A simpler run for the same failure, to a fixpoint: first with fewer moves that an outside party
/// decided in an unusual way (faults), then fewer preemptions, then shorter, then fewer switches.
/// `fails` judges a run that can be made as it stands (the moves after the
/// failure left out) and says whether it is the same failure.
///
/// `run` is returned as it is if it does not fail itself.
pub fn shrink<M: Model>(
    start: &M,
    run: &[M::Move],
    wanted: Props,
    mut fails: impl FnMut(&[M::Move]) -> bool,
) -> Vec<M::Move> {
    let cost = |r: &[M::Move]| {
        let faults = unusual(start, r).len();
        (faults, preemptions(start, r), r.len(), switches(start, r))
    };
    let mut attempt = |schedule: &[M::Move]| {
        let done = replay(start, schedule, wanted);
        (done.broken.0 & wanted.0 != 0 && fails(&done.moves)).then_some(done.moves)
    };
    let Some(mut best) = attempt(run) else { return run.to_vec() };
    let mut price = cost(&best);
    loop {
        let better = candidates(start, &best).find_map(|schedule| {
            let found = attempt(&schedule)?;
            let new = cost(&found);
            (new < price).then_some((found, new))
        });
        match better {
            Some((found, new)) => (best, price) = (found, new),
            None => return best,
        }
    }
}

/// Schedules near a run, those that would help most first: with a move decided in the ordinary way,
/// without a stretch of it, and with a stretch of one agent moved up to that agent's last or next
/// stretch.
fn candidates<'a, M: Model>(
    start: &'a M,
    run: &'a [M::Move],
) -> impl Iterator<Item = Vec<M::Move>> + 'a {
    let n = run.len();
    let sizes = std::iter::successors(Some(n / 2), |s| Some(s / 2)).take_while(|&s| s > 0);
    let without = sizes.flat_map(move |size| {
        (0..n.saturating_sub(size - 1)).step_by(size.div_ceil(2)).map(move |at| {
            let mut rest = run.to_vec();
            rest.drain(at..(at + size).min(n));
            rest
        })
    });
    let own = move |agent: Agent| {
        move |_: usize| {
            let mut rest = run.to_vec();
            rest.retain(|&m| start.agent(m) != agent);
            rest
        }
    };
    let agents = (0..start.agents() as Agent).flat_map(move |a| (0..1).map(own(a)));
    let blocks = blocks(start, run);
    let moved = (0..blocks.len()).flat_map(move |i| {
        let near = [join(start, run, &blocks, i, false), join(start, run, &blocks, i, true)];
        near.into_iter().flatten()
    });
    let ordinary = unusual(start, run).into_iter().map(|(i, mv)| {
        let mut changed = run.to_vec();
        changed[i] = mv;
        changed
    });
    ordinary.chain(agents).chain(moved).chain(without)
}

/// Stretches of a run that belong to one agent each, as ranges.
fn blocks<M: Model>(start: &M, run: &[M::Move]) -> Vec<std::ops::Range<usize>> {
    let mut blocks: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, &mv) in run.iter().enumerate() {
        match blocks.last_mut() {
            Some(b) if start.agent(run[b.start]) == start.agent(mv) => b.end = i + 1,
            _ => blocks.push(i..i + 1),
        }
    }
    blocks
}

/// The run with stretch `i` put right after (or before) the agent's previous (or next) one.
fn join<M: Model>(
    start: &M,
    run: &[M::Move],
    blocks: &[std::ops::Range<usize>],
    i: usize,
    later: bool,
) -> Option<Vec<M::Move>> {
    let agent = start.agent(run[blocks[i].start]);
    let same = |j: &usize| start.agent(run[blocks[*j].start]) == agent;
    let to = if later {
        blocks[(i + 1..blocks.len()).find(same)?].start
    } else {
        blocks[(0..i).rev().find(same)?].end
    };
    Some(relocate(run, blocks[i].clone(), to))
}

/// The run with a stretch moved to before what stands at `to`, which is outside of it.
fn relocate<Mv: Copy>(run: &[Mv], block: std::ops::Range<usize>, to: usize) -> Vec<Mv> {
    let piece = run[block.clone()].iter().copied();
    let mut out = Vec::with_capacity(run.len());
    if to <= block.start {
        out.extend_from_slice(&run[..to]);
        out.extend(piece);
        out.extend_from_slice(&run[to..block.start]);
        out.extend_from_slice(&run[block.end..]);
    } else {
        out.extend_from_slice(&run[..block.start]);
        out.extend_from_slice(&run[block.end..to]);
        out.extend(piece);
        out.extend_from_slice(&run[to..]);
    }
    out
}

/// A run that does not fail, as near to one that does as possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearestPass<Mv> {
    /// The passing run, to its end.
    pub moves: Vec<Mv>,
    /// The failing run, carried on past its failure: what was begun there may have to be brought
    /// to its end elsewhere for the run to pass.
    pub failing: Vec<Mv>,
    /// The stretch of the failing run that was moved.
    pub moved: std::ops::Range<usize>,
    /// Before which move of the failing run (or its end) it was put.
    pub before: usize,
    /// Whether it was put off even further: until nobody else could go on.
    pub waited: bool,
}

/// The smallest reordering of a failing run that does not break `wanted`: one stretch of one
/// agent's moves made earlier or later past as few moves as possible; of equal ones the one
/// that is latest in the run, where the cause is. A stretch that ends what an agent does can also
/// be put off until nobody else can go on, who may do then what the failure kept them from. The
/// failing run is carried on first, to its end
/// or to `widest` moves, and the other one then to its end or to `limit` moves, with as few
/// switches as can be. `None` if no such reordering passes, or if `over` says that there has been
/// enough of trying.
pub fn nearest_pass<M: Model>(
    start: &M,
    run: &[M::Move],
    wanted: Props,
    [widest, limit]: [usize; 2],
    over: impl Fn() -> bool,
) -> Option<NearestPass<M::Move>> {
    let run = &carry_on(start, run, None, Props::NONE, widest)?;
    let mut choices = Vec::new();
    for block in blocks(start, run) {
        for from in block.clone() {
            for end in from + 1..=block.end {
                let others = (0..=run.len()).filter(|to| *to < from || *to > end);
                choices.extend(others.map(|to| {
                    let passed = if to < from { from - to } else { to - end };
                    (passed * (end - from), Reverse(from), end, to, false)
                }));
                let agent = start.agent(run[from]);
                if run[end..].iter().all(|&mv| start.agent(mv) != agent) {
                    let passed = run.len() - end;
                    let much = passed.max(1) * (end - from);
                    choices.push((much, Reverse(from), end, run.len(), true));
                }
            }
        }
    }
    choices.sort_unstable();
    choices.into_iter().take_while(|_| !over()).find_map(|(_, Reverse(from), end, to, waited)| {
        let mut schedule = relocate(run, from..end, to);
        let last = waited.then(|| start.agent(run[from]));
        if waited {
            schedule.truncate(run.len() - (end - from));
        }
        let moves = carry_on(start, &schedule, last, wanted, limit)?;
        // A run that is the same up to what could not be made says nothing.
        let differs = !moves.starts_with(run);
        let (failing, moved) = (run.clone(), from..end);
        differs.then_some(NearestPass { moves, failing, moved, before: to, waited })
    })
}

/// Plays a schedule in which every move must be enabled, carries on to the end or to `limit`
/// moves (`last` only goes on when nobody else can), and gives the whole run if nothing of
/// `wanted` is broken.
fn carry_on<M: Model>(
    start: &M,
    schedule: &[M::Move],
    last: Option<Agent>,
    wanted: Props,
    limit: usize,
) -> Option<Vec<M::Move>> {
    let mut model = start.clone();
    let mut enabled = Vec::new();
    let mut made: Vec<M::Move> = Vec::new();
    while made.len() < limit.max(schedule.len()) {
        model.moves(&mut enabled);
        let next = match schedule.get(made.len()) {
            Some(&mv) => *enabled.get(enabled.binary_search(&mv).ok()?)?,
            None => {
                let before = made.last().map(|&m| model.agent(m));
                let others = || enabled.iter().filter(|m| Some(model.agent(**m)) != last);
                let same = others().find(|m| Some(model.agent(**m)) == before);
                match same.or(others().next()).or(enabled.first()) {
                    Some(&mv) => mv,
                    None => break,
                }
            }
        };
        let stepped = model.apply(next);
        made.push(next);
        if stepped.broken.0 & wanted.0 != 0 {
            return None;
        }
    }
    let end = if model.ready() == 0 { model.judge_end().0 } else { Props::NONE };
    (end.0 & wanted.0 == 0).then_some(made)
}
