//! fsync, msync, sync_file_range (kernel-facts 3.6).

use super::disk::{reap, submit};
use super::errno::{EBUSY, EIO, ENOMEM, ENOSPC};
use super::routine::call;
use super::step::*;
use super::writeback::WritePages;
use super::writeback_wait::WaitPages;
use crate::kernel::strategy::Guard;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::BioKind;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::plan::{Backing, DiskKind, FsKind, SfrFlags, SyncMode};
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{Disk, File, FilePage, Lock, Tag, Vma, World};

/// `file_check_and_advance_wb_err`: an error that nobody has reported yet is reported once.
fn check_error(cx: &mut Step, file: File) -> Ret {
    let state = cx.get::<FileState>(file);
    if state.wb_err() == state.wb_err_seen() {
        return 0;
    }
    cx.set(file, state.with_wb_err_seen(state.wb_err()));
    if state.wb_nospc() { -ENOSPC } else { -EIO }
}

/// `vfs_fsync_range`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fsync {
    file: File,
    data_only: bool,
    place: FsyncPlace,
}

/// The place of an fsync.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum FsyncPlace {
    /// `file_write_and_wait_range` begins: what is newest now is what success will promise.
    Begin,
    /// The pages are being written.
    Writing,
    /// btrfs_sync_file: and once more, with the inode locked, what has been dirtied meanwhile
    /// (`start_ordered_ops`).
    WritingAgain,
    /// The pages under writeback are being waited for.
    Waiting,
    /// `file_check_and_advance_wb_err` after the wait.
    Check,
    /// The journal commits (`ext4_fsync_journal`, `xfs_log_force_seq`, `btrfs_sync_log`).
    Commit,
    /// `blkdev_issue_flush`: submits a flush of the disk's volatile cache.
    Flush(Disk),
    /// The flush is under way.
    Flushing(Tag),
    /// The last look at the error sequence; success is a promise.
    Finish,
}

impl Fsync {
    /// fsync or fdatasync of a file. Returns 0, -EIO or -ENOSPC.
    pub fn new(file: File, data_only: bool) -> Fsync {
        Fsync { file, data_only, place: FsyncPlace::Begin }
    }

    fn to(self, place: FsyncPlace) -> Next {
        Fsync { place, ..self }.into()
    }

    fn pages(self, w: &World) -> impl Iterator<Item = FilePage> + use<> {
        w.map.pages_of(self.file)
    }

    /// After the data: the journal, unless only data was asked for.
    fn after_data(self, cx: &Step) -> Next {
        if !self.data_only { self.to(FsyncPlace::Commit) } else { self.after_journal(cx) }
    }

    /// After the journal: a flush, if the disk has a volatile cache.
    fn after_journal(self, cx: &Step) -> Next {
        let disk = cx.map.file(self.file).disk;
        let volatile = |d: &Disk| {
            let kind = cx.map.plan.disks[d.0 as usize].kind;
            let volatile = matches!(kind, DiskKind::Block { volatile_cache: true, .. });
            volatile && cx.strategy.keeps(Guard::FsyncFlush)
        };
        match disk.filter(volatile) {
            Some(disk) => self.to(FsyncPlace::Flush(disk)),
            None => self.to(FsyncPlace::Finish),
        }
    }

    /// Ghost: keeps in mind what is newest as the call begins.
    fn ask(self, cx: &mut Step) {
        for page in self.pages(cx) {
            if let Some(asked) = cx.map.asked_page(cx.me, page) {
                let newest = cx.get::<Newest>(page).0;
                cx.set(asked, Asked(newest));
            }
        }
    }

    /// Ghost: forgets it; if the call succeeded it is promised, unless a younger call has
    /// promised more.
    fn promise(self, cx: &mut Step, success: bool) {
        for page in self.pages(cx) {
            let Some(asked) = cx.map.asked_page(cx.me, page) else { continue };
            let contents = cx.get::<Asked>(asked).0;
            let promised = cx.get::<Promised>(page).0;
            let (new, old) = (cx.patches.max_seq(contents), cx.patches.max_seq(promised));
            if success && new >= old {
                cx.set(page, Promised(contents));
            }
            cx.set(asked, Asked::default());
        }
    }

    fn finish(self, cx: &mut Step) -> Next {
        let ret = check_error(cx, self.file);
        self.promise(cx, ret == 0);
        Next::Return(ret)
    }
}

impl Machine for Fsync {
    fn need(self, _cx: &Scene) -> Need {
        match self.place {
            FsyncPlace::Flush(disk) => Need::FreeTag(disk),
            FsyncPlace::Flushing(tag) => Need::BioDone(tag),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.place {
            FsyncPlace::Begin => Label::new("", "file_write_and_wait_range", Cost::Syscall),
            FsyncPlace::Commit => Label::new("", "journal commit", Cost::Journal),
            FsyncPlace::Flush(_) => Label::new("", "blkdev_issue_flush", Cost::Submit),
            FsyncPlace::Flushing(_) => Label::new("", "submit_bio_wait", Cost::Wake),
            _ => Label::new("", "file_check_and_advance_wb_err", Cost::Atomic),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.place {
            FsyncPlace::Begin => {
                cx.might_sleep();
                self.ask(cx);
                if cx.map.file(self.file).fs == FsKind::Tmpfs {
                    // noop_fsync()
                    self.promise(cx, true);
                    return Next::Return(0);
                }
                let write = WritePages::new(self.file, SyncMode::Integrity);
                call(write, Fsync { place: FsyncPlace::Writing, ..self })
            }
            FsyncPlace::Writing
            | FsyncPlace::WritingAgain
            | FsyncPlace::Waiting
            | FsyncPlace::Check => {
                let ret = check_error(cx, self.file);
                if ret != 0 {
                    self.promise(cx, false);
                    return Next::Return(ret);
                }
                self.after_data(cx)
            }
            FsyncPlace::Commit => self.after_journal(cx),
            FsyncPlace::Flush(disk) => {
                let tag = submit(cx, disk, BioKind::Flush, None, None);
                self.to(FsyncPlace::Flushing(tag))
            }
            FsyncPlace::Flushing(tag) => {
                reap(cx, tag);
                self.to(FsyncPlace::Finish)
            }
            FsyncPlace::Finish => self.finish(cx),
        }
    }

    fn resume(self, cx: &mut Step, _ret: Ret) -> Next {
        match self.place {
            FsyncPlace::Writing if cx.map.file(self.file).fs == FsKind::Btrfs => {
                let write = WritePages::new(self.file, SyncMode::Integrity);
                call(write, Fsync { place: FsyncPlace::WritingAgain, ..self })
            }
            FsyncPlace::Writing | FsyncPlace::WritingAgain
                if cx.strategy.keeps(Guard::FsyncWait) =>
            {
                let place = FsyncPlace::Waiting;
                call(WaitPages::new(self.file), Fsync { place, ..self })
            }
            _ => self.to(FsyncPlace::Check),
        }
    }
}

/// `msync`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Msync {
    vma: Vma,
    sync: bool,
    /// MS_INVALIDATE: locked memory is refused, and nothing else is done.
    invalidate: bool,
}

impl Msync {
    /// msync of a mapping; without `sync` (MS_ASYNC) it writes nothing. Returns 0, -EIO, or
    /// -ENOMEM if nothing is mapped there.
    pub fn new(vma: Vma, sync: bool) -> Msync {
        Msync { vma, sync, invalidate: false }
    }

    /// msync with MS_INVALIDATE. Returns 0, -EBUSY if any page is locked, or -ENOMEM.
    pub fn invalidate(vma: Vma) -> Msync {
        Msync { invalidate: true, ..Msync::new(vma, false) }
    }

    fn lock(self, w: &World) -> Lock {
        w.map.mmap_lock(w.map.vma(self.vma).mm)
    }
}

impl Machine for Msync {
    fn need(self, cx: &Scene) -> Need {
        Need::Lock(self.lock(cx.w), Mode::Shared)
    }

    fn label(self) -> Label {
        Label::new("", "msync", Cost::Syscall)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        // mmap_lock is dropped before the file is synced: only the lookup is under it.
        let (me, lock) = (cx.me, self.lock(cx));
        cx.lock(me, lock, Mode::Shared);
        let state = cx.get::<VmaState>(self.vma);
        let mapped = state.mapped();
        cx.unlock(me, lock);
        if self.invalidate && state.locked() != 0 {
            return Next::Return(-EBUSY);
        }
        let plan = cx.map.vma(self.vma);
        match plan.backing {
            _ if !mapped => Next::Return(-ENOMEM),
            Backing::File { file, .. } if self.sync && plan.shared => {
                call(Fsync::new(file, false), self)
            }
            _ => Next::Return(0),
        }
    }
}

/// `ksys_sync_file_range` over a whole file: no metadata, no flush of the disk's cache.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SyncFileRange {
    file: File,
    flags: SfrFlags,
    /// Which of the three parts comes next.
    part: u8,
}

impl SyncFileRange {
    /// sync_file_range with these flags. Returns 0 or -EIO.
    pub fn new(file: File, flags: SfrFlags) -> SyncFileRange {
        SyncFileRange { file, flags, part: 0 }
    }

    /// SYNC_FILE_RANGE_WRITE_AND_WAIT, all three flags, writes for integrity.
    fn mode(self) -> SyncMode {
        let SfrFlags { wait_before, write, wait_after } = self.flags;
        if wait_before && write && wait_after { SyncMode::Integrity } else { SyncMode::Cleaning }
    }
}

impl Machine for SyncFileRange {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "sync_file_range", Cost::Syscall)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let SyncFileRange { file, flags, part } = self;
        let waited = (part == 1 && flags.wait_before) || (part == 3 && flags.wait_after);
        if waited {
            let ret = check_error(cx, file);
            if ret != 0 {
                return Next::Return(ret);
            }
        }
        let then = SyncFileRange { part: part + 1, ..self };
        match part {
            0 if flags.wait_before => call(WaitPages::new(file), then),
            0 | 1 if flags.write => {
                let then = SyncFileRange { part: 2, ..self };
                call(WritePages::new(file, self.mode()), then)
            }
            0..=2 if flags.wait_after => {
                call(WaitPages::new(file), SyncFileRange { part: 3, ..self })
            }
            _ => Next::Return(0),
        }
    }

    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        self.into()
    }
}
