//! `gupsim fuzz --generate`: made-up scenarios, and whether designs keep what they claim to keep.

use super::explore::Style;
use super::failure::Failure;
use super::fuzz::{Args, rates};
use super::strategy::StrategyFlags;
use super::{Exit, findings, out, setting, watch};
use crate::generate::hunt::{self, Broken, Control, Design, Made, Options, Tally};
use crate::judged::Judged;
use crate::kernel::invariant::TABLE;
use crate::kernel::sim::Sim;
use crate::kernel::strategy::{Preset, Strategy};
use crate::litmus::stats::interval_95;
use crate::report::data::Setting;
use crate::report::hunted::{Claimed, Earliest, FORMAT, Failed, Hunted};
use crate::report::json;
use crate::report::runs::Quickest;
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
/// Bytes that the set of a scenario's states may take.
const BYTES: usize = 1 << 26;
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
            bytes: BYTES,
            ..runs
        },
    };
    if let Some(number) = args.number {
        let made = hunt::make(args.seed, number, &options.designs);
        let Made { loaded, .. } = made.map_err(|e| refused(number, &e.to_string()))?;
        if let Some(run) = args.run {
            let setting = setting::of(&loaded, &StrategyFlags::default(), loaded.strategy);
            let repeat = repeat(args, number, Some(run));
            let scenario = format!("scenario {number}");
            let setting = Setting { scenario, seed: args.seed, repeat, ..setting };
            return super::fuzz::show(args, &loaded, loaded.strategy, &options.runs, setting);
        }
        out::print(&write::text(&loaded.scenario))?;
        return Ok(Exit::Clean);
    }
    if args.run.is_some() {
        return Err(Failure::usage("--run shows a run of one scenario", "say which: --number N"));
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
    out::say(&rates(tally.runs, tally.steps, outside.began.elapsed().as_secs_f64()));
    let hunted = hunted(args, &options, &tally);
    out::print(&match args.format {
        Style::Text => hunted.text(out::stdout_width()),
        Style::Json => json::document(&hunted),
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
    let Some(moves) = simplify::search(&start, signature, simplify::TRIES * 4) else {
        // It takes longer than that to come about; the number makes it again.
        return Ok(());
    };
    let same = |c: &scenario::Loaded| {
        hunt::of(&c.scenario).is_ok_and(|made| made.claims(signature.invariant))
    };
    let first = Failing { loaded, start, moves, timed: false };
    let small = simplify::simplify_while(first, signature, same, |_| !watch::interrupted());
    let sim = small.start.sim();
    let result = simplify::scenario(&small.loaded.scenario, sim, &small.moves, signature);
    findings::save(&file(dir, broken), &result)
}

/// The command that prints a scenario, or shows one of its runs.
fn repeat(args: &Args, number: u64, run: Option<u64>) -> Vec<String> {
    let mut words: Vec<String> = ["gupsim", "fuzz", "--generate"].map(String::from).to_vec();
    words.extend(super::fuzz::how(args));
    words.extend(["--number".into(), number.to_string()]);
    words.extend(run.into_iter().flat_map(|run| ["--run".to_string(), run.to_string()]));
    words
}

fn hunted(args: &Args, options: &Options, tally: &Tally) -> Hunted {
    let failed = |((signature, design), b): (&(_, String), &Broken)| {
        let signature: &crate::report::signature::Signature = signature;
        let file = args.out.as_deref().map(|dir| file(dir, b)).filter(|f| f.exists());
        Failed {
            invariant: signature.invariant(),
            between: signature.steps(),
            design: design.clone(),
            scenarios: b.scenarios,
            number: b.number,
            repeat: shell::join(&repeat(args, b.number, None)),
            file: file.map(|f| f.display().to_string()),
        }
    };
    let earliest = |(steps, number, run)| {
        let repeat = repeat(args, number, Some(run));
        Earliest { number, run: Quickest { run, steps, repeat } }
    };
    let claimed = |i: usize| Claimed {
        invariant: TABLE[i].name,
        reached: tally.reached[i],
        tested: tally.tested[i],
        broken: tally.failed[i],
        interval: interval_95(tally.failed[i], tally.tested[i]),
        quickest: tally.quickest[i].map(earliest),
        unclaimed: tally.unclaimed[i],
    };
    Hunted {
        format: FORMAT,
        seed: args.seed,
        scheduler: args.scheduler.name(),
        designs: options.designs.iter().map(Design::words).collect(),
        scenarios: tally.scenarios,
        runs: tally.runs,
        steps: tally.steps,
        states: tally.states,
        more_states: tally.full,
        checked: tally.checked,
        claims: (0..TABLE.len()).map(claimed).collect(),
        broken: tally.broken.iter().map(failed).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::strategy::Guard;
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

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_broken_claim_comes_with_its_share_and_the_line_that_shows_its_quickest_run() {
        let typed = ["fuzz", "--generate", "--seed", "3", "--preset", "linux-6.18"];
        let args = <Typed as clap::Parser>::parse_from(typed).args;
        let options = Options {
            seed: 3,
            scenarios: 60,
            designs: designs(&args).unwrap(),
            without: Some(Guard::MkwriteTruncated),
            jobs: 1,
            runs: fuzz::Options {
                kind: Kind::Random,
                params: Params { seed: 3, depth: 3, steps: None },
                runs: RUNS,
                steps: STEPS,
                jobs: 1,
                check_every: 0,
                bytes: BYTES,
            },
        };
        let tally = hunt::hunt(&options, &());
        let hunted = hunted(&args, &options, &tally);
        let lost = hunted.claims.iter().find(|c| c.broken > 0).unwrap();
        assert!(lost.interval.0 > 0.0 && lost.interval.1 < 1.0 && lost.broken <= lost.tested);
        let text = crate::report::paint::plain(&hunted.text(1000));
        let first = lost.quickest.as_ref().unwrap();
        let (number, run, after) = (first.number, first.run.run, first.run.steps);
        for part in [
            format!("{}: in {} of {} scenarios whose", lost.invariant, lost.broken, lost.tested),
            format!("; quickest: run {run} of scenario {number}, after {after} steps\n"),
            format!(
                " gupsim fuzz --generate --preset linux-6.18 --seed 3 --number {number} --run \
                 {run}\n"
            ),
            "         - claimed by linux-6.18, broken in ".to_string(),
        ] {
            assert!(text.contains(&part), "no {part:?} in:\n{text}");
        }
    }
}
