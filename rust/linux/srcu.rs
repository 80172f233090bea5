// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. `struct srcu_struct`: sections that may sleep, and a wait for those of one domain.
//!
//! Whoever waits waits for the slowest section: nothing in one may depend on a user (a page fault on his memory, a pin of
//! his, a thaw).
//!
//! C header: [`include/linux/srcu.h`](srctree/include/linux/srcu.h)
//!
//! Not wrapped: callbacks, polling, the faster flavours of readers.

use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::{NotThreadSafe, Opaque};

use super::bindings;

/// A domain of sections.
///
/// # Invariants
///
/// `srcu` is initialised.
#[pin_data(PinnedDrop)]
pub(crate) struct Srcu {
    #[pin]
    srcu: Opaque<bindings::srcu_struct>,
}

// SAFETY: A domain is made to be used by all tasks at once, and may be cleaned up by any.
unsafe impl Send for Srcu {}
// SAFETY: As above.
unsafe impl Sync for Srcu {}

impl Srcu {
    /// A domain without sections. `ENOMEM`.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        // INVARIANT: Initialised by C, or there is none.
        try_pin_init!(Self {
            // SAFETY: The slot is pinned, and uninitialised memory is what C wants.
            srcu <- Opaque::try_ffi_init(|slot| to_result(unsafe { bindings::pfnfs_srcu_init(slot) })),
        })
    }

    /// Begins a section, which ends when the guard is dropped.
    pub(crate) fn read(&self) -> Section<'_> {
        // SAFETY: Initialised by the type invariant.
        // INVARIANT: Begun here.
        Section { of: self, id: unsafe { bindings::pfnfs_srcu_read_lock(self.srcu.get()) }, _task: NotThreadSafe }
    }

    /// Returns when all sections that exist now have ended. Sleeps; not to be called inside one.
    pub(crate) fn synchronize(&self) {
        // SAFETY: Initialised by the type invariant.
        unsafe { bindings::synchronize_srcu(self.srcu.get()) };
    }
}

#[pinned_drop]
impl PinnedDrop for Srcu {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised; sections borrow the domain, so there is none.
        unsafe { bindings::cleanup_srcu_struct(self.srcu.get()) };
    }
}

/// A section of a domain.
///
/// # Invariants
///
/// This task is inside the section `id` of `of`.
#[must_use]
pub(crate) struct Section<'a> {
    of: &'a Srcu,
    id: i32,
    _task: NotThreadSafe,
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::pfnfs_srcu_read_unlock(self.of.srcu.get(), self.id) };
    }
}
