//! Contents of pages, blocks, bios and remote buffers: versions with an author.
//!
//! Bytes are not simulated; what is kept is *who wrote which version of what*, so that "whose
//! bytes are these, and should they be here?" can always be answered. A page that one write
//! covered is one [`Version`] in one word; a page that is a patchwork of several writes is an
//! entry of the [`Patches`] table, which is keyed by contents and only grows.

use super::ids::OpId;
use super::view::Mention;
use std::hash::{Hash, Hasher};

/// One write of one part of a logical page (of a file, or of anonymous memory).
///
/// `seq` counts the writes to the logical page `origin`, so that two versions of one origin can
/// be ordered by age; a write to another page cannot change the number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    /// The logical page that was written: see [`Version::ORIGINS`].
    pub origin: u32,
    /// How many writes of this logical page came before.
    pub seq: u32,
    /// The operation that wrote.
    pub author: OpId,
    /// Whether the write covered the whole page (else a part of it).
    pub whole: bool,
}

impl Version {
    /// Logical pages that can be told apart. Numbers from 1: file pages first, then pages of
    /// private and anonymous memory, then what neighbours own.
    pub const ORIGINS: u32 = 1 << 22;
    /// Writes of one logical page that can be told apart.
    pub const SEQS: u32 = 1 << 20;
    /// Operations that can be told apart.
    pub const AUTHORS: u32 = 1 << 20;
    /// The author of what was there at the start.
    pub const INITIAL: OpId = OpId(0);
    /// The author of what was in the cache, newer than the disk, at the start.
    pub const EARLIER: OpId = OpId(1);

    fn pack(self) -> u64 {
        u64::from(self.origin) << 41
            | u64::from(self.seq % Version::SEQS) << 21
            | u64::from(self.author.0 % Version::AUTHORS) << 1
            | u64::from(self.whole)
    }

    fn unpack(bits: u64) -> Version {
        Version {
            origin: (bits >> 41) as u32 & (Version::ORIGINS - 1),
            seq: (bits >> 21) as u32 & (Version::SEQS - 1),
            author: OpId((bits >> 1) as u32 & (Version::AUTHORS - 1)),
            whole: bits & 1 == 1,
        }
    }
}

/// What a page, block, bio or remote buffer holds.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents(u64);

impl Hash for Contents {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Mention::Contents(*self).pass(state);
    }
}

const PATCHED: u64 = 1 << 63;

impl Contents {
    /// All zeroes: fresh memory, a hole.
    pub const ZERO: Contents = Contents(0);

    /// What a page of no meaning holds (the "crappy page"): something, and no logical page's.
    pub const JUNK: Contents = Contents(1 << 21 | 1);

    /// One version all over.
    pub fn of(version: Version) -> Contents {
        Contents(version.pack())
    }

    /// The version, if it is one version all over; zero is none.
    pub fn version(self) -> Option<Version> {
        (self.0 != 0 && !self.is_patched()).then(|| Version::unpack(self.0))
    }

    /// Whether it is an older version of the same logical page than `other`.
    #[inline]
    pub fn older_than(self, other: Contents) -> bool {
        match (self.version(), other.version()) {
            (Some(a), Some(b)) => a.origin == b.origin && a.seq < b.seq,
            _ => false,
        }
    }

    /// Whether it is a patchwork of several versions.
    pub fn is_patched(self) -> bool {
        self.0 & PATCHED != 0
    }

    /// The word that is stored.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The reverse of `bits`.
    pub fn from_bits(bits: u64) -> Contents {
        Contents(bits)
    }

    fn patch(self) -> Option<usize> {
        self.is_patched().then_some((self.0 & !PATCHED) as usize)
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.version(), self.patch()) {
            (Some(v), _) => write!(f, "{}#{}@op{}", v.origin, v.seq, v.author.0),
            (None, Some(i)) => write!(f, "patch{i}"),
            (None, None) => write!(f, "zero"),
        }
    }
}

/// A run of bytes of one version: it ends before byte `end` and begins where the last one ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Run {
    /// First byte after the run.
    pub end: u16,
    /// What it holds; zero or one version, never a patchwork.
    pub holds: Contents,
}

/// The patchworks that have come up so far. Equal patchworks have equal numbers, so that
/// contents compare as words; the numbers depend on the order of first appearance and must not
/// reach a result: [`Patches::hash`] and [`Patches::runs`] do not depend on it.
#[derive(Clone, Debug, Default)]
pub struct Patches {
    entries: Vec<(Vec<Run>, u64)>,
    /// Open addressing over `entries` by hash; 0 is empty, else entry + 1.
    table: Vec<u32>,
    /// Room for a patchwork that may have come up before.
    scratch: Vec<Run>,
}

impl Patches {
    /// The runs of some contents, covering all bytes of the page in order.
    pub fn runs(&self, of: Contents) -> impl Iterator<Item = Run> + '_ {
        let patched = of.patch().map(|i| self.entries[i].0.as_slice());
        let whole = patched.is_none().then_some(Run { end: 4096, holds: of });
        whole.into_iter().chain(patched.unwrap_or(&[]).iter().copied())
    }

    /// A number that equal contents share, whatever the order of first appearance.
    #[inline]
    pub fn hash(&self, of: Contents) -> u64 {
        of.patch().map_or(of.0, |i| self.entries[i].1)
    }

    /// `base` with the bytes `part` replaced by those of `over`.
    pub fn overlay(&mut self, base: Contents, part: (u16, u16), over: Contents) -> Contents {
        if part == (0, 4096) || base == over {
            return over;
        }
        let mut runs = std::mem::take(&mut self.scratch);
        runs.clear();
        let mut put = |end: u16, holds: Contents| match runs.last_mut() {
            Some(last) if last.holds == holds => last.end = end,
            Some(last) if last.end >= end => {}
            _ if end == 0 => {}
            _ => runs.push(Run { end, holds }),
        };
        for run in self.runs(base) {
            put(run.end.min(part.0), run.holds);
        }
        for run in self.runs(over) {
            let end = run.end.min(part.1);
            if end > part.0 {
                put(end, run.holds);
            }
        }
        for run in self.runs(base) {
            if run.end > part.1 {
                put(run.end, run.holds);
            }
        }
        let contents = self.intern(&runs);
        self.scratch = runs;
        contents
    }

    /// Made of several contents: what `pick` says, in each stretch of bytes in which all of them
    /// are uniform, of what they hold there.
    pub fn merge<const N: usize>(
        &mut self,
        of: [Contents; N],
        pick: impl Fn([Contents; N]) -> Contents,
    ) -> Contents {
        let mut ends: Vec<u16> = of.iter().flat_map(|&c| self.runs(c)).map(|r| r.end).collect();
        ends.sort_unstable();
        let (mut all, mut from) = (Contents::ZERO, 0);
        for end in ends {
            if end > from {
                let holds = pick(of.map(|c| self.at(c, from)));
                all = self.overlay(all, (from, end), holds);
                from = end;
            }
        }
        all
    }

    /// The bytes `part` of some contents in a page that is `base` elsewhere: `overlay` read the
    /// other way round. What is at byte `at`.
    pub fn at(&self, of: Contents, at: u16) -> Contents {
        self.runs(of).find(|r| at < r.end).map_or(Contents::ZERO, |r| r.holds)
    }

    /// Whether two contents agree in the bytes `part`.
    pub fn agree(&self, a: Contents, b: Contents, part: (u16, u16)) -> bool {
        if a == b {
            return true;
        }
        let cuts = self.runs(a).chain(self.runs(b)).map(|r| r.end).chain([part.0]);
        cuts.filter(|&c| part.0 <= c && c < part.1).all(|c| self.at(a, c) == self.at(b, c))
    }

    /// The youngest write of which some contents still hold a part: the greatest `seq`.
    pub fn max_seq(&self, of: Contents) -> u32 {
        self.runs(of).filter_map(|r| r.holds.version()).map(|v| v.seq).max().unwrap_or(0)
    }

    /// The same with every version replaced by another.
    pub fn hash_with(&self, of: Contents, mut other: impl FnMut(Version) -> Version) -> u64 {
        let mut holds = |c: Contents| c.version().map_or(c, |v| Contents::of(other(v)));
        match of.patch() {
            None => holds(of).0,
            Some(i) => {
                let runs = self.entries[i].0.iter();
                runs.fold(PATCHED, |h, r| join(h, Run { holds: holds(r.holds), ..*r }))
            }
        }
    }

    fn intern(&mut self, runs: &[Run]) -> Contents {
        if let [one] = runs {
            return one.holds;
        }
        let hash = runs.iter().fold(PATCHED, |h, r| join(h, *r));
        if self.entries.len() * 2 >= self.table.len() {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.table[slot] {
                0 => break,
                n if self.entries[n as usize - 1].0 == runs => {
                    return Contents(PATCHED | u64::from(n - 1));
                }
                _ => slot = (slot + 1) & mask,
            }
        }
        self.entries.push((runs.to_vec(), hash));
        self.table[slot] = self.entries.len() as u32;
        Contents(PATCHED | (self.entries.len() as u64 - 1))
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(64);
        self.table = vec![0; size];
        for (i, (_, hash)) in self.entries.iter().enumerate() {
            let mut slot = *hash as usize & (size - 1);
            while self.table[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            self.table[slot] = i as u32 + 1;
        }
    }
}

/// The hash of a patchwork with one more run.
fn join(hash: u64, run: Run) -> u64 {
    super::door::mix(hash ^ u64::from(run.end), run.holds.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v(n: u32) -> Contents {
        Contents::of(Version { origin: 1, seq: n, author: OpId(7), whole: true })
    }

    #[test]
    fn a_version_survives_packing() {
        let version =
            Version { origin: 4_000_000, seq: 1_000_000, author: OpId(1_000_000), whole: false };
        assert_eq!(Contents::of(version).version(), Some(version));
    }

    #[test]
    fn two_halves_of_one_version_are_that_version() {
        let mut p = Patches::default();
        let torn = p.overlay(v(1), (0, 2048), v(2));
        assert!(torn.is_patched());
        assert_eq!(p.runs(torn).count(), 2);
        assert_eq!(p.overlay(torn, (2048, 4096), v(2)), v(2));
        assert_eq!(p.overlay(torn, (0, 2048), v(1)), v(1));
    }

    #[test]
    fn a_merge_picks_in_each_stretch() {
        let mut p = Patches::default();
        let (a, b) = (p.overlay(v(1), (0, 100), v(4)), p.overlay(v(2), (50, 200), v(3)));
        let newer = |[a, b]: [Contents; 2]| if a.older_than(b) { b } else { a };
        let all = p.merge([a, b], newer);
        let at = [0, 99, 100, 199, 200, 4095].map(|byte| p.at(all, byte));
        assert_eq!(at, [4, 4, 3, 3, 2, 2].map(v));
        assert_eq!(p.merge([v(1), v(2)], newer), v(2));
    }

    proptest! {
        #[test]
        fn a_patchwork_is_what_a_page_of_bytes_would_be(
            writes in prop::collection::vec((0u16..4096, 1u16..4096, 1u32..5), 1..8),
        ) {
            let mut p = Patches::default();
            let mut bytes = vec![Contents::ZERO; 4096];
            let mut page = Contents::ZERO;
            for (from, len, n) in writes {
                let to = from.saturating_add(len).min(4096);
                page = p.overlay(page, (from, to), v(n));
                bytes[from as usize..to as usize].fill(v(n));
            }
            for at in 0..4096u16 {
                prop_assert_eq!(p.at(page, at), bytes[at as usize]);
            }
            let ends: Vec<u16> = p.runs(page).map(|r| r.end).collect();
            prop_assert!(ends.windows(2).all(|w| w[0] < w[1]));
            prop_assert_eq!(ends.last(), Some(&4096));
        }
    }
}
