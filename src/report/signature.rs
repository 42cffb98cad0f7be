//! What makes two failures the same: the invariant, and the two steps that conflict.

use super::finding;
use super::player::Player;
use crate::engine::model::Model;
use crate::kernel::actor::Label;
use crate::kernel::invariant::TABLE;
use crate::kernel::sim::{Move, Sim};

/// What broke, and between which two steps. Threads and pages are left out: the same race of
/// another thread on another page is the same failure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Signature {
    /// The invariant, by its place in the table.
    pub invariant: usize,
    /// The kernel's words for the last step of another agent that wrote some of the evidence;
    /// empty if there is none.
    pub first: &'static str,
    /// The kernel's words for the step that broke it; empty if only the end of the run did.
    pub second: &'static str,
}

impl Signature {
    /// The name of the invariant.
    pub fn invariant(&self) -> &'static str {
        TABLE.get(self.invariant).map_or("", |i| i.name)
    }

    /// The two steps in words.
    pub fn steps(&self) -> String {
        between(self.first, self.second)
    }
}

/// The two steps of a [`Signature`] in words.
pub fn between(first: &str, second: &str) -> String {
    match (first, second) {
        ("", "") => "at the end".into(),
        ("", second) => second.into(),
        (first, second) => format!("{first} / {second}"),
    }
}

/// A failure in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed {
    /// What makes it the same as others.
    pub signature: Signature,
    /// Moves up to and including the one that broke the invariant for the first time.
    pub steps: usize,
}

/// The failures of a run, each invariant once, in the order in which they happened.
pub fn failures(start: &Sim, moves: &[Move]) -> Vec<Failed> {
    let mut player = Player::new(start);
    let mut labels: Vec<Option<Label>> = Vec::with_capacity(moves.len());
    let mut found: Vec<Failed> = Vec::new();
    let known = |found: &[Failed], i| found.iter().any(|f| f.signature.invariant == i);
    let name = |label: Option<Label>| label.map_or("", |l| l.name);
    for &mv in moves {
        labels.push(player.sim.label(mv.agent));
        let (stepped, _) = player.play(mv);
        for i in stepped.broken.iter() {
            let broken = player.sim.findings().iter().find(|b| b.invariant == i);
            let Some(broken) = broken.filter(|_| !known(&found, i)) else { continue };
            let last = |&c: &u32| player.history.last_by_others(c, mv.agent, player.step);
            let first = match finding::is_about_waits(broken) {
                true => None,
                false => finding::evidence(broken).iter().filter_map(last).max(),
            };
            let first = first.and_then(|n| labels.get(n - 1).copied().flatten());
            let second = name(labels.last().copied().flatten());
            let signature = Signature { invariant: i, first: name(first), second };
            found.push(Failed { signature, steps: player.step });
        }
    }
    if player.sim.ready() == 0 {
        for i in super::run::broken_by(player.sim.ending()).iter() {
            if !known(&found, i) {
                let signature = Signature { invariant: i, first: "", second: "" };
                found.push(Failed { signature, steps: player.step });
            }
        }
    }
    found
}
