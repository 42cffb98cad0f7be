//! Where randomness comes from. A contract: the numbers never change between versions.
//!
//! The key of ChaCha8 is the seed, then the number of the run, both little-endian, then zeros;
//! the stream is the purpose. A run can therefore be made again without those before it, and a
//! purpose that draws more leaves the others alone.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream of random numbers is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Which agent moves.
    Schedule = 0,
    /// Which outcome a move has.
    Outcome = 1,
    /// What is set up before a run: priorities, change points, slowdowns.
    Setup = 2,
    /// Runs made only to learn how long agents go on.
    Calibration = 3,
    /// What a made-up scenario consists of.
    Scenario = 4,
    /// What a random sequence of operations consists of.
    Sequence = 5,
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of one purpose in one run.
    pub fn new(seed: u64, run: u64, purpose: Purpose) -> Stream {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&run.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(purpose as u64);
        Stream(rng)
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `n` (1 to 2^32), by one 32-bit draw: the high part of its product with
    /// `n`. Uniform to within `n` / 2^32.
    #[inline]
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.0.next_u32()) * n as u64) >> 32) as usize
    }

    /// Puts a slice in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_a_contract() {
        let draw = |seed, run, purpose| Stream::new(seed, run, purpose).bits();
        assert_eq!(draw(1, 0, Purpose::Schedule), draw(1, 0, Purpose::Schedule));
        let all = [
            draw(1, 0, Purpose::Schedule),
            draw(0, 1, Purpose::Schedule),
            draw(1, 0, Purpose::Outcome),
            draw(1, 0, Purpose::Setup),
        ];
        assert_eq!(all, GOLDEN);
    }

    const GOLDEN: [u64; 4] = [
        7_037_237_572_835_827_407,
        4_606_029_925_845_525_861,
        1_909_849_311_801_240_084,
        6_938_885_953_644_749_562,
    ];
}
