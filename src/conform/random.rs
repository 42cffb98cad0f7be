//! Random sequences: the mix of operations and parameters of the random recordings.
//!
//! A sequence begins with a mapping and goes on to 7 to 15 lines. What is drawn makes sense most
//! of the time: nothing is released that nobody has taken, and while writes are held nobody waits
//! for them in the foreground. Whether an operation succeeds is left to the kernel.

use super::sequence::*;
use crate::schedule::stream::{Purpose, Stream};

/// What kind of sequences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// One thing after the other.
    Plain,
    /// With writes that are held, and operations in the background that wait for them.
    Gate,
    /// On pmem, where truncate and punch wait in the background for whoever holds pages
    /// (`dax_layout_busy_page_range`).
    Dax,
}

impl Profile {
    /// The file systems that such sequences are recorded on.
    pub fn file_systems(self) -> &'static [&'static str] {
        match self {
            Profile::Plain => &["ext4", "tmpfs"],
            Profile::Gate => &["gate"],
            Profile::Dax => &["dax4", "daxx"],
        }
    }

    /// What kind makes sense on a file system.
    pub fn of(fs: &str) -> Profile {
        match fs {
            _ if fs.starts_with("gate") => Profile::Gate,
            _ if fs.starts_with("dax") => Profile::Dax,
            _ => Profile::Plain,
        }
    }

    /// What names of its sequences begin with.
    fn prefix(self) -> &'static str {
        match self {
            Profile::Plain => "rp",
            Profile::Gate => "rg",
            Profile::Dax => "rd",
        }
    }
}

/// Sequence `number` of a seed: the same whatever was made before it.
pub fn sequence(seed: u64, number: u64, profile: Profile) -> Sequence {
    let mut random = Stream::new(seed, number, Purpose::Sequence);
    let pages = [1, 1, 2, 2, 3][random.below(5)];
    let init = [Init::Clean, Init::Clean, Init::Hole, Init::Dirty][random.below(4)];
    let length = 7 + random.below(9);
    let mut maker = Maker {
        random,
        profile,
        pages,
        lines: Vec::new(),
        slots: [None; USED],
        child: None,
        registered: false,
        piped: 0,
        stalled: [false; 2],
        closed: false,
        background: false,
        value: 0,
    };
    let first = maker.map();
    maker.push(first);
    while maker.lines.len() < length {
        let ops = maker.draw();
        ops.into_iter().for_each(|op| maker.push(op));
    }
    if maker.closed || maker.background {
        let ops = maker.open();
        ops.into_iter().for_each(|op| maker.push(op));
    }
    Sequence {
        name: format!("{}{seed}_{number:04}", profile.prefix()),
        on: profile.file_systems().iter().map(|fs| fs.to_string()).collect(),
        pages,
        size: u64::from(pages) * PAGE,
        init,
        lines: maker.lines.into_iter().map(Line::of).collect(),
        assertions: Vec::new(),
    }
}

/// Slots that are used; one is left for whoever extends a sequence by hand.
const USED: usize = 3;

/// Operations with how often they are drawn, in tenths.
type Weighted = Vec<(usize, Vec<Op>)>;

struct Maker {
    random: Stream,
    profile: Profile,
    pages: u32,
    lines: Vec<Op>,
    /// What is mapped: whether it is the file.
    slots: [Option<bool>; USED],
    /// What was mapped when the child came to be.
    child: Option<[Option<bool>; USED]>,
    registered: bool,
    piped: u32,
    /// process_vm_readv, process_vm_writev.
    stalled: [bool; 2],
    closed: bool,
    background: bool,
    value: u32,
}

impl Maker {
    fn push(&mut self, op: Op) {
        match &op {
            Op::Mmap { slot, .. } => self.slots[*slot] = Some(true),
            Op::Anon { slot, .. } => self.slots[*slot] = Some(false),
            Op::Munmap { slot } => self.slots[*slot] = None,
            Op::Register { .. } => self.registered = true,
            Op::Unregister => self.registered = false,
            Op::Vmsplice { .. } => self.piped += 1,
            Op::Drain => self.piped = 0,
            Op::Pin { write, .. } => self.stalled[usize::from(*write)] = true,
            Op::PinEnd { value } => self.stalled[usize::from(value.is_some())] = false,
            Op::Fork => self.child = Some(self.slots),
            Op::ChildExit => self.child = None,
            Op::Gate(Gate::Close) => self.closed = true,
            Op::Gate(Gate::Open) => self.closed = false,
            Op::Background { .. } => self.background = true,
            Op::BackgroundWait { .. } | Op::BackgroundSignal { .. } => self.background = false,
            _ => {}
        }
        self.lines.push(op);
    }

    /// The next line, or the lines that belong together.
    fn draw(&mut self) -> Vec<Op> {
        let page = self.random.below(self.pages as usize) as u32;
        let mapped: Vec<usize> = (0..USED).filter(|&s| self.slots[s].is_some()).collect();
        let at = self.one_of(&mapped).map(|slot| At { slot, page });
        let mut all = Weighted::new();
        if self.background {
            // While something is blocked, only what cannot wait for it.
            let open = self.open();
            all.push((20, open));
            all.extend(at.map(|at| (20, vec![Op::Load { at, child: false }])));
            if self.profile == Profile::Dax {
                self.beside(at, page, &mut all);
            }
        } else {
            if mapped.len() < USED {
                all.push((20, vec![self.map()]));
            }
            if let Some(at) = at {
                self.touches(at, &mut all);
                self.holders(at, &mut all);
            }
            self.calls(page, &mut all);
            self.releases(page, &mut all);
            self.gate(page, &mut all);
        }
        let total = all.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.random.below(total);
        for (weight, ops) in all {
            match drawn.checked_sub(weight) {
                Some(rest) => drawn = rest,
                None => return ops,
            }
        }
        Vec::new()
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.random.below(of.len())])
    }

    /// A value that is the author's own, as far as there are any left.
    fn value(&mut self) -> u32 {
        self.value += 1;
        (self.value % 90).max(1)
    }

    fn map(&mut self) -> Op {
        let slot = self.slots.iter().position(Option::is_none).unwrap_or(0);
        let pages = self.pages;
        if self.random.below(5) == 0 {
            return Op::Anon { slot, pages, shared: false };
        }
        let how = if self.random.below(3) < 2 { Sharing::Shared } else { Sharing::Private };
        let write = self.random.below(4) < 3;
        Op::Mmap { slot, how, write, first: 0, pages }
    }

    /// What touches or changes a mapping.
    fn touches(&mut self, at: At, all: &mut Weighted) {
        let (slot, plain) = (at.slot, self.profile != Profile::Gate);
        let whole = At { page: 0, ..at };
        let advise = |advice| vec![Op::Madvise { at, pages: 1, advice }];
        let write = self.random.below(2) == 0;
        let populate = if write { Madvice::PopulateWrite } else { Madvice::PopulateRead };
        let prot = if write { Prot::Rw } else { Prot::Ro };
        let lock = self.random.below(2) == 0;
        let value = self.value();
        all.extend([
            (40, vec![Op::Load { at, child: false }]),
            (60, vec![Op::Store { at, value, child: false }]),
            (10, vec![Op::Munmap { slot }]),
            (20, advise(Madvice::DontNeed)),
            (20 * usize::from(plain), advise(Madvice::PageOut)),
            (5, advise(Madvice::Cold)),
            (5, vec![Op::Madvise { at: whole, pages: self.pages, advice: populate }]),
            (7, vec![Op::Mlock { at, pages: 1, lock }]),
            (7, vec![Op::Mprotect { slot, prot }]),
            (10, vec![Op::WriteVm { at, value }]),
            (4, vec![Op::WriteMem { at, value }]),
        ]);
        if !self.closed {
            let how = if lock { Msync::Sync } else { Msync::Async };
            all.extend([
                (20, vec![Op::DirectIn { at, value: 100 + value, raw: false }]),
                (10, vec![Op::DirectOut { at, raw: false }]),
                (10, vec![Op::Msync { slot, how }]),
            ]);
        }
    }

    /// Who takes references, and who shares.
    fn holders(&mut self, at: At, all: &mut Weighted) {
        let mut some = |weight, may: bool, op| all.extend(may.then(|| (weight, vec![op])));
        some(25, !self.registered, Op::Register { at, pages: 1 });
        some(15, self.piped < 3, Op::Vmsplice { at });
        some(25, !self.stalled[1], Op::Pin { at, write: true });
        some(10, !self.stalled[0], Op::Pin { at, write: false });
        some(15, self.child.is_none(), Op::Fork);
    }

    /// System calls on the file.
    fn calls(&mut self, page: u32, all: &mut Weighted) {
        let plain = usize::from(self.profile != Profile::Gate);
        let (value, end) = (self.value(), u64::from(self.pages) * PAGE);
        all.extend([
            (20, vec![Op::Write { page, value, direct: false }]),
            (7, vec![Op::Read { page, direct: false }]),
            (
                12 * plain,
                vec![Op::Fadvise { bytes: Bytes { at: 0, len: end }, advice: Fadvice::DontNeed }],
            ),
        ]);
        if self.closed {
            return;
        }
        let size = [0, PAGE, end, PAGE / 2, end - 1024][self.random.below(5)];
        let wait_only = self.random.below(3) == 0;
        let punch = |at, len| Op::Fallocate { mode: Falloc::Punch, bytes: Bytes { at, len } };
        let start = u64::from(page) * PAGE;
        let waits = self.profile == Profile::Dax && self.holds();
        let cut = |op: Op| match waits {
            true => vec![Op::Background { second: false, op: Box::new(op) }],
            false => vec![op],
        };
        all.extend([
            (30, vec![Op::Fsync { data_only: false }]),
            (7, vec![Op::Sfr { before: !wait_only, write: !wait_only, after: true }]),
            (20, cut(Op::Truncate { size })),
            (15, cut(punch(start, PAGE))),
            (5, cut(punch(start + 1024, 1024))),
            (7 * plain, vec![Op::Write { page, value, direct: true }]),
            (4, vec![Op::Read { page, direct: true }]),
        ]);
    }

    /// What those who hold pages do, and the child.
    fn releases(&mut self, page: u32, all: &mut Weighted) {
        let value = self.value();
        if self.registered {
            all.push((30, vec![Op::Dma { page: 0, value }]));
            all.push((10, vec![Op::Unregister]));
        }
        if self.piped > 0 {
            all.push((10, vec![Op::Drain]));
        }
        if self.stalled[1] {
            all.push((25, vec![Op::PinEnd { value: Some(value) }]));
        }
        if self.stalled[0] {
            all.push((20, vec![Op::PinEnd { value: None }]));
        }
        let Some(slots) = self.child else { return };
        all.push((10, vec![Op::ChildExit]));
        let inherited: Vec<usize> = (0..USED).filter(|&s| slots[s].is_some()).collect();
        if let Some(slot) = self.one_of(&inherited) {
            let at = At { slot, page };
            all.push((20, vec![Op::Store { at, value, child: true }]));
            all.push((10, vec![Op::Load { at, child: true }]));
        }
    }

    /// The gate, and what waits behind it.
    fn gate(&mut self, page: u32, all: &mut Weighted) {
        if self.profile != Profile::Gate {
            return;
        }
        if !self.closed {
            let write = Op::Sfr { before: false, write: true, after: false };
            return all.push((30, vec![Op::Gate(Gate::Close), write]));
        }
        let open = self.open();
        all.push((30, open));
        let (start, end) = (u64::from(page) * PAGE, u64::from(self.pages) * PAGE);
        let bytes = Bytes { at: start, len: PAGE };
        let waits = [
            Op::Fsync { data_only: false },
            Op::Truncate { size: 0 },
            Op::Truncate { size: end - 1024 },
            Op::Fallocate { mode: Falloc::Punch, bytes },
            Op::Read { page, direct: true },
            Op::Sfr { before: true, write: true, after: true },
        ];
        let op = Box::new(waits[self.random.below(waits.len())].clone());
        all.push((20, vec![Op::Background { second: false, op }]));
    }

    /// Whether anybody may hold a page of the file.
    fn holds(&self) -> bool {
        self.registered || self.piped > 0 || self.stalled.contains(&true)
    }

    /// What goes on while truncate or punch waits until nobody holds a page: faults, for which it
    /// drops the invalidate_lock (`ext4_wait_dax_page`, `xfs_wait_dax_page`), and whatever needs no
    /// inode lock, which it keeps.
    fn beside(&mut self, at: Option<At>, page: u32, all: &mut Weighted) {
        let value = self.value();
        all.extend(at.map(|at| (20, vec![Op::Store { at, value, child: false }])));
        all.push((5, vec![Op::Fsync { data_only: false }]));
        all.push((5, vec![Op::BackgroundSignal { second: false }]));
        self.releases(page, all);
    }

    /// Writes go on, or pages are let go, and whoever waited for that is waited for.
    fn open(&mut self) -> Vec<Op> {
        let mut ops = Vec::new();
        match self.profile {
            Profile::Plain => {}
            Profile::Gate => ops.push(Op::Gate(Gate::Open)),
            Profile::Dax => {
                ops.extend(self.registered.then_some(Op::Unregister));
                ops.extend((self.piped > 0).then_some(Op::Drain));
                let value = self.value();
                ops.extend(self.stalled[1].then_some(Op::PinEnd { value: Some(value) }));
                ops.extend(self.stalled[0].then_some(Op::PinEnd { value: None }));
            }
        }
        if self.background {
            ops.push(Op::BackgroundWait { second: false });
        }
        ops
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::compare::View;
    use crate::conform::sim;
    use crate::kernel::strategy::Preset;
    use std::collections::BTreeSet;

    #[test]
    fn a_number_is_one_sequence_and_others_are_others() {
        let text = |seed, n| sequence(seed, n, Profile::Plain).to_string();
        assert_eq!(text(1, 5), text(1, 5));
        assert_ne!(text(1, 5), text(1, 6));
        assert_ne!(text(1, 5).lines().nth(2), text(2, 5).lines().nth(2));
    }

    #[test]
    fn every_random_sequence_can_be_simulated() {
        let strategy = Preset::find(Preset::DEFAULT).unwrap().strategy;
        let (mut words, mut blocked) = (BTreeSet::new(), 0);
        for profile in [Profile::Plain, Profile::Gate, Profile::Dax] {
            for number in 0..150 {
                let made = sequence(3, number, profile);
                let first = |line: &Line| line.text.split(' ').next().unwrap().to_string();
                words.extend(made.lines.iter().map(first));
                for fs in profile.file_systems() {
                    let run = sim::simulate(&made, View::of(fs), strategy).unwrap();
                    // A load beside something that holds the lock of the page cache waits too.
                    let ended = run.run.ended.is_some();
                    assert!(ended || profile == Profile::Gate, "{fs}: {made}");
                    blocked += u32::from(!ended);
                }
            }
        }
        assert!(blocked < 30, "{blocked} of 150");
        assert!(words.len() > 38, "{}: {words:?}", words.len());
    }

    #[test]
    fn on_pmem_truncate_and_punch_wait_and_come_to_an_end() {
        let strategy = Preset::find(Preset::DEFAULT).unwrap().strategy;
        let (mut waited, mut signals) = (0, 0);
        for number in 0..150 {
            let made = sequence(5, number, Profile::Dax);
            let run = sim::simulate(&made, View::of("dax4"), strategy).unwrap().run;
            waited += usize::from(run.steps.iter().any(|(_, seen)| seen.x == "blocked"));
            signals += run.steps.iter().filter(|(op, _)| op.starts_with("bgsig")).count();
            let last = &run.steps.last().unwrap().1;
            assert!(run.ended.is_some() && last.x != "blocked", "{made}");
        }
        assert!(waited > 10 && signals > 0, "{waited} of 150, {signals}");
    }
}
