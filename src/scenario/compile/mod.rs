//! From the JSON types to a [`Plan`]: names become numbers, defaults are filled in, templates
//! are instantiated, and what makes no sense is reported, all of it at once.

pub mod access;
pub mod place;
pub mod report;
pub mod template;

mod file_ops;
mod held_ops;
mod ledger;
mod machine;
mod mappings;
mod memory_ops;
mod program;
mod roles;
mod settings;
mod tables;
mod threads;

use super::path::At;
use super::types::{self, Named, Scenario};
use crate::kernel::world::plan::Plan;
use report::Report;
pub use tables::Tables;

/// A scenario's own sections or one instance of a template; both are compiled alike.
struct Section<'a> {
    files: &'a Named<types::File>,
    mms: &'a Named<types::Mm>,
    mappings: &'a Named<types::Mapping>,
    devices: &'a Named<types::Device>,
    threads: &'a Named<types::Thread>,
    /// Where the sections stand.
    at: At<'a>,
    /// The number of the instance; none for the scenario itself.
    i: Option<u32>,
}

/// All sections, the scenario's own first, then the templates' instances in order.
fn sections<'a>(scenario: &'a Scenario, ats: &'a [At<'a>]) -> impl Iterator<Item = Section<'a>> {
    let own = Section {
        files: &scenario.files,
        mms: &scenario.mms,
        mappings: &scenario.mappings,
        devices: &scenario.devices,
        threads: &scenario.threads,
        at: At::ROOT,
        i: None,
    };
    let generated = scenario.generate.iter().zip(ats).flat_map(|(template, &at)| {
        (0..template.count).map(move |i| Section {
            files: &template.files,
            mms: &template.mms,
            mappings: &template.mappings,
            devices: &template.devices,
            threads: &template.threads,
            at,
            i: Some(i),
        })
    });
    std::iter::once(own).chain(generated)
}

/// Compiles a scenario. What is wrong goes to the report; the plan means something only if that
/// stays empty.
pub fn compile(scenario: &Scenario, report: &mut Report) -> (Plan, Tables) {
    let mut plan = Plan::default();
    let mut tables = Tables::default();
    let generate = At::ROOT.key("generate");
    let ats: Vec<At> = (0..scenario.generate.len()).map(|g| generate.index(g)).collect();
    settings::costs_and_faults(scenario, &mut plan, report);
    if !settings::counts_fit(scenario, report) {
        return (plan, tables);
    }
    machine::disks(scenario, &mut plan, &mut tables, report);
    for section in sections(scenario, &ats) {
        machine::files(&section, &mut plan, &mut tables, report);
    }
    for section in sections(scenario, &ats) {
        machine::devices(&section, &mut plan, &mut tables, report);
        mappings::declare_mms(&section, &mut plan, &mut tables, report);
    }
    let from_start = |section: Section| section.mms.values().any(|mm| mm.child_of.is_none());
    if !sections(scenario, &ats).any(from_start) {
        mappings::default_mm(&mut plan, &mut tables);
    }
    for section in sections(scenario, &ats) {
        mappings::link_children(&section, &mut plan, &tables, report);
    }
    for section in sections(scenario, &ats) {
        mappings::mappings(&section, &mut plan, &mut tables, report);
    }
    mappings::copies_for_children(&mut plan, &mut tables, report);
    mappings::crowded(&plan, report);
    for section in sections(scenario, &ats) {
        threads::declare(&section, &mut plan, &mut tables, report);
    }
    settings::processors(scenario, &mut plan, report);
    let mut ledger = ledger::Ledger::new(&plan);
    let mut thread = 0;
    for section in sections(scenario, &ats) {
        threads::compile(&section, &mut thread, &mut plan, &mut tables, &mut ledger, report);
    }
    ledger.settle(&mut plan, &tables, report);
    settings::memory(scenario, &mut plan, report);
    (plan, tables)
}
