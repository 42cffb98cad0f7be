//! What happened in a step that leaves no trace in the state, for invariants to judge.
//!
//! An actor states facts; it knows nothing of invariants. Facts live for one step only and are
//! no part of the state.

use super::contents::Contents;
use super::ids::*;
use super::plan::Part;
use super::view::Mention;
use std::hash::{Hash, Hasher};

/// A frame together with the generation that its user was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// The frame.
    pub frame: Frame,
    /// Its generation when the user got it; a freed frame has another one.
    pub generation: u16,
}

impl Hash for Page {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.frame.hash(state);
        Mention::Generation(self.frame, self.generation).pass(state);
    }
}

/// Who touches a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Toucher {
    /// A user's load or store.
    Cpu,
    /// The kernel itself (copy_from_user, writeback's checksum, struct page accesses).
    Kernel,
    /// A device.
    Device,
}

/// Something that happened in a step.
#[allow(missing_docs, reason = "the fields are named in the variant's own entry")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fact {
    /// Somebody read or wrote a frame; `freed`: its generation had changed by then
    /// ([`World::touch`](super::World::touch)).
    Touch { page: Page, write: bool, by: Toucher, freed: bool },
    /// A device transferred a part of a page of a region.
    Dma { at: RegionPage, page: Page, write: bool, part: Part },
    /// A transfer into a page of a region was reported complete to the driver.
    DmaDone { at: RegionPage, page: Page, wrote: Contents },
    /// A remote peer received a part of a page of a region.
    RemoteGot { at: RegionPage, part: Part, got: Contents },
    /// A device has got all the data of a bio that writes; whether it accepts them comes next.
    Transferred { tag: Tag, block: Block },
    /// A bio's data are the contents of its block now.
    BlockWritten { tag: Tag, block: Block },
    /// The strategy was asked whether a folio may be pinned, and answered. `then`: it was pinned
    /// when the first look was taken; where the answer takes several, a pin that comes later comes
    /// too late to be seen.
    PinAsked { frame: Frame, answer: bool, then: bool },
    /// A CPU stored through a translation.
    Stored { at: VPage, frame: Frame, through_tlb: bool },
    /// The count in a struct page was used, to take a reference or to drop one.
    StructPageUsed { frame: Frame },
    /// A user (load, read) or the disk image after a crash showed contents of a page of a file;
    /// `left`: from a folio that has left the file since the user found it there.
    Shown { at: FilePage, contents: Contents, left: bool },
    /// Something that may sleep was called; `atomic`: in an interrupt or with interrupts off
    /// ([`World::may_sleep`](super::World::may_sleep)).
    MaySleep { actor: Actor, atomic: bool },
    /// A lock was taken, or a lock that is taken and released within the step; `under`: the
    /// classes that the agent held, one bit each ([`World::held_classes`](super::World)).
    Locked { actor: Actor, class: super::machine::LockClass, under: u16 },
    /// `mmu_notifier_invalidate_range_start` returned for a page.
    RangeStarted { at: VPage },
    /// A folio became dirty.
    Dirtied { frame: Frame },
    /// Power was lost.
    Crashed,
    /// An operation of an agent's program returned: 0 or a count, or a negative errno.
    Returned { actor: Actor, op: OpId, ret: i32 },
    /// An agent began to wait.
    Blocked { actor: Actor },
    /// Nothing more can happen.
    Ended,
}

macro_rules! fact_kinds {
    ($($name:ident)+) => {
        /// The kinds of facts, by which invariants say what they listen to.
        #[allow(missing_docs, reason = "the same names as those of Fact, which has the entries")]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum FactKind { $($name,)+ }

        impl FactKind {
            /// Number of kinds.
            pub const COUNT: usize = [$(FactKind::$name,)+].len();
        }

        impl Fact {
            /// Its kind.
            #[inline]
            pub fn kind(&self) -> FactKind {
                match self { $(Fact::$name { .. } => FactKind::$name,)+ }
            }
        }
    };
}

fact_kinds! {
    Touch Dma DmaDone RemoteGot Transferred BlockWritten PinAsked Stored StructPageUsed Shown
    MaySleep Locked
    RangeStarted Dirtied Crashed Returned Blocked Ended
}
