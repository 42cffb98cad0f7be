//! Seals of a memfd: `fcntl(F_ADD_SEALS)` (mm/memfd.c, `memfd_add_seals`).
//!
//! F_SEAL_WRITE promises that the contents will not change any more. So nobody may map the file
//! shared and writable (`mapping_deny_writable`), and nobody may still hold a page through which
//! he could write: "via get_user_pages(), drivers might have some pending I/O without any active
//! user-space mappings". Whether somebody does is read off the refcount (`memfd_tag_pins`,
//! `memfd_wait_for_pins`): a reference that is neither the page cache's nor a mapping's, be it a
//! pin or a plain one. Five looks, about 150 ms in all, and then EBUSY (kernel truth F50 to F52).
//! F_SEAL_FUTURE_WRITE (5.1) asks nobody: who may write already goes on.

use super::errno::{EBUSY, EINVAL, EPERM};
use super::step::*;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::machine::LockClass;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::*;
use crate::kernel::world::op::Seal;
use crate::kernel::world::plan::FsKind;
use crate::kernel::world::storage::Mode;
use crate::kernel::world::{File, FilePage, Lock, World};

/// The last look (`LAST_SCAN`).
const LAST: u8 = 4;

/// `memfd_add_seals`. Returns 0; -EINVAL if the file is no memfd, -EBUSY if it is mapped writable
/// or a page of it is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AddSeal {
    file: File,
    seal: Seal,
    place: Place,
}

/// Where it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Waits for i_rwsem (`inode_lock`).
    Lock,
    /// `mapping_deny_writable`: from here on nobody can map the file writable.
    Deny,
    /// `memfd_tag_pins`: tags what seems to be held, under the lock of i_pages.
    Tag,
    /// `memfd_wait_for_pins`: takes the tag off what is not held any more. Sleeps before, except
    /// the first time (`schedule_timeout_killable`, 10, 20, 40 and 80 ms).
    Scan(u8),
    /// `mapping_allow_writable`: it has failed.
    Allow,
    /// Before the seal is set.
    Set,
    /// `inode_unlock`, with this result.
    Unlock(Ret),
}

impl AddSeal {
    /// F_ADD_SEALS of one seal.
    pub fn new(file: File, seal: Seal) -> AddSeal {
        AddSeal { file, seal, place: Place::Lock }
    }

    fn to(self, place: Place) -> Next {
        AddSeal { place, ..self }.into()
    }

    fn inode(self, w: &World) -> Lock {
        w.map.file_lock(LockClass::IRwsem, self.file)
    }

    /// After i_rwsem.
    fn begin(self, cx: &Step) -> Place {
        if cx.map.file(self.file).fs != FsKind::Tmpfs {
            return Place::Unlock(-EINVAL);
        }
        match self.seal == Seal::Write && !sealed(cx, self.file, Seal::Write) {
            true => Place::Deny,
            false => Place::Set,
        }
    }

    /// The folios of the file, by the first page of each.
    fn folios(self, w: &World) -> Vec<FilePage> {
        let first = |at: &FilePage| w.cached(*at).is_some_and(|f| w.head(f) == f);
        w.map.pages_of(self.file).filter(first).collect()
    }

    fn tag(self, cx: &mut Step) {
        let me = cx.me;
        cx.lru_add_drain();
        cx.lock_briefly(me, LockClass::IPages);
        for at in self.folios(cx).into_iter().filter(|&at| held(cx, at)).collect::<Vec<_>>() {
            cx.update::<CacheSlot>(at, |s| s.with_tag_towrite(true));
        }
    }

    /// One look at what is tagged; gives whether that is the end, and with what.
    fn scan(self, cx: &mut Step, nth: u8) -> Place {
        let me = cx.me;
        let tagged = |cx: &Step, at: FilePage| cx.get::<CacheSlot>(at).tag_towrite();
        let all: Vec<_> = self.folios(cx).into_iter().filter(|&at| tagged(cx, at)).collect();
        if all.is_empty() {
            return Place::Set;
        }
        if nth == 0 {
            cx.lru_add_drain(); // lru_add_drain_all()
        }
        cx.lock_briefly(me, LockClass::IPages);
        let mut left = false;
        for at in all {
            let held = held(cx, at);
            left |= held;
            if !held || nth == LAST {
                cx.update::<CacheSlot>(at, |s| s.with_tag_towrite(false));
            }
        }
        match (left, nth) {
            (true, LAST) => Place::Allow,
            (true, _) => Place::Scan(nth + 1),
            (false, _) => Place::Set,
        }
    }
}

/// `memfd_folio_has_extra_refs`: somebody beside page cache and mappings has a reference.
fn held(w: &World, at: FilePage) -> bool {
    w.cached(at).is_some_and(|frame| {
        let counts = w.counts(frame);
        counts.refs() - i32::from(counts.maps()) != w.folio_pages(frame) as i32
    })
}

/// Whether a file has a seal. Where no program seals anything, nothing is looked at.
#[inline]
pub fn sealed(w: &World, file: File, seal: Seal) -> bool {
    let has = || w.get::<FileState>(file).seals() & seal.bit() != 0;
    w.map.seals && w.map.file(file).fs == FsKind::Tmpfs && has()
}

/// Whether a seal forbids new writers (`F_SEAL_WRITE | F_SEAL_FUTURE_WRITE`).
#[inline]
pub fn write_sealed(w: &World, file: File) -> bool {
    sealed(w, file, Seal::Write) || sealed(w, file, Seal::FutureWrite)
}

/// Whether somebody maps the file shared and may write through it now or later
/// (`i_mmap_writable`; VM_SHARED and VM_MAYWRITE, not only VM_WRITE).
fn writably_mapped(w: &World, file: File) -> bool {
    w.map.mappings(file).iter().any(|&vma| {
        let state = w.get::<VmaState>(vma);
        w.map.vma(vma).shared && state.mapped() && !state.frozen()
    })
}

/// What `mmap()` of a shared mapping finds (`memfd_check_seals_mmap`, `mapping_map_writable`):
/// EPERM, or whether it can never become writable (VM_MAYWRITE is taken away). Up to 6.6
/// F_SEAL_WRITE let nobody map the file shared, not even for reading (28464bbb2ddc).
pub fn may_map(w: &World, file: File, write: bool) -> Result<bool, Ret> {
    if !w.map.seals {
        return Ok(false);
    }
    match write_sealed(w, file) {
        true if write => Err(-EPERM),
        true => Ok(true),
        false if w.map.file(file).fs != FsKind::Tmpfs => Ok(false),
        false if w.get::<FileState>(file).deny_writable() => Err(-EPERM),
        false => Ok(false),
    }
}

impl Machine for AddSeal {
    fn need(self, cx: &Scene) -> Need {
        match self.place {
            Place::Lock => Need::Lock(self.inode(cx.w), Mode::Exclusive),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        let (name, cost) = match self.place {
            Place::Lock => ("memfd_add_seals: inode_lock", Cost::Syscall),
            Place::Deny => ("mapping_deny_writable", Cost::Atomic),
            Place::Tag => ("memfd_tag_pins", Cost::Walk),
            Place::Scan(_) => ("memfd_wait_for_pins", Cost::Wake),
            Place::Allow => ("mapping_allow_writable", Cost::Atomic),
            Place::Set => ("memfd_add_seals: set", Cost::Step),
            Place::Unlock(_) => ("memfd_add_seals: inode_unlock", Cost::Lock),
        };
        Label::new("", name, cost)
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let (me, file, lock) = (cx.me, self.file, self.inode(cx));
        match self.place {
            Place::Lock => {
                cx.lock(me, lock, Mode::Exclusive);
                self.to(self.begin(cx))
            }
            Place::Deny if writably_mapped(cx, file) => self.to(Place::Unlock(-EBUSY)),
            Place::Deny => {
                cx.update::<FileState>(file, |s| s.with_deny_writable(true));
                self.to(Place::Tag)
            }
            Place::Tag => {
                self.tag(cx);
                self.to(Place::Scan(0))
            }
            Place::Scan(nth) => {
                cx.might_sleep();
                let next = self.scan(cx, nth);
                self.to(next)
            }
            Place::Allow => {
                cx.update::<FileState>(file, |s| s.with_deny_writable(false));
                self.to(Place::Unlock(-EBUSY))
            }
            Place::Set => {
                cx.update::<FileState>(file, |s| s.with_seals(s.seals() | self.seal.bit()));
                self.to(Place::Unlock(0))
            }
            Place::Unlock(ret) => {
                cx.unlock(me, lock);
                Next::Return(ret)
            }
        }
    }
}
