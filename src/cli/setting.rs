//! What was asked for, as reports state it.

use super::strategy::StrategyFlags;
use crate::engine::model::Model;
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::{Preset, Strategy};
use crate::report::data::Setting;
use crate::report::run;
use crate::scenario::Loaded;

/// The scenario and the design; what concerns a single run is left at its default.
pub fn of(loaded: &Loaded, flags: &StrategyFlags, strategy: Strategy) -> Setting {
    let own = loaded.scenario.preset.as_deref().unwrap_or(Preset::DEFAULT);
    let preset = flags.preset().unwrap_or(own);
    let base = Preset::find(preset).map_or(strategy, |p| p.strategy);
    let axes = || Strategy::AXES.iter().map(|a| a.flag);
    Setting {
        scenario: loaded.name.clone(),
        title: loaded.scenario.title.clone(),
        preset: preset.to_string(),
        strategy: axes().map(|a| (a, strategy.get(a).unwrap_or_default())).collect(),
        differs: axes().filter(|a| strategy.get(a) != base.get(a)).collect(),
        ..Setting::default()
    }
}

/// The command that replays these moves and no others, word by word.
pub fn replay(scenario: &str, flags: &StrategyFlags, start: &Sim, moves: &[Move]) -> Vec<String> {
    let mut words = vec!["gupsim".into(), "replay".into(), scenario.to_string()];
    words.extend(flags.typed());
    if !moves.is_empty() {
        words.extend(["--schedule".into(), run::schedule(start, moves).to_string()]);
    }
    // A run that has come to its end needs no limit.
    let mut end = start.clone();
    moves.iter().for_each(|&mv| {
        end.apply(mv);
    });
    if end.ready() > 0 {
        words.extend(["--steps".into(), moves.len().to_string()]);
    }
    words
}
