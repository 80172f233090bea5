// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. User memory where nobody may wait for it: a section with page faults disabled, in which copies stop at
//! memory that is not there, and faulting in outside, which waits for as long as the user likes.
//!
//! C headers: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h),
//! [`include/linux/uio.h`](srctree/include/linux/uio.h)

use kernel::iov::{IovIterDest, IovIterSource};
use kernel::types::NotThreadSafe;

use super::bindings;

/// The section; sections nest.
#[must_use]
pub(crate) struct Scope(NotThreadSafe);

impl Scope {
    /// From here on.
    pub(crate) fn enter() -> Self {
        // SAFETY: Undone by this task when the value is dropped.
        unsafe { bindings::pfnfs_pagefault_disable() };
        Self(NotThreadSafe)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // SAFETY: Disabled by this task in `enter`.
        unsafe { bindings::pfnfs_pagefault_enable() };
    }
}

/// Makes the next `n` bytes of a source present. `false`: not even the first one is. Sleeps, for as long as a user may let it.
pub(crate) fn fault_in_source(src: &mut IovIterSource<'_>, n: usize) -> bool {
    // SAFETY: A valid iterator.
    unsafe { bindings::fault_in_iov_iter_readable(src.as_raw(), n) < n }
}

/// The same for a destination, to be written.
pub(crate) fn fault_in_dest(dst: &mut IovIterDest<'_>, n: usize) -> bool {
    // SAFETY: A valid iterator.
    unsafe { bindings::fault_in_iov_iter_writeable(dst.as_raw(), n) < n }
}
