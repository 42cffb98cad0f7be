//! Address spaces and their mappings, those of forked children included.

use super::report::Report;
use super::{Section, Tables};
use crate::kernel::world::ids::{File, Mm, Vma};
use crate::kernel::world::plan::{Backing, MmPlan, Plan, Populate, VmaPlan};
use crate::scenario::limits;
use crate::scenario::path::At;
use crate::scenario::problem::Problem;
use crate::scenario::types;

/// The address space that is there if no other is.
const DEFAULT_MM: &str = "P";

/// The address spaces of a section, without their parents.
pub fn declare_mms(section: &Section, plan: &mut Plan, tables: &mut Tables, report: &mut Report) {
    let mms = section.at.key("mms");
    for raw in section.mms.keys() {
        if report.stops(section.i) {
            return;
        }
        match tables.mms.declare(raw, section.i, Mm(plan.mms.len() as u32)) {
            Ok(name) => plan.mms.push(MmPlan { name, child_of: None }),
            Err(problem) => report.name(&mms.key(raw), problem),
        }
    }
}

/// `P`, if the scenario declares no address space that is there from the start.
pub fn default_mm(plan: &mut Plan, tables: &mut Tables) {
    if tables.mms.declare(DEFAULT_MM, None, Mm(plan.mms.len() as u32)).is_ok() {
        plan.mms.push(MmPlan { name: DEFAULT_MM.to_string(), child_of: None });
    }
}

/// The parents of a section's address spaces.
pub fn link_children(section: &Section, plan: &mut Plan, tables: &Tables, report: &mut Report) {
    let mms = section.at.key("mms");
    for (raw, mm) in section.mms {
        if report.stops(section.i) {
            return;
        }
        let (Some(parent), Ok(child)) = (&mm.child_of, tables.mms.find(raw, section.i)) else {
            continue;
        };
        let at = mms.key(raw);
        let at = at.key("child_of");
        let Some(parent) = report.ok(&at, tables.mms.find(parent, section.i)) else { continue };
        plan.mms[child.0 as usize].child_of = Some(parent);
        let ancestors = std::iter::successors(Some(parent), |mm| plan.mms[mm.0 as usize].child_of);
        if ancestors.take(limits::GENERATIONS + 1).count() > limits::GENERATIONS {
            plan.mms[child.0 as usize].child_of = None;
            let problem = Problem::general(format!("more than {} forks deep", limits::GENERATIONS));
            let help = "the first ancestor must be there from the start; look for a circle";
            report.value(&at, problem.help(help));
        }
    }
}

/// The first address space that is there from the start.
pub fn first_mm(plan: &Plan) -> Mm {
    let root = plan.mms.iter().position(|mm| mm.child_of.is_none());
    Mm(root.unwrap_or(0) as u32)
}

/// The mappings of a section.
pub fn mappings(section: &Section, plan: &mut Plan, tables: &mut Tables, report: &mut Report) {
    let mappings = section.at.key("mappings");
    for (raw, mapping) in section.mappings {
        if report.stops(section.i) {
            return;
        }
        let at = mappings.key(raw);
        let name = super::template::expand(raw, section.i)
            .and_then(|name| super::tables::check_name(&name).map(|()| name.into_owned()));
        let name = match name {
            Ok(name) => name,
            Err(problem) => {
                report.name(&at, problem);
                continue;
            }
        };
        if tables.mappings.contains_key(&name) {
            let problem = Problem::general(format!("there are two mappings `{name}`"));
            report.name(&at, problem.help("give each mapping a name of its own"));
            continue;
        }
        let vma = mapping_plan(mapping, &name, section.i, &at, plan, tables, report);
        if !vma.is_some_and(|vma| push(vma, plan, tables, &at, report)) {
            tables.mistaken.insert(name);
        }
    }
}

/// Pages of all files.
fn file_pages(plan: &Plan, tables: &Tables) -> u32 {
    match (tables.file_pages.last(), plan.files.last()) {
        (Some(first), Some(last)) => first + last.capacity,
        _ => 0,
    }
}

/// Adds a mapping and its names; false if there are too many.
fn push(vma: VmaPlan, plan: &mut Plan, tables: &mut Tables, at: &At, report: &mut Report) -> bool {
    let id = Vma(plan.vmas.len() as u32);
    let first = tables.vpages.last().map_or(0, |&first| first + plan.vmas[id.0 as usize - 1].pages);
    let too_many = if plan.vmas.len() >= limits::OBJECTS {
        Some(format!("more than {} mappings", limits::OBJECTS))
    } else if u64::from(file_pages(plan, tables) + first) + u64::from(vma.pages) > limits::PAGES {
        Some(format!("more than {} pages in all files and mappings", limits::PAGES))
    } else {
        None
    };
    if let Some(too_many) = too_many {
        let problem = Problem::general(too_many);
        report.value(at, problem.help("make the scenario smaller"));
        return false;
    }
    tables.vpages.push(first);
    // Names have no dots of their own: `C.buf` is the copy of `buf` in `C`.
    if let Some((_, base)) = vma.name.split_once('.') {
        tables.mappings.entry(base.to_string()).or_default().push((vma.mm, id));
    }
    tables.mappings.entry(vma.name.clone()).or_default().push((vma.mm, id));
    plan.vmas.push(vma);
    true
}

fn mapping_plan(
    mapping: &types::Mapping,
    name: &str,
    i: Option<u32>,
    at: &At,
    plan: &Plan,
    tables: &Tables,
    report: &mut Report,
) -> Option<VmaPlan> {
    let mm = match &mapping.mm {
        Some(mm) => report.ok(&at.key("mm"), tables.mms.find(mm, i))?,
        None => first_mm(plan),
    };
    if plan.mms[mm.0 as usize].child_of.is_some() {
        let problem = Problem::general("a mapping of a forked address space")
            .help("it gets copies of its parent's mappings; declare it there");
        report.value(&at.key("mm"), problem);
    }
    let file = match &mapping.file {
        Some(file) => Some(report.ok(&at.key("file"), tables.files.find(file, i))?),
        None => None,
    };
    let pages = length(mapping, file, at, (plan, tables), report)?;
    let populate = match mapping.populate {
        types::Populate::None => Populate::None,
        types::Populate::Read => Populate::Read,
        types::Populate::Write => Populate::Write,
    };
    let (write, mapped) = (mapping.write.unwrap_or(true), mapping.mapped.unwrap_or(true));
    if populate == Populate::Write && !write || populate != Populate::None && !mapped {
        let problem = Problem::general("entries at the start that the mapping does not allow")
            .help(
                "\"populate\": \"write\" needs a writable mapping, and either one that is mapped",
            );
        report.value(&at.key("populate"), problem);
    }
    Some(VmaPlan {
        name: name.to_string(),
        mm,
        pages,
        backing: file.map_or(Backing::Anon, |file| Backing::File { file, first: mapping.first }),
        shared: mapping.shared.unwrap_or(file.is_some()),
        read: mapping.read.unwrap_or(true),
        write,
        mapped,
        populate,
        copy_of: None,
    })
}

/// The length of a mapping in pages.
fn length(
    mapping: &types::Mapping,
    file: Option<File>,
    at: &At,
    (plan, tables): (&Plan, &Tables),
    report: &mut Report,
) -> Option<u32> {
    let Some(file) = file else {
        if mapping.first != 0 {
            let problem = Problem::general("`first` of anonymous memory");
            report.value(&at.key("first"), problem.help("give `file`, or remove `first`"));
        }
        return match mapping.pages.unwrap_or(1) {
            0 => {
                report.value(&at.key("pages"), Problem::general("a mapping of no pages"));
                None
            }
            pages => Some(pages),
        };
    };
    let plan = &plan.files[file.0 as usize];
    if tables.mistaken.contains(&plan.name) {
        return None;
    }
    let room = plan.capacity.saturating_sub(mapping.first);
    let pages = mapping.pages.unwrap_or(room);
    if pages == 0 || pages > room {
        let key = if mapping.pages.is_some() { "pages" } else { "first" };
        let end = u64::from(mapping.first) + u64::from(pages);
        let problem = Problem::general(format!(
            "the mapping ends at page {end} of file `{}`, which has room for {}",
            plan.name, plan.capacity
        ));
        let help = "map fewer pages (at least one), or raise the file's `capacity`";
        report.value(&at.key(key), problem.help(help));
        return None;
    }
    Some(pages)
}

/// Copies of the parents' mappings for the address spaces that forks create.
pub fn copies_for_children(plan: &mut Plan, tables: &mut Tables, report: &mut Report) {
    let mms = At::ROOT.key("mms");
    // Parents may be declared after their children, and be children themselves: deepest last.
    let depth = |plan: &Plan, mm: u32| {
        let line = std::iter::successors(Some(Mm(mm)), |mm| plan.mms[mm.0 as usize].child_of);
        line.take(limits::GENERATIONS + 2).count()
    };
    let mut children: Vec<u32> = (0..plan.mms.len() as u32).collect();
    children.sort_by_key(|&mm| depth(plan, mm));
    let mut of_mm: std::collections::BTreeMap<Mm, Vec<Vma>> = Default::default();
    for (i, vma) in plan.vmas.iter().enumerate() {
        of_mm.entry(vma.mm).or_default().push(Vma(i as u32));
    }
    for child in children {
        let Some(parent) = plan.mms[child as usize].child_of else { continue };
        for original in of_mm.get(&parent).cloned().unwrap_or_default() {
            let vma = &plan.vmas[original.0 as usize];
            let base = vma.name.rsplit('.').next().unwrap_or_default();
            let copy = VmaPlan {
                name: format!("{}.{base}", plan.mms[child as usize].name),
                mm: Mm(child),
                mapped: false,
                populate: Populate::None,
                copy_of: Some(original),
                ..vma.clone()
            };
            of_mm.entry(Mm(child)).or_default().push(Vma(plan.vmas.len() as u32));
            if !push(copy, plan, tables, &mms, report) {
                return;
            }
        }
    }
}

/// Whether a folio could be mapped more often than its counts can say.
pub fn crowded(plan: &Plan, report: &mut Report) {
    let mut of_file = vec![0usize; plan.files.len()];
    let mut of_root = vec![0usize; plan.vmas.len()];
    let mut roots: Vec<usize> = Vec::with_capacity(plan.vmas.len());
    for (i, vma) in plan.vmas.iter().enumerate() {
        // Originals come before their copies.
        let root = vma.copy_of.and_then(|of| roots.get(of.0 as usize)).copied().unwrap_or(i);
        roots.push(root);
        of_root[root] += 1;
        if let Backing::File { file, .. } = vma.backing {
            of_file[file.0 as usize] += 1 << plan.files[file.0 as usize].folio_order;
        }
    }
    if of_file.iter().chain(&of_root).any(|&n| n > limits::MAPPERS) {
        let problem = Problem::general(format!(
            "more than {} page table entries could map one folio",
            limits::MAPPERS
        ));
        let help = "map fewer pages of one file, or fork less often";
        report.value(&At::ROOT.key("mappings"), problem.help(help));
    }
}
