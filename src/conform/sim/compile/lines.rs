//! Each line of a sequence, as operations of a thread.

use super::super::super::sequence::{
    At, Bytes, Fadvice, Falloc, Gate, Madvice, Msync, Op as Line, PAGE, Prot, SLOTS, Seal as Word,
    Sharing,
};
use super::super::machine::*;
use super::{Child, Compile, Compiler, Doing, Meaning, missing, part_of, unpin};
use crate::kernel::world::plan::*;
use crate::kernel::world::*;

/// The seal of a word.
fn sealed(word: Word) -> Seal {
    match word {
        Word::Write => Seal::Write,
        Word::Future => Seal::FutureWrite,
        Word::Shrink => Seal::Shrink,
        Word::Grow => Seal::Grow,
    }
}

impl Compiler<'_> {
    /// A line of the sequence.
    pub(super) fn line(&mut self, op: &Line) -> Compile {
        match op {
            Line::Background { second, op } => {
                let name = if *second { "bg2" } else { "bg" };
                let thread = self.thread(name, PROCESS);
                self.background[usize::from(*second)] = Some(thread);
                match self.operation(op, thread)? {
                    Doing::Run(part, meaning) => {
                        Ok(Doing::Background { second: *second, part, meaning })
                    }
                    known @ Doing::Known(_) => Ok(known),
                    _ => missing("this in the background"),
                }
            }
            Line::BackgroundWait { second } => Ok(Doing::Wait { second: *second }),
            Line::BackgroundSignal { second } => {
                let Some(to) = self.background[usize::from(*second)] else {
                    return Ok(Doing::Known("ENXIO"));
                };
                let thread = self.thread("signal", PROCESS);
                self.plan.threads[thread].role = Role::Chance;
                let part = self.ops(thread, &[Op::Signal { to: Actor(to as u32) }]);
                Ok(Doing::Signal { second: *second, part })
            }
            Line::Gate(Gate::Wait | Gate::RawWait) => missing("gate wait"),
            Line::Gate(gate) => {
                if *gate == Gate::Eio {
                    self.plan.faults.io_errors = 1 << 20;
                }
                Ok(Doing::Gate(*gate))
            }
            Line::Sleep { .. } => Ok(Doing::Known("")),
            Line::Pin { at, write } => self.pin(*at, *write),
            Line::PinEnd { value } => Ok(Doing::PinEnd { value: *value }),
            Line::Fork => Ok(self.fork()),
            Line::Load { at, child: true } => self.child_touch(*at, None),
            Line::Store { at, value, child: true } => self.child_touch(*at, Some(*value)),
            Line::ChildUnmap { slot } => {
                let Some(child) = &mut self.child else { return Ok(Doing::Known("ESRCH")) };
                let thread = child.thread;
                match child.slots[*slot].take() {
                    Some(shown) => {
                        let part = self.ops(thread, &[Op::Munmap { vma: shown.vma }]);
                        Ok(Doing::Run(part, Meaning::Plain))
                    }
                    None => missing("cmunmap of nothing"),
                }
            }
            Line::ChildExit => match self.child.take() {
                Some(child) => Ok(Doing::Run(self.exit(&child), Meaning::Zero)),
                None => Ok(Doing::Known("ESRCH")),
            },
            op => self.operation(op, MAIN),
        }
    }

    /// An operation that any thread of the process may carry out.
    fn operation(&mut self, op: &Line, thread: usize) -> Compile {
        match op {
            Line::Mmap { .. } | Line::Anon { .. } | Line::Munmap { .. } | Line::Mprotect { .. } => {
                self.mapping(op, thread)
            }
            Line::Load { at, .. } => match self.at(*at)? {
                Some(at) => {
                    let part = self.ops(thread, &[Op::Load { at }]);
                    Ok(Doing::Run(part, Meaning::Touch { at, store: false }))
                }
                None => Ok(Doing::Known("ENXIO")),
            },
            Line::Store { at, value, .. } => self.store(thread, *at, WHOLE, *value),
            Line::StoreBytes { slot, bytes, value } => match part_of(*bytes) {
                Some((page, part)) => self.store(thread, At { slot: *slot, page }, part, *value),
                None => missing("wrb over more than one page"),
            },
            Line::Madvise { at, pages, advice } => self.madvise(thread, *at, *pages, *advice),
            Line::Mlock { at, pages, lock } => {
                let first = self.range(*at, *pages, "mlock")?;
                let Some(first) = first else { return Ok(Doing::Known("ENXIO")) };
                let (pages, lock) = (*pages, *lock);
                Ok(self.plain(thread, Op::Mlock { first, pages, lock }))
            }
            Line::Msync { slot, how } => match (self.slots[*slot], how) {
                (None, _) => Ok(Doing::Known("ENXIO")),
                (Some(shown), Msync::Invalidate) => {
                    Ok(self.plain(thread, Op::MsyncInvalidate { vma: shown.vma }))
                }
                (Some(shown), how) => {
                    let sync = *how == Msync::Sync;
                    Ok(self.plain(thread, Op::Msync { vma: shown.vma, sync }))
                }
            },
            Line::DirectIn { .. }
            | Line::DirectOut { .. }
            | Line::DirectSelf { .. }
            | Line::ReadRaw
            | Line::Register { .. }
            | Line::Dma { .. }
            | Line::Unregister
            | Line::WriteVm { .. }
            | Line::WriteMem { .. }
            | Line::Vmsplice { .. }
            | Line::Splice { .. }
            | Line::Drain => self.holder(op, thread),
            op => self.file(op, thread),
        }
    }

    fn plain(&mut self, thread: usize, op: Op) -> Doing {
        Doing::Run(self.ops(thread, &[op]), Meaning::Plain)
    }

    fn store(&mut self, thread: usize, at: At, part: (u16, u16), value: u32) -> Compile {
        let Some(at) = self.at(at)? else { return Ok(Doing::Known("ENXIO")) };
        let part = self.writes(thread, &[Op::Store { at, part }], 0, value);
        Ok(Doing::Run(part, Meaning::Touch { at, store: true }))
    }

    /// mmap, munmap, mprotect.
    fn mapping(&mut self, op: &Line, thread: usize) -> Compile {
        match *op {
            Line::Mmap { slot, .. } | Line::Anon { slot, .. } if self.slots[slot].is_some() => {
                Ok(Doing::Known("EBUSY"))
            }
            Line::Mmap { how: Sharing::Sync, .. } => match self.plan.files[FILE.index()].fs {
                // virtio-pmem cannot promise what MAP_SYNC promises.
                FsKind::Dax => Ok(Doing::Known("EOPNOTSUPP")),
                _ => missing("MAP_SYNC of a file that is not on pmem"),
            },
            Line::Mmap { slot, how, write, first, pages } => {
                let backing = Backing::File { file: FILE, first };
                let name = format!("map{}", self.plan.vmas.len());
                let shown = self.map(vma(name, backing, how == Sharing::Shared, write, pages));
                self.slots[slot] = Some(shown);
                Ok(self.plain(thread, Op::Mmap { vma: shown.vma }))
            }
            Line::Anon { shared: true, .. } => missing("anon shared"),
            Line::Anon { slot, pages, .. } => {
                let name = format!("anon{}", self.plan.vmas.len());
                let shown = self.map(vma(name, Backing::Anon, false, true, pages));
                self.slots[slot] = Some(shown);
                Ok(self.plain(thread, Op::Mmap { vma: shown.vma }))
            }
            Line::Munmap { slot } => match self.slots[slot].take() {
                Some(shown) => Ok(self.plain(thread, Op::Munmap { vma: shown.vma })),
                None => Ok(Doing::Known("ENXIO")),
            },
            Line::Mprotect { slot, prot } => match self.slots[slot] {
                Some(shown) => {
                    let (read, write) = (prot != Prot::None, prot == Prot::Rw);
                    Ok(self.plain(thread, Op::Mprotect { vma: shown.vma, read, write }))
                }
                None => Ok(Doing::Known("ENXIO")),
            },
            _ => missing("mapping"),
        }
    }

    /// Pages of a mapping; none if there is none in the slot. What lies beyond its end, another
    /// mapping or nothing, is where the recorder's libc put it.
    fn range(&self, at: At, pages: u32, what: &str) -> Result<Option<VPage>, String> {
        match self.slots[at.slot] {
            Some(shown) if at.page + pages > shown.pages => {
                Err(format!("{what} beyond the end of a mapping"))
            }
            _ => self.at(at),
        }
    }

    fn madvise(&mut self, thread: usize, at: At, pages: u32, advice: Madvice) -> Compile {
        let first = self.range(at, pages, "madv")?;
        let Some(first) = first else { return Ok(Doing::Known("ENXIO")) };
        let advice = match advice {
            Madvice::DontNeed => Advice::DontNeed,
            Madvice::PageOut => Advice::PageOut,
            Madvice::Free => Advice::Free,
            Madvice::PopulateRead => Advice::PopulateRead,
            Madvice::PopulateWrite => Advice::PopulateWrite,
            Madvice::Cold => Advice::Cold,
            Madvice::Remove => Advice::Remove,
            Madvice::Other(name) => return missing(&format!("madv {name}")),
        };
        Ok(self.plain(thread, Op::Madvise { first, pages, advice }))
    }

    /// System calls on the file.
    fn file(&mut self, op: &Line, thread: usize) -> Compile {
        let op = match *op {
            Line::Read { page, direct: false } => {
                let part = self.ops(thread, &[Op::Read { at: self.page(FILE, page) }]);
                return Ok(Doing::Run(part, Meaning::Read));
            }
            Line::Read { page, direct: true } => {
                let (from, into) = (self.page(FILE, page), self.buffer());
                let part = self.ops(thread, &[Op::DioRead { from, into }]);
                return Ok(Doing::Run(part, Meaning::Read));
            }
            Line::Write { page, value, direct: false } => {
                let op = Op::Write { at: self.page(FILE, page), part: WHOLE };
                return Ok(Doing::Run(self.writes(thread, &[op], 0, value), Meaning::Plain));
            }
            Line::Write { page, value, direct: true } => {
                let (to, from) = (self.page(FILE, page), self.buffer());
                // The buffer is filled, and the write itself gives the result.
                self.writes(thread, &[Op::Store { at: from, part: WHOLE }], 0, value);
                let part = self.writes(thread, &[Op::DioWrite { to, from }], 0, value);
                return Ok(Doing::Run(part, Meaning::Plain));
            }
            Line::WriteBytes { bytes, value } => {
                let Some((page, part)) = part_of(bytes) else {
                    return missing("pwriteb over more than one page");
                };
                let op = Op::Write { at: self.page(FILE, page), part };
                return Ok(Doing::Run(self.writes(thread, &[op], 0, value), Meaning::Plain));
            }
            Line::Truncate { size } => Op::Truncate { file: FILE, size },
            Line::Fallocate { mode, bytes } => self.fallocate(mode, bytes)?,
            Line::Fsync { data_only } => Op::Fsync { file: FILE, data_only },
            Line::Sfr { before, write, after } => {
                let flags = SfrFlags { wait_before: before, write, wait_after: after };
                Op::SyncFileRange { file: FILE, flags }
            }
            Line::Fadvise { bytes, advice: Fadvice::DontNeed } => {
                let whole = bytes.at == 0 && bytes.len >= u64::from(self.sequence.pages) * PAGE;
                if !whole {
                    return missing("fadv of a part of the file");
                }
                let clean = Op::Writeback { file: FILE, mode: SyncMode::Cleaning };
                let part = self.ops(thread, &[clean, Op::DropCaches { file: FILE }]);
                return Ok(Doing::Run(part, Meaning::Zero));
            }
            Line::Fadvise { .. } => return missing("fadv WILLNEED or RANDOM"),
            Line::Seal(seal) => Op::AddSeal { file: FILE, seal: sealed(seal) },
            _ => return missing("this operation"),
        };
        Ok(self.plain(thread, op))
    }

    fn fallocate(&self, mode: Falloc, bytes: Bytes) -> Result<Op, String> {
        if bytes.len == 0 {
            return Err("fallocate of nothing".to_string());
        }
        let end = bytes.at + bytes.len;
        let first = self.page(FILE, (bytes.at / PAGE) as u32);
        let pages = (end.div_ceil(PAGE) - bytes.at / PAGE) as u32;
        let (from, to) = ((bytes.at % PAGE) as u16, ((end - 1) % PAGE + 1) as u16);
        let whole = from == 0 && u64::from(to) == PAGE;
        match mode {
            Falloc::Punch => Ok(Op::PunchPart { first, pages, from, to }),
            Falloc::Zero if whole => Ok(Op::ZeroRange { first, pages }),
            Falloc::Collapse if whole => Ok(Op::CollapseRange { first, pages }),
            Falloc::Plain => Err("falloc".to_string()),
            _ => Err("zero or collapse of parts of pages".to_string()),
        }
    }

    // --- those who hold pages -----------------------------------------------------------------

    fn holder(&mut self, op: &Line, thread: usize) -> Compile {
        let enxio = Ok(Doing::Known("ENXIO"));
        match *op {
            Line::DirectIn { at, value, raw } => {
                let Some(into) = self.at(at)? else { return enxio };
                let (file, table) = match raw {
                    true => (RAW, &self.values.sources.raw),
                    false => (SOURCE, &self.values.sources.file),
                };
                let index = table.iter().position(|&v| v == value).unwrap_or(0) as u32;
                let from = self.page(file, index);
                let part = self.writes(thread, &[Op::DioRead { from, into }], 0, value);
                Ok(Doing::Run(part, Meaning::Plain))
            }
            Line::DirectOut { at, raw } => {
                let Some(from) = self.at(at)? else { return enxio };
                let to = match raw {
                    true => self.page(RAW, self.values.sources.raw.len() as u32),
                    false => self.page(TARGET, 0),
                };
                let part = self.ops(thread, &[Op::DioWrite { to, from }]);
                let meaning = if raw { Meaning::Plain } else { Meaning::Arrived };
                Ok(Doing::Run(part, meaning))
            }
            Line::DirectSelf { at, page } => {
                let Some(into) = self.at(at)? else { return enxio };
                Ok(self.plain(thread, Op::DioRead { from: self.page(FILE, page), into }))
            }
            Line::ReadRaw => missing("gdst"),
            Line::Register { at, pages } => self.register(at, pages, thread),
            Line::Dma { page, value } => {
                let ops = [Op::WritePinned { slot: self.ureg, page }];
                Ok(Doing::Run(self.writes(thread, &ops, 0, value), Meaning::Dma))
            }
            Line::Unregister => {
                let slot = self.ureg;
                let part = self.ops(thread, &[unpin(slot, false)]);
                Ok(Doing::Run(part, Meaning::Unregister { slot }))
            }
            Line::WriteVm { at, value } | Line::WriteMem { at, value } => {
                let Some(first) = self.at(at)? else { return enxio };
                let (call, meaning) = match op {
                    Line::WriteVm { .. } => (PinCall::PinRemote, Meaning::Copied),
                    _ => (PinCall::GetForce, Meaning::Mem),
                };
                let ops = self.copy_through(first, call, true);
                Ok(Doing::Run(self.writes(thread, &ops, 1, value), meaning))
            }
            Line::Vmsplice { at } => {
                let Some(first) = self.at(at)? else { return enxio };
                let slot = self.slot("pipe", 1);
                let call = PinCall::GetFast;
                let op = Op::Pin { first, pages: 1, write: false, longterm: false, call, slot };
                self.pipe.push((slot, false));
                Ok(Doing::Run(self.ops(thread, &[op]), Meaning::Spliced { slot }))
            }
            // filemap_splice_read and its likes copy there, and hold no page of the file.
            Line::Splice { .. } if self.fs == FsKind::Dax => missing("splice of a file on pmem"),
            Line::Splice { page } => {
                let slot = self.slot("pipe", 1);
                self.pipe.push((slot, true));
                Ok(self.plain(thread, Op::Splice { from: self.page(FILE, page), slot }))
            }
            Line::Drain => Ok(self.drain(thread)),
            _ => missing("this operation"),
        }
    }

    /// io_uring registers a buffer. As long as GUP does not refuse mappings of files, it calls
    /// pin_user_pages, looks at what it has got, and lets go.
    fn register(&mut self, at: At, pages: u32, thread: usize) -> Compile {
        let first = self.range(at, pages, "ureg")?;
        let Some(first) = first else { return Ok(Doing::Known("ENXIO")) };
        let looks = self.strategy.longterm.leaves_files_to_callers();
        let shows = self.slots[at.slot].map(|shown| self.plan.vmas[shown.vma.index()].backing);
        let file = matches!(shows, Some(Backing::File { .. })) && self.fs != FsKind::Tmpfs;
        let refused = (looks && file).then(|| {
            let kernel = self.thread("io_uring", PROCESS);
            self.ops(kernel, &[unpin(self.ureg, false)])
        });
        let call = if looks { PinCall::PinSlow } else { PinCall::PinFast };
        let op = Op::Pin { first, pages, write: true, longterm: true, call, slot: self.ureg };
        Ok(Doing::Run(self.ops(thread, &[op]), Meaning::Register { pages, refused }))
    }

    /// Reads the pipe empty: page by page, each is copied and let go.
    fn drain(&mut self, thread: usize) -> Doing {
        let (mut pages, mut ops) = (Vec::new(), Vec::new());
        let first = self.plan.threads[thread].program.len() as u32;
        for (slot, _) in std::mem::take(&mut self.pipe) {
            pages.push((slot, first + ops.len() as u32));
            ops.extend([Op::ReadPinned { slot, page: 0 }, unpin(slot, false)]);
        }
        if ops.is_empty() {
            return Doing::Known("ENXIO");
        }
        Doing::Run(self.ops(thread, &ops), Meaning::Drained { pages })
    }

    /// Pin, copy, release, as process_vm_readv and process_vm_writev do.
    fn copy_through(&mut self, first: VPage, call: PinCall, write: bool) -> [Op; 3] {
        let slot = self.slot("remote", 1);
        let copy = match write {
            true => Op::WritePinned { slot, page: 0 },
            false => Op::ReadPinned { slot, page: 0 },
        };
        [Op::Pin { first, pages: 1, write, longterm: false, call, slot }, copy, unpin(slot, write)]
    }

    fn pin(&mut self, at: At, write: bool) -> Compile {
        let Some(first) = self.at(at)? else { return Ok(Doing::Known("ENXIO")) };
        let thread = self.thread(if write { "pinw" } else { "pinr" }, PROCESS);
        let ops = self.copy_through(first, PinCall::PinRemote, write);
        let part = self.ops(thread, &ops);
        let slot = Slot(self.plan.slots.len() as u32 - 1);
        Ok(Doing::Pin { part, write, slot })
    }

    // --- the child ----------------------------------------------------------------------------

    fn fork(&mut self) -> Doing {
        if self.child.is_some() {
            return Doing::Known("EBUSY");
        }
        let mm = Mm(self.plan.mms.len() as u32);
        self.plan.mms.push(MmPlan { name: "child".into(), child_of: Some(PROCESS) });
        let thread = self.thread("child", mm);
        let mut slots = [None; SLOTS];
        for (slot, shown) in self.slots.into_iter().enumerate() {
            let Some(shown) = shown else { continue };
            let parent = self.plan.vmas[shown.vma.index()].clone();
            let name = format!("child:{}", parent.name);
            let copy = VmaPlan { name, mm, copy_of: Some(shown.vma), mapped: false, ..parent };
            slots[slot] = Some(self.map(copy));
        }
        self.child = Some(Child { thread, slots });
        self.plain(MAIN, Op::Fork { child: mm })
    }

    fn child_touch(&mut self, at: At, value: Option<u32>) -> Compile {
        let Some(child) = &self.child else { return Ok(Doing::Known("ESRCH")) };
        let thread = child.thread;
        let Some(shown) = child.slots[at.slot] else { return Ok(Doing::Known("SIGSEGV")) };
        if at.page >= shown.pages {
            return missing("an access beyond the end of a mapping");
        }
        let at = shown.first.plus(at.page);
        let part = match value {
            Some(value) => self.writes(thread, &[Op::Store { at, part: WHOLE }], 0, value),
            None => self.ops(thread, &[Op::Load { at }]),
        };
        Ok(Doing::Run(part, Meaning::Touch { at, store: value.is_some() }))
    }
}
