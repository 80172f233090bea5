// SPDX-License-Identifier: GPL-2.0

//! Layer linux: page frames of a device and the folios they form while a file's mapping holds them.
//!
//! A page of MEMORY_DEVICE_FS_DAX that nobody uses has a reference count of 0 and belongs to no mapping. Putting it into
//! `i_pages` sets mapping and index, and makes 512 aligned pages one folio; a page table entry takes a reference
//! and a mapping count each. The kernel's teardown undoes the former, unmapping the latter.
//!
//! C source: [`fs/dax.c`](srctree/fs/dax.c) (`dax_associate_entry`), [`mm/memremap.c`](srctree/mm/memremap.c)

use kernel::prelude::*;

use super::entry::{Frame, Order};
use super::{Mapping, HUGE};
use crate::linux::bindings;
use crate::linux::pmem::Frames;

/// The order of the entry that can hold the first of `frames` at `index` of a file: huge if there are 512 of them, aligned
/// in the file and in physical memory. `None`: there are no frames.
pub(crate) fn order_at(frames: &Frames<'_>, index: u64) -> Option<Order> {
    let aligned = index % HUGE == 0 && frames.pfn() % HUGE == 0;
    match frames.len() {
        0 => None,
        HUGE.. if aligned => Some(Order::Huge),
        _ => Some(Order::Page),
    }
}

/// The struct page of a frame.
///
/// # Safety
///
/// It has one.
pub(super) unsafe fn page(pfn: u64) -> *mut bindings::page {
    // SAFETY: By the function's contract.
    unsafe { bindings::pfnfs_pfn_to_page(pfn as c_ulong) }
}

/// Makes `frame` a folio of `mapping` at `index`, as `dax_associate_entry` does. The caller holds
/// [`super::lock::Populate`], which keeps others from doing the same to this mapping.
///
/// # Errors
///
/// `EBUSY`: a page is in use: pinned by somebody, or in another file.
pub(super) fn associate(mapping: &Mapping, index: u64, frame: Frame) -> Result {
    for pfn in frame.pfns() {
        // SAFETY: `frame` comes from `Frames`, so there are pages, and they stay.
        if !unsafe { bindings::pfnfs_page_idle(page(pfn)) } {
            return Err(EBUSY);
        }
    }
    // SAFETY: As above. All pages are idle, so nobody else looks at them.
    unsafe {
        let head = page(frame.pfn);
        if frame.order == Order::Huge {
            bindings::pfnfs_folio_make_huge(head);
        }
        bindings::pfnfs_folio_associate(head, mapping.as_raw(), index as c_ulong);
    }
    Ok(())
}

/// Sets or clears the kernel's mark of failed memory. `pfn` is one that an entry holds.
pub(super) fn mark_failed(pfn: u64, failed: bool) {
    // SAFETY: A frame that an entry holds has a page.
    unsafe { bindings::pfnfs_mark_hwpoison(pfn as usize, failed) };
}

/// Takes the kernel's mark of failed memory from the pages of a frame that an entry is to hold.
pub(super) fn clear_failed(frame: Frame) {
    // SAFETY: Only called for a frame that `associate` has just made a folio of.
    unsafe { bindings::pfnfs_clear_hwpoison(frame.pfn as usize, frame.order.pages() as usize) };
}

/// Undoes [`associate`] for frames that are not in any page table.
pub(super) fn reset(frame: Frame) {
    // SAFETY: Only called for a frame that `associate` has just made a folio of.
    unsafe { bindings::dax_folio_reset_order(page(frame.pfn).cast()) };
}

/// Whether somebody may have a reference to the folio of `frame`, which an entry holds, without having it mapped: what he stores
/// there goes by no page table entry.
pub(super) fn is_pinned(frame: Frame) -> bool {
    // SAFETY: A frame that an entry holds has pages.
    unsafe { bindings::pfnfs_page_pinned(page(frame.pfn)) }
}

/// Whether nobody has a reference to the folio of `frame`, which an entry holds.
pub(super) fn is_unreferenced(frame: Frame) -> bool {
    // SAFETY: A frame that an entry holds has pages.
    unsafe { bindings::pfnfs_page_count(page(frame.pfn)) == 0 }
}
