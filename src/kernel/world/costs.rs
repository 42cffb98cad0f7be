//! How long things take in timed runs, in simulated nanoseconds.
//!
//! They order designs; they do not predict hardware. Each default says where its size comes from.

macro_rules! costs {
    ($($(#[doc = $doc:literal])+ $name:ident $field:ident = $default:literal,)+) => {
        /// What kind of work a step is.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub enum Cost { $($(#[doc = $doc])+ $name,)+ }

        impl Cost {
            /// Every kind, in order.
            pub const ALL: &[Cost] = &[$(Cost::$name,)+];
            /// The name in a scenario's cost table.
            pub fn name(self) -> &'static str {
                match self { $(Cost::$name => stringify!($field),)+ }
            }
            /// The manual entry: meaning and source of the default.
            pub fn doc(self) -> &'static str {
                match self { $(Cost::$name => concat!($($doc, "\n",)+),)+ }
            }
            /// The default, in nanoseconds.
            pub fn default_ns(self) -> u64 {
                match self { $(Cost::$name => $default,)+ }
            }
        }
    };
}

costs! {
    /// An ordinary step: a few instructions and cache hits.
    Step step = 20,
    /// An atomic operation on a shared cache line (a locked instruction that misses).
    Atomic atomic = 50,
    /// Taking or releasing a lock.
    Lock lock = 40,
    /// A walk of page tables without faults.
    Walk walk = 60,
    /// Entry and exit of a page fault (about 1000 cycles on x86).
    Fault fault = 300,
    /// Entry and exit of a system call.
    Syscall syscall = 100,
    /// An inter-processor interrupt and its answer.
    Ipi ipi = 2000,
    /// Copying or zeroing a page of 4 KiB.
    Copy copy = 400,
    /// Allocating a page or a small object.
    Alloc alloc = 150,
    /// A journal transaction or an update of an extent map.
    Journal journal = 5000,
    /// Queueing and submitting a bio.
    Submit submit = 1000,
    /// One half of a transfer of a page by a disk (NVMe flash, about 80 us for a page).
    DiskHalf disk_half = 40000,
    /// A flush of a disk's volatile cache.
    Flush flush = 500000,
    /// One half of a transfer of a page by a DMA device (100 Gbit/s, 4 KiB in about 330 ns).
    DmaHalf dma_half = 165,
    /// A command to a device and its answer (a PCIe round trip with a mailbox).
    Command command = 10000,
    /// Waking and scheduling a sleeping thread.
    Wake wake = 3000,
    /// A thread's pause between operations.
    Think think = 0,
    /// An outside event (crash, signal) in timed runs: when it happens.
    Chance chance = 1000000,
    /// The timeout of a lease break (`/proc/sys/fs/lease-break-time` is 45 s).
    LeaseTimeout lease_timeout = 45000000000,
}

/// The cost table of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Costs(Vec<u64>);

impl Default for Costs {
    fn default() -> Costs {
        Costs(Cost::ALL.iter().map(|c| c.default_ns()).collect())
    }
}

impl Costs {
    /// Nanoseconds that a step of this kind takes.
    #[inline]
    pub fn ns(&self, cost: Cost) -> u64 {
        self.0[cost as usize]
    }

    /// Changes an entry.
    pub fn set(&mut self, cost: Cost, ns: u64) {
        self.0[cost as usize] = ns;
    }
}
