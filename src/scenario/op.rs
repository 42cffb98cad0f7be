//! Operations of a program as they are written: `{"store": "buf[0]"}`, optionally with a label
//! beside the operation: `{"label": "v1", "store": "buf[0]"}`.
//!
//! One table defines the operations; reading, writing and the schema follow from it.

mod mapping;
mod seal;

use super::types::section;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

pub use mapping::{Advice, Madvise, Mprotect, Mremap};
pub use seal::{AddSeal, Seal};

/// An operation with its label.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// The name by which conditions and other operations speak of it; empty if it has none.
    pub label: String,
    /// What is done.
    pub op: Do,
}

/// A name of something: a file, a slot, an event.
pub type Name = String;

/// An address: `data[0]`, `buf[0..2]`, `buf` (all of it), `buf[0].first-half`, `buf[0].0-100`.
pub type Place = String;

/// Fields of nothing: written `{}`.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

macro_rules! ops {
    ($($(#[doc = $doc:literal])+ $key:literal $variant:ident($arg:ty),)+) => {
        /// What an operation does.
        #[derive(Clone, PartialEq, Debug)]
        pub enum Do { $($(#[doc = $doc])+ $variant($arg),)+ }

        impl Do {
            /// The names of all operations.
            pub const KEYS: &[&str] = &[$($key,)+];

            /// The name of the operation.
            pub fn key(&self) -> &'static str {
                match self { $(Do::$variant(_) => $key,)+ }
            }

            fn read<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Do, A::Error> {
                match key {
                    $($key => map.next_value().map(Do::$variant),)+
                    _ => Err(A::Error::unknown_field(key, FIELDS)),
                }
            }

            fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                match self { $(Do::$variant(arg) => map.serialize_entry($key, arg),)+ }
            }

            fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
                vec![$(($key, {
                    let mut schema = generator.subschema_for::<$arg>();
                    schema.insert("description".into(), concat!($($doc, "\n",)+).trim().into());
                    schema
                }),)+]
            }
        }

        /// What an operation's object may have as members.
        const FIELDS: &[&str] = &["label", $($key,)+];
    };
}

ops! {
    /// A CPU load from a mapped page; records what it saw.
    "load" Load(Place),
    /// A CPU store of a new version to a mapped page or a part of it.
    "store" Store(Place),
    /// `write(2)` of a new version to a page of a file or a part of it.
    "write" Write(Place),
    /// `read(2)` of a page of a file; records what it saw.
    "read" Read(Place),
    /// `O_DIRECT` read of a page of a file into a mapped page.
    "dio_read" DioRead(DioRead),
    /// `O_DIRECT` write of a page of a file from a mapped page.
    "dio_write" DioWrite(DioWrite),
    /// `fsync` of a file.
    "fsync" Fsync(Name),
    /// `fdatasync` of a file.
    "fdatasync" Fdatasync(Name),
    /// `msync(MS_SYNC)` of a mapping.
    "msync" Msync(Name),
    /// `msync(MS_ASYNC)` of a mapping, which does nothing.
    "msync_async" MsyncAsync(Name),
    /// `msync(MS_INVALIDATE)` of a mapping, which fails if any of it is locked.
    "msync_invalidate" MsyncInvalidate(Name),
    /// `sync_file_range` over a whole file.
    "sync_file_range" SyncFileRange(SyncFileRange),
    /// `ftruncate`, shrinking or extending.
    "truncate" Truncate(Truncate),
    /// `fallocate(PUNCH_HOLE | KEEP_SIZE)` of pages of a file, or of a part of one page.
    "punch" Punch(Place),
    /// `fallocate(ZERO_RANGE)` of whole pages of a file.
    "zero_range" ZeroRange(Place),
    /// `fallocate(COLLAPSE_RANGE)` of whole pages of a file: what follows takes their place.
    "collapse_range" CollapseRange(Place),
    /// `fcntl(F_ADD_SEALS)` of a memfd (a `tmpfs` file).
    "add_seal" AddSeal(AddSeal),
    /// Reflink of pages of a file: both ranges share blocks until one is written.
    "reflink" Reflink(Reflink),
    /// `mmap` of a mapping that is declared with `"mapped": false`.
    "mmap" Mmap(Name),
    /// `munmap` of a whole mapping.
    "munmap" Munmap(Name),
    /// `mremap` of a whole mapping to the place of another.
    "mremap" Mremap(Mremap),
    /// `mprotect` of a whole mapping.
    "mprotect" Mprotect(Mprotect),
    /// `madvise` of pages of a mapping.
    "madvise" Madvise(Madvise),
    /// `mlock` of pages of a mapping.
    "mlock" Mlock(Place),
    /// `munlock` of pages of a mapping.
    "munlock" Munlock(Place),
    /// `fork` into an address space that is declared with `child_of`.
    "fork" Fork(Name),
    /// One GUP call; the slot keeps what it returns.
    "pin" Pin(Pin),
    /// Releases all pages of a slot.
    "unpin" Unpin(Unpin),
    /// `splice` of a page of a file into a pipe, which keeps a plain reference in a slot.
    "splice" Splice(Splice),
    /// Takes very many pins of a mapped page, or plain references to it, and keeps them.
    "hoard" Hoard(Hoard),
    /// The kernel writes to a page that a slot holds (process_vm_writev, ptrace, /proc/PID/mem).
    "write_pinned" WritePinned(Place),
    /// The kernel copies a page that a slot holds (read(2) of a pipe); records what it saw.
    "read_pinned" ReadPinned(Place),
    /// Registers a memory region with a device: pins (or subscribes) and programs the device.
    "register" Register(Register),
    /// Deregisters a region: stops the device, then releases.
    "deregister" Deregister(Deregister),
    /// The device writes a new version into a page of a region: `mr[0]`.
    "dma_write" DmaWrite(Place),
    /// The device reads a page of a region and sends it to a remote peer, who keeps it.
    "dma_read" DmaRead(Place),
    /// Waits until every transfer that the region's device has started has completed.
    "dma_wait" DmaWait(Name),
    /// One writeback pass over a file for memory cleaning (WB_SYNC_NONE).
    "writeback" Writeback(Name),
    /// One writeback pass over a file for data integrity (WB_SYNC_ALL).
    "writeback_integrity" WritebackIntegrity(Name),
    /// Reclaim tries to evict a page of a file.
    "reclaim" Reclaim(Place),
    /// `drop_caches` for a file: evicts clean, unused pages.
    "drop_caches" DropCaches(Name),
    /// Compaction moves a page of a file to another frame.
    "migrate" Migrate(Place),
    /// `echo NAMESPACE > .../unbind` of a pmem disk.
    "unbind" Unbind(Name),
    /// A neighbour takes a free frame, fills it and keeps it.
    "take_frame" TakeFrame(Nothing),
    /// A neighbour takes a free block for a page of its file and fills it.
    "take_block" TakeBlock(Place),
    /// A neighbour checks what it took by the labelled operation; records what it saw.
    "verify" Verify(Name),
    /// The holder of a layout lease on a file takes it.
    "take_lease" TakeLease(Name),
    /// Waits until the holder of a lease is asked to let go.
    "await_break" AwaitBreak(Name),
    /// The holder of a layout lease answers its break: it has let go.
    "answer_lease" AnswerLease(Name),
    /// Power loss: RAM and volatile caches are gone, the run ends.
    "crash" Crash(Nothing),
    /// A fatal signal is delivered to a thread.
    "signal" Signal(Name),
    /// The timeout of a lease break on a file runs out.
    "lease_timeout" LeaseTimeout(Name),
    /// Posts an event once.
    "post" Post(Name),
    /// Waits until an event has been posted, and consumes one post.
    "wait" Wait(Name),
    /// Waits so many nanoseconds in timed runs; takes any time in others.
    "sleep" Sleep(u64),
    /// Repeats operations.
    "repeat" Repeat(Repeat),
}

section! {
    /// `O_DIRECT` read.
    DioRead {
        /// A page of a file.
        from: Place,
        /// A mapped page.
        into: Place,
    }
}

section! {
    /// `O_DIRECT` write.
    DioWrite {
        /// A mapped page.
        from: Place,
        /// A page of a file.
        to: Place,
    }
}

section! {
    /// `sync_file_range`.
    SyncFileRange {
        /// The file.
        file: Name,
        /// SYNC_FILE_RANGE_WAIT_BEFORE
        wait_before: bool,
        /// SYNC_FILE_RANGE_WRITE
        write: bool,
        /// SYNC_FILE_RANGE_WAIT_AFTER
        wait_after: bool,
    }
}

section! {
    /// `ftruncate`: `pages` or `bytes` is the new size.
    Truncate {
        /// The file.
        file: Name,
        /// The new size in pages.
        pages: Option<u32>,
        /// The new size in bytes.
        bytes: Option<u64>,
    }
}

section! {
    /// `splice` of a page of a file into a pipe.
    Splice {
        /// A page of a file.
        from: Place,
        /// The slot; `pin` if absent.
        slot: Option<Name>,
    }
}

section! {
    /// Reflink.
    Reflink {
        /// Pages of a file.
        from: Place,
        /// The first page of a file that shares their blocks.
        to: Place,
    }
}

/// Very many references to one page.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hoard {
    /// A mapped page, which must have been accessed or populated.
    pub at: Place,
    /// How many: plain references up to 60000, pins up to 4000000.
    pub count: u32,
    /// Pins (FOLL_PIN); else plain references, as vmsplice takes them.
    #[serde(default)]
    pub pin: bool,
}

/// Which function takes references.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum PinCall {
    /// `pin_user_pages_fast`
    #[default]
    PinFast,
    /// `pin_user_pages`
    PinSlow,
    /// `get_user_pages_fast`
    GetFast,
    /// `get_user_pages`
    GetSlow,
    /// `pin_user_pages_remote`, as process_vm_readv and process_vm_writev call it
    PinRemote,
    /// `get_user_pages_remote` with FOLL_FORCE (ptrace, /proc/PID/mem)
    GetForce,
}

/// Where an unpin runs.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Context {
    /// In process context: may sleep.
    #[default]
    Process,
    /// In an interrupt: must not sleep.
    Irq,
    /// Handed to a workqueue by the interrupt.
    Worker,
}

/// How dirtiness comes back at release.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Redirty {
    /// Not at all: the driver forgets.
    Plain,
    /// `set_page_dirty`
    SetDirty,
    /// `set_page_dirty_lock`
    SetDirtyLock,
    /// page_mkwrite once more
    Mkwrite,
}

section! {
    /// A GUP call.
    Pin {
        /// Mapped pages.
        at: Place,
        /// The slot that keeps the pages; `pin` if absent.
        slot: Option<Name>,
        /// FOLL_WRITE
        write: bool,
        /// FOLL_LONGTERM
        longterm: bool,
        /// The function that is called.
        call: PinCall,
    }
}

section! {
    /// The release of a slot.
    Unpin {
        /// The slot; `pin` if absent.
        slot: Option<Name>,
        /// The pages were written to.
        dirty: bool,
        /// How the driver passes dirtiness on; what the strategy says if absent.
        how: Option<Redirty>,
        /// Where it runs.
        context: Context,
    }
}

section! {
    /// The registration of a memory region.
    Register {
        /// The region; `mr` if absent.
        region: Option<Name>,
        /// The device; the only one if absent.
        device: Option<Name>,
        /// Mapped pages.
        at: Place,
        /// The device may write (FOLL_WRITE); true if absent.
        write: Option<bool>,
        /// FOLL_LONGTERM; true if absent.
        longterm: Option<bool>,
    }
}

section! {
    /// The deregistration of a memory region.
    Deregister {
        /// The region; `mr` if absent.
        region: Option<Name>,
        /// The pages were written to.
        dirty: bool,
        /// How the driver passes dirtiness on; what the strategy says if absent.
        how: Option<Redirty>,
    }
}

section! {
    /// Repetition.
    Repeat {
        /// How often; for ever if absent.
        times: Option<u32>,
        /// The operations.
        #[serde(rename = "do")]
        body: Vec<Step>,
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Step, D::Error> {
        deserializer.deserialize_map(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an operation such as {\"store\": \"buf[0]\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
        let mut label = String::new();
        let mut op: Option<Do> = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "label" {
                label = map.next_value()?;
                continue;
            }
            if let Some(first) = &op {
                let first = first.key();
                return Err(A::Error::custom(match Do::KEYS.contains(&&*key) {
                    true => format!(
                        "second operation `{key}` in one object, after `{first}`; give each \
                         operation an object of its own"
                    ),
                    false => format!(
                        "`{key}` beside the operation `{first}`; put it into the value of \
                         `{first}`: only `label` stands beside an operation"
                    ),
                }));
            }
            op = Some(Do::read(&key, &mut map)?);
        }
        let op = op.ok_or_else(|| {
            A::Error::custom("no operation in this object; write for example {\"fsync\": \"data\"}")
        })?;
        Ok(Step { label, op })
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.label.is_empty() {
            map.serialize_entry("label", &self.label)?;
        }
        self.op.write(&mut map)?;
        map.end()
    }
}

impl JsonSchema for Step {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = serde_json::Map::new();
        properties.insert(
            "label".into(),
            serde_json::json!({
                "type": "string",
                "description": "The name by which conditions and other operations speak of it.",
            }),
        );
        let ops = Do::schemas(generator);
        let one_of: Vec<_> =
            ops.iter().map(|(key, _)| serde_json::json!({ "required": [key] })).collect();
        properties.extend(ops.into_iter().map(|(key, schema)| (key.to_string(), schema.into())));
        json_schema!({
            "type": "object",
            "description": "An operation, optionally with a label beside it.",
            "properties": properties,
            "additionalProperties": false,
            "oneOf": one_of,
        })
    }
}
