//! What a report says, as data: the JSON document is this, and every other format renders it.

use serde::{Serialize, Serializer};
use std::fmt;

/// Version of the shape of the JSON document; a field that changes its meaning bumps it.
pub const FORMAT: u32 = 1;

/// What is known of a run before it is looked at.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Setting {
    /// The scenario, as it was asked for.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// The preset that the strategy starts from.
    pub preset: String,
    /// The value of every axis, in the order of the axes.
    #[serde(serialize_with = "as_map")]
    pub strategy: Vec<(&'static str, &'static str)>,
    /// The axes whose value is not the preset's.
    pub differs: Vec<&'static str>,
    /// The seed of the moves that no schedule fixes.
    pub seed: u64,
    /// How many first moves a schedule fixed.
    pub scheduled: usize,
    /// Whether moves happened when they were due on a virtual clock.
    pub timed: bool,
    /// The command line that repeats the run, word by word.
    pub repeat: Vec<String>,
}

fn as_map<S: Serializer>(pairs: &[(&'static str, &'static str)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(pairs.iter().copied())
}

/// A run: what was asked for, what happened, what it means.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// What was run.
    #[serde(rename = "run")]
    pub setting: Setting,
    /// The agents that moved or waited, in the order of the columns.
    pub agents: Vec<String>,
    /// The steps that are shown: all of them, or those that a finding speaks of.
    pub steps: Vec<Step>,
    /// Violations, each invariant once, in the order in which they first happened.
    pub findings: Vec<Finding>,
    /// How it ended.
    pub end: End,
    /// Every invariant: broken, held, or vacuous.
    pub verdicts: Vec<Verdict>,
    /// What it cost, if that was asked for: all prices that are not zero.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_counts")]
    pub prices: Vec<(&'static str, u64)>,
    /// What the end of the run is about, if it is shown for its end.
    #[serde(skip)]
    pub about: Option<About>,
}

/// What the end of a run is about.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The last steps that changed it, in order, with what they changed of it.
    pub trail: Vec<(usize, String)>,
    /// The state at the end, in words.
    pub now: Vec<String>,
}

fn as_counts<S: Serializer>(prices: &[(&'static str, u64)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(prices.iter().copied())
}

/// One step of one agent.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Its number, from 1.
    pub n: usize,
    /// When it was made, in simulated nanoseconds; absent in untimed runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_ns: Option<u64>,
    /// Where the report is about a violation, and the step changes how likely it is: the
    /// probability that it still comes.
    #[serde(skip)]
    pub odds: Option<f64>,
    /// The agent.
    pub agent: String,
    /// The operation that begins with this step, as its caller would write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begins: Option<String>,
    /// The number of the step in docs/model.md; empty where it has none.
    pub id: &'static str,
    /// The kernel's words.
    pub step: &'static str,
    /// The machines on the agent's stack, outermost first.
    pub stack: Vec<&'static str>,
    /// The outcome, where an outside party decided; absent if it is the ordinary one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What it changed.
    pub changes: Vec<Change>,
    /// What the operation returned, if it ended with this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returns: Option<Returned>,
    /// Waits that begin with this step, of this agent or of others that it outran.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Wait>,
    /// Agents whose wait ended with this step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wakes: Vec<String>,
    /// Invariants that this step broke.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breaks: Vec<&'static str>,
}

/// What an operation returned.
#[derive(Clone, Debug, Serialize)]
pub struct Returned {
    /// The value: negative is an errno.
    pub value: i32,
    /// The errno's name, or the number.
    pub word: String,
    /// What a load or a read saw; empty for all else.
    #[serde(skip)]
    pub seen: String,
    /// Whether a program gets it: threads of the kernel, devices and bare loads and stores tell
    /// nobody that they have come to their end.
    #[serde(skip)]
    pub told: bool,
}

/// A change of one cell: one facet of one object.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The object.
    pub object: String,
    /// The facet.
    pub facet: &'static str,
    /// Whether no kernel has it: the model keeps it in order to judge.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ghost: bool,
    /// What changed of it.
    pub fields: Vec<FieldChange>,
    /// The same in words, without the object.
    pub words: String,
}

/// A change of one field.
#[derive(Clone, Debug, Serialize)]
pub struct FieldChange {
    /// The field.
    pub field: &'static str,
    /// Its value before the step.
    pub before: Value,
    /// Its value after the step.
    pub after: Value,
}

/// A field's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// No object.
    None,
    /// A flag.
    Flag(bool),
    /// A number.
    Int(i64),
    /// A word, an object's name, or contents by their authors.
    Word(String),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::None => to.serialize_none(),
            Value::Flag(set) => to.serialize_bool(*set),
            Value::Int(n) => to.serialize_i64(*n),
            Value::Word(word) => to.serialize_str(word),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => f.write_str("none"),
            Value::Flag(set) => write!(f, "{set}"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Word(word) => f.write_str(word),
        }
    }
}

/// A wait of an agent.
#[derive(Clone, Debug, Serialize)]
pub struct Wait {
    /// The agent.
    pub agent: String,
    /// The number of the step since which it waits; 0 is the start of the run.
    pub since: usize,
    /// What it will do when the wait is over.
    pub before: String,
    /// What it waits for.
    pub waits_for: String,
    /// Who stands in the way.
    pub holders: Vec<Holder>,
    /// Whether the scenario stages it: a wait for one of its events is none of the kernel's.
    #[serde(skip)]
    pub staged: bool,
}

/// Somebody who holds what another waits for, or a page that a finding is about.
#[derive(Clone, Debug, Serialize)]
pub struct Holder {
    /// The agent.
    pub agent: String,
    /// What it holds, where that is not what is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<String>,
    /// The number of the step that took it; absent if it was so from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<usize>,
    /// That step in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A broken invariant with both halves of the race.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The invariant.
    pub invariant: &'static str,
    /// The rule.
    pub rule: String,
    /// Where the rule comes from.
    pub source: &'static str,
    /// What was seen.
    pub seen: String,
    /// (1): the last step of another agent that wrote some of the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Half>,
    /// (2): the step that broke the rule.
    pub second: Half,
    /// The cells that prove it, in words.
    pub evidence: Vec<String>,
    /// References and pins on the pages it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
    /// For rules about waits: who waits for what.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Wait>,
    /// The last steps before (2) that changed the evidence, in order, with what they changed of
    /// it; empty unless they were asked for.
    #[serde(skip)]
    pub trail: Vec<(usize, String)>,
    /// How often it broke in the run, this time included.
    pub times: usize,
}

/// One half of a race.
#[derive(Clone, Debug, Serialize)]
pub struct Half {
    /// The number of the step.
    pub step: usize,
    /// The agent.
    pub agent: String,
    /// The step in words.
    pub does: String,
    /// What it changed of the evidence, in words.
    pub changed: String,
    /// The machines on the agent's stack, outermost first.
    pub stack: Vec<&'static str>,
}

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    /// Number of steps.
    pub steps: usize,
    /// The time of the last step, in simulated nanoseconds; absent in untimed runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_ns: Option<u64>,
    /// `finished`, `deadlock`, `stall`, `cut` (the state means nothing any more) or `limit`.
    pub how: &'static str,
    /// Who still waits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Wait>,
}

/// What a run says of one invariant.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The invariant.
    pub invariant: &'static str,
    /// `broken`, `held`, or `vacuous`: its premise never arose.
    pub verdict: &'static str,
    /// The number of the step that first broke it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
}

impl Report {
    /// Whether anything was broken.
    pub fn violated(&self) -> bool {
        self.verdicts.iter().any(|v| v.verdict == "broken")
    }

    /// The command that repeats the run.
    pub fn command(&self) -> String {
        super::shell::join(&self.setting.repeat)
    }
}
