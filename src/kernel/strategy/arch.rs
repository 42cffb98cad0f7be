//! How the processors flush each other's TLBs.

use super::axis::axis;

axis! {
    /// How a TLB flush reaches other processors.
    Arch {
        /// The flusher interrupts every processor that may hold the translation and waits for its
        /// answer (x86). A processor with interrupts off answers late: that is what GUP-fast relies
        /// on.
        IpiFlush = "ipi-flush",
        /// The flush is an instruction that the hardware broadcasts (arm64 TLBI): it waits for no
        /// processor's interrupts. GUP-fast is protected by RCU-freed page tables and by re-reading
        /// the PTE (comment "GUP-fast" in mm/gup.c).
        BroadcastFlush = "broadcast-flush",
    }
}
