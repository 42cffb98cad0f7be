//! Random designs and large machines for the laws, made of lists of numbers, so that a failing
//! one shrinks. Small machines come from the library (`generate`).
#![allow(dead_code, reason = "each test takes what it needs")]

pub mod wild;

use gupsim::kernel::strategy::{Pin, Preset, Strategy};

/// Numbers that decide, one after the other; when they run out, everything is decided as 0.
pub struct Dice<'a>(pub std::slice::Iter<'a, u16>);

impl Dice<'_> {
    /// A number below `n`.
    pub fn below(&mut self, n: u32) -> u32 {
        u32::from(self.0.next().copied().unwrap_or(0)) % n
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u32) as usize]
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }
}

/// Two designs lose counts of pins: that is what was said against them.
pub fn loses_counts(strategy: Strategy) -> bool {
    matches!(strategy.pin, Pin::MappingCounter | Pin::PagePrivate)
}

/// A design: a preset with some axes changed, unless that makes no sense.
pub fn strategy(dice: &mut Dice) -> Strategy {
    let preset = dice.one_of(Preset::ALL).strategy;
    let mut strategy = preset;
    for _ in 0..dice.below(4) {
        let axis = dice.one_of(Strategy::AXES);
        let value = dice.one_of(axis.values);
        strategy.set(axis.flag, value.name).expect("a value of the table");
    }
    if strategy.refused().is_some() { preset } else { strategy }
}
