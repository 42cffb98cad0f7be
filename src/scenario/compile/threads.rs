//! Threads: who they are, then their programs.

use super::ledger::Ledger;
use super::program::{Program, Where};
use super::report::Report;
use super::{Section, Tables, mappings};
use crate::kernel::world::ids::{Actor, Cpu, Device, OpId};
use crate::kernel::world::plan::{Plan, Role, ThreadPlan};
use crate::scenario::limits;
use crate::scenario::path::At;
use crate::scenario::problem::Problem;
use crate::scenario::types::{self, ThreadKind};

/// Declares the threads of a section, without their programs.
pub fn declare(section: &Section, plan: &mut Plan, tables: &mut Tables, report: &mut Report) {
    let threads = section.at.key("threads");
    for (raw, thread) in section.threads {
        if report.stops(section.i) {
            return;
        }
        let at = threads.key(raw);
        let name = match tables.threads.declare(raw, section.i, Actor(plan.threads.len() as u32)) {
            Ok(name) => name,
            Err(problem) => {
                report.name(&at, problem);
                continue;
            }
        };
        if tables.disks.get(&name).is_some() {
            let problem = Problem::general(format!("thread `{name}` has the name of a disk"));
            report.name(&at, problem.help("the disk is an agent of its own; rename the thread"));
        }
        if thread.cpu.is_some_and(|cpu| cpu >= limits::CPUS) {
            let problem = Problem::general(format!("more than {} processors", limits::CPUS));
            report.value(&at.key("cpu"), problem.help("processors are numbered from 0"));
        }
        plan.threads.push(ThreadPlan {
            name,
            role: role(thread, section.i, &at, plan, tables, report),
            // Those that name none get theirs when all threads are known.
            cpu: Cpu(thread.cpu.map_or(u32::MAX, |cpu| cpu.min(limits::CPUS - 1))),
            program: Vec::new(),
            first_op: OpId(0),
            labels: Vec::new(),
            // What comes from outside may come or not.
            background: thread.background || thread.kind == ThreadKind::Chance,
        });
    }
}

fn role(
    thread: &types::Thread,
    i: Option<u32>,
    at: &At,
    plan: &Plan,
    tables: &Tables,
    report: &mut Report,
) -> Role {
    let kind = thread.kind;
    if thread.mm.is_some() && kind != ThreadKind::User {
        let problem = Problem::general("an address space for a thread that is no user thread");
        report.value(&at.key("mm"), problem.help("remove `mm`, or make the thread \"user\""));
    }
    if thread.device.is_some() && kind != ThreadKind::Device {
        let problem = Problem::general("a device for a thread that is no device thread");
        report.value(&at.key("device"), problem.help("say \"kind\": \"device\""));
    }
    match kind {
        ThreadKind::Kernel => Role::Kernel,
        ThreadKind::Neighbour => Role::Neighbour,
        ThreadKind::Chance => Role::Chance,
        ThreadKind::User => {
            let mm = thread.mm.as_ref().map(|mm| tables.mms.find(mm, i));
            let mm = mm.and_then(|found| report.ok(&at.key("mm"), found));
            Role::User(mm.unwrap_or_else(|| mappings::first_mm(plan)))
        }
        ThreadKind::Device => {
            let device = match &thread.device {
                Some(name) => report.ok(&at.key("device"), tables.devices.find(name, i)),
                None => report.ok(at, only_device(plan)),
            };
            Role::Device(device.unwrap_or(Device(0)))
        }
    }
}

/// The device that is meant where none is named.
///
/// # Errors
/// Unless there is exactly one.
pub fn only_device(plan: &Plan) -> Result<Device, Problem> {
    match plan.devices.len() {
        1 => Ok(Device(0)),
        0 => Err(Problem::general("there is no device")
            .help("declare one: \"devices\": {\"nic\": {\"kind\": \"nic\"}}")),
        n => Err(Problem::general(format!("one of {n} devices, but which?")).help("give `device`")),
    }
}

/// Compiles the programs of a section's threads; `next` is the number of its first thread.
pub fn compile(
    section: &Section,
    next: &mut u32,
    plan: &mut Plan,
    tables: &mut Tables,
    ledger: &mut Ledger,
    report: &mut Report,
) {
    let threads = section.at.key("threads");
    for (raw, thread) in section.threads {
        // A thread whose name could not be declared has no plan, and the scenario no meaning.
        if report.stops(section.i) || *next as usize >= plan.threads.len() {
            return;
        }
        let at = threads.key(raw);
        let number = *next as usize;
        let first_op = OpId(ledger.next_op);
        let place = Where { thread: *next, role: plan.threads[number].role, i: section.i };
        let mut program = Program::new(place, first_op, plan, tables, ledger, report);
        program.whole(thread, &at.key("do"));
        let (ops, labels) = program.finish();
        ledger.next_op += ops.len() as u32;
        *next += 1;
        if ledger.next_op as usize > limits::OPS {
            let problem = Problem::general(format!("more than {} operations", limits::OPS));
            return report.name(&at, problem.help("make the scenario smaller"));
        }
        let planned = &mut plan.threads[number];
        planned.first_op = first_op;
        planned.program = ops;
        planned.labels = labels;
    }
}
