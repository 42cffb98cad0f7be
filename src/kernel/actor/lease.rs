//! Layout leases from their holder's side: taking one, and letting go when asked.
//!
//! `--truncate lease` (claim 41: ask the program, wait, then be mean) breaks them
//! ([`BreakLayouts`](super::dax_layout::BreakLayouts)). Modelled after `F_SETLEASE` and
//! `lease_break_time` (fs/locks.c) and the "layout lease" of the file with a registered region.

use super::errno::{EAGAIN, EINVAL, ETIMEDOUT};
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Lease, LeaseState};
use crate::kernel::world::{Actor, File};

/// A call of a lease's holder.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LeaseCall {
    /// `fcntl(F_SETLEASE)`: -EAGAIN while another holder has one or it is being broken.
    Take(File),
    /// The holder waits to be asked (SIGIO of `lease_break_callback`).
    Await(File),
    /// The holder waits to be asked, and lets go: what it pinned has been released. -ETIMEDOUT:
    /// too late, the lease is broken already; -EINVAL: somebody else's lease.
    Answer(File),
}

impl Machine for LeaseCall {
    fn need(self, _cx: &Scene) -> Need {
        match self {
            LeaseCall::Take(_) => Need::Nothing,
            LeaseCall::Await(file) | LeaseCall::Answer(file) => Need::LeaseAsked(file),
        }
    }

    fn label(self) -> Label {
        match self {
            LeaseCall::Take(_) => Label::new("", "F_SETLEASE", Cost::Syscall),
            LeaseCall::Await(_) => Label::new("", "SIGIO: lease break", Cost::Wake),
            LeaseCall::Answer(_) => Label::new("", "F_SETLEASE(F_UNLCK)", Cost::Syscall),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let me = Actor::pack(Some(cx.me));
        match self {
            LeaseCall::Take(file) => {
                let state = cx.get::<Lease>(file).state();
                let taken = matches!(state, LeaseState::Held | LeaseState::Breaking);
                if taken && cx.strategy.keeps(Guard::LeaseOneHolder) {
                    return Next::Return(-EAGAIN);
                }
                cx.set(file, Lease::new().with_state(LeaseState::Held).with_holder(me));
                Next::Return(0)
            }
            LeaseCall::Await(_) => Next::Return(0),
            LeaseCall::Answer(file) => {
                let lease = cx.get::<Lease>(file);
                if lease.holder() != me {
                    return Next::Return(-EINVAL);
                }
                let late = lease.state() == LeaseState::Broken;
                if late && cx.strategy.keeps(Guard::LeaseAnswerLate) {
                    return Next::Return(-ETIMEDOUT);
                }
                cx.set(file, lease.with_state(LeaseState::Released));
                Next::Return(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::kernel::sim::Sim;
    use crate::kernel::world::plan::{DeviceKind, Op, Role};

    const FILE: File = File(0);

    #[test]
    fn a_lease_has_one_holder() {
        let mut plan = device_machine(DeviceKind::Nic, 1);
        let first = thread(&mut plan, &[Op::TakeLease { file: FILE }]);
        let second = thread(&mut plan, &[Op::TakeLease { file: FILE }]);
        let mut sim = Sim::new(plan, strategy());
        run_agent(&mut sim, 0, |_| false);
        run_agent(&mut sim, 1, |_| false);
        assert_eq!((result(&sim, first), result(&sim, second)), (Some(0), Some(-EAGAIN)));
    }

    #[test]
    fn a_holder_answers_a_break_unless_the_timeout_came_first() {
        for (timeout, answer, left) in
            [(false, 0, LeaseState::Released), (true, -ETIMEDOUT, LeaseState::Broken)]
        {
            let mut plan = device_machine(DeviceKind::Nic, 1);
            let pause = Op::Sleep { ns: 0 };
            let first = thread(&mut plan, &[pause, Op::AnswerLease { file: FILE }]);
            let clock = vec![pause, Op::LeaseTimeout { file: FILE }];
            thread_of(&mut plan, "clock", Role::Chance, &clock);
            let mut sim = Sim::new(plan, strategy());
            let asked = Lease::new().with_state(LeaseState::Breaking);
            sim.world.set(FILE, asked.with_holder(Actor::pack(Some(Actor(0)))));
            if timeout {
                run_agent(&mut sim, 1, |_| false);
            }
            run_agent(&mut sim, 0, |_| false);
            assert_eq!(result(&sim, first.plus(1)), Some(answer));
            assert_eq!(sim.world.get::<Lease>(FILE).state(), left);
        }
    }
}
