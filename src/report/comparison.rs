//! Designs side by side, as data: a row for each design, a verdict for each invariant that was at
//! risk anywhere, and prices.

use crate::kernel::invariant::{Hurt, TABLE};
use crate::kernel::strategy::Strategy;
use crate::kernel::world::price::Price;
use serde::Serialize;

/// Version of the shape of the JSON document; a field that changes its meaning bumps it.
pub const FORMAT: u32 = 1;

/// A comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// [`FORMAT`].
    pub format: u32,
    /// The scenarios that every design was put through.
    pub scenarios: Vec<String>,
    /// What is the same of every design's name, and left out of them; empty if nothing is.
    pub common: String,
    /// The invariants that were at risk under some design, grouped by who is hurt.
    pub columns: Vec<Column>,
    /// The prices that are not zero everywhere.
    pub prices: Vec<PriceColumn>,
    /// Prices that are zero under every design.
    pub free: Vec<&'static str>,
    /// Timed runs of each scenario from which prices are taken; 0: none.
    pub runs: u64,
    /// The designs.
    pub rows: Vec<Row>,
    /// Combinations of values that make no sense.
    pub refused: Vec<Refused>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// A column of verdicts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Column {
    /// Its place in the table of invariants.
    #[serde(skip)]
    pub property: usize,
    /// The invariant.
    pub invariant: &'static str,
    /// Who is hurt first when it breaks.
    pub hurts: &'static str,
}

/// A column of prices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct PriceColumn {
    /// What is counted.
    #[serde(skip)]
    pub of: Price,
    /// Its name.
    pub price: &'static str,
    /// Whether it is harm done by refusing or by making wait.
    pub harm: bool,
}

/// A design.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub design: String,
    /// For each group of invariants, in the order of the columns, what they say together.
    pub groups: Vec<Group>,
    /// For each column of verdicts.
    pub cells: Vec<Cell>,
    /// For each column of prices: least, median, greatest of the runs.
    pub prices: Vec<[u64; 3]>,
    /// What no run can count.
    pub standing: Standing,
}

/// What a design costs before anybody pins anything, and what it asks of others.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Standing {
    /// Bytes that it adds to every `struct page`.
    pub page_bytes: u32,
    /// Bytes for each pinned page while it is pinned.
    pub pinned_bytes: u32,
    /// Whether who waits for the last pin can be told who holds it.
    pub names_holder: bool,
    /// What filesystems (and those who clear `page->mapping`) have to do for it.
    pub filesystem: Vec<&'static str>,
    /// What drivers have to do for it.
    pub driver: Vec<&'static str>,
    /// As what an administrator sees that somebody waits.
    pub visible: Vec<&'static str>,
}

impl Standing {
    /// The facts about a design, which may be several strategies: its values on what it leaves
    /// open come from the scenarios.
    pub fn of(strategies: impl Iterator<Item = Strategy>) -> Standing {
        let mut all = Standing::default();
        for strategy in strategies {
            let pin = strategy.standing();
            all.page_bytes = all.page_bytes.max(pin.page_bytes);
            all.pinned_bytes = all.pinned_bytes.max(pin.pinned_bytes);
            all.names_holder |= pin.names_holder;
            add(&mut all.filesystem, pin.hooks);
            for truncate in [strategy.truncate, strategy.truncate_dax] {
                let demands = truncate.demands();
                add(&mut all.filesystem, demands.filesystem);
                add(&mut all.driver, demands.driver);
                add(&mut all.visible, demands.visible.as_slice());
            }
        }
        all
    }
}

/// Adds what is not there yet.
fn add(to: &mut Vec<&'static str>, texts: &[&'static str]) {
    for text in texts {
        if !to.contains(text) {
            to.push(text);
        }
    }
}

/// What the invariants of one group say together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Group {
    /// Who is hurt.
    pub hurts: &'static str,
    /// `safe` (all proved), `hurt` (one refuted), `open` (one undecided), `not-tried`.
    pub verdict: &'static str,
    /// Invariants that are refuted.
    pub refuted: usize,
    /// Invariants that were at risk.
    pub tried: usize,
}

/// A verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// `proved`, `refuted`, `bounded` or `vacuous`.
    pub verdict: &'static str,
    /// Of `proved`: states in which it holds, all scenarios together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub states: Option<u64>,
    /// Of `refuted`: length of the shortest run that breaks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Of `refuted`: whether none is shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortest: Option<bool>,
    /// Of `refuted`: the scenario of that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The command that replays it, word by word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<Vec<String>>,
    /// Of `bounded`, or if it was sampled: the number of runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<u64>,
    /// And the 95% interval of the probability that a run breaks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
}

/// A combination of values that makes no sense.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct Refused {
    /// The design.
    pub design: String,
    /// Why.
    pub why: String,
}

/// The columns for these properties, grouped by who is hurt.
pub fn columns(properties: impl Iterator<Item = usize>) -> Vec<Column> {
    let column = |property: usize| Column {
        property,
        invariant: TABLE[property].name,
        hurts: TABLE[property].hurts.name(),
    };
    let mut columns: Vec<Column> = properties.map(column).collect();
    columns.sort_by_key(|c| (TABLE[c.property].hurts, c.property));
    columns
}

/// What each group of columns says together in a row.
pub fn groups(columns: &[Column], cells: &[Cell]) -> Vec<Group> {
    let group = |hurt: Hurt| {
        let of = columns.iter().zip(cells).filter(|(c, _)| c.hurts == hurt.name());
        let count = |word: &str| of.clone().filter(|(_, cell)| cell.verdict == word).count();
        let (refuted, bounded, proved) = (count("refuted"), count("bounded"), count("proved"));
        let verdict = match (refuted, bounded, proved) {
            (1.., ..) => "hurt",
            (0, 1.., _) => "open",
            (0, 0, 1..) => "safe",
            (0, 0, 0) => "not-tried",
        };
        Group { hurts: hurt.name(), verdict, refuted, tried: refuted + bounded + proved }
    };
    Hurt::ALL.into_iter().map(group).collect()
}

impl Comparison {
    /// As one JSON document.
    pub fn json(&self) -> String {
        super::json::document(self)
    }

    /// As CSV: a line for each design, a field for each verdict, number of the verdict, and price.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut out = csv::Writer::from_writer(Vec::new());
        let mut head = vec!["design".to_string()];
        head.extend(Hurt::ALL.iter().map(|h| h.name().to_string()));
        for column in &self.columns {
            head.push(column.invariant.to_string());
            head.push(format!("{} of", column.invariant));
        }
        for price in &self.prices {
            head.extend(["min", "median", "max"].map(|which| format!("{} {which}", price.price)));
        }
        let asks = ["asks-filesystem", "asks-driver", "visible"];
        head.extend(["page-bytes", "pinned-bytes", "names-holder"].map(String::from));
        head.extend(asks.map(String::from));
        out.write_record(&head)?;
        for row in &self.rows {
            let mut fields = vec![format!("{}{}", self.common, row.design)];
            fields.extend(row.groups.iter().map(|g| g.verdict.to_string()));
            for cell in &row.cells {
                fields.push(cell.verdict.to_string());
                let number = cell.steps.map(|n| n as u64).or(cell.states).or(cell.runs);
                fields.push(number.map(|n| n.to_string()).unwrap_or_default());
            }
            fields.extend(row.prices.iter().flatten().map(u64::to_string));
            let standing = &row.standing;
            fields.extend([standing.page_bytes, standing.pinned_bytes].map(|n| n.to_string()));
            fields.push(standing.names_holder.to_string());
            let asks = [&standing.filesystem, &standing.driver, &standing.visible];
            fields.extend(asks.map(|texts| texts.join("; ")));
            out.write_record(&fields)?;
        }
        let bytes = out.into_inner().map_err(|e| e.into_error())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
