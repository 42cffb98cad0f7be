//! Writeback (`do_writepages`).

use super::step::*;
use crate::kernel::world::File;
use crate::kernel::world::costs::Cost;
use crate::kernel::world::need::Need;
use crate::kernel::world::plan::SyncMode;

/// `do_writepages` over a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WritePages {
    file: File,
    mode: SyncMode,
}

impl WritePages {
    /// Writes the dirty pages of a file.
    pub fn new(file: File, mode: SyncMode) -> WritePages {
        WritePages { file, mode }
    }
}

/// `filemap_fdatawait_range` over a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WaitPages {
    file: File,
}

impl WaitPages {
    /// Waits for the writeback of the pages of a file.
    pub fn new(file: File) -> WaitPages {
        WaitPages { file }
    }
}

impl Machine for WritePages {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "do_writepages", Cost::Step)
    }

    fn step(self, _cx: &mut Step, _outcome: u8) -> Next {
        Next::Return(0)
    }
}

impl Machine for WaitPages {
    fn need(self, _cx: &Scene) -> Need {
        Need::Nothing
    }

    fn label(self) -> Label {
        Label::new("", "filemap_fdatawait_range", Cost::Step)
    }

    fn step(self, _cx: &mut Step, _outcome: u8) -> Next {
        Next::Return(0)
    }
}
