//! How the objects of a plan are numbered, and what belongs to what.

mod build;

use super::contents::Version;
use super::ids::*;
use super::plan::{Backing, FilePlan, FsKind, Op, Plan, ThreadPlan, VmaPlan};
use super::view::Origin;
use std::ops::Range;

/// TLB slots of each processor. Virtual pages share slots modulo this number, as in a
/// direct-mapped TLB.
pub const TLB_SLOTS: u32 = 64;

/// A plan with all numbers worked out.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The plan.
    pub plan: Plan,
    /// The file pages of each file.
    pub file_pages: Vec<Range<u32>>,
    file_of: Vec<u32>,
    /// The virtual pages of each mapping.
    pub vma_pages: Vec<Range<u32>>,
    vma_of: Vec<u32>,
    /// The mappings of each file.
    vmas_of_file: Vec<Vec<Vma>>,
    /// Mappings between which pages pass by fork or mremap.
    families: Vec<Vec<Vma>>,
    /// The family of each mapping.
    family_of: Vec<u32>,
    /// The processors on which threads of each address space run, ascending.
    cpus_of: Vec<Vec<Cpu>>,
    /// The first block of each disk that has any, ascending.
    first_blocks: Vec<(u32, Disk)>,
    /// The region pages of each region.
    pub region_pages: Vec<Range<u32>>,
    /// The regions of notifier devices that may cover mappings of each address space.
    notified: Vec<Vec<Region>>,
    /// The regions of devices with notifiers: each has an agent that tears down late.
    pub(super) notifier_regions: Vec<Region>,
    /// The slot pages of each slot.
    pub slot_pages: Vec<Range<u32>>,
    /// The blocks of each disk, pmem included (those come last).
    pub disk_blocks: Vec<Range<u32>>,
    /// Blocks of block devices: the ones that have contents of their own.
    pub data_blocks: u32,
    /// Frames of RAM; frame 0 is the zero page. pmem frames follow.
    pub ram: u32,
    /// The tags of each disk.
    pub tags: Vec<Range<u32>>,
    /// The slot in which each thread keeps the page of its direct I/O.
    dio_slots: Vec<Option<Slot>>,
    /// The threads whose programs post each event.
    posters: Vec<Vec<Actor>>,
    /// The threads whose programs fill or release each slot.
    slot_users: Vec<Vec<Actor>>,
    /// Those that release it; where nobody does, those that fill it.
    slot_releasers: Vec<Vec<Actor>>,
    /// The threads whose programs register each region.
    registrars: Vec<Vec<Actor>>,
    /// The threads whose programs fork each address space.
    forkers: Vec<Vec<Actor>>,
    /// For each thread the files on which it makes sync calls, each with its first asked page.
    synced: Vec<Vec<(File, u32)>>,
    /// Number of asked pages.
    asked: u32,
    /// Whether any file has folios of more than one page.
    pub large_folios: bool,
    /// Whether any program makes files share blocks (xfs: `xfs_is_cow_inode`).
    pub reflinks: bool,
    /// Whether any program seals a memfd.
    pub seals: bool,
    /// Whether any program locks memory.
    pub mlocks: bool,
}

impl Layout {
    /// Number of pages that sync calls keep in mind.
    pub fn asked_pages(&self) -> u32 {
        self.asked
    }

    /// A page of a file as a thread's sync call keeps it in mind; none if it makes no such calls
    /// on that file.
    pub fn asked_page(&self, thread: Actor, page: FilePage) -> Option<AskedPage> {
        let file = self.file_of(page);
        let files = self.synced.get(thread.index())?;
        let (_, first) = files.iter().find(|(f, _)| *f == file)?;
        Some(AskedPage(first + self.index_in_file(page)))
    }

    /// The file that a file page belongs to.
    #[inline]
    pub fn file_of(&self, page: FilePage) -> File {
        File(self.file_of[page.index()])
    }

    /// The file's plan.
    #[inline]
    pub fn file(&self, file: File) -> &FilePlan {
        &self.plan.files[file.index()]
    }

    /// The filesystem kind of the file that a page belongs to.
    #[inline]
    pub fn fs_of(&self, page: FilePage) -> FsKind {
        self.file(self.file_of(page)).fs
    }

    /// The index of a file page within its file.
    #[inline]
    pub fn index_in_file(&self, page: FilePage) -> u32 {
        page.0 - self.file_pages[self.file_of[page.index()] as usize].start
    }

    /// Page `index` of a file; none beyond its capacity.
    #[inline]
    pub fn file_page(&self, file: File, index: u32) -> Option<FilePage> {
        let range = &self.file_pages[file.index()];
        (index < range.len() as u32).then(|| FilePage(range.start + index))
    }

    /// The pages of a file.
    pub fn pages_of(
        &self,
        file: File,
    ) -> impl DoubleEndedIterator<Item = FilePage> + Clone + use<> {
        self.file_pages[file.index()].clone().map(FilePage)
    }

    /// The mapping that a virtual page belongs to.
    #[inline]
    pub fn vma_of(&self, page: VPage) -> Vma {
        Vma(self.vma_of[page.index()])
    }

    /// A mapping's plan.
    #[inline]
    pub fn vma(&self, vma: Vma) -> &VmaPlan {
        &self.plan.vmas[vma.index()]
    }

    /// The address space of a virtual page.
    #[inline]
    pub fn mm_of(&self, page: VPage) -> Mm {
        self.vma(self.vma_of(page)).mm
    }

    /// The page of the file that a virtual page shows; none for anonymous memory.
    #[inline]
    pub fn backing(&self, page: VPage) -> Option<FilePage> {
        let vma = self.vma_of[page.index()] as usize;
        match self.plan.vmas[vma].backing {
            Backing::File { file, first } => {
                self.file_page(file, first + page.0 - self.vma_pages[vma].start)
            }
            Backing::Anon => None,
        }
    }

    /// Whether a virtual page is anonymous memory.
    #[inline]
    pub fn is_anon(&self, page: VPage) -> bool {
        self.vma(self.vma_of(page)).backing == Backing::Anon
    }

    /// The virtual page of a mapping that shows a page of a file.
    #[inline]
    pub fn vpage_in(&self, vma: Vma, page: FilePage) -> Option<VPage> {
        let Backing::File { file, first } = self.vma(vma).backing else { return None };
        if self.file_of(page) != file {
            return None;
        }
        let offset = self.index_in_file(page).checked_sub(first)?;
        (offset < self.vma(vma).pages).then(|| VPage(self.vma_pages[vma.index()].start + offset))
    }

    /// The mappings of a file, in the order of the plan (the i_mmap interval tree).
    #[inline]
    pub fn mappings(&self, file: File) -> &[Vma] {
        &self.vmas_of_file[file.index()]
    }

    /// The processors on which threads of an address space run, ascending: those that can hold
    /// translations of it (`mm_cpumask`).
    #[inline]
    pub fn cpus_of(&self, mm: Mm) -> &[Cpu] {
        &self.cpus_of[mm.index()]
    }

    /// Regions of devices with notifiers that watch an address space.
    #[inline]
    pub fn notified(&self, mm: Mm) -> &[Region] {
        &self.notified[mm.index()]
    }

    /// A page of a region.
    #[inline]
    pub fn region_page(&self, region: Region, page: u32) -> RegionPage {
        RegionPage(self.region_pages[region.index()].start + page)
    }

    /// The region of a region page.
    pub fn region_of(&self, page: RegionPage) -> Region {
        let i = self.region_pages.partition_point(|r| r.end <= page.0);
        Region(i as u32)
    }

    /// The device of a region.
    #[inline]
    pub fn device_of(&self, region: Region) -> Device {
        self.plan.regions[region.index()].device
    }

    /// The kind of a region's device.
    #[inline]
    pub fn device_kind(&self, region: Region) -> super::plan::DeviceKind {
        self.plan.devices[self.device_of(region).index()].kind
    }

    /// The slot in which a thread keeps the page of its direct I/O; none if it does none.
    pub fn dio_slot(&self, thread: Actor) -> Option<Slot> {
        self.dio_slots.get(thread.index()).copied().flatten()
    }

    /// The threads whose programs post an event.
    pub fn posters(&self, event: Event) -> &[Actor] {
        &self.posters[event.index()]
    }

    /// The threads whose programs fill or release a slot.
    pub fn slot_users(&self, slot: Slot) -> &[Actor] {
        &self.slot_users[slot.index()]
    }

    /// The threads whose programs release a slot; if none does, those whose programs fill it.
    pub fn slot_releasers(&self, slot: Slot) -> &[Actor] {
        &self.slot_releasers[slot.index()]
    }

    /// The threads whose programs register a region.
    pub fn registrars(&self, region: Region) -> &[Actor] {
        &self.registrars[region.index()]
    }

    /// The threads whose programs create an address space by fork.
    pub fn forkers(&self, child: Mm) -> &[Actor] {
        &self.forkers[child.index()]
    }

    /// The page tables entries that may map a page of a file: one per mapping that shows it, in
    /// the order of the interval tree.
    pub fn rmap(&self, page: FilePage) -> impl Iterator<Item = VPage> + '_ {
        let mappings = self.mappings(self.file_of(page)).iter();
        mappings.filter_map(move |&vma| self.vpage_in(vma, page))
    }

    /// The virtual pages that an anonymous page may be mapped by through fork and mremap: the same
    /// place in the mapping, in its copies, ancestors and descendants, and in what it was or may
    /// be moved to.
    #[inline]
    pub fn kin(&self, page: VPage) -> impl Iterator<Item = VPage> + '_ {
        let vma = self.vma_of(page);
        let offset = page.0 - self.vma_pages[vma.index()].start;
        let family = &self.families[self.family_of[vma.index()] as usize];
        family.iter().map(move |v| VPage(self.vma_pages[v.index()].start + offset))
    }

    /// A page of a slot.
    #[inline]
    pub fn slot_page(&self, slot: Slot, page: u32) -> SlotPage {
        SlotPage(self.slot_pages[slot.index()].start + page)
    }

    /// The slot page that holds the pin of a page of a region.
    pub fn pin_of(&self, at: RegionPage) -> SlotPage {
        let region = self.region_of(at);
        let first = self.region_page(region, 0);
        self.slot_page(self.plan.regions[region.index()].slot, at.0 - first.0)
    }

    /// The frame that is a block of a pmem device; none for a block of a block device.
    #[inline]
    pub fn pmem_frame(&self, block: Block) -> Option<Frame> {
        block.0.checked_sub(self.data_blocks).map(|n| Frame(self.ram + n))
    }

    /// The block that is a pmem frame; none for RAM.
    #[inline]
    pub fn pmem_block(&self, frame: Frame) -> Option<Block> {
        frame.0.checked_sub(self.ram).map(|n| Block(self.data_blocks + n))
    }

    /// The disk of a block.
    pub fn disk_of(&self, block: Block) -> Disk {
        let after = self.first_blocks.partition_point(|&(first, _)| first <= block.0);
        after.checked_sub(1).map_or(Disk(0), |n| self.first_blocks[n].1)
    }

    /// The disk of a tag.
    pub fn disk_of_tag(&self, tag: Tag) -> Disk {
        Disk(self.tags.partition_point(|r| r.end <= tag.0) as u32)
    }

    /// The TLB slot in which a processor may hold a virtual page.
    #[inline]
    pub fn tlb_slot(&self, cpu: Cpu, page: VPage) -> TlbSlot {
        TlbSlot(cpu.0 * TLB_SLOTS + page.0 % TLB_SLOTS)
    }

    /// Number of frames, RAM and pmem.
    pub fn frames(&self) -> u32 {
        let blocks = self.disk_blocks.iter().map(|r| r.end).max().unwrap_or(0);
        self.ram + blocks - self.data_blocks
    }

    /// Number of blocks, pmem included.
    pub fn blocks(&self) -> u32 {
        self.data_blocks + self.frames() - self.ram
    }

    /// The logical page that contents written through a virtual page belong to: the file's, or
    /// that of the private copy.
    pub fn origin_of_vpage(&self, page: VPage) -> u32 {
        (1 + self.file_page_count() + page.0) % Version::ORIGINS
    }

    /// The logical page of a page of a file.
    #[inline]
    pub fn origin_of_file(&self, page: FilePage) -> u32 {
        1 + page.0
    }

    /// The logical page that an operation of a neighbour writes to memory of its own.
    pub fn origin_of_neighbour(&self, op: OpId) -> u32 {
        (1 + self.file_page_count() + self.vma_of.len() as u32 + op.0) % Version::ORIGINS
    }

    /// Whose version one of an origin is; none for what no page and no neighbour wrote.
    pub fn whose(&self, origin: u32) -> Option<Origin> {
        let n = origin.checked_sub(1)?;
        let Some(n) = n.checked_sub(self.file_page_count()) else {
            return Some(Origin::File(FilePage(n)));
        };
        let pages = self.vma_of.len() as u32;
        Some(match n.checked_sub(pages) {
            None => Origin::Private(VPage(n)),
            Some(op) => Origin::Neighbour(OpId(op)),
        })
    }

    /// Number of all file pages.
    #[inline]
    pub fn file_page_count(&self) -> u32 {
        self.file_of.len() as u32
    }

    /// The thread that an operation belongs to; none for what was there at the start.
    pub fn thread_of(&self, op: OpId) -> Option<&ThreadPlan> {
        let after = self.plan.threads.partition_point(|t| t.first_op <= op);
        self.plan.threads[..after].last().filter(|_| op.0 > 1)
    }

    /// An operation by its number.
    pub fn op(&self, op: OpId) -> Option<Op> {
        let thread = self.thread_of(op)?;
        thread.program.get((op.0 - thread.first_op.0) as usize).copied()
    }

    /// The page of a file that a version belongs to; none for private memory.
    pub fn file_page_of(&self, version: Version) -> Option<FilePage> {
        let n = version.origin.checked_sub(1)?;
        (n < self.file_page_count()).then_some(FilePage(n))
    }
}
