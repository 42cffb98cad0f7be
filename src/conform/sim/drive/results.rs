//! What a line returned, what is seen after it, and what is seen in the end.

use super::super::super::observation::{Ended, Observation};
use super::super::super::sequence::PAGE;
use super::super::compile::{Finale, Meaning, Part, Stage};
use super::super::look::{self, Eye, Holder};
use super::super::machine::{FILE, TARGET};
use super::super::values;
use super::{Counts, Driver, Gates, Outcome};
use crate::kernel::actor::errno;
use crate::kernel::world::objects::{Size, VmaState};

impl Driver {
    /// What the results of the operations of a line mean to the caller.
    pub(super) fn outcome(&self, part: Part, meaning: &Meaning) -> Outcome {
        let (w, values) = (&self.sim.world, &self.compiled.values);
        let Some(ret) = (if part.count == 0 { Some(0) } else { self.ret(part, 0) }) else {
            return Outcome::blocked();
        };
        let read = |nth: u32| values::read(w, self.op(part.thread, part.first + nth));
        match meaning {
            Meaning::Plain | Meaning::Unregister { .. } => Outcome::of(ret),
            Meaning::Zero => Outcome::of(ret.min(0)),
            Meaning::Touch { at, store } if ret < 0 => {
                let vma = w.get::<VmaState>(w.map.vma_of(*at));
                let allowed = if *store { vma.write() } else { vma.read() || vma.write() };
                Outcome::error(if allowed { "SIGBUS" } else { "SIGSEGV" })
            }
            Meaning::Touch { store: true, .. } => Outcome::default(),
            Meaning::Touch { .. } => Outcome { x: values.word(w, read(0)), ..Outcome::default() },
            Meaning::Read if ret > 0 => {
                Outcome { x: values.page(w, read(0), ret as u64), ..Outcome::of(ret) }
            }
            Meaning::Read => Outcome::of(ret),
            Meaning::Register { pages, .. } if ret == *pages as i32 => Outcome::default(),
            Meaning::Register { .. } => Outcome::of(if ret < 0 { ret } else { -errno::EFAULT }),
            Meaning::Dma if ret < 0 => Outcome::error("ENXIO"),
            Meaning::Dma => Outcome::of(PAGE as i32),
            // The recorder's copy goes to the page that has been pinned, if one has.
            Meaning::Copied if ret < 0 => Outcome::of(ret),
            Meaning::Copied => Outcome::of(PAGE as i32),
            Meaning::Mem if ret < 0 => Outcome::error("EIO"),
            Meaning::Mem => Outcome::of(PAGE as i32),
            Meaning::Arrived if ret > 0 => {
                let at = w.map.file_page(TARGET, 0).map(|at| w.disk_contents(at));
                let x = values.page(w, at.unwrap_or_default(), PAGE);
                Outcome { x, ..Outcome::of(ret) }
            }
            Meaning::Arrived => Outcome::of(ret),
            Meaning::Spliced { .. } if ret < 0 => Outcome::of(ret),
            Meaning::Spliced { .. } => Outcome::of(PAGE as i32),
            Meaning::Drained { pages } => {
                let op = |at: u32| self.op(part.thread, at);
                let full = pages.iter().map(|&(_, at)| op(at));
                let full = full.filter(|&op| values::ret(w, op).is_some_and(|ret| ret >= 0));
                let found: Vec<String> =
                    full.map(|op| values.page(w, values::read(w, op), PAGE)).collect();
                match found.len() {
                    0 => Outcome::error("ENXIO"),
                    n => Outcome { ret: n as i64, x: found.join(","), ..Outcome::default() },
                }
            }
        }
    }

    // --- looking ------------------------------------------------------------------------------

    pub(super) fn look(
        &mut self,
        stage: &Stage,
        outcome: &Outcome,
        before: Counts,
        touch: Option<Counts>,
    ) -> Observation {
        let busy = self.background.iter().any(Option::is_some);
        let now = Counts::now(&self.sim.world);
        let holders = self.holders(stage);
        let (w, values) = (&self.sim.world, &self.compiled.values);
        let eye = Eye { w, values, pages: self.pages, busy, no_io: self.no_io };
        // A touch that failed, or is still blocked, has no faults to its name.
        let touch = touch.filter(|_| outcome.x != "blocked" && outcome.err.is_empty());
        let major = touch.map_or(0, |since| now.major - since.major);
        let faults = touch.map_or(0, |since| now.faults - since.faults);
        let pages = eye.file(&mut self.letters, &mut self.last);
        let maps = eye.mappings(&stage.slots, &mut self.letters);
        let child = stage.child.as_ref();
        let child = child.map_or_else(Vec::new, |c| eye.mappings(c, &mut self.letters));
        let pins = eye.held(&holders, &mut self.letters);
        let seen = Observation {
            ret: outcome.ret,
            err: outcome.err.clone(),
            x: outcome.x.clone(),
            minflt: faults.saturating_sub(major) as i64,
            majflt: major as i64,
            acq: (now.acquired - before.acquired) as i64,
            rel: (now.released - before.released) as i64,
            size: w.get::<Size>(FILE).bytes() as i64,
            blocks: Some(eye.blocks()),
            pages,
            maps,
            child,
            pins,
            sd: (!busy).then(|| eye.dirty(&stage.slots)),
            unrecorded: Vec::new(),
        };
        look::end_row(&mut self.letters, busy);
        seen
    }

    /// Who holds pages now, in the order in which they are looked at.
    fn holders(&self, stage: &Stage) -> Vec<Holder> {
        let w = &self.sim.world;
        let mut found = vec![Holder::Registered(self.compiled.buffer)];
        let full = stage.pipe.iter().filter(|(slot, _)| look::frames(w, *slot).next().is_some());
        found.extend(full.zip(0..).map(|(&(slot, spliced), n)| Holder::Pipe(slot, spliced, n)));
        for write in [true, false] {
            let stalled = self.stalled[usize::from(write)];
            found.extend(stalled.map(|s| Holder::Stalled(s.slot, write)));
        }
        found
    }

    /// Everything is released; what survives is looked at.
    pub(super) fn end(&mut self) -> Ended {
        self.gates = Gates::default();
        self.settle();
        if let Some(stalled) = self.stalled[1].take() {
            self.pin_end(stalled, Some(66));
        }
        if let Some(stalled) = self.stalled[0].take() {
            self.pin_end(stalled, None);
        }
        let Finale { child, release, content, fsync, evict, after } = self.compiled.finale.clone();
        if let Some(child) = child {
            self.finish(child);
        }
        self.finish(release);
        self.finish(content);
        let content = self.contents(content);
        self.finish(fsync);
        let fsync = match self.ret(fsync, 0) {
            Some(0) => "0".to_string(),
            ret => errno::name(ret.unwrap_or(0)).to_string(),
        };
        self.finish(evict);
        self.finish(after);
        let after_evict = self.contents(after);
        let now = Counts::now(&self.sim.world);
        let outstanding_pins = now.acquired as i64 - now.released as i64;
        Ended { content, fsync, after_evict, outstanding_pins, unrecorded: Vec::new() }
    }

    /// What reads of the pages gave.
    fn contents(&self, part: Part) -> Vec<String> {
        let (w, values) = (&self.sim.world, &self.compiled.values);
        let read = |n: u32| match self.ret(part, n) {
            None => "blocked".to_string(),
            Some(0) => "eof".to_string(),
            Some(ret) if ret < 0 => errno::name(ret).to_string(),
            Some(ret) => {
                let op = self.op(part.thread, part.first + n);
                values.page(w, values::read(w, op), ret as u64)
            }
        };
        (0..part.count).map(read).collect()
    }
}
