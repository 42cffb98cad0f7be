//! Which number is which agent, and which lock.

use super::ids::*;
use super::layout::Layout;
use super::machine::LockClass;

impl Layout {
    /// Number of agents: threads, then disk tags, then workers, then late teardowns.
    pub fn actors(&self) -> u32 {
        self.first_teardown() + self.notifier_regions.len() as u32
    }

    fn first_teardown(&self) -> u32 {
        self.plan.threads.len() as u32 + self.tag_count() + self.plan.workers
    }

    /// The region whose late teardowns an agent carries out; none if it is another kind of agent.
    pub fn teardown_region(&self, actor: Actor) -> Option<Region> {
        let n = actor.0.checked_sub(self.first_teardown())?;
        self.notifier_regions.get(n as usize).copied()
    }

    /// Number of all tags.
    pub fn tag_count(&self) -> u32 {
        self.tags.last().map_or(0, |r| r.end)
    }

    /// The agent that serves a tag.
    pub fn tag_actor(&self, tag: Tag) -> Actor {
        Actor(self.plan.threads.len() as u32 + tag.0)
    }

    /// The agent that is a worker.
    pub fn worker_actor(&self, worker: Worker) -> Actor {
        Actor(self.plan.threads.len() as u32 + self.tag_count() + worker.0)
    }

    /// The worker that an agent is; none if it is another kind of agent.
    pub fn worker_of(&self, actor: Actor) -> Option<Worker> {
        let n = actor.0.checked_sub(self.plan.threads.len() as u32 + self.tag_count())?;
        (n < self.plan.workers).then_some(Worker(n))
    }

    /// The number of a file's lock of one of the per-file classes.
    #[inline]
    pub fn file_lock(&self, class: LockClass, file: File) -> Lock {
        let which = match class {
            LockClass::InvalidateLock => 1,
            LockClass::IMmapRwsem => 2,
            LockClass::ISync => 3,
            _ => 0,
        };
        Lock(file.0 * 4 + which)
    }

    /// The number of an address space's mmap_lock.
    #[inline]
    pub fn mmap_lock(&self, mm: Mm) -> Lock {
        Lock(self.plan.files.len() as u32 * 4 + mm.0)
    }

    /// The number of a device's `umem_mutex`.
    #[inline]
    pub fn umem_lock(&self, device: Device) -> Lock {
        Lock((self.plan.files.len() * 4 + self.plan.mms.len()) as u32 + device.0)
    }

    /// Number of locks.
    pub fn locks(&self) -> u32 {
        (self.plan.files.len() * 4 + self.plan.mms.len() + self.plan.devices.len()) as u32
    }

    /// The class of a lock.
    pub fn lock_class(&self, lock: Lock) -> LockClass {
        let files = self.plan.files.len() as u32 * 4;
        match lock.0 {
            n if n < files => {
                use LockClass::*;
                [IRwsem, InvalidateLock, IMmapRwsem, ISync][n as usize % 4]
            }
            n if n < files + self.plan.mms.len() as u32 => LockClass::MmapLock,
            _ => LockClass::UmemMutex,
        }
    }
}
