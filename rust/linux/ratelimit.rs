// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. Keeps the kernel log readable: messages that user space or bad media can cause again and again go through
//! [`allows`].
//!
//! C header: [`include/linux/ratelimit.h`](srctree/include/linux/ratelimit.h)

use super::bindings;

/// Whether one more message may be written: ten in five seconds are, of the whole module. The kernel says how many were not.
pub(crate) fn allows() -> bool {
    // SAFETY: No precondition; the state is static and has its own lock.
    unsafe { bindings::pfnfs_ratelimit() }
}
