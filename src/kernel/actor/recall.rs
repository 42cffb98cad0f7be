//! Truncate takes a pinned page back from the devices that use it (`--truncate crappy-page`,
//! `lease`, `terminate`, `iommu-fault`).
//!
//! None of this was ever merged. The mails (claims 24-36, 41) say what the device is to do and that
//! "the fs can reuse the blocks" afterwards; so the driver gives the page back. What they leave
//! open and is decided here: the driver's callback runs in truncate, for one page of one region at
//! a time; it waits for the transfers that hold the old translation, because until then the device
//! uses the page; and it takes the pin out of the region, so that deregistration finds it gone.

use super::pin::put;
use super::step::*;
use crate::kernel::strategy::Guard;
use crate::kernel::strategy::truncate::Recall;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::{Pinned, RefType, RegionState, RegionUse, Xlat};
use crate::kernel::world::need::Need;
use crate::kernel::world::plan::DevicePlan;
use crate::kernel::world::price::Price;
use crate::kernel::world::{Device, Frame, Id, Region, RegionPage, World};

/// Takes a page back from every region that has pinned it. Returns 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RecallPage {
    frame: Frame,
    how: Recall,
    state: State,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// The driver of the next region that has pinned the page is called: it takes the pin out of
    /// the region and tells the device, or the IOMMU.
    Call,
    /// The driver waits until no transfer holds the old translation, then drops the pin.
    Drain {
        /// The page of the region.
        at: RegionPage,
        /// It was pinned (else plainly referenced).
        pin: bool,
    },
}

impl RecallPage {
    /// Takes a page back.
    pub fn new(frame: Frame, how: Recall) -> RecallPage {
        RecallPage { frame, how, state: State::Call }
    }

    fn at(self, state: State) -> Next {
        RecallPage { state, ..self }.into()
    }

    fn next(self, cx: &Step) -> Next {
        match pinned_by(cx, self.frame) {
            Some(_) => self.at(State::Call),
            None => Next::Return(0),
        }
    }

    fn call(self, cx: &mut Step) -> Next {
        let Some(at) = pinned_by(cx, self.frame) else { return Next::Return(0) };
        let slot = cx.map.pin_of(at);
        let pin = cx.get::<Pinned>(slot).kind() == RefType::Pin;
        cx.set(slot, Pinned::new());
        let entry = cx.get::<Xlat>(at);
        let held = Xlat::new().with_write(entry.write()).with_told(true).with_busy(entry.busy());
        let region = cx.map.region_of(at);
        let device = device_of(cx, region).clone();
        match self.how {
            Recall::Redirect if device.redirects => {
                cx.set(at, held.with_valid(true).with_crappy(true));
                cx.w.prices.add(Price::Redirected, 1);
            }
            Recall::IommuUnmap => {
                // From the flush of the IOTLB on nothing reaches the page: nobody to wait for.
                cx.set(at, held.with_crappy(true));
                put(cx, self.frame, pin);
                return self.next(cx);
            }
            Recall::Terminate if device.terminates => {
                cx.set(at, held);
                terminate(cx, region);
            }
            Recall::Terminate | Recall::Redirect => {
                cx.set(at, held);
                break_device(cx, cx.map.device_of(region));
            }
        }
        if !cx.strategy.keeps(Guard::RecallDrain) {
            put(cx, self.frame, pin);
            return self.next(cx);
        }
        self.at(State::Drain { at, pin })
    }
}

impl Machine for RecallPage {
    fn need(self, _cx: &Scene) -> Need {
        match self.state {
            State::Call => Need::Nothing,
            State::Drain { at, .. } => Need::XlatQuiet(at),
        }
    }

    fn label(self) -> Label {
        let (name, cost) = match (self.state, self.how) {
            (State::Call, Recall::Redirect) => ("driver: redirect", Cost::Command),
            (State::Call, Recall::Terminate) => ("driver: terminate", Cost::Command),
            (State::Call, Recall::IommuUnmap) => ("iommu_unmap, put_page", Cost::Command),
            (State::Drain { .. }, _) => ("driver: drain, put_page", Cost::Wake),
        };
        Label::new("", name, cost)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.state {
            State::Call => self.call(cx),
            State::Drain { pin, .. } => {
                cx.might_sleep();
                put(cx, self.frame, pin);
                self.next(cx)
            }
        }
    }
}

/// A page of a region that has pinned a folio and can be asked for it: registered, and not being
/// deregistered (the pin is on its way back already).
pub fn pinned_by(w: &World, frame: Frame) -> Option<RegionPage> {
    let usable = |at: &RegionPage| {
        let state = w.get::<RegionState>(w.map.region_of(*at));
        let known = matches!(state.state(), RegionUse::Registered | RegionUse::Terminated);
        known && !state.stopping()
    };
    holding(w, frame).find(usable)
}

/// A region whose registration has pinned a folio and has not come to its end.
pub fn registering(w: &World, frame: Frame) -> Option<Region> {
    let mut regions = holding(w, frame).map(|at| w.map.region_of(at));
    regions.find(|&r| w.get::<RegionState>(r).state() == RegionUse::None)
}

/// Tells the drivers of all regions that have pinned a folio that its file is about to lose it.
pub fn tell(cx: &mut Step, frame: Frame) {
    for at in holding(cx, frame).collect::<Vec<_>>() {
        cx.update::<Xlat>(at, |x| x.with_told(true));
    }
}

/// The pages of regions whose slot holds a page of a folio.
fn holding(w: &World, frame: Frame) -> impl Iterator<Item = RegionPage> + '_ {
    let head = w.head(frame);
    let regions = (0..w.map.plan.regions.len() as u32).map(Region);
    let pages = regions.flat_map(|r| w.map.region_pages[r.index()].clone().map(RegionPage));
    pages.filter(move |&at| w.keeps(w.map.pin_of(at), head))
}

fn device_of(w: &World, region: Region) -> &DevicePlan {
    &w.map.plan.devices[w.map.device_of(region).index()]
}

/// The queue pairs of a region go to the error state: its transfers fail, the program is told.
fn terminate(cx: &mut Step, region: Region) {
    if cx.get::<RegionState>(region).state() == RegionUse::Registered {
        cx.update::<RegionState>(region, |s| s.with_state(RegionUse::Terminated));
    }
}

/// A device is reset or broken: all its regions die ("destroying everything", claim 36).
fn break_device(cx: &mut Step, device: Device) {
    for region in (0..cx.map.plan.regions.len() as u32).map(Region) {
        if cx.map.device_of(region) == device {
            terminate(cx, region);
        }
    }
}

/// The IOMMU has refused an access through an entry of a region.
pub fn iommu_fault(cx: &mut Step, at: RegionPage) {
    let region = cx.map.region_of(at);
    if !device_of(cx, region).survives_faults {
        break_device(cx, cx.map.device_of(region));
    }
}
