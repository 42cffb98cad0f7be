//! Every guard that keeps a race from happening is missed when it is gone: without it, an
//! expectation of some bundled scenario fails.

use gupsim::check::{Fate, check};
use gupsim::engine::explore::Options;
use gupsim::kernel::strategy::Guard;
use gupsim::scenario::{self, Loaded};
use std::collections::BTreeMap;

/// Guards with the scenario that misses them.
const KILLED: &[(Guard, &str)] = &[
    (Guard::MkwriteTruncated, "truncate/fault-meets-truncate"),
    (Guard::MkwriteStable, "writeback/stable-pages"),
    (Guard::MkwritePteSame, "truncate/fault-meets-truncate"),
    (Guard::FaultPteNone, "writeback/two-faults-one-page"),
    (Guard::FaultTruncated, "truncate/punch-meets-fault"),
    (Guard::FaultEofAgain, "truncate/fault-meets-truncate"),
    (Guard::ReclaimFreeze, "bugs/d824ec2a1546-page-without-buffers"),
    (Guard::ReclaimDirtyLast, "reclaim/dirtied-at-the-last-moment"),
    (Guard::ReclaimWriteback, "bugs/d824ec2a1546-page-without-buffers"),
    (Guard::RmapFlush, "writeback/mprotect-does-not-clean"),
    (Guard::CleanWriteProtect, "writeback/stable-pages"),
    (Guard::MigrateFreeze, "reclaim/migrate-and-drop"),
    (Guard::MigrateWriteback, "reclaim/migration-meets-writeback"),
    (Guard::TruncateWriteback, "truncate/page-under-writeback"),
    (Guard::TruncatePartialWriteback, "truncate/page-under-writeback"),
    (Guard::TruncateUnmapFolio, "truncate/punch-meets-fault"),
    (Guard::ZapForceFlush, "writeback/stale-translation"),
    (Guard::ZapFlushBeforePut, "truncate/punch-meets-fault"),
    (Guard::ZapNotify, "notifier/odp-truncate"),
    (Guard::OdpRetry, "notifier/odp-truncate"),
    (Guard::OdpDrain, "notifier/odp-truncate"),
    (Guard::OdpSetSeq, "notifier/odp-truncate"),
    (Guard::DioFlushFirst, "writeback/direct-read-of-a-dirty-page"),
    (Guard::DioInvalidateAfter, "truncate/direct-write-under-mapping"),
    (Guard::DioCheckDirty, "writeback/torn-direct-read"),
    (Guard::WritebackError, "writeback/error-reported-once"),
    (Guard::ForkSeqcount, "fork/pin-meets-fork"),
    (Guard::ForkWriteProtect, "fork/child-sees-the-past"),
    (Guard::ForkNotExclusive, "fork/child-sees-the-past"),
    (Guard::ForkFlush, "bugs/70e806e4e645-lost-dma-after-fork"),
    (Guard::CowPteSame, "fork/two-threads-break-cow"),
    (Guard::AnonPteNone, "fork/two-first-touches"),
    (Guard::FsyncWait, "writeback/fsync-then-crash"),
    (Guard::InvalidateDirty, "truncate/direct-write-under-mapping"),
    (Guard::InvalidateWriteback, "truncate/direct-write-under-mapping"),
    (Guard::DeregisterStop, "notifier/deregister-under-transfer"),
    (Guard::OdpAwaitEnd, "notifier/odp-truncate"),
    (Guard::OffLruRecheck, "pin/two-pins-one-list"),
    (Guard::AddFolioOnce, "writeback/two-misses-one-page"),
    (Guard::FaultInvalidateLock, "truncate/punch-meets-fault"),
    (Guard::LayoutLookAgain, "dax/new-pins-turned-away"),
    (Guard::FaultBarredAgain, "truncate/pinned-between-look-and-removal"),
    (Guard::RecallDrain, "dax/region-cut"),
    (Guard::RecallAtRemoval, "truncate/pinned-between-look-and-removal"),
    (Guard::RegisterLookAgain, "truncate/pinned-between-look-and-removal"),
    (Guard::UnbindGrace, "unbind/gup-fast-vs-unbind"),
    (Guard::UnbindLock, "unbind/fault-maps-dying-device"),
    (Guard::UnbindPages, "unbind/gup-fast-vs-unbind"),
    (Guard::PinAskedLast, "writeback/dma-into-the-copy"),
    (Guard::PinnedStaysDirty, "writeback/dma-into-the-copy"),
    (Guard::RevokeDrain, "writeback/dma-into-the-copy"),
    (Guard::ReleaseTruncated, "writeback/release-needs-the-fault-lock"),
];

/// Guards that nothing misses, and why.
const SURVIVORS: &[(Guard, &str)] = &[
    (
        Guard::UnmapDirty,
        "where stores are tracked a page is dirty before an entry is, and where they are not \
         (tmpfs, anonymous memory) there is no swap to lose it to",
    ),
    (Guard::ZapDirty, "as unmap-dirty"),
    (Guard::OdpDirty, "the fault that gave the device the page has dirtied it, through the entry"),
    (
        Guard::DioBegin,
        "direct I/O is synchronous here and holds i_rwsem, which keeps truncate out; AIO drops it",
    ),
    (
        Guard::DioInvalidateFirst,
        "what it leaves in the cache goes after the write, or fails with the same EIO",
    ),
    (Guard::DioSetDirty, "bio_check_pages_dirty catches up, and the pin keeps reclaim away"),
    (Guard::UnsubscribeWait, "what the callback would touch afterwards is the driver's own memory"),
    (
        Guard::GrabTruncated,
        "i_rwsem keeps truncate from write(2), the reference keeps reclaim and migration, and a \
         read may return what was there before",
    ),
];

/// A scenario whose expectations are judged without a guard.
fn without(name: &str, guard: Guard) -> Loaded {
    let mut loaded = scenario::open(name).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    for (_, strategy) in loaded.expectations.iter_mut().flat_map(|e| &mut e.under) {
        strategy.without = Some(guard);
    }
    loaded
}

/// The first expectation that fails without a guard.
fn killed(name: &str, guard: Guard) -> Option<String> {
    let options =
        Options { jobs: 2, witness_states: 0, max_states: Some(2_000_000), ..Options::default() };
    let lines = check(&without(name, guard), &options, &());
    let failed = lines.into_iter().find(|l| l.fate == Fate::Failed)?;
    Some(format!("{} [{}]", failed.text, failed.under))
}

#[test]
fn every_guard_is_missed_by_the_scenario_that_is_named() {
    for &(guard, name) in KILLED {
        let why = killed(name, guard);
        println!("{:24} {name}: {}", guard.name(), why.as_deref().unwrap_or("-"));
        assert!(why.is_some(), "{name} does not notice that {} is gone", guard.name());
    }
}

#[test]
fn every_guard_is_accounted_for() {
    let mut count: BTreeMap<Guard, u32> = BTreeMap::new();
    for &(guard, _) in KILLED.iter().chain(SURVIVORS) {
        *count.entry(guard).or_default() += 1;
    }
    for &guard in Guard::ALL {
        assert_eq!(count.get(&guard), Some(&1), "{}: {}", guard.name(), guard.doc());
    }
}

/// `GUPSIM_HUNT=1` (or a guard's name) looks for scenarios that miss a guard, for the table above.
#[test]
fn hunt() {
    let Ok(wanted) = std::env::var("GUPSIM_HUNT") else { return };
    for &guard in Guard::ALL.iter().filter(|g| wanted == "1" || wanted == g.name()) {
        let names = scenario::bundled().iter().map(|(name, _)| *name);
        let killers: Vec<String> = names
            .filter(|name| !name.starts_with("scale/"))
            .filter_map(|name| Some(format!("{name}: {}", killed(name, guard)?)))
            .take(3)
            .collect();
        println!("{:24} {killers:?}", guard.name());
    }
}
