//! Every schedule, one by one, without remembering states: what search looks like with nothing
//! clever about it. Slow, and therefore the measure of what is clever.

use crate::engine::model::{Agent, Model, Props, Stepped};

/// What an enumeration counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedules {
    /// Complete runs, up to a state without a move.
    pub complete: u64,
    /// Complete runs by [`Ending`](crate::engine::model::Ending).
    pub ends: [u64; 4],
    /// Moves made.
    pub transitions: u64,
    /// Properties broken in some run.
    pub broken: Props,
    /// Whether it was ended early.
    pub cut: bool,
}

struct Frame {
    /// Where the moves of this state begin, and the next one to try.
    base: usize,
    next: usize,
    used: u32,
    stepped: Option<Stepped>,
}

/// Goes through every schedule with at most `preemptions` switches away from an agent that could
/// have gone on. `visit` gets each complete run and says whether to go on.
pub fn enumerate<M: Model>(
    start: &M,
    preemptions: Option<u32>,
    mut visit: impl FnMut(&M, &[M::Move]) -> bool,
) -> Schedules {
    let mut count = Schedules::default();
    let mut model = start.clone();
    let (mut run, mut stack): (Vec<M::Move>, Vec<M::Move>) = (Vec::new(), Vec::new());
    let mut buffer = Vec::new();
    let mut frames = vec![Frame { base: 0, next: 0, used: 0, stepped: None }];
    model.moves(&mut stack);
    loop {
        let Some(frame) = frames.last_mut() else { return count };
        let all = &stack[frame.base..];
        if frame.next == 0 && all.is_empty() {
            count.complete += 1;
            count.ends[model.ending() as usize] += 1;
            count.broken = count.broken.union(model.judge_end().0);
            if !visit(&model, &run) {
                count.cut = true;
                return count;
            }
        }
        let Some(&mv) = all.get(frame.next) else {
            stack.truncate(frame.base);
            if let Some(stepped) = frame.stepped {
                model.undo(stepped);
                run.pop();
            }
            frames.pop();
            continue;
        };
        frame.next += 1;
        let last: Option<Agent> = run.last().map(|&m| model.agent(m));
        let preempts =
            Some(model.agent(mv)) != last && all.iter().any(|&m| Some(model.agent(m)) == last);
        let used = frame.used + u32::from(preempts);
        if preemptions.is_some_and(|p| used > p) {
            continue;
        }
        let stepped = model.apply(mv);
        count.transitions += 1;
        count.broken = count.broken.union(stepped.broken);
        run.push(mv);
        frames.push(Frame { base: stack.len(), next: 0, used, stepped: Some(stepped) });
        model.moves(&mut buffer);
        stack.extend_from_slice(&buffer);
    }
}
