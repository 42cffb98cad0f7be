//! The exchange of two threads: which objects go along, and whether the machine is the same
//! afterwards.

use super::{Sim, Token, Tokens};
use crate::engine::model::Model;
use crate::kernel::strategy::truncate::OnBusy;
use crate::kernel::strategy::{Arch, Writeback};
use crate::kernel::world::layout::TLB_SLOTS;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{DevicePlan, Op, Role, VmaPlan};
use crate::kernel::world::view::Names;
use crate::kernel::world::*;
use std::collections::BTreeSet;
use std::hash::Hash;

/// An exchange in the making.
pub struct Exchange<'a> {
    start: &'a Sim,
    names: Names,
    /// Whose names have been settled.
    bound: BTreeSet<(Sort, u32)>,
    /// Pairs of which it has not been looked yet what belongs to them.
    open: Vec<(Sort, u32, u32)>,
}

impl<'a> Exchange<'a> {
    /// The exchange of two threads; none if they are not alike, an error if they are and the
    /// machine is not the same afterwards.
    pub fn of(start: &'a Sim, a: Actor, b: Actor) -> Option<Result<Names, String>> {
        let (names, bound) = (Names::default(), BTreeSet::new());
        let mut exchange = Exchange { start, names, bound, open: Vec::new() };
        exchange.bind(a, b)?;
        exchange.settle()?;
        loop {
            let bound = exchange.bound.len();
            exchange.companions()?;
            exchange.entries()?;
            if exchange.bound.len() == bound {
                break;
            }
        }
        exchange.derive();
        Some(match exchange.obstacle() {
            Some(why) => Err(why),
            None if !exchange.is_symmetry() => return None,
            None => Ok(exchange.names.trimmed()),
        })
    }

    fn bind<T: Id>(&mut self, a: T, b: T) -> Option<()> {
        self.pair(T::SORT, a.index() as u32, b.index() as u32)
    }

    /// Two objects are to bear each other's name. None: one of them bears another already.
    fn pair(&mut self, sort: Sort, a: u32, b: u32) -> Option<()> {
        match (self.bound.contains(&(sort, a)), self.bound.contains(&(sort, b))) {
            (false, false) => {
                self.bound.extend([(sort, a), (sort, b)]);
                if a != b {
                    self.names.set(sort, a, b);
                    self.names.set(sort, b, a);
                }
                self.open.push((sort, a, b));
                Some(())
            }
            _ => (self.names.number(sort, a) == b && self.names.number(sort, b) == a).then_some(()),
        }
    }

    fn settle(&mut self) -> Option<()> {
        while let Some((sort, a, b)) = self.open.pop() {
            if a == b {
                continue;
            }
            match sort {
                Sort::Actor => self.threads(Actor(a), Actor(b))?,
                Sort::Cpu | Sort::Event | Sort::OpId | Sort::Lock => {}
                Sort::SlotPage | Sort::RegionPage => {}
                Sort::Slot => self.slots(Slot(a), Slot(b))?,
                Sort::VPage => self.vpages(VPage(a), VPage(b))?,
                Sort::Vma => self.mappings(Vma(a), Vma(b))?,
                Sort::Mm => self.address_spaces(Mm(a), Mm(b))?,
                Sort::File => self.files(File(a), File(b))?,
                Sort::FilePage => self.file_pages(FilePage(a), FilePage(b))?,
                Sort::Frame => self.frames(Frame(a), Frame(b))?,
                Sort::Block => self.blocks(Block(a), Block(b))?,
                Sort::Region => self.regions(Region(a), Region(b))?,
                Sort::Device => self.devices(Device(a), Device(b))?,
                _ => return None,
            }
        }
        Some(())
    }

    fn tokens(&self, thread: Actor) -> Vec<Token> {
        let mut tokens = Tokens::default();
        let plan = &self.start.world.map.plan.threads[thread.index()];
        (plan.role, plan.background).hash(&mut tokens);
        plan.program.hash(&mut tokens);
        tokens.0
    }

    fn threads(&mut self, a: Actor, b: Actor) -> Option<()> {
        let map = self.start.world.map.clone();
        let plan = |t: Actor| map.plan.threads.get(t.index());
        let (pa, pb) = (plan(a)?, plan(b)?);
        let (ta, tb) = (self.tokens(a), self.tokens(b));
        if ta.len() != tb.len() {
            return None;
        }
        for pair in ta.into_iter().zip(tb) {
            match pair {
                (Token::Plain(a), Token::Plain(b)) if a == b => {}
                (Token::Object(s, a), Token::Object(t, b)) if s == t => self.pair(s, a, b)?,
                _ => return None,
            }
        }
        for n in 0..pa.program.len() as u32 {
            self.bind(pa.first_op.plus(n), pb.first_op.plus(n))?;
        }
        if !matches!(pa.role, Role::Device(_) | Role::Chance) {
            self.bind(pa.cpu, pb.cpu)?;
        }
        match (map.dio_slot(a), map.dio_slot(b)) {
            (None, None) => Some(()),
            (Some(a), Some(b)) => self.bind(a, b),
            _ => None,
        }
    }

    fn range(
        &mut self,
        sort: Sort,
        a: std::ops::Range<u32>,
        b: std::ops::Range<u32>,
    ) -> Option<()> {
        (a.len() == b.len()).then_some(())?;
        a.zip(b).try_for_each(|(a, b)| self.pair(sort, a, b))
    }

    fn slots(&mut self, a: Slot, b: Slot) -> Option<()> {
        let pages = &self.start.world.map.slot_pages;
        self.range(Sort::SlotPage, pages[a.index()].clone(), pages[b.index()].clone())
    }

    fn vpages(&mut self, a: VPage, b: VPage) -> Option<()> {
        let map = self.start.world.map.clone();
        self.bind(map.vma_of(a), map.vma_of(b))?;
        if let Some(frame) = self.start.world.word_as::<Pte>(a).frame() {
            self.bind(frame, self.start.world.word_as::<Pte>(b).frame()?)?;
        }
        match (map.backing(a), map.backing(b)) {
            (None, None) => Some(()),
            (Some(a), Some(b)) => self.bind(a, b),
            _ => None,
        }
    }

    fn mappings(&mut self, a: Vma, b: Vma) -> Option<()> {
        let map = self.start.world.map.clone();
        let plan = |v: Vma| {
            let VmaPlan { pages, shared, read, write, mapped, populate, copy_of, .. } = map.vma(v);
            (*pages, *shared, *read, *write, *mapped, *populate, *copy_of)
        };
        (plan(a) == plan(b) && plan(a).6.is_none()).then_some(())?;
        self.bind(map.vma(a).mm, map.vma(b).mm)?;
        self.range(Sort::VPage, map.vma_pages[a.index()].clone(), map.vma_pages[b.index()].clone())
    }

    fn address_spaces(&mut self, a: Mm, b: Mm) -> Option<()> {
        let map = self.start.world.map.clone();
        let child = |mm: Mm| map.plan.mms[mm.index()].child_of;
        (child(a).is_none() && child(b).is_none()).then_some(())?;
        let of = |mm: Mm| {
            let vmas = (0..map.plan.vmas.len() as u32).map(Vma);
            vmas.filter(|&v| map.vma(v).mm == mm).collect::<Vec<_>>()
        };
        let (va, vb) = (of(a), of(b));
        (va.len() == vb.len()).then_some(())?;
        va.into_iter().zip(vb).try_for_each(|(a, b)| self.bind(a, b))?;
        self.bind(map.mmap_lock(a), map.mmap_lock(b))
    }

    fn files(&mut self, a: File, b: File) -> Option<()> {
        let map = self.start.world.map.clone();
        let plan = |f: File| {
            let file = map.file(f);
            (file.fs, file.disk, file.size, file.capacity, &file.pages, file.folio_order)
        };
        (plan(a) == plan(b)).then_some(())?;
        for n in 0..4 {
            self.bind(Lock(a.0 * 4 + n), Lock(b.0 * 4 + n))?;
        }
        let pages = |f: File| map.file_pages[f.index()].clone();
        self.range(Sort::FilePage, pages(a), pages(b))
    }

    fn file_pages(&mut self, a: FilePage, b: FilePage) -> Option<()> {
        let (w, map) = (&self.start.world, self.start.world.map.clone());
        self.bind(map.file_of(a), map.file_of(b))?;
        let frame = |p| w.word_as::<CacheSlot>(p).frame();
        let block = |p| w.word_as::<machine::Extent>(p).block();
        match (frame(a), frame(b)) {
            (Some(a), Some(b)) => self.bind(a, b)?,
            (None, None) => {}
            _ => return None,
        }
        match (block(a), block(b)) {
            (Some(a), Some(b)) => self.bind(a, b),
            (None, None) => Some(()),
            _ => None,
        }
    }

    /// The frames of a larger folio lie side by side: they go along with each other, and so do the
    /// pages that they cache.
    fn frames(&mut self, a: Frame, b: Frame) -> Option<()> {
        let (w, map) = (&self.start.world, &self.start.world.map);
        let flags = |f| w.word_as::<Flags>(f);
        let place = |f| (flags(f).tail(), flags(f).head_offset(), flags(f).order());
        let page = |f| w.word_as::<Owner>(f).file_page();
        (place(a) == place(b) && page(a).is_some() == page(b).is_some()).then_some(())?;
        let (pages, blocks) = ((page(a), page(b)), (map.pmem_block(a), map.pmem_block(b)));
        let (tail, offset, order) = place(a);
        if tail {
            let offset = u32::from(offset);
            self.bind(Frame(a.0 - offset), Frame(b.0 - offset))?;
        }
        for n in 1..1u32 << order {
            self.bind(a.plus(n), b.plus(n))?;
        }
        if let (Some(a), Some(b)) = pages {
            self.bind(a, b)?;
        }
        match blocks {
            (Some(a), Some(b)) => self.bind(a, b),
            (None, None) => Some(()),
            _ => None,
        }
    }

    fn blocks(&mut self, a: Block, b: Block) -> Option<()> {
        let map = &self.start.world.map;
        (map.disk_of(a) == map.disk_of(b)).then_some(())?;
        match (map.pmem_frame(a), map.pmem_frame(b)) {
            (Some(a), Some(b)) => self.bind(a, b),
            (None, None) => Some(()),
            _ => None,
        }
    }

    fn regions(&mut self, a: Region, b: Region) -> Option<()> {
        let map = self.start.world.map.clone();
        let plan = |r: Region| &map.plan.regions[r.index()];
        self.bind(plan(a).device, plan(b).device)?;
        self.bind(plan(a).slot, plan(b).slot)?;
        let teardown =
            |r| (0..map.actors()).map(Actor).find(|&t| map.teardown_region(t) == Some(r));
        if let (Some(a), Some(b)) = (teardown(a), teardown(b)) {
            // Agents without a program: nothing else belongs to them.
            self.bound.extend([(Sort::Actor, a.0), (Sort::Actor, b.0)]);
            self.names.set(Sort::Actor, a.0, b.0);
            self.names.set(Sort::Actor, b.0, a.0);
        }
        let pages = |r: Region| map.region_pages[r.index()].clone();
        self.range(Sort::RegionPage, pages(a), pages(b))
    }

    fn devices(&mut self, a: Device, b: Device) -> Option<()> {
        let map = self.start.world.map.clone();
        let plan = |d: Device| {
            let DevicePlan { name: _, kind, revocable, redirects, terminates, survives_faults } =
                map.plan.devices[d.index()].clone();
            (kind, revocable, redirects, terminates, survives_faults)
        };
        (plan(a) == plan(b)).then_some(())?;
        self.bind(map.umem_lock(a), map.umem_lock(b))
    }

    /// Tokens by the other names.
    fn renamed(&self, tokens: Vec<Token>) -> Vec<Token> {
        let rename = |token| match token {
            Token::Object(sort, n) => Token::Object(sort, self.names.number(sort, n)),
            plain => plain,
        };
        tokens.into_iter().map(rename).collect()
    }

    /// Threads that have to change places as well, such as the device that a region of each
    /// belongs to.
    fn companions(&mut self) -> Option<()> {
        let threads = self.start.world.map.plan.threads.len() as u32;
        for t in (0..threads).map(Actor) {
            if self.bound.contains(&(Sort::Actor, t.0)) {
                continue;
            }
            let wanted = self.renamed(self.tokens(t));
            if wanted == self.tokens(t) {
                continue;
            }
            let free = |u: &Actor| !self.bound.contains(&(Sort::Actor, u.0)) && *u != t;
            let other = (0..threads).map(Actor).filter(free).find(|&u| self.tokens(u) == wanted)?;
            self.bind(t, other)?;
            self.settle()?;
        }
        Some(())
    }

    /// The entries of page tables that show pages of files which go along.
    fn entries(&mut self) -> Option<()> {
        if !self.names.moves(Sort::FilePage) {
            return Some(());
        }
        let map = self.start.world.map.clone();
        for at in (0..map.plan.vpages()).map(VPage) {
            let page = map.backing(at).filter(|&page| self.names.of(page) != page);
            let Some(page) = page.filter(|_| !self.bound.contains(&(Sort::VPage, at.0))) else {
                continue;
            };
            let there = map.vpage_in(self.names.of(map.vma_of(at)), self.names.of(page))?;
            self.bind(at, there)?;
            self.settle()?;
        }
        Some(())
    }

    /// Whether what belongs together by its place does so by the other names: pages of files, the
    /// entries that show them, the frames of a folio.
    fn keeps_places(&self) -> bool {
        let (w, map, names) = (&self.start.world, &self.start.world.map, &self.names);
        let shows = |at: VPage| {
            let there = names.of(at);
            map.backing(there) == map.backing(at).map(|page| names.of(page))
                && map.vma_of(there) == names.of(map.vma_of(at))
        };
        let in_file = |at: FilePage| map.file_of(names.of(at)) == names.of(map.file_of(at));
        let head = |f: Frame| Frame(f.0 - u32::from(w.word_as::<Flags>(f).head_offset()));
        let in_folio = |f: Frame| head(names.of(f)) == names.of(head(f));
        (0..map.plan.vpages()).map(VPage).all(shows)
            && (0..map.file_page_count()).map(FilePage).all(in_file)
            && (0..map.frames()).map(Frame).all(in_folio)
    }

    /// The names that follow from others: pages that sync calls keep in mind.
    fn derive(&mut self) {
        let map = self.start.world.map.clone();
        for t in (0..map.plan.threads.len() as u32).map(Actor) {
            for page in (0..map.file_page_count()).map(FilePage) {
                let other = map.asked_page(self.names.of(t), self.names.of(page));
                if let (Some(from), Some(to)) = (map.asked_page(t, page), other)
                    && from != to
                {
                    self.names.set(Sort::AskedPage, from.0, to.0);
                }
            }
        }
    }

    /// Why steps may depend on the order of what is exchanged.
    fn obstacle(&self) -> Option<String> {
        let (map, names) = (&self.start.world.map, &self.names);
        let plan = &map.plan;
        let pages = [Sort::FilePage, Sort::VPage].iter().any(|&sort| names.moves(sort));
        let ops = || plan.threads.iter().flat_map(|t| &t.program);
        if pages && let Some(op) = ops().find(|op| !on_single_pages(op, map)) {
            let op = format!("{op:?}");
            let op = op.split([' ', '(']).next().unwrap_or_default();
            return Some(format!(
                "they have pages of their own, and {op} goes through all in order"
            ));
        }
        if names.moves(Sort::VPage) && plan.vpages() > TLB_SLOTS {
            return Some(format!("pages share slots of a TLB from {TLB_SLOTS} on"));
        }
        let strategy = self.start.strategy;
        let recalls = [strategy.truncate, strategy.truncate_dax]
            .iter()
            .any(|t| matches!(t.on_busy(), Some(OnBusy::Recall(_) | OnBusy::Ask)));
        if names.moves(Sort::Region) && (recalls || strategy.writeback == Writeback::Revoke) {
            return Some("regions are asked in order to give a page back".into());
        }
        if names.moves(Sort::Slot) && plan.workers > 1 {
            return Some("slots are dealt out to workers by number (take one worker)".into());
        }
        let files = (0..plan.files.len() as u32).map(File);
        for file in files {
            let there: Vec<Vma> = map.mappings(file).iter().map(|&v| names.of(v)).collect();
            if there != map.mappings(names.of(file)) {
                return Some("the mappings of a file are gone through in order".into());
            }
        }
        for mm in (0..plan.mms.len() as u32).map(Mm) {
            let there: Vec<Region> = map.notified(mm).iter().map(|&r| names.of(r)).collect();
            if there != map.notified(names.of(mm)) {
                return Some("notifiers call the regions of an address space in order".into());
            }
            let there: Vec<Cpu> = map.cpus_of(mm).iter().map(|&c| names.of(c)).collect();
            if there != map.cpus_of(names.of(mm)) && self.start.strategy.arch == Arch::IpiFlush {
                return Some(
                    "a TLB flush interrupts the processors of an address space in order (give them \
                     one processor, or take --arch broadcast-flush)"
                        .into(),
                );
            }
        }
        None
    }

    /// Whether programs and the first state are the same by the other names.
    fn is_symmetry(&self) -> bool {
        let threads = (0..self.start.world.map.plan.threads.len() as u32).map(Actor);
        let plan = |t: Actor| &self.start.world.map.plan.threads[t.index()];
        let runs = |t: Actor| match plan(t).role {
            // Neither a device nor chance runs on a processor.
            Role::Device(_) | Role::Chance => None,
            _ => Some(plan(t).cpu),
        };
        let same = |t: Actor| {
            let other = self.names.of(t);
            self.renamed(self.tokens(t)) == self.tokens(other)
                && runs(t).map(|cpu| self.names.of(cpu)) == runs(other)
        };
        threads.into_iter().all(same)
            && self.keeps_places()
            && self.start.seen(&self.names, self.start.ranks().as_ref()) == self.start.fingerprint()
    }
}

/// Whether an operation looks at one page of a file or of a mapping at most, or goes through a
/// slot or region.
fn on_single_pages(op: &Op, map: &layout::Layout) -> bool {
    let in_memory = |page: FilePage| map.fs_of(page) != plan::FsKind::Dax;
    match *op {
        Op::Load { .. } | Op::Store { .. } | Op::Post { .. } | Op::Wait { .. } => true,
        Op::Sleep { .. } | Op::Repeat { .. } | Op::Signal { .. } | Op::Unpin { .. } => true,
        Op::DmaWrite { .. } | Op::DmaRead { .. } | Op::DmaWait { .. } => true,
        Op::TakeFrame | Op::Verify { .. } | Op::Deregister { .. } => true,
        Op::Pin { pages, .. } | Op::Register { pages, .. } => pages == 1,
        Op::Read { at } | Op::Write { at, .. } => in_memory(at),
        Op::Reclaim { page } | Op::Migrate { page } => in_memory(page),
        _ => false,
    }
}
