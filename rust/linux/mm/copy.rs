// SPDX-License-Identifier: GPL-2.0

//! Layer linux: a page of ordinary memory that is shown in the place of a page of a file, where the device's own must be changed
//! before it may be seen, and cannot be. An entry [`super::Entry::Copy`] says that there is one; it is kept
//! beside the lock of [`super::lock::Populate`]. Nobody can write it, and it is never written back.
//!
//! C header: [`include/linux/gfp.h`](srctree/include/linux/gfp.h)

use kernel::page::{Page, PAGE_SIZE};
use kernel::prelude::*;

use crate::linux::bindings;

/// The page. Who maps it has references of his own, so that it may go before them.
pub(crate) struct Copy(Page);

impl Copy {
    /// A page with these contents, and zeroes behind them.
    pub(super) fn new(bytes: &[u8]) -> Result<Self> {
        let page = Page::alloc_page(GFP_KERNEL_ACCOUNT)?;
        let len = bytes.len().min(PAGE_SIZE);
        // SAFETY: The page is new, so nobody else reads or writes it; `bytes` has at least `len` bytes.
        unsafe {
            page.write_raw(bytes.as_ptr(), 0, len)?;
            page.fill_zero_raw(len, PAGE_SIZE.wrapping_sub(len))?;
        }
        Ok(Self(page))
    }

    /// The struct page.
    pub(super) fn as_raw(&self) -> *mut bindings::page {
        self.0.as_ptr().cast()
    }
}
