//! What a reduced search has learned, as words for a checkpoint.

use super::futures::{Bits, Futures};
use super::guide::Lessons;
use crate::engine::model::Model;

impl Lessons {
    /// All of it as words.
    pub(crate) fn words(&self) -> Vec<u64> {
        let mut out = vec![
            u64::from(self.rounds),
            self.executed,
            u64::from(self.grown),
            u64::from(self.young),
            self.grown_at.map_or(u64::MAX, |at| at),
            self.open,
            u64::from(self.given_up),
        ];
        self.table.write(&mut out);
        self.learned.write(&mut out);
        out
    }

    /// What [`words`](Self::words) gave; `None` if these are not such words of this model.
    pub(crate) fn from_words<M: Model>(start: &M, words: &[u64]) -> Option<Lessons> {
        let mut words = words.iter().copied();
        let input = &mut words;
        let (rounds, executed) = (u32::try_from(input.next()?).ok()?, input.next()?);
        let (grown, young, grown_at) = (input.next()? == 1, input.next()? == 1, input.next()?);
        let (open, given_up) = (input.next()?, input.next()? == 1);
        let table = Futures::read(start, input)?;
        let learned = Futures::read(start, input)?;
        let grown_at = (grown_at != u64::MAX).then_some(grown_at);
        let begun = Lessons::begin(table, rounds, executed);
        Some(Lessons { learned, grown, young, grown_at, open, given_up, ..begun })
    }
}

impl Futures {
    fn write(&self, out: &mut Vec<u64>) {
        out.push(self.cell_of.len() as u64);
        out.extend(self.cell_of.iter().map(|&cell| u64::from(cell)));
        out.push(self.spots.len() as u64);
        for spot in &self.spots {
            out.extend([u64::from(spot.agent), u64::from(spot.place)]);
            for bits in [&spot.next.reads, &spot.next.writes, &spot.wake] {
                out.push(bits.0.len() as u64);
                out.extend(&bits.0);
            }
            out.push(spot.follows.len() as u64);
            out.extend(spot.follows.iter().map(|&to| u64::from(to)));
        }
    }

    fn read<M: Model>(start: &M, input: &mut impl Iterator<Item = u64>) -> Option<Futures> {
        let mut futures = Futures::new(start);
        for _ in 0..input.next()? {
            futures.add_cell(u32::try_from(input.next()?).ok()?);
        }
        let spots = input.next()?;
        for number in 0..spots {
            let agent = u32::try_from(input.next()?).ok()?;
            let place = u32::try_from(input.next()?).ok()?;
            let mut sets = [Bits::default(), Bits::default(), Bits::default()];
            for bits in &mut sets {
                *bits = Bits(list(input)?);
                if !futures.fits(bits) {
                    return None;
                }
            }
            let follows = list(input)?.into_iter().map(|to| u32::try_from(to).ok());
            let follows = follows.collect::<Option<Vec<u32>>>()?;
            if follows.iter().any(|&to| u64::from(to) >= spots) {
                return None;
            }
            if number > 0 && agent as usize >= start.agents() {
                return None;
            }
            // The first are there, because every table begins with where the agents begin.
            if number > 0 && u64::from(futures.spot_at(agent, place)) != number {
                return None;
            }
            let spot = futures.spots.get_mut(number as usize)?;
            let [reads, writes, wake] = sets;
            (spot.next.reads, spot.next.writes, spot.wake) = (reads, writes, wake);
            spot.follows = follows;
        }
        (futures.spots.len() as u64 == spots).then_some(futures)
    }
}

/// A list with its length before it.
fn list(input: &mut impl Iterator<Item = u64>) -> Option<Vec<u64>> {
    let length = input.next()?;
    let list: Vec<u64> = input.take(usize::try_from(length).ok()?).collect();
    (list.len() as u64 == length).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::litmus::pin_protocol::{PinProtocol, Size};

    #[test]
    fn lessons_survive_being_written_and_nothing_else_passes_for_them() {
        let start = PinProtocol::new(Size::new(2, 1, 1, true)).unwrap();
        let lessons = Lessons::new(&start);
        let words = lessons.words();
        let back = Lessons::from_words(&start, &words).unwrap();
        assert_eq!(back.words(), words);
        assert_eq!(back.learned.spots, lessons.learned.spots);
        for cut in 0..words.len() {
            assert!(Lessons::from_words(&start, &words[..cut]).is_none(), "{cut}");
        }
        for place in 7..words.len() {
            let mut damaged = words.clone();
            for word in [u64::MAX, words[place] ^ 1, words[place] ^ 0xff, words[place] + 7] {
                damaged[place] = word;
                let _ = Lessons::from_words(&start, &damaged);
            }
        }
    }
}
