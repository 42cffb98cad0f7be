//! The run of a sequence, played in its scenario: every step of the one is a step of the other,
//! and after every line the same is seen.

use super::super::observation::Observation;
use super::super::sim::Simulated;
use super::super::sim::compile::{Compiled, Doing, Shown, Slots, Stage};
use super::super::sim::look::{self, Eye, Holder, Letters};
use super::super::sim::values::Values;
use super::Unsaid;
use super::forward::Written;
use crate::engine::model::{Agent, Model, Timed};
use crate::kernel::sim::{Move, Sim};
use crate::kernel::world::plan::Op;
use crate::kernel::world::{Frame, Id, Mm, Slot, Vma};
use crate::report::agents;
use crate::report::run;
use crate::scenario::schedule::Schedule;
use crate::scenario::{Loaded, load, write};

/// Plays the run of a sequence in its scenario, and gives its schedule.
///
/// # Errors
/// If the scenario is none, or does something else.
pub fn play(written: &Written, compiled: &Compiled, made: &Simulated) -> Result<Schedule, Unsaid> {
    let text = write::text(&written.scenario);
    let loaded = load::text(&written.scenario.title, &text).map_err(|problems| {
        let why = problems.list.first().map(|p| p.message.clone()).unwrap_or_default();
        Unsaid::new(&*written.scenario.title, format!("its scenario is refused: {why}"))
    })?;
    let mut sim = Sim::new(loaded.plan.clone(), loaded.strategy);
    sim.set_judging(false);
    let mut values = Values::default();
    for (label, value) in &written.values {
        let op = loaded.tables.labels.get(label);
        values.written.extend(op.map(|op| (op.0, *value)));
    }
    let mut shadow = Shadow {
        start: sim.clone(),
        sim,
        written,
        compiled,
        loaded: &loaded,
        values,
        letters: Letters::default(),
        last: Vec::new(),
        stalled: [None, None],
        moves: Vec::new(),
    };
    shadow.all(made)?;
    Ok(run::schedule(&shadow.start, &shadow.moves))
}

struct Shadow<'a> {
    start: Sim,
    sim: Sim,
    written: &'a Written<'a>,
    compiled: &'a Compiled,
    loaded: &'a Loaded,
    values: Values,
    letters: Letters,
    last: Vec<Option<Frame>>,
    /// Slots of stalled calls: of process_vm_readv, process_vm_writev.
    stalled: [Option<Slot>; 2],
    moves: Vec<Move>,
}

impl Shadow<'_> {
    fn all(&mut self, made: &Simulated) -> Result<(), Unsaid> {
        let steps = &made.run.steps;
        let empty = Stage {
            doing: Doing::Known(""),
            slots: Slots::default(),
            child: None,
            pipe: Vec::new(),
        };
        let stages = std::iter::once(&empty).chain(&self.compiled.stages);
        for (n, stage) in stages.enumerate().take(made.moves.len()) {
            let skipped = n == 0 && self.written.initial;
            let moves = made.moves[n].iter().zip(&made.trace[n]).filter(|_| !skipped);
            for (mv, (who, label)) in moves {
                self.order();
                self.step(*mv, who, label).map_err(|why| Unsaid::new(op_of(steps, n), why))?;
            }
            self.order();
            let Some((op, seen)) = steps.get(n) else { return Ok(()) };
            self.stall(stage, seen);
            self.same(stage, seen).map_err(|why| Unsaid::new(op, why))?;
        }
        Ok(())
    }

    /// Everybody who can goes past what orders threads.
    fn order(&mut self) {
        let threads = self.loaded.plan.threads.len() as Agent;
        let orders = |sim: &Sim, agent: Agent| {
            sim.is_ready(agent)
                && sim.label(agent).is_some_and(|l| matches!(l.name, "wait" | "post"))
                && matches!(
                    sim.world.map.op(sim.op(agent)),
                    Some(Op::Post { .. } | Op::Wait { .. })
                )
        };
        while let Some(agent) = (0..threads).find(|&a| orders(&self.sim, a)) {
            self.make(Move { agent, outcome: 0 });
        }
    }

    fn make(&mut self, mv: Move) {
        self.sim.apply(mv);
        self.sim.forget();
        self.moves.push(mv);
    }

    /// A step of the sequence's machine, by the same agent here.
    fn step(&mut self, mv: Move, who: &str, label: &str) -> Result<(), String> {
        let name = match self.compiled.plan.threads.get(mv.agent as usize) {
            Some(_) => self.written.names.threads[mv.agent as usize].clone(),
            None => self.service(who),
        };
        let agent = agents::find(&self.sim, &name);
        let agent = agent.ok_or_else(|| format!("its scenario has no {name}"))?;
        // A scenario's fork also looks at mappings that are not there, or that the recorder's child
        // does not have.
        let forks = |sim: &Sim| matches!(sim.world.map.op(sim.op(agent)), Some(Op::Fork { .. }));
        while self.sim.is_ready(agent)
            && forks(&self.sim)
            && self.sim.label(agent).is_some_and(|l| l.name != label)
        {
            self.make(Move { agent, outcome: 0 });
        }
        let next = self.sim.label(agent).map_or("nothing", |l| l.name);
        if !self.sim.is_ready(agent) || next != label {
            return Err(format!("in its scenario {name} does '{next}' and not '{label}'"));
        }
        self.make(Move { agent, ..mv });
        Ok(())
    }

    /// What the scenario calls a disk's tag, or a worker.
    fn service(&self, who: &str) -> String {
        let Some((disk, tag)) = who.split_once('.') else { return who.to_string() };
        let disk = match disk {
            "disk" => "loop0",
            "other" => "sda",
            _ => "loop1",
        };
        let depth = self.written.scenario.disks.get(disk).and_then(|d| d.queue_depth);
        if depth.is_some() { format!("{disk}.{tag}") } else { disk.to_string() }
    }

    // --- looking ------------------------------------------------------------------------------

    fn stall(&mut self, stage: &Stage, seen: &Observation) {
        match stage.doing {
            Doing::Pin { write, slot, .. } if seen.err.is_empty() => {
                self.stalled[usize::from(write)] = Some(slot);
            }
            Doing::PinEnd { value } => self.stalled[usize::from(value.is_some())] = None,
            _ => {}
        }
    }

    fn slot(&self, slot: Slot) -> Option<Slot> {
        self.loaded.tables.slots.get(&self.written.names.slots[slot.index()])
    }

    fn vma(&self, vma: Vma) -> Option<Vma> {
        let names = &self.written.names;
        let mm: Mm = self.compiled.plan.vmas[vma.index()].mm;
        let mm = self.loaded.tables.mms.get(&names.mms[mm.index()])?;
        let all = self.loaded.tables.mappings.get(&names.vmas[vma.index()])?;
        all.iter().find(|(of, _)| *of == mm).map(|(_, vma)| *vma)
    }

    fn slots(&self, slots: &Slots) -> Slots {
        let shown = |shown: Shown| {
            let vma = self.vma(shown.vma)?;
            let first = self.loaded.tables.vpages.get(vma.index())?;
            let first = crate::kernel::world::VPage(*first);
            Some(Shown { vma, first, pages: shown.pages })
        };
        slots.map(|slot| slot.and_then(shown))
    }

    fn holders(&self, stage: &Stage) -> Vec<Holder> {
        let mut found = Vec::new();
        found.extend(self.slot(self.compiled.buffer).map(Holder::Registered));
        let pipe = stage.pipe.iter().filter_map(|&(slot, spl)| Some((self.slot(slot)?, spl)));
        let w = &self.sim.world;
        let full = pipe.filter(|(slot, _)| look::frames(w, *slot).next().is_some());
        found.extend(full.zip(0..).map(|((slot, spl), n)| Holder::Pipe(slot, spl, n)));
        for write in [true, false] {
            let slot = self.stalled[usize::from(write)].and_then(|slot| self.slot(slot));
            found.extend(slot.map(|slot| Holder::Stalled(slot, write)));
        }
        found
    }

    /// Whether what can be seen is what was seen.
    fn same(&mut self, stage: &Stage, seen: &Observation) -> Result<(), String> {
        let busy = seen.sd.is_none();
        let (slots, child) = (self.slots(&stage.slots), stage.child.map(|c| self.slots(&c)));
        let holders = self.holders(stage);
        let pages = seen.pages.len() as u32;
        let eye = Eye { w: &self.sim.world, values: &self.values, pages, busy, no_io: false };
        let letters = &mut self.letters;
        let here = Observation {
            pages: eye.file(letters, &mut self.last),
            maps: eye.mappings(&slots, letters),
            child: child.map_or_else(Vec::new, |c| eye.mappings(&c, letters)),
            pins: eye.held(&holders, letters),
            sd: (!busy).then(|| eye.dirty(&slots)),
            size: eye.size() as i64,
            blocks: Some(eye.blocks()),
            ..seen.clone()
        };
        look::end_row(letters, busy);
        if here == *seen {
            return Ok(());
        }
        let differs = [
            ("pages", here.pages == seen.pages),
            ("maps", here.maps == seen.maps),
            ("child", here.child == seen.child),
            ("pins", here.pins == seen.pins),
            ("sd", here.sd == seen.sd),
            ("size", here.size == seen.size),
            ("blocks", here.blocks == seen.blocks),
        ];
        let first = differs.iter().find(|(_, same)| !same).map_or("", |(name, _)| name);
        Err(format!("in its scenario `{first}` is not the same after it"))
    }
}

fn op_of(steps: &[(String, Observation)], n: usize) -> String {
    steps.get(n).map_or_else(|| format!("line {n}"), |(op, _)| op.clone())
}
