//! Numbers of objects. Each kind of object has its own type, so that they cannot be mixed up.

use super::view::Mention;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

/// A number that indexes the cells of one kind of object.
///
/// An id hashes as a [`Mention`], so that whoever looks at a state with other names for its
/// objects finds every id that a machine keeps.
pub trait Id: Copy + Eq + Ord + Debug {
    /// What kind of object it is.
    const SORT: Sort;
    /// The number as an index.
    fn index(self) -> usize;
    /// The object with this index.
    fn from_index(index: usize) -> Self;
}

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {
        /// The kinds of object.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Sort { $($(#[doc = $doc])+ $name,)+ }

        impl Sort {
            /// Every kind.
            pub const ALL: &[Sort] = &[$(Sort::$name,)+];
        }

        $(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub struct $name(pub u32);

        impl Hash for $name {
            #[inline]
            fn hash<H: Hasher>(&self, state: &mut H) {
                Mention::Object(Sort::$name, self.0).pass(state);
            }
        }

        impl Id for $name {
            const SORT: Sort = Sort::$name;
            #[inline]
            fn index(self) -> usize { self.0 as usize }
            #[inline]
            fn from_index(index: usize) -> $name { $name(index as u32) }
        }

        impl $name {
            /// Packs an optional number into a bit field: 0 is none.
            #[inline]
            pub fn pack(of: Option<$name>) -> u32 { of.map_or(0, |id| id.0 + 1) }
            /// The reverse of `pack`.
            #[inline]
            pub fn unpack(bits: u32) -> Option<$name> { bits.checked_sub(1).map($name) }
            /// The object `n` further on in the same table.
            #[inline]
            #[must_use]
            pub fn plus(self, n: u32) -> $name { $name(self.0 + n) }
        }
        )+
    };
}

/// A frame or none, in four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackedFrame(u32);

impl PackedFrame {
    /// None.
    pub const NONE: PackedFrame = PackedFrame(0);

    /// A frame.
    pub fn of(frame: Frame) -> PackedFrame {
        PackedFrame(Frame::pack(Some(frame)))
    }

    /// The frame, if there is one.
    pub fn get(self) -> Option<Frame> {
        Frame::unpack(self.0)
    }
}

impl Hash for PackedFrame {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.get().hash(state);
    }
}

ids! {
    /// A frame of memory (RAM or pmem) with its `struct page`.
    Frame;
    /// A block of a block device, one page in size. Blocks of a pmem device are its frames.
    Block;
    /// A file (inode with its `address_space`).
    File;
    /// A page-sized piece of a file; the pages of all files are numbered through.
    FilePage;
    /// A page-sized piece of a mapping of an address space; numbered through over all mappings.
    VPage;
    /// A mapping (VMA).
    Vma;
    /// An address space (`mm_struct`).
    Mm;
    /// A processor.
    Cpu;
    /// A slot of a processor's TLB; slots of all processors are numbered through.
    TlbSlot;
    /// An agent: a user or kernel thread, a device queue, a disk tag, a worker, an outside event.
    Actor;
    /// A block device or a pmem device.
    Disk;
    /// A hardware tag of a disk: room for one bio in flight. Tags of all disks numbered through.
    Tag;
    /// A DMA device (NIC, GPU, capture card).
    Device;
    /// A memory region of a device (an RDMA MR, a video buffer, a GPU range).
    Region;
    /// One page of a region: an entry of the device's translation table.
    RegionPage;
    /// A named set of pages that one GUP call returned, held until unpinned.
    Slot;
    /// One page of a slot.
    SlotPage;
    /// A kernel worker thread of a workqueue.
    Worker;
    /// A lock that is more than one atomic section long; see
    /// [`LockClass`](super::machine::LockClass).
    Lock;
    /// A named event that threads post and wait for (a device of scenario authors).
    Event;
    /// One operation in some thread's program; numbered through over all programs.
    /// Numbers 0 and 1 are no operations: see [`Version`](super::Version).
    OpId;
    /// One buffer of a pipe (vmsplice, splice).
    PipeSlot;
    /// A page of a file as one thread that calls fsync keeps it in mind; numbered through over
    /// those threads.
    AskedPage;
    /// The only object of its kind.
    One;
}
