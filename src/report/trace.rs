//! From a run to a report: plays the moves again, twice.
//!
//! The first pass finds what was broken and which earlier steps matter; the second describes the
//! steps that are to be shown. So a run of a million steps costs no more memory than its history.

use super::data::*;
use super::finding;
use super::player::{Moved, Player};
use super::run::Run;
use super::{agents, names, words};
use crate::engine::model::{Agent, Ending, Model};
use crate::kernel::actor::errno;
use crate::kernel::invariant::TABLE;
use crate::kernel::invariant::judge::Broken;
use crate::kernel::sim::{Move, Sim};
use crate::kernel::world::layout::Layout;
use crate::kernel::world::machine::OpResult;
use crate::kernel::world::objects::OpValue;
use crate::kernel::world::plan::Op;
use crate::kernel::world::{OpId, World};
use std::collections::{BTreeMap, BTreeSet};

/// What of a run is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Show {
    /// Every step, or only those that findings speak of.
    pub steps: bool,
    /// The state that no kernel has, too.
    pub ghosts: bool,
    /// The last steps that changed what a finding is about, too.
    pub trail: bool,
}

/// So many steps of a finding's trail are kept.
const TRAIL: usize = 4;

/// So many steps are looked at for a trail: most change something that is not shown.
const TRACKED: usize = 64;

/// A finding with the numbers of the steps that it speaks of.
struct Found {
    finding: Finding,
    first: Option<usize>,
    /// The last steps that changed the evidence, newest first.
    tracked: Vec<usize>,
    evidence: Vec<u32>,
}

/// Describes a run.
pub fn report(start: &Sim, run: &Run, setting: Setting, show: Show) -> Report {
    let (mut found, mut end, broken_at) = judge(start, run);
    if !show.trail {
        found.iter_mut().for_each(|f| f.tracked.clear());
    }
    let wanted = wanted(&found, &end);
    let described = describe(start, run, show, &wanted);
    for found in &mut found {
        fill(found, &described);
    }
    end.waits.iter_mut().for_each(|wait| name_steps(&mut wait.holders, &described));
    let verdicts = verdicts(run, &broken_at);
    let steps: Vec<Step> = described.into_values().map(|d| d.step).collect();
    let findings: Vec<Finding> = found.into_iter().map(|f| f.finding).collect();
    let agents = columns(start, run, &end);
    let prices = Vec::new();
    Report { format: FORMAT, setting, agents, steps, findings, end, verdicts, prices, about: None }
}

/// What the end of a run is about: some cells, and the last steps that changed them.
pub fn about(start: &Sim, run: &Run, cells: impl Fn(&World) -> Vec<u32>) -> About {
    let mut player = Player::new(start);
    run.moves.iter().for_each(|&mv| {
        player.play(mv);
    });
    let cells = cells(&player.sim.world);
    let tracked = tracked(&player, &cells, player.step + 1);
    let wanted: Vec<usize> = tracked.iter().rev().copied().collect();
    let described = describe(start, run, Show::default(), &wanted);
    let now = cells.iter().map(|&c| words::state(&player.sim.world, c)).collect();
    About { trail: trail(&tracked, &cells, &described), now }
}

/// The agents that moved or still wait, in the order of the scenario.
fn columns(start: &Sim, run: &Run, end: &End) -> Vec<String> {
    let mut moved = vec![false; start.agents()];
    run.moves.iter().for_each(|mv| moved[mv.agent as usize] = true);
    let names = (0..start.agents() as Agent).map(|a| (a, agents::name(start, a)));
    let seen = |(a, name): &(Agent, String)| {
        moved[*a as usize] || end.waits.iter().any(|w| w.agent == *name)
    };
    names.filter(seen).map(|(_, name)| name).collect()
}

fn verdicts(run: &Run, broken_at: &BTreeMap<usize, usize>) -> Vec<Verdict> {
    let verdict = |(i, invariant): (usize, &crate::kernel::invariant::Invariant)| {
        let verdict = match (run.broken.has(i), run.reached.has(i)) {
            (true, _) => "broken",
            (false, true) => "held",
            (false, false) => "vacuous",
        };
        Verdict { invariant: invariant.name, verdict, step: broken_at.get(&i).copied() }
    };
    TABLE.iter().enumerate().map(verdict).collect()
}

// --- first pass: what was broken -------------------------------------------------------------

/// Plays the run and collects findings, how it ended, and the step that first broke each
/// invariant.
fn judge(start: &Sim, run: &Run) -> (Vec<Found>, End, BTreeMap<usize, usize>) {
    let mut player = Player::new(start);
    let mut found: Vec<Found> = Vec::new();
    let mut at: BTreeMap<usize, usize> = BTreeMap::new();
    let mut place: BTreeMap<usize, usize> = BTreeMap::new();
    for &mv in &run.moves {
        let label = player.sim.label(mv.agent);
        let stack = stack(&player.sim, mv.agent);
        let (stepped, _) = player.play(mv);
        if stepped.broken.is_empty() {
            continue;
        }
        let broken: Vec<Broken> = player.sim.findings().to_vec();
        for i in stepped.broken.iter() {
            if let Some(&n) = place.get(&i) {
                found[n].finding.times += 1;
                continue;
            }
            let Some(broken) = broken.iter().find(|b| b.invariant == i) else { continue };
            at.insert(i, player.step);
            place.insert(i, found.len());
            let second = Half {
                step: player.step,
                agent: agents::name(&player.sim, mv.agent),
                does: label.map(agents::step_words).unwrap_or_default(),
                changed: String::new(),
                stack: stack.clone(),
            };
            found.push(look(&player, broken, mv.agent, second));
        }
    }
    let how = match run.ending {
        Some(Ending::Finished) => "finished",
        Some(Ending::Deadlock) => "deadlock",
        Some(Ending::Stall) => "stall",
        Some(Ending::Cut) => "cut",
        None => "limit",
    };
    let waits = if how == "finished" { Vec::new() } else { player.waits() };
    let time_ns = run.times_ns.last().copied();
    (found, End { steps: run.moves.len(), time_ns, how, waits }, at)
}

/// Looks at a finding in the state in which it was made.
fn look(player: &Player, broken: &Broken, mover: Agent, second: Half) -> Found {
    let w = &player.sim.world;
    let invariant = &TABLE[broken.invariant];
    let evidence = finding::evidence(broken);
    let about_waits = finding::is_about_waits(broken);
    let first = match about_waits {
        true => None,
        false => {
            let other = |&c: &u32| player.history.last_by_others(c, mover, player.step);
            evidence.iter().filter_map(other).max()
        }
    };
    let holders = match about_waits {
        true => Vec::new(),
        false => {
            let frames = finding::frames(w, broken);
            frames.into_iter().flat_map(|f| player.holders_of(f)).collect()
        }
    };
    let finding = Finding {
        invariant: invariant.name,
        rule: one_line(invariant.doc),
        source: invariant.source,
        seen: finding::seen(w, broken.subject),
        first: None,
        second,
        evidence: match about_waits {
            true => Vec::new(),
            false => evidence.iter().map(|&c| words::state(w, c)).collect(),
        },
        holders,
        waits: if about_waits { player.waits() } else { Vec::new() },
        trail: Vec::new(),
        times: 1,
    };
    let tracked = match about_waits {
        true => Vec::new(),
        false => tracked(player, &evidence, player.step),
    };
    Found { finding, first, tracked, evidence }
}

/// The last steps before one that changed one of these cells, newest first.
fn tracked(player: &Player, cells: &[u32], before: usize) -> Vec<usize> {
    let steps = cells.iter().flat_map(|&c| player.history.steps(c, before).take(TRACKED));
    let steps: BTreeSet<usize> = steps.collect();
    steps.into_iter().rev().take(TRACKED).collect()
}

/// A doc text on one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn stack(sim: &Sim, agent: Agent) -> Vec<&'static str> {
    sim.stack(agent).map(|r| r.name()).collect()
}

/// The steps that findings and waits speak of.
fn wanted(found: &[Found], end: &End) -> Vec<usize> {
    let mut steps = Vec::new();
    let of_waits = |waits: &[Wait], steps: &mut Vec<usize>| {
        for wait in waits {
            steps.push(wait.since);
            steps.extend(wait.holders.iter().filter_map(|h| h.since));
        }
    };
    for Found { finding, first, tracked, .. } in found {
        steps.push(finding.second.step);
        steps.extend(*first);
        steps.extend(tracked);
        steps.extend(finding.holders.iter().filter_map(|h| h.since));
        of_waits(&finding.waits, &mut steps);
    }
    of_waits(&end.waits, &mut steps);
    steps.sort_unstable();
    steps.dedup();
    steps
}

// --- second pass: the steps in words ---------------------------------------------------------

/// A described step, with the cells that its changes belong to.
struct Described {
    step: Step,
    cells: Vec<u32>,
}

fn describe(start: &Sim, run: &Run, show: Show, wanted: &[usize]) -> BTreeMap<usize, Described> {
    let mut player = Player::new(start);
    let mut in_op = vec![false; start.agents()];
    let mut out = BTreeMap::new();
    for (i, &mv) in run.moves.iter().enumerate() {
        let n = i + 1;
        let op = operation(&player.sim, mv.agent);
        let begins = op.filter(|_| !std::mem::replace(&mut in_op[mv.agent as usize], true));
        let before = wanted.binary_search(&n).is_ok() || show.steps;
        let blank = before.then(|| blank(&player.sim, mv, n, run.times_ns.get(i).copied()));
        let (stepped, moved) = player.play(mv);
        let returns = op.and_then(|op| returned(&player.sim, op));
        if returns.is_some() {
            in_op[mv.agent as usize] = false;
        }
        let Some(mut step) = blank else { continue };
        let w = &player.sim.world;
        step.begins = begins.and_then(|op| call(&w.map, op));
        step.returns = returns.filter(|_| op.is_some_and(|op| call(&w.map, op).is_some()));
        step.breaks = stepped.broken.iter().map(|i| TABLE[i].name).collect();
        let cells = changes(&player.sim, show.ghosts, &mut step.changes);
        waits(&player, &moved, &mut step);
        out.insert(n, Described { step, cells });
    }
    out
}

/// A step before it is made.
fn blank(sim: &Sim, mv: Move, n: usize, time_ns: Option<u64>) -> Step {
    let label = sim.label(mv.agent);
    Step {
        n,
        time_ns,
        odds: None,
        agent: agents::name(sim, mv.agent),
        begins: None,
        id: label.map_or("", |l| l.id),
        step: label.map_or("", |l| l.name),
        stack: stack(sim, mv.agent),
        outcome: agents::outcome(sim, mv.agent, usize::from(mv.outcome)),
        changes: Vec::new(),
        returns: None,
        blocks: Vec::new(),
        wakes: Vec::new(),
        breaks: Vec::new(),
    }
}

fn waits(player: &Player, moved: &Moved, step: &mut Step) {
    step.blocks = moved.blocked.iter().map(|&a| player.wait(a)).collect();
    step.wakes = moved.woken.iter().map(|&a| agents::name(&player.sim, a)).collect();
}

/// The operation that a thread is in.
fn operation(sim: &Sim, agent: Agent) -> Option<OpId> {
    sim.world.map.plan.threads.get(agent as usize).map(|_| sim.op(agent))
}

/// An operation of a program.
fn planned(map: &Layout, op: OpId) -> Option<Op> {
    let thread = map.plan.threads.iter().rev().find(|t| t.first_op <= op)?;
    thread.program.get((op.0 - thread.first_op.0) as usize).copied()
}

/// An operation as its caller would write it.
fn call(map: &Layout, op: OpId) -> Option<String> {
    let op = planned(map, op)?;
    // Posts, waits and pauses are one step each, whose own words say it all.
    let own = matches!(op, Op::Post { .. } | Op::Wait { .. } | Op::Sleep { .. });
    (!own).then(|| names::operation(map, op))
}

/// What the operation returned, if it ended with the last step.
fn returned(sim: &Sim, op: OpId) -> Option<Returned> {
    let w = &sim.world;
    let cell = w.cell::<OpResult>(op);
    if !w.since(sim.last_mark()).iter().any(|c| c.cell == cell) {
        return None;
    }
    let value = w.get::<OpResult>(op).ret();
    let word = if value < 0 { format!("-{}", errno::name(value)) } else { value.to_string() };
    let planned = planned(&w.map, op);
    let reads = value >= 0 && planned.is_some_and(names::reads);
    let seen = if reads { names::contents(w, w.get::<OpValue>(op).0) } else { String::new() };
    Some(Returned { value, word, seen, told: planned.is_some_and(names::is_call) })
}

/// What the last step changed, each cell once; gives the cells.
fn changes(sim: &Sim, ghosts: bool, out: &mut Vec<Change>) -> Vec<u32> {
    let w = &sim.world;
    let all = w.since(sim.last_mark());
    let mut cells = Vec::new();
    for (n, change) in all.iter().enumerate() {
        // The first note of a cell has the value before the step.
        if all[..n].iter().any(|c| c.cell == change.cell) {
            continue;
        }
        if let Some(words) = words::change(w, change.cell, change.old, ghosts) {
            out.push(words);
            cells.push(change.cell);
        }
    }
    cells
}

// --- putting both together -------------------------------------------------------------------

/// What a step changed of some cells.
fn changed_of<'a>(
    cells: &[u32],
    described: &'a BTreeMap<usize, Described>,
    step: usize,
) -> Vec<&'a Change> {
    let Some(d) = described.get(&step) else { return Vec::new() };
    let on = |(cell, _): &(&u32, &Change)| cells.contains(cell);
    d.cells.iter().zip(&d.step.changes).filter(on).map(|b| b.1).collect()
}

/// The last of the tracked steps that changed some cells in a way that is shown, in order.
fn trail(
    tracked: &[usize],
    cells: &[u32],
    described: &BTreeMap<usize, Described>,
) -> Vec<(usize, String)> {
    // That a page has been looked at proves nothing.
    let tells = |changes: &Vec<&Change>| changes.iter().any(|c| c.words != "referenced");
    let changed = tracked.iter().map(|&n| (n, changed_of(cells, described, n)));
    let told = changed.filter(|(_, some)| tells(some)).take(TRAIL);
    let mut trail: Vec<(usize, String)> = told.map(|(n, some)| (n, in_words(&some))).collect();
    trail.reverse();
    trail
}

/// Fills in what a finding says of earlier steps.
fn fill(found: &mut Found, described: &BTreeMap<usize, Described>) {
    let changed =
        |step: usize| match (changed_of(&found.evidence, described, step), described.get(&step)) {
            (some, Some(d)) if some.is_empty() => {
                in_words(&d.step.changes.iter().collect::<Vec<_>>())
            }
            (some, _) => in_words(&some),
        };
    found.finding.trail = trail(&found.tracked, &found.evidence, described);
    let first = found.first.and_then(|n| {
        let step = &described.get(&n)?.step;
        let (agent, does) = (step.agent.clone(), step_words(step));
        Some(Half { step: n, agent, does, changed: changed(n), stack: step.stack.clone() })
    });
    found.finding.second.changed = changed(found.finding.second.step);
    found.finding.first = first;
    name_steps(&mut found.finding.holders, described);
    for wait in &mut found.finding.waits {
        name_steps(&mut wait.holders, described);
    }
}

fn name_steps(holders: &mut [Holder], described: &BTreeMap<usize, Described>) {
    for holder in holders {
        let step = holder.since.and_then(|n| described.get(&n));
        holder.by = step.map(|d| step_words(&d.step));
    }
}

/// A step's number in docs/model.md and the kernel's words.
pub fn step_words(step: &Step) -> String {
    if step.id.is_empty() { step.step.to_string() } else { format!("{} {}", step.id, step.step) }
}

/// Changes in words, the object named once for those that follow each other.
pub fn in_words(changes: &[&Change]) -> String {
    let mut out = String::new();
    let mut last = "";
    for change in changes {
        if !out.is_empty() {
            out.push_str(if change.object == last { ", " } else { "; " });
        }
        if change.object != last {
            out.push_str(&change.object);
            out.push_str(": ");
        }
        out.push_str(&change.words);
        last = &change.object;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::world::Kind;

    fn change(object: &str, words: &str) -> Change {
        let facet = Kind::Flags.label();
        let (object, words) = (object.to_string(), words.to_string());
        Change { object, facet, ghost: false, fields: Vec::new(), words }
    }

    #[test]
    fn an_object_is_named_once_for_changes_that_follow_each_other() {
        let list = [
            change("data[0] folio", "!dirty"),
            change("data[0] folio", "refcount 1 -> 2"),
            change("cache data[0]", "!tag dirty"),
        ];
        let words = in_words(&list.iter().collect::<Vec<_>>());
        assert_eq!(words, "data[0] folio: !dirty, refcount 1 -> 2; cache data[0]: !tag dirty");
    }
}
