//! What truncate and hole punch do with a pinned or busy page.

use super::axis::axis;
use crate::kernel::world::plan::FsKind;

axis! {
    /// What truncate and hole punch do with a pinned (page cache) or busy (DAX) page.
    Truncate {
        /// Nothing: the page leaves the file, the pin keeps the frame, the blocks are freed (claim
        /// 32).
        Ignore = "ignore",
        /// A flag on the page stops new pins, then truncate waits for those that exist (Hellwig,
        /// claims 56-58), with the fault lock dropped. Plain references (FOLL_GET) are not
        /// stopped: "nobody expects stuff like get_page() to fail" (Kara, claim 69).
        WaitFlag = "wait-flag",
        /// As wait-flag, but new references are stopped through dev_pagemap (claim 59): a lookup
        /// for every reference GUP takes, and no other page of the device can be pinned while
        /// one is waited for. The page cache has no dev_pagemap.
        WaitPgmap = "wait-pgmap",
        /// Waits for the page to become idle while holding the fault lock (claim 68: deadlock).
        WaitLocked = "wait-locked",
        /// Waits for the page to become idle with the fault lock dropped, retakes it and looks
        /// again (merged for DAX: 4.18 xfs, 4.19 ext4; kernel-facts D1-D6).
        WaitUnlocked = "wait-unlocked",
        /// Unmaps the pages, lets nobody fault them in again (SIGBUS), and waits with the fault
        /// lock dropped (Kara, claims 70, 71).
        BlockRefault = "block-refault",
        /// Does not wait: the file loses the page, its block goes to the filesystem's list of busy
        /// extents, and the last reference to the page frees it from there (Hellwig and Kara,
        /// claims 55, 60-64, 72). Of the page cache nothing of the kind is needed.
        BusyExtents = "busy-extents",
        /// The driver points the device at a valid page of random content at once and gives the
        /// page back (Glisse, claims 25-27, 30). A device whose table must not change while it
        /// runs breaks.
        CrappyPage = "crappy-page",
        /// Asks the holder of the file's layout lease to let go and waits for the answer; who has
        /// no lease, does not answer in time or does not let go gets the crappy page (Glisse,
        /// claim 41).
        Lease = "lease",
        /// The driver ends the transfers of the memory region by force and gives the page back
        /// (Gunthorpe, claims 28, 36). A device that has no command for it is reset: all its
        /// regions die.
        Terminate = "terminate",
        /// The page is unmapped in the IOMMU and given back; an access by the device faults
        /// (claims 24, 29). Hardware that does not survive the PCIe error loses all its regions.
        IommuFault = "iommu-fault",
        /// Refuses: EBUSY to the caller.
        Fail = "fail",
    }
}

/// How a page is taken back from a device that has pinned it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Recall {
    /// The device's translation is pointed at a page of no meaning.
    Redirect,
    /// The memory region is terminated.
    Terminate,
    /// The IOMMU stops translating.
    IommuUnmap,
}

/// What truncate does about a busy page when it finds one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnBusy {
    /// Waits until it is idle.
    Wait,
    /// Returns EBUSY.
    Fail,
    /// Takes it back from the devices.
    Recall(Recall),
    /// Asks the holder of the layout lease; without an answer, redirects.
    Ask,
}

/// What a filesystem would have to provide, and what an administrator sees: facts of a design
/// that no run measures (claims 61, 66).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demands {
    /// Hooks that each filesystem needs.
    pub filesystem: &'static [&'static str],
    /// Hooks that each driver of a pinning device needs.
    pub driver: &'static [&'static str],
    /// Where an administrator sees that a file is held up; none: nowhere.
    pub visible: Option<&'static str>,
}

impl Truncate {
    /// What is done about a busy page before the file is touched; none: nobody looks.
    pub fn on_busy(self) -> Option<OnBusy> {
        use Truncate::*;
        match self {
            Ignore | BusyExtents => None,
            WaitFlag | WaitPgmap | WaitLocked | WaitUnlocked | BlockRefault => Some(OnBusy::Wait),
            CrappyPage => Some(OnBusy::Recall(Recall::Redirect)),
            Terminate => Some(OnBusy::Recall(Recall::Terminate)),
            IommuFault => Some(OnBusy::Recall(Recall::IommuUnmap)),
            Lease => Some(OnBusy::Ask),
            Fail => Some(OnBusy::Fail),
        }
    }

    /// Whether invalidate_lock is dropped for the wait.
    pub fn drops_lock(self) -> bool {
        self != Truncate::WaitLocked
    }

    /// Whether pages that are waited for are barred: to new pins, or to faults.
    pub fn bars(self) -> bool {
        matches!(self, Truncate::WaitFlag | Truncate::BlockRefault)
    }

    /// Whether it is one of the two that `dax_layout_busy_page` was written for, which looks over
    /// the whole file, and only if something maps it.
    pub fn is_layout_break(self) -> bool {
        matches!(self, Truncate::WaitLocked | Truncate::WaitUnlocked)
    }

    /// How pages that were pinned after truncate had looked are taken back when they leave the
    /// file; none: they are not.
    pub fn recall(self) -> Option<Recall> {
        match self.on_busy()? {
            OnBusy::Recall(how) => Some(how),
            OnBusy::Ask => Some(Recall::Redirect),
            OnBusy::Wait | OnBusy::Fail => None,
        }
    }

    /// What the design asks of filesystems, drivers and administrators.
    pub fn demands(self) -> Demands {
        use Truncate::*;
        let stack =
            Some("a task in D state in truncate; it names the file, not who holds the page");
        let (filesystem, driver, visible): (&[_], &[_], _) = match self {
            Ignore => (&[], &[], None),
            WaitFlag | WaitPgmap | WaitLocked => (&[], &[], stack),
            WaitUnlocked => (&["drop and retake the fault lock around the wait"], &[], stack),
            BlockRefault => (&["refuse faults on pages that are being cut"], &[], stack),
            BusyExtents => (
                &["a list of busy extents", "free an extent when a page reference goes"],
                &[],
                None,
            ),
            CrappyPage => (&[], &["reprogram the device's table while it runs"], None),
            Lease => (
                &["break a lease on truncate"],
                &["ask the program", "reprogram the device's table while it runs"],
                Some("the lease in /proc/locks, with the process that holds it"),
            ),
            Terminate => (&[], &["terminate a memory region"], Some("the program's error")),
            IommuFault => (&[], &["survive a fault of the IOMMU"], Some("the IOMMU's fault log")),
            Fail => (&[], &[], Some("EBUSY to the caller")),
        };
        Demands { filesystem, driver, visible }
    }
}

impl super::Strategy {
    /// What truncate does with pages of a filesystem of this kind.
    pub fn truncate_of(&self, fs: FsKind) -> Truncate {
        match fs {
            FsKind::Dax => self.truncate_dax,
            _ => self.truncate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_designs_that_take_pages_back_ask_anything_of_drivers() {
        for &value in Truncate::ALL {
            let asks = !value.demands().driver.is_empty();
            assert_eq!(asks, value.recall().is_some(), "{}", value.name());
        }
    }

    #[test]
    fn whoever_waits_is_seen_to_wait() {
        for &value in Truncate::ALL {
            if value.on_busy() == Some(OnBusy::Wait) {
                assert!(value.demands().visible.is_some(), "{}", value.name());
            }
        }
    }
}
