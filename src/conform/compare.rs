//! What of two observations of the same step has to agree, and how far two runs can be compared.
//!
//! The rules are those of the recordings' specification ("What to compare"). Nothing here knows
//! where an observation comes from.

use super::observation::*;
use super::sequence::{Fadvice, Gate, Madvice, Op, Sequence};
use std::collections::BTreeMap;

/// Page flags that are compared.
const FLAGS: &[&str] = &[
    "UPTODATE",
    "DIRTY",
    "WRITEBACK",
    "MMAP",
    "ANON",
    "SWAPBACKED",
    "MLOCKED",
    "ZERO_PAGE",
    "PRIVATE",
];

/// What its source says of a step, as regards comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Remark {
    /// The outcome depends on timing from here on: a fault on an uncached hole beside an uncached
    /// page that has a block (its read-around may be in flight).
    pub races: bool,
    /// A background operation can go on, and nobody has waited for it yet.
    pub finishing: bool,
}

/// A field that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The step.
    pub step: usize,
    /// Its operation.
    pub op: String,
    /// The field.
    pub field: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

/// How two runs compare.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparison {
    /// Steps compared, the end included.
    pub steps: usize,
    /// Fields compared.
    pub fields: usize,
    /// Fields that would be compared if the first run had them, by name without indices.
    pub unrecorded: BTreeMap<String, usize>,
    /// Steps that are not to be compared.
    pub skipped: usize,
    /// The sequence has a race that may end in either of two ways; this is how it ended.
    pub either: bool,
    /// From this step on the outcome depends on timing, and why.
    pub stopped: Option<(usize, &'static str)>,
    /// What differs in the first step in which anything does.
    pub mismatches: Vec<Mismatch>,
}

/// What can be seen on a file system of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The file system.
    pub fs: &'a str,
    /// Version of the kernel.
    pub kernel: (i64, i64),
    /// The file gets blocks that other files have had.
    pub used: bool,
    /// PG_private is looked at.
    pub private: bool,
}

impl View<'_> {
    /// Everything that the newest kernel shows of a file in blocks that nobody has had before.
    pub fn of(fs: &str) -> View<'_> {
        View { fs, kernel: (i64::MAX, 0), used: false, private: true }
    }

    /// Whether a read that must not wait (RWF_NOWAIT) starts no I/O either (IOCB_NOIO), and so
    /// refuses a page with PG_readahead, which is PG_reclaim (`filemap_readahead`; the flag went
    /// with "mm: allow read-ahead with IOCB_NOWAIT set", 6.12).
    pub fn no_io(self) -> bool {
        self.kernel < (6, 12)
    }

    fn is_dax(self) -> bool {
        self.fs.starts_with("dax")
    }

    /// Whether the file lives in memory only.
    fn is_ram(self) -> bool {
        self.is_dax() || matches!(self.fs, "tmpfs" | "memfd")
    }

    /// Whether there is a device under the file, which may hold something else than its pages.
    fn has_disk(self) -> bool {
        !matches!(self.fs, "tmpfs" | "memfd")
    }

    /// Whether pages cannot be looked at well while a background operation is pending.
    fn is_blind(self) -> bool {
        self.is_dax() || self.kernel < (6, 5)
    }
}

/// What of a step is compared.
#[derive(Clone, Copy, Debug)]
struct Scope {
    /// The result of the operation only.
    result_only: bool,
    /// SWAPBACKED: not after MADV_FREE, which a per-processor batch delays.
    swapbacked: bool,
    /// Dirtiness and writeback of file pages: not while a failing write may be in flight.
    writeback: bool,
    /// Identity and contents of file pages.
    pages: bool,
    /// What the device holds, if there is one.
    disk: bool,
    /// Minor faults: not of the child's failed touches.
    minflt: bool,
    /// PG_private.
    private: bool,
}

/// Compares two runs of a sequence up to where the outcome depends on timing, or to the first step
/// in which they differ. `remarks` are those of the second.
pub fn compare(
    sequence: &Sequence,
    view: View,
    expected: &Run,
    found: &Run,
    remarks: &[Remark],
) -> Comparison {
    let mut result = Comparison::default();
    let (mut freed, mut failing) = (false, false);
    for (n, (op, seen)) in expected.steps.iter().enumerate() {
        let line = n.checked_sub(1).and_then(|n| sequence.lines.get(n)).map(|l| &l.op);
        freed |= matches!(line, Some(Op::Madvise { advice: Madvice::Free, .. }));
        failing = match line {
            Some(Op::Sfr { write: true, after: false, .. }) if eio(sequence, n) => true,
            Some(Op::Sleep { .. } | Op::Fsync { .. }) => false,
            _ => failing,
        };
        let Some((_, other)) = found.steps.get(n) else {
            let blocked = found.broken.clone().unwrap_or_default();
            result.mismatches.push(differs(n, op, "step", "it returns", &blocked));
            return result;
        };
        let remark = remarks.get(n).copied().unwrap_or_default();
        let before = n.checked_sub(1).map(|n| &expected.steps[n].1);
        let stop = stops(line, view, before, remark);
        if remark.finishing && stop.is_none() {
            result.skipped += 1;
            continue;
        }
        let scope = Scope {
            result_only: stop.is_some(),
            swapbacked: !freed,
            writeback: !failing,
            // While something is pending nobody looks at smaps.
            pages: seen.sd.is_some() || seen.lacks("sd") || !view.is_blind(),
            disk: view.has_disk(),
            private: view.private,
            minflt: !(seen.ret < 0
                && matches!(
                    line,
                    Some(Op::Load { child: true, .. } | Op::Store { child: true, .. })
                )),
        };
        result.steps += 1;
        let (a, b) = (fields(seen, scope), fields(other, scope));
        result.mismatches = result.differences(n, op, a, b, &seen.unrecorded);
        if !result.mismatches.is_empty() {
            return result;
        }
        if let Some(why) = stop {
            result.stopped = Some((n, why));
            return result;
        }
    }
    ends(&mut result, expected, found);
    result
}

/// The first step of a run after which its outcome depends on timing; what that step itself
/// returns does not. `remarks` are the simulator's.
pub fn stops_at(sequence: &Sequence, view: View, run: &Run, remarks: &[Remark]) -> Option<usize> {
    (1..run.steps.len()).find(|&n| {
        let line = sequence.lines.get(n - 1).map(|line| &line.op);
        let remark = remarks.get(n).copied().unwrap_or_default();
        stops(line, view, Some(&run.steps[n - 1].1), remark).is_some()
    })
}

/// Whether writes of the file system fail when a step is made.
fn eio(sequence: &Sequence, step: usize) -> bool {
    let mut gates = sequence.lines[..step].iter().filter_map(|line| match line.op {
        Op::Gate(gate @ (Gate::Eio | Gate::Ok)) => Some(gate),
        _ => None,
    });
    gates.next_back() == Some(Gate::Eio)
}

/// Why nothing after this step can be compared, if so.
fn stops(
    line: Option<&Op>,
    view: View,
    before: Option<&Observation>,
    remark: Remark,
) -> Option<&'static str> {
    if remark.races {
        return Some("a fault on a hole while a read-around may be in flight");
    }
    let evicts = matches!(line, Some(Op::Fadvise { advice: Fadvice::DontNeed, .. }));
    let tagged = |cs: &str| !cs.starts_with('-') && cs.as_bytes().get(1) == Some(&b'1');
    let dirty = |p: &FilePage| has(&p.fl, "DIRTY") || tagged(&p.cs);
    let any = before.is_some_and(|seen| seen.pages.iter().any(dirty));
    (evicts && any && !view.is_ram()).then_some("eviction beside the writeback that it starts")
}

fn has(flags: &str, flag: &str) -> bool {
    flags.split('|').any(|f| f == flag)
}

fn differs(step: usize, op: &str, field: &str, expected: &str, found: &str) -> Mismatch {
    Mismatch {
        step,
        op: op.to_string(),
        field: field.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

/// A field: what it is called, and what it is.
type Field = (String, String);

/// What stands where nobody could look: no device that could be read, no cachestat.
fn is_unseen(name: &str, value: &str) -> bool {
    name.ends_with(".disk") && value.is_empty() || name.ends_with(".cs") && value.starts_with("-1")
}

/// The name of a field without its indices.
fn plain(name: &str) -> String {
    match (name.find('['), name.find(']')) {
        (Some(from), Some(to)) => format!("{}{}", &name[..from], &name[to + 1..]),
        _ => name.to_string(),
    }
}

impl Comparison {
    /// What differs in a step. What the first run has not seen (`unrecorded`, or because nobody
    /// could) is counted and left out.
    fn differences(
        &mut self,
        step: usize,
        op: &str,
        mut a: Vec<Field>,
        mut b: Vec<Field>,
        unrecorded: &[String],
    ) -> Vec<Mismatch> {
        let blind: Vec<String> =
            a.iter().filter(|(name, value)| is_unseen(name, value)).map(|f| f.0.clone()).collect();
        let lacks = |name: &str| {
            unrecorded.iter().any(|whole| covers(whole, name)) || blind.iter().any(|n| n == name)
        };
        a.retain(|(name, _)| !lacks(name));
        b.retain(|(name, value)| {
            let left_out = lacks(name);
            if left_out && !is_unseen(name, value) {
                *self.unrecorded.entry(plain(name)).or_default() += 1;
            }
            !left_out
        });
        self.fields += a.len();
        let mut found = Vec::new();
        for (name, expected) in &a {
            match b.iter().find(|(other, _)| other == name) {
                Some((_, value)) if value == expected => {}
                Some((_, value)) => found.push(differs(step, op, name, expected, value)),
                None => found.push(differs(step, op, name, expected, "nothing")),
            }
        }
        let more = b.iter().filter(|(name, _)| !a.iter().any(|(other, _)| other == name));
        found.extend(more.map(|(name, value)| differs(step, op, name, "nothing", value)));
        found
    }
}

/// The end of a run.
fn ends(result: &mut Comparison, expected: &Run, found: &Run) {
    let step = expected.steps.len();
    let name = |run: &Run| run.broken.clone().unwrap_or_else(|| "it goes on".to_string());
    if expected.broken.is_some() || found.broken.is_some() {
        result.steps += 1;
        result.fields += 1;
        if name(expected) != name(found) {
            let op = "the next operation";
            result.mismatches.push(differs(step, op, "end", &name(expected), &name(found)));
        }
        return;
    }
    let all = |run: &Run| -> Vec<Field> {
        let Some(ended) = &run.ended else { return Vec::new() };
        let list = |name: &str, all: &[String]| -> Vec<Field> {
            let named = all.iter().enumerate();
            named.map(|(n, value)| (format!("{name}[{n}]"), value.clone())).collect()
        };
        let mut fields = list("content", &ended.content);
        fields.extend(list("after_evict", &ended.after_evict));
        fields.push(("fsync".to_string(), ended.fsync.clone()));
        fields.push(("outstanding_pins".to_string(), ended.outstanding_pins.to_string()));
        fields
    };
    let unrecorded = expected.ended.as_ref().map_or(&[][..], |ended| &ended.unrecorded);
    result.steps += 1;
    result.mismatches = result.differences(step, "final", all(expected), all(found), unrecorded);
}

/// The fields of an observation that are compared, in a fixed order.
fn fields(seen: &Observation, scope: Scope) -> Vec<Field> {
    let mut out: Vec<Field> = Vec::with_capacity(64);
    let mut put = |name: String, value: String| out.push((name, value));
    put("ret".into(), seen.ret.to_string());
    put("err".into(), seen.err.clone());
    put("x".into(), seen.x.clone());
    if scope.minflt {
        put("minflt".into(), seen.minflt.to_string());
    }
    put("majflt".into(), seen.majflt.to_string());
    put("acq".into(), seen.acq.to_string());
    put("rel".into(), seen.rel.to_string());
    if scope.result_only {
        return out;
    }
    put("size".into(), seen.size.to_string());
    if let Some(blocks) = seen.blocks {
        put("blocks".into(), blocks.to_string());
    }
    for (n, page) in seen.pages.iter().enumerate() {
        file_page(&mut put, n, page, scope);
    }
    for (kind, pages) in [("maps", &seen.maps), ("child", &seen.child)] {
        for page in pages {
            mapped(&mut put, kind, page, scope);
        }
    }
    for pin in &seen.pins {
        let name = format!("pins[{}{}]", pin.k, pin.p);
        put(format!("{name}.id"), pin.id.clone());
        put(format!("{name}.fl"), flags(&pin.fl, scope));
        put(format!("{name}.mc"), pin.mc.to_string());
        put(format!("{name}.val"), pin.val.clone().unwrap_or_default());
    }
    for (n, kb) in seen.sd.iter().flatten().enumerate() {
        put(format!("sd[{n}]"), kb.to_string());
    }
    out
}

fn file_page(put: &mut impl FnMut(String, String), n: usize, page: &FilePage, scope: Scope) {
    let name = format!("pages[{n}]");
    if scope.pages {
        put(format!("{name}.in"), page.cached.to_string());
        put(format!("{name}.id"), page.id.clone());
        put(format!("{name}.fl"), flags(&page.fl, scope));
        put(format!("{name}.mc"), page.mc.to_string());
        put(format!("{name}.pread"), page.pread.clone().unwrap_or_default());
    }
    if scope.writeback {
        put(format!("{name}.cs"), page.cs.clone());
    }
    if let Some(disk) = page.disk.as_ref().filter(|_| scope.disk) {
        put(format!("{name}.disk"), disk.clone());
    }
}

fn mapped(put: &mut impl FnMut(String, String), kind: &str, page: &Mapped, scope: Scope) {
    let name = format!("{kind}[{}.{}]", page.s, page.p);
    put(format!("{name}.pm"), page.pm.replace('D', ""));
    put(format!("{name}.id"), page.id.clone());
    if let Some(fl) = &page.fl {
        put(format!("{name}.fl"), flags(fl, scope));
    }
    if let Some(mc) = page.mc {
        put(format!("{name}.mc"), mc.to_string());
    }
    if let Some(val) = &page.val {
        put(format!("{name}.val"), val.clone());
    }
}

/// The flags that are compared, in the order of the table.
fn flags(all: &str, scope: Scope) -> String {
    let wanted = |flag: &&&str| match **flag {
        "SWAPBACKED" => scope.swapbacked,
        "DIRTY" | "WRITEBACK" => scope.writeback,
        "PRIVATE" => scope.private,
        _ => true,
    };
    let set: Vec<&str> =
        FLAGS.iter().filter(wanted).filter(|flag| has(all, flag)).copied().collect();
    set.join("|")
}
