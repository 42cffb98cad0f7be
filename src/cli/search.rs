//! Which seed to show: the most readable of the first few that break what is wanted.

use super::failure::Failure;
use super::{out, watch};
use crate::engine::model::Props;
use crate::kernel::invariant::{self, TABLE};
use crate::kernel::sim::Sim;
use crate::kernel::strategy::Strategy;
use crate::report::run::{Choose, Run, record};
use crate::scenario::Loaded;
use crate::scenario::expect::Expected;
use crate::scenario::suggest;
use crate::scenario::types::Verdict;

/// What a run should break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Nothing in particular: any run will do.
    Nothing,
    /// Something.
    Any,
    /// One of these, because it was asked for.
    These(Props),
    /// One of these, because the scenario expects it.
    Expected(Props),
}

/// The invariant of this name.
pub fn named(name: &str) -> Result<Wanted, Failure> {
    property(name).map(Wanted::These)
}

/// The property that the invariant of this name is.
pub fn property(name: &str) -> Result<Props, Failure> {
    match invariant::find(name) {
        Some((i, _)) => Ok(Props::one(i)),
        None => {
            let known = TABLE.iter().map(|i| i.name);
            let help = suggest::cure(name, known, "there are none");
            Err(Failure::usage(format!("unknown invariant '{name}'"), help))
        }
    }
}

/// What the scenario expects to break under a strategy.
pub fn expected(loaded: &Loaded, strategy: Strategy) -> Wanted {
    let mut props = Props::NONE;
    for expectation in &loaded.expectations {
        let Expected::Invariant(name, verdict) = &expectation.what else { continue };
        let here = expectation.under.iter().any(|(_, under)| *under == strategy);
        if here
            && *verdict != Verdict::Never
            && let Some((i, _)) = invariant::find(name)
        {
            props = props.union(Props::one(i));
        }
    }
    if props.is_empty() { Wanted::Nothing } else { Wanted::Expected(props) }
}

/// The seed below `seeds` whose run breaks the most of what is expected (or any of what was asked
/// for), with the fewest changes from one agent to another; the lowest of several. Where there is
/// none, 0 stands in for what was expected, and nothing for what was asked for. Says what it found.
pub fn seed(start: &Sim, choose: &Choose, wanted: Wanted, seeds: u64) -> Option<u64> {
    let props = match wanted {
        Wanted::Nothing => return Some(0),
        Wanted::Any => Props(u32::MAX),
        Wanted::These(props) | Wanted::Expected(props) => props,
    };
    let mut best: Option<((u32, usize), u64)> = None;
    let (mut count, mut tried, mut others) = (0u64, 0u64, Props::NONE);
    for seed in (0..seeds).take_while(|_| !watch::interrupted()) {
        tried += 1;
        let (run, _) = record(start, &Choose { seed, ..choose.clone() });
        others = others.union(Props(run.broken.0 & !props.0));
        if run.broken.0 & props.0 != 0 {
            count += 1;
            let broken = run.broken.0 & props.0;
            let missing = match wanted {
                Wanted::Expected(props) => (props.0 & !broken).count_ones(),
                _ => 0,
            };
            let rank = (missing, switches(&run));
            if best.is_none_or(|(first, _)| rank < first) {
                best = Some((rank, seed));
            }
        }
    }
    let wanted_names = match wanted {
        Wanted::Any => "an invariant".into(),
        _ => names(props, " or "),
    };
    if let Some((_, seed)) = best {
        out::say(&format!(
            "{count} of the first {tried} seeds break {wanted_names}; shown is {seed}, the most \
             readable"
        ));
        return Some(seed);
    }
    let mut text = format!(
        "none of the first {tried} seeds breaks {wanted_names}, which proves nothing: `explore` \
         looks at every run"
    );
    if !others.is_empty() {
        text.push_str(&format!("; what some of them break is {}", names(others, ", ")));
    }
    let shown = matches!(wanted, Wanted::Expected(_)).then_some(0);
    if shown.is_some() {
        text.push_str("; shown is seed 0");
    }
    out::say(&text);
    shown
}

fn names(props: Props, between: &str) -> String {
    let names: Vec<&str> = props.iter().filter_map(|i| Some(TABLE.get(i)?.name)).collect();
    names.join(between)
}

/// How often the run changes from one agent to another.
fn switches(run: &Run) -> usize {
    run.moves.windows(2).filter(|pair| pair[0].agent != pair[1].agent).count()
}
