//! A small protocol of pinners, writeback and truncate over a few pages, written down once more
//! in the languages of other checkers, so that engines can be held side by side.
//!
//! It is *not* the kernel model (that is `crate::kernel`): it is a yardstick, with exact counts
//! of states, transitions and end states.
//!
//! Every numbered comment is one atomic step; a guard blocks until it holds.

mod page;

use self::page::{DIRTY, IN_CACHE, Lane, PTE_DIRTY, PTE_WRITABLE, Page, WRITEBACK_FLAG};
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
const WB_STEPS: u16 = 6;
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
    index: u8,
    agent: u8,
    wb_page: u8,
    pc: u16,
    page_hash: u64,
    pc_hash: u64,
    fingerprint: u64,
}

/// The protocol in motion: agents 0..P pin, agent P writes back, agent P+1 truncates the last
/// page. Moves are agent numbers.
#[derive(Clone, Debug)]
pub struct PinProtocol {
    size: Size,
    pages: [Page; MAX_PAGES],
    hashes: [u64; MAX_PAGES],
    /// Program counters; that of writeback counts (round, page, step) as one number.
    pcs: [u16; MAX_PAGES + 2],
    /// The page that writeback's program counter stands for, and where it ends: a division saved
    /// in every step.
    wb_page: u8,
    wb_end: u16,
    /// Hashes of the program counters.
    pc_hashes: [u64; MAX_PAGES + 2],
    truncated: bool,
    fingerprint: u64,
    log: Vec<Saved>,
    recording: bool,
    footprint: Footprint,
}

#[inline]
fn pc_hash(agent: usize, pc: u16) -> u64 {
    mix(1 << 63 | (agent as u64) << 32 | u64::from(pc))
}

impl PinProtocol {
    /// At the start. `None` if `size` is out of its limits.
    pub fn new(size: Size) -> Option<PinProtocol> {
        let pages_fit = (1..=MAX_PAGES).contains(&size.pages);
        if !pages_fit || size.writes > 200 || size.rounds > 200 {
            return None;
        }
        let pages: [Page; MAX_PAGES] = std::array::from_fn(Page::new);
        let hashes = pages.map(Page::hash);
        let fingerprint = hashes[..size.pages].iter().fold(0, |a, h| a ^ h)
            ^ (0..size.pages + 2).fold(0, |a, i| a ^ pc_hash(i, 0));
        Some(PinProtocol {
            size,
            pages,
            hashes,
            pcs: [0; MAX_PAGES + 2],
            wb_page: 0,
            wb_end: size.rounds * size.pages as u16 * WB_STEPS,
            pc_hashes: std::array::from_fn(|a| pc_hash(a, 0)),
            truncated: false,
            fingerprint,
            log: Vec::new(),
            recording: false,
            footprint: Footprint::default(),
        })
    }

    /// The size it was made with.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The program counter at which the agent is done.
    #[inline]
    fn end(&self, agent: usize) -> u16 {
        let p = self.size.pages;
        match agent {
            a if a < p => self.size.writes + PIN_STEPS,
            a if a == p => self.wb_end,
            _ => TRUNCATE_STEPS,
        }
    }

    /// The page that the agent is at.
    #[inline]
    fn page_of(&self, agent: usize) -> usize {
        let p = self.size.pages;
        match agent {
            a if a < p => a,
            a if a == p => usize::from(self.wb_page),
            _ => p - 1,
        }
    }

    #[inline]
    fn enabled(&self, agent: usize) -> bool {
        let pc = self.pcs[agent];
        if pc >= self.end(agent) {
            return false;
        }
        if agent < self.size.pages {
            return true;
        }
        let page = &self.pages[self.page_of(agent)];
        if agent == self.size.pages {
            !pc.is_multiple_of(WB_STEPS) || page.locked() == FREE
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
    fn pin(&self, page: &mut Page, pc: u16) -> u16 {
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
        pc + 1
    }

    /// One step of writeback.
    #[inline]
    fn write_back(page: &mut Page, pc: u16) -> u16 {
        match pc % WB_STEPS {
            0 => page.lock(BY_WRITEBACK),
            1 if !page.has(DIRTY | IN_CACHE) => {
                page.lock(FREE);
                return pc + WB_STEPS - 1;
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
        pc + 1
    }

    /// One step of truncate.
    #[inline]
    fn truncate(page: &mut Page, truncated: &mut bool, pc: u16) -> u16 {
        match pc {
            0 => page.lock(BY_TRUNCATE),
            1 => {}
            2 => page.clear(PTE_WRITABLE | PTE_DIRTY),
            3 => {
                page.clear(IN_CACHE);
                *truncated = true;
            }
            4 => page.clear(DIRTY),
            5 => page.add(Lane::Refcount, -1),
            _ => page.lock(FREE),
        }
        pc + 1
    }

    /// Whether the lock of page `index` has the one owner that is between its lock and unlock.
    #[inline]
    fn lock_is_owned(&self, index: usize) -> bool {
        let p = self.size.pages;
        let writeback = self.page_of(p) == index
            && self.pcs[p] < self.end(p)
            && (1..=3).contains(&(self.pcs[p] % WB_STEPS));
        let truncate = index == p - 1 && (1..=6).contains(&self.pcs[p + 1]);
        match self.pages[index].locked() {
            FREE => !writeback && !truncate,
            BY_WRITEBACK => writeback && !truncate,
            _ => truncate && !writeback,
        }
    }

    /// The invariants, of the one page that a step can have changed: (broken, reached).
    #[inline]
    fn check(&self, index: usize) -> (Props, Props) {
        let page = self.pages[index];
        let pinned = page.get(Lane::Pincount);
        let writeback = page.has(WRITEBACK_FLAG);
        let bad = u32::from(page.get(Lane::Refcount) < pinned) << COUNTS
            | u32::from(writeback && !page.has(IN_CACHE) && !self.truncated) << WRITEBACK
            | u32::from(!self.lock_is_owned(index)) << LOCK;
        let seen = u32::from(pinned > 0) << COUNTS
            | u32::from(writeback) << WRITEBACK
            | u32::from(page.locked() != FREE) << LOCK;
        (Props(bad), Props(seen))
    }

    /// What the step at `pc` reads and writes, guard and invariants included.
    fn note(&mut self, agent: usize, index: usize, pc: u16, before: Page) {
        use Cell::{Content, Counts, Dirty, Disk, InCache, Locked, Pte, Snapshot, Writeback};
        let p = self.size.pages;
        // What the invariants on this page look at is read by every step that may change it.
        let (reads, writes): (&[Cell], &[Cell]) = match agent {
            a if a < p => match pc {
                0 if before.has(PTE_WRITABLE) => (&[Pte], &[]),
                0 => (&[], &[Pte, Dirty]),
                1 => (&[], &[Counts]),
                _ if pc < self.size.writes + 2 => (&[], &[Content]),
                _ if self.size.fix => (&[], &[Dirty, Counts]),
                _ => (&[], &[Counts]),
            },
            a if a == p => match pc % WB_STEPS {
                0 => (&[], &[Locked]),
                1 if !before.has(DIRTY | IN_CACHE) => (&[Dirty, InCache], &[Locked]),
                1 => (&[InCache, Locked], &[Dirty, Pte]),
                2 => (&[InCache, Locked], &[Writeback]),
                3 => (&[], &[Locked]),
                4 => (&[Content], &[Snapshot]),
                _ => (&[Snapshot, InCache], &[Disk, Writeback]),
            },
            _ => match pc {
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
        out.clear();
        for agent in 0..self.size.pages + 2 {
            if self.enabled(agent) {
                out.push(agent as u8);
            }
        }
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

    #[inline]
    fn apply(&mut self, mv: u8) -> Stepped {
        let agent = usize::from(mv);
        let index = self.page_of(agent);
        let pc = self.pcs[agent];
        let before = self.pages[index];
        let (page_hash, old_pc_hash) = (self.hashes[index], self.pc_hashes[agent]);
        let mark = self.log.len();
        self.log.push(Saved {
            page: before,
            index: index as u8,
            agent: mv,
            wb_page: self.wb_page,
            pc,
            page_hash,
            pc_hash: old_pc_hash,
            fingerprint: self.fingerprint,
        });
        let mut page = before;
        let next = match agent {
            a if a < self.size.pages => self.pin(&mut page, pc),
            a if a == self.size.pages => {
                let next = Self::write_back(&mut page, pc);
                if next.is_multiple_of(WB_STEPS) {
                    let following = index + 1;
                    self.wb_page = if following < self.size.pages { following as u8 } else { 0 };
                }
                next
            }
            _ => Self::truncate(&mut page, &mut self.truncated, pc),
        };
        let hash = page.hash();
        self.pages[index] = page;
        self.hashes[index] = hash;
        self.pcs[agent] = next;
        self.pc_hashes[agent] = pc_hash(agent, next);
        self.fingerprint ^= page_hash ^ hash ^ old_pc_hash ^ self.pc_hashes[agent];
        let (broken, reached) = self.check(index);
        if self.recording {
            self.note(agent, index, pc, before);
        }
        Stepped { broken, reached, mark }
    }

    #[inline]
    fn undo(&mut self, stepped: Stepped) {
        while self.log.len() > stepped.mark {
            let Some(saved) = self.log.pop() else { return };
            let index = usize::from(saved.index);
            self.pages[index] = saved.page;
            self.hashes[index] = saved.page_hash;
            self.pcs[usize::from(saved.agent)] = saved.pc;
            self.pc_hashes[usize::from(saved.agent)] = saved.pc_hash;
            self.wb_page = saved.wb_page;
            self.truncated = self.pcs[self.size.pages + 1] > 3;
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
        out.extend(self.pcs[..self.size.pages + 2].iter().flat_map(|pc| pc.to_le_bytes()));
    }

    fn record_footprints(&mut self, on: bool) {
        self.recording = on;
    }

    fn footprint(&self, out: &mut Footprint) {
        out.clone_from(&self.footprint);
    }

    fn ending(&self) -> Ending {
        let done = (0..self.agents()).all(|a| self.pcs[a] >= self.end(a));
        if done { Ending::Finished } else { Ending::Deadlock }
    }

    /// Lost write: a page still in the cache is clean, but the disk has not what it holds.
    fn judge_end(&self) -> (Props, Props) {
        let mut verdict = (Props::NONE, Props::NONE);
        if self.ending() != Ending::Finished {
            return verdict;
        }
        for page in self.pages[..self.size.pages].iter().filter(|p| p.has(IN_CACHE)) {
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
        u32::from(self.pcs[agent as usize])
    }

    fn waits_on(&self, agent: Agent, out: &mut Vec<u32>) -> bool {
        let agent = agent as usize;
        if self.pcs[agent] < self.end(agent) {
            let guard = if agent > self.size.pages && self.pcs[agent] == 1 {
                Cell::Writeback
            } else {
                Cell::Locked
            };
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
