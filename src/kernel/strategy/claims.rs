//! What each design claims to prevent, and when: the property under which made-up scenarios are
//! run ("a design that claims to be safe is").
//!
//! A claim is made by values of axes, so that presets make those of their values. It is argued
//! from what the design promises, never from what the model was seen to do; where a promise has
//! a known hole, the claim says so.

use super::situation::Situation;
use super::*;

/// That an invariant is kept.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The invariant.
    pub invariant: &'static str,
    /// What promises it, and what it does not promise.
    pub why: &'static str,
    /// The designs and situations for which it is claimed.
    pub when: fn(&Strategy, &Situation) -> bool,
}

/// Whether anybody may write to the page cache behind the page tables: what writers and writeback
/// agree on through page_mkwrite is void for him. Refusing long-term pins refuses those that last;
/// a short one may still meet writeback.
fn writes_behind(s: &Strategy, of: &Situation) -> bool {
    of.file_writes || of.longterm_file_writes && s.longterm != Longterm::RefuseFile
}

/// Whether anybody may use a page of a DAX file by a reference of his own.
fn uses_dax(s: &Strategy, of: &Situation) -> bool {
    of.dax_users || of.longterm_dax && s.longterm == Longterm::Allow
}

/// Whether a DAX page may leave its file while somebody uses it: truncate does not wait, or does
/// not see him once nobody maps the file any more.
fn dax_taken_away(s: &Strategy, of: &Situation) -> bool {
    let waits = s.truncate_dax != Truncate::Ignore;
    let seen = s.dax_orphan == DaxOrphan::Wait || !of.unmaps && !of.forks;
    uses_dax(s, of) && of.removes_dax && !(waits && seen)
}

/// Whether the last reference to a page of a DAX file, wherever it is dropped, may have to free its
/// block.
fn busy_freed_anywhere(s: &Strategy, of: &Situation) -> bool {
    s.truncate_dax == Truncate::BusyExtents && uses_dax(s, of) && of.removes_dax
}

/// Whether a page of the page cache may leave its file while somebody uses it: nothing that was
/// merged waits for that. Reflink and direct writes drop pages as well.
fn cache_taken_away(s: &Strategy, of: &Situation) -> bool {
    let longterm = of.longterm_file_writes && s.longterm != Longterm::RefuseFile;
    let used = of.file_writes || of.file_reads || longterm;
    used && (of.removes || of.reflinks || of.direct || of.grows)
}

/// Whether anybody may pin a page of the page cache, for reading or writing.
fn pins_files(of: &Situation) -> bool {
    of.file_reads || of.file_writes || of.longterm_file_writes
}

/// Whether a pinned page may stay dirty through a writeback that has used up what was reserved for
/// it: who writes a copy and leaves the page dirty asks nobody for the next time.
fn stays_dirty_unprepared(s: &Strategy, of: &Situation) -> bool {
    let copies = matches!(s.writeback, Writeback::Bounce | Writeback::BounceLate);
    copies && of.reserves && pins_files(of)
}

/// Whether the filesystem may look for the buffers of a page in vain: pins are counted behind
/// page->private, in their place, and even a reader's pin of a page hides them.
fn buffers_hidden(s: &Strategy, of: &Situation) -> bool {
    s.pin == Pin::PagePrivate && pins_files(of)
}

/// Whether writeback may find a dirty page without buffers and die of it (BUG) with the folio
/// locked, so that whoever needs that lock waits for ever.
fn writeback_dies(s: &Strategy, of: &Situation) -> bool {
    s.no_buffers == NoBuffers::Bug && (writes_behind(s, of) || buffers_hidden(s, of))
}

/// Whether a page of private memory may become somebody else's while it is used: after a fork
/// that shares it, the first store of either side decides who keeps it. A reference that is no pin
/// is not seen by fork.
fn private_taken_away(s: &Strategy, of: &Situation) -> bool {
    let copies = s.fork == Fork::CopyPinned && !of.gets;
    of.private_users && of.forks && !copies
}

/// Whether a device that follows the notifier may go on with what was invalidated.
fn notifier_fails(s: &Strategy, of: &Situation) -> bool {
    of.notified && s.notifier != Notifier::Sync
}

/// Whether a processor may go on with a page through an address that mremap has moved it away
/// from, when others have found it at the new one.
fn moved_unflushed(s: &Strategy, of: &Situation) -> bool {
    of.moves && s.remap_flush != RemapFlush::Always
}

/// Whether nobody stores to a page of the page cache but through an entry that is found there.
fn stores_are_seen(s: &Strategy, of: &Situation) -> bool {
    !writes_behind(s, of) && !moved_unflushed(s, of)
}

/// Every claim; each invariant has one.
pub const CLAIMS: &[Claim] = &[
    Claim {
        invariant: "use-after-free",
        why: "who uses a page holds a reference to it, and a page with references is not freed; \
              who holds none is told by the notifier before it is, or flushed",
        when: |s, of| !notifier_fails(s, of) && !moved_unflushed(s, of),
    },
    Claim {
        invariant: "foreign-dma",
        why: "as use-after-free; a block of a DAX file is given to nobody else while its page is \
              in use, if truncate waits for that; and private memory stays with who pinned it, if \
              fork copies what is pinned for the child",
        when: |s, of| {
            !notifier_fails(s, of) && !dax_taken_away(s, of) && !private_taken_away(s, of)
        },
    },
    Claim {
        invariant: "freed-while-pinned",
        why: "a pin is a reference at least; a block of a DAX file has none of its own, so that \
              truncate has to wait",
        when: |s, of| !dax_taken_away(s, of),
    },
    Claim {
        invariant: "count-balance",
        why: "whoever counts a reference, a mapping or a pin takes it back; but where the count \
              lies in the mapping, a page that leaves its file with pins leaves them counted, and \
              where it lies behind page->private, the filesystem may take that for itself",
        when: |s, of| {
            let files = pins_files(of) || of.direct;
            let leaves = files && (of.removes || of.direct || of.reflinks);
            match s.pin {
                Pin::MappingCounter => !leaves && !dax_taken_away(s, of),
                Pin::PagePrivate => !(files || of.removes || of.reflinks),
                _ => true,
            }
        },
    },
    Claim {
        invariant: "pin-missed",
        why: "a pin counted in the folio is seen by everybody who asks; where pins are not \
              counted, the answer is no and means nothing",
        when: |s, _| s.pin == Pin::FolioPincount,
    },
    Claim {
        invariant: "lost-write",
        why: "whoever writes through a page table has it dirtied before (page_mkwrite), whoever \
              calls write(2) dirties the folio under its lock; not so a device, whose driver \
              dirties the page after the fact, when the filesystem may have cleaned it. A page \
              whose buffers are hidden behind page->private is not written",
        when: |s, of| stores_are_seen(s, of) && !notifier_fails(s, of) && !buffers_hidden(s, of),
    },
    Claim {
        invariant: "clean-but-newer",
        why: "as lost-write: cleaning write-protects the page tables first",
        when: |s, of| stores_are_seen(s, of) && !notifier_fails(s, of) && !buffers_hidden(s, of),
    },
    Claim {
        invariant: "unstable-io",
        why: "where a checksum is taken, writers wait for writeback (stable pages); a device does \
              not, and direct I/O takes its checksum over memory that its program may change",
        when: |s, of| stores_are_seen(s, of) && !notifier_fails(s, of) && !of.direct,
    },
    Claim {
        invariant: "torn-snapshot",
        why: "nobody changes a page while it is written, if the disk demands stable pages and all \
              writers know: no device, no direct I/O. Elsewhere writers do not wait, and what they \
              tear is written once more",
        when: |s, of| stores_are_seen(s, of) && !of.notified && !of.direct && !of.unstable,
    },
    Claim {
        invariant: "dirty-without-mkwrite",
        why: "only page_mkwrite and write(2) dirty a page of a file, unless a driver does so when \
              it lets go of a page that it had pinned for writing; but the buffers that \
              page_mkwrite has attached are out of the filesystem's sight while pins are counted \
              behind page->private, and a page that stays dirty because it is pinned has spent \
              its reservation with the first copy that was written",
        when: |s, of| {
            !writes_behind(s, of) && !buffers_hidden(s, of) && !stays_dirty_unprepared(s, of)
        },
    },
    Claim {
        invariant: "silent-orphan-dma",
        why: "a device either holds no page that may leave its file, or is told: truncate of the \
              page cache neither waits nor tells",
        when: |s, of| !cache_taken_away(s, of) && !dax_taken_away(s, of) && !notifier_fails(s, of),
    },
    Claim {
        invariant: "corrupt-remote-read",
        why: "as silent-orphan-dma: what a device reads is the file's as long as the page is; but \
              between i_size_write and the unmap truncate leaves a moment in which a device with \
              a notifier reads beyond the end of the file, as a load does",
        when: |s, of| {
            let moment = of.notified && (of.removes || of.removes_dax);
            let told = !notifier_fails(s, of) && !moment;
            !cache_taken_away(s, of) && !dax_taken_away(s, of) && told
        },
    },
    Claim {
        invariant: "stale-device-mapping",
        why: "a device that tears down before range_start returns translates to nothing that the \
              page table does not show",
        when: |s, of| !notifier_fails(s, of),
    },
    Claim {
        invariant: "stale-tlb",
        why: "whoever takes a translation away flushes it before anybody relies on that",
        when: |_, _| true,
    },
    Claim {
        invariant: "missing-struct-page",
        why: "removal of a device waits for whoever took a page in time (5.2 to 5.17); since it \
              no longer does, and before it did, only for those who are between taking and \
              looking again",
        when: |s, of| !of.unbinds || s.unbind == Unbind::LiveRef || !uses_dax(s, of),
    },
    Claim {
        invariant: "double-owned-block",
        why: "a block is allocated from the free ones, under locks, by every design",
        when: |_, _| true,
    },
    Claim {
        invariant: "space-leak",
        why: "what leaves a file is freed or waits for its last user; a busy extent waits as \
              long as a program keeps the page, if need be for ever",
        when: |s, of| !(of.keeps && busy_freed_anywhere(s, of)),
    },
    Claim {
        invariant: "exposed-beyond-eof",
        why: "the end of the last page is zeroed when a file shrinks and, where eof-tail says so, \
              when it grows; who writes behind the page tables may write there in between",
        when: |s, of| s.eof_tail == EofTail::Zero && stores_are_seen(s, of),
    },
    Claim {
        invariant: "sleep-in-atomic",
        why: "completion in an interrupt must not dirty a page under the folio lock; drivers that \
              do are on their own. Busy extents are freed by whoever drops the last reference, be \
              it the completion of direct I/O or GUP-fast that lets go again",
        when: |s, of| !of.interrupts && !busy_freed_anywhere(s, of),
    },
    Claim {
        invariant: "lock-order",
        why: "the order of mm/filemap.c, which every design keeps",
        when: |_, _| true,
    },
    Claim {
        invariant: "deadlock",
        why: "nobody waits for a page under a lock that its user may need; but a program that \
              takes pages from a file which it has pinned itself waits for itself, if truncate \
              waits",
        when: |s, of| {
            let own = of.keeps
                && (of.removes && s.truncate != Truncate::Ignore
                    || of.removes_dax && s.truncate_dax != Truncate::Ignore);
            s.truncate != Truncate::WaitLocked
                && s.truncate_dax != Truncate::WaitLocked
                && !of.waits
                && !own
        },
    },
    Claim {
        invariant: "stall",
        why: "whoever is waited for comes to an end, if programs release what they take and post \
              what others wait for (the child of a fork that fails waits for ever), and if nobody \
              dies with a lock held",
        when: |s, of| {
            let left_alone = of.waits || of.keeps || of.leases || (of.forks && of.enomem);
            !left_alone && !writeback_dies(s, of)
        },
    },
];

/// What a design claims in a situation.
pub fn claimed(strategy: &Strategy, situation: &Situation) -> Vec<&'static Claim> {
    CLAIMS.iter().filter(|claim| (claim.when)(strategy, situation)).collect()
}
