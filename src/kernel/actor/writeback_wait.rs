//! The rest of a sync: waiting for pages under writeback, and a flusher's pass over a file.

use super::routine::call;
use super::step::*;
use super::writeback::WritePages;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::objects::CacheSlot;
use crate::kernel::world::plan::SyncMode;
use crate::kernel::world::{File, FilePage, Frame, Id};

/// `filemap_fdatawait_range`: waits for every page that is under writeback. Errors are the
/// business of whoever asks the file (`file_check_and_advance_wb_err`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WaitPages {
    next: FilePage,
    end: FilePage,
    place: WaitPlace,
}

/// The place of a wait.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum WaitPlace {
    /// The whole file is to be waited for.
    Whole(File),
    /// Finds the next folio under writeback by its tag and takes a reference.
    Find,
    /// Waits for the end of its writeback, and drops the reference.
    Wait(Frame),
}

impl WaitPages {
    /// Waits for a whole file. Returns 0.
    pub fn new(file: File) -> WaitPages {
        WaitPages { next: FilePage(0), end: FilePage(0), place: WaitPlace::Whole(file) }
    }

    /// Waits for some pages of a file. Returns 0.
    pub fn range(first: FilePage, pages: u32) -> WaitPages {
        WaitPages { next: first, end: first.plus(pages), place: WaitPlace::Find }
    }

    fn find(self, cx: &mut Step) -> Next {
        cx.might_sleep();
        let pending = |n| cx.get::<CacheSlot>(FilePage(n)).tag_writeback();
        let mut folios = (self.next.0..self.end.0).map(|n| cx.folio_slots(FilePage(n)));
        let tagged = folios.find(|folio| folio.clone().any(pending));
        let found = tagged.and_then(|slots| Some((cx.cached(FilePage(slots.start))?, slots.end)));
        let Some((frame, next)) = found else { return Next::Return(0) };
        let folio = cx.head(frame);
        cx.take_ref(folio);
        WaitPages { next: FilePage(next), place: WaitPlace::Wait(folio), ..self }.into()
    }
}

impl Machine for WaitPages {
    fn need(self, _cx: &Scene) -> Need {
        match self.place {
            WaitPlace::Wait(folio) => Need::WritebackEnd(folio),
            _ => Need::Nothing,
        }
    }

    fn label(self) -> Label {
        match self.place {
            WaitPlace::Wait(_) => Label::new("", "folio_wait_writeback", Cost::Wake),
            _ => Label::new("", "filemap_fdatawait_range", Cost::Step),
        }
    }

    fn step(self, cx: &mut Step, _outcome: u8) -> Next {
        match self.place {
            WaitPlace::Whole(file) => {
                let pages = cx.map.file_pages[file.index()].clone();
                WaitPages::range(FilePage(pages.start), pages.len() as u32).find(cx)
            }
            WaitPlace::Find => self.find(cx),
            WaitPlace::Wait(folio) => {
                cx.drop_ref(folio);
                WaitPages { place: WaitPlace::Find, ..self }.into()
            }
        }
    }
}

/// `__writeback_single_inode`: a flusher's pass over a file; for integrity it also waits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WritebackInode {
    file: File,
    mode: SyncMode,
    waiting: bool,
}

impl WritebackInode {
    /// A pass over a file. Returns 0.
    pub fn new(file: File, mode: SyncMode) -> WritebackInode {
        WritebackInode { file, mode, waiting: false }
    }
}

impl Machine for WritebackInode {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "__writeback_single_inode", Cost::Step)
    }

    fn step(self, _cx: &mut Step, _outcome: u8) -> Next {
        call(WritePages::new(self.file, self.mode), self)
    }

    fn resume(self, _cx: &mut Step, _ret: Ret) -> Next {
        if self.waiting || self.mode == SyncMode::Cleaning {
            return Next::Return(0);
        }
        call(WaitPages::new(self.file), WritebackInode { waiting: true, ..self })
    }
}
