//! `gupsim fuzz --generate`: made-up scenarios, and whether designs keep what they claim to keep.

use super::explore::Style;
use super::failure::Failure;
use super::fuzz::Args;
use super::{Exit, findings, out, watch};
use crate::generate::hunt::{self, Broken, Control, Design, Made, Options, Tally};
use crate::judged::Judged;
use crate::kernel::invariant::TABLE;
use crate::kernel::sim::Sim;
use crate::kernel::strategy::{Preset, Strategy};
use crate::report::hunted::{Claimed, FORMAT, Failed, Hunted};
use crate::report::shell;
use crate::report::verdicts::grouped;
use crate::scenario::write;
use crate::simplify::{self, Failing};
use crate::{fuzz, scenario};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Runs of each scenario if nothing says how many.
const RUNS: u64 = 40;
/// Most steps of a run: some programs go round for ever.
const STEPS: usize = 2_000;
/// Scenarios if nothing says how many.
pub const SCENARIOS: &str = "1000";

/// Hunts, and says what came of it.
pub fn run(args: &Args, scenarios: u64, runs: fuzz::Options) -> Result<Exit, Failure> {
    let options = Options {
        seed: args.seed,
        scenarios: if args.time.is_some() { u64::MAX } else { scenarios },
        designs: designs(args)?,
        without: None,
        jobs: runs.jobs,
        runs: fuzz::Options {
            jobs: 1,
            runs: args.runs.unwrap_or(RUNS),
            steps: runs.steps.min(STEPS),
            // How many states were seen of each is of no interest.
            bytes: 0,
            ..runs
        },
    };
    if let Some(number) = args.number {
        let made = hunt::make(args.seed, number, &options.designs);
        let made = made.map_err(|e| refused(number, &e.to_string()))?;
        out::print(&write::text(&made.loaded.scenario))?;
        return Ok(Exit::Clean);
    }
    if let Some(dir) = &args.out {
        super::file::directory(dir)?;
    }
    watch::interrupts()?;
    let outside = Outside {
        began: Instant::now(),
        until: args.time.map(Duration::from_secs),
        bar: watch::line(),
        dir: args.out.as_deref(),
        failed: Mutex::default(),
    };
    let tally = hunt::hunt(&options, &outside);
    outside.bar.finish_and_clear();
    if let Some((number, why)) = &tally.refused {
        return Err(refused(*number, why));
    }
    if let Some((number, run, step)) = tally.diverged {
        return Err(Failure::Internal(format!(
            "run {run} of scenario {number} of seed {} was not the same the second time, from \
             step {step} on: please report it",
            args.seed
        )));
    }
    let rate = tally.steps as f64 / outside.began.elapsed().as_secs_f64().max(1e-6);
    out::say(&format!("{} steps/s", grouped(rate as u64)));
    let hunted = hunted(args, &options, &tally);
    out::print(&match args.format {
        Style::Text => hunted.text(out::stdout_width()),
        // Strings, numbers and lists only: writing them out cannot fail.
        Style::Json => serde_json::to_string_pretty(&hunted).unwrap_or_default() + "\n",
    })?;
    if let Some(failure) = outside.failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
        return Err(failure);
    }
    Ok(match tally.broken.is_empty() {
        false => Exit::Violated,
        true if watch::interrupted() => Exit::Interrupted,
        true => Exit::Clean,
    })
}

fn refused(number: u64, why: &str) -> Failure {
    Failure::Internal(format!("made-up scenario {number} makes no sense: {why}; please report it"))
}

/// The designs that are meant: that of each preset, or of the one that was typed, with the axes
/// that were typed.
fn designs(args: &Args) -> Result<Vec<Design>, Failure> {
    let typed = args.strategy.preset();
    let presets = Preset::ALL.iter().filter(|p| typed.is_none_or(|name| p.name == name));
    let design = |preset: &Preset| {
        let strategy = args.strategy.apply(preset.strategy)?;
        let differs = Strategy::AXES.iter().filter_map(|axis| {
            let value = strategy.get(axis.flag)?;
            let differs = preset.strategy.get(axis.flag) != Some(value);
            differs.then(|| (axis.flag.to_string(), value.to_string()))
        });
        Ok(Design { preset: preset.name.to_string(), differs: differs.collect() })
    };
    presets.map(design).collect()
}

/// The world outside of a hunt.
struct Outside<'a> {
    began: Instant,
    until: Option<Duration>,
    bar: ProgressBar,
    dir: Option<&'a Path>,
    failed: Mutex<Option<Failure>>,
}

impl Control for Outside<'_> {
    fn stop(&self, begun: u64) -> bool {
        let elapsed = self.began.elapsed();
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{} scenarios", grouped(begun)));
        }
        watch::interrupted() || self.until.is_some_and(|until| elapsed >= until)
    }

    fn found(&self, broken: &Broken, made: &Made) {
        let Some(dir) = self.dir else { return };
        if let Err(failure) = save(dir, broken, made) {
            self.failed.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(failure);
        }
    }
}

/// The file of a broken claim: the same for the same failure under the same design.
fn file(dir: &Path, broken: &Broken) -> PathBuf {
    findings::path(dir, "made", "made", broken.strategy, broken.signature)
}

/// Writes a broken claim as a scenario, made as simple as it gets while the claim is still made.
fn save(dir: &Path, broken: &Broken, made: &Made) -> Result<(), Failure> {
    let signature = broken.signature;
    let Ok(Made { loaded, .. }) = hunt::of(&made.loaded.scenario) else { return Ok(()) };
    let start = Judged::new(Sim::new(loaded.plan.clone(), loaded.strategy), Vec::new());
    let Some(moves) = simplify::search(&start, signature, 0, simplify::TRIES * 16) else {
        // It takes longer than that to come about; the number makes it again.
        return Ok(());
    };
    let same = |c: &scenario::Loaded| {
        hunt::of(&c.scenario).is_ok_and(|made| made.claims(signature.invariant))
    };
    let first = Failing { loaded, start, moves };
    let small = simplify::simplify_while(first, signature, same, |_| !watch::interrupted());
    let sim = small.start.sim();
    let result = simplify::scenario(&small.loaded.scenario, sim, &small.moves, signature);
    findings::save(&file(dir, broken), &result)
}

fn hunted(args: &Args, options: &Options, tally: &Tally) -> Hunted {
    let repeat = |number: u64| {
        let mut words = vec!["gupsim".to_string(), "fuzz".into(), "--generate".into()];
        words.extend(args.strategy.typed());
        if args.seed != 0 {
            words.extend(["--seed".into(), args.seed.to_string()]);
        }
        words.extend(["--number".into(), number.to_string()]);
        shell::join(&words)
    };
    let failed = |((signature, design), b): (&(_, String), &Broken)| {
        let signature: &crate::report::signature::Signature = signature;
        let file = args.out.as_deref().map(|dir| file(dir, b)).filter(|f| f.exists());
        Failed {
            invariant: signature.invariant(),
            between: signature.steps(),
            design: design.clone(),
            scenarios: b.scenarios,
            number: b.number,
            repeat: repeat(b.number),
            file: file.map(|f| f.display().to_string()),
        }
    };
    let claimed = |(i, tested): (usize, &u64)| Claimed {
        invariant: TABLE[i].name,
        tested: *tested,
        unclaimed: tally.unclaimed[i],
    };
    let of_table = tally.tested.iter().enumerate().take(TABLE.len());
    Hunted {
        format: FORMAT,
        seed: args.seed,
        scheduler: args.scheduler.name(),
        designs: options.designs.iter().map(Design::words).collect(),
        scenarios: tally.scenarios,
        runs: tally.runs,
        steps: tally.steps,
        claims: of_table.map(claimed).collect(),
        broken: tally.broken.iter().map(failed).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::strategy::claims::CLAIMS;
    use crate::schedule::{Kind, Params};

    #[test]
    fn a_broken_claim_becomes_a_scenario_that_fails() {
        let loaded = scenario::open("truncate/orphan-rdma").unwrap();
        let strategy = loaded.strategy;
        let start = Judged::new(Sim::new(loaded.plan.clone(), strategy), Vec::new());
        let options = fuzz::Options {
            kind: Kind::Random,
            params: Params { seed: 0, depth: 3, steps: None },
            runs: 200,
            steps: 2000,
            jobs: 1,
            check_every: 0,
            bytes: 1 << 20,
        };
        let tally = fuzz::fuzz(&start, &options, &());
        let (&signature, &run) = tally.kinds.first_key_value().unwrap();
        let broken = Broken { signature, strategy, number: 0, run, scenarios: 1 };
        let made = Made { loaded, claims: CLAIMS.iter().collect() };
        let dir = std::env::temp_dir().join(format!("gupsim-made-{}", std::process::id()));
        save(&dir, &broken, &made).unwrap();
        let path = file(&dir, &broken);
        let found = scenario::open(&path.display().to_string()).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(found.schedule.is_some_and(|s| !s.0.is_empty()));
        assert_eq!(found.scenario.expect[0].invariant.as_deref(), Some(signature.invariant()));
    }
}
