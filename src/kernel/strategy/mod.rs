//! Strategies: how a design answers the questions on which the proposals differ.
//!
//! One file per axis, one enum per axis. A strategy *decides* (returns a small verdict); the
//! actor *acts*. [`Strategy`] holds one value of each axis; [`preset`] names whole designs.

pub mod arch;
pub mod axis;
pub mod claims;
pub mod cow_retry;
pub mod dax;
pub mod fork;
pub mod guard;
pub mod lazyfree;
pub mod longterm;
pub mod notifier;
pub mod pin;
pub mod preset;
pub mod reclaim;
pub mod refused;
pub mod remap;
pub mod situation;
pub mod tail;
pub mod truncate;
pub mod unbind;
pub mod unpin;
pub mod writeback;

pub use arch::Arch;
pub use axis::{AxisInfo, AxisValue};
pub use cow_retry::CowRetry;
pub use dax::{DaxIdle, DaxOrphan};
pub use fork::{CowReuse, Fork};
pub use guard::Guard;
pub use lazyfree::Lazyfree;
pub use longterm::Longterm;
pub use notifier::Notifier;
pub use pin::{DioRef, Pin};
pub use preset::Preset;
pub use reclaim::{NoBuffers, Reclaim};
pub use remap::RemapFlush;
pub use tail::EofTail;
pub use truncate::Truncate;
pub use unbind::Unbind;
pub use unpin::Unpin;
pub use writeback::Writeback;

macro_rules! strategy {
    ($($(#[doc = $doc:literal])+ $field:ident: $axis:ty = $flag:literal,)+) => {
        /// One value of every axis: a whole design.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub struct Strategy {
            $($(#[doc = $doc])+ pub $field: $axis,)+
            /// For tests: a guard that is taken away.
            pub without: Option<Guard>,
        }

        impl Strategy {
            /// Whether a guard is in place.
            #[inline]
            pub fn keeps(&self, guard: Guard) -> bool {
                self.without != Some(guard)
            }

            /// Every axis: its flag, what it asks, and its values.
            pub const AXES: &[AxisInfo] = &[$(AxisInfo {
                flag: $flag,
                doc: concat!($($doc, "\n",)+),
                values: <$axis>::VALUES,
            },)+];

            /// The value of the axis with this flag; none if there is no such axis.
            pub fn get(&self, flag: &str) -> Option<&'static str> {
                match flag { $($flag => Some(self.$field.name()),)+ _ => None }
            }

            /// Sets an axis by flag and value.
            ///
            /// # Errors
            /// If there is no such axis or the axis has no such value; says what there is.
            pub fn set(&mut self, flag: &str, value: &str) -> Result<(), axis::Unknown> {
                match flag {
                    $($flag => self.$field = <$axis>::parse(flag, value)?,)+
                    _ => return Err(axis::Unknown::axis(flag)),
                }
                Ok(())
            }
        }
    };
}

strategy! {
    /// Where a pin is counted, and so what "is this page pinned?" can answer.
    pin: Pin = "pin",
    /// What cleaning does with a pinned page.
    writeback: Writeback = "writeback",
    /// How dirtiness comes back at release.
    unpin: Unpin = "unpin",
    /// What truncate and punch do with a pinned page of the page cache.
    truncate: Truncate = "truncate-page-cache",
    /// What truncate and punch do with a busy page of a DAX file.
    truncate_dax: Truncate = "truncate-dax",
    /// Who may take a long-term pin.
    longterm: Longterm = "longterm",
    /// What a device with a notifier does when it is told that a range goes away.
    notifier: Notifier = "notifier",
    /// How GUP-fast and device removal meet.
    unbind: Unbind = "unbind",
    /// How the processors flush each other's TLBs.
    arch: Arch = "arch",
    /// Which kind of reference direct I/O takes on its buffer.
    dio_ref: DioRef = "dio-ref",
    /// What reclaim does with the private data of a pinned page.
    reclaim: Reclaim = "reclaim",
    /// What fork does with a pinned anonymous page.
    fork: Fork = "fork",
    /// Who may write to an anonymous page without copying it.
    cow_reuse: CowReuse = "cow-reuse",
    /// What count of an unused DAX page is called idle.
    dax_idle: DaxIdle = "dax-idle",
    /// Whether truncate waits for a reference to a DAX page that no mapping shows any more.
    dax_orphan: DaxOrphan = "dax-orphan",
    /// What writeback does when it finds a dirty page that the filesystem did not prepare.
    no_buffers: NoBuffers = "no-buffers",
    /// What growing a file does with the bytes of the old last page beyond the old end.
    eof_tail: EofTail = "eof-tail",
    /// How a forced write to a read-only private mapping looks its copy up after the fault.
    cow_retry: CowRetry = "cow-retry",
    /// What keeps reclaim from discarding a page that MADV_FREE has given up.
    lazyfree: Lazyfree = "lazyfree",
    /// When mremap flushes the old address of what it has moved.
    remap_flush: RemapFlush = "remap-flush",
}

impl Strategy {
    /// What the design costs that no run can count: bytes in every `struct page`, bytes for each
    /// pinned page, whether a wait can name its holder, what filesystems have to be taught.
    pub fn standing(&self) -> pin::Standing {
        self.pin.standing()
    }
}
