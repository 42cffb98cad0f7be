//! What a machine's programs contain of that on which a design's promises depend.

use crate::kernel::world::plan::*;
use crate::kernel::world::{FilePage, VPage, Vma};

macro_rules! situation {
    ($($(#[doc = $doc:literal])+ $field:ident,)+) => {
        /// What a plan contains. Each is about what programs ask for; whether it is granted is
        /// another matter.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Situation { $($(#[doc = $doc])+ pub $field: bool,)+ }

        impl Situation {
            /// Both together.
            #[must_use]
            pub fn or(self, other: Situation) -> Situation {
                Situation { $($field: self.$field || other.$field,)+ }
            }

            /// The names of what there is.
            pub fn names(self) -> Vec<&'static str> {
                let all = [$((stringify!($field), self.$field),)+];
                all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
            }
        }
    };
}

situation! {
    /// Somebody writes to pages of the page cache behind the page tables: a short writing GUP call
    /// over a mapping of such a file, a direct read into one.
    file_writes,
    /// The same for as long as he likes (FOLL_LONGTERM, a registered region).
    longterm_file_writes,
    /// Somebody keeps references to pages of the page cache that he only reads (a private mapping
    /// shows them, too, until somebody stores there), or that need no dirty tracking (tmpfs).
    file_reads,
    /// Somebody keeps references to pages of a DAX file.
    dax_users,
    /// The same with FOLL_LONGTERM.
    longterm_dax,
    /// A reference is taken with FOLL_GET.
    gets,
    /// Private memory is pinned or referenced.
    private_users,
    /// Direct I/O.
    direct,
    /// A pinned region that a device transfers to or from.
    regions,
    /// A region that follows the notifier.
    notified,
    /// A page of the page cache leaves its file: truncate, hole punch.
    removes,
    /// A page of a DAX file does.
    removes_dax,
    /// A file grows, or is written beyond its end.
    grows,
    /// Pages are unmapped or protected by programs: munmap, mremap, mprotect, madvise.
    unmaps,
    /// Pages move to another address: mremap.
    moves,
    /// Fork.
    forks,
    /// Reflink.
    reflinks,
    /// Reclaim, drop_caches, migration.
    evicts,
    /// A pmem device is removed.
    unbinds,
    /// Pins are released in an interrupt.
    interrupts,
    /// A driver forgets to say that it wrote.
    forgets,
    /// A driver says so without the folio lock.
    unlocked,
    /// Power may be lost.
    crashes,
    /// A fatal signal may be delivered.
    signals,
    /// Writes may fail.
    io_errors,
    /// Allocations may fail.
    enomem,
    /// A layout lease is taken.
    leases,
    /// Threads wait for events.
    waits,
    /// A pin or region is not released by the program that took it, or only after something else.
    keeps,
    /// Folios larger than a page.
    large,
    /// A file on btrfs, where every writeback uses up what page_mkwrite or write(2) has reserved.
    reserves,
    /// A file whose writers need not wait for writeback: its disk does not demand stable pages.
    unstable,
}

impl Situation {
    /// What a plan contains.
    pub fn of(plan: &Plan) -> Situation {
        let mut all = Situation {
            io_errors: plan.faults.io_errors > 0,
            enomem: plan.faults.enomem > 0,
            large: plan.files.iter().any(|f| f.folio_order > 0),
            reserves: plan.files.iter().any(|f| f.fs == FsKind::Btrfs),
            unstable: plan.files.iter().any(|f| is_unstable(plan, f)),
            ..Situation::default()
        };
        for thread in &plan.threads {
            for (n, op) in thread.program.iter().enumerate() {
                all = all.or(of_op(plan, op));
                all.keeps |= keeps(op, thread.program.get(n + 1));
            }
        }
        all
    }
}

/// Whether writers to a file do not wait for writeback (`folio_wait_stable` is for those disks
/// alone that demand it: 7d311cdab663, 3.9; btrfs always waits, tmpfs and DAX have no writeback).
fn is_unstable(plan: &Plan, file: &FilePlan) -> bool {
    let disk = file.disk.and_then(|d| plan.disks.get(d.0 as usize)).map(|d| d.kind);
    let demands = !matches!(disk, Some(DiskKind::Block { stable_writes: false, .. }));
    file.fs != FsKind::Btrfs && !demands
}

/// Whether an operation takes something that the next one does not release.
fn keeps(op: &Op, next: Option<&Op>) -> bool {
    match (op, next) {
        (Op::Pin { slot, .. }, Some(Op::Unpin { slot: same, .. })) => slot != same,
        (Op::Pin { .. } | Op::Register { .. }, _) => true,
        _ => false,
    }
}

/// What a mapping shows.
#[derive(Clone, Copy, Default)]
struct Shows {
    /// A DAX file.
    dax: bool,
    /// The page cache of another file.
    cache: bool,
    /// Stores go to that file.
    shared: bool,
    /// They are tracked.
    tracked: bool,
}

/// What the mapping of a page shows.
fn shows(plan: &Plan, at: VPage) -> Shows {
    let ranges = Plan::ranges(plan.vmas.iter().map(|v| v.pages));
    let vma = ranges.iter().position(|r| r.contains(&at.0)).map(|n| Vma(n as u32));
    let vma = vma.and_then(|v| plan.vmas.get(v.0 as usize));
    match vma.map(|v| v.backing) {
        Some(Backing::File { file, .. }) => {
            let fs = plan.files[file.0 as usize].fs;
            let (dax, shared) = (fs == FsKind::Dax, vma.is_some_and(|v| v.shared));
            Shows { dax, cache: !dax, shared, tracked: fs.tracks_dirty() }
        }
        _ => Shows::default(),
    }
}

/// The file of a page.
fn is_dax(plan: &Plan, at: FilePage) -> bool {
    let ranges = Plan::ranges(plan.files.iter().map(|f| f.capacity));
    let file = ranges.iter().position(|r| r.contains(&at.0));
    file.is_some_and(|f| plan.files[f].fs == FsKind::Dax)
}

/// Somebody who uses pages without their page table.
fn user(plan: &Plan, first: VPage, write: bool, longterm: bool) -> Situation {
    let Shows { dax, cache, shared, tracked } = shows(plan, first);
    let file = cache && shared;
    Situation {
        file_writes: file && write && !longterm,
        longterm_file_writes: file && write && longterm && tracked,
        file_reads: cache && !write || file && longterm && !tracked,
        dax_users: dax && !longterm,
        longterm_dax: dax && longterm,
        private_users: !dax && !file,
        ..Situation::default()
    }
}

fn of_op(plan: &Plan, op: &Op) -> Situation {
    let none = Situation::default();
    match *op {
        Op::Pin { first, write, longterm, call, .. } => {
            Situation { gets: !call.is_pin(), ..user(plan, first, write, longterm) }
        }
        Op::Register { region, first, write, longterm, .. } => {
            let device = plan.regions[region.0 as usize].device;
            match plan.devices[device.0 as usize].kind.has_notifier() {
                true => Situation { notified: true, ..none },
                // A region is kept as long as its program likes, whatever it asked for.
                false => Situation { regions: true, ..user(plan, first, write, longterm) },
            }
        }
        Op::DioRead { into, .. } => Situation { direct: true, ..user(plan, into, true, false) },
        Op::DioWrite { from, .. } => Situation { direct: true, ..user(plan, from, false, false) },
        Op::Unpin { dirty, how, context, .. } => Situation {
            interrupts: context == Context::Irq,
            forgets: dirty && how == Some(Redirty::Plain),
            unlocked: dirty && how == Some(Redirty::SetDirty),
            ..none
        },
        Op::Deregister { dirty, how, .. } => Situation {
            forgets: !dirty || how == Some(Redirty::Plain),
            unlocked: how == Some(Redirty::SetDirty),
            ..none
        },
        Op::Truncate { file, size } => {
            let plan = &plan.files[file.0 as usize];
            let dax = plan.fs == FsKind::Dax;
            Situation { removes: !dax, removes_dax: dax, grows: size > plan.size, ..none }
        }
        Op::Punch { first, .. }
        | Op::PunchPart { first, .. }
        | Op::ZeroRange { first, .. }
        | Op::CollapseRange { first, .. } => {
            let dax = is_dax(plan, first);
            Situation { removes: !dax, removes_dax: dax, ..none }
        }
        Op::Write { .. } => Situation { grows: true, ..none },
        Op::Munmap { .. } | Op::Mprotect { .. } | Op::Madvise { .. } => {
            Situation { unmaps: true, ..none }
        }
        Op::Mremap { .. } => Situation { unmaps: true, moves: true, ..none },
        Op::Fork { .. } => Situation { forks: true, ..none },
        Op::Reflink { .. } => Situation { reflinks: true, ..none },
        Op::Reclaim { .. } | Op::DropCaches { .. } | Op::Migrate { .. } => {
            Situation { evicts: true, ..none }
        }
        Op::Unbind { .. } => Situation { unbinds: true, ..none },
        Op::Crash => Situation { crashes: true, ..none },
        Op::Signal { .. } => Situation { signals: true, ..none },
        Op::TakeLease { .. } | Op::AnswerLease { .. } => Situation { leases: true, ..none },
        Op::Wait { .. } => Situation { waits: true, ..none },
        _ => none,
    }
}
