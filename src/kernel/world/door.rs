//! The cells and the only door for writes.
//!
//! Every change of the world is a [`World::set`]: it notes the cell and keeps the old value. That
//! one note gives undo, the incremental fingerprint, the footprint, the choice of invariants to
//! check and the before/after lines of a trace.

use super::cell::{Facet, Kind};
use super::contents::{Contents, Patches};
use super::facts::Fact;
use super::ids::{Id, One};
use super::layout::Layout;
use super::objects::Versions;
use super::pins::PinRules;
use super::price::Prices;
use super::words::Growing;
use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

/// One change: the cell, its facet, and the word that was there before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// Number of the cell.
    pub cell: u32,
    /// The object.
    pub object: u32,
    /// The facet.
    pub kind: Kind,
    /// The word before.
    pub old: u64,
}

/// What a design says about how counts are kept, as far as ghost state and invariants have to
/// know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// A mapping of a pmem page holds a reference and an unused page has refcount 0; else an
    /// unused page has refcount 1 and mappings are not counted at all.
    pub mapped_refs: bool,
    /// PTEs of pmem pages carry the devmap bit.
    pub devmap: bool,
    /// How pins are counted.
    pub pin: PinRules,
    /// Programs go round for ever: every version is numbered higher than all before, so that its
    /// rank among those that are left says all about it.
    pub endless: bool,
}

/// All mutable state of the simulated machine, except the agents' control state.
#[derive(Clone, Debug)]
pub struct World {
    /// How the objects are numbered and what belongs to what.
    pub map: Arc<Layout>,
    /// How counts are kept.
    pub rules: Rules,
    /// What happened in the step under way.
    pub facts: Vec<Fact>,
    cells: Vec<u64>,
    /// Where the cells of each facet are.
    places: [Place; Kind::COUNT],
    log: Vec<Change>,
    fingerprint: u64,
    /// Contents that are patchworks of several writes.
    pub patches: Patches,
    /// What the design has cost so far; no part of the state.
    pub prices: Prices,
    recording: bool,
    reads: RefCell<Vec<u32>>,
    /// The cells that count by rank, listed when that is first asked for.
    growing: OnceCell<Arc<[Growing]>>,
}

/// Where the cells of a facet are: object `n`'s is `base + n * stride`. The facets of one kind of
/// object lie side by side, so that what a step touches of a page is in one or two cache lines.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    base: u32,
    stride: u32,
    len: u32,
}

/// Mixes two words into one; every bit of both reaches every bit of the result.
#[inline]
pub fn mix(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.rotate_left(29);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ (x >> 29) ^ b).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^ (x >> 32)
}

/// Facets whose word is a [`Contents`].
fn holds_contents(kind: Kind) -> bool {
    use Kind::*;
    matches!(
        kind,
        Data | Newest
            | Promised
            | Excused
            | Asked
            | BlockData
            | BlockDurable
            | BioData
            | BioSum
            | OpValue
    )
}

impl World {
    /// A world of zero words, with so many objects behind each facet.
    pub fn new(map: Arc<Layout>, rules: Rules, size: impl Fn(Kind) -> u32) -> World {
        let mut places = [Place::default(); Kind::COUNT];
        let mut base = 0;
        for &first in Kind::ALL.iter().filter(|k| k.first_of_group() == **k) {
            let group = || Kind::ALL.iter().filter(|k| k.first_of_group() == first);
            let (stride, len) = (group().count() as u32, size(first));
            for (offset, &kind) in group().enumerate() {
                places[kind as usize] = Place { base: base + offset as u32, stride, len };
            }
            base += stride * len;
        }
        World {
            map,
            rules,
            facts: Vec::with_capacity(16),
            cells: vec![0; base as usize],
            places,
            log: Vec::with_capacity(4096),
            fingerprint: 0,
            patches: Patches::default(),
            prices: Prices::default(),
            recording: false,
            reads: RefCell::default(),
            growing: OnceCell::new(),
        }
    }

    /// The cells that count by rank with their words, but for zero words.
    pub(super) fn growing(&self) -> impl Iterator<Item = (Growing, u64)> + '_ {
        let growing = self.growing.get_or_init(|| self.all_growing().into());
        let words = growing.iter().map(|&at| (at, self.cells[at.cell as usize]));
        words.filter(|&(_, word)| word != 0)
    }

    /// Number of the cell of a facet of an object.
    #[inline]
    pub fn cell<T: Facet>(&self, of: T::Of) -> u32 {
        self.cell_of(T::KIND, of.index() as u32)
    }

    /// The same by number.
    #[inline]
    pub fn cell_of(&self, kind: Kind, object: u32) -> u32 {
        let place = self.places[kind as usize];
        debug_assert!(object < place.len, "{kind:?} of object {object}");
        place.base + object * place.stride
    }

    /// Number of objects that have this facet.
    pub fn len(&self, kind: Kind) -> u32 {
        self.places[kind as usize].len
    }

    /// Facet and object number of a cell; none beyond the last.
    pub fn locate(&self, cell: u32) -> Option<(Kind, u32)> {
        Kind::ALL.iter().find_map(|&kind| {
            let place = self.places[kind as usize];
            let offset = cell.checked_sub(place.base)?;
            let found = offset % place.stride == 0 && offset / place.stride < place.len;
            found.then(|| (kind, offset / place.stride))
        })
    }

    /// Every cell: facet, object, number.
    pub(super) fn all(&self) -> impl Iterator<Item = (Kind, u32, u32)> + '_ {
        Kind::ALL.iter().flat_map(move |&kind| {
            (0..self.len(kind)).map(move |object| (kind, object, self.cell_of(kind, object)))
        })
    }

    /// Reads a facet of an object.
    #[inline]
    pub fn get<T: Facet>(&self, of: T::Of) -> T {
        let cell = self.cell::<T>(of);
        self.read_cell(cell);
        T::unpack(self.cells[cell as usize])
    }

    /// Notes that somebody looked at a facet of an object by other means.
    #[inline]
    pub fn read<T: Facet>(&self, of: T::Of) {
        self.read_cell(self.cell::<T>(of));
    }

    /// The same by number of the cell.
    #[inline]
    pub fn read_cell(&self, cell: u32) {
        if self.recording {
            self.note_read(cell);
        }
    }

    /// Out of the way of all the steps that nobody records.
    #[cold]
    #[inline(never)]
    fn note_read(&self, cell: u32) {
        self.reads.borrow_mut().push(cell);
    }

    /// Reads the word of a cell, unrecorded: for reports.
    pub fn word(&self, cell: u32) -> u64 {
        self.cells[cell as usize]
    }

    /// Reads a facet of an object, unrecorded.
    pub fn word_as<T: Facet>(&self, of: T::Of) -> T {
        T::unpack(self.cells[self.cell::<T>(of) as usize])
    }

    /// Reads the word of a facet of an object by number, unrecorded.
    pub fn word_of(&self, kind: Kind, object: u32) -> u64 {
        self.cells[self.cell_of(kind, object) as usize]
    }

    /// Writes a facet of an object: the only door. Writing the value that is there is no change,
    /// but belongs to the footprint.
    #[inline]
    pub fn set<T: Facet>(&mut self, of: T::Of, value: T) {
        self.write(T::KIND, of.index() as u32, value.pack());
    }

    /// The same for all facets, so that it stays in the instruction cache whichever machine steps
    /// next.
    #[inline(never)]
    fn write(&mut self, kind: Kind, object: u32, new: u64) {
        let cell = self.cell_of(kind, object);
        let old = self.cells[cell as usize];
        self.log.push(Change { cell, object, kind, old });
        if old != new {
            self.fingerprint ^= self.weight(cell, kind, old) ^ self.weight(cell, kind, new);
            self.cells[cell as usize] = new;
        }
    }

    /// Reads, changes and writes a facet; gives the value before.
    #[inline]
    pub fn update<T: Facet>(&mut self, of: T::Of, change: impl FnOnce(T) -> T) -> T {
        let old = T::unpack(self.cells[self.cell::<T>(of) as usize]);
        self.set(of, change(old));
        old
    }

    /// What a cell adds to the fingerprint. A zero word adds nothing, so that a large world
    /// starts at once.
    #[inline]
    pub(super) fn weight(&self, cell: u32, kind: Kind, word: u64) -> u64 {
        let word = if word >> 63 == 1 && holds_contents(kind) {
            self.patches.hash(Contents::from_bits(word))
        } else {
            word
        };
        if word == 0 { 0 } else { mix(u64::from(cell) + 1, word) }
    }

    /// The hash of all cells, kept up to date by every write.
    #[inline]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The same, computed from scratch; a law says that they are equal.
    pub fn full_fingerprint(&self) -> u64 {
        self.all()
            .fold(0, |h, (kind, _, cell)| h ^ self.weight(cell, kind, self.cells[cell as usize]))
    }

    /// The number of a new version, `last` being the youngest of what it is written over.
    pub fn next_version(&mut self, last: u32) -> u32 {
        if !self.rules.endless {
            return last + 1;
        }
        let n = self.get::<Versions>(One(0)).count().max(last) + 1;
        self.set(One(0), Versions::new().with_count(n));
        n
    }

    /// All cells as bytes, contents spelt out, for exact comparison.
    pub fn state(&self, out: &mut Vec<u8>) {
        for (kind, _, cell) in self.all() {
            let word = self.cells[cell as usize];
            if word >> 63 == 1 && holds_contents(kind) {
                for run in self.patches.runs(Contents::from_bits(word)) {
                    out.extend(run.end.to_le_bytes());
                    out.extend(run.holds.bits().to_le_bytes());
                }
            } else {
                out.extend(word.to_le_bytes());
            }
        }
    }

    /// Where the log of changes stands now.
    #[inline]
    pub fn mark(&self) -> usize {
        self.log.len()
    }

    /// The changes since a mark, oldest first.
    #[inline]
    pub fn since(&self, mark: usize) -> &[Change] {
        &self.log[mark..]
    }

    /// Takes back every change since a mark, at which the fingerprint was `fingerprint`.
    pub fn rewind(&mut self, mark: usize, fingerprint: u64) {
        for change in self.log[mark..].iter().rev() {
            self.cells[change.cell as usize] = change.old;
        }
        self.log.truncate(mark);
        self.fingerprint = fingerprint;
    }

    /// Forgets the log: the present state becomes one that cannot be undone.
    pub fn forget(&mut self) {
        self.log.clear();
    }

    /// Begins to record reads, with none.
    pub fn record(&mut self) {
        self.recording = true;
        self.reads.borrow_mut().clear();
    }

    /// Records no more reads; those recorded so far stay.
    pub fn pause(&mut self) {
        self.recording = false;
    }

    /// Adds the recorded reads to `out`.
    pub fn reads(&self, out: &mut Vec<u32>) {
        out.extend_from_slice(&self.reads.borrow());
    }

    /// Bytes of memory that the cells take.
    pub fn bytes(&self) -> usize {
        self.cells.len() * 8
    }
}
