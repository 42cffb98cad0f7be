//! Guards that tests take away, one at a time.
//!
//! A guard is one thing that keeps a race from happening: a check that is made again under a
//! lock, a wait, a reference, an order of two steps. `tests/mutants.rs` runs the bundled scenarios
//! without each of them and demands that some expectation fails: a guard whose absence nobody
//! notices is either not needed or not tried. Barriers are none of them; the model is
//! sequentially consistent.

macro_rules! guards {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// A guard.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Guard { $($(#[doc = $doc])+ $name,)+ }

        impl Guard {
            /// Every guard.
            pub const ALL: &[Guard] = &[$(Guard::$name,)+];
            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Guard::$name => $label,)+ }
            }
            /// What it does in the kernel, and where.
            pub fn doc(self) -> &'static str {
                match self { $(Guard::$name => concat!($($doc, "\n",)+),)+ }
            }
        }
    };
}

guards! {
    /// page_mkwrite looks, under the folio lock, whether the folio has been truncated (W3).
    MkwriteTruncated = "mkwrite-truncated",
    /// page_mkwrite waits for stable pages (W3: folio_wait_stable).
    MkwriteStable = "mkwrite-stable",
    /// finish_mkwrite_fault compares the PTE with the one that faulted (W5).
    MkwritePteSame = "mkwrite-pte-same",
    /// finish_fault sets an entry only where there is none.
    FaultPteNone = "fault-pte-none",
    /// filemap_fault looks, under the folio lock, whether the folio is still the file's.
    FaultTruncated = "fault-truncated",
    /// filemap_fault looks at i_size again under the folio lock.
    FaultEofAgain = "fault-eof-again",
    /// __remove_mapping freezes the refcount, which fails if anybody else holds one (R9).
    ReclaimFreeze = "reclaim-freeze",
    /// __remove_mapping looks at PG_dirty once the count is frozen (R9).
    ReclaimDirtyLast = "reclaim-dirty-last",
    /// shrink_folio_list keeps a folio under writeback (R2).
    ReclaimWriteback = "reclaim-writeback",
    /// try_to_unmap moves the entry's dirty bit to the folio (R5).
    UnmapDirty = "unmap-dirty",
    /// try_to_unmap, folio_mkclean and migration flush the TLBs after an entry has changed.
    RmapFlush = "rmap-flush",
    /// folio_mkclean takes the right to write away (B7a), so that the next store faults.
    CleanWriteProtect = "clean-write-protect",
    /// Migration freezes the count before it replaces the folio.
    MigrateFreeze = "migrate-freeze",
    /// Migration waits for the end of writeback.
    MigrateWriteback = "migrate-writeback",
    /// Truncate waits for the writeback of a folio that goes whole (T7, pass 2).
    TruncateWriteback = "truncate-writeback",
    /// Truncate waits for the writeback of a folio that goes in part.
    TruncatePartialWriteback = "truncate-partial-writeback",
    /// Truncate unmaps a folio that is still mapped before it leaves the cache.
    TruncateUnmapFolio = "truncate-unmap-folio",
    /// zap_pte_range moves the entry's dirty bit to the folio.
    ZapDirty = "zap-dirty",
    /// zap_pte_range flushes a dirty page's entry before the page-table lock is dropped.
    ZapForceFlush = "zap-force-flush",
    /// zap_pte_range flushes the TLBs before the pages' references are dropped.
    ZapFlushBeforePut = "zap-flush-before-put",
    /// zap_page_range tells subscribers before it clears entries.
    ZapNotify = "zap-notify",
    /// move_page_tables tells subscribers before it moves entries.
    RemapNotify = "remap-notify",
    /// mremap keeps faults out: mmap_lock for writing.
    RemapLock = "remap-lock",
    /// move_ptes keeps walks of the reverse map out where they might look at the new address
    /// before the old one (need_rmap_locks).
    RemapRmapLocks = "remap-rmap-locks",
    /// copy_vma puts the new mapping into the file's interval tree before entries move to it.
    RemapLinkFirst = "remap-link-first",
    /// An mremap that fails takes its new mapping back (unmap_source_vma of the new one).
    RemapUndo = "remap-undo",
    /// An ODP fault looks, under umem_mutex, whether an invalidation has come in between (S4).
    OdpRetry = "odp-retry",
    /// The callback waits for the transfers that use the entry it tears down.
    OdpDrain = "odp-drain",
    /// The callback marks pages dirty that the device may have written.
    OdpDirty = "odp-dirty",
    /// The callback stores the sequence of the invalidation in its subscription.
    OdpSetSeq = "odp-set-seq",
    /// Direct I/O counts itself on the inode, for truncate to wait for (inode_dio_begin).
    DioBegin = "dio-begin",
    /// Direct I/O writes the range of the file and waits for it first.
    DioFlushFirst = "dio-flush-first",
    /// A direct write drops the range from the page cache first.
    DioInvalidateFirst = "dio-invalidate-first",
    /// A direct write drops again what came back into the page cache meanwhile.
    DioInvalidateAfter = "dio-invalidate-after",
    /// A direct read dirties the user's page before the transfer (bio_set_pages_dirty).
    DioSetDirty = "dio-set-dirty",
    /// A direct read dirties the user's page again if it was cleaned meanwhile
    /// (bio_check_pages_dirty).
    DioCheckDirty = "dio-check-dirty",
    /// fork holds write_protect_seq odd while it copies, for GUP-fast to see (F1, F20).
    ForkSeqcount = "fork-seqcount",
    /// fork takes the parent's right to write away from what is shared.
    ForkWriteProtect = "fork-write-protect",
    /// fork marks a page that is shared as nobody's own (PageAnonExclusive).
    ForkNotExclusive = "fork-not-exclusive",
    /// fork flushes the parent's TLBs before it returns.
    ForkFlush = "fork-flush",
    /// wp_page_copy compares the PTE with the one that faulted before it replaces it.
    CowPteSame = "cow-pte-same",
    /// do_anonymous_page sets an entry only where there is none.
    AnonPteNone = "anon-pte-none",
    /// fsync waits for the writeback that it and others have begun.
    FsyncWait = "fsync-wait",
    /// invalidate_complete_folio2 keeps a dirty folio.
    InvalidateDirty = "invalidate-dirty",
    /// invalidate_inode_pages2_range waits for the end of writeback.
    InvalidateWriteback = "invalidate-writeback",
    /// A region's transfers have ended before its pins are released (DESTROY_MKEY).
    DeregisterStop = "deregister-stop",
    /// mmu_interval_notifier_remove waits for an invalidation under way.
    UnsubscribeWait = "unsubscribe-wait",
    /// mmu_interval_read_begin waits for the end of an invalidation (S1).
    OdpAwaitEnd = "odp-await-end",
    /// __filemap_get_folio looks, under the folio lock, whether the folio is still the file's.
    GrabTruncated = "grab-truncated",
    /// filemap_add_folio fails where there is a folio already.
    AddFolioOnce = "add-folio-once",
    /// page_mkwrite, and a fault that misses the cache, hold invalidate_lock, which punch and
    /// truncate hold for writing.
    FaultInvalidateLock = "fault-invalidate-lock",
    /// The last unpin looks at the count again under the LRU lock before it puts a page back on its
    /// list (`--pin off-lru`).
    OffLruRecheck = "off-lru-recheck",
    /// A failed write is recorded in the mapping for the next fsync (mapping_set_error).
    WritebackError = "writeback-error",
    /// A layout break that has waited with the fault lock dropped looks at all pages again (D6).
    LayoutLookAgain = "layout-look-again",
    /// A fault looks, where it sets the entry, whether truncate bars the page by now
    /// (`--truncate block-refault`).
    FaultBarredAgain = "fault-barred-again",
    /// A driver that gives a page back waits for the transfers that use its old translation.
    RecallDrain = "recall-drain",
    /// Truncate takes a page back that was pinned after it had looked, when the page leaves.
    RecallAtRemoval = "recall-at-removal",
    /// A registration looks, once its pages are pinned, whether they are still the file's.
    RegisterLookAgain = "register-look-again",
    /// Removal of a DAX device waits for the walks of GUP-fast that had begun before it.
    UnbindGrace = "unbind-grace",
    /// Removal keeps faults out of a file while the filesystem unmaps it (invalidate_lock).
    UnbindLock = "unbind-lock",
    /// Removal waits for references to single pages.
    UnbindPages = "unbind-pages",
    /// Writeback asks whether a folio is pinned when its mappings are write-protected, not before.
    PinAskedLast = "pin-asked-last",
    /// A bounced page stays dirty (folio_redirty_for_writepage).
    PinnedStaysDirty = "pinned-stays-dirty",
    /// A driver that gives a page back waits for the transfers that have begun.
    RevokeDrain = "revoke-drain",
    /// GUP-fast takes no reference on a folio whose count is zero (F9: try_get_folio).
    GupFastTryGet = "gup-fast-try-get",
    /// GUP-fast reads the PTE again once it has its reference, and lets go if it changed (F13).
    GupFastReread = "gup-fast-reread",
    /// GUP-fast walks with interrupts off, so that a flush by interrupt waits for it (F2).
    GupFastIrqsOff = "gup-fast-irqs-off",
    /// GUP-fast takes a live reference on dev_pagemap before it takes one on the page (F7).
    GupFastLiveRef = "gup-fast-live-ref",
    /// GUP-fast takes no DAX page for long where they are refused (F10, F8).
    GupFastLongtermDax = "gup-fast-longterm-dax",
    /// GUP-fast takes no page of a dirty-tracking file for long where they are refused (F14).
    GupFastFolioAllowed = "gup-fast-folio-allowed",
    /// GUP-fast leaves a shared anonymous page that is pinned for reading to a fault (F15).
    GupFastUnshare = "gup-fast-unshare",
    /// GUP-fast takes the slow path while a fork write-protects (F1: an odd write_protect_seq).
    GupFastSeqOdd = "gup-fast-seq-odd",
    /// GUP-fast gives everything back if a fork write-protected meanwhile (F20).
    GupFastSeqcount = "gup-fast-seqcount",
    /// check_vma_flags refuses long-term pins as the design says.
    CheckVmaLongterm = "check-vma-longterm",
    /// A pin for writing is taken through an entry that allows writing, else there is a fault
    /// first, which dirties the page (gup_fast_pte_range, can_follow_write_pte; kernel truth E10).
    PinWriteFault = "pin-write-fault",
    /// follow_page_pte leaves a shared anonymous page that is pinned for reading to a fault.
    FollowUnshare = "follow-unshare",
    /// follow_page_pte takes a live reference on dev_pagemap.
    FollowLiveRef = "follow-live-ref",
    /// MMF_HAS_PINNED is set before the first page is pinned (F0), for fork to see.
    HasPinned = "has-pinned",
    /// Whoever counts in a structure looks, when he counts, whether it is still there
    /// (`--pin page-private`, `side-table`).
    PinStructureAgain = "pin-structure-again",
    /// Whoever has allocated a structure uses the one that is there by now, if any.
    PinInstallOnce = "pin-install-once",
    /// A pass for integrity turns DIRTY tags into TOWRITE and follows those (B1).
    WritebackTowrite = "writeback-towrite",
    /// A pass looks at PG_dirty again under the folio lock (B2).
    WritebackDirtyAgain = "writeback-dirty-again",
    /// A pass for cleaning skips a folio under writeback (B3).
    WritebackSkipBusy = "writeback-skip-busy",
    /// A pass for integrity waits for the writeback before (B4).
    WritebackWaitBefore = "writeback-wait-before",
    /// What folio_mkclean found dirty in page tables is dirty in the folio (B7b).
    MkcleanRedirty = "mkclean-redirty",
    /// PG_writeback is set before the folio is unlocked (B8, B9).
    WritebackStartLocked = "writeback-start-locked",
    /// fsync has the disk flush its volatile cache.
    FsyncFlush = "fsync-flush",
    /// truncate and punch hold i_rwsem (T1).
    CutInodeLock = "cut-inode-lock",
    /// truncate and punch wait for direct I/O (T3: inode_dio_wait).
    CutDioWait = "cut-dio-wait",
    /// i_size changes before pages are unmapped and removed (T6, T7).
    TruncateSizeFirst = "truncate-size-first",
    /// truncate_pagecache unmaps once more after the pages are gone, for private copies (T7).
    TruncateUnmapAgain = "truncate-unmap-again",
    /// Blocks are freed after their pages have left the cache (T7, T8).
    BlocksLast = "blocks-last",
    /// unpin_user_pages_dirty_lock dirties a page before it drops the pin.
    DirtyBeforePut = "dirty-before-put",
    /// An invalidation makes invalidate_seq odd as it begins (mn_itree_inv_start_range).
    RangeSeqOdd = "range-seq-odd",
    /// The last invalidation to end makes it even, and wakes readers (mn_itree_inv_end).
    RangeSeqEven = "range-seq-even",
    /// A transfer is known to hold the translation that it has read.
    TransferHolds = "transfer-holds",
    /// A DAX fault locks the entry of its page (grab_mapping_entry).
    DaxEntryLock = "dax-entry-lock",
    /// A DAX fault holds invalidate_lock.
    DaxFaultInvalidateLock = "dax-fault-invalidate-lock",
    /// A DAX fault asks whether the device is alive (dax_alive).
    DaxAlive = "dax-alive",
    /// A DAX fault sets an entry only where there is none (insert_pfn).
    DaxPteNone = "dax-pte-none",
    /// A layout break unmaps the pages before it looks for busy ones (D2).
    LayoutUnmapFirst = "layout-unmap-first",
    /// A layout break waits for locked entries (D3).
    LayoutEntryWait = "layout-entry-wait",
    /// Removal of a DAX device turns new live references away before anything else (U1).
    UnbindKill = "unbind-kill",
    /// Removal waits for the live references that are held (U3).
    UnbindDrain = "unbind-drain",
    /// filemap_release_folio keeps the buffers of a dirty folio (R8).
    ReclaimBuffersDirty = "reclaim-buffers-dirty",
    /// Only one takes a folio off its LRU list (R1: folio_test_clear_lru).
    IsolateOnce = "isolate-once",
    /// A page that MADV_FREE gave up goes only if nobody else holds or has dirtied it (R9).
    LazyfreeFreeze = "lazyfree-freeze",
    /// write(2) waits for stable pages (folio_wait_stable in write_begin).
    WriteStable = "write-stable",
    /// write(2) holds i_rwsem.
    WriteInodeLock = "write-inode-lock",
    /// read(2) shows only a folio that is uptodate.
    ReadUptodate = "read-uptodate",
    /// follow_page_pte dirties the page of an entry that allows writing and is clean (FOLL_TOUCH).
    GupTouchDirty = "gup-touch-dirty",
    /// A layout lease has one holder (generic_add_lease).
    LeaseOneHolder = "lease-one-holder",
    /// Truncate waits for the holder's answer before it takes the page (__break_lease).
    LeaseAwaitAnswer = "lease-await-answer",
    /// A holder who lets go is told if the timeout has come first.
    LeaseAnswerLate = "lease-answer-late",
    /// The first to find a busy extent idle takes its mark, and nobody frees it twice.
    BusyClearOnce = "busy-clear-once",
    /// Who frees busy extents leaves those whose pages are still in use.
    BusyStillUsed = "busy-still-used",
    /// try_to_unmap leaves the entries of a locked mapping alone (VM_LOCKED).
    MlockKeeps = "mlock-keeps",
    /// VM_LOCKED is looked at under the page-table lock, which mlock takes when it is set.
    MlockUnderPtl = "mlock-under-ptl",
    /// mlock sets VM_LOCKED before it faults the pages in.
    MlockFirst = "mlock-first",
    /// A fork that fails unmaps what it has given the child (exit_mmap).
    ForkUndo = "fork-undo",
    /// A fork that fails ends what it has begun: range_end.
    ForkFailedEnd = "fork-failed-end",
    /// A fork that fails makes write_protect_seq even.
    ForkFailedSeq = "fork-failed-seq",
    /// A fork that fails flushes what it has write-protected.
    ForkFailedFlush = "fork-failed-flush",
    /// Reflink writes dirty pages of both files before it shares blocks.
    ReflinkFlush = "reflink-flush",
    /// Reflink holds the source's invalidate_lock: no fault dirties it again before it is shared.
    ReflinkSourceLock = "reflink-source-lock",
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn guards_have_names_of_their_own() {
        let names: BTreeSet<_> = Guard::ALL.iter().map(|g| g.name()).collect();
        assert_eq!(names.len(), Guard::ALL.len());
    }
}
