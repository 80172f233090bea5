// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. `struct dev_pagemap` of type `MEMORY_DEVICE_FS_DAX`: maps persistent memory and gives it page
//! structures, one per 4 KiB, so that it can be mapped into processes and used for direct I/O.
//!
//! C header: [`include/linux/memremap.h`](srctree/include/linux/memremap.h)
//!
//! Not wrapped: page structures inside the memory itself (`altmap`), several ranges, other types of device memory.

use core::{ops::Range, pin::Pin, ptr::NonNull};

use kernel::{error::from_err_ptr, prelude::*, sizes::SZ_2M, sync::Arc, types::Opaque};

use super::{
    bindings,
    pmem::{Poison, Region, PAGE},
    resource,
};

/// What a page map must be aligned to at both ends: memory is added in subsections of this size, and mappings of this
/// size need it.
pub(crate) const ALIGN: u64 = SZ_2M as u64;

/// Told when memory of a page map has failed. Called in a process or a workqueue, may sleep.
pub(crate) trait Failure: Send + Sync + 'static {
    /// Device pages that have failed. `flags` are the kernel's `MF_*`. When it returns, no process reaches them.
    fn memory_failure(&self, pages: Range<u64>, flags: i32) -> Result;
}

/// # Invariants
///
/// `pgmap.owner` points to this value, which does not move.
struct Shared<H> {
    pgmap: Opaque<bindings::dev_pagemap>,
    first_pfn: u64,
    handler: Arc<H>,
}

/// Mapped persistent memory. Unmaps on drop, after everybody has been turned away from its [`Region`].
///
/// # Invariants
///
/// `shared.pgmap` has been mapped by `memremap_pages` and `region` lies in it.
pub(crate) struct Pagemap<H: Failure> {
    shared: Pin<KBox<Shared<H>>>,
    region: Arc<Region>,
    _claim: resource::Claim,
}

// SAFETY: `memremap_pages` and `memunmap_pages` may run in any task; the handler is `Send` and `Sync`.
unsafe impl<H: Failure> Send for Pagemap<H> {}
// SAFETY: a shared reference only gives out the region, which is `Sync`.
unsafe impl<H: Failure> Sync for Pagemap<H> {}

impl<H: Failure> Pagemap<H> {
    const OPS: bindings::dev_pagemap_ops =
        bindings::dev_pagemap_ops { memory_failure: Some(Self::memory_failure), ..pin_init::zeroed() };

    /// Maps the claimed range with page structures on NUMA node `node` (-1 for any). Accesses fail on the pages in
    /// `poison`, to which `handler` adds.
    ///
    /// `EINVAL` if it is not a multiple of 2 MiB in address and size, `ENXIO` if it is ordinary memory.
    pub(crate) fn new(
        claim: resource::Claim,
        node: i32,
        caches_are_durable: bool,
        poison: Arc<Poison>,
        handler: Arc<H>,
    ) -> Result<Self> {
        let range = claim.range();
        if range.start % ALIGN != 0 || range.end % ALIGN != 0 {
            return Err(EINVAL);
        }
        if resource::is_ram(&range) {
            return Err(ENXIO);
        }
        let shared = KBox::pin(
            Shared {
                // SAFETY: all zeroes is an unused page map.
                pgmap: Opaque::new(unsafe { core::mem::zeroed::<bindings::dev_pagemap>() }),
                first_pfn: range.start / PAGE,
                handler,
            },
            GFP_KERNEL,
        )?;
        let pgmap = shared.pgmap.get();
        // SAFETY: nobody else knows the page map yet; it does not move, and memory that is claimed by us, is no RAM and
        // is aligned may be mapped.
        let base = unsafe {
            (*pgmap).type_ = bindings::memory_type_MEMORY_DEVICE_FS_DAX;
            (*pgmap).ops = &Self::OPS;
            (*pgmap).owner = (&raw const *shared).cast_mut().cast();
            (*pgmap).nr_range = 1;
            let first = (*pgmap).__bindgen_anon_1.range.as_mut();
            (first.start, first.end) = (range.start, range.end.wrapping_sub(1));
            from_err_ptr(bindings::memremap_pages(pgmap, node))?
        };
        let pgmap = NonNull::new(pgmap).ok_or(ENOMEM)?;
        let mapped = NonNull::new(base.cast::<u8>()).ok_or(ENOMEM).and_then(|base| {
            // SAFETY: the range was mapped just now at `base`; `drop` revokes the region before it unmaps.
            let region = unsafe {
                Region::new(base, range.end.wrapping_sub(range.start), range.start / PAGE, caches_are_durable, poison)
            };
            region.find_unmapped()?;
            Ok(Arc::new(region, GFP_KERNEL)?)
        });
        match mapped {
            // INVARIANT: mapped above.
            Ok(region) => Ok(Self { shared, region, _claim: claim }),
            Err(e) => {
                // SAFETY: mapped above, and nobody has learnt of it.
                unsafe { bindings::memunmap_pages(pgmap.as_ptr()) };
                Err(e)
            }
        }
    }

    /// The mapped bytes.
    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// # Safety
    ///
    /// Called by the kernel with a reference to the page map of a `Shared<H>`.
    unsafe extern "C" fn memory_failure(pgmap: *mut bindings::dev_pagemap, pfn: usize, nr: usize, flags: i32) -> i32 {
        // SAFETY: this function is in the table of page maps whose `owner` is a `Shared<H>`, which lives until the
        // memory is unmapped; the caller holds a reference to the page map.
        let shared = unsafe { &*(*pgmap).owner.cast::<Shared<H>>() };
        let first = (pfn as u64).saturating_sub(shared.first_pfn);
        match shared.handler.memory_failure(first..first.saturating_add(nr as u64), flags) {
            Ok(()) => 0,
            // EOPNOTSUPP would make the kernel handle the failure itself, with locks that our entries do not take part
            // in.
            Err(e) if e.to_errno() == -(bindings::EOPNOTSUPP as i32) => EIO.to_errno(),
            Err(e) => e.to_errno(),
        }
    }
}

impl<H: Failure> Drop for Pagemap<H> {
    fn drop(&mut self) {
        self.region.revoke();
        // The pages have no references, but whoever put the last one may have been preempted in between, or walks page tables
        // in another CPU with interrupts off, and looks at them once more (`free_zone_device_folio`, `gup_fast`).
        // SAFETY: No conditions, but that this may sleep.
        unsafe { bindings::pfnfs_wait_for_tasks() };
        // SAFETY: mapped by the invariant; after `revoke` nobody accesses the memory through the region.
        unsafe { bindings::memunmap_pages(self.shared.pgmap.get()) };
    }
}
