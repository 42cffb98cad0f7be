//! A user's loads and stores: through the processor's TLB, else by a walk of the page tables,
//! else by a page fault.
//!
//! The walk and the access are two steps, as they are two accesses of memory: between them
//! another processor may clear the page table entry, and the access goes through a translation
//! that is stale until the flush arrives. Not modelled: per-VMA locks (6.4); a fault takes
//! mmap_lock.

use super::errno::{EAGAIN, EFAULT, EINTR};
use super::fault::{Access, Fault, Retry, account_fault};
use super::routine::call;
use super::step::*;
use crate::kernel::world::VPage;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::{Fact, Toucher};
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::{Owner, OwnerKind, Pte, Tlb};
use crate::kernel::world::plan::{Part, WHOLE};
use crate::kernel::world::storage::Mode;

/// A load or a store of a part of a mapped page. Returns 0, or -EFAULT where the kernel would
/// deliver SIGBUS or SIGSEGV.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Memory {
    at: VPage,
    part: Part,
    store: bool,
    retry: Retry,
    state: State,
}

/// Where a load or store is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    /// Before the instruction (again): the TLB, else the hardware's walk.
    Access,
    /// Waits for mmap_lock (`lock_mm_and_find_vma` in `do_user_addr_fault`).
    Lock,
    /// In `handle_mm_fault`.
    Fault,
    /// Before mmap_lock is released; then again, or the signal.
    Unlock(Ret),
}

impl Memory {
    /// A load of a whole page: records its contents.
    pub fn load(at: VPage) -> Memory {
        Memory { at, part: WHOLE, store: false, retry: Retry::First, state: State::Access }
    }

    /// A store of a new version to a part of a page.
    pub fn store(at: VPage, part: Part) -> Memory {
        Memory { part, store: true, ..Memory::load(at) }
    }

    fn go(self, state: State) -> Next {
        Memory { state, ..self }.into()
    }

    /// The hardware: a hit in the TLB makes the access; a miss loads the TLB, setting the entry's
    /// accessed and dirty bits; what the entry does not allow faults. A store through an entry
    /// not known to be dirty walks, too (Intel SDM vol. 3, 4.8).
    fn access(self, cx: &mut Step) -> Next {
        let cpu = cx.cpu();
        let usable = |e: &Tlb| !self.store || (e.writable() && e.dirty());
        if let Some(entry) = cx.tlb(cpu, self.at).filter(usable) {
            return self.hit(cx, entry);
        }
        let pte = cx.get::<Pte>(self.at);
        if !pte.present() || (self.store && !pte.writable()) {
            return self.go(State::Lock);
        }
        let used = pte.with_young(true).with_dirty(pte.dirty() || self.store);
        if used != pte {
            cx.set_pte(self.at, used);
        }
        cx.tlb_fill(cpu, self.at, used);
        self.into()
    }

    fn hit(self, cx: &mut Step, entry: Tlb) -> Next {
        let Some(page) = cx.tlb_page(entry) else { return Next::Return(-EFAULT) };
        if self.store {
            let private = cx.map.origin_of_vpage(self.at);
            cx.facts.push(Fact::Stored { at: self.at, frame: page.frame, through_tlb: true });
            cx.write_frame(page, self.part, private, Toucher::Cpu);
            return Next::Return(0);
        }
        cx.touch(page, false, Toucher::Cpu);
        let contents = cx.data(page.frame);
        cx.read_result(contents);
        let private = cx.get::<Owner>(page.frame).kind() == OwnerKind::Anon;
        if let Some(at) = cx.map.backing(self.at).filter(|_| !private) {
            cx.facts.push(Fact::Shown { at, contents, left: false });
        }
        Next::Return(0)
    }
}

impl Machine for Memory {
    fn need(self, cx: &Scene) -> Need {
        match self.state {
            State::Lock => Need::Lock(cx.w.map.mmap_lock(cx.w.map.mm_of(self.at)), Mode::Shared),
            _ => Need::Nothing,
        }
    }

    fn interruptible(self) -> bool {
        self.state == State::Lock
    }

    fn label(self) -> Label {
        match (self.state, self.store) {
            (State::Access, false) => Label::new("", "load", Cost::Walk),
            (State::Access, true) => Label::new("", "store", Cost::Walk),
            (State::Lock, _) => Label::new("", "page fault: mmap_read_lock", Cost::Fault),
            (State::Fault, _) => Label::new("", "handle_mm_fault", Cost::Step),
            (State::Unlock(_), _) => Label::new("", "mmap_read_unlock", Cost::Lock),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        let lock = cx.map.mmap_lock(cx.map.mm_of(self.at));
        let me = cx.me;
        match self.state {
            State::Access => self.access(cx),
            State::Lock | State::Fault => {
                if cx.signalled() {
                    return Next::Return(-EINTR);
                }
                cx.lock(me, lock, Mode::Shared);
                let access = if self.store { Access::Write } else { Access::Read };
                let fault = Fault::new(self.at, access, self.retry);
                call(fault, Memory { state: State::Fault, ..self })
            }
            State::Unlock(ret) => {
                cx.unlock(me, lock);
                if ret < 0 { Next::Return(ret) } else { self.go(State::Access) }
            }
        }
    }

    /// A fault that gave up mmap_lock is retried once without doing so again (FAULT_FLAG_TRIED).
    fn resume(self, cx: &mut Step, ret: Ret) -> Next {
        if ret == -EAGAIN {
            return Memory { retry: Retry::Tried, ..self }.go(State::Access);
        }
        account_fault(cx, ret);
        self.go(State::Unlock(ret))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::*;
    use super::*;
    use crate::kernel::world::objects::{CacheSlot, Flags, VmaState};
    use crate::kernel::world::plan::*;
    use crate::kernel::world::{FilePage, Frame, Mm, OpId, Version, Vma};

    /// A file of one page, its shared mapping, and one thread.
    fn one_page(fs: FsKind, init: InitPage, shared: bool, program: &[Op]) -> (Kit, OpId) {
        let mut kit = Kit::new();
        let data = kit.file(fs, &[init]);
        kit.map(file(data), shared, 1);
        let first = kit.thread(Mm(0), program);
        (kit, first)
    }

    const LOAD: Op = Op::Load { at: VPage(0) };
    const STORE: Op = Op::Store { at: VPage(0), part: WHOLE };

    fn cached(sim: &crate::kernel::sim::Sim) -> (Frame, Flags) {
        let frame = sim.world.get::<CacheSlot>(FilePage(0)).frame().unwrap();
        (frame, sim.world.flags(frame))
    }

    #[test]
    fn private_memory_that_is_populated_has_been_stored_to() {
        for file_backed in [false, true] {
            let mut kit = Kit::new();
            let data = kit.file(FsKind::Ext4, &[InitPage::Clean]);
            kit.map(if file_backed { file(data) } else { Backing::Anon }, false, 1);
            kit.plan.vmas[0].populate = Populate::Write;
            kit.thread(Mm(0), &[STORE]);
            let mut sim = kit.sim("linux-6.18");
            let (page, flags) = cached(&sim);
            let pte = sim.world.get::<Pte>(VPage(0));
            let frame = pte.frame().unwrap();
            assert!(pte.present() && pte.writable() && pte.dirty() && frame != page);
            assert!(sim.world.flags(frame).exclusive() && !flags.dirty());
            let zeroes = sim.world.data(frame) == crate::kernel::world::Contents::ZERO;
            assert_eq!(zeroes, !file_backed);
            run(&mut sim);
            assert_eq!(sim.world.get::<Pte>(VPage(0)).frame(), Some(frame), "no fault was taken");
            assert_eq!(sim.world.counts(frame).refs(), 1);
        }
    }

    #[test]
    fn a_read_fault_maps_a_cached_page_clean() {
        let (kit, load) = one_page(FsKind::Ext4, InitPage::Clean, true, &[LOAD]);
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        let (frame, flags) = cached(&sim);
        assert_eq!(ret(&sim, load), 0);
        assert_eq!(author_read(&sim, load), Some(Version::INITIAL));
        assert!(!flags.dirty() && !pte(&sim, VPage(0)).writable());
        assert_eq!(sim.world.counts(frame).maps(), 1);
    }

    #[test]
    fn the_first_store_to_a_clean_page_asks_the_filesystem_and_dirties() {
        for fs in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
            let (kit, load) = one_page(fs, InitPage::Clean, true, &[LOAD, STORE, STORE]);
            let mut sim = kit.sim("linux-6.18");
            finish(&mut sim);
            let (frame, flags) = cached(&sim);
            assert!(flags.dirty() && flags.prepared(), "{fs:?}");
            assert!(pte(&sim, VPage(0)).writable() && pte(&sim, VPage(0)).dirty());
            assert!(sim.world.get::<CacheSlot>(FilePage(0)).tag_dirty());
            assert_eq!(author(&sim, frame), Some(load.plus(2)));
        }
    }

    #[test]
    fn a_store_takes_no_fault_while_the_pte_is_writable() {
        let (kit, _) = one_page(FsKind::Ext4, InitPage::Clean, true, &[STORE, STORE]);
        let mut sim = kit.sim("linux-6.18");
        run_until(&mut sim, 0, "page fault: mmap_read_lock");
        while sim.op(0) == OpId(2) {
            step(&mut sim, 0);
        }
        // The second store: one step, through the TLB.
        step(&mut sim, 0);
        assert!(sim.top(0).is_none());
    }

    #[test]
    fn a_fault_on_an_uncached_page_reads_it_in() {
        let (kit, load) = one_page(FsKind::Ext4, InitPage::Cold, true, &[LOAD]);
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        assert_eq!(author_read(&sim, load), Some(Version::INITIAL));
        assert!(cached(&sim).1.uptodate());
    }

    #[test]
    fn tmpfs_does_not_track_stores() {
        let (kit, _) = one_page(FsKind::Tmpfs, InitPage::Hole, true, &[LOAD, STORE]);
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        // Only the PTE knows of the store.
        assert!(!cached(&sim).1.dirty() && pte(&sim, VPage(0)).dirty());
        let (kit, _) = one_page(FsKind::Tmpfs, InitPage::Hole, true, &[STORE]);
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        assert!(cached(&sim).1.dirty());
        assert!(!sim.world.get::<CacheSlot>(FilePage(0)).tag_dirty());
    }

    #[test]
    fn a_store_to_a_private_mapping_copies() {
        for program in [&[LOAD, STORE, LOAD][..], &[STORE, STORE, LOAD]] {
            let (kit, first) = one_page(FsKind::Ext4, InitPage::Clean, false, program);
            let mut sim = kit.sim("linux-6.18");
            finish(&mut sim);
            let (frame, flags) = cached(&sim);
            let copy = pte(&sim, VPage(0)).frame().unwrap();
            assert_ne!(copy, frame);
            assert!(sim.world.flags(copy).exclusive() && !flags.dirty());
            assert_eq!(sim.world.counts(frame).maps(), 0);
            assert_eq!(author_read(&sim, first.plus(2)), Some(first.plus(1)));
            assert_eq!(author(&sim, frame), Some(Version::INITIAL));
        }
    }

    #[test]
    fn anonymous_memory_starts_as_the_zero_page() {
        let mut kit = Kit::new();
        let at = kit.map(Backing::Anon, false, 1);
        let first = kit.thread(Mm(0), &[LOAD, STORE, LOAD]);
        let mut sim = kit.sim("linux-6.18");
        run_until(&mut sim, 0, "wp_page_copy: allocate");
        assert!(pte(&sim, at).special());
        finish(&mut sim);
        assert_eq!(author_read(&sim, first), None);
        assert_eq!(author_read(&sim, first.plus(2)), Some(first.plus(1)));
        assert!(sim.world.flags(pte(&sim, at).frame().unwrap()).exclusive());
    }

    #[test]
    fn a_store_to_a_read_only_mapping_or_beyond_the_end_fails() {
        let (mut kit, first) = one_page(FsKind::Ext4, InitPage::Clean, true, &[STORE, LOAD]);
        kit.plan.vmas[0].write = false;
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        assert_eq!((ret(&sim, first), ret(&sim, first.plus(1))), (-EFAULT, 0));
        assert!(!cached(&sim).1.dirty() && sim.world.get::<VmaState>(Vma(0)).mapped());
        let (mut kit, first) = one_page(FsKind::Ext4, InitPage::Hole, true, &[STORE, LOAD]);
        kit.plan.files[0].size = 0;
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        assert_eq!((ret(&sim, first), ret(&sim, first.plus(1))), (-EFAULT, -EFAULT));
        assert_eq!(sim.world.get::<CacheSlot>(FilePage(0)).frame(), None);
    }

    #[test]
    fn dax_maps_the_media_and_tracks_stores() {
        for preset in ["linux-4.19", "linux-6.18"] {
            let program = [LOAD, STORE, LOAD];
            let (kit, first) = one_page(FsKind::Dax, InitPage::Cold, true, &program);
            let mut sim = kit.sim(preset);
            run_until(&mut sim, 0, "page fault: mmap_read_lock");
            while sim.op(0) == first {
                step(&mut sim, 0);
            }
            assert!(!pte(&sim, VPage(0)).writable(), "{preset}");
            finish(&mut sim);
            let entry = pte(&sim, VPage(0));
            assert!(sim.world.flags(entry.frame().unwrap()).pmem() && entry.writable());
            assert_eq!(entry.devmap(), preset == "linux-4.19");
            assert!(sim.world.get::<CacheSlot>(FilePage(0)).tag_dirty());
            assert_eq!(author_read(&sim, first.plus(2)), Some(first.plus(1)));
        }
    }

    #[test]
    fn a_store_to_a_dax_hole_replaces_the_zero_page() {
        let (kit, first) = one_page(FsKind::Dax, InitPage::Hole, true, &[LOAD, STORE, LOAD]);
        let mut sim = kit.sim("linux-6.18");
        finish(&mut sim);
        assert_eq!(author_read(&sim, first), None);
        assert_eq!(author_read(&sim, first.plus(2)), Some(first.plus(1)));
        assert!(sim.world.flags(pte(&sim, VPage(0)).frame().unwrap()).pmem());
    }

    #[test]
    fn two_threads_store_to_one_page_under_every_interleaving() {
        let mut kit = Kit::new();
        let data = kit.file(FsKind::Ext4, &[InitPage::Clean]);
        kit.map(file(data), true, 1);
        let a = kit.thread(Mm(0), &[STORE]);
        let b = kit.thread(Mm(0), &[STORE]);
        let mut sim = kit.sim("linux-6.18");
        let mut last = std::collections::BTreeSet::new();
        let states = explore_to_rest(&mut sim, |sim| {
            last.insert(author(sim, cached(sim).0));
            assert!(cached(sim).1.dirty());
        });
        assert_eq!(last, [Some(a), Some(b)].into());
        assert!(states > 100, "{states}");
    }

    #[test]
    fn two_threads_fault_on_an_uncached_page_and_one_reads_it() {
        let mut kit = Kit::new();
        let data = kit.file(FsKind::Ext4, &[InitPage::Cold]);
        kit.map(file(data), true, 1);
        let a = kit.thread(Mm(0), &[LOAD]);
        let b = kit.thread(Mm(0), &[LOAD]);
        let mut sim = kit.sim("linux-6.18");
        explore_to_rest(&mut sim, |sim| {
            assert_eq!(author_read(sim, a), Some(Version::INITIAL));
            assert_eq!(author_read(sim, b), Some(Version::INITIAL));
            assert_eq!(sim.world.counts(cached(sim).0).refs(), 2); // the cache and the PTE
        });
    }
}
