//! A search laid down and taken up again: what has been seen, what is left to do, what was
//! counted.
//!
//! The file is little-endian words under a checksum: a header that names the format and the
//! search it belongs to, the counts, the runs (each move as its number among the enabled ones),
//! what the model has gathered, what a reduction has learned, the visited set. It is written beside
//! its target and renamed over it, so that a kill at any moment leaves either the old or the new
//! one whole.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use super::Options;
use super::exact::{Exact, SharedExact};
use super::search::Worker;
use super::tally::Tally;
use super::visited::{SHARDS, Visited};
use super::work::Work;
use crate::engine::hash::{bytes, mix2};
use crate::engine::model::{Model, Props};
use crate::engine::reduce;
use crate::engine::reduce::guide::Lessons;

/// First word of a file: "gupsick" and the version of the form.
const MAGIC: u64 = u64::from_le_bytes(*b"gupsick5");

/// A search between two moments of work.
#[derive(Clone, Debug)]
pub struct Snapshot<M: Model> {
    pub(super) visited: Visited,
    /// Claimed states nobody has looked at.
    pub(super) frontier: Vec<Work<M::Move>>,
    pub(super) tally: Tally<M::Move>,
    pub(super) distinct: Option<Visited>,
    /// Of a reduced search: what it has learned.
    pub(super) lessons: Option<Lessons>,
    /// Of an exact search: its sets, in place of `visited` and `distinct`.
    pub(super) whole: Option<Whole>,
}

/// What an exact search has seen.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) seen: SharedExact,
    /// Distinct states, where `seen` tells more apart than these.
    pub(super) distinct: Option<SharedExact>,
}

/// Why a checkpoint cannot be used.
#[derive(Debug)]
pub enum CheckpointError {
    /// The file could not be read or written.
    Io(io::Error),
    /// It is no checkpoint, or a damaged one.
    Damaged,
    /// It belongs to another scenario, strategy or set of options.
    Other,
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckpointError::Io(e) => write!(f, "{e}"),
            CheckpointError::Damaged => {
                f.write_str("not a whole checkpoint; start over without --resume")
            }
            CheckpointError::Other => f.write_str(
                "checkpoint of another search; give the same scenario, strategy and bounds",
            ),
        }
    }
}

impl std::error::Error for CheckpointError {}

impl From<io::Error> for CheckpointError {
    fn from(e: io::Error) -> CheckpointError {
        match e.kind() {
            io::ErrorKind::UnexpectedEof => CheckpointError::Damaged,
            _ => CheckpointError::Io(e),
        }
    }
}

/// Words out, under a running checksum.
struct Out<W> {
    to: W,
    sum: u64,
}

impl<W: Write> Out<W> {
    fn word(&mut self, word: u64) -> io::Result<()> {
        self.sum = mix2(self.sum, word);
        self.to.write_all(&word.to_le_bytes())
    }

    fn words(&mut self, words: impl IntoIterator<Item = u64>) -> io::Result<()> {
        words.into_iter().try_for_each(|w| self.word(w))
    }
}

/// Words in, under a running checksum.
struct In<R> {
    from: R,
    sum: u64,
}

impl<R: Read> In<R> {
    fn word(&mut self) -> io::Result<u64> {
        let mut word = [0; 8];
        self.from.read_exact(&mut word)?;
        let word = u64::from_le_bytes(word);
        self.sum = mix2(self.sum, word);
        Ok(word)
    }

    fn words<const N: usize>(&mut self) -> io::Result<[u64; N]> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.word()?;
        }
        Ok(words)
    }
}

/// What tells one search from another: the start state and whatever changes the counts, with a
/// number of the caller's for what the start state does not show.
fn identity<M: Model>(start: &M, options: &Options, caller: u64) -> u64 {
    let mut state = Vec::new();
    start.state(&mut state);
    let depth = options.depth.map_or(u64::MAX, |d| d as u64);
    let preemptions = options.preemptions.map_or(u64::MAX, u64::from);
    let kinds = [options.exact, options.symmetry, options.is_reduced()];
    let kind = kinds.into_iter().fold(0, |all, kind| all << 1 | u64::from(kind));
    let parts = [bytes(&state), caller, depth, preemptions, kind];
    parts.into_iter().fold(MAGIC, mix2)
}

impl<M: Model> Snapshot<M> {
    /// A search that has not begun.
    pub fn begin(start: &M, options: &Options) -> Snapshot<M> {
        let reduced = options.is_reduced() && start.agents() <= reduce::MAX_AGENTS;
        Snapshot::round(start, options, reduced.then(|| Lessons::new(start)))
    }

    /// A search, or a round of one, that has not begun.
    pub(super) fn round(start: &M, options: &Options, lessons: Option<Lessons>) -> Snapshot<M> {
        let mut visited = Visited::new(lessons.as_ref().is_some_and(Lessons::sleeps));
        let mut distinct = options.is_bounded().then(Visited::default);
        let frontier = vec![Work::everything()];
        if options.exact {
            let seen = SharedExact::default();
            let distinct = options.is_bounded().then(SharedExact::default);
            let mut worker = Worker::new(start, options, &seen, distinct.as_ref(), None);
            worker.claim_start();
            let tally = worker.tally;
            let whole = Some(Whole { seen, distinct });
            return Snapshot { visited, frontier, tally, distinct: None, lessons, whole };
        }
        let mut worker = Worker::new(start, options, &mut visited, distinct.as_mut(), None);
        worker.claim_start();
        let tally = worker.tally;
        Snapshot { visited, frontier, tally, distinct, lessons, whole: None }
    }

    /// The same when its round is no longer young.
    pub(super) fn mature(mut self, start: &M, options: &Options) -> Snapshot<M> {
        let moves = self.tally.transitions;
        let lessons = self.lessons.take().map(|l| l.mature(moves, options.insist));
        if lessons.as_ref().is_some_and(|l| l.given_up) {
            return Snapshot::round(start, options, lessons);
        }
        Snapshot { lessons, ..self }
    }

    /// States claimed so far.
    pub fn states(&self) -> u64 {
        self.tally.states
    }

    /// Writes the snapshot to `path`, atomically. `caller` is a number that tells this search
    /// from others with the same start state (a hash of the scenario, say).
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    pub fn save(&self, start: &M, options: &Options, caller: u64, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".part");
        let part = path.with_file_name(name);
        let written = || {
            let file = File::create(&part)?;
            let mut out = Out { to: BufWriter::with_capacity(1 << 20, &file), sum: 0 };
            self.write(start, identity(start, options, caller), &mut out)?;
            out.to.flush()?;
            drop(out);
            file.sync_all()?;
            fs::rename(&part, path)
        };
        written().inspect_err(|_| {
            // What has come of it is of no use to anybody, and takes room where there is none.
            let _ = fs::remove_file(&part);
        })
    }

    fn write<W: Write>(&self, start: &M, identity: u64, out: &mut Out<W>) -> io::Result<()> {
        let Tally { states, transitions, ends, violating_ends, deepest, .. } = &self.tally;
        let (broken, reached) = (self.tally.broken.0, self.tally.reached.0);
        out.words([MAGIC, identity, *states, *transitions, *deepest as u64])?;
        out.words([u64::from(broken), u64::from(reached)])?;
        out.words(*ends)?;
        out.words(*violating_ends)?;
        let mut model = start.clone();
        for run in &self.tally.seen {
            out.word(u64::from(run.is_some()))?;
            write_run(&mut model, run.as_deref().unwrap_or_default(), out)?;
        }
        out.word(self.frontier.len() as u64)?;
        for work in &self.frontier {
            write_work(&mut model, work, out)?;
        }
        let mut gathered = Vec::new();
        start.gathered(&mut gathered);
        write_list(&gathered, out)?;
        write_list(&self.lessons.as_ref().map(Lessons::words).unwrap_or_default(), out)?;
        if let Some(Whole { seen, distinct }) = &self.whole {
            out.word(u64::from(distinct.is_some()))?;
            let sets = [Some(seen), distinct.as_ref()];
            sets.into_iter().flatten().try_for_each(|set| write_whole(set, out))?;
        } else {
            out.word(u64::from(self.distinct.is_some()))?;
            let sleepers = self.lessons.as_ref().is_some_and(Lessons::sleeps);
            let sets = [Some(&self.visited), self.distinct.as_ref()];
            sets.into_iter().flatten().try_for_each(|set| write_set(set, sleepers, out))?;
        }
        let sum = out.sum;
        out.word(sum)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`]: no file, a damaged one, or one of another search.
    pub fn load(
        start: &M,
        options: &Options,
        caller: u64,
        path: &Path,
    ) -> Result<Snapshot<M>, CheckpointError> {
        // First the sum of all of it: what follows is read as it stands, and runs are made of it.
        if !fs::metadata(path)?.is_file() || !is_whole(File::open(path)?)? {
            return Err(CheckpointError::Damaged);
        }
        let from = BufReader::with_capacity(1 << 20, File::open(path)?);
        let input = &mut In { from, sum: 0 };
        let [magic, whose, states, transitions, deepest, broken, reached] = input.words()?;
        if magic != MAGIC {
            return Err(CheckpointError::Damaged);
        }
        if whose != identity(start, options, caller) {
            return Err(CheckpointError::Other);
        }
        let mut tally = Tally::default();
        tally.states = states;
        tally.transitions = transitions;
        tally.deepest = deepest as usize;
        tally.broken = Props(broken as u32);
        tally.reached = Props(reached as u32);
        tally.ends = input.words()?;
        tally.violating_ends = input.words()?;
        let mut model = start.clone();
        for seen in &mut tally.seen {
            let known = input.word()? == 1;
            let run = read_run(&mut model, input)?;
            *seen = known.then_some(run);
        }
        let mut frontier = Vec::new();
        for _ in 0..input.word()? {
            frontier.push(read_work(&mut model, input)?);
        }
        let gathered = read_list(input)?;
        let lessons = read_list(input)?;
        let lessons = match lessons.is_empty() {
            true => None,
            false => Some(Lessons::from_words(start, &lessons).ok_or(CheckpointError::Damaged)?),
        };
        let two = input.word()? == 1;
        let (mut visited, mut distinct, mut whole) = (Visited::default(), None, None);
        if options.exact {
            let seen = read_whole(input)?;
            let distinct = if two { Some(read_whole(input)?) } else { None };
            whole = Some(Whole { seen, distinct });
        } else {
            visited = read_set(input, lessons.as_ref().is_some_and(Lessons::sleeps))?;
            distinct = if two { Some(read_set(input, false)?) } else { None };
        }
        input.word()?;
        if input.word().is_ok() {
            return Err(CheckpointError::Damaged);
        }
        start.gather(&gathered);
        Ok(Snapshot { visited, frontier, tally, distinct, lessons, whole })
    }
}

/// Whether a file ends with the sum of all words before.
fn is_whole(file: File) -> io::Result<bool> {
    let bytes = file.metadata()?.len();
    if bytes == 0 || bytes % 8 != 0 {
        return Ok(false);
    }
    let input = &mut In { from: BufReader::with_capacity(1 << 20, file), sum: 0 };
    for _ in 1..bytes / 8 {
        input.word()?;
    }
    let sum = input.sum;
    Ok(input.word()? == sum)
}

fn write_set<W: Write>(set: &Visited, sleepers: bool, out: &mut Out<W>) -> io::Result<()> {
    for (keys, entries) in set.parts() {
        out.word(keys as u64)?;
        for (key, asleep) in entries {
            out.word(key)?;
            if sleepers {
                out.word(u64::from(asleep))?;
            }
        }
    }
    Ok(())
}

/// Writes whole states, part by part: each with its length, filled up to a word; then the
/// fingerprints.
fn write_whole<W: Write>(set: &SharedExact, out: &mut Out<W>) -> io::Result<()> {
    for part in set.parts() {
        out.word(part.states().len() as u64)?;
        for state in part.states() {
            out.word(state.len() as u64)?;
            for chunk in state.chunks(8) {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                out.word(u64::from_le_bytes(word))?;
            }
        }
        write_set(part.fingerprints(), false, out)?;
    }
    Ok(())
}

fn read_whole<R: Read>(input: &mut In<R>) -> Result<SharedExact, CheckpointError> {
    let mut parts = Vec::new();
    for _ in 0..SHARDS {
        let mut states = Vec::new();
        for _ in 0..input.word()? {
            let length = usize::try_from(input.word()?).map_err(|_| CheckpointError::Damaged)?;
            let mut state = Vec::new();
            while state.len() < length {
                let word = input.word()?.to_le_bytes();
                state.extend_from_slice(&word[..word.len().min(length - state.len())]);
            }
            states.push(state);
        }
        parts.push(Exact::restore(states.into_iter(), read_set(input, false)?));
    }
    Ok(SharedExact::from(parts))
}

fn read_set<R: Read>(input: &mut In<R>, sleepers: bool) -> Result<Visited, CheckpointError> {
    let mut set = Visited::new(sleepers);
    for part in 0..SHARDS {
        let keys = usize::try_from(input.word()?).map_err(|_| CheckpointError::Damaged)?;
        set.reserve(part, keys);
        for _ in 0..keys {
            let key = input.word()?;
            let asleep = if sleepers { input.word()? as u32 } else { 0 };
            set.restore((key, asleep));
        }
    }
    Ok(set)
}

fn write_list<W: Write>(list: &[u64], out: &mut Out<W>) -> io::Result<()> {
    out.word(list.len() as u64)?;
    out.words(list.iter().copied())
}

fn read_list<R: Read>(input: &mut In<R>) -> Result<Vec<u64>, CheckpointError> {
    (0..input.word()?).map(|_| input.word().map_err(CheckpointError::from)).collect()
}

/// Writes work: at each depth what is to do there, each move with the agents to try behind it, and
/// the run's own move.
fn write_work<M: Model, W: Write>(
    model: &mut M,
    work: &Work<M::Move>,
    out: &mut Out<W>,
) -> io::Result<()> {
    let (mut moves, mut trail) = (Vec::new(), Vec::new());
    let mut rest = work.rest.chunk_by(|a, b| a.0 == b.0).peekable();
    out.word(work.run.len() as u64)?;
    for depth in 0..=work.run.len() {
        model.moves(&mut moves);
        let here = rest.next_if(|r| r[0].0 == depth).unwrap_or_default();
        out.word(here.len() as u64)?;
        for &(_, mv, awake) in here {
            out.words([number(&moves, mv), awake])?;
        }
        if let Some(&mv) = work.run.get(depth) {
            out.word(number(&moves, mv))?;
            trail.push(model.apply(mv));
        }
    }
    model.undo_all(&trail);
    Ok(())
}

fn read_work<M: Model, R: Read>(
    model: &mut M,
    input: &mut In<R>,
) -> Result<Work<M::Move>, CheckpointError> {
    let (mut moves, mut trail) = (Vec::new(), Vec::new());
    let mut work = Work::everything();
    let length = input.word()?;
    for depth in 0..=length {
        model.moves(&mut moves);
        let numbered = |number: u64| {
            let mv = usize::try_from(number).ok().and_then(|n| moves.get(n));
            mv.copied().ok_or(CheckpointError::Damaged)
        };
        for _ in 0..input.word()? {
            let [number, awake] = input.words()?;
            work.rest.push((work.run.len(), numbered(number)?, awake));
        }
        if depth < length {
            let mv = numbered(input.word()?)?;
            trail.push(model.apply(mv));
            work.run.push(mv);
        }
    }
    model.undo_all(&trail);
    Ok(work)
}

/// A move as its number among the enabled ones, which are ascending.
fn number<Mv: Ord>(moves: &[Mv], mv: Mv) -> u64 {
    moves.binary_search(&mv).map_or(u64::MAX, |n| n as u64)
}

/// Writes a run as the numbers of its moves among the enabled ones; leaves `model` as it was.
fn write_run<M: Model, W: Write>(
    model: &mut M,
    run: &[M::Move],
    out: &mut Out<W>,
) -> io::Result<()> {
    out.word(run.len() as u64)?;
    let (mut moves, mut trail) = (Vec::new(), Vec::new());
    for &mv in run {
        model.moves(&mut moves);
        out.word(number(&moves, mv))?;
        trail.push(model.apply(mv));
    }
    trail.into_iter().rev().for_each(|stepped| model.undo(stepped));
    Ok(())
}

fn read_run<M: Model, R: Read>(
    model: &mut M,
    input: &mut In<R>,
) -> Result<Vec<M::Move>, CheckpointError> {
    let (mut moves, mut trail, mut run) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..input.word()? {
        model.moves(&mut moves);
        let number = usize::try_from(input.word()?).unwrap_or(usize::MAX);
        let &mv = moves.get(number).ok_or(CheckpointError::Damaged)?;
        trail.push(model.apply(mv));
        run.push(mv);
    }
    trail.into_iter().rev().for_each(|stepped| model.undo(stepped));
    Ok(run)
}
