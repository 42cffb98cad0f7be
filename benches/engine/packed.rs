//! The pin protocol packed by hand into 128 bits, with an explorer that knows nothing else: what
//! a generic engine is measured against.

use gupsim::engine::hash::mix2;
use gupsim::litmus::pin_protocol::Size;

use crate::Found;

/// Bits of one page: pinner 0..3, counts are given by the pinner and truncate.
const PAGE_BITS: u32 = 24;
const PIN: u32 = 0;
const CONTENT: u32 = 4;
const SNAPSHOT: u32 = 8;
const DISK: u32 = 12;
const LOCK: u32 = 16;
const PTE: u64 = 1 << 18;
const DIRTY: u64 = 1 << 19;
const WRITEBACK: u64 = 1 << 20;
const GONE: u64 = 1 << 21;
const LOCK_MASK: u64 = 3 << LOCK;

/// Above the pages: writeback and truncate.
const WB_SHIFT: u32 = 4 * PAGE_BITS;
const TRUNCATE_SHIFT: u32 = WB_SHIFT + 8;

fn page(s: u128, i: usize) -> u64 {
    (s >> (PAGE_BITS * i as u32)) as u64 & ((1 << PAGE_BITS) - 1)
}

fn with(s: u128, i: usize, page: u64) -> u128 {
    let shift = PAGE_BITS * i as u32;
    s & !(((1u128 << PAGE_BITS) - 1) << shift) | u128::from(page) << shift
}

fn field(p: u64, at: u32) -> u64 {
    p >> at & 15
}

fn set(p: u64, at: u32, value: u64) -> u64 {
    p & !(15 << at) | value << at
}

/// The successors of a packed state.
pub fn successors(size: Size, s: u128, mut emit: impl FnMut(u128)) {
    let writes = u64::from(size.writes);
    for i in 0..size.pages {
        let p = page(s, i);
        let pc = field(p, PIN);
        if pc > writes + 2 {
            continue;
        }
        let mut q = set(p, PIN, pc + 1);
        match pc {
            0 if p & PTE == 0 => q |= PTE | DIRTY,
            0 | 1 => {}
            _ if pc < writes + 2 => q = set(q, CONTENT, field(p, CONTENT) + 1),
            _ if size.fix => q |= DIRTY,
            _ => {}
        }
        emit(with(s, i, q));
    }
    let wb = (s >> WB_SHIFT) as u64 & 255;
    let round_trip = 6 * size.pages as u64;
    if wb < round_trip * u64::from(size.rounds) {
        let i = (wb / 6) as usize % size.pages;
        let p = page(s, i);
        let mut next = wb + 1;
        let step = match wb % 6 {
            0 => (p & LOCK_MASK == 0).then_some(p | 1 << LOCK),
            1 if p & DIRTY == 0 || p & GONE != 0 => {
                next = wb + 5;
                Some(p & !LOCK_MASK)
            }
            1 => Some(p & !(DIRTY | PTE)),
            2 => Some(p | WRITEBACK),
            3 => Some(p & !LOCK_MASK),
            4 => Some(set(p, SNAPSHOT, field(p, CONTENT))),
            _ => Some(set(p, DISK, field(p, SNAPSHOT)) & !WRITEBACK),
        };
        if let Some(q) = step {
            let moved = s & !(255u128 << WB_SHIFT) | u128::from(next) << WB_SHIFT;
            emit(with(moved, i, q));
        }
    }
    let truncate = (s >> TRUNCATE_SHIFT) as u64 & 15;
    if truncate < 7 {
        let i = size.pages - 1;
        let p = page(s, i);
        let step = match truncate {
            0 => (p & LOCK_MASK == 0).then_some(p | 2 << LOCK),
            1 => (p & WRITEBACK == 0).then_some(p),
            2 => Some(p & !PTE),
            3 => Some(p | GONE),
            4 => Some(p & !DIRTY),
            5 => Some(p),
            _ => Some(p & !LOCK_MASK),
        };
        if let Some(q) = step {
            let moved =
                s & !(15u128 << TRUNCATE_SHIFT) | u128::from(truncate + 1) << TRUNCATE_SHIFT;
            emit(with(moved, i, q));
        }
    }
}

/// What has to hold in every state; the counts cannot be wrong in this packing.
pub fn holds(size: Size, s: u128) -> bool {
    (0..size.pages).all(|i| {
        let p = page(s, i);
        p & WRITEBACK == 0 || p & GONE == 0 || s >> TRUNCATE_SHIFT & 15 > 3
    })
}

/// A set of hashes with linear probing, doubled when three quarters full.
struct Set {
    slots: Vec<u64>,
    len: usize,
}

impl Set {
    fn insert(&mut self, hash: u64) -> bool {
        if self.len * 4 >= self.slots.len() * 3 {
            let bigger = vec![0; self.slots.len() * 2];
            for old in std::mem::replace(&mut self.slots, bigger) {
                if old != 0 {
                    self.place(old);
                }
            }
        }
        let new = self.place(hash.max(1));
        self.len += usize::from(new);
        new
    }

    fn place(&mut self, hash: u64) -> bool {
        let mask = self.slots.len() - 1;
        let mut i = hash as usize & mask;
        loop {
            match self.slots[i] {
                0 => {
                    self.slots[i] = hash;
                    return true;
                }
                h if h == hash => return false,
                _ => i = (i + 1) & mask,
            }
        }
    }
}

/// Explores everything depth first.
pub fn explore(size: Size) -> Found {
    let hash = |s: u128| mix2(s as u64, (s >> 64) as u64);
    let mut seen = Set { slots: vec![0; 1 << 12], len: 0 };
    let mut stack = vec![0u128];
    seen.insert(hash(0));
    let (mut transitions, mut broken) = (0, 0u64);
    while let Some(s) = stack.pop() {
        successors(size, s, |next| {
            transitions += 1;
            broken += u64::from(!holds(size, next));
            if seen.insert(hash(next)) {
                stack.push(next);
            }
        });
    }
    assert_eq!(broken, 0);
    Found { states: seen.len as u64, transitions: Some(transitions) }
}
