//! `--symmetry`: whether a scenario has any, and what it is in words.

use crate::check::Asked;
use crate::engine::explore::Options;
use crate::kernel::sim::Sim;
use crate::kernel::sim::symmetry::{Mentions, Symmetry};
use crate::kernel::strategy::Strategy;
use crate::kernel::world::{Actor, Id};
use crate::scenario::Loaded;

/// Lets a machine take states for one that differ by an exchange of threads, and says why not if
/// it cannot.
pub fn apply(
    start: &mut Sim,
    loaded: &Loaded,
    strategy: Strategy,
    options: &Options,
    notes: &mut Vec<String>,
) -> bool {
    if options.is_bounded() {
        notes.push("--symmetry has no effect: the scenario bounds the search".to_string());
        return false;
    }
    let asked = Asked::of(loaded, strategy);
    let conditions: Vec<_> = asked.into_iter().flat_map(|a| a.conditions).collect();
    let symmetry = Symmetry::of(start, &Mentions::of(&conditions));
    if symmetry.is_trivial() {
        let why = match symmetry.refused.as_slice() {
            [] => "no two threads have the same program".to_string(),
            refused => refused.join("; "),
        };
        notes.push(format!("--symmetry has no effect: {why}"));
        return false;
    }
    start.set_symmetry(&symmetry);
    notes.extend(symmetry.refused.iter().map(|why| format!("not interchangeable: {why}")));
    true
}

/// How a search with symmetry goes, in words.
pub fn method(start: &Sim) -> String {
    let name = |t: &Actor| start.world.map.plan.threads[t.index()].name.as_str();
    let names = |group: &Vec<Actor>| group.iter().map(name).collect::<Vec<_>>().join(", ");
    let groups: Vec<String> = start.symmetry().groups.iter().map(names).collect();
    let orders = start.symmetry().orders;
    format!(
        "every interleaving, up to which is which of {} ({orders} orders)",
        groups.join(" and of ")
    )
}
