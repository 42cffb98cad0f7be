//! Made-up programs: what each kind of thread may do with a machine.

use super::machine::Machine;
use super::options::{Feature, Options};
use crate::scenario::op::*;
use crate::scenario::types::{FsKind, Thread, ThreadKind};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

/// A few operations that belong together.
type Snippet = Vec<Do>;

/// Most snippets of a program.
const LENGTH: usize = 3;

/// The threads of a scenario, each with its name.
pub fn threads(
    options: Options,
    machine: &Machine,
) -> impl Strategy<Value = Vec<(String, Thread)>> + use<> {
    let has = |f| options.has(f);
    let mut all: Vec<BoxedStrategy<(String, Thread)>> = Vec::new();
    let mut add = |name: &str, thread: Thread, first: Snippet, families: Vec<Vec<Snippet>>| {
        let (name, families) = (name.to_string(), families);
        let some = families.into_iter().filter(|f| !f.is_empty()).map(|f| select(f).boxed());
        let some: Vec<BoxedStrategy<Snippet>> = some.collect();
        if some.is_empty() && first.is_empty() {
            return;
        }
        let more = match some.is_empty() {
            true => Just(Vec::new()).boxed(),
            false => prop::collection::vec(Union::new(some), 0..=LENGTH).boxed(),
        };
        let repeat = options.has(Feature::Repeat);
        let made = (more, any::<bool>()).prop_map(move |(more, again)| {
            let mut program = first.clone();
            program.extend(more.into_iter().flatten());
            let times = match (thread.background, repeat && again) {
                (true, _) => Some(None),
                (false, true) => Some(Some(2)),
                _ => None,
            };
            let (program, background) = finish(program, times);
            (name.clone(), Thread { program, background, ..thread.clone() })
        });
        all.push(made.boxed());
    };
    let kind = |kind| Thread { kind, ..Thread::default() };
    let user = || kind(ThreadKind::User);
    add("one", user(), begin(options, machine), user_ops(options, machine, "one"));
    let two = Thread { background: has(Feature::Endless), ..user() };
    add("two", two, Vec::new(), user_ops(options, machine, "two"));
    if has(Feature::Fork) {
        let child = Thread { mm: Some("C".into()), ..user() };
        add("child", child, Vec::new(), vec![touches(machine)]);
    }
    add("kernel", kind(ThreadKind::Kernel), Vec::new(), kernel_ops(options, machine));
    for (feature, device, region) in [(Feature::Rdma, "nic", "mr"), (Feature::Odp, "odp", "omr")] {
        if has(feature) {
            let device = Some(device.to_string());
            let thread = Thread { device, ..kind(ThreadKind::Device) };
            add(region, thread, Vec::new(), vec![transfers(region)]);
        }
    }
    if has(Feature::Neighbour) {
        let takes = vec![vec![Do::TakeFrame(Nothing {})], vec![Do::TakeBlock("theirs[0]".into())]];
        add("neighbour", kind(ThreadKind::Neighbour), Vec::new(), vec![takes]);
    }
    add("chance", kind(ThreadKind::Chance), Vec::new(), chances(options));
    all
}

/// Turns snippets into a program: no address space is forked twice, and some programs run several
/// times (none: for ever). Says whether it goes round for ever.
fn finish(ops: Vec<Do>, times: Option<Option<u32>>) -> (Vec<Step>, bool) {
    let mut forked = false;
    let once = |op: &Do| match op {
        Do::Fork(_) => !std::mem::replace(&mut forked, true),
        _ => true,
    };
    let ops: Vec<Do> = ops.into_iter().filter(once).collect();
    let again = |op: &Do| !matches!(op, Do::Fork(_) | Do::Wait(_) | Do::Post(_));
    let times = times.filter(|_| !ops.is_empty() && ops.iter().all(again));
    let step = |op| Step { label: String::new(), op };
    let body: Vec<Step> = ops.into_iter().map(step).collect();
    match times {
        Some(times) => (vec![step(Do::Repeat(Repeat { times, body }))], times.is_none()),
        None => (body, false),
    }
}

/// What the first program begins with: the regions that devices transfer to.
fn begin(options: Options, machine: &Machine) -> Snippet {
    let mut out = Vec::new();
    for (feature, device, region) in [(Feature::Rdma, "nic", "mr"), (Feature::Odp, "odp", "omr")] {
        if options.has(feature) {
            let register = |longterm| Register {
                region: Some(region.into()),
                device: Some(device.into()),
                at: place(machine.mappings().last().map_or("mem", String::as_str), 0),
                write: None,
                longterm,
            };
            let at = match options.has(Feature::Longterm) {
                true => "map",
                false => "mem",
            };
            let longterm = (!options.has(Feature::Longterm)).then_some(false);
            out.push(Do::Register(Register { at: place(at, 0), ..register(longterm) }));
        }
    }
    out
}

fn place(of: &str, page: u32) -> Place {
    format!("{of}[{page}]")
}

/// Each page of some files or mappings.
fn places(of: &[String], machine: &Machine) -> Vec<Place> {
    of.iter().flat_map(|of| (0..machine.pages).map(|n| place(of, n))).collect()
}

fn each<T>(of: impl IntoIterator<Item = T>, op: impl Fn(T) -> Do) -> Vec<Snippet> {
    of.into_iter().map(|t| vec![op(t)]).collect()
}

fn touches(machine: &Machine) -> Vec<Snippet> {
    let at = places(&machine.mappings(), machine);
    let mut out = each(at.clone(), Do::Load);
    out.extend(each(at.clone(), Do::Store));
    out.extend(each(at, |at| Do::Store(format!("{at}.first-half"))));
    out
}

fn user_ops(options: Options, machine: &Machine, thread: &str) -> Vec<Vec<Snippet>> {
    let files = machine.files();
    let pages = places(&files, machine);
    let table: &[(Feature, Vec<Snippet>)] = &[
        (Feature::Touch, touches(machine)),
        (Feature::Calls, {
            let mut out = each(pages.clone(), Do::Read);
            out.extend(each(pages.clone(), Do::Write));
            out.extend(each(pages.clone(), |at| Do::Write(format!("{at}.second-half"))));
            out
        }),
        (Feature::Sync, {
            let mut out = each(files.clone(), Do::Fsync);
            out.extend(each(machine.shared(), Do::Msync));
            let range = |file| SyncFileRange { file, write: true, ..SyncFileRange::default() };
            let waits = |file| SyncFileRange { wait_after: true, ..range(file) };
            out.extend(each(files.clone(), |f| Do::SyncFileRange(waits(f))));
            out
        }),
        (Feature::Truncate, {
            let sizes = [0, 100, 4096, u64::from(machine.pages) * 4096];
            let both = files.iter().flat_map(|f| sizes.iter().map(move |&n| (f.clone(), n)));
            each(both, |(file, n)| Do::Truncate(Truncate { file, pages: None, bytes: Some(n) }))
        }),
        (Feature::Punch, each(pages.clone(), Do::Punch)),
        (Feature::Pin, pins(options, machine, thread, [PinCall::PinFast, PinCall::PinSlow])),
        (Feature::Get, pins(options, machine, thread, [PinCall::GetFast, PinCall::GetSlow])),
        (Feature::Direct, direct(machine)),
        (Feature::Maps, maps(machine)),
        (
            Feature::Fork,
            if thread == "one" { each([()], |()| Do::Fork("C".into())) } else { vec![] },
        ),
        (Feature::Reflink, reflinks(machine)),
        (Feature::Lease, leases(thread)),
        (
            Feature::Events,
            match thread {
                "one" => each(["e"], |e| Do::Post(e.into())),
                _ => each(["e"], |e| Do::Wait(e.into())),
            },
        ),
    ];
    table.iter().filter(|(f, _)| options.has(*f)).map(|(_, ops)| ops.clone()).collect()
}

/// A pin with its release; mostly, what was pinned for writing is said to be dirty.
fn pins(options: Options, machine: &Machine, thread: &str, calls: [PinCall; 2]) -> Vec<Snippet> {
    let mut contexts = vec![Context::Process];
    if options.has(Feature::Interrupt) {
        contexts.extend([Context::Irq, Context::Worker]);
    }
    let mut hows = vec![None];
    if options.has(Feature::Forgetful) {
        hows.extend([Some(Redirty::Plain), Some(Redirty::SetDirty), Some(Redirty::SetDirtyLock)]);
    }
    let mut out = Vec::new();
    for at in places(&machine.mappings(), machine) {
        for call in calls {
            for (write, &context) in [false, true].into_iter().zip(contexts.iter().cycle()) {
                for &how in &hows {
                    let slot = Some(thread.to_string());
                    let longterm = options.has(Feature::Longterm) && call == PinCall::PinFast;
                    let pin = Pin { at: at.clone(), slot: slot.clone(), write, longterm, call };
                    out.push(vec![
                        Do::Pin(pin),
                        Do::Unpin(Unpin { slot, dirty: write, how, context }),
                    ]);
                }
            }
        }
    }
    out
}

fn direct(machine: &Machine) -> Vec<Snippet> {
    let memory = places(&machine.mappings(), machine);
    let pages = places(&["data".to_string()], machine);
    let tmpfs = machine.scenario.files.get("data").is_some_and(|f| f.fs == FsKind::Tmpfs);
    if tmpfs {
        return Vec::new();
    }
    let pairs = memory.iter().flat_map(|m| pages.iter().map(move |p| (m.clone(), p.clone())));
    let both = |(m, p): (Place, Place)| {
        let read = Do::DioRead(DioRead { from: p.clone(), into: m.clone() });
        [vec![read], vec![Do::DioWrite(DioWrite { from: m, to: p })]]
    };
    pairs.flat_map(both).collect()
}

fn maps(machine: &Machine) -> Vec<Snippet> {
    let all = machine.mappings();
    let mut out = each(all.clone(), Do::Munmap);
    let protect = |mapping| Do::Mprotect(Mprotect { mapping, read: true, write: false });
    out.extend(each(all, protect));
    for (from, to) in machine.moves() {
        let remap = |from: &str, to: &str, dontunmap| {
            Do::Mremap(Mremap { from: from.into(), to: to.into(), dontunmap })
        };
        let (there, back) = (remap(&from, &to, false), remap(&to, &from, false));
        out.push(vec![there.clone(), Do::Store(place(&to, 0))]);
        out.push(vec![there, back]);
        out.push(vec![remap(&from, &to, true), Do::Load(place(&to, 0))]);
    }
    use Advice::*;
    for advice in [Dontneed, Pageout, Free, PopulateRead, PopulateWrite] {
        let all = places(&machine.mappings(), machine).into_iter();
        let some = all.filter(|at| advice != Free || at.starts_with("mem"));
        out.extend(each(some, |at| Do::Madvise(Madvise { at, advice })));
    }
    out
}

fn reflinks(machine: &Machine) -> Vec<Snippet> {
    let pair = |n| Reflink { from: place("data", n), to: place("copy", n) };
    let large = machine.scenario.files.get("data").is_some_and(|f| f.folio_order > 0);
    if large {
        return Vec::new();
    }
    each((0..machine.pages).map(pair), Do::Reflink)
}

fn leases(thread: &str) -> Vec<Snippet> {
    match thread {
        "one" => vec![vec![Do::TakeLease("dax".into()), Do::AnswerLease("dax".into())]],
        _ => Vec::new(),
    }
}

fn transfers(region: &str) -> Vec<Snippet> {
    let at = || place(region, 0);
    vec![vec![Do::DmaWrite(at())], vec![Do::DmaWrite(at())], vec![Do::DmaRead(at())]]
}

fn kernel_ops(options: Options, machine: &Machine) -> Vec<Vec<Snippet>> {
    let files = machine.files();
    let cached = places(&["data".to_string()], machine);
    let table: &[(Feature, Vec<Snippet>)] = &[
        (Feature::Flusher, {
            let mut out = each(files.clone(), Do::Writeback);
            out.extend(each(files.clone(), Do::WritebackIntegrity));
            out
        }),
        (Feature::Reclaim, each(cached.clone(), Do::Reclaim)),
        (Feature::DropCaches, each(["data"], |f| Do::DropCaches(f.into()))),
        (Feature::Migrate, each(cached, Do::Migrate)),
        (Feature::Unbind, each(["pmem0"], |d| Do::Unbind(d.into()))),
    ];
    table.iter().filter(|(f, _)| options.has(*f)).map(|(_, ops)| ops.clone()).collect()
}

fn chances(options: Options) -> Vec<Vec<Snippet>> {
    let table: &[(Feature, Do)] = &[
        (Feature::Crash, Do::Crash(Nothing {})),
        (Feature::Signal, Do::Signal("one".into())),
        (Feature::Lease, Do::LeaseTimeout("dax".into())),
    ];
    table.iter().filter(|(f, _)| options.has(*f)).map(|(_, op)| vec![vec![op.clone()]]).collect()
}
