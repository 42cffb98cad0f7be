//! The words of the scenario for the numbers of the world.

use super::ids::*;
use super::layout::Layout;
use super::machine::LockClass;

impl Layout {
    /// What an operation is called: its label, or thread and position.
    pub fn op_name(&self, op: OpId) -> String {
        let Some(thread) = self.thread_of(op) else {
            return ["initial", "earlier"][op.index().min(1)].to_string();
        };
        let i = (op.0 - thread.first_op.0) as usize;
        match thread.labels.get(i) {
            Some(label) if !label.is_empty() => label.clone(),
            _ => format!("{}.{}", thread.name, i + 1),
        }
    }

    /// What an agent is called.
    pub fn actor_name(&self, actor: Actor) -> String {
        let threads = self.plan.threads.len() as u32;
        if actor.0 < threads {
            return self.plan.threads[actor.index()].name.clone();
        }
        if let Some(region) = self.teardown_region(actor) {
            return format!("{}.teardown", self.plan.regions[region.index()].name);
        }
        let n = actor.0 - threads;
        if n >= self.tag_count() {
            return format!("kworker/{}", n - self.tag_count());
        }
        let disk = self.disk_of_tag(Tag(n));
        let name = &self.plan.disks[disk.index()].name;
        match self.tags[disk.index()].len() {
            1 => name.clone(),
            _ => format!("{name}.{}", n - self.tags[disk.index()].start),
        }
    }

    /// What a page of a file is called: `data[0]`.
    pub fn file_page_name(&self, page: FilePage) -> String {
        format!("{}[{}]", self.file(self.file_of(page)).name, self.index_in_file(page))
    }

    /// What a virtual page is called: `buf[0]`.
    pub fn vpage_name(&self, page: VPage) -> String {
        let vma = self.vma_of(page);
        format!("{}[{}]", self.vma(vma).name, page.0 - self.vma_pages[vma.index()].start)
    }

    /// What a block is called: `disk:3`.
    pub fn block_name(&self, block: Block) -> String {
        let disk = self.disk_of(block);
        let first = self.disk_blocks[disk.index()].start;
        format!("{}:{}", self.plan.disks[disk.index()].name, block.0 - first)
    }

    /// What a frame is called: `frame 3`, `pmem0:2`.
    pub fn frame_name(&self, frame: Frame) -> String {
        match self.pmem_block(frame) {
            Some(block) => self.block_name(block),
            None if frame.0 == 0 => "zero page".to_string(),
            None => format!("frame {}", frame.0),
        }
    }

    /// What a lock is called: `data.invalidate_lock`.
    pub fn lock_name(&self, lock: Lock) -> String {
        let class = self.lock_class(lock);
        let files = self.plan.files.len() as u32 * 4;
        let owner = match class {
            LockClass::MmapLock => &self.plan.mms[(lock.0 - files) as usize].name,
            LockClass::UmemMutex => {
                let mms = self.plan.mms.len() as u32;
                &self.plan.devices[(lock.0 - files - mms) as usize].name
            }
            _ => &self.plan.files[lock.index() / 4].name,
        };
        format!("{owner}.{}", class.label())
    }
}
