//! How a step ended, as the invariants see it.

use super::{Class, Sim};
use crate::kernel::actor::Routine;
use crate::kernel::invariant::judge::{Broken, Verdicts, judge, judge_all};
use crate::kernel::invariant::{self, LOCK_ORDER, LockGraph, TABLE};
use crate::kernel::ready::ReadySet;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::machine::{ActorState, Power, Verdict};
use crate::kernel::world::need::Need;
use crate::kernel::world::{Actor, Id, One, OpId, World};

impl Sim {
    /// Whether power has been lost: nothing happens after that.
    #[inline]
    pub(super) fn crashed(&self) -> bool {
        self.world.get::<Power>(One(0)).crashed()
    }

    /// Whether the run is over: all main agents have finished and the services are idle, or
    /// nobody can go on, or power is lost, or the state means nothing any more.
    #[inline]
    pub(super) fn over(&self) -> bool {
        let idle = self.unfinished == 0 && self.ready_of[Class::Service as usize] == 0;
        self.crashed() || self.ready.is_empty() || idle || self.world.get::<Verdict>(One(0)).cut()
    }

    /// Whether nothing happens any more unless by chance.
    pub(super) fn quiet(&self) -> bool {
        self.over() || self.ready.len() == self.ready_of[Class::Chance as usize]
    }

    /// States how the step ended, and lets the invariants judge it.
    pub(super) fn judge(
        &mut self,
        mark: usize,
        mover: Actor,
        at: (OpId, Option<Routine>),
    ) -> Verdicts {
        if !self.judging {
            return Verdicts::default();
        }
        if !self.ready.has(mover.0) && !matches!(self.needs[mover.index()], Need::Never) {
            self.world.facts.push(Fact::Blocked { actor: mover });
        }
        // A crash is no end: memory is gone, only what fsync promised can be asked for.
        let ended = !self.crashed() && self.quiet();
        for fact in &self.world.facts {
            if let Fact::Locked { class, under, .. } = *fact {
                let step = || at.1.map_or("", |routine| routine.label().name);
                self.orders.note(class, under, || (mover, at.0, step()));
            }
        }
        let mut broken = std::mem::take(&mut self.broken);
        broken.clear();
        let changes = self.world.since(mark);
        let mut verdicts = judge(&self.world, &self.waits(), changes, mover, |b| broken.push(b));
        // What is said of an end is no part of the footprint of the step that happened to be the
        // last: it is the same whichever step that is.
        self.world.pause();
        if ended {
            self.world.facts.push(Fact::Ended);
            verdicts.hear(&self.world, &self.waits(), Fact::Ended, mover, |b| broken.push(b));
        }
        self.broken = broken;
        if self.thorough {
            let mut after = self.standing(mover);
            let known = |b: &Broken| {
                [&self.before, &self.broken].iter().any(|l| l.iter().any(|o| o.same(b)))
            };
            after.retain(|b| !known(b));
            self.overlooked = after;
        }
        let new = verdicts.broken.0 & !(1 << LOCK_ORDER);
        if new != 0 {
            let fatal = verdicts.broken.iter().any(|i| TABLE[i].fatal);
            self.world.update::<Verdict>(One(0), |v| {
                v.with_broken(v.broken() | new).with_cut(v.cut() || fatal)
            });
        }
        verdicts
    }

    pub(super) fn waits(&self) -> Waits<'_> {
        Waits {
            world: &self.world,
            needs: &self.needs,
            ready: &self.ready,
            class: &self.class,
            orders: &self.orders,
            finished: self.unfinished == 0 && self.ready_of[Class::Service as usize] == 0,
        }
    }

    /// What is broken in this state, by the slow way.
    pub(super) fn standing(&self, mover: Actor) -> Vec<Broken> {
        let mut standing = Vec::new();
        judge_all(&self.world, &self.waits(), mover, |b| standing.push(b));
        standing
    }
}

/// Who waits for what, for the invariants that look for cycles of waits.
#[derive(Clone, Copy)]
pub struct Waits<'a> {
    world: &'a World,
    needs: &'a [Need],
    ready: &'a ReadySet,
    class: &'a [Class],
    orders: &'a LockGraph,
    finished: bool,
}

impl invariant::Waits for Waits<'_> {
    fn need(&self, actor: Actor) -> Need {
        // Its control state is part of the footprint of whoever looks at it.
        self.world.read::<ActorState>(actor);
        self.needs[actor.index()]
    }
    fn blocked(&self, actor: Actor) -> bool {
        self.world.read::<ActorState>(actor);
        if let Some(cell) = self.needs[actor.index()].cell(self.world) {
            self.world.read_cell(cell);
        }
        !self.ready.has(actor.0) && self.needs[actor.index()] != Need::Never
    }
    fn actors(&self) -> u32 {
        self.needs.len() as u32
    }
    fn main(&self, actor: Actor) -> bool {
        self.class[actor.index()] == Class::Main
    }
    fn finished(&self) -> bool {
        self.finished
    }
    fn orders(&self) -> &LockGraph {
        self.orders
    }
}
