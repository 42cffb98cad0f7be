//! The scenario's plain settings, and what follows from the whole machine.

use super::report::Report;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::ids::Cpu;
use crate::kernel::world::plan::{self, Backing, Context, FsKind, InitPage, Op, Plan, Role};
use crate::scenario::limits;
use crate::scenario::path::At;
use crate::scenario::problem::Problem;
use crate::scenario::suggest;
use crate::scenario::types::Scenario;

/// Processors that threads get by default at most.
const DEFAULT_CPUS: u32 = 64;

/// Cost table and faults.
pub fn costs_and_faults(scenario: &Scenario, plan: &mut Plan, report: &mut Report) {
    plan.around = scenario.fault_around;
    let costs = At::ROOT.key("costs");
    for (name, &ns) in &scenario.costs {
        let at = costs.key(name);
        match Cost::ALL.iter().find(|c| c.name() == name) {
            None => {
                let known = Cost::ALL.iter().map(|c| c.name());
                let help = suggest::cure(name, known, "");
                report.name(&at, Problem::general(format!("unknown cost `{name}`")).help(help));
            }
            Some(_) if ns > limits::NANOSECONDS => report.value(&at, too_many(ns, "nanoseconds")),
            Some(&cost) => plan.costs.set(cost, ns),
        }
    }
    let at = At::ROOT.key("faults");
    let faults = &scenario.faults;
    let mut rate = |name, value: f64| match (0.0..=1.0).contains(&value) {
        true => (value * 65536.0).round() as u32,
        false => {
            let problem = Problem::general(format!("`{name}` is {value}"))
                .label("not a probability")
                .help("a probability is 0 to 1");
            report.value(&at.key(name), problem);
            0
        }
    };
    plan.faults = plan::Faults {
        io_errors: faults.io_errors,
        enomem: faults.enomem,
        io_error_rate: rate("io_error_rate", faults.io_error_rate),
        enomem_rate: rate("enomem_rate", faults.enomem_rate),
    };
}

fn too_many(n: u64, what: &str) -> Problem {
    Problem::general(format!("{n} {what} are too many"))
        .help(format!("at most {} are allowed", limits::NANOSECONDS))
}

/// Whether templates generate no more than is allowed; asked before anything is allocated.
pub fn counts_fit(scenario: &Scenario, report: &mut Report) -> bool {
    let mut threads = scenario.threads.len() as u64;
    let mut objects = (scenario.files.len() + scenario.mappings.len()) as u64;
    let generate = At::ROOT.key("generate");
    for (g, template) in scenario.generate.iter().enumerate() {
        let count = u64::from(template.count);
        let sections = [template.files.len(), template.mms.len(), template.mappings.len()];
        let made = sections.iter().sum::<usize>() + template.devices.len();
        threads += count * template.threads.len() as u64;
        objects += count * (made as u64).max(1);
        let template_at = generate.index(g);
        let at = template_at.key("count");
        if template.count == 0 {
            let problem = Problem::general("a template with no instance");
            report.value(&at, problem.help("give `count`, at least 1"));
        }
        let limits = [("threads", threads, limits::THREADS), ("objects", objects, limits::OBJECTS)];
        for (what, n, most) in limits {
            if n > most as u64 {
                let problem = Problem::general(format!("{n} {what} are too many"));
                report.value(&at, problem.help(format!("at most {most} are allowed")));
                return false;
            }
        }
    }
    if threads > limits::THREADS as u64 {
        let most = limits::THREADS;
        let problem = Problem::general(format!("{threads} threads are too many"));
        report.name(&At::ROOT.key("threads"), problem.help(format!("at most {most} are allowed")));
        return false;
    }
    if threads == 0 {
        let problem = Problem::general("a scenario without threads");
        report.value(
            &At::ROOT,
            problem.help("nothing would happen; write \"threads\": {\"A\": {\"do\": [...]}}"),
        );
    }
    true
}

/// Whether a thread runs on a processor.
fn runs(role: Role) -> bool {
    matches!(role, Role::User(_) | Role::Kernel | Role::Neighbour)
}

/// The number of processors, and the processor of each thread that names none (those have
/// `u32::MAX` until now).
pub fn processors(scenario: &Scenario, plan: &mut Plan, report: &mut Report) {
    let running = plan.threads.iter().filter(|t| runs(t.role)).count() as u32;
    let named = plan.threads.iter().map(|t| t.cpu.0).filter(|&c| c != u32::MAX).max();
    let wanted = running.clamp(1, DEFAULT_CPUS).max(named.map_or(0, |c| c.saturating_add(1)));
    plan.cpus = scenario.cpus.unwrap_or(wanted.min(limits::CPUS));
    if !(1..=limits::CPUS).contains(&plan.cpus) {
        let problem = Problem::general(format!("{} processors", plan.cpus));
        let help = format!("a machine has 1 to {} processors", limits::CPUS);
        report.value(&At::ROOT.key("cpus"), problem.help(help));
        plan.cpus = 1;
    }
    let mut next = 0;
    for thread in &mut plan.threads {
        if thread.cpu.0 != u32::MAX {
            if thread.cpu.0 >= plan.cpus {
                let (name, cpu, cpus) = (&thread.name, thread.cpu.0, plan.cpus);
                let problem = Problem::general(format!(
                    "thread `{name}` runs on processor {cpu}, and there are {cpus}"
                ));
                let help = "processors are numbered from 0; raise `cpus` or leave it out";
                report.value(&At::ROOT.key("cpus"), problem.help(help));
            }
            continue;
        }
        thread.cpu = Cpu(next);
        if runs(thread.role) {
            next = (next + 1) % plan.cpus;
        }
    }
}

/// Free frames, free blocks and workers, where the scenario leaves them open.
pub fn memory(scenario: &Scenario, plan: &mut Plan, report: &mut Report) {
    let asked = [("spare_frames", scenario.spare_frames), ("workers", scenario.workers)];
    for (key, n) in asked {
        let n = u64::from(n.unwrap_or(0));
        if n > limits::PAGES {
            let problem = Problem::general(format!("{n} is too much"));
            let help = format!("at most {} are allowed", limits::PAGES);
            report.value(&At::ROOT.key(key), problem.help(help));
        }
    }
    if !report.is_empty() {
        return;
    }
    let ops = || plan.threads.iter().flat_map(|t| &t.program);
    let count = |of: fn(&Op) -> bool| ops().filter(|op| of(op)).count() as u32;
    let worker = |op: &Op| matches!(op, Op::Unpin { context: Context::Worker, .. });
    // btrfs has workers of its own (btrfs_writepage_fixup_worker).
    let btrfs = plan.files.iter().any(|f| f.fs == FsKind::Btrfs);
    plan.workers = scenario.workers.unwrap_or(u32::from(btrfs || ops().any(worker)));

    let uncached = plan.files.iter().filter(|f| f.fs != FsKind::Dax).map(|f| {
        let cached = |p: &&InitPage| matches!(p, InitPage::Clean | InitPage::Dirty);
        f.capacity - f.pages.iter().filter(cached).count() as u32
    });
    let copied = plan.vmas.iter().filter(|v| !v.shared || v.backing == Backing::Anon);
    let wanted = uncached.sum::<u32>()
        + copied.map(|v| v.pages).sum::<u32>()
        + count(|op| matches!(op, Op::TakeFrame))
        + count(|op| matches!(op, Op::Migrate { .. }))
        + 1;
    plan.spare_frames = scenario.spare_frames.unwrap_or(wanted);

    let mut wanted = vec![0u32; plan.disks.len()];
    for file in &plan.files {
        let Some(disk) = file.disk else { continue };
        let blocks = file.pages.iter().filter(|p| **p != InitPage::Hole).count() as u32;
        let copies = if file.fs == FsKind::Btrfs { file.capacity } else { 0 };
        if let Some(wanted) = wanted.get_mut(disk.0 as usize) {
            *wanted += file.capacity - blocks + copies;
        }
    }
    for (disk, wanted) in plan.disks.iter_mut().zip(wanted) {
        let named = scenario.disks.get(&disk.name).and_then(|d| d.spare_blocks);
        disk.spare_blocks = named.unwrap_or(wanted);
    }
}
