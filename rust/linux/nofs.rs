// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. A section in which this task's allocations do not make the kernel call back into file systems: for locks
//! that such a call may need.
//!
//! C header: [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use kernel::types::NotThreadSafe;

use super::bindings;

/// The section; sections nest.
#[must_use]
pub(crate) struct Scope {
    before: u32,
    _task: NotThreadSafe,
}

impl Scope {
    /// From here on.
    pub(crate) fn enter() -> Self {
        // SAFETY: Undone by this task when the value is dropped.
        Self { before: unsafe { bindings::pfnfs_nofs_save() }, _task: NotThreadSafe }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // SAFETY: What `pfnfs_nofs_save` gave to this task.
        unsafe { bindings::pfnfs_nofs_restore(self.before) };
    }
}
