//! What must be judged over all programs together: releases without an acquisition, waits
//! without a post, addresses in mappings that nobody maps, forks that never happen.

use super::report::Report;
use super::{Tables, access};
use crate::kernel::world::ids::{Device, Event, Mm, OpId, Region, Slot, Vma};
use crate::kernel::world::plan::{Op, Plan, RegionPlan, SlotPlan};
use crate::scenario::limits;
use crate::scenario::path::{At, Seg};
use crate::scenario::problem::Problem;
use crate::scenario::suggest;
use std::collections::BTreeMap;

/// Where an operation is: its thread, its number in the program, its place in the text.
#[derive(Clone, Debug)]
pub struct Spot {
    /// Number of the thread.
    pub thread: u32,
    /// Number of the operation in its program.
    pub op: usize,
    /// Path of the value that is meant.
    pub path: Vec<Seg>,
}

/// A slot or region: who fills it and who relies on that.
#[derive(Clone, Debug, Default)]
struct Held {
    /// The first operation that fills it.
    filled: Option<(u32, usize)>,
    /// Whether several threads fill it.
    by_several: bool,
    /// The first operation that relies on its being filled.
    used: Option<Spot>,
    /// The last page that is used, and where.
    last_page: Option<(u32, Spot)>,
    /// The device, where it is a region.
    device: Option<Device>,
}

#[derive(Clone, Debug, Default)]
struct Posted {
    posts: u64,
    waits: u64,
    first_wait: Option<Spot>,
}

/// The book-keeping over all programs.
#[derive(Debug)]
pub struct Ledger {
    /// Number of the next operation; 0 and 1 are reserved.
    pub next_op: u32,
    slots: Vec<Held>,
    regions: Vec<Held>,
    events: Vec<Posted>,
    /// Mappings that exist at some time, by number.
    mapped: Vec<bool>,
    /// The first use of each mapping that is not mapped at the start.
    unmapped: BTreeMap<Vma, Spot>,
    /// The fork of each address space.
    forks: BTreeMap<Mm, Spot>,
    /// `verify` operations and the labels they mean.
    verifies: Vec<(Spot, String)>,
    /// Pages of all slots.
    pages: u64,
}

impl Ledger {
    /// Nothing happened yet.
    pub fn new(plan: &Plan) -> Ledger {
        Ledger {
            next_op: 2,
            slots: Vec::new(),
            regions: Vec::new(),
            events: Vec::new(),
            mapped: plan.vmas.iter().map(|v| v.mapped || v.copy_of.is_some()).collect(),
            unmapped: BTreeMap::new(),
            forks: BTreeMap::new(),
            verifies: Vec::new(),
            pages: 0,
        }
    }

    /// The slot of this name, made if it is new.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn slot(
        &mut self,
        name: &str,
        i: Option<u32>,
        plan: &mut Plan,
        tables: &mut Tables,
    ) -> Result<Slot, Problem> {
        let expanded = super::template::expand(name, i)?;
        if let Some(slot) = tables.slots.get(&expanded) {
            return Ok(slot);
        }
        let slot = Slot(plan.slots.len() as u32);
        let name = tables.slots.declare(name, i, slot)?;
        plan.slots.push(SlotPlan { name, pages: 0 });
        self.slots.push(Held::default());
        Ok(slot)
    }

    /// The region of this name, made if it is new, with a slot of its own.
    ///
    /// # Errors
    /// If it cannot be made, or belongs to another device.
    pub fn region(
        &mut self,
        name: &str,
        i: Option<u32>,
        device: Option<Device>,
        plan: &mut Plan,
        tables: &mut Tables,
    ) -> Result<Region, Problem> {
        let expanded = super::template::expand(name, i)?;
        let region = match tables.regions.get(&expanded) {
            Some(region) => region,
            None => {
                let region = Region(plan.regions.len() as u32);
                let name = tables.regions.declare(name, i, region)?;
                let slot = Slot(plan.slots.len() as u32);
                plan.slots.push(SlotPlan { name: name.clone(), pages: 0 });
                self.slots.push(Held::default());
                plan.regions.push(RegionPlan { name, device: Device(0), pages: 0, slot });
                self.regions.push(Held::default());
                region
            }
        };
        let held = &mut self.regions[region.0 as usize];
        let planned = &mut plan.regions[region.0 as usize];
        match (held.device, device) {
            (Some(known), Some(device)) if known != device => {
                let known = &plan.devices[known.0 as usize].name;
                let other = &plan.devices[device.0 as usize].name;
                let region = &planned.name;
                return Err(Problem::general(format!(
                    "region `{region}` belongs to device `{known}`, not to `{other}`"
                ))
                .help("use a region of its own for each device"));
            }
            (None, Some(device)) => {
                held.device = Some(device);
                planned.device = device;
            }
            _ => {}
        }
        Ok(region)
    }

    /// The device of a region, if it is known already.
    pub fn device_of(&self, name: &str, tables: &Tables) -> Option<Device> {
        tables.regions.get(name).and_then(|r| self.regions[r.0 as usize].device)
    }

    /// A pin fills a slot.
    pub fn fill_slot(&mut self, slot: Slot, pages: u32, spot: &Spot, plan: &mut Plan) {
        let planned = &mut plan.slots[slot.0 as usize];
        self.pages += u64::from(pages.saturating_sub(planned.pages));
        planned.pages = planned.pages.max(pages);
        fill(&mut self.slots[slot.0 as usize], spot);
    }

    /// A registration fills a region.
    pub fn fill_region(&mut self, region: Region, pages: u32, spot: &Spot, plan: &mut Plan) {
        let planned = &mut plan.regions[region.0 as usize];
        planned.pages = planned.pages.max(pages);
        let slot = planned.slot;
        self.fill_slot(slot, pages, spot, plan);
        fill(&mut self.regions[region.0 as usize], spot);
    }

    /// An operation relies on a slot's being filled.
    pub fn use_slot(&mut self, slot: Slot, spot: Spot) {
        self.slots[slot.0 as usize].used.get_or_insert(spot);
    }

    /// An operation relies on a page of a region (or the region itself).
    pub fn use_region(&mut self, region: Region, page: u32, spot: Spot) {
        let held = &mut self.regions[region.0 as usize];
        if held.last_page.as_ref().is_none_or(|(last, _)| *last < page) {
            held.last_page = Some((page, spot.clone()));
        }
        held.used.get_or_insert(spot);
    }

    /// The event of this name, made if it is new.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn event(
        &mut self,
        name: &str,
        i: Option<u32>,
        plan: &mut Plan,
        tables: &mut Tables,
    ) -> Result<Event, Problem> {
        let expanded = super::template::expand(name, i)?;
        if let Some(event) = tables.events.get(&expanded) {
            return Ok(event);
        }
        let event = Event(plan.events.len() as u32);
        let name = tables.events.declare(name, i, event)?;
        plan.events.push(name);
        self.events.push(Posted::default());
        Ok(event)
    }

    /// An event is posted so many times.
    pub fn post(&mut self, event: Event, times: u64) {
        let posted = &mut self.events[event.0 as usize];
        posted.posts = posted.posts.saturating_add(times);
    }

    /// An event is waited for so many times (0: by somebody who need not finish).
    pub fn wait(&mut self, event: Event, times: u64, spot: Spot) {
        let posted = &mut self.events[event.0 as usize];
        posted.waits = posted.waits.saturating_add(times);
        posted.first_wait.get_or_insert(spot);
    }

    /// A mapping is mapped by some operation.
    pub fn maps(&mut self, vma: Vma) {
        self.mapped[vma.0 as usize] = true;
    }

    /// A mapping is used.
    pub fn touches(&mut self, vma: Vma, spot: impl FnOnce() -> Spot) {
        if !self.mapped[vma.0 as usize] {
            self.unmapped.entry(vma).or_insert_with(spot);
        }
    }

    /// An address space is forked; false if it has been before.
    pub fn forks(&mut self, child: Mm, spot: Spot) -> bool {
        self.forks.insert(child, spot).is_none()
    }

    /// A `verify` means this label.
    pub fn verifies(&mut self, spot: Spot, label: String) {
        self.verifies.push((spot, label));
    }

    /// Judges everything, and fills in what could not be known before.
    pub fn settle(self, plan: &mut Plan, tables: &Tables, report: &mut Report) {
        // Where programs are wrong already, what they lack follows from that.
        if !report.is_empty() {
            return;
        }
        if self.pages > limits::PAGES {
            let problem =
                Problem::general(format!("more than {} pages in all slots", limits::PAGES));
            report.value(&At::ROOT, problem.help("make the scenario smaller"));
        }
        let slots = self.slots.iter().zip(plan.slots.iter().map(|s| s.name.as_str()));
        judge_all("slot", "pinned", slots, report);
        let regions = self.regions.iter().zip(plan.regions.iter().map(|r| r.name.as_str()));
        judge_all("region", "registered", regions, report);
        for (held, region) in self.regions.iter().zip(&plan.regions) {
            let what = format!("region `{}`", region.name);
            if let Some((page, spot)) = &held.last_page
                && *page >= region.pages
                && held.filled.is_some()
            {
                let problem = Problem::general(format!(
                    "page {page} is beyond {what}, which has {}",
                    access::count(region.pages)
                ));
                report.value_at(&spot.path, problem.help("register more pages"));
            }
        }
        self.settle_events(plan, report);
        for (vma, spot) in &self.unmapped {
            if !self.mapped[vma.0 as usize] {
                let name = &plan.vmas[vma.0 as usize].name;
                let problem = Problem::general(format!("unmapped address: nobody maps `{name}`"))
                    .help(format!("add {{\"mmap\": \"{name}\"}}, or remove \"mapped\": false"));
                report.value_at(&spot.path, problem);
            }
        }
        self.settle_forks(plan, report);
        self.settle_verifies(plan, tables, report);
    }

    fn settle_events(&self, plan: &Plan, report: &mut Report) {
        for (posted, name) in self.events.iter().zip(&plan.events) {
            if report.stops(None) {
                return;
            }
            let Some(spot) = &posted.first_wait else { continue };
            if posted.posts == 0 {
                let problem =
                    Problem::general(format!("wait for event `{name}`, which nobody posts"));
                let others = plan.events.iter().zip(&self.events);
                let others = others.filter(|(_, p)| p.posts > 0).map(|(n, _)| n.as_str());
                let none = format!("add {{\"post\": \"{name}\"}} to some thread");
                let help = suggest::cure(name, others, &none);
                report.value_at(&spot.path, problem.help(help));
            } else if posted.posts < posted.waits {
                let problem = Problem::general(format!(
                    "event `{name}` is posted {} times and waited for {} times",
                    posted.posts, posted.waits
                ))
                .help("each wait consumes one post: post it once per waiter, or use two events");
                report.value_at(&spot.path, problem);
            }
        }
    }

    fn settle_forks(&self, plan: &Plan, report: &mut Report) {
        let mms = At::ROOT.key("mms");
        for (i, mm) in plan.mms.iter().enumerate() {
            if mm.child_of.is_some() && !self.forks.contains_key(&Mm(i as u32)) {
                let name = &mm.name;
                let problem = Problem::general(format!("address space `{name}` is never forked"))
                    .help(format!("add {{\"fork\": \"{name}\"}} to a thread of its parent"));
                report.name(&mms.key(name), problem);
            }
        }
    }

    fn settle_verifies(&self, plan: &mut Plan, tables: &Tables, report: &mut Report) {
        for (spot, label) in &self.verifies {
            if report.stops(None) {
                return;
            }
            let taken = match tables.labels.get(label) {
                Some(taken) => taken,
                None => {
                    report.value_at(&spot.path, tables.labels.unknown(label));
                    continue;
                }
            };
            let takes = op_of(plan, taken)
                .is_some_and(|op| matches!(op, Op::TakeFrame | Op::TakeBlock { .. }));
            if !takes {
                let problem = Problem::general(format!("`{label}` takes nothing"))
                    .help("put the label beside a take_frame or take_block");
                report.value_at(&spot.path, problem);
                continue;
            }
            plan.threads[spot.thread as usize].program[spot.op] = Op::Verify { taken };
        }
    }
}

/// The operation of a number.
fn op_of(plan: &Plan, op: OpId) -> Option<Op> {
    let after = plan.threads.partition_point(|t| t.first_op <= op);
    let thread = &plan.threads[after.checked_sub(1)?];
    thread.program.get((op.0 - thread.first_op.0) as usize).copied()
}

/// Notes that an operation fills a slot or region.
fn fill(held: &mut Held, spot: &Spot) {
    match held.filled {
        None => held.filled = Some((spot.thread, spot.op)),
        Some((thread, _)) => held.by_several |= thread != spot.thread,
    }
}

/// Complains about uses of slots or regions that nothing can have made possible.
fn judge_all<'a>(
    what: &str,
    filled: &str,
    all: impl Iterator<Item = (&'a Held, &'a str)> + Clone,
    report: &mut Report,
) {
    for (held, name) in all.clone() {
        let Some(spot) = &held.used else { continue };
        let (why, help) = match held.filled {
            None => {
                let others = all.clone().filter(|(h, _)| h.filled.is_some()).map(|(_, n)| n);
                let help = suggest::cure(name, others, &format!("no {what} is ever {filled}"));
                (format!("{what} `{name}` is never {filled}"), help)
            }
            Some((thread, op)) if thread == spot.thread && op > spot.op && !held.by_several => {
                let help = "change the order of the operations".to_string();
                (format!("{what} `{name}` is {filled} only after this"), help)
            }
            Some(_) => continue,
        };
        let problem = Problem::general(why).label(format!("here it is not {filled}"));
        report.value_at(&spot.path, problem.help(help));
        if report.stops(None) {
            return;
        }
    }
}
