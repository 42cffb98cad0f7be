//! What can be observed of a kernel after an operation, real or simulated.

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
    /// Fields that nobody looked at, as the comparison calls them (`pages[0].disk`); `pages` stands
    /// for all of its own. What is in them means nothing.
    pub unrecorded: Vec<String>,
}

impl Observation {
    /// Whether nobody looked at a field, or at anything of what is called so.
    pub fn lacks(&self, field: &str) -> bool {
        self.unrecorded.iter().any(|name| covers(name, field) || covers(field, name))
    }
}

/// Text of a recording for a message: in one line, without control characters, not too long.
pub fn short(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Whether a field is another one or a part of it.
pub fn covers(whole: &str, field: &str) -> bool {
    field.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
}

/// A page of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FilePage {
    /// Whether mincore says that it is cached and uptodate.
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
#[derive(Clone, PartialEq, Eq, Debug, Default)]
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
#[derive(Clone, PartialEq, Eq, Debug, Default)]
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
    /// Fields that nobody looked at.
    pub unrecorded: Vec<String>,
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

impl Run {
    /// The sequence and where it ran, for a message.
    pub fn title(&self) -> String {
        format!("{} on {}", short(&self.seq), short(&self.fs))
    }
}
