//! Which threads may do what.

use crate::kernel::world::plan::Role;
use crate::scenario::op::Do;
use crate::scenario::problem::Problem;

/// Kinds of threads, as a set of bits.
const USER: u8 = 1;
const KERNEL: u8 = 2;
const DEVICE: u8 = 4;
const NEIGHBOUR: u8 = 8;
const CHANCE: u8 = 16;
const ANYBODY: u8 = 31;

const KINDS: &[(u8, &str)] = &[
    (USER, "user"),
    (KERNEL, "kernel"),
    (DEVICE, "device"),
    (NEIGHBOUR, "neighbour"),
    (CHANCE, "chance"),
];

/// Who may do an operation.
fn who(op: &Do) -> u8 {
    match op {
        Do::Load(_) | Do::Store(_) | Do::DioRead(_) | Do::DioWrite(_) => USER,
        Do::Msync(_) | Do::MsyncAsync(_) | Do::Mmap(_) | Do::Munmap(_) => USER,
        Do::MsyncInvalidate(_) | Do::Mremap(_) | Do::Mlock(_) | Do::Munlock(_) => USER,
        Do::CollapseRange(_) | Do::ZeroRange(_) | Do::Splice(_) | Do::AddSeal(_) => USER | KERNEL,
        Do::Mprotect(_) | Do::Madvise(_) | Do::Fork(_) | Do::Pin(_) | Do::Hoard(_) => USER,
        Do::Register(_) => USER,
        // A driver may release from the completion interrupt of its device.
        Do::WritePinned(_) | Do::ReadPinned(_) => USER | KERNEL,
        Do::Unpin(_) | Do::Deregister(_) | Do::DmaWait(_) => USER | KERNEL | DEVICE,
        Do::DmaWrite(_) | Do::DmaRead(_) => DEVICE,
        Do::TakeFrame(_) | Do::TakeBlock(_) | Do::Verify(_) => NEIGHBOUR,
        Do::Crash(_) | Do::Signal(_) | Do::LeaseTimeout(_) => CHANCE,
        Do::Post(_) | Do::Wait(_) | Do::Sleep(_) | Do::Repeat(_) => ANYBODY,
        Do::Write(_) | Do::Read(_) | Do::Fsync(_) | Do::Fdatasync(_) => USER | KERNEL | NEIGHBOUR,
        Do::SyncFileRange(_) | Do::Truncate(_) | Do::Punch(_) | Do::Reflink(_) => USER | KERNEL,
        Do::Writeback(_) | Do::WritebackIntegrity(_) | Do::Reclaim(_) => USER | KERNEL,
        Do::DropCaches(_) | Do::Migrate(_) | Do::Unbind(_) => USER | KERNEL,
        Do::TakeLease(_) | Do::AwaitBreak(_) | Do::AnswerLease(_) => USER | KERNEL,
    }
}

/// Whether a thread may do an operation.
///
/// # Errors
/// If not; says which threads may.
pub fn may(op: &Do, role: Role) -> Result<(), Problem> {
    let (bit, is) = match role {
        Role::User(_) => KINDS[0],
        Role::Kernel => KINDS[1],
        Role::Device(_) => KINDS[2],
        Role::Neighbour => KINDS[3],
        Role::Chance => KINDS[4],
    };
    let who = who(op);
    if who & bit != 0 {
        return Ok(());
    }
    let may: Vec<&str> = KINDS.iter().filter(|(b, _)| who & b != 0).map(|(_, n)| *n).collect();
    Err(Problem::general(format!("`{}` in a {is} thread", op.key()))
        .label(format!("a {is} thread cannot do this"))
        .help(format!("give the thread \"kind\": \"{}\"", may.join("\" or \""))))
}
