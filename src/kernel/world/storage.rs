//! Primitive operations on blocks, extents, disks and locks.

use super::contents::Contents;
use super::door::World;
use super::facts::Fact;
use super::ids::*;
use super::machine::*;
use super::objects::*;
use super::plan::FsKind;

/// How a lock is taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// For reading: with other readers.
    Shared,
    /// For writing: alone.
    Exclusive,
}

impl World {
    // --- blocks -------------------------------------------------------------------------------

    fn free_blocks(disk: Disk) -> One {
        One(1 + disk.0)
    }

    /// Takes a free block of a disk for a page of a file, last freed first. Its old contents are
    /// still there. None: the disk is full (ENOSPC).
    pub fn alloc_block(&mut self, disk: Disk, owner: FilePage) -> Option<Block> {
        let list = self.get::<FreeList>(World::free_blocks(disk));
        let block = Block::unpack(list.head())?;
        let state = self.get::<BlockState>(block);
        self.set(
            World::free_blocks(disk),
            list.with_head(state.link()).with_count(list.count() - 1),
        );
        self.set(block, state.with_state(BlockUse::Owned).with_link(owner.0 + 1).with_owners(1));
        Some(block)
    }

    /// Gives a block back to its disk's free list.
    pub fn free_block(&mut self, block: Block) {
        let disk = self.map.disk_of(block);
        let list = self.get::<FreeList>(World::free_blocks(disk));
        self.update::<BlockState>(block, |s| {
            s.with_state(BlockUse::Free).with_link(list.head()).with_owners(0)
        });
        let head = Block::pack(Some(block));
        self.set(World::free_blocks(disk), list.with_head(head).with_count(list.count() + 1));
    }

    /// One more page of a file shares a block (reflink).
    pub fn share_block(&mut self, block: Block) {
        self.update::<BlockState>(block, |s| {
            s.with_state(BlockUse::Shared).with_owners(s.owners() + 1)
        });
    }

    /// A page of a file gives up its block: the block is freed, or stays with those that share
    /// it. The extent is the caller's business.
    pub fn put_block(&mut self, block: Block, leaver: FilePage) {
        let state = self.get::<BlockState>(block);
        if state.state() != BlockUse::Shared || state.owners() <= 1 {
            return self.free_block(block);
        }
        let mut pages = (0..self.map.file_page_count()).map(FilePage);
        let heir = pages.find(|&p| p != leaver && self.get::<Extent>(p).block() == Some(block));
        let link = heir.map_or(state.link(), |p| p.0 + 1);
        let left = state.owners() - 1;
        let kind = if left == 1 { BlockUse::Owned } else { BlockUse::Shared };
        self.set(block, state.with_owners(left).with_state(kind).with_link(link));
    }

    /// The block that copy-on-write has allocated for a page of a file on xfs and that its extent
    /// map does not have yet: an extent of the inode's CoW fork.
    pub fn cow_block(&self, disk: Disk, at: FilePage) -> Option<Block> {
        if !self.map.reflinks || self.map.fs_of(at) != FsKind::Xfs {
            return None;
        }
        let own = self.get::<Extent>(at).block();
        let in_fork = |&block: &Block| {
            let state = self.get::<BlockState>(block);
            let ours = state.state() == BlockUse::Owned && state.link() == at.0 + 1;
            ours && own != Some(block)
        };
        self.map.disk_blocks[disk.index()].clone().map(Block).find(in_fork)
    }

    /// One more I/O goes to that block (`xfs_find_trim_cow_extent`: "real extent found - no need to
    /// allocate"). None: there is none.
    pub fn join_cow_block(&mut self, disk: Disk, at: FilePage) -> Option<Block> {
        let block = self.cow_block(disk, at)?;
        self.update::<BlockState>(block, |s| s.with_owners(s.owners() + 1));
        Some(block)
    }

    /// An I/O to a block of a page has failed, or is not made after all: a block that the page's
    /// extent map does not have is freed with the last of them.
    pub fn cancel_cow_block(&mut self, block: Block, at: FilePage) {
        let state = self.get::<BlockState>(block);
        if self.get::<Extent>(at).block() == Some(block) {
            return;
        }
        if state.owners() > 1 {
            self.set(block, state.with_owners(state.owners() - 1));
        } else {
            self.free_block(block);
        }
    }

    /// The page of a file that a block belongs to.
    pub fn block_owner(&self, block: Block) -> Option<FilePage> {
        let state = self.get::<BlockState>(block);
        let owned = matches!(state.state(), BlockUse::Owned | BlockUse::Shared);
        owned.then(|| FilePage(state.link().wrapping_sub(1)))
    }

    /// What the disk returns for a page of a file: zeroes where nothing has been written.
    pub fn disk_contents(&self, at: FilePage) -> Contents {
        let extent = self.get::<Extent>(at);
        match (extent.kind(), extent.block()) {
            (ExtentKind::Written, Some(block)) => self.block_contents(block),
            _ => Contents::ZERO,
        }
    }

    /// What a device returns for a block.
    pub fn block_contents(&self, block: Block) -> Contents {
        match self.map.pmem_frame(block) {
            Some(frame) => self.data(frame),
            None => self.get::<BlockData>(block).0,
        }
    }

    /// A block of a block device receives contents, into the volatile cache if there is one.
    pub fn write_block(&mut self, block: Block, contents: Contents) {
        let disk = self.map.disk_of(block);
        let epoch = self.get::<DiskState>(disk).epoch();
        let state = self.get::<BlockState>(block);
        if state.epoch() != epoch {
            let old = self.get::<BlockData>(block).0;
            self.set(block, BlockDurable(old));
            self.set(block, state.with_epoch(epoch));
        }
        self.set(block, BlockData(contents));
    }

    /// What a block holds if power is lost now.
    pub fn durable_contents(&self, block: Block) -> Contents {
        use super::plan::DiskKind;
        if self.map.pmem_frame(block).is_some() {
            return self.block_contents(block);
        }
        let disk = self.map.disk_of(block);
        let kind = self.map.plan.disks[disk.index()].kind;
        let volatile = matches!(kind, DiskKind::Block { volatile_cache: true, .. });
        let state = self.get::<BlockState>(block);
        if volatile && state.epoch() == self.get::<DiskState>(disk).epoch() {
            self.get::<BlockDurable>(block).0
        } else {
            self.get::<BlockData>(block).0
        }
    }

    /// What a page of a file shows after a power loss, if power is lost now and the extent map
    /// survives as it is. None: the file lies on no disk.
    pub fn after_crash(&self, at: FilePage) -> Option<Contents> {
        self.map.file(self.map.file_of(at)).disk?;
        let extent = self.get::<Extent>(at);
        Some(match (extent.kind(), extent.block()) {
            (ExtentKind::Written, Some(block)) => self.durable_contents(block),
            _ => Contents::ZERO,
        })
    }

    /// A flush of a disk's volatile cache has completed.
    pub fn flush_disk(&mut self, disk: Disk) {
        self.update::<DiskState>(disk, |d| d.with_epoch(d.epoch() + 1));
    }

    // --- locks --------------------------------------------------------------------------------

    /// Whether a lock can be taken now.
    pub fn can_lock(&self, lock: Lock, mode: Mode) -> bool {
        let state = self.get::<LockState>(lock);
        state.writer() == 0 && (mode == Mode::Shared || state.readers() == 0)
    }

    /// Takes a lock that can be taken.
    pub fn lock(&mut self, by: Actor, lock: Lock, mode: Mode) {
        let class = self.map.lock_class(lock);
        self.may_sleep(by);
        self.lock_briefly(by, class);
        self.update::<LockState>(lock, |s| match mode {
            Mode::Shared => s.with_readers(s.readers() + 1),
            Mode::Exclusive => s.with_writer(Actor::pack(Some(by))),
        });
        self.replace_held(by, 0, lock.0 + 1);
    }

    /// Releases a lock.
    pub fn unlock(&mut self, by: Actor, lock: Lock) {
        self.update::<LockState>(lock, |s| match s.writer() {
            0 => s.with_readers(s.readers().saturating_sub(1)),
            _ => s.with_writer(0),
        });
        self.replace_held(by, lock.0 + 1, 0);
    }

    /// The locks that an agent holds, folio locks not among them.
    #[inline]
    pub fn held(&self, by: Actor) -> impl Iterator<Item = Lock> + use<> {
        let (few, more) = (self.get::<Held>(by), self.get::<HeldMore>(by));
        let all = [few.a(), few.b(), few.c(), more.d(), more.e(), more.f()];
        all.into_iter().filter_map(Lock::unpack)
    }

    /// Puts a packed lock into the first place that holds `old` (0: an empty place).
    fn replace_held(&mut self, by: Actor, old: u32, new: u32) {
        let (few, more) = (self.get::<Held>(by), self.get::<HeldMore>(by));
        match old {
            _ if few.a() == old => self.set(by, few.with_a(new)),
            _ if few.b() == old => self.set(by, few.with_b(new)),
            _ if few.c() == old => self.set(by, few.with_c(new)),
            _ if more.d() == old => self.set(by, more.with_d(new)),
            _ if more.e() == old => self.set(by, more.with_e(new)),
            _ if more.f() == old => self.set(by, more.with_f(new)),
            _ => debug_assert!(false, "{by:?} holds more than six locks, or not this one"),
        }
    }

    /// Notes that a lock is taken and released within this step, for the lock order.
    #[inline]
    pub fn lock_briefly(&mut self, by: Actor, class: LockClass) {
        let under = self.held_classes(by);
        self.facts.push(Fact::Locked { actor: by, class, under });
    }

    /// The classes of the locks that an agent holds now, one bit each.
    #[inline]
    pub fn held_classes(&self, by: Actor) -> u16 {
        let held = self.get::<Held>(by);
        let bit = |class: LockClass| 1u16 << class.into_bits();
        let folios = if held.folios() > 0 { bit(LockClass::FolioLock) } else { 0 };
        self.held(by).fold(folios, |bits, l| bits | bit(self.map.lock_class(l)))
    }

    /// Whether an agent runs where it must not sleep: in an interrupt, or with its processor's
    /// interrupts off.
    #[inline]
    pub fn in_atomic(&self, actor: Actor) -> bool {
        let cpu = self.map.plan.threads.get(actor.index()).map(|t| t.cpu);
        let me = Actor::pack(Some(actor));
        let irq_off = cpu.is_some_and(|c| self.get::<CpuState>(c).irq_off() == me);
        irq_off || self.get::<ActorState>(actor).in_irq()
    }

    /// States that an agent calls something that may sleep, and whether it must not.
    #[inline]
    pub fn may_sleep(&mut self, actor: Actor) {
        let atomic = self.in_atomic(actor);
        self.facts.push(Fact::MaySleep { actor, atomic });
    }

    /// Who holds a folio's lock.
    #[inline]
    pub fn folio_locked_by(&self, frame: Frame) -> Option<Actor> {
        Actor::unpack(self.get::<FolioLock>(self.head(frame)).owner())
    }

    /// `folio_lock` of a folio that is unlocked.
    pub fn lock_folio(&mut self, by: Actor, frame: Frame) {
        let head = self.head(frame);
        self.lock_briefly(by, LockClass::FolioLock);
        self.set(head, FolioLock::new().with_owner(Actor::pack(Some(by))));
        self.update::<Held>(by, |h| h.with_folios(h.folios().saturating_add(1).min(15)));
    }

    /// The lock of a folio passes from whoever holds it to another agent, who will unlock it.
    pub fn hand_over_folio(&mut self, frame: Frame, to: Actor) {
        let head = self.head(frame);
        let before = self.update::<FolioLock>(head, |l| l.with_owner(Actor::pack(Some(to))));
        if let Some(from) = Actor::unpack(before.owner()) {
            self.update::<Held>(from, |h| h.with_folios(h.folios().saturating_sub(1)));
        }
        self.update::<Held>(to, |h| h.with_folios(h.folios().saturating_add(1).min(15)));
    }

    /// `folio_unlock`.
    pub fn unlock_folio(&mut self, frame: Frame) {
        let head = self.head(frame);
        let lock = self.update::<FolioLock>(head, |_| FolioLock::new());
        if let Some(owner) = Actor::unpack(lock.owner()) {
            self.update::<Held>(owner, |h| h.with_folios(h.folios().saturating_sub(1)));
        }
    }
}
