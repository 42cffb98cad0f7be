//! Plays a run again and keeps account of what a trace needs: who wrote what, who waits.

use super::agents;
use super::data::{Holder, Wait};
use super::history::History;
use super::{names, words};
use crate::engine::model::{Agent, Model, Stepped, Timed};
use crate::kernel::sim::{Move, Sim};
use crate::kernel::world::machine::{Bio, BioStep, Pinned, Pipe, RefType, Xlat};
use crate::kernel::world::need::Need;
use crate::kernel::world::*;

/// A run that is being played again.
#[derive(Debug)]
pub struct Player {
    /// The machine.
    pub sim: Sim,
    /// Number of steps made.
    pub step: usize,
    /// What has been written so far.
    pub history: History,
    /// For each agent that waits, the step since which it does.
    waiting: Vec<Option<usize>>,
}

/// What a step did to the waits.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// Agents that have begun to wait.
    pub blocked: Vec<Agent>,
    /// Agents whose wait has ended.
    pub woken: Vec<Agent>,
}

impl Player {
    /// Before the first step.
    pub fn new(start: &Sim) -> Player {
        let sim = start.clone();
        let agents = 0..sim.agents() as Agent;
        let waiting = agents.map(|a| waits(&sim, a).then_some(0)).collect();
        Player { sim, step: 0, history: History::default(), waiting }
    }

    /// Makes the next step.
    pub fn play(&mut self, mv: Move) -> (Stepped, Moved) {
        let stepped = self.sim.apply(mv);
        self.step += 1;
        let mark = self.sim.last_mark();
        self.history.note(&self.sim.world, mark, self.step, mv.agent);
        let mut moved = Moved::default();
        for &agent in self.sim.changed() {
            let waiting = &mut self.waiting[agent as usize];
            match (waits(&self.sim, agent), waiting.is_some()) {
                (true, false) => {
                    *waiting = Some(self.step);
                    moved.blocked.push(agent);
                }
                (false, true) => {
                    *waiting = None;
                    if agent != mv.agent {
                        moved.woken.push(agent);
                    }
                }
                // A wait that ends in the next wait is a new one.
                (true, true) if agent == mv.agent => *waiting = Some(self.step),
                _ => {}
            }
        }
        moved.blocked.sort_unstable();
        moved.woken.sort_unstable();
        (stepped, moved)
    }

    /// The wait of an agent, with who stands in the way.
    pub fn wait(&self, agent: Agent) -> Wait {
        let (sim, w) = (&self.sim, &self.sim.world);
        let need = sim.need(agent);
        let label = sim.label(agent);
        Wait {
            agent: agents::name(sim, agent),
            since: self.waiting[agent as usize].unwrap_or(self.step),
            before: label.map(agents::step_words).unwrap_or_default(),
            waits_for: need.describe(w),
            staged: matches!(need, Need::Posted(_)),
            holders: match need {
                Need::DaxIdle { frame, .. } => self.holders_of(frame),
                _ => need.holders(w).into_iter().map(|a| self.holder(need, a)).collect(),
            },
        }
    }

    /// Everybody who waits.
    pub fn waits(&self) -> Vec<Wait> {
        let agents = 0..self.waiting.len() as Agent;
        agents.filter(|&a| self.waiting[a as usize].is_some()).map(|a| self.wait(a)).collect()
    }

    fn holder(&self, need: Need, actor: Actor) -> Holder {
        let w = &self.sim.world;
        // Only a lock's own cell says who took it and when.
        let takes = matches!(
            need,
            Need::Lock(..) | Need::FolioLock(_) | Need::IrqsOn(_) | Need::LeaseAnswered(_)
        );
        let cell = need.cell(w).filter(|_| takes);
        let since = cell.and_then(|c| self.history.last_by(c, actor.0));
        let has = match need {
            Need::Posted(_) => Some("to post it"),
            Need::BioDone(_) | Need::WritebackEnd(_) => Some("to complete it"),
            Need::WorkerIdle(_) => Some("work to do"),
            Need::LeaseAnswered(_) => Some("to answer"),
            _ => None,
        };
        let holds = has.map(str::to_string);
        Holder { agent: w.map.actor_name(actor), holds, since, by: None }
    }

    /// The pins, references in flight and device translations of a frame's folio that exist.
    pub fn holders_of(&self, frame: Frame) -> Vec<Holder> {
        let w = &self.sim.world;
        let head = w.head(frame);
        let same = |bits: u32| Frame::unpack(bits).is_some_and(|f| w.head(f) == head);
        let mut found = Vec::new();
        let mut put = |agent: String, holds: String, since: Option<usize>| {
            found.push(Holder { agent, holds: Some(holds), since, by: None });
        };
        let history = &self.history;
        for page in (0..w.len(Kind::Pinned)).map(SlotPage) {
            let pin = w.get::<Pinned>(page);
            if pin.kind() == RefType::None || !same(pin.frame_bits()) {
                continue;
            }
            let users = w.map.slot_users(names::slot_of(w, page));
            let users: Vec<String> = users.iter().map(|&a| w.map.actor_name(a)).collect();
            let what = words::pinned(w, pin.into_bits());
            let holds = format!("slot {}: {what}", names::slot_page(w, page));
            let pins = |word| {
                let then = Pinned::unpack(word);
                then.kind() == pin.kind() && then.frame_bits() == pin.frame_bits()
            };
            put(users.join(", "), holds, history.since(w.cell::<Pinned>(page), pins));
        }
        for page in (0..w.len(Kind::Xlat)).map(RegionPage) {
            let entry = w.get::<Xlat>(page);
            if entry.valid() && same(entry.frame_bits()) {
                let region = &w.map.plan.regions[w.map.region_of(page).index()];
                let device = w.map.plan.devices[region.device.index()].name.clone();
                let holds = format!("translation of {}", names::region_page(w, page));
                let maps = |word| {
                    let then = Xlat::unpack(word);
                    then.valid() && then.frame_bits() == entry.frame_bits()
                };
                put(device, holds, history.since(w.cell::<Xlat>(page), maps));
            }
        }
        for tag in (0..w.len(Kind::Bio)).map(Tag) {
            let bio = w.get::<Bio>(tag);
            if bio.step() != BioStep::Idle && !bio.bounced() && same(bio.frame_bits()) {
                let disk = w.map.actor_name(w.map.tag_actor(tag));
                let holds = format!("bio in flight ({})", bio.kind().label());
                let flies = |word| {
                    let then = Bio::unpack(word);
                    then.step() != BioStep::Idle && then.frame_bits() == bio.frame_bits()
                };
                put(disk, holds, history.since(w.cell::<Bio>(tag), flies));
            }
        }
        for slot in (0..w.len(Kind::Pipe)).map(PipeSlot) {
            let buffer = w.get::<Pipe>(slot);
            if same(buffer.frame_bits()) {
                let fills = |word| Pipe::unpack(word).frame_bits() == buffer.frame_bits();
                let since = history.since(w.cell::<Pipe>(slot), fills);
                put("pipe".into(), format!("buffer {}", slot.0), since);
            }
        }
        found
    }
}

/// Whether an agent waits for something that another has to do. A server without work is idle.
fn waits(sim: &Sim, agent: Agent) -> bool {
    let need = sim.need(agent);
    let idle = matches!(need, Need::Never | Need::BioSubmitted(_) | Need::WorkQueued(_));
    !idle && !sim.is_ready(agent)
}
