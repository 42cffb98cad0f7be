//! A program that takes very many references to one page, or pins of it, and keeps them: what
//! vmsplice(2) into pipes that nobody reads, and RDMA registrations of one buffer over and over, do
//! to a count (the bound of the counting bias; the overflow behind commit 8fde12ca79af, 5.1).
//!
//! All of them together are one step: they are alike, and each takes nothing but its page's count.

use super::errno::{E2BIG, EFAULT, ENOMEM};
use super::step::*;
use crate::kernel::world::VPage;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Counts, Pte};
use crate::kernel::world::page::Holder;
use crate::kernel::world::pins::PinCount;
use crate::kernel::world::price::Price;

/// Takes references to, or pins of, a page that is mapped. Returns 0 if it got all; -ENOMEM, with
/// those kept that it got, if `try_get_page` refused the rest; -EFAULT if the page is not mapped;
/// -E2BIG if the design counts in a field that the model has not made wide enough (65 535).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hoard {
    /// The page.
    pub at: VPage,
    /// How many.
    pub count: u32,
    /// Pins; else plain references.
    pub pin: bool,
}

impl Machine for Hoard {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        match self.pin {
            true => Label::new("", "pin over and over", Cost::Syscall),
            false => Label::new("", "vmsplice over and over", Cost::Syscall),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let me = cx.me;
        cx.lock_briefly(me, LockClass::Ptl);
        let pte = cx.get::<Pte>(self.at);
        let Some(frame) = pte.frame().filter(|_| pte.present()) else {
            return Next::Return(-EFAULT);
        };
        let head = cx.head(frame);
        cx.facts.push(Fact::StructPageUsed { frame });
        let adds = if self.pin { cx.pin_adds(head) } else { PinCount::PLAIN };
        let counts = cx.counts(head);
        let room = i64::from(u16::MAX - counts.pins());
        if i64::from(self.count) * i64::from(adds.pins) > room || adds.maps > 0 {
            return Next::Return(-E2BIG);
        }
        // try_get_page refuses once the count is negative: the one that made it so got through.
        let left = i64::from(i32::MAX) - i64::from(counts.refs());
        let most = if counts.refs() > 0 { left / i64::from(adds.refs) + 1 } else { 0 };
        let got = i64::from(self.count).min(most) as u32;
        cx.set(
            head,
            Counts::new()
                .with_refs(counts.refs().wrapping_add(adds.refs.wrapping_mul(got as i32)))
                .with_maps(counts.maps())
                .with_pins(counts.pins() + adds.pins * got as u16),
        );
        let holder = if self.pin { Holder::Pin } else { Holder::Ref };
        cx.hold(head, holder, got as i32);
        cx.prices.add(Price::Pins, if self.pin { u64::from(got) } else { 0 });
        cx.prices.add(Price::PinAtomics, u64::from(got));
        let refs = cx.counts(head).refs();
        cx.prices.peak(Price::RefsPeak, u64::from(refs as u32));
        Next::Return(if got == self.count { 0 } else { -ENOMEM })
    }
}
