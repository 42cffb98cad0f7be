//! Strategies by name: a preset, and axes that differ from it.

use super::compile::report::Report;
use super::path::At;
use super::problem::Problem;
use super::suggest;
use super::types::Scenario;
use crate::kernel::strategy::{AxisInfo, Preset, Strategy};

/// Sets both truncate axes at once, as on the command line.
const TRUNCATE: &str = "truncate";
/// The two axes that [`TRUNCATE`] sets.
const BOTH: [&str; 2] = ["truncate-page-cache", "truncate-dax"];

/// The preset of a name.
///
/// # Errors
/// If there is none; the error names the nearest.
pub fn preset(name: &str) -> Result<Strategy, Problem> {
    Preset::find(name).map(|p| p.strategy).ok_or_else(|| {
        let known = Preset::ALL.iter().map(|p| p.name);
        Problem::general(format!("unknown preset '{name}'")).help(suggest::cure(name, known, ""))
    })
}

/// Sets an axis.
///
/// # Errors
/// If there is no such axis or value; the error names the nearest.
pub fn set(strategy: &mut Strategy, axis: &str, value: &str) -> Result<(), Problem> {
    let flags: &[&str] = if axis == TRUNCATE { &BOTH } else { &[axis] };
    for flag in flags {
        strategy.set(flag, value).map_err(|_| unknown(axis, flag, value))?;
    }
    Ok(())
}

/// Reads `AXIS=VALUE` as the names in the tables.
///
/// # Errors
/// If it has another form, or there is no such axis or value.
pub fn value(text: &str) -> Result<(&'static str, &'static str), Problem> {
    let Some((axis, value)) = text.split_once('=') else {
        return Err(Problem::general(format!("'{text}' is no axis with a value"))
            .help("write AXIS=VALUE, such as pin=none"));
    };
    let info = Strategy::AXES.iter().find(|a| a.flag == axis);
    let found = info.and_then(|a| Some((a.flag, a.values.iter().find(|v| v.name == value)?.name)));
    found.ok_or_else(|| unknown(axis, axis, value))
}

fn unknown(axis: &str, flag: &str, value: &str) -> Problem {
    let find = |a: &&AxisInfo| a.flag == flag;
    let Some(info) = Strategy::AXES.iter().find(find) else {
        let known = Strategy::AXES.iter().map(|a| a.flag).chain([TRUNCATE]);
        return Problem::general(format!("unknown strategy axis '{axis}'"))
            .help(suggest::cure(axis, known, ""));
    };
    let values = info.values.iter().map(|v| v.name);
    Problem::general(format!("unknown strategy '{value}' of axis '{axis}'"))
        .label(info.doc.trim().to_string())
        .help(suggest::cure(value, values, ""))
}

/// Reads a description such as `linux-6.18 longterm=allow`; words that it lacks come from `base`.
///
/// # Errors
/// If a word is no preset and no axis with a value, or the combination makes no sense.
pub fn describe(text: &str, base: Strategy) -> Result<Strategy, Problem> {
    let mut strategy = base;
    for (n, word) in text.split_whitespace().enumerate() {
        match word.split_once('=') {
            Some((axis, value)) => set(&mut strategy, axis, value)?,
            None if n == 0 => strategy = preset(word)?,
            None => {
                return Err(Problem::general(format!("'{word}' is no axis with a value"))
                    .help("write PRESET, AXIS=VALUE or PRESET AXIS=VALUE ..."));
            }
        }
    }
    match strategy.refused() {
        Some(why) => Err(Problem::general(why)),
        None => Ok(strategy),
    }
}

/// The strategy that a scenario names, as it is described in words.
pub fn own(scenario: &Scenario) -> String {
    let preset = scenario.preset.as_deref().unwrap_or(Preset::DEFAULT);
    let axes = scenario.strategy.iter().map(|(axis, value)| format!(" {axis}={value}"));
    format!("{preset}{}", axes.collect::<String>())
}

/// The strategy that a scenario names.
pub fn of(scenario: &Scenario, report: &mut Report) -> Strategy {
    let name = scenario.preset.as_deref().unwrap_or(Preset::DEFAULT);
    let found = preset(name);
    let Some(mut strategy) = report.ok(&At::ROOT.key("preset"), found) else {
        return Preset::ALL[0].strategy;
    };
    let section = At::ROOT.key("strategy");
    for (axis, value) in &scenario.strategy {
        let set = set(&mut strategy, axis, value);
        report.ok(&section.key(axis), set);
    }
    if let Some(why) = strategy.refused() {
        report.value(&section, Problem::general(why));
    }
    strategy
}
