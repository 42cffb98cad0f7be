//! Rules evaluated over a recording.

use super::env::Env;
use super::record::Recording;
use super::sequence::Suite;
use indexmap::IndexMap;

/// What became of the rules of a suite on a recording.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Assertions evaluated.
    pub evaluated: usize,
    /// For each rule that ran: on which file systems, in alphabetical order, and whether it held.
    pub rules: IndexMap<String, Vec<(String, bool)>>,
    /// Every assertion that failed.
    pub failures: Vec<Failure>,
}

/// An assertion that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The rule; the sequence's name, if it stands before its first rule.
    pub rule: String,
    /// The sequence.
    pub seq: String,
    /// The file system.
    pub fs: String,
    /// The step.
    pub step: u32,
    /// The expression.
    pub text: String,
    /// Why.
    pub why: String,
}

impl Outcome {
    /// Whether a rule held on a file system; none if it did not run there.
    pub fn held(&self, rule: &str, fs: &str) -> Option<bool> {
        self.rules.get(rule)?.iter().find(|(name, _)| name == fs).map(|&(_, held)| held)
    }
}

/// Evaluates every rule on every run. A rule holds on a file system if all its assertions do.
pub fn evaluate(suite: &Suite, recording: &Recording) -> Outcome {
    let mut outcome = Outcome::default();
    let kernel = recording.version();
    let mut held: IndexMap<(String, String), bool> = IndexMap::new();
    for run in &recording.runs {
        let Some(sequence) = suite.sequences.iter().find(|s| s.name == run.seq) else { continue };
        for assertion in &sequence.assertions {
            outcome.evaluated += 1;
            let rule = assertion.rule.map_or(&sequence.name, |r| &suite.rules[r].name);
            let result = match run.steps.get(assertion.step as usize) {
                None => Err("no observation".to_string()),
                Some((_, seen)) => {
                    let env = Env { seen, fs: &run.fs, kernel };
                    assertion.expr.holds(&env).and_then(|holds| match holds {
                        true => Ok(()),
                        false => Err("false".to_string()),
                    })
                }
            };
            *held.entry((rule.clone(), run.fs.clone())).or_insert(true) &= result.is_ok();
            outcome.failures.extend(result.err().map(|why| Failure {
                rule: rule.clone(),
                seq: run.seq.clone(),
                fs: run.fs.clone(),
                step: assertion.step,
                text: assertion.text.clone(),
                why,
            }));
        }
    }
    for rule in &suite.rules {
        let of_rule = held.iter().filter(|((name, _), _)| *name == rule.name);
        let mut on: Vec<(String, bool)> =
            of_rule.map(|((_, fs), &held)| (fs.clone(), held)).collect();
        on.sort();
        if !on.is_empty() {
            outcome.rules.insert(rule.name.clone(), on);
        }
    }
    outcome
}
