//! Which designs are compared: presets, and every combination of values of some axes.

use crate::cli::failure::Failure;
use crate::kernel::strategy::{Preset, Strategy};
use crate::scenario::strategy as words;
use clap::{Arg, ArgMatches, Command, Error, FromArgMatches};
use indexmap::IndexSet;

/// Designs that are put side by side at most, those that make no sense among them.
const MOST: usize = 100_000;

/// Stands for every value of an axis, or every preset.
const ALL: &str = "all";
/// The flag that sets both truncate axes.
const TRUNCATE: &str = "truncate";

/// The designs as they were typed: lists of values.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    presets: Vec<String>,
    /// Axis and values, in the order of the axes.
    axes: Vec<(&'static str, Vec<String>)>,
}

impl Grid {
    /// Every design, as expectations describe one: `PRESET AXIS=VALUE ...`. All presets if nothing
    /// was typed; without a preset, what is not typed comes from the scenario.
    ///
    /// # Errors
    /// If there is no such preset or value, or if there are more than [`MOST`].
    pub fn designs(&self) -> Result<Vec<String>, Failure> {
        let presets = match (self.presets.as_slice(), self.axes.is_empty()) {
            ([], false) => vec![String::new()],
            (typed, _) if typed.iter().any(String::is_empty) => {
                return Err(Failure::usage(
                    "an empty name among the presets",
                    "leave it out, or leave --preset out for the scenario's own",
                ));
            }
            ([], true) => Preset::ALL.iter().map(|p| p.name.to_string()).collect(),
            (typed, _) => all_or(typed, || Preset::ALL.iter().map(|p| p.name).collect()),
        };
        for name in presets.iter().filter(|name| !name.is_empty()) {
            words::preset(name)?;
        }
        let mut designs = presets;
        for (axis, typed) in &self.axes {
            let flag = if *axis == TRUNCATE { "truncate-page-cache" } else { axis };
            let info = Strategy::AXES.iter().find(|a| a.flag == flag);
            let known = || info.map_or(Vec::new(), |a| a.values.iter().map(|v| v.name).collect());
            let values = all_or(typed, known);
            for value in &values {
                words::value(&format!("{flag}={value}"))?;
            }
            let with = |design: &String| {
                let gap = if design.is_empty() { "" } else { " " };
                values.iter().map(|v| format!("{design}{gap}{axis}={v}")).collect::<Vec<_>>()
            };
            let all = designs.len() * values.len();
            if all > MOST {
                let what = format!("more than {MOST} designs are too many to compare");
                let help = "name fewer values; lists are combined, each value with each";
                return Err(Failure::usage(what, help));
            }
            designs = designs.iter().flat_map(with).collect();
        }
        let once: IndexSet<String> = designs.into_iter().collect();
        Ok(once.into_iter().collect())
    }

    /// The same values on top of these presets, if none was typed.
    pub fn over(&self, presets: Vec<String>) -> Grid {
        let typed = if self.presets.is_empty() { presets } else { self.presets.clone() };
        Grid { presets: typed, axes: self.axes.clone() }
    }

    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.presets.is_empty() && self.axes.is_empty()
    }
}

fn all_or(typed: &[String], all: impl Fn() -> Vec<&'static str>) -> Vec<String> {
    match typed.iter().any(|t| t == ALL) {
        true => all().into_iter().map(String::from).collect(),
        false => typed.to_vec(),
    }
}

impl FromArgMatches for Grid {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Grid, Error> {
        let get = |id: &str| -> Vec<String> {
            matches.get_many::<String>(id).into_iter().flatten().cloned().collect()
        };
        let flags = Strategy::AXES.iter().map(|a| a.flag).chain([TRUNCATE]);
        let axes = flags.map(|flag| (flag, get(flag))).filter(|(_, typed)| !typed.is_empty());
        Ok(Grid { presets: get("preset"), axes: axes.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Grid::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Grid {
    fn augment_args(command: Command) -> Command {
        let list = |flag: &'static str, help: &str| {
            Arg::new(flag)
                .long(flag)
                .value_name("VALUE,...")
                .value_delimiter(',')
                .help(help.to_string())
                .help_heading("Designs (each a list of values, or `all`)")
        };
        let mut command = command.arg(list("preset", "Whole designs; what follows changes each"));
        for axis in Strategy::AXES {
            command = command.arg(list(axis.flag, axis.doc.trim().trim_end_matches('.')));
        }
        command.arg(list(TRUNCATE, "Both of truncate-page-cache and truncate-dax"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Grid::augment_args(command)
    }
}
