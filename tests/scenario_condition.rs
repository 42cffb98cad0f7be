//! Conditions over final states: what they ask, how they bind, what holds of things that are not
//! there.

use gupsim::kernel::world::ids::*;
use gupsim::kernel::world::plan::Part;
use gupsim::scenario::condition::{Contents, Fact, FinalState, Of, Quantity};
use gupsim::scenario::{condition, load};

/// A final state of the scenario below: the NIC's bytes are in the first half of the cached page,
/// the disk has the initial contents; fsync returned 0, the truncation has not ended.
struct State;

const DMA: OpId = OpId(4);
const SYNC: OpId = OpId(5);

impl FinalState for State {
    fn contents(&self, of: Of, part: Part) -> Contents {
        match (of, part) {
            (Of::Page(FilePage(0)), (0, 2048)) => Contents::By(DMA),
            (Of::Page(FilePage(0)), (2048, 4096)) => Contents::Initial,
            (Of::Page(FilePage(0)), _) => Contents::Mixed,
            (Of::Disk(_), _) => Contents::Initial,
            _ => Contents::Absent,
        }
    }

    fn errno(&self, op: OpId) -> Option<i32> {
        (op == SYNC).then_some(0)
    }

    fn number(&self, of: Quantity) -> Option<i64> {
        match of {
            Quantity::Size(_) => Some(8192),
            Quantity::Refcount(FilePage(0)) => Some(3),
            _ => None,
        }
    }

    fn holds(&self, fact: Fact) -> bool {
        matches!(fact, Fact::Cached(FilePage(0)) | Fact::Done(SYNC) | Fact::Finished(Actor(1)))
    }
}

fn met(text: &str) -> bool {
    let loaded = load::text(
        "test",
        r#"{
            "title": "t",
            "files": { "data": { "pages": 2 } },
            "mappings": { "buf": { "file": "data" } },
            "devices": { "nic": {} },
            "threads": {
                "app": { "do": [
                    { "register": { "at": "buf[0]" } },
                    { "label": "trunc", "truncate": { "file": "data", "pages": 1 } }
                ] },
                "nic": { "kind": "device", "do": [{ "label": "dma", "dma_write": "mr[0]" }] },
                "flusher": { "kind": "kernel", "do": [{ "label": "sync", "fsync": "data" }] }
            }
        }"#,
    )
    .unwrap_or_else(|problems| panic!("{}", problems.plain(100)));
    let parsed = condition::parse(text, &loaded.plan, &loaded.tables);
    parsed.unwrap_or_else(|problem| panic!("{text}: {problem:?}")).met(&State)
}

#[test]
fn contents_are_compared_with_who_wrote_them() {
    assert!(met("page data[0].first-half = dma"));
    assert!(met("page data[0].second-half = initial"));
    assert!(met("page data[0] = mixed"));
    assert!(met("disk data[1] != dma"));
    assert!(met("page data[1] = none"));
    assert!(met("read trunc = none && remote dma = none"));
}

#[test]
fn and_binds_stronger_than_or_and_not_strongest() {
    assert!(met("crashed && crashed || done sync"));
    assert!(!met("crashed && (crashed || done sync)"));
    assert!(met("!crashed && done sync"));
    assert!(!met("!(crashed || done sync)"));
    assert!(met("!!done sync"));
    assert!(met("finished nic && cached data[0] && !dirty data[0]"));
}

#[test]
fn what_is_not_there_is_equal_to_nothing() {
    assert!(met("errno sync = 0 && errno sync = OK"));
    assert!(!met("errno trunc = 0"), "it has not ended");
    assert!(!met("errno trunc = EBUSY"));
    assert!(met("errno trunc != 0"));
    assert!(!met("refcount data[1] < 99"));
    assert!(!met("refcount data[1] = 0"));
    assert!(met("refcount data[1] != 0"));
}

#[test]
fn numbers_have_an_order() {
    for good in ["= 3", "!= 4", "< 4", "<= 3", "> 2", ">= 3", "== 3"] {
        assert!(met(&format!("refcount data[0] {good}")), "{good}");
    }
    for bad in ["= 4", "!= 3", "< 3", "<= 2", "> 3", ">= 4", "= -3"] {
        assert!(!met(&format!("refcount data[0] {bad}")), "{bad}");
    }
    assert!(met("size data = 8192 && result sync != 1"));
}
