// SPDX-License-Identifier: GPL-2.0

//! Layer linux: proof, before a device is offered, that this kernel's DAX teardown understands our entries.
//!
//! The format of entries and the state of folios are private to `fs/dax.c` ([`super::entry`], [`super::folio`]). On a scratch
//! inode, with page structures of the device that nobody uses yet (their memory is not touched), one small and one huge
//! entry are inserted, found idle, found busy while a reference is held, and deleted by the kernel's own functions. A kernel
//! whose format differs fails here, where nothing can be lost.

use kernel::prelude::*;
use kernel::types::Opaque;

use super::lock::{Conflict, Locks};
use super::{folio, Entry, Frame, Mapping, Order, HUGE};
use crate::linux::bindings;
use crate::linux::pmem::Frames;
use crate::linux::vfs::slab::Head;

/// A step that failed.
struct Wrong(&'static str);

/// An inode that belongs to no file system: just enough for functions that take a mapping.
#[pin_data]
struct Scratch {
    #[pin]
    head: Opaque<Head>,
    #[pin]
    locks: Locks,
}

impl Scratch {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            head <- Opaque::ffi_init(|head: *mut Head| {
                let inode: *mut bindings::inode = head.cast();
                // SAFETY: `head` is valid for writing, and pinned. `once` zeroes and initialises
                // the inode, which comes first. It gets no link, so there is nothing to drop.
                unsafe {
                    Head::once(head);
                    Head::renew(head);
                    (*inode).i_flags = bindings::S_DAX;
                    (*inode).i_mapping = &raw mut (*inode).i_data;
                    (*inode).i_data.host = inode;
                }
            }),
            locks <- Locks::new(),
        })
    }

    fn mapping(&self) -> &Mapping {
        // SAFETY: Initialised, and lives as long as `self`.
        unsafe { Mapping::from_raw(&raw mut (*self.head.get().cast::<bindings::inode>()).i_data) }
    }
}

/// Runs the test with `frames`, which nobody may use meanwhile: any aligned 2 MiB of a device will do. Nothing is read or written.
///
/// # Errors
///
/// `EINVAL`: there is no aligned 2 MiB. `ENOEXEC`: the kernel's format is not ours; the log says
/// what went wrong.
pub(crate) fn run(frames: Frames<'_>) -> Result {
    let skip = frames.pfn().wrapping_neg() % HUGE;
    let huge = frames.split_at(skip).1.split_at(HUGE).0;
    if folio::order_at(&huge, INDEX) != Some(Order::Huge) {
        return Err(EINVAL);
    }
    let page = huge.region().frames(huge.pages())?.split_at(1).0;
    let scratch = KBox::pin_init(Scratch::new(), GFP_KERNEL)?;
    let mut outcome = Ok(());
    for (frames, order) in [(&page, Order::Page), (&huge, Order::Huge)] {
        let frame = Frame { pfn: frames.pfn(), order };
        outcome = outcome.and_then(|()| insert(&scratch, frames, frame)).and_then(|()| remove(&scratch, frame));
    }
    let outcome = outcome.and_then(|()| hole(&scratch)).and_then(|()| copy(&scratch));
    outcome.map_err(|Wrong(step)| {
        pr_err!("this kernel's DAX is not the one that this module was made for: {step}\n");
        ENOEXEC
    })
}

/// Where the entries are put: the start of the second 2 MiB.
const INDEX: u64 = HUGE;

fn check(good: bool, step: &'static str) -> Result<(), Wrong> {
    good.then_some(()).ok_or(Wrong(step))
}

/// The first page from `INDEX` on that the kernel takes for busy.
fn busy(mapping: &Mapping) -> *mut bindings::page {
    // SAFETY: A live mapping without VMAs.
    unsafe { bindings::dax_layout_busy_page_range(mapping.as_raw(), 0, i64::MAX) }
}

fn insert(scratch: &Scratch, frames: &Frames<'_>, frame: Frame) -> Result<(), Wrong> {
    let mapping = scratch.mapping();
    let populate = scratch.locks.populate(mapping);
    check(populate.insert(INDEX, frames) == Ok(()), "an entry cannot be inserted")?;
    check(populate.insert(INDEX, frames) == Err(EEXIST), "an entry can be inserted twice")?;
    check(
        populate.conflict(frame.order.range(INDEX).end - 1, frame.order) == Ok(Conflict::Frames),
        "an entry does not cover its range",
    )?;
    drop(populate);
    let last = frame.order.range(INDEX).end - 1;
    let seen = scratch.locks.read(mapping).load(last);
    check(seen == Entry::Pfn(frame), "an entry is not found")?;
    check(mapping.next_entry(last).is_some_and(|s| s.index == INDEX), "an entry has another index")?;
    check(busy(mapping).is_null(), "an idle page counts as busy")?;
    // SAFETY: A page of the device.
    let head = unsafe { folio::page(frame.pfn) };
    // SAFETY: As above; the reference is given back at once.
    let seen = unsafe {
        bindings::pfnfs_folio_ref_inc(head);
        let seen = busy(mapping);
        bindings::pfnfs_folio_put(head);
        seen
    };
    check(seen == head, "a pinned page does not count as busy")
}

fn remove(scratch: &Scratch, frame: Frame) -> Result<(), Wrong> {
    let mapping = scratch.mapping();
    // SAFETY: A live mapping, whose entries are idle.
    unsafe { bindings::dax_delete_mapping_range(mapping.as_raw(), 0, i64::MAX) };
    check(mapping.is_empty(), "pages are counted that are not there")?;
    check(mapping.next_entry(0).is_none(), "an entry is not deleted")?;
    for pfn in frame.pfns() {
        // SAFETY: A page of the device.
        check(unsafe { bindings::pfnfs_page_idle(folio::page(pfn)) }, "a page is not idle again")?;
        // SAFETY: As above.
        check(unsafe { bindings::pfnfs_page_is_device(folio::page(pfn)) }, "a page has lost its device")?;
    }
    Ok(())
}

fn hole(scratch: &Scratch) -> Result<(), Wrong> {
    let mapping = scratch.mapping();
    check(scratch.locks.populate(mapping).insert_hole(INDEX) == Ok(()), "a hole cannot be inserted")?;
    check(scratch.locks.read(mapping).load(INDEX) == Entry::Hole, "a hole is not found")?;
    check(busy(mapping).is_null(), "a hole counts as busy")?;
    let removed = scratch.locks.write(mapping).remove_holes(0..u64::MAX);
    check(removed == Ok(1) && mapping.is_empty(), "a hole is not deleted")
}

fn copy(scratch: &Scratch) -> Result<(), Wrong> {
    let mapping = scratch.mapping();
    let inserted = scratch.locks.populate(mapping).insert_copy(INDEX, || Ok(KVec::new()));
    check(inserted == Ok(()), "a copy cannot be inserted")?;
    check(scratch.locks.read(mapping).load(INDEX) == Entry::Copy, "a copy is not found")?;
    check(busy(mapping).is_null(), "a copy counts as busy")?;
    // SAFETY: A live mapping, which nobody else uses.
    unsafe { bindings::dax_delete_mapping_range(mapping.as_raw(), 0, i64::MAX) };
    check(mapping.is_empty(), "a copy is not deleted")
}
