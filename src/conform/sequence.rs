//! A sequence: operations of one process on one file, in the words of its language.

use super::expr::Expr;
use std::ops::Range;

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Mappings that a sequence may have at once.
pub const SLOTS: usize = 4;
/// Pages of a file or a mapping that are observed.
pub const PAGES: u32 = 8;

/// The file systems on which sequences run, by the names that the recorder has for them.
pub const FILE_SYSTEMS: &[&str] =
    &["ext4", "xfs", "btrfs", "tmpfs", "memfd", "gate", "gatej", "gatex", "gateb", "dax4", "daxx"];

/// A file of sequences with the rules that they show.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// The name of the file, or of the bundled suite.
    pub name: String,
    /// The sequences, in the order of the file.
    pub sequences: Vec<Sequence>,
    /// The rules, in the order of the file.
    pub rules: Vec<Rule>,
}

impl Suite {
    /// The sequence of a name.
    pub fn sequence(&self, name: &str) -> Option<&Sequence> {
        self.sequences.iter().find(|s| s.name == name)
    }
}

/// A rule observed on real kernels.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, such as `A01`.
    pub name: String,
    /// What it says.
    pub text: String,
    /// The sequence that shows it, as an index.
    pub sequence: usize,
}

/// An expression that holds after a step.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// The step: 0 before the first operation.
    pub step: u32,
    /// The rule that it belongs to, as an index; none before the first one of its sequence.
    pub rule: Option<usize>,
    /// As it is written.
    pub text: String,
    /// The expression.
    pub expr: Expr,
}

/// One sequence.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// The file systems on which it runs; none: every one whose name does not begin with `gate`.
    pub on: Vec<String>,
    /// Pages of the file that are observed.
    pub pages: u32,
    /// Size of the file at the start, in bytes.
    pub size: u64,
    /// What the file holds at the start.
    pub init: Init,
    /// The operations.
    pub lines: Vec<Line>,
    /// What holds after them.
    pub assertions: Vec<Assertion>,
}

impl Sequence {
    /// Whether it is meant for a file system of this name.
    pub fn runs_on(&self, fs: &str) -> bool {
        match self.on.is_empty() {
            true => !fs.starts_with("gate"),
            false => self.on.iter().any(|name| name == fs),
        }
    }
}

/// What a file holds at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Init {
    /// Nothing: it only has a size.
    Hole,
    /// Page p is filled with 90 + p, by one write each.
    Dirty,
    /// The same, then fsync.
    Clean,
    /// The same, then the pages are evicted.
    Cold,
}

/// An operation with its place in the text.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it does.
    pub op: Op,
    /// As it is written: recordings repeat it.
    pub text: String,
    /// Its bytes in the file.
    pub span: Range<usize>,
}

/// A page of a mapping: slot and page inside it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    /// The slot.
    pub slot: usize,
    /// The page.
    pub page: u32,
}

/// Bytes of a file or a mapping: offset and length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bytes {
    /// The first byte.
    pub at: u64,
    /// How many.
    pub len: u64,
}

/// How a file is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// MAP_SHARED
    Shared,
    /// MAP_PRIVATE
    Private,
    /// MAP_SHARED_VALIDATE | MAP_SYNC
    Sync,
}

/// Protections of a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prot {
    /// PROT_READ
    Ro,
    /// PROT_READ | PROT_WRITE
    Rw,
    /// PROT_NONE
    None,
}

/// Modes of fallocate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Falloc {
    /// FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    Punch,
    /// FALLOC_FL_ZERO_RANGE
    Zero,
    /// None.
    Plain,
    /// FALLOC_FL_COLLAPSE_RANGE
    Collapse,
}

/// Advice of madvise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Madvice {
    /// MADV_DONTNEED
    DontNeed,
    /// MADV_FREE
    Free,
    /// MADV_REMOVE
    Remove,
    /// MADV_COLD
    Cold,
    /// MADV_PAGEOUT
    PageOut,
    /// MADV_POPULATE_READ
    PopulateRead,
    /// MADV_POPULATE_WRITE
    PopulateWrite,
    /// MADV_NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTFORK, DOFORK, HUGEPAGE, WIPEONFORK,
    /// DONTNEED_LOCKED: no stored sequence has one.
    Other(&'static str),
}

/// Advice of posix_fadvise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fadvice {
    /// POSIX_FADV_DONTNEED
    DontNeed,
    /// POSIX_FADV_WILLNEED
    WillNeed,
    /// POSIX_FADV_RANDOM
    Random,
}

/// How msync is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Msync {
    /// MS_SYNC
    Sync,
    /// MS_ASYNC
    Async,
    /// MS_INVALIDATE
    Invalidate,
}

/// Seals of a memfd.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seal {
    /// F_SEAL_WRITE
    Write,
    /// F_SEAL_FUTURE_WRITE
    Future,
    /// F_SEAL_SHRINK
    Shrink,
    /// F_SEAL_GROW
    Grow,
}

/// What happens to the device under the file system, or to the raw device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// Writes of the file system are held.
    Close,
    /// ... released, and waited for.
    Open,
    /// Writes fail with EIO.
    Eio,
    /// ... no longer.
    Ok,
    /// All I/O of the raw device is held.
    RawClose,
    /// ... released, and waited for.
    RawOpen,
    /// Reads of the file system are held.
    ReadClose,
    /// ... released, and waited for.
    ReadOpen,
    /// Waits until a write of the file system is held.
    Wait,
    /// Waits until I/O of the raw device is held.
    RawWait,
}

/// An operation. V is a value: a page full of words V.
#[allow(missing_docs, reason = "the fields are named in the variant's own entry")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// mmap of the file from page `first` on, into a slot.
    Mmap { slot: usize, how: Sharing, write: bool, first: u32, pages: u32 },
    /// Anonymous memory.
    Anon { slot: usize, pages: u32, shared: bool },
    /// munmap of a slot.
    Munmap { slot: usize },
    /// mprotect of a slot.
    Mprotect { slot: usize, prot: Prot },
    /// A load of the first word of a page; the child's, if so.
    Load { at: At, child: bool },
    /// A store to a whole page; the child's, if so.
    Store { at: At, value: u32, child: bool },
    /// A store to a part of a mapping.
    StoreBytes { slot: usize, bytes: Bytes, value: u32 },
    /// read() of a page of the file, with O_DIRECT if `direct`.
    Read { page: u32, direct: bool },
    /// write() of a page of the file, with O_DIRECT if `direct`.
    Write { page: u32, value: u32, direct: bool },
    /// write() of some bytes of the file.
    WriteBytes { bytes: Bytes, value: u32 },
    /// ftruncate.
    Truncate { size: u64 },
    /// fallocate.
    Fallocate { mode: Falloc, bytes: Bytes },
    /// fsync or fdatasync.
    Fsync { data_only: bool },
    /// sync_file_range of the whole file.
    Sfr { before: bool, write: bool, after: bool },
    /// posix_fadvise.
    Fadvise { bytes: Bytes, advice: Fadvice },
    /// msync of a slot.
    Msync { slot: usize, how: Msync },
    /// mlock, or munlock.
    Mlock { at: At, pages: u32, lock: bool },
    /// madvise.
    Madvise { at: At, pages: u32, advice: Madvice },
    /// O_DIRECT read of a page of another file, which holds `value`, into a mapped page; `raw`: of
    /// the gated raw device.
    DirectIn { at: At, value: u32, raw: bool },
    /// O_DIRECT write of a mapped page to another file; x is what arrived. `raw`: to the gated raw
    /// device, and x stays empty.
    DirectOut { at: At, raw: bool },
    /// O_DIRECT read of a page of the same file into its mapping.
    DirectSelf { at: At, page: u32 },
    /// Reads back what `dwriteg` wrote.
    ReadRaw,
    /// IORING_REGISTER_BUFFERS.
    Register { at: At, pages: u32 },
    /// READ_FIXED into a page of the registered buffer.
    Dma { page: u32, value: u32 },
    /// IORING_UNREGISTER_BUFFERS.
    Unregister,
    /// process_vm_writev that stalls after it has pinned; process_vm_readv, without `write`.
    Pin { at: At, write: bool },
    /// The stalled call goes on; writes `value`, if it writes.
    PinEnd { value: Option<u32> },
    /// process_vm_writev.
    WriteVm { at: At, value: u32 },
    /// write() to /proc/self/mem.
    WriteMem { at: At, value: u32 },
    /// vmsplice of a page into the pipe.
    Vmsplice { at: At },
    /// splice of a page of the file into the pipe.
    Splice { page: u32 },
    /// Reads the pipe empty.
    Drain,
    /// fork.
    Fork,
    /// The child unmaps a slot.
    ChildUnmap { slot: usize },
    /// The child exits.
    ChildExit,
    /// F_ADD_SEALS.
    Seal(Seal),
    /// Sleeps.
    Sleep { ms: u32 },
    /// The gate.
    Gate(Gate),
    /// Runs an operation in a thread; `second`: in the second one.
    Background { second: bool, op: Box<Op> },
    /// Waits for it.
    BackgroundWait { second: bool },
    /// Sends it a signal, then waits for it.
    BackgroundSignal { second: bool },
}
