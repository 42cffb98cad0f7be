//! A line of a recording as it is written, and what it says of a step.

use crate::conform::observation::*;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Fields of a recording that are read over: no comparison looks at them. Every other field is
/// compared or says which step it is, and a name that is neither is refused.
pub const NOT_COMPARED: &[(&str, &str)] = &[
    ("meta", "marks the first line; the kernel on it says how far runs can be compared"),
    ("machine", "only x86-64 has been recorded"),
    ("time", "when the recording was made"),
    ("reps", "how often each sequence was run: each of the runs is there"),
    ("quiet", "how the recorder was called: what it did not look at is listed as not recorded"),
    ("seqs", "how many sequences the recorder was given: those without a run are listed"),
    ("lru", "flags of reclaim (of pages, mappings, pins): set later, in batches of a processor"),
    ("gq", "whether the gate holds writes: looked at beside the thread that takes them"),
    ("gr", "whether it holds I/O of the raw device, likewise"),
    ("status", "what a worker that died left to wait()"),
];

/// A line of a recording, whichever kind it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub kernel: Option<String>,
    pub seq: Option<String>,
    pub fs: Option<String>,
    #[serde(default)]
    pub rep: u32,
    pub step: Option<i64>,
    pub op: Option<String>,
    ret: Option<i64>,
    err: Option<String>,
    x: Option<String>,
    minflt: Option<i64>,
    majflt: Option<i64>,
    acq: Option<i64>,
    rel: Option<i64>,
    size: Option<i64>,
    blocks: Option<i64>,
    pages: Option<Vec<Page>>,
    maps: Option<Vec<Mapping>>,
    child: Option<Vec<Mapping>>,
    pins: Option<Vec<Pin>>,
    sd: Option<Vec<i64>>,
    content: Option<Vec<String>>,
    fsync: Option<String>,
    after_evict: Option<Vec<String>>,
    outstanding_pins: Option<i64>,
    #[serde(rename = "meta")]
    _meta: Option<IgnoredAny>,
    #[serde(rename = "machine")]
    _machine: Option<IgnoredAny>,
    #[serde(rename = "time")]
    _time: Option<IgnoredAny>,
    #[serde(rename = "reps")]
    _reps: Option<IgnoredAny>,
    #[serde(rename = "quiet")]
    _quiet: Option<IgnoredAny>,
    #[serde(rename = "seqs")]
    _seqs: Option<IgnoredAny>,
    #[serde(rename = "gq")]
    _gq: Option<IgnoredAny>,
    #[serde(rename = "gr")]
    _gr: Option<IgnoredAny>,
    #[serde(rename = "status")]
    _status: Option<IgnoredAny>,
}

/// A page of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(rename = "in")]
    cached: Option<u8>,
    cs: Option<String>,
    id: Option<String>,
    fl: Option<String>,
    mc: Option<i64>,
    pread: Option<String>,
    disk: Option<String>,
    #[serde(rename = "lru")]
    _lru: Option<IgnoredAny>,
}

/// A page of a mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    s: u32,
    p: u32,
    pm: Option<String>,
    id: Option<String>,
    fl: Option<String>,
    mc: Option<i64>,
    val: Option<String>,
    #[serde(rename = "lru")]
    _lru: Option<IgnoredAny>,
}

/// A page that somebody holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    k: String,
    p: u32,
    id: Option<String>,
    fl: Option<String>,
    mc: Option<i64>,
    val: Option<String>,
    #[serde(rename = "lru")]
    _lru: Option<IgnoredAny>,
}

/// Names of the fields that a row should have and has not.
#[derive(Default)]
struct Missing(Vec<String>);

impl Missing {
    /// A field that is always recorded.
    fn take<T: Default>(&mut self, name: &str, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            self.0.push(name.to_string());
            T::default()
        })
    }

    /// A field that is recorded if `here`.
    fn note<T>(&mut self, here: bool, name: &str, value: Option<T>) -> Option<T> {
        if here && value.is_none() {
            self.0.push(name.to_string());
        }
        value
    }

    fn page(&mut self, n: usize, page: Page, pending: bool) -> FilePage {
        let name = |field: &str| format!("pages[{n}].{field}");
        FilePage {
            cached: self.take(&name("in"), page.cached),
            cs: self.take(&name("cs"), page.cs),
            id: self.take(&name("id"), page.id),
            fl: self.take(&name("fl"), page.fl),
            mc: self.take(&name("mc"), page.mc),
            pread: self.note(true, &name("pread"), page.pread),
            disk: self.note(!pending, &name("disk"), page.disk),
        }
    }

    fn mapping(&mut self, kind: &str, page: Mapping) -> Mapped {
        let name = |field: &str| format!("{kind}[{}.{}].{field}", page.s, page.p);
        let pm = self.take(&name("pm"), page.pm);
        let present = pm.contains('P');
        Mapped {
            s: page.s,
            p: page.p,
            id: self.take(&name("id"), page.id),
            fl: self.note(present, &name("fl"), page.fl),
            mc: self.note(present, &name("mc"), page.mc),
            val: page.val,
            pm,
        }
    }

    fn pin(&mut self, pin: Pin) -> Pinned {
        let name = |field: &str| format!("pins[{}{}].{field}", pin.k, pin.p);
        Pinned {
            id: self.take(&name("id"), pin.id),
            fl: self.take(&name("fl"), pin.fl),
            mc: self.take(&name("mc"), pin.mc),
            val: pin.val,
            k: pin.k,
            p: pin.p,
        }
    }
}

impl Row {
    /// What the operation read, or `blocked`.
    pub fn x(&self) -> &str {
        self.x.as_deref().unwrap_or_default()
    }

    /// What a step showed; none if not even its result is there. `pending`: an operation in the
    /// background has not ended, and the recorder looks neither at the disk nor at smaps.
    pub fn observation(self, pending: bool) -> Option<Observation> {
        let (ret, err, x) = (self.ret?, self.err?, self.x?);
        let mut missing = Missing::default();
        let pages = missing.take("pages", self.pages).into_iter().enumerate();
        let pages = pages.map(|(n, page)| missing.page(n, page, pending)).collect();
        let mut of = |kind: &str, all: Option<Vec<Mapping>>| -> Vec<Mapped> {
            let all = missing.take(kind, all).into_iter();
            all.map(|page| missing.mapping(kind, page)).collect()
        };
        let (maps, child) = (of("maps", self.maps), of("child", self.child));
        let pins = missing.take("pins", self.pins).into_iter();
        let pins = pins.map(|pin| missing.pin(pin)).collect();
        Some(Observation {
            ret,
            err,
            x,
            minflt: missing.take("minflt", self.minflt),
            majflt: missing.take("majflt", self.majflt),
            acq: missing.take("acq", self.acq),
            rel: missing.take("rel", self.rel),
            size: missing.take("size", self.size),
            blocks: missing.note(true, "blocks", self.blocks),
            pages,
            maps,
            child,
            pins,
            sd: missing.note(!pending, "sd", self.sd),
            unrecorded: missing.0,
        })
    }

    /// What the end showed.
    pub fn ended(self) -> Ended {
        let mut missing = Missing::default();
        Ended {
            content: missing.take("content", self.content),
            fsync: missing.take("fsync", self.fsync),
            after_evict: missing.take("after_evict", self.after_evict),
            outstanding_pins: missing.take("outstanding_pins", self.outstanding_pins),
            unrecorded: missing.0,
        }
    }
}
