//! One flag per strategy axis, made from the table of axes.

use super::failure::Failure;
use crate::kernel::strategy::{Preset, Strategy};
use crate::scenario::strategy as words;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command, Error, FromArgMatches};

/// The flag that sets both truncate axes.
const TRUNCATE: &str = "truncate";
/// What it can set one by one, and the axes that these are.
const TRUNCATES: [(&str, &str); 2] =
    [("page-cache", "truncate-page-cache"), ("dax", "truncate-dax")];

/// The strategy as it was typed.
#[derive(Clone, Debug, Default)]
pub struct StrategyFlags {
    preset: Option<String>,
    truncate: Option<String>,
    /// Axis and value, in the order of the axes.
    axes: Vec<(&'static str, String)>,
}

impl StrategyFlags {
    /// The strategy that is meant; what is not typed comes from `own`.
    pub fn apply(&self, own: Strategy) -> Result<Strategy, Failure> {
        let mut strategy = match &self.preset {
            Some(name) => words::preset(name)?,
            None => own,
        };
        for part in self.truncate.iter().flat_map(|t| t.split(',')) {
            match part.split_once('=') {
                None => words::set(&mut strategy, TRUNCATE, part)?,
                Some((which, value)) => {
                    let Some((_, axis)) = TRUNCATES.iter().find(|t| t.0 == which) else {
                        return Err(Failure::usage(
                            format!("--truncate knows no '{which}'"),
                            "write --truncate VALUE or --truncate page-cache=VALUE,dax=VALUE",
                        ));
                    };
                    words::set(&mut strategy, axis, value)?;
                }
            }
        }
        for (axis, value) in &self.axes {
            words::set(&mut strategy, axis, value)?;
        }
        match strategy.refused() {
            Some(why) => Err(Failure::usage(why, "")),
            None => Ok(strategy),
        }
    }

    /// What would be typed for a strategy as expectations name it: `PRESET AXIS=VALUE ...`.
    pub fn described(text: &str) -> StrategyFlags {
        let mut flags = StrategyFlags::default();
        for word in text.split_whitespace() {
            match word.split_once('=') {
                None => flags.preset = Some(word.to_string()),
                Some((TRUNCATE, value)) => flags.truncate = Some(value.to_string()),
                Some((axis, value)) => {
                    let known = Strategy::AXES.iter().find(|a| a.flag == axis);
                    flags.axes.extend(known.map(|a| (a.flag, value.to_string())));
                }
            }
        }
        flags
    }

    /// The preset that was typed.
    pub fn preset(&self) -> Option<&str> {
        self.preset.as_deref()
    }

    /// What was typed, word by word.
    pub fn typed(&self) -> Vec<String> {
        let flag = |flag: &str, value: &String| [format!("--{flag}"), value.clone()];
        let preset = self.preset.iter().flat_map(|v| flag("preset", v));
        let truncate = self.truncate.iter().flat_map(|v| flag(TRUNCATE, v));
        let axes = self.axes.iter().flat_map(|(axis, v)| flag(axis, v));
        preset.chain(truncate).chain(axes).collect()
    }
}

impl FromArgMatches for StrategyFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<StrategyFlags, Error> {
        let get = |id: &str| matches.get_one::<String>(id).cloned();
        let axes = Strategy::AXES.iter().filter_map(|a| Some((a.flag, get(a.flag)?)));
        Ok(StrategyFlags { preset: get("preset"), truncate: get(TRUNCATE), axes: axes.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = StrategyFlags::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for StrategyFlags {
    fn augment_args(command: Command) -> Command {
        let value = |flag: &'static str| {
            let arg = Arg::new(flag).long(flag).value_name("VALUE");
            arg.help_heading("Strategy (what is not given comes from the scenario)")
        };
        let presets: Vec<&str> = Preset::ALL.iter().map(|p| p.name).collect();
        let mut command = command.arg(
            value("preset")
                .value_name("PRESET")
                .value_parser(PossibleValuesParser::new(presets))
                .help("A whole design, in place of the scenario's"),
        );
        for axis in Strategy::AXES {
            let values: Vec<&str> = axis.values.iter().map(|v| v.name).collect();
            let help = axis.doc.trim().trim_end_matches('.');
            command = command
                .arg(value(axis.flag).value_parser(PossibleValuesParser::new(values)).help(help));
        }
        let help = "Both of truncate-page-cache and truncate-dax, or page-cache=VALUE,dax=VALUE";
        command.arg(value(TRUNCATE).help(help))
    }

    fn augment_args_for_update(command: Command) -> Command {
        StrategyFlags::augment_args(command)
    }
}
