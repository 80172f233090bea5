// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `mmap(2)` of a DAX file: `struct vm_area_desc`, the VMA that is about to be.
//!
//! C header: [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h)

use super::fault::{Handler, Table};
use super::Mapping;
use crate::linux::bindings;

/// A VMA to be.
///
/// # Invariants
///
/// `raw` is valid for `'a`, and its file is open.
pub(crate) struct Desc<'a> {
    raw: &'a mut bindings::vm_area_desc,
}

impl<'a> Desc<'a> {
    /// # Safety
    ///
    /// `raw` is what the kernel has given to `->mmap_prepare`, for the time of that call.
    pub(in crate::linux) unsafe fn from_raw(raw: *mut bindings::vm_area_desc) -> Self {
        // INVARIANT: By the function's contract.
        // SAFETY: As above; nobody else uses it during the call.
        Self { raw: unsafe { &mut *raw } }
    }

    /// The mapping of the file.
    pub(crate) fn mapping(&self) -> &Mapping {
        // SAFETY: By the type invariant.
        unsafe { Mapping::of_file(self.raw.file) }
    }

    /// Whether MAP_SYNC was asked for.
    pub(crate) fn is_sync(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::pfnfs_desc_sync(self.raw) }
    }

    /// Sets who handles the faults, says that 2 MiB pages are welcome, and that the file was read.
    pub(crate) fn set_handler<H: Handler>(&mut self) {
        self.raw.vm_ops = &Table::<H>::OPS;
        // SAFETY: By the type invariant.
        unsafe {
            bindings::pfnfs_desc_huge(self.raw);
            bindings::pfnfs_file_accessed(self.raw.file);
        }
    }
}
