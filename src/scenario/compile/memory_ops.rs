//! Operations on memory and devices: accesses, mappings, pins, regions, transfers.

use super::access;
use super::place;
use super::program::Program;
use super::template;
use super::threads::only_device;
use crate::kernel::world::ids::{Device, Region, VPage, Vma};
use crate::kernel::world::plan::{Advice, Context, Op, PinCall, Redirty, Role};
use crate::scenario::op::{self, Do};
use crate::scenario::path::At;
use crate::scenario::problem::Problem;

/// The slot and region that are meant where none is named.
const DEFAULT_SLOT: &str = "pin";
const DEFAULT_REGION: &str = "mr";

/// What one `hoard` can take: the holders of a folio are counted so far, with room for a few more.
const MOST_REFS: u32 = 60_000;
const MOST_PINS: u32 = 4_000_000;

impl Program<'_, '_> {
    pub(super) fn access(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Load(place) => {
                let mapped = self.mapped_page(place, at)?;
                self.report.ok(at, access::whole(mapped.part))?;
                Some(Op::Load { at: mapped.first })
            }
            Do::Store(place) => {
                let mapped = self.mapped_page(place, at)?;
                Some(Op::Store { at: mapped.first, part: mapped.part })
            }
            Do::DioRead(dio) => {
                let from = self.whole_page(&dio.from, &at.key("from"))?.first;
                let into = self.mapped_page(&dio.into, &at.key("into"))?;
                self.report.ok(&at.key("into"), access::whole(into.part))?;
                Some(Op::DioRead { from, into: into.first })
            }
            Do::DioWrite(dio) => {
                let to = self.whole_page(&dio.to, &at.key("to"))?.first;
                let from = self.mapped_page(&dio.from, &at.key("from"))?;
                self.report.ok(&at.key("from"), access::whole(from.part))?;
                Some(Op::DioWrite { to, from: from.first })
            }
            _ => None,
        }
    }

    pub(super) fn vma(&mut self, name: &str, at: &At) -> Option<Vma> {
        let found = access::mapping(name, self.place.i, self.mm(), self.plan, self.tables);
        self.report.ok(at, found)
    }

    pub(super) fn mapping(&mut self, op: &Do, at: &At) -> Option<Op> {
        let (Do::Msync(name)
        | Do::MsyncAsync(name)
        | Do::MsyncInvalidate(name)
        | Do::Mmap(name)
        | Do::Munmap(name)) = op
        else {
            return None;
        };
        let vma = self.vma(name, at)?;
        if !matches!(op, Do::Mmap(_)) {
            self.touch(vma, at);
        }
        match op {
            Do::Msync(_) => Some(Op::Msync { vma, sync: true }),
            Do::MsyncAsync(_) => Some(Op::Msync { vma, sync: false }),
            Do::MsyncInvalidate(_) => Some(Op::MsyncInvalidate { vma }),
            Do::Munmap(_) => Some(Op::Munmap { vma }),
            _ => {
                self.ledger.maps(vma);
                Some(Op::Mmap { vma })
            }
        }
    }

    pub(super) fn space(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Mremap(remap) => self.remap(remap, at),
            Do::Mprotect(protect) => {
                let at = at.key("mapping");
                let vma = self.vma(&protect.mapping, &at)?;
                self.touch(vma, &at);
                Some(Op::Mprotect { vma, read: protect.read, write: protect.write })
            }
            Do::Madvise(advise) => {
                let at = at.key("at");
                let mapped = self.mapped(&advise.at, &at)?;
                self.report.ok(&at, access::whole(mapped.part))?;
                let (first, pages) = (mapped.first, mapped.pages);
                let advice = match advise.advice {
                    op::Advice::Dontneed => Advice::DontNeed,
                    op::Advice::Pageout => Advice::PageOut,
                    op::Advice::Free => Advice::Free,
                    op::Advice::Cold => Advice::Cold,
                    op::Advice::Remove => Advice::Remove,
                    op::Advice::PopulateRead => Advice::PopulateRead,
                    op::Advice::PopulateWrite => Advice::PopulateWrite,
                };
                Some(Op::Madvise { first, pages, advice })
            }
            Do::Fork(child) => self.fork(child, at),
            _ => None,
        }
    }

    pub(super) fn fork(&mut self, child: &str, at: &At) -> Option<Op> {
        let found = self.tables.mms.find(child, self.place.i).map_err(|problem| {
            let parent = &self.plan.mms[self.mm().0 as usize].name;
            let form = format!("\"mms\": {{\"{child}\": {{\"child_of\": \"{parent}\"}}}}");
            problem.help(format!("declare the child's address space: {form}"))
        });
        let child = self.report.ok(at, found)?;
        let name = self.plan.mms[child.0 as usize].name.clone();
        let problem = if self.plan.mms[child.0 as usize].child_of != Some(self.mm()) {
            let parent = &self.plan.mms[self.mm().0 as usize].name;
            let new = if child == self.mm() { "child" } else { &name };
            Problem::general(format!("address space `{name}` is no child of `{parent}`"))
                .help(format!("declare \"{new}\": {{\"child_of\": \"{parent}\"}} in `mms`"))
        } else if self.nesting > 0 || !self.ledger.forks(child, self.spot(at)) {
            Problem::general(format!("address space `{name}` is forked more than once"))
                .help("declare an address space for each fork")
        } else {
            return Some(Op::Fork { child });
        };
        self.report.value(at, problem);
        None
    }

    pub(super) fn hoard(&mut self, hoard: &op::Hoard, at: &At) -> Option<Op> {
        let mapped = self.mapped_page(&hoard.at, &at.key("at"))?;
        self.report.ok(&at.key("at"), access::whole(mapped.part))?;
        let most = if hoard.pin { MOST_PINS } else { MOST_REFS };
        if hoard.count > most {
            let what = format!("{} is more than the {most} that one page can have", hoard.count);
            self.report.value(&at.key("count"), Problem::general(what).help("take fewer"));
            return None;
        }
        Some(Op::Hoard { at: mapped.first, count: hoard.count, pin: hoard.pin })
    }

    pub(super) fn pinning(&mut self, op: &Do, at: &At) -> Option<Op> {
        let (Do::Pin(op::Pin { slot, .. }) | Do::Unpin(op::Unpin { slot, .. })) = op else {
            return None;
        };
        let slot = slot.as_deref().unwrap_or(DEFAULT_SLOT);
        let slot = self.ledger.slot(slot, self.place.i, self.plan, self.tables);
        let slot = self.report.ok(&at.key("slot"), slot)?;
        match op {
            Do::Pin(pin) => {
                let (first, pages) = self.pinned(&pin.at, &at.key("at"))?;
                let spot = self.spot(at);
                self.ledger.fill_slot(slot, pages, &spot, self.plan);
                let call = match pin.call {
                    op::PinCall::PinFast => PinCall::PinFast,
                    op::PinCall::PinSlow => PinCall::PinSlow,
                    op::PinCall::GetFast => PinCall::GetFast,
                    op::PinCall::GetSlow => PinCall::GetSlow,
                    op::PinCall::PinRemote => PinCall::PinRemote,
                    op::PinCall::GetForce => PinCall::GetForce,
                };
                let (write, longterm) = (pin.write, pin.longterm);
                Some(Op::Pin { first, pages, write, longterm, call, slot })
            }
            Do::Unpin(unpin) => {
                let spot = self.spot(at);
                self.ledger.use_slot(slot, spot);
                let context = match unpin.context {
                    op::Context::Process => Context::Process,
                    op::Context::Irq => Context::Irq,
                    op::Context::Worker => Context::Worker,
                };
                Some(Op::Unpin { slot, dirty: unpin.dirty, how: redirty(unpin.how), context })
            }
            _ => None,
        }
    }

    /// An access of the kernel to a page that a slot holds.
    pub(super) fn pinned_page(&mut self, op: &Do, text: &str, at: &At) -> Option<Op> {
        let place = self.report.ok(at, place::parse(text))?;
        let slot = self.ledger.slot(place.name, self.place.i, self.plan, self.tables);
        let slot = self.report.ok(at, slot)?;
        let page = place.pages.map_or(0, |pages| pages.0);
        let spot = self.spot(at);
        self.ledger.use_slot(slot, spot);
        match op {
            Do::WritePinned(_) => Some(Op::WritePinned { slot, page }),
            _ => Some(Op::ReadPinned { slot, page }),
        }
    }

    /// The pages of a pin or registration.
    pub(super) fn pinned(&mut self, text: &str, at: &At) -> Option<(VPage, u32)> {
        let mapped = self.mapped(text, at)?;
        self.report.ok(at, access::whole(mapped.part))?;
        Some((mapped.first, mapped.pages))
    }

    pub(super) fn region(&mut self, name: &str, device: Option<Device>, at: &At) -> Option<Region> {
        let found = self.ledger.region(name, self.place.i, device, self.plan, self.tables);
        self.report.ok(at, found)
    }

    pub(super) fn registration(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Register(register) => {
                let name = register.region.as_deref().unwrap_or(DEFAULT_REGION);
                let expanded = template::expand(name, self.place.i);
                let expanded = self.report.ok(&at.key("region"), expanded)?;
                let device = match &register.device {
                    Some(device) => self.tables.devices.find(device, self.place.i),
                    None => match self.ledger.device_of(&expanded, self.tables) {
                        Some(device) => Ok(device),
                        None => only_device(self.plan),
                    },
                };
                let device = self.report.ok(&at.key("device"), device)?;
                let region = self.region(name, Some(device), &at.key("region"))?;
                let (first, pages) = self.pinned(&register.at, &at.key("at"))?;
                let spot = self.spot(at);
                self.ledger.fill_region(region, pages, &spot, self.plan);
                let (write, longterm) =
                    (register.write.unwrap_or(true), register.longterm.unwrap_or(true));
                Some(Op::Register { region, first, pages, write, longterm })
            }
            Do::Deregister(deregister) => {
                let name = deregister.region.as_deref().unwrap_or(DEFAULT_REGION);
                let region = self.region(name, None, &at.key("region"))?;
                let spot = self.spot(at);
                self.ledger.use_region(region, 0, spot);
                let how = redirty(deregister.how);
                Some(Op::Deregister { region, dirty: deregister.dirty, how })
            }
            _ => None,
        }
    }

    pub(super) fn transfer(&mut self, op: &Do, at: &At) -> Option<Op> {
        let (Do::DmaWrite(place) | Do::DmaRead(place) | Do::DmaWait(place)) = op else {
            return None;
        };
        let (name, page) = self.report.ok(at, access::region_page(place, self.place.i))?;
        let device = match self.place.role {
            Role::Device(device) => Some(device),
            _ => None,
        };
        // The placeholders of the name have been replaced already.
        let found = self.ledger.region(&name, None, device, self.plan, self.tables);
        let region = self.report.ok(at, found)?;
        let spot = self.spot(at);
        self.ledger.use_region(region, page, spot);
        match op {
            Do::DmaWrite(_) => Some(Op::DmaWrite { region, page }),
            Do::DmaRead(_) => Some(Op::DmaRead { region, page }),
            _ => Some(Op::DmaWait { region }),
        }
    }
}

fn redirty(how: Option<op::Redirty>) -> Option<Redirty> {
    how.map(|how| match how {
        op::Redirty::Plain => Redirty::Plain,
        op::Redirty::SetDirty => Redirty::SetDirty,
        op::Redirty::SetDirtyLock => Redirty::SetDirtyLock,
        op::Redirty::Mkwrite => Redirty::Mkwrite,
    })
}
