// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. The map of physical addresses (`/proc/iomem`): what lies at an address, and a claim on a range.
//!
//! C header: [`include/linux/ioport.h`](srctree/include/linux/ioport.h)
//!
//! Not wrapped: I/O ports, the walks over all resources of a kind.

use core::{ops::Range, ptr::NonNull};

use kernel::{prelude::*, str::CString};

use super::bindings;

/// Does any byte of the range belong to memory that the page allocator owns? Mapping such a range as device memory
/// makes the kernel warn, so callers look first.
pub(crate) fn is_ram(range: &Range<u64>) -> bool {
    intersects(range, bindings::IORESOURCE_SYSTEM_RAM, bindings::IORES_DESC_NONE) != bindings::REGION_DISJOINT
}

/// Is the range memory that firmware or the command line has taken from the kernel: reserved, or persistent? Both ends
/// must be, and nothing of another kind may lie between.
pub(crate) fn is_set_aside(range: &Range<u64>) -> bool {
    let first = range.start..range.start.saturating_add(1);
    let last = range.end.saturating_sub(1)..range.end;
    [
        bindings::IORES_DESC_RESERVED,
        bindings::IORES_DESC_SOFT_RESERVED,
        bindings::IORES_DESC_PERSISTENT_MEMORY,
        bindings::IORES_DESC_PERSISTENT_MEMORY_LEGACY,
    ]
    .iter()
    .any(|&desc| {
        [&first, &last, range]
            .iter()
            .all(|r| intersects(r, bindings::IORESOURCE_MEM, desc) == bindings::REGION_INTERSECTS)
    })
}

fn intersects(range: &Range<u64>, flags: u32, desc: u32) -> u32 {
    let len = range.end.saturating_sub(range.start);
    // SAFETY: a plain query; the function takes the lock of the resource map itself.
    let found = unsafe { bindings::region_intersects(range.start, len as usize, flags as usize, desc as usize) };
    found as u32
}

/// The highest physical address, exclusive, that this CPU can name.
pub(crate) fn limit() -> u64 {
    // SAFETY: `boot_cpu_data` is filled in at boot and constant afterwards.
    let bits = unsafe { bindings::boot_cpu_data.x86_phys_bits };
    1u64.checked_shl(bits.into()).unwrap_or(u64::MAX)
}

/// An exclusive claim on a range of physical addresses, given back on drop.
///
/// # Invariants
///
/// `start` and `len` are those of a busy resource that `__request_region` inserted for this value; the resource's name
/// is `_name`.
pub(crate) struct Claim {
    start: u64,
    len: u64,
    _name: CString,
}

impl Claim {
    /// Claims the range. `EBUSY` if a driver has claimed a part of it already.
    pub(crate) fn new(range: &Range<u64>, name: &CStr) -> Result<Self> {
        let name = CString::try_from(name)?;
        let len = range.end.checked_sub(range.start).filter(|&l| l != 0).ok_or(EINVAL)?;
        // SAFETY: `iomem_resource` is the root of the map and lives for ever; the name outlives the resource because
        // it is dropped after `drop` has released the region.
        let res = unsafe {
            bindings::__request_region(&raw mut bindings::iomem_resource, range.start, len, name.as_char_ptr(), 0)
        };
        NonNull::new(res).ok_or(EBUSY)?;
        // INVARIANT: the call above succeeded.
        Ok(Self { start: range.start, len, _name: name })
    }

    /// The claimed addresses.
    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.start.wrapping_add(self.len)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // SAFETY: by the invariant this very range was requested, once.
        unsafe { bindings::__release_region(&raw mut bindings::iomem_resource, self.start, self.len) };
    }
}
