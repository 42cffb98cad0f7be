//! Page faults (`handle_mm_fault`).

use super::errno::EFAULT;
use super::step::*;
use crate::kernel::world::VPage;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;

/// A page fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fault {
    at: VPage,
    write: bool,
}

impl Fault {
    /// `handle_mm_fault` with mmap_lock held shared by the caller.
    pub fn locked(at: VPage, write: bool) -> Fault {
        Fault { at, write }
    }
}

impl Machine for Fault {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "handle_mm_fault", Cost::Fault)
    }

    fn step(self, _cx: &mut Step, _outcome: u8) -> Next {
        Next::Return(-EFAULT)
    }
}
