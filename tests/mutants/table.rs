//! Which scenario misses which guard, and why nobody misses some.

use gupsim::kernel::strategy::Guard;

/// Guards with the scenario that misses them.
pub const KILLED: &[(Guard, &str)] = &[
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
pub const SURVIVORS: &[(Guard, &str)] = &[
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
