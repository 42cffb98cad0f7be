//! Limits on what a scenario may ask for, so that no input can exhaust memory or time.

use crate::kernel::world::Version;

/// Bytes of a scenario file.
pub const FILE_BYTES: usize = 16 << 20;
/// JSON values (members of objects, elements of arrays) in a scenario file.
pub const VALUES: usize = 500_000;
/// Nesting of JSON objects and arrays.
pub const DEPTH: usize = 32;
/// Threads, generated ones included.
pub const THREADS: usize = 16_000;
/// Page table entries that may map one folio: the pages of a folio times the mappings of its file,
/// or the copies of a mapping that forks make.
pub const MAPPERS: usize = 30_000;
/// Operations of one program, after the compiler has added its own.
pub const OPS_PER_PROGRAM: usize = 10_000;
/// Operations of all programs together.
pub const OPS: usize = 1_000_000;
/// Pages of all files and mappings together, and pages of all slots together.
pub const PAGES: u64 = 4_000_000;
/// Files, mappings, address spaces, devices, regions, slots or events: of each at most this many.
pub const OBJECTS: usize = 100_000;
/// Disks.
pub const DISKS: usize = 1_000;
/// Processors (each has a TLB).
pub const CPUS: u32 = 1_024;
/// Nesting of `repeat`.
pub const REPEAT_NESTING: usize = 2;
/// Generations of forked address spaces.
pub const GENERATIONS: usize = 16;
/// Rounds of one `repeat`.
pub const REPEAT_TIMES: u32 = 1_000_000;
/// Bios in flight at one disk.
pub const QUEUE_DEPTH: u32 = 1_024;
/// Order of a folio (9: 2 MiB of 4 KiB pages).
pub const FOLIO_ORDER: u32 = 9;
/// Bytes of one name.
pub const NAME_BYTES: usize = 64;
/// Characters of one condition, and nesting of its parentheses.
pub const CONDITION_BYTES: usize = 4_096;
/// Nesting of parentheses and negations in a condition.
pub const CONDITION_DEPTH: usize = 32;
/// Problems that are reported at once.
pub const PROBLEMS: usize = 20;
/// Simulated nanoseconds of one entry of the cost table or one `sleep`: about 11 days.
pub const NANOSECONDS: u64 = 1_000_000_000_000_000;

// Everything is numbered by u32, and a program's jump target is a u16.
const _: () = assert!(OPS_PER_PROGRAM <= u16::MAX as usize);
const _: () = assert!(PAGES <= u32::MAX as u64 && OPS <= u32::MAX as usize);
// Every lock has a number of 20 bits: four per file, one per address space and device.
const _: () = assert!(OBJECTS * 6 < (1 << 20) - 1);
// Counts of what threads do at once are fields of 14 bits, those of mappers of 15.
const _: () = assert!(THREADS < 1 << 14 && MAPPERS < 1 << 15);
// Every page and operation has a number of its own in contents (two operations are reserved).
const _: () = assert!(PAGES < Version::ORIGINS as u64 && OPS + 2 <= Version::AUTHORS as usize);
// serde_json refuses nesting of 128; ours must be met first, for its better message.
const _: () = assert!(DEPTH < 128);
