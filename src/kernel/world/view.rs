//! States looked at with other eyes: with other names for their objects, or with numbers that
//! only ever grow replaced by their ranks.
//!
//! Two states that differ by a permutation of identical objects are one under symmetry; two that
//! differ only in how often something has happened before (how many versions were written, how
//! often a frame was freed) are one where programs go round for ever. Both questions need a pass
//! over everything in a state that names an object or holds such a number: the words of the world
//! (the table in `words.rs`) and what agents keep on their stacks. The latter comes out of the
//! derived `Hash` of a machine, in which every such value *mentions* itself.

use super::contents::{Contents, Version};
use super::door::{World, mix};
use super::ids::*;
use super::layout::{Layout, TLB_SLOTS};
use super::objects::{Flags, MmState};
use std::hash::Hasher;

/// Something in a state that other eyes see differently. It passes a [`Hasher`] as a 128-bit
/// number, which nothing else in a machine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mention {
    /// An object by its number.
    Object(Sort, u32),
    /// A generation of a frame.
    Generation(Frame, u16),
    /// An `invalidate_seq` of an address space.
    Sequence(Mm, u32),
    /// Contents.
    Contents(Contents),
}

impl Mention {
    /// Passes a hasher: the value in the low 64 bits, then what it is of, then which it is.
    #[inline]
    pub fn pass<H: Hasher>(self, state: &mut H) {
        let (which, of, value) = match self {
            Mention::Object(sort, n) => (3 + sort as u32, 0, u64::from(n)),
            Mention::Generation(frame, n) => (0, frame.0, u64::from(n)),
            Mention::Sequence(mm, n) => (1, mm.0, u64::from(n)),
            Mention::Contents(contents) => (2, 0, contents.bits()),
        };
        state.write_u128(u128::from(which) << 96 | u128::from(of) << 64 | u128::from(value));
    }

    /// Whether what has passed is a number that only grows, or contents, which have such numbers.
    #[inline]
    pub fn grows(bits: u128) -> bool {
        bits >> 96 < 3
    }

    /// What has passed.
    pub fn read(bits: u128) -> Mention {
        let (which, of, value) = ((bits >> 96) as usize, (bits >> 64) as u32, bits as u64);
        match which {
            0 => Mention::Generation(Frame(of), value as u16),
            1 => Mention::Sequence(Mm(of), value as u32),
            2 => Mention::Contents(Contents::from_bits(value)),
            sort => Mention::Object(Sort::ALL[sort - 3], value as u32),
        }
    }
}

/// An `invalidate_seq` that an agent has read and keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// Whose.
    pub mm: Mm,
    /// What was read.
    pub value: u32,
}

impl std::hash::Hash for Sequence {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.mm.hash(state);
        Mention::Sequence(self.mm, self.value).pass(state);
    }
}

/// Whoever looks: what a mention counts for.
pub trait Eyes {
    /// The number that stands for what is mentioned.
    fn see(&mut self, mention: Mention) -> u64;

    /// Whether numbers that only grow count by their ranks.
    fn ranked(&self) -> bool {
        false
    }
}

/// Other names for objects: for each kind a permutation of its numbers; an empty table is the
/// identity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Names {
    tables: Vec<Vec<u32>>,
}

impl Default for Names {
    fn default() -> Names {
        Names { tables: vec![Vec::new(); Sort::ALL.len()] }
    }
}

impl Names {
    /// The other name of an object by number.
    #[inline]
    pub fn number(&self, sort: Sort, n: u32) -> u32 {
        self.tables[sort as usize].get(n as usize).copied().unwrap_or(n)
    }

    /// The other name of an object.
    #[inline]
    pub fn of<T: Id>(&self, object: T) -> T {
        T::from_index(self.number(T::SORT, object.index() as u32) as usize)
    }

    /// Whether objects of a kind have other names at all.
    pub fn moves(&self, sort: Sort) -> bool {
        !self.tables[sort as usize].is_empty()
    }

    /// Gives an object another name. The table is the identity up to there.
    pub fn set(&mut self, sort: Sort, from: u32, to: u32) {
        let table = &mut self.tables[sort as usize];
        for n in table.len() as u32..=from.max(to) {
            table.push(n);
        }
        table[from as usize] = to;
    }

    /// The same without the ends of tables where nothing has another name: equal if they give
    /// equal names.
    #[must_use]
    pub fn trimmed(mut self) -> Names {
        for table in &mut self.tables {
            let last = (0..table.len()).rev().find(|&n| table[n] != n as u32);
            table.truncate(last.map_or(0, |n| n + 1));
        }
        self
    }

    /// These names, and then the others.
    #[must_use]
    pub fn then(&self, others: &Names) -> Names {
        let table = |&sort: &Sort| {
            let len = self.tables[sort as usize].len().max(others.tables[sort as usize].len());
            let through = |n| others.number(sort, self.number(sort, n));
            (0..len as u32).map(through).collect()
        };
        Names { tables: Sort::ALL.iter().map(table).collect() }
    }

    /// A version by the other names of its page and its author.
    fn version(&self, map: &Layout, version: Version) -> Version {
        let origin = match map.whose(version.origin) {
            Some(Origin::File(page)) => map.origin_of_file(self.of(page)),
            Some(Origin::Private(page)) => map.origin_of_vpage(self.of(page)),
            Some(Origin::Neighbour(op)) => map.origin_of_neighbour(self.of(op)),
            None => version.origin,
        };
        Version { origin, author: self.of(version.author), ..version }
    }

    /// The other name of a slot of a TLB.
    fn tlb_slot(&self, slot: u32) -> u32 {
        let (cpu, page) = (Cpu(slot / TLB_SLOTS), VPage(slot % TLB_SLOTS));
        self.of(cpu).0 * TLB_SLOTS + self.of(page).0 % TLB_SLOTS
    }

    /// The other name of the object of a cell.
    pub fn object(&self, sort: Sort, n: u32) -> u32 {
        match sort {
            Sort::TlbSlot => self.tlb_slot(n),
            sort => self.number(sort, n),
        }
    }
}

/// What a logical page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A page of a file.
    File(FilePage),
    /// A page of private memory, by the virtual page that wrote it first.
    Private(VPage),
    /// What an operation of a neighbour wrote to a frame of its own.
    Neighbour(OpId),
}

/// The numbers that only grow, as a state has them now.
///
/// What matters of them is how those of one object compare: a generation with the frame's
/// present one, a version with others, a sequence with the address space's. Each new one is
/// greater than all that are there. So two states in which they have the same ranks can do the
/// same, and lead to such states again.
#[derive(Clone, Debug, Default)]
pub struct Ranks {
    versions: Vec<u32>,
    generations: Vec<(u32, u16)>,
    sequences: Vec<(u32, u32)>,
}

impl Ranks {
    /// Puts what was collected in order.
    fn seal(mut self) -> Ranks {
        fn sort<T: Ord>(all: &mut Vec<T>) {
            all.sort_unstable();
            all.dedup();
        }
        sort(&mut self.versions);
        sort(&mut self.generations);
        sort(&mut self.sequences);
        self
    }

    /// Counts what is greater, up to `last`: the newest has rank 0.
    fn rank<T: Ord + Copy>(of: &[T], value: T, last: T) -> u64 {
        let up_to = |most: T| of.partition_point(|&other| other <= most);
        up_to(last).saturating_sub(up_to(value)) as u64
    }

    fn generation(&self, frame: u32, n: u16) -> u64 {
        Ranks::rank(&self.generations, (frame, n), (frame, u16::MAX))
    }

    /// A sequence counts by its rank, whether an invalidation is under way with it (it is odd),
    /// and whether it is the one before the present: that is what a new subscription is given.
    fn sequence(&self, w: &World, mm: Mm, n: u32) -> u64 {
        let before = w.word_as::<MmState>(mm).invalidate_seq().wrapping_sub(1) == n;
        let rank = Ranks::rank(&self.sequences, (mm.0, n), (mm.0, u32::MAX));
        rank << 2 | u64::from(n & 1) << 1 | u64::from(before)
    }

    fn version(&self, version: Version) -> Version {
        // From below: rank 0 is for what was written never.
        let older = self.versions.partition_point(|&other| other < version.seq) as u32;
        Version { seq: 1 + older, ..version }
    }
}

/// Collects the numbers that only grow.
#[derive(Debug)]
pub struct Collector<'a> {
    world: &'a World,
    ranks: Ranks,
}

impl<'a> Collector<'a> {
    /// One that has seen the world, and is to be shown what agents keep.
    pub fn new(world: &'a World) -> Collector<'a> {
        let mut collector = Collector { world, ranks: Ranks::default() };
        for (cell, word) in world.growing() {
            world.word_seen(cell.kind, cell.object, word, &mut collector);
        }
        for n in 0..world.map.frames() {
            let now = world.word_as::<Flags>(Frame(n)).generation();
            collector.ranks.generations.push((n, now));
        }
        collector
    }

    /// What was found.
    pub fn ranks(self) -> Ranks {
        self.ranks.seal()
    }
}

impl Eyes for Collector<'_> {
    fn see(&mut self, mention: Mention) -> u64 {
        match mention {
            Mention::Object(..) => {}
            Mention::Generation(frame, n) => self.ranks.generations.push((frame.0, n)),
            Mention::Sequence(mm, n) => self.ranks.sequences.push((mm.0, n)),
            Mention::Contents(contents) => {
                let versions = self.world.patches.runs(contents).filter_map(|r| r.holds.version());
                self.ranks.versions.extend(versions.map(|v| v.seq));
            }
        }
        0
    }

    fn ranked(&self) -> bool {
        true
    }
}

/// Sees objects by their own names and growing numbers by their ranks.
#[derive(Clone, Copy, Debug)]
pub struct ByRank<'a> {
    /// What is looked at.
    pub world: &'a World,
    /// The ranks.
    pub ranks: &'a Ranks,
}

impl Eyes for ByRank<'_> {
    #[inline]
    fn see(&mut self, mention: Mention) -> u64 {
        match mention {
            Mention::Object(_, n) => u64::from(n),
            Mention::Generation(frame, n) => self.ranks.generation(frame.0, n),
            Mention::Sequence(mm, n) => self.ranks.sequence(self.world, mm, n),
            Mention::Contents(contents) => {
                self.world.patches.hash_with(contents, |version| self.ranks.version(version))
            }
        }
    }

    fn ranked(&self) -> bool {
        true
    }
}

/// Sees objects by other names and, if there are ranks, growing numbers by them.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What is looked at.
    pub world: &'a World,
    /// The names.
    pub names: &'a Names,
    /// The ranks.
    pub ranks: Option<&'a Ranks>,
}

impl Eyes for View<'_> {
    #[inline]
    fn see(&mut self, mention: Mention) -> u64 {
        match (mention, self.ranks) {
            (Mention::Object(sort, n), _) => u64::from(self.names.object(sort, n)),
            (Mention::Generation(frame, n), Some(ranks)) => ranks.generation(frame.0, n),
            (Mention::Generation(_, n), None) => u64::from(n),
            (Mention::Sequence(mm, n), Some(ranks)) => ranks.sequence(self.world, mm, n),
            (Mention::Sequence(_, n), None) => u64::from(n),
            (Mention::Contents(contents), ranks) => {
                self.world.patches.hash_with(contents, |version| {
                    let version = ranks.map_or(version, |ranks| ranks.version(version));
                    self.names.version(&self.world.map, version)
                })
            }
        }
    }

    fn ranked(&self) -> bool {
        self.ranks.is_some()
    }
}

impl World {
    /// All cells as somebody sees them, as bytes.
    pub fn state_seen(&self, eyes: &mut impl Eyes, out: &mut Vec<u8>) {
        for (kind, object, cell) in self.all() {
            let word = self.word_seen(kind, object, self.word(cell), eyes);
            out.extend(word.to_le_bytes());
        }
    }

    /// What [`World::seen`] gives by rank and with everybody's own name, from the fingerprint that
    /// is kept.
    pub fn seen_by_rank(&self, ranks: &Ranks) -> u64 {
        let mut eyes = ByRank { world: self, ranks };
        self.growing().fold(self.fingerprint(), |hash, (at, word)| {
            let seen = match self.word_seen(at.kind, at.object, word, &mut eyes) {
                0 => 0,
                seen => mix(u64::from(at.cell) + 1, seen),
            };
            hash ^ self.weight(at.cell, at.kind, word) ^ seen
        })
    }

    /// The hash of all cells as somebody sees them. Seen with the eyes of everybody it is
    /// [`World::fingerprint`].
    pub fn seen(&self, eyes: &mut impl Eyes, names: &Names) -> u64 {
        self.all().fold(0, |hash, (kind, object, cell)| {
            let word = match self.word(cell) {
                0 => 0,
                word => self.word_seen(kind, object, word, eyes),
            };
            if word == 0 {
                return hash;
            }
            let cell = self.cell_of(kind, names.object(kind.sort(), object));
            hash ^ mix(u64::from(cell) + 1, word)
        })
    }
}
