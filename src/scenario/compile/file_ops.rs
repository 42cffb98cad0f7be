//! Operations on files, on what a neighbour takes, from outside, and for order.

use super::access;
use super::program::Program;
use super::template;
use crate::kernel::world::ids::{Disk, OpId};
use crate::kernel::world::op::Seal;
use crate::kernel::world::plan::{DiskKind, Op, PAGE_SIZE, SfrFlags, SyncMode, WHOLE};
use crate::scenario::limits;
use crate::scenario::op::{self, Do};
use crate::scenario::path::At;
use crate::scenario::problem::Problem;

impl Program<'_, '_> {
    pub(super) fn neighbour(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::TakeBlock(place) => {
                let cached = self.whole_page(place, at)?;
                if self.plan.files[cached.file.0 as usize].disk.is_none() {
                    let problem = Problem::general("a block for a file without a disk");
                    self.report.value(at, problem.help("tmpfs files have no blocks"));
                }
                Some(Op::TakeBlock { page: cached.first })
            }
            Do::Verify(label) => {
                let label = template::expand(label, self.place.i);
                let label = self.report.ok(at, label)?.into_owned();
                let spot = self.spot(at);
                self.ledger.verifies(spot, label);
                // The label may be further on; the ledger puts the right number here.
                Some(Op::Verify { taken: OpId(0) })
            }
            _ => Some(Op::TakeFrame),
        }
    }

    pub(super) fn outside(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Signal(thread) => {
                let found = self.tables.threads.find(thread, self.place.i);
                Some(Op::Signal { to: self.report.ok(at, found)? })
            }
            Do::LeaseTimeout(file) => Some(Op::LeaseTimeout { file: self.file_named(file, at)? }),
            _ => Some(Op::Crash),
        }
    }

    pub(super) fn order(&mut self, op: &Do, at: &At) -> Option<Op> {
        let (Do::Post(name) | Do::Wait(name)) = op else {
            return match op {
                Do::Sleep(ns) if *ns > limits::NANOSECONDS => {
                    let problem = Problem::general(format!("{ns} nanoseconds are too many"));
                    let help = format!("at most {} are allowed", limits::NANOSECONDS);
                    self.report.value(at, problem.help(help));
                    None
                }
                Do::Sleep(ns) => Some(Op::Sleep { ns: *ns }),
                _ => None,
            };
        };
        let event = self.ledger.event(name, self.place.i, self.plan, self.tables);
        let event = self.report.ok(at, event)?;
        if matches!(op, Do::Post(_)) {
            self.ledger.post(event, if self.rounds == 0 { u64::MAX } else { self.rounds });
            return Some(Op::Post { event });
        }
        let spot = self.spot(at);
        self.ledger.wait(event, if self.background { 0 } else { self.rounds }, spot);
        Some(Op::Wait { event })
    }

    pub(super) fn contents(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Write(place) => {
                let cached = self.cached_page(place, at)?;
                Some(Op::Write { at: cached.first, part: cached.part })
            }
            Do::Read(place) => Some(Op::Read { at: self.whole_page(place, at)?.first }),
            Do::Truncate(truncate) => self.truncate(truncate, at),
            Do::Punch(place) => {
                let cached = self.cached(place, at)?;
                if cached.part == WHOLE {
                    return Some(Op::Punch { first: cached.first, pages: cached.pages });
                }
                self.report.ok(at, access::single(cached.pages))?;
                let (first, (from, to)) = (cached.first, cached.part);
                Some(Op::PunchPart { first, pages: 1, from, to })
            }
            Do::ZeroRange(place) | Do::CollapseRange(place) => {
                let cached = self.cached(place, at)?;
                self.report.ok(at, access::whole(cached.part))?;
                let (first, pages) = (cached.first, cached.pages);
                Some(match op {
                    Do::ZeroRange(_) => Op::ZeroRange { first, pages },
                    _ => Op::CollapseRange { first, pages },
                })
            }
            Do::AddSeal(add) => {
                let file = self.file_named(&add.file, &at.key("file"))?;
                let seal = match add.seal {
                    op::Seal::Shrink => Seal::Shrink,
                    op::Seal::Grow => Seal::Grow,
                    op::Seal::Write => Seal::Write,
                    op::Seal::FutureWrite => Seal::FutureWrite,
                };
                Some(Op::AddSeal { file, seal })
            }
            Do::Reflink(reflink) => self.reflink(reflink, at),
            _ => None,
        }
    }

    pub(super) fn truncate(&mut self, truncate: &op::Truncate, at: &At) -> Option<Op> {
        let file = self.file_named(&truncate.file, &at.key("file"))?;
        let page = u64::from(PAGE_SIZE);
        let size = match (truncate.pages, truncate.bytes) {
            (Some(pages), None) => Ok(u64::from(pages) * page),
            (None, Some(bytes)) => Ok(bytes),
            (Some(_), Some(_)) => Err("both `pages` and `bytes`"),
            (None, None) => Err("the new size is missing"),
        };
        let size = size.map_err(|why| {
            Problem::general(why).help("give the new size once, as `pages` or as `bytes`")
        });
        let size = self.report.ok(at, size)?;
        let planned = &self.plan.files[file.0 as usize];
        if size.div_ceil(page) > u64::from(planned.capacity) {
            let key = if truncate.pages.is_some() { "pages" } else { "bytes" };
            let problem = Problem::general(format!(
                "beyond file `{}`, which has room for {} pages",
                planned.name, planned.capacity
            ));
            self.report.value(&at.key(key), problem.help("raise the file's `capacity`"));
            return None;
        }
        Some(Op::Truncate { file, size })
    }

    pub(super) fn reflink(&mut self, reflink: &op::Reflink, at: &At) -> Option<Op> {
        let from = self.cached(&reflink.from, &at.key("from"))?;
        let to = self.cached(&reflink.to, &at.key("to"))?;
        self.report.ok(&at.key("from"), access::whole(from.part))?;
        self.report.ok(&at.key("to"), access::whole(to.part))?;
        let target = &self.plan.files[to.file.0 as usize];
        let room = self.tables.file_pages[to.file.0 as usize] + target.capacity - to.first.0;
        let disks = self.plan.files[from.file.0 as usize].disk == target.disk;
        let problem = if !disks || target.disk.is_none() {
            Problem::general("a reflink between two disks").help("both files lie on one disk")
        } else if from.pages > room {
            let what = format!("{} pages do not fit into `{}` there", from.pages, target.name);
            Problem::general(what).help("raise the file's `capacity`")
        } else {
            return Some(Op::Reflink { from: from.first, to: to.first, pages: from.pages });
        };
        self.report.value(&at.key("to"), problem);
        None
    }

    pub(super) fn file(&mut self, op: &Do, at: &At) -> Option<Op> {
        match op {
            Do::Reclaim(place) => Some(Op::Reclaim { page: self.whole_page(place, at)?.first }),
            Do::Migrate(place) => {
                let cached = self.whole_page(place, at)?;
                if matches!(self.plan.files[cached.file.0 as usize].disk, Some(disk)
                    if self.is_pmem(disk))
                {
                    let problem = Problem::general("migration of a page of persistent memory");
                    self.report.value(at, problem.help("a DAX page is where its block is"));
                }
                Some(Op::Migrate { page: cached.first })
            }
            Do::Unbind(disk) => {
                let disk = self.tables.disks.find(disk, self.place.i);
                let disk = self.report.ok(at, disk)?;
                if !self.is_pmem(disk) {
                    let problem = Problem::general("unbind of a block disk");
                    self.report
                        .value(at, problem.help("only pmem disks have struct pages to lose"));
                }
                Some(Op::Unbind { disk })
            }
            Do::SyncFileRange(sync) => {
                let file = self.file_named(&sync.file, &at.key("file"))?;
                let flags = SfrFlags {
                    wait_before: sync.wait_before,
                    write: sync.write,
                    wait_after: sync.wait_after,
                };
                Some(Op::SyncFileRange { file, flags })
            }
            Do::Fsync(name)
            | Do::Fdatasync(name)
            | Do::Writeback(name)
            | Do::WritebackIntegrity(name)
            | Do::DropCaches(name)
            | Do::TakeLease(name)
            | Do::AwaitBreak(name)
            | Do::AnswerLease(name) => {
                let file = self.file_named(name, at)?;
                Some(match op {
                    Do::Fsync(_) => Op::Fsync { file, data_only: false },
                    Do::Fdatasync(_) => Op::Fsync { file, data_only: true },
                    Do::Writeback(_) => Op::Writeback { file, mode: SyncMode::Cleaning },
                    Do::WritebackIntegrity(_) => Op::Writeback { file, mode: SyncMode::Integrity },
                    Do::DropCaches(_) => Op::DropCaches { file },
                    Do::TakeLease(_) => Op::TakeLease { file },
                    Do::AwaitBreak(_) => Op::AwaitBreak { file },
                    _ => Op::AnswerLease { file },
                })
            }
            _ => None,
        }
    }

    pub(super) fn is_pmem(&self, disk: Disk) -> bool {
        self.plan.disks[disk.0 as usize].kind == DiskKind::Pmem
    }
}
