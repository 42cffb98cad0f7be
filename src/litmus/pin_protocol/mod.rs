//! A small protocol of pinners, writeback and truncate over a few pages, written down once more
//! in the languages of other checkers, so that engines can be held side by side.
//!
//! It is *not* the kernel model (that is `crate::kernel`): it is a yardstick, with exact counts
//! of states, transitions and end states.
//!
//! Every numbered comment is one atomic step; a guard blocks until it holds.

mod page;

use self::page::{Control, DIRTY, IN_CACHE, Lane, PTE_DIRTY, PTE_WRITABLE, Page, WRITEBACK_FLAG};
use crate::engine::hash::mix;
use crate::engine::model::{Agent, Ending, Footprint, Model, Props, Stepped, Timed};

/// Most pages.
pub const MAX_PAGES: usize = 6;

/// The invariants, in bit order of [`Props`].
pub const PROPERTIES: [&str; 4] =
    ["counts-in-order", "writeback-on-cached-page", "lock-has-one-owner", "lost-write"];

const COUNTS: usize = 0;
const WRITEBACK: usize = 1;
const LOCK: usize = 2;
const LOST_WRITE: usize = 3;

/// Who holds a page's lock.
const FREE: u8 = 0;
const BY_WRITEBACK: u8 = 1;
const BY_TRUNCATE: u8 = 2;

/// Steps of writeback per page, of truncate, and the steps of a pinner beside its DMA writes.
const WB_STEPS: u8 = 6;
const TRUNCATE_STEPS: u16 = 7;
const PIN_STEPS: u16 = 3;

/// The size of an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Pages, each with a pinner of its own: 1 to [`MAX_PAGES`].
    pub pages: usize,
    /// DMA writes per pinner, at most 200.
    pub writes: u16,
    /// Rounds of writeback, at most 200.
    pub rounds: u16,
    /// Whether a pinner marks its page dirty when it lets go.
    pub fix: bool,
}

impl Size {
    /// `pages`, `writes` and `rounds` with the fix on or off.
    pub const fn new(pages: usize, writes: u16, rounds: u16, fix: bool) -> Size {
        Size { pages, writes, rounds, fix }
    }
}

/// The facets of a page that footprints tell apart.
#[derive(Clone, Copy)]
enum Cell {
    Counts,
    Pte,
    Dirty,
    Writeback,
    Locked,
    Content,
    Snapshot,
    Disk,
    InCache,
}

/// What one step overwrote.
#[derive(Clone, Copy, Debug)]
struct Saved {
    page: Page,
    control: Control,
    fingerprint: u64,
    index: usize,
}

/// The protocol in motion: agents 0..P pin, agent P writes back, agent P+1 truncates the last
/// page. Moves are agent numbers.
#[derive(Clone, Debug)]
pub struct PinProtocol {
    size: Size,
    pages: [Page; MAX_PAGES],
    control: Control,
    fingerprint: u64,
    /// Where pinners and writeback end.
    pin_end: u16,
    wb_end: u16,
    log: Vec<Saved>,
    recording: bool,
    footprint: Footprint,
}

impl PinProtocol {
    /// At the start. `None` if `size` is out of its limits.
    pub fn new(size: Size) -> Option<PinProtocol> {
        let pages_fit = (1..=MAX_PAGES).contains(&size.pages);
        if !pages_fit || size.writes > 200 || size.rounds > 200 {
            return None;
        }
        let (pages, control) = (std::array::from_fn(Page::new), Control::start());
        let fingerprint =
            pages[..size.pages].iter().fold(mix(control.0), |a, page| a ^ mix(page.0));
        Some(PinProtocol {
            size,
            pages,
            control,
            fingerprint,
            pin_end: size.writes + PIN_STEPS,
            wb_end: size.rounds * size.pages as u16 * u16::from(WB_STEPS),
            log: Vec::new(),
            recording: false,
            footprint: Footprint::default(),
        })
    }

    /// The size it was made with.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The program counter of the agent, and the one at which it is done.
    #[inline]
    fn pc(&self, agent: usize) -> (u16, u16) {
        let p = self.size.pages;
        match agent {
            a if a < p => (self.pages[a].pinner(), self.pin_end),
            a if a == p => (self.control.writeback(), self.wb_end),
            _ => (self.control.truncate(), TRUNCATE_STEPS),
        }
    }

    /// The page that the agent is at.
    #[inline]
    fn page_of(&self, agent: usize) -> usize {
        let p = self.size.pages;
        match agent {
            a if a < p => a,
            a if a == p => self.control.page(),
            _ => p - 1,
        }
    }

    #[inline]
    fn enabled(&self, agent: usize) -> bool {
        let (pc, end) = self.pc(agent);
        if pc >= end {
            return false;
        }
        if agent < self.size.pages {
            return true;
        }
        let page = self.pages[self.page_of(agent)];
        if agent == self.size.pages {
            self.control.step() != 0 || page.locked() == FREE
        } else {
            match pc {
                0 => page.locked() == FREE,
                1 => !page.has(WRITEBACK_FLAG),
                _ => true,
            }
        }
    }

    /// One step of a pinner.
    #[inline]
    fn pin(&self, page: &mut Page) {
        let pc = page.pinner();
        page.pin();
        match pc {
            0 if !page.has(PTE_WRITABLE) => page.raise(PTE_WRITABLE | PTE_DIRTY | DIRTY),
            0 => {}
            1 => {
                page.add(Lane::Refcount, 1);
                page.add(Lane::Pincount, 1);
            }
            _ if pc < self.size.writes + 2 => page.add(Lane::Content, 1),
            _ => {
                if self.size.fix {
                    page.raise(DIRTY);
                }
                page.add(Lane::Pincount, -1);
                page.add(Lane::Refcount, -1);
            }
        }
    }

    /// One step of writeback; gives the next.
    #[inline]
    fn write_back(page: &mut Page, step: u8) -> u8 {
        match step {
            0 => page.lock(BY_WRITEBACK),
            1 if !page.has(DIRTY | IN_CACHE) => {
                page.lock(FREE);
                return WB_STEPS;
            }
            1 => page.clear(DIRTY | PTE_WRITABLE | PTE_DIRTY),
            2 => page.raise(WRITEBACK_FLAG),
            3 => page.lock(FREE),
            4 => page.set(Lane::Snapshot, page.get(Lane::Content)),
            _ => {
                page.set(Lane::Disk, page.get(Lane::Snapshot));
                page.clear(WRITEBACK_FLAG);
            }
        }
        step + 1
    }

    /// Writeback goes on to a step of the present page, or to the next page.
    #[inline]
    fn advance(&self, step: u8) -> Control {
        let now = self.control;
        let steps = step - now.step();
        match step < WB_STEPS {
            true => now.write_back(steps, now.page(), step),
            false if now.page() + 1 < self.size.pages => now.write_back(steps, now.page() + 1, 0),
            false => now.write_back(steps, 0, 0),
        }
    }

    /// One step of truncate.
    #[inline]
    fn truncate(page: &mut Page, pc: u16) {
        match pc {
            0 => page.lock(BY_TRUNCATE),
            1 => {}
            2 => page.clear(PTE_WRITABLE | PTE_DIRTY),
            3 => page.clear(IN_CACHE),
            4 => page.clear(DIRTY),
            5 => page.add(Lane::Refcount, -1),
            _ => page.lock(FREE),
        }
    }

    /// Whoever is between lock and unlock of page `index`: that is the owner of its lock. Both at
    /// once are no owner.
    #[inline]
    fn owner(&self, index: usize) -> u8 {
        let now = self.control;
        let writeback = (now.page() == index) & (1..=3).contains(&now.step());
        let truncate = (index == self.size.pages - 1) & (1..=6).contains(&now.truncate());
        u8::from(writeback) * BY_WRITEBACK + u8::from(truncate) * BY_TRUNCATE
    }

    /// The invariants, of the one page that a step can have changed: (broken, reached).
    #[inline]
    fn check(&self, index: usize, page: Page) -> (Props, Props) {
        let pinned = page.get(Lane::Pincount);
        let writeback = page.has(WRITEBACK_FLAG);
        let truncated = self.control.truncate() > 3;
        let bad = u32::from(page.get(Lane::Refcount) < pinned) << COUNTS
            | u32::from(writeback & !page.has(IN_CACHE) & !truncated) << WRITEBACK
            | u32::from(page.locked() != self.owner(index)) << LOCK;
        let seen = u32::from(pinned > 0) << COUNTS
            | u32::from(writeback) << WRITEBACK
            | u32::from(page.locked() != FREE) << LOCK;
        (Props(bad), Props(seen))
    }

    /// What a step from `before` and `control` reads and writes, guard and invariants included.
    fn note(&mut self, agent: usize, index: usize, before: Page, control: Control) {
        use Cell::{Content, Counts, Dirty, Disk, InCache, Locked, Pte, Snapshot, Writeback};
        let p = self.size.pages;
        // What the invariants on this page look at is read by every step that may change it.
        let (reads, writes): (&[Cell], &[Cell]) = match agent {
            a if a < p => match before.pinner() {
                0 if before.has(PTE_WRITABLE) => (&[Pte], &[]),
                0 => (&[], &[Pte, Dirty]),
                1 => (&[], &[Counts]),
                pc if pc < self.size.writes + 2 => (&[], &[Content]),
                _ if self.size.fix => (&[], &[Dirty, Counts]),
                _ => (&[], &[Counts]),
            },
            a if a == p => match control.step() {
                0 => (&[], &[Locked]),
                1 if !before.has(DIRTY | IN_CACHE) => (&[Dirty, InCache], &[Locked]),
                1 => (&[InCache, Locked], &[Dirty, Pte]),
                2 => (&[InCache, Locked], &[Writeback]),
                3 => (&[], &[Locked]),
                4 => (&[Content], &[Snapshot]),
                _ => (&[Snapshot, InCache], &[Disk, Writeback]),
            },
            _ => match control.truncate() {
                0 => (&[], &[Locked]),
                1 => (&[Writeback, Locked], &[]),
                2 => (&[Locked], &[Pte]),
                3 => (&[Locked, Writeback], &[InCache]),
                4 => (&[Locked], &[Dirty]),
                5 => (&[Locked], &[Counts]),
                _ => (&[], &[Locked]),
            },
        };
        let cell = |c: &Cell| (index as u32) << 4 | *c as u32;
        self.footprint.clear();
        self.footprint.reads.extend(reads.iter().map(cell));
        self.footprint.writes.extend(writes.iter().map(cell));
        self.footprint.seal();
    }
}

impl Model for PinProtocol {
    type Move = u8;

    fn agents(&self) -> usize {
        self.size.pages + 2
    }

    #[inline]
    fn moves(&self, out: &mut Vec<u8>) {
        let (mut able, mut n) = ([0; MAX_PAGES + 2], 0);
        for agent in 0..self.size.pages + 2 {
            able[n] = agent as u8;
            n += usize::from(self.enabled(agent));
        }
        out.clear();
        out.extend_from_slice(&able);
        out.truncate(n);
    }

    #[inline]
    fn ready(&self) -> usize {
        (0..self.size.pages + 2).filter(|&a| self.enabled(a)).count()
    }

    #[inline]
    fn nth_ready(&self, k: usize) -> Agent {
        let mut ready = (0..self.size.pages + 2).filter(|&a| self.enabled(a));
        ready.nth(k).map_or(Agent::MAX, |a| a as Agent)
    }

    fn outcomes(&self, _agent: Agent) -> usize {
        1
    }

    fn move_of(&self, agent: Agent, _outcome: usize) -> u8 {
        agent as u8
    }

    fn agent(&self, mv: u8) -> Agent {
        Agent::from(mv)
    }

    // So small that a call of it would show.
    #[inline(always)]
    fn apply(&mut self, mv: u8) -> Stepped {
        let agent = usize::from(mv);
        let index = self.page_of(agent);
        let (before, control) = (self.pages[index], self.control);
        let mark = self.log.len();
        self.log.push(Saved { page: before, control, fingerprint: self.fingerprint, index });
        let mut page = before;
        let mut change = 0;
        if agent < self.size.pages {
            self.pin(&mut page);
        } else {
            let next = if agent == self.size.pages {
                self.advance(Self::write_back(&mut page, control.step()))
            } else {
                Self::truncate(&mut page, control.truncate());
                control.cut()
            };
            self.control = next;
            change = mix(control.0) ^ mix(next.0);
        }
        self.pages[index] = page;
        self.fingerprint ^= change ^ mix(before.0) ^ mix(page.0);
        let (broken, reached) = self.check(index, page);
        if self.recording {
            self.note(agent, index, before, control);
        }
        Stepped { broken, reached, mark }
    }

    #[inline(always)]
    fn undo(&mut self, stepped: Stepped) {
        while self.log.len() > stepped.mark {
            let Some(saved) = self.log.pop() else { return };
            self.pages[saved.index] = saved.page;
            self.control = saved.control;
            self.fingerprint = saved.fingerprint;
        }
    }

    #[inline]
    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn state(&self, out: &mut Vec<u8>) {
        for page in &self.pages[..self.size.pages] {
            out.extend_from_slice(&page.0.to_le_bytes());
        }
        out.extend_from_slice(&self.control.0.to_le_bytes());
    }

    fn record_footprints(&mut self, on: bool) {
        self.recording = on;
    }

    fn footprint(&self, out: &mut Footprint) {
        out.clone_from(&self.footprint);
    }

    fn ending(&self) -> Ending {
        let done = (0..self.agents()).map(|a| self.pc(a)).all(|(pc, end)| pc >= end);
        if done { Ending::Finished } else { Ending::Deadlock }
    }

    /// Lost write: a page still in the cache is clean, but the disk has not what it holds.
    fn judge_end(&self) -> (Props, Props) {
        let mut verdict = (Props::NONE, Props::NONE);
        if self.ending() != Ending::Finished {
            return verdict;
        }
        let pages = self.pages[..self.size.pages].iter().copied();
        for page in pages.filter(|p| p.has(IN_CACHE)) {
            if page.get(Lane::Content) == 0 {
                continue;
            }
            verdict.1 = verdict.1.union(Props::one(LOST_WRITE));
            if !page.has(DIRTY) && page.get(Lane::Disk) != page.get(Lane::Content) {
                verdict.0 = verdict.0.union(Props::one(LOST_WRITE));
            }
        }
        verdict
    }

    fn place(&self, agent: Agent) -> u32 {
        u32::from(self.pc(agent as usize).0)
    }

    fn waits_on(&self, agent: Agent, out: &mut Vec<u32>) -> bool {
        let agent = agent as usize;
        let (pc, end) = self.pc(agent);
        if pc < end {
            let guard =
                if agent > self.size.pages && pc == 1 { Cell::Writeback } else { Cell::Locked };
            out.push((self.page_of(agent) as u32) << 4 | guard as u32);
        }
        true
    }
}

/// Delays that mean nothing but are all different: agent n takes n + 1 microseconds a step.
impl Timed for PinProtocol {
    fn delay_ns(&self, agent: Agent) -> u64 {
        1_000 * (u64::from(agent) + 1)
    }

    fn changed(&self) -> &[Agent] {
        const ALL: [Agent; MAX_PAGES + 2] = [0, 1, 2, 3, 4, 5, 6, 7];
        &ALL[..self.size.pages + 2]
    }

    fn is_ready(&self, agent: Agent) -> bool {
        self.enabled(agent as usize)
    }

    fn timed_outcome(&self, _agent: Agent, _random: u64) -> usize {
        0
    }
}
