//! Looking at a state under a reduction: whose moves are tried, and who sleeps afterwards.
//!
//! A state comes up with agents that sleep: what they would do was tried before, in another order.
//! It is known by who has slept there each time. If that becomes fewer, the state is looked at
//! again, for those that woke up, and the others' moves are made again so that fewer sleep behind
//! them, too. In the end everybody sleeps where all ways to a state allow it and nowhere else,
//! whatever the order in which the ways were gone: the greatest solution of a set of equations.

use super::search::{Todo, Worker};
use super::visited::{NEW, Seen};
use crate::engine::model::Model;
use crate::engine::reduce::Agents;
use crate::engine::reduce::guide::Guide;

/// Agents to try, of which `counted` for the first time, and whoever sleeps behind their moves
/// unless it is woken: `asleep`, and each of `order` behind the later ones.
#[derive(Clone, Copy)]
struct Choice {
    tried: Agents,
    counted: Agents,
    asleep: Agents,
    order: Agents,
}

impl<M: Model, S: Seen> Worker<'_, M, S> {
    /// Looks at the present state for the agents that are awake in it now.
    pub(super) fn expand_guided(&mut self, moves: &[M::Move], awake: Agents, guide: &mut Guide) {
        let enabled = moves.iter().fold(0, |all: Agents, &m| all | 1 << self.model.agent(m));
        let set = guide.look(&self.model, enabled);
        let order = self.order(moves);
        let new = awake & NEW != 0;
        guide.open += if new { moves.len() as u64 } else { 0 };
        if moves.is_empty() {
            if new {
                self.end();
            }
            return;
        }
        if guide.sleeps() {
            let asleep = self.seen.asleep(self.model.fingerprint());
            let up = set & !asleep;
            let tried = if new { up & awake } else { up };
            let choice = Choice { tried, counted: up & awake, asleep, order: set };
            self.try_agents(order, choice, guide);
            return;
        }
        let choice = Choice { tried: set, counted: set, asleep: 0, order: 0 };
        // A run that goes round a circle might put an agent off for ever: all are tried there.
        if self.try_agents(order.clone(), choice, guide) {
            let rest = enabled & !set;
            self.try_agents(order, Choice { tried: rest, counted: rest, ..choice }, guide);
        }
    }

    /// Tries moves; says whether one went back to where its agent may have been before.
    fn try_agents(
        &mut self,
        moves: impl Iterator<Item = M::Move>,
        choice: Choice,
        guide: &mut Guide,
    ) -> bool {
        let mut back = false;
        for mv in moves {
            let agent = self.model.agent(mv);
            let (me, before): (Agents, Agents) = (1 << agent, (1 << agent) - 1);
            if choice.tried & me == 0 {
                continue;
            }
            let asleep = guide.undisturbed(agent, choice.asleep | choice.order & before);
            let stepped = self.attempt(mv);
            if choice.counted & me != 0 {
                self.count(mv, stepped);
                back |= guide.made(&self.model, agent);
            }
            let awake = self.seen.meet(self.model.fingerprint(), asleep);
            if awake == 0 {
                self.retreat();
                continue;
            }
            self.tally.states += u64::from(awake & NEW != 0);
            self.todo.push(Todo { mv, used: 0, awake });
        }
        back
    }
}
