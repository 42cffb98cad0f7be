//! The JSON format: what an author writes, before any name is resolved.
//!
//! Every section has defaults, so that the smallest scenario is a title and one thread.
//! `docs/scenarios.md` is the manual; the doc comments here become the JSON Schema.

use super::op::Step;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a field has its default and need not be written out.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Defines a struct of the format: unknown fields refused, absent fields defaulted, defaults not
/// written.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(
            Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize, JsonSchema,
        )]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(
                $(#[$fmeta])*
                #[serde(skip_serializing_if = "crate::scenario::types::is_default")]
                pub $field: $type,
            )+
        }
    };
}
pub(super) use section;

/// A section of named things, in the order in which they are written.
pub type Named<T> = IndexMap<String, T>;

/// A scenario: a machine, the programs of its threads, and what is expected of them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Where the JSON Schema lies; for editors, not read.
    #[serde(rename = "$schema", default, skip_serializing_if = "is_default")]
    pub schema: String,
    /// One line that says what happens.
    pub title: String,
    /// What to look for, one paragraph per string.
    #[serde(default, skip_serializing_if = "is_default")]
    pub look_for: Vec<String>,
    /// The mails, commits or kernel functions that it comes from.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: Vec<String>,
    /// Numbers of the claims (docs/claims.md) that it serves.
    #[serde(default, skip_serializing_if = "is_default")]
    pub claims: Vec<u32>,
    /// The preset from which the strategy starts; `linux-6.18` if absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub preset: Option<String>,
    /// Axes of the strategy that differ from the preset: axis to value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: Named<String>,
    /// Processors; one per thread if absent (at most 64).
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpus: Option<u32>,
    /// Free frames of RAM at the start; if absent, enough for everything that can be faulted in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub spare_frames: Option<u32>,
    /// Kernel workers; if absent, one where a program hands work to a worker or a file is of btrfs,
    /// else none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub workers: Option<u32>,
    /// A fault maps what is cached around its page, and reads what is not (fault-around,
    /// read-ahead); else as with `fault_around_bytes` 4096 and `read_ahead_kb` 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fault_around: bool,
    /// Disks by name. Files that name none lie on the only block disk (`disk0` if none is
    /// declared) or, with `dax`, on the only pmem disk (`pmem0`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub disks: Named<Disk>,
    /// Files by name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub files: Named<File>,
    /// Address spaces by name; `P` if none is declared.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mms: Named<Mm>,
    /// Mappings by name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mappings: Named<Mapping>,
    /// DMA devices by name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub devices: Named<Device>,
    /// Threads by name, in the order of the trace's columns.
    #[serde(default, skip_serializing_if = "is_default")]
    pub threads: Named<Thread>,
    /// Templates for large worlds, each instantiated many times.
    #[serde(default, skip_serializing_if = "is_default")]
    pub generate: Vec<Generate>,
    /// Faults that may happen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub faults: Faults,
    /// Entries of the cost table that differ from the defaults, in simulated nanoseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub costs: Named<u64>,
    /// Limits of an exploration.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// One interleaving to replay: the choices in order.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Vec<super::schedule::Choice>,
    /// What is expected of all interleavings together.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expect: Vec<Expect>,
}

/// The kind of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskKind {
    /// A block device with bios in flight.
    #[default]
    Block,
    /// Persistent memory, for files with `dax`.
    Pmem,
}

section! {
    /// A disk.
    Disk {
        /// Block device or persistent memory.
        kind: DiskKind,
        /// Block: a checksum is taken before the transfer (DIF/DIX, RAID parity).
        checksum: bool,
        /// Block: page_mkwrite and write_begin wait for writeback (QUEUE_FLAG_STABLE_WRITES).
        stable_writes: bool,
        /// Block: contents are durable only after a flush.
        volatile_cache: bool,
        /// Block: a loop device, whose driver has copied what is to be written by the time that the
        /// submission returns.
        #[serde(rename = "loop")]
        looped: bool,
        /// Block: bios in flight at once; 1 if absent.
        queue_depth: Option<u32>,
        /// Free blocks at the start; if absent, enough for every hole, and for copies on write.
        spare_blocks: Option<u32>,
    }
}

/// The kind of a filesystem.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FsKind {
    /// Page cache, blocks overwritten in place, buffers attached, delayed allocation.
    #[default]
    Ext4,
    /// Page cache, blocks overwritten in place, no buffers needed.
    Xfs,
    /// Page cache, copy on write with data checksums, stable pages.
    Btrfs,
    /// Page cache without a disk.
    Tmpfs,
    /// Direct access: the file's pages are the blocks of a pmem disk.
    Dax,
}

/// A file's page at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InitPage {
    /// Cached, clean, on disk.
    #[default]
    Clean,
    /// On disk, not cached.
    Cold,
    /// Cached and dirty, newer than the disk's.
    Dirty,
    /// Neither cached nor on disk.
    Hole,
}

section! {
    /// A file.
    File {
        /// Filesystem kind.
        fs: FsKind,
        /// The disk it lies on.
        disk: Option<String>,
        /// Size at the start in pages; 1 if neither `pages` nor `bytes` is given.
        pages: Option<u32>,
        /// Size at the start in bytes, where it is no multiple of 4096.
        bytes: Option<u64>,
        /// Pages that the file may ever have; its size at the start if absent.
        capacity: Option<u32>,
        /// The state of every page at the start.
        initial: InitPage,
        /// The state of single pages, by number, where it differs from `initial`.
        except: std::collections::BTreeMap<u32, InitPage>,
        /// Order of the folios of its page cache; 0 is base pages.
        folio_order: u32,
    }
}

section! {
    /// An address space.
    Mm {
        /// Created during the run by a `fork` of this address space, whose mappings it gets.
        child_of: Option<String>,
    }
}

/// Which page-table entries exist at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Populate {
    /// None: the first access of each page faults.
    #[default]
    None,
    /// Read-only entries for cached pages.
    Read,
    /// Writable, dirty entries, as after a store.
    Write,
}

section! {
    /// A mapping.
    Mapping {
        /// The file that is mapped; anonymous memory if absent.
        file: Option<String>,
        /// The first page of the file that is mapped.
        first: u32,
        /// Length in pages; if absent, the rest of the file's capacity (anonymous: 1).
        pages: Option<u32>,
        /// Whose mapping it is; the first address space if absent.
        mm: Option<String>,
        /// MAP_SHARED; if absent, true for files and false for anonymous memory.
        shared: Option<bool>,
        /// PROT_READ; true if absent.
        read: Option<bool>,
        /// PROT_WRITE; true if absent.
        write: Option<bool>,
        /// Mapped from the start; true if absent, else an `mmap` operation maps it.
        mapped: Option<bool>,
        /// Which page-table entries exist at the start.
        populate: Populate,
    }
}

/// The kind of a DMA device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// An RDMA NIC with pinned memory regions.
    #[default]
    Nic,
    /// An RDMA NIC with on-demand paging (MMU notifier, device page faults).
    OdpNic,
    /// A GPU with an MMU notifier and faulting hardware.
    Gpu,
    /// A capture card that streams for ever into long-term pins (v4l2).
    Capture,
}

section! {
    /// A DMA device.
    Device {
        /// What it is.
        kind: DeviceKind,
        /// Its driver gives a pinned page back when `--writeback revoke` asks for it; true if
        /// absent.
        revocable: Option<bool>,
        /// Its translation table can be changed while it runs; true if absent. A device that says
        /// false breaks when a design does so (`--truncate crappy-page`): all its regions die.
        redirects: Option<bool>,
        /// It has a command that ends the transfers of one region; true if absent. One that says
        /// false is reset where a design needs the command (`--truncate terminate`).
        terminates: Option<bool>,
        /// It survives an access that the IOMMU refuses; true if absent. One that says false loses
        /// all its regions (`--truncate iommu-fault`).
        survives_faults: Option<bool>,
    }
}

/// What a thread is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ThreadKind {
    /// A thread of a process.
    #[default]
    User,
    /// A kernel thread (flusher, kswapd, somebody who writes to sysfs).
    Kernel,
    /// The transfers of a DMA device.
    Device,
    /// Somebody else, who allocates what was freed.
    Neighbour,
    /// Something from outside that may happen at any moment, or never.
    Chance,
}

section! {
    /// A thread with its program.
    Thread {
        /// What it is.
        kind: ThreadKind,
        /// User threads: the address space; the first one if absent.
        mm: Option<String>,
        /// Device threads: the device; the only one if absent.
        device: Option<String>,
        /// The processor it runs on; one after the other if absent.
        cpu: Option<u32>,
        /// The run may end before this thread has finished.
        background: bool,
        /// Its operations.
        #[serde(rename = "do")]
        program: Vec<Step>,
    }
}

section! {
    /// A template, instantiated `count` times. In every name and address `{i}` stands for the
    /// number of the instance, `{i/10}`, `{i%10}`, `{i*2+1}` for what follows from it (from left
    /// to right).
    Generate {
        /// How many times.
        count: u32,
        /// Files of each instance.
        files: Named<File>,
        /// Address spaces of each instance.
        mms: Named<Mm>,
        /// Mappings of each instance.
        mappings: Named<Mapping>,
        /// Devices of each instance.
        devices: Named<Device>,
        /// Threads of each instance.
        threads: Named<Thread>,
    }
}

section! {
    /// Faults that may happen. In explorations each opportunity is a choice, as often as
    /// allowed; in timed runs it has a probability.
    Faults {
        /// Disk transfers that may fail with EIO.
        io_errors: u32,
        /// Allocations that may fail with ENOMEM.
        enomem: u32,
        /// Probability of an I/O error at each opportunity of a timed run, 0 to 1.
        io_error_rate: f64,
        /// Probability of a failing allocation at each opportunity of a timed run, 0 to 1.
        enomem_rate: f64,
    }
}

section! {
    /// Limits of an exploration; none if absent.
    Limits {
        /// Preemptions of one interleaving at most.
        preemptions: Option<u32>,
        /// Steps of one interleaving at most.
        depth: Option<u64>,
        /// States to visit at most.
        states: Option<u64>,
        /// For worlds that are too large to exhaust: hold expectations against so many timed runs.
        runs: Option<u64>,
    }
}

/// How often an invariant is expected to break.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// In no interleaving.
    Never,
    /// In some interleaving.
    Sometimes,
    /// In every interleaving that runs to its end.
    Always,
}

section! {
    /// An expectation: `invariant` or `starved` with `verdict`, or `exists`, `forall` or `price`.
    Expect {
        /// The invariant that is spoken of.
        invariant: Option<String>,
        /// How often it is expected to break; of `starved`, whether there is such a run.
        verdict: Option<Verdict>,
        /// A thread that the others can put off for ever although everybody who can go on again
        /// and again does: `sometimes`, or `never`.
        starved: Option<String>,
        /// A condition that some final state meets.
        exists: Option<String>,
        /// A condition that every final state meets.
        forall: Option<String>,
        /// A price compared with a number, such as `fast-misses > 0`, in the timed run of seed 0.
        price: Option<String>,
        /// The strategies under which this is expected, each `PRESET`, `AXIS=VALUE ...` or
        /// `PRESET AXIS=VALUE ...`; the scenario's own if absent.
        under: Vec<String>,
        /// Why.
        because: String,
        /// `AXIS=VALUE`: this shows the value preventing what it was proposed for.
        credit: Option<String>,
        /// `AXIS=VALUE`: this shows what was said against the value.
        objection: Option<String>,
    }
}
