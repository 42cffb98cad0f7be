//! What may happen from outside at any moment, or never: power loss, a fatal signal, the timeout
//! of a lease break. A run may end without it.

use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::machine::{ActorState, Power};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Lease, LeaseState};
use crate::kernel::world::{Actor, File, FilePage, One};

/// An outside event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Chance {
    /// Power is lost: everything volatile is gone, and nothing happens any more. What the disks
    /// show afterwards is what they hold without their caches
    /// ([`World::durable_contents`](crate::kernel::world::World::durable_contents)).
    Crash,
    /// A fatal signal (SIGKILL) is delivered: interruptible and killable waits end.
    Signal(Actor),
    /// `lease_break_time` has passed: the holder of a lease that is being broken loses it.
    LeaseTimeout(File),
}

impl Machine for Chance {
    fn need(self, _cx: &Scene) -> Need {
        match self {
            Chance::LeaseTimeout(file) => Need::LeaseBreaking(file),
            Chance::Crash | Chance::Signal(_) => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self {
            Chance::Crash => Label::new("", "power loss", Cost::Chance),
            Chance::Signal(_) => Label::new("", "SIGKILL", Cost::Chance),
            Chance::LeaseTimeout(_) => Label::new("", "lease break timeout", Cost::LeaseTimeout),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self {
            Chance::Crash => crash(cx),
            Chance::Signal(to) => {
                cx.update::<ActorState>(to, |s| s.with_signal(true));
            }
            Chance::LeaseTimeout(file) => {
                cx.update::<Lease>(file, |l| l.with_state(LeaseState::Broken));
            }
        }
        Next::Return(0)
    }
}

fn crash(cx: &mut Step) {
    cx.set(One(0), Power::new().with_crashed(true));
    cx.facts.push(Fact::Crashed);
    for at in (0..cx.map.file_page_count()).map(FilePage) {
        if let Some(contents) = cx.after_crash(at) {
            cx.facts.push(Fact::Shown { at, contents, left: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::engine::model::{Ending, Model};
    use crate::kernel::sim::Sim;
    use crate::kernel::world::plan::{DeviceKind, Op, Role};

    #[test]
    fn a_crash_ends_the_run_wherever_it_is() {
        let mut plan = device_machine(DeviceKind::Nic, 1);
        thread(&mut plan, &[register(1), deregister()]);
        nic(&mut plan, &[Op::DmaWrite { region: MR, page: 0 }]);
        thread_of(&mut plan, "power", Role::Chance, &[Op::Crash]);
        let mut sim = Sim::new(plan, strategy());
        let (mut crashes, mut ended) = (0, 0);
        let (_, endings) = explore_moves(&mut sim, &mut |sim, by| {
            let mut moves = Vec::new();
            sim.moves(&mut moves);
            if by.is_some_and(|mv| mv.agent == 2) {
                crashes += 1;
                assert!(moves.is_empty());
                let facts = &sim.world.facts;
                assert!(facts.contains(&Fact::Crashed));
                assert!(!facts.contains(&Fact::Ended));
            }
            ended += usize::from(moves.is_empty());
        });
        assert!(crashes > 10 && ended > crashes, "{crashes} crashes, {ended} ends");
        assert_eq!(endings.into_iter().collect::<Vec<_>>(), [Ending::Finished]);
    }

    #[test]
    fn a_signal_is_pending_for_its_target_and_may_never_come() {
        let mut plan = device_machine(DeviceKind::Nic, 1);
        thread(&mut plan, &[register(1)]);
        thread_of(&mut plan, "killer", Role::Chance, &[Op::Signal { to: Actor(0) }]);
        let mut sim = Sim::new(plan, strategy());
        let mut pending = [false; 2];
        explore_moves(&mut sim, &mut |sim, _| {
            if sim.ready() == 0 {
                let signal = sim.world.get::<ActorState>(Actor(0)).signal();
                pending[usize::from(signal)] = true;
            }
        });
        assert_eq!(pending, [true, true]);
    }
}
