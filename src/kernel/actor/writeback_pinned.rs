//! What writeback does with a folio that may be pinned: the question, and the answers that have to
//! wait for somebody.
//!
//! Asked with the folio locked and its mappings write-protected: a pin that is taken for writing
//! after the question has to fault, and its page_mkwrite waits for the folio lock. A pin that is
//! there already shows in the counts, and a GUP-fast that has not counted yet finds its entry
//! changed and backs off (F13). Jan Kara put the question in the same place
//! (`folio_clear_dirty_for_io`, RFC of 9 February 2023).
//!
//! Whoever waits here does so with the folio lock held, as page_mkclean() has it: that is what the
//! proposals to wait came to, and what was said against them.

use super::pin_count::release_kept;
use super::pinned::ask;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::strategy::writeback::{Bounce, Pinned as Verdict};
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{RegionState, RegionUse, Xlat};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::Owner;
use crate::kernel::world::plan::SyncMode;
use crate::kernel::world::price::Price;
use crate::kernel::world::{Frame, Id, Region, RegionPage, World};

/// The question whether a locked folio may be pinned, and what follows. Returns what the pass is to
/// do: [`WRITE`], [`COPY`] or [`SKIP`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WritePinned {
    folio: Frame,
    mode: SyncMode,
    state: State,
}

/// The pass writes the folio as it is.
pub const WRITE: Ret = 0;
/// The pass writes a copy.
pub const COPY: Ret = 1;
/// The pass leaves the folio dirty.
pub const SKIP: Ret = 2;

/// Where it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Before `folio_maybe_dma_pinned`.
    Ask,
    /// Waits for the last pin to be released.
    Unpinned,
    /// Waits for a driver that has pinned the folio and is still registering it.
    Registering(Region),
    /// Before the driver of a region stops the device from using a page.
    Stop(RegionPage),
    /// Waits for the transfers of the page that had begun; then the driver gives it back.
    Drain(RegionPage),
}

impl WritePinned {
    /// The question about a folio, of a pass in this mode. None: the design does not ask.
    pub fn ask(cx: &Step, folio: Frame, mode: SyncMode) -> Option<WritePinned> {
        let asks = cx.strategy.writeback.pinned(mode) != Verdict::Write;
        asks.then_some(WritePinned { folio, mode, state: State::Ask })
    }

    /// How the copy is made, if one is to be written.
    pub fn bounce(cx: &Step, mode: SyncMode, answer: Ret) -> Option<Bounce> {
        match cx.strategy.writeback.pinned(mode) {
            Verdict::Bounce(bounce) if answer == COPY => Some(bounce),
            _ => None,
        }
    }

    fn go(self, state: State) -> Next {
        WritePinned { state, ..self }.into()
    }

    fn answered(self, cx: &mut Step, pinned: bool) -> Next {
        match cx.strategy.writeback.pinned(self.mode) {
            Verdict::Write => Next::Return(WRITE),
            _ if !pinned => Next::Return(WRITE),
            Verdict::Bounce(_) => Next::Return(COPY),
            Verdict::Skip => {
                cx.w.prices.add(Price::Skipped, 1);
                Next::Return(SKIP)
            }
            Verdict::Wait => {
                cx.might_sleep();
                self.go(State::Unpinned)
            }
            Verdict::Revoke => {
                cx.might_sleep();
                self.revoke(cx)
            }
        }
    }

    /// The next driver to be asked; if none is left, the rest is waited for.
    fn revoke(self, cx: &Step) -> Next {
        match holder(cx, self.folio) {
            Some((region, at)) => match cx.get::<RegionState>(region).state() {
                RegionUse::Registered => self.go(State::Stop(at)),
                _ => self.go(State::Registering(region)),
            },
            None => self.go(State::Unpinned),
        }
    }

    /// The driver gives the page back: the pin goes. It need not say that the page was written
    /// to: the page is dirty, or it would not be written now.
    fn give_back(self, cx: &mut Step, at: RegionPage) -> Next {
        let kept = cx.map.pin_of(at);
        cx.set(at, Xlat::new());
        release_kept(cx, kept, self).unwrap_or_else(|| self.revoke(cx))
    }
}

/// A region that has pinned a folio and whose driver can be asked to give it back: one that is
/// registered, or that has never been and is about to be.
fn holder(w: &World, folio: Frame) -> Option<(Region, RegionPage)> {
    let regions = (0..w.map.plan.regions.len() as u32).map(Region);
    let asked = regions.filter(|&r| {
        let obeys = w.map.plan.devices[w.map.device_of(r).index()].revocable;
        let state = w.get::<RegionState>(r).state();
        obeys && matches!(state, RegionUse::Registered | RegionUse::None)
    });
    let pages = asked
        .flat_map(|r| w.map.region_pages[r.index()].clone().map(move |page| (r, RegionPage(page))));
    pages.into_iter().find(|&(_, at)| w.keeps(w.map.pin_of(at), folio))
}

impl Machine for WritePinned {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            // Locked, the folio stays where it is.
            State::Unpinned => match cx.w.get::<Owner>(self.folio).file_page() {
                Some(at) => Need::unpinned(cx.w, self.folio, at),
                None => Need::Unpinned(self.folio),
            },
            State::Registering(region) => Need::RegionReady(region),
            State::Drain(at) if cx.strategy.keeps(Guard::RevokeDrain) => Need::XlatQuiet(at),
            State::Ask | State::Stop(_) | State::Drain(_) => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.state {
            State::Ask => Label::new("B7", "folio_maybe_dma_pinned", Cost::Atomic),
            State::Unpinned => Label::new("", "wait for the last pin", Cost::Wake),
            State::Registering(_) => Label::new("", "revoke: wait for the driver", Cost::Wake),
            State::Stop(_) => Label::new("", "revoke: the device stops", Cost::Command),
            State::Drain(_) => Label::new("", "revoke: the page comes back", Cost::Wake),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.state {
            State::Ask => match ask(cx, self.folio, self) {
                Ok(pinned) => self.answered(cx, pinned),
                Err(several_steps) => several_steps,
            },
            State::Unpinned => {
                cx.w.prices.add(Price::Wakes, 1);
                Next::Return(WRITE)
            }
            State::Registering(_) => self.revoke(cx),
            State::Stop(at) => {
                cx.update::<Xlat>(at, |x| x.with_valid(false));
                self.go(State::Drain(at))
            }
            State::Drain(at) => self.give_back(cx, at),
        }
    }

    /// The question has been answered, or a pin given back, in several steps.
    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        match self.state {
            State::Ask => self.answered(cx, ret == 1),
            _ => self.revoke(cx),
        }
    }
}
