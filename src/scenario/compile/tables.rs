//! Which name stands for which number.

use super::template;
use crate::kernel::world::ids::*;
use crate::scenario::limits;
use crate::scenario::problem::Problem;
use crate::scenario::suggest;
use std::collections::{BTreeMap, BTreeSet};

/// Names of one kind of object.
#[derive(Debug)]
pub struct Table<T> {
    /// What the objects are called in diagnostics.
    what: &'static str,
    /// How one is declared, for the cure where there is none.
    declare: &'static str,
    by_name: BTreeMap<String, T>,
}

impl<T: Copy> Table<T> {
    fn new(what: &'static str, declare: &'static str) -> Table<T> {
        Table { what, declare, by_name: BTreeMap::new() }
    }

    /// Declares a name.
    ///
    /// # Errors
    /// If it is taken, or cannot be a name.
    pub fn declare(&mut self, raw: &str, i: Option<u32>, object: T) -> Result<String, Problem> {
        let name = template::expand(raw, i)?.into_owned();
        check_name(&name)?;
        if self.by_name.insert(name.clone(), object).is_some() {
            let help = match i {
                Some(_) => "use {i} in the name, so that each instance has its own",
                None => "a name stands for one thing only; rename one",
            };
            let what = self.what;
            return Err(Problem::general(format!("there are two {what}s `{name}`")).help(help));
        }
        if self.by_name.len() > limits::OBJECTS {
            let (what, most) = (self.what, limits::OBJECTS);
            return Err(Problem::general(format!("more than {most} {what}s"))
                .help("make the scenario smaller"));
        }
        Ok(name)
    }

    /// The object of a name, after its placeholders have been replaced.
    ///
    /// # Errors
    /// If there is none; the error names the nearest.
    pub fn find(&self, raw: &str, i: Option<u32>) -> Result<T, Problem> {
        let name = template::expand(raw, i)?;
        self.by_name.get(&*name).copied().ok_or_else(|| self.unknown(&name))
    }

    /// The object of a name; none if there is no such name.
    pub fn get(&self, name: &str) -> Option<T> {
        self.by_name.get(name).copied()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// That there is no such name.
    pub fn unknown(&self, name: &str) -> Problem {
        let what = self.what;
        if name.is_empty() {
            return Problem::general(format!("the name of a {what} is missing"))
                .help(suggest::cure(name, self.names(), self.declare));
        }
        Problem::general(format!("unknown {what} `{name}`"))
            .label(format!("no {what} has this name"))
            .help(suggest::cure(name, self.names(), self.declare))
    }
}

/// Whether a text can be a name.
///
/// # Errors
/// If not; says what a name is.
pub fn check_name(name: &str) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let good = !name.is_empty() && name.len() <= limits::NAME_BYTES && name.chars().all(plain);
    match good {
        true => Ok(()),
        false => Err(Problem::general(format!("`{name:.80}` cannot be a name")).help(format!(
            "a name is 1 to {} ASCII letters, digits, `_` or `-`",
            limits::NAME_BYTES
        ))),
    }
}

/// The names of everything in a scenario.
#[derive(Debug)]
pub struct Tables {
    /// Disks.
    pub disks: Table<Disk>,
    /// Files.
    pub files: Table<File>,
    /// First page of each file.
    pub file_pages: Vec<u32>,
    /// Address spaces.
    pub mms: Table<Mm>,
    /// Mappings by name: one per address space, in order of declaration.
    pub mappings: BTreeMap<String, Vec<(Mm, Vma)>>,
    /// Files and mappings that are declared wrongly: what is said of them is no further mistake.
    pub mistaken: BTreeSet<String>,
    /// First virtual page of each mapping.
    pub vpages: Vec<u32>,
    /// DMA devices.
    pub devices: Table<Device>,
    /// Threads; their numbers are their places in [`Plan::threads`](super::Plan::threads).
    pub threads: Table<Actor>,
    /// Slots.
    pub slots: Table<Slot>,
    /// Regions.
    pub regions: Table<Region>,
    /// Events.
    pub events: Table<Event>,
    /// Labelled operations.
    pub labels: Table<OpId>,
}

impl Default for Tables {
    fn default() -> Tables {
        Tables {
            disks: Table::new("disk", "declare it in `disks`"),
            files: Table::new("file", "declare it in `files`"),
            file_pages: Vec::new(),
            mms: Table::new("mm", "declare it in `mms`"),
            mappings: BTreeMap::new(),
            mistaken: BTreeSet::new(),
            vpages: Vec::new(),
            devices: Table::new("device", "declare it in `devices`: {\"nic\": {}}"),
            threads: Table::new("thread", "declare it in `threads`"),
            slots: Table::new("slot", "pin something into it"),
            regions: Table::new("region", "register it in some thread"),
            events: Table::new("event", "post it in some thread"),
            labels: Table::new("label", "put \"label\": NAME beside the operation that is meant"),
        }
    }
}
