//! Puts designs through scenarios, on all processors, and the findings into one table.

use crate::cli::failure::Failure;
use crate::cli::scenarios::Opened;
use crate::cli::setting;
use crate::cli::strategy::StrategyFlags;
use crate::cli::watch::Crew;
use crate::compare::{self, Cell, Effort, Findings};
use crate::jobs;
use crate::kernel::invariant::TABLE;
use crate::kernel::sim::{Move, Sim};
use crate::kernel::strategy::Strategy;
use crate::kernel::world::price::{Price, Prices};
use crate::litmus::stats::interval_95;
use crate::report::comparison::{self, Comparison, PriceColumn, Refused, Row, Standing};
use crate::scenario::strategy as words;
use indexmap::IndexSet;

/// A design in a scenario.
#[derive(Clone, Copy, Debug)]
struct Place {
    design: usize,
    scenario: usize,
    strategy: Strategy,
}

/// What was found, and where.
#[derive(Debug)]
pub struct Found<'a> {
    scenarios: &'a [Opened],
    designs: Vec<String>,
    places: Vec<(Place, Findings)>,
    refused: Vec<Refused>,
    effort: Effort,
}

/// A run that breaks an invariant, and where.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The scenario.
    pub scenario: &'a Opened,
    /// The design in it.
    pub strategy: Strategy,
    /// The moves; empty if none was kept.
    pub moves: &'a [Move],
    /// Their number, and whether no run is shorter.
    pub steps: (usize, bool),
    /// Of so many runs so many broke it, if it was found by runs.
    hits: Option<(u64, u64)>,
}

/// Puts designs through scenarios.
///
/// # Errors
/// If no design makes sense in any of them.
pub fn find<'a>(
    scenarios: &'a [Opened],
    designs: Vec<String>,
    effort: Effort,
    workers: usize,
    crew: &Crew,
) -> Result<Found<'a>, Failure> {
    let (mut places, mut refused) = (Vec::new(), IndexSet::new());
    for (design, name) in designs.iter().enumerate() {
        for (scenario, opened) in scenarios.iter().enumerate() {
            match words::describe(name, opened.loaded.strategy) {
                Ok(strategy) => places.push(Place { design, scenario, strategy }),
                Err(problem) => {
                    refused.insert(Refused { design: name.clone(), why: problem.message });
                }
            }
        }
    }
    if places.is_empty() {
        let why = refused.first().map_or(String::new(), |r| r.why.clone());
        return Err(Failure::usage("none of these designs makes sense", why));
    }
    crew.expect(places.len());
    let mut found = jobs::map(&places, workers, |place| {
        let opened = &scenarios[place.scenario];
        crew.work(&opened.loaded.name, || {
            compare::search(&opened.loaded, place.strategy, &effort, crew)
        })
    });
    // Where some search was cut, what it left open is sampled by schedules that all share.
    let cut: Vec<(usize, Findings)> =
        found.iter().cloned().enumerate().filter(|(_, f)| !f.complete).collect();
    crew.expect(cut.len());
    let sampled = jobs::map(&cut, workers, |(n, findings)| {
        let (opened, mut findings) = (&scenarios[places[*n].scenario], findings.clone());
        crew.work(&opened.loaded.name, || {
            compare::sample(&opened.loaded, places[*n].strategy, &effort, crew, &mut findings);
        });
        findings
    });
    for ((n, _), findings) in cut.iter().zip(sampled) {
        found[*n] = findings;
    }
    let places = places.into_iter().zip(found).collect();
    let refused = refused.into_iter().collect();
    Ok(Found { scenarios, designs, places, refused, effort })
}

impl<'a> Found<'a> {
    /// What was found under a design: places are in the order of the designs, of which there may
    /// be very many.
    fn of(&self, design: usize) -> impl Iterator<Item = &(Place, Findings)> {
        let from = self.places.partition_point(|(place, _)| place.design < design);
        self.places[from..].iter().take_while(move |(place, _)| place.design == design)
    }

    /// Whether no search was cut.
    pub fn is_complete(&self) -> bool {
        self.places.iter().all(|(_, found)| found.complete)
    }

    /// The shortest run that breaks an invariant under a design, in any of the scenarios.
    pub fn shown(&self, design: usize, property: usize) -> Option<Shown<'_>> {
        let all = self.of(design).filter_map(|(place, found)| match &found.cells[property] {
            Cell::Refuted { steps, shortest, moves, hits } => Some(Shown {
                scenario: &self.scenarios[place.scenario],
                strategy: place.strategy,
                moves,
                steps: (*steps, *shortest),
                hits: *hits,
            }),
            _ => None,
        });
        // A run that can be replayed goes before one that was not kept.
        all.min_by_key(|shown| (shown.moves.is_empty(), shown.steps.0))
    }

    fn cell(&self, design: usize, property: usize) -> comparison::Cell {
        let mut cell = comparison::Cell {
            verdict: "vacuous",
            states: None,
            steps: None,
            shortest: None,
            scenario: None,
            replay: None,
            runs: None,
            interval: None,
        };
        if let Some(shown) = self.shown(design, property) {
            cell.verdict = "refuted";
            (cell.steps, cell.shortest) = (Some(shown.steps.0), Some(shown.steps.1));
            cell.scenario = Some(shown.scenario.loaded.name.clone());
            cell.runs = shown.hits.map(|(_, runs)| runs);
            cell.interval = shown.hits.map(|(hits, runs)| interval_95(hits, runs));
            cell.replay = (!shown.moves.is_empty()).then(|| {
                let flags = StrategyFlags::described(&self.designs[design]);
                let start = Sim::new(shown.scenario.loaded.plan.clone(), shown.strategy);
                setting::replay(&shown.scenario.name, &flags, &start, shown.moves)
            });
            return cell;
        }
        for (_, found) in self.of(design) {
            match &found.cells[property] {
                Cell::Bounded { runs } => {
                    // The scenario that was looked at least says how much is known.
                    if cell.runs.is_none_or(|least| *runs < least) {
                        cell.interval = found.cells[property].interval();
                        cell.runs = Some(*runs);
                    }
                    cell.verdict = "bounded";
                }
                Cell::Proved { states } if cell.verdict != "bounded" => {
                    cell.verdict = "proved";
                    cell.states = Some(cell.states.unwrap_or(0) + states);
                }
                _ => {}
            }
        }
        if cell.verdict == "bounded" {
            cell.states = None;
        }
        cell
    }

    /// What the timed runs of a design cost, each run over all scenarios.
    fn prices(&self, design: usize) -> Vec<Prices> {
        let runs = self.of(design).map(|(_, f)| f.prices.len()).filter(|&n| n > 0).min();
        let sum = |run: usize| {
            let mut all = Prices::default();
            self.of(design).filter_map(|(_, f)| f.prices.get(run)).for_each(|p| all.merge(p));
            all
        };
        (0..runs.unwrap_or(0)).map(sum).collect()
    }

    /// Everything in one table.
    pub fn table(&self) -> Comparison {
        let kept: Vec<usize> =
            (0..self.designs.len()).filter(|&d| self.of(d).next().is_some()).collect();
        let at_risk = |p: &usize| self.places.iter().any(|(_, found)| found.reached.has(*p));
        let columns = comparison::columns((0..TABLE.len()).filter(at_risk));
        let costs: Vec<Vec<Prices>> = kept.iter().map(|&d| self.prices(d)).collect();
        let costly = |p: &Price| costs.iter().flatten().any(|prices| prices.get(*p) > 0);
        let (paid, free): (Vec<Price>, Vec<Price>) = Price::ALL.iter().partition(|p| costly(p));
        let names: Vec<&str> = kept.iter().map(|&d| self.designs[d].as_str()).collect();
        let common = common(&names);
        let row = |(n, &design): (usize, &usize)| {
            let cells: Vec<comparison::Cell> =
                columns.iter().map(|c| self.cell(design, c.property)).collect();
            let spread = |&p: &Price| compare::spread(&costs[n], p).into();
            Row {
                design: self.designs[design][common.len()..].to_string(),
                groups: comparison::groups(&columns, &cells),
                cells,
                prices: paid.iter().map(spread).collect(),
                standing: Standing::of(self.of(design).map(|(place, _)| place.strategy)),
            }
        };
        let rows = kept.iter().enumerate().map(row).collect();
        let priced = |&of: &Price| PriceColumn { of, price: of.name(), harm: of.is_harm() };
        Comparison {
            format: comparison::FORMAT,
            scenarios: self.scenarios.iter().map(|o| o.loaded.name.clone()).collect(),
            common: common.to_string(),
            rows,
            columns,
            prices: paid.iter().map(priced).collect(),
            free: free.iter().map(|p| p.name()).collect(),
            runs: costs.iter().map(|runs| runs.len() as u64).min().unwrap_or(0),
            refused: self.refused.clone(),
            notes: self.notes(),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let begun = |found: &Findings| found.complete || !found.prices.is_empty();
        let unbegun = self.places.iter().filter(|(_, found)| !begun(found)).count();
        if unbegun > 0 && self.effort.runs > 0 {
            notes.push(format!(
                "it ended early: {unbegun} of {} searches were cut before their timed runs: prices \
                 cannot be compared",
                self.places.len()
            ));
        }
        for (n, opened) in self.scenarios.iter().enumerate() {
            let here = || self.places.iter().filter(|(p, _)| p.scenario == n);
            let cut = here().filter(|(_, f)| !f.complete).count();
            let all = here().count();
            if cut > 0 && opened.loaded.limits().runs.is_none() {
                notes.push(format!(
                    "{}: {cut} of {all} searches were cut; what they left open was sampled by up \
                     to {} schedules, the same for every design",
                    opened.loaded.name, self.effort.schedules
                ));
            } else if cut > 0 {
                notes.push(format!(
                    "{} is too large to be searched: it was run, the same runs for every design",
                    opened.loaded.name
                ));
            }
        }
        notes
    }
}

/// The designs that make sense in any of the scenarios: the rows of their table.
pub fn kept(scenarios: &[Opened], designs: &[String]) -> Vec<String> {
    let fits = |design: &&String| {
        scenarios.iter().any(|opened| words::describe(design, opened.loaded.strategy).is_ok())
    };
    designs.iter().filter(fits).cloned().collect()
}

/// What all names begin with, up to the end of a word or of the name of an axis.
pub fn common<'a>(names: &[&'a str]) -> &'a str {
    let (Some(first), true) = (names.first(), names.len() > 1) else { return "" };
    let shared = |n: usize| names.iter().all(|name| name.get(..n) == first.get(..n));
    let ends = first.char_indices().filter(|(_, c)| matches!(c, ' ' | '=')).map(|(i, _)| i + 1);
    let family = first.starts_with("linux-").then_some("linux-".len());
    let longest = ends.chain(family).filter(|&n| shared(n)).max().unwrap_or(0);
    &first[..longest]
}

#[cfg(test)]
mod tests {
    use super::common;

    #[test]
    fn what_names_share_ends_with_a_word() {
        assert_eq!(common(&["linux-4.14", "linux-4.19"]), "linux-");
        assert_eq!(common(&["linux-6.18 pin=none", "linux-6.18 pin=folio"]), "linux-6.18 pin=");
        assert_eq!(common(&["pin=page-counter", "pin=page-private"]), "pin=");
        assert_eq!(common(&["linux-6.18"]), "");
    }
}
