//! The world as user space sees it: what the recorder finds through /proc, mincore, cachestat,
//! fiemap, read() and the mappings.

use super::super::observation::{FilePage as PageSeen, Mapped, Pinned as Held};
use super::super::sequence::{PAGE, SLOTS};
use super::compile::{Shown, Slots};
use super::machine::FILE;
use super::values::Values;
use crate::kernel::world::machine::{Extent, ExtentKind, LockClass, Pinned, RefType};
use crate::kernel::world::objects::*;
use crate::kernel::world::page::ZERO_PAGE;
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{FilePage, Frame, Id, Slot, World};

/// Letters of pages: given at first appearance, lost by a page that a row does not show.
#[derive(Clone, Debug, Default)]
pub struct Letters {
    known: Vec<(Frame, u32, bool)>,
    next: u32,
}

impl Letters {
    /// The letter of a page.
    fn of(&mut self, frame: Option<Frame>) -> String {
        let Some(frame) = frame else { return String::new() };
        if let Some((_, n, seen)) = self.known.iter_mut().find(|(f, ..)| *f == frame) {
            *seen = true;
            return letter(*n);
        }
        self.known.push((frame, self.next, true));
        self.next += 1;
        letter(self.next - 1)
    }

    /// Forgets what the last row did not show.
    fn age(&mut self) {
        self.known.retain(|&(_, _, seen)| seen);
        self.known.iter_mut().for_each(|(_, _, seen)| *seen = false);
    }
}

fn letter(n: u32) -> String {
    let char = |n: u32| char::from(b'A' + (n % 26) as u8);
    match n {
        0..26 => char(n).to_string(),
        _ => format!("{}{}", char(n / 26 - 1), char(n)),
    }
}

/// What is looked at, and how.
#[derive(Clone, Copy, Debug)]
pub struct Eye<'a> {
    /// The world.
    pub w: &'a World,
    /// What values mean.
    pub values: &'a Values,
    /// Pages of the file that are observed.
    pub pages: u32,
    /// A background operation is pending: some things are not looked at.
    pub busy: bool,
    /// See [`View::no_io`](super::super::compare::View::no_io).
    pub no_io: bool,
}

/// Who holds pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// A registered buffer.
    Registered(Slot),
    /// A pipe's buffer that vmsplice, or splice (true), filled; with its index.
    Pipe(Slot, bool, u32),
    /// A stalled process_vm_writev, or readv.
    Stalled(Slot, bool),
}

impl Eye<'_> {
    /// Names of the flags of a page, as /proc/kpageflags has them.
    fn flags(&self, frame: Frame) -> String {
        if frame == ZERO_PAGE {
            return "ZERO_PAGE|RESERVED".to_string();
        }
        let flags = self.w.flags(frame);
        if flags.pmem() {
            return String::new();
        }
        let anon = self.w.get::<Owner>(self.w.head(frame)).kind() == OwnerKind::Anon;
        let set = [
            (flags.uptodate(), "UPTODATE"),
            (flags.dirty(), "DIRTY"),
            (flags.writeback(), "WRITEBACK"),
            (self.w.counts(frame).maps() > 0, "MMAP"),
            (anon, "ANON"),
            (flags.swapbacked(), "SWAPBACKED"),
            (flags.mlocked(), "MLOCKED"),
            (flags.buffers() || self.is_of_btrfs(frame), "PRIVATE"),
        ];
        let names: Vec<&str> = set.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        names.join("|")
    }

    /// btrfs attaches something to every page that it caches (`set_folio_extent_mapped`), and has
    /// no use for it here.
    fn is_of_btrfs(&self, frame: Frame) -> bool {
        let at = self.w.get::<Owner>(self.w.head(frame)).file_page();
        at.is_some_and(|at| self.w.map.fs_of(at) == FsKind::Btrfs)
    }

    /// Mapcount; of pmem it is not known.
    fn mapcount(&self, frame: Frame) -> i64 {
        match frame {
            ZERO_PAGE => 0,
            _ if self.w.flags(frame).pmem() => -1,
            _ => i64::from(self.w.counts(frame).maps()),
        }
    }

    /// The size of the file.
    pub fn size(&self) -> u64 {
        self.w.get::<Size>(FILE).bytes()
    }

    /// st_blocks, in sectors of 512 bytes; what is only reserved counts. On tmpfs: pages.
    pub fn blocks(&self) -> i64 {
        let uses = |at: &FilePage| match self.fs() {
            FsKind::Tmpfs => self.w.cached(*at).is_some(),
            _ => self.w.get::<Extent>(*at).kind() != ExtentKind::Hole,
        };
        (PAGE / 512) as i64 * self.w.map.pages_of(FILE).filter(uses).count() as i64
    }

    fn fs(&self) -> FsKind {
        self.w.map.file(FILE).fs
    }

    /// Bytes of a page that the file has.
    fn inside(&self, page: u32) -> u64 {
        self.size().saturating_sub(u64::from(page) * PAGE).min(PAGE)
    }

    /// The pages of the file. `last` is what cached them when nothing was pending.
    pub fn file(&self, letters: &mut Letters, last: &mut Vec<Option<Frame>>) -> Vec<PageSeen> {
        (0..self.pages).map(|n| self.file_page(n, letters, last)).collect()
    }

    fn file_page(&self, n: u32, letters: &mut Letters, last: &mut Vec<Option<Frame>>) -> PageSeen {
        let at = FilePage(n);
        let (dax, ram) = (self.fs() == FsKind::Dax, self.fs() == FsKind::Tmpfs);
        let slot = self.w.get::<CacheSlot>(at);
        let frame = slot.frame().filter(|_| !dax);
        let uptodate = frame.is_some_and(|f| self.w.flags(f).uptodate());
        let cached = if self.busy { frame.is_some() } else { uptodate };
        last.resize(self.pages as usize, None);
        let known = &mut last[n as usize];
        *known = match self.busy {
            true => known.filter(|_| cached),
            false => frame.filter(|_| cached && u64::from(n) * PAGE < self.size()),
        };
        let shown = *known;
        let digit = |on: bool| char::from(b'0' + u8::from(on));
        let cs = match dax {
            true => "-1-1-1".to_string(),
            false => {
                let tags = !ram;
                let dirty = digit(slot.tag_dirty() && tags);
                [digit(frame.is_some()), dirty, digit(slot.tag_writeback() && tags)]
                    .iter()
                    .collect()
            }
        };
        PageSeen {
            cached: u8::from(cached),
            cs,
            id: letters.of(shown),
            fl: shown.map_or(String::new(), |f| self.flags(f)),
            mc: shown.map_or(-1, |f| self.mapcount(f)),
            pread: Some(self.pread(n, cached)),
            disk: (!self.busy).then(|| self.on_disk(n)),
        }
    }

    /// What read() gives of a page, if it need not be fetched.
    fn pread(&self, n: u32, cached: bool) -> String {
        let ram = matches!(self.fs(), FsKind::Tmpfs | FsKind::Dax);
        let inside = self.inside(n);
        if (inside > 0 && !cached && !ram) || (self.busy && self.fs() == FsKind::Dax) {
            return "-".to_string();
        }
        // RWF_NOWAIT: xfs tries i_rwsem; a page that is not uptodate would have to be waited for.
        let lock = self.w.map.file_lock(LockClass::IRwsem, FILE);
        let inode = self.fs() == FsKind::Xfs && !self.w.can_lock(lock, Mode::Shared);
        let page = self.w.cached(FilePage(n)).filter(|_| !ram && inside > 0);
        let refused = |f: Flags| !f.uptodate() || (self.no_io && f.reclaim());
        if inode || page.is_some_and(|f| refused(self.w.flags(f))) {
            return "!EAGAIN".to_string();
        }
        match inside {
            0 => "eof".to_string(),
            len => self.values.page(self.w, self.w.file_contents(FilePage(n)), len),
        }
    }

    /// What the device holds.
    fn on_disk(&self, n: u32) -> String {
        let extent = self.w.get::<Extent>(FilePage(n));
        match extent.kind() {
            ExtentKind::Hole => "hole".to_string(),
            ExtentKind::Delalloc => "delalloc".to_string(),
            ExtentKind::Unwritten => "unwritten".to_string(),
            ExtentKind::Written => {
                let contents = self.w.disk_contents(FilePage(n));
                self.values.page(self.w, contents, PAGE)
            }
        }
    }

    /// The pages of the mappings of a process.
    pub fn mappings(&self, slots: &Slots, letters: &mut Letters) -> Vec<Mapped> {
        let mut seen = Vec::new();
        for (s, shown) in slots.iter().enumerate() {
            let Some(shown) = shown else { continue };
            if !self.w.get::<VmaState>(shown.vma).mapped() {
                continue;
            }
            for p in 0..shown.pages {
                seen.push(self.mapped(s, p, shown, letters));
            }
        }
        seen
    }

    fn mapped(&self, s: usize, p: u32, shown: &Shown, letters: &mut Letters) -> Mapped {
        let pte = self.w.get::<Pte>(shown.first.plus(p));
        let frame = pte.frame().filter(|_| pte.present());
        let readable = self.w.get::<VmaState>(shown.vma).read();
        let id = letters.of(frame);
        let (s, pm) = (s as u32, frame.map_or(String::new(), |f| self.pagemap(f)));
        Mapped {
            s,
            p,
            pm,
            id,
            fl: frame.map(|f| self.flags(f)),
            mc: frame.map(|f| self.mapcount(f)),
            val: frame.filter(|_| readable).map(|f| self.values.page(self.w, self.w.data(f), PAGE)),
        }
    }

    /// Bits of a pagemap entry: present, file or shared memory, mapped exactly once.
    fn pagemap(&self, frame: Frame) -> String {
        if frame == ZERO_PAGE {
            return "P".to_string();
        }
        let anon = self.w.get::<Owner>(self.w.head(frame)).kind() == OwnerKind::Anon;
        let once = self.w.counts(frame).maps() == 1;
        let counted = !self.w.flags(frame).pmem() || self.w.rules.mapped_refs;
        let (file, once) = (!anon && counted, once && counted);
        format!("P{}{}", if file { "F" } else { "" }, if once { "E" } else { "" })
    }

    /// The pages that somebody holds.
    pub fn held(&self, holders: &[Holder], letters: &mut Letters) -> Vec<Held> {
        let mut seen = Vec::new();
        for &holder in holders {
            let (k, slot, index) = match holder {
                Holder::Registered(slot) => ("ureg", slot, 0),
                Holder::Pipe(slot, _, n) => ("vms", slot, n),
                Holder::Stalled(slot, true) => ("pinw", slot, 0),
                Holder::Stalled(slot, false) => ("pinr", slot, 0),
            };
            for (n, frame) in frames(self.w, slot).enumerate() {
                let spliced = matches!(holder, Holder::Pipe(_, true, _));
                let contents = self.values.page(self.w, self.w.data(frame), PAGE);
                seen.push(Held {
                    k: k.to_string(),
                    p: index + n as u32,
                    id: letters.of((!spliced).then_some(frame)),
                    fl: if spliced { String::new() } else { self.flags(frame) },
                    mc: if spliced { -1 } else { self.mapcount(frame) },
                    val: (!matches!(holder, Holder::Stalled(..))).then_some(contents),
                });
            }
        }
        seen
    }

    /// Dirty memory of each slot, in kB: an entry that is dirty, or whose page is.
    pub fn dirty(&self, slots: &Slots) -> Vec<i64> {
        let mut sd = vec![-1; SLOTS];
        for (kb, shown) in sd.iter_mut().zip(slots) {
            let Some(shown) = shown else { continue };
            if !self.w.get::<VmaState>(shown.vma).mapped() {
                continue;
            }
            let dirty = |p: &u32| {
                let pte = self.w.get::<Pte>(shown.first.plus(*p));
                let frame = pte.frame().filter(|&f| pte.present() && f != ZERO_PAGE);
                frame.is_some_and(|f| {
                    let counted = !self.w.flags(f).pmem() || self.w.rules.mapped_refs;
                    counted && (pte.dirty() || self.w.flags(f).dirty())
                })
            };
            *kb = 4 * (0..shown.pages).filter(dirty).count() as i64;
        }
        sd
    }
}

/// The frames that a slot of the model holds.
pub fn frames(w: &World, slot: Slot) -> impl Iterator<Item = Frame> + '_ {
    let pages = w.map.slot_pages[slot.index()].clone().map(crate::kernel::world::SlotPage);
    pages.filter_map(|at| {
        let pinned = w.get::<Pinned>(at);
        Frame::unpack(pinned.frame_bits()).filter(|_| pinned.kind() != RefType::None)
    })
}

/// Ends a row: what it did not show loses its letter, unless something is pending.
pub fn end_row(letters: &mut Letters, busy: bool) {
    if !busy {
        letters.age();
    }
}
