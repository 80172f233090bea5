// SPDX-License-Identifier: GPL-2.0

//! Layer linux: a page of zeroes of a mapping's own, for holes, where the kernel maps what a fault has left for it
//! ([`super::fault`]). It would count references to the zero page, and mappings of it.
//!
//! The kernel maps it when the fault is over and the map lock is free. So it is lent locked, and unlocked when it is in the
//! page table: who takes a hole away lets nobody borrow it, waits for the lock, and then unmaps.

use core::ptr::NonNull;

use kernel::prelude::*;
use kernel::sync::{Mutex, SetOnce};

use crate::linux::bindings;

/// The page, once it was needed.
#[pin_data]
pub(super) struct Zeroes {
    page: SetOnce<Page>,
    /// The copy that was lent last.
    #[pin]
    other: Mutex<Option<Page>>,
}

impl Zeroes {
    /// References to the page, far below what its counter holds: a user could have as many page table entries for it as
    /// there is memory for page tables.
    const MOST: i32 = 1 << 30;

    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            page: SetOnce::new(),
            other <- kernel::new_mutex!(None, "pfnfs_lent"),
        })
    }

    /// The page, locked, with a reference for the borrower. The map lock is held for reading.
    ///
    /// # Errors
    ///
    /// `ENOMEM`. `EIO`: it is mapped too often.
    pub(super) fn lend(&self) -> Result<*mut bindings::page> {
        let page = loop {
            match self.page.as_ref() {
                Some(page) => break page.0.as_ptr(),
                // If another fault is faster, this one goes.
                None => _ = self.page.populate(Page::new()?),
            }
        };
        Self::lock(page)
    }

    /// The same with a copy, of which the mapping has one at a time, and which the caller keeps from going.
    pub(super) fn lend_other(&self, page: *mut bindings::page) -> Result<*mut bindings::page> {
        let ours = NonNull::new(page).ok_or(EINVAL)?;
        // SAFETY: The page is live by the function's contract.
        unsafe { bindings::pfnfs_folio_ref_inc(page) };
        // INVARIANT: The reference that was just taken.
        let before = self.other.lock().replace(Page(ours));
        drop(before);
        Self::lock(page)
    }

    fn lock(page: *mut bindings::page) -> Result<*mut bindings::page> {
        // SAFETY: The page lives as long as `self`, or its caller sees to that.
        unsafe {
            if bindings::pfnfs_page_count(page) > Self::MOST {
                return Err(EIO);
            }
            bindings::pfnfs_page_lock(page);
            bindings::pfnfs_folio_ref_inc(page);
        }
        Ok(page)
    }

    /// Waits until everybody whom the page was lent to has it in his page table, or has given it back. The caller keeps
    /// faults out.
    pub(super) fn settle(&self) {
        let other = self.other.lock().take();
        for page in [self.page.as_ref(), other.as_ref()].into_iter().flatten() {
            // SAFETY: Both live until the end of this function. Who holds a page's lock waits for nothing of ours.
            unsafe {
                bindings::pfnfs_page_lock(page.0.as_ptr());
                bindings::pfnfs_page_unlock(page.0.as_ptr());
            }
        }
    }
}

/// A page of the kernel's memory.
///
/// # Invariants
///
/// Holds a reference to it.
struct Page(NonNull<bindings::page>);

// SAFETY: A page belongs to no task; its counters are atomic.
unsafe impl Send for Page {}
// SAFETY: As above.
unsafe impl Sync for Page {}

impl Page {
    fn new() -> Result<Self> {
        // SAFETY: No precondition; may sleep.
        // INVARIANT: The reference that it comes with.
        NonNull::new(unsafe { bindings::pfnfs_zeroed_page() }).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Who has pinned the page keeps it.
        unsafe { bindings::pfnfs_page_free(self.0.as_ptr()) };
    }
}
