//! What the words of the world mention: which bits name an object, which hold a number that only
//! grows.

use super::cell::{Facet, Kind};
use super::contents::Contents;
use super::door::World;
use super::ids::*;
use super::layout::TLB_SLOTS;
use super::machine::*;
use super::objects::*;
use super::view::{Eyes, Mention};

impl Kind {
    /// What kind of object it is a facet of.
    pub fn sort(self) -> Sort {
        use Kind::*;
        match self {
            Counts | Flags | Owner | FolioLock | Data | Holders => Sort::Frame,
            Pte => Sort::VPage,
            CacheSlot | Extent | Newest | Promised | Excused => Sort::FilePage,
            Asked => Sort::AskedPage,
            BlockState | BlockData | BlockDurable => Sort::Block,
            Tlb => Sort::TlbSlot,
            CpuState => Sort::Cpu,
            VmaState => Sort::Vma,
            MmState => Sort::Mm,
            Size | FileState | Lease | MappingPins => Sort::File,
            LockState => Sort::Lock,
            Held | HeldMore | Engaged | ActorState => Sort::Actor,
            DiskState => Sort::Disk,
            Bio | BioEnd | BioData | BioSum => Sort::Tag,
            RegionState | IntervalSub => Sort::Region,
            Xlat => Sort::RegionPage,
            Pinned => Sort::SlotPage,
            Pipe => Sort::PipeSlot,
            Work => Sort::Worker,
            EventState => Sort::Event,
            OpResult | OpValue => Sort::OpId,
            Budget | CommandPool | Power | FreeList | Verdict | Versions => Sort::One,
        }
    }
}

/// The facets whose words look different to whoever counts numbers that only grow by rank; of all
/// others the words are what they are.
const GROWING: [Kind; 22] = {
    use Kind::*;
    [
        Flags,
        Data,
        Newest,
        Promised,
        Excused,
        Asked,
        BlockState,
        BlockData,
        BlockDurable,
        Tlb,
        MmState,
        FileState,
        DiskState,
        Bio,
        BioData,
        BioSum,
        IntervalSub,
        Xlat,
        Pinned,
        Pipe,
        OpValue,
        Versions,
    ]
};

/// The packed number of an object (0 is none) as somebody sees it.
fn packed(eyes: &mut impl Eyes, sort: Sort, bits: u32) -> u32 {
    match bits.checked_sub(1) {
        None => 0,
        Some(n) => eyes.see(Mention::Object(sort, n)) as u32 + 1,
    }
}

/// A packed frame and a generation of it.
fn page(eyes: &mut impl Eyes, frame: u32, generation: u16) -> (u32, u16) {
    let seen = match Frame::unpack(frame) {
        Some(frame) => eyes.see(Mention::Generation(frame, generation)) as u16,
        None => generation,
    };
    (packed(eyes, Sort::Frame, frame), seen)
}

/// A cell whose word looks different by rank.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Growing {
    /// Its facet.
    pub kind: Kind,
    /// Its object.
    pub object: u32,
    /// Its number.
    pub cell: u32,
}

impl World {
    /// All cells whose words look different by rank. Slots of a TLB in which no page can be are
    /// left out.
    pub(super) fn all_growing(&self) -> Vec<Growing> {
        let pages = self.map.plan.vpages();
        let used = |&(kind, object, _): &(Kind, u32, u32)| {
            GROWING.contains(&kind) && (kind != Kind::Tlb || object % TLB_SLOTS < pages)
        };
        self.all().filter(used).map(|(kind, object, cell)| Growing { kind, object, cell }).collect()
    }

    /// The word of a facet as somebody sees it. It is no word of the world any more: contents
    /// count by their hash.
    pub(super) fn word_seen(
        &self,
        kind: Kind,
        object: u32,
        word: u64,
        eyes: &mut impl Eyes,
    ) -> u64 {
        use Kind as K;
        match kind {
            K::Data
            | K::Newest
            | K::Promised
            | K::Excused
            | K::Asked
            | K::BlockData
            | K::BlockDurable
            | K::BioData
            | K::BioSum
            | K::OpValue => eyes.see(Mention::Contents(Contents::from_bits(word))),
            K::Flags | K::Owner | K::FolioLock | K::Pte | K::Tlb => {
                self.memory_seen(kind, word, eyes)
            }
            K::CacheSlot | K::Extent | K::BlockState | K::DiskState | K::FileState => {
                self.storage_seen(kind, object, word, eyes)
            }
            K::Bio | K::BioEnd | K::Pinned | K::Pipe | K::Xlat => transfer_seen(kind, word, eyes),
            K::MmState | K::IntervalSub | K::RegionState => {
                self.notifier_seen(kind, object, word, eyes)
            }
            K::FreeList => {
                let list = FreeList::unpack(word);
                let sort = if object == 0 { Sort::Frame } else { Sort::Block };
                list.with_head(packed(eyes, sort, list.head())).pack()
            }
            K::Versions => {
                if eyes.ranked() {
                    0
                } else {
                    word
                }
            }
            K::CpuState
            | K::Lease
            | K::LockState
            | K::Held
            | K::HeldMore
            | K::Engaged
            | K::Work => agent_seen(kind, word, eyes),
            // These mention nothing. A new facet has to say so.
            K::Counts
            | K::Holders
            | K::VmaState
            | K::Size
            | K::EventState
            | K::Budget
            | K::CommandPool
            | K::MappingPins
            | K::Power
            | K::ActorState
            | K::OpResult
            | K::Verdict => word,
        }
    }

    fn memory_seen(&self, kind: Kind, word: u64, eyes: &mut impl Eyes) -> u64 {
        match kind {
            Kind::Flags => {
                let flags = Flags::unpack(word);
                let batch = packed(eyes, Sort::Cpu, flags.batch().into());
                let flags = flags.with_batch(batch as u8);
                // The present generation is the newest of its frame.
                if eyes.ranked() { flags.with_generation(0).pack() } else { flags.pack() }
            }
            Kind::Owner => {
                let owner = Owner::unpack(word);
                let sort = match owner.kind() {
                    OwnerKind::None => return word,
                    OwnerKind::Free => Sort::Frame,
                    OwnerKind::File | OwnerKind::Detached => Sort::FilePage,
                    OwnerKind::Anon => Sort::VPage,
                    OwnerKind::Neighbour => Sort::Actor,
                };
                owner.with_link(packed(eyes, sort, owner.link())).pack()
            }
            Kind::FolioLock => u64::from(packed(eyes, Sort::Actor, word as u32)),
            Kind::Pte => {
                let pte = Pte::unpack(word);
                pte.with_frame_bits(packed(eyes, Sort::Frame, pte.frame_bits())).pack()
            }
            Kind::Tlb => {
                let entry = Tlb::unpack(word);
                let generation = match self.tlb_page(entry) {
                    Some(page) => eyes.see(Mention::Generation(page.frame, page.generation)),
                    None => 0,
                };
                let page = packed(eyes, Sort::VPage, entry.vpage_bits());
                let frame = packed(eyes, Sort::Frame, entry.frame_bits());
                let entry = entry.with_vpage_bits(page).with_frame_bits(frame);
                entry.with_generation(generation as u8 % 64).pack()
            }
            _ => word,
        }
    }

    fn storage_seen(&self, kind: Kind, object: u32, word: u64, eyes: &mut impl Eyes) -> u64 {
        match kind {
            Kind::CacheSlot => {
                let slot = CacheSlot::unpack(word);
                let owner = packed(eyes, Sort::Actor, slot.dax_owner());
                let frame = packed(eyes, Sort::Frame, slot.frame_bits());
                slot.with_frame_bits(frame).with_dax_owner(owner).pack()
            }
            Kind::Extent => {
                let extent = Extent::unpack(word);
                extent.with_block_bits(packed(eyes, Sort::Block, extent.block_bits())).pack()
            }
            Kind::BlockState => {
                let block = BlockState::unpack(word);
                let sort = match block.state() {
                    BlockUse::Free => Sort::Block,
                    _ => Sort::FilePage,
                };
                let block = block.with_link(packed(eyes, sort, block.link()));
                if !eyes.ranked() {
                    return block.pack();
                }
                // Whether it was written since the last flush is all that its epoch says.
                let disk = self.word_as::<DiskState>(self.map.disk_of(Block(object)));
                block.with_epoch(u32::from(block.epoch() == disk.epoch())).pack()
            }
            Kind::DiskState if eyes.ranked() => DiskState::unpack(word).with_epoch(1).pack(),
            // Whether there is an error to be reported is all that the counts say.
            Kind::FileState if eyes.ranked() => {
                let file = FileState::unpack(word);
                let due = file.wb_err() != file.wb_err_seen();
                file.with_wb_err(u16::from(due)).with_wb_err_seen(0).pack()
            }
            _ => word,
        }
    }

    fn notifier_seen(&self, kind: Kind, object: u32, word: u64, eyes: &mut impl Eyes) -> u64 {
        match kind {
            Kind::MmState => {
                let mm = MmState::unpack(word);
                let seq = eyes.see(Mention::Sequence(Mm(object), mm.invalidate_seq()));
                mm.with_invalidate_seq(seq as u32).pack()
            }
            Kind::RegionState => {
                let region = RegionState::unpack(word);
                region.with_first_bits(packed(eyes, Sort::VPage, region.first_bits())).pack()
            }
            Kind::IntervalSub => {
                let region = self.word_as::<RegionState>(Region(object));
                let mm = region.vpage(0).map(|first| self.map.mm_of(first));
                let seq = IntervalSub::unpack(word).seq();
                match mm {
                    Some(mm) => eyes.see(Mention::Sequence(mm, seq)),
                    // Nobody will compare it: it is written anew with the subscription.
                    None if eyes.ranked() => 0,
                    None => word,
                }
            }
            _ => word,
        }
    }
}

fn transfer_seen(kind: Kind, word: u64, eyes: &mut impl Eyes) -> u64 {
    match kind {
        Kind::Bio => {
            let bio = Bio::unpack(word);
            let (frame, generation) = page(eyes, bio.frame_bits(), bio.generation());
            bio.with_frame_bits(frame).with_generation(generation).pack()
        }
        Kind::BioEnd => {
            let end = BioEnd::unpack(word);
            let block = packed(eyes, Sort::Block, end.block_bits());
            let submitter = packed(eyes, Sort::Actor, end.submitter());
            end.with_block_bits(block).with_submitter(submitter).pack()
        }
        Kind::Pinned => {
            let pin = Pinned::unpack(word);
            let (frame, generation) = page(eyes, pin.frame_bits(), pin.generation());
            pin.with_frame_bits(frame).with_generation(generation).pack()
        }
        Kind::Pipe => {
            let pipe = Pipe::unpack(word);
            let (frame, generation) = page(eyes, pipe.frame_bits(), pipe.generation());
            pipe.with_frame_bits(frame).with_generation(generation).pack()
        }
        Kind::Xlat => {
            let entry = Xlat::unpack(word);
            let (frame, generation) = page(eyes, entry.frame_bits(), entry.generation());
            entry.with_frame_bits(frame).with_generation(generation).pack()
        }
        _ => word,
    }
}

fn agent_seen(kind: Kind, word: u64, eyes: &mut impl Eyes) -> u64 {
    match kind {
        Kind::CpuState => u64::from(packed(eyes, Sort::Actor, word as u32)),
        Kind::Lease => {
            let lease = Lease::unpack(word);
            lease.with_holder(packed(eyes, Sort::Actor, lease.holder())).pack()
        }
        Kind::LockState => {
            let lock = LockState::unpack(word);
            lock.with_writer(packed(eyes, Sort::Actor, lock.writer())).pack()
        }
        Kind::Held => {
            let held = Held::unpack(word);
            let mut lock = |bits| packed(eyes, Sort::Lock, bits);
            let (a, b, c) = (lock(held.a()), lock(held.b()), lock(held.c()));
            held.with_a(a).with_b(b).with_c(c).pack()
        }
        Kind::HeldMore => {
            let held = HeldMore::unpack(word);
            let mut lock = |bits| packed(eyes, Sort::Lock, bits);
            let (d, e, f) = (lock(held.d()), lock(held.e()), lock(held.f()));
            held.with_d(d).with_e(e).with_f(f).pack()
        }
        Kind::Engaged => {
            let engaged = Engaged::unpack(word);
            let dio = packed(eyes, Sort::File, engaged.dio());
            let range = packed(eyes, Sort::Mm, engaged.range());
            let region = packed(eyes, Sort::Region, engaged.region());
            engaged.with_dio(dio).with_range(range).with_region(region).pack()
        }
        Kind::Work => {
            let work = Work::unpack(word);
            if work.kind() == WorkKind::None {
                return word;
            }
            let flags = work.arg() & (SET_DIRTY | MKWRITE);
            let slot = eyes.see(Mention::Object(Sort::Slot, work.arg() & !flags)) as u32;
            work.with_arg(slot | flags).pack()
        }
        _ => word,
    }
}
