//! Transfers of DMA devices: a page in two halves, through a translation that is read once.
//!
//! From the moment at which the hardware has read a translation until the last byte has been
//! transferred, nothing that the kernel does to the translation table can stop the transfer: it
//! holds what it read ([`Xlat::busy`]). That is why a page can be torn, why tearing a translation
//! down has to wait for the device, and why the device is "fully disconnected" from what the
//! filesystem does (Glisse, 17 December 2018). Two things reach a transfer under way: the
//! termination of its region, and the IOMMU. Not modelled: PCIe ordering between transfers, flow
//! control on the wire.

use super::errno::{ECANCELED, EFAULT};
use super::odp::DeviceFault;
use super::recall::iommu_fault;
use super::routine::call;
use super::step::*;
use crate::kernel::strategy::{Guard, Writeback};
use crate::kernel::world::contents::Version;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::{Fact, Page, Toucher};
use crate::kernel::world::machine::{Engaged, RegionState, RegionUse, Xlat};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Newest, OpValue};
use crate::kernel::world::plan::{PAGE_SIZE, Part, WHOLE};
use crate::kernel::world::price::Price;
use crate::kernel::world::{Contents, FilePage, Region, RegionPage, VPage, World};

/// The first half of a page.
const FIRST: Part = (0, PAGE_SIZE as u16 / 2);
/// The second half of a page.
const SECOND: Part = (PAGE_SIZE as u16 / 2, PAGE_SIZE as u16);

/// One transfer of one page of a region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dma {
    /// The device (or its remote peer) begins. A stream waits while its region does not work; a
    /// transfer that the run waits for fails if the region is gone.
    Begin {
        /// The region.
        region: Region,
        /// The page, from 0.
        page: u32,
        /// Into memory.
        write: bool,
    },
    /// The device looks the translation up again after a page fault of its own.
    Translate {
        /// The page.
        at: RegionPage,
        /// Into memory.
        write: bool,
    },
    /// The transfer has been refused: the completion carries an error (remote access error,
    /// flushed work request).
    Fail {
        /// The page.
        at: RegionPage,
        /// The error number.
        errno: i32,
    },
    /// The first half is about to be written.
    WriteFirst {
        /// The page.
        at: RegionPage,
        /// What the translation named; none: redirected to a page of no meaning.
        to: Option<Page>,
    },
    /// The second half is about to be written.
    WriteSecond {
        /// The page.
        at: RegionPage,
        /// What the translation named.
        to: Option<Page>,
        /// What is written.
        version: Contents,
    },
    /// The completion is about to be reported to the driver.
    Complete {
        /// The page.
        at: RegionPage,
        /// What the translation named.
        to: Option<Page>,
        /// What was written.
        version: Contents,
    },
    /// A half is about to be read and sent to the remote peer.
    Read {
        /// The page.
        at: RegionPage,
        /// What the translation named.
        from: Option<Page>,
        /// It is the second half.
        second: bool,
    },
    /// A thread is about to wait until the transfers of a region have completed
    /// (`ib_drain_qp`, `V4L2 DQBUF`).
    Wait(Region),
}

impl Machine for Dma {
    fn need(self, cx: &Scene) -> Need {
        match self {
            Dma::Begin { region, .. } => {
                let thread = cx.w.map.plan.threads.get(cx.me.0 as usize);
                match thread.is_some_and(|t| t.background) {
                    true => Need::RegionUsable(region),
                    false => Need::RegionReady(region),
                }
            }
            Dma::Wait(region) => Need::RegionQuiet(region),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self {
            Dma::Begin { .. } => Label::new("", "DMA: translate", Cost::Step),
            Dma::Translate { .. } => Label::new("", "DMA: translate again", Cost::Step),
            Dma::Fail { .. } => Label::new("", "DMA: completion with error", Cost::Step),
            Dma::WriteFirst { .. } => Label::new("", "DMA: write first half", Cost::DmaHalf),
            Dma::WriteSecond { .. } => Label::new("", "DMA: write second half", Cost::DmaHalf),
            Dma::Complete { .. } => Label::new("", "DMA: completion", Cost::Step),
            Dma::Read { second: false, .. } => {
                Label::new("", "DMA: read first half", Cost::DmaHalf)
            }
            Dma::Read { .. } => Label::new("", "DMA: read second half", Cost::DmaHalf),
            Dma::Wait(_) => Label::new("", "wait for completions", Cost::Wake),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self {
            Dma::Begin { region, page, write } => begin(cx, region, page, write),
            Dma::Translate { at, write } => match refusal(cx, at, write) {
                Some(errno) => fail(cx, at, errno),
                None => translate(cx, at, write),
            },
            Dma::Fail { at, errno } => fail(cx, at, errno),
            Dma::WriteFirst { at, .. } | Dma::WriteSecond { at, .. } | Dma::Read { at, .. }
                if cut_short(cx, at) =>
            {
                stop(cx, at)
            }
            Dma::WriteFirst { at, to } => {
                let version = fresh(cx, at, to);
                write_half(cx, at, to, FIRST, version);
                Dma::WriteSecond { at, to, version }.into()
            }
            Dma::WriteSecond { at, to, version } => {
                write_half(cx, at, to, SECOND, version);
                release_translation(cx, at);
                Dma::Complete { at, to, version }.into()
            }
            Dma::Complete { at, to, version } => complete(cx, at, to, version),
            Dma::Read { at, from, second: false } => {
                read_half(cx, at, from, FIRST);
                Dma::Read { at, from, second: true }.into()
            }
            Dma::Read { at, from, second: true } => {
                read_half(cx, at, from, SECOND);
                release_translation(cx, at);
                end(cx, at);
                Next::Return(0)
            }
            Dma::Wait(_) => Next::Return(0),
        }
    }

    /// The device's page fault has been handled, or cannot be.
    fn resume(self, _cx: &mut Step, ret: Ret) -> Next {
        match self {
            Dma::Translate { at, .. } if ret < 0 => Dma::Fail { at, errno: EFAULT }.into(),
            _ => self.into(),
        }
    }
}

/// The device starts the transfer: from now on the region is not quiet.
fn begin(cx: &mut Step, region: Region, page: u32, write: bool) -> Next {
    let state = cx.get::<RegionState>(region);
    if state.vpage(page).is_none() {
        return Next::Return(-EFAULT);
    }
    let at = cx.map.region_page(region, page);
    match refusal(cx, at, write) {
        Some(errno) => {
            cx.w.prices.add(Price::KilledTransfers, u64::from(errno == ECANCELED));
            Next::Return(-errno)
        }
        None => {
            cx.set(region, state.with_in_flight(state.in_flight() + 1));
            engage(cx, Some(region));
            translate(cx, at, write)
        }
    }
}

/// Why a transfer is refused: the region is not (or no longer) usable, or the access is not
/// allowed. What a region's key allows is fixed when it is registered.
fn refusal(cx: &Step, at: RegionPage, write: bool) -> Option<i32> {
    let state = cx.get::<RegionState>(cx.map.region_of(at));
    match state.state() {
        RegionUse::Terminated => Some(ECANCELED),
        RegionUse::Registered if state.usable() && (state.write() || !write) => None,
        RegionUse::Registered | RegionUse::None | RegionUse::Gone => Some(EFAULT),
    }
}

/// The hardware reads the translation, and holds it until the last byte has been transferred; if
/// there is none, a device that can raises a page fault.
fn translate(cx: &mut Step, at: RegionPage, write: bool) -> Next {
    let entry = cx.get::<Xlat>(at);
    if entry.iommu_refuses() {
        iommu_fault(cx, at);
        cx.w.prices.add(Price::KilledTransfers, 1);
        return fail(cx, at, EFAULT);
    }
    if !entry.valid() || (write && !entry.write()) {
        let region = cx.map.region_of(at);
        if cx.map.device_kind(region).has_notifier() {
            return call(DeviceFault::new(at, write), Dma::Translate { at, write });
        }
        if cx.strategy.writeback == Writeback::Revoke {
            cx.w.prices.add(Price::KilledTransfers, 1);
        }
        return fail(cx, at, EFAULT);
    }
    if cx.strategy.keeps(Guard::TransferHolds) {
        cx.set(at, entry.with_busy(entry.busy() + 1));
    }
    let page = entry.page().filter(|_| !entry.crappy());
    match write {
        true => Dma::WriteFirst { at, to: page }.into(),
        false => Dma::Read { at, from: page, second: false }.into(),
    }
}

/// Whether a transfer under way goes no further: its region has been terminated, or the IOMMU no
/// longer lets it reach the page.
fn cut_short(cx: &Step, at: RegionPage) -> bool {
    let design = [cx.strategy.truncate, cx.strategy.truncate_dax];
    if design.iter().all(|t| t.recall().is_none()) {
        return false;
    }
    let region = cx.get::<RegionState>(cx.map.region_of(at));
    region.state() == RegionUse::Terminated || cx.get::<Xlat>(at).iommu_refuses()
}

/// A transfer ends by force, with what it has transferred so far.
fn stop(cx: &mut Step, at: RegionPage) -> Next {
    let refused = cx.get::<Xlat>(at).iommu_refuses();
    if refused {
        iommu_fault(cx, at);
    }
    cx.w.prices.add(Price::KilledTransfers, 1);
    release_translation(cx, at);
    fail(cx, at, if refused { EFAULT } else { ECANCELED })
}

/// The hardware has transferred the last byte through the translation.
fn release_translation(cx: &mut Step, at: RegionPage) {
    cx.update::<Xlat>(at, |x| x.with_busy(x.busy().saturating_sub(1)));
}

/// The transfer is over, well or badly.
fn end(cx: &mut Step, at: RegionPage) {
    let region = cx.map.region_of(at);
    cx.update::<RegionState>(region, |s| s.with_in_flight(s.in_flight().saturating_sub(1)));
    engage(cx, None);
}

/// Ghost: whose transfer it is that is in flight.
fn engage(cx: &mut Step, region: Option<Region>) {
    let me = cx.me;
    cx.update::<Engaged>(me, |e| e.with_region(Region::pack(region)));
}

fn fail(cx: &mut Step, at: RegionPage, errno: i32) -> Next {
    end(cx, at);
    Next::Return(-errno)
}

/// The page of the file that the program meant, when it registered this page of a region; none
/// for private memory.
fn meant(w: &World, at: RegionPage) -> Option<FilePage> {
    let vpage = vpage_of(w, at)?;
    let shared = w.map.vma(w.map.vma_of(vpage)).shared;
    w.map.backing(vpage).filter(|_| shared)
}

fn vpage_of(w: &World, at: RegionPage) -> Option<VPage> {
    let region = w.map.region_of(at);
    w.get::<RegionState>(region).vpage(at.0 - w.map.region_page(region, 0).0)
}

/// A new version of what the program meant to be written, whatever the frame has become: data
/// that ends up in somebody else's page keeps the name of where it should be.
fn fresh(cx: &mut Step, at: RegionPage, to: Option<Page>) -> Contents {
    let mut seq = to.map_or(0, |page| cx.patches.max_seq(cx.data(page.frame)));
    let origin = match meant(cx, at) {
        Some(file_page) => {
            seq = seq.max(cx.patches.max_seq(cx.get::<Newest>(file_page).0));
            cx.map.origin_of_file(file_page)
        }
        None => vpage_of(cx, at).map_or(0, |vpage| cx.map.origin_of_vpage(vpage)),
    };
    let seq = cx.next_version(seq);
    Contents::of(Version { origin, seq, author: cx.op, whole: true })
}

fn write_half(cx: &mut Step, at: RegionPage, to: Option<Page>, part: Part, version: Contents) {
    let Some(page) = to else { return };
    cx.touch(page, true, Toucher::Device);
    cx.facts.push(Fact::Dma { at, page, write: true, part });
    cx.fill(page.frame, part, version);
}

/// The remote peer keeps what it received; the half that it has not received yet is what its
/// buffer held before.
fn read_half(cx: &mut Step, at: RegionPage, from: Option<Page>, part: Part) {
    let got = match from {
        Some(page) => {
            cx.touch(page, false, Toucher::Device);
            cx.facts.push(Fact::Dma { at, page, write: false, part });
            cx.data(page.frame)
        }
        None => Contents::JUNK,
    };
    cx.facts.push(Fact::RemoteGot { at, part, got });
    let before = cx.get::<OpValue>(cx.op).0;
    let kept = cx.patches.overlay(before, part, got);
    cx.read_result(kept);
}

/// The completion reaches the driver: as far as the program is concerned the data is there. The
/// ghost of the file's newest contents follows if the frame still is the page that was meant.
fn complete(cx: &mut Step, at: RegionPage, to: Option<Page>, version: Contents) -> Next {
    if let Some(page) = to {
        cx.facts.push(Fact::DmaDone { at, page, wrote: version });
        if cx.logical_page(page.frame) == meant(cx, at) {
            cx.completed(page.frame, WHOLE, |shown| shown == version);
        }
    }
    end(cx, at);
    Next::Return(0)
}

#[cfg(test)]
mod tests {
    use super::super::errno::EIO;
    use super::super::testkit::*;
    use super::*;
    use crate::engine::model::{Ending, Model};
    use crate::kernel::sim::Sim;
    use crate::kernel::world::machine::{Pinned, RefType};
    use crate::kernel::world::objects::{Flags, Pte};
    use crate::kernel::world::plan::{DeviceKind, Op, Role};
    use crate::kernel::world::{Frame, OpId, SlotPage};

    #[test]
    fn a_transfer_tears_the_page_between_its_halves_and_ends_before_the_pins_do() {
        let mut plan = device_machine(DeviceKind::Nic, 1);
        let reg = thread(&mut plan, &[register(1), deregister()]);
        let write = nic(&mut plan, &[Op::DmaWrite { region: MR, page: 0 }]);
        let mut sim = Sim::new(plan, strategy());
        let (mut torn, mut whole, mut refused) = (false, false, false);
        let (_, endings) = explore_moves(&mut sim, &mut |sim, _| {
            let data = sim.world.data(Frame(1));
            torn |= data.is_patched();
            let pinned = sim.world.get::<Pinned>(SlotPage(0));
            if sim.world.get::<Xlat>(RegionPage(0)).busy() > 0 {
                assert_ne!(pinned.kind(), RefType::None, "the device holds what is pinned");
            }
            if result(sim, reg.plus(1)).is_some() && result(sim, write) == Some(0) {
                let newest = sim.world.get::<Newest>(FilePage(0));
                assert_eq!(data.version().map(|v| v.author), Some(write));
                assert_eq!(newest.0, data, "a completed transfer is the newest contents");
                assert!(sim.world.get::<Flags>(Frame(1)).dirty());
                whole = true;
            }
            refused |= result(sim, write) == Some(-EFAULT);
        });
        assert!(torn && whole && refused);
        assert_eq!(endings.into_iter().collect::<Vec<_>>(), [Ending::Finished]);
    }

    #[test]
    fn a_write_through_a_region_registered_for_reading_is_refused() {
        let mut plan = device_machine(DeviceKind::Nic, 1);
        let op =
            Op::Register { region: MR, first: VPage(0), pages: 1, write: false, longterm: false };
        thread(&mut plan, &[op]);
        let ops = vec![Op::DmaWrite { region: MR, page: 0 }, Op::DmaRead { region: MR, page: 0 }];
        let first = nic(&mut plan, &ops);
        let mut sim = Sim::new(plan, strategy());
        let file = sim.world.data(Frame(1));
        run_agent(&mut sim, 0, |_| false);
        run_agent(&mut sim, 1, |_| false);
        assert_eq!((result(&sim, first), result(&sim, first.plus(1))), (Some(-EFAULT), Some(0)));
        let got = sim.world.get::<OpValue>(first.plus(1));
        assert_eq!(got.0, file, "the remote peer has the whole page");
    }

    #[test]
    fn a_stream_waits_for_its_region_and_does_not_hold_up_the_end() {
        let mut plan = device_machine(DeviceKind::Capture, 1);
        thread(&mut plan, &[register(1), Op::DmaWait { region: MR }, deregister()]);
        let ops = vec![Op::DmaWrite { region: MR, page: 0 }, Op::Repeat { to: 0, times: 0 }];
        nic(&mut plan, &ops);
        plan.threads[1].background = true;
        let mut sim = Sim::new(plan, strategy());
        assert_eq!(run_agent(&mut sim, 1, |_| false), 0, "there is no buffer yet");
        run_agent(&mut sim, 0, |sim| sim.world.get::<RegionState>(MR).usable());
        let frames = |sim: &Sim| sim.world.patches.max_seq(sim.world.data(Frame(1)));
        let before = frames(&sim);
        run_agent(&mut sim, 1, |sim| frames(sim) > before + 3);
        run_agent(&mut sim, 1, |sim| sim.world.get::<RegionState>(MR).in_flight() == 0);
        run_agent(&mut sim, 0, |_| false);
        assert_eq!(sim.ending(), Ending::Finished);
        assert_eq!(sim.world.get::<RegionState>(MR).state(), RegionUse::Gone);
    }

    #[test]
    fn what_is_written_to_a_page_that_left_its_file_is_not_the_files_newest_contents() {
        let mut plan = device_machine(DeviceKind::Nic, 1);
        thread(&mut plan, &[register(1)]);
        let write = nic(&mut plan, &[Op::DmaWrite { region: MR, page: 0 }]);
        let mut sim = Sim::new(plan, strategy());
        run_agent(&mut sim, 0, |_| false);
        let newest = sim.world.get::<Newest>(FilePage(0));
        sim.world.cache_remove(Frame(1));
        run_agent(&mut sim, 1, |_| false);
        assert_eq!(result(&sim, write), Some(0), "nobody tells the device (claim 32)");
        let version = sim.world.data(Frame(1)).version();
        assert_eq!(version.map(|v| (v.author, v.origin)), Some((write, 1)));
        assert_eq!(sim.world.get::<Newest>(FilePage(0)), newest);
    }

    #[test]
    fn a_device_that_is_not_told_writes_into_its_neighbours_memory() {
        let mut plan = device_machine(DeviceKind::OdpNic, 1);
        plan.spare_frames = 0;
        thread(&mut plan, &[register(1)]);
        let write = Op::DmaWrite { region: MR, page: 0 };
        nic(&mut plan, &[write, write]);
        let taken = OpId(plan.ops());
        let ops = vec![Op::TakeFrame, Op::Verify { taken }];
        thread_of(&mut plan, "other", Role::Neighbour, &ops);
        let mut sim = Sim::new(plan, strategy());
        // The write is a use after free, at which a judged run ends.
        sim.set_judging(false);
        run_agent(&mut sim, 0, |_| false);
        run_agent(&mut sim, 1, |sim| result(sim, OpId(taken.0 - 2)).is_some());
        let given = sim.world.page(Frame(1));
        // The page is unmapped, truncated and freed, and no notifier is called.
        let w = &mut sim.world;
        w.set_pte(VPage(0), Pte::new());
        w.map_page(Frame(1), -1);
        w.cache_remove(Frame(1));
        assert!(w.put_refs(Frame(1), 1));
        run_agent(&mut sim, 2, |sim| result(sim, taken).is_some());
        let dma = |f: &Fact| matches!(f, Fact::Dma { page, .. } if *page == given);
        run_agent(&mut sim, 1, |sim| sim.world.facts.iter().any(dma));
        assert_ne!(sim.world.page(Frame(1)), given, "the fact names the page that was given");
        run_agent(&mut sim, 1, |_| false);
        run_agent(&mut sim, 2, |_| false);
        assert_eq!(result(&sim, taken.plus(1)), Some(-EIO));
    }
}
