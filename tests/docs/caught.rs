//! What the recordings of Linux 6.18 say of a model from which something has been taken away.

use gupsim::conform::record::{self, Recording};
use gupsim::conform::report::{self, Fate, Filter};
use gupsim::conform::sequence::Suite;
use gupsim::conform::source::Simulator;
use gupsim::conform::{bundled, read};
use gupsim::kernel::strategy::*;

/// Rules of the model that are values of axes: what they say in 6.18, and otherwise.
fn others(s: Strategy) -> Vec<(&'static str, Strategy)> {
    vec![
        ("`unpin=plain`: no re-dirty on unpin", Strategy { unpin: Unpin::Plain, ..s }),
        ("`truncate=wait-unlocked`: truncate waits for pins", {
            Strategy { truncate: Truncate::WaitUnlocked, ..s }
        }),
        ("`truncate-dax=ignore`: it never waits", {
            Strategy { truncate_dax: Truncate::Ignore, ..s }
        }),
        ("`dax-orphan=ignore`: not for unmapped references", {
            Strategy { dax_orphan: DaxOrphan::Ignore, ..s }
        }),
        ("`fork=share`: fork shares pinned pages", Strategy { fork: Fork::Share, ..s }),
        ("`cow-reuse=mapcount`: no PageAnonExclusive", {
            Strategy { cow_reuse: CowReuse::Mapcount, ..s }
        }),
        ("`dio-ref=get`: direct I/O pins nothing", Strategy { dio_ref: DioRef::Get, ..s }),
        ("`longterm=allow`: for everybody", Strategy { longterm: Longterm::Allow, ..s }),
        ("`eof-tail=keep`: growing zeroes nothing", Strategy { eof_tail: EofTail::Keep, ..s }),
    ]
}

/// How many recorded runs a model does not predict that 6.18 does predict, and the first of them.
fn caught(all: &[(&str, Suite, Recording)], strategy: Strategy, known: &[String]) -> Vec<String> {
    let (filter, simulator) = (Filter::default(), Simulator { strategy });
    let runs = all.iter().flat_map(|(n, suite, r)| report::runs(n, suite, r, &simulator, &filter));
    let wrong = runs.filter(|run| run.fate == Fate::Mismatched);
    let names = wrong.map(|run| format!("{} on {}", run.seq, run.fs));
    names.filter(|name| !known.contains(name)).collect()
}

/// The table, as Markdown.
pub fn table() -> String {
    let all: Vec<_> = bundled::ALL.iter().filter(|b| b.name.contains("6.18")).map(load).collect();
    let linux = Preset::find("linux-6.18").unwrap().strategy;
    let known = caught(&all, linux, &[]);
    let guards = Guard::ALL.iter().map(|&g| {
        let what = if g == Guard::PinWriteFault { ": no dirty on pin" } else { "" };
        (format!("`{}`{what}", g.name()), Strategy { without: Some(g), ..linux })
    });
    let values = others(linux).into_iter().map(|(what, s)| (what.to_string(), s));
    let mut lines =
        "| without, or instead | runs that differ | the first |\n|---|---|---|\n".to_string();
    for (what, strategy) in values.chain(guards) {
        let found = caught(&all, strategy, &known);
        let first = found.first().map_or("-", String::as_str);
        lines += &format!("| {what} | {} | {first} |\n", found.len());
    }
    lines
}

fn load(bundled: &bundled::Bundled) -> (&'static str, Suite, Recording) {
    let suite = read::suite(bundled.suite, bundled.sequences).unwrap();
    let text = record::unpack(bundled.name, bundled.recording).unwrap();
    (bundled.name, suite, record::recording(bundled.name, &text).unwrap())
}
