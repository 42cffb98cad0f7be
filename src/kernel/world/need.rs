//! Waits as values: what an agent needs before its next step, who could provide it.
//!
//! A wait is a state, never a blocked call. Each need names one object; it is looked at again only
//! when a cell of that object is written.

use super::door::World;
use super::ids::*;
use super::machine::*;
use super::objects::*;
use super::plan::DiskKind;
use super::storage::Mode;

/// What an agent needs before it can make its next step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Need {
    /// Nothing: it is ready.
    #[default]
    Nothing,
    /// Nothing will ever make it ready: it has finished.
    Never,
    /// A lock in a mode.
    Lock(Lock, Mode),
    /// A folio's lock.
    FolioLock(Frame),
    /// The end of a folio's writeback.
    WritebackEnd(Frame),
    /// A free tag of a disk.
    FreeTag(Disk),
    /// A bio to serve (of a disk's tag).
    BioSubmitted(Tag),
    /// The completion of a bio.
    BioDone(Tag),
    /// A post of a named event.
    Posted(Event),
    /// A processor with interrupts on (to answer an IPI).
    IrqsOn(Cpu),
    /// A DAX page that nobody uses; `refs` is the refcount that an unmapped, unused page has.
    DaxIdle {
        /// The page.
        frame: Frame,
        /// Its refcount when idle.
        refs: i32,
    },
    /// A folio of the page cache without pins, as far as its counts can tell
    /// ([`Need::unpinned`]).
    Unpinned(Frame),
    /// A file without pins, as far as the counter of its mapping can tell: under
    /// `--pin mapping-counter` nobody can wait for less.
    MappingUnpinned(File),
    /// The entry of a DAX file's tree, unlocked.
    DaxEntry(FilePage),
    /// A dev_pagemap without live references.
    PgmapDrained(Disk),
    /// No notifier invalidation under way in an address space.
    NotInvalidating(Mm),
    /// An item of work.
    WorkQueued(Worker),
    /// A worker with an empty queue.
    WorkerIdle(Worker),
    /// No direct I/O in flight on a file (`inode_dio_wait`).
    NoDio(File),
    /// A region without transfers in flight.
    RegionQuiet(Region),
    /// A region that has been registered at some time, or tried to be: its key is known.
    RegionReady(Region),
    /// A region that a device may use now.
    RegionUsable(Region),
    /// An entry of a translation table that no transfer holds.
    XlatQuiet(RegionPage),
    /// A late teardown to be carried out.
    TeardownDue(Region),
    /// A command page of a driver that is not in use; it has so many.
    CommandPage(u16),
    /// A frame on the free list.
    FreeFrame,
    /// `invalidate_seq` of an address space to be another one than this.
    SeqPassed(Mm, u32),
    /// An answer to a lease break, or its timeout.
    LeaseAnswered(File),
    /// A lease break under way.
    LeaseBreaking(File),
    /// A lease break under way, or one that has run out.
    LeaseAsked(File),
    /// An address space that a fork creates.
    MmLive(Mm),
}

impl Need {
    /// What somebody waits for who has been told that a page of a file is pinned.
    pub fn unpinned(w: &World, frame: Frame, at: FilePage) -> Need {
        match w.rules.pin.of_mapping {
            true => Need::MappingUnpinned(w.map.file_of(at)),
            false => Need::Unpinned(w.head(frame)),
        }
    }

    /// Whether it is met.
    #[inline]
    pub fn met(self, w: &World) -> bool {
        // Most steps need nothing.
        matches!(self, Need::Nothing) || self.met_by(w)
    }

    fn met_by(self, w: &World) -> bool {
        match self {
            Need::Nothing => true,
            Need::Never => false,
            Need::Lock(lock, mode) => w.can_lock(lock, mode),
            Need::FolioLock(f) => w.get::<FolioLock>(f).owner() == 0,
            Need::WritebackEnd(f) => !w.get::<Flags>(f).writeback(),
            Need::FreeTag(d) => match w.map.plan.disks[d.index()].kind {
                DiskKind::Block { queue_depth, .. } => {
                    u32::from(w.get::<DiskState>(d).in_flight()) < queue_depth
                }
                DiskKind::Pmem => true,
            },
            Need::BioSubmitted(t) => {
                let step = w.get::<Bio>(t).step();
                !matches!(step, BioStep::Idle | BioStep::Bouncing | BioStep::Done)
            }
            Need::BioDone(t) => w.get::<Bio>(t).step() == BioStep::Done,
            Need::Posted(e) => w.get::<EventState>(e).posts() > 0,
            Need::IrqsOn(c) => w.get::<CpuState>(c).irq_off() == 0,
            Need::DaxIdle { frame, refs } => {
                let counts = w.get::<Counts>(frame);
                counts.refs() - i32::from(counts.maps()) <= refs
            }
            Need::Unpinned(f) => !w.counts_say_pinned(f),
            Need::MappingUnpinned(f) => w.get::<MappingPins>(f).pins() == 0,
            Need::DaxEntry(at) => !w.get::<CacheSlot>(at).dax_locked(),
            Need::PgmapDrained(d) => w.get::<DiskState>(d).pgmap_refs() == 0,
            Need::NotInvalidating(mm) => w.get::<MmState>(mm).invalidating() == 0,
            Need::WorkQueued(k) => {
                let work = w.get::<Work>(k);
                work.kind() != WorkKind::None || work.extents() || work.fixups()
            }
            Need::WorkerIdle(k) => w.get::<Work>(k).kind() == WorkKind::None,
            Need::NoDio(f) => w.get::<FileState>(f).dio_count() == 0,
            Need::RegionQuiet(r) => w.get::<RegionState>(r).in_flight() == 0,
            Need::RegionReady(r) => w.get::<RegionState>(r).state() != RegionUse::None,
            Need::RegionUsable(r) => w.get::<RegionState>(r).usable(),
            Need::XlatQuiet(p) => w.get::<Xlat>(p).busy() == 0,
            Need::TeardownDue(r) => w.get::<RegionState>(r).teardown_due(),
            Need::SeqPassed(mm, seq) => w.get::<MmState>(mm).invalidate_seq() != seq,
            Need::CommandPage(pages) => w.get::<CommandPool>(One(0)).used() < pages,
            Need::FreeFrame => w.get::<FreeList>(One(0)).count() > 0,
            Need::LeaseAnswered(f) => w.get::<Lease>(f).state() != LeaseState::Breaking,
            Need::LeaseBreaking(f) => w.get::<Lease>(f).state() == LeaseState::Breaking,
            Need::LeaseAsked(f) => {
                matches!(w.get::<Lease>(f).state(), LeaseState::Breaking | LeaseState::Broken)
            }
            Need::MmLive(mm) => w.get::<MmState>(mm).live(),
        }
    }

    /// The cell whose writing can change the answer.
    #[inline]
    pub fn cell(self, w: &World) -> Option<u32> {
        Some(match self {
            Need::Nothing | Need::Never => return None,
            Need::Lock(lock, _) => w.cell::<LockState>(lock),
            Need::FolioLock(f) => w.cell::<FolioLock>(f),
            Need::WritebackEnd(f) => w.cell::<Flags>(f),
            Need::FreeTag(d) | Need::PgmapDrained(d) => w.cell::<DiskState>(d),
            Need::BioSubmitted(t) | Need::BioDone(t) => w.cell::<Bio>(t),
            Need::Posted(e) => w.cell::<EventState>(e),
            Need::IrqsOn(c) => w.cell::<CpuState>(c),
            Need::DaxIdle { frame, .. } | Need::Unpinned(frame) => w.cell::<Counts>(frame),
            Need::MappingUnpinned(f) => w.cell::<MappingPins>(f),
            Need::DaxEntry(at) => w.cell::<CacheSlot>(at),
            Need::NotInvalidating(mm) | Need::MmLive(mm) | Need::SeqPassed(mm, _) => {
                w.cell::<MmState>(mm)
            }
            Need::WorkQueued(k) | Need::WorkerIdle(k) => w.cell::<Work>(k),
            Need::NoDio(f) => w.cell::<FileState>(f),
            Need::RegionQuiet(r)
            | Need::RegionReady(r)
            | Need::RegionUsable(r)
            | Need::TeardownDue(r) => w.cell::<RegionState>(r),
            Need::XlatQuiet(p) => w.cell::<Xlat>(p),
            Need::CommandPage(_) => w.cell::<CommandPool>(One(0)),
            Need::FreeFrame => w.cell::<FreeList>(One(0)),
            Need::LeaseAnswered(f) | Need::LeaseBreaking(f) | Need::LeaseAsked(f) => {
                w.cell::<Lease>(f)
            }
        })
    }

    /// Whether a design makes somebody wait like this: for the end of a pin, a transfer, a
    /// notifier's section, a lease. All others are waits that every design has.
    pub fn by_design(self) -> bool {
        !matches!(
            self,
            Need::Nothing
                | Need::Never
                | Need::Lock(..)
                | Need::FolioLock(_)
                | Need::WritebackEnd(_)
                | Need::FreeTag(_)
                | Need::BioSubmitted(_)
                | Need::BioDone(_)
                | Need::Posted(_)
                | Need::IrqsOn(_)
                | Need::DaxEntry(_)
                | Need::WorkQueued(_)
                | Need::WorkerIdle(_)
                | Need::NoDio(_)
                // A driver's own stop, and a thread that waits for its own transfers.
                | Need::RegionQuiet(_)
                | Need::RegionReady(_)
                | Need::RegionUsable(_)
                | Need::TeardownDue(_)
                | Need::LeaseBreaking(_)
                | Need::LeaseAsked(_)
                | Need::MmLive(_)
        )
    }

    /// The one agent that stands in the way, for needs of which that can be told at once;
    /// `None` if there may be several ([`Need::awaits`]).
    pub fn holder(self, w: &World) -> Option<Option<Actor>> {
        match self {
            Need::Lock(lock, _) => match w.get::<LockState>(lock).writer() {
                0 => None,
                writer => Some(Actor::unpack(writer)),
            },
            Need::FolioLock(f) => Some(w.folio_locked_by(f)),
            Need::BioDone(t) => Some(Some(w.map.tag_actor(t))),
            Need::IrqsOn(c) => Some(Actor::unpack(w.get::<CpuState>(c).irq_off())),
            Need::WorkerIdle(k) => Some(Some(w.map.worker_actor(k))),
            Need::LeaseAnswered(f) => Some(Actor::unpack(w.get::<Lease>(f).holder())),
            Need::Nothing | Need::Never | Need::BioSubmitted(_) | Need::WorkQueued(_) => Some(None),
            _ => None,
        }
    }

    /// Who stands in the way: of each group somebody has to do something before it is met, and
    /// whoever of the group does it will do. For reports and for the search for cycles; may look
    /// at every agent. A service that waits to be given something to do waits for nobody.
    pub fn awaits(self, w: &World) -> Vec<Vec<Actor>> {
        let map = &w.map;
        let each = |agents: Vec<Actor>| agents.into_iter().map(|a| vec![a]).collect();
        let packed = |bits: u32| each(Actor::unpack(bits).into_iter().collect());
        match self {
            Need::Lock(lock, _) if w.get::<LockState>(lock).writer() != 0 => {
                packed(w.get::<LockState>(lock).writer())
            }
            Need::Lock(lock, _) => each(whoever(w, |a| w.held(a).any(|l| l == lock))),
            Need::FolioLock(f) => each(w.folio_locked_by(f).into_iter().collect()),
            Need::WritebackEnd(f) => each(bios_of(w, f)),
            Need::FreeTag(d) => {
                let tags = map.tags[d.index()].clone().map(Tag);
                vec![tags.map(|t| map.tag_actor(t)).collect()]
            }
            Need::BioDone(t) => each(vec![map.tag_actor(t)]),
            Need::IrqsOn(c) => packed(w.get::<CpuState>(c).irq_off()),
            Need::DaxIdle { frame, .. } | Need::Unpinned(frame) => pinners(w, frame),
            Need::MappingUnpinned(f) => {
                let pinned = (0..w.map.frames())
                    .map(Frame)
                    .filter(|&p| w.head(p) == p && w.home_of(p) == Some(f))
                    .filter(|&p| w.get::<Holders>(p).pins() > 0);
                pinned.flat_map(|p| pinners(w, p)).collect()
            }
            Need::DaxEntry(at) => packed(w.get::<CacheSlot>(at).dax_owner()),
            Need::PgmapDrained(d) => {
                let disk = Disk::pack(Some(d)) as u16;
                each(whoever(w, |a| w.get::<Engaged>(a).pgmap() == disk))
            }
            Need::NoDio(f) => {
                each(whoever(w, |a| w.get::<Engaged>(a).dio() == File::pack(Some(f))))
            }
            Need::NotInvalidating(mm) | Need::SeqPassed(mm, _) => {
                each(whoever(w, |a| w.get::<Engaged>(a).range() == Mm::pack(Some(mm))))
            }
            Need::RegionQuiet(r) => each(transferring(w, r)),
            Need::XlatQuiet(p) => each(transferring(w, map.region_of(p))),
            Need::WorkerIdle(k) => each(vec![map.worker_actor(k)]),
            Need::CommandPage(_) => vec![whoever(w, |a| w.get::<Engaged>(a).command())],
            Need::LeaseAnswered(f) => packed(w.get::<Lease>(f).holder()),
            Need::Posted(e) => vec![map.posters(e).to_vec()],
            Need::RegionReady(r) | Need::RegionUsable(r) => vec![map.registrars(r).to_vec()],
            Need::MmLive(mm) => vec![map.forkers(mm).to_vec()],
            Need::Nothing
            | Need::Never
            | Need::BioSubmitted(_)
            | Need::WorkQueued(_)
            | Need::TeardownDue(_)
            | Need::LeaseBreaking(_)
            | Need::LeaseAsked(_)
            | Need::FreeFrame => Vec::new(),
        }
    }

    /// All who stand in the way.
    pub fn holders(self, w: &World) -> Vec<Actor> {
        let mut all = self.awaits(w).concat();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What a report calls it.
    pub fn describe(self, w: &World) -> String {
        let map = &w.map;
        match self {
            Need::Nothing => "nothing".into(),
            Need::Never => "nothing: it has finished".into(),
            Need::Lock(lock, Mode::Shared) => format!("{} (shared)", map.lock_name(lock)),
            Need::Lock(lock, Mode::Exclusive) => map.lock_name(lock),
            Need::FolioLock(f) => format!("the folio lock of {}", map.frame_name(f)),
            Need::WritebackEnd(f) => format!("the end of writeback of {}", map.frame_name(f)),
            Need::FreeTag(d) => format!("a free tag of {}", map.plan.disks[d.index()].name),
            Need::BioSubmitted(_) => "a bio to serve".into(),
            Need::BioDone(t) => {
                format!("the completion of {}'s bio", map.actor_name(map.tag_actor(t)))
            }
            Need::Posted(e) => format!("event '{}'", map.plan.events[e.index()]),
            Need::IrqsOn(c) => format!("cpu {} to answer an IPI", c.0),
            Need::DaxIdle { frame, .. } => {
                format!("the last reference to {} to be dropped", map.frame_name(frame))
            }
            Need::Unpinned(f) => format!("the last pin of {} to be released", map.frame_name(f)),
            Need::MappingUnpinned(f) => {
                let file = &map.plan.files[f.index()].name;
                format!("the last pin of any page of {file} to be released")
            }
            Need::DaxEntry(at) => format!("the DAX entry lock of {}", map.file_page_name(at)),
            Need::PgmapDrained(d) => {
                format!("the live references of {}", map.plan.disks[d.index()].name)
            }
            Need::NotInvalidating(mm) => {
                format!("the end of invalidation in {}", map.plan.mms[mm.index()].name)
            }
            Need::WorkQueued(_) => "work".into(),
            Need::WorkerIdle(k) => format!("{} to be idle", map.actor_name(map.worker_actor(k))),
            Need::NoDio(f) => format!("direct I/O on {} to end", map.plan.files[f.index()].name),
            Need::RegionQuiet(r) => {
                format!("transfers of {} to end", map.plan.regions[r.index()].name)
            }
            Need::RegionReady(r) | Need::RegionUsable(r) => {
                format!("{} to be registered", map.plan.regions[r.index()].name)
            }
            Need::XlatQuiet(p) => {
                let region = &map.plan.regions[map.region_of(p).index()].name;
                format!("transfers of a page of {region} to drain")
            }
            Need::TeardownDue(r) => {
                format!("a late teardown of {}", map.plan.regions[r.index()].name)
            }
            Need::CommandPage(_) => "a command page of the driver".into(),
            Need::FreeFrame => "a free frame".into(),
            Need::SeqPassed(mm, _) => {
                format!("the end of an invalidation in {}", map.plan.mms[mm.index()].name)
            }
            Need::LeaseAnswered(f) => {
                format!("the holder of the lease on {}", map.plan.files[f.index()].name)
            }
            Need::LeaseBreaking(f) | Need::LeaseAsked(f) => {
                format!("a break of the lease on {}", map.plan.files[f.index()].name)
            }
            Need::MmLive(mm) => format!("the fork of {}", map.plan.mms[mm.index()].name),
        }
    }
}

/// The disk tags that transfer a frame.
fn bios_of(w: &World, frame: Frame) -> Vec<Actor> {
    let head = w.head(frame);
    (0..w.map.tag_count())
        .map(Tag)
        .filter(|&t| {
            let bio = w.get::<Bio>(t);
            bio.step() != BioStep::Idle
                && Frame::unpack(bio.frame_bits()).is_some_and(|f| w.head(f) == head)
        })
        .map(|t| w.map.tag_actor(t))
        .collect()
}

/// The agents of whom something is true.
fn whoever(w: &World, is: impl Fn(Actor) -> bool) -> Vec<Actor> {
    (0..w.map.actors()).map(Actor).filter(|&a| is(a)).collect()
}

/// The agents with a transfer of a region in flight.
fn transferring(w: &World, region: Region) -> Vec<Actor> {
    whoever(w, |a| w.get::<Engaged>(a).region() == Region::pack(Some(region)))
}

/// Who can drop the references to a frame's folio: the disks that transfer it, and for each slot
/// that holds a page of it the threads that release the slot, or the worker to whom that has been
/// left.
fn pinners(w: &World, frame: Frame) -> Vec<Vec<Actor>> {
    let head = w.head(frame);
    let mut found: Vec<Vec<Actor>> = bios_of(w, frame).into_iter().map(|a| vec![a]).collect();
    for (slot, pages) in w.map.slot_pages.iter().enumerate() {
        let slot = Slot(slot as u32);
        if pages.clone().any(|p| w.keeps(SlotPage(p), head)) {
            let mut group = w.map.slot_releasers(slot).to_vec();
            let worker = slot.0.checked_rem(w.map.plan.workers).map(Worker);
            group.extend(worker.map(|k| w.map.worker_actor(k)));
            found.push(group);
        }
    }
    found
}
