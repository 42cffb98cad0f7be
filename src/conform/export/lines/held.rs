//! System calls on the file, direct I/O, and those who hold pages, as lines.

use super::super::super::sequence::{Bytes, Falloc, Op, PAGE, Seal};
use super::{Holder, Made, NOTHING, Said, Writer, no};
use crate::kernel::world::plan::{self, Op as Do, PinCall, WHOLE};
use crate::kernel::world::{FilePage, Id, Region, Slot, VPage};

impl Writer<'_> {
    /// System calls on the file, and direct I/O.
    pub(super) fn on_file(&mut self, made: Made) -> Said {
        match made.op {
            Do::Read { at } => Ok(Op::Read { page: self.own(at)?, direct: false }),
            Do::Write { at, part } => {
                let (page, value) = (self.own(at)?, self.value(made));
                let (from, to) = (u64::from(part.0), u64::from(part.1));
                Ok(match part {
                    WHOLE => Op::Write { page, value, direct: false },
                    _ => {
                        let bytes = Bytes { at: u64::from(page) * PAGE + from, len: to - from };
                        Op::WriteBytes { bytes, value }
                    }
                })
            }
            Do::Truncate { size, .. } => Ok(Op::Truncate { size }),
            Do::Punch { first, pages } => self.range(Falloc::Punch, first, pages, WHOLE),
            Do::PunchPart { first, pages, from, to } => {
                self.range(Falloc::Punch, first, pages, (from, to))
            }
            Do::ZeroRange { first, pages } => self.range(Falloc::Zero, first, pages, WHOLE),
            Do::CollapseRange { first, pages } => self.range(Falloc::Collapse, first, pages, WHOLE),
            Do::AddSeal { seal, .. } => Ok(Op::Seal(sealed(seal))),
            Do::Fsync { data_only, .. } => Ok(Op::Fsync { data_only }),
            Do::SyncFileRange { flags, .. } => {
                let (before, write, after) = (flags.wait_before, flags.write, flags.wait_after);
                Ok(Op::Sfr { before, write, after })
            }
            // A flusher's pass: what sync_file_range(WRITE) begins and does not wait for.
            Do::Writeback { mode: plan::SyncMode::Cleaning, .. } => {
                Ok(Op::Sfr { before: false, write: true, after: false })
            }
            Do::DioRead { from, into } => self.direct_read(made, from, into),
            Do::DioWrite { to, from } => match self.file(to) {
                (file, _) if file == self.machine.file => {
                    no("dpwrite writes from a buffer of its own, which is filled just before")
                }
                (file, _) => Ok(Op::DirectOut { at: self.at(from)?, raw: self.is_raw(file) }),
            },
            _ => self.holding(made),
        }
    }

    fn range(&self, mode: Falloc, first: FilePage, pages: u32, part: plan::Part) -> Said {
        let at = u64::from(self.own(first)?) * PAGE + u64::from(part.0);
        let end = u64::from(self.own(first)? + pages - 1) * PAGE + u64::from(part.1);
        Ok(Op::Fallocate { mode, bytes: Bytes { at, len: end - at } })
    }

    fn direct_read(&mut self, made: Made, from: FilePage, into: VPage) -> Said {
        let (file, page) = self.file(from);
        if file != self.machine.file {
            let value = self.value(made);
            return Ok(Op::DirectIn { at: self.at(into)?, value, raw: self.is_raw(file) });
        }
        match self.is_buffer(self.mapping(into).0) {
            true => Ok(Op::Read { page, direct: true }),
            false => Ok(Op::DirectSelf { at: self.at(into)?, page }),
        }
    }

    /// Pins, pipes, and those who hold pages.
    fn holding(&mut self, made: Made) -> Said {
        match made.op {
            Do::Pin { first, pages, write, longterm, call, slot } => {
                let at = self.at(first)?;
                let (holder, op) = match (call, write, longterm) {
                    (PinCall::PinFast, true, true) => {
                        (Holder::Registered, Op::Register { at, pages })
                    }
                    (PinCall::PinRemote, write, false) if pages == 1 => {
                        (Holder::Stalled(write), Op::Pin { at, write })
                    }
                    (PinCall::GetFast, false, false) if pages == 1 => {
                        (Holder::Pipe, Op::Vmsplice { at })
                    }
                    _ => {
                        return no("the recorder pins by io_uring (longterm and write), by \
                                   process_vm_readv or _writev (pin-remote) and by vmsplice \
                                   (get-fast)");
                    }
                };
                // A pipe keeps its place in the order even of what it did not get.
                if !made.failed || holder == Holder::Pipe {
                    self.hold(slot, holder)?;
                }
                Ok(op)
            }
            Do::Register { .. } | Do::DmaWrite { .. } | Do::Deregister { .. } => {
                self.on_region(made)
            }
            Do::Splice { from, slot } => {
                self.hold(slot, Holder::Pipe)?;
                Ok(Op::Splice { page: self.own(from)? })
            }
            Do::WritePinned { slot, page } if self.registers(slot) => {
                Ok(Op::Dma { page, value: self.value(made) })
            }
            Do::WritePinned { .. } => {
                no("the recorder writes by io_uring, or as it ends process_vm_writev")
            }
            Do::Unpin { slot, dirty: false, .. } if self.registers(slot) => {
                self.released(slot);
                Ok(Op::Unregister)
            }
            Do::Unpin { slot, .. } if self.registers(slot) => {
                no("io_uring releases pages without calling them dirty")
            }
            // It got nothing, and nothing is released.
            Do::Unpin { slot, .. } if self.holds(slot).is_none() => Ok(NOTHING),
            Do::Unpin { .. } => no("a stalled call, or a pipe, copies before it lets go"),
            Do::Signal { to } => {
                let second = self.background[1] == Some(to.index());
                if !second && self.background[0] != Some(to.index()) {
                    return no("only what runs in the background gets signals");
                }
                self.background[usize::from(second)] = None;
                Ok(Op::BackgroundSignal { second })
            }
            Do::Mremap { .. }
            | Do::Reflink { .. }
            | Do::TakeLease { .. }
            | Do::AwaitBreak { .. }
            | Do::AnswerLease { .. } => no("user space can call this, but the recorder does not"),
            _ => no("nothing that user space can call does this"),
        }
    }

    /// A device that pins its region for good: io_uring does the same, and writes to it.
    fn on_region(&mut self, made: Made) -> Said {
        match made.op {
            Do::Register { region, first, pages, write: true, longterm: true }
                if !self.notified(region) =>
            {
                self.hold(self.plan().regions[region.index()].slot, Holder::Registered)?;
                Ok(Op::Register { at: self.at(first)?, pages })
            }
            Do::DmaWrite { page, .. } => Ok(Op::Dma { page, value: self.value(made) }),
            Do::Deregister { region, dirty: false, .. } => {
                self.released(self.plan().regions[region.index()].slot);
                Ok(Op::Unregister)
            }
            Do::Register { .. } => no("io_uring registers for writing and for good, and pins"),
            _ => no("io_uring releases pages without calling them dirty"),
        }
    }

    fn hold(&mut self, slot: Slot, holder: Holder) -> Result<(), String> {
        let twice = holder != Holder::Pipe && self.held.iter().any(|(_, h)| *h == holder);
        if twice {
            return no("the recorder has one registered buffer and one stalled call of a kind");
        }
        self.held.push((slot, holder));
        Ok(())
    }

    // --- what is held ---------------------------------------------------------------------------

    /// The pipe is read empty: every page in it, in order.
    pub(super) fn drained(&mut self, ops: &[Do]) -> Result<usize, String> {
        let pipe = self.held.iter().filter(|(_, h)| *h == Holder::Pipe).map(|(slot, _)| *slot);
        let pipe: Vec<Slot> = pipe.collect();
        let mut pairs = ops.chunks_exact(2);
        let mut left = pipe.iter();
        let mut taken = 0;
        while let (Some(slot), Some(pair)) = (left.next(), pairs.next()) {
            let [Do::ReadPinned { slot: a, page: 0 }, Do::Unpin { slot: b, .. }] = pair else {
                return no("a pipe is read empty at once, page by page");
            };
            if a != slot || b != slot {
                return no("a pipe gives its pages in the order in which it got them");
            }
            taken += 2;
        }
        if taken < 2 * pipe.len() {
            return no("a pipe is read empty at once");
        }
        self.held.retain(|(_, h)| *h != Holder::Pipe);
        // What had not got into the pipe is not in it.
        let none = |pair: &[Do]| {
            matches!(pair, [Do::ReadPinned { slot: a, .. }, Do::Unpin { slot: b, .. }]
                if a == b && self.holds(*a).is_none())
        };
        let more = ops[taken..].chunks_exact(2).take_while(|pair| none(pair)).count();
        Ok(taken + 2 * more)
    }

    pub(super) fn holds(&self, slot: Slot) -> Option<Holder> {
        self.held.iter().find(|(s, _)| *s == slot).map(|(_, h)| *h)
    }

    /// Whether a region's device follows the notifier, and pins nothing.
    fn notified(&self, region: Region) -> bool {
        let device = self.plan().regions[region.index()].device;
        self.plan().devices[device.index()].kind.has_notifier()
    }

    /// Whether a slot is io_uring's buffer.
    fn registers(&self, slot: Slot) -> bool {
        let registers = |op: &Do| {
            matches!(op, Do::Pin { slot: s, longterm: true, call: PinCall::PinFast, .. }
                if *s == slot)
        };
        self.plan().threads.iter().flat_map(|t| &t.program).any(registers)
    }

    pub(super) fn released(&mut self, slot: Slot) {
        self.held.retain(|(s, _)| *s != slot);
    }
}

fn sealed(seal: plan::Seal) -> Seal {
    match seal {
        plan::Seal::Shrink => Seal::Shrink,
        plan::Seal::Grow => Seal::Grow,
        plan::Seal::Write => Seal::Write,
        plan::Seal::FutureWrite => Seal::Future,
    }
}
