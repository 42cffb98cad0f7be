//! A thread's program: starts one operation after the other and records its result.

use super::chance::Chance;
use super::cut::{Cut, What};
use super::dio::Dio;
use super::dma::Dma;
use super::drop_caches::DropCaches;
use super::file_io::{ReadFile, WriteFile};
use super::fork::ForkMm;
use super::hoard::Hoard;
use super::lease::LeaseCall;
use super::mapping::{Advise, MapCall, Protect};
use super::memory::Memory;
use super::migrate::Migrate;
use super::mlock::Mlock;
use super::neighbour::Neighbour;
use super::pageout::PageOut;
use super::pin::{GupFlags, PinPages};
use super::pinned_io::PinnedIo;
use super::punch::RemovePages;
use super::reclaim::Reclaim;
use super::reflink::Reflink;
use super::region::{Deregister, Register};
use super::release::Release;
use super::remap::Remap;
use super::routine::{Routine, call};
use super::seal::AddSeal;
use super::splice::SpliceRead;
use super::step::*;
use super::sync::Sync;
use super::sync_calls::{Fsync, Msync, SyncFileRange};
use super::unbind::UnbindDevice;
use super::writeback_wait::WritebackInode;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::facts::Fact;
use crate::kernel::world::machine::OpResult;
use crate::kernel::world::need::Need;
use crate::kernel::world::plan::{Advice, Op, Role};
use crate::kernel::world::{Actor, OpId, VPage, World};

/// The bottom of every thread's stack. It makes no steps of its own: the next operation begins
/// in the step in which the last one ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Program {
    /// The operation that runs.
    pub at: u16,
    /// Rounds done of the inner and of the outer loop around it.
    pub rounds: [u32; 2],
}

impl Program {
    /// What a thread's stack holds before its first step: the program, and above it the first
    /// operation. None: the program is empty.
    pub fn boot(w: &World, thread: Actor) -> Option<(Program, Routine)> {
        let plan = &w.map.plan.threads[thread.0 as usize];
        let program = Program { at: 0, rounds: [0, 0] };
        if let Role::User(mm) = plan.role
            && w.map.plan.mms[mm.0 as usize].child_of.is_some()
        {
            let waiting = Program { at: Program::BEFORE, ..program };
            return Some((waiting, Sync::Born(mm).into()));
        }
        let (program, op) = program.settle(&plan.program)?;
        Some((program, start(op)))
    }

    /// The place before the first operation.
    const BEFORE: u16 = u16::MAX;

    /// The number of the operation that runs.
    pub fn op(self, first: OpId) -> OpId {
        if self.at == Program::BEFORE { first } else { first.plus(u32::from(self.at)) }
    }

    /// Follows jumps until an operation that does something. None: the program is over.
    fn settle(mut self, ops: &[Op]) -> Option<(Program, Op)> {
        loop {
            match *ops.get(self.at as usize)? {
                Op::Repeat { to, times } => {
                    let body = &ops[to as usize..self.at as usize];
                    let outer = body.iter().any(|op| matches!(op, Op::Repeat { .. }));
                    let round = &mut self.rounds[usize::from(outer)];
                    if body.is_empty() {
                        self.at += 1;
                    } else if times == 0 {
                        self.at = to;
                    } else if *round + 1 < times {
                        *round += 1;
                        self.at = to;
                    } else {
                        *round = 0;
                        self.at += 1;
                    }
                }
                op => return Some((self, op)),
            }
        }
    }
}

impl Machine for Program {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "next operation", Cost::Step)
    }

    fn step(self, _cx: &mut Step, _outcome: u8) -> Next {
        Next::Exit
    }

    fn resume(mut self, cx: &mut Step, ret: Ret) -> Next {
        if self.at == Program::BEFORE {
            self.at = 0;
        } else {
            let (op, actor) = (cx.op, cx.me);
            cx.facts.push(Fact::Returned { actor, op, ret });
            cx.set(op, OpResult::new().with_done(true).with_ret(ret));
            self.at += 1;
        }
        let Some(thread) = cx.thread() else { return Next::Exit };
        match self.settle(&thread.program) {
            Some((program, op)) => call(start(op), program),
            None => Next::Exit,
        }
    }
}

/// The machine that carries out an operation.
fn start(op: Op) -> Routine {
    match op {
        Op::Post { event } => Sync::Post(event).into(),
        Op::Wait { event } => Sync::Wait(event).into(),
        Op::Fsync { file, data_only } => Fsync::new(file, data_only).into(),
        Op::Msync { vma, sync } => Msync::new(vma, sync).into(),
        Op::MsyncInvalidate { vma } => Msync::invalidate(vma).into(),
        Op::SyncFileRange { file, flags } => SyncFileRange::new(file, flags).into(),
        Op::Writeback { file, mode } => WritebackInode::new(file, mode).into(),
        Op::Load { at } => Memory::load(at).into(),
        Op::Store { at, part } => Memory::store(at, part).into(),
        Op::Pin { first, pages, write, longterm, call, slot } => {
            PinPages::new(first, pages, slot, GupFlags { write, longterm, call }).into()
        }
        Op::Unpin { slot, dirty, how, context } => Release::op(slot, dirty, how, context).into(),
        Op::Splice { from, slot } => SpliceRead::new(from, slot).into(),
        Op::Hoard { at, count, pin } => Hoard { at, count, pin }.into(),
        Op::WritePinned { slot, page } => PinnedIo::write(slot, page).into(),
        Op::ReadPinned { slot, page } => PinnedIo::read(slot, page).into(),
        Op::Fork { child } => ForkMm::new(child).into(),
        Op::Truncate { file, size } => Cut::new(What::Tail { file, size }).into(),
        Op::Punch { first, pages } => Cut::new(What::hole(first, pages)).into(),
        Op::PunchPart { first, pages, from, to } => {
            Cut::new(What::Hole { first, pages, from, to }).into()
        }
        Op::Unbind { disk } => UnbindDevice::new(disk).into(),
        Op::Mmap { vma } => MapCall::map(vma).into(),
        Op::Munmap { vma } => MapCall::unmap(vma).into(),
        Op::Mremap { from, to, keeps } => Remap::new(from, to, keeps).into(),
        Op::Mprotect { vma, read, write } => Protect::new(vma, read, write).into(),
        Op::Madvise { first, pages, advice } => advise(first, pages, advice),
        Op::Register { region, first, pages, write, longterm } => {
            Register::new(region, first, pages, write, longterm).into()
        }
        Op::Deregister { region, dirty, how } => Deregister::new(region, dirty, how).into(),
        Op::DmaWrite { region, page } => Dma::Begin { region, page, write: true }.into(),
        Op::DmaRead { region, page } => Dma::Begin { region, page, write: false }.into(),
        Op::DmaWait { region } => Dma::Wait(region).into(),
        Op::TakeFrame => Neighbour::TakeFrame.into(),
        Op::TakeBlock { page } => Neighbour::TakeBlock(page).into(),
        Op::Verify { taken } => Neighbour::Verify(taken).into(),
        Op::TakeLease { file } => LeaseCall::Take(file).into(),
        Op::AwaitBreak { file } => LeaseCall::Await(file).into(),
        Op::AnswerLease { file } => LeaseCall::Answer(file).into(),
        Op::Crash => Chance::Crash.into(),
        Op::Signal { to } => Chance::Signal(to).into(),
        Op::LeaseTimeout { file } => Chance::LeaseTimeout(file).into(),
        Op::Write { at, part } => WriteFile::new(at, part).into(),
        Op::Read { at } => ReadFile::new(at).into(),
        Op::DioRead { from, into } => Dio::read(from, into).into(),
        Op::DioWrite { to, from } => Dio::write(to, from).into(),
        Op::Reclaim { page } => Reclaim::new(page).into(),
        Op::DropCaches { file } => DropCaches::new(file).into(),
        Op::Mlock { first, pages, lock } => Mlock::new(first, pages, lock).into(),
        Op::CollapseRange { first, pages } => Cut::new(What::Collapse { first, pages }).into(),
        Op::ZeroRange { first, pages } => Cut::new(What::Zeroes { first, pages }).into(),
        Op::AddSeal { file, seal } => AddSeal::new(file, seal).into(),
        Op::Migrate { page } => Migrate::new(page).into(),
        Op::Reflink { from, to, pages } => Reflink::new(from, to, pages).into(),
        Op::Sleep { .. } | Op::Repeat { .. } => Sync::Sleep.into(),
    }
}

fn advise(first: VPage, pages: u32, advice: Advice) -> Routine {
    match advice {
        Advice::DontNeed => Advise::dont_need(first, pages).into(),
        Advice::PopulateRead => Advise::populate(first, pages, false).into(),
        Advice::PopulateWrite => Advise::populate(first, pages, true).into(),
        Advice::PageOut => PageOut::now(first, pages).into(),
        Advice::Cold => PageOut::cool(first, pages).into(),
        Advice::Free => PageOut::lazily(first, pages).into(),
        Advice::Remove => RemovePages::new(first, pages).into(),
    }
}
