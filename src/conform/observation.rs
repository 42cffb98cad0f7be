//! What can be observed of a kernel after an operation, real or simulated.

use serde::Deserialize;

/// What was seen after one operation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Observation {
    /// What the operation returned.
    pub ret: i64,
    /// The name of its errno, SIGBUS or SIGSEGV; empty if there was none.
    pub err: String,
    /// What it read, or `blocked`.
    pub x: String,
    /// Minor faults of the touch itself.
    pub minflt: i64,
    /// Major ones.
    pub majflt: i64,
    /// Pages pinned during the step, in the whole machine.
    pub acq: i64,
    /// Pages unpinned.
    pub rel: i64,
    /// Size of the file.
    pub size: i64,
    /// Its blocks, of 512 bytes; none where it was not looked at.
    pub blocks: Option<i64>,
    /// The pages of the file.
    pub pages: Vec<FilePage>,
    /// The pages of the mappings.
    pub maps: Vec<Mapped>,
    /// The same of the child.
    pub child: Vec<Mapped>,
    /// The pages that are pinned or referenced.
    pub pins: Vec<Pinned>,
    /// Dirty memory of each slot in kB; absent while a background operation is pending.
    pub sd: Option<Vec<i64>>,
}

/// A page of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct FilePage {
    /// Whether mincore says that it is cached and uptodate.
    #[serde(rename = "in")]
    pub cached: u8,
    /// Cached, dirty tag, writeback tag as digits; `-1-1-1` where there is no cachestat.
    pub cs: String,
    /// Letter of the page; empty if it is not cached.
    pub id: String,
    /// Names of the page flags, joined by `|`.
    pub fl: String,
    /// Mapcount over all processes; -1 if unknown.
    pub mc: i64,
    /// Contents by read().
    pub pread: Option<String>,
    /// What the device holds; absent while a background operation is pending.
    pub disk: Option<String>,
}

/// A page of a mapping.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct Mapped {
    /// Slot.
    pub s: u32,
    /// Page inside it.
    pub p: u32,
    /// Bits of its pagemap entry.
    pub pm: String,
    /// Letter of the page; empty if none is mapped.
    pub id: String,
    /// Page flags, if present.
    pub fl: Option<String>,
    /// Mapcount, if present.
    pub mc: Option<i64>,
    /// Contents through the mapping, if present and readable.
    pub val: Option<String>,
}

/// A page that somebody holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct Pinned {
    /// Who: ureg, vms, pinw, pinr.
    pub k: String,
    /// Index in buffer or pipe.
    pub p: u32,
    /// Letter of the page.
    pub id: String,
    /// Page flags.
    pub fl: String,
    /// Mapcount.
    pub mc: i64,
    /// Contents as the holder reads them.
    pub val: Option<String>,
}

/// What was seen in the end, when everything had been released.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ended {
    /// Contents of the pages.
    pub content: Vec<String>,
    /// What a last fsync returned: `0` or an errno.
    pub fsync: String,
    /// Contents after that and after eviction.
    pub after_evict: Vec<String>,
    /// Pins that nobody released.
    pub outstanding_pins: i64,
}

/// One run of a sequence on a file system.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Run {
    /// The sequence.
    pub seq: String,
    /// The file system.
    pub fs: String,
    /// Each step with the text of its operation; the first is `init`.
    pub steps: Vec<(String, Observation)>,
    /// What was seen in the end; none if the run did not come so far.
    pub ended: Option<Ended>,
    /// The operation after the last step blocked for ever (TIMEOUT), or the run died (CRASH).
    pub broken: Option<String>,
}
